/* What the tests of the C kernel share: checks that say where, memory of exactly the size asked for, nets, and an LSTM as in a textbook. */
#ifndef SUITE_H
#define SUITE_H

#include "edge_lstm.h"

#include <stdio.h>

#define ALIGNED_SIZE(n) (((n) + EL_ALIGNMENT - 1) / EL_ALIGNMENT * EL_ALIGNMENT)

extern int failures;
extern char where[200]; /* the case under test: kernel, sizes */

/* Fails with what, where and how much; after the hundredth in silence. */
#define FAIL(...) \
    (failures++ < 100 ? (printf("FAILED %s:%d [%s] ", __FILE__, __LINE__, where), printf(__VA_ARGS__), putchar('\n'), (void)0) : (void)0)
#define CHECK(condition) ((condition) ? (void)0 : FAIL("%s", #condition))
#define STATUS(call, expected) check_status(__FILE__, __LINE__, #call, (call), (expected))
#define OK(call) STATUS(call, EL_OK)

void check_status(const char *file, int line, const char *call, el_status status, el_status expected);

/* Memory from the heap, aligned for models and states, of exactly this size: a sanitiser or valgrind sees one byte too many. */
void *memory(size_t bytes);
float *floats(size_t count);

/* The next of a row of numbers that is the same in every run. */
double uniform(double from, double to);
void seed(uint32_t value);

typedef struct {
    el_sizes sizes;
    size_t count;   /* of weights */
    float *weights; /* as el_model_init takes them */
} net;

net make_net(uint32_t inputs, uint32_t hidden, uint32_t layers, uint32_t outputs, uint32_t precision);

/* A layer's part of the weights: W_x, W_h and b follow one another. */
const float *layer_weights(const net *n, uint32_t layer);
const float *head_weights(const net *n);

el_model *make_model(const net *n, const char *kernel, const float *steps);
el_state *make_state(const el_model *model, const char *kernel, uint32_t streams);

/* One step of the equations in double. x: (inputs); h and c: (layers, hidden), read and written; y: (outputs). */
void naive_step(const net *n, const float *x, double *h, double *c, double *y);

void test_arguments(const char *kernel);
#endif
