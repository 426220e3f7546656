/* Embedding as in a textbook: each row by its distance from x. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t rows(const el_layer *l, uint32_t inputs) { return (void)inputs, l->option; }

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    (void)states;
    const uint32_t n = l->layer->units;
    for (uint32_t u = 0; u < n; u++) {
        y[u] = 0.0;
        for (uint32_t k = 0; k < l->layer->option; k++)
            y[u] += fmax(0.0, 1.0 - fabs(x[0] - k)) * (double)l->weights[k * n + u];
    }
}

#define EMBEDDING(units, rows, source) {EL_EMBEDDING, units, rows, 1, {source}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(EMBEDDING(1, 1, 0))},
    {1, 2, 0, LAYERS(EMBEDDING(3, 2, 0), {EL_LSTM, 5, 0, 1, {1}})},
    {1, 1, 0, LAYERS(EMBEDDING(19, 3, 0))},
    {4, 3, 0,
     LAYERS({EL_DENSE, 1, 0, 1, {0}}, EMBEDDING(33, 2, 1), {EL_LSTM, 4, 0, 2, {2, 1}})},
};

/* Whole numbers, and any other float: no place outside of the table is read. */
static void check(const char *kernel) {
    enum { ROWS = 5, UNITS = 6 };
    check_refused(kernel, &(el_network){2, 1, 0, LAYERS(EMBEDDING(3, 4, 0))}, EL_BAD_SIZE);
    check_refused(kernel, &(el_network){1, 1, 0, LAYERS(EMBEDDING(3, 0, 0))}, EL_BAD_SIZE);
    check_refused(kernel, &(el_network){1, 1, 0, LAYERS(EMBEDDING(3, 16385, 0))}, EL_BAD_SIZE);
    check_refused(kernel, &(el_network){1, 1, 0, LAYERS(EMBEDDING(3, 16384, 0))}, EL_OK);
    /* A scale by 1e38 makes any float of a finite one. */
    const el_network network = {
        1, 2, 0, LAYERS({EL_SCALE, 1, EL_NONE, 1, {0}}, EMBEDDING(UNITS, ROWS, 1))};
    net n = make_net(&network, EL_FLOAT32);
    describe(kernel, &n, 1);
    float y[UNITS];
    for (unsigned huge = 0; huge < 2; huge++) {
        n.weights[0] = huge ? 5e37f : 1.0f, n.weights[1] = 0.0f;
        el_model *const model = make_model(&n, kernel, NULL);
        el_state *const state = make_state(model, kernel, 1);
        for (int k = -3; k < ROWS + 3; k++) {
            const float x = huge && k > 2 ? 3e38f : (float)k;
            OK(el_step(model, state, &x, y));
            for (unsigned u = 0; u < UNITS; u++) {
                const int inside = k >= 0 && k < ROWS && (!huge || k == 0);
                const float expected = inside ? n.weights[2 + k * UNITS + (int)u] : 0.0f;
                if (y[u] < expected || y[u] > expected || y[u] != y[u])
                    FAIL("row %d has %g, expected %g", k, (double)y[u], (double)expected);
            }
        }
        free(model), free(state);
    }
    free(n.weights);
}

static const shape shapes[] = {{{1, 0, 0}, 0}};
const textbook textbook_embedding = {
    shapes, 1, 0, -1, networks, sizeof networks / sizeof *networks, step, check, rows, NULL};
