/* Every bad argument of every function: which status it gives, and that nothing was written. */
#include "suite.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    INPUTS = 3,
    HIDDEN = 5,
    LAYERS = 2,
    OUTPUTS = 2,
    STREAMS = 3,
    VALUES = STREAMS * LAYERS * 2 * HIDDEN
};

/* What a call could write to, and how it was before. */
static struct {
    char *place, *copy;
    size_t bytes;
} watched[12];
static size_t watched_count;

static void watch(void *place, size_t bytes) {
    char *const copy = memory(bytes);
    memcpy(copy, place, bytes);
    watched[watched_count].place = place, watched[watched_count].copy = copy,
    watched[watched_count++].bytes = bytes;
}

static void look_away(void) {
    while (watched_count) free(watched[--watched_count].copy);
}

#define REFUSED(call, expected) (STATUS(call, expected), unchanged(__LINE__, #call))

static void unchanged(int line, const char *call) {
    for (size_t k = 0; k < watched_count; k++)
        if (memcmp(watched[k].place, watched[k].copy, watched[k].bytes)) {
            FAIL("line %d: %s wrote to the memory it refused", line, call);
            memcpy(watched[k].place, watched[k].copy, watched[k].bytes);
        }
}

/* The same address and an odd bit more. */
static void *shifted(const void *pointer, size_t bytes) {
    return (void *)((uintptr_t)pointer + bytes);
}

static const el_layer plain_layers[LAYERS + 1] = {
    {EL_LSTM, HIDDEN, 0, 1, {0}}, {EL_LSTM, HIDDEN, 0, 1, {1}}, {EL_DENSE, OUTPUTS, 0, 1, {2}}};
static const el_network plain = {INPUTS, LAYERS + 1, 0, plain_layers};

/* A network with one thing in it that is wrong. */
typedef struct {
    el_network network;
    el_layer layers[LAYERS + 1];
} wrong;

/* Makes the fingerprint of a model's header and layers right again: FNV-1a over their words. */
static void mend(el_model *model) {
    uint32_t *const words = (uint32_t *)(void *)model;
    uint64_t hash = 14695981039346656037u;
    for (uint32_t k = 4; k < 16 + 8 * (words[7] < 4 ? words[7] : 4); k++)
        hash = (hash ^ words[k]) * 1099511628211u;
    memcpy(words + 2, &hash, sizeof hash);
}

