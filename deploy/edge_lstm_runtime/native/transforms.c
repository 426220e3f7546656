/* See transforms.h. */
#include "transforms.h"

#include <math.h>
#include <string.h>

#define DAY 86400.0
#define LATEST 2e11 /* seconds of a time from its mean; milliseconds are beyond */
static const double TURN = 6.283185307179586476925286766559;

static float feature(double value, double mean, double std) {
    const double scaled = (value - mean) / std;
    if (scaled > EL_MAX_DEVIATION) return (float)EL_MAX_DEVIATION;
    return scaled < -EL_MAX_DEVIATION ? (float)-EL_MAX_DEVIATION : (float)scaled;
}

/* ---- The calendar, in whole numbers after Hinnant, as calendar.py has it --------------------- */

static int32_t modulo(int32_t a, int32_t b) { return a % b < 0 ? a % b + b : a % b; }

static double offset_at(const el_calendar *c, double moment) {
    uint32_t first = 0, end = c->changes; /* of the changes after the moment */
    while (first < end) {
        const uint32_t middle = first + (end - first) / 2;
        if (c->change[middle] <= moment) first = middle + 1;
        else end = middle;
    }
    return c->changes ? (double)c->offset[first ? first - 1 : 0] : 0.0;
}

static int is_holiday(const el_calendar *c, int32_t day) {
    uint32_t first = 0, end = c->holidays;
    while (first < end) {
        const uint32_t middle = first + (end - first) / 2;
        if (c->holiday[middle] < day) first = middle + 1;
        else end = middle;
    }
    return first < c->holidays && c->holiday[first] == day;
}

