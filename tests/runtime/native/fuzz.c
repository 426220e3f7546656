/* libFuzzer: nothing that a caller hands over, a model block with wrong bytes in it included, may lead out of its memory or into undefined
 * behaviour, and what is refused changes nothing.
 *
 * The input: bytes for the sizes and choices; then a model, either made here from weights of these bytes and then altered at some places, or these
 * bytes themselves behind a header that is nearly right; then what is streamed through it.
 */
#define _POSIX_C_SOURCE 200112L
#include "edge_lstm.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input;
static size_t left;

/* The next bytes of the input; zeros past its end. */
static void take(void *to, size_t bytes) {
    const size_t given = bytes < left ? bytes : left;
    memset(to, 0, bytes);
    memcpy(to, input, given);
    input += given, left -= given;
}

static uint32_t byte(void) {
    uint8_t value;
    take(&value, 1);
    return value;
}

/* 1 to most, or now and then anything. */
static uint32_t a_size(uint32_t most) {
    const uint32_t value = byte();
    uint32_t raw;
    if (value < 250) return 1 + value % most;
    take(&raw, sizeof raw);
    return raw;
}

/* Memory of exactly this size, so that the sanitiser sees one byte too many. */
static void *memory(size_t bytes) {
    void *block;
    if (posix_memalign(&block, EL_ALIGNMENT, bytes ? bytes : 1)) abort();
    return block;
}

/* Mostly tame values, so that the run goes on; raw bits too. */
static float *values(size_t count, int raw) {
    float *const to = memory(count * sizeof(float));
    if (raw) take(to, count * sizeof(float));
    else
        for (size_t k = 0; k < count; k++) to[k] = (float)((int32_t)byte() - 128) / 32.0f;
    return to;
}

#define MUST(condition) ((condition) ? (void)0 : abort())

static const char *a_kernel(void) {
    const uint32_t which = byte() % 8;
    return which == 7 ? "none such" : which >= 4 ? NULL : el_kernel_name(which); /* NULL past the last one: the fastest */
}

static el_model *made_model(const el_sizes *z, size_t *bytes) {
    const char *const kernel = a_kernel();
    if (el_model_bytes(z, kernel, bytes) != EL_OK || *bytes > 1 << 18) return NULL;
    size_t count = (z->hidden + (size_t)1) * z->outputs;
    for (uint32_t k = 0; k < z->layers; k++) count += 4 * (size_t)z->hidden * ((k ? z->hidden : z->inputs) + z->hidden + 1);
    const uint32_t way = byte();
    float *const weights = values(count, way & 1), *const steps = way & 2 ? values(8 * (size_t)z->hidden * z->layers, way & 4) : NULL;
    el_model *model = memory(*bytes);
    memset(model, 0xa5, *bytes);
    if (el_model_init(model, *bytes, z, kernel, weights, steps) != EL_OK) {
        for (size_t k = 0; k < *bytes; k++) MUST(((uint8_t *)model)[k] == 0xa5);
        for (size_t k = 0; k < count; k++) weights[k] = 0.25f;
        MUST(el_model_init(model, *bytes, z, kernel, weights, NULL) == EL_OK);
    }
    for (uint32_t changes = byte() % 8; changes; changes--) {
        uint32_t at;
        take(&at, sizeof at);
        ((uint8_t *)model)[at & 0x80000000u ? at % 64 : at % *bytes] ^= (uint8_t)byte();
    }
    free(weights), free(steps);
    return model;
}

static el_model *raw_model(const el_sizes *z, size_t *bytes) {
    static const uint32_t start[] = {0x4d4c4c45u, 1};
    const uint32_t lanes = 1u << byte() % 6;
    *bytes = left < 64 ? 64 : left;
    uint32_t *const model = memory(*bytes);
    take(model, *bytes);
    if (model[0] % 8)
        memcpy(model, start, sizeof start), model[2] = lanes, memcpy(model + 3, z, sizeof *z), model[8] = (uint32_t)*bytes / 64 * 64;
    return (el_model *)(void *)model;
}

static void stream(const el_model *model, el_state *state, const el_sizes *z, uint32_t streams) {
    const size_t in = (size_t)streams * z->inputs, out = (size_t)streams * z->outputs,
                 values_of_state = (size_t)streams * z->layers * z->hidden;
    float *const y = memory(3 * out * sizeof(float));
    memset(y, 0xa5, 3 * out * sizeof(float));
    for (uint32_t turns = 1 + byte() % 6; turns; turns--) {
        const uint32_t choice = byte(), stream_index = choice & 8 ? EL_ALL : a_size(4) - 1, raw = choice & 16;
        const size_t some = stream_index == EL_ALL ? values_of_state : values_of_state / streams;
        if (choice % 8 < 3) {
            const size_t steps = choice % 8 == 0 ? 1 : choice % 8;
            float *const x = values(steps * in, raw != 0);
            if (steps == 1) {
                uint8_t before[4];
                memcpy(before, y, 4);
                if (el_step(model, state, x, y) != EL_OK) MUST(!memcmp(before, y, 4));
            } else (void)el_run(model, state, x, steps, y);
            free(x);
        } else if (choice % 8 == 3) (void)el_reset(model, state, stream_index);
        else if (choice % 8 < 6) {
            float *const h = values(some, raw != 0), *const c = values(some, choice & 32);
            (void)(choice % 8 == 4 ? el_set_state(model, state, stream_index, h, c) : el_get_state(model, state, stream_index, h, c));
            free(h), free(c);
        } else {
            const uint32_t missing = byte() % 4, channels = missing == EL_MASK ? z->inputs / 2 : z->inputs, n = channels ? channels : 1;
            double *const numbers = memory((2 * streams + 2) * n * sizeof(double)), *const scale = memory(2 * z->outputs * sizeof(double));
            uint32_t *const residual = memory(z->outputs * sizeof(uint32_t));
            take(scale, 2 * z->outputs * sizeof(double));
            for (uint32_t k = 0; k < z->outputs; k++) residual[k] = a_size(n) - 1;
            if (raw) take(numbers, (2 * streams + 2) * n * sizeof(double));
            else
                for (size_t k = 0; k < (2 * (size_t)streams + 2) * n; k++) numbers[k] = 1.0 + byte();
            const el_processing p = {channels,
                                     missing,
                                     numbers,
                                     numbers + n,
                                     choice & 32 ? scale : NULL,
                                     choice & 64 ? scale + z->outputs : NULL,
                                     choice & 128 ? residual : NULL};
            (void)el_answer(&p, model, state, numbers + 2 * n, numbers + (2 + streams) * n, y);
            free(numbers), free(scale), free(residual);
        }
    }
    free(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input = data, left = size;
    const uint32_t way = byte();
    const el_sizes wanted = {a_size(20), a_size(20), a_size(3), a_size(9), byte() % 2};
    const uint32_t streams = a_size(9);
    size_t bytes = 0, state_bytes = 0;
    el_model *const model = way % 4 ? made_model(&wanted, &bytes) : raw_model(&wanted, &bytes);
    if (!model) return 0;
    el_sizes z;
    const el_status status = el_model_sizes(model, bytes, &z);
    if (el_state_bytes(model, streams, &state_bytes) == EL_OK && status == EL_OK && state_bytes <= 1 << 20) {
        el_state *const state = memory(state_bytes);
        const char *const kernel = a_kernel();
        if (el_state_init(state, state_bytes, model, kernel, streams) == EL_OK) stream(model, state, &z, streams);
        free(state);
    }
    free(model);
    return 0;
}