static void networks(const char *kernel, uint32_t precision, char *block, size_t bytes,
                     const float *weights) {
    size_t unset = 77, more = 78;
    watch(&unset, sizeof unset);
    watch(&more, sizeof more);
#define REFUSED_NETWORK(expected)                                                                  \
    do {                                                                                           \
        REFUSED(el_model_bytes(&w.network, kernel, &unset), expected);                             \
        REFUSED(el_weight_values(&w.network, &unset, &more), expected);                            \
        REFUSED(el_model_init(block, bytes, &w.network, kernel, weights, NULL), expected);         \
    } while (0)
    wrong good = {plain, {{0}}}, w;
    memcpy(good.layers, plain_layers, sizeof good.layers);
    good.network.precision = precision;
#define BREAK(field, value, expected)                                                              \
    do {                                                                                           \
        w = good, w.network.layer = w.layers;                                                      \
        w.field = value;                                                                           \
        REFUSED_NETWORK(expected);                                                                 \
    } while (0)
    const uint32_t odd[] = {0x80000000u, UINT32_MAX};
    BREAK(network.layer, NULL, EL_NULL_POINTER);
    BREAK(network.layer, shifted(w.layers, 2), EL_MISALIGNED);
    BREAK(network.inputs, 0, EL_BAD_SIZE);
    BREAK(network.inputs, EL_MAX_SIZE + 1, EL_BAD_SIZE);
    BREAK(network.layers, 0, EL_BAD_SIZE);
    BREAK(network.layers, EL_MAX_LAYERS + 1, EL_BAD_SIZE);
    BREAK(network.precision, EL_FLOAT16 + 1, EL_BAD_SIZE);
    for (unsigned j = 0; j < 2; j++) {
        BREAK(network.inputs, odd[j], EL_BAD_SIZE);
        BREAK(network.layers, odd[j], EL_BAD_SIZE);
        BREAK(network.precision, odd[j], EL_BAD_SIZE);
    }
    uint32_t types = 0;
    while (textbook_of(types)) types++;
    for (unsigned k = 0; k <= LAYERS; k++) {
        BREAK(layers[k].units, 0, EL_BAD_SIZE);
        BREAK(layers[k].units, EL_MAX_SIZE + 1, EL_BAD_SIZE);
        BREAK(layers[k].type, types, EL_BAD_LAYER);
        BREAK(layers[k].option, 99, EL_BAD_LAYER);
        BREAK(layers[k].source_count, 0, EL_BAD_SIZE);
        BREAK(layers[k].source_count, EL_MAX_SOURCES + 1, EL_BAD_SIZE);
        BREAK(layers[k].source[0], k + 1, EL_BAD_LAYER); /* itself */
        for (unsigned j = 0; j < 2; j++) {
            BREAK(layers[k].units, odd[j], EL_BAD_SIZE);
            BREAK(layers[k].type, odd[j], EL_BAD_LAYER);
            BREAK(layers[k].option, odd[j], EL_BAD_LAYER);
            BREAK(layers[k].source_count, odd[j], EL_BAD_SIZE);
            BREAK(layers[k].source[0], odd[j], EL_BAD_LAYER);
        }
    }
    /* Each of these is right, and together they are not. */
    w = good, w.network.layer = w.layers, w.network.inputs = EL_MAX_SIZE;
    w.layers[0].source_count = 2, w.layers[0].source[1] = 0;
    REFUSED_NETWORK(EL_BAD_SIZE);
    el_layer many[EL_MAX_LAYERS];
    for (uint32_t k = 0; k < EL_MAX_LAYERS; k++)
        many[k] = (el_layer){EL_LSTM, EL_MAX_SIZE, 0, 1, {k}};
    w.network = (el_network){EL_MAX_SIZE, EL_MAX_LAYERS, precision, many};
    REFUSED_NETWORK(EL_BAD_SIZE);
    look_away();

    /* The largest in one way each. */
    el_layer one[] = {{EL_DENSE, EL_MAX_SIZE, 0, 1, {0}}, {EL_DENSE, 1, 0, 4, {0, 0, 0, 0}}};
    const el_network wide = {1, 1, precision, one},
                     narrow = {EL_MAX_SIZE / 4, 1, precision, one + 1};
    for (uint32_t k = 0; k < EL_MAX_LAYERS; k++) many[k].units = 1;
    const el_network deep = {1, EL_MAX_LAYERS, precision, many};
    OK(el_model_bytes(&wide, kernel, &unset));
    OK(el_model_bytes(&narrow, kernel, &unset));
    OK(el_model_bytes(&deep, kernel, &unset));
}

