/* Of a test: the step by a function in Python. */
#include <ethosu_driver.h>

int stand_in_step(uint8_t *scratch, size_t bytes);

static int (*step_of)(uint8_t *, size_t);
void stand_in_ask(int (*step)(uint8_t *, size_t));
void stand_in_ask(int (*step)(uint8_t *, size_t)) { step_of = step; }

int stand_in_step(uint8_t *scratch, size_t bytes) { return step_of(scratch, bytes); }
