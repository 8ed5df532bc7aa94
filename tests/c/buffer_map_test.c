/* SPDX-License-Identifier: Apache-2.0 */
/* Tests mapped files: pieces at every offset and length, things that are no regular file, and files
 * that are truncated under their mapping. A view must show the file's bytes or the call must fail
 * with the system's reason, and no descriptor may leak. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L /* mkstemp, mkfifo */
#define _FILE_OFFSET_BITS 64
#endif

#include "buffer_support.h"

#include <errno.h>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#define HAS_FILES 1
#endif

static void missing_file_is_refused_with_the_systems_reason(void) {
    aegis_buffer view = {NULL, 1, NULL};
    int os_error = 0;
    CHECK(aegis_buffer_map_file(&view, "tests/c/no such file", &os_error) == AEGIS_E_IO);
    CHECK(is_no_buffer(&view) && os_error == ENOENT);
    CHECK(aegis_buffer_map_file(&view, "tests/c/no such file", NULL) == AEGIS_E_IO);
}

#if defined(HAS_FILES)

static char path[4096];

static unsigned char byte_at(size_t position) {
    return (unsigned char)(position * 7 + position / 256);
}

/* Makes a file of so many bytes at `path` and returns it open. */
static int file_of(size_t size_bytes) {
    const char *dir = getenv("TMPDIR");
    (void)snprintf(path, sizeof path, "%s/aegis_buffer_XXXXXX", dir != NULL ? dir : "/tmp");
    int file = mkstemp(path);
    CHECK(file >= 0);
    unsigned char *bytes = (unsigned char *)malloc(size_bytes + 1);
    for (size_t i = 0; i < size_bytes; i++)
        bytes[i] = byte_at(i);
    CHECK(write(file, bytes, size_bytes) == (ssize_t)size_bytes);
    free(bytes);
    return file;
}

static void drop_file(int file) {
    CHECK(close(file) == 0 && unlink(path) == 0);
}

static bool is_piece(const aegis_buffer *view, size_t offset, size_t length) {
    if (view->data == NULL || view->length != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (view->data[i] != byte_at(offset + i))
            return false;
    return true;
}

/* If a descriptor has leaked, this number is higher than before. */
static int lowest_free_descriptor(void) {
    int file = open("/dev/null", O_RDONLY);
    CHECK(file >= 0 && close(file) == 0);
    return file;
}

static void mapped_file_is_its_content(void) {
    int file = file_of(10000);
    int lowest = lowest_free_descriptor();
    aegis_buffer view, part;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_map_file(&view, path, NULL) == AEGIS_OK);
    drop_file(file); /* the mapping needs neither the descriptor nor the name */
    CHECK(is_piece(&view, 0, 10000));
    CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_slice(&view, 5000, 6000, &part) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK(is_piece(&part, 5000, 1000));
    CHECK(aegis_buffer_compact(&part, NULL, NULL) == AEGIS_OK);
    CHECK(is_piece(&part, 5000, 1000) && aegis_buffer_try_into_mut(&part, &writer) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK(lowest_free_descriptor() <= lowest);
}

static void piece_may_begin_and_end_anywhere(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size_bytes = 3 * page + 100;
    int file = file_of(size_bytes);
    int lowest = lowest_free_descriptor();
    const size_t ends[] = {0, 1, 17, page - 1, page, page + 1, 3 * page, size_bytes};
    const size_t count = sizeof ends / sizeof *ends;
    aegis_buffer view;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i; k < count; k++) {
            CHECK(aegis_buffer_map_descriptor(&view, file, ends[i], ends[k] - ends[i], NULL) ==
                  AEGIS_OK);
            CHECK(is_piece(&view, ends[i], ends[k] - ends[i]));
            CHECK(aegis_buffer_release(&view) == AEGIS_OK);
        }
        CHECK(aegis_buffer_map_descriptor(&view, file, ends[i], SIZE_MAX, NULL) == AEGIS_OK);
        CHECK(is_piece(&view, ends[i], size_bytes - ends[i]));
        CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
        CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    }
    CHECK(lowest_free_descriptor() == lowest);
    drop_file(file);
}

static void expect_refusal(intptr_t file, uint64_t offset, size_t length, aegis_status expected,
                           int expected_error) {
    aegis_buffer view = {NULL, 1, NULL};
    int os_error = -1, lowest = lowest_free_descriptor();
    CHECK(aegis_buffer_map_descriptor(&view, file, offset, length, &os_error) == expected);
    CHECK(is_no_buffer(&view));
    CHECK_SIZE(os_error, expected_error);
    CHECK(aegis_buffer_map_descriptor(&view, file, offset, length, NULL) == expected);
    CHECK(lowest_free_descriptor() == lowest);
}