static void models(const char *kernel, uint32_t precision) {
    net n = make_net(&plain, precision);
    const size_t step_count = n.columns;
    CHECK(step_count == 8 * HIDDEN * LAYERS);
    float *const steps = floats(step_count);
    for (size_t k = 0; k < step_count; k++) steps[k] = 0.01f;
    size_t bytes = 0, unset = 77, more = 78;
    watch(&unset, sizeof unset);
    watch(&more, sizeof more);
    REFUSED(el_model_bytes(NULL, kernel, &unset), EL_NULL_POINTER);
    REFUSED(el_model_bytes(&n.network, kernel, NULL), EL_NULL_POINTER);
    REFUSED(el_model_bytes(&n.network, "no such kernel", &unset), EL_NO_KERNEL);
    REFUSED(el_model_bytes(&n.network, "", &unset), EL_NO_KERNEL);
    REFUSED(el_weight_values(NULL, &unset, &more), EL_NULL_POINTER);
    REFUSED(el_weight_values(&n.network, NULL, &more), EL_NULL_POINTER);
    REFUSED(el_weight_values(&n.network, &unset, NULL), EL_NULL_POINTER);
    OK(el_model_bytes(&n.network, NULL, &bytes)); /* for the fastest */
    OK(el_model_bytes(&n.network, kernel, &bytes));
    look_away();

    char *const block = memory(bytes + EL_ALIGNMENT);
    watch(block, bytes + EL_ALIGNMENT);
    networks(kernel, precision, block, bytes, n.weights);
    watch(block, bytes + EL_ALIGNMENT);

    REFUSED(el_model_init(NULL, bytes, &n.network, kernel, n.weights, NULL), EL_NULL_POINTER);
    REFUSED(el_model_init(block, bytes, NULL, kernel, n.weights, NULL), EL_NULL_POINTER);
    REFUSED(el_model_init(block, bytes, &n.network, kernel, NULL, NULL), EL_NULL_POINTER);
    REFUSED(el_model_init(block, bytes, &n.network, "no such kernel", n.weights, NULL),
            EL_NO_KERNEL);
    REFUSED(el_model_init(block, bytes - 1, &n.network, kernel, n.weights, NULL),
            EL_BUFFER_TOO_SMALL);
    REFUSED(el_model_init(block, 0, &n.network, kernel, n.weights, NULL), EL_BUFFER_TOO_SMALL);
    for (size_t off = 4; off < EL_ALIGNMENT; off *= 2)
        REFUSED(el_model_init(block + off, bytes, &n.network, kernel, n.weights, NULL),
                EL_MISALIGNED);
    REFUSED(el_model_init(block, bytes, &n.network, kernel, shifted(n.weights, 1), NULL),
            EL_MISALIGNED);
    REFUSED(el_model_init(block, bytes, &n.network, kernel, n.weights, shifted(steps, 2)),
            EL_MISALIGNED);
    for (size_t k = 0; k < n.count; k++) {
        const float before = n.weights[k];
        const float wrong[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -0x1p126f};
        n.weights[k] = wrong[k % 5];
        REFUSED(el_model_init(block, bytes, &n.network, kernel, n.weights, NULL), EL_NOT_FINITE);
        n.weights[k] = before;
    }
    for (size_t k = 0; k < step_count; k++) {
        const float wrong[] = {NAN, INFINITY, 0.0f, -0.01f, 0x1p126f};
        steps[k] = wrong[k % 5];
        REFUSED(el_model_init(block, bytes, &n.network, kernel, n.weights, steps), EL_NOT_FINITE);
        steps[k] = 0.01f;
    }
    look_away();
    n.weights[0] = -0x1.fffffep125f; /* the largest there is */
    OK(el_model_init(block, bytes, &n.network, kernel, n.weights, NULL));

    el_network z;
    memset(&z, 7, sizeof z); /* what lies between its fields too */
    el_model *const model = (el_model *)(void *)block;
    watch(&z, sizeof z);
    watch(&unset, sizeof unset);
    REFUSED(el_model_check(NULL, bytes, &z), EL_NULL_POINTER);
    REFUSED(el_model_check(model, bytes, NULL), EL_NULL_POINTER);
    REFUSED(el_model_check(shifted(model, 4), bytes, &z), EL_MISALIGNED);
    REFUSED(el_model_check(model, bytes - 1, &z), EL_BAD_MODEL);
    REFUSED(el_model_check(model, 63, &z), EL_BAD_MODEL);
    REFUSED(el_model_check(model, 0, &z), EL_BAD_MODEL);
    REFUSED(el_state_values(NULL, &unset), EL_NULL_POINTER);
    REFUSED(el_state_values(model, NULL), EL_NULL_POINTER);
    REFUSED(el_state_values(shifted(model, 4), &unset), EL_MISALIGNED);
    /* Every word of the header and of the layers: alone, it doesn't fit the fingerprint; with a new
     * fingerprint, it is refused, or another network that takes as much, and so is safe to run. */
    uint32_t *const words = (uint32_t *)(void *)block;
    for (unsigned k = 0; k < 16 + 8 * (LAYERS + 1); k++) {
        const uint32_t before = words[k];
        const uint32_t wrongs[] = {0,           before + 1, before - 1, before * 2,
                                   0x80000000u, UINT32_MAX, 1u << 20};
        for (unsigned j = 0; j < sizeof wrongs / sizeof *wrongs; j++) {
            if (wrongs[j] == before) continue;
            words[k] = wrongs[j];
            REFUSED(el_model_check(model, bytes, &z), EL_BAD_MODEL);
            REFUSED(el_state_bytes(model, 1, &unset), EL_BAD_MODEL);
            REFUSED(el_state_values(model, &unset), EL_BAD_MODEL);
            if (k == 2 || k == 3) continue; /* the fingerprint */
            const uint32_t old[] = {words[2], words[3]};
            mend(model);
            el_network read;
            size_t needed = 0;
            if (k >= 5 && el_model_check(model, bytes, &read) == EL_OK) {
                if (el_model_bytes(&read, kernel, &needed) == EL_OK)
                    CHECK(needed == bytes || k == 5);
            } else REFUSED(el_model_check(model, bytes, &z), EL_BAD_MODEL);
            words[2] = old[0], words[3] = old[1];
        }
        words[k] = before;
    }
    OK(el_model_check(model, bytes, &z));
    look_away();
    free(block), free(steps), free(n.weights);
}

