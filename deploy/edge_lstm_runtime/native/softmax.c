/* Softmax: y = exp(x) / sum(exp(x)).
 *
 * No weights, no states. Option: 0. It reads `units` values.
 */
#include "tiles.h"

static const form forms[] = {{.stages = 1}};

static el_status read(const el_layer *layer, const uint32_t *sizes, facts *to) {
    (void)sizes;
    if (layer->option) return EL_BAD_LAYER;
    return to->inputs == layer->units ? EL_OK : EL_BAD_SIZE;
}

static void step(const el_state *state, const work *w, const char *weights) {
    (void)weights;
    const vectors m = begin_plain(state, w);
    const uint32_t n = w->units;
    for (size_t s = 0; s < m.streams; s++) {
        const float *const x = m.v[INPUT] + s * m.row[INPUT];
        float *const y = m.h + s * m.row[BEFORE];
        float largest = x[0], sum = 0.0f;
        for (uint32_t u = 1; u < n; u++) largest = x[u] > largest ? x[u] : largest;
        /* Less the largest, none of them overflows. */
        for (uint32_t u = 0; u < n; u += EL_LANES)
            *(vf *)(y + u) = power_of_two((*(const vf *)(x + u) - largest) * (float)LOG2E);
        zero_rest(y, w);
        for (uint32_t u = 0; u < n; u++) sum += y[u];
        for (uint32_t u = 0; u < n; u++) y[u] /= sum;
    }
}

const layer_type EL_OWN(softmax) = {0, forms, step, read};
