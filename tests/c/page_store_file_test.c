/* SPDX-License-Identifier: Apache-2.0 */
/* Tests pages in files: content and length, files that are cut, refusals of the system in the
 * middle of a write, files beyond 4 GiB, transfers past the system's cache, threads, and that no
 * descriptor leaks. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* setrlimit, O_DIRECT */
#define _FILE_OFFSET_BITS 64
#endif

#include "page_store_support.h"

#include <errno.h>
#include <stdio.h>

#if defined(_WIN32)
#include <windows.h>
#define NO_SUCH_FILE ERROR_FILE_NOT_FOUND
#else
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#define NO_SUCH_FILE ENOENT
#endif

#define PAGE 4096

static char path[4096];

/* A name that no other run of this test has; "\xC3\xA4" is a letter that takes two bytes. */
static void choose_path(void) {
#if defined(_WIN32)
    const char *folder = getenv("TEMP");
    unsigned long number = (unsigned long)GetCurrentProcessId();
#else
    const char *folder = getenv("TMPDIR");
    unsigned long number = (unsigned long)getpid();
#endif
    (void)snprintf(path, sizeof path, "%s/aegis_p\xC3\xA4ge_store_%lu", folder ? folder : "/tmp",
                   number);
}

static void drop_path(void) {
#if defined(_WIN32)
    WCHAR wide[4096];
    CHECK(MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 4096) != 0);
    /* The file has the name that the path says in UTF-8. */
    CHECK(DeleteFileW(wide));
#else
    CHECK(unlink(path) == 0);
#endif
}

static aegis_page_store opened(uint32_t flags) {
    aegis_page_store store;
    int os_error = 0;
    CHECK(aegis_page_store_open_file(&store, path, flags, &os_error) == AEGIS_OK);
    CHECK_SIZE(os_error, 0);
    CHECK_SIZE(aegis_page_store_os_error(&store), 0);
    return store;
}

static void closed(aegis_page_store *store) {
    close_store(store);
    drop_path();
}

static void pages_and_gaps_read_as_they_were_written(void) {
    static const size_t sizes[] = {512, 4096, 5000, 65536};
    for (size_t i = 0; i < 4; i++) {
        aegis_page_store store = opened(AEGIS_STORE_CREATE);
        check_pages_and_gaps(&store, sizes[i]);
        close_store(&store);
        store = opened(AEGIS_STORE_READ_ONLY);
        CHECK(has_range(&store, 5, MAX_PAGES, 2, sizes[i]));
        closed(&store);
    }
}

static void neighbours_in_memory_are_one_piece(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    unsigned char *memory = (unsigned char *)malloc(600 * 512);
    aegis_page_write writes[600];
    unsigned char *pages[600];
    size_t read_bytes = 0;
    for (size_t i = 0; i < 600; i++) {
        for (size_t k = 0; k < 512; k++)
            memory[i * 512 + k] = byte_of(i, 1, k);
        writes[i].page = i;
        pages[i] = memory + i * 512;
        writes[i].bytes = pages[i];
    }
    CHECK(store.write_batch(store.context, writes, 600, 512) == AEGIS_OK);
    CHECK(has_range(&store, 0, 600, 1, 512));
    memset(memory, 0, 600 * 512);
    CHECK(store.read(store.context, 0, pages, 600, 512, &read_bytes) == AEGIS_OK);
    CHECK_SIZE(read_bytes, 600 * 512);
    for (size_t i = 0; i < 600; i++)
        CHECK(is_page(pages[i], i, 1, 512));
    free(memory);
    closed(&store);
}

static void truncated_pages_are_gone_and_added_ones_zero(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    check_truncation(&store, PAGE);
    closed(&store);
}

static void impossible_numbers_are_refused(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    check_impossible_numbers(&store);
    closed(&store);
}

static void cut_page_is_read_up_to_the_end(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    unsigned char page[PAGE];
    CHECK(write_range(&store, 0, 3, 1, PAGE) == AEGIS_OK);
    CHECK(truncate_to(&store, 9001, 1) == AEGIS_OK);
    CHECK_SIZE(length_of(&store, PAGE), 3);
    CHECK_SIZE(length_of(&store, 9001), 1);
    CHECK_SIZE(read_one(&store, 2, page, PAGE), 9001 - 2 * PAGE);
    CHECK(is_page(page, 2, 1, 9001 - 2 * PAGE));
    closed(&store);
}

