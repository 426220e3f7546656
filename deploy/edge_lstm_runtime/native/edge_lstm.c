/* See edge_lstm.h. The list of layers, the kernels, models, states, steps.
 *
 * Compiled as they are, this file and those of the layers are whole, with one kernel of EL_LANES
 * lanes (4 unless given). A library for many CPUs holds them several times: as they are, with
 * EL_WITH_AVX2 or the like defined for each further kernel, and once for each of these with
 * EL_KERNEL=el_kernel_avx2 and the options of that CPU, which leaves the interface out.
 */
#include "tiles.h"

#ifndef EL_KERNEL_NAME
#define EL_KERNEL_NAME "portable"
#endif

#define EL_LAYER(type, number, file) extern const layer_type EL_OWN(file);
#include "layers.h"
#undef EL_LAYER
static const layer_type *const types[] = {
#define EL_LAYER(type, number, file) [number] = &EL_OWN(file),
#include "layers.h"
#undef EL_LAYER
};
#define TYPES (sizeof types / sizeof *types)

#ifdef EL_KERNEL
extern const el_kernel EL_KERNEL;
const el_kernel EL_KERNEL = {EL_KERNEL_NAME, EL_LANES, types};
#else
extern const el_kernel el_kernel_avx512, el_kernel_avxvnni, el_kernel_avx2, el_kernel_dotprod,
    el_kernel_neon;

/* ---- Kernels --------------------------------------------------------------------------------- */

static const el_kernel this_kernel = {EL_KERNEL_NAME, EL_LANES, types};

#if defined(EL_WITH_AVX2) || defined(EL_WITH_AVXVNNI) || defined(EL_WITH_AVX512)
#include <cpuid.h>

/* Registers that the operating system saves (XCR0), and leaf 7's feature bits. */
static uint64_t saved_registers(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (uint64_t)d << 32 | a;
}

static int runs_avx2(void) {
    uint32_t a, b, c, d;
    if ((saved_registers() & 0x6) != 0x6 || !__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA) ||
        !(c & bit_F16C))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

#ifdef EL_WITH_AVXVNNI
static int runs_avxvnni(void) {
    uint32_t a, b, c, d;
    if (!runs_avx2() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !a) return 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif

#ifdef EL_WITH_AVX512
static int runs_avx512(void) {
    uint32_t a, b, c, d;
    const uint32_t wanted = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    if ((saved_registers() & 0xe6) != 0xe6 || !runs_avx2() ||
        !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (b & wanted) == wanted && (c & bit_AVX512VNNI);
}
#endif
#endif
#if defined(EL_WITH_NEON) || defined(EL_WITH_DOTPROD)
#include <sys/auxv.h>
#endif
#ifdef EL_WITH_NEON
static int runs_neon(void) { return (getauxval(AT_HWCAP) >> 12) & 1; } /* on 32-bit ARM */
#endif
#ifdef EL_WITH_DOTPROD
static int runs_dotprod(void) { return (getauxval(AT_HWCAP) >> 20) & 1; } /* on aarch64 */
#endif

static const struct {
    const el_kernel *kernel;
    int (*runs)(void); /* NULL: anywhere */
} kernels[] = {
#ifdef EL_WITH_AVX512
    {&el_kernel_avx512, runs_avx512},
#endif
#ifdef EL_WITH_AVXVNNI
    {&el_kernel_avxvnni, runs_avxvnni},
#endif
#ifdef EL_WITH_AVX2
    {&el_kernel_avx2, runs_avx2},
#endif
#ifdef EL_WITH_DOTPROD
    {&el_kernel_dotprod, runs_dotprod},
#endif
#ifdef EL_WITH_NEON
    {&el_kernel_neon, runs_neon},
#endif
    {&this_kernel, NULL},
};

/* The index-th kernel of those that run here, have this name (any: NULL) and these lanes (any: 0).
 * NULL past the last one. */
static const el_kernel *find_kernel(uint32_t index, const char *name, uint32_t lanes) {
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        const el_kernel *const kernel = kernels[k].kernel;
        if ((name && strcmp(name, kernel->name)) || (lanes && lanes != kernel->lanes) ||
            (kernels[k].runs && !kernels[k].runs()))
            continue;
        if (index-- == 0) return kernel;
    }
    return NULL;
}

const char *el_kernel_name(uint32_t index) {
    const el_kernel *const kernel = find_kernel(index, NULL, 0);
    return kernel ? kernel->name : NULL;
}

const char *el_status_name(el_status status) {
    static const char *const names[] = {
        "EL_OK",         "EL_NULL_POINTER", "EL_BAD_SIZE",  "EL_BUFFER_TOO_SMALL", "EL_MISALIGNED",
        "EL_NOT_FINITE", "EL_BAD_MODEL",    "EL_BAD_STATE", "EL_NO_KERNEL",        "EL_BAD_LAYER"};
    return (unsigned)status < sizeof names / sizeof *names ? names[status] : "unknown";
}

typedef struct {
    char c;
    double d;
} after_char;
#define DOUBLE_ALIGNMENT offsetof(after_char, d)

static int aligned(const void *pointer, uintptr_t to) {
    return ((uintptr_t)pointer & (to - 1)) == 0;
}

/* Whether all are smaller in size than the float with these bits; NaN never is. */
static int all_below(uint32_t limit, const float *values, size_t count) {
    int found = 0;
    for (size_t k = 0; k < count; k++) {
        uint32_t bits;
        memcpy(&bits, values + k, sizeof bits);
        found |= (bits & 0x7fffffffu) >= limit;
    }
    return !found;
}

static int all_finite(const float *values, size_t count) {
    return all_below(0x7f800000u, values, count);
}

/* ---- Models ---------------------------------------------------------------------------------- */

#define MODEL_MAGIC 0x4d4c4c45u /* "ELLM" */
#define VERSION 2u

/* The layers follow, then each layer's tiles, stage after stage; at multiples of EL_ALIGNMENT. */
struct el_model {
    uint32_t magic, version;
    uint64_t fingerprint; /* of all that follows but the tiles */
    uint32_t bytes, lanes, inputs, layers, precision;
    uint32_t unused[7];
};
/* On every CPU: an array of -1 is an error. */
typedef char el_model_has_64_bytes[sizeof(struct el_model) == 64 ? 1 : -1];

static el_network network_in(const el_model *model) {
    return (el_network){model->inputs, model->layers, model->precision,
                        (const el_layer *)(model + 1)};
}

/* Fowler's, Noll's and Vo's hash (FNV-1a), over words. */
static uint64_t fingerprint(const el_model *model) {
    const uint32_t *const words = (const uint32_t *)model;
    const size_t end = (sizeof *model + model->layers * sizeof(el_layer)) / sizeof *words;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t k = 4; k < end; k++) hash = (hash ^ words[k]) * 0x100000001b3u;
    return hash;
}

