/* LSTM (Hochreiter and Schmidhuber, 1997; Gers, Schmidhuber and Cummins, 2000):
 * i, f, o = sigmoid(x W_x + h W_h + b), g = tanh(x W_x + h W_h + b),
 * c' = f c + i g, h' = o tanh(c').
 *
 * W_x (inputs, 4 units), W_h (units, 4 units) and b (4 units) have the columns of i, f, g, o in
 * this order. States: h, which is the output, and c. Option: 0.
 */
#include "tiles.h"

static const form forms[] = {{
    .columns = {4, 4},
    .biases = 4,
    .states = 2,
    .stages = 1,
    .stage = {{
        .sums = 4,
        .bias = {1 << 0, 1 << 1, 1 << 2, 1 << 3},
        .product = {[INPUT] = {0, 4, {0, 1, 2, 3}}, [BEFORE] = {0, 4, {0, 1, 2, 3}}},
        .factor = {SIGMOID_FACTOR, SIGMOID_FACTOR, TANH_FACTOR, SIGMOID_FACTOR},
    }},
}};

/* The gates of a tile, scaled as the weights are, and c -> the new c and h. */
INLINE void cell(const vf a[4], float *c_memory, float *h_memory) {
    vf *const c = (vf *)c_memory, *const h = (vf *)h_memory;
    const vf ei = power_of_two(a[0]), ef = power_of_two(a[1]);
    const vf eg = power_of_two(a[2]), eo = power_of_two(a[3]);
    *c = *c / (1.0f + ef) + (1.0f - eg) / ((1.0f + ei) * (1.0f + eg)); /* f * c + i * g */
    const vf ec = power_of_two(*c * (float)TANH_FACTOR);
    *h = (1.0f - ec) / ((1.0f + eo) * (1.0f + ec)); /* o * tanh(c) */
}

INLINE void make(const unsigned S, const vectors *m, const char *at, uint32_t stream,
                 uint32_t unit) {
    const stage *const of = &forms[0].stage[0];
    const unsigned K = S == 1 ? 2 : 1;
    sums a;
    sum(S, K, of, m, at, stream, a);
    STREAM_LOOP {
        const size_t here = (size_t)(stream + s) * m->row[BEFORE] + unit;
        cell(a[0][s], m->further + here, m->h + here);
    }
}

static void step(const el_state *state, const work *w, const char *weights) {
    const vectors m = begin_layer(state, w, 2, EL_LANES);
    each_tile(make, &forms[0].stage[0], &m, weights, EL_LANES);
}

const layer_type EL_OWN(lstm) = {1, forms, step, NULL};
