/* SPDX-License-Identifier: Apache-2.0 */
/* Tests pages in files on a system that interrupts calls and transfers less than it is asked to,
 * which this program plays on Linux: its preadv and pwritev stand in for those of the C library.
 * Everything must be read and written all the same, or the call must fail with the reason. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* preadv, pwritev */
#define _FILE_OFFSET_BITS 64
#endif

#include "page_store_support.h"

#include <errno.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096

/* The most that a call transfers. */
static size_t most_bytes = SIZE_MAX;
/* Each n-th call is interrupted; 0: none. */
static size_t interrupt_each;
/* The n-th call from now on fails with this error, or transfers nothing if that is 0. */
static size_t fail_at;
static int fail_error;
/* A read that does not begin at the start of a sector is refused. */
static bool wants_sectors;
static size_t call_count;

/* What both calls begin with. False: the call returns -1 or, if errno is 0, nothing. */
static bool begins(void) {
    call_count++;
    errno = 0;
    if (interrupt_each != 0 && call_count % interrupt_each == 0)
        errno = EINTR;
    else if (fail_at != 0 && --fail_at == 0)
        errno = fail_error;
    else
        return true;
    return false;
}

static ssize_t transfer_some(int file, const struct iovec *pieces, int count, off_t offset,
                             bool writes) {
    size_t done = 0;
    if (!begins())
        return errno == 0 ? 0 : -1;
    if (wants_sectors && !writes && offset % 512 != 0) {
        errno = EINVAL;
        return -1;
    }
    for (int i = 0; i < count && done < most_bytes; i++) {
        size_t wanted = pieces[i].iov_len;
        wanted = wanted < most_bytes - done ? wanted : most_bytes - done;
        off_t at = offset + (off_t)done;
        ssize_t moved = writes ? pwrite(file, pieces[i].iov_base, wanted, at)
                               : pread(file, pieces[i].iov_base, wanted, at);
        if (moved < 0)
            return -1;
        done += (size_t)moved;
        if ((size_t)moved < wanted)
            break;
    }
    return (ssize_t)done;
}

#if defined(__linux__) && !defined(__ANDROID__)
#define IS_PLAYED 1

ssize_t preadv(int file, const struct iovec *pieces, int count, off_t offset) {
    return transfer_some(file, pieces, count, offset, false);
}

ssize_t pwritev(int file, const struct iovec *pieces, int count, off_t offset) {
    return transfer_some(file, pieces, count, offset, true);
}
#endif

static char path[4096];

static aegis_page_store opened(void) {
    const char *folder = getenv("TMPDIR");
    aegis_page_store store;
    (void)snprintf(path, sizeof path, "%s/aegis_page_store_partial_%lu",
                   folder != NULL ? folder : "/tmp", (unsigned long)getpid());
    CHECK(aegis_page_store_open_file(&store, path, AEGIS_STORE_CREATE, NULL) == AEGIS_OK);
    return store;
}

static void closed(aegis_page_store *store) {
    close_store(store);
    CHECK(unlink(path) == 0);
    most_bytes = SIZE_MAX;
    interrupt_each = fail_at = 0;
    wants_sectors = false;
}

static void partial_transfers_are_continued(void) {
    static const size_t sizes[] = {SIZE_MAX, 1000, 4095, 4096, 4097, 100000};
    for (size_t i = 0; i < 6; i++) {
        aegis_page_store store = opened();
        most_bytes = sizes[i];
        size_t before = call_count;
        CHECK(write_range(&store, 0, 300, 1, PAGE) == AEGIS_OK);
        CHECK(has_range(&store, 0, 300, 1, PAGE));
        most_bytes = SIZE_MAX;
        CHECK(has_range(&store, 0, 300, 1, PAGE) && length_of(&store, PAGE) == 300);
#if defined(IS_PLAYED)
        /* Otherwise this program has tested the system's own calls. */
        CHECK(call_count > before);
#else
        CHECK(call_count == before);
#endif
        closed(&store);
    }
}

#if defined(IS_PLAYED)

static void interrupted_calls_are_repeated(void) {
    aegis_page_store store = opened();
    most_bytes = 3000;
    interrupt_each = 2;
    CHECK(write_range(&store, 0, 20, 1, PAGE) == AEGIS_OK);
    CHECK(has_range(&store, 0, 20, 1, PAGE));
    CHECK_SIZE(aegis_page_store_os_error(&store), 0);
    closed(&store);
}

static void error_of_each_call_ends_the_write_with_the_reason(void) {
    size_t failed_count = 0;
    aegis_status written = AEGIS_E_IO;
    for (size_t nth = 1; written != AEGIS_OK && nth < 100; nth++) {
        aegis_page_store store = opened();
        most_bytes = 5000;
        fail_at = nth;
        fail_error = ENOSPC;
        written = write_range(&store, 0, 10, 1, PAGE);
        CHECK(written == AEGIS_OK || written == AEGIS_E_IO);
        CHECK_SIZE(aegis_page_store_os_error(&store), written == AEGIS_OK ? 0 : ENOSPC);
        failed_count += written != AEGIS_OK;
        closed(&store);
    }
    CHECK_SIZE(failed_count, (10 * PAGE + 4999) / 5000);
}

static void write_of_nothing_is_an_error(void) {
    aegis_page_store store = opened();
    fail_at = 1;
    fail_error = 0;
    CHECK(write_range(&store, 0, 10, 1, PAGE) == AEGIS_E_IO);
    closed(&store);
}

static void read_that_fails_in_the_middle_fails(void) {
    aegis_page_store store = opened();
    CHECK(write_range(&store, 0, 10, 1, PAGE) == AEGIS_OK);
    most_bytes = 5000;
    fail_at = 3;
    fail_error = EIO;
    CHECK(!has_range(&store, 0, 10, 1, PAGE));
    CHECK_SIZE(aegis_page_store_os_error(&store), EIO);
    closed(&store);
}

/* The end of a file cuts a sector. Some systems refuse to be asked for what is behind. */
static void read_past_the_cache_ends_where_a_sector_is_cut(void) {
    aegis_page_store store = opened(), direct;
    CHECK(write_range(&store, 0, 3, 1, PAGE) == AEGIS_OK);
    CHECK(truncate_to(&store, 2 * PAGE + 1000, 1) == AEGIS_OK);
    aegis_status status = aegis_page_store_open_file(&direct, path, AEGIS_STORE_DIRECT, NULL);
    CHECK(status == AEGIS_OK || status == AEGIS_E_UNSUPPORTED);
    if (status == AEGIS_OK) {
        unsigned char *raw = (unsigned char *)malloc(5 * PAGE), *pages[4];
        size_t read_bytes = 0;
        for (size_t i = 0; i < 4; i++)
            pages[i] = raw + ((size_t)(0 - (uintptr_t)raw) & (PAGE - 1)) + i * PAGE;
        wants_sectors = true;
        CHECK(direct.read(direct.context, 0, pages, 4, PAGE, &read_bytes) == AEGIS_OK);
        CHECK_SIZE(read_bytes, 2 * PAGE + 1000);
        free(raw);
        close_store(&direct);
    }
    closed(&store);
}

#endif

int main(void) {
    RUN(partial_transfers_are_continued);
#if defined(IS_PLAYED)
    RUN(interrupted_calls_are_repeated);
    RUN(error_of_each_call_ends_the_write_with_the_reason);
    RUN(write_of_nothing_is_an_error);
    RUN(read_that_fails_in_the_middle_fails);
    RUN(read_past_the_cache_ends_where_a_sector_is_cut);
#endif
    return check_finish();
}
