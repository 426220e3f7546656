/* From a raw sample to the features of a model with transforms and dropped channels, as
 * edge_lstm_runtime/inputs/transforms.py and calendar.py make them, which have the formulas.
 *
 * It allocates nothing: tables are constants, which the C export writes, and the stream's memory is
 * the caller's. All is computed in double, and a feature is rounded to float at the end. Beside
 * edge_lstm.h's functions it needs log1p, expm1, floor, sin and cos.
 */
#ifndef EDGE_LSTM_TRANSFORMS_H
#define EDGE_LSTM_TRANSFORMS_H

#include "edge_lstm.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { EL_HOUR = 0, EL_WEEKDAY = 1, EL_YEARDAY = 2, EL_HOLIDAY = 3 }; /* parts of a calendar */

/* Its features: for each of `ahead` all parts in order, sine and cosine, of a holiday 0 or 1. */
typedef struct {
    uint32_t parts, moments, changes, holidays;
    const uint8_t *part;
    const double *ahead;    /* (moments) seconds that are added to the time */
    const double *change;   /* (changes) UTC seconds from which on each offset holds, ascending */
    const int32_t *offset;  /* (changes) of local time, in seconds */
    const int32_t *holiday; /* (holidays) days since 1970 in local time, ascending */
} el_calendar;

enum { EL_DIFFERENCE = 0, EL_DISTANCE = 1, EL_RUNNING = 2, EL_CALENDAR = 3 }; /* transforms */

/* One that appends features: a difference from `steps` samples before, a distance from the mean of
 * the last `steps` samples, one from the running mean with the time constant `seconds`, a calendar.
 * The others' features are (value - mean) / std. */
typedef struct {
    uint32_t type;
    uint32_t channels;       /* 0 for a calendar */
    const uint32_t *channel; /* (channels) */
    const double *mean;      /* (channels) */
    const double *std;       /* (channels) above 0 */
    uint32_t steps;
    double seconds;
    uint32_t clock;              /* of EL_RUNNING and EL_CALENDAR: the channel of times, or the one
                                    of elapsed seconds, which is on a logarithmic scale */
    const el_calendar *calendar; /* NULL for the others */
} el_transform;

/* The features: the channels of `level`, normalized, then those of each transform, then, with
 * EL_MASK, for each channel 1 if it is missing, else 0. */
typedef struct {
    uint32_t channels;
    uint32_t missing;      /* as in el_processing */
    const double *mean;    /* (channels) on the channel's scale */
    const double *std;     /* (channels) on the channel's scale, above 0 */
    const double *unit;    /* (channels) the scale is log(1 + x / unit), 0 for raw units; NULL for
                              raw units alone */
    const double *low;     /* (channels) and `high`: limits on the channel's scale, for the features
                              alone, infinite for none; NULL for no limit at all */
    const double *high;
    uint32_t clock;        /* the channel of seconds since 1970 (UTC), `channels` for none */
    uint32_t levels;       /* channels that are features themselves */
    const uint32_t *level; /* (levels) */
    uint32_t transforms;
    const el_transform *transform; /* (transforms) */
} el_inputs;

/* A stream's memory. value: work for one sample. past: for each transform in order (steps,
 * channels) of EL_DIFFERENCE, (steps + 1, channels) of EL_DISTANCE, (channels + 1) of EL_RUNNING. */
typedef struct {
    double *last;   /* (channels) the latest known value on the channel's scale, which a residual
                       answer needs too */
    double *value;  /* (channels) */
    double *past;   /* NULL if no transform has any */
    uint32_t *seen; /* (transforms) */
} el_stream;

/* The start of a stream. */
void el_forget(const el_inputs *inputs, const el_stream *stream);

/* sample: (channels) raw units -> x: the features. EL_NOT_FINITE, with nothing changed, for a
 * sample that is infinite, too far off, or NaN with EL_REFUSE, for a negative value on a
 * logarithmic scale, and for a time that is NaN. */
el_status el_features(const el_inputs *inputs, const el_stream *stream, const double *sample,
                      float *x);

#ifdef __cplusplus
}
#endif
#endif
