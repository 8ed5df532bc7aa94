/* SPDX-License-Identifier: Apache-2.0 */
/* Pages in a file.
 *
 * Neighbouring pages are transferred together, as a list of pieces of memory (add_page). A system
 * call may transfer less, and transfers one piece only where the system has no call for a list
 * (Windows, macOS, Android); the loop around it goes on behind what was transferred (run). A read
 * ends where the system says that the file ends, which is a call that transfers nothing.
 *
 * The system may cancel a thread in any of its calls. A page would then be written in part and
 * nobody would know, so no thread is cancelled here (aegis_i_uncancelled_begin). */
#include "system_file.h"

#include "../base/atomics.h"
#include "../base/cancel.h"

#include <stdlib.h>

#define ALL_FLAGS (AEGIS_STORE_CREATE | AEGIS_STORE_DIRECT | AEGIS_STORE_READ_ONLY)
/* Every device asks for multiples of this, or of more, if the system's cache is not used. */
#define MIN_SECTOR_BYTES 512

#if defined(AEGIS_I_HAS_FILES)

typedef struct file_store {
    intptr_t file;
    bool is_direct;
    bool is_read_only;
    /* The system's error of the last call that failed. */
    _Atomic int os_error;
} file_store;

/* Keeps the reason of a failure. */
static aegis_status keep(file_store *store, aegis_status status, int os_error) {
    if (status == AEGIS_E_IO)
        /* Relaxed: it tells nothing of other memory. */
        aegis_i_store(&store->os_error, os_error, memory_order_relaxed);
    return status;
}

static void begin_transfer(aegis_i_transfer *todo, bool writes, uint64_t offset) {
    todo->writes = writes;
    todo->offset = offset;
    todo->first = todo->count = todo->size_bytes = 0;
}

/* Adds the memory of the next page. False: it is for another system call. */
static bool add_page(aegis_i_transfer *todo, unsigned char *bytes, size_t page_bytes) {
    if (todo->size_bytes != 0 && page_bytes > AEGIS_I_TRANSFER_BYTES - todo->size_bytes)
        return false;
    aegis_i_file_piece *last = todo->count == 0 ? NULL : &todo->pieces[todo->count - 1];
    if (last != NULL && (unsigned char *)last->iov_base + last->iov_len == bytes) {
        last->iov_len += page_bytes;
    } else if (todo->count == AEGIS_I_TRANSFER_PIECES) {
        return false;
    } else {
        todo->pieces[todo->count].iov_base = bytes;
        todo->pieces[todo->count++].iov_len = page_bytes;
    }
    todo->size_bytes += page_bytes;
    return true;
}

/* Takes the first bytes out of what is left. */
static void advance(aegis_i_transfer *todo, size_t done_bytes) {
    todo->offset += done_bytes;
    while (done_bytes != 0) {
        aegis_i_file_piece *piece = &todo->pieces[todo->first];
        size_t count = done_bytes < piece->iov_len ? done_bytes : piece->iov_len;
        piece->iov_base = (unsigned char *)piece->iov_base + count;
        piece->iov_len -= count;
        done_bytes -= count;
        todo->first += piece->iov_len == 0;
    }
}

/* Transfers all. `*done_bytes` is less than that only where a file ends that is read. */
static aegis_status run(file_store *store, aegis_i_transfer *todo, size_t *done_bytes) {
    aegis_status status = AEGIS_OK;
    *done_bytes = 0;
    while (status == AEGIS_OK && todo->first != todo->count) {
        size_t count = 0;
        int os_error = 0;
        status = aegis_i_file_transfer(store->file, todo, &count, &os_error);
        (void)keep(store, status, os_error);
        *done_bytes += count;
        advance(todo, count);
        if (status == AEGIS_OK && count == 0) {
            if (todo->writes)
                status = keep(store, AEGIS_E_IO, 0);
            break;
        }
        /* Without the system's cache no read may begin in the middle of a sector, which only the
         * end of the file can cut. */
        if (!todo->writes && store->is_direct && todo->offset % MIN_SECTOR_BYTES != 0)
            break;
    }
    return status;
}

static aegis_status file_read(void *context, uint64_t first_page, unsigned char *const *pages,
                              size_t page_count, size_t page_bytes, size_t *read_bytes) {
    file_store *store = (file_store *)context;
    aegis_status status = AEGIS_OK;
    aegis_i_transfer todo;
    *read_bytes = 0;
    if (!aegis_i_pages_fit(first_page, page_count, page_bytes))
        return AEGIS_E_INVALID_LAYOUT;
    int state = aegis_i_uncancelled_begin();
    for (size_t next = 0, wanted, done; next < page_count; *read_bytes += done) {
        begin_transfer(&todo, false, (first_page + next) * page_bytes);
        while (next < page_count && add_page(&todo, pages[next], page_bytes))
            next++;
        wanted = todo.size_bytes;
        status = run(store, &todo, &done);
        if (status != AEGIS_OK || done < wanted)
            next = page_count;
    }
    aegis_i_uncancelled_end(state);
    return status;
}

static aegis_status file_write(void *context, const aegis_page_write *pages, size_t page_count,
                               size_t page_bytes) {
    file_store *store = (file_store *)context;
    aegis_status status = AEGIS_OK;
    aegis_i_transfer todo;
    if (store->is_read_only)
        return AEGIS_E_UNSUPPORTED;
    if (!aegis_i_writes_fit(pages, page_count, page_bytes))
        return AEGIS_E_INVALID_LAYOUT;
    int state = aegis_i_uncancelled_begin();
    for (size_t next = 0, done; next < page_count && status == AEGIS_OK;) {
        uint64_t first_page = pages[next].page;
        size_t first = next;
        begin_transfer(&todo, true, first_page * page_bytes);
        /* The memory is only read; the system's type has no const. */
        while (next < page_count && pages[next].page - first_page == next - first &&
               add_page(&todo, (unsigned char *)pages[next].bytes, page_bytes))
            next++;
        status = run(store, &todo, &done);
    }
    aegis_i_uncancelled_end(state);
    return status;
}

