/* PReLU as in a textbook. */
#include "suite.h"

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    (void)states;
    for (uint32_t u = 0; u < l->layer->units; u++)
        y[u] = x[u] > 0.0 ? x[u] : x[u] * (double)l->weights[u];
}

#define PRELU(units, source) {EL_PRELU, units, 0, 1, {source}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(PRELU(1, 0))},
    {4, 2, 0, LAYERS(PRELU(4, 0), {EL_LSTM, 3, 0, 1, {1}})},
    {7, 2, 0, LAYERS({EL_LSTM, 35, 0, 1, {0}}, PRELU(35, 1))},
    {9, 2, 0, LAYERS({EL_LSTM, 8, 0, 1, {0}}, {EL_PRELU, 17, 0, 2, {0, 1}})},
};

static void check(const char *kernel) {
    check_refused(kernel, &(el_network){3, 1, 0, LAYERS({EL_PRELU, 3, 1, 1, {0}})}, EL_BAD_LAYER);
    check_refused(kernel, &(el_network){3, 1, 0, LAYERS(PRELU(4, 0))}, EL_BAD_SIZE);
}

static const shape shapes[] = {{{0, 0, 0}, 1}};
const textbook textbook_prelu = {
    shapes, 1, 0, -1, networks, sizeof networks / sizeof *networks, step, check, NULL, NULL};
