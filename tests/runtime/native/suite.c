/* Tests of the C kernel, for every kernel that this CPU runs, in the networks of each layer_NAME.c.
 * Prints each failure and ends with 1 if there is one.
 *
 *     suite [steps]      1000 unless given; fewer if something slows it down, such as valgrind
 */
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One step from the kernel's own state: the sums are exact, what is left is float32's rounding. */
#define INT8_LIMIT 5e-6

static float *inputs_of(size_t count, double range) {
    float *const x = floats(count);
    for (size_t k = 0; k < count; k++) x[k] = (float)uniform(-range, range);
    return x;
}

static uint32_t outputs_of(const net *n) { return n->network.layer[n->network.layers - 1].units; }

static void same_bytes(const char *what, const void *a, const void *b, size_t bytes) {
    if (memcmp(a, b, bytes)) FAIL("%s differ, and should be the same bit for bit", what);
}

/* Fails with the largest difference and its place. Values beyond 1 may differ by more. */
static void close_to(const char *what, const float *actual, const double *expected, size_t count,
                     double limit) {
    double worst = 0;
    size_t at = 0;
    for (size_t k = 0; k < count; k++) {
        const double difference =
            fabs((double)actual[k] - expected[k]) / fmax(1.0, fabs(expected[k]));
        if (!(difference <= worst)) worst = difference, at = k; /* NaN too */
    }
    if (!(worst <= limit))
        FAIL("%s: off by %.3g at %zu (%.9g, expected %.9g), limit %.3g", what, worst, at,
             (double)actual[at], expected[at], limit);
}

/* The net with matrices of 11 significant bits, as float16 has them: rounded to nearest, ties to
 * even. */
static net in_half(net n) {
    float *const weights = floats(n.count);
    memcpy(weights, n.weights, sizeof(float) * n.count);
    for (uint32_t k = 0; k < n.network.layers; k++) {
        float *const W = weights + (layer_weights(&n, k) - n.weights);
        for (size_t j = 0; j < matrices(&n, k); j++) {
            int exponent;
            const double part = frexp((double)W[j], &exponent);
            W[j] = (float)ldexp(rint(part * 2048.0) / 2048.0, exponent);
        }
    }
    n.weights = weights;
    return n;
}

/* Every kernel against the equations in double over many steps, from a state that is set; and
 * against each other; el_run against el_step. */
static void floats_against_double(const el_network *network, uint32_t streams,
                                  uint32_t precision) {
    net n = make_net(network, precision);
    const net exact = in_half(n), *const stored = precision == EL_FLOAT16 ? &exact : &n;
    const uint32_t inputs = n.network.inputs, outputs = outputs_of(&n);
    const size_t in = inputs * (size_t)streams, out = outputs * (size_t)streams,
                 all = n.values * streams;
    float *const x = inputs_of(step_count * in, 2.0), *const from = inputs_of(all, 1.0);
    double *const states = doubles(all), *const expected = doubles(step_count * out);
    for (size_t k = 0; k < all; k++) states[k] = (double)from[k];
    for (size_t t = 0; t < step_count; t++)
        for (uint32_t s = 0; s < streams; s++)
            naive_step(stored, x + t * in + s * inputs, states + s * n.values,
                       expected + t * out + s * outputs);

    double *const first = doubles(step_count * out); /* what the first kernel gives */
    float *const y = floats(step_count * out), *const again = floats(step_count * out);
    float *const to = floats(all);
    const char *kernel;
    for (uint32_t k = 0; (kernel = el_kernel_name(k)); k++) {
        describe(kernel, &n, streams);
        el_model *const model = make_model(&n, kernel, NULL);
        el_state *const state = make_state(model, kernel, streams);
        OK(el_set_state(model, state, EL_ALL, from));
        for (size_t t = 0; t < step_count; t++) OK(el_step(model, state, x + t * in, y + t * out));
        close_to("y", y, expected, step_count * out, FLOAT_LIMIT);
        OK(el_get_state(model, state, EL_ALL, to));
        close_to("the state", to, states, all, 2 * FLOAT_LIMIT);

        OK(el_set_state(model, state, EL_ALL, from));
        const size_t half = step_count / 2;
        OK(el_run(model, state, x, half, again));
        OK(el_run(model, state, x + half * in, 0, again)); /* no step at all */
        OK(el_run(model, state, x + half * in, step_count - half, again + half * out));
        same_bytes("el_run and el_step", y, again, sizeof(float) * step_count * out);

        if (k == 0)
            for (size_t j = 0; j < step_count * out; j++) first[j] = (double)y[j];
        close_to("y of two kernels", y, first, step_count * out, FLOAT_LIMIT);
        free(model), free(state);
    }
    free(x), free(from), free(states), free(expected), free(first), free(y), free(again), free(to);
    free(n.weights), free(exact.weights);
}

