/* Dense as in a textbook: alone, before and behind recurrent layers, with each activation, and with
 * several sources. */
#include "suite.h"

#include <math.h>

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    (void)states;
    for (uint32_t u = 0; u < l->layer->units; u++) {
        const double a = (double)biases(l)[u] + product(l, 0, x, u);
        switch (l->layer->option) {
        case EL_NONE:
            y[u] = a;
            break;
        case EL_TANH:
            y[u] = tanh(a);
            break;
        case EL_RELU:
            y[u] = a > 0.0 ? a : 0.0;
            break;
        default:
            y[u] = logistic(a);
        }
    }
}

#define LSTM(units, source) {EL_LSTM, units, 0, 1, {source}}
#define DENSE(units, option, source) {EL_DENSE, units, option, 1, {source}}
#define JOINED(type, units, option, ...) {type, units, option, 2, {__VA_ARGS__}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(DENSE(1, EL_NONE, 0))},
    {5, 1, 0, LAYERS(DENSE(3, EL_TANH, 0))},
    {6, 1, 0, LAYERS(DENSE(19, EL_RELU, 0))},
    {7, 1, 0, LAYERS(DENSE(33, EL_SIGMOID, 0))},
    {3, 3, 0, LAYERS(DENSE(9, EL_TANH, 0), LSTM(12, 1), DENSE(2, EL_NONE, 2))},
    {4, 4, 0,
     LAYERS(DENSE(6, EL_SIGMOID, 0), LSTM(5, 1), DENSE(7, EL_RELU, 2), DENSE(3, EL_TANH, 3))},
    /* The model's input beside what the layer before made of it; then both layers. */
    {5, 3, 0, LAYERS(LSTM(7, 0), JOINED(EL_LSTM, 11, 0, 0, 1), JOINED(EL_DENSE, 4, EL_NONE, 2, 1))},
    {2, 4, 0,
     LAYERS(DENSE(21, EL_SIGMOID, 0), LSTM(4, 1), {EL_LSTM, 9, 0, 4, {1, 2, 0, 1}},
            JOINED(EL_DENSE, 5, EL_TANH, 3, 0))},
    /* The last layer is not the only one that nobody reads. */
    {3, 3, 0, LAYERS(LSTM(8, 0), LSTM(3, 0), DENSE(2, EL_NONE, 1))},
};

static const shape shapes[] = {{{1, 0, 0}, 1}};
const textbook textbook_dense = {
    shapes, 1, 0, -1, networks, sizeof networks / sizeof *networks, step, NULL, NULL, NULL};
