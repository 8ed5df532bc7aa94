/* SPDX-License-Identifier: Apache-2.0 */
/* A C program that uses the installed library as a user would. */
#include <aegis_memory.h>

#include <stdio.h>

/* One object with external linkage for each inline function, as callers of other languages need. */
static void *(*const symbols[])(aegis_arena *, size_t) = {aegis_arena_alloc,
                                                          aegis_arena_alloc_zeroed};

int main(void) {
    if (!aegis_version_fits(AEGIS_VERSION))
        return 2;
    aegis_arena arena;
    if (aegis_arena_init(&arena, NULL) != AEGIS_OK)
        return 3;
    const char *text = aegis_arena_strdup(&arena, "one arena, two languages");
    int *numbers = (int *)aegis_arena_alloc_zeroed(&arena, 1000 * sizeof *numbers);
    void *aligned = aegis_arena_alloc_aligned(&arena, 100, 4096);
    if (text == NULL || numbers == NULL || aligned == NULL || numbers[999] != 0 ||
        (uintptr_t)aligned % 4096 != 0 || symbols[0](&arena, 8) == NULL ||
        symbols[1](&arena, 8) == NULL)
        return 4;
    aegis_arena_stats stats;
    aegis_arena_get_stats(&arena, &stats);
    printf("C: %s; %zu bytes used\n", text, stats.used_bytes);
    aegis_arena_reset(&arena);
    aegis_arena_fini(&arena);
    return 0;
}