/* Bytes of the table of layers in a model. */
static uint32_t layers_bytes(uint32_t layers) {
    return round_up((uint32_t)sizeof(el_layer) * layers, EL_ALIGNMENT);
}

/* What a layer is. Its units and those of its sources are within bounds. */
static el_status read_layer(const el_network *n, const el_layer *layer, facts *to) {
    const layer_type *const type = layer->type < TYPES ? types[layer->type] : NULL;
    if (!type || (!type->read && layer->option >= type->options)) return EL_BAD_LAYER;
    *to = (facts){type->form + (type->read ? 0 : layer->option), 0, 0, 0};
    uint32_t sizes[EL_MAX_SOURCES];
    for (uint32_t k = 0; k < layer->source_count; k++) {
        const uint32_t source = layer->source[k];
        sizes[k] = source ? n->layer[source - 1].units : n->inputs;
        to->inputs += sizes[k];
    }
    to->rows = to->inputs;
    const el_status status = type->read ? type->read(layer, sizes, to) : EL_OK;
    if (status != EL_OK) return status;
    if (!to->form->stages) return EL_BAD_LAYER;
    return to->inputs > EL_MAX_SIZE || to->rows > EL_MAX_SIZE || to->past > EL_MAX_PAST
               ? EL_BAD_SIZE
               : EL_OK;
}

/* Of a layer that was read before. */
static facts facts_of(const el_network *n, const el_layer *layer) {
    facts found = {0};
    (void)read_layer(n, layer, &found);
    return found;
}

static storage storage_of(const el_network *n, const form *f) {
    return (storage){n->precision == EL_INT8 && f->states,
                     n->precision == EL_FLOAT16 && f->columns[INPUT]};
}

/* Bytes of a layer's tiles. n: to be set to the lengths of its vectors. */
static uint64_t layer_bytes(const el_network *net, const el_layer *layer, uint32_t lanes,
                            uint32_t n[VECTORS]) {
    const facts found = facts_of(net, layer);
    const form *const f = found.form;
    const uint32_t own = tile_lanes(f->states, layer->units, lanes);
    uint64_t bytes = 0;
    n[INPUT] = filled(f->states, found.rows);
    n[BEFORE] = n[MADE] = filled(f->states, layer->units);
    for (uint32_t k = 0; k < f->stages; k++)
        bytes += tile_bytes(&f->stage[k], storage_of(net, f), n, own);
    bytes *= (layer->units + own - 1) / own;
    return (bytes + EL_ALIGNMENT - 1) / EL_ALIGNMENT * EL_ALIGNMENT;
}

/* Is it a network that runs here? *bytes: of its model. */
static el_status measure(const el_network *n, uint32_t lanes, uint32_t *bytes) {
    if (!n->layer) return EL_NULL_POINTER;
    if (!aligned(n->layer, sizeof(uint32_t))) return EL_MISALIGNED;
    if (n->inputs - 1 >= EL_MAX_SIZE || n->layers - 1 >= EL_MAX_LAYERS || n->precision > EL_FLOAT16)
        return EL_BAD_SIZE;
    uint64_t sum = sizeof(el_model) + layers_bytes(n->layers);
    for (uint32_t k = 0; k < n->layers; k++) {
        const el_layer *const layer = n->layer + k;
        if (layer->units - 1 >= EL_MAX_SIZE || layer->source_count - 1 >= EL_MAX_SOURCES)
            return EL_BAD_SIZE;
        for (uint32_t j = 0; j < layer->source_count; j++)
            if (layer->source[j] > k) return EL_BAD_LAYER;
        facts found;
        const el_status status = read_layer(n, layer, &found);
        if (status != EL_OK) return status;
        sum += layer_bytes(n, layer, lanes, (uint32_t[VECTORS]){0});
    }
    if (sum > INT32_MAX) return EL_BAD_SIZE;
    *bytes = (uint32_t)sum;
    return EL_OK;
}

