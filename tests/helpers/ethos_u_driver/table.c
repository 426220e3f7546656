/* Of a test: the steps from a table. Scratch memory that is not in it, at the inputs' places, is an error. */
#include <ethosu_driver.h>
#include <string.h>

#include "table.h"

int stand_in_step(uint8_t *scratch, size_t bytes);

int stand_in_step(uint8_t *scratch, size_t bytes) {
    if (bytes < SCRATCH) return -21;
    for (int t = 0; t < STEPS; t++) {
        int same = 1;
        for (size_t k = 0; k < SCRATCH; k++) same = same && (!inputs[k] || scratch[k] == before[t][k]);
        if (!same) continue;
        memcpy(scratch, after[t], SCRATCH);
        return 0;
    }
    return -22;
}
