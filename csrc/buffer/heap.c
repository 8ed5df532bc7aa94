/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes on the C heap: making writers and copies there, and moving a view or a writer there when it
 * must be copied or needs larger memory.
 *
 * The owner and its bytes are one allocation, the owner first. If the alignment is higher than
 * malloc promises, the allocation is larger by as much as it takes to align the bytes. */
#include "../acquire.h"
#include "../base/arithmetic.h"
#include "heap_cache.h"
#include "move.h"
#include "owner.h"
#include "writer.h"
#include <stdlib.h>

#define DEFAULT_ALIGN ((size_t)16)

/* When a writer moves to memory of its own, it gets the capacity of the memory that it was a part
 * of, but at most this much for that reason. */
#define INHERITED_BYTES ((size_t)64 << 10)

#define HEAP_HEADER ((sizeof(aegis_i_charged_owner) + DEFAULT_ALIGN - 1) & ~(DEFAULT_ALIGN - 1))
/* What a copy takes beside its bytes: the header, and on some machines room for the alignment. */
#define COPY_OVERHEAD                                                                              \
    (HEAP_HEADER + DEFAULT_ALIGN -                                                                 \
     (AEGIS_I_HEAP_ALIGN < DEFAULT_ALIGN ? AEGIS_I_HEAP_ALIGN : DEFAULT_ALIGN))

static size_t piece_of(const aegis_i_charged_owner *memory) {
    return aegis_i_heap_cache_piece(memory->owner.retained_bytes);
}

/* A piece that this thread has kept, or a new one; NULL if there is none. */
static aegis_i_charged_owner *take_piece(size_t total_bytes) {
    size_t piece_bytes = aegis_i_heap_cache_piece(total_bytes);
    void *memory = aegis_i_heap_cache_take(piece_bytes);
    return (aegis_i_charged_owner *)(memory != NULL ? memory : malloc(piece_bytes));
}

/* Releases memory that is charged to a budget, or for which this thread's cache has no room. */
static AEGIS_I_COLD void release_slow(aegis_i_charged_owner *memory) {
    aegis_budget *budget = aegis_i_charged_budget(memory);
    /* Without the padding up to the size of the piece. */
    size_t total_bytes = memory->owner.retained_bytes;
    size_t piece_bytes = piece_of(memory);
    if (!aegis_i_heap_cache_put(&memory->owner, piece_bytes) &&
        !(aegis_i_heap_cache_begin() && aegis_i_heap_cache_put(&memory->owner, piece_bytes)))
        free(memory);
    (void)aegis_budget_uncharge(budget, total_bytes);
    aegis_budget_destroy(budget);
}

static void heap_release(aegis_buffer_owner *owner) {
    aegis_i_charged_owner *memory = (aegis_i_charged_owner *)(void *)owner;
    size_t piece_bytes = piece_of(memory);
    if (AEGIS_UNLIKELY(aegis_i_charged_budget(memory) != NULL))
        release_slow(memory);
    else if (!aegis_i_heap_cache_is_for(piece_bytes))
        free(memory);
    else if (!aegis_i_heap_cache_put(owner, piece_bytes))
        release_slow(memory);
}

static aegis_status heap_move(aegis_buffer_owner *owner, aegis_budget *budget, aegis_error *error) {
    aegis_i_charged_owner *memory = (aegis_i_charged_owner *)(void *)owner;
    return aegis_i_buffer_exchange(memory, NULL, NULL, budget, error);
}

static const aegis_i_owner_kind heap_kind = {heap_move};

/* Charges the budget. On failure `error` says which budget refused. */
static aegis_status charge(aegis_budget *budget, size_t total_bytes, size_t size_bytes,
                           size_t align_bytes, bool optional, aegis_error *error) {
    aegis_i_refusal why;
    aegis_status status = aegis_i_budget_charge_below(budget, NULL, total_bytes, optional, &why);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    (void)aegis_i_buffer_fail(error, status, size_bytes, align_bytes);
    if (error != NULL)
        aegis_i_explain_refusal(&why, error);
    return status;
}

