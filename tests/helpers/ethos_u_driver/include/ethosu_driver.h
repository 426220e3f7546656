/* The part of Arm's driver that the C export calls, as its ethosu_driver.h declares it: in 0.16.0 with -DOLD, else in 1.99.0. */
#ifndef ETHOSU_DRIVER_H
#define ETHOSU_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef OLD
#define BASES const uint64_t *
#define REGISTERS const void *
#else
#define BASES uint64_t *const
#define REGISTERS void *const
#endif

struct ethosu_driver {
    const void *registers; /* NULL: not initialized */
};

int ethosu_init(struct ethosu_driver *drv, REGISTERS base_address, const void *fast_memory, const size_t fast_memory_size,
                uint32_t secure_enable, uint32_t privilege_enable);
int ethosu_invoke_v3(struct ethosu_driver *drv, const void *custom_data_ptr, const int custom_data_size, BASES base_addr,
                     const size_t *base_addr_size, const int num_base_addr, void *user_arg);
void ethosu_irq_handler(struct ethosu_driver *drv);

#endif
