/* GRU (Cho et al., 2014): r, z = sigmoid(x W_x + h W_h + b), h' = n + z (h - n).
 *
 * Option, as ONNX's linear_before_reset:
 *     1    n = tanh(x W_xn + b_xn + r (h W_hn + b_hn)), as in PyTorch
 *     0    n = tanh(x W_xn + (r h) W_n + b_n)
 * W_x (inputs, 3 units) has the columns of r, z, n in this order. With option 1, so has
 * W_h (units, 3 units), and b (4 units) is r, z, n of x, n of h. With option 0, W_h (units, 2
 * units) has r and z, W_n (units, units) is a matrix of its own, and b (3 units) is r, z, n.
 * State: h, which is the output.
 */
#include "tiles.h"

enum { BEFORE_PRODUCT, AFTER_PRODUCT }; /* options: where r is applied */
enum { R_BIAS = 1, Z_BIAS = 2, N_BIAS = 4, HN_BIAS = 8 };

static const form forms[] = {
    [BEFORE_PRODUCT] =
        {
            .columns = {[INPUT] = 3, [BEFORE] = 2, [MADE] = 1},
            .biases = 3,
            .states = 1,
            .made = 3, /* r h, and the sums of n and z */
            .stages = 2,
            .stage = {{
                          .sums = 3, /* n without r h, r, z */
                          .bias = {N_BIAS, R_BIAS, Z_BIAS},
                          .product = {[INPUT] = {0, 3, {2, 0, 1}}, [BEFORE] = {1, 2, {0, 1}}},
                          .factor = {TANH_FACTOR, SIGMOID_FACTOR, SIGMOID_FACTOR},
                      },
                      {
                          .sums = 1, /* the rest of n */
                          .product = {[MADE] = {0, 1, {0}}},
                          .factor = {TANH_FACTOR},
                      }},
        },
    [AFTER_PRODUCT] =
        {
            .columns = {[INPUT] = 3, [BEFORE] = 3},
            .biases = 4,
            .states = 1,
            .stages = 1,
            .stage = {{
                .sums = 4, /* n of x, r, z, n of h */
                .bias = {N_BIAS, R_BIAS, Z_BIAS, HN_BIAS},
                .product = {[INPUT] = {0, 3, {2, 0, 1}}, [BEFORE] = {1, 3, {0, 1, 2}}},
                .factor = {TANH_FACTOR, SIGMOID_FACTOR, SIGMOID_FACTOR, TANH_FACTOR},
            }},
        },
};

/* The sums of n and z, scaled as the weights are, and h -> the new h. */
INLINE vf mix(vf n, vf z, vf h) {
    const vf en = power_of_two(n), ez = power_of_two(z), gate = 1.0f / (1.0f + ez);
    return (1.0f - en) / (1.0f + en) * (ez * gate) + gate * h; /* n (1 - z) + z h */
}

INLINE void after(const unsigned S, const vectors *m, const char *at, uint32_t stream,
                  uint32_t unit) {
    const stage *const of = &forms[AFTER_PRODUCT].stage[0];
    const unsigned K = S == 1 ? 2 : 1;
    sums a;
    sum(S, K, of, m, at, stream, a);
    STREAM_LOOP {
        const size_t here = (size_t)(stream + s) * m->row[BEFORE] + unit;
        const vf h = *(const vf *)(m->v[BEFORE] + here), *const sum = a[0][s];
        const vf r = 1.0f / (1.0f + power_of_two(sum[1]));
        *(vf *)(m->h + here) = mix(sum[0] + r * sum[3], sum[2], h);
    }
}

INLINE void first(const unsigned S, const vectors *m, const char *at, uint32_t stream,
                  uint32_t unit) {
    const stage *const of = &forms[BEFORE_PRODUCT].stage[0];
    const unsigned K = S == 1 ? 2 : 1;
    sums a;
    sum(S, K, of, m, at, stream, a);
    STREAM_LOOP {
        const size_t here = (size_t)(stream + s) * m->row[BEFORE] + unit;
        const size_t rows = (size_t)m->streams * m->row[BEFORE];
        const vf h = *(const vf *)(m->v[BEFORE] + here), *const sum = a[0][s];
        float *const made = m->state->made + here;
        *(vf *)made = h / (1.0f + power_of_two(sum[1]));
        *(vf *)(made + rows) = sum[0], *(vf *)(made + 2 * rows) = sum[2];
    }
}

INLINE void second(const unsigned S, const vectors *m, const char *at, uint32_t stream,
                   uint32_t unit) {
    const stage *const of = &forms[BEFORE_PRODUCT].stage[1];
    const unsigned K = S == 1 ? 4 : S == 2 ? 2 : 1;
    sums a;
    sum(S, K, of, m, at, stream, a);
    STREAM_LOOP {
        const size_t here = (size_t)(stream + s) * m->row[BEFORE] + unit;
        const size_t rows = (size_t)m->streams * m->row[BEFORE];
        const vf h = *(const vf *)(m->v[BEFORE] + here);
        const float *const made = m->state->made + here;
        const vf n = *(const vf *)(made + rows), z = *(const vf *)(made + 2 * rows);
        *(vf *)(m->h + here) = mix(a[0][s][0] + n, z, h);
    }
}

static void step(const el_state *state, const work *w, const char *weights) {
    const vectors m = begin_layer(state, w, 1, EL_LANES);
    if (w->option == AFTER_PRODUCT) {
        each_tile(after, &forms[AFTER_PRODUCT].stage[0], &m, weights, EL_LANES);
    } else {
        const stage *const of = forms[BEFORE_PRODUCT].stage;
        weights = each_tile(first, of, &m, weights, EL_LANES);
        if (m.as.is_int8) quantize_rows(&m, MADE);
        each_tile(second, of + 1, &m, weights, EL_LANES);
    }
}

const layer_type EL_OWN(gru) = {2, forms, step, NULL};
