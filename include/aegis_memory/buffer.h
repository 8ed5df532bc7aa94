/* SPDX-License-Identifier: Apache-2.0 */
/* The file is longer than 500 lines, because most are the documentation of its functions. */
/** @file buffer.h
 *  Shared bytes without copying: many views of one piece of memory, which is freed with the last
 *  of them.
 *
 *  Words:
 *  - A view (aegis_buffer) is immutable: where its bytes are, how many they are, and the owner
 *    that keeps them. Making more views by retaining, slicing or splitting copies nothing.
 *  - A writer (aegis_buffer_mut) is the only writer of its bytes. Freezing turns a writer into a
 *    view. A view becomes a writer again if its owner has no other reference. A writer may be
 *    split; then each part has bytes of its own. A writer has a fixed capacity: appending more
 *    is an error, and only aegis_buffer_mut_reserve and aegis_buffer_mut_reserve_aligned move it to
 *    more memory.
 *  - A handle is a view or a writer. It holds one reference to its owner.
 *  - An owner is the header of one piece of memory: it counts references, and has a function
 *    that frees the memory. The memory is from the C heap, a pool (buffer_pool.h), an arena that
 *    the buffer takes over, a mapped file, or a user who supplies a release function.
 *
 *  The count of references works as in most shared pointers. An increment is relaxed, because
 *  the thread that increments has a reference already. A decrement releases. The decrement that
 *  takes the last reference away also acquires, so that its thread sees what all others did with
 *  the bytes.
 *
 *  A view of no bytes holds no reference. If narrowing, splitting or freezing leaves no bytes,
 *  it gives the reference up. The one exception is a view of no bytes that aegis_buffer_wrap or
 *  aegis_buffer_adopt made. It keeps its owner until it is narrowed, split, joined, compacted or
 *  released, so that no owner is freed before these two calls return.
 *
 *  Handles are values. Copying the struct moves the handle, and the old struct must then not be
 *  released. A handle that was released or moved out of is all-zero. It has no bytes, and a call
 *  that releases it again returns AEGIS_E_INVALID, which a debug build reports.
 *
 *  Threads: a handle belongs to one thread at a time, and may be passed to any other. Several
 *  threads may use, retain and release views of the same bytes at once.
 *
 *  After a fork the child process has copies of all bytes, and the handles of the thread that
 *  forked work there. References that other threads held stay counted.
 *
 *  Invariants:
 *  1. `data .. data + length` (for a writer `data .. data + capacity`) lies inside the owner's
 *     memory. The bytes of a view without an owner live for ever.
 *  2. The range of a writer never overlaps the range of another writer or of a view.
 *
 *  The header is longer than 500 lines, because views and writers turn into each other, so the
 *  functions of one need the struct of the other.
 */
#ifndef AEGIS_MEMORY_BUFFER_H
#define AEGIS_MEMORY_BUFFER_H

#if defined(AEGIS_OMIT_THREADS) || defined(AEGIS_FREESTANDING)
#error "aegis_memory/buffer.h needs threads: AEGIS_OMIT_THREADS leaves it out"
#endif

#include "arena.h"
#include "base.h"
#include "budget.h"

