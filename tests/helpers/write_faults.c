/* Preloaded into a process: the n-th call that writes below a folder fails.
 *
 * With the error 0 it kills the process in the place of failing.
 *
 * Counted are opening for writing, write, fsync, truncate, rename and mkdir. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static long wanted = -1; /* the call that fails, from 0; -1: none */
static long seen;
static int number; /* of the error */
static int onwards; /* the later calls fail too, but for rename: it needs no room */

void faults_arm(const char *folder, long n, int error, int later)
{
    snprintf(root, sizeof root, "%s", folder);
    wanted = n;
    number = error;
    onwards = later;
    seen = 0;
}

long faults_seen(void)
{
    return seen;
}

static int below(const char *path)
{
    size_t length = strlen(root);
    return length != 0 && strncmp(path, root, length) == 0
        && (path[length] == 0 || path[length] == '/');
}

static int fails(int room)
{
    long mine = __sync_fetch_and_add(&seen, 1);
    if (wanted < 0 || mine < wanted || (mine > wanted && !(onwards && room)))
        return 0;
    if (number == 0)
        kill(getpid(), SIGKILL);
    errno = number;
    return 1;
}

static int path_fails(const char *path, int room)
{
    char whole[2 * PATH_MAX];
    char here[PATH_MAX];
    if (path[0] == '/')
        return below(path) && fails(room);
    if (getcwd(here, sizeof here) == NULL)
        return 0;
    snprintf(whole, sizeof whole, "%s/%s", here, path);
    return below(whole) && fails(room);
}

static int descriptor_fails(int descriptor)
{
    char name[64];
    char path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return below(path) && fails(1);
}

#define NEXT(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))
#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & O_CREAT))

#define OPEN(name)                                              \
    int name(const char *path, int flags, ...)                  \
    {                                                           \
        va_list rest;                                           \
        va_start(rest, flags);                                  \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                           \
        if (WRITES(flags) && path_fails(path, 1))                  \
            return -1;                                          \
        return NEXT(int, #name, const char *, int, ...)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define ON_DESCRIPTOR(type, name, parameters, arguments, types) \
    type name parameters                                        \
    {                                                           \
        if (descriptor_fails(fd))                               \
            return -1;                                          \
        return ((type(*) types)dlsym(RTLD_NEXT, #name))arguments; \
    }
ON_DESCRIPTOR(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size),
              (int, const void *, size_t))
ON_DESCRIPTOR(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count),
              (int, const struct iovec *, int))
ON_DESCRIPTOR(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at),
              (fd, data, size, at), (int, const void *, size_t, off64_t))
ON_DESCRIPTOR(ssize_t, sendfile64, (int fd, int from, off64_t *at, size_t size),
              (fd, from, at, size), (int, int, off64_t *, size_t))
ON_DESCRIPTOR(int, fsync, (int fd), (fd), (int))
ON_DESCRIPTOR(int, fdatasync, (int fd), (fd), (int))
ON_DESCRIPTOR(int, ftruncate64, (int fd, off64_t size), (fd, size), (int, off64_t))

int rename(const char *from, const char *to)
{
    return path_fails(to, 0) ? -1 : NEXT(int, "rename", const char *, const char *)(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    /* One that is there writes nothing. */
    return access(path, F_OK) != 0 && path_fails(path, 1) ? -1 : NEXT(int, "mkdir", const char *, mode_t)(path, mode);
}