/* The day of its year from 0, and the days of that year. Eras of 400 years begin in March. */
static int32_t day_of_year(int32_t day, int32_t *length) {
    const int32_t of_era = modulo(day + 719468, 146097);
    const int32_t year_of_era =
        (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int32_t since_march =
        of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int late = since_march >= 306; /* January and February, of the next year */
    const int32_t year = year_of_era + late;
    const int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    *length = 365 + leap;
    return late ? since_march - 306 : since_march + 59 + leap;
}

static float *calendar(const el_calendar *c, double time, float *x) {
    for (uint32_t m = 0; m < c->moments; m++) {
        const double moment = time + c->ahead[m], local = moment + offset_at(c, moment);
        const double midnight = floor(local / DAY), share = (local - DAY * midnight) / DAY;
        const int32_t day = (int32_t)midnight;
        for (uint32_t p = 0; p < c->parts; p++) {
            double turn = share;
            if (c->part[p] == EL_HOLIDAY) {
                *x++ = is_holiday(c, day) ? 1.0f : 0.0f;
                continue;
            }
            if (c->part[p] == EL_WEEKDAY) turn = (modulo(day + 3, 7) + share) / 7.0;
            if (c->part[p] == EL_YEARDAY) {
                int32_t length;
                const int32_t number = day_of_year(day, &length);
                turn = (number + share) / length;
            }
            *x++ = (float)sin(TURN * turn);
            *x++ = (float)cos(TURN * turn);
        }
    }
    return x;
}

/* ---- Looking back ---------------------------------------------------------------------------- */

/* past: a ring of (steps, channels), whose row at seen % steps is the oldest. */
static void difference(const el_transform *t, const double *value, double *past, uint32_t seen,
                       float *x) {
    double *const row = past + (size_t)(seen % t->steps) * t->channels;
    for (uint32_t k = 0; k < t->channels; k++) {
        const double now = value[t->channel[k]];
        x[k] = feature(seen < t->steps ? 0.0 : now - row[k], t->mean[k], t->std[k]);
        row[k] = now;
    }
}

/* The same ring, then the sums of its columns. They are of deviations from the channel's mean, so
 * that they stay small, and so does their rounding. */
static void distance(const el_transform *t, const double *mean, const double *value, double *past,
                     uint32_t seen, float *x) {
    double *const row = past + (size_t)(seen % t->steps) * t->channels;
    double *const sum = past + (size_t)t->steps * t->channels;
    const uint32_t count = seen < t->steps ? seen + 1 : t->steps;
    for (uint32_t k = 0; k < t->channels; k++) {
        const double now = value[t->channel[k]] - mean[t->channel[k]];
        sum[k] = (seen ? sum[k] : 0.0) + (now - (seen < t->steps ? 0.0 : row[k]));
        x[k] = feature(now - sum[k] / count, t->mean[k], t->std[k]);
        row[k] = now;
    }
}

/* past: the means, then the time of the sample before. */
static void running(const el_transform *t, const double *unit, const double *value, double time,
                    double *past, uint32_t seen, float *x) {
    double *const before = past + t->channels;
    double elapsed = seen ? time - *before : 0.0;
    if (unit && unit[t->clock] > 0.0) elapsed = unit[t->clock] * expm1(time);
    const double weight = elapsed > 0.0 ? -expm1(-elapsed / t->seconds) : 0.0;
    for (uint32_t k = 0; k < t->channels; k++) {
        const double now = value[t->channel[k]];
        past[k] = seen ? past[k] + weight * (now - past[k]) : now;
        x[k] = feature(now - past[k], t->mean[k], t->std[k]);
    }
    *before = time;
}

/* ---- The interface --------------------------------------------------------------------------- */

void el_forget(const el_inputs *inputs, const el_stream *stream) {
    memcpy(stream->last, inputs->mean, inputs->channels * sizeof *inputs->mean);
    for (uint32_t t = 0; t < inputs->transforms; t++) stream->seen[t] = 0;
}

/* value: (channels) on their scales, gaps filled. */
static el_status fill(const el_inputs *in, const double *last, const double *sample,
                      double *value) {
    for (uint32_t k = 0; k < in->channels; k++) {
        double now = sample[k];
        if (now != now) {
            if (in->missing == EL_REFUSE || k == in->clock) return EL_NOT_FINITE;
            value[k] = in->missing == EL_FORWARD_FILL ? last[k] : in->mean[k];
            continue;
        }
        if (in->unit && in->unit[k] > 0.0) {
            if (now < 0.0) return EL_NOT_FINITE;
            now = log1p(now / in->unit[k]);
        }
        const double largest = k == in->clock ? LATEST : EL_MAX_DEVIATION * in->std[k];
        if (!(fabs(now - in->mean[k]) <= largest)) return EL_NOT_FINITE;
        value[k] = now;
    }
    return EL_OK;
}

el_status el_features(const el_inputs *inputs, const el_stream *stream, const double *sample,
                      float *x) {
    const el_inputs *const in = inputs;
    double *const value = stream->value, *past = stream->past;
    const el_status status = fill(in, stream->last, sample, value);
    if (status != EL_OK) return status;
    memcpy(stream->last, value, in->channels * sizeof *value);
    for (uint32_t k = 0; in->low && k < in->channels; k++) {
        if (value[k] < in->low[k]) value[k] = in->low[k];
        if (value[k] > in->high[k]) value[k] = in->high[k];
    }
    for (uint32_t k = 0; k < in->levels; k++) {
        const uint32_t c = in->level[k];
        *x++ = feature(value[c], in->mean[c], in->std[c]);
    }
    for (uint32_t k = 0; k < in->transforms; k++) {
        const el_transform *const t = in->transform + k;
        uint32_t *const seen = stream->seen + k;
        if (t->type == EL_CALENDAR) {
            x = calendar(t->calendar, stream->last[t->clock], x);
            continue;
        }
        if (t->type == EL_DIFFERENCE) {
            difference(t, value, past, *seen, x);
            past += (size_t)t->steps * t->channels;
        } else if (t->type == EL_DISTANCE) {
            distance(t, in->mean, value, past, *seen, x);
            past += (size_t)(t->steps + 1) * t->channels;
        } else {
            running(t, in->unit, value, stream->last[t->clock], past, *seen, x);
            past += t->channels + 1;
        }
        x += t->channels;
        /* The samples so far, as far as it matters: the place in the ring, and whether it is full. */
        *seen = *seen + 1 < 2 * t->steps ? *seen + 1 : t->steps;
    }
    for (uint32_t k = 0; in->missing == EL_MASK && k < in->channels; k++)
        *x++ = sample[k] != sample[k] ? 1.0f : 0.0f;
    return EL_OK;
}
