/* Tests of edge_lstm.{h,c}, for every kernel that this CPU runs. Prints each failure and ends with 1 where there is one.
 *
 *     suite [steps]      1000 unless given; fewer where something slows it down, such as valgrind
 */
#include "suite.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* float32 rounds at 6e-8; sums of some hundred terms, carried through a contracting recurrence. */
#define FLOAT_LIMIT 2e-6
/* One step from the kernel's own state: the sums are exact, what is left is float32's rounding of the gates. */
#define INT8_LIMIT 5e-6
/* sigmoid and tanh, absolute: two roundings of a value below 1 (6e-8 each), and that of the argument. */
#define GATE_LIMIT 2e-7

static size_t step_count = 1000;

static const uint32_t sizes[][4] = {/* inputs, hidden, layers, outputs */
                                    {1, 1, 1, 1},  {3, 7, 1, 2},  {2, 5, 3, 1},  {7, 16, 2, 5}, {6, 17, 2, 4},
                                    {5, 33, 1, 3}, {9, 64, 1, 8}, {4, 31, 3, 3}, {33, 48, 2, 1}};
#define SIZES (sizeof sizes / sizeof *sizes)

static net net_of(size_t index, uint32_t precision) {
    seed((uint32_t)index + 1);
    return make_net(sizes[index][0], sizes[index][1], sizes[index][2], sizes[index][3], precision);
}

static void describe(const char *kernel, const net *n, uint32_t streams) {
    const el_sizes *const z = &n->sizes;
    snprintf(where, sizeof where, "%s %s, inputs %u hidden %u layers %u outputs %u streams %u", kernel,
             z->precision == EL_INT8 ? "int8" : "float32", z->inputs, z->hidden, z->layers, z->outputs, streams);
}

static float *inputs_of(size_t count, double range) {
    float *const x = floats(count);
    for (size_t k = 0; k < count; k++) x[k] = (float)uniform(-range, range);
    return x;
}

static void same_bytes(const char *what, const void *a, const void *b, size_t bytes) {
    if (memcmp(a, b, bytes)) FAIL("%s differ, and should be the same bit for bit", what);
}

/* Fails with the largest difference and its place. */
static void close_to(const char *what, const float *actual, const double *expected, size_t count, double limit) {
    double worst = 0;
    size_t at = 0;
    for (size_t k = 0; k < count; k++) {
        const double difference = fabs((double)actual[k] - expected[k]);
        if (!(difference <= worst)) worst = difference, at = k; /* NaN too */
    }
    if (!(worst <= limit))
        FAIL("%s: off by %.3g at %zu (%.9g, expected %.9g), limit %.3g", what, worst, at, (double)actual[at], expected[at], limit);
}