static void states(const char *kernel, uint32_t precision) {
    el_layer larger[LAYERS + 1];
    memcpy(larger, plain_layers, sizeof larger);
    larger[1].units++;
    const el_network another_network = {INPUTS, LAYERS + 1, 0, larger};
    net n = make_net(&plain, precision), other = make_net(&another_network, precision);
    el_model *const model = make_model(&n, kernel, NULL), *const another =
                                                              make_model(&other, kernel, NULL);
    size_t bytes = 0, unset = 77, model_size = 0;
    OK(el_model_bytes(&n.network, kernel, &model_size));
    OK(el_state_bytes(model, STREAMS, &bytes));
    char *const block = memory(bytes + EL_ALIGNMENT);
    watch(&unset, sizeof unset);
    watch(block, bytes + EL_ALIGNMENT);
    watch(model, model_size);
    REFUSED(el_state_bytes(NULL, 1, &unset), EL_NULL_POINTER);
    REFUSED(el_state_bytes(model, 1, NULL), EL_NULL_POINTER);
    REFUSED(el_state_bytes(shifted(model, 8), 1, &unset), EL_MISALIGNED);
    REFUSED(el_state_init(NULL, bytes, model, kernel, STREAMS), EL_NULL_POINTER);
    REFUSED(el_state_init(block, bytes, NULL, kernel, STREAMS), EL_NULL_POINTER);
    const uint32_t wrong[] = {0, EL_MAX_STREAMS + 1, EL_ALL};
    for (unsigned k = 0; k < 3; k++) {
        REFUSED(el_state_bytes(model, wrong[k], &unset), EL_BAD_SIZE);
        REFUSED(el_state_init(block, SIZE_MAX, model, kernel, wrong[k]), EL_BAD_SIZE);
    }
    REFUSED(el_state_init(block, bytes - 1, model, kernel, STREAMS), EL_BUFFER_TOO_SMALL);
    REFUSED(el_state_init(block, 0, model, kernel, STREAMS), EL_BUFFER_TOO_SMALL);
    for (size_t off = 1; off < EL_ALIGNMENT; off *= 2)
        REFUSED(el_state_init(block + off, bytes, model, kernel, STREAMS), EL_MISALIGNED);
    REFUSED(el_state_init(block, bytes, shifted(model, 32), kernel, STREAMS), EL_MISALIGNED);
    REFUSED(el_state_init(block, bytes, model, "no such kernel", STREAMS), EL_NO_KERNEL);
    const char *name;
    for (uint32_t k = 0; (name = el_kernel_name(k)); k++)
        if (strcmp(name,
                   kernel)) { /* a model for it, if it has other lanes, is none for this one */
            el_model *const foreign = make_model(&n, name, NULL);
            if (((uint32_t *)(void *)foreign)[5] != ((uint32_t *)(void *)model)[5]) { /* lanes */
                REFUSED(el_state_init(block, bytes, model, name, STREAMS), EL_NO_KERNEL);
                el_state *const of_foreign = make_state(foreign, NULL, STREAMS);
                REFUSED(el_reset(model, of_foreign, EL_ALL), EL_BAD_STATE);
                free(of_foreign);
            }
            free(foreign);
        }
    /* Lanes that no kernel here has, in a header that is right otherwise. */
    const el_layer tiny_layers[] = {{EL_LSTM, 1, 0, 1, {0}}};
    const el_network tiny_network = {1, 1, EL_FLOAT32, tiny_layers};
    net tiny = make_net(&tiny_network, EL_FLOAT32);
    uint32_t *const words = (uint32_t *)(void *)make_model(&tiny, kernel, NULL);
    words[5] = 2,
    words[4] = 64 + 64 + 320; /* a tile: bias and 8 rows, of 4 sums of 2 lanes of 4 bytes */
    mend((el_model *)(void *)words);
    el_network read;
    OK(el_model_check((el_model *)(void *)words, words[4], &read));
    REFUSED(el_state_init(block, bytes, (el_model *)(void *)words, NULL, STREAMS), EL_BAD_MODEL);
    look_away();

    el_state *const state = (el_state *)(void *)block;
    OK(el_state_init(block, bytes, model, NULL, STREAMS)); /* the fastest for these lanes */
    float *const x = floats(STREAMS * INPUTS * 3), *const y = floats(STREAMS * OUTPUTS * 3);
    float *const values = floats(VALUES);
    for (unsigned k = 0; k < STREAMS * INPUTS * 3; k++) x[k] = 0.5f;
    for (unsigned k = 0; k < VALUES; k++) values[k] = 0.25f;
    OK(el_step(model, state, x, y));
    char *const moved = memory(bytes);
    memcpy(moved, block, bytes);
    watch(block, bytes);
    watch(model, model_size);
    watch(y, sizeof(float) * STREAMS * OUTPUTS * 3);
    watch(values, sizeof(float) * VALUES);
    REFUSED(el_step_bound(NULL, x), EL_NULL_POINTER);
    REFUSED(el_answer_bound(NULL, NULL), EL_NULL_POINTER);
    size_t done = 99;
    REFUSED(el_answer_rows(NULL, NULL, 1, y, &done), EL_NULL_POINTER);
    /* What every function on a model and a state asks, and then each its own. */
    const struct {
        const el_model *model;
        el_state *state;
        el_status expected;
    } pairs[] = {{NULL, state, EL_NULL_POINTER},
                 {model, NULL, EL_NULL_POINTER},
                 {shifted(model, 16), state, EL_MISALIGNED},
                 {model, shifted(state, 4), EL_MISALIGNED},
                 {(const el_model *)(const void *)block, state, EL_BAD_MODEL},
                 {model, (el_state *)(void *)model, EL_BAD_STATE},
                 {another, state, EL_BAD_STATE},
                 {model, (el_state *)(void *)moved, EL_BAD_STATE}};
    const double numbers[INPUTS * STREAMS] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    double last[INPUTS * STREAMS] = {0};
    const el_processing p = {INPUTS, EL_REFUSE, numbers, numbers, NULL, NULL, NULL};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        const el_model *const m = pairs[k].model;
        el_state *const s = pairs[k].state;
        const el_bound bound = {m, s, y, &p, last};
        REFUSED(el_step(m, s, x, y), pairs[k].expected);
        REFUSED(el_run(m, s, x, 3, y), pairs[k].expected);
        REFUSED(el_step_bound(&bound, x), pairs[k].expected);
        REFUSED(el_answer_bound(&bound, numbers), pairs[k].expected);
        REFUSED(el_answer_rows(&bound, numbers, 1, y, &done), pairs[k].expected);
        CHECK(done == 0);
        REFUSED(el_reset(m, s, 0), pairs[k].expected);
        REFUSED(el_get_state(m, s, EL_ALL, values), pairs[k].expected);
        REFUSED(el_set_state(m, s, EL_ALL, values), pairs[k].expected);
        REFUSED(el_answer(&p, m, s, numbers, last, y), pairs[k].expected);
    }
    const el_bound nowhere = {model, state, NULL, NULL, NULL};
    REFUSED(el_step(model, state, NULL, y), EL_NULL_POINTER);
    REFUSED(el_step(model, state, x, NULL), EL_NULL_POINTER);
    REFUSED(el_step_bound(&nowhere, x), EL_NULL_POINTER);
    REFUSED(el_answer_bound(&nowhere, numbers), EL_NULL_POINTER);
    REFUSED(el_answer_rows(&nowhere, numbers, 1, y, &done), EL_NULL_POINTER);
    const el_bound rows = {model, state, NULL, &p, last};
    REFUSED(el_answer_rows(&rows, numbers, 1, y, NULL), EL_NULL_POINTER);
    REFUSED(el_answer_rows(&rows, NULL, 1, y, &done), EL_NULL_POINTER);
    REFUSED(el_answer_rows(&rows, numbers, 1, NULL, &done), EL_NULL_POINTER);
    REFUSED(el_step(model, state, shifted(x, 1), y), EL_MISALIGNED);
    REFUSED(el_step(model, state, x, shifted(y, 2)), EL_MISALIGNED);
    REFUSED(el_reset(model, state, STREAMS), EL_BAD_SIZE);
    REFUSED(el_reset(model, state, EL_ALL - 1), EL_BAD_SIZE);
    for (int set = 0; set < 2; set++) {
#define EITHER(stream, values)                                                                     \
    (set ? el_set_state(model, state, stream, values) : el_get_state(model, state, stream, values))
        REFUSED(EITHER(0, NULL), EL_NULL_POINTER);
        REFUSED(EITHER(STREAMS, values), EL_BAD_SIZE);
        REFUSED(EITHER(EL_ALL - 1, values), EL_BAD_SIZE);
        REFUSED(EITHER(0, shifted(values, 2)), EL_MISALIGNED);
    }
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (unsigned k = 0; k < STREAMS * INPUTS; k++) {
        x[k] = bad[k % 3];
        REFUSED(el_step(model, state, x, y), EL_NOT_FINITE);
        x[k] = 0.5f;
    }
    look_away();
    watch(block, bytes);
    for (unsigned k = 0; k < VALUES; k++) {
        values[k] = bad[k % 3];
        REFUSED(el_set_state(model, state, EL_ALL, values), EL_NOT_FINITE);
        values[k] = 0.25f;
    }
    look_away();
    /* el_run stops at the row that it refuses; what was before it is done, what is after it is not.
     */
    float *const alone = floats(STREAMS * OUTPUTS), *const after = floats(VALUES);
    OK(el_reset(model, state, EL_ALL));
    OK(el_step(model, state, x, alone));
    OK(el_get_state(model, state, EL_ALL, after));
    OK(el_reset(model, state, EL_ALL));
    watch(y + STREAMS * OUTPUTS, sizeof(float) * STREAMS * OUTPUTS * 2);
    x[STREAMS * INPUTS + 1] = NAN;
    REFUSED(el_run(model, state, x, 3, y), EL_NOT_FINITE);
    OK(el_get_state(model, state, EL_ALL, values));
    CHECK(!memcmp(alone, y, sizeof(float) * STREAMS * OUTPUTS));
    CHECK(!memcmp(values, after, sizeof(float) * VALUES));
    look_away();
    free(model), free(another), free(block), free(moved), free(words), free(x), free(y),
        free(values);
    free(alone), free(after), free(n.weights), free(other.weights), free(tiny.weights);
}

