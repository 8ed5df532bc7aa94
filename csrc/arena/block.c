/* SPDX-License-Identifier: Apache-2.0 */
/* Laying a block over memory. */
#include "block.h"
#include "../base/harden.h"

aegis_arena_block *aegis_i_block_lay(void *memory, size_t total_bytes, bool zeroed,
                                     uint32_t flags) {
    aegis_arena_block *block = (aegis_arena_block *)memory;
    size_t usable_bytes = (total_bytes - AEGIS_I_BLOCK_HEADER) & ~(size_t)(AEGIS_ARENA_ALIGN - 1);
    block->next = NULL;
    block->total_bytes = total_bytes;
    block->end = aegis_i_block_start(block) + usable_bytes;
    block->dirty_end = zeroed ? aegis_i_block_start(block) : block->end;
    block->top = aegis_i_block_start(block);
    block->flags = flags;
    AEGIS_I_HIDE(aegis_i_block_start(block), usable_bytes);
    return block;
}
