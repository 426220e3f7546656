/* Convolution over the steps, which reads no later ones:
 * y(t) = activation(sum over k of x(t - (kernel - 1 - k) dilation) W_k + b).
 *
 * W (kernel inputs, units) is W_0, for the oldest step, to W_(kernel - 1); b (units). State: the
 * (kernel - 1) dilation inputs before this one, the oldest first. Option: EL_CONV.
 */
#include "tiles.h"

static const form forms[] = {PLAIN_FORM(EL_NONE), PLAIN_FORM(EL_TANH), PLAIN_FORM(EL_RELU),
                             PLAIN_FORM(EL_SIGMOID)};

static uint32_t kernel_of(uint32_t option) { return (option & 0x3fffu) + 1; }
static uint32_t dilation_of(uint32_t option) { return (option >> 14 & 0x3fffu) + 1; }
static uint32_t activation_of(uint32_t option) { return option >> 28; }

static el_status read(const el_layer *layer, const uint32_t *sizes, facts *to) {
    (void)sizes;
    const uint32_t kernel = kernel_of(layer->option);
    if (kernel < 2 || activation_of(layer->option) > EL_SIGMOID) return EL_BAD_LAYER;
    const uint64_t past = (uint64_t)(kernel - 1) * dilation_of(layer->option) * to->inputs;
    if (past > EL_MAX_PAST) return EL_BAD_SIZE;
    to->form += activation_of(layer->option);
    to->rows = kernel * to->inputs, to->past = (uint32_t)past;
    return EL_OK;
}

/* The inputs that are multiplied, side by side in `made`; x takes the place of the oldest. */
static void gather(const el_state *state, const work *w, const vectors *m, uint32_t row) {
    const ring r = ring_of(state, w);
    const uint32_t n = w->inputs, hop = dilation_of(w->option) * n, oldest = *r.oldest;
    for (size_t s = 0; s < m->streams; s++) {
        const float *restrict const x = m->v[INPUT] + s * m->row[INPUT];
        float *restrict const past = r.values + s * r.row, *restrict to = state->made + s * row;
        uint32_t at = oldest;
        for (uint32_t k = kernel_of(w->option) - 1; k; k--, to += n) {
            for (uint32_t j = 0; j < n; j++) to[j] = past[at + j];
            at += hop;
            if (at >= w->past) at -= w->past;
        }
        for (uint32_t j = 0; j < n; j++) to[j] = past[oldest + j] = x[j];
    }
    *r.oldest = oldest + n < w->past ? oldest + n : 0;
}

static void step(const el_state *state, const work *w, const char *weights) {
    vectors m = begin_plain(state, w);
    const uint32_t n = kernel_of(w->option) * w->inputs, row = row_length(n);
    gather(state, w, &m, row);
    m.v[INPUT] = state->made, m.n[INPUT] = n, m.row[INPUT] = row;
    each_plain_tile(plain_wide, plain_narrow, &forms[0].stage[0], &m, weights, w->units);
    activate(state, w, activation_of(w->option));
}

const layer_type EL_OWN(causal_conv) = {0, forms, step, read};