/* The matrices of the layers that int8 rounds: W (rows, columns), and where the steps of its
 * columns are. */
typedef struct {
    float *W;
    uint32_t rows;
    size_t columns, step;
} matrix;

static size_t int8_matrices(const net *n, matrix *to) {
    size_t count = 0, step = 0;
    for (uint32_t k = 0; k < n->network.layers; k++) {
        const naive_layer l = layer_of(n, k);
        float *W = n->weights + (l.weights - n->weights);
        for (unsigned m = 0; textbook_of(l.layer->type)->states && m < 3; m++) {
            const size_t columns = (size_t)shape_of(l.layer)->columns[m] * l.layer->units;
            const uint32_t rows = m ? l.layer->units : l.inputs;
            if (columns) to[count++] = (matrix){W, rows, columns, step};
            step += columns, W += columns * rows;
        }
    }
    return count;
}

/* Weights that the kernel and the test round to the same whole numbers: none near the middle
 * between two. */
static void off_the_middle(const net *n) {
    matrix all[3 * EL_MAX_LAYERS];
    const size_t count = int8_matrices(n, all);
    for (const matrix *m = all; m < all + count; m++)
        for (size_t u = 0; u < m->columns; u++) {
            float heaviest = 0;
            for (uint32_t j = 0; j < m->rows; j++)
                heaviest = fmaxf(heaviest, fabsf(m->W[j * m->columns + u]));
            for (uint32_t j = 0; j < m->rows; j++) {
                float *const w = &m->W[j * m->columns + u];
                const float scaled = 127.0f * *w / heaviest;
                if (fabsf(scaled - floorf(scaled) - 0.5f) < 1e-3f)
                    *w = (scaled + 0.1f) * heaviest / 127.0f;
            }
        }
}

/* Weights on a grid of their own, whose largest whole number is not always 127. -> the steps. */
static float *on_a_grid(const net *n) {
    matrix all[3 * EL_MAX_LAYERS];
    const size_t count = int8_matrices(n, all);
    float *const steps = floats(n->columns);
    for (const matrix *m = all; m < all + count; m++)
        for (size_t u = 0; u < m->columns; u++) {
            const float step = steps[m->step + u] = (float)uniform(0.001, 0.01);
            for (uint32_t j = 0; j < m->rows; j++)
                m->W[j * m->columns + u] = (float)lrint(uniform(-127.4, 127.4)) * step;
        }
    return steps;
}

/* One step of one stream, each layer from the kernel's own states before, and from the kernel's own
 * output below if that can be seen: so no difference is carried on. */
