/* Dense: y = activation(x W + b).
 *
 * W (inputs, units), b (units). No states. Option: the activation.
 */
#include "tiles.h"

#define FORM(option)                                                                               \
    {                                                                                              \
        .columns = {1, 0}, .biases = 1, .stages = 1,                                               \
        .stage = {{.sums = 1,                                                                      \
                   .bias = {1},                                                                    \
                   .product = {[INPUT] = {0, 1, {0}}},                                             \
                   .factor = {ACTIVATION_FACTOR(option)}}},                                        \
    }
static const form forms[] = {FORM(EL_NONE), FORM(EL_TANH), FORM(EL_RELU), FORM(EL_SIGMOID)};

/* Tiles of either width, in four chains. Values behind the last four are for the first chain. */
#define TILE(name, vector)                                                                         \
    INLINE void name(const unsigned S, const vectors *m, const char *at, uint32_t stream,          \
                     uint32_t unit) {                                                              \
        const unsigned K = 4;                                                                      \
        const uint32_t n = m->n[INPUT];                                                            \
        const vector *w = (const vector *)(const void *)at;                                        \
        const float *v[GROUP];                                                                     \
        vector a[4][GROUP];                                                                        \
        STREAM_LOOP v[s] = m->v[INPUT] + (size_t)(stream + s) * m->row[INPUT];                     \
        CHAIN_LOOP STREAM_LOOP a[k][s] = k ? (vector){0} : *w;                                     \
        uint32_t j = 0;                                                                            \
        for (w++; j + K <= n; j += K, w += K)                                                      \
            CHAIN_LOOP STREAM_LOOP a[k][s] += w[k] * v[s][j + k];                                  \
        for (; j < n; j++, w++) STREAM_LOOP a[0][s] += *w * v[s][j];                               \
        STREAM_LOOP *(vector *)(m->h + (size_t)(stream + s) * m->row[BEFORE] + unit) =             \
            (a[0][s] + a[1][s]) + (a[2][s] + a[3][s]);                                             \
    }
TILE(wide, vf)
TILE(narrow, v4)

static void step(const el_state *state, const work *w, const char *weights) {
    const stage *const of = &forms[0].stage[0];
    if (tile_lanes(0, w->units, EL_LANES) == 4) {
        const vectors m = begin_layer(state, w, 0, 4);
        each_tile(narrow, of, &m, weights, 4);
    } else {
        const vectors m = begin_layer(state, w, 0, EL_LANES);
        each_tile(wide, of, &m, weights, EL_LANES);
    }
    activate(state, w);
}

const layer_type EL_OWN(dense) = {4, forms, step};
