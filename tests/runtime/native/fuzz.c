/* libFuzzer: nothing that a caller hands over, a model block with wrong bytes in it included, may
 * lead out of its memory or into undefined behaviour, and what is refused changes nothing.
 *
 * The input: bytes for the network and choices; then a model, either made here from weights of
 * these bytes and then altered at some places, or these bytes themselves behind a header that is
 * nearly right, mostly with the fingerprint that goes with it; then what is streamed through it.
 */
#define _POSIX_C_SOURCE 200112L
#include "edge_lstm.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many types there are in the list of layers. */
#define EL_LAYER(type, number, file) +1
enum {
    TYPES = 0
#include "layers.h"
};
#undef EL_LAYER

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
    if (which == 7) return "none such";
    return which < 4 ? el_kernel_name(which) : NULL; /* NULL past the last one too: the fastest */
}

/* The network under test: mostly right, now and then anything. */
static el_layer layers[EL_MAX_LAYERS];

/* Mostly an option that the type has, and the units that go with what it reads. */
static void fit(const el_network *n, el_layer *l) {
    const uint32_t way = byte();
    uint32_t inputs = 0, first = 0;
    for (uint32_t j = 0; j < l->source_count && j < EL_MAX_SOURCES; j++) {
        const uint32_t source = l->source[j];
        const int known = source && source <= EL_MAX_LAYERS;
        const uint32_t size = known ? layers[source - 1].units : n->inputs;
        inputs += size, first = j ? first : size;
    }
    if (way % 16 == 0) return;
    if (l->type == EL_CAUSAL_CONV) l->option = EL_CONV(1 + byte() % 5, 1 + byte() % 5, byte() % 5);
    if (l->type == EL_COMBINE)
        l->option = way % 4, l->units = l->option == EL_CONCAT ? inputs : first;
    if (l->type == EL_LAYER_NORM) l->option = 0x3727c5acu;
    if (l->type == EL_PRELU || l->type == EL_SOFTMAX) l->option = 0;
    if (l->type == EL_SCALE) l->option = way % 5;
    if (l->type == EL_SCALE || l->type == EL_PRELU || l->type == EL_SOFTMAX ||
        l->type == EL_LAYER_NORM)
        l->units = inputs;
}

static el_network a_network(void) {
    /* One value in, now and then: it may name a row of a table. */
    const el_network n = {a_size(byte() % 4 ? 20 : 1), a_size(5), byte() % 3, layers};
    for (uint32_t k = 0; k < n.layers && k < EL_MAX_LAYERS; k++) {
        el_layer *const l = &layers[k];
        l->type = a_size(TYPES) - 1, l->units = a_size(20), l->option = a_size(2) - 1;
        l->source_count = byte() % 4 ? 1 : a_size(EL_MAX_SOURCES);
        for (uint32_t j = 0; j < EL_MAX_SOURCES; j++)
            l->source[j] = byte() % 4 ? k : a_size(k + 1) - 1;
        fit(&n, l);
    }
    return n;
}

/* Makes the fingerprint right again, of as much as is there. */
static void mend(void *model, size_t bytes) {
    uint32_t *const words = model;
    const size_t end = 16 + 8 * (size_t)(words[7] < 100 ? words[7] : 100);
    uint64_t hash = 14695981039346656037u;
    for (size_t k = 4; k < end && k < bytes / 4; k++) hash = (hash ^ words[k]) * 1099511628211u;
    memcpy(words + 2, &hash, sizeof hash);
}

static el_model *made_model(const el_network *n, size_t *bytes) {
    const char *const kernel = a_kernel();
    size_t count, columns;
    if (el_model_bytes(n, kernel, bytes) != EL_OK || *bytes > 1 << 18) return NULL;
    MUST(el_weight_values(n, &count, &columns) == EL_OK);
    const uint32_t way = byte();
    float *const weights = values(count, way & 1);
    float *const steps = way & 2 ? values(columns, way & 4) : NULL;
    el_model *model = memory(*bytes);
    memset(model, 0xa5, *bytes);
    if (el_model_init(model, *bytes, n, kernel, weights, steps) != EL_OK) {
        for (size_t k = 0; k < *bytes; k++) MUST(((uint8_t *)model)[k] == 0xa5);
        for (size_t k = 0; k < count; k++) weights[k] = 0.25f;
        MUST(el_model_init(model, *bytes, n, kernel, weights, NULL) == EL_OK);
    }
    for (uint32_t changes = byte() % 8; changes; changes--) {
        uint32_t at;
        take(&at, sizeof at);
        ((uint8_t *)model)[at & 0x80000000u ? at % 256 % *bytes : at % *bytes] ^= (uint8_t)byte();
    }
    if (way & 8) mend(model, *bytes);
    free(weights), free(steps);
    return model;
}