/* Says in `error` that behind the header no capacity at all fits at this alignment, a power of two.
 */
static aegis_status refuse_align(aegis_error *error, size_t capacity_bytes, size_t align_bytes) {
    (void)aegis_i_buffer_refuse(error, AEGIS_E_INVALID_LAYOUT, AEGIS_WHAT_ALIGN, capacity_bytes);
    if (error != NULL) {
        error->align_bytes = error->asked = align_bytes;
        error->allowed = align_bytes / 2;
    }
    return AEGIS_E_INVALID_LAYOUT;
}

/* Makes the writer of a piece of memory, whose bytes begin behind the header at an aligned address.
 */
static void make(aegis_buffer_mut *writer, aegis_i_charged_owner *memory, size_t total_bytes,
                 size_t capacity_bytes, size_t align_bytes, aegis_budget *budget) {
    unsigned char *base = (unsigned char *)memory + HEAP_HEADER;
    base += aegis_i_padding(base, align_bytes);
    aegis_buffer_owner owner = {
        1, heap_release, base, capacity_bytes, AEGIS_I_BUFFER_PLAIN, total_bytes};
    memory->owner = owner;
    memory->kind = &heap_kind;
    atomic_init(&memory->charged, aegis_i_charged_to(budget));
    aegis_buffer_mut made = {base, 0, capacity_bytes, &memory->owner, 0};
    *writer = made;
}

/* As aegis_buffer_mut_alloc. `optional`: the caller asks for less if a budget refuses. */
static AEGIS_I_COLD aegis_status alloc(aegis_buffer_mut *writer, size_t capacity_bytes,
                                       size_t align_bytes, aegis_budget *budget, bool optional,
                                       aegis_error *error) {
    memset(writer, 0, sizeof *writer);
    size_t align = aegis_i_max(align_bytes, DEFAULT_ALIGN);
    size_t slack_bytes = align - aegis_i_min(align, AEGIS_I_HEAP_ALIGN);
    bool odd = (align_bytes & (align_bytes - 1)) != 0;
    size_t most_bytes = PTRDIFF_MAX - HEAP_HEADER - (odd ? 0 : slack_bytes);
    if (!odd && slack_bytes > PTRDIFF_MAX - HEAP_HEADER)
        return refuse_align(error, capacity_bytes, align_bytes);
    if (odd || capacity_bytes > most_bytes) {
        (void)aegis_i_buffer_fail(error, AEGIS_E_INVALID_LAYOUT, capacity_bytes,
                                  odd ? align_bytes : align);
        if (error != NULL)
            error->allowed = most_bytes;
        return AEGIS_E_INVALID_LAYOUT;
    }
    size_t total_bytes = HEAP_HEADER + slack_bytes + capacity_bytes;
    aegis_status status = charge(budget, total_bytes, capacity_bytes, align, optional, error);
    if (status != AEGIS_OK)
        return status;
    aegis_i_charged_owner *memory = take_piece(total_bytes);
    if (memory == NULL) {
        (void)aegis_budget_uncharge(budget, total_bytes);
        return aegis_i_buffer_fail(error, AEGIS_E_OUT_OF_MEMORY, capacity_bytes, align);
    }
    make(writer, memory, total_bytes, capacity_bytes, align, budget);
    return AEGIS_OK;
}

/* Makes a writer without a budget, of an alignment that needs no padding. What the heap refuses
 * here is asked for again by `alloc`, which says why there is none. */
static AEGIS_I_COLD aegis_status alloc_plain(aegis_buffer_mut *writer, size_t capacity_bytes,
                                             aegis_error *error) {
    size_t total_bytes = COPY_OVERHEAD + capacity_bytes;
    void *memory = malloc(aegis_i_heap_cache_piece(total_bytes));
    if (memory == NULL)
        return alloc(writer, capacity_bytes, 0, NULL, false, error);
    make(writer, (aegis_i_charged_owner *)memory, total_bytes, capacity_bytes, DEFAULT_ALIGN, NULL);
    return AEGIS_OK;
}

