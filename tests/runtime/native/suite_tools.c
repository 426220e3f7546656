/* See suite.h. */
#define _POSIX_C_SOURCE 200112L
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int failures;
char where[400];
size_t step_count = 1000;

void check_status(const char *file, int line, const char *call, el_status status,
                  el_status expected) {
    if (status == expected) return;
    failures++;
    printf("FAILED %s:%d [%s] %s is %s, expected %s\n", file, line, where, call,
           el_status_name(status), el_status_name(expected));
}

void *memory(size_t bytes) {
    void *block;
    if (posix_memalign(&block, EL_ALIGNMENT, bytes)) abort();
    memset(block, 0xa5, bytes); /* what is not set shows */
    return block;
}

float *floats(size_t count) { return memory(count * sizeof(float)); }
double *doubles(size_t count) { return memory(count * sizeof(double)); }

static uint32_t random_state;

void seed(uint32_t value) { random_state = value * 2654435761u + 1u; }

double uniform(double from, double to) { /* xorshift32 */
    random_state ^= random_state << 13, random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return from + (to - from) * random_state / 4294967296.0;
}

double logistic(double a) { return 1.0 / (1.0 + exp(-a)); }

double activated(uint32_t option, double a) {
    if (option == EL_TANH) return tanh(a);
    if (option == EL_RELU) return a > 0.0 ? a : 0.0;
    return option == EL_SIGMOID ? logistic(a) : a;
}

void check_refused(const char *kernel, const el_network *network, el_status expected) {
    size_t bytes;
    snprintf(where, sizeof where, "%s, refused, type %u option %u", kernel,
             network->layer[network->layers - 1].type, network->layer[network->layers - 1].option);
    STATUS(el_model_bytes(network, kernel, &bytes), expected);
}

#define EL_LAYER(type, number, file) extern const textbook textbook_##file;
#include "layers.h"
#undef EL_LAYER
static const textbook *const textbooks[] = {
#define EL_LAYER(type, number, file) [number] = &textbook_##file,
#include "layers.h"
#undef EL_LAYER
};

const textbook *textbook_of(uint32_t type) {
    return type < sizeof textbooks / sizeof *textbooks ? textbooks[type] : NULL;
}

const shape *shape_of(const el_layer *layer) {
    const textbook *const book = textbook_of(layer->type);
    return &book->shapes[book->shape_count > 1 ? layer->option : 0];
}

static uint32_t source_size(const net *n, uint32_t source) {
    return source ? n->network.layer[source - 1].units : n->network.inputs;
}

static uint32_t inputs_of(const net *n, uint32_t layer) {
    const el_layer *const l = &n->network.layer[layer];
    uint32_t size = 0;
    for (uint32_t k = 0; k < l->source_count; k++) size += source_size(n, l->source[k]);
    return size;
}

/* Rows of a matrix. */
static uint32_t rows_of(const el_layer *l, unsigned matrix, uint32_t inputs) {
    const textbook *const book = textbook_of(l->type);
    return matrix ? l->units : book->rows ? book->rows(l, inputs) : inputs;
}

/* Values of all matrices before the one of this number. */
static size_t values_before(const el_layer *l, unsigned matrix, uint32_t inputs) {
    size_t count = 0;
    for (unsigned m = 0; m < matrix; m++)
        count += (size_t)shape_of(l)->columns[m] * l->units * rows_of(l, m, inputs);
    return count;
}

size_t columns_before(const el_layer *l, unsigned matrix) {
    size_t count = 0;
    for (unsigned m = 0; m < matrix; m++) count += (size_t)shape_of(l)->columns[m] * l->units;
    return count;
}

size_t matrices(const net *n, uint32_t layer) {
    return values_before(&n->network.layer[layer], 3, inputs_of(n, layer));
}

static size_t weight_count(const net *n, uint32_t layer) {
    const el_layer *const l = &n->network.layer[layer];
    return matrices(n, layer) + (size_t)shape_of(l)->biases * l->units;
}

static size_t step_columns(const net *n, uint32_t layer) {
    const el_layer *const l = &n->network.layer[layer];
    return textbook_of(l->type)->states ? columns_before(l, 3) : 0;
}

const float *layer_weights(const net *n, uint32_t layer) {
    const float *at = n->weights;
    for (uint32_t k = 0; k < layer; k++) at += weight_count(n, k);
    return at;
}

size_t output_place(const net *n, uint32_t layer) {
    size_t at = 0;
    for (uint32_t k = 0; k < layer; k++) at += n->network.layer[k].units;
    return at;
}

size_t state_place(const net *n, uint32_t layer) {
    size_t at = 0;
    for (uint32_t k = 0; k < layer; k++) {
        const el_layer *const l = &n->network.layer[k];
        const textbook *const book = textbook_of(l->type);
        at += (size_t)book->states * l->units + (book->past ? book->past(l, inputs_of(n, k)) : 0);
    }
    return at;
}

