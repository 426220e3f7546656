/* What edge_lstm.c and the files of the layers share: how weights are laid out, what a layer works
 * with, and the vector code that multiplies. Each of these files is compiled once for every kernel.
 *
 * A unit of a layer has sums, each a bias and products of vectors with weights, and a pointwise
 * cell that turns the sums into its output and its states. Most layers are one stage. A layer that
 * multiplies with what it has only just made has two.
 *
 * A tile is LANES units of a stage with all their weights, so that a step walks through memory
 * once, forward. The vectors that are multiplied are filled up with zeros to a multiple of 4.
 * A float32 tile is the biases, then for each product, for each value of its vector, the weights:
 * LANES floats for each of the product's sums.
 * An int8 tile is the biases, then for each product and each of its sums the scales, then the same
 * of 128 times the sums of the weights in int32 (for the kernels that take values as unsigned), all
 * LANES of 4 bytes; then for each product, for each 4 values of its vector, for each sum, for each
 * lane, 4 weights.
 *
 * A float16 tile is the biases, then for each sum what it is to be multiplied by (LANES floats),
 * then for each product, for each 2 values of its vector, for each sum the weights: those of the
 * first value, then those of the second; with 16 lanes for each lane both.
 *
 * A layer without states is plain: float32 or float16, its input not filled up, and with tiles of 4
 * units if it has no more than these.
 *
 * The kernel works with powers of two: sigmoid(a) = 1 / (1 + 2^(-log2(e) a)), and with
 * e = 2^(-2 log2(e) a), tanh(a) = (1 - e) / (1 + e). So the weights and the bias of a sum are
 * stored times the sum's factor.
 */
#ifndef EL_TILES_H
#define EL_TILES_H

#include "edge_lstm.h"

#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "edge_lstm: models are little-endian and this CPU is not"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 2
#error "edge_lstm: the x87 unit doesn't round to float; compile with -msse2 -mfpmath=sse"
#endif
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "edge_lstm: compile without -ffast-math, -Ofast, -ffinite-math-only: rounding and NaN count"
#endif

#ifndef EL_LANES
#define EL_LANES 4 /* units that are computed side by side */
#endif

/* A name of this kernel's own, such as el_kernel_avx2_lstm. */
#define EL_JOIN2(a, b) a##_##b
#define EL_JOIN(a, b) EL_JOIN2(a, b)
#ifdef EL_KERNEL
#define EL_OWN(name) EL_JOIN(EL_KERNEL, name)
#else
#define EL_OWN(name) EL_JOIN(el_kernel, name)
#endif

/* ---- What a layer is made of ----------------------------------------------------------------- */

#define LOG2E 1.44269504088896340736
#define SIGMOID_FACTOR (-LOG2E)
#define TANH_FACTOR (-2.0 * LOG2E)

/* What is multiplied: a layer's input, its output of the step before, what its first stage made. */
enum { INPUT, BEFORE, MADE, VECTORS };

enum { MAX_SUMS = 4, MAX_STAGES = 2 };

/* A vector times columns of its canonical matrix: W_x, W_h, or W_n for what was made. */
typedef struct {
    uint8_t first, count;     /* it adds to `count` sums from the sum `first` on */
    uint8_t column[MAX_SUMS]; /* for each of these: which group of the matrix's columns */
} product;

typedef struct {
    uint8_t sums;
    uint8_t bias[MAX_SUMS];   /* for each sum: a bit for each group of the canonical b in it */
    product product[VECTORS]; /* count 0: none */
    double factor[MAX_SUMS];  /* of each sum's weights and bias */
} stage;

/* A layer type with one of its options, or with all of them that change no weight's place. */
typedef struct {
    uint8_t columns[VECTORS];   /* groups of them in the canonical W_x, W_h and W_n; 0: none */
    uint8_t biases;             /* groups of the canonical b */
    uint8_t states;             /* each `units` values, the first is the output; 0: a plain layer */
    uint8_t made;               /* rows that the first stage makes for the next, MADE before all */
    uint8_t stages;             /* 0: there is no such option */
    stage stage[MAX_STAGES];
} form;

typedef struct work work;

/* What a layer is by its option and its inputs. */
typedef struct {
    const form *form;
    uint32_t inputs; /* all sources together */
    uint32_t rows;   /* of W_x */
    uint32_t past;   /* values of earlier inputs that it keeps; of a plain layer only */
} facts;

typedef struct {
    uint32_t options;
    const form *form; /* (options) */
    void (*step)(const el_state *state, const work *work, const char *weights);
    /* For a type whose option is no number of a form, or whose sizes are not free. sizes: of each
     * source. to: has the first form, the inputs, and as many rows as these. NULL: all is free. */
    el_status (*read)(const el_layer *layer, const uint32_t *sizes, facts *to);
} layer_type;

typedef struct {
    const char *name;
    uint32_t lanes;
    const layer_type *const *type; /* by number; NULL: not here */
} el_kernel;

static inline uint32_t round_up(uint32_t n, uint32_t unit) { return (n + unit - 1) / unit * unit; }

/* Values of a vector of a layer with so many states, with the zeros that fill it up. */
static inline uint32_t filled(uint32_t states, uint32_t size) {
    return states ? round_up(size, 4) : size;
}