static void int8_step(const net *n, const float *x, const float *before, const float *after,
                      const float *y, const float *steps) {
    const uint32_t last = n->network.layers - 1;
    double *const wide = doubles(n->network.inputs), *const outputs =
                                                         doubles(output_place(n, last + 1));
    double largest = 1.0;
    for (uint32_t j = 0; j < n->network.inputs; j++) wide[j] = (double)x[j];
    for (uint32_t k = 0; k <= last; k++) {
        naive_layer l = layer_of(n, k);
        const textbook *const book = textbook_of(l.layer->type);
        const uint32_t units = l.layer->units, states = book->states;
        double *const input = doubles(l.inputs), *const own = outputs + output_place(n, k);
        const size_t values = state_place(n, k + 1) - state_place(n, k);
        double *const state = doubles(values), *const slack = doubles(units);
        for (uint32_t u = 0; u < units; u++) slack[u] = 0.0;
        for (size_t j = 0; j < values; j++)
            state[j] = (double)before[state_place(n, k) + j];
        l.int8 = states > 0, l.margin = 2e-5, l.slack = slack, l.steps = steps;
        for (uint32_t j = 0; j < l.layer->source_count; j++) /* what is not seen is not exact */
            if (l.layer->source[j] &&
                !textbook_of(n->network.layer[l.layer->source[j] - 1].type)->states)
                l.margin = 1e-4;
        gather(n, k, wide, outputs, input);
        largest = 1.0; /* of the last layer: sums of large inputs may cancel each other */
        for (uint32_t j = 0; j < l.inputs; j++) largest = fmax(largest, fabs(input[j]));
        for (size_t j = 0; j < values; j++) largest = fmax(largest, fabs(state[j]));
        book->step(&l, input, state, own);
        for (size_t j = 0; j < (size_t)states * units; j++) {
            const double was = fabs((double)before[state_place(n, k) + j]);
            const double actual = (double)after[state_place(n, k) + j];
            const double limit =
                INT8_LIMIT * fmax(1.0, fabs(state[j])) + 2 * slack[j % units] * fmax(1.0, was);
            if (!(fabs(actual - state[j]) <= limit))
                FAIL("layer %u state %zu is %.9g, expected %.9g, limit %.3g", k, j, actual,
                     state[j], limit);
        }
        for (uint32_t u = 0; states && u < units; u++)
            own[u] = (double)after[state_place(n, k) + u];
        if (steps && states) steps += columns_before(l.layer, 3);
        free(input), free(state), free(slack);
    }
    close_to("y", y, outputs + output_place(n, last), outputs_of(n), FLOAT_LIMIT * largest);
    free(wide), free(outputs);
}

static void int8_against_integers(const char *kernel, const el_network *network, uint32_t streams,
                                  int grid) {
    net n = make_net(network, EL_INT8);
    off_the_middle(&n);
    float *const steps = grid ? on_a_grid(&n) : NULL;
    describe(kernel, &n, streams);
    const uint32_t inputs = n.network.inputs, outputs = outputs_of(&n);
    el_model *const model = make_model(&n, kernel, steps);
    el_state *const state = make_state(model, kernel, streams);
    float *const before = floats(streams * n.values), *const after = floats(streams * n.values);
    float *const y = floats(outputs * (size_t)streams);
    const int failed = failures;
    for (size_t t = 0; t < 20 && failures == failed; t++) {
        /* all zero, huge, nearly nothing */
        const double range = t == 3 ? 0.0 : t == 4 ? 1e30 : t == 5 ? 1e-31 : 3.0;
        float *const x = inputs_of(inputs * (size_t)streams, range);
        OK(el_get_state(model, state, EL_ALL, before));
        OK(el_step(model, state, x, y));
        OK(el_get_state(model, state, EL_ALL, after));
        for (size_t s = 0; s < streams; s++)
            int8_step(&n, x + s * inputs, before + s * n.values, after + s * n.values,
                      y + s * outputs, steps);
        free(x);
    }
    free(model), free(state), free(before), free(after), free(y), free(steps), free(n.weights);
}

/* Several streams at once give what each gives alone; a reset, or a state that is set, reaches its
 * own stream only. */
