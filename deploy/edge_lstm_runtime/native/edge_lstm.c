/* See edge_lstm.h. In three parts: how a model and a state are laid out, the kernel, the interface.
 *
 * Compiled alone, this file is whole, with one kernel of EL_LANES lanes (4 unless given). A library for many CPUs holds it several times: as it
 * is, with EL_WITH_AVX2 or the like defined for each further kernel, and once for each of these with EL_KERNEL=el_kernel_avx2 and the
 * options of that CPU, which leaves the interface out.
 */
#include "edge_lstm.h"

#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "edge_lstm: models are little-endian and this CPU is not"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 2
#error "edge_lstm: the x87 unit does not round to float, which the kernel needs; compile with -msse2 -mfpmath=sse"
#endif
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "edge_lstm: compile without -ffast-math, -Ofast and -ffinite-math-only: they remove the rounding and the tests for NaN"
#endif

#ifndef EL_LANES
#define EL_LANES 4 /* units that are computed side by side */
#endif
#ifndef EL_KERNEL_NAME
#define EL_KERNEL_NAME "portable"
#endif

/* ---- Layout -------------------------------------------------------------------------------------------------------------------------
 *
 * A tile is EL_LANES units of a layer with all that belongs to them, so that the kernel walks through memory once, forward.
 *
 * A layer is multiplied with its input and with its h, each filled up with zeros to a multiple of 4 values.
 * A float32 tile is the bias, then for each value of the input, and then of h, the weights: for each gate i, f, g, o EL_LANES floats.
 * An int8 tile is the bias, the scales of the input's weights, the scales of h's weights, and 128 times the sums of either's weights in
 * int32 (for the kernels that take values as unsigned), all for each gate EL_LANES of 4 bytes; then for each 4 values, for each gate,
 * for each lane, 4 weights.
 * The weights and biases of i, f, o are stored times -log2(e), those of g times -2 log2(e), since the kernel works with
 * powers of two: sigmoid(a) = 1 / (1 + 2^(-log2(e) a)) and tanh(a) = (1 - e) / (1 + e) with e = 2^(-2 log2(e) a).
 * The head's tile is 4 outputs, whatever EL_LANES is: the bias, then 4 weights for each unit.
 */
#define LOG2E 1.44269504088896340736
#define MODEL_MAGIC 0x4d4c4c45u /* "ELLM" */
#define STATE_MAGIC 0x534c4c45u
#define VERSION 1u
#define HEAD_LANES 4u

struct el_model {
    uint32_t magic, version, lanes;
    el_sizes sizes;
    uint32_t bytes;
    uint32_t unused[7]; /* the tiles begin at 64 */
};
typedef char el_model_has_64_bytes[sizeof(struct el_model) == 64 ? 1 : -1]; /* on every CPU: an array of -1 is an error */

typedef struct el_kernel {
    const char *name;
    uint32_t lanes;
    void (*step)(const el_model *model, el_state *state);
} el_kernel;

/* The buffers follow in this order, each row at a multiple of EL_ALIGNMENT, with zeros behind the last value of a row. */
struct el_state {
    uint32_t magic, streams;
    el_sizes sizes;
    uint32_t phase; /* 0 or 1: which h is now's; it flips with each step */
    uint32_t x_row, row;
    const el_kernel *kernel;
    float *x;      /* (streams, x_row) */
    float *h[2];   /* (layers, streams, row): now's, and the one that is being made */
    float *c;      /* (layers, streams, row) */
    float *y;      /* (streams, outputs rounded up to HEAD_LANES) */
    int8_t *q[2];  /* (streams, row of the longer): a layer's input and its h, quantised; int8 only */
    float *scales; /* (2, streams) theirs */
};

static inline uint32_t round_up(uint32_t n, uint32_t unit) { return (n + unit - 1) / unit * unit; }

static inline uint32_t tiles(const el_sizes *s, uint32_t lanes) { return (s->hidden + lanes - 1) / lanes; }

/* Values of a layer's input, and of its h, with the zeros that fill them up to a multiple of 4. */
static inline uint32_t input_length(const el_sizes *s, uint32_t layer) { return round_up(layer ? s->hidden : s->inputs, 4); }
static inline uint32_t h_length(const el_sizes *s) { return round_up(s->hidden, 4); }

/* Bytes of one tile. */
static inline uint64_t tile_bytes(const el_sizes *s, uint32_t layer, uint32_t lanes) {
    const uint64_t n = input_length(s, layer) + h_length(s);
    return 4u * lanes * (s->precision == EL_INT8 ? 4u * 5u + n : 4u * (1u + n));
}

/* ---- Kernel ------------------------------------------------------------------------------------------------------------------------- */

#if defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
/* Streams that share one pass through a tile: as many as leave the sums of 4 gates in registers. Where there is one stream alone,
 * -DEL_GROUP=1u halves the code. */
#ifdef EL_GROUP
#define GROUP EL_GROUP
#elif defined(__AVX512F__) || defined(__aarch64__)
#define GROUP 4u
#else
#define GROUP 2u
#endif

typedef float vf __attribute__((vector_size(4 * EL_LANES), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * EL_LANES), may_alias));
typedef float v4 __attribute__((vector_size(16), may_alias));
typedef int32_t i4 __attribute__((vector_size(16), may_alias));

