/* SPDX-License-Identifier: Apache-2.0 */
/* The figures of a page cache, and a picture of it. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif

#include "../base/sized.h"
#include "shared.h"
#include "word.h"

#include <stdarg.h>
#include <stdio.h>

/* What the frames say when one after the other is looked at. */
typedef struct census {
    size_t resident_count;
    size_t pinned_count;
    size_t dirty_count;
    uint64_t pin_count;
    uint64_t oldest_lsn;
    size_t temperature_counts[4];
} census;

/* Looks at all frames, or at those of one file. The caller has the lock, so no page comes or goes.
 */
static census count_frames(aegis_page_cache_shared *cache, uint32_t file) {
    census found;
    memset(&found, 0, sizeof found);
    for (uint32_t i = 0; i < cache->max_frame_count; i++) {
        aegis_page_frame *frame = &cache->frames[i];
        uint64_t seen = aegis_i_frame_state(frame);
        uint32_t own = aegis_i_frame_file(frame);
        found.pin_count += seen >> AEGIS_I_PINS_SHIFT;
        if (own == AEGIS_PAGE_NO_FILE || (seen & AEGIS_I_FAILED) != 0 ||
            (file != AEGIS_PAGE_NO_FILE && own != file))
            continue;
        found.resident_count++;
        found.pinned_count += (seen & (AEGIS_I_READERS | AEGIS_I_EXCLUSIVE)) != 0;
        found.temperature_counts[aegis_i_policy_temperature(&cache->policy, i)]++;
        bool dirty = (seen & AEGIS_I_DIRTY) != 0;
        found.dirty_count += dirty;
        /* A page that is pinned to write may have its LSN, and becomes dirty at the end. */
        if (dirty || (seen & AEGIS_I_EXCLUSIVE) != 0 ||
            aegis_i_load(&cache->epochs[i], memory_order_relaxed) != 0)
            found.oldest_lsn = aegis_i_lower_lsn(
                found.oldest_lsn, aegis_i_load(&cache->first_lsns[i], memory_order_relaxed));
    }
    for (size_t i = 0; i < cache->files_size; i++)
        if (cache->files[i] != NULL &&
            (file == AEGIS_PAGE_NO_FILE || cache->files[i]->number == file))
            found.oldest_lsn = aegis_i_lower_lsn(found.oldest_lsn, cache->files[i]->evicted_lsn);
    return found;
}

/* Relaxed: it is only a count. */
static uint64_t read_count(AEGIS_I_ATOMIC(uint64_t) * count) {
    return aegis_i_load(count, memory_order_relaxed);
}

void aegis_page_cache_get_stats_sized(const aegis_page_cache *handle, aegis_page_cache_stats *stats,
                                      size_t stats_bytes) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_page_cache_stats filled;
    aegis_pool_stats slabs;
    memset(&filled, 0, sizeof filled);
    aegis_i_slabs_get_stats(&cache->slabs, &slabs);
    bool locked = aegis_i_cache_lock(cache);
    census found = count_frames(cache, AEGIS_PAGE_NO_FILE);
    filled.page_bytes = cache->page_bytes;
    filled.frame_count = cache->frame_count;
    filled.max_frame_count = cache->max_frame_count;
    filled.target_frame_count = cache->target_count;
    filled.free_count = cache->free_count;
    filled.resident_count = found.resident_count;
    filled.pinned_count = found.pinned_count;
    filled.buffer_count = aegis_i_cache_buffers(cache);
    filled.dirty_count = found.dirty_count;
    filled.oldest_dirty_lsn = found.oldest_lsn;
    filled.hit_count = found.pin_count + read_count(&cache->taken_hits);
    for (uint32_t i = 0; i < AEGIS_I_LATCHES; i++)
        filled.hit_count += read_count(&cache->once_hits[i]);
    filled.miss_count = cache->miss_count;
    filled.fresh_count = cache->fresh_count;
    filled.prefetch_count = cache->prefetch_count;
    filled.join_count = read_count(&cache->join_count);
    filled.latch_wait_count = read_count(&cache->latch_wait_count);
    filled.frame_wait_count = cache->frame_wait_count;
    filled.evicted_dirty_count = cache->evicted_dirty_count;
    filled.evicted_clean_count = cache->evicted_count > cache->evicted_dirty_count
                                     ? cache->evicted_count - cache->evicted_dirty_count
                                     : 0;
    filled.write_batch_count = cache->write_batch_count;
    filled.write_page_count = cache->write_page_count;
    filled.write_error_count = cache->write_error_count;
    filled.largest_batch_count = cache->largest_batch_count;
    filled.read_error_count = read_count(&cache->read_error_count);
    filled.sync_count = cache->sync_count;
    filled.sync_error_count = cache->sync_error_count;
    filled.reclaimed_frame_count = cache->reclaimed_frame_count;
    filled.regrown_frame_count = cache->regrown_frame_count;
    filled.reserved_bytes = slabs.reserved_bytes;
    filled.write_buffer_bytes = cache->writers_bytes;
    filled.overhead_bytes = cache->slabs.meta_bytes;
    if (locked)
        aegis_i_cache_unlock(cache);
    aegis_i_copy_sized(stats, stats_bytes, &filled, sizeof filled);
}