static void streams_are_apart(const char *kernel, const el_network *network, uint32_t streams) {
    net n = make_net(network, EL_FLOAT32);
    describe(kernel, &n, streams);
    const uint32_t in = n.network.inputs, out = outputs_of(&n), chosen = streams / 2, steps = 30;
    const size_t ten_x = (size_t)10 * streams * in, ten_y = (size_t)10 * streams * out;
    const size_t values = n.values, all_bytes = sizeof(float) * streams * values,
                 bytes = sizeof(float) * values;
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const all = make_state(model, kernel, streams), *const one =
                                                                  make_state(model, kernel, 1);
    float *const x = inputs_of((size_t)steps * streams * in, 2.0), *const y = floats((size_t)steps *
                                                                                     streams * out);
    float *const was = floats(streams * values), *const is = floats(streams * values),
                 *const zeros = floats(values);
    memset(zeros, 0, bytes);
    /* 10 steps; stream `chosen` is reset; 10 steps; it is set; 10 steps. */
    OK(el_run(model, all, x, 10, y));
    OK(el_get_state(model, all, EL_ALL, was));
    OK(el_reset(model, all, chosen));
    OK(el_get_state(model, all, EL_ALL, is));
    same_bytes("the stream that was reset and zeros", is + chosen * values, zeros, bytes);
    memcpy(was + chosen * values, zeros, bytes);
    same_bytes("the streams that were not reset", was, is, all_bytes);
    OK(el_run(model, all, x + ten_x, 10, y + ten_y));
    for (size_t k = 0; k < values; k++) was[k] = (float)uniform(-1, 1);
    OK(el_set_state(model, all, chosen, was));
    OK(el_get_state(model, all, chosen, is));
    same_bytes("the state that was set and the one that is", was, is, bytes);
    OK(el_run(model, all, x + 2 * ten_x, 10, y + 2 * ten_y));

    float *const actual = floats(out);
    double *const expected = doubles(out);
    for (uint32_t s = 0; s < streams; s++) {
        OK(el_reset(model, one, s % 2 ? 0 : EL_ALL));
        for (uint32_t t = 0; t < steps; t++) {
            if (s == chosen && t == 10) OK(el_reset(model, one, 0));
            if (s == chosen && t == 20) OK(el_set_state(model, one, 0, was));
            const size_t row = (size_t)t * streams + s;
            OK(el_step(model, one, x + row * in, actual));
            for (uint32_t k = 0; k < out; k++) expected[k] = (double)y[row * out + k];
            close_to("y of a stream alone", actual, expected, out, FLOAT_LIMIT);
        }
    }
    /* All of it, there and back, into another state that has gone other ways: the same steps
     * follow. */
    el_state *const other = make_state(model, kernel, streams);
    float *const y2 = floats((size_t)5 * streams * out);
    OK(el_run(model, other, x, 3, y2));
    OK(el_get_state(model, all, EL_ALL, is));
    OK(el_set_state(model, other, EL_ALL, is));
    OK(el_run(model, all, x, 5, y));
    OK(el_run(model, other, x, 5, y2));
    same_bytes("y after the state was carried over", y, y2, sizeof(float) * 5 * streams * out);
    OK(el_reset(model, all, EL_ALL));
    OK(el_state_init(other, (size_t)-1, model, kernel, streams));
    OK(el_run(model, all, x, 5, y));
    OK(el_run(model, other, x, 5, y2));
    same_bytes("y after el_reset and after el_state_init", y, y2,
               sizeof(float) * 5 * streams * out);
    free(model), free(all), free(one), free(other), free(x), free(y), free(y2), free(was), free(is);
    free(zeros), free(actual), free(expected), free(n.weights);
}