static inline uint32_t tile_lanes(uint32_t states, uint32_t units, uint32_t lanes) {
    return states || units > 4 ? lanes : 4;
}

static inline uint32_t columns(const stage *of) {
    return (uint32_t)of->product[INPUT].count + of->product[BEFORE].count + of->product[MADE].count;
}

/* How the weights of a layer are stored. */
typedef struct {
    uint8_t is_int8, is_half; /* neither: float32 */
} storage;

/* Bytes of one tile. n: the lengths of the vectors. */
static inline size_t tile_bytes(const stage *of, storage as, const uint32_t n[VECTORS],
                                uint32_t lanes) {
    size_t weights = 0;
    for (unsigned p = 0; p < VECTORS; p++)
        weights += (size_t)of->product[p].count * (as.is_half ? round_up(n[p], 2) : n[p]);
    const size_t bytes = as.is_int8   ? 8 * (size_t)columns(of) + weights
                         : as.is_half ? 4 * (size_t)of->sums + 2 * weights
                                      : 4 * weights;
    return lanes * (4 * (size_t)of->sums + bytes);
}

/* ---- What a layer works with ----------------------------------------------------------------- */

/* A layer in a state. What is made anew while it is still read lies there twice: the step before's
 * at phase * flip, the one that is being made at (1 - phase) * flip. flip is 0 for what lies there
 * once. */
struct work {
    void (*step)(const el_state *state, const work *work, const char *weights);
    const float *x; /* (streams, x_row), of the step that is being made */
    size_t x_flip;
    float *h; /* (streams, row): the output; twice if the layer has states; further states follow */
    size_t flip;
    uint32_t weights; /* where in the model they begin */
    uint32_t option;
    uint32_t past; /* values of earlier inputs; they follow h, see `ring` */
    uint32_t inputs, x_row, units, row;
    uint8_t states;
    storage as;
    uint8_t copies; /* so many of the state's fill x before the layer runs */
};

/* The past inputs of a layer, which follow its output: (streams, row), each row a ring of steps. */
typedef struct {
    uint32_t *oldest; /* where in a row the oldest step begins, for all streams */
    float *values;
    uint32_t row;
} ring;


/* Of a layer with several sources. */
typedef struct {
    const float *from; /* of the step that is being made */
    size_t flip;
    float *to;
    uint32_t from_row, to_row, count;
} copy;

/* The works follow, then the copies, then the buffers, each row at a multiple of EL_ALIGNMENT, with
 * zeros behind the last value of a row. Rows of int8 are as long as those of floats. */
struct el_state {
    uint32_t magic, streams;
    uint64_t fingerprint; /* the model's */
    uint32_t phase;       /* 0 or 1; it flips with each step */
    uint32_t layers, inputs, x_row;
    const el_kernel *kernel;
    const copy *copies;
    float *x;           /* (streams, x_row) */
    float *made;        /* (rows made, streams, row) of the layer that needs most */
    int8_t *q[VECTORS]; /* (streams, row): what a layer multiplies, quantized; int8 only */
    float *scales;      /* (VECTORS, streams) theirs */
    work work[];
};

static inline uint32_t row_length(uint32_t values) { return round_up(values, EL_ALIGNMENT / 4); }

/* Floats of a ring of so many streams; `oldest` has a row of its own. */
static inline uint64_t ring_size(uint64_t streams, uint32_t past) {
    return past ? row_length(1) + streams * row_length(past) : 0;
}

static inline ring ring_of(const el_state *state, const work *w) {
    float *const at = w->h + (size_t)state->streams * w->row;
    return (ring){(uint32_t *)(void *)at, at + row_length(1), row_length(w->past)};
}

/* ---- Vectors --------------------------------------------------------------------------------- */

#if defined(__ARM_NEON)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
/* Streams that share one pass through a tile: as many as leave the sums of 4 gates in registers,
 * which no CPU without vectors does. If there is one stream alone, -DEL_GROUP=1u halves the code. */
#ifdef EL_GROUP
#define GROUP EL_GROUP
#elif defined(__AVX512F__) || defined(__aarch64__)
#define GROUP 4u
#elif defined(__SSE2__) || defined(__ARM_NEON)
#define GROUP 2u
#else
#define GROUP 1u
#endif

typedef float vf __attribute__((vector_size(4 * EL_LANES), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * EL_LANES), may_alias));
/* For sums that overflow if weights are hostile: unsigned, where that is defined. */
typedef uint32_t vu __attribute__((vector_size(4 * EL_LANES), may_alias));
typedef float v4 __attribute__((vector_size(16), may_alias));
typedef int32_t i4 __attribute__((vector_size(16), may_alias));

