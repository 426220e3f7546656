/* The LSTM step as one would write it in plain C, for a compiler to make vectors of: the sums of all
 * gates, then the cell. Weights and inputs are random. The part that counts is marked for
 * board_counts.c.
 *
 * usage: plain HIDDEN STEPS */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { INPUTS = 8, OUTPUTS = 4, WARM = 20, MARK = 0x5e1, BEGIN = 2, END = 3 };

static float number(void) { return ((float)rand() / (float)RAND_MAX - 0.5f) * 0.2f; }

static float *numbers(size_t count) {
    float *values = malloc(count * sizeof *values);
    if (!values) exit(2);
    for (size_t k = 0; k < count; k++) values[k] = number();
    return values;
}

/* W: (rows, columns). sums: (columns) */
static void add_product(size_t rows, size_t columns, const float *restrict x,
                        const float *restrict W, float *restrict sums) {
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < columns; k++) sums[k] += x[r] * W[r * columns + k];
}

static float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

int main(int argc, char **argv) {
    if (argc != 3) return 1;
    const size_t hidden = (size_t)atoi(argv[1]), columns = 4 * hidden;
    const int steps = atoi(argv[2]);
    const float *W_x = numbers(INPUTS * columns), *W_h = numbers(hidden * columns);
    const float *b = numbers(columns), *head = numbers(hidden * OUTPUTS);
    float *h = numbers(hidden), *c = numbers(hidden), *sums = numbers(columns);
    float x[INPUTS], y[OUTPUTS], total = 0;
    for (int step = -WARM; step < steps; step++) {
        if (!step) syscall(MARK, BEGIN);
        for (size_t k = 0; k < INPUTS; k++) x[k] = (float)(step % 7) * 0.1f;
        for (size_t k = 0; k < columns; k++) sums[k] = b[k];
        add_product(INPUTS, columns, x, W_x, sums);
        add_product(hidden, columns, h, W_h, sums);
        for (size_t k = 0; k < hidden; k++) {
            const float i = sigmoid(sums[k]), f = sigmoid(sums[hidden + k]);
            const float g = tanhf(sums[2 * hidden + k]), o = sigmoid(sums[3 * hidden + k]);
            c[k] = f * c[k] + i * g;
            h[k] = o * tanhf(c[k]);
        }
        for (size_t k = 0; k < OUTPUTS; k++) y[k] = 0;
        add_product(hidden, OUTPUTS, h, head, y);
        total += y[0];
    }
    syscall(MARK, END);
    return printf("%g\n", (double)total) < 0;
}
