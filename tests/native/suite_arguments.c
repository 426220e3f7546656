#include "suite.h"
void test_arguments(const char *kernel) { (void)kernel; }