/* Every kernel against the equations in double over many steps, from a state that is set; and against each other; el_run against el_step. */
static void float32_against_double(size_t index, uint32_t streams) {
    net n = net_of(index, EL_FLOAT32);
    const size_t in = n.sizes.inputs * (size_t)streams, out = n.sizes.outputs * (size_t)streams,
                 state_size = (size_t)n.sizes.layers * n.sizes.hidden;
    float *const x = inputs_of(step_count * in, 2.0), *const h0 = inputs_of(streams * state_size, 1.0),
                 *const c0 = inputs_of(streams * state_size, 2.0);
    double *const h = malloc(sizeof(double) * streams * state_size), *const c = malloc(sizeof(double) * streams * state_size);
    double *const expected = malloc(sizeof(double) * step_count * out);
    for (size_t k = 0; k < streams * state_size; k++) h[k] = (double)h0[k], c[k] = (double)c0[k];
    for (size_t t = 0; t < step_count; t++)
        for (uint32_t s = 0; s < streams; s++)
            naive_step(&n, x + t * in + s * n.sizes.inputs, h + s * state_size, c + s * state_size,
                       expected + t * out + s * n.sizes.outputs);

    double *const first = malloc(sizeof(double) * step_count * out); /* what the first kernel gives */
    float *const y = floats(step_count * out), *const again = floats(step_count * out);
    float *const h1 = floats(streams * state_size), *const c1 = floats(streams * state_size);
    const char *kernel;
    for (uint32_t k = 0; (kernel = el_kernel_name(k)); k++) {
        describe(kernel, &n, streams);
        el_model *const model = make_model(&n, kernel, NULL);
        el_state *const state = make_state(model, kernel, streams);
        OK(el_set_state(model, state, EL_ALL, h0, c0));
        for (size_t t = 0; t < step_count; t++) OK(el_step(model, state, x + t * in, y + t * out));
        close_to("y", y, expected, step_count * out, FLOAT_LIMIT);
        OK(el_get_state(model, state, EL_ALL, h1, c1));
        close_to("h", h1, h, streams * state_size, FLOAT_LIMIT);
        close_to("c", c1, c, streams * state_size, 2 * FLOAT_LIMIT); /* it is not bounded by 1 */

        OK(el_set_state(model, state, EL_ALL, h0, c0));
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
    free(x), free(h0), free(c0), free(h), free(c), free(expected), free(y), free(again), free(first), free(h1), free(c1), free(n.weights);
}

/* What the kernel is to do with one column of int8 weights: sums of whole numbers, exact, times both scales. *slack: by how much more it may
 * differ, where v stands so near the middle between two whole numbers that a float's rounding decides. */
static double int8_product(const float *v, uint32_t n, const float *W, size_t stride, const float *step, double *slack) {
    float largest = 0, heaviest = 0;
    for (uint32_t j = 0; j < n; j++) {
        largest = fmaxf(largest, fabsf(v[j]));
        heaviest = fmaxf(heaviest, fabsf(W[j * stride]));
    }
    if (largest <= 1e-30f) return 0.0;
    const double v_scale = (double)(largest / 127.0f), w_scale = (double)(step ? *step : heaviest / 127.0f);
    const float inverse = 127.0f / largest;
    int32_t sum = 0;
    for (uint32_t j = 0; j < n; j++) {
        const double scaled = (double)v[j] * (double)inverse; /* exact */
        const int32_t w = (int32_t)lrint(w_scale > 0 ? (double)W[j * stride] / w_scale : 0.0), q = (int32_t)lrint(scaled);
        if (fabs(fabs(scaled - floor(scaled)) - 0.5) < 2e-5) *slack += abs(w) * v_scale * w_scale;
        sum += w * q;
    }
    return sum * v_scale * w_scale;
}

/* Weights that the kernel and the test round to the same whole numbers: none near the middle between two. */
static void off_the_middle(net *n) {
    const uint32_t H = n->sizes.hidden;
    for (uint32_t k = 0; k < n->sizes.layers; k++) {
        float *W = n->weights + (layer_weights(n, k) - n->weights);
        for (uint32_t part = 0; part < 2; part++) {
            const uint32_t rows = part || k ? H : n->sizes.inputs;
            for (uint32_t u = 0; u < 4 * H; u++) {
                float heaviest = 0;
                for (uint32_t j = 0; j < rows; j++) heaviest = fmaxf(heaviest, fabsf(W[j * 4 * (size_t)H + u]));
                for (uint32_t j = 0; j < rows; j++) {
                    float *const w = &W[j * 4 * (size_t)H + u];
                    const float scaled = 127.0f * *w / heaviest;
                    if (fabsf(scaled - floorf(scaled) - 0.5f) < 1e-3f) *w = (scaled + 0.1f) * heaviest / 127.0f;
                }
            }
            W += rows * 4 * (size_t)H;
        }
    }
}

/* Weights on a grid of their own, whose largest whole number is not always 127. -> the steps. */
static float *on_a_grid(net *n) {
    const uint32_t H = n->sizes.hidden;
    float *const steps = floats(8 * (size_t)H * n->sizes.layers), *step = steps;
    for (uint32_t k = 0; k < n->sizes.layers; k++) {
        float *W = n->weights + (layer_weights(n, k) - n->weights);
        for (uint32_t part = 0; part < 2; part++, step += 4 * H) {
            const uint32_t rows = part || k ? H : n->sizes.inputs;
            for (uint32_t u = 0; u < 4 * H; u++) {
                step[u] = (float)uniform(0.001, 0.01);
                for (uint32_t j = 0; j < rows; j++) W[j * 4 * (size_t)H + u] = (float)lrint(uniform(-127.4, 127.4)) * step[u];
            }
            W += rows * 4 * (size_t)H;
        }
    }
    return steps;
}

static double logistic(double a) { return 1.0 / (1.0 + exp(-a)); }

/* Every step of every layer from the kernel's own state before, and its own h of the layer below: so no difference is carried on. */
static void int8_against_integers(const char *kernel, size_t index, uint32_t streams, int grid) {
    net n = net_of(index, EL_INT8);
    off_the_middle(&n);
    float *const steps = grid ? on_a_grid(&n) : NULL;
    describe(kernel, &n, streams);
    const uint32_t H = n.sizes.hidden, L = n.sizes.layers, O = n.sizes.outputs;
    const size_t in = n.sizes.inputs * (size_t)streams, state_size = streams * (size_t)L * H;
    el_model *const model = make_model(&n, kernel, steps);
    el_state *const state = make_state(model, kernel, streams);
    float *const h0 = floats(state_size), *const c0 = floats(state_size), *const h1 = floats(state_size), *const c1 = floats(state_size);
    float *const y = floats(O * (size_t)streams);
    const int before = failures;
    for (size_t t = 0; t < 20 && failures == before; t++) {
        float *const x = inputs_of(in, t == 3 ? 0.0 : t == 4 ? 1e30 : t == 5 ? 1e-31 : 3.0); /* all zero, huge, nearly nothing */
        OK(el_get_state(model, state, EL_ALL, h0, c0));
        OK(el_step(model, state, x, y));
        OK(el_get_state(model, state, EL_ALL, h1, c1));
        for (uint32_t s = 0; s < streams; s++)
            for (uint32_t k = 0; k < L; k++) {
                const size_t at = ((size_t)s * L + k) * H, columns = 4 * (size_t)H;
                const uint32_t rows = k ? H : n.sizes.inputs;
                const float *const v = k ? h1 + at - H : x + s * (size_t)rows, *const W_x = layer_weights(&n, k),
                                   *const W_h = W_x + rows * columns;
                const float *const step = steps ? steps + 2 * columns * k : NULL;
                for (uint32_t u = 0; u < H; u++) {
                    double a[4], slack = 0;
                    for (uint32_t g = 0; g < 4; g++) {
                        const size_t column = g * (size_t)H + u;
                        a[g] = (double)W_h[H * columns + column] +
                               int8_product(v, rows, W_x + column, columns, step ? step + column : NULL, &slack) +
                               int8_product(h0 + at, H, W_h + column, columns, step ? step + columns + column : NULL, &slack);
                    }
                    const double c = logistic(a[1]) * (double)c0[at + u] + logistic(a[0]) * tanh(a[2]), h = logistic(a[3]) * tanh(c);
                    const double off_c = fabs((double)c1[at + u] - c), off_h = fabs((double)h1[at + u] - h);
                    const double limit = INT8_LIMIT * fmax(1.0, fabs(c)) + slack * fmax(1.0, fabs((double)c0[at + u]));
                    if (!(off_c <= limit && off_h <= limit))
                        FAIL("step %zu stream %u layer %u unit %u: c off by %.3g, h by %.3g, limit %.3g", t, s, k, u, off_c, off_h, limit);
                }
            }
        const float *const W = head_weights(&n), *const b = W + (size_t)H * O;
        for (uint32_t s = 0; s < streams; s++)
            for (uint32_t o = 0; o < O; o++) {
                double expected = (double)b[o];
                for (uint32_t j = 0; j < H; j++) expected += (double)W[(size_t)j * O + o] * (double)h1[((size_t)s * L + L - 1) * H + j];
                if (!(fabs((double)y[s * (size_t)O + o] - expected) <= FLOAT_LIMIT))
                    FAIL("step %zu stream %u y %u is %.9g, expected %.9g", t, s, o, (double)y[s * (size_t)O + o], expected);
            }
        free(x);
    }
    free(model), free(state), free(h0), free(c0), free(h1), free(c1), free(y), free(steps), free(n.weights);
}

/* Several streams at once give what each gives alone; a reset, or a state that is set, reaches its own stream only. */
static void streams_are_apart(const char *kernel, size_t index, uint32_t streams) {
    net n = net_of(index, EL_FLOAT32);
    describe(kernel, &n, streams);
    const uint32_t in = n.sizes.inputs, out = n.sizes.outputs, chosen = streams / 2, steps = 30;
    const size_t state_size = (size_t)n.sizes.layers * n.sizes.hidden;
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const all = make_state(model, kernel, streams), *const one = make_state(model, kernel, 1);
    float *const x = inputs_of((size_t)steps * streams * in, 2.0), *const y = floats((size_t)steps * streams * out);
    float *const h = inputs_of(streams * state_size, 1.0), *const c = inputs_of(streams * state_size, 1.0);
    float *const h1 = floats(streams * state_size), *const c1 = floats(streams * state_size), *const zeros = floats(state_size);
    memset(zeros, 0, sizeof(float) * state_size);
    /* 10 steps; stream `chosen` is reset; 10 steps; it is set; 10 steps. */
    OK(el_run(model, all, x, 10, y));
    OK(el_get_state(model, all, EL_ALL, h, c));
    OK(el_reset(model, all, chosen));
    OK(el_get_state(model, all, EL_ALL, h1, c1));
    same_bytes("h of the stream that was reset and zeros", h1 + chosen * state_size, zeros, sizeof(float) * state_size);
    same_bytes("c of the stream that was reset and zeros", c1 + chosen * state_size, zeros, sizeof(float) * state_size);
    memcpy(h + chosen * state_size, zeros, sizeof(float) * state_size), memcpy(c + chosen * state_size, zeros, sizeof(float) * state_size);
    same_bytes("h of the streams that were not reset", h, h1, sizeof(float) * streams * state_size);
    same_bytes("c of the streams that were not reset", c, c1, sizeof(float) * streams * state_size);
    OK(el_run(model, all, x + (size_t)10 * streams * in, 10, y + (size_t)10 * streams * out));
    for (size_t k = 0; k < state_size; k++) h[k] = (float)uniform(-1, 1), c[k] = (float)uniform(-3, 3);
    OK(el_set_state(model, all, chosen, h, c));
    OK(el_get_state(model, all, chosen, h1, c1));
    same_bytes("h that was set and h that is", h, h1, sizeof(float) * state_size);
    same_bytes("c that was set and c that is", c, c1, sizeof(float) * state_size);
    OK(el_run(model, all, x + (size_t)20 * streams * in, 10, y + (size_t)20 * streams * out));

    for (uint32_t s = 0; s < streams; s++) {
        OK(el_reset(model, one, s % 2 ? 0 : EL_ALL));
        for (uint32_t t = 0; t < steps; t++) {
            if (s == chosen && t == 10) OK(el_reset(model, one, 0));
            if (s == chosen && t == 20) OK(el_set_state(model, one, 0, h, c));
            const size_t row = (size_t)t * streams + s;
            float actual[8];
            double expected[8];
            OK(el_step(model, one, x + row * in, actual));
            for (uint32_t k = 0; k < out; k++) expected[k] = (double)y[row * out + k];
            close_to("y of a stream alone", actual, expected, out, FLOAT_LIMIT);
        }
    }
    /* All of it, there and back, into another state that has gone other ways: the same steps follow. */
    el_state *const other = make_state(model, kernel, streams);
    float *const y2 = floats((size_t)5 * streams * out);
    free(h), free(c);
    float *const h2 = floats(streams * state_size), *const c2 = floats(streams * state_size);
    OK(el_run(model, other, x, 3, y2));
    OK(el_get_state(model, all, EL_ALL, h2, c2));
    OK(el_set_state(model, other, EL_ALL, h2, c2));
    OK(el_run(model, all, x, 5, y));
    OK(el_run(model, other, x, 5, y2));
    same_bytes("y after the state was carried over", y, y2, sizeof(float) * 5 * streams * out);
    OK(el_reset(model, all, EL_ALL));
    OK(el_state_init(other, (size_t)-1, model, kernel, streams));
    OK(el_run(model, all, x, 5, y));
    OK(el_run(model, other, x, 5, y2));
    same_bytes("y after el_reset and after el_state_init", y, y2, sizeof(float) * 5 * streams * out);
    free(model), free(all), free(one), free(other), free(x), free(y), free(y2), free(h1), free(c1), free(h2), free(c2), free(zeros),
        free(n.weights);
}

/* A model is bytes: a copy elsewhere is the same model, also for a state made with the first. */
static void model_may_lie_anywhere(const char *kernel, uint32_t precision) {
    net n = net_of(4, precision);
    describe(kernel, &n, 2);
    size_t bytes = 0;
    OK(el_model_bytes(&n.sizes, kernel, &bytes));
    el_model *const model = make_model(&n, kernel, NULL), *const copy = memory(bytes);
    el_state *const state = make_state(model, kernel, 2), *const of_copy = (memcpy(copy, model, bytes), make_state(copy, kernel, 2));
    el_sizes read;
    OK(el_model_sizes(copy, bytes, &read));
    same_bytes("sizes", &read, &n.sizes, sizeof read);
    float *const x = inputs_of((size_t)20 * n.sizes.inputs, 2.0), *const y = floats((size_t)20 * n.sizes.outputs),
                 *const y2 = floats((size_t)20 * n.sizes.outputs);
    const el_bound bound = {copy, state, y2 + 18 * n.sizes.outputs, NULL, NULL};
    OK(el_run(model, state, x, 10, y));
    OK(el_run(copy, of_copy, x, 10, y2));
    same_bytes("y of a model and of its copy", y, y2, sizeof(float) * 20 * n.sizes.outputs);
    memset(model, 0, bytes);
    OK(el_run(copy, of_copy, x, 1, y));
    OK(el_step_bound(&bound, x));
    same_bytes("y of el_step and el_step_bound", y, bound.y, sizeof(float) * 2 * n.sizes.outputs);
    free(model), free(copy), free(state), free(of_copy), free(x), free(y), free(y2), free(n.weights);
}

/* A net of one unit, whose gate `gate` alone depends on x; the others have their biases. -> its model. */
static el_model *one_gate(const char *kernel, unsigned gate, float i, float f, float g, float o) {
    net n = make_net(1, 1, 1, 1, EL_FLOAT32);
    const float weights[] = {0, 0, 0, 0, 0, 0, 0, 0, i, f, g, o, 1, 0};
    memcpy(n.weights, weights, sizeof weights);
    n.weights[gate] = 1;
    el_model *const model = make_model(&n, kernel, NULL);
    free(n.weights);
    return model;
}

/* sigmoid in i, f and o, tanh in g and of c, over all that matters: 40 and -200 saturate the gates that stand still. The least that a sigmoid
 * gives is 2^-42, 2.3e-13. */
static void gates_against_double(const char *kernel) {
    enum { STREAMS = 4096 };
    static const struct {
        const char *name;
        int gate, is_tanh, in_h; /* gate -1: none, c is set instead; in_h: to be seen in h, else in c */
        float i, f, g, o, c;
    } cases[] = {{"sigmoid of i", 0, 0, 0, 0, -200, 40, 0, 0},
                 {"sigmoid of f", 1, 0, 0, -200, 0, 0, 0, 1},
                 {"tanh of g", 2, 1, 0, 40, -200, 0, 0, 0},
                 {"sigmoid of o", 3, 0, 1, -200, 40, 0, 0, 50},
                 {"tanh of c", -1, 1, 1, -200, 40, 0, 40, 0}};
    float *const x = floats(STREAMS), *const y = floats(STREAMS), *const h = floats(STREAMS), *const c = floats(STREAMS),
                 *const zeros = floats(STREAMS);
    memset(zeros, 0, sizeof(float) * STREAMS);
    snprintf(where, sizeof where, "%s, gates", kernel);
    seed(5);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        el_model *const model =
            one_gate(kernel, cases[k].gate < 0 ? 0 : (unsigned)cases[k].gate, cases[k].i, cases[k].f, cases[k].g, cases[k].o);
        el_state *const state = make_state(model, kernel, STREAMS);
        double worst = 0, at = 0;
        for (size_t round = 0; round < (step_count + 3) / 4; round++) {
            for (size_t s = 0; s < STREAMS; s++) { /* half over -20 ... 20, half over the exponents of float */
                const float sign = uniform(-1, 1) < 0 ? -1.0f : 1.0f;
                c[s] = s % 2 ? (float)uniform(-20, 20) : sign * (float)exp2(uniform(-126, 100));
            }
            if (round == 0) {
                static const float special[] = {0,  -0.0f, FLT_MIN, -FLT_MIN, 1e-45f, 1e30f, -1e30f, 87,    88,
                                                89, -87,   -88,     -89,      104,    -104,  60.5f,  -60.5f};
                memcpy(c, special, sizeof special);
            }
            memcpy(x, c, sizeof(float) * STREAMS);
            if (cases[k].gate < 0) memset(x, 0, sizeof(float) * STREAMS);
            else
                for (size_t s = 0; s < STREAMS; s++) c[s] = cases[k].c;
            OK(el_set_state(model, state, EL_ALL, zeros, c));
            const float *const arguments = cases[k].gate < 0 ? c : x;
            OK(el_step(model, state, x, y));
            float *const c_now = cases[k].gate < 0 ? zeros : c; /* the arguments are wanted still */
            OK(el_get_state(model, state, EL_ALL, h, c_now));
            for (size_t s = 0; s < STREAMS; s++) {
                const double a = (double)arguments[s], expected = cases[k].is_tanh ? tanh(a) : logistic(a);
                const double actual = (double)(cases[k].in_h ? h[s] : c_now[s]), off = fabs(actual - expected);
                if (!(off <= worst)) worst = off, at = a;
                if (fabs(a) >= 100 && actual != (a > 0 ? 1.0 : cases[k].is_tanh ? -1.0 : actual))
                    FAIL("%s of %g is %.9g", cases[k].name, a, actual);
                if (a <= -100 && !cases[k].is_tanh && !(actual >= 0 && actual < 3e-13)) FAIL("%s of %g is %.9g", cases[k].name, a, actual);
            }
            memset(zeros, 0, sizeof(float) * STREAMS);
        }
        printf("%-9s %s: at most %.2e off, at %.9g\n", kernel, cases[k].name, worst, at);
        if (!(worst <= GATE_LIMIT)) FAIL("%s off by %.3g at %.9g, limit %.3g", cases[k].name, worst, at, GATE_LIMIT);
        free(model), free(state);
    }
    free(x), free(y), free(h), free(c), free(zeros);
}

