/* Steps of a C export, marked for board_counts.c.
 *
 * usage: export STEPS */
#define _GNU_SOURCE
#include <stdlib.h>
#include <unistd.h>

#include "model.h"

enum { WARM = 20, MARK = 0x5e1, BEGIN = 2, END = 3 };

int main(int argc, char **argv) {
    double sample[MODEL_CHANNELS] = {0.1, 0.2, -0.3, 1, 2, -1, 0.5, 0.7};
    float answer[MODEL_OUTPUTS];
    if (argc != 2 || model_init()) return 1;
    for (int step = -WARM; step < atoi(argv[1]); step++) {
        if (!step) syscall(MARK, BEGIN);
        if (model_step(sample, answer)) return 2;
    }
    syscall(MARK, END);
    return 0;
}