net make_net(const el_network *network, uint32_t precision) {
    net n = {*network, 0, 0, 0, NULL};
    n.network.precision = precision;
    for (uint32_t k = 0; k < network->layers; k++)
        n.count += weight_count(&n, k), n.columns += step_columns(&n, k);
    n.values = state_place(&n, network->layers);
    n.weights = floats(n.count);
    for (uint32_t k = 0; k < network->layers; k++) {
        const el_layer *const l = &network->layer[k];
        const int raised = textbook_of(l->type)->raised;
        const double bound = 1.0 / sqrt(l->units > 4 ? l->units : 4);
        float *const W = n.weights + (layer_weights(&n, k) - n.weights);
        for (size_t j = 0; j < weight_count(&n, k); j++) W[j] = (float)uniform(-bound, bound);
        for (uint32_t j = 0; raised >= 0 && j < l->units; j++)
            W[matrices(&n, k) + (size_t)raised * l->units + j] += 1.0f;
    }
    return n;
}

static const char *const precisions[] = {"float32", "int8", "float16"};

void describe(const char *kernel, const net *n, uint32_t streams) {
    const el_network *const z = &n->network;
    int at = snprintf(where, sizeof where, "%s %s, streams %u inputs %u", kernel,
                      precisions[z->precision], streams, z->inputs);
    for (uint32_t k = 0; k < z->layers && at < (int)sizeof where; k++)
        at += snprintf(where + at, sizeof where - (size_t)at, ", type %u option %u units %u",
                       z->layer[k].type, z->layer[k].option, z->layer[k].units);
}

el_model *make_model(const net *n, const char *kernel, const float *steps) {
    size_t bytes = 0, count = 0, columns = 0;
    OK(el_weight_values(&n->network, &count, &columns));
    CHECK(count == n->count && columns == n->columns);
    OK(el_model_bytes(&n->network, kernel, &bytes));
    el_model *const model = memory(bytes);
    OK(el_model_init(model, bytes, &n->network, kernel, n->weights, steps));
    OK(el_state_values(model, &count));
    CHECK(count == n->values);
    return model;
}

el_state *make_state(const el_model *model, const char *kernel, uint32_t streams) {
    size_t bytes = 0;
    OK(el_state_bytes(model, streams, &bytes));
    el_state *const state = memory(bytes);
    OK(el_state_init(state, bytes, model, kernel, streams));
    return state;
}

naive_layer layer_of(const net *n, uint32_t layer) {
    const naive_layer l = {
        &n->network.layer[layer], inputs_of(n, layer), layer_weights(n, layer), NULL, 0, 0.0, NULL};
    return l;
}

/* As int8 does it: sums of whole numbers, exact, times both scales. */
static double int8_product(const naive_layer *l, const double *v, uint32_t rows, const float *W,
                           size_t columns, const float *step, double *slack) {
    float largest = 0, heaviest = 0;
    for (uint32_t j = 0; j < rows; j++) {
        largest = fmaxf(largest, fabsf((float)v[j]));
        heaviest = fmaxf(heaviest, fabsf(W[j * columns]));
    }
    if (largest <= 1e-30f) return 0.0;
    const double v_scale = (double)(largest / 127.0f);
    const double w_scale = (double)(step ? *step : heaviest / 127.0f);
    const float inverse = 127.0f / largest;
    int32_t sum = 0;
    for (uint32_t j = 0; j < rows; j++) {
        const double scaled = v[j] * (double)inverse; /* exact, if v is a float */
        const int32_t w = (int32_t)lrint(w_scale > 0 ? (double)W[j * columns] / w_scale : 0.0);
        if (fabs(fabs(scaled - floor(scaled)) - 0.5) < l->margin)
            *slack += abs(w) * v_scale * w_scale;
        sum += w * (int32_t)lrint(scaled);
    }
    return sum * v_scale * w_scale;
}

double product(const naive_layer *l, unsigned matrix, const double *v, size_t column) {
    const size_t units = l->layer->units, columns = shape_of(l->layer)->columns[matrix] * units;
    const uint32_t rows = rows_of(l->layer, matrix, l->inputs);
    const float *const W = l->weights + values_before(l->layer, matrix, l->inputs) + column;
    const size_t step = columns_before(l->layer, matrix) + column;
    if (l->int8)
        return int8_product(l, v, rows, W, columns, l->steps ? l->steps + step : NULL,
                            l->slack + column % units);
    double sum = 0.0;
    for (uint32_t j = 0; j < rows; j++) sum += (double)W[j * columns] * v[j];
    return sum;
}

const float *biases(const naive_layer *l) {
    return l->weights + values_before(l->layer, 3, l->inputs);
}

void gather(const net *n, uint32_t layer, const double *x, const double *outputs, double *to) {
    const el_layer *const l = &n->network.layer[layer];
    for (uint32_t k = 0; k < l->source_count; k++) {
        const uint32_t source = l->source[k];
        memcpy(to, source ? outputs + output_place(n, source - 1) : x,
               sizeof *to * source_size(n, source));
        to += source_size(n, source);
    }
}

void naive_step(const net *n, const float *x, double *states, double *y) {
    const uint32_t last = n->network.layers - 1, outputs = n->network.layer[last].units;
    double *const wide = doubles(n->network.inputs), *const all =
                                                         doubles(output_place(n, last + 1));
    for (uint32_t j = 0; j < n->network.inputs; j++) wide[j] = (double)x[j];
    for (uint32_t k = 0; k <= last; k++) {
        const naive_layer l = layer_of(n, k);
        double *const input = doubles(l.inputs);
        gather(n, k, wide, all, input);
        textbook_of(l.layer->type)
            ->step(&l, input, states + state_place(n, k), all + output_place(n, k));
        free(input);
    }
    memcpy(y, all + output_place(n, last), sizeof *y * outputs);
    free(wide), free(all);
}