/* As the header says: huge inputs saturate; those whose sums overflow may leave NaN, in their own stream, until it is reset. */
static void huge_inputs(const char *kernel, uint32_t precision) {
    net n = make_net(2, 5, 2, 1, precision);
    describe(kernel, &n, 5);
    for (uint32_t k = 0; k < 40; k++) n.weights[k] = k < 20 ? 2.0f : -1.5f;
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const state = make_state(model, kernel, 5), *const calm = make_state(model, kernel, 5);
    float x[10], y[5], y_calm[5], h[50], c[50];
    for (uint32_t k = 0; k < 100; k++) {
        for (uint32_t j = 0; j < 10; j++) x[j] = (float)uniform(-1, 1) < 0 ? -1e30f : 1e30f;
        OK(el_step(model, state, x, y));
        for (uint32_t s = 0; s < 5; s++)
            if (!(fabsf(y[s]) < 10)) FAIL("y of stream %u at 1e30 is %g", s, (double)y[s]);
    }
    OK(el_get_state(model, state, EL_ALL, h, c));
    OK(el_set_state(model, calm, EL_ALL, h, c));
    OK(el_step(model, calm, x, y_calm));
    for (uint32_t j = 0; j < 2; j++) x[8 + j] = 3e38f; /* stream 4, which is computed alone: inf - inf of its two sums */
    OK(el_step(model, state, x, y));
    for (uint32_t s = 0; s < 5; s++)
        if (s != 4) same_bytes("y beside a stream that overflows", y + s, y_calm + s, sizeof(float));
    CHECK(precision == EL_INT8 || y[4] != y[4]);
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
    net n = make_net(missing == EL_MASK ? 2 * CHANNELS : CHANNELS, 9, 1, OUTPUTS, EL_FLOAT32);
    describe(kernel, &n, STREAMS);
    const double mean[CHANNELS] = {101325.0, -2.0, 0.0}, std[CHANNELS] = {250.0, 1e-3, 7.0};
    const double offset[OUTPUTS] = {1000.0, 0.5, -3.0, 0.0}, scale[OUTPUTS] = {20.0, 1e-3, -1.0, 1.0};
    const uint32_t sources[OUTPUTS] = {0, 2, 1, 0};
    const el_processing p = {CHANNELS, missing, mean, std, scaled ? offset : NULL, scaled ? scale : NULL, residual ? sources : NULL};
    el_model *const model = make_model(&n, kernel, NULL);
    el_state *const state = make_state(model, kernel, STREAMS), *const plain = make_state(model, kernel, STREAMS);
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
                x[s * n.sizes.inputs + k] = (float)((known[at] - mean[k]) / std[k]);
                if (missing == EL_MASK) x[s * n.sizes.inputs + CHANNELS + k] = gap ? 1.0f : 0.0f;
            }
        OK(el_step(model, plain, x, y));
        OK(t % 2 ? el_answer(&p, model, state, sample, last, answer) : el_answer_bound(&bound, sample));
        double expected[STREAMS * OUTPUTS];
        for (uint32_t k = 0; k < STREAMS * OUTPUTS; k++) {
            expected[k] = (double)y[k];
            if (scaled) expected[k] = offset[k % OUTPUTS] + scale[k % OUTPUTS] * expected[k];
            if (scaled && residual) expected[k] += known[k / OUTPUTS * CHANNELS + sources[k % OUTPUTS]];
            if (!(fabs((double)answer[k] - expected[k]) <= 1.2e-7 * fabs(expected[k]) + 1e-12))
                FAIL("step %zu answer %u is %.9g, expected %.9g", t, k, (double)answer[k], expected[k]);
        }
        if (residual || missing == EL_FORWARD_FILL) same_bytes("last and the latest known values", last, known, sizeof last);
    }
    free(model), free(state), free(plain), free(n.weights);
}

