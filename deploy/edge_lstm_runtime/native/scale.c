/* Scale: y = activation(x a + b), each value by itself.
 *
 * Weights: a (units), b (units). No states. Option: the activation. It reads `units` values.
 */
#include "tiles.h"

#define FORM(option)                                                                               \
    {                                                                                              \
        .biases = 2, .stages = 1,                                                                  \
        .stage = {{.sums = 2,                                                                      \
                   .bias = {1 << 0, 1 << 1},                                                       \
                   .factor = {ACTIVATION_FACTOR(option), ACTIVATION_FACTOR(option)}}},             \
    }
static const form forms[] = {FORM(EL_NONE), FORM(EL_TANH), FORM(EL_RELU), FORM(EL_SIGMOID)};

static el_status read(const el_layer *layer, const uint32_t *sizes, facts *to) {
    (void)sizes;
    if (layer->option > EL_SIGMOID) return EL_BAD_LAYER;
    to->form += layer->option;
    return to->inputs == layer->units ? EL_OK : EL_BAD_SIZE;
}

#define TILE(name, vector)                                                                         \
    INLINE void name(const unsigned S, const vectors *m, const char *at, uint32_t stream,          \
                     uint32_t unit) {                                                              \
        const vector *const ab = (const vector *)(const void *)at;                                 \
        for (unsigned s = 0; s < S; s++) {                                                         \
            const size_t row = stream + s;                                                         \
            const vector x = *(const vector *)(m->v[INPUT] + row * m->row[INPUT] + unit);          \
            *(vector *)(m->h + row * m->row[BEFORE] + unit) = x * ab[0] + ab[1];                   \
        }                                                                                          \
    }
TILE(wide, vf)
TILE(narrow, v4)

static void step(const el_state *state, const work *w, const char *weights) {
    const vectors m = begin_plain(state, w);
    each_plain_tile(wide, narrow, &forms[0].stage[0], &m, weights, w->units);
    activate(state, w, w->option);
}

const layer_type EL_OWN(scale) = {0, forms, step, read};