/* The smaller and the larger of `limit` and each lane; a lane that is NaN stays so. */
#if defined(__AVX512F__) && EL_LANES == 16
INLINE vf at_most(float limit, vf a) { return (vf)_mm512_min_ps(_mm512_set1_ps(limit), (__m512)a); }
INLINE vf at_least(float limit, vf a) {
    return (vf)_mm512_max_ps(_mm512_set1_ps(limit), (__m512)a);
}
#elif defined(__AVX2__) && EL_LANES == 8
INLINE vf at_most(float limit, vf a) { return (vf)_mm256_min_ps(_mm256_set1_ps(limit), (__m256)a); }
INLINE vf at_least(float limit, vf a) {
    return (vf)_mm256_max_ps(_mm256_set1_ps(limit), (__m256)a);
}
#elif defined(__SSE2__) && EL_LANES == 4
INLINE vf at_most(float limit, vf a) { return (vf)_mm_min_ps(_mm_set1_ps(limit), (__m128)a); }
INLINE vf at_least(float limit, vf a) { return (vf)_mm_max_ps(_mm_set1_ps(limit), (__m128)a); }
#elif defined(__ARM_NEON) && EL_LANES == 4
INLINE vf at_most(float limit, vf a) { return (vf)vminq_f32(vdupq_n_f32(limit), (float32x4_t)a); }
INLINE vf at_least(float limit, vf a) { return (vf)vmaxq_f32(vdupq_n_f32(limit), (float32x4_t)a); }
#else
INLINE vf either(vi condition, vf yes, vf no) {
    return (vf)((condition & (vi)yes) | (~condition & (vi)no));
}
INLINE vf at_most(float limit, vf a) { return either(a > limit, (vf){0} + limit, a); }
INLINE vf at_least(float limit, vf a) { return either(a < limit, (vf){0} + limit, a); }
#endif

/* 2^a, to 1e-7 of it; a below -126 as -126, a above 42 as 42, so that a product of three stays
 * finite. NaN stays. */
INLINE vf power_of_two(vf a) {
    a = at_most(42.0f, at_least(-126.0f, a));
    /* 1.5 * 2^23: adding it rounds to a whole number, which then stands in the lowest bits */
    const vf magic = (vf){0} + 12582912.0f;
    const vf shifted = a + magic;
    const vf r = a - (shifted - magic), rr = r * r; /* r: exact, in -0.5 ... 0.5 */
    /* The polynomial with p(0) = 1 of least relative error, 1.6e-8, found by reweighted least
     * squares; evaluated in two halves. */
    const vf even = (r * 0.00961843692f + 0.0555033237f) * rr + (r * 0.240226477f + 0.693147182f);
    const vf odd = (r * 0.00015353362f + 0.0013398875f) * rr * rr;
    const vf p = (even + odd) * r + 1.0f;
    return (vf)((vu)p + ((vu)shifted << 23)); /* 2^n times p, by adding n to its exponent */
}

/* For layers whose option is an activation: the factor of their sums, and the activation of sums
 * that were stored times that. */
#define ACTIVATION_FACTOR(option)                                                                  \
    ((option) == EL_TANH ? TANH_FACTOR : (option) == EL_SIGMOID ? SIGMOID_FACTOR : 1.0)

INLINE vf activation(uint32_t option, vf a) {
    if (option == EL_NONE) return a;
    if (option == EL_RELU) return at_least(0.0f, a);
    const vf e = power_of_two(a);
    return (option == EL_TANH ? 1.0f - e : (vf){0} + 1.0f) / (1.0f + e);
}

/* ---- Tiles ----------------------------------------------------------------------------------- */

/* Unrolled, so that the sums are in registers and not in arrays. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 8")
#endif
#define STREAM_LOOP UNROLLED for (unsigned s = 0; s < S; s++)
#define CHAIN_LOOP UNROLLED for (unsigned k = 0; k < K; k++)
#define SUM_LOOP UNROLLED for (unsigned g = 0; g < G; g++)

/* What a layer's tiles are multiplied with, and what they make; of stream s, v[p] + s * row[p] and
 * so on. */
typedef struct {
    const el_state *state; /* has the vectors quantized, by the same rows */
    const float *v[VECTORS];
    uint32_t n[VECTORS], row[VECTORS]; /* n: multiples of 4 but for a plain layer's input */
    float *h, *further; /* the output and the second state; their rows are row[BEFORE] */
    uint32_t streams, tiles;
    storage as;
} vectors;

/* The sums of a tile for S streams, each in K chains, which are added up at the end. */
typedef vf sums[4][GROUP][MAX_SUMS];

/* Where in a tile the next product's weights lie, and, for int8, what belongs to them. */
typedef struct {
    const char *weights;
    const vf *scales;
    const vu *weight_sums;
} place;

/* sums + for each lane the product of 4 weights with 4 values of v. w: 4 int8 for each lane; x: 4
 * int8. With EL_UNSIGNED the values are taken as 128 more than they are. */