/* A model is bytes: a copy elsewhere is the same model, also for a state made with the first. */
static void model_may_lie_anywhere(const char *kernel, const el_network *network,
                                   uint32_t precision) {
    net n = make_net(network, precision);
    describe(kernel, &n, 2);
    size_t bytes = 0;
    OK(el_model_bytes(&n.network, kernel, &bytes));
    el_model *const model = make_model(&n, kernel, NULL), *const copy = memory(bytes);
    el_state *const state = make_state(model, kernel, 2);
    memcpy(copy, model, bytes);
    el_state *const of_copy = make_state(copy, kernel, 2);
    el_network read;
    OK(el_model_check(copy, bytes, &read));
    CHECK(read.inputs == n.network.inputs && read.layers == n.network.layers &&
          read.precision == precision);
    same_bytes("the layers", read.layer, n.network.layer, sizeof(el_layer) * read.layers);
    CHECK((const char *)read.layer > (char *)copy &&
          (const char *)read.layer < (char *)copy + bytes);
    const uint32_t in = n.network.inputs, out = outputs_of(&n);
    float *const x = inputs_of((size_t)20 * in, 2.0), *const y = floats((size_t)20 * out);
    float *const y2 = floats((size_t)20 * out);
    const el_bound bound = {copy, state, y2 + 18 * out, NULL, NULL};
    OK(el_run(model, state, x, 10, y));
    OK(el_run(copy, of_copy, x, 10, y2));
    same_bytes("y of a model and of its copy", y, y2, sizeof(float) * 20 * out);
    memset(model, 0, bytes);
    OK(el_run(copy, of_copy, x, 1, y));
    OK(el_step_bound(&bound, x));
    same_bytes("y of el_step and el_step_bound", y, bound.y, sizeof(float) * 2 * out);
    free(model), free(copy), free(state), free(of_copy), free(x), free(y), free(y2),
        free(n.weights);
}

static const el_layer plain[] = {
    {EL_LSTM, 5, 0, 1, {0}}, {EL_LSTM, 5, 0, 1, {1}}, {EL_DENSE, 1, EL_NONE, 1, {2}}};
static const el_network two_and_a_head = {2, 3, 0, plain};

/* As the header says: huge inputs saturate; those whose sums overflow may leave NaN, in their own
 * stream, until it is reset. */
static void huge_inputs(const char *kernel, uint32_t precision) {
    net n = make_net(&two_and_a_head, precision);
    describe(kernel, &n, 5);
    for (uint32_t k = 0; k < 40; k++) n.weights[k] = k < 20 ? 2.0f : -1.5f;
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const state = make_state(model, kernel, 5), *const calm =
                                                              make_state(model, kernel, 5);
    float x[10], y[5], y_calm[5], values[100];
    for (uint32_t k = 0; k < 100; k++) {
        for (uint32_t j = 0; j < 10; j++) x[j] = (float)uniform(-1, 1) < 0 ? -1e30f : 1e30f;
        OK(el_step(model, state, x, y));
        for (uint32_t s = 0; s < 5; s++)
            if (!(fabsf(y[s]) < 10)) FAIL("y of stream %u at 1e30 is %g", s, (double)y[s]);
    }
    OK(el_get_state(model, state, EL_ALL, values));
    OK(el_set_state(model, calm, EL_ALL, values));
    OK(el_step(model, calm, x, y_calm));
    /* Stream 4, which is computed alone: inf - inf of its two sums. */
    for (uint32_t j = 0; j < 2; j++) x[8 + j] = 3e38f;
    OK(el_step(model, state, x, y));
    for (uint32_t s = 0; s < 5; s++)
        if (s != 4)
            same_bytes("y beside a stream that overflows", y + s, y_calm + s, sizeof(float));
    CHECK(precision != EL_FLOAT32 || y[4] != y[4]);
    for (uint32_t k = 0; k < 10; k++) OK(el_step(model, state, x, y)); /* whatever it is, it runs */
    OK(el_reset(model, state, 4));
    OK(el_reset(model, calm, 4));
    memset(x, 0, sizeof x);
    OK(el_step(model, state, x, y));
    OK(el_step(model, calm, x, y_calm));
    same_bytes("y after a reset", y + 4, y_calm + 4, sizeof(float));
    free(model), free(state), free(calm), free(n.weights);
}