static aegis_status file_sync(void *context) {
    file_store *store = (file_store *)context;
    /* Nothing was written, and some systems refuse. */
    if (store->is_read_only)
        return AEGIS_OK;
    int os_error = 0, state = aegis_i_uncancelled_begin();
    aegis_status status = aegis_i_file_sync(store->file, &os_error);
    aegis_i_uncancelled_end(state);
    return keep(store, status, os_error);
}

static aegis_status file_len(void *context, size_t page_bytes, uint64_t *page_count) {
    file_store *store = (file_store *)context;
    uint64_t size_bytes = 0;
    if (!aegis_i_pages_fit(0, 0, page_bytes))
        return AEGIS_E_INVALID_LAYOUT;
    int os_error = 0, state = aegis_i_uncancelled_begin();
    aegis_status status = aegis_i_file_size(store->file, &size_bytes, &os_error);
    aegis_i_uncancelled_end(state);
    *page_count = size_bytes / page_bytes + (size_bytes % page_bytes != 0);
    return keep(store, status, os_error);
}

static aegis_status file_truncate(void *context, uint64_t page_count, size_t page_bytes) {
    file_store *store = (file_store *)context;
    if (store->is_read_only)
        return AEGIS_E_UNSUPPORTED;
    if (!aegis_i_pages_fit(0, page_count, page_bytes))
        return AEGIS_E_INVALID_LAYOUT;
    int os_error = 0, state = aegis_i_uncancelled_begin();
    aegis_status status = aegis_i_file_truncate(store->file, page_count * page_bytes, &os_error);
    aegis_i_uncancelled_end(state);
    return keep(store, status, os_error);
}

static void file_close(void *context) {
    file_store *store = (file_store *)context;
    int state = aegis_i_uncancelled_begin();
    aegis_i_file_close(store->file);
    free(store);
    aegis_i_uncancelled_end(state);
}

/* Makes the store, and takes over `file`: on failure it is closed. */
static aegis_status own(aegis_page_store *store, intptr_t file, uint32_t flags, int *os_error) {
    uint64_t size_bytes = 0;
    aegis_status status = aegis_i_file_size(file, &size_bytes, os_error);
    bool said = (flags & AEGIS_STORE_DIRECT) != 0;
    bool is_direct = aegis_i_file_is_direct(file, said);
    if (status == AEGIS_OK && said && !is_direct)
        status = AEGIS_E_INVALID;
    file_store *made = status == AEGIS_OK ? (file_store *)malloc(sizeof *made) : NULL;
    if (made == NULL) {
        aegis_i_file_close(file);
        return status == AEGIS_OK ? AEGIS_E_OUT_OF_MEMORY : status;
    }
    made->file = file;
    made->is_direct = is_direct;
    made->is_read_only = (flags & AEGIS_STORE_READ_ONLY) != 0;
    atomic_init(&made->os_error, 0);
    aegis_page_store functions = {file_read,     file_write, file_sync, file_len,
                                  file_truncate, file_close, made};
    *store = functions;
    return AEGIS_OK;
}

/* Opens the path, or duplicates the file if there is no path. */
static aegis_status make(aegis_page_store *store, const char *path, intptr_t file, uint32_t flags,
                         int *os_error) {
    intptr_t opened = 0;
    int state = aegis_i_uncancelled_begin();
    aegis_status status = path != NULL ? aegis_i_file_open(path, flags, &opened, os_error)
                                       : aegis_i_file_duplicate(file, &opened, os_error);
    if (status == AEGIS_OK)
        status = own(store, opened, flags, os_error);
    aegis_i_uncancelled_end(state);
    return status;
}

#else

/* No files are known here. */
static aegis_status make(aegis_page_store *store, const char *path, intptr_t file, uint32_t flags,
                         int *os_error) {
    (void)store;
    (void)path;
    (void)file;
    (void)flags;
    (void)os_error;
    return AEGIS_E_UNSUPPORTED;
}

#endif

aegis_status aegis_page_store_open_file(aegis_page_store *store, const char *path, uint32_t flags,
                                        int *os_error) {
    const uint32_t both = AEGIS_STORE_CREATE | AEGIS_STORE_READ_ONLY;
    int reason = 0;
    memset(store, 0, sizeof *store);
    aegis_status status = AEGIS_E_INVALID;
    if (path != NULL && (flags & ~ALL_FLAGS) == 0 && (flags & both) != both)
        status = make(store, path, 0, flags, &reason);
    if (status != AEGIS_OK && os_error != NULL)
        *os_error = reason;
    return status;
}

aegis_status aegis_page_store_from_descriptor(aegis_page_store *store, intptr_t file,
                                              uint32_t flags, int *os_error) {
    int reason = 0;
    memset(store, 0, sizeof *store);
    aegis_status status = AEGIS_E_INVALID;
    if ((flags & ~(ALL_FLAGS & ~AEGIS_STORE_CREATE)) == 0)
        status = make(store, NULL, file, flags, &reason);
    if (status != AEGIS_OK && os_error != NULL)
        *os_error = reason;
    return status;
}

int aegis_page_store_os_error(const aegis_page_store *store) {
#if defined(AEGIS_I_HAS_FILES)
    if (store->read == file_read)
        /* Relaxed: it tells nothing of other memory. */
        return aegis_i_load(&((file_store *)store->context)->os_error, memory_order_relaxed);
#else
    (void)store;
#endif
    return 0;
}