#if defined(__AVX512VNNI__) && EL_LANES == 16
#define EL_UNSIGNED 1
INLINE vu dot4(vu sums, const int8_t *w, int32_t x) {
    return (vu)_mm512_dpbusd_epi32((__m512i)sums, _mm512_set1_epi32(x),
                                   _mm512_load_si512((const void *)w));
}
#elif defined(__AVXVNNI__) && EL_LANES == 8
#define EL_UNSIGNED 1
INLINE vu dot4(vu sums, const int8_t *w, int32_t x) {
    return (vu)_mm256_dpbusd_avx_epi32((__m256i)sums, _mm256_set1_epi32(x),
                                       _mm256_load_si256((const __m256i *)(const void *)w));
}
#elif defined(__AVX2__) && EL_LANES == 8
INLINE vu dot4(vu sums, const int8_t *w, int32_t x) {
    /* The instruction multiplies unsigned by signed: |x| by w with x's sign. Pairs fit int16, as
     * 2 * 127 * 127 does. */
    const __m256i xs = _mm256_set1_epi32(x), ws = _mm256_load_si256((const __m256i *)w);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(xs), _mm256_sign_epi8(ws, xs));
    return (vu)_mm256_add_epi32((__m256i)sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#elif defined(__SSE2__) && EL_LANES == 4
INLINE vu dot4(vu sums, const int8_t *w, int32_t x) {
    /* Each in the upper half of 16 bits, and shifted down with its sign. */
    const __m128i ws = _mm_load_si128((const __m128i *)w), xs = _mm_set1_epi32(x);
    const __m128i v = _mm_srai_epi16(_mm_unpacklo_epi8(xs, xs), 8);
    const __m128 low = _mm_castsi128_ps(
        _mm_madd_epi16(_mm_srai_epi16(_mm_unpacklo_epi8(ws, ws), 8), v));
    const __m128 high = _mm_castsi128_ps(
        _mm_madd_epi16(_mm_srai_epi16(_mm_unpackhi_epi8(ws, ws), 8), v));
    const __m128i even = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));
    const __m128i odd = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
    return sums + (vu)_mm_add_epi32(even, odd);
}
#elif defined(__ARM_FEATURE_DOTPROD) && EL_LANES == 4
INLINE vu dot4(vu sums, const int8_t *w, int32_t x) {
    return (vu)vdotq_s32((int32x4_t)sums, vld1q_s8(w), vreinterpretq_s8_s32(vdupq_n_s32(x)));
}
#elif defined(__ARM_NEON) && EL_LANES == 4
INLINE vu dot4(vu sums, const int8_t *w, int32_t x) {
    const int8x8_t xs = vreinterpret_s8_s32(vdup_n_s32(x));
    const int8x16_t ws = vld1q_s8(w);
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(ws), xs));
    const int32x4_t high = vpaddlq_s16(vmull_s8(vget_high_s8(ws), xs));
    const int32x2_t low2 = vpadd_s32(vget_low_s32(low), vget_high_s32(low));
    return sums + (vu)vcombine_s32(low2, vpadd_s32(vget_low_s32(high), vget_high_s32(high)));
}
#else
#define SCALAR_DOT4 1 /* there is no latency to hide */
INLINE vu dot4(vu sums, const int8_t *w, int32_t x) {
    int8_t xs[4];
    memcpy(xs, &x, 4);
    for (unsigned k = 0; k < EL_LANES; k++, w += 4)
        sums[k] += (uint32_t)(w[0] * xs[0] + w[1] * xs[1] + w[2] * xs[2] + w[3] * xs[3]);
    return sums;
}
#endif

#ifndef SCALAR_DOT4
#define SCALAR_DOT4 0
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

/* Begin the sums of the tile at `at` with their biases. */
INLINE place begin(const unsigned S, const unsigned K, const int is_int8, const stage *of,
                   const char *at, sums a) {
    const unsigned G = of->sums;
    const vf *const bias = (const vf *)(const void *)at, *const rest = bias + G;
    CHAIN_LOOP STREAM_LOOP SUM_LOOP a[k][s][g] = k ? (vf){0} : bias[g];
    const uint32_t all = is_int8 ? columns(of) : 0;
    return (place){(const char *)(rest + 2 * all), rest, (const vu *)(rest + all)};
}

INLINE void multiply_float(const unsigned S, const unsigned K, const product of, const vectors *m,
                           unsigned p, uint32_t stream, place *at, sums a) {
    const unsigned F = of.first, G = of.count;
    const vf *w = (const vf *)(const void *)at->weights;
    const float *v[GROUP];
    STREAM_LOOP v[s] = m->v[p] + (size_t)(stream + s) * m->row[p];
    for (uint32_t j = 0; j < m->n[p]; j += K, w += K * G)
        CHAIN_LOOP STREAM_LOOP SUM_LOOP a[k][s][F + g] += w[k * G + g] * v[s][j + k];
    at->weights = (const char *)w;
}

INLINE void multiply_int8(const unsigned S, const unsigned chains, const product of,
                          const vectors *m, unsigned p, uint32_t stream, place *at, sums a) {
    const unsigned K = SCALAR_DOT4 ? 1 : chains, F = of.first, G = of.count;
    const unsigned bytes = 4 * EL_LANES; /* of 4 rows of one sum */
    const int8_t *w = (const int8_t *)at->weights;
    const int8_t *q[GROUP];
    vu d[4][GROUP][MAX_SUMS];
    STREAM_LOOP q[s] = m->state->q[p] + (size_t)(stream + s) * m->row[p];
#ifdef EL_UNSIGNED
    CHAIN_LOOP STREAM_LOOP SUM_LOOP d[k][s][g] = k ? (vu){0} : -at->weight_sums[g];
#else
    CHAIN_LOOP STREAM_LOOP SUM_LOOP d[k][s][g] = (vu){0};
#endif
    uint32_t j = 0;
    if (K > 1)
        for (; j + 4 * (K - 1) < m->n[p]; j += 4 * K, w += bytes * G * K)
            CHAIN_LOOP STREAM_LOOP {
                int32_t x;
                memcpy(&x, q[s] + j + 4 * k, 4);
                SUM_LOOP d[k][s][g] = dot4(d[k][s][g], w + bytes * (k * G + g), x);
            }
    for (; j < m->n[p]; j += 4, w += bytes * G)
        STREAM_LOOP {
            int32_t x;
            memcpy(&x, q[s] + j, 4);
            SUM_LOOP d[0][s][g] = dot4(d[0][s][g], w + bytes * g, x);
        }
    UNROLLED for (unsigned k = 1; k < K; k++) STREAM_LOOP SUM_LOOP d[0][s][g] += d[k][s][g];
    STREAM_LOOP {
        const float scale = m->state->scales[p * m->streams + stream + s];
        SUM_LOOP a[0][s][F + g] += to_float((vi)d[0][s][g]) * (at->scales[g] * scale);
    }
    *at = (place){(const char *)w, at->scales + G, at->weight_sums + G};
}

