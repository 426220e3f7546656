/* PReLU (He et al., 2015): y = x above 0, x slope below.
 *
 * Weights: slope (units). No states. Option: 0. It reads `units` values.
 */
#include "tiles.h"

static const form forms[] = {{
    .biases = 1,
    .stages = 1,
    .stage = {{.sums = 1, .bias = {1}, .factor = {1.0}}},
}};

static el_status read(const el_layer *layer, const uint32_t *sizes, facts *to) {
    (void)sizes;
    if (layer->option) return EL_BAD_LAYER;
    return to->inputs == layer->units ? EL_OK : EL_BAD_SIZE;
}

/* NaN is not below 0, and stays. */
#define TILE(name, vector, integers)                                                               \
    INLINE void name(const unsigned S, const vectors *m, const char *at, uint32_t stream,          \
                     uint32_t unit) {                                                              \
        const vector slope = *(const vector *)(const void *)at;                                    \
        for (unsigned s = 0; s < S; s++) {                                                         \
            const size_t row = stream + s;                                                         \
            const vector x = *(const vector *)(m->v[INPUT] + row * m->row[INPUT] + unit);          \
            const integers below = x < 0.0f;                                                       \
            *(vector *)(m->h + row * m->row[BEFORE] + unit) =                                      \
                (vector)((below & (integers)(x * slope)) | (~below & (integers)x));                \
        }                                                                                          \
    }
TILE(wide, vf, vi)
TILE(narrow, v4, i4)

static void step(const el_state *state, const work *w, const char *weights) {
    const vectors m = begin_plain(state, w);
    each_plain_tile(wide, narrow, &forms[0].stage[0], &m, weights, w->units);
}

const layer_type EL_OWN(prelu) = {0, forms, step, read};
