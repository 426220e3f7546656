/* Dense: y = activation(x W + b).
 *
 * W (inputs, units), b (units). No states. Option: the activation.
 */
#include "tiles.h"

static const form forms[] = {PLAIN_FORM(EL_NONE), PLAIN_FORM(EL_TANH), PLAIN_FORM(EL_RELU),
                             PLAIN_FORM(EL_SIGMOID)};

static void step(const el_state *state, const work *w, const char *weights) {
    const stage *const of = &forms[0].stage[0];
    if (tile_lanes(0, w->units, EL_LANES) == 4) {
        const vectors m = begin_layer(state, w, 0, 4);
        each_tile(plain_narrow, of, &m, weights, 4);
    } else {
        const vectors m = begin_layer(state, w, 0, EL_LANES);
        each_tile(plain_wide, of, &m, weights, EL_LANES);
    }
    activate(state, w, w->option);
}

const layer_type EL_OWN(dense) = {4, forms, step, NULL};
