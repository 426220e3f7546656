/* Every bad argument of every function: which status it gives, and that nothing was written. */
#include "suite.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 3, HIDDEN = 5, LAYERS = 2, OUTPUTS = 2, STREAMS = 3, VALUES = STREAMS * LAYERS * HIDDEN };

/* What a call could write to, and how it was before. */
static struct {
    char *place, *copy;
    size_t bytes;
} watched[12];
static size_t watched_count;

static void watch(void *place, size_t bytes) {
    char *const copy = memory(bytes);
    memcpy(copy, place, bytes);
    watched[watched_count].place = place, watched[watched_count].copy = copy, watched[watched_count++].bytes = bytes;
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
static void *shifted(const void *pointer, size_t bytes) { return (void *)((uintptr_t)pointer + bytes); }

static uint32_t *size_of(el_sizes *z, unsigned index) {
    uint32_t *const fields[] = {&z->inputs, &z->hidden, &z->layers, &z->outputs, &z->precision};
    return fields[index];
}

static void models(const char *kernel, uint32_t precision) {
    net n = make_net(INPUTS, HIDDEN, LAYERS, OUTPUTS, precision);
    const size_t step_count = 8 * HIDDEN * LAYERS;
    float *const steps = floats(step_count);
    for (size_t k = 0; k < step_count; k++) steps[k] = 0.01f;
    size_t bytes = 0, unset = 77;
    watch(&unset, sizeof unset);
    REFUSED(el_model_bytes(NULL, kernel, &unset), EL_NULL_POINTER);
    REFUSED(el_model_bytes(&n.sizes, kernel, NULL), EL_NULL_POINTER);
    REFUSED(el_model_bytes(&n.sizes, "no such kernel", &unset), EL_NO_KERNEL);
    REFUSED(el_model_bytes(&n.sizes, "", &unset), EL_NO_KERNEL);
    OK(el_model_bytes(&n.sizes, NULL, &bytes)); /* for the fastest */
    OK(el_model_bytes(&n.sizes, kernel, &bytes));

    char *const block = memory(bytes + EL_ALIGNMENT);
    watch(block, bytes + EL_ALIGNMENT);
    static const uint32_t maximum[] = {EL_MAX_SIZE, EL_MAX_SIZE, EL_MAX_LAYERS, EL_MAX_SIZE, EL_INT8};
    for (unsigned k = 0; k < 5; k++) {
        const uint32_t wrong[] = {0, maximum[k] + 1, 0x80000000u, UINT32_MAX};
        for (unsigned j = k == 4; j < 4; j++) { /* precision 0 is one */
            el_sizes z = n.sizes;
            *size_of(&z, k) = wrong[j];
            REFUSED(el_model_bytes(&z, kernel, &unset), EL_BAD_SIZE);
            REFUSED(el_model_init(block, bytes, &z, kernel, n.weights, NULL), EL_BAD_SIZE);
        }
    }
    const el_sizes large = {EL_MAX_SIZE, EL_MAX_SIZE, EL_MAX_LAYERS, EL_MAX_SIZE, precision}; /* each is right, and together they are not */
    REFUSED(el_model_bytes(&large, kernel, &unset), EL_BAD_SIZE);
    const el_sizes wide = {EL_MAX_SIZE, 1, 1, EL_MAX_SIZE, precision}, deep = {1, 1, EL_MAX_LAYERS, 1, precision};
    size_t any;
    OK(el_model_bytes(&wide, kernel, &any));
    OK(el_model_bytes(&deep, kernel, &any));

    REFUSED(el_model_init(NULL, bytes, &n.sizes, kernel, n.weights, NULL), EL_NULL_POINTER);
    REFUSED(el_model_init(block, bytes, NULL, kernel, n.weights, NULL), EL_NULL_POINTER);
    REFUSED(el_model_init(block, bytes, &n.sizes, kernel, NULL, NULL), EL_NULL_POINTER);
    REFUSED(el_model_init(block, bytes, &n.sizes, "no such kernel", n.weights, NULL), EL_NO_KERNEL);
    REFUSED(el_model_init(block, bytes - 1, &n.sizes, kernel, n.weights, NULL), EL_BUFFER_TOO_SMALL);
    REFUSED(el_model_init(block, 0, &n.sizes, kernel, n.weights, NULL), EL_BUFFER_TOO_SMALL);
    for (size_t off = 4; off < EL_ALIGNMENT; off *= 2)
        REFUSED(el_model_init(block + off, bytes, &n.sizes, kernel, n.weights, NULL), EL_MISALIGNED);
    REFUSED(el_model_init(block, bytes, &n.sizes, kernel, shifted(n.weights, 1), NULL), EL_MISALIGNED);
    REFUSED(el_model_init(block, bytes, &n.sizes, kernel, n.weights, shifted(steps, 2)), EL_MISALIGNED);
    for (size_t k = 0; k < n.count; k++) {
        const float before = n.weights[k];
        const float wrong[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -0x1p126f};
        n.weights[k] = wrong[k % 5];
        REFUSED(el_model_init(block, bytes, &n.sizes, kernel, n.weights, NULL), EL_NOT_FINITE);
        n.weights[k] = before;
    }
    for (size_t k = 0; k < step_count; k++) {
        const float wrong[] = {NAN, INFINITY, 0.0f, -0.01f, 0x1p126f};
        steps[k] = wrong[k % 5];
        REFUSED(el_model_init(block, bytes, &n.sizes, kernel, n.weights, steps), EL_NOT_FINITE);
        steps[k] = 0.01f;
    }
    look_away();
    n.weights[0] = -0x1.fffffep125f; /* the largest there is */
    OK(el_model_init(block, bytes, &n.sizes, kernel, n.weights, NULL));

    el_sizes z = {7, 7, 7, 7, 7};
    el_model *const model = (el_model *)(void *)block;
    watch(&z, sizeof z);
    watch(&unset, sizeof unset);
    REFUSED(el_model_sizes(NULL, bytes, &z), EL_NULL_POINTER);
    REFUSED(el_model_sizes(model, bytes, NULL), EL_NULL_POINTER);
    REFUSED(el_model_sizes(shifted(model, 4), bytes, &z), EL_MISALIGNED);
    REFUSED(el_model_sizes(model, bytes - 1, &z), EL_BAD_MODEL);
    REFUSED(el_model_sizes(model, 63, &z), EL_BAD_MODEL);
    REFUSED(el_model_sizes(model, 0, &z), EL_BAD_MODEL);
    uint32_t *const header = (uint32_t *)(void *)block; /* magic, version, lanes, five sizes, bytes */
    for (unsigned k = 0; k < 9; k++) {
        const uint32_t before = header[k], wrong[] = {0, before + 1, before - 1, before * 2, 0x80000000u, UINT32_MAX, 1u << 20};
        for (unsigned j = 0; j < sizeof wrong / sizeof *wrong; j++) {
            if (wrong[j] == before) continue;
            header[k] = wrong[j];
            el_sizes read;
            size_t needed = 0;
            if (k >= 2 && k < 8 && el_model_sizes(model, bytes, &read) == EL_OK) { /* lanes or sizes that take as much: safe to run */
                OK(el_model_bytes(&read, kernel, &needed));
                CHECK(needed == bytes);
            } else {
                REFUSED(el_model_sizes(model, bytes, &z), EL_BAD_MODEL);
                REFUSED(el_state_bytes(model, 1, &unset), EL_BAD_MODEL);
            }
        }
        header[k] = before;
    }
    OK(el_model_sizes(model, bytes, &z));
    look_away();
    free(block), free(steps), free(n.weights);
}

static void states(const char *kernel, uint32_t precision) {
    net n = make_net(INPUTS, HIDDEN, LAYERS, OUTPUTS, precision), other = make_net(INPUTS, HIDDEN + 1, LAYERS, OUTPUTS, precision);
    el_model *const model = make_model(&n, kernel, NULL), *const another = make_model(&other, kernel, NULL);
    size_t bytes = 0, unset = 77, model_size = 0;
    OK(el_model_bytes(&n.sizes, kernel, &model_size));
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
    for (size_t off = 1; off < EL_ALIGNMENT; off *= 2) REFUSED(el_state_init(block + off, bytes, model, kernel, STREAMS), EL_MISALIGNED);
    REFUSED(el_state_init(block, bytes, shifted(model, 32), kernel, STREAMS), EL_MISALIGNED);
    REFUSED(el_state_init(block, bytes, model, "no such kernel", STREAMS), EL_NO_KERNEL);
    const char *name;
    for (uint32_t k = 0; (name = el_kernel_name(k)); k++)
        if (strcmp(name, kernel)) { /* a model for it, if it has other lanes, is none for this one */
            el_model *const foreign = make_model(&n, name, NULL);
            if (((uint32_t *)(void *)foreign)[2] != ((uint32_t *)(void *)model)[2]) {
                REFUSED(el_state_init(block, bytes, model, name, STREAMS), EL_NO_KERNEL);
                el_state *const of_foreign = make_state(foreign, NULL, STREAMS);
                REFUSED(el_reset(model, of_foreign, EL_ALL), EL_BAD_STATE);
                free(of_foreign);
            }
            free(foreign);
        }
    /* Lanes that no kernel here has, in a header that is right otherwise. */
    net tiny = make_net(1, 1, 1, 1, EL_FLOAT32);
    uint32_t *const header = (uint32_t *)(void *)make_model(&tiny, kernel, NULL);
    header[2] = 2, header[8] = 64 + 4 * 4 * 2 * (1 + 8) + 4 * 4 * 2; /* a tile: bias and 8 rows of 4 gates; the head: bias and 1 row of 4 */
    el_sizes read;
    OK(el_model_sizes((el_model *)(void *)header, header[8], &read));
    REFUSED(el_state_init(block, bytes, (el_model *)(void *)header, NULL, STREAMS), EL_BAD_MODEL);
    look_away();

    el_state *const state = (el_state *)(void *)block;
    OK(el_state_init(block, bytes, model, NULL, STREAMS)); /* the fastest for these lanes */
    float *const x = floats(STREAMS * INPUTS * 3), *const y = floats(STREAMS * OUTPUTS * 3), *const h = floats(VALUES),
                 *const c = floats(VALUES);
    for (unsigned k = 0; k < STREAMS * INPUTS * 3; k++) x[k] = 0.5f;
    for (unsigned k = 0; k < VALUES; k++) h[k] = c[k] = 0.25f;
    OK(el_step(model, state, x, y));
    char *const moved = memory(bytes);
    memcpy(moved, block, bytes);
    watch(block, bytes);
    watch(model, model_size);
    watch(y, sizeof(float) * STREAMS * OUTPUTS * 3);
    watch(h, sizeof(float) * VALUES);
    watch(c, sizeof(float) * VALUES);
    REFUSED(el_step_bound(NULL, x), EL_NULL_POINTER);
    REFUSED(el_answer_bound(NULL, NULL), EL_NULL_POINTER);
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
        REFUSED(el_reset(m, s, 0), pairs[k].expected);
        REFUSED(el_get_state(m, s, EL_ALL, h, c), pairs[k].expected);
        REFUSED(el_set_state(m, s, EL_ALL, h, c), pairs[k].expected);
        REFUSED(el_answer(&p, m, s, numbers, last, y), pairs[k].expected);
    }
    const el_bound nowhere = {model, state, NULL, NULL, NULL};
    REFUSED(el_step(model, state, NULL, y), EL_NULL_POINTER);
    REFUSED(el_step(model, state, x, NULL), EL_NULL_POINTER);
    REFUSED(el_step_bound(&nowhere, x), EL_NULL_POINTER);
    REFUSED(el_answer_bound(&nowhere, numbers), EL_NULL_POINTER);
    REFUSED(el_step(model, state, shifted(x, 1), y), EL_MISALIGNED);
    REFUSED(el_step(model, state, x, shifted(y, 2)), EL_MISALIGNED);
    REFUSED(el_reset(model, state, STREAMS), EL_BAD_SIZE);
    REFUSED(el_reset(model, state, EL_ALL - 1), EL_BAD_SIZE);
    for (int set = 0; set < 2; set++) {
#define EITHER(stream, h, c) (set ? el_set_state(model, state, stream, h, c) : el_get_state(model, state, stream, h, c))
        REFUSED(EITHER(0, NULL, c), EL_NULL_POINTER);
        REFUSED(EITHER(0, h, NULL), EL_NULL_POINTER);
        REFUSED(EITHER(STREAMS, h, c), EL_BAD_SIZE);
        REFUSED(EITHER(EL_ALL - 1, h, c), EL_BAD_SIZE);
        REFUSED(EITHER(0, shifted(h, 2), c), EL_MISALIGNED);
        REFUSED(EITHER(0, h, shifted(c, 1)), EL_MISALIGNED);
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
        float *const place = k % 2 ? h + k : c + k;
        *place = bad[k % 3];
        REFUSED(el_set_state(model, state, EL_ALL, h, c), EL_NOT_FINITE);
        *place = 0.25f;
    }
    look_away();
    /* el_run stops at the row that it refuses; what was before it is done, what is after it is not. */
    float *const alone = floats(STREAMS * OUTPUTS), *const h1 = floats(VALUES), *const c1 = floats(VALUES);
    OK(el_reset(model, state, EL_ALL));
    OK(el_step(model, state, x, alone));
    OK(el_get_state(model, state, EL_ALL, h1, c1));
    OK(el_reset(model, state, EL_ALL));
    watch(y + STREAMS * OUTPUTS, sizeof(float) * STREAMS * OUTPUTS * 2);
    x[STREAMS * INPUTS + 1] = NAN;
    REFUSED(el_run(model, state, x, 3, y), EL_NOT_FINITE);
    OK(el_get_state(model, state, EL_ALL, h, c));
    CHECK(!memcmp(alone, y, sizeof(float) * STREAMS * OUTPUTS) && !memcmp(h, h1, sizeof(float) * VALUES) &&
          !memcmp(c, c1, sizeof(float) * VALUES));
    look_away();
    free(model), free(another), free(block), free(moved), free(header), free(x), free(y), free(h), free(c), free(alone), free(h1), free(c1);
    free(n.weights), free(other.weights), free(tiny.weights);
}

