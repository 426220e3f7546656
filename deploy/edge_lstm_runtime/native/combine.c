/* Combine: y = the sum or the product of the sources, or the sources side by side.
 *
 * No weights, no states. Option: EL_ADD or EL_MUL, of sources of `units` values each, or EL_CONCAT,
 * of sources of `units` values together.
 */
#include "tiles.h"

static const form forms[] = {{.stages = 1}};

static el_status read(const el_layer *layer, const uint32_t *sizes, facts *to) {
    if (layer->option > EL_CONCAT) return EL_BAD_LAYER;
    if (layer->option == EL_CONCAT) return to->inputs == layer->units ? EL_OK : EL_BAD_SIZE;
    for (uint32_t k = 0; k < layer->source_count; k++)
        if (sizes[k] != layer->units) return EL_BAD_SIZE;
    return EL_OK;
}

static void step(const el_state *state, const work *w, const char *weights) {
    (void)weights;
    const vectors m = begin_plain(state, w);
    const uint32_t n = w->units;
    for (size_t s = 0; s < m.streams; s++) {
        const float *x = m.v[INPUT] + s * m.row[INPUT], *const end = x + w->inputs;
        float *restrict const y = m.h + s * m.row[BEFORE];
        for (uint32_t u = 0; u < n; u++) y[u] = x[u];
        for (x += n; x < end; x += n) {
            if (w->option == EL_ADD)
                for (uint32_t u = 0; u < n; u++) y[u] += x[u];
            else
                for (uint32_t u = 0; u < n; u++) y[u] *= x[u];
        }
    }
}

const layer_type EL_OWN(combine) = {0, forms, step, read};