static void piece_outside_of_the_file_is_refused(void) {
    int file = file_of(1000);
    expect_refusal(file, 1001, SIZE_MAX, AEGIS_E_INVALID, 0);
    expect_refusal(file, 1001, 0, AEGIS_E_INVALID, 0);
    expect_refusal(file, 1000, 1, AEGIS_E_INVALID, 0);
    expect_refusal(file, 0, 1001, AEGIS_E_INVALID, 0);
    expect_refusal(file, 1, SIZE_MAX - 1, AEGIS_E_INVALID, 0);
    expect_refusal(file, UINT64_MAX, 2, AEGIS_E_INVALID, 0);
    expect_refusal(file, UINT64_MAX, SIZE_MAX, AEGIS_E_INVALID, 0);
    drop_file(file);
    expect_refusal(file, 0, SIZE_MAX, AEGIS_E_IO, EBADF);
    expect_refusal(-1, 0, SIZE_MAX, AEGIS_E_IO, EBADF);
}

static void file_that_may_not_be_read_is_refused(void) {
    int file = file_of(10);
    int write_only = open(path, O_WRONLY);
    CHECK(write_only >= 0);
    expect_refusal(write_only, 0, SIZE_MAX, AEGIS_E_IO, EACCES);
    CHECK(close(write_only) == 0);
    drop_file(file);
}

static void what_is_no_regular_file_is_refused(void) {
    aegis_buffer view;
    int ends[2], os_error = -1, lowest = lowest_free_descriptor();
    CHECK(aegis_buffer_map_file(&view, "tests/c", &os_error) == AEGIS_E_INVALID);
    CHECK(is_no_buffer(&view) && os_error == EISDIR);
    CHECK(aegis_buffer_map_file(&view, "/dev/null", &os_error) == AEGIS_E_INVALID);
    CHECK(is_no_buffer(&view) && os_error == ENODEV);
    /* The call must not wait for a pipe that nobody writes to. */
    int file = file_of(0);
    drop_file(file);
    CHECK(mkfifo(path, 0600) == 0);
    CHECK(aegis_buffer_map_file(&view, path, &os_error) == AEGIS_E_INVALID && os_error == ESPIPE);
    CHECK(unlink(path) == 0);
    CHECK(pipe(ends) == 0);
    expect_refusal(ends[0], 0, SIZE_MAX, AEGIS_E_INVALID, ESPIPE);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    CHECK(lowest_free_descriptor() == lowest);
}

static void empty_file_is_an_empty_view(void) {
    int file = file_of(0);
    aegis_buffer view, part;
    CHECK(aegis_buffer_map_file(&view, path, NULL) == AEGIS_OK);
    CHECK(view.data != NULL && view.length == 0);
    CHECK(aegis_buffer_slice(&view, 0, 0, &part) == AEGIS_OK);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK && aegis_buffer_release(&part) == AEGIS_OK);
    drop_file(file);
}

#if defined(__linux__)

/* Reads a file with read(2), as any program does. */
static size_t read_all(const char *name, unsigned char *into, size_t size_bytes) {
    FILE *stream = fopen(name, "rb");
    CHECK(stream != NULL);
    size_t count = stream != NULL ? fread(into, 1, size_bytes, stream) : 0;
    if (stream != NULL)
        (void)fclose(stream);
    return count;
}

/* A file of /proc has the size 0 in its status, and a file of /sys the size of a page. */
static void expect_a_copy_of(const char *name) {
    static unsigned char content[1 << 20];
    size_t length = read_all(name, content, sizeof content);
    int lowest = lowest_free_descriptor();
    aegis_buffer view;
    CHECK(length > 2 && aegis_buffer_map_file(&view, name, NULL) == AEGIS_OK);
    CHECK(holds(&view, content, length));
    CHECK(lowest_free_descriptor() == lowest);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);

    int file = open(name, O_RDONLY);
    const struct {
        size_t offset, length;
    } pieces[] = {{0, SIZE_MAX}, {1, SIZE_MAX}, {1, length - 2},
                  {0, 0},        {length, 0},   {length, SIZE_MAX}};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t offset = pieces[i].offset;
        size_t expected = pieces[i].length == SIZE_MAX ? length - offset : pieces[i].length;
        CHECK(aegis_buffer_map_descriptor(&view, file, offset, pieces[i].length, NULL) == AEGIS_OK);
        CHECK(holds(&view, content + offset, expected));
        CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    }
    expect_refusal(file, length + 1, SIZE_MAX, AEGIS_E_INVALID, 0);
    expect_refusal(file, 1, length, AEGIS_E_INVALID, 0);
    expect_refusal(file, UINT64_MAX, 2, AEGIS_E_INVALID, 0);
    CHECK(lseek(file, 0, SEEK_CUR) == 0 && close(file) == 0);
}

