/* Start-up for QEMU's user mode, which has set the stack and the data: the global pointer, memory for the C library's errno, main. */
#include <stdlib.h>

int main(void);
void begin(void);

void begin(void) { exit(main()); }

__asm__(".globl _start\n"
        "_start:\n"
        " .option push\n"
        " .option norelax\n"
        " la gp, __global_pointer$\n"
        " .option pop\n"
        " la tp, thread\n"
        " j begin\n"
        " .bss\n"
        " .balign 16\n"
        "thread: .space 256\n"
        " .text\n");