el_status el_model_bytes(const el_network *network, const char *kernel, size_t *bytes) {
    if (!network || !bytes) return EL_NULL_POINTER;
    const el_kernel *const found = find_kernel(0, kernel, 0);
    if (!found) return EL_NO_KERNEL;
    uint32_t needed;
    const el_status status = measure(network, found->lanes, &needed);
    if (status == EL_OK) *bytes = needed;
    return status;
}

/* Values of a matrix of a layer. rows: of W_x. */
static size_t matrix_size(const form *f, unsigned p, uint32_t rows, uint32_t units) {
    return (size_t)f->columns[p] * units * (p == INPUT ? rows : units);
}

/* Columns of the matrices before one. */
static size_t columns_before(const form *f, unsigned p, uint32_t units) {
    size_t count = 0;
    while (p--) count += (size_t)f->columns[p] * units;
    return count;
}

static void count_values(const el_network *n, size_t *weights, size_t *steps) {
    *weights = *steps = 0;
    for (const el_layer *layer = n->layer; layer < n->layer + n->layers; layer++) {
        const facts found = facts_of(n, layer);
        const form *const f = found.form;
        for (unsigned p = 0; p < VECTORS; p++)
            *weights += matrix_size(f, p, found.rows, layer->units);
        *weights += (size_t)f->biases * layer->units;
        if (f->states) *steps += columns_before(f, VECTORS, layer->units);
    }
}

el_status el_weight_values(const el_network *network, size_t *weights, size_t *steps) {
    if (!network || !weights || !steps) return EL_NULL_POINTER;
    uint32_t bytes;
    const el_status status = measure(network, EL_LANES, &bytes);
    if (status == EL_OK) count_values(network, weights, steps);
    return status;
}

static int8_t rounded(float value) {
    const float bounded = value > 127.0f ? 127.0f : value < -127.0f ? -127.0f : value;
    return (int8_t)(int)(bounded < 0.0f ? bounded - 0.5f : bounded + 0.5f);
}

/* A column of a canonical matrix, and where it goes in the rows of a product. */
typedef struct {
    const float *W; /* (rows, columns) from this column on */
    size_t columns;
    uint32_t rows, width, at; /* width: sums * lanes; at: sum * lanes + lane */
    double factor;
} column;

/* The bits of IEEE half precision, rounded to nearest, ties to even. value: up to 65504. */
static uint16_t half_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const uint32_t sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    if (size < 102u << 23) return (uint16_t)sign; /* below half of 2^-24 */
    const uint32_t exponent = size >> 23, full = (size & 0x7fffffu) | 1u << 23;
    const uint32_t drop = exponent < 113 ? 126 - exponent : 13; /* bits; subnormals have fewer */
    const uint32_t odd = full >> drop & 1, kept = (full + (1u << (drop - 1)) - 1 + odd) >> drop;
    /* The leading 1 of `kept` adds 1 to the exponent, and so does a carry. */
    return (uint16_t)(sign + ((exponent < 113 ? 0 : exponent - 113) << 10) + kept);
}