aegis_status aegis_buffer_mut_alloc(aegis_buffer_mut *writer, size_t capacity_bytes,
                                    size_t align_bytes, aegis_budget *budget, aegis_error *error) {
    if (budget != NULL || align_bytes != 0 || capacity_bytes > PTRDIFF_MAX - COPY_OVERHEAD)
        return alloc(writer, capacity_bytes, align_bytes, budget, false, error);
    size_t total_bytes = COPY_OVERHEAD + capacity_bytes;
    void *memory = aegis_i_heap_cache_take(aegis_i_heap_cache_piece(total_bytes));
    if (memory == NULL)
        return alloc_plain(writer, capacity_bytes, error);
    make(writer, (aegis_i_charged_owner *)memory, total_bytes, capacity_bytes, DEFAULT_ALIGN, NULL);
    return AEGIS_OK;
}

aegis_status aegis_buffer_copy(aegis_buffer *buffer, const void *data, size_t length,
                               aegis_budget *budget, aegis_error *error) {
    memset(buffer, 0, sizeof *buffer);
    if (data == NULL && length != 0)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_DATA, length);
    if (length == 0) {
        *buffer = aegis_buffer_from_static(NULL, 0);
        return AEGIS_OK;
    }
    aegis_buffer_mut writer;
    aegis_status status = aegis_buffer_mut_alloc(&writer, length, 0, budget, error);
    if (status != AEGIS_OK)
        return status;
    (void)aegis_buffer_mut_append(&writer, data, length);
    *buffer = aegis_buffer_mut_freeze(&writer);
    return AEGIS_OK;
}

/* Copies a view to the heap. The view stays as it is. */
static aegis_status copy_view(const aegis_buffer *buffer, aegis_buffer_mut *writer,
                              aegis_budget *budget, aegis_error *error) {
    aegis_status status = buffer->length != 0 ? aegis_buffer_check_file(buffer) : AEGIS_OK;
    if (status != AEGIS_OK)
        return aegis_i_buffer_fail(error, status, buffer->length, 0);
    status = aegis_buffer_mut_alloc(writer, buffer->length, 0, budget, error);
    if (status == AEGIS_OK)
        (void)aegis_buffer_mut_append(writer, buffer->data, buffer->length);
    return status;
}

/* Gives up the reference to an owner whose bytes `copy` has now. If the owner has no reference, the
 * handle was a stale one: then the copy is released, and the handle is refused. */
static aegis_status leave_owner(aegis_buffer_owner *owner, aegis_buffer_mut *copy,
                                size_t size_bytes, aegis_error *error) {
    aegis_status status = aegis_i_buffer_unref(owner);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    (void)aegis_buffer_mut_release(copy);
    return aegis_i_buffer_refuse(error, status, AEGIS_WHAT_HANDLE, size_bytes);
}

aegis_status aegis_buffer_into_mut(aegis_buffer *buffer, aegis_buffer_mut *writer,
                                   aegis_budget *budget, aegis_error *error) {
    aegis_status status = aegis_buffer_try_into_mut(buffer, writer);
    if (status == AEGIS_OK)
        return AEGIS_OK;
    if (buffer->data == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0);
    status = copy_view(buffer, writer, budget, error);
    if (status == AEGIS_OK)
        status = leave_owner(buffer->owner, writer, buffer->length, error);
    if (status == AEGIS_OK)
        memset(buffer, 0, sizeof *buffer);
    return status;
}

/* Whether a view has less than half of the bytes that its owner keeps. A copy has a header; as many
 * of the kept bytes do not count, unless they are bytes of the owner's capacity. So a view of all
 * of an allocation of the heap is not copied, and no copy is copied again. */
static bool is_small_part(const aegis_buffer_owner *owner, size_t length) {
    size_t retained_bytes = aegis_i_buffer_owner_retained(owner);
    size_t kept_bytes = aegis_i_max(owner->capacity_bytes,
                                    retained_bytes - aegis_i_min(retained_bytes, COPY_OVERHEAD));
    return length < kept_bytes - length;
}