/* Add the products with the vectors from `from` to `to`, which have the same sums. */
INLINE void multiply(const unsigned S, const unsigned K, const int is_int8, const stage *of,
                     const vectors *m, const unsigned from, const unsigned to, uint32_t stream,
                     place *at, sums a) {
    for (unsigned p = from; p <= to && of->product[from].count; p++) {
        if (is_int8) multiply_int8(S, K, of->product[from], m, p, stream, at, a);
        else multiply_float(S, K, of->product[from], m, p, stream, at, a);
    }
}

/* Add up the chains. */
INLINE void end(const unsigned S, const unsigned K, const stage *of, sums a) {
    const unsigned G = of->sums;
    if (K == 2) STREAM_LOOP SUM_LOOP a[0][s][g] += a[1][s][g];
    if (K == 4)
        STREAM_LOOP SUM_LOOP a[0][s][g] = a[0][s][g] + a[1][s][g] + (a[2][s][g] + a[3][s][g]);
}

INLINE void sum_as(const unsigned S, const unsigned K, const int is_int8, const stage *of,
                   const vectors *m, const char *tile, uint32_t stream, sums a) {
    const product *const x = &of->product[INPUT], *const h = &of->product[BEFORE];
    const int together = x->first == h->first && x->count == h->count;
    place at = begin(S, is_int8 ? 1 : K, is_int8, of, tile, a);
    multiply(S, K, is_int8, of, m, INPUT, together ? BEFORE : INPUT, stream, &at, a);
    if (!together) multiply(S, K, is_int8, of, m, BEFORE, BEFORE, stream, &at, a);
    multiply(S, K, is_int8, of, m, MADE, MADE, stream, &at, a);
    if (!is_int8) end(S, K, of, a);
}

/* ---- Weights in float16 ---------------------------------------------------------------------- */

/* The sign, the exponent and the mantissa of a half at their places in a float. The exponent's bias
 * is 112 less than it should be, so the value is 2^-112 of the half's, and a complete sum is
 * multiplied by HALF_UNIT. No sum is too small for that, because the largest weight is stored as
 * 2^14 or more. It takes two instructions. A CPU's own conversion takes one and has the right bias,
 * but that of 16 lanes takes longer than the two. */
#define HALF_BITS 0x8fffe000u
#if defined(__aarch64__) || (defined(__F16C__) && EL_LANES == 8)
#define HALF_UNIT 1.0f
#else
#define HALF_UNIT 5192296858534827628530496329220096.0f /* 2^112 */
#endif

typedef uint32_t u4 __attribute__((vector_size(16), may_alias));

/* The weights of two values. */
typedef struct {
    vf first, second;
} pair;

INLINE v4 narrow_half(const uint16_t *w) {
#if defined(__aarch64__)
    return (v4)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(w)));
#elif defined(__ARM_NEON)
    return (v4)(vshll_n_s16(vld1_s16((const int16_t *)w), 13) & vdupq_n_s32((int32_t)HALF_BITS));
#elif defined(__F16C__) && EL_LANES == 8
    return (v4)_mm_cvtph_ps(_mm_loadl_epi64((const void *)w));
#elif defined(__SSE2__)
    const __m128i h = _mm_loadl_epi64((const void *)w);
    const __m128i up = _mm_unpacklo_epi16(_mm_setzero_si128(), h);
    return (v4)_mm_and_si128(_mm_srai_epi32(up, 3), _mm_set1_epi32((int32_t)HALF_BITS));
#else
    u4 bits;
    for (unsigned k = 0; k < 4; k++) bits[k] = (uint32_t)(int16_t)w[k] << 13 & HALF_BITS;
    return (v4)bits;
#endif
}

