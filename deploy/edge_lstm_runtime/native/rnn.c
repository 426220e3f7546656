/* RNN (Elman, 1990): h' = activation(x W_x + h W_h + b).
 *
 * W_x (inputs, units), W_h (units, units), b (units). State: h, which is the output. Option: the
 * activation, EL_TANH or EL_RELU.
 */
#include "tiles.h"

#define FORM(option)                                                                               \
    {                                                                                              \
        .columns = {[INPUT] = 1, [BEFORE] = 1}, .biases = 1, .states = 1, .stages = 1,             \
        .stage = {{.sums = 1,                                                                      \
                   .bias = {1},                                                                    \
                   .product = {[INPUT] = {0, 1, {0}}, [BEFORE] = {0, 1, {0}}},                     \
                   .factor = {ACTIVATION_FACTOR(option)}}},                                        \
    }
static const form forms[] = {[EL_TANH] = FORM(EL_TANH), [EL_RELU] = FORM(EL_RELU)};

/* Both options have the same sums. */
INLINE void make(const unsigned S, const vectors *m, const char *at, uint32_t stream,
                 uint32_t unit) {
    const stage *const of = &forms[EL_TANH].stage[0];
    const unsigned K = S == 1 ? 4 : 2;
    sums a;
    sum(S, K, of, m, at, stream, a);
    STREAM_LOOP *(vf *)(m->h + (size_t)(stream + s) * m->row[BEFORE] + unit) = a[0][s][0];
}

static void step(const el_state *state, const work *w, const char *weights) {
    const vectors m = begin_layer(state, w, 1, EL_LANES);
    each_tile(make, &forms[EL_TANH].stage[0], &m, weights, EL_LANES);
    activate(state, w, w->option);
}

const layer_type EL_OWN(rnn) = {sizeof forms / sizeof *forms, forms, step, NULL};