aegis_status aegis_page_cache_get_file_stats_sized(const aegis_page_cache *handle, uint32_t number,
                                                   aegis_page_file_stats *stats,
                                                   size_t stats_bytes) {
    aegis_page_cache_shared *cache = handle->shared;
    aegis_page_file_stats filled;
    memset(&filled, 0, sizeof filled);
    bool locked = aegis_i_cache_lock(cache);
    const aegis_i_page_file *file = locked ? aegis_i_cache_file(cache, number) : NULL;
    if (file != NULL) {
        census found = count_frames(cache, number);
        filled.resident_count = found.resident_count;
        filled.pinned_count = found.pinned_count;
        filled.dirty_count = found.dirty_count;
        memcpy(filled.temperature_counts, found.temperature_counts,
               sizeof filled.temperature_counts);
        filled.sync_error_count = file->sync_error_count;
        filled.lost = file->lost;
    }
    if (locked)
        aegis_i_cache_unlock(cache);
    aegis_i_copy_sized(stats, stats_bytes, &filled, sizeof filled);
    return file != NULL ? AEGIS_OK : locked ? AEGIS_E_INVALID : AEGIS_E_FORKED;
}

/* -- the picture -- */

/* Who receives the lines. */
typedef struct printer {
    aegis_print_fn print;
    void *context;
} printer;

static void say(const printer *out, const char *format, ...) AEGIS_I_FORMAT(2, 3);

static void say(const printer *out, const char *format, ...) {
    char line[256];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(line, sizeof line, format, values);
    va_end(values);
    out->print(out->context, line);
}

#define MAP_COLUMNS 64
#define MAP_ROWS 16

/* The sign of a frame; 0: there is no such frame now. */
static char sign_of(aegis_page_cache_shared *cache, uint32_t number) {
    uint64_t seen = aegis_i_frame_state(&cache->frames[number]);
    if (!aegis_i_slab_is_held(&cache->slabs, number >> cache->slab_shift))
        return 0;
    if (aegis_i_frame_file(&cache->frames[number]) == AEGIS_PAGE_NO_FILE)
        return '.';
    if ((seen & (AEGIS_I_READERS | AEGIS_I_EXCLUSIVE)) != 0)
        return 'P';
    char heat = (char)('0' + aegis_i_policy_temperature(&cache->policy, number));
    return (seen & AEGIS_I_DIRTY) != 0 ? (char)('a' + (heat - '0')) : heat;
}

/* Draws the frames in their order. If there are too many, a sign stands for the first of several.
 */
static void print_map(aegis_page_cache_shared *cache, const printer *out) {
    uint32_t step =
        (cache->max_frame_count + MAP_COLUMNS * MAP_ROWS - 1) / (MAP_COLUMNS * MAP_ROWS);
    say(out,
        "frames, %u to a sign: . free, 0 cold to 3 hot, a to d the same and dirty, "
        "P pinned",
        (unsigned)step);
    char row[MAP_COLUMNS + 1];
    uint32_t length = 0;
    for (uint32_t i = 0; i < cache->max_frame_count; i += step) {
        char sign = sign_of(cache, i);
        if (sign != 0)
            row[length++] = sign;
        if (length == MAP_COLUMNS || (length != 0 && i + step >= cache->max_frame_count)) {
            row[length] = 0;
            say(out, "  %s", row);
            length = 0;
        }
    }
}

void aegis_page_cache_print(const aegis_page_cache *handle, aegis_print_fn print, void *context) {
    aegis_page_cache_shared *cache = handle->shared;
    printer out = {print, context};
    aegis_page_cache_stats stats;
    aegis_page_cache_get_stats(handle, &stats);
    uint64_t pins = stats.hit_count + stats.miss_count;
    say(&out, "page cache: %zu frames of %zu bytes, %zu resident, %zu pinned, %zu dirty",
        stats.frame_count, stats.page_bytes, stats.resident_count, stats.pinned_count,
        stats.dirty_count);
    say(&out, "%llu hits, %llu misses, %.1f percent; %llu evicted clean, %llu dirty",
        (unsigned long long)stats.hit_count, (unsigned long long)stats.miss_count,
        pins != 0 ? 100.0 * (double)stats.hit_count / (double)pins : 0.0,
        (unsigned long long)stats.evicted_clean_count,
        (unsigned long long)stats.evicted_dirty_count);
    print_map(cache, &out);
    for (size_t slot = 0;; slot++) {
        if (!aegis_i_cache_lock(cache))
            return;
        bool end = slot >= cache->files_size;
        const aegis_i_page_file *file = end ? NULL : cache->files[slot];
        uint32_t number = file != NULL ? file->number : 0;
        aegis_i_cache_unlock(cache);
        if (end)
            return;
        aegis_page_file_stats own;
        if (file == NULL || aegis_page_cache_get_file_stats(handle, number, &own) != AEGIS_OK)
            continue;
        say(&out, "file %u: %zu pages, %zu pinned, %zu dirty; cold to hot: %zu %zu %zu %zu",
            (unsigned)number, own.resident_count, own.pinned_count, own.dirty_count,
            own.temperature_counts[0], own.temperature_counts[1], own.temperature_counts[2],
            own.temperature_counts[3]);
    }
}
