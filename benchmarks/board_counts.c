/* Counts what a program executes under QEMU (plugin interface, version 1): instructions, loads,
 * stores, branches, bytes, and the misses of caches. Not timed: an emulator has no time of a board.
 *
 *     cc -O2 -shared -fPIC board_counts.c -o libcounts.so
 *     qemu-aarch64 -plugin ./libcounts.so,out=FILE,cache=NAME:64:65536:4:524288:8 program
 *
 * cache=NAME:LINE:L1:WAYS:L2:WAYS   sizes in bytes; the data goes through L1 and then L2. L2 0: there
 *                                   is none. May be given up to 8 times: all are filled side by side
 * all=on                            counts from the start on; else the program marks its part
 * blocks=FILE                       also writes a line for each block of code that counted: its
 *                                   address, its instructions, and how often it ran
 *
 * The program marks by system calls that no kernel has:
 *     syscall(MARK, 1, start, end)  only code in this range counts; several ranges add up
 *     syscall(MARK, 2) and (MARK, 3)    begin, and end
 * At its end the plugin writes one JSON object to FILE. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of QEMU's interface. */
typedef uint64_t id_type;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
#define EXPORT __attribute__((visibility("default")))
enum { NO_REGISTERS = 0, READ_AND_WRITE = 3 };
void qemu_plugin_register_vcpu_tb_trans_cb(id_type, void (*)(id_type, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int,
                                          void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *,
                                      void (*)(unsigned, uint32_t, uint64_t, void *), int, int,
                                      void *);
void qemu_plugin_register_vcpu_syscall_cb(id_type, void (*)(id_type, unsigned, int64_t, uint64_t,
                                                            uint64_t, uint64_t, uint64_t, uint64_t,
                                                            uint64_t, uint64_t, uint64_t));
void qemu_plugin_register_atexit_cb(id_type, void (*)(id_type, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *);
bool qemu_plugin_mem_is_store(uint32_t);
unsigned qemu_plugin_mem_size_shift(uint32_t);

EXPORT int qemu_plugin_version = 1;

enum { MARK = 0x5e1, RANGES = 16, CACHES = 8 };

typedef struct {
    uint64_t *tag; /* (sets, ways), the latest used first; 0: empty */
    uint64_t sets, misses;
    unsigned ways;
} level;

typedef struct {
    char name[32];
    uint64_t line;
    level l1, l2;
} cache;

typedef struct block {
    uint64_t address, instructions, run, runs; /* run: its number, of the latest one counted */
    bool branch;
    struct block *next;
} block; /* of instructions, that QEMU translates at once and runs to its end */

typedef struct {
    block *in;
    uint64_t loaded, stored; /* the run of the block in which it did so last */
} access;

static struct {
    uint64_t instructions, loads, stores, branches, bytes_loaded, bytes_stored, blocks;
} count;
static struct {
    uint64_t start, end;
} range[RANGES];
static cache caches[CACHES];
static unsigned ranges, cache_count;
static bool counting;
static char out[512], blocks_out[512];
static block *blocks;

static bool counted(uint64_t address) {
    if (!counting) return false;
    for (unsigned k = 0; k < ranges; k++)
        if (address >= range[k].start && address < range[k].end) return true;
    return !ranges;
}

/* Whether the line was there. It is the latest used one now. */
static bool touch(level *l, uint64_t line) {
    uint64_t *tag = l->tag + line % l->sets * l->ways;
    unsigned k = 0;
    while (k < l->ways && tag[k] != line + 1) k++;
    const bool hit = k < l->ways;
    if (!hit) l->misses++, k = l->ways - 1;
    memmove(tag + 1, tag, k * sizeof *tag);
    tag[0] = line + 1;
    return hit;
}

static void on_block(unsigned cpu, void *data) {
    block *b = data;
    (void)cpu;
    if (!counted(b->address)) return;
    b->run = ++count.blocks;
    b->runs++;
    count.instructions += b->instructions;
    count.branches += b->branch;
}

static void on_access(unsigned cpu, uint32_t info, uint64_t address, void *data) {
    access *a = data;
    const uint64_t bytes = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    (void)cpu;
    if (!counted(a->in->address)) return;
    /* QEMU shows a load of two registers as several accesses; it is one instruction. */
    if (qemu_plugin_mem_is_store(info)) {
        count.bytes_stored += bytes;
        count.stores += a->stored != a->in->run;
        a->stored = a->in->run;
    } else {
        count.bytes_loaded += bytes;
        count.loads += a->loaded != a->in->run;
        a->loaded = a->in->run;
    }
    for (cache *c = caches; c < caches + cache_count; c++)
        for (uint64_t line = address / c->line; line <= (address + bytes - 1) / c->line; line++)
            if (!touch(&c->l1, line) && c->l2.ways) touch(&c->l2, line);
}

/* By the mnemonic of a block's last instruction. */
static bool is_branch(const struct qemu_plugin_insn *instruction) {
    static const char *const starts[] = {"cbz",  "cbnz", "tbz", "tbnz", "ret",
                                         "tbb ", "tbh ", NULL};
    static const char *const others[] = {"bic", "bfi", "bfc", "bfm", "bfx", "bsl",
                                         "bif", "bit", "brk", "bkp", NULL};
    char *text = qemu_plugin_insn_disas(instruction);
    bool found = text[0] == 'b';
    for (const char *const *o = others; *o; o++) found = found && strncmp(text, *o, 3);
    for (const char *const *s = starts; *s; s++) found = found || !strncmp(text, *s, strlen(*s));
    const bool to_pc = !strncmp(text, "pop", 3) || !strncmp(text, "ldm", 3);
    found = found || (to_pc && strstr(text, "pc}")) ||
            ((!strncmp(text, "ldr", 3) || !strncmp(text, "mov", 3)) && strstr(text, " pc, "));
    free(text);
    return found;
}

static void on_translation(id_type id, struct qemu_plugin_tb *tb) {
    const size_t size = qemu_plugin_tb_n_insns(tb);
    block *b = calloc(1, sizeof *b);
    (void)id;
    if (!b) abort();
    b->address = qemu_plugin_tb_vaddr(tb);
    b->instructions = size;
    b->branch = is_branch(qemu_plugin_tb_get_insn(tb, size - 1));
    b->next = blocks;
    blocks = b;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, b);
    for (size_t k = 0; k < size; k++) {
        access *a = calloc(1, sizeof *a);
        if (!a) abort();
        a->in = b;
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, k), on_access, NO_REGISTERS,
                                         READ_AND_WRITE, a);
    }
}

