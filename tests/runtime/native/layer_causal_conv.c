/* Causal convolution as in a textbook: the past is moved on by one step. */
#include "suite.h"

#include <stdlib.h>
#include <string.h>

static uint32_t kernel_of(const el_layer *l) { return l->option % 16384 + 1; }
static uint32_t dilation_of(const el_layer *l) { return l->option / 16384 % 16384 + 1; }
static uint32_t rows(const el_layer *l, uint32_t inputs) { return kernel_of(l) * inputs; }
static uint32_t past(const el_layer *l, uint32_t inputs) {
    return (kernel_of(l) - 1) * dilation_of(l) * inputs;
}

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    const uint32_t n = l->inputs, all = past(l->layer, n), kernel = kernel_of(l->layer);
    double *const taps = doubles(kernel * (size_t)n);
    for (uint32_t k = 0; k + 1 < kernel; k++)
        memcpy(taps + k * n, states + k * dilation_of(l->layer) * n, sizeof *taps * n);
    memcpy(taps + (kernel - 1) * n, x, sizeof *taps * n);
    for (uint32_t u = 0; u < l->layer->units; u++)
        y[u] = activated(l->layer->option >> 28, (double)biases(l)[u] + product(l, 0, taps, u));
    memmove(states, states + n, sizeof *states * (all - n));
    memcpy(states + all - n, x, sizeof *states * n);
    free(taps);
}

#define CONV(units, kernel, dilation, activation, source)                                          \
    {EL_CAUSAL_CONV, units, EL_CONV(kernel, dilation, activation), 1, {source}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(CONV(1, 2, 1, EL_NONE, 0))},
    {3, 1, 0, LAYERS(CONV(19, 3, 2, EL_TANH, 0))},
    {5, 2, 0, LAYERS(CONV(4, 4, 3, EL_SIGMOID, 0), {EL_LSTM, 3, 0, 1, {1}})},
    {4, 3, 0,
     LAYERS({EL_LSTM, 7, 0, 1, {0}}, {EL_CAUSAL_CONV, 17, EL_CONV(2, 7, EL_RELU), 2, {0, 1}},
            CONV(2, 5, 1, EL_NONE, 2))},
    /* A temporal convolutional net; its last layer is not the one with the longest past. */
    {2, 4, 0,
     LAYERS(CONV(8, 2, 1, EL_RELU, 0), CONV(8, 2, 8, EL_RELU, 1), CONV(9, 2, 4, EL_TANH, 2),
            {EL_LSTM, 5, 0, 2, {3, 0}})},
};

static void check(const char *kernel) {
    const el_network wrong[] = {
        {3, 1, 0, LAYERS(CONV(3, 1, 1, EL_NONE, 0))},
        {3, 1, 0, LAYERS(CONV(3, 2, 1, 4, 0))},
        {3, 1, 0, LAYERS(CONV(3, 2, 1, 15, 0))},
        {1, 1, 0, LAYERS(CONV(3, 16384, 16384, EL_NONE, 0))},
        {16384, 1, 0, LAYERS(CONV(3, 16384, 16384, EL_NONE, 0))},
        {129, 1, 0, LAYERS(CONV(3, 128, 1, EL_NONE, 0))}, /* 16,512 values are multiplied */
        {65, 1, 0, LAYERS(CONV(3, 2, 16384, EL_NONE, 0))}, /* a past of 1,064,960 values */
    };
    for (unsigned k = 0; k < sizeof wrong / sizeof *wrong; k++)
        check_refused(kernel, &wrong[k], k < 3 ? EL_BAD_LAYER : EL_BAD_SIZE);
    check_refused(kernel, &(el_network){64, 1, 0, LAYERS(CONV(3, 2, 16384, EL_NONE, 0))}, EL_OK);
    check_refused(kernel, &(el_network){128, 1, 0, LAYERS(CONV(3, 128, 1, EL_NONE, 0))}, EL_OK);
}

static const shape shapes[] = {{{1, 0, 0}, 1}};
const textbook textbook_causal_conv = {
    shapes, 1, 0, -1, networks, sizeof networks / sizeof *networks, step, check, rows, past};
