/* One step inside C, beside what this machine could do at best in the same time: the weights read once from the cache that holds them, or
 * their multiply-accumulates done, whichever takes longer. Prints one JSON object a line. All figures are the least of many short turns.
 *
 * usage: kernel HIDDEN...        the LSTM
 *        kernel gru HIDDEN...    the GRU beside the LSTM, in turns, for each multiply-accumulate
 *        kernel int8 HIDDEN...   the LSTM in int8 beside float32, in turns */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "edge_lstm.h"

#ifdef __AVX512F__
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define UNROLLED _Pragma("GCC unroll 16")
typedef float vf __attribute__((vector_size(4 * LANES), may_alias));
enum { INPUTS = 8, OUTPUTS = 4, TURNS = 400, SUMS = 10 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static void *memory(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) exit(2);
    memset(p, 0, bytes);
    return p;
}

/* The sum of a block, read again and again: nanoseconds for each time through. */
static double read_time(const float *block, size_t bytes, int times) {
    const size_t steps = bytes / sizeof(vf) / 8;
    double best = 1e18;
    for (int turn = 0; turn < TURNS; turn++) {
        const double start = now();
        for (int k = 0; k < times; k++) {
            vf s[8] = {{0}};
            const vf *p = (const vf *)block;
            for (size_t j = 0; j < steps; j++, p += 8)
                UNROLLED for (int n = 0; n < 8; n++) s[n] += p[n];
            UNROLLED for (int n = 0; n < 8; n++) __asm__ volatile("" : : "m"(s[n]));
        }
        const double time = (now() - start) / times;
        best = time < best ? time : best;
    }
    return best;
}

/* Nanoseconds of one multiply-accumulate of float32, with enough independent sums to hide its latency. */
static double mac_time(void) {
    double best = 1e18;
    for (int turn = 0; turn < TURNS; turn++) {
        vf s[SUMS], a = {0}, b = {0};
        UNROLLED for (int n = 0; n < SUMS; n++) s[n] = a;
        __asm__ volatile("" : "+m"(a), "+m"(b));
        const vf x = a, y = b;
        const double start = now();
        for (int k = 0; k < 2000; k++) {
            UNROLLED for (int n = 0; n < SUMS; n++) s[n] += x * y;
            __asm__ volatile(""); /* not to be taken together with the next one */
        }
        UNROLLED for (int n = 0; n < SUMS; n++) __asm__ volatile("" : : "m"(s[n]));
        const double time = (now() - start) / (2000.0 * SUMS * LANES);
        best = time < best ? time : best;
    }
    return best;
}

typedef struct {
    el_model *model;
    el_state *state;
    size_t bytes; /* of the model */
} net;

/* With random weights, for one stream. */
static net make(const el_network *network, const char *kernel) {
    size_t count, steps, bytes;
    net n;
    if (el_weight_values(network, &count, &steps)) exit(3);
    float *weights = memory(sizeof(float) * count);
    for (size_t k = 0; k < count; k++) weights[k] = ((float)rand() / (float)RAND_MAX - 0.5f) * 0.2f;
    if (el_model_bytes(network, kernel, &n.bytes)) exit(3);
    n.model = memory(n.bytes);
    if (el_model_init(n.model, n.bytes, network, kernel, weights, NULL)) exit(3);
    if (el_state_bytes(n.model, 1, &bytes)) exit(3);
    n.state = memory(bytes);
    if (el_state_init(n.state, bytes, n.model, kernel, 1)) exit(3);
    free(weights);
    return n;
}

static const float x[INPUTS] = {0.1f, 0.2f, -0.3f, 1, 2, -1, 0.5f, 0.7f};

