/* Combine as in a textbook: sums, products, and inputs side by side. */
#include "suite.h"

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    (void)states;
    const uint32_t n = l->layer->units;
    for (uint32_t u = 0; u < n; u++) {
        y[u] = x[u];
        for (uint32_t k = n + u; k < l->inputs; k += n)
            y[u] = l->layer->option == EL_ADD ? y[u] + x[k] : y[u] * x[k];
    }
}

#define DENSE(units, source) {EL_DENSE, units, EL_TANH, 1, {source}}
#define OF(units, option, count, ...) {EL_COMBINE, units, option, count, {__VA_ARGS__}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(OF(1, EL_ADD, 1, 0))},
    {5, 2, 0, LAYERS(DENSE(5, 0), OF(5, EL_ADD, 2, 0, 1))},
    {3, 3, 0, LAYERS(DENSE(3, 0), DENSE(3, 1), OF(3, EL_MUL, 4, 0, 1, 2, 1))},
    {19, 2, 0, LAYERS({EL_LSTM, 19, 0, 1, {0}}, OF(19, EL_MUL, 2, 0, 1))},
    {4, 4, 0,
     LAYERS(DENSE(7, 0), {EL_LSTM, 18, 0, 1, {1}}, OF(29, EL_CONCAT, 3, 2, 0, 1), DENSE(2, 3))},
    /* It is read by a layer that multiplies its state, which its input is filled up for. */
    {3, 3, 0,
     LAYERS(OF(6, EL_CONCAT, 2, 0, 0), OF(6, EL_ADD, 2, 1, 1), {EL_LSTM, 5, 0, 2, {2, 1}})},
};

static void check(const char *kernel) {
    const el_network wrong[] = {
        {3, 1, 0, LAYERS(OF(3, 3, 1, 0))},
        {3, 1, 0, LAYERS(OF(4, EL_ADD, 1, 0))},
        {3, 1, 0, LAYERS(OF(6, EL_ADD, 2, 0, 0))},
        {3, 1, 0, LAYERS(OF(3, EL_CONCAT, 2, 0, 0))},
        {3, 2, 0, LAYERS(DENSE(5, 0), OF(4, EL_MUL, 2, 0, 1))}, /* 3 and 5 are 2 times 4 */
    };
    for (unsigned k = 0; k < sizeof wrong / sizeof *wrong; k++)
        check_refused(kernel, &wrong[k], k ? EL_BAD_SIZE : EL_BAD_LAYER);
}

static const shape shapes[] = {{{0, 0, 0}, 0}};
const textbook textbook_combine = {
    shapes, 1, 0, -1, networks, sizeof networks / sizeof *networks, step, check, NULL, NULL};