#ifdef __cplusplus
extern "C" {
#endif

/** aegis_buffer_owner.flags: the holder of the only reference may write to the memory. */
#define AEGIS_BUFFER_WRITABLE 1u

/** The owner of a piece of memory. The maker of an owner sets all fields. Afterwards
 *  `references` is accessed only atomically. */
typedef struct aegis_buffer_owner {
    /** How many references there are: one for each handle. */
    size_t references;
    /** Frees the memory and the owner itself. It is called exactly once, by the thread that
     *  gives the last reference up, while that thread holds no lock of this library. So it may
     *  use any pool or buffer. `references` is 0 then.
     *
     *  It is called before the call that gave the reference up returns, except deep inside of
     *  other release functions. If 16 release functions are active on the thread, each called by
     *  the one before, the owner waits. The outermost of them releases the owners that wait, in
     *  order, before it returns. So owners may be nested to any depth without using up the
     *  stack. Memory that a release function frees after it has released a buffer must not hold
     *  that buffer's owner. */
    void (*release)(struct aegis_buffer_owner *owner);
    /** The memory. */
    unsigned char *base;
    /** Its size. */
    size_t capacity_bytes;
    /** AEGIS_BUFFER_WRITABLE or 0. The library uses the other bits. */
    uint32_t flags;
    /** Bytes of all memory that `release` frees, if that is more than `capacity_bytes`: see
     *  aegis_buffer_retained_bytes. 0, or any number up to `capacity_bytes`, says that it is no
     *  more. */
    size_t retained_bytes;
} aegis_buffer_owner;

/** An immutable view. All-zero is no buffer. */
typedef struct aegis_buffer {
    /** Never NULL in a buffer, not even in one of 0 bytes. */
    const unsigned char *data;
    /** Bytes of the view. */
    size_t length;
    /** NULL for bytes that live for ever. */
    aegis_buffer_owner *owner;
} aegis_buffer;

/** The writer of its bytes. All-zero is no buffer. */
typedef struct aegis_buffer_mut {
    /** The first byte. */
    unsigned char *data;
    /** Bytes written so far. The rest, up to `capacity`, is undefined. */
    size_t length;
    /** Bytes that fit. */
    size_t capacity;
    /** Never NULL in a buffer. */
    aegis_buffer_owner *owner;
    /** Bytes from `data` on that hold values, even where nothing was written. Code that may look
     *  at room which was cleared once need not have it cleared again. A caller that stores bytes
     *  behind `length` may raise this number. It is at most `capacity`. It may be less than
     *  `length`; the bytes below `length` always hold values. */
    size_t initialized;
} aegis_buffer_mut;

/** A piece of memory for vectored I/O. Its layout is that of the system's struct iovec, if there
 *  is one. */
typedef struct aegis_iovec {
    /** The first byte. */
    void *base;
    /** How many bytes. */
    size_t length;
} aegis_iovec;

/** Frees bytes that were lent to the library: see `release` of aegis_buffer_owner. */
typedef void (*aegis_buffer_release_fn)(void *context);

/* -- making buffers -- */

/** Makes a view of bytes that live for ever, for instance a string literal.
 *  @param data  not NULL unless `length` is 0.
 *  @return      the view, whose release does nothing. All-zero if `data` is missing.
 *  Threads:     any thread.
 *  Cost:        O(1).
 */
AEGIS_API aegis_buffer aegis_buffer_from_static(const void *data, size_t length);

/** Makes a view of a copy of bytes, on the C heap.
 *  @param buffer  overwritten.
 *  @param data    not NULL unless `length` is 0. For no bytes nothing is allocated.
 *  @param budget  charged for the copy and its header until it is freed. NULL: no limit.
 *  @param error   overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                 the reason is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED,
 *                 AEGIS_E_INVALID_LAYOUT; AEGIS_E_INVALID if `data` is missing.
 *  On failure:    `buffer` is all-zero.
 *  Ownership:     the caller's; release it with aegis_buffer_release.
 *  Threads:       any thread.
 *  Cost:          O(length) and one allocation.
 */
AEGIS_API aegis_status aegis_buffer_copy(aegis_buffer *buffer, const void *data, size_t length,
                                         aegis_budget *budget, aegis_error *error);

/** Makes a view of bytes that the user frees.
 *  @param buffer   overwritten.
 *  @param data     good and unchanged until `release` is called. Not NULL unless `length` is 0.
 *  @param release  called once with `context`, on the thread that gives the last reference up,
 *                  with no lock held. Not NULL.
 *  @param error    overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                  the reason is not wanted.
 *  @return         AEGIS_OK; AEGIS_E_OUT_OF_MEMORY; AEGIS_E_INVALID if `release` or `data` is
 *                  missing; AEGIS_E_INVALID_LAYOUT.
 *  On failure:     `buffer` is all-zero, and `release` is not called.
 *  Threads:        any thread.
 *  Cost:           O(1) and one allocation for the header.
 */
AEGIS_API aegis_status aegis_buffer_wrap(aegis_buffer *buffer, const void *data, size_t length,
                                         aegis_buffer_release_fn release, void *context,
                                         aegis_error *error);

/** Makes a view of bytes that the user frees, as aegis_buffer_wrap does, and says how much
 *  memory that frees. Use it for bytes that are a part of more memory, such as a message in a
 *  receive buffer, or a piece of another library's object.
 *  @param retained_bytes  bytes of all memory that `release` frees: see
 *                         aegis_buffer_retained_bytes. A number below `length` counts as
 *                         `length`.
 *  Other parameters, @return, On failure, Threads, Cost: as for aegis_buffer_wrap.
 */
AEGIS_API aegis_status aegis_buffer_wrap_sized(aegis_buffer *buffer, const void *data,
                                               size_t length, size_t retained_bytes,
                                               aegis_buffer_release_fn release, void *context,
                                               aegis_error *error);

/** Makes a view whose owner the caller supplies, so that nothing is allocated.
 *  @param owner  all fields set, `references` to 1. The view takes that reference over. If
 *                `base` is NULL, for no bytes, the call replaces it by an address. The call also
 *                sets the bits of `flags` that the library uses.
 *  @return       a view of all of the owner's memory.
 *  Ownership:    the owner's release function frees the owner.
 *  Threads:      any thread.
 *  Cost:         O(1).
 */
AEGIS_API aegis_buffer aegis_buffer_adopt(aegis_buffer_owner *owner);

/** Makes a view of bytes in an arena. The buffer takes the arena over, and finishes it when the
 *  last reference is given up.
 *  @param buffer  overwritten.
 *  @param arena   an arena without an open scope, which no other thread uses. Not the arena of a
 *                 scope and not a local handle (arena_local.h), because another arena owns their
 *                 memory. All-zero afterwards.
 *  @param data    bytes in the arena, or bytes that live for ever. Not NULL unless `length` is
 *                 0. For no bytes the arena is finished at once.
 *  @param error   overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                 the reason is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_INVALID if `data` is missing, or for an arena that is
 *                 all-zero or local; AEGIS_E_INVALID_LAYOUT; AEGIS_E_BUSY during a scope; or why
 *                 the arena had no room for the header.
 *  On failure:    `buffer` is all-zero, and the arena is still the caller's.
 *  Threads:       any thread. The thread that gives the last reference up finishes the arena and
 *                 runs its deferred functions.
 *  Cost:          O(1) and one allocation in the arena.
 */
AEGIS_API aegis_status aegis_buffer_from_arena(aegis_buffer *buffer, aegis_arena *arena,
                                               const void *data, size_t length, aegis_error *error);

/** Maps a file, read-only, and makes a view of its content.
 *
 *  The bytes are those of the file. If another program writes to the file, they may change. If
 *  the file is truncated, touching bytes past its new end is a fault (SIGBUS), as with any
 *  mapping. So map files that are not changed, or ask aegis_buffer_check_file first.
 *  aegis_buffer_into_mut and aegis_buffer_compact, which copy the bytes of a view, do ask, and
 *  refuse to copy what would fault. aegis_buffer_copy and aegis_buffer_mut_append cannot ask,
 *  because they take plain bytes. A view of the same bytes with another owner
 *  (aegis_buffer_wrap) knows of no file. No call is safe from a truncation between the answer
 *  and the copy.
 *
 *  Some files are read instead of mapped: a file that says it is empty, and a file that the
 *  system does not map (ENODEV). The files that the system makes up, in /proc and /sys, are such
 *  files. If there are bytes, the view is of a copy of all of them on the C heap, and holds no
 *  file. Such a file is refused beyond 64 MiB.
 *  @param buffer    overwritten.
 *  @param path      a path that ends with a zero byte, as the C library takes it. If it is not a
 *                   regular file, the call neither opens it nor waits for it.
 *  @param os_error  set on failure to the system's error number (errno; GetLastError on
 *                   Windows), or to 0 when there is none. With AEGIS_E_INVALID it says what the
 *                   path is instead of a regular file: EISDIR for a directory, ESPIPE for a pipe
 *                   or a socket, ENODEV for a device or anything else; 0 on Windows. NULL if it
 *                   is not wanted.
 *  @return          AEGIS_OK; AEGIS_E_IO when the system refused, and (with EFBIG) for a file
 *                   that must be read and is too large; AEGIS_E_INVALID if it is not a regular
 *                   file; AEGIS_E_OUT_OF_MEMORY for the header, or for a copy;
 *                   AEGIS_E_INVALID_LAYOUT for a file larger than the address space.
 *  On failure:      `buffer` is all-zero.
 *  Ownership:       the view holds the mapping and one file descriptor.
 *  Threads:         any thread.
 *  Cost:            system calls; the system reads a page when it is first touched.
 */
AEGIS_API aegis_status aegis_buffer_map_file(aegis_buffer *buffer, const char *path, int *os_error);

/** Maps a piece of an open file: see aegis_buffer_map_file. A file that must be read is read
 *  from its beginning to the end of the piece, whatever its position is. If the file was opened
 *  so that reads wait, this read may wait.
 *  @param file    a file descriptor that is open for reading; on Windows a HANDLE. It stays the
 *                 caller's, who may close it at once.
 *  @param offset  where the piece begins: any byte.
 *  @param length  the bytes of the piece; SIZE_MAX: up to the end. A piece that is not inside
 *                 the file is AEGIS_E_INVALID, with an `os_error` of 0.
 *  Other parameters, @return, On failure, Ownership, Threads, Cost: as for
 *  aegis_buffer_map_file.
 */
AEGIS_API aegis_status aegis_buffer_map_descriptor(aegis_buffer *buffer, intptr_t file,
                                                   uint64_t offset, size_t length, int *os_error);

/** Tells whether a mapped file is still as long as the mapping. The call looks only at the
 *  length. If the file was truncated and has grown again, it is long enough and touching its
 *  bytes is no fault. But the bytes past the truncation are then what was written since, or
 *  zero.
 *  @return   AEGIS_OK, also for no buffer or a buffer of any other kind; AEGIS_E_IO when the
 *            file was truncated, or when the system does not tell. The file may change before
 *            the caller acts on the answer.
 *  Threads:  any thread.
 *  Cost:     one system call for a mapped file.
 */
AEGIS_API aegis_status aegis_buffer_check_file(const aegis_buffer *buffer);

/* -- views -- */

/** Makes another handle to the same bytes.
 *  @param copy  overwritten; not `buffer`.
 *  @return      AEGIS_OK; AEGIS_E_INVALID for no buffer; AEGIS_E_LIMIT_EXCEEDED for more
 *               references than half of SIZE_MAX.
 *  On failure:  `copy` is all-zero.
 *  Ownership:   the caller's; release it too.
 *  Threads:     any thread.
 *  Cost:        one relaxed increment.
 */
AEGIS_API aegis_status aegis_buffer_retain(const aegis_buffer *buffer, aegis_buffer *copy);

/** Gives a handle up. The last one frees the bytes.
 *  @param buffer  all-zero afterwards.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for no buffer, such as one that was released before,
 *                 or if the owner has no reference left. A debug build reports these.
 *  Threads:       any thread.
 *  Cost:          one decrement, none for the only reference; and the release function.
 */
AEGIS_API aegis_status aegis_buffer_release(aegis_buffer *buffer);

/** Releases an owner that has no reference left, as giving up the last one does. Only bindings
 *  that count references themselves call it.
 *  @param owner  `references` is 0, and the caller gave the last reference up.
 *  Threads:      any thread.
 *  Cost:         that of the release function, and of those of the owners that wait.
 */
AEGIS_API void aegis_buffer_owner_release(aegis_buffer_owner *owner);

/** Makes a view of a part of a view. A part of no bytes holds no reference.
 *  @param start  the first byte.
 *  @param end    one past the last byte: start <= end <= length.
 *  @param part   overwritten. It may be `buffer`, which is then narrowed; if no bytes are left,
 *                its reference is given up.
 *  @return       AEGIS_OK; AEGIS_E_INVALID for no buffer or a range outside of it;
 *                AEGIS_E_LIMIT_EXCEEDED as for aegis_buffer_retain.
 *  On failure:   `part` is all-zero, unless it is `buffer`, which is unchanged.
 *  Threads:      any thread.
 *  Cost:         one relaxed increment; none to narrow, and none for no bytes.
 */
AEGIS_API aegis_status aegis_buffer_slice(const aegis_buffer *buffer, size_t start, size_t end,
                                          aegis_buffer *part);

/** Splits a view: `front` gets the bytes before `at`, and `buffer` keeps the bytes from `at` on.
 *  @param front  overwritten; not `buffer`.
 *  @return       as for aegis_buffer_slice.
 *  On failure:   `front` is all-zero and `buffer` unchanged.
 *  Threads:      any thread.
 *  Cost:         one relaxed increment; none if a part has no bytes.
 */
AEGIS_API aegis_status aegis_buffer_split_to(aegis_buffer *buffer, size_t at, aegis_buffer *front);

/** Splits a view: `back` gets the bytes from `at` on, and `buffer` keeps the bytes before.
 *  @param back  overwritten; not `buffer`.
 *  @return, On failure, Threads, Cost: as for aegis_buffer_split_to.
 */
AEGIS_API aegis_status aegis_buffer_split_off(aegis_buffer *buffer, size_t at, aegis_buffer *back);

/** Joins two views that lie side by side in the same memory. Views of bytes that live for ever
 *  do not join, because without an owner nothing shows that they lie in the same memory.
 *  @param buffer  the bytes before; it grows by `back`. If it has no bytes, it joins with any
 *                 `back`.
 *  @param back    the bytes behind; not `buffer`; all-zero afterwards. If it has no bytes, it
 *                 always joins.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for no buffer, or when the views do not touch, have
 *                 different owners, or have none.
 *  On failure:    nothing changed.
 *  Threads:       any thread.
 *  Cost:          as aegis_buffer_release.
 */
AEGIS_API aegis_status aegis_buffer_unsplit(aegis_buffer *buffer, aegis_buffer *back);

/** Tells whether this is the only handle to its bytes.
 *  @return   never true for bytes that live for ever.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API bool aegis_buffer_is_unique(const aegis_buffer *buffer);

/** Tells how many bytes of memory live at least as long as this view, because it holds a
 *  reference to their owner. All views of the same memory say the same number. So a sum over
 *  several views counts shared memory more than once: see aegis_buffer_same_memory.
 *
 *  What counts depends on the memory:
 *  - the C heap: the allocation, with its header and padding, which is what a budget is charged;
 *  - a buffer pool: the block, with the padding up to the next block;
 *  - an arena: all blocks that the arena had when the buffer took it over, with their headers;
 *  - a mapped file: the mapping, from where it begins up to the end of the piece;
 *  - aegis_buffer_wrap: the bytes of the view that was made;
 *  - aegis_buffer_wrap_sized: what the caller said;
 *  - aegis_buffer_adopt: the owner's `capacity_bytes` or `retained_bytes`, whichever is more.
 *
 *  Two things do not count: a header in an allocation of its own, and the rest of a buffer pool,
 *  which is not freed as long as one of its blocks is out.
 *  @param buffer  may be all-zero.
 *  @return        bytes; 0 for bytes that live for ever, for no buffer, and for a view of no
 *                 bytes that holds no reference.
 *  Threads:       any thread.
 *  Cost:          O(1).
 */
AEGIS_API size_t aegis_buffer_retained_bytes(const aegis_buffer *buffer);

/** Tells whether two views keep the same memory, so that releasing one of them frees nothing
 *  while the other is there. This is so if they have the same owner, or if the memory of their
 *  owners overlaps. The latter is the case when aegis_buffer_wrap made a view of another view's
 *  bytes.
 *  @param a  a view; may be all-zero.
 *  @param b  the same.
 *  @return   false if one of them holds no reference. Also false for two owners that have separate
 *            parts of one piece of memory, because the library does not know that.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API bool aegis_buffer_same_memory(const aegis_buffer *a, const aegis_buffer *b);

/** Turns the only view of writable memory into a writer. The capacity of the writer goes to the
 *  end of that memory.
 *  @param buffer  all-zero afterwards.
 *  @param writer  overwritten.
 *  @return        AEGIS_OK; AEGIS_E_BUSY when there are other handles; AEGIS_E_INVALID for no
 *                 buffer, and for memory that cannot be written.
 *  On failure:    `buffer` is unchanged and `writer` all-zero.
 *  Threads:       any thread.
 *  Cost:          O(1).
 */
AEGIS_API aegis_status aegis_buffer_try_into_mut(aegis_buffer *buffer, aegis_buffer_mut *writer);

/** Turns a view into a writer. If there are other handles or the memory cannot be written, the
 *  writer is a copy on the C heap.
 *  @param buffer  all-zero afterwards; its reference is given up if it was copied.
 *  @param writer  overwritten.
 *  @param budget  charged for a copy. NULL: no limit.
 *  @param error   overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                 the reason is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for no buffer; AEGIS_E_IO for a truncated file; or
 *                 why there was no memory.
 *  On failure:    `buffer` is unchanged and `writer` all-zero.
 *  Threads:       any thread.
 *  Cost:          O(1), or O(length) and one allocation.
 */
AEGIS_API aegis_status aegis_buffer_into_mut(aegis_buffer *buffer, aegis_buffer_mut *writer,
                                             aegis_budget *budget, aegis_error *error);

/** Replaces a view of a small part of a large piece of memory by a copy on the C heap, so that
 *  it no longer keeps the large piece. A view is copied if it has less than half of the bytes
 *  that it keeps (aegis_buffer_retained_bytes). The copy has a header; as many of the kept bytes
 *  do not count, unless they are bytes of the owner's `capacity_bytes`. So a view of all of its
 *  memory stays as it is, and so does a copy that this call made before. A view of bytes that
 *  live for ever stays too. A view of no bytes becomes one that holds no reference.
 *  @param budget  charged for a copy. NULL: no limit.
 *  @param error   overwritten on failure; aegis_error_explain writes it as a sentence. NULL if
 *                 the reason is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for no buffer; AEGIS_E_IO for a truncated file; or
 *                 why there was no memory.
 *  On failure:    `buffer` is unchanged.
 *  Threads:       any thread.
 *  Cost:          O(1), or O(length) and one allocation.
 */
AEGIS_API aegis_status aegis_buffer_compact(aegis_buffer *buffer, aegis_budget *budget,
                                            aegis_error *error);

/** Charges the memory of a view to another budget instead of the present one, with all handles
 *  that share it. What moves is the whole memory, aegis_buffer_retained_bytes of the view:
 *  - memory on the C heap, with its header; its budget may be NULL too;
 *  - the arena behind a view of aegis_buffer_from_arena, with all its blocks;
 *  - a buffer of a pool (buffer_pool.h). While the buffer is out, the pool's budget does not count
 *    it. When the last handle is released, the pool's budget takes it back, even above its limit
 *    or after it was closed. No reclaimer and no pressure function runs for that.
 *  Other memory is charged to no budget by the library: then the call changes nothing.
 *  @param budget  the new budget; NULL for none. The memory holds a reference to it until it is
 *                 freed or moves again.
 *  @param error   overwritten on failure: it names the budget that refused. NULL if the reason
 *                 is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_LIMIT_EXCEEDED and AEGIS_E_CLOSED as of aegis_budget_move;
 *                 AEGIS_E_BUSY (AEGIS_WHAT_MOVE) while another call moves the same memory, and
 *                 from a function that the move runs; AEGIS_E_INVALID for no buffer.
 *  On failure:    nothing changed.
 *  Threads:       any thread that has a handle, while others use, move and release theirs. If
 *                 another thread was moving the memory when the process forked, the child gets
 *                 AEGIS_E_BUSY.
 *  Cost:          as aegis_budget_move.
 */
AEGIS_API aegis_status aegis_buffer_move_budget(const aegis_buffer *buffer, aegis_budget *budget,
                                                aegis_error *error);

/** Fills in a table for vectored writing, with one entry for each buffer.
 *  @param iovecs  room for `count` entries. They are good as long as the buffers.
 *  @return        the bytes of all buffers together; SIZE_MAX if a size_t cannot hold that
 *                 number.
 *  Threads:       any thread.
 *  Cost:          O(count).
 */
AEGIS_API size_t aegis_buffer_iovecs(const aegis_buffer *buffers, size_t count,
                                     aegis_iovec *iovecs);

/* -- writers -- */

/** Makes an empty writer on the C heap.
 *  @param writer          overwritten.
 *  @param capacity_bytes  how many bytes it can take.
 *  @param align_bytes     alignment of its first byte: a power of two; 0: 16. For O_DIRECT,
 *                         4096.
 *  @param budget          charged for the memory and its header until it is freed. NULL: no
 *                         limit.
 *  @param error           overwritten on failure; aegis_error_explain writes it as a sentence.
 *                         NULL if the reason is not wanted.
 *  @return                AEGIS_OK; AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED,
 *                         AEGIS_E_INVALID_LAYOUT.
 *  On failure:            `writer` is all-zero.
 *  Ownership:             the caller's; freeze it or release it.
 *  Threads:               any thread.
 *  Cost:                  one allocation; none for up to 1 KiB on Linux if the thread has kept
 *                         memory of this size. Each thread keeps up to 16 KiB of the memory of
 *                         writers and views that it has released, which no budget counts, until
 *                         it ends. Builds for a checker of memory keep none.
 */
AEGIS_API aegis_status aegis_buffer_mut_alloc(aegis_buffer_mut *writer, size_t capacity_bytes,
                                              size_t align_bytes, aegis_budget *budget,
                                              aegis_error *error);

/** Tells how many bytes of memory live at least as long as this writer: as
 *  aegis_buffer_retained_bytes does for a view. A writer without room keeps its memory too.
 *  @param writer  may be all-zero.
 *  @return        bytes; 0 for no buffer.
 *  Threads:       one owner.
 *  Cost:          O(1).
 */
AEGIS_API size_t aegis_buffer_mut_retained_bytes(const aegis_buffer_mut *writer);

/** Tells whether two writers keep the same memory: as aegis_buffer_same_memory does for views.
 *  Writers that were split from one another do.
 *  @param a  a writer; may be all-zero.
 *  @param b  the same.
 *  @return   false if one of them is no buffer.
 *  Threads:  one owner.
 *  Cost:     O(1).
 */
AEGIS_API bool aegis_buffer_mut_same_memory(const aegis_buffer_mut *a, const aegis_buffer_mut *b);

/** Gives a writer up. The last handle frees the memory.
 *  Parameters, @return, Threads, Cost: as for aegis_buffer_release.
 */
AEGIS_API aegis_status aegis_buffer_mut_release(aegis_buffer_mut *writer);

/** Appends bytes.
 *  @param data  not inside the writer. Not NULL unless `length` is 0.
 *  @return      AEGIS_OK; AEGIS_E_EXHAUSTED when the bytes do not fit; AEGIS_E_INVALID for no
 *               buffer, or if `data` is missing.
 *  On failure:  nothing changed.
 *  Threads:     one owner.
 *  Cost:        O(length).
 */
AEGIS_API aegis_status aegis_buffer_mut_append(aegis_buffer_mut *writer, const void *data,
                                               size_t length);

/** Makes room for more bytes behind those written:
 *  1. If no other handle refers to the memory and it is large enough, the writer stays there and
 *     its capacity goes to the end of the memory. If that is too little, its bytes move to the
 *     beginning of the memory. They do so only if this wins at least as much room as there are
 *     bytes to move.
 *  2. Otherwise the bytes move to new memory on the C heap, aligned to 16. Its capacity is the
 *     largest of these: twice the old capacity; the size of the old memory, but at most 64 KiB;
 *     what is needed. If that is refused, it is exactly what is needed.
 *
 *  So take a writer that is filled at its end and split at its front, and whose front parts are
 *  released. It moves in all at most twice as many bytes as it began with and were appended to
 *  it. If its front parts are kept, it takes new memory once for each 64 KiB, or for each old
 *  capacity. (Both hold as long as a request for more than what is needed is not refused.)
 *  @param additional_bytes  how many bytes more than `length` the capacity is to have.
 *  @param budget            charged for new memory. NULL: no limit.
 *  @param error             overwritten on failure; aegis_error_explain writes it as a sentence.
 *                           NULL if the reason is not wanted.
 *  @return                  AEGIS_OK; AEGIS_E_INVALID for no buffer; AEGIS_E_INVALID_LAYOUT; or
 *                           why there was no memory.
 *  On failure:              nothing changed.
 *  Threads:                 one owner.
 *  Cost:                    O(1), or O(length) and at most one allocation; amortised O(1) for
 *                           each byte.
 */
AEGIS_API aegis_status aegis_buffer_mut_reserve(aegis_buffer_mut *writer, size_t additional_bytes,
                                                aegis_budget *budget, aegis_error *error);

/** Makes room for more bytes behind those written, as aegis_buffer_mut_reserve does, and makes the
 *  first byte aligned, for instance for O_DIRECT. A writer that is aligned and has the room stays
 *  where it is. Otherwise its bytes move to the first aligned address of the same memory, under the
 *  conditions of aegis_buffer_mut_reserve, or to new memory. That is not made larger if only the
 *  alignment is missing. A writer without bytes may move inside its memory whatever it wins.
 *  @param align_bytes  alignment of the first byte: a power of two; 0: 16.
 *  Other parameters, @return, On failure, Threads: as for aegis_buffer_mut_reserve.
 *  Cost:               as for aegis_buffer_mut_reserve, but O(length) each time that the first byte
 *                      is not aligned.
 */
AEGIS_API aegis_status aegis_buffer_mut_reserve_aligned(aegis_buffer_mut *writer,
                                                        size_t additional_bytes, size_t align_bytes,
                                                        aegis_budget *budget, aegis_error *error);

/** Makes room for more bytes behind those written, as aegis_buffer_mut_reserve does, but never
 *  takes new memory.
 *  @param additional_bytes  how many bytes more than `length` the capacity is to have.
 *  @return                  whether the writer has the room. False: it is unchanged, because
 *                           another handle refers to the memory, because the memory is too
 *                           small, or because more bytes would move than room would be won.
 *  Threads:                 one owner.
 *  Cost:                    O(1), or O(length); amortised O(1) for each byte.
 */
AEGIS_API bool aegis_buffer_mut_try_reclaim(aegis_buffer_mut *writer, size_t additional_bytes);

/** Charges the memory of a writer to another budget, as aegis_buffer_move_budget does. A later
 *  aegis_buffer_mut_reserve charges the budget that it is given.
 *  Parameters, @return, On failure, Threads, Cost: as for aegis_buffer_move_budget.
 */
AEGIS_API aegis_status aegis_buffer_mut_move_budget(const aegis_buffer_mut *writer,
                                                    aegis_budget *budget, aegis_error *error);

/** Turns a writer into a view of the bytes written.
 *  @param writer  all-zero afterwards. If no bytes were written, its reference is given up.
 *  @return        the view; all-zero for no buffer.
 *  Threads:       one owner.
 *  Cost:          O(1), or that of aegis_buffer_mut_release.
 */
AEGIS_API aegis_buffer aegis_buffer_mut_freeze(aegis_buffer_mut *writer);

/** Splits a writer: `front` gets the bytes before `at` and no room behind them. `writer` keeps
 *  the bytes from `at` on, and the room.
 *  @param at     at most `writer->length`.
 *  @param front  overwritten; not `writer`. Both parts hold a reference to the memory, even a
 *                part without room. So `writer` can have all of the memory again when `front` is
 *                gone.
 *  @return       AEGIS_OK; AEGIS_E_INVALID for no buffer, or if `at` is behind the bytes
 *                written; AEGIS_E_LIMIT_EXCEEDED as for aegis_buffer_retain.
 *  On failure:   `front` is all-zero and `writer` unchanged.
 *  Threads:      one owner.
 *  Cost:         one relaxed increment.
 */
AEGIS_API aegis_status aegis_buffer_mut_split_to(aegis_buffer_mut *writer, size_t at,
                                                 aegis_buffer_mut *front);

/** Splits a writer: `back` gets the bytes and the room from `at` on. `writer` keeps what is
 *  before.
 *  @param at    at most `writer->capacity`; so the room may be split too.
 *  @param back  overwritten; not `writer`.
 *  @return, On failure, Threads, Cost: as for aegis_buffer_mut_split_to.
 */
AEGIS_API aegis_status aegis_buffer_mut_split_off(aegis_buffer_mut *writer, size_t at,
                                                  aegis_buffer_mut *back);

/** Joins two writers that lie side by side in the same memory.
 *  @param writer  the bytes before, with no room left between them and `back`.
 *  @param back    the bytes behind; not `writer`; all-zero afterwards. A `back` without capacity
 *                 always joins. A `back` with room but no bytes joins even if `writer` has room
 *                 left.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for no buffer, or when the writers do not touch or
 *                 have different owners.
 *  On failure:    nothing changed.
 *  Threads:       one owner.
 *  Cost:          as aegis_buffer_release.
 */
AEGIS_API aegis_status aegis_buffer_mut_unsplit(aegis_buffer_mut *writer, aegis_buffer_mut *back);

#ifdef __cplusplus
}
#endif

#endif