static void page_beyond_4_gib_has_its_own_place(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    uint64_t far_page = (UINT64_C(1) << 32) / PAGE;
    CHECK(write_range(&store, far_page, 1, 1, PAGE) == AEGIS_OK);
    CHECK(length_of(&store, PAGE) == far_page + 1);
    CHECK(has_range(&store, far_page, 1, 1, PAGE) && has_range(&store, 0, 1, 0, PAGE));
    closed(&store);
}

static void expect_refusal(const char *name, uint32_t flags, aegis_status expected,
                           int expected_error) {
    aegis_page_store store;
    int os_error = -1;
    memset(&store, 1, sizeof store);
    CHECK(aegis_page_store_open_file(&store, name, flags, &os_error) == expected);
    CHECK(is_no_store(&store));
    CHECK_SIZE(os_error, expected_error);
    CHECK(aegis_page_store_open_file(&store, name, flags, NULL) == expected);
}

static void what_cannot_be_opened_is_refused_with_the_reason(void) {
    expect_refusal(path, 0, AEGIS_E_IO, NO_SUCH_FILE);
    expect_refusal(path, AEGIS_STORE_READ_ONLY, AEGIS_E_IO, NO_SUCH_FILE);
    expect_refusal(path, AEGIS_STORE_CREATE | AEGIS_STORE_READ_ONLY, AEGIS_E_INVALID, 0);
    expect_refusal(path, 8, AEGIS_E_INVALID, 0);
    expect_refusal(NULL, 0, AEGIS_E_INVALID, 0);
    expect_refusal("tests/c", 0, AEGIS_E_INVALID, 0);
#if defined(_WIN32)
    expect_refusal("no utf-8: \xFF", AEGIS_STORE_CREATE, AEGIS_E_INVALID, 0);
#else
    expect_refusal("/dev/null", 0, AEGIS_E_INVALID, 0);
#endif
    aegis_page_store store;
    CHECK(aegis_page_store_from_descriptor(&store, -1, AEGIS_STORE_CREATE, NULL) ==
          AEGIS_E_INVALID);
    CHECK(is_no_store(&store));
}

static void read_only_store_is_not_written(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    CHECK(write_range(&store, 0, 2, 1, PAGE) == AEGIS_OK);
    close_store(&store);
    store = opened(AEGIS_STORE_READ_ONLY);
    CHECK(write_range(&store, 0, 1, 2, PAGE) == AEGIS_E_UNSUPPORTED);
    CHECK(truncate_to(&store, 0, PAGE) == AEGIS_E_UNSUPPORTED);
    CHECK(store.sync(store.context) == AEGIS_OK);
    CHECK(has_range(&store, 0, 2, 1, PAGE));
    closed(&store);
}

static void file_that_is_there_is_kept(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    CHECK(write_range(&store, 0, 2, 1, PAGE) == AEGIS_OK);
    close_store(&store);
    store = opened(AEGIS_STORE_CREATE);
    CHECK(has_range(&store, 0, 2, 1, PAGE));
    closed(&store);
}

static void two_threads_use_one_store(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    check_two_threads(&store);
    closed(&store);
}

/* If the file system knows transfers past its cache, they work, also where the file ends in the
 * middle of a sector. */