static void processings(const char *kernel) {
    net n = make_net(INPUTS, HIDDEN, LAYERS, OUTPUTS, EL_FLOAT32);
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const state = make_state(model, kernel, 1);
    double numbers[7] = {1, 2, 3, 4, 5, 6, 7}, std[INPUTS] = {1, 1, 1}, last[INPUTS] = {1, 2, 3}, sample[INPUTS] = {1, 2, 3};
    const uint32_t residual[2] = {0, INPUTS - 1}, beyond[2] = {0, INPUTS};
    float answer[OUTPUTS] = {0}, h[LAYERS * HIDDEN], c[LAYERS * HIDDEN];
    const el_processing good = {INPUTS, EL_REFUSE, numbers, std, numbers, numbers, residual};
    OK(el_answer(&good, model, state, sample, last, answer));
    OK(el_get_state(model, state, 0, h, c));
    watch(answer, sizeof answer);
    watch(last, sizeof last);
#define WITH(field, value, expected)                                          \
    do {                                                                      \
        el_processing p = good;                                               \
        p.field = value;                                                      \
        REFUSED(el_answer(&p, model, state, sample, last, answer), expected); \
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
    const double wrong[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 1.1e30, -1.1e30, DBL_MAX};
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
    float h1[LAYERS * HIDDEN], c1[LAYERS * HIDDEN];
    OK(el_get_state(model, state, 0, h1, c1));
    CHECK(!memcmp(h, h1, sizeof h) && !memcmp(c, c1, sizeof c));
    sample[0] = 1e30, last[0] = 1; /* as far off as may be */
    OK(el_answer(&good, model, state, sample, last, answer));
    free(model), free(state), free(n.weights);
}

void test_arguments(const char *kernel) {
    snprintf(where, sizeof where, "%s, arguments", kernel);
    for (uint32_t precision = EL_FLOAT32; precision <= EL_INT8; precision++) {
        models(kernel, precision);
        states(kernel, precision);
    }
    processings(kernel);
    uint32_t count = 0;
    while (el_kernel_name(count)) count++;
    const char *const last = el_kernel_name(count - 1); /* the one that is always there; on aarch64 that is NEON */
    CHECK(!strcmp(last, "portable") || !strcmp(last, "neon"));
    CHECK(!el_kernel_name(count + 1) && !el_kernel_name(UINT32_MAX));
    static const char *const names[] = {"EL_OK",         "EL_NULL_POINTER", "EL_BAD_SIZE",  "EL_BUFFER_TOO_SMALL", "EL_MISALIGNED",
                                        "EL_NOT_FINITE", "EL_BAD_MODEL",    "EL_BAD_STATE", "EL_NO_KERNEL",        "unknown"};
    for (int k = 0; k < 10; k++) CHECK(!strcmp(el_status_name((el_status)k), names[k]));
}