/* 2^n, for n that a float has. */
static double power_of_2(int n) {
    const uint32_t bits = (uint32_t)(n + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return (double)power;
}

/* The power of two, n of 2^n, that brings a sum's largest weight to 2^14 or more and below 2^15, so
 * that rounding stays below half precision's end. As far as 2^-n is a float. */
static int half_power(float largest) {
    uint32_t bits;
    memcpy(&bits, &largest, 4);
    const int n = 14 + 127 - (int)(bits >> 23);
    return n > 126 ? 126 : n;
}

static void pack_half(uint16_t *tile, const column *c, uint32_t lanes, double power) {
    for (uint32_t j = 0; j < c->rows; j++) {
        const size_t pair = (size_t)(j / 2) * c->width, sum = c->at / lanes, lane = c->at % lanes;
        const size_t inside = lanes < 16 ? (2 * sum + j % 2) * lanes + lane : 2 * c->at + j % 2;
        tile[2 * pair + inside] = half_of((float)((double)c->W[j * c->columns] * power));
    }
}

static void pack_float(float *tile, const column *c) {
    for (uint32_t j = 0; j < c->rows; j++)
        tile[(size_t)j * c->width + c->at] = (float)((double)c->W[j * c->columns] * c->factor);
}

/* step: of the int8 grid; NULL: so that the largest weight is 127. */
static void pack_int8(int8_t *tile, const column *c, const float *step, float *scale,
                      int32_t *sum) {
    float largest = 0.0f;
    for (uint32_t j = 0; j < c->rows; j++) {
        const float w = c->W[j * c->columns], size = w < 0.0f ? -w : w;
        largest = size > largest ? size : largest;
    }
    const float used = step ? *step : largest / 127.0f;
    const float inverse = used > 1e-30f ? 1.0f / used : 0.0f; /* smaller weights become zeros */
    *sum = 0;
    for (uint32_t j = 0; j < c->rows; j++) {
        const int8_t q = rounded(c->W[j * c->columns] * inverse);
        tile[((size_t)(j / 4) * c->width + c->at) * 4 + j % 4] = q;
        *sum += 128 * q;
    }
    *scale = (float)((double)used * c->factor);
}

/* A layer with its canonical weights. steps: NULL for none. */
typedef struct {
    const form *form;
    uint32_t rows, units, lanes, n[VECTORS]; /* rows: of W_x */
    storage as;
    const float *W[VECTORS], *b, *steps;
} packing;

/* The largest weight of a sum of a unit, in size. */
static float largest_of(const stage *of, const packing *w, uint32_t sum, uint32_t unit) {
    float largest = 0.0f;
    for (uint32_t p = 0; p < VECTORS; p++) {
        const product *const x = &of->product[p];
        const size_t columns = (size_t)w->form->columns[p] * w->units;
        if (sum < x->first || sum >= (uint32_t)x->first + x->count) continue;
        const float *W = w->W[p] + (size_t)x->column[sum - x->first] * w->units + unit;
        for (uint32_t j = p == INPUT ? w->rows : w->units; j; j--, W += columns) {
            const float size = *W < 0.0f ? -*W : *W;
            largest = size > largest ? size : largest;
        }
    }
    return largest;
}

/* One lane of a tile: all that belongs to a unit in a stage. */
static void pack_unit(char *tile, const stage *of, const packing *w, uint32_t unit, uint32_t lane) {
    const uint32_t lanes = w->lanes, all = columns(of) * lanes;
    float *const bias = (float *)(void *)tile, *scale = bias + of->sums * lanes;
    int32_t *weight_sum = (int32_t *)(void *)(scale + all);
    char *weights = (char *)(scale + (w->as.is_int8   ? 2 * all
                                      : w->as.is_half ? of->sums * lanes
                                                      : 0));
    for (uint32_t g = 0; w->as.is_half && g < of->sums; g++) {
        const int n = half_power(largest_of(of, w, g, unit));
        scale[g * lanes + lane] = (float)(power_of_2(-n) * of->factor[g]);
    }
    for (uint32_t g = 0; g < of->sums; g++) {
        double b = 0.0;
        for (uint32_t k = 0; k < w->form->biases; k++)
            if (of->bias[g] >> k & 1) b += (double)w->b[(size_t)k * w->units + unit];
        bias[g * lanes + lane] = (float)(b * of->factor[g]);
    }
    for (uint32_t p = 0; p < VECTORS; p++) {
        const product *const x = &of->product[p];
        const uint32_t rows = p == INPUT ? w->rows : w->units, width = x->count * lanes;
        for (uint32_t j = 0; j < x->count; j++) {
            const size_t index = (size_t)x->column[j] * w->units + unit;
            const size_t step = index + columns_before(w->form, p, w->units);
            const column c = {w->W[p] + index,
                              (size_t)w->form->columns[p] * w->units,
                              rows,
                              width,
                              j * lanes + lane,
                              of->factor[x->first + j]};
            if (w->as.is_half)
                pack_half((uint16_t *)(void *)weights, &c, lanes,
                          power_of_2(half_power(largest_of(of, w, x->first + j, unit))));
            else if (w->as.is_int8)
                pack_int8((int8_t *)weights, &c, w->steps ? w->steps + step : NULL, scale + c.at,
                          weight_sum + c.at);
            else pack_float((float *)(void *)weights, &c);
        }
        scale += width, weight_sum += width;
        weights += w->as.is_half ? 2 * (size_t)round_up(w->n[p], 2) * width
                                 : (size_t)w->n[p] * width * (w->as.is_int8 ? 1 : 4);
    }
}

/* The tiles of a layer at `tile`. */
static void pack_layer(char *tile, const packing *w) {
    for (const stage *of = w->form->stage; of < w->form->stage + w->form->stages; of++)
        for (uint32_t first = 0; first < w->units; first += w->lanes) {
            for (uint32_t lane = 0; lane < w->lanes && first + lane < w->units; lane++)
                pack_unit(tile, of, w, first + lane, lane);
            tile += tile_bytes(of, w->as, w->n, w->lanes);
        }
}

el_status el_model_init(void *memory, size_t bytes, const el_network *network, const char *kernel,
                        const float *weights, const float *steps) {
    if (!memory || !network || !weights) return EL_NULL_POINTER;
    const el_kernel *const found = find_kernel(0, kernel, 0);
    if (!found) return EL_NO_KERNEL;
    uint32_t needed;
    const el_status status = measure(network, found->lanes, &needed);
    if (status != EL_OK) return status;
    if (bytes < needed) return EL_BUFFER_TOO_SMALL;
    if (!aligned(memory, EL_ALIGNMENT) || !aligned(weights, sizeof(float)) ||
        !aligned(steps, sizeof(float)))
        return EL_MISALIGNED;
    size_t count, step_count;
    count_values(network, &count, &step_count);
    if (!steps) step_count = 0;
    /* 2^126; from there on a weight times 2 log2(e) is infinite */
    if (!all_below(0x7e800000u, weights, count) || !all_below(0x7e800000u, steps, step_count))
        return EL_NOT_FINITE;
    for (size_t k = 0; k < step_count; k++)
        if (steps[k] <= 0.0f) return EL_NOT_FINITE;

    memset(memory, 0, needed);
    el_model *const model = memory;
    model->version = VERSION, model->bytes = needed, model->lanes = found->lanes;
    model->inputs = network->inputs, model->layers = network->layers;
    model->precision = network->precision;
    el_layer *const layers = (el_layer *)(model + 1);
    char *tiles = (char *)layers + layers_bytes(network->layers);
    for (uint32_t k = 0; k < network->layers; k++) {
        const el_layer *const layer = network->layer + k;
        const facts is = facts_of(network, layer);
        const form *const f = is.form;
        packing w = {.form = f, .rows = is.rows, .units = layer->units};
        w.lanes = tile_lanes(f->states, w.units, found->lanes), w.as = storage_of(network, f);
        w.b = weights, w.steps = steps;
        for (unsigned p = 0; p < VECTORS; p++)
            w.W[p] = w.b, w.b += matrix_size(f, p, w.rows, w.units);
        layers[k] = (el_layer){layer->type, layer->units, layer->option, layer->source_count, {0}};
        memcpy(layers[k].source, layer->source, sizeof(uint32_t) * layer->source_count);
        const uint64_t bytes = layer_bytes(network, layer, found->lanes, w.n);
        pack_layer(tiles, &w);
        tiles += (size_t)bytes;
        weights = w.b + (size_t)f->biases * w.units;
        if (steps && f->states) steps += columns_before(f, VECTORS, w.units);
    }
    model->fingerprint = fingerprint(model);
    model->magic = MODEL_MAGIC;
    return EL_OK;
}

/* Is this a model, with layers that go together? Any weights behind it are safe to run. */
static el_status check_model(const el_model *model, size_t bytes) {
    if (!aligned(model, EL_ALIGNMENT)) return EL_MISALIGNED;
    if (bytes < sizeof *model || model->magic != MODEL_MAGIC || model->version != VERSION)
        return EL_BAD_MODEL;
    if (model->lanes - 1 >= EL_ALIGNMENT / 4 || (model->lanes & (model->lanes - 1)) ||
        model->bytes > bytes)
        return EL_BAD_MODEL;
    if (model->layers - 1 >= EL_MAX_LAYERS ||
        sizeof *model + model->layers * sizeof(el_layer) > model->bytes)
        return EL_BAD_MODEL;
    const el_network network = network_in(model);
    uint32_t expected;
    if (fingerprint(model) != model->fingerprint ||
        measure(&network, model->lanes, &expected) != EL_OK)
        return EL_BAD_MODEL;
    return model->bytes == expected ? EL_OK : EL_BAD_MODEL;
}

el_status el_model_check(const el_model *model, size_t bytes, el_network *network) {
    if (!model || !network) return EL_NULL_POINTER;
    const el_status status = check_model(model, bytes);
    if (status == EL_OK) *network = network_in(model);
    return status;
}

/* ---- States ---------------------------------------------------------------------------------- */

#define STATE_MAGIC 0x534c4c45u

/* Memory of which `bytes` are taken. memory: NULL to count alone. */
typedef struct {
    char *memory;
    uint64_t bytes;
} pile;

static void *take(pile *p, uint64_t bytes) {
    char *const at = p->memory ? p->memory + (size_t)p->bytes : NULL;
    p->bytes += (bytes + EL_ALIGNMENT - 1) / EL_ALIGNMENT * EL_ALIGNMENT;
    return at;
}

static uint32_t copies_of(const el_layer *layer) {
    return layer->source_count > 1 ? layer->source_count : 0;
}

/* Where the input of a layer, or a part of it, comes from. source: as in el_layer. */
static copy source_of(const el_state *state, uint32_t source) {
    if (!source) return (copy){state->x, 0, NULL, state->x_row, 0, state->inputs};
    const work *const w = &state->work[source - 1];
    return (copy){w->h, w->flip, NULL, w->row, 0, w->units};
}

/* Connect a layer with its sources. x: memory for its input if there are several. -> next copy. */
static copy *connect(const el_state *state, work *w, const el_layer *layer, float *x, copy *next) {
    const copy first = source_of(state, layer->source[0]);
    w->x = x ? x : first.from, w->x_flip = x ? 0 : first.flip;
    for (uint32_t k = 0; k < w->copies; k++, next++) {
        *next = source_of(state, layer->source[k]);
        next->to = x, next->to_row = w->x_row;
        x += next->count;
    }
    return next;
}

/* The bytes of a state. state: NULL, or where to write the places of its buffers and the works. */
static uint64_t lay_out(const el_model *model, uint32_t streams, el_state *state) {
    const el_network net = network_in(model);
    const uint64_t n = streams;
    uint32_t copies = 0, longest[VECTORS] = {0}, made = 0;
    uint32_t weights = (uint32_t)sizeof *model + layers_bytes(net.layers);
    for (uint32_t k = 0; k < net.layers; k++) copies += copies_of(&net.layer[k]);
    pile p = {(char *)state, 0};
    (void)take(&p, sizeof *state + sizeof(work) * net.layers + sizeof(copy) * copies);
    float *const input = take(&p, 4 * n * row_length(net.inputs));
    copy *next = NULL;
    if (state) {
        state->layers = net.layers, state->inputs = net.inputs;
        state->x = input, state->x_row = row_length(net.inputs);
        state->copies = next = (copy *)(void *)(state->work + net.layers);
    }
    for (uint32_t k = 0; k < net.layers; k++) {
        const el_layer *const layer = net.layer + k;
        const facts found = facts_of(&net, layer);
        const form *const f = found.form;
        work w = {.weights = weights, .option = layer->option, .past = found.past};
        w.inputs = found.inputs, w.units = layer->units;
        w.x_row = row_length(w.inputs), w.row = row_length(w.units);
        w.flip = f->states ? (size_t)(n * w.row) : 0, w.states = f->states;
        w.as = storage_of(&net, f), w.copies = (uint8_t)copies_of(layer);
        float *const x = w.copies ? take(&p, 4 * n * w.x_row) : NULL;
        w.h = take(&p, 4 * (n * w.row * (w.states ? w.states + 1u : 1u) + ring_size(n, w.past)));
        if (state) {
            w.step = state->kernel->type[layer->type]->step;
            next = connect(state, &w, layer, x, next);
            state->work[k] = w;
        }
        const uint32_t rows[VECTORS] = {w.x_row, w.row, f->made ? w.row : 0};
        for (unsigned v = 0; v < VECTORS; v++)
            if (w.as.is_int8 && longest[v] < rows[v]) longest[v] = rows[v];
        if (made < f->made * w.row) made = f->made * w.row;
        if (w.past && made < row_length(found.rows)) made = row_length(found.rows);
        weights += (uint32_t)layer_bytes(&net, layer, model->lanes, (uint32_t[VECTORS]){0});
    }
    float *const made_at = take(&p, 4 * n * made);
    if (state) state->made = made_at;
    for (unsigned v = 0; v < VECTORS; v++) {
        int8_t *const q = take(&p, n * longest[v]);
        if (state) state->q[v] = q;
    }
    float *const scales = take(&p, longest[INPUT] ? 4 * n * VECTORS : 0);
    if (state) state->scales = scales;
    return p.bytes;
}

el_status el_state_bytes(const el_model *model, uint32_t streams, size_t *bytes) {
    if (!model || !bytes) return EL_NULL_POINTER;
    const el_status status = check_model(model, SIZE_MAX);
    if (status != EL_OK) return status;
    if (streams - 1 >= EL_MAX_STREAMS) return EL_BAD_SIZE;
    const uint64_t needed = lay_out(model, streams, NULL);
    if (needed > PTRDIFF_MAX) return EL_BAD_SIZE;
    *bytes = (size_t)needed;
    return EL_OK;
}

el_status el_state_init(void *memory, size_t bytes, const el_model *model, const char *kernel,
                        uint32_t streams) {
    if (!memory || !model) return EL_NULL_POINTER;
    size_t needed;
    const el_status status = el_state_bytes(model, streams, &needed);
    if (status != EL_OK) return status;
    if (bytes < needed) return EL_BUFFER_TOO_SMALL;
    if (!aligned(memory, EL_ALIGNMENT)) return EL_MISALIGNED;
    const el_kernel *const found = find_kernel(0, kernel, model->lanes);
    if (!found) return kernel ? EL_NO_KERNEL : EL_BAD_MODEL;
    memset(memory, 0, needed);
    el_state *const state = memory;
    state->streams = streams, state->fingerprint = model->fingerprint, state->kernel = found;
    lay_out(model, streams, state);
    state->magic = STATE_MAGIC;
    return EL_OK;
}

/* A model and a state of its network, which lies where el_state_init made it? */
static el_status match(const el_model *model, const el_state *state) {
    if (!model || !state) return EL_NULL_POINTER;
    if (!aligned(model, EL_ALIGNMENT) || !aligned(state, EL_ALIGNMENT)) return EL_MISALIGNED;
    if (model->magic != MODEL_MAGIC) return EL_BAD_MODEL;
    if (state->magic != STATE_MAGIC || state->fingerprint != model->fingerprint)
        return EL_BAD_STATE;
    return (const void *)state->copies == (const void *)(state->work + state->layers)
               ? EL_OK
               : EL_BAD_STATE;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

/* memcpy, which costs a call for so few. */
static void move(float *restrict to, const float *restrict from, size_t count) {
    for (size_t k = 0; k < count; k++) to[k] = from[k];
}

static uint32_t outputs_of(const el_state *state) { return state->work[state->layers - 1].units; }

/* One step with the x that is in the state. */
static void advance(const el_model *model, el_state *state, float *y) {
    const work *w = state->work, *const end = w + state->layers;
    const copy *c = state->copies;
    for (; w < end; w++) {
        for (uint32_t k = w->copies; k; k--, c++)
            for (size_t s = 0; s < state->streams; s++)
                move(c->to + s * c->to_row,
                     c->from + (state->phase ? 0 : c->flip) + s * c->from_row, c->count);
        w->step(state, w, (const char *)model + w->weights);
    }
    state->phase = 1 - state->phase;
    w--;
    for (size_t s = 0; s < state->streams; s++)
        move(y + s * w->units, w->h + state->phase * w->flip + s * w->row, w->units);
}

el_status el_run(const el_model *model, el_state *state, const float *x, size_t steps, float *y) {
    const el_status status = match(model, state);
    if (status != EL_OK) return status;
    if (!x || !y) return EL_NULL_POINTER;
    if (!aligned(x, sizeof(float)) || !aligned(y, sizeof(float))) return EL_MISALIGNED;
    const uint32_t inputs = state->inputs;
    const size_t x_size = (size_t)state->streams * inputs,
                 y_size = (size_t)state->streams * outputs_of(state);
    for (; steps; steps--, x += x_size, y += y_size) {
        if (!all_finite(x, x_size)) return EL_NOT_FINITE;
        for (size_t s = 0; s < state->streams; s++)
            move(state->x + s * state->x_row, x + s * inputs, inputs);
        advance(model, state, y);
    }
    return EL_OK;
}

el_status el_step(const el_model *model, el_state *state, const float *x, float *y) {
    return el_run(model, state, x, 1, y);
}

el_status el_step_bound(const el_bound *bound, const float *x) {
    return bound ? el_run(bound->model, bound->state, x, 1, bound->y) : EL_NULL_POINTER;
}

static el_status check_processing(const el_processing *p, const el_state *state,
                                  const double *sample, const double *last, const float *answer) {
    if (!p || !sample || !last || !answer || !p->mean || !p->std || (p->scale && !p->offset))
        return EL_NULL_POINTER;
    if (p->channels - 1 >= EL_MAX_SIZE || p->missing > EL_MASK) return EL_BAD_SIZE;
    if (state->inputs != p->channels * (p->missing == EL_MASK ? 2 : 1)) return EL_BAD_SIZE;
    const void *const doubles[] = {sample, last, p->mean, p->std, p->offset, p->scale};
    for (size_t k = 0; k < sizeof doubles / sizeof *doubles; k++)
        if (!aligned(doubles[k], DOUBLE_ALIGNMENT)) return EL_MISALIGNED;
    if (!aligned(answer, sizeof(float)) || !aligned(p->residual, sizeof(uint32_t)))
        return EL_MISALIGNED;
    if (p->residual)
        for (uint32_t k = 0; k < outputs_of(state); k++)
            if (p->residual[k] >= p->channels) return EL_BAD_SIZE;
    return EL_OK;
}

/* A sample without gaps, without a branch for each value. Is it good? */
static int normalize(const el_processing *p, const double *restrict sample, float *restrict x) {
    const double *const mean = p->mean, *const std = p->std;
    int good = 1;
    for (uint32_t k = 0; k < p->channels; k++) {
        const double deviation = (sample[k] - mean[k]) / std[k];
        good &= (deviation <= EL_MAX_DEVIATION) & (deviation >= -EL_MAX_DEVIATION);
        x[k] = (float)deviation;
    }
    return good;
}

el_status el_answer(const el_processing *processing, const el_model *model, el_state *state,
                    const double *sample, double *last, float *answer) {
    const el_processing *const p = processing;
    el_status status = match(model, state);
    if (status == EL_OK) status = check_processing(p, state, sample, last, answer);
    if (status != EL_OK) return status;
    const uint32_t channels = p->channels, outputs = outputs_of(state);
    const int plain = p->missing == EL_REFUSE;
    for (size_t s = 0; plain && s < state->streams; s++)
        if (!normalize(p, sample + s * channels, state->x + s * state->x_row))
            return EL_NOT_FINITE;
    for (size_t s = 0; !plain && s < state->streams; s++)
        for (uint32_t k = 0; k < channels; k++) {
            const double value = sample[s * channels + k];
            const int missing = value != value && p->missing != EL_REFUSE;
            const double filled = !missing                        ? value
                                  : p->missing == EL_FORWARD_FILL ? last[s * channels + k]
                                                                  : p->mean[k];
            /* Subtracted in double: in float a large mean would cost what a small deviation has. */
            const double deviation = (filled - p->mean[k]) / p->std[k];
            if (!(deviation <= EL_MAX_DEVIATION && deviation >= -EL_MAX_DEVIATION))
                return EL_NOT_FINITE;
            float *const x = state->x + s * state->x_row;
            x[k] = (float)deviation;
            if (p->missing == EL_MASK) x[channels + k] = missing ? 1.0f : 0.0f;
        }
    if (p->residual || p->missing == EL_FORWARD_FILL)
        for (size_t s = 0; s < state->streams; s++)
            for (uint32_t k = 0; k < channels; k++) {
                const double value = sample[s * channels + k];
                if (value == value) last[s * channels + k] = value;
                else if (p->missing == EL_MASK) last[s * channels + k] = p->mean[k];
            }
    advance(model, state, answer);
    for (size_t s = 0; p->scale && s < state->streams; s++)
        for (uint32_t k = 0; k < outputs; k++) {
            float *const y = answer + s * outputs + k;
            const double scaled = (double)*y * p->scale[k] + p->offset[k];
            *y = (float)(p->residual ? scaled + last[s * channels + p->residual[k]] : scaled);
        }
    return EL_OK;
}

el_status el_answer_bound(const el_bound *bound, const double *sample) {
    return bound ? el_answer(bound->processing, bound->model, bound->state, sample, bound->last,
                             bound->y)
                 : EL_NULL_POINTER;
}

el_status el_answer_rows(const el_bound *bound, const double *samples, size_t rows,
                         float *answers, size_t *done) {
    if (!bound || !done) return EL_NULL_POINTER;
    *done = 0;
    el_status status = match(bound->model, bound->state);
    if (status == EL_OK && !bound->processing) status = EL_NULL_POINTER;
    if (status != EL_OK) return status;
    const size_t sample_size = (size_t)bound->state->streams * bound->processing->channels,
                 answer_size = (size_t)bound->state->streams * outputs_of(bound->state);
    for (; *done < rows; ++*done) {
        status = el_answer(bound->processing, bound->model, bound->state, samples, bound->last,
                           answers);
        if (status != EL_OK) return status; /* perhaps of a null pointer, which has no next row */
        samples += sample_size;
        answers += answer_size;
    }
    return EL_OK;
}

/* ---- The carried state ----------------------------------------------------------------------- */

/* A state of a layer, by its index, of a stream. */
static float *state_row(const el_state *state, const work *w, uint32_t index, size_t stream) {
    return w->h + (index ? index + 1 : state->phase) * w->flip + stream * w->row;
}

/* The past inputs of a stream in order: those of `row` from `from` to `end`, then those before. */
typedef struct {
    float *row;
    uint32_t from, end;
} run;

static run runs_of(const el_state *state, const work *w, size_t stream) {
    if (!w->past) return (run){NULL, 0, 0};
    const ring r = ring_of(state, w);
    return (run){r.values + stream * r.row, *r.oldest, w->past};
}

static size_t values_of(const el_state *state) {
    size_t count = 0;
    for (const work *w = state->work; w < state->work + state->layers; w++)
        count += (size_t)w->states * w->units + w->past;
    return count;
}

/* May values be copied to or from `stream`? It becomes the first of *count streams. */
static el_status select_streams(const el_model *model, const el_state *state, uint32_t *stream,
                                uint32_t *count) {
    const el_status status = match(model, state);
    if (status != EL_OK) return status;
    if (*stream != EL_ALL && *stream >= state->streams) return EL_BAD_SIZE;
    *count = *stream == EL_ALL ? state->streams : 1;
    *stream = *stream == EL_ALL ? 0 : *stream;
    return EL_OK;
}

el_status el_reset(const el_model *model, el_state *state, uint32_t stream) {
    uint32_t count;
    const el_status status = select_streams(model, state, &stream, &count);
    if (status != EL_OK) return status;
    for (const work *w = state->work; w < state->work + state->layers; w++) {
        for (uint32_t k = 0; k < w->states; k++)
            memset(state_row(state, w, k, stream), 0, sizeof(float) * count * w->row);
        if (!w->past) continue;
        const ring r = ring_of(state, w);
        memset(r.values + (size_t)stream * r.row, 0, sizeof(float) * count * r.row);
    }
    return EL_OK;
}

el_status el_state_values(const el_model *model, size_t *count) {
    if (!model || !count) return EL_NULL_POINTER;
    const el_status status = check_model(model, SIZE_MAX);
    if (status != EL_OK) return status;
    const el_network net = network_in(model);
    *count = 0;
    for (uint32_t k = 0; k < net.layers; k++) {
        const facts found = facts_of(&net, net.layer + k);
        *count += (size_t)found.form->states * net.layer[k].units + found.past;
    }
    return EL_OK;
}

el_status el_get_state(const el_model *model, const el_state *state, uint32_t stream,
                       float *values) {
    uint32_t count;
    const el_status status = select_streams(model, state, &stream, &count);
    if (status != EL_OK) return status;
    if (!values) return EL_NULL_POINTER;
    if (!aligned(values, sizeof(float))) return EL_MISALIGNED;
    for (uint32_t s = stream; s < stream + count; s++)
        for (const work *w = state->work; w < state->work + state->layers; w++) {
            for (uint32_t k = 0; k < w->states; k++, values += w->units)
                memcpy(values, state_row(state, w, k, s), sizeof(float) * w->units);
            const run r = runs_of(state, w, s);
            if (r.end) memcpy(values, r.row + r.from, sizeof(float) * (r.end - r.from));
            values += r.end - r.from;
            if (r.from) memcpy(values, r.row, sizeof(float) * r.from);
            values += r.from;
        }
    return EL_OK;
}

el_status el_set_state(const el_model *model, el_state *state, uint32_t stream,
                       const float *values) {
    uint32_t count;
    const el_status status = select_streams(model, state, &stream, &count);
    if (status != EL_OK) return status;
    if (!values) return EL_NULL_POINTER;
    if (!aligned(values, sizeof(float))) return EL_MISALIGNED;
    if (!all_finite(values, count * values_of(state))) return EL_NOT_FINITE;
    for (uint32_t s = stream; s < stream + count; s++)
        for (const work *w = state->work; w < state->work + state->layers; w++) {
            for (uint32_t k = 0; k < w->states; k++, values += w->units)
                memcpy(state_row(state, w, k, s), values, sizeof(float) * w->units);
            const run r = runs_of(state, w, s);
            if (r.end) memcpy(r.row + r.from, values, sizeof(float) * (r.end - r.from));
            values += r.end - r.from;
            if (r.from) memcpy(r.row, values, sizeof(float) * r.from);
            values += r.from;
        }
    return EL_OK;
}

#endif /* EL_KERNEL */
