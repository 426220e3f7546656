/* The self-test: real test data through the model, its answers beside those of the float64 reference. Exit code 0: PASS, 1: FAIL. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "golden.h"
#include "model.h"

#define ROUNDING 6e-8 /* of an answer, which is a float: not counted as an error */

/* In units of the network's output. */
typedef struct {
    double largest, nrmse;
    int step, output; /* where it is largest */
    int scores;       /* of anomalies that are wrong */
} figures;

/* The detector, on the reference's answers: whether the score and the flag of this step are wrong. */
static int wrong_score(int t) {
#ifdef MODEL_DETECTS
    float answer[MODEL_OUTPUTS];
    double score;
    for (int k = 0; k < MODEL_OUTPUTS; k++) answer[k] = (float)golden_answers[t][k];
    const int flag = model_anomaly(golden_samples[t], answer, &score);
    const double expected = golden_scores[t];
    if (isnan(expected)) return !isnan(score) || flag;
    if (!(fabs(score - expected) <= 1e-9 * (1.0 + expected))) return 1;
    return fabs(expected - golden_threshold) > 1e-9 * (1.0 + expected) && flag != (expected > golden_threshold);
#else
    (void)t;
    return 0;
#endif
}

static el_status replay(figures *found) {
    const figures none = {0.0, 0.0, 0, 0, 0};
    double squares = 0.0;
    *found = none;
    for (int t = 0; t < GOLDEN_STEPS; t++) {
        float answer[MODEL_OUTPUTS];
        const el_status status = model_step(golden_samples[t], answer);
        if (status != EL_OK) return status;
        found->scores += wrong_score(t);
        for (int k = 0; k < MODEL_OUTPUTS; k++) {
            const double expected = golden_answers[t][k];
            double error = (fabs((double)answer[k] - expected) - ROUNDING * fabs(expected)) / golden_unit[k];
            if (error < 0.0) error = 0.0;
            if (!(error <= DBL_MAX)) error = HUGE_VAL; /* NaN */
            squares += error * error;
            if (error > found->largest) found->largest = error, found->step = t, found->output = k;
        }
    }
    found->nrmse = sqrt(squares / ((double)GOLDEN_STEPS * MODEL_OUTPUTS)) / GOLDEN_SPREAD;
    return EL_OK;
}

#ifdef MODEL_SAMPLE_RATE
/* The largest error of the front end's frames; and whether model_listen answers as model_step does to them, in pieces of any length. */
static el_status listen(double *largest, int *same) {
    static int16_t samples[MODEL_FRAME_LENGTH];
    static float work[MODEL_FRONT_END_FLOATS];
    static double frame[MODEL_CHANNELS];
    static float answers[GOLDEN_FRAMES][MODEL_OUTPUTS];
    el_sound sound = {samples, work, 0};
    int frames = 0;
    *largest = 0.0, *same = 1;
    model_reset();
    for (uint32_t at = 0; at < GOLDEN_SAMPLES;) {
        int complete;
        at += el_listen(&model_front_end, &sound, golden_pcm + at, GOLDEN_SAMPLES - at, frame, &complete);
        if (!complete) continue;
        for (int k = 0; k < MODEL_CHANNELS; k++) {
            double error = fabs(frame[k] - golden_frames[frames][k]);
            if (!(error <= DBL_MAX)) error = HUGE_VAL; /* NaN */
            if (error > *largest) *largest = error;
        }
        const el_status status = model_step(frame, answers[frames++]);
        if (status != EL_OK) return status;
    }
    if (frames != GOLDEN_FRAMES) *same = 0;
    model_reset();
    frames = 0;
    for (uint32_t at = 0, piece = 1; at < GOLDEN_SAMPLES; piece = piece % 100 + 7) {
        const uint32_t left = GOLDEN_SAMPLES - at;
        uint32_t taken;
        float answer[MODEL_OUTPUTS];
        int answered;
        const el_status status = model_listen(golden_pcm + at, piece < left ? piece : left, &taken, answer, &answered);
        if (status != EL_OK) return status;
        at += taken;
        if (answered && (frames >= GOLDEN_FRAMES || memcmp(answer, answers[frames++], sizeof answer) != 0)) *same = 0;
    }
    if (frames != GOLDEN_FRAMES) *same = 0;
    return EL_OK;
}
#endif

int main(void) {
    figures first, again;
    el_status status = model_init();
    if (status == EL_OK) status = replay(&first);
    model_reset();
    if (status == EL_OK) status = replay(&again);
    if (status != EL_OK) {
        printf("%s: %s\nFAIL\n", MODEL_NAME, el_status_name(status));
        return 1;
    }
    int heard = 1;
#ifdef MODEL_SAMPLE_RATE
    double largest;
    status = listen(&largest, &heard);
    heard = heard && status == EL_OK && largest <= GOLDEN_FRAMES_LIMIT;
#endif
    const int right = heard && (GOLDEN_LIMITS_NRMSE ? first.nrmse : first.largest) <= GOLDEN_LIMIT;
    const int scored = first.scores == 0 && again.scores == 0;
    const int repeated = first.largest == again.largest && first.nrmse == again.nrmse;
    printf("%s, %s: %d steps of real test data against the float64 reference\n", MODEL_NAME, MODEL_SCHEME, GOLDEN_STEPS);
    printf("largest error %.3g at step %d, %s; NRMSE %.3g; limit of the %s %.3g\n", first.largest, first.step,
           model_output_names[first.output], first.nrmse, GOLDEN_LIMITS_NRMSE ? "NRMSE" : "largest error", GOLDEN_LIMIT);
#ifdef MODEL_SAMPLE_RATE
    printf("sound: %d frames, largest error %.3g, limit %.3g%s\n", GOLDEN_FRAMES, largest, GOLDEN_FRAMES_LIMIT, heard ? "" : "; BAD");
#endif
    if (!repeated) printf("after model_reset the answers are not the same\n");
    if (!scored) printf("scores of anomalies are wrong, at %d steps\n", first.scores + again.scores);
    printf("%s\n", right && repeated && scored ? "PASS" : "FAIL");
    return right && repeated && scored ? 0 : 1;
}