aegis_status aegis_buffer_compact(aegis_buffer *buffer, aegis_budget *budget, aegis_error *error) {
    assert(aegis_i_buffer_is_valid(buffer));
    if (buffer->data == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, 0);
    aegis_buffer_owner *owner = buffer->owner;
    if (buffer->length == 0)
        return aegis_buffer_slice(buffer, 0, 0, buffer);
    if (owner == NULL || !is_small_part(owner, buffer->length))
        return AEGIS_OK;
    aegis_buffer_mut writer;
    aegis_status status = copy_view(buffer, &writer, budget, error);
    if (status == AEGIS_OK)
        status = leave_owner(owner, &writer, buffer->length, error);
    if (status == AEGIS_OK)
        *buffer = aegis_buffer_mut_freeze(&writer);
    return status;
}

/* Makes an empty writer that will replace `writer`. It has twice the capacity, or the capacity of
 * the memory that `writer` is a part of if that is more. So a writer that is split again and again
 * does not start with a small capacity each time. A writer that has the room and is only not
 * aligned keeps its capacity; otherwise it would double each time that it is aligned. If this is
 * refused, or is less than `needed_bytes`, the new writer has a capacity of `needed_bytes`. */
static aegis_status alloc_larger(const aegis_buffer_mut *writer, size_t needed_bytes,
                                 size_t align_bytes, aegis_buffer_mut *larger, aegis_budget *budget,
                                 aegis_error *error) {
    size_t grown_bytes = needed_bytes > writer->capacity ? 2 * writer->capacity : writer->capacity;
    size_t wanted_bytes =
        aegis_i_max(grown_bytes, aegis_i_min(writer->owner->capacity_bytes, INHERITED_BYTES));
    if (wanted_bytes > needed_bytes &&
        alloc(larger, wanted_bytes, align_bytes, budget, true, NULL) == AEGIS_OK)
        return AEGIS_OK;
    return aegis_buffer_mut_alloc(larger, needed_bytes, align_bytes, budget, error);
}

aegis_status aegis_buffer_mut_reserve(aegis_buffer_mut *writer, size_t additional_bytes,
                                      aegis_budget *budget, aegis_error *error) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    if (writer->data != NULL && additional_bytes <= writer->capacity - writer->length)
        return AEGIS_OK;
    return aegis_buffer_mut_reserve_aligned(writer, additional_bytes, 1, budget, error);
}

aegis_status aegis_buffer_mut_reserve_aligned(aegis_buffer_mut *writer, size_t additional_bytes,
                                              size_t align_bytes, aegis_budget *budget,
                                              aegis_error *error) {
    assert(aegis_i_buffer_mut_is_valid(writer));
    if (writer->data == NULL)
        return aegis_i_buffer_refuse(error, AEGIS_E_INVALID, AEGIS_WHAT_HANDLE, additional_bytes);
    size_t align = align_bytes != 0 ? align_bytes : DEFAULT_ALIGN;
    bool power = (align & (align - 1)) == 0;
    if (power && additional_bytes <= writer->capacity - writer->length &&
        aegis_i_padding(writer->data, align) == 0)
        return AEGIS_OK;
    if (additional_bytes > PTRDIFF_MAX - writer->length) {
        (void)aegis_i_buffer_fail(error, AEGIS_E_INVALID_LAYOUT, additional_bytes, 1);
        if (error != NULL)
            error->allowed = PTRDIFF_MAX - writer->length;
        return AEGIS_E_INVALID_LAYOUT;
    }
    size_t needed_bytes = writer->length + additional_bytes;
    if (power && aegis_i_buffer_mut_extend(writer, needed_bytes, align))
        return AEGIS_OK;

    aegis_buffer_mut larger;
    aegis_status status = alloc_larger(writer, needed_bytes, align, &larger, budget, error);
    if (status != AEGIS_OK && error != NULL)
        aegis_i_error_whole(error, additional_bytes, 0);
    if (status != AEGIS_OK)
        return status;
    (void)aegis_buffer_mut_append(&larger, writer->data, writer->length);
    status = leave_owner(writer->owner, &larger, additional_bytes, error);
    if (status == AEGIS_OK)
        *writer = larger;
    return status;
}
