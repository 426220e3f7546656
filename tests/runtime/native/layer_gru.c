/* GRU as in a textbook, with its reset gate before and after the product. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    const uint32_t H = l->layer->units;
    const float *const b = biases(l);
    double *const h = states, *const r = doubles(H), *const z = doubles(H), *const rh = doubles(H);
    naive_layer of_rh = *l; /* r h is not the kernel's own, and so not exact */
    of_rh.margin = 1e-4;
    for (uint32_t u = 0; u < H; u++) {
        r[u] = logistic((double)b[u] + product(l, 0, x, u) + product(l, 1, h, u));
        z[u] = logistic((double)b[H + u] + product(l, 0, x, H + u) + product(l, 1, h, H + u));
        rh[u] = r[u] * h[u];
    }
    for (uint32_t u = 0; u < H; u++) {
        const uint32_t column = 2 * H + u;
        const double of_x = (double)b[column] + product(l, 0, x, column);
        const double of_h = l->layer->option
                                ? r[u] * (product(l, 1, h, column) + (double)b[3 * H + u])
                                : product(&of_rh, 2, rh, u);
        y[u] = (1.0 - z[u]) * tanh(of_x + of_h) + z[u] * h[u];
    }
    for (uint32_t u = 0; u < H; u++) h[u] = y[u];
    free(r), free(z), free(rh);
}

#define GRU(units, option, source) {EL_GRU, units, option, 1, {source}}
#define HEAD(units, source) {EL_DENSE, units, EL_NONE, 1, {source}}
static const el_network networks[] = {
    {1, 1, 0, LAYERS(GRU(1, 0, 0))},
    {1, 1, 0, LAYERS(GRU(1, 1, 0))},
    {3, 2, 0, LAYERS(GRU(7, 1, 0), HEAD(2, 1))},
    {4, 2, 0, LAYERS(GRU(9, 0, 0), HEAD(3, 1))},
    {6, 3, 0, LAYERS(GRU(17, 1, 0), GRU(16, 0, 1), HEAD(4, 2))},
    {5, 3, 0, LAYERS(GRU(33, 0, 0), GRU(64, 1, 1), HEAD(3, 2))},
    {4, 4, 0,
     LAYERS(GRU(5, 0, 0), {EL_LSTM, 8, 0, 2, {1, 0}}, {EL_GRU, 20, 0, 3, {0, 2, 1}}, HEAD(2, 3))},
};

/* h beyond 1, as a caller may set it: z keeps it, or it is gone. */
static void check(const char *kernel) {
    for (uint32_t option = 0; option < 2; option++) {
        const el_network network = {1, 1, 0, LAYERS(GRU(1, option, 0))};
        net n = make_net(&network, EL_FLOAT32);
        for (int keeps = 0; keeps < 2; keeps++) {
            /* W_x and the rest of 3 columns are 0; of the biases, z and n are not. */
            const float z = keeps ? 200.0f : -200.0f, values[] = {0, 0, 0, 0, 0, 0, 0, z, 5, 0};
            for (size_t k = 0; k < n.count; k++) n.weights[k] = values[k];
            describe(kernel, &n, 1);
            el_model *const model = make_model(&n, kernel, NULL);
            el_state *const state = make_state(model, kernel, 1);
            const float large = 1e30f, x = 0.5f;
            float y;
            OK(el_set_state(model, state, 0, &large));
            OK(el_step(model, state, &x, &y));
            const double expected = keeps ? 1e30 : tanh(5.0), given = keeps ? 1e30 : 1e30 * 2.3e-13;
            if (!(fabs((double)y - expected) <= (keeps ? 1e24 : given)))
                FAIL("h is %.9g, expected %.9g", (double)y, expected);
            free(model), free(state);
        }
        free(n.weights);
    }
}

static const shape shapes[] = {{{3, 2, 1}, 3}, {{3, 3, 0}, 4}};
const textbook textbook_gru = {
    shapes, 2, 1, 1 /* z */, networks, sizeof networks / sizeof *networks, step, check, NULL, NULL};
