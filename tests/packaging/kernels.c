/* Runs LSTM layers and a dense head with each kernel of this CPU and prints a line for each: its
 * name, then all answers.
 *
 * kernels FILE: inputs, hidden, layers, outputs, precision, streams, steps, given (uint32); the
 * weights; x (steps, streams, inputs); and with `given`, for one stream and one layer, the states h
 * and c (steps, 2, hidden) that each step begins with (float32).
 */
#include <stdio.h>
#include <stdlib.h>

#include "edge_lstm.h"

static void must(int good, const char *what) {
    if (good) return;
    fprintf(stderr, "kernels: %s\n", what);
    exit(1);
}

static void *aligned(size_t bytes) {
    char *memory = malloc(bytes + EL_ALIGNMENT);
    must(memory != NULL, "no memory");
    return memory + (EL_ALIGNMENT - (size_t)memory % EL_ALIGNMENT);
}

int main(int count, char **arguments) {
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    must(file != NULL, "no file");
    struct {
        uint32_t inputs, hidden, layers, outputs, precision, streams, steps, given;
    } z;
    must(fread(&z, sizeof z, 1, file) == 1, "no sizes");
    float *const values = malloc(1 << 24);
    must(values != NULL && fread(values, 1, 1 << 24, file) > 0, "no values");
    el_layer layers[EL_MAX_LAYERS];
    for (uint32_t k = 0; k < z.layers; k++) layers[k] = (el_layer){EL_LSTM, z.hidden, 0, 1, {k}};
    layers[z.layers] = (el_layer){EL_DENSE, z.outputs, EL_NONE, 1, {z.layers}};
    const el_network network = {z.inputs, z.layers + 1, z.precision, layers};
    size_t at, columns;
    must(el_weight_values(&network, &at, &columns) == EL_OK, "el_weight_values");
    const float *const x = values + at, *const states = x + (size_t)z.steps * z.streams * z.inputs;
    const size_t outputs = (size_t)z.streams * z.outputs;
    float *const y = malloc(sizeof *y * outputs);

    const char *name;
    for (uint32_t kernel = 0; (name = el_kernel_name(kernel)) != NULL; kernel++) {
        size_t bytes;
        must(el_model_bytes(&network, name, &bytes) == EL_OK, "el_model_bytes");
        el_model *const model = aligned(bytes);
        must(el_model_init(model, bytes, &network, name, values, NULL) == EL_OK, "el_model_init");
        must(el_state_bytes(model, z.streams, &bytes) == EL_OK, "el_state_bytes");
        el_state *const state = aligned(bytes);
        must(el_state_init(state, bytes, model, name, z.streams) == EL_OK, "el_state_init");
        printf("%s", name);
        for (size_t t = 0; t < z.steps; t++) {
            if (z.given)
                must(el_set_state(model, state, EL_ALL, states + 2 * t * z.hidden) == EL_OK,
                     "el_set_state");
            must(el_step(model, state, x + t * z.streams * z.inputs, y) == EL_OK, "el_step");
            for (size_t k = 0; k < outputs; k++) printf(" %.9g", (double)y[k]);
        }
        printf("\n");
    }
    return 0;
}