static void begin(void) {
    memset(&count, 0, sizeof count);
    for (block *b = blocks; b; b = b->next) b->runs = b->run = 0;
    for (cache *c = caches; c < caches + cache_count; c++) c->l1.misses = c->l2.misses = 0;
    counting = true;
}

static void on_syscall(id_type id, unsigned cpu, int64_t number, uint64_t what, uint64_t start,
                       uint64_t end, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7,
                       uint64_t a8) {
    (void)id, (void)cpu, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != MARK) return;
    if (what == 1 && ranges < RANGES) range[ranges].start = start, range[ranges++].end = end;
    if (what == 2) begin();
    if (what == 3) counting = false;
}

static void at_end(id_type id, void *data) {
    FILE *file = fopen(out, "w");
    (void)id, (void)data;
    if (!file) return;
    fprintf(file, "{\"instructions\": %" PRIu64 ", \"loads\": %" PRIu64 ", \"stores\": %" PRIu64,
            count.instructions, count.loads, count.stores);
    fprintf(file, ", \"branches\": %" PRIu64 ", \"bytes_loaded\": %" PRIu64, count.branches,
            count.bytes_loaded);
    fprintf(file, ", \"bytes_stored\": %" PRIu64 ", \"misses\": {", count.bytes_stored);
    for (const cache *c = caches; c < caches + cache_count; c++)
        fprintf(file, "%s\"%s\": [%" PRIu64 ", %" PRIu64 "]", c == caches ? "" : ", ", c->name,
                c->l1.misses, c->l2.misses);
    fprintf(file, "}}\n");
    fclose(file);
    file = *blocks_out ? fopen(blocks_out, "w") : NULL;
    if (!file) return;
    for (const block *b = blocks; b; b = b->next)
        if (b->runs)
            fprintf(file, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n", b->address, b->instructions,
                    b->runs);
    fclose(file);
}

static level make_level(unsigned long bytes, unsigned ways, unsigned long line) {
    level l = {0};
    if (!bytes) return l;
    l.ways = ways;
    l.sets = bytes / line / ways;
    l.tag = calloc(l.sets * ways, sizeof *l.tag);
    if (!l.tag) abort();
    return l;
}

static int add_cache(const char *text) {
    unsigned long line, l1, l2;
    unsigned ways1, ways2;
    if (cache_count == CACHES) return -1;
    cache *c = caches + cache_count++;
    if (sscanf(text, "%31[^:]:%lu:%lu:%u:%lu:%u", c->name, &line, &l1, &ways1, &l2, &ways2) != 6)
        return -1;
    if (!line || !ways1 || l1 < line * ways1 || (l2 && (!ways2 || l2 < line * ways2))) return -1;
    c->line = line;
    c->l1 = make_level(l1, ways1, line);
    c->l2 = make_level(l2, ways2, line);
    return 0;
}

EXPORT int qemu_plugin_install(id_type id, const void *info, int argc, char **argv);
int qemu_plugin_install(id_type id, const void *info, int argc, char **argv) {
    (void)info;
    for (int k = 0; k < argc; k++) {
        if (!strncmp(argv[k], "out=", 4)) snprintf(out, sizeof out, "%s", argv[k] + 4);
        else if (!strncmp(argv[k], "blocks=", 7))
            snprintf(blocks_out, sizeof blocks_out, "%s", argv[k] + 7);
        else if (!strcmp(argv[k], "all=on")) counting = true;
        else if (strncmp(argv[k], "cache=", 6) || add_cache(argv[k] + 6)) {
            fprintf(stderr, "board_counts: bad argument %s\n", argv[k]);
            return -1;
        }
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_atexit_cb(id, at_end, NULL);
    return 0;
}
