/* Stands in for Rockchip's librknnrt.so on the emulated board, so that the real rknn-toolkit-lite2 goes all the way through our calls.
 *
 * It is no LSTM: with inputs x, s0, s1, ... it gives y[j] = x[j % FEATURES] + sum of (k+1) sk[j] and sk'[i] = sk[i] / 2 + x[i % FEATURES] + k,
 * so that an input, a state or an output in the wrong place shows. A run with an x[0] over 1e6 fails and leaves
 * the outputs as they were.
 * FEATURES, HIDDEN, STATES, OUTPUTS and DIMS (of the inputs and states: 4, or 3 as the fused operator has) are given to the compiler. The names and structures are those of Rockchip's C API, as far as
 * rknn-toolkit-lite2 calls it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_OUT_NUM = 0, INPUT_ATTR = 1, OUTPUT_ATTR = 2, SDK_VERSION = 5 };
enum { NCHW = 0, NHWC = 1, UNDEFINED = 3, FLOAT32 = 0, FLOAT16 = 1, FAILED = -1 };

typedef struct {
    uint32_t index, n_dims, dims[16];
    char name[256];
    uint32_t n_elems, size;
    int fmt, type, qnt_type;
    int8_t fl;
    int32_t zp;
    float scale;
    uint32_t w_stride, size_with_stride;
    uint8_t pass_through;
    uint32_t h_stride;
} attribute;

typedef struct {
    uint32_t index;
    void *buf;
    uint32_t size;
    uint8_t pass_through;
    int type, fmt;
} input;

typedef struct {
    uint8_t want_float, is_prealloc;
    uint32_t index;
    void *buf;
    uint32_t size;
} output;

static float x[FEATURES], s[STATES][HIDDEN], y[OUTPUTS];

static uint32_t length(int is_input, uint32_t index) { return index ? HIDDEN : is_input ? FEATURES : OUTPUTS; }

int rknn_init(uint64_t *context, const char *model, uint32_t size, uint32_t flag, void *extend)
{
    (void)flag, (void)extend;
    *context = 1;
    return size > 64 && !memcmp(model, "RKNN", 4) ? 0 : FAILED;
}

int rknn_destroy(uint64_t context)
{
    (void)context;
    fprintf(stderr, "librknnrt: destroyed\n");
    return 0;
}

int rknn_query(uint64_t context, int command, void *answer, uint32_t size)
{
    (void)context, (void)size;
    if (command == IN_OUT_NUM) {
        uint32_t *count = answer;
        count[0] = count[1] = 1 + STATES;
        return 0;
    }
    if (command == INPUT_ATTR || command == OUTPUT_ATTR) {
        attribute *a = answer;
        uint32_t index = a->index, n = length(command == INPUT_ATTR, index);
        *a = (attribute){.index = index, .n_dims = 4, .dims = {1, 1, 1, 1}, .n_elems = n, .size = 2 * n, .type = FLOAT16, .scale = 1};
        a->fmt = command == INPUT_ATTR ? NHWC : NCHW; /* as the vendor's library has it */
        a->dims[command == INPUT_ATTR ? 3 : 1] = n;
        if (DIMS == 3 && (command == INPUT_ATTR || index)) { /* the fused operator's own tensors */
            a->n_dims = 3, a->fmt = UNDEFINED;
            a->dims[0] = a->dims[1] = 1, a->dims[2] = n;
        }
        return 0;
    }
    if (command == SDK_VERSION) {
        const char *api = getenv("TEST_API_VERSION"), *driver = getenv("TEST_DRIVER_VERSION");
        snprintf(answer, 256, "%s (test)", api ? api : "2.5.0");
        snprintf((char *)answer + 256, 256, "%s", driver ? driver : "0.9.8");
        return 0;
    }
    return FAILED;
}

int rknn_inputs_set(uint64_t context, uint32_t count, const input *inputs)
{
    (void)context;
    if (count != 1 + STATES)
        return FAILED;
    for (uint32_t k = 0; k < count; k++) {
        const input *in = &inputs[k];
        if (in->index >= count || in->type != FLOAT32 || (DIMS == 4 && in->fmt != NHWC) || in->pass_through || in->size != 4 * length(1, in->index))
            return FAILED;
        memcpy(in->index ? s[in->index - 1] : x, in->buf, in->size);
    }
    return 0;
}

int rknn_run(uint64_t context, void *extend)
{
    (void)context, (void)extend;
    if (x[0] > 1e6f)
        return FAILED;
    for (uint32_t j = 0; j < OUTPUTS; j++) {
        y[j] = x[j % FEATURES];
        for (uint32_t k = 0; k < STATES; k++)
            y[j] += (float)(k + 1) * s[k][j];
    }
    for (uint32_t k = 0; k < STATES; k++)
        for (uint32_t i = 0; i < HIDDEN; i++)
            s[k][i] = s[k][i] / 2 + x[i % FEATURES] + (float)k;
    return 0;
}

int rknn_outputs_get(uint64_t context, uint32_t count, output *outputs, void *extend)
{
    (void)context, (void)extend;
    for (uint32_t k = 0; k < count; k++) {
        output *out = &outputs[k];
        if (!out->want_float || out->is_prealloc)
            return FAILED;
        out->size = 4 * length(0, out->index);
        out->buf = malloc(out->size);
        memcpy(out->buf, out->index ? s[out->index - 1] : y, out->size);
    }
    return 0;
}

int rknn_outputs_release(uint64_t context, uint32_t count, output *outputs)
{
    (void)context;
    for (uint32_t k = 0; k < count; k++)
        free(outputs[k].buf);
    return 0;
}

/* Looked up when the library is loaded; not called for our models. */
int rknn_set_core_mask(uint64_t context, int mask)
{
    (void)context, (void)mask;
    return FAILED;
}

int rknn_set_input_shapes(uint64_t context, uint32_t count, void *shapes)
{
    (void)context, (void)count, (void)shapes;
    return FAILED;
}
