/* See suite.h. */
#define _POSIX_C_SOURCE 200112L
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int failures;
char where[200];

void check_status(const char *file, int line, const char *call, el_status status, el_status expected) {
    if (status == expected) return;
    failures++;
    printf("FAILED %s:%d [%s] %s is %s, expected %s\n", file, line, where, call, el_status_name(status), el_status_name(expected));
}

void *memory(size_t bytes) {
    void *block;
    if (posix_memalign(&block, EL_ALIGNMENT, bytes)) abort();
    memset(block, 0xa5, bytes); /* what is not set shows */
    return block;
}

float *floats(size_t count) { return memory(count * sizeof(float)); }

static uint32_t random_state;

void seed(uint32_t value) { random_state = value * 2654435761u + 1u; }

double uniform(double from, double to) {
    random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5; /* xorshift32 */
    return from + (to - from) * random_state / 4294967296.0;
}

static size_t layer_count(const el_sizes *z, uint32_t layer) {
    return 4 * (size_t)z->hidden * ((layer ? z->hidden : z->inputs) + z->hidden + 1);
}

const float *layer_weights(const net *n, uint32_t layer) {
    const float *at = n->weights;
    for (uint32_t k = 0; k < layer; k++) at += layer_count(&n->sizes, k);
    return at;
}

const float *head_weights(const net *n) { return layer_weights(n, n->sizes.layers); }

net make_net(uint32_t inputs, uint32_t hidden, uint32_t layers, uint32_t outputs, uint32_t precision) {
    net n = {{inputs, hidden, layers, outputs, precision}, (size_t)(hidden + 1) * outputs, NULL};
    for (uint32_t k = 0; k < layers; k++) n.count += layer_count(&n.sizes, k);
    n.weights = floats(n.count);
    const double bound = 1.0 / sqrt(hidden > 4 ? hidden : 4);
    for (size_t k = 0; k < n.count; k++) n.weights[k] = (float)uniform(-bound, bound);
    for (uint32_t k = 0; k < layers; k++) { /* the forget gate open, so that the cell remembers for long */
        float *const b = n.weights + (layer_weights(&n, k) - n.weights) + layer_count(&n.sizes, k) - 4 * (size_t)hidden;
        for (uint32_t j = 0; j < hidden; j++) b[hidden + j] += 1.0f;
    }
    return n;
}

el_model *make_model(const net *n, const char *kernel, const float *steps) {
    size_t bytes = 0;
    OK(el_model_bytes(&n->sizes, kernel, &bytes));
    el_model *const model = memory(bytes);
    OK(el_model_init(model, bytes, &n->sizes, kernel, n->weights, steps));
    return model;
}

el_state *make_state(const el_model *model, const char *kernel, uint32_t streams) {
    size_t bytes = 0;
    OK(el_state_bytes(model, streams, &bytes));
    el_state *const state = memory(bytes);
    OK(el_state_init(state, bytes, model, kernel, streams));
    return state;
}

static double sigmoid(double a) { return 1.0 / (1.0 + exp(-a)); }

void naive_step(const net *n, const float *x, double *h, double *c, double *y) {
    const uint32_t H = n->sizes.hidden;
    double *const input = malloc(sizeof(double) * (n->sizes.inputs + H)), *const sums = malloc(sizeof(double) * 4 * H);
    for (uint32_t j = 0; j < n->sizes.inputs; j++) input[j] = (double)x[j];
    for (uint32_t k = 0; k < n->sizes.layers; k++, h += H, c += H) {
        const uint32_t in = k ? H : n->sizes.inputs;
        const float *const W_x = layer_weights(n, k), *const W_h = W_x + (size_t)in * 4 * H, *const b = W_h + (size_t)H * 4 * H;
        for (uint32_t u = 0; u < 4 * H; u++) {
            sums[u] = (double)b[u];
            for (uint32_t j = 0; j < in; j++) sums[u] += (double)W_x[(size_t)j * 4 * H + u] * input[j];
            for (uint32_t j = 0; j < H; j++) sums[u] += (double)W_h[(size_t)j * 4 * H + u] * h[j];
        }
        for (uint32_t u = 0; u < H; u++) {
            c[u] = sigmoid(sums[H + u]) * c[u] + sigmoid(sums[u]) * tanh(sums[2 * H + u]);
            input[u] = h[u] = sigmoid(sums[3 * H + u]) * tanh(c[u]);
        }
    }
    const float *const W = head_weights(n), *const b = W + (size_t)H * n->sizes.outputs;
    for (uint32_t o = 0; o < n->sizes.outputs; o++) {
        y[o] = (double)b[o];
        for (uint32_t j = 0; j < H; j++) y[o] += (double)W[(size_t)j * n->sizes.outputs + o] * input[j];
    }
    free(input), free(sums);
}