static void file_that_the_system_makes_up_is_read(void) {
    expect_a_copy_of("/proc/version");
    expect_a_copy_of("/proc/filesystems");
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0)
        expect_a_copy_of("/sys/kernel/mm/transparent_hugepage/enabled");
}

/* The content is longer than the first piece that the library reads, and longer than any piece that
 * one call of read(2) gives. */
static void long_file_that_the_system_makes_up_is_read_whole(void) {
    aegis_buffer view;
    CHECK(aegis_buffer_map_file(&view, "/proc/self/smaps", NULL) == AEGIS_OK);
    CHECK(view.length > 8192 && view.data[view.length - 1] == '\n');
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
}

static void file_that_cannot_be_read_is_refused_with_the_reason(void) {
    aegis_buffer view;
    int os_error = 0, lowest = lowest_free_descriptor();
    /* No page is mapped at address 0. */
    CHECK(aegis_buffer_map_file(&view, "/proc/self/mem", &os_error) == AEGIS_E_IO);
    CHECK(is_no_buffer(&view) && os_error == EIO);
    CHECK(lowest_free_descriptor() == lowest);
}

/* A file with eight bytes for each page that a process could have: a quarter of a terabyte. */
static void file_without_an_end_is_refused(void) {
    aegis_buffer view;
    int os_error = 0, lowest = lowest_free_descriptor();
    if (sizeof(size_t) < 8 || access("/proc/self/pagemap", R_OK) != 0)
        return;
    CHECK(aegis_buffer_map_file(&view, "/proc/self/pagemap", &os_error) == AEGIS_E_IO);
    CHECK(is_no_buffer(&view) && os_error == EFBIG);
    CHECK(lowest_free_descriptor() == lowest);
}

static void socket_is_refused_as_no_file(void) {
    drop_file(file_of(0));
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    CHECK(file >= 0 && strlen(path) < sizeof address.sun_path);
    strcpy(address.sun_path, path);
    CHECK(bind(file, (struct sockaddr *)&address, sizeof address) == 0);
    aegis_buffer view;
    int os_error = 0;
    CHECK(aegis_buffer_map_file(&view, path, &os_error) == AEGIS_E_INVALID && os_error == ESPIPE);
    expect_refusal(file, 0, SIZE_MAX, AEGIS_E_INVALID, ESPIPE);
    drop_file(file);
}

#endif

static void truncated_file_is_found_out_before_it_is_copied(void) {
    int file = file_of(20000);
    aegis_buffer view, part;
    aegis_buffer_mut writer;
    aegis_error error;
    CHECK(aegis_buffer_map_descriptor(&view, file, 10, 9990, NULL) == AEGIS_OK);
    CHECK(ftruncate(file, 10000) == 0);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&view, 1, 10, &part) == AEGIS_OK);
    CHECK(ftruncate(file, 9999) == 0);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_E_IO);
    CHECK(aegis_buffer_check_file(&part) == AEGIS_E_IO);
    CHECK(ftruncate(file, 0) == 0);
    aegis_buffer before = part;
    CHECK(aegis_buffer_into_mut(&part, &writer, NULL, &error) == AEGIS_E_IO);
    CHECK(is_no_writer(&writer) && error.status == AEGIS_E_IO && is_same_buffer(&part, &before));
    error.status = AEGIS_OK;
    CHECK(aegis_buffer_compact(&part, NULL, &error) == AEGIS_E_IO);
    CHECK(error.status == AEGIS_E_IO && is_same_buffer(&part, &before));
    /* The file is as long as before again, so it may be read again. */
    CHECK(ftruncate(file, 10000) == 0);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(aegis_buffer_into_mut(&part, &writer, NULL, NULL) == AEGIS_OK);
    CHECK(writer.length == 9 && is_filled(writer.data, 0, 9));
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    drop_file(file);
}

