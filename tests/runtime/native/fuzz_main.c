/* fuzz.c without libFuzzer, for compilers that have none: GCC's UBSan sees overflows of vectors,
 * which Clang's does not.
 *
 *     program SECONDS SEED [FILE ...]
 *
 * takes the files, such as those that libFuzzer has found, then random bytes and altered files.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 8192 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t random_state;

/* xorshift64* (Vigna, 2016). */
static uint32_t a_random(void) {
    random_state ^= random_state >> 12, random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * 0x2545f4914f6cdd1du >> 32);
}

static size_t read_file(const char *name, uint8_t *to) {
    FILE *const file = fopen(name, "rb");
    if (!file) return 0;
    const size_t size = fread(to, 1, MOST, file);
    fclose(file);
    return size;
}

/* Zeros, single values and floats that are not finite go further than bytes that are all random. */
static void alter(uint8_t *data, size_t size) {
    static const uint32_t odd[] = {0u,          1u,          0x80000000u, 0x7fffffffu,
                                   0xffffffffu, 0x7f800000u, 0xff800000u, 0x7f7fffffu};
    for (uint32_t changes = 1 + a_random() % 8; changes && size > 4; changes--) {
        const uint32_t word = a_random() % 2 ? odd[a_random() % 8] : a_random();
        memcpy(data + a_random() % (size - 4), &word, sizeof word);
    }
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    static uint8_t data[MOST];
    const uint32_t files = (uint32_t)count - 3;
    const time_t end = time(NULL) + (time_t)strtol(arguments[1], NULL, 10);
    unsigned long runs = 0;
    random_state = strtoul(arguments[2], NULL, 10) * 2 + 1;
    for (int k = 3; k < count; k++, runs++) {
        const size_t size = read_file(arguments[k], data);
        LLVMFuzzerTestOneInput(data, size);
    }
    while (time(NULL) < end)
        for (unsigned k = 0; k < 100; k++, runs++) {
            size_t size = 0;
            if (files && k % 2) size = read_file(arguments[3 + a_random() % files], data);
            if (!size) {
                size = a_random() % (a_random() % 4 ? 600 : MOST);
                for (size_t j = 0; j < size; j++) data[j] = (uint8_t)a_random();
            }
            alter(data, size);
            LLVMFuzzerTestOneInput(data, size);
        }
    printf("Done %lu runs\n", runs);
    return 0;
}
