/* Stands in for NXP's libethosu_delegate.so, so that the real LiteRT goes all the way through our calls.
 *
 * It takes the operator "ethos-u" as that delegate does. It copies the inputs into one arena, at the offsets that Vela
 * wrote into the file, and copies the outputs from there. In the place of the NPU there is Python: the module
 * `helpers.ethosu_npu` answers in the arena.
 *
 * NPU_FAULT says what goes wrong: create, prepare, ignore, invoke, crash.
 * The structures are those of TFLite's public C API (tflite/core/c/common.h), as far as they are read here.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, ERROR = 1, OPERANDS = 4 }; /* the operator's first inputs: commands, weights, two scratch areas */

typedef struct {
    int size, data[];
} integers;

typedef struct {
    int type;
    void *data;
    integers *dims;
    float scale;
    int32_t zero_point;
    int allocation_type;
    size_t bytes;
    const void *allocation;
    const char *name;
    void *delegate;
    int buffer_handle;
    char data_is_stale, is_variable;
    struct {
        int type;
        void *params;
    } quantization;
    void *sparsity;
    const integers *dims_signature;
} tensor;

typedef struct {
    integers *inputs, *outputs, *intermediates, *temporaries;
    void *user_data, *builtin_data;
} node;

struct context;
struct delegate;

typedef struct {
    struct delegate *delegate;
    integers *nodes, *inputs, *outputs;
} parameters;

typedef struct {
    void *(*init)(struct context *, const char *, size_t);
    void (*free)(struct context *, void *);
    int (*prepare)(struct context *, node *);
    int (*invoke)(struct context *, node *);
    void *profiling_string;
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *external, *async_kernel;
    uint64_t inplace_operator;
} registration;

typedef struct delegate {
    void *data;
    int (*prepare)(struct context *, struct delegate *);
    void *copy_from, *copy_to, *free_handle;
    int64_t flags;
    void *opaque;
} delegate;

typedef struct context {
    size_t tensors_size;
    int (*plan)(struct context *, integers **);
    tensor *tensors;
    void *impl, *resize;
    void (*report)(struct context *, const char *, ...);
    void *add_tensors;
    int (*node_of)(struct context *, int, node **, registration **);
    int (*replace)(struct context *, registration, const integers *, delegate *);
    int threads;
    void *get_external, *set_external;
    char relaxed;
    void *profiler, *persistent, *for_eval, *request, *scratch, *resize_explicit, *preview, *get_tensor, *eval_tensor;
    int (*metadata)(const struct context *, const char *, const char **, size_t *);
} context;

int PyGILState_Ensure(void);
void PyGILState_Release(int);
int PyRun_SimpleString(const char *);

typedef struct {
    integers *inputs, *outputs; /* the operator's own order: that of the delegate's node may be another */
    const int32_t *offsets;
    char *arena;
} job;

static char device[256];

static int fault(const char *name)
{
    const char *asked = getenv("NPU_FAULT");
    return asked && !strcmp(asked, name);
}

static void *init_node(context *c, const char *buffer, size_t length)
{
    const parameters *p = (const void *)buffer;
    node *n;
    registration *r;
    job *j = calloc(1, sizeof *j);
    (void)length;
    c->node_of(c, p->nodes->data[0], &n, &r);
    j->inputs = n->inputs;
    j->outputs = n->outputs;
    return j;
}

static void free_node(context *c, void *data)
{
    job *j = data;
    (void)c;
    free(j->arena);
    free(j);
}

static int prepare_node(context *c, node *n)
{
    job *j = n->user_data;
    const char *buffer;
    size_t bytes, size = 0;
    if (c->metadata(c, "OfflineMemoryAllocation", &buffer, &bytes) != OK)
        return ERROR;
    j->offsets = (const int32_t *)buffer + 3;
    for (int i = OPERANDS - 2; i < j->inputs->size; i++)
        size += (c->tensors[j->inputs->data[i]].bytes + 15) / 16 * 16;
    for (int i = 0; i < j->outputs->size; i++)
        size += (c->tensors[j->outputs->data[i]].bytes + 15) / 16 * 16;
    free(j->arena);
    j->arena = malloc(size);
    for (int i = OPERANDS - 2; i < OPERANDS; i++)
        c->tensors[j->inputs->data[i]].data = j->arena; /* LiteRT wants a pointer */
    return OK;
}

/* Appends ('name',address) of each tensor's place in the arena. */
static int add(char *text, int at, size_t room, context *c, const job *j, const integers *from, int first)
{
    for (int i = first; i < from->size; i++) {
        char *place = j->arena + j->offsets[from->data[i]];
        at += snprintf(text + at, room - (size_t)at, "('%s',%llu),", c->tensors[from->data[i]].name,
                       (unsigned long long)(uintptr_t)place);
    }
    return at;
}

static int invoke_node(context *c, node *n)
{
    job *j = n->user_data;
    char text[8192];
    if (fault("crash"))
        abort();
    if (fault("invoke")) {
        c->report(c, "Ethos_u inference failed\n");
        return ERROR;
    }
    for (int i = OPERANDS; i < j->inputs->size; i++) {
        tensor *t = &c->tensors[j->inputs->data[i]];
        memcpy(j->arena + j->offsets[j->inputs->data[i]], t->data, t->bytes);
    }
    int at = snprintf(text, sizeof text, "import helpers.ethosu_npu as npu; npu.answer([");
    at = add(text, at, sizeof text, c, j, j->inputs, OPERANDS);
    at += snprintf(text + at, sizeof text - (size_t)at, "],[");
    at = add(text, at, sizeof text, c, j, j->outputs, 0);
    snprintf(text + at, sizeof text - (size_t)at, "])");
    int lock = PyGILState_Ensure();
    int failed = PyRun_SimpleString(text);
    PyGILState_Release(lock);
    for (int i = 0; i < j->outputs->size; i++) {
        tensor *t = &c->tensors[j->outputs->data[i]];
        memcpy(t->data, j->arena + j->offsets[j->outputs->data[i]], t->bytes);
    }
    return failed ? ERROR : OK;
}

static int prepare(context *c, delegate *d)
{
    integers *plan;
    node *n;
    registration *r;
    if (fault("prepare")) {
        c->report(c, "Failed to create ethos_u driver.\n");
        return ERROR;
    }
    if (fault("ignore"))
        return OK;
    FILE *file = fopen(device, "rb");
    if (!file || c->plan(c, &plan) != OK || plan->size != 1 || c->node_of(c, plan->data[0], &n, &r) != OK)
        return ERROR;
    fclose(file);
    if (!r->custom_name || strcmp(r->custom_name, "ethos-u"))
        return ERROR;
    integers *nodes = malloc(sizeof *nodes + sizeof(int));
    nodes->size = 1;
    nodes->data[0] = plan->data[0];
    registration own = {.init = init_node, .free = free_node, .prepare = prepare_node, .invoke = invoke_node,
                        .custom_name = "EthosuDelegate", .version = 1};
    int status = c->replace(c, own, nodes, d);
    free(nodes);
    return status;
}

delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *))
{
    if (fault("create")) {
        report("no NPU here\nat all");
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        if (!strcmp(keys[i], "device_name"))
            snprintf(device, sizeof device, "%s", values[i]);
    delegate *d = calloc(1, sizeof *d);
    d->prepare = prepare;
    d->flags = 1; /* dynamic tensors, as NXP's */
    return d;
}

void tflite_plugin_destroy_delegate(delegate *d) { free(d); }