static void processings(const char *kernel) {
    net n = make_net(&plain, EL_FLOAT32);
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const state = make_state(model, kernel, 1);
    double numbers[7] = {1, 2, 3, 4, 5, 6, 7}, std[INPUTS] = {1, 1, 1}, last[INPUTS] = {1, 2, 3},
           sample[INPUTS] = {1, 2, 3};
    const uint32_t residual[2] = {0, INPUTS - 1}, beyond[2] = {0, INPUTS};
    float answer[OUTPUTS] = {0}, before[2 * LAYERS * HIDDEN], after[2 * LAYERS * HIDDEN];
    const el_processing good = {INPUTS, EL_REFUSE, numbers, std, numbers, numbers, residual};
    OK(el_answer(&good, model, state, sample, last, answer));
    OK(el_get_state(model, state, 0, before));
    watch(answer, sizeof answer);
    watch(last, sizeof last);
#define WITH(field, value, expected)                                                               \
    do {                                                                                           \
        el_processing p = good;                                                                    \
        p.field = value;                                                                           \
        REFUSED(el_answer(&p, model, state, sample, last, answer), expected);                      \
    } while (0)
    REFUSED(el_answer(NULL, model, state, sample, last, answer), EL_NULL_POINTER);
    REFUSED(el_answer(&good, model, state, NULL, last, answer), EL_NULL_POINTER);
    REFUSED(el_answer(&good, model, state, sample, NULL, answer), EL_NULL_POINTER);
    REFUSED(el_answer(&good, model, state, sample, last, NULL), EL_NULL_POINTER);
    WITH(mean, NULL, EL_NULL_POINTER);
    WITH(std, NULL, EL_NULL_POINTER);
    WITH(offset, NULL, EL_NULL_POINTER);
    WITH(channels, 0, EL_BAD_SIZE);
    WITH(channels, INPUTS + 1, EL_BAD_SIZE);
    WITH(channels, UINT32_MAX, EL_BAD_SIZE);
    WITH(channels, 0x80000000u + INPUTS, EL_BAD_SIZE);
    WITH(missing, EL_MASK, EL_BAD_SIZE); /* which takes twice as many inputs */
    WITH(missing, 3, EL_BAD_SIZE);
    WITH(residual, beyond, EL_BAD_SIZE);
    WITH(mean, shifted(numbers, 1), EL_MISALIGNED);
    WITH(std, shifted(std, 2), EL_MISALIGNED);
    WITH(offset, shifted(numbers, 1), EL_MISALIGNED);
    WITH(scale, shifted(numbers, 2), EL_MISALIGNED);
    WITH(residual, shifted(residual, 2), EL_MISALIGNED);
    REFUSED(el_answer(&good, model, state, shifted(sample, 1), last, answer), EL_MISALIGNED);
    REFUSED(el_answer(&good, model, state, sample, shifted(last, 2), answer), EL_MISALIGNED);
    REFUSED(el_answer(&good, model, state, sample, last, shifted(answer, 1)), EL_MISALIGNED);
    const double wrong[] = {(double)NAN, (double)INFINITY, -(double)INFINITY,
                            1.1e30,      -1.1e30,          DBL_MAX};
    for (unsigned k = 0; k < INPUTS; k++)
        for (unsigned j = 0; j < sizeof wrong / sizeof *wrong; j++) {
            sample[k] = wrong[j];
            REFUSED(el_answer(&good, model, state, sample, last, answer), EL_NOT_FINITE);
            sample[k] = k + 1.0;
        }
    double zero[INPUTS] = {1, 0, 1}, no_number[INPUTS] = {1, (double)NAN, 1};
    WITH(std, zero, EL_NOT_FINITE);
    WITH(std, no_number, EL_NOT_FINITE);
    WITH(mean, no_number, EL_NOT_FINITE);
    el_processing fill = good;
    fill.missing = EL_FORWARD_FILL;
    sample[0] = (double)NAN;
    look_away();
    last[0] = (double)INFINITY;
    watch(answer, sizeof answer);
    watch(last, sizeof last);
    REFUSED(el_answer(&fill, model, state, sample, last, answer), EL_NOT_FINITE);
    look_away();
    OK(el_get_state(model, state, 0, after));
    CHECK(!memcmp(before, after, sizeof before));
    sample[0] = 1e30, last[0] = 1; /* as far off as may be */
    OK(el_answer(&good, model, state, sample, last, answer));
    free(model), free(state), free(n.weights);
}

void test_arguments(const char *kernel) {
    snprintf(where, sizeof where, "%s, arguments", kernel);
    for (uint32_t precision = EL_FLOAT32; precision <= EL_FLOAT16; precision++) {
        models(kernel, precision);
        states(kernel, precision);
    }
    processings(kernel);
    uint32_t count = 0;
    while (el_kernel_name(count)) count++;
    const char *const last =
        el_kernel_name(count - 1); /* the one that is always there; on aarch64 that is NEON */
    CHECK(!strcmp(last, "portable") || !strcmp(last, "neon"));
    CHECK(!el_kernel_name(count + 1) && !el_kernel_name(UINT32_MAX));
    static const char *const names[] = {
        "EL_OK",         "EL_NULL_POINTER", "EL_BAD_SIZE",  "EL_BUFFER_TOO_SMALL",
        "EL_MISALIGNED", "EL_NOT_FINITE",   "EL_BAD_MODEL", "EL_BAD_STATE",
        "EL_NO_KERNEL",  "EL_BAD_LAYER",    "unknown"};
    for (int k = 0; k < 11; k++) CHECK(!strcmp(el_status_name((el_status)k), names[k]));
}