/* The smaller and the larger of `limit` and each lane; a lane that is NaN stays so. */
#if defined(__AVX512F__) && EL_LANES == 16
INLINE vf at_most(float limit, vf a) { return (vf)_mm512_min_ps(_mm512_set1_ps(limit), (__m512)a); }
INLINE vf at_least(float limit, vf a) { return (vf)_mm512_max_ps(_mm512_set1_ps(limit), (__m512)a); }
#elif defined(__AVX2__) && EL_LANES == 8
INLINE vf at_most(float limit, vf a) { return (vf)_mm256_min_ps(_mm256_set1_ps(limit), (__m256)a); }
INLINE vf at_least(float limit, vf a) { return (vf)_mm256_max_ps(_mm256_set1_ps(limit), (__m256)a); }
#elif defined(__ARM_NEON) && EL_LANES == 4
INLINE vf at_most(float limit, vf a) { return (vf)vminq_f32(vdupq_n_f32(limit), (float32x4_t)a); }
INLINE vf at_least(float limit, vf a) { return (vf)vmaxq_f32(vdupq_n_f32(limit), (float32x4_t)a); }
#else
INLINE vf either(vi condition, vf yes, vf no) { return (vf)((condition & (vi)yes) | (~condition & (vi)no)); }
INLINE vf at_most(float limit, vf a) { return either(a > limit, (vf){0} + limit, a); }
INLINE vf at_least(float limit, vf a) { return either(a < limit, (vf){0} + limit, a); }
#endif

/* 2^a, to 1e-7 of it; a below -126 as -126, a above 42 as 42, so that a product of three stays finite. NaN stays. */
INLINE vf power_of_two(vf a) {
    a = at_most(42.0f, at_least(-126.0f, a));
    const vf magic = (vf){0} + 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number, which then stands in the lowest bits */
    const vf shifted = a + magic;
    const vf r = a - (shifted - magic), rr = r * r; /* r: exact, in -0.5 ... 0.5 */
    /* The polynomial with p(0) = 1 of least relative error, 1.6e-8, found by reweighted least squares; evaluated in two halves. */
    const vf even = (r * 0.00961843692f + 0.0555033237f) * rr + (r * 0.240226477f + 0.693147182f);
    const vf odd = (r * 0.00015353362f + 0.0013398875f) * rr * rr;
    const vf p = (even + odd) * r + 1.0f;
    return (vf)((vi)p + ((vi)shifted << 23)); /* 2^n times p, by adding n to its exponent */
}

/* The gates of a tile, scaled as the weights are, and c -> the new c and h. */
INLINE void cell(const vf a[4], float *c_memory, float *h_memory) {
    vf *const c = (vf *)c_memory, *const h = (vf *)h_memory;
    const vf ei = power_of_two(a[0]), ef = power_of_two(a[1]), eg = power_of_two(a[2]), eo = power_of_two(a[3]);
    *c = *c / (1.0f + ef) + (1.0f - eg) / ((1.0f + ei) * (1.0f + eg)); /* f * c + i * g */
    const vf ec = power_of_two(*c * (float)(-2.0 * LOG2E));
    *h = (1.0f - ec) / ((1.0f + eo) * (1.0f + ec)); /* o * tanh(c) */
}

/* What one layer is multiplied with, [0] its input and [1] its h, and what it makes; of stream s, v[0] + s * row[0] and so on. */
typedef struct {
    const float *v[2];
    const int8_t *q[2];
    const float *scales[2];
    uint32_t n[2], row[2]; /* n: multiples of 4 */
    float *c, *h;          /* new; their rows are row[1] */
} vectors;

/* Unrolled, so that the sums are in registers and not in arrays. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 8")
#endif
#define STREAM_LOOP UNROLLED for (unsigned s = 0; s < S; s++)
#define GATE_LOOP UNROLLED for (unsigned g = 0; g < 4; g++)

/* One tile for S streams from the stream `first` on. With one stream, even and odd values are summed apart: twice as many sums hide the
 * latency of a multiply-add. */
INLINE void float_tile(const unsigned S, const float *tile, const vectors *m, uint32_t first, uint32_t unit) {
    const vf *w = (const vf *)tile;
    vf a[GROUP][4], odd[4] = {{0}, {0}, {0}, {0}};
    STREAM_LOOP GATE_LOOP a[s][g] = w[g];
    w += 4;
    for (unsigned part = 0; part < 2; part++) {
        const float *v[GROUP];
        STREAM_LOOP v[s] = m->v[part] + (size_t)(first + s) * m->row[part];
        if (S == 1)
            for (uint32_t j = 0; j < m->n[part]; j += 2, w += 8) {
                GATE_LOOP a[0][g] += w[g] * v[0][j];
                GATE_LOOP odd[g] += w[4 + g] * v[0][j + 1];
            }
        else
            for (uint32_t j = 0; j < m->n[part]; j++, w += 4) STREAM_LOOP GATE_LOOP a[s][g] += w[g] * v[s][j];
    }
    GATE_LOOP a[0][g] += odd[g];
    STREAM_LOOP cell(a[s], m->c + (size_t)(first + s) * m->row[1] + unit, m->h + (size_t)(first + s) * m->row[1] + unit);
}

