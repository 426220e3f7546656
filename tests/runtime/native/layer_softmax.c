/* Softmax as in a textbook. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    (void)states;
    double largest = x[0], sum = 0.0;
    for (uint32_t u = 0; u < l->layer->units; u++) largest = fmax(largest, x[u]);
    for (uint32_t u = 0; u < l->layer->units; u++) sum += y[u] = exp(x[u] - largest);
    for (uint32_t u = 0; u < l->layer->units; u++) y[u] /= sum;
}

#define SOFTMAX(units, source) {EL_SOFTMAX, units, 0, 1, {source}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(SOFTMAX(1, 0))},
    {4, 2, 0, LAYERS(SOFTMAX(4, 0), {EL_LSTM, 3, 0, 1, {1}})},
    {7, 3, 0, LAYERS({EL_LSTM, 35, 0, 1, {0}}, SOFTMAX(35, 1), {EL_LSTM, 3, 0, 1, {2}})},
    {5, 2, 0, LAYERS({EL_LSTM, 8, 0, 1, {0}}, {EL_SOFTMAX, 13, 0, 2, {0, 1}})},
};

/* The largest floats there are, and one whose power is 0. */
static void check(const char *kernel) {
    check_refused(kernel, &(el_network){3, 1, 0, LAYERS({EL_SOFTMAX, 3, 1, 1, {0}})},
                  EL_BAD_LAYER);
    check_refused(kernel, &(el_network){3, 1, 0, LAYERS(SOFTMAX(2, 0))}, EL_BAD_SIZE);
    const el_network network = {3, 1, 0, LAYERS(SOFTMAX(3, 0))};
    net n = make_net(&network, EL_FLOAT32);
    describe(kernel, &n, 1);
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const state = make_state(model, kernel, 1);
    const float x[][3] = {{3e38f, -3e38f, 3e38f}, {-3e38f, -3e38f, -3e38f}, {900, 900, -900}};
    const float expected[][3] = {{0.5f, 0, 0.5f}, {1 / 3.0f, 1 / 3.0f, 1 / 3.0f}, {0.5f, 0.5f, 0}};
    float y[3];
    for (unsigned t = 0; t < 3; t++) {
        OK(el_step(model, state, x[t], y));
        for (unsigned u = 0; u < 3; u++)
            if (!(fabsf(y[u] - expected[t][u]) <= 1e-7f)) FAIL("y %u is %g", u, (double)y[u]);
    }
    free(model), free(state), free(n.weights);
}

static const shape shapes[] = {{{0, 0, 0}, 0}};
const textbook textbook_softmax = {
    shapes, 1, 0, -1, networks, sizeof networks / sizeof *networks, step, check, NULL, NULL};
