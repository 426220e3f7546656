/* Streaming recurrent nets in C99: one step at a time, the state carried, for one stream or for
 * many at once. A net is a list of layers, each of which reads the outputs of earlier ones.
 *
 * Needs a compiler with GCC's vector extensions (GCC, Clang), and little-endian memory. No heap, no
 * locks, no globals that change: the caller owns all memory, asks for its size first, and may use
 * one model from several threads, each with a state of its own.
 *
 *     const el_layer layers[] = {{EL_LSTM, 32, 0, 1, {0}}, {EL_DENSE, 4, EL_TANH, 1, {1}}};
 *     const el_network network = {8, 2, EL_FLOAT32, layers};  // 8 inputs -> 32 units -> 4 outputs
 *     size_t bytes;
 *     el_model_bytes(&network, NULL, &bytes);                 // memory of a model, for this CPU
 *     el_model_init(memory, bytes, &network, NULL, weights, NULL);
 *     el_state_bytes(memory, 1, &bytes);
 *     el_state_init(state, bytes, memory, NULL, 1);           // 1 stream, from the zero state
 *     el_step(memory, state, x, y);                           // x (inputs) -> y (outputs)
 *
 * A model is one block of bytes without pointers: it may be stored, mapped, or compiled in as a
 * constant, and lie in flash. Compile edge_lstm.c and the files of the layers as they are for any
 * CPU. The build for a board's package compiles them once more for each further kernel; see
 * edge_lstm.c.
 */
#ifndef EDGE_LSTM_H
#define EDGE_LSTM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(EL_API)
#define EL_API __attribute__((visibility("default")))
#elif !defined(EL_API)
#define EL_API
#endif

#define EL_ALIGNMENT 64u   /* of the memory of models and states */
#define EL_MAX_SIZE 16384u /* of a layer's units and of its inputs, all sources together */
#define EL_MAX_LAYERS 64u
#define EL_MAX_SOURCES 4u
#define EL_MAX_PAST 1048576u /* of the values that a layer keeps of its past inputs */
#define EL_MAX_STREAMS 65536u
#define EL_ALL UINT32_MAX /* as a stream: every one */

typedef enum {
    EL_OK = 0,
    EL_NULL_POINTER = 1,     /* a pointer that must not be null is */
    EL_BAD_SIZE = 2,         /* a size is 0 or above its maximum, or there is no such stream */
    EL_BUFFER_TOO_SMALL = 3, /* fewer bytes than el_model_bytes or el_state_bytes asks for */
    EL_MISALIGNED = 4, /* a model or state is not aligned to EL_ALIGNMENT, or floats to 4 bytes */
    EL_NOT_FINITE = 5, /* a weight, a step, an input or a state to be set is NaN or infinite, or
                          out of its bounds; nothing was changed */
    EL_BAD_MODEL = 6,  /* not a model, of another version, altered, cut off, or laid out for
                          other lanes than any kernel here has */
    EL_BAD_STATE =
        7, /* not a state, or not of this model's network, or moved since el_state_init */
    EL_NO_KERNEL = 8, /* no such kernel, or this CPU can't run it */
    EL_BAD_LAYER = 9 /* no such type of layer here, no such option, or no earlier layer as source */
} el_status;

/* int8: the products of recurrent layers with weights in int8 and a scale per column, what they are
 * multiplied with quantized anew in each step, sums in int32, exact; all else in float32.
 * float16: the matrices of all layers in half precision, 11 significant bits, rounded to nearest,
 * ties to even, times a power of two for each sum that its largest weight decides: so none is too
 * large or too small for it. The biases, the states and all arithmetic in float32. */
typedef enum { EL_FLOAT32 = 0, EL_INT8 = 1, EL_FLOAT16 = 2 } el_precision;

/* Types of layers, such as EL_LSTM. Each layer's file says what it computes and which options it
 * has. */
typedef enum {
#define EL_LAYER(type, number, file) type = number,
#include "layers.h"
#undef EL_LAYER
} el_type;

enum { EL_NONE = 0, EL_TANH = 1, EL_RELU = 2, EL_SIGMOID = 3 }; /* activations */
enum { EL_ADD = 0, EL_MUL = 1, EL_CONCAT = 2 };                 /* of EL_COMBINE */

/* The option of EL_CAUSAL_CONV. kernel: 2 to 16384; dilation: 1 to 16384. */
#define EL_CONV(kernel, dilation, activation)                                                      \
    (((uint32_t)(kernel)-1u) | ((uint32_t)(dilation)-1u) << 14 | (uint32_t)(activation) << 28)

typedef struct {
    uint32_t type, units, option;
    uint32_t source_count; /* 1 to EL_MAX_SOURCES; several are concatenated in this order */
    uint32_t source[EL_MAX_SOURCES]; /* 0: the model's input; k + 1: layer k, an earlier one */
} el_layer;

typedef struct {
    uint32_t inputs; /* values in x */
    uint32_t layers;
    uint32_t precision;
    const el_layer *layer; /* (layers) in the order in which they run; the last one's output is y */
} el_network;

typedef struct el_model el_model;
typedef struct el_state el_state;

/* The name of a status, such as "EL_BAD_SIZE". */
EL_API const char *el_status_name(el_status status);

/* The kernels that this CPU runs, the fastest first: "avx512", "avx-vnni", "avx2", "neon-dotprod",
 * "neon", "portable"; NULL past the last one. */
EL_API const char *el_kernel_name(uint32_t index);

