/* The audio front end: 16-bit PCM in, a frame of log mel energies or cepstral coefficients out, as
 * edge_lstm_runtime/inputs/front_end.py makes them.
 *
 * It allocates nothing: tables are constants, which the C export writes, and the stream's memory is
 * the caller's. All is float32 but for the frame that comes out, which is what el_answer takes.
 * Beside edge_lstm.h's functions it needs logf.
 *
 * A band 70 dB and more below the frame's loudest is rounded by the FFT in float32: with a low
 * `floor` log-mel may be off by more than 1e-4.
 */
#ifndef EDGE_LSTM_FRONT_END_H
#define EDGE_LSTM_FRONT_END_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t frame_length, hop_length; /* samples; 1 <= hop_length <= frame_length <= n_fft */
    uint32_t n_fft;                    /* a power of two, at least 4 */
    uint32_t n_mels, n_mfcc;           /* a frame is n_mfcc coefficients; if 0, n_mels log-mel */
    float floor;                       /* power below which the logarithm sees this one */
    const float *window;               /* (frame_length) */
    const float *waves;                /* (n_fft / 2, 2): cos and sin of 2 pi k / n_fft */
    const uint16_t *bands;             /* (n_mels, 2): the first bin of each band, and how many */
    const float *weights;              /* those of each band's bins, band after band */
    const float *dct;                  /* (n_mfcc, n_mels); NULL for log-mel */
} el_front_end;

/* One stream. samples: (frame_length), work: (n_fft + n_mels); filled: 0 at the start of a stream,
 * and to begin a new one. */
typedef struct {
    int16_t *samples;
    float *work;
    uint32_t filled;
} el_sound;

/* Take samples until a frame is complete or all are taken; returns how many were. *complete: 1
 * where `frame` was written, else 0. */
uint32_t el_listen(const el_front_end *front_end, el_sound *sound, const int16_t *pcm,
                   uint32_t count, double *frame, int *complete);

#ifdef __cplusplus
}
#endif
#endif
