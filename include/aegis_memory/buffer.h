/* SPDX-License-Identifier: Apache-2.0 */
/** @file buffer.h
 *  Shared bytes without copying: many views of one piece of memory, freed with the last of them.
 *
 *  An aegis_buffer is an immutable view: where its bytes are, how many, and the owner that keeps
 *  them. Retaining, slicing and splitting make more views and copy nothing. An aegis_buffer_mut is
 *  the one writer of its bytes; it becomes an aegis_buffer by freezing, and an aegis_buffer without
 *  a second reference becomes writable again. Writers may be split too, each then has bytes of its
 *  own. A writer has a fixed capacity: filling it up is an error, and only
 *  aegis_buffer_mut_reserve moves it to more memory.
 *
 *  The owner is one header a piece of memory: a count of references and a function that frees the
 *  memory. Memory comes from the C heap, from a pool (buffer_pool.h), from an arena that the buffer
 *  takes over, from a mapped file, or from anybody who supplies a release function. The count works
 *  as that of most shared pointers: relaxed increments, since whoever increments has a reference
 *  already; releasing decrements; and the one that takes the last reference away acquires, so that
 *  it sees what all others did with the bytes.
 *
 *  A view of no bytes holds nothing: what narrows, splits or freezes to none gives the reference
 *  up. Only a view that aegis_buffer_wrap or aegis_buffer_adopt makes of no bytes keeps its owner,
 *  until it is narrowed, split, joined or released, so that no owner is freed before they return.
 *
 *  Handles are values: copying the struct moves the handle, and the copy that is not used any more
 *  must not be released. A handle that was released or moved out of is all-zero, which is inert:
 *  it has no bytes, and releasing it again is AEGIS_E_INVALID, reported in debug builds.
 *
 *  Threads: a handle belongs to one thread at a time, and may be handed to any. Views of the same
 *  bytes may be used, retained and released by several threads at once.
 *
 *  After a fork the child process has copies of all bytes, and the handles of the thread that
 *  forked work there. References that other threads held stay counted.
 *
 *  Invariants: `data .. data + length` (a writer: `+ capacity`) lies inside the owner's memory; a
 *  view without an owner has bytes that live for ever. The ranges of writers never overlap each
 *  other or a view.
 */
#ifndef AEGIS_MEMORY_BUFFER_H
#define AEGIS_MEMORY_BUFFER_H

#include "arena.h"
#include "base.h"
#include "budget.h"

