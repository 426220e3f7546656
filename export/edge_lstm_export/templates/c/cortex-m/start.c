/* Start-up for QEMU's MPS2 machines: the vector table, the FPU, then newlib's own start, which speaks to the host (rdimon.specs). */
#include <stdint.h>

extern uint32_t stack_top; /* link.ld */
void _start(void);

void reset(void);
void fault(void);

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    &stack_top, (void *)(uintptr_t)reset, (void *)(uintptr_t)fault, (void *)(uintptr_t)fault, (void *)(uintptr_t)fault, (void *)(uintptr_t)fault,
};

void reset(void) {
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to the FPU */
    __asm__ volatile("dsb\n isb");
#endif
    _start();
}

/* SYS_EXIT with an error: a fault ends the run. */
void fault(void) {
    __asm__ volatile("movs r0, #0x18\n movs r1, #0\n bkpt 0xAB");
    for (;;) {}
}