/* el_answer against the same arithmetic, written down plainly, around el_step. */
static void answers(const char *kernel, uint32_t missing, int scaled, int residual) {
    enum { CHANNELS = 3, OUTPUTS = 4, STREAMS = 3 };
    const el_layer layers[] = {{EL_LSTM, 9, 0, 1, {0}}, {EL_DENSE, OUTPUTS, EL_NONE, 1, {1}}};
    const el_network network = {missing == EL_MASK ? 2 * CHANNELS : CHANNELS, 2, 0, layers};
    net n = make_net(&network, EL_FLOAT32);
    const uint32_t inputs = network.inputs;
    describe(kernel, &n, STREAMS);
    const double mean[CHANNELS] = {101325.0, -2.0, 0.0}, std[CHANNELS] = {250.0, 1e-3, 7.0};
    const double offset[OUTPUTS] = {1000.0, 0.5, -3.0, 0.0},
                 scale[OUTPUTS] = {20.0, 1e-3, -1.0, 1.0};
    const uint32_t sources[OUTPUTS] = {0, 2, 1, 0};
    const el_processing p = {CHANNELS,
                             missing,
                             mean,
                             std,
                             scaled ? offset : NULL,
                             scaled ? scale : NULL,
                             residual ? sources : NULL};
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const state = make_state(model, kernel, STREAMS), *const plainly = make_state(
                                                                    model, kernel, STREAMS);
    double last[STREAMS * CHANNELS], known[STREAMS * CHANNELS], sample[STREAMS * CHANNELS];
    float x[STREAMS * 2 * CHANNELS], y[STREAMS * OUTPUTS], answer[STREAMS * OUTPUTS];
    const el_bound bound = {model, state, answer, &p, last};
    for (uint32_t k = 0; k < STREAMS * CHANNELS; k++) last[k] = known[k] = mean[k % CHANNELS];
    for (size_t t = 0; t < 200; t++) {
        for (uint32_t s = 0; s < STREAMS; s++)
            for (uint32_t k = 0; k < CHANNELS; k++) {
                const uint32_t at = s * CHANNELS + k;
                const int gap = missing != EL_REFUSE && uniform(0, 1) < 0.3;
                sample[at] = gap ? (double)NAN : mean[k] + std[k] * uniform(-2, 2);
                if (!gap) known[at] = sample[at];
                else if (missing == EL_MASK) known[at] = mean[k];
                x[s * inputs + k] = (float)((known[at] - mean[k]) / std[k]);
                if (missing == EL_MASK) x[s * inputs + CHANNELS + k] = gap ? 1.0f : 0.0f;
            }
        OK(el_step(model, plainly, x, y));
        OK(t % 2 ? el_answer(&p, model, state, sample, last, answer)
                 : el_answer_bound(&bound, sample));
        double expected[STREAMS * OUTPUTS];
        for (uint32_t k = 0; k < STREAMS * OUTPUTS; k++) {
            expected[k] = (double)y[k];
            if (scaled) expected[k] = offset[k % OUTPUTS] + scale[k % OUTPUTS] * expected[k];
            if (scaled && residual)
                expected[k] += known[k / OUTPUTS * CHANNELS + sources[k % OUTPUTS]];
            if (!(fabs((double)answer[k] - expected[k]) <= 1.2e-7 * fabs(expected[k]) + 1e-12))
                FAIL("step %zu answer %u is %.9g, expected %.9g", t, k, (double)answer[k],
                     expected[k]);
        }
        if (residual || missing == EL_FORWARD_FILL)
            same_bytes("last and the latest known values", last, known, sizeof last);
    }
    /* el_answer_rows is el_answer for each row, up to one that it refuses. */
    enum { ROWS = 5, GOOD = 3 };
    double samples[ROWS * STREAMS * CHANNELS];
    float rows[ROWS * STREAMS * OUTPUTS];
    for (uint32_t k = 0; k < ROWS * STREAMS * CHANNELS; k++)
        samples[k] = mean[k % CHANNELS] + std[k % CHANNELS] * uniform(-2, 2);
    samples[GOOD * STREAMS * CHANNELS + 4] = (double)INFINITY;
    size_t count, done = 99;
    OK(el_state_values(model, &count));
    float *const values = floats(count * STREAMS);
    OK(el_get_state(model, state, EL_ALL, values));
    OK(el_set_state(model, plainly, EL_ALL, values));
    memcpy(known, last, sizeof last);
    CHECK(el_answer_rows(&bound, samples, ROWS, rows, &done) == EL_NOT_FINITE && done == GOOD);
    for (uint32_t t = 0; t < GOOD; t++) {
        OK(el_answer(&p, model, plainly, samples + t * STREAMS * CHANNELS, known, answer));
        same_bytes("a row and its answer", rows + t * STREAMS * OUTPUTS, answer, sizeof answer);
    }
    same_bytes("last after rows", last, known, sizeof last);
    CHECK(el_answer_rows(&bound, samples, 0, rows, &done) == EL_OK && done == 0);
    CHECK(el_answer_rows(&bound, samples, GOOD, rows, &done) == EL_OK && done == GOOD);
    free(values);
    free(model), free(state), free(plainly), free(n.weights);
}