#if EL_LANES == 16
/* A word of each lane has the first value's half below, and the second one's above. */
INLINE vf upper_half(vi words) { return (vf)((words >> 3) & (vi)((vu){0} + HALF_BITS)); }
INLINE vf lower_half(vi words) {
#ifdef __AVX512BW__
    /* times 2^13, which other ports do than the shift */
    words = (vi)_mm512_madd_epi16((__m512i)words, _mm512_set1_epi32(1 << 13));
    return (vf)(words & (vi)((vu){0} + HALF_BITS));
#else
    return upper_half((vi)((vu)words << 16));
#endif
}
INLINE pair two_rows(const uint16_t *w) {
    const vi words = *(const vi *)(const void *)w;
    return (pair){lower_half(words), upper_half(words)};
}
INLINE vf wide_row(const uint16_t *w, uint32_t row) {
    const vi words = *(const vi *)(const void *)(w + row / 2 * (2 * EL_LANES));
    return row % 2 ? upper_half(words) : lower_half(words);
}
#else
INLINE vf wide_row(const uint16_t *w, uint32_t row) {
    w += (size_t)EL_LANES * row;
#if EL_LANES == 4
    return (vf)narrow_half(w);
#elif defined(__F16C__) && EL_LANES == 8
    return (vf)_mm256_cvtph_ps(_mm_load_si128((const void *)w));
#else
    vu bits;
    for (unsigned k = 0; k < EL_LANES; k++) bits[k] = (uint32_t)(int16_t)w[k] << 13 & HALF_BITS;
    return (vf)bits;
#endif
}
INLINE pair two_rows(const uint16_t *w) { return (pair){wide_row(w, 0), wide_row(w, 1)}; }
#endif
INLINE v4 narrow_row(const uint16_t *w, uint32_t row) { return narrow_half(w + 4 * row); }

/* Add the products with the vectors from `from` to `to`, which have the same sums. A weight is
 * converted once for all streams. */
INLINE void multiply_half(const unsigned S, const unsigned K, const stage *of, const vectors *m,
                          const unsigned from, const unsigned to, uint32_t stream,
                          const uint16_t **at, sums a) {
    const unsigned F = of->product[from].first, G = of->product[from].count, ROWS = K > 2 ? K : 2;
    const uint16_t *w = *at;
    for (unsigned p = from; G && p <= to; p++) {
        const float *v[GROUP];
        STREAM_LOOP v[s] = m->v[p] + (size_t)(stream + s) * m->row[p];
        for (uint32_t j = 0; j < m->n[p]; j += ROWS, w += ROWS * G * EL_LANES)
            UNROLLED for (unsigned k = 0; k < ROWS; k += 2) SUM_LOOP {
                const pair weights = two_rows(w + (k * G + 2 * g) * EL_LANES);
                STREAM_LOOP a[k % K][s][F + g] += weights.first * v[s][j + k];
                STREAM_LOOP a[(k + 1) % K][s][F + g] += weights.second * v[s][j + k + 1];
            }
    }
    *at = w;
}

INLINE void sum_half(const unsigned S, const unsigned K, const stage *of, const vectors *m,
                     const char *tile, uint32_t stream, sums a) {
    const unsigned G = of->sums;
    const vf *const bias = (const vf *)(const void *)tile, *const scale = bias + G;
    const uint16_t *w = (const uint16_t *)(const void *)(scale + G);
    CHAIN_LOOP STREAM_LOOP SUM_LOOP a[k][s][g] = (vf){0};
    const product *const x = &of->product[INPUT], *const h = &of->product[BEFORE];
    const int together = x->first == h->first && x->count == h->count;
    multiply_half(S, K, of, m, INPUT, together ? BEFORE : INPUT, stream, &w, a);
    if (!together) multiply_half(S, K, of, m, BEFORE, BEFORE, stream, &w, a);
    multiply_half(S, K, of, m, MADE, MADE, stream, &w, a);
    end(S, K, of, a);
    STREAM_LOOP SUM_LOOP a[0][s][g] = a[0][s][g] * HALF_UNIT * scale[g] + bias[g];
}

/* All sums of the tile at `tile` for S streams from `stream` on, in K chains -> a[0]. */
INLINE void sum(const unsigned S, const unsigned K, const stage *of, const vectors *m,
                const char *tile, uint32_t stream, sums a) {
    if (m->as.is_half) sum_half(S, K, of, m, tile, stream, a);
    else if (m->as.is_int8) sum_as(S, K, 1, of, m, tile, stream, a);
    else sum_as(S, K, 0, of, m, tile, stream, a);
}

/* What a layer does with a tile for S streams from `stream` on; `unit` is the tile's first. */
typedef void tile(const unsigned S, const vectors *m, const char *at, uint32_t stream,
                  uint32_t unit);

/* All tiles of a stage. -> where the next stage's begin. Every other step goes through them
 * backwards: what the step before used last is then what the nearest cache still holds. */
INLINE const char *each_tile(tile *make, const stage *of, const vectors *m, const char *weights,
                             const uint32_t lanes) {
    const size_t bytes = tile_bytes(of, m->as, m->n, lanes);
    for (uint32_t t = 0; t < m->tiles; t++) {
        const uint32_t i = m->state->phase ? m->tiles - 1 - t : t;
        const char *const at = weights + i * bytes;
        uint32_t s = 0;
        for (; GROUP > 1 && s + GROUP <= m->streams; s += GROUP) make(GROUP, m, at, s, i * lanes);
        for (; s < m->streams; s++) make(1, m, at, s, i * lanes);
    }
    return weights + bytes * m->tiles;
}

/* The larger of each lane; b if a is NaN. */
INLINE v4 larger_of(v4 a, v4 b) {
#ifdef __SSE2__
    return (v4)_mm_max_ps((__m128)a, (__m128)b);
#else
    const i4 larger = a > b;
    return (v4)((larger & (i4)a) | (~larger & (i4)b));
#endif
}

