/* Scale as in a textbook, with each activation. */
#include "suite.h"

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    (void)states;
    const uint32_t n = l->layer->units;
    for (uint32_t u = 0; u < n; u++)
        y[u] = activated(l->layer->option,
                         x[u] * (double)l->weights[u] + (double)l->weights[n + u]);
}

#define SCALE(units, option, source) {EL_SCALE, units, option, 1, {source}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(SCALE(1, EL_NONE, 0))},
    {4, 2, 0, LAYERS(SCALE(4, EL_TANH, 0), {EL_LSTM, 3, 0, 1, {1}})},
    {5, 2, 0, LAYERS(SCALE(5, EL_SIGMOID, 0), {EL_LSTM, 3, 0, 1, {1}})},
    {33, 1, 0, LAYERS(SCALE(33, EL_RELU, 0))},
    {9, 3, 0, LAYERS({EL_LSTM, 8, 0, 1, {0}}, {EL_SCALE, 17, EL_SIGMOID, 2, {0, 1}},
                     {EL_RNN, 2, EL_TANH, 1, {2}})},
};

static void check(const char *kernel) {
    check_refused(kernel, &(el_network){3, 1, 0, LAYERS(SCALE(3, 4, 0))}, EL_BAD_LAYER);
    check_refused(kernel, &(el_network){3, 1, 0, LAYERS(SCALE(2, 0, 0))}, EL_BAD_SIZE);
}

static const shape shapes[] = {{{0, 0, 0}, 2}};
const textbook textbook_scale = {
    shapes, 1, 0, -1, networks, sizeof networks / sizeof *networks, step, check, NULL, NULL};
