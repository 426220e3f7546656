/* In the place of Arm's driver and NPU: it refuses a call that is not as Arm documents it, and asks `stand_in_step` for the step. */
#include <ethosu_driver.h>
#include <string.h>

int stand_in_step(uint8_t *scratch, size_t bytes); /* 0, or the error of the call */

#define WORD(index) (words[index])
enum { CONFIG = 1, STREAM = 2, NOP = 5 }; /* actions of the driver's header */

int stand_in_calls;

int ethosu_init(struct ethosu_driver *drv, REGISTERS base_address, const void *fast_memory, const size_t fast_memory_size,
                uint32_t secure_enable, uint32_t privilege_enable) {
    (void)fast_memory, (void)fast_memory_size, (void)secure_enable, (void)privilege_enable;
    drv->registers = base_address;
    return base_address ? 0 : -1;
}

void ethosu_irq_handler(struct ethosu_driver *drv) { (void)drv; }

static int bad_address(uint64_t address) {
#ifdef __arm__
    const uint32_t part = (uint32_t)address >> 24;
    if (part == 0x00 || part == 0x10 || part == 0x20 || part == 0x30) return 1; /* a TCM of Corstone-300 */
#endif
    return address == 0 || address % 16 != 0;
}

/* The driver's actions, then the NPU's commands up to the end of the payload, of which the last is a stop. */
static int bad_payload(const uint32_t *words, int count) {
    int at = 1, configs = 0;
    if (count < 1 || memcmp(words, "COP1", 4) != 0) return -11;
    while (at < count) {
        const uint32_t action = words[at] & 0xffu;
        const int length = (int)((words[at] >> 8 & 0xffu) << 16 | words[at] >> 16);
        if (action == NOP) at += 1;
        else if (action == CONFIG) {
            if ((words[at + 1] & 0xfu) != STAND_IN_LOG2_MACS) return -12;
            configs++, at += 3;
        } else if (action == STREAM) {
            if (bad_address((uintptr_t)(words + at + 1))) return -13;
            if (at + 1 + length != count || (words[count - 1] & 0xffffu) != 0) return -14;
            return configs == 1 ? 0 : -15;
        } else return -16;
    }
    return -17;
}

int ethosu_invoke_v3(struct ethosu_driver *drv, const void *custom_data_ptr, const int custom_data_size, BASES base_addr,
                     const size_t *base_addr_size, const int num_base_addr, void *user_arg) {
    (void)user_arg;
    stand_in_calls++;
    if (!drv || !drv->registers) return -2;
    if (custom_data_size % 4 != 0) return -3;
    const int bad = bad_payload(custom_data_ptr, custom_data_size / 4);
    if (bad) return bad;
    if (num_base_addr != STAND_IN_BASES) return -4;
    for (int k = 0; k < num_base_addr; k++) {
        if (bad_address(base_addr[k])) return -5;
        for (int j = 0; j < k; j++)
            if (base_addr[j] < base_addr[k] + base_addr_size[k] && base_addr[k] < base_addr[j] + base_addr_size[j]) return -6;
    }
    return stand_in_step((uint8_t *)(uintptr_t)base_addr[1], base_addr_size[1]);
}