static void transfers_past_the_cache_read_up_to_the_end(void) {
    aegis_page_store store;
    int os_error = 0;
    aegis_status status = aegis_page_store_open_file(
        &store, path, AEGIS_STORE_CREATE | AEGIS_STORE_DIRECT, &os_error);
    CHECK(status == AEGIS_OK || status == AEGIS_E_UNSUPPORTED);
    if (status != AEGIS_OK) {
        printf("no transfers past the cache here: error %d\n", os_error);
        CHECK(is_no_store(&store));
        drop_path();
        return;
    }
    unsigned char *raw = (unsigned char *)malloc(5 * PAGE), *pages[4];
    unsigned char *aligned = raw + ((size_t)(0 - (uintptr_t)raw) & (PAGE - 1));
    aegis_page_write writes[4];
    size_t read_bytes = 0;
    for (size_t i = 0; i < 4; i++) {
        pages[i] = aligned + (3 - i) * PAGE;
        for (size_t k = 0; k < PAGE; k++)
            pages[i][k] = byte_of(i, 1, k);
        writes[i].page = i;
        writes[i].bytes = pages[i];
    }
    CHECK(store.write_batch(store.context, writes, 4, PAGE) == AEGIS_OK);
    CHECK(store.sync(store.context) == AEGIS_OK);
    CHECK(truncate_to(&store, 2 * PAGE + 1000, 1) == AEGIS_OK);
    memset(aligned, 0, 4 * PAGE);
    CHECK(store.read(store.context, 0, pages, 4, PAGE, &read_bytes) == AEGIS_OK);
    CHECK_SIZE(read_bytes, 2 * PAGE + 1000);
    CHECK(is_page(pages[1], 1, 1, PAGE) && is_page(pages[2], 2, 1, 1000));
    CHECK(store.read(store.context, 2, pages, 2, PAGE, &read_bytes) == AEGIS_OK);
    CHECK_SIZE(read_bytes, 1000);
    CHECK(store.read(store.context, 3, pages, 1, PAGE, &read_bytes) == AEGIS_OK);
    CHECK_SIZE(read_bytes, 0);
    free(raw);
    closed(&store);
}

#if defined(_WIN32)

static void handle_is_duplicated(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE), second;
    CHECK(write_range(&store, 0, 3, 1, PAGE) == AEGIS_OK);
    close_store(&store);
    WCHAR wide[4096];
    CHECK(MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 4096) != 0);
    HANDLE file = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    CHECK(file != INVALID_HANDLE_VALUE);
    CHECK(aegis_page_store_from_descriptor(&second, (intptr_t)file, 0, NULL) == AEGIS_OK);
    CHECK(CloseHandle(file));
    CHECK(has_range(&second, 0, 3, 1, PAGE) && write_range(&second, 9, 1, 2, PAGE) == AEGIS_OK);
    CHECK_SIZE(length_of(&second, PAGE), 10);
    closed(&second);
    int os_error = 0;
    CHECK(aegis_page_store_from_descriptor(&second, (intptr_t)INVALID_HANDLE_VALUE - 8, 0,
                                           &os_error) == AEGIS_E_IO);
    CHECK(os_error != 0 && is_no_store(&second));
}

#else

/* If a descriptor has leaked, this number is higher than before. */
static int lowest_free_descriptor(void) {
    int file = open("/dev/null", O_RDONLY);
    CHECK(file >= 0 && close(file) == 0);
    return file;
}

static void descriptor_is_duplicated_and_its_position_stays(void) {
    int lowest = lowest_free_descriptor();
    int file = open(path, O_RDWR | O_CREAT, 0600);
    aegis_page_store store;
    CHECK(aegis_page_store_from_descriptor(&store, file, 0, NULL) == AEGIS_OK);
    CHECK(write_range(&store, 0, 3, 1, PAGE) == AEGIS_OK && has_range(&store, 0, 3, 1, PAGE));
    CHECK(truncate_to(&store, 2, PAGE) == AEGIS_OK);
    CHECK(lseek(file, 0, SEEK_CUR) == 0 && close(file) == 0);
    CHECK(has_range(&store, 0, 2, 1, PAGE));
    closed(&store);
    CHECK(lowest_free_descriptor() == lowest);
}

static void descriptor_that_is_no_file_is_refused(void) {
    int ends[2], os_error = 0, lowest = lowest_free_descriptor();
    aegis_page_store store;
    CHECK(aegis_page_store_from_descriptor(&store, -1, 0, &os_error) == AEGIS_E_IO);
    CHECK(os_error == EBADF && is_no_store(&store));
    CHECK(pipe(ends) == 0);
    CHECK(aegis_page_store_from_descriptor(&store, ends[0], 0, NULL) == AEGIS_E_INVALID);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    CHECK(mkfifo(path, 0600) == 0);
    expect_refusal(path, 0, AEGIS_E_INVALID, 0);
    drop_path();
    int file = open(path, O_RDWR | O_CREAT, 0600);
#if defined(O_DIRECT)
    CHECK(aegis_page_store_from_descriptor(&store, file, AEGIS_STORE_DIRECT, NULL) ==
          AEGIS_E_INVALID);
#endif
    CHECK(close(file) == 0);
    drop_path();
    CHECK(lowest_free_descriptor() == lowest);
}