enum { AT_ONCE = 16, PARTS = AT_ONCE / EL_LANES }; /* values that are quantized together */

/* The lowest bytes of 16 whole numbers -> q. */
INLINE void store_bytes(int8_t *q, const vi part[PARTS]) {
#if defined(__AVX512F__) && EL_LANES == 16
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8((__m512i)part[0]));
#elif defined(__SSE2__) && (EL_LANES == 4 || EL_LANES == 8)
    __m128i b[4];
    const __m128i low = _mm_set1_epi32(0xff);
    UNROLLED for (unsigned k = 0; k < 4; k++) b[k] = _mm_and_si128(((const __m128i *)part)[k], low);
    _mm_storeu_si128((__m128i *)(void *)q, _mm_packus_epi16(_mm_packs_epi32(b[0], b[1]),
                                                            _mm_packs_epi32(b[2], b[3])));
#elif defined(__ARM_NEON) && EL_LANES == 4
    UNROLLED for (unsigned k = 0; k < 4; k += 2)
        vst1_s8(q + 4 * k, vmovn_s16(vcombine_s16(vmovn_s32((int32x4_t)part[k]),
                                                  vmovn_s32((int32x4_t)part[k + 1]))));
#else
    for (unsigned k = 0; k < AT_ONCE; k++) q[k] = (int8_t)part[k / EL_LANES][k % EL_LANES];
#endif
}

/* n values, zeros behind them to the tile's end -> int8 with the scale that is returned: 127 for the
 * largest. Both rows go on to a multiple of 16; what lies there counts for nothing. */
#if defined(__SSE2__) || defined(__ARM_NEON)
INLINE
#else /* a microcontroller has little memory for code */
__attribute__((unused, noinline)) static
#endif
float quantize(const float *restrict v, uint32_t n, int8_t *restrict q) {
    enum { QUARTERS = EL_LANES / 4 };
    v4 most[QUARTERS];
    UNROLLED for (unsigned k = 0; k < QUARTERS; k++) most[k] = (v4){0};
    for (uint32_t j = 0; j < n; j += EL_LANES) {
        const i4 *const part = (const i4 *)(const void *)(v + j);
        UNROLLED for (unsigned k = 0; k < QUARTERS; k++)
            most[k] = larger_of((v4)(part[k] & 0x7fffffff), most[k]);
    }
    UNROLLED for (unsigned half = QUARTERS / 2; half; half /= 2)
        UNROLLED for (unsigned k = 0; k < half; k++)
            most[k] = larger_of(most[k + half], most[k]);
    const float first = most[0][0] > most[0][1] ? most[0][0] : most[0][1],
                second = most[0][2] > most[0][3] ? most[0][2] : most[0][3],
                largest = first > second ? first : second;
    /* Below this its inverse is infinite. Such inputs are nothing beside a bias. */
    const float inverse = largest > 1e-30f ? 127.0f / largest : 0.0f;
    /* Adding it rounds, to even; the whole number then stands in the lowest bits. */
#ifdef EL_UNSIGNED
    const float middle = 12582912.0f + 128.0f;
#else
    const float middle = 12582912.0f;
#endif
    for (uint32_t j = 0; j < n; j += AT_ONCE) {
        const vf *const part = (const vf *)(const void *)(v + j);
        vi whole[PARTS];
        UNROLLED for (unsigned k = 0; k < PARTS; k++)
            whole[k] = (vi)(part[k] * inverse + middle);
        store_bytes(q + j, whole);
    }
    return largest * (1.0f / 127.0f);
}

INLINE void quantize_rows(const vectors *m, unsigned p) {
    for (uint32_t s = 0; s < m->streams; s++) {
        const size_t row = (size_t)s * m->row[p];
        m->state->scales[p * m->streams + s] =
            quantize(m->v[p] + row, m->n[p], m->state->q[p] + row);
    }
}

/* The vectors of a layer with so many states and lanes, quantized if it is int8. */
INLINE vectors begin_layer(const el_state *state, const work *w, const uint32_t states,
                           const uint32_t lanes) {
    const size_t now = state->phase ? w->flip : 0, next = state->phase ? 0 : w->flip;
    const uint32_t n = filled(states, w->units);
    const vectors m = {
        .state = state,
        .v = {state->phase ? w->x : w->x + w->x_flip, w->h + now, state->made},
        .n = {filled(states, w->inputs), n, n},
        .row = {w->x_row, w->row, w->row},
        .h = w->h + next,
        .further = w->h + 2 * w->flip,
        .streams = state->streams,
        .tiles = (w->units + lanes - 1) / lanes,
        .as = {(uint8_t)(states && w->as.is_int8), w->as.is_half},
    };
    if (m.as.is_int8) quantize_rows(&m, INPUT), quantize_rows(&m, BEFORE);
    return m;
}

/* Zeros behind the output of a plain layer whose vectors leave others there. */
INLINE void zero_rest(float *y, const work *w) {
    for (uint32_t u = w->units; u < w->row; u++) y[u] = 0.0f;
}