static void file_that_has_grown_again_is_long_enough_and_zero(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int file = file_of(3 * page);
    aegis_buffer view, tail;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_map_file(&view, path, NULL) == AEGIS_OK);
    CHECK(is_piece(&view, 0, 3 * page));
    CHECK(ftruncate(file, 100) == 0 && aegis_buffer_check_file(&view) == AEGIS_E_IO);
    CHECK(ftruncate(file, (off_t)(3 * page)) == 0);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&view, page, 2 * page, &tail) == AEGIS_OK);
    CHECK(aegis_buffer_into_mut(&tail, &writer, NULL, NULL) == AEGIS_OK);
    CHECK(writer.length == page && is_filled(writer.data, 0, page));
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&view, 0, 100, &view) == AEGIS_OK && is_piece(&view, 0, 100));
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    drop_file(file);
}

static void no_bytes_of_a_truncated_file_can_be_copied(void) {
    int file = file_of(10000);
    aegis_buffer view, empty;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_map_file(&view, path, NULL) == AEGIS_OK);
    CHECK(ftruncate(file, 0) == 0);
    CHECK(aegis_buffer_slice(&view, 9000, 9000, &empty) == AEGIS_OK);
    CHECK(aegis_buffer_into_mut(&empty, &writer, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&view, 9000, 9000, &view) == AEGIS_OK);
    CHECK(aegis_buffer_compact(&view, NULL, NULL) == AEGIS_OK && view.length == 0);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    drop_file(file);
}

static void file_that_the_system_does_not_tell_of_counts_as_truncated(void) {
    int file = file_of(100);
    int lowest = lowest_free_descriptor();
    aegis_buffer view;
    CHECK(aegis_buffer_map_file(&view, path, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(close(lowest) == 0); /* closes the view's own descriptor, as a faulty program might */
    CHECK(aegis_buffer_check_file(&view) == AEGIS_E_IO);
    CHECK(is_piece(&view, 0, 100));
    CHECK(open("/dev/null", O_RDONLY) == lowest);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_E_IO);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK(lowest_free_descriptor() == lowest);
    drop_file(file);
}

static void no_descriptor_left_is_the_systems_reason(void) {
    int file = file_of(100);
    int lowest = lowest_free_descriptor();
    struct rlimit before, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = (rlim_t)lowest;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    aegis_buffer view;
    int file_error = 0, descriptor_error = 0;
    aegis_status by_path = aegis_buffer_map_file(&view, path, &file_error);
    aegis_status by_file = aegis_buffer_map_descriptor(&view, file, 0, 100, &descriptor_error);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(by_path == AEGIS_E_IO && by_file == AEGIS_E_IO && is_no_buffer(&view));
    CHECK(file_error == EMFILE && descriptor_error == EMFILE);
    drop_file(file);
}

static void end_of_a_file_larger_than_32_bits_can_be_mapped(void) {
    int file = file_of(0);
    uint64_t size_bytes = (uint64_t)1 << 42; /* the file is sparse */
    CHECK(sizeof(off_t) == 8 && ftruncate(file, (off_t)size_bytes) == 0);
    CHECK(pwrite(file, "abcde", 5, (off_t)(size_bytes - 5)) == 5);
    if (sizeof(size_t) < 8)
        expect_refusal(file, 0, SIZE_MAX, AEGIS_E_INVALID_LAYOUT, 0);
    aegis_buffer view;
    CHECK(aegis_buffer_map_descriptor(&view, file, size_bytes - 5, SIZE_MAX, NULL) == AEGIS_OK);
    CHECK(holds(&view, "abcde", 5));
    CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(ftruncate(file, (off_t)(size_bytes - 1)) == 0);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_E_IO);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    drop_file(file);
}

#endif

int main(void) {
    RUN(missing_file_is_refused_with_the_systems_reason);
#if defined(HAS_FILES)
    RUN(mapped_file_is_its_content);
    RUN(piece_may_begin_and_end_anywhere);
    RUN(piece_outside_of_the_file_is_refused);
    RUN(file_that_may_not_be_read_is_refused);
    RUN(what_is_no_regular_file_is_refused);
    RUN(empty_file_is_an_empty_view);
#if defined(__linux__)
    RUN(file_that_the_system_makes_up_is_read);
    RUN(long_file_that_the_system_makes_up_is_read_whole);
    RUN(file_that_cannot_be_read_is_refused_with_the_reason);
    RUN(file_without_an_end_is_refused);
    RUN(socket_is_refused_as_no_file);
#endif
    RUN(truncated_file_is_found_out_before_it_is_copied);
    RUN(file_that_has_grown_again_is_long_enough_and_zero);
    RUN(no_bytes_of_a_truncated_file_can_be_copied);
    RUN(file_that_the_system_does_not_tell_of_counts_as_truncated);
    RUN(no_descriptor_left_is_the_systems_reason);
    RUN(end_of_a_file_larger_than_32_bits_can_be_mapped);
#endif
    return check_finish();
}