/* bytes: of the memory the model lies in. network: its layers lie in the model. What this accepts
 * is safe to run, whatever its weights say; ask it first about a model that comes from elsewhere.
 * EL_BAD_MODEL for anything that is not one. */
EL_API el_status el_model_check(const el_model *model, size_t bytes, el_network *network);

/* kernel: for which to lay the weights out; NULL for the fastest here. */
EL_API el_status el_model_bytes(const el_network *network, const char *kernel, size_t *bytes);

/* How many values el_model_init reads of `weights`, and of `steps` unless that is NULL. */
EL_API el_status el_weight_values(const el_network *network, size_t *weights, size_t *steps);

/* weights: float32, all below 2^126 in size, one layer after the other: each W_x (inputs, columns),
 * then W_h (units, columns) if it is recurrent, then W_n (units, columns) if it multiplies what it
 * has only just made, then b; a layer's file says which columns it has, in groups of `units`, and
 * which weights it has if they are others.
 * steps, for int8 alone: what the weights are whole multiples of, up to 127 times, above 0, for the
 * columns of each recurrent layer's matrices; NULL: a column's largest weight / 127. */
EL_API el_status el_model_init(void *memory, size_t bytes, const el_network *network,
                               const char *kernel, const float *weights, const float *steps);

/* streams: independent ones that each step takes together. */
EL_API el_status el_state_bytes(const el_model *model, uint32_t streams, size_t *bytes);

/* All states zero. kernel: which to run; NULL for the fastest that the model is laid out for. A
 * state holds addresses: it must not be moved. */
EL_API el_status el_state_init(void *memory, size_t bytes, const el_model *model,
                               const char *kernel, uint32_t streams);

/* One step of every stream. x: (streams, inputs) -> y: (streams, outputs). With an x that is not
 * finite nothing changes: EL_NOT_FINITE. A finite x so large that its products with the weights
 * overflow float32 is not found: it may leave NaN in y and in its stream's state, until el_reset.
 * |x| below 1e30 and weights below 1e8 / (a layer's inputs + units) can't, if no layer multiplies
 * its inputs with each other (EL_MUL). */
EL_API el_status el_step(const el_model *model, el_state *state, const float *x, float *y);

/* x: (steps, streams, inputs) -> y: (steps, streams, outputs). Stops at the first step that el_step
 * refuses; the steps before it are done. */
EL_API el_status el_run(const el_model *model, el_state *state, const float *x, size_t steps,
                        float *y);

/* Set a stream's state to zero, or every stream's (EL_ALL). */
EL_API el_status el_reset(const el_model *model, el_state *state, uint32_t stream);

/* How many values a stream's state has: for each layer in order, those of its states, `units` each,
 * or of its past inputs, the oldest first. */
EL_API el_status el_state_values(const el_model *model, size_t *count);

/* values: (count) of a stream, or (streams, count) with EL_ALL. */
EL_API el_status el_get_state(const el_model *model, const el_state *state, uint32_t stream,
                              float *values);
EL_API el_status el_set_state(const el_model *model, el_state *state, uint32_t stream,
                              const float *values);

/* ---- Raw samples in, answers in raw units out ---- */

enum { EL_REFUSE = 0, EL_FORWARD_FILL = 1, EL_MASK = 2 };

/* Of a sample from its mean, in standard deviations; beyond it sums could overflow. */
#define EL_MAX_DEVIATION 1e30

/* How a raw sample becomes x, and y an answer. With EL_MASK x is the normalized channels, then for
 * each channel 1 if it is missing, else 0. */
typedef struct {
    uint32_t channels;
    uint32_t missing;     /* what a NaN means: refuse the sample, take the channel's last value, or
                             the mean and a mask */
    const double *mean;   /* (channels) raw units */
    const double *std;    /* (channels) raw units, above 0 */
    const double *offset; /* (outputs) and `scale`: answer = offset + scale * y; NULL: answer = y */
    const double *scale;
    const uint32_t *residual; /* (outputs) channels whose value now is added to it, with `scale`
                                 only; NULL for none */
} el_processing;

/* One step of every stream. sample: (streams, channels) raw units. last: (streams, channels), each
 * channel's latest known value, which is the caller's to keep and begins as the mean; read and
 * written for EL_FORWARD_FILL and `residual`. answer: (streams, outputs). EL_NOT_FINITE, with
 * nothing changed, for a sample that is infinite, too far off, or NaN with EL_REFUSE, and if mean,
 * std or last make x so. */
EL_API el_status el_answer(const el_processing *processing, const el_model *model, el_state *state,
                           const double *sample, double *last, float *answer);

/* The arguments that stay the same from call to call in one place, for callers that pay for each
 * argument. y is the answer of el_step_bound and el_answer_bound. el_step_bound needs
 * neither processing nor last. */
typedef struct {
    const el_model *model;
    el_state *state;
    float *y;
    const el_processing *processing;
    double *last;
} el_bound;
EL_API el_status el_step_bound(const el_bound *bound, const float *x);
EL_API el_status el_answer_bound(const el_bound *bound, const double *sample);

/* el_answer for each of some rows. samples: (rows, streams, channels) -> answers: (rows, streams,
 * outputs). Stops at the first one that el_answer refuses; the *done rows before it are done. */
EL_API el_status el_answer_rows(const el_bound *bound, const double *samples, size_t rows,
                                float *answers, size_t *done);

#ifdef __cplusplus
}
#endif
#endif
