/* See front_end.h. */
#include "front_end.h"

#include <math.h>
#include <string.h>

/* z: (n, 2) complex, in place; decimation in time (Cooley and Tukey, 1965). waves: 2 n points. */
static void fft(float *z, uint32_t n, const float *waves) {
    for (uint32_t i = 1, j = 0; i < n; i++) { /* j is i with its bits in reverse */
        uint32_t bit = n >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i < j) {
            const float re = z[2 * i], im = z[2 * i + 1];
            z[2 * i] = z[2 * j], z[2 * i + 1] = z[2 * j + 1];
            z[2 * j] = re, z[2 * j + 1] = im;
        }
    }
    for (uint32_t half = 1; half < n; half *= 2) {
        const uint32_t stride = n / half;
        for (uint32_t k = 0; k < half; k++) {
            const float c = waves[2 * k * stride], s = waves[2 * k * stride + 1];
            for (uint32_t i = k; i < n; i += 2 * half) {
                float *a = z + 2 * i, *b = z + 2 * (i + half);
                const float re = c * b[0] + s * b[1], im = c * b[1] - s * b[0];
                b[0] = a[0] - re, b[1] = a[1] - im;
                a[0] += re, a[1] += im;
            }
        }
    }
}

/* work: n_fft real values -> the power of bin k at work[2 k], for 0 < k < n_fft / 2; of bin 0 at
 * work[0], of the last one at work[1]. The even and the odd values are transformed as one complex
 * sequence Z: X[k] = E[k] + w^k O[k] and X[n - k] = conj(E[k] - w^k O[k]), with
 * E[k] = (Z[k] + conj(Z[n - k])) / 2 and O[k] = (Z[k] - conj(Z[n - k])) / 2i. */
static void power(float *work, uint32_t n_fft, const float *waves) {
    const uint32_t n = n_fft / 2;
    fft(work, n, waves);
    const float first = work[0] + work[1], last = work[0] - work[1];
    work[0] = first * first, work[1] = last * last;
    for (uint32_t k = 1; k <= n / 2; k++) {
        float *a = work + 2 * k, *b = work + 2 * (n - k);
        const float e_re = 0.5f * (a[0] + b[0]), e_im = 0.5f * (a[1] - b[1]);
        const float o_re = 0.5f * (a[1] + b[1]), o_im = 0.5f * (b[0] - a[0]);
        const float c = waves[2 * k], s = waves[2 * k + 1];
        const float re = c * o_re + s * o_im, im = c * o_im - s * o_re;
        const float low = (e_re + re) * (e_re + re) + (e_im + im) * (e_im + im);
        const float high = (e_re - re) * (e_re - re) + (e_im - im) * (e_im - im);
        b[0] = high;
        a[0] = low; /* the same place for k = n / 2, where both are equal */
    }
}

static void analyse(const el_front_end *f, const el_sound *sound, double *frame) {
    float *work = sound->work, *logs = work + f->n_fft;
    for (uint32_t i = 0; i < f->frame_length; i++)
        work[i] = (float)sound->samples[i] * (1.0f / 32768.0f) * f->window[i];
    memset(work + f->frame_length, 0, (f->n_fft - f->frame_length) * sizeof *work);
    power(work, f->n_fft, f->waves);
    const float *weight = f->weights;
    for (uint32_t m = 0; m < f->n_mels; m++) {
        const uint32_t start = f->bands[2 * m], end = start + f->bands[2 * m + 1];
        float sum = 0.0f;
        for (uint32_t k = start; k < end; k++)
            sum += *weight++ * work[k == f->n_fft / 2 ? 1 : 2 * k];
        logs[m] = logf(sum > f->floor ? sum : f->floor);
        if (!f->n_mfcc) frame[m] = (double)logs[m];
    }
    for (uint32_t c = 0; c < f->n_mfcc; c++) {
        const float *row = f->dct + (size_t)c * f->n_mels;
        float sum = 0.0f;
        for (uint32_t m = 0; m < f->n_mels; m++) sum += row[m] * logs[m];
        frame[c] = (double)sum;
    }
}

uint32_t el_listen(const el_front_end *front_end, el_sound *sound, const int16_t *pcm,
                   uint32_t count, double *frame, int *complete) {
    const uint32_t length = front_end->frame_length, hop = front_end->hop_length;
    const uint32_t needed = length - sound->filled, taken = count < needed ? count : needed;
    if (taken) memcpy(sound->samples + sound->filled, pcm, taken * sizeof *pcm);
    sound->filled += taken;
    *complete = sound->filled == length;
    if (*complete) {
        analyse(front_end, sound, frame);
        memmove(sound->samples, sound->samples + hop, (length - hop) * sizeof *pcm);
        sound->filled = length - hop;
    }
    return taken;
}