static void measure(uint32_t hidden, uint32_t precision, const char *kernel, double mac) {
    const el_layer layers[] = {{EL_LSTM, hidden, 0, 1, {0}}, {EL_DENSE, OUTPUTS, EL_NONE, 1, {1}}};
    const el_network network = {INPUTS, 2, precision, layers};
    const size_t matrix = 4 * (size_t)hidden * (INPUTS + hidden);
    const net n = make(&network, kernel);
    float y[OUTPUTS];
    const int times = hidden < 64 ? 1000 : hidden < 256 ? 200 : 40;
    double best = 1e18;
    for (int turn = 0; turn < TURNS; turn++) {
        const double start = now();
        for (int k = 0; k < times; k++) el_step(n.model, n.state, x, y);
        const double time = (now() - start) / times;
        best = time < best ? time : best;
    }
    const double read = read_time((const float *)n.model, n.bytes, times);
    printf("{\"hidden\": %u, \"precision\": \"%s\", \"kernel\": \"%s\", \"step_ns\": %.1f, \"read_ns\": %.1f, \"mac_ns\": %.1f, \"model_bytes\": %zu}\n",
           hidden, precision ? "int8" : "float32", kernel, best, read, mac * (double)matrix,
           n.bytes);
    free(n.model), free(n.state);
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* option: as in gru.c. */
static void compare(uint32_t hidden, uint32_t precision, const char *kernel, uint32_t option) {
    const el_layer layers[] = {{EL_LSTM, hidden, 0, 1, {0}}, {EL_GRU, hidden, option, 1, {0}}};
    const int columns[] = {4, 3}, times = 20000 / (int)hidden;
    float *y = memory(sizeof(float) * hidden);
    net both[2];
    double best[2] = {1e18, 1e18}, ratios[TURNS];
    for (int k = 0; k < 2; k++) {
        const el_network network = {INPUTS, 1, precision, layers + k};
        both[k] = make(&network, kernel);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        double time[2];
        for (int order = 0; order < 2; order++) {
            const int k = (order + turn) % 2;
            for (int warm = 0; warm < 3; warm++) el_step(both[k].model, both[k].state, x, y);
            const double start = now();
            for (int j = 0; j < times; j++) el_step(both[k].model, both[k].state, x, y);
            time[k] = (now() - start) / times / columns[k];
            best[k] = time[k] < best[k] ? time[k] : best[k];
        }
        ratios[turn] = time[1] / time[0];
    }
    qsort(ratios, TURNS, sizeof *ratios, by_size);
    printf("{\"hidden\": %u, \"precision\": \"%s\", \"kernel\": \"%s\", \"option\": %u, ", hidden,
           precision ? "int8" : "float32", kernel, option);
    printf("\"lstm_ns\": %.1f, \"gru_ns\": %.1f, \"ratio\": %.3f}\n", 4 * best[0], 3 * best[1],
           ratios[TURNS / 2]);
    for (int k = 0; k < 2; k++) free(both[k].model), free(both[k].state);
    free(y);
}

/* An LSTM in float32 and in int8, in turns: a busy machine slows down both. */
static void int8_beside_float32(uint32_t hidden, const char *kernel) {
    const el_layer layers[] = {{EL_LSTM, hidden, 0, 1, {0}}, {EL_DENSE, OUTPUTS, EL_NONE, 1, {1}}};
    const int times = 20000 / (int)hidden;
    float y[OUTPUTS];
    double best[2] = {1e18, 1e18}, ratios[TURNS];
    net both[2];
    for (uint32_t k = 0; k < 2; k++) {
        const el_network network = {INPUTS, 2, k ? EL_INT8 : EL_FLOAT32, layers};
        both[k] = make(&network, kernel);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        double time[2];
        for (int order = 0; order < 2; order++) {
            const int k = (order + turn) % 2;
            for (int warm = 0; warm < 3; warm++) el_step(both[k].model, both[k].state, x, y);
            const double start = now();
            for (int j = 0; j < times; j++) el_step(both[k].model, both[k].state, x, y);
            time[k] = (now() - start) / times;
            best[k] = time[k] < best[k] ? time[k] : best[k];
        }
        ratios[turn] = time[0] / time[1];
    }
    qsort(ratios, TURNS, sizeof *ratios, by_size);
    printf("{\"hidden\": %u, \"kernel\": \"%s\", \"float32_ns\": %.1f, \"int8_ns\": %.1f, \"ratio\": %.3f}\n",
           hidden, kernel, best[0], best[1], ratios[TURNS / 2]);
    for (int k = 0; k < 2; k++) free(both[k].model), free(both[k].state);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "int8")) {
        for (int a = 2; a < argc; a++)
            for (uint32_t k = 0; el_kernel_name(k); k++) int8_beside_float32((uint32_t)atoi(argv[a]), el_kernel_name(k));
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "gru")) {
        for (int a = 2; a < argc; a++)
            for (uint32_t precision = EL_FLOAT32; precision <= EL_INT8; precision++)
                for (uint32_t k = 0; el_kernel_name(k); k++)
                    for (uint32_t option = 0; option < 2; option++)
                        compare((uint32_t)atoi(argv[a]), precision, el_kernel_name(k), option);
        return 0;
    }
    const double mac = mac_time();
    for (int a = 1; a < argc; a++)
        for (uint32_t precision = EL_FLOAT32; precision <= EL_INT8; precision++)
            for (uint32_t k = 0; el_kernel_name(k); k++) measure((uint32_t)atoi(argv[a]), precision, el_kernel_name(k), mac);
    return 0;
}
