/* Layer normalization (Ba et al., 2016): y = (x - mean) / sqrt(variance + epsilon) a + b, with the
 * mean and the variance of the units.
 *
 * Weights: a (units), b (units). No states. Option: the bits of epsilon, a float above 0, and no
 * subnormal. It reads `units` values.
 */
#include "tiles.h"

static const form forms[] = {{
    .biases = 2,
    .stages = 1,
    .stage = {{.sums = 2, .bias = {1 << 0, 1 << 1}, .factor = {1.0, 1.0}}},
}};

static el_status read(const el_layer *layer, const uint32_t *sizes, facts *to) {
    (void)sizes;
    if (layer->option < 0x00800000u || layer->option >= 0x7f800000u) return EL_BAD_LAYER;
    return to->inputs == layer->units ? EL_OK : EL_BAD_SIZE;
}

/* Steps of Newton's from a first guess by the exponent, of 3.4e-2: 1.7e-3, 4.4e-6, rounding. The C
 * library's sqrtf is not asked for, so that a firmware needs no further library. */
static float inverse_root(float a) {
    uint32_t bits;
    float y;
    memcpy(&bits, &a, 4);
    bits = 0x5f3759dfu - (bits >> 1);
    memcpy(&y, &bits, 4);
    for (unsigned k = 0; k < 4; k++) y = y * (1.5f - 0.5f * a * y * y);
    return y;
}

static float total(vf a) {
    float sum = 0.0f;
    for (unsigned k = 0; k < EL_LANES; k++) sum += a[k];
    return sum;
}

/* y -= mean, with zeros behind the last. */
static void shift(float *y, const work *w, float mean) {
    for (uint32_t u = 0; u < w->units; u += EL_LANES) *(vf *)(y + u) -= mean;
    zero_rest(y, w);
}

static vf sum_of(const float *y, uint32_t n) {
    vf sum = {0};
    for (uint32_t u = 0; u < n; u += EL_LANES) sum += *(const vf *)(y + u);
    return sum;
}

static float variance(const float *y, uint32_t n) {
    vf sum = {0};
    for (uint32_t u = 0; u < n; u += EL_LANES) {
        const vf a = *(const vf *)(y + u);
        sum += a * a;
    }
    return total(sum) / (float)n;
}

/* x -> y: normalized, before a and b. */
static void normalize(const float *x, float *y, const work *w, float epsilon) {
    const uint32_t n = w->units;
    for (uint32_t u = 0; u < w->row; u += EL_LANES) *(vf *)(y + u) = *(const vf *)(x + u);
    /* Twice: the rounding of a large mean is a mean again. */
    shift(y, w, total(sum_of(y, n)) / (float)n);
    shift(y, w, total(sum_of(y, n)) / (float)n);
    float found = variance(y, n);
    if (found > 1e30f) { /* its squares may overflow, and epsilon is nothing beside them */
        for (uint32_t u = 0; u < n; u += EL_LANES) *(vf *)(y + u) *= 1e-25f;
        found = variance(y, n), epsilon = 0.0f;
    }
    const float factor = inverse_root(found + epsilon);
    for (uint32_t u = 0; u < n; u += EL_LANES) *(vf *)(y + u) *= factor;
}

#define TILE(name, vector)                                                                         \
    INLINE void name(const unsigned S, const vectors *m, const char *at, uint32_t stream,          \
                     uint32_t unit) {                                                              \
        const vector *const ab = (const vector *)(const void *)at;                                 \
        for (unsigned s = 0; s < S; s++) {                                                         \
            vector *const y =                                                                      \
                (vector *)(m->h + (size_t)(stream + s) * m->row[BEFORE] + unit);                   \
            *y = *y * ab[0] + ab[1];                                                               \
        }                                                                                          \
    }
TILE(wide, vf)
TILE(narrow, v4)

static void step(const el_state *state, const work *w, const char *weights) {
    const vectors m = begin_plain(state, w);
    float epsilon;
    memcpy(&epsilon, &w->option, 4);
    for (size_t s = 0; s < m.streams; s++)
        normalize(m.v[INPUT] + s * m.row[INPUT], m.h + s * m.row[BEFORE], w, epsilon);
    each_plain_tile(wide, narrow, &forms[0].stage[0], &m, weights, w->units);
}

const layer_type EL_OWN(layer_norm) = {0, forms, step, read};
