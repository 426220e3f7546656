/* Start-up without CMSIS: the vector table, the FPU, memory, then main. printf speaks to the host (rdimon.specs). */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern uint32_t stack_top; /* link.ld */
extern char __bss_start__[], __bss_end__[], end[], heap_end[];
int main(void);
void __libc_init_array(void);
void initialise_monitor_handles(void);
void npu_irq(void);
void *_sbrk(ptrdiff_t bytes);

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
    memset(__bss_start__, 0, (size_t)(__bss_end__ - __bss_start__));
    initialise_monitor_handles();
    __libc_init_array();
    exit(main());
}

/* In the place of newlib's, which asks the host where memory is. */
void *_sbrk(ptrdiff_t bytes) {
    static char *top = end;
    char *const before = top;
    if (bytes > heap_end - top) return (void *)-1;
    top += bytes;
    return before;
}

/* SYS_EXIT with an error: a fault ends the run. */
void fault(void) {
    __asm__ volatile("movs r0, #0x18\n movs r1, #0\n bkpt 0xAB");
    for (;;) {}
}
