/* Runs a model with each kernel of this CPU and prints a line for each: its name, then all answers.
 *
 * kernels FILE: el_sizes, streams, steps, given (uint32); the weights; x (steps, streams, inputs); and with `given`, for one stream, the states
 * h and c (steps, layers, hidden) that each step begins with (float32).
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
        el_sizes sizes;
        uint32_t streams, steps, given;
    } z;
    must(fread(&z, sizeof z, 1, file) == 1, "no sizes");
    float *const values = malloc(1 << 24);
    must(values != NULL && fread(values, 1, 1 << 24, file) > 0, "no values");
    const uint32_t H = z.sizes.hidden;
    size_t at = (H + 1) * z.sizes.outputs;
    for (uint32_t k = 0; k < z.sizes.layers; k++) at += 4 * H * ((k ? H : z.sizes.inputs) + H + 1);
    const float *const x = values + at, *const h = x + (size_t)z.steps * z.streams * z.sizes.inputs;
    const size_t states = (size_t)z.sizes.layers * H, outputs = (size_t)z.streams * z.sizes.outputs;
    float *const y = malloc(sizeof *y * outputs);

    const char *name;
    for (uint32_t kernel = 0; (name = el_kernel_name(kernel)) != NULL; kernel++) {
        size_t bytes;
        must(el_model_bytes(&z.sizes, name, &bytes) == EL_OK, "el_model_bytes");
        el_model *const model = aligned(bytes);
        must(el_model_init(model, bytes, &z.sizes, name, values, NULL) == EL_OK, "el_model_init");
        must(el_state_bytes(model, z.streams, &bytes) == EL_OK, "el_state_bytes");
        el_state *const state = aligned(bytes);
        must(el_state_init(state, bytes, model, name, z.streams) == EL_OK, "el_state_init");
        printf("%s", name);
        for (size_t t = 0; t < z.steps; t++) {
            if (z.given) must(el_set_state(model, state, EL_ALL, h + t * states, h + (z.steps + t) * states) == EL_OK, "el_set_state");
            must(el_step(model, state, x + t * z.streams * z.sizes.inputs, y) == EL_OK, "el_step");
            for (size_t k = 0; k < outputs; k++) printf(" %.9g", (double)y[k]);
        }
        printf("\n");
    }
    return 0;
}