/* sums + for each lane the product of 4 weights with 4 values of v. w: 4 int8 for each lane; x: 4 int8. With EL_UNSIGNED the values are
 * taken as 128 more than they are. */
#if defined(__AVX512VNNI__) && EL_LANES == 16
#define EL_UNSIGNED 1
INLINE vi dot4(vi sums, const int8_t *w, int32_t x) {
    return (vi)_mm512_dpbusd_epi32((__m512i)sums, _mm512_set1_epi32(x), _mm512_load_si512((const void *)w));
}
#elif defined(__AVX2__) && EL_LANES == 8
INLINE vi dot4(vi sums, const int8_t *w, int32_t x) {
    /* The instruction multiplies unsigned by signed: |x| by w with x's sign. Pairs fit int16, as 2 * 127 * 127 does. */
    const __m256i xs = _mm256_set1_epi32(x), ws = _mm256_load_si256((const __m256i *)w);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(xs), _mm256_sign_epi8(ws, xs));
    return (vi)_mm256_add_epi32((__m256i)sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#elif defined(__ARM_FEATURE_DOTPROD) && EL_LANES == 4
INLINE vi dot4(vi sums, const int8_t *w, int32_t x) {
    return (vi)vdotq_s32((int32x4_t)sums, vld1q_s8(w), vreinterpretq_s8_s32(vdupq_n_s32(x)));
}
#elif defined(__ARM_NEON) && EL_LANES == 4
INLINE vi dot4(vi sums, const int8_t *w, int32_t x) {
    const int8x8_t xs = vreinterpret_s8_s32(vdup_n_s32(x));
    const int8x16_t ws = vld1q_s8(w);
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(ws), xs)), high = vpaddlq_s16(vmull_s8(vget_high_s8(ws), xs));
    const int32x4_t both = vcombine_s32(vpadd_s32(vget_low_s32(low), vget_high_s32(low)), vpadd_s32(vget_low_s32(high), vget_high_s32(high)));
    return sums + (vi)both;
}
#else
INLINE vi dot4(vi sums, const int8_t *w, int32_t x) {
    int8_t xs[4];
    memcpy(xs, &x, 4);
    for (unsigned k = 0; k < EL_LANES; k++, w += 4) sums[k] += w[0] * xs[0] + w[1] * xs[1] + w[2] * xs[2] + w[3] * xs[3];
    return sums;
}
#endif

INLINE vf to_float(vi a) {
#if defined(__clang__) || __GNUC__ >= 9
    return __builtin_convertvector(a, vf);
#else
    vf f;
    for (unsigned k = 0; k < EL_LANES; k++) f[k] = (float)a[k];
    return f;
#endif
}

INLINE void int8_tile(const unsigned S, const float *tile, const vectors *m, uint32_t first, uint32_t unit) {
    const vf *const bias = (const vf *)tile, *const weight_scale[2] = {bias + 4, bias + 8};
    const int8_t *w = (const int8_t *)(bias + 20);
    vf a[GROUP][4];
    STREAM_LOOP GATE_LOOP a[s][g] = bias[g];
    for (unsigned part = 0; part < 2; part++) {
        const int8_t *q[GROUP];
        vi sums[GROUP][4], odd[4] = {{0}, {0}, {0}, {0}};
        STREAM_LOOP {
            q[s] = m->q[part] + (size_t)(first + s) * m->row[part];
#ifdef EL_UNSIGNED
            GATE_LOOP sums[s][g] = -((const vi *)(bias + 12))[4 * part + g];
#else
            GATE_LOOP sums[s][g] = (vi){0};
#endif
        }
        uint32_t j = 0;
        if (S == 1)
            for (; j + 4 < m->n[part]; j += 8, w += 32 * EL_LANES) {
                int32_t x[2];
                memcpy(x, q[0] + j, 8);
                GATE_LOOP sums[0][g] = dot4(sums[0][g], w + 4 * EL_LANES * g, x[0]);
                GATE_LOOP odd[g] = dot4(odd[g], w + 4 * EL_LANES * (4 + g), x[1]);
            }
        for (; j < m->n[part]; j += 4, w += 16 * EL_LANES)
            STREAM_LOOP {
                int32_t x;
                memcpy(&x, q[s] + j, 4);
                GATE_LOOP sums[s][g] = dot4(sums[s][g], w + 4 * EL_LANES * g, x);
            }
        GATE_LOOP sums[0][g] += odd[g];
        STREAM_LOOP {
            const float scale = m->scales[part][first + s];
            GATE_LOOP a[s][g] += to_float(sums[s][g]) * (weight_scale[part][g] * scale);
        }
    }
    STREAM_LOOP cell(a[s], m->c + (size_t)(first + s) * m->row[1] + unit, m->h + (size_t)(first + s) * m->row[1] + unit);
}

