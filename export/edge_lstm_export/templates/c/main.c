/* The self-test: real test data through the model, its answers beside those of the float64 reference. Exit code 0: PASS, 1: FAIL. */
#include <float.h>
#include <math.h>
#include <stdio.h>

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
    const int right = (GOLDEN_LIMITS_NRMSE ? first.nrmse : first.largest) <= GOLDEN_LIMIT;
    const int scored = first.scores == 0 && again.scores == 0;
    const int repeated = first.largest == again.largest && first.nrmse == again.nrmse;
    printf("%s, %s: %d steps of real test data against the float64 reference\n", MODEL_NAME, MODEL_SCHEME, GOLDEN_STEPS);
    printf("largest error %.3g at step %d, %s; NRMSE %.3g; limit of the %s %.3g\n", first.largest, first.step,
           model_output_names[first.output], first.nrmse, GOLDEN_LIMITS_NRMSE ? "NRMSE" : "largest error", GOLDEN_LIMIT);
    if (!repeated) printf("after model_reset the answers are not the same\n");
    if (!scored) printf("scores of anomalies are wrong, at %d steps\n", first.scores + again.scores);
    printf("%s\n", right && repeated && scored ? "PASS" : "FAIL");
    return right && repeated && scored ? 0 : 1;
}