static el_model *raw_model(const el_network *n, size_t *bytes) {
    const uint32_t lanes = 1u << byte() % 6, right = byte() % 8;
    *bytes = left < 64 ? 64 : left;
    uint32_t *const model = memory(*bytes);
    take(model, *bytes);
    if (right) {
        const uint32_t header[] = {(uint32_t)*bytes / 64 * 64, lanes, n->inputs, n->layers,
                                   n->precision};
        const size_t table = sizeof(el_layer) * (n->layers < 5 ? n->layers : 5);
        model[0] = 0x4d4c4c45u, model[1] = 2;
        memcpy(model + 4, header, sizeof header);
        memcpy(model + 16, layers, table < *bytes - 64 ? table : *bytes - 64);
        if (right > 1) mend(model, *bytes);
    }
    return (el_model *)(void *)model;
}

static void stream(const el_model *model, el_state *state, const el_network *n, uint32_t streams) {
    const uint32_t inputs = n->inputs, outputs = n->layer[n->layers - 1].units;
    const size_t in = (size_t)streams * inputs, out = (size_t)streams * outputs;
    size_t count;
    MUST(el_state_values(model, &count) == EL_OK);
    float *const y = memory(3 * out * sizeof(float));
    memset(y, 0xa5, 3 * out * sizeof(float));
    for (uint32_t turns = 1 + byte() % 6; turns; turns--) {
        const uint32_t choice = byte(), stream_index = choice & 8 ? EL_ALL : a_size(4) - 1,
                       raw = choice & 16;
        const size_t some = stream_index == EL_ALL ? count * streams : count;
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
            float *const all = values(some, raw != 0);
            (void)(choice % 8 == 4 ? el_set_state(model, state, stream_index, all)
                                   : el_get_state(model, state, stream_index, all));
            free(all);
        } else {
            const uint32_t missing = byte() % 4,
                           channels = missing == EL_MASK ? inputs / 2 : inputs,
                           n = channels ? channels : 1;
            double *const numbers = memory((2 * streams + 2) * n * sizeof(double)),
                          *const scale = memory(2 * outputs * sizeof(double));
            uint32_t *const residual = memory(outputs * sizeof(uint32_t));
            take(scale, 2 * outputs * sizeof(double));
            for (uint32_t k = 0; k < outputs; k++) residual[k] = a_size(n) - 1;
            if (raw) take(numbers, (2 * streams + 2) * n * sizeof(double));
            else
                for (size_t k = 0; k < (2 * (size_t)streams + 2) * n; k++)
                    numbers[k] = 1.0 + byte();
            const el_processing p = {channels,
                                     missing,
                                     numbers,
                                     numbers + n,
                                     choice & 32 ? scale : NULL,
                                     choice & 64 ? scale + outputs : NULL,
                                     choice & 128 ? residual : NULL};
            const double *const sample = numbers + 2 * n;
            double *const last = numbers + (2 + streams) * n;
            (void)el_answer(&p, model, state, sample, last, y);
            const el_bound bound = {model, state, NULL, &p, last};
            size_t done;
            (void)el_answer_rows(&bound, sample, 1, y, &done);
            MUST(done <= 1);
            free(numbers), free(scale), free(residual);
        }
    }
    free(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input = data, left = size;
    const uint32_t way = byte();
    const el_network wanted = a_network();
    const uint32_t streams = a_size(9);
    size_t bytes = 0, state_bytes = 0;
    el_model *const model = way % 4 ? made_model(&wanted, &bytes) : raw_model(&wanted, &bytes);
    if (!model) return 0;
    el_network n;
    if (el_model_check(model, bytes, &n) == EL_OK &&
        el_state_bytes(model, streams, &state_bytes) == EL_OK && state_bytes <= 1 << 20) {
        el_state *const state = memory(state_bytes);
        const char *const kernel = a_kernel();
        if (el_state_init(state, state_bytes, model, kernel, streams) == EL_OK)
            stream(model, state, &n, streams);
        free(state);
    }
    free(model);
    return 0;
}