/* The activation of a layer's sums, which lie where its output does. */
INLINE void activate(const el_state *state, const work *w, const uint32_t option) {
    if (option == EL_NONE) return;
    for (uint32_t s = 0; s < state->streams; s++) {
        float *const y = w->h + (state->phase ? 0 : w->flip) + (size_t)s * w->row;
        for (uint32_t u = 0; u < w->units; u += EL_LANES)
            *(vf *)(y + u) = activation(option, *(vf *)(y + u));
        zero_rest(y, w); /* sigmoid(0) is not 0 */
    }
}

/* ---- Plain layers ---------------------------------------------------------------------------- */

/* A form of one product with the input, and an activation of its sums. */
#define PLAIN_FORM(option)                                                                         \
    {                                                                                              \
        .columns = {1, 0}, .biases = 1, .stages = 1,                                               \
        .stage = {{.sums = 1,                                                                      \
                   .bias = {1},                                                                    \
                   .product = {[INPUT] = {0, 1, {0}}},                                             \
                   .factor = {ACTIVATION_FACTOR(option)}}},                                        \
    }

/* The product of a plain layer, b + v W. Tiles of either width, in four chains. Values behind the
 * last four are for the first chain. */
#define PLAIN_TILE(name, vector)                                                                   \
    INLINE void name(const unsigned S, const vectors *m, const char *at, uint32_t stream,          \
                     uint32_t unit) {                                                              \
        const unsigned K = 4;                                                                      \
        const uint32_t n = m->n[INPUT];                                                            \
        const vector *w = (const vector *)(const void *)at;                                        \
        const float *v[GROUP];                                                                     \
        vector a[4][GROUP];                                                                        \
        STREAM_LOOP v[s] = m->v[INPUT] + (size_t)(stream + s) * m->row[INPUT];                     \
        CHAIN_LOOP STREAM_LOOP a[k][s] = k ? (vector){0} : *w;                                     \
        uint32_t j = 0;                                                                            \
        for (w++; j + K <= n; j += K, w += K)                                                      \
            CHAIN_LOOP STREAM_LOOP a[k][s] += w[k] * v[s][j + k];                                  \
        for (; j < n; j++, w++) STREAM_LOOP a[0][s] += *w * v[s][j];                               \
        STREAM_LOOP *(vector *)(m->h + (size_t)(stream + s) * m->row[BEFORE] + unit) =             \
            (a[0][s] + a[1][s]) + (a[2][s] + a[3][s]);                                             \
    }
PLAIN_TILE(plain_wide_float, vf)
PLAIN_TILE(plain_narrow_float, v4)

/* As PLAIN_TILE. The second of the last two values may be none. */
#define HALF_TILE(name, vector, row_of)                                                            \
    INLINE void name(const unsigned S, const vectors *m, const char *at, uint32_t stream,          \
                     uint32_t unit) {                                                              \
        const unsigned K = 4;                                                                      \
        const uint32_t n = m->n[INPUT];                                                            \
        const vector *const bias = (const vector *)(const void *)at, *const scale = bias + 1;      \
        const uint16_t *const w = (const uint16_t *)(const void *)(scale + 1);                     \
        const float *v[GROUP];                                                                     \
        vector a[4][GROUP];                                                                        \
        STREAM_LOOP v[s] = m->v[INPUT] + (size_t)(stream + s) * m->row[INPUT];                     \
        CHAIN_LOOP STREAM_LOOP a[k][s] = (vector){0};                                              \
        uint32_t j = 0;                                                                            \
        for (; j + K <= n; j += K)                                                                 \
            CHAIN_LOOP {                                                                           \
                const vector weights = row_of(w, j + k);                                           \
                STREAM_LOOP a[k][s] += weights * v[s][j + k];                                      \
            }                                                                                      \
        for (; j < n; j++) STREAM_LOOP a[0][s] += row_of(w, j) * v[s][j];                          \
        STREAM_LOOP *(vector *)(m->h + (size_t)(stream + s) * m->row[BEFORE] + unit) =             \
            ((a[0][s] + a[1][s]) + (a[2][s] + a[3][s])) * HALF_UNIT * *scale + *bias;              \
    }
HALF_TILE(plain_wide_half, vf, wide_row)
HALF_TILE(plain_narrow_half, v4, narrow_row)

INLINE void plain_wide(const unsigned S, const vectors *m, const char *at, uint32_t stream,
                       uint32_t unit) {
    if (m->as.is_half) plain_wide_half(S, m, at, stream, unit);
    else plain_wide_float(S, m, at, stream, unit);
}

INLINE void plain_narrow(const unsigned S, const vectors *m, const char *at, uint32_t stream,
                         uint32_t unit) {
    if (m->as.is_half) plain_narrow_half(S, m, at, stream, unit);
    else plain_narrow_float(S, m, at, stream, unit);
}

INLINE vectors begin_plain(const el_state *state, const work *w) {
    return tile_lanes(0, w->units, EL_LANES) == 4 ? begin_layer(state, w, 0, 4)
                                                  : begin_layer(state, w, 0, EL_LANES);
}

/* All tiles of a plain layer, in their width. */
INLINE void each_plain_tile(tile *wide, tile *narrow, const stage *of, const vectors *m,
                            const char *weights, uint32_t units) {
    if (tile_lanes(0, units, EL_LANES) == 4) each_tile(narrow, of, m, weights, 4);
    else each_tile(wide, of, m, weights, EL_LANES);
}

#endif