int main(int count, char **arguments) {
    if (count > 1) step_count = (size_t)strtoul(arguments[1], NULL, 10);
    if (count > 2 || step_count < 2) return puts("usage: suite [steps, at least 2]"), 2;
    for (size_t k = 0; k < SIZES; k++)
        for (uint32_t streams = 1; streams <= 9; streams += k < 3 ? 1 : 1 + (uint32_t)k) float32_against_double(k, streams);
    const char *kernel;
    for (uint32_t index = 0; (kernel = el_kernel_name(index)); index++) {
        for (size_t k = 0; k < SIZES; k++)
            for (uint32_t streams = 1; streams <= 9; streams += k < 3 ? 1 : 4)
                for (int grid = 0; grid < 2; grid++) int8_against_integers(kernel, k, streams, grid);
        for (uint32_t streams = 1; streams <= 9; streams++) streams_are_apart(kernel, streams % SIZES, streams);
        for (uint32_t precision = EL_FLOAT32; precision <= EL_INT8; precision++) {
            model_may_lie_anywhere(kernel, precision);
            huge_inputs(kernel, precision);
        }
        gates_against_double(kernel);
        for (uint32_t missing = EL_REFUSE; missing <= EL_MASK; missing++)
            for (int way = 0; way < 4; way++) answers(kernel, missing, way & 1, way >> 1);
        test_arguments(kernel);
        printf("%-9s done\n", kernel);
    }
    printf(failures ? "%d failures\n" : "all passed\n", failures);
    return failures != 0;
}