#ifdef __cplusplus
extern "C" {
#endif

/** aegis_buffer_owner.flags: the holder of the only reference may write the memory. */
#define AEGIS_BUFFER_WRITABLE 1u

/** What keeps a piece of memory. Whoever makes one sets all fields; `references` is only touched
 *  atomically afterwards. */
typedef struct aegis_buffer_owner {
    /** How many handles refer to it. */
    size_t references;
    /** Frees the memory and the owner itself. Called exactly once, by the thread that gives the
     *  last reference up, outside of any lock of this library: it may use any pool or buffer.
     *  `references` is 0 then.
     *
     *  It is called before the call that gave the reference up returns, unless that is made inside
     *  of 16 such functions already, each called by the one before. Then the owner waits, and the
     *  outermost of these calls releases it before it returns, after those that wait already. So
     *  owners may be nested as deep as memory goes: the stack is not used up. What a release
     *  function frees after it has released a buffer must not hold that buffer's owner. */
    void (*release)(struct aegis_buffer_owner *owner);
    /** The memory. */
    unsigned char *base;
    size_t capacity_bytes;
    /** AEGIS_BUFFER_WRITABLE or 0; the other bits are the library's. */
    uint32_t flags;
} aegis_buffer_owner;

/** An immutable view. All-zero is no buffer. */
typedef struct aegis_buffer {
    /** Never NULL in a buffer, not even in one of 0 bytes. */
    const unsigned char *data;
    size_t length;
    /** NULL for bytes that live for ever. */
    aegis_buffer_owner *owner;
} aegis_buffer;

/** The only writer of its bytes. All-zero is no buffer. */
typedef struct aegis_buffer_mut {
    unsigned char *data;
    /** Bytes written so far. The rest, up to `capacity`, is undefined. */
    size_t length;
    size_t capacity;
    /** Never NULL in a buffer. */
    aegis_buffer_owner *owner;
    /** Bytes from `data` on that hold values, written or not: room that was cleared once, so that
     *  code which may look at it need not have it cleared again. Whoever stores bytes behind
     *  `length` may say so here. At most `capacity`. It may be less than `length`, whose bytes hold
     *  values whatever it says. */
    size_t initialized;
} aegis_buffer_mut;

/** A piece of memory for vectored I/O: laid out as the system's struct iovec, where it has one. */
typedef struct aegis_iovec {
    void *base;
    size_t length;
} aegis_iovec;

/** Frees bytes that were lent to the library: see `release` of aegis_buffer_owner. */
typedef void (*aegis_buffer_release_fn)(void *context);

/* -- making buffers -- */

/** Makes a view of bytes that live for ever, a string literal for instance.
 *  @param data    not NULL unless `length` is 0.
 *  @return        the view; releasing it does nothing. All-zero without data.
 *  Threads:       any thread.
 *  Cost:          O(1).
 */
AEGIS_API aegis_buffer aegis_buffer_from_static(const void *data, size_t length);

/** Makes a view of a copy of bytes, on the C heap.
 *  @param buffer  overwritten.
 *  @param data    not NULL unless `length` is 0. Of no bytes nothing is allocated.
 *  @param budget  charged for the copy and its header until it is freed; NULL: none.
 *  @param error   overwritten on failure; NULL if the reason is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED, AEGIS_E_INVALID_LAYOUT;
 *                 AEGIS_E_INVALID without data.
 *  On failure:    `buffer` is all-zero.
 *  Ownership:     the caller's; release it with aegis_buffer_release.
 *  Threads:       any thread.
 *  Cost:          O(length) and one allocation.
 */
AEGIS_API aegis_status aegis_buffer_copy(aegis_buffer *buffer, const void *data, size_t length,
                                         aegis_budget *budget, aegis_error *error);

/** Makes a view of bytes that somebody else frees.
 *  @param buffer   overwritten.
 *  @param data     good and unchanged until `release` is called; not NULL unless `length` is 0.
 *  @param release  called once with `context`, on whichever thread gives the last reference up,
 *                  outside of any lock. Not NULL.
 *  @param error    overwritten on failure; NULL if the reason is not wanted.
 *  @return         AEGIS_OK; AEGIS_E_OUT_OF_MEMORY; AEGIS_E_INVALID without `release` or data;
 *                  AEGIS_E_INVALID_LAYOUT.
 *  On failure:     `buffer` is all-zero, and `release` is not called.
 *  Threads:        any thread.
 *  Cost:           O(1) and one allocation for the header.
 */
AEGIS_API aegis_status aegis_buffer_wrap(aegis_buffer *buffer, const void *data, size_t length,
                                         aegis_buffer_release_fn release, void *context,
                                         aegis_error *error);

/** Makes a view whose header is the caller's too, so that nothing is allocated.
 *  @param owner   all fields set, `references` to 1. The view takes that reference over. A `base`
 *                 that is NULL, of no bytes, is replaced by an address, and bits of `flags` that
 *                 are the library's are set by it.
 *  @return        a view of all of the owner's memory.
 *  Ownership:     the owner is freed by its own release function.
 *  Threads:       any thread.
 *  Cost:          O(1).
 */
AEGIS_API aegis_buffer aegis_buffer_adopt(aegis_buffer_owner *owner);

/** Makes a view of bytes in an arena, which the buffer takes over and finishes when the last
 *  reference is gone.
 *  @param buffer  overwritten.
 *  @param arena   an arena that no scope is open on and nobody else uses; not that of a scope nor
 *                 a local one (arena_local.h), whose memory is another's. All-zero afterwards.
 *  @param data    bytes in the arena, or that live for ever; not NULL unless `length` is 0. Of no
 *                 bytes nothing is kept: the arena is finished at once.
 *  @param error   overwritten on failure; NULL if the reason is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_INVALID without data, or for an arena that is all-zero or
 *                 local; AEGIS_E_INVALID_LAYOUT; AEGIS_E_BUSY during a scope; or why the arena had
 *                 no room for the header.
 *  On failure:    `buffer` is all-zero and the arena still the caller's.
 *  Threads:       any thread. The arena is finished, and what was deferred to it runs, on whichever
 *                 thread gives the last reference up.
 *  Cost:          O(1) and one allocation in the arena.
 */
AEGIS_API aegis_status aegis_buffer_from_arena(aegis_buffer *buffer, aegis_arena *arena,
                                               const void *data, size_t length, aegis_error *error);

/** Maps a file, read-only, and makes a view of its content.
 *  The bytes are the file's: if somebody writes to the file they may change, and if somebody
 *  truncates it, touching those past its new end is a fault (SIGBUS) as with any mapping. Map files
 *  that nobody changes, or ask aegis_buffer_check_file first. The calls that copy the bytes of a
 *  view, aegis_buffer_into_mut and aegis_buffer_compact, do ask, and so refuse what would fault.
 *  Those that take plain bytes (aegis_buffer_copy, aegis_buffer_mut_append) cannot, and a view of
 *  the same bytes by another owner (aegis_buffer_wrap) knows of no file. No call is safe from a
 *  truncation between the answer and the copy.
 *  A file that says it is empty is read, and so is one that the system does not map (ENODEV): files
 *  that it makes up, of /proc and /sys, are such. If bytes come, the view is of a copy of all of
 *  them on the C heap, and holds no file. It is refused beyond 64 MiB.
 *  @param buffer    overwritten.
 *  @param path      a terminated path, as the C library takes it. What is no regular file is
 *                   neither opened nor waited for.
 *  @param os_error  set on failure to the system's error number (errno; GetLastError on Windows), 0
 *                   when there is none. With AEGIS_E_INVALID it names what is no regular file:
 *                   EISDIR for a directory, ESPIPE for a pipe or a socket, ENODEV for a device or
 *                   anything else; 0 on Windows. NULL if it is not wanted.
 *  @return          AEGIS_OK; AEGIS_E_IO when the system refused, and with EFBIG for a file that
 *                   must be read and is too large; AEGIS_E_INVALID for what is no regular file;
 *                   AEGIS_E_OUT_OF_MEMORY for the header, or for a copy; AEGIS_E_INVALID_LAYOUT
 *                   for a file larger than the address space.
 *  On failure:      `buffer` is all-zero.
 *  Ownership:       the view holds the mapping and one file descriptor.
 *  Threads:         any thread.
 *  Cost:            system calls; pages are read when they are first touched.
 */
AEGIS_API aegis_status aegis_buffer_map_file(aegis_buffer *buffer, const char *path, int *os_error);

/** Maps a piece of an open file: see aegis_buffer_map_file.
 *  @param file    a file descriptor open for reading, on Windows a HANDLE. It stays the caller's
 *                 and may be closed at once.
 *  @param offset  where the piece begins: any byte.
 *  @param length  its bytes; SIZE_MAX: up to the end. A piece that is not inside the file is
 *                 AEGIS_E_INVALID, with an `os_error` of 0.
 *  A file that must be read is read from its beginning to the end of the piece, whatever its
 *  position; one that is opened to be waited for may be.
 */
AEGIS_API aegis_status aegis_buffer_map_descriptor(aegis_buffer *buffer, intptr_t file,
                                                   uint64_t offset, size_t length, int *os_error);

/** Tells whether a mapped file is still as long as the mapping. Only the length is looked at: a
 *  file that was truncated and has grown again is long enough, touching its bytes is no fault, but
 *  those past the truncation are what was written since, or zero.
 *  @return   AEGIS_OK, also for no buffer or one of any other kind; AEGIS_E_IO when the file was
 *            truncated, or when the system does not tell.
 *            By the time the caller acts on it, that may be old.
 *  Threads:  any thread.
 *  Cost:     one system call for a mapped file.
 */
AEGIS_API aegis_status aegis_buffer_check_file(const aegis_buffer *buffer);

/* -- views -- */

/** Makes another handle to the same bytes.
 *  @param copy   overwritten; not `buffer`.
 *  @return       AEGIS_OK; AEGIS_E_INVALID for no buffer; AEGIS_E_LIMIT_EXCEEDED for more
 *                references than half of SIZE_MAX.
 *  On failure:   `copy` is all-zero.
 *  Ownership:    the caller's; release it as well.
 *  Threads:      any thread.
 *  Cost:         one relaxed increment.
 */
AEGIS_API aegis_status aegis_buffer_retain(const aegis_buffer *buffer, aegis_buffer *copy);

/** Gives a handle up; the last one frees the bytes.
 *  @param buffer  all-zero afterwards.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for no buffer, such as one released before, or for one
 *                 whose owner has no reference left; reported in debug builds.
 *  Threads:       any thread.
 *  Cost:          one decrement, none for the only reference; and that of the release function.
 */
AEGIS_API aegis_status aegis_buffer_release(aegis_buffer *buffer);

/** Releases an owner that has no reference left: what giving the last one up comes to. For bindings
 *  that count references themselves; nothing else calls it.
 *  @param owner  `references` is 0, and the caller has given the last one up.
 *  Threads:      any thread.
 *  Cost:         that of the release function, and of those that wait.
 */
AEGIS_API void aegis_buffer_owner_release(aegis_buffer_owner *owner);

/** Makes a view of a part. One of no bytes holds nothing.
 *  @param start  the first byte.
 *  @param end    one past the last byte: start <= end <= length.
 *  @param part   overwritten; may be `buffer`, which is then narrowed, and released if to no bytes.
 *  @return       AEGIS_OK; AEGIS_E_INVALID for no buffer or a range outside of it;
 *                AEGIS_E_LIMIT_EXCEEDED as for aegis_buffer_retain.
 *  On failure:   `part` is all-zero unless it is `buffer`, which is unchanged.
 *  Threads:      any thread.
 *  Cost:         one relaxed increment, none to narrow nor for no bytes.
 */
AEGIS_API aegis_status aegis_buffer_slice(const aegis_buffer *buffer, size_t start, size_t end,
                                          aegis_buffer *part);

/** Splits a view: `front` gets the bytes before `at`, `buffer` keeps those from `at` on.
 *  @param front  overwritten; not `buffer`.
 *  @return      as aegis_buffer_slice.
 *  On failure:  `front` is all-zero and `buffer` unchanged.
 *  Threads:     any thread.
 *  Cost:        one relaxed increment, none if a part has no bytes.
 */
AEGIS_API aegis_status aegis_buffer_split_to(aegis_buffer *buffer, size_t at, aegis_buffer *front);

/** Splits a view: `back` gets the bytes from `at` on, `buffer` keeps those before.
 *  @param back  overwritten; not `buffer`.
 *  @return, On failure, Threads, Cost: as for aegis_buffer_split_to.
 */
AEGIS_API aegis_status aegis_buffer_split_off(aegis_buffer *buffer, size_t at, aegis_buffer *back);

/** Joins two views that lie side by side in the same memory. Of bytes that live for ever nobody can
 *  say that they do, so such views do not join.
 *  @param buffer  the bytes before; grows by `back`. An empty one joins whatever is behind it.
 *  @param back    the bytes behind; not `buffer`; all-zero afterwards. An empty one always joins.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for no buffer, when they do not meet or have different
 *                 owners, or none.
 *  On failure:    nothing changed.
 *  Threads:       any thread.
 *  Cost:          as aegis_buffer_release.
 */
AEGIS_API aegis_status aegis_buffer_unsplit(aegis_buffer *buffer, aegis_buffer *back);

/** Tells whether this is the only handle to its bytes. Never true of bytes that live for ever.
 *  Threads:  any thread.
 *  Cost:     O(1).
 */
AEGIS_API bool aegis_buffer_is_unique(const aegis_buffer *buffer);

/** Turns the only view of writable memory into a writer, whose capacity goes to that memory's end.
 *  @param buffer  all-zero afterwards.
 *  @param writer  overwritten.
 *  @return        AEGIS_OK; AEGIS_E_BUSY when there are other handles; AEGIS_E_INVALID for no
 *                 buffer and for memory that cannot be written.
 *  On failure:    `buffer` is unchanged and `writer` all-zero.
 *  Threads:       any thread.
 *  Cost:          O(1).
 */
AEGIS_API aegis_status aegis_buffer_try_into_mut(aegis_buffer *buffer, aegis_buffer_mut *writer);

/** Turns a view into a writer, with a copy on the C heap if there are others or the memory cannot
 *  be written.
 *  @param buffer  all-zero afterwards; released if it was copied.
 *  @param budget  charged for a copy; NULL: none.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for no buffer; AEGIS_E_IO for a truncated file; or why
 *                 there was no memory.
 *  On failure:    `buffer` is unchanged and `writer` all-zero.
 *  Threads:       any thread.
 *  Cost:          O(1), or O(length) and one allocation.
 */
AEGIS_API aegis_status aegis_buffer_into_mut(aegis_buffer *buffer, aegis_buffer_mut *writer,
                                             aegis_budget *budget, aegis_error *error);

/** Replaces a view of a small part of a large piece of memory by a copy on the C heap, so that it
 *  keeps the piece no longer. A view of half of its memory or more stays as it is, and so does one
 *  of bytes that live for ever.
 *  @return      AEGIS_OK; AEGIS_E_INVALID for no buffer; AEGIS_E_IO for a truncated file; or why
 *               there was no memory.
 *  On failure:  `buffer` is unchanged.
 *  Threads:     any thread.
 *  Cost:        O(1), or O(length) and one allocation.
 */
AEGIS_API aegis_status aegis_buffer_compact(aegis_buffer *buffer, aegis_budget *budget,
                                            aegis_error *error);

/** Fills in a table for vectored writing, an entry a buffer.
 *  @param iovecs  room for `count` entries. They are good as long as the buffers are.
 *  @return        the bytes of all of them together, SIZE_MAX if that is too many to say.
 *  Threads:       any thread.
 *  Cost:          O(count).
 */
AEGIS_API size_t aegis_buffer_iovecs(const aegis_buffer *buffers, size_t count,
                                     aegis_iovec *iovecs);

/* -- writers -- */

/** Makes an empty writer on the C heap.
 *  @param writer          overwritten.
 *  @param capacity_bytes  how much it can take.
 *  @param align_bytes     alignment of its first byte: a power of two; 0: 16. For O_DIRECT, 4096.
 *  @param budget          charged for the memory and its header until it is freed; NULL: none.
 *  @param error           overwritten on failure; NULL if the reason is not wanted.
 *  @return                AEGIS_OK; AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED,
 *                         AEGIS_E_INVALID_LAYOUT.
 *  On failure:            `writer` is all-zero.
 *  Ownership:             the caller's; freeze it or release it.
 *  Threads:               any thread.
 *  Cost:                  one allocation.
 */
AEGIS_API aegis_status aegis_buffer_mut_alloc(aegis_buffer_mut *writer, size_t capacity_bytes,
                                              size_t align_bytes, aegis_budget *budget,
                                              aegis_error *error);

/** Gives a writer up; the memory is freed with the last handle to it.
 *  Parameters, @return, Threads, Cost: as for aegis_buffer_release.
 */
AEGIS_API aegis_status aegis_buffer_mut_release(aegis_buffer_mut *writer);

/** Appends bytes.
 *  @param data  not inside the writer; not NULL unless `length` is 0.
 *  @return      AEGIS_OK; AEGIS_E_EXHAUSTED when they do not fit; AEGIS_E_INVALID for no buffer
 *               and without data.
 *  On failure:  nothing changed.
 *  Threads:     one owner.
 *  Cost:        O(length).
 */
AEGIS_API aegis_status aegis_buffer_mut_append(aegis_buffer_mut *writer, const void *data,
                                               size_t length);

/** Makes room for more bytes behind those written. If nobody else has a handle to the memory and it
 *  is large enough, the writer gets all behind it; and what is before, by moving the bytes to the
 *  memory's beginning, when that wins at least as much room as there are bytes to move. Else the
 *  bytes move to new memory on the C heap, aligned to 16: of twice the capacity, or of as much as
 *  the old memory has in all up to 64 KiB, or of what is needed, whichever is most; of just what is
 *  needed if more is refused.
 *
 *  So a writer that is filled at its end and split at its front, whose front parts are released,
 *  moves in all at most twice as many bytes as it began with and were appended to it. One whose
 *  front parts are kept takes new memory once for each 64 KiB, or for each old capacity. (Both are
 *  so as long as more than what is needed is not refused.)
 *  @param additional_bytes  how many more than `length` the capacity is to have.
 *  @param budget            charged for new memory; NULL: none.
 *  @param error             overwritten on failure; NULL if the reason is not wanted.
 *  @return                  AEGIS_OK; AEGIS_E_INVALID for no buffer; AEGIS_E_INVALID_LAYOUT; or
 *                           why there was no memory.
 *  On failure:              nothing changed.
 *  Threads:                 one owner.
 *  Cost:                    O(1), or O(length) and at most one allocation; amortised O(1) a byte.
 */
AEGIS_API aegis_status aegis_buffer_mut_reserve(aegis_buffer_mut *writer, size_t additional_bytes,
                                                aegis_budget *budget, aegis_error *error);

/** Turns a writer into a view of the bytes written.
 *  @param writer  all-zero afterwards; released if no bytes were written.
 *  @return        the view, all-zero for no buffer.
 *  Threads:       one owner.
 *  Cost:          O(1), or that of aegis_buffer_mut_release.
 */
AEGIS_API aegis_buffer aegis_buffer_mut_freeze(aegis_buffer_mut *writer);

/** Splits a writer: `front` gets the bytes before `at` and no room behind them, `writer` keeps
 *  those from `at` on and the room.
 *  @param at     at most `writer->length`.
 *  @param front  overwritten; not `writer`. Each of both holds the memory, even without room, so
 *                that `writer` can have all of it again when `front` is gone.
 *  @return       AEGIS_OK; AEGIS_E_INVALID for no buffer or an `at` behind the bytes written;
 *                AEGIS_E_LIMIT_EXCEEDED as for aegis_buffer_retain.
 *  On failure:   `front` is all-zero and `writer` unchanged.
 *  Threads:      one owner.
 *  Cost:         one relaxed increment.
 */
AEGIS_API aegis_status aegis_buffer_mut_split_to(aegis_buffer_mut *writer, size_t at,
                                                 aegis_buffer_mut *front);

/** Splits a writer: `back` gets what is from `at` on, bytes and room, `writer` keeps what is
 *  before.
 *  @param at    at most `writer->capacity`: also the room may be split.
 *  @param back  overwritten; not `writer`.
 *  @return, On failure, Threads, Cost: as for aegis_buffer_mut_split_to.
 */
AEGIS_API aegis_status aegis_buffer_mut_split_off(aegis_buffer_mut *writer, size_t at,
                                                  aegis_buffer_mut *back);

/** Joins two writers that lie side by side in the same memory.
 *  @param writer  the bytes before, with no room left between them and `back`.
 *  @param back    the bytes behind; not `writer`; all-zero afterwards. One without capacity always
 *                 joins, and room without bytes also where `writer` has room left.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for no buffer, or when they do not meet or have
 *                 different owners.
 *  On failure:    nothing changed.
 *  Threads:       one owner.
 *  Cost:          as aegis_buffer_release.
 */
AEGIS_API aegis_status aegis_buffer_mut_unsplit(aegis_buffer_mut *writer, aegis_buffer_mut *back);

#ifdef __cplusplus
}
#endif

#endif