/* n values, a multiple of 4 -> int8 with the scale that is returned: 127 for the largest. */
static float quantise(const float *v, uint32_t n, int8_t *q) {
    v4 largest4 = {0, 0, 0, 0};
    for (uint32_t j = 0; j < n; j += 4) {
        const v4 size = (v4)((i4) * (const v4 *)(v + j) & 0x7fffffff);
        const i4 larger = size > largest4;
        largest4 = (v4)((larger & (i4)size) | (~larger & (i4)largest4));
    }
    float largest = 0;
    for (unsigned k = 0; k < 4; k++) largest = largest4[k] > largest ? largest4[k] : largest;
    /* Below this its inverse is infinite. Such inputs are nothing beside a bias. */
    const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
    for (uint32_t j = 0; j < n; j++) {
        const float shifted = v[j] * inverse + 12582912.0f; /* rounded, to even; the whole number stands in the lowest bits */
        int32_t bits;
        memcpy(&bits, &shifted, 4);
#ifdef EL_UNSIGNED
        bits += 128;
#endif
        q[j] = (int8_t)bits;
    }
    return largest * (1.0f / 127.0f);
}

static void head(const el_model *model, const el_state *state, const float *h, const float *weights) {
    const el_sizes *const z = &model->sizes;
    const uint32_t H = z->hidden, padded = round_up(z->outputs, HEAD_LANES);
    for (uint32_t o = 0; o < padded; o += HEAD_LANES, weights += (size_t)HEAD_LANES * (1 + H))
        for (uint32_t s = 0; s < state->streams; s++) {
            const float *const v = h + (size_t)s * state->row;
            const v4 *w = (const v4 *)weights;
            v4 y[4] = {*w++, {0}, {0}, {0}};
            uint32_t j = 0;
            for (; j + 4 <= H; j += 4, w += 4)
                for (unsigned k = 0; k < 4; k++) y[k] += w[k] * v[j + k];
            for (; j < H; j++) y[0] += *w++ * v[j];
            *(v4 *)(state->y + (size_t)s * padded + o) = (y[0] + y[1]) + (y[2] + y[3]);
        }
}

/* Every other step goes through the tiles backwards: what the step before used last is then what the nearest cache still holds. */
static void step(const el_model *model, el_state *state) {
    const el_sizes *const z = &model->sizes;
    const uint32_t phase = state->phase, streams = state->streams, count = tiles(z, EL_LANES);
    const size_t stride = (size_t)streams * state->row;
    const char *weights = (const char *)(model + 1);
    for (uint32_t k = 0; k < z->layers; k++) {
        const size_t bytes = (size_t)tile_bytes(z, k, EL_LANES);
        const vectors m = {
            .v = {k ? state->h[1 - phase] + (k - 1) * stride : state->x, state->h[phase] + k * stride},
            .q = {state->q[0], state->q[1]},
            .scales = {state->scales, state->scales + streams},
            .n = {input_length(z, k), h_length(z)},
            .row = {k ? state->row : state->x_row, state->row},
            .c = state->c + k * stride,
            .h = state->h[1 - phase] + k * stride,
        };
        const int is_int8 = z->precision == EL_INT8;
        if (is_int8)
            for (unsigned part = 0; part < 2; part++)
                for (uint32_t s = 0; s < streams; s++) {
                    const size_t row = (size_t)s * m.row[part];
                    state->scales[part * streams + s] = quantise(m.v[part] + row, m.n[part], state->q[part] + row);
                }
        for (uint32_t t = 0; t < count; t++) {
            const uint32_t at = phase ? count - 1 - t : t;
            const float *const tile = (const float *)(const void *)(weights + at * bytes);
            uint32_t s = 0;
            for (; GROUP > 1 && s + GROUP <= streams; s += GROUP)
                is_int8 ? int8_tile(GROUP, tile, &m, s, at * EL_LANES) : float_tile(GROUP, tile, &m, s, at * EL_LANES);
            for (; s < streams; s++) is_int8 ? int8_tile(1, tile, &m, s, at * EL_LANES) : float_tile(1, tile, &m, s, at * EL_LANES);
        }
        weights += count * bytes;
    }
    head(model, state, state->h[1 - phase] + (z->layers - 1) * stride, (const float *)(const void *)weights);
    state->phase = 1 - phase;
}

#ifdef EL_KERNEL
extern const el_kernel EL_KERNEL;
const el_kernel EL_KERNEL = {EL_KERNEL_NAME, EL_LANES, step};
#else
extern const el_kernel el_kernel_avx512, el_kernel_avx2, el_kernel_dotprod, el_kernel_neon;

/* ---- Interface ---------------------------------------------------------------------------------------------------------------------- */

static const el_kernel this_kernel = {EL_KERNEL_NAME, EL_LANES, step};