/* The system writes what fits below the limit, and refuses the rest in the next call. */
static void write_that_the_system_ends_early_fails_with_the_reason(void) {
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    struct rlimit before, limit;
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = before;
    limit.rlim_cur = 4 * PAGE + 100;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    aegis_status written = write_range(&store, 0, 10, 1, PAGE);
    aegis_status grown = truncate_to(&store, 10, PAGE);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(written == AEGIS_E_IO && grown == AEGIS_E_IO);
    CHECK_SIZE(aegis_page_store_os_error(&store), EFBIG);
    CHECK(has_range(&store, 0, 4, 1, PAGE));
    CHECK_SIZE(length_of(&store, PAGE), 5);
    CHECK(write_range(&store, 0, 10, 2, PAGE) == AEGIS_OK && has_range(&store, 0, 10, 2, PAGE));
    CHECK_SIZE(aegis_page_store_os_error(&store), EFBIG);
    closed(&store);
}

static void calls_on_a_descriptor_that_is_gone_fail(void) {
    int lowest = lowest_free_descriptor();
    aegis_page_store store = opened(AEGIS_STORE_CREATE);
    unsigned char page[PAGE];
    CHECK(close(lowest) == 0); /* closes the store's own descriptor, as a faulty program might */
    CHECK(read_one(&store, 0, page, PAGE) == SIZE_MAX);
    CHECK_SIZE(aegis_page_store_os_error(&store), EBADF);
    CHECK(store.sync(store.context) == AEGIS_E_IO && length_of(&store, PAGE) == UINT64_MAX);
    CHECK(write_range(&store, 0, 1, 1, PAGE) == AEGIS_E_IO);
    CHECK(open("/dev/null", O_RDONLY) == lowest);
    closed(&store);
}

#if !defined(__ANDROID__)

static aegis_page_store shared;
static bool returned;

static void write_cancelled(void) {
    CHECK(pthread_cancel(pthread_self()) == 0);
    CHECK(write_range(&shared, 0, 300, 1, PAGE) == AEGIS_OK);
    CHECK(has_range(&shared, 0, 300, 1, PAGE) && shared.sync(shared.context) == AEGIS_OK);
    aegis_page_store other;
    CHECK(aegis_page_store_open_file(&other, path, 0, NULL) == AEGIS_OK);
    CHECK(length_of(&other, PAGE) == 300);
    close_store(&other);
    returned = true;
}

typedef struct task {
    void (*run)(void);
} task;

/* Has no variables: AddressSanitizer does not notice that the variables of a cancelled thread go
 * away. */
static void *run_cancelled(void *argument) {
    ((const task *)argument)->run();
    pthread_testcancel();
    return NULL;
}

static void no_call_is_a_cancellation_point(void) {
    pthread_t thread;
    task cancelled = {write_cancelled};
    void *result = NULL;
    int lowest = lowest_free_descriptor();
    shared = opened(AEGIS_STORE_CREATE);
    CHECK(pthread_create(&thread, NULL, run_cancelled, &cancelled) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && returned);
    closed(&shared);
    CHECK(lowest_free_descriptor() == lowest);
}

#endif

#endif

int main(void) {
    choose_path();
    RUN(pages_and_gaps_read_as_they_were_written);
    RUN(neighbours_in_memory_are_one_piece);
    RUN(truncated_pages_are_gone_and_added_ones_zero);
    RUN(impossible_numbers_are_refused);
    RUN(cut_page_is_read_up_to_the_end);
    RUN(page_beyond_4_gib_has_its_own_place);
    RUN(what_cannot_be_opened_is_refused_with_the_reason);
    RUN(read_only_store_is_not_written);
    RUN(file_that_is_there_is_kept);
    RUN(two_threads_use_one_store);
    RUN(transfers_past_the_cache_read_up_to_the_end);
#if defined(_WIN32)
    RUN(handle_is_duplicated);
#else
    RUN(descriptor_is_duplicated_and_its_position_stays);
    RUN(descriptor_that_is_no_file_is_refused);
    RUN(write_that_the_system_ends_early_fails_with_the_reason);
    RUN(calls_on_a_descriptor_that_is_gone_fail);
#if !defined(__ANDROID__)
    RUN(no_call_is_a_cancellation_point);
#endif
#endif
    return check_finish();
}
