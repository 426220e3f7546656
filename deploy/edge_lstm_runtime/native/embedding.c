/* Embedding: y = the row of W that x, a whole number from 0 on, names. Between two whole numbers
 * the rows of both are mixed by their distance. Beyond the table y is 0.
 *
 * W (rows, units). No states. Option: the rows, 1 to EL_MAX_SIZE. It reads one value.
 */
#include "tiles.h"

static const form forms[] = {{
    .columns = {1, 0},
    .stages = 1,
    .stage = {{.sums = 1, .product = {[INPUT] = {0, 1, {0}}}, .factor = {1.0}}},
}};

static el_status read(const el_layer *layer, const uint32_t *sizes, facts *to) {
    (void)sizes;
    to->rows = layer->option;
    return layer->option - 1 < EL_MAX_SIZE && to->inputs == 1 ? EL_OK : EL_BAD_SIZE;
}

/* Two rows and their shares. */
typedef struct {
    uint32_t row[2];
    float share[2];
} mix;

/* Any float: outside of the table, and for NaN, no place is made of it. */
static mix mix_of(float x, uint32_t rows) {
    if (x != x) return (mix){{0, 0}, {x, 0.0f}};
    if (!(x > -1.0f && x < (float)rows)) return (mix){{0, 0}, {0.0f, 0.0f}};
    if (x < 0.0f) return (mix){{0, 0}, {1.0f + x, 0.0f}};
    const uint32_t row = (uint32_t)x, next = row + 1;
    const float rest = x - (float)row;
    return (mix){{row, next < rows ? next : row}, {1.0f - rest, next < rows ? rest : 0.0f}};
}

/* The first of a tile are zeros, the biases that there are not. */
#define TILE(name, vector)                                                                         \
    INLINE void name(const unsigned S, const vectors *m, const char *at, uint32_t stream,          \
                     uint32_t unit) {                                                              \
        const vector *const W = (const vector *)(const void *)at + 1;                              \
        for (unsigned s = 0; s < S; s++) {                                                         \
            const size_t row = stream + s;                                                         \
            const mix of = mix_of(m->v[INPUT][row * m->row[INPUT]], m->n[INPUT]);                  \
            *(vector *)(m->h + row * m->row[BEFORE] + unit) =                                      \
                W[of.row[0]] * of.share[0] + W[of.row[1]] * of.share[1];                           \
        }                                                                                          \
    }
TILE(wide, vf)
TILE(narrow, v4)

/* The zeros, the scales, the rows. */
#define HALF_TILE_OF(name, vector, row_of)                                                         \
    INLINE void name(const unsigned S, const vectors *m, const char *at, uint32_t stream,          \
                     uint32_t unit) {                                                              \
        const vector *const scale = (const vector *)(const void *)at + 1;                          \
        const uint16_t *const W = (const uint16_t *)(const void *)(scale + 1);                     \
        for (unsigned s = 0; s < S; s++) {                                                         \
            const size_t row = stream + s;                                                         \
            const mix of = mix_of(m->v[INPUT][row * m->row[INPUT]], m->n[INPUT]);                  \
            const vector first = row_of(W, of.row[0]) * HALF_UNIT * *scale;                        \
            const vector second = row_of(W, of.row[1]) * HALF_UNIT * *scale;                       \
            *(vector *)(m->h + row * m->row[BEFORE] + unit) =                                      \
                first * of.share[0] + second * of.share[1];                                        \
        }                                                                                          \
    }
HALF_TILE_OF(wide_of_half, vf, wide_row)
HALF_TILE_OF(narrow_of_half, v4, narrow_row)

static void step(const el_state *state, const work *w, const char *weights) {
    vectors m = begin_plain(state, w);
    m.n[INPUT] = w->option;
    const stage *const of = &forms[0].stage[0];
    if (m.as.is_half) each_plain_tile(wide_of_half, narrow_of_half, of, &m, weights, w->units);
    else each_plain_tile(wide, narrow, of, &m, weights, w->units);
}

const layer_type EL_OWN(embedding) = {0, forms, step, read};
