/* What the tests of the C kernel share: checks that say where, memory of exactly the size asked
 * for, nets, and every layer as in a textbook. */
#ifndef SUITE_H
#define SUITE_H

#include "edge_lstm.h"

#include <stdio.h>

/* float32 rounds at 6e-8; sums of some hundred terms, carried through a contracting recurrence. */
#define FLOAT_LIMIT 2e-6
/* sigmoid and tanh, absolute: two roundings of a value below 1 (6e-8 each), and of the argument. */
#define GATE_LIMIT 2e-7

extern int failures;
extern char where[400];   /* the case under test: kernel, network */
extern size_t step_count; /* of long runs */

/* Fails with what, where and how much; after the hundredth in silence. */
#define FAIL(...)                                                                                  \
    (failures++ < 100 ? (printf("FAILED %s:%d [%s] ", __FILE__, __LINE__, where),                  \
                         printf(__VA_ARGS__), putchar('\n'), (void)0)                              \
                      : (void)0)
#define CHECK(condition) ((condition) ? (void)0 : FAIL("%s", #condition))
#define STATUS(call, expected) check_status(__FILE__, __LINE__, #call, (call), (expected))
#define OK(call) STATUS(call, EL_OK)

void check_status(const char *file, int line, const char *call, el_status status,
                  el_status expected);

/* Memory from the heap, aligned for models and states, of exactly this size: a sanitizer or
 * valgrind sees one byte too many. */
void *memory(size_t bytes);
float *floats(size_t count);
double *doubles(size_t count);

/* The next of a row of numbers that is the same in every run. */
double uniform(double from, double to);
void seed(uint32_t value);

double logistic(double a);

/* A network with random weights. */
typedef struct {
    el_network network;
    size_t count, columns; /* of weights, and of int8 steps */
    size_t values;         /* of a stream's state */
    float *weights;        /* as el_model_init takes them */
} net;

net make_net(const el_network *network, uint32_t precision);
void describe(const char *kernel, const net *n, uint32_t streams);

el_model *make_model(const net *n, const char *kernel, const float *steps);
el_state *make_state(const el_model *model, const char *kernel, uint32_t streams);

/* A layer under test. int8: multiply as int8 does, and for each unit (units) add to slack by how
 * much its sums may differ besides, because a value stands within `margin` of the middle between
 * two whole numbers, where a float's rounding decides. */
typedef struct {
    const el_layer *layer;
    uint32_t inputs;
    const float *weights, *steps; /* canonical, of this layer; steps: NULL for none */
    int int8;
    double margin, *slack;
} naive_layer;

/* v times a column of W_x (0), W_h (1) or W_n (2). It is as long as the matrix has rows. */
double product(const naive_layer *l, unsigned matrix, const double *v, size_t column);
const float *biases(const naive_layer *l);

#define LAYERS(...) ((const el_layer[]){__VA_ARGS__}) /* of an el_network */

/* Groups of columns in W_x, W_h and W_n, and groups of b. */
typedef struct {
    uint32_t columns[3], biases;
} shape;

/* What the tests know of a layer type. Its file is layer_NAME.c. */
typedef struct {
    const shape *shapes;
    uint32_t shape_count; /* 1, or one for each option */
    uint32_t states;
    int raised; /* the group of b that is raised by 1, to remember for long; -1: none */
    const el_network *networks; /* to test it in */
    size_t network_count;
    /* One step of the equations in double. x: (inputs); states: read and written; y: (units). */
    void (*step)(const naive_layer *l, const double *x, double *states, double *y);
    void (*check)(const char *kernel); /* its own tests, or NULL */
    /* Rows of W_x, and values of past inputs in the state; NULL: as many as inputs, and none. */
    uint32_t (*rows)(const el_layer *layer, uint32_t inputs);
    uint32_t (*past)(const el_layer *layer, uint32_t inputs);
} textbook;

/* Of activations, in double. */
double activated(uint32_t option, double a);
/* One layer of this type, units, option and sources in a network: what el_model_bytes says. */
void check_refused(const char *kernel, const el_network *network, el_status expected);

/* NULL past the last type. */
const textbook *textbook_of(uint32_t type);
const shape *shape_of(const el_layer *layer);
size_t columns_before(const el_layer *layer, unsigned matrix); /* those of the ones before it */

const float *layer_weights(const net *n, uint32_t layer);
size_t matrices(const net *n, uint32_t layer); /* values of all of a layer's */
naive_layer layer_of(const net *n, uint32_t layer);

/* The input of a layer, out of x and the outputs of the layers before it, one after the other. */
void gather(const net *n, uint32_t layer, const double *x, const double *outputs, double *to);
/* Where in `outputs` and in a stream's state a layer's own values begin. */
size_t output_place(const net *n, uint32_t layer);
size_t state_place(const net *n, uint32_t layer);

/* One step of all layers. states: (values), read and written; y: (outputs). */
void naive_step(const net *n, const float *x, double *states, double *y);

void test_arguments(const char *kernel);
#endif
