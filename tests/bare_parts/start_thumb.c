/* SPDX-License-Identifier: Apache-2.0 */
/* The program on a Cortex-M4 without an operating system, as qemu's machine mps2-an386 has one. It
 * prints and ends by semihosting. start_thumb.ld says where the parts lie. */
#include "program.h"

#include <stdint.h>

extern unsigned char data_start[], data_end[], data_copy[], bss_start[], bss_end[], stack_top[];

void *memcpy(void *to, const void *from, size_t size_bytes);
void *memset(void *to, int byte, size_t size_bytes);

static uintptr_t call_host(uintptr_t operation, uintptr_t argument) {
    register uintptr_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt #0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void program_print(const char *text) {
    (void)call_host(0x04, (uintptr_t)text);
}

static void end(size_t failed_count) {
    /* ADP_Stopped_ApplicationExit, or ADP_Stopped_RunTimeErrorUnknown. */
    (void)call_host(0x18, failed_count == 0 ? 0x20026 : 0x20023);
    for (;;)
        continue;
}

static void fault(void) {
    program_print("failed: the processor reports a fault\n");
    end(1);
}

void _start(void);

void _start(void) {
    (void)memcpy(data_start, data_copy, (size_t)(data_end - data_start));
    (void)memset(bss_start, 0, (size_t)(bss_end - bss_start));
    end(program());
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    stack_top,     (void *)_start, (void *)fault, (void *)fault,
    (void *)fault, (void *)fault,  (void *)fault,
};

/* What the compiler itself calls on this machine, which a toolchain has in its runtime library. */
uint64_t divide(uint64_t value, uint64_t divisor, uint64_t *rest);

__attribute__((used)) uint64_t divide(uint64_t value, uint64_t divisor, uint64_t *rest) {
    uint64_t quotient = 0, left = 0;
    for (int i = 63; i >= 0; i--) {
        left = left << 1 | (value >> i & 1);
        if (left >= divisor) {
            left -= divisor;
            quotient |= UINT64_C(1) << i;
        }
    }
    *rest = left;
    return quotient;
}

/* The quotient is returned in r0 and r1, the rest in r2 and r3. */
__asm__(".thumb_func\n"
        ".global __aeabi_uldivmod\n"
        "__aeabi_uldivmod:\n"
        "push {r4, lr}\n"
        "sub sp, #16\n"
        "add r4, sp, #8\n"
        "str r4, [sp]\n"
        "bl divide\n"
        "ldr r2, [sp, #8]\n"
        "ldr r3, [sp, #12]\n"
        "add sp, #16\n"
        "pop {r4, pc}\n");

void __aeabi_memcpy(void *to, const void *from, size_t size_bytes);
void __aeabi_memcpy4(void *to, const void *from, size_t size_bytes);
void __aeabi_memcpy8(void *to, const void *from, size_t size_bytes);
void __aeabi_memclr(void *to, size_t size_bytes);
void __aeabi_memclr4(void *to, size_t size_bytes);
void __aeabi_memclr8(void *to, size_t size_bytes);

void __aeabi_memcpy(void *to, const void *from, size_t size_bytes) {
    (void)memcpy(to, from, size_bytes);
}

void __aeabi_memcpy4(void *to, const void *from, size_t size_bytes) {
    (void)memcpy(to, from, size_bytes);
}

void __aeabi_memcpy8(void *to, const void *from, size_t size_bytes) {
    (void)memcpy(to, from, size_bytes);
}

void __aeabi_memclr(void *to, size_t size_bytes) {
    (void)memset(to, 0, size_bytes);
}

void __aeabi_memclr4(void *to, size_t size_bytes) {
    (void)memset(to, 0, size_bytes);
}

void __aeabi_memclr8(void *to, size_t size_bytes) {
    (void)memset(to, 0, size_bytes);
}