/* All that is asked of a layer type, in each of its networks. */
static void layers_of(const textbook *book, const char *kernel) {
    for (size_t k = 0; k < book->network_count; k++) {
        const el_network *const network = &book->networks[k];
        for (uint32_t streams = 1; streams <= 9; streams += k < 3 ? 1 : 4)
            for (int grid = 0; grid < 2; grid++)
                int8_against_integers(kernel, network, streams, grid);
        streams_are_apart(kernel, network, 1 + (uint32_t)k % 9);
        for (uint32_t precision = EL_FLOAT32; precision <= EL_FLOAT16; precision++)
            model_may_lie_anywhere(kernel, network, precision);
    }
    for (uint32_t streams = 1; streams <= 9; streams++)
        streams_are_apart(kernel, &book->networks[0], streams);
    if (book->check) book->check(kernel);
}

int main(int count, char **arguments) {
    if (count > 1) step_count = (size_t)strtoul(arguments[1], NULL, 10);
    if (count > 2 || step_count < 2) return puts("usage: suite [steps, at least 2]"), 2;
    const textbook *book;
    for (uint32_t type = 0; (book = textbook_of(type)); type++)
        for (size_t k = 0; k < book->network_count; k++) {
            seed((uint32_t)k + 1);
            for (uint32_t streams = 1; streams <= 9; streams += k < 3 ? 1 : 1 + (uint32_t)k) {
                floats_against_double(&book->networks[k], streams, EL_FLOAT32);
                if (streams % 4 == 1)
                    floats_against_double(&book->networks[k], streams, EL_FLOAT16);
            }
        }
    const char *kernel;
    for (uint32_t index = 0; (kernel = el_kernel_name(index)); index++) {
        for (uint32_t type = 0; (book = textbook_of(type)); type++) layers_of(book, kernel);
        for (uint32_t precision = EL_FLOAT32; precision <= EL_FLOAT16; precision++)
            huge_inputs(kernel, precision);
        for (uint32_t missing = EL_REFUSE; missing <= EL_MASK; missing++)
            for (int way = 0; way < 4; way++) answers(kernel, missing, way & 1, way >> 1);
        test_arguments(kernel);
        printf("%-9s done\n", kernel);
    }
    printf(failures ? "%d failures\n" : "all passed\n", failures);
    return failures != 0;
}
