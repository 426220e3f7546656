/* LSTM as in a textbook, and its gates one by one. */
#include "suite.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void step(const naive_layer *l, const double *x, double *states, double *y) {
    const uint32_t H = l->layer->units;
    const float *const b = biases(l);
    double *const h = states, *const c = states + H, *const a = doubles(4 * (size_t)H);
    for (uint32_t u = 0; u < 4 * H; u++)
        a[u] = (double)b[u] + product(l, 0, x, u) + product(l, 1, h, u);
    for (uint32_t u = 0; u < H; u++) {
        const double i = logistic(a[u]), f = logistic(a[H + u]);
        const double g = tanh(a[2 * H + u]), o = logistic(a[3 * H + u]);
        c[u] = f * c[u] + i * g;
        y[u] = h[u] = o * tanh(c[u]);
    }
    free(a);
}

#define LSTM(units, source) {EL_LSTM, units, 0, 1, {source}}
#define HEAD(units, source) {EL_DENSE, units, EL_NONE, 1, {source}}
static const el_network networks[] = {
    {1, 2, 0, LAYERS(LSTM(1, 0), HEAD(1, 1))},
    {3, 2, 0, LAYERS(LSTM(7, 0), HEAD(2, 1))},
    {2, 4, 0, LAYERS(LSTM(5, 0), LSTM(5, 1), LSTM(5, 2), HEAD(1, 3))},
    {7, 3, 0, LAYERS(LSTM(16, 0), LSTM(16, 1), HEAD(5, 2))},
    {6, 3, 0, LAYERS(LSTM(17, 0), LSTM(17, 1), HEAD(4, 2))},
    {5, 2, 0, LAYERS(LSTM(33, 0), HEAD(3, 1))},
    {9, 2, 0, LAYERS(LSTM(64, 0), HEAD(8, 1))},
    {4, 4, 0, LAYERS(LSTM(31, 0), LSTM(31, 1), LSTM(31, 2), HEAD(3, 3))},
    {33, 3, 0, LAYERS(LSTM(48, 0), LSTM(48, 1), HEAD(1, 2))},
    {3, 1, 0, LAYERS(LSTM(6, 0))},                                       /* y is h */
    {5, 4, 0, LAYERS(LSTM(40, 0), LSTM(3, 1), LSTM(18, 2), HEAD(2, 3))}, /* unequal */
};

/* A net of one unit, whose gate `gate` alone depends on x; the others have their biases. -> its
 * model. */
static el_model *one_gate(const char *kernel, unsigned gate, float i, float f, float g, float o) {
    net n = make_net(&networks[0], EL_FLOAT32);
    const float weights[] = {0, 0, 0, 0, 0, 0, 0, 0, i, f, g, o, 1, 0};
    memcpy(n.weights, weights, sizeof weights);
    n.weights[gate] = 1;
    el_model *const model = make_model(&n, kernel, NULL);
    free(n.weights);
    return model;
}

/* sigmoid in i, f and o, tanh in g and of c, over all that matters: 40 and -200 saturate the gates
 * that stand still. The least that a sigmoid gives is 2^-42, 2.3e-13. */
static void check(const char *kernel) {
    enum { STREAMS = 4096 };
    static const struct {
        const char *name;
        int gate, is_tanh,
            in_h; /* gate -1: none, c is set instead; in_h: to be seen in h, else in c */
        float i, f, g, o, c;
    } cases[] = {{"sigmoid of i", 0, 0, 0, 0, -200, 40, 0, 0},
                 {"sigmoid of f", 1, 0, 0, -200, 0, 0, 0, 1},
                 {"tanh of g", 2, 1, 0, 40, -200, 0, 0, 0},
                 {"sigmoid of o", 3, 0, 1, -200, 40, 0, 0, 50},
                 {"tanh of c", -1, 1, 1, -200, 40, 0, 40, 0}};
    float *const x = floats(STREAMS), *const y = floats(STREAMS),
                 *const arguments = floats(STREAMS);
    float *const state = floats(2 * STREAMS); /* h and c of each stream */
    snprintf(where, sizeof where, "%s, gates", kernel);
    seed(5);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const int of_c = cases[k].gate < 0;
        el_model *const model = one_gate(kernel, of_c ? 0 : (unsigned)cases[k].gate, cases[k].i,
                                         cases[k].f, cases[k].g, cases[k].o);
        el_state *const all = make_state(model, kernel, STREAMS);
        double worst = 0, at = 0;
        for (size_t round = 0; round < (step_count + 3) / 4; round++) {
            for (size_t s = 0; s < STREAMS;
                 s++) { /* half over -20 ... 20, half over the exponents */
                const float sign = uniform(-1, 1) < 0 ? -1.0f : 1.0f;
                arguments[s] =
                    s % 2 ? (float)uniform(-20, 20) : sign * (float)exp2(uniform(-126, 100));
            }
            if (round == 0) {
                static const float special[] = {0,      -0.0f, FLT_MIN, -FLT_MIN, 1e-45f, 1e30f,
                                                -1e30f, 87,    88,      89,       -87,    -88,
                                                -89,    104,   -104,    60.5f,    -60.5f};
                memcpy(arguments, special, sizeof special);
            }
            for (size_t s = 0; s < STREAMS; s++) {
                x[s] = of_c ? 0.0f : arguments[s];
                state[2 * s] = 0.0f, state[2 * s + 1] = of_c ? arguments[s] : cases[k].c;
            }
            OK(el_set_state(model, all, EL_ALL, state));
            OK(el_step(model, all, x, y));
            OK(el_get_state(model, all, EL_ALL, state));
            for (size_t s = 0; s < STREAMS; s++) {
                const double a = (double)arguments[s],
                             expected = cases[k].is_tanh ? tanh(a) : logistic(a);
                const double actual = (double)state[2 * s + !cases[k].in_h],
                             off = fabs(actual - expected);
                if (!(off <= worst)) worst = off, at = a;
                if (fabs(a) >= 100 && actual != (a > 0 ? 1.0 : cases[k].is_tanh ? -1.0 : actual))
                    FAIL("%s of %g is %.9g", cases[k].name, a, actual);
                if (a <= -100 && !cases[k].is_tanh && !(actual >= 0 && actual < 3e-13))
                    FAIL("%s of %g is %.9g", cases[k].name, a, actual);
            }
        }
        printf("%-9s %s: at most %.2e off, at %.9g\n", kernel, cases[k].name, worst, at);
        if (!(worst <= GATE_LIMIT))
            FAIL("%s off by %.3g at %.9g, limit %.3g", cases[k].name, worst, at, GATE_LIMIT);
        free(model), free(all);
    }
    free(x), free(y), free(arguments), free(state);
}

static const shape shapes[] = {{{4, 4, 0}, 4}};
const textbook textbook_lstm = {shapes,   1, 2, 1 /* the forget gate */,
                                networks, sizeof networks / sizeof *networks,
                                step,     check, NULL, NULL};
