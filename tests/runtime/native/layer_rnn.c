/* RNN as in a textbook, with each activation. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    const uint32_t H = l->layer->units;
    double *const h = states;
    for (uint32_t u = 0; u < H; u++) {
        const double a = (double)biases(l)[u] + product(l, 0, x, u) + product(l, 1, h, u);
        y[u] = l->layer->option == EL_TANH ? tanh(a) : a > 0.0 ? a : 0.0;
    }
    for (uint32_t u = 0; u < H; u++) h[u] = y[u];
}

#define RNN(units, option, source) {EL_RNN, units, option, 1, {source}}
#define HEAD(units, source) {EL_DENSE, units, EL_NONE, 1, {source}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(RNN(1, EL_TANH, 0))},
    {3, 2, 0, LAYERS(RNN(7, EL_RELU, 0), HEAD(2, 1))},
    {6, 3, 0, LAYERS(RNN(17, EL_TANH, 0), RNN(33, EL_TANH, 1), HEAD(4, 2))},
    {5, 2, 0, LAYERS(RNN(64, EL_RELU, 0), HEAD(3, 1))},
    {4, 3, 0,
     LAYERS(RNN(5, EL_RELU, 0), {EL_LSTM, 8, 0, 2, {1, 0}}, {EL_RNN, 9, EL_TANH, 2, {1, 2}})},
};

/* An activation that an RNN has not. */
static void check(const char *kernel) {
    for (uint32_t option = EL_NONE; option <= EL_SIGMOID + 1; option++) {
        const int known = option == EL_TANH || option == EL_RELU;
        const el_network network = {1, 1, 0, LAYERS(RNN(1, option, 0))};
        size_t bytes;
        snprintf(where, sizeof where, "%s, option %u", kernel, option);
        STATUS(el_model_bytes(&network, kernel, &bytes), known ? EL_OK : EL_BAD_LAYER);
    }
}

static const shape shapes[] = {{{1, 1, 0}, 1}};
const textbook textbook_rnn = {
    shapes, 1, 1, -1, networks, sizeof networks / sizeof *networks, step, check, NULL, NULL};
