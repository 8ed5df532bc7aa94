/* SPDX-License-Identifier: Apache-2.0 */
/* An arena, drawn: a line for the whole, and a line for each block. ArenaLayout in
 * src/arena/layout.rs draws the same. And a heap, drawn in one line. */
#include "aegis_memory/arena.h"
#include "aegis_memory/arena_heap.h"
#include "../base/arithmetic.h"
#include "../base/print.h"
#include "../base/text.h"

#if !defined(AEGIS_FREESTANDING)

static void print_block(const aegis_arena_block_info *info, size_t number, aegis_print_fn print,
                        void *context) {
    static const char *const states[] = {"current", "closed ", "idle   "};
    char buffer[160], used[AEGIS_I_SIZE_TEXT], all[AEGIS_I_SIZE_TEXT], bar[AEGIS_I_BAR_WIDTH + 1];
    aegis_i_text line = {buffer, sizeof buffer, 0};
    aegis_i_size_text(used, info->used_bytes);
    aegis_i_size_text(all, info->capacity_bytes);
    aegis_i_bar(bar, AEGIS_I_BAR_WIDTH, info->used_bytes, info->capacity_bytes);
    aegis_i_text_add(&line, "%3zu %s [%s] %s of %s", number, states[info->state], bar, used, all);
    print(context, buffer);
}

void aegis_arena_print(const aegis_arena *arena, aegis_print_fn print, void *context) {
    if (print == NULL)
        print = aegis_i_print_to_stderr;
    char buffer[AEGIS_ARENA_NAME_BYTES + 160], used[AEGIS_I_SIZE_TEXT], all[AEGIS_I_SIZE_TEXT];
    aegis_i_text line = {buffer, sizeof buffer, 0};
    aegis_arena_stats stats;
    aegis_arena_get_stats(arena, &stats);
    aegis_i_size_text(used, stats.used_bytes);
    aegis_i_size_text(all, stats.capacity_bytes);
    aegis_i_text_add(&line, "arena%s%s%s: %s of %s used in %zu block%s",
                     arena->name[0] != '\0' ? " '" : "", arena->name,
                     arena->name[0] != '\0' ? "'" : "", used, all, stats.block_count,
                     stats.block_count == 1 ? "" : "s");
    if (arena->scope != NULL)
        aegis_i_text_add(&line, ", a scope is open");
    print(context, buffer);
    aegis_arena_block_info info;
    const aegis_arena_block *block = aegis_arena_next_block(arena, NULL, &info);
    for (size_t number = 1; block != NULL; number++) {
        print_block(&info, number, print, context);
        block = aegis_arena_next_block(arena, block, &info);
    }
}

void aegis_arena_heap_print(const aegis_arena_heap *heap, aegis_print_fn print, void *context) {
    if (print == NULL)
        print = aegis_i_print_to_stderr;
    char buffer[AEGIS_ARENA_NAME_BYTES + 256], bar[AEGIS_I_BAR_WIDTH + 1];
    char used[AEGIS_I_SIZE_TEXT], all[AEGIS_I_SIZE_TEXT], part[AEGIS_I_SIZE_TEXT];
    aegis_i_text line = {buffer, sizeof buffer, 0};
    aegis_arena_heap_stats stats;
    aegis_arena_heap_get_stats(heap, &stats);
    aegis_i_size_text(used, stats.used_bytes);
    aegis_i_size_text(all, stats.reserved_bytes);
    aegis_i_bar(bar, AEGIS_I_BAR_WIDTH, stats.used_bytes, stats.reserved_bytes);
    aegis_i_text_add(&line, "heap%s%s%s: [%s] %s of %s out in %zu block%s",
                     heap->name[0] != '\0' ? " '" : "", heap->name,
                     heap->name[0] != '\0' ? "'" : "", bar, used, all, stats.block_count,
                     stats.block_count == 1 ? "" : "s");
    if (stats.quick_bytes != 0) {
        aegis_i_size_text(part, stats.quick_bytes);
        aegis_i_text_add(&line, ", %s free in quick lists", part);
    }
    if (stats.large_bytes != 0) {
        aegis_i_size_text(part, stats.large_bytes);
        aegis_i_text_add(&line, ", %s in blocks of their own", part);
    }
    print(context, buffer);
}

#endif