#if defined(EL_WITH_AVX2) || defined(EL_WITH_AVX512)
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
    if ((saved_registers() & 0x6) != 0x6 || !__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

#ifdef EL_WITH_AVX512
static int runs_avx512(void) {
    uint32_t a, b, c, d;
    const uint32_t wanted = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    if ((saved_registers() & 0xe6) != 0xe6 || !runs_avx2() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
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

/* The index-th kernel of those that run here, have this name (any: NULL) and these lanes (any: 0). NULL past the last one. */
static const el_kernel *find_kernel(uint32_t index, const char *name, uint32_t lanes) {
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        const el_kernel *const kernel = kernels[k].kernel;
        if ((name && strcmp(name, kernel->name)) || (lanes && lanes != kernel->lanes) || (kernels[k].runs && !kernels[k].runs())) continue;
        if (index-- == 0) return kernel;
    }
    return NULL;
}

const char *el_kernel_name(uint32_t index) {
    const el_kernel *const kernel = find_kernel(index, NULL, 0);
    return kernel ? kernel->name : NULL;
}

const char *el_status_name(el_status status) {
    static const char *const names[] = {"EL_OK",         "EL_NULL_POINTER", "EL_BAD_SIZE",  "EL_BUFFER_TOO_SMALL", "EL_MISALIGNED",
                                        "EL_NOT_FINITE", "EL_BAD_MODEL",    "EL_BAD_STATE", "EL_NO_KERNEL"};
    return (unsigned)status < sizeof names / sizeof *names ? names[status] : "unknown";
}

#define DOUBLE_ALIGNMENT offsetof(struct { char c; double d; }, d)

static int aligned(const void *pointer, uintptr_t to) { return ((uintptr_t)pointer & (to - 1)) == 0; }

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

static int all_finite(const float *values, size_t count) { return all_below(0x7f800000u, values, count); }

/* memcpy, which costs a call for so few. */
static void copy(float *restrict to, const float *restrict from, size_t count) {
    for (size_t k = 0; k < count; k++) to[k] = from[k];
}

static int same(const el_sizes *a, const el_sizes *b) {
    return a->inputs == b->inputs && a->hidden == b->hidden && a->layers == b->layers && a->outputs == b->outputs && a->precision == b->precision;
}

static uint64_t head_bytes(const el_sizes *s) {
    return (uint64_t)(round_up(s->outputs, HEAD_LANES) / HEAD_LANES) * (1u + s->hidden) * HEAD_LANES * 4u;
}

/* 0 where the sizes are out of bounds or the model were larger than 2 GiB. */
static uint32_t model_bytes(const el_sizes *z, uint32_t lanes) {
    if (z->inputs - 1 >= EL_MAX_SIZE || z->hidden - 1 >= EL_MAX_SIZE || z->outputs - 1 >= EL_MAX_SIZE || z->layers - 1 >= EL_MAX_LAYERS ||
        z->precision > EL_INT8)
        return 0;
    const uint64_t first = tile_bytes(z, 0, lanes), further = tile_bytes(z, 1, lanes);
    const uint64_t bytes = sizeof(el_model) + tiles(z, lanes) * (first + (z->layers - 1) * further) + head_bytes(z);
    return bytes <= INT32_MAX ? round_up((uint32_t)bytes, EL_ALIGNMENT) : 0;
}

el_status el_model_bytes(const el_sizes *sizes, const char *kernel, size_t *bytes) {
    if (!sizes || !bytes) return EL_NULL_POINTER;
    const el_kernel *const found = find_kernel(0, kernel, 0);
    if (!found) return EL_NO_KERNEL;
    const uint32_t needed = model_bytes(sizes, found->lanes);
    if (!needed) return EL_BAD_SIZE;
    *bytes = needed;
    return EL_OK;
}

static int8_t rounded(float value) {
    const float bounded = value > 127.0f ? 127.0f : value < -127.0f ? -127.0f : value;
    return (int8_t)(int)(bounded < 0.0f ? bounded - 0.5f : bounded + 0.5f);
}

/* The weights of one gate of one unit for the `count` rows of W (count, 4 H), at column `column`: -> lane `lane` of a tile's rows. */
static void pack_float(float *tile, uint32_t lanes, uint32_t lane, uint32_t gate, const float *W, uint32_t count, size_t stride, double factor) {
    for (uint32_t j = 0; j < count; j++) tile[(4 * (size_t)j + gate) * lanes + lane] = (float)((double)W[j * stride] * factor);
}

/* step: of the int8 grid; NULL: so that the largest weight is 127. */
static void pack_int8(int8_t *tile, uint32_t lanes, uint32_t lane, uint32_t gate, const float *W, uint32_t count, size_t stride, double factor,
                      const float *step, float *scale, int32_t *sum) {
    float largest = 0.0f;
    for (uint32_t j = 0; j < count; j++) {
        const float w = W[j * stride], size = w < 0.0f ? -w : w;
        largest = size > largest ? size : largest;
    }
    const float used = step ? *step : largest / 127.0f, inverse = used > 1e-30f ? 1.0f / used : 0.0f; /* smaller weights are taken for zeros */
    *sum = 0;
    for (uint32_t j = 0; j < count; j++) {
        const int8_t q = rounded(W[j * stride] * inverse);
        tile[((size_t)(j / 4) * 4 + gate) * lanes * 4 + 4 * lane + j % 4] = q;
        *sum += 128 * q;
    }
    *scale = (float)((double)used * factor);
}

el_status el_model_init(void *memory, size_t bytes, const el_sizes *sizes, const char *kernel, const float *weights,
                        const float *steps) {
    if (!memory || !sizes || !weights) return EL_NULL_POINTER;
    const el_kernel *const found = find_kernel(0, kernel, 0);
    if (!found) return EL_NO_KERNEL;
    const uint32_t needed = model_bytes(sizes, found->lanes), H = sizes->hidden, lanes = found->lanes;
    if (!needed) return EL_BAD_SIZE;
    if (bytes < needed) return EL_BUFFER_TOO_SMALL;
    if (!aligned(memory, EL_ALIGNMENT) || !aligned(weights, sizeof(float)) || !aligned(steps, sizeof(float))) return EL_MISALIGNED;
    const size_t columns = 4 * (size_t)H;
    size_t count = (H + (size_t)1) * sizes->outputs;
    for (uint32_t k = 0; k < sizes->layers; k++) count += columns * ((k ? H : sizes->inputs) + H + 1);
    if (!all_below(0x7e800000u, weights, count)) return EL_NOT_FINITE; /* 2^126; from there on a weight times 2 log2(e) is infinite */
    const size_t step_count = steps ? 2 * columns * sizes->layers : 0;
    if (!all_below(0x7e800000u, steps, step_count)) return EL_NOT_FINITE;
    for (size_t k = 0; k < step_count; k++)
        if (steps[k] <= 0.0f) return EL_NOT_FINITE;

    memset(memory, 0, needed);
    el_model *const model = memory;
    model->version = VERSION, model->lanes = lanes, model->sizes = *sizes, model->bytes = needed;
    char *tile = (char *)(model + 1);
    for (uint32_t k = 0; k < sizes->layers; k++) {
        const uint32_t in = k ? H : sizes->inputs;
        const float *const W_x = weights, *const W_h = W_x + columns * in, *const b = W_h + columns * H;
        const size_t first_h = input_length(sizes, k);
        for (uint32_t start = 0; start < H; start += lanes, tile += tile_bytes(sizes, k, lanes))
            for (uint32_t lane = 0; lane < lanes && start + lane < H; lane++)
                for (uint32_t gate = 0; gate < 4; gate++) {
                    const size_t column = (size_t)gate * H + start + lane, at = (size_t)gate * lanes + lane;
                    const double factor = gate == 2 ? -2.0 * LOG2E : -LOG2E;
                    float *const row = (float *)(void *)tile; /* the bias, and then what depends on the precision */
                    row[at] = (float)((double)b[column] * factor);
                    const size_t block = 4 * (size_t)lanes;
                    if (sizes->precision == EL_INT8) {
                        int8_t *const q = (int8_t *)(row + 5 * block);
                        int32_t *const sums = (int32_t *)(void *)(row + 3 * block);
                        const float *const x_step = steps ? steps + column : NULL, *const h_step = steps ? x_step + columns : NULL;
                        pack_int8(q, lanes, lane, gate, W_x + column, in, columns, factor, x_step, row + block + at, sums + at);
                        pack_int8(q + block * first_h, lanes, lane, gate, W_h + column, H, columns, factor, h_step, row + 2 * block + at,
                                  sums + block + at);
                    } else {
                        pack_float(row + block, lanes, lane, gate, W_x + column, in, columns, factor);
                        pack_float(row + block * (1 + first_h), lanes, lane, gate, W_h + column, H, columns, factor);
                    }
                }
        weights = b + columns;
        if (steps) steps += 2 * columns;
    }
    const float *const head_b = weights + (size_t)H * sizes->outputs;
    float *row = (float *)(void *)tile;
    for (uint32_t start = 0; start < sizes->outputs; start += HEAD_LANES, row += HEAD_LANES * (1 + (size_t)H))
        for (uint32_t lane = 0; lane < HEAD_LANES && start + lane < sizes->outputs; lane++) {
            row[lane] = head_b[start + lane];
            for (uint32_t j = 0; j < H; j++) row[HEAD_LANES * (1 + (size_t)j) + lane] = weights[(size_t)j * sizes->outputs + start + lane];
        }
    model->magic = MODEL_MAGIC;
    return EL_OK;
}

/* Is this the header of a model, with sizes that go together? Any weights behind it are safe to run. */
static el_status check_model(const el_model *model) {
    if (!aligned(model, EL_ALIGNMENT)) return EL_MISALIGNED;
    if (model->magic != MODEL_MAGIC || model->version != VERSION) return EL_BAD_MODEL;
    if (model->lanes - 1 >= EL_ALIGNMENT / 4 || (model->lanes & (model->lanes - 1))) return EL_BAD_MODEL;
    const uint32_t expected = model_bytes(&model->sizes, model->lanes);
    return expected && model->bytes == expected ? EL_OK : EL_BAD_MODEL;
}

el_status el_model_sizes(const el_model *model, size_t bytes, el_sizes *sizes) {
    if (!model || !sizes) return EL_NULL_POINTER;
    if (bytes < sizeof *model) return EL_BAD_MODEL;
    const el_status status = check_model(model);
    if (status != EL_OK) return status;
    if (model->bytes > bytes) return EL_BAD_MODEL;
    *sizes = model->sizes;
    return EL_OK;
}

/* The bytes of a state. memory: where it lies, to set the places of its buffers; or NULL. */
static uint64_t lay_out(const el_model *model, uint32_t streams, char *memory) {
    const el_sizes *const z = &model->sizes;
    const uint32_t floats = EL_ALIGNMENT / 4;
    /* Rows of int8 are as long as rows of floats; that wastes a few bytes and saves two more lengths. */
    const uint32_t x_row = round_up(z->inputs, floats), row = round_up(tiles(z, model->lanes) * model->lanes, floats);
    const uint64_t n = streams, all = n * z->layers * row, rows[2] = {n * (x_row > row ? x_row : row), n * row};
    uint64_t at = round_up(sizeof(el_state), EL_ALIGNMENT);
    uint64_t places[8];
    const uint64_t sizes[8] = {4 * n * x_row,
                               4 * all,
                               4 * all,
                               4 * all,
                               4 * n * round_up(z->outputs, HEAD_LANES),
                               z->precision == EL_INT8 ? rows[0] : 0,
                               z->precision == EL_INT8 ? rows[1] : 0,
                               z->precision == EL_INT8 ? 8 * n : 0};
    for (unsigned k = 0; k < 8; k++) {
        places[k] = at;
        at += (sizes[k] + EL_ALIGNMENT - 1) / EL_ALIGNMENT * EL_ALIGNMENT;
    }
    if (memory) {
        el_state *const state = (el_state *)(void *)memory;
        float *floats_at[8];
        for (unsigned k = 0; k < 8; k++) floats_at[k] = (float *)(void *)(memory + (size_t)places[k]);
        state->x_row = x_row, state->row = row;
        state->x = floats_at[0], state->h[0] = floats_at[1], state->h[1] = floats_at[2], state->c = floats_at[3], state->y = floats_at[4];
        state->q[0] = (int8_t *)floats_at[5], state->q[1] = (int8_t *)floats_at[6], state->scales = floats_at[7];
    }
    return at;
}

el_status el_state_bytes(const el_model *model, uint32_t streams, size_t *bytes) {
    if (!model || !bytes) return EL_NULL_POINTER;
    const el_status status = check_model(model);
    if (status != EL_OK) return status;
    if (streams - 1 >= EL_MAX_STREAMS) return EL_BAD_SIZE;
    const uint64_t needed = lay_out(model, streams, NULL);
    if (needed > PTRDIFF_MAX) return EL_BAD_SIZE;
    *bytes = (size_t)needed;
    return EL_OK;
}

el_status el_state_init(void *memory, size_t bytes, const el_model *model, const char *kernel, uint32_t streams) {
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
    lay_out(model, streams, memory);
    state->streams = streams, state->sizes = model->sizes, state->kernel = found;
    state->magic = STATE_MAGIC;
    return EL_OK;
}

/* A model and a state of its sizes, where el_state_init made it? */
static el_status match(const el_model *model, const el_state *state) {
    if (!model || !state) return EL_NULL_POINTER;
    if (!aligned(model, EL_ALIGNMENT) || !aligned(state, EL_ALIGNMENT)) return EL_MISALIGNED;
    if (model->magic != MODEL_MAGIC) return EL_BAD_MODEL;
    if (state->magic != STATE_MAGIC || !same(&model->sizes, &state->sizes) || state->kernel->lanes != model->lanes)
        return EL_BAD_STATE;
    const char *const x = (const char *)state->x;
    return x == (const char *)state + round_up(sizeof *state, EL_ALIGNMENT) ? EL_OK : EL_BAD_STATE;
}

/* One step with the x that is in the state. */
static void step_and_copy(const el_model *model, el_state *state, float *y) {
    const uint32_t outputs = model->sizes.outputs, padded = round_up(outputs, HEAD_LANES);
    state->kernel->step(model, state);
    for (uint32_t s = 0; s < state->streams; s++) copy(y + (size_t)s * outputs, state->y + (size_t)s * padded, outputs);
}

el_status el_run(const el_model *model, el_state *state, const float *x, size_t steps, float *y) {
    const el_status status = match(model, state);
    if (status != EL_OK) return status;
    if (!x || !y) return EL_NULL_POINTER;
    if (!aligned(x, sizeof(float)) || !aligned(y, sizeof(float))) return EL_MISALIGNED;
    const uint32_t inputs = model->sizes.inputs;
    const size_t x_size = (size_t)state->streams * inputs, y_size = (size_t)state->streams * model->sizes.outputs;
    for (; steps; steps--, x += x_size, y += y_size) {
        if (!all_finite(x, x_size)) return EL_NOT_FINITE;
        for (uint32_t s = 0; s < state->streams; s++) copy(state->x + (size_t)s * state->x_row, x + (size_t)s * inputs, inputs);
        step_and_copy(model, state, y);
    }
    return EL_OK;
}

el_status el_step(const el_model *model, el_state *state, const float *x, float *y) { return el_run(model, state, x, 1, y); }

el_status el_step_bound(const el_bound *bound, const float *x) {
    return bound ? el_run(bound->model, bound->state, x, 1, bound->y) : EL_NULL_POINTER;
}

static el_status check_processing(const el_processing *p, const el_model *model, const double *sample, const double *last, const float *answer) {
    if (!p || !sample || !last || !answer || !p->mean || !p->std || (p->scale && !p->offset)) return EL_NULL_POINTER;
    if (p->channels - 1 >= EL_MAX_SIZE || p->missing > EL_MASK) return EL_BAD_SIZE;
    if (model->sizes.inputs != p->channels * (p->missing == EL_MASK ? 2 : 1)) return EL_BAD_SIZE;
    const void *const doubles[] = {sample, last, p->mean, p->std, p->offset, p->scale};
    for (size_t k = 0; k < sizeof doubles / sizeof *doubles; k++)
        if (!aligned(doubles[k], DOUBLE_ALIGNMENT)) return EL_MISALIGNED;
    if (!aligned(answer, sizeof(float)) || !aligned(p->residual, sizeof(uint32_t))) return EL_MISALIGNED;
    if (p->residual)
        for (uint32_t k = 0; k < model->sizes.outputs; k++)
            if (p->residual[k] >= p->channels) return EL_BAD_SIZE;
    return EL_OK;
}

el_status el_answer(const el_processing *processing, const el_model *model, el_state *state, const double *sample, double *last, float *answer) {
    const el_processing *const p = processing;
    el_status status = match(model, state);
    if (status == EL_OK) status = check_processing(p, model, sample, last, answer);
    if (status != EL_OK) return status;
    const uint32_t channels = p->channels, outputs = model->sizes.outputs;
    for (size_t s = 0; s < state->streams; s++)
        for (uint32_t k = 0; k < channels; k++) {
            const double value = sample[s * channels + k];
            const int missing = value != value && p->missing != EL_REFUSE;
            const double filled = !missing ? value : p->missing == EL_FORWARD_FILL ? last[s * channels + k] : p->mean[k];
            /* Subtracted in double: in float a large mean would cost what a small deviation has. */
            const double deviation = (filled - p->mean[k]) / p->std[k];
            if (!(deviation <= EL_MAX_DEVIATION && deviation >= -EL_MAX_DEVIATION)) return EL_NOT_FINITE;
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
    step_and_copy(model, state, answer);
    for (size_t s = 0; p->scale && s < state->streams; s++)
        for (uint32_t k = 0; k < outputs; k++) {
            float *const y = answer + s * outputs + k;
            const double scaled = (double)*y * p->scale[k] + p->offset[k];
            *y = (float)(p->residual ? scaled + last[s * channels + p->residual[k]] : scaled);
        }
    return EL_OK;
}

el_status el_answer_bound(const el_bound *bound, const double *sample) {
    return bound ? el_answer(bound->processing, bound->model, bound->state, sample, bound->last, bound->y) : EL_NULL_POINTER;
}

el_status el_reset(const el_model *model, el_state *state, uint32_t stream) {
    const el_status status = match(model, state);
    if (status != EL_OK) return status;
    if (stream != EL_ALL && stream >= state->streams) return EL_BAD_SIZE;
    const uint32_t first = stream == EL_ALL ? 0 : stream, count = stream == EL_ALL ? state->streams : 1;
    for (uint32_t k = 0; k < model->sizes.layers; k++) {
        const size_t at = ((size_t)k * state->streams + first) * state->row, bytes = sizeof(float) * count * state->row;
        memset(state->h[state->phase] + at, 0, bytes);
        memset(state->c + at, 0, bytes);
    }
    return EL_OK;
}

static el_status may_copy(const el_model *model, const el_state *state, uint32_t stream, const float *h, const float *c) {
    const el_status status = match(model, state);
    if (status != EL_OK) return status;
    if (!h || !c) return EL_NULL_POINTER;
    if (stream != EL_ALL && stream >= state->streams) return EL_BAD_SIZE;
    return aligned(h, sizeof(float)) && aligned(c, sizeof(float)) ? EL_OK : EL_MISALIGNED;
}

el_status el_get_state(const el_model *model, const el_state *state, uint32_t stream, float *h, float *c) {
    const el_status status = may_copy(model, state, stream, h, c);
    if (status != EL_OK) return status;
    const uint32_t H = model->sizes.hidden, first = stream == EL_ALL ? 0 : stream, end = stream == EL_ALL ? state->streams : stream + 1;
    for (uint32_t s = first; s < end; s++)
        for (uint32_t k = 0; k < model->sizes.layers; k++, h += H, c += H) {
            const size_t at = ((size_t)k * state->streams + s) * state->row;
            memcpy(h, state->h[state->phase] + at, sizeof(float) * H);
            memcpy(c, state->c + at, sizeof(float) * H);
        }
    return EL_OK;
}

el_status el_set_state(const el_model *model, el_state *state, uint32_t stream, const float *h, const float *c) {
    const el_status status = may_copy(model, state, stream, h, c);
    if (status != EL_OK) return status;
    const uint32_t H = model->sizes.hidden, first = stream == EL_ALL ? 0 : stream, end = stream == EL_ALL ? state->streams : stream + 1;
    const size_t values = (size_t)(end - first) * model->sizes.layers * H;
    if (!all_finite(h, values) || !all_finite(c, values)) return EL_NOT_FINITE;
    for (uint32_t s = first; s < end; s++)
        for (uint32_t k = 0; k < model->sizes.layers; k++, h += H, c += H) {
            const size_t at = ((size_t)k * state->streams + s) * state->row;
            memcpy(state->h[state->phase] + at, h, sizeof(float) * H);
            memcpy(state->c + at, c, sizeof(float) * H);
        }
    return EL_OK;
}

#endif /* EL_KERNEL */
