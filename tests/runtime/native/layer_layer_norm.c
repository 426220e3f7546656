/* Layer normalization as in a textbook. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 0x3727c5acu /* 1e-5 */
#define LARGE 0x3f000000u /* 0.5 */

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    (void)states;
    const uint32_t n = l->layer->units;
    float epsilon;
    memcpy(&epsilon, &l->layer->option, sizeof epsilon);
    double mean = 0.0, variance = 0.0;
    for (uint32_t u = 0; u < n; u++) mean += x[u] / n;
    for (uint32_t u = 0; u < n; u++) variance += (x[u] - mean) * (x[u] - mean) / n;
    for (uint32_t u = 0; u < n; u++)
        y[u] = (x[u] - mean) / sqrt(variance + (double)epsilon) * (double)l->weights[u] +
               (double)l->weights[n + u];
}

#define NORM(units, option, source) {EL_LAYER_NORM, units, option, 1, {source}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(NORM(1, SMALL, 0))},
    {4, 2, 0, LAYERS(NORM(4, LARGE, 0), {EL_LSTM, 3, 0, 1, {1}})},
    {5, 2, 0, LAYERS(NORM(5, SMALL, 0), {EL_LSTM, 3, 0, 1, {1}})},
    {7, 3, 0, LAYERS({EL_LSTM, 35, 0, 1, {0}}, NORM(35, LARGE, 1), {EL_LSTM, 3, 0, 1, {2}})},
    {9, 2, 0, LAYERS({EL_LSTM, 8, 0, 1, {0}}, {EL_LAYER_NORM, 17, LARGE, 2, {0, 1}})},
};

/* Equal values give b, whatever they are; large ones are normalized as small ones are. */
static void values(const char *kernel) {
    enum { UNITS = 19 };
    const el_network network = {UNITS, 1, 0, LAYERS(NORM(UNITS, SMALL, 0))};
    net n = make_net(&network, EL_FLOAT32);
    describe(kernel, &n, 1);
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const state = make_state(model, kernel, 1);
    const float level[] = {0.0f, 0.1f, -1234.567f, 1e30f, -1e-30f};
    float x[UNITS], y[UNITS];
    for (unsigned t = 0; t < sizeof level / sizeof *level; t++) {
        for (unsigned u = 0; u < UNITS; u++) x[u] = level[t];
        OK(el_step(model, state, x, y));
        for (unsigned u = 0; u < UNITS && level[t] < 1e29f; u++)
            if (!(fabsf(y[u] - n.weights[UNITS + u]) <= 1e-6f))
                FAIL("y %u of %g is %g", u, (double)level[t], (double)y[u]);
    }
    const float size[] = {1e15f, 1e16f, 1e20f, 1e30f};
    for (unsigned t = 0; t < sizeof size / sizeof *size; t++) {
        double variance = 0.0;
        for (unsigned u = 0; u < UNITS; u++) x[u] = size[t] * ((float)u - 9.0f);
        for (unsigned u = 0; u < UNITS; u++) variance += (u - 9.0) * (u - 9.0) / UNITS;
        OK(el_step(model, state, x, y));
        for (unsigned u = 0; u < UNITS; u++) {
            const double expected = (u - 9.0) / sqrt(variance) * (double)n.weights[u];
            if (!(fabs((double)(y[u] - n.weights[UNITS + u]) - expected) <= 1e-6))
                FAIL("y %u of %g is %g", u, (double)x[u], (double)y[u]);
        }
    }
    free(model), free(state), free(n.weights);
}

static void check(const char *kernel) {
    /* 0, a subnormal, infinity, NaN, less than 0 */
    const uint32_t wrong[] = {0, 1, 0x007fffffu, 0x7f800000u, 0x7fc00000u, 0x80000000u, 0xb727c5acu};
    for (unsigned k = 0; k < sizeof wrong / sizeof *wrong; k++)
        check_refused(kernel, &(el_network){3, 1, 0, LAYERS(NORM(3, wrong[k], 0))}, EL_BAD_LAYER);
    check_refused(kernel, &(el_network){3, 1, 0, LAYERS(NORM(2, SMALL, 0))}, EL_BAD_SIZE);
    values(kernel);
}

static const shape shapes[] = {{{0, 0, 0}, 2}};
const textbook textbook_layer_norm = {
    shapes, 1, 0, -1, networks, sizeof networks / sizeof *networks, step, check, NULL, NULL};
