/* Start-up without CMSIS: the vector table, the FPU, then newlib's own start, which speaks to the host (rdimon.specs). */
#include <stdint.h>

extern uint32_t stack_top; /* link.ld */
void _start(void);
void npu_irq(void);

void reset(void);
void fault(void);

__attribute__((section(".vectors"), used)) static void *const vectors[16 + NPU_IRQ + 1] = {
    [0] = &stack_top,
    [1] = (void *)(uintptr_t)reset,
    [2] = (void *)(uintptr_t)fault,
    [3] = (void *)(uintptr_t)fault,
    [4] = (void *)(uintptr_t)fault,
    [5] = (void *)(uintptr_t)fault,
    [6] = (void *)(uintptr_t)fault,
    [7] = (void *)(uintptr_t)fault,
    [16 + NPU_IRQ] = (void *)(uintptr_t)npu_irq,
};

void reset(void) {
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to the FPU */
    __asm__ volatile("dsb\n isb");
    _start();
}

/* SYS_EXIT with an error: a fault ends the run. */
void fault(void) {
    __asm__ volatile("movs r0, #0x18\n movs r1, #0\n bkpt 0xAB");
    for (;;) {}
}
