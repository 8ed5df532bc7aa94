/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what the library asks of Windows: address space and pages by VirtualAlloc, and views of
 * files. The system itself is asked what is reserved, committed, mapped and open. On other systems
 * this program does nothing. */
#include "buffer_support.h"

#if defined(_WIN32)

#include <windows.h>
#include <winioctl.h>

#define PAGE_BYTES ((size_t)4096)
#define THREADS 4

static void *acquire(const aegis_source *source, size_t size_bytes, size_t align_bytes) {
    bool zeroed = false;
    void *memory = source->acquire(source->context, size_bytes, align_bytes, &zeroed);
    CHECK(memory != NULL && zeroed);
    return memory;
}

static MEMORY_BASIC_INFORMATION region_of(const void *memory) {
    MEMORY_BASIC_INFORMATION info;
    memset(&info, 0, sizeof info);
    CHECK(VirtualQuery(memory, &info, sizeof info) != 0);
    return info;
}

static size_t granularity_bytes(void) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    CHECK_SIZE(system.dwPageSize, PAGE_BYTES);
    return system.dwAllocationGranularity;
}

static void pages_are_reserved_and_committed_alone_until_they_are_released(void) {
    static const size_t sizes[] = {1, 4096, 4097, 65536, 65537, (size_t)3 << 20};
    static const uint32_t flags[] = {0, AEGIS_PAGES_HUGE, AEGIS_PAGES_PREFAULT};
    size_t granularity = granularity_bytes();
    for (size_t f = 0; f < sizeof flags / sizeof *flags; f++) {
        aegis_source source = aegis_source_pages(flags[f]);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            size_t whole_bytes = (sizes[s] + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
            for (size_t align_bytes = 1; align_bytes <= (size_t)4 << 20; align_bytes *= 4) {
                void *memory = acquire(&source, sizes[s], align_bytes);
                MEMORY_BASIC_INFORMATION info = region_of(memory);
                CHECK(is_aligned(memory, align_bytes) && is_aligned(memory, granularity));
                CHECK(info.BaseAddress == memory && info.AllocationBase == memory);
                CHECK(info.State == MEM_COMMIT && info.Type == MEM_PRIVATE);
                CHECK(info.Protect == PAGE_READWRITE);
                CHECK_SIZE(info.RegionSize, whole_bytes);
                CHECK(is_filled((unsigned char *)memory, 0, whole_bytes));
                memset(memory, 0xA5, whole_bytes);
                source.release(source.context, memory, sizes[s], align_bytes);
                CHECK(region_of(memory).State == MEM_FREE);
            }
        }
    }
}

static void pages_that_are_used_again_are_zero_again(void) {
    aegis_source source = aegis_source_pages(0);
    size_t same_count = 0;
    void *before = NULL;
    for (int i = 0; i < 100; i++) {
        void *memory = acquire(&source, 100000, 16);
        CHECK(is_filled((unsigned char *)memory, 0, 100000));
        memset(memory, 0xA5, 100000);
        same_count += memory == before;
        before = memory;
        source.release(source.context, memory, 100000, 16);
    }
    CHECK(same_count != 0); /* or the test has shown nothing */
}

/* Takes and releases pieces whose alignment is larger than what the system gives by itself. */
static DWORD WINAPI take_aligned_pages(void *argument) {
    aegis_source source = aegis_source_pages(0);
    const size_t align_bytes = (size_t)1 << 20;
    bool zeroed;
    size_t *wrong_count = (size_t *)argument;
    for (int round = 0; round < 50; round++) {
        void *memory[8];
        for (size_t i = 0; i < 8; i++) {
            memory[i] = source.acquire(source.context, 10000, align_bytes, &zeroed);
            *wrong_count += memory[i] == NULL || !is_aligned(memory[i], align_bytes);
        }
        for (size_t i = 0; i < 8; i++)
            if (memory[i] != NULL)
                source.release(source.context, memory[i], 10000, align_bytes);
    }
    return 0;
}

/* Between the search for an aligned address and its use, another thread may take the address. */
static void threads_that_want_aligned_pages_at_once_get_them(void) {
    HANDLE threads[THREADS];
    size_t wrong_counts[THREADS] = {0};
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = CreateThread(NULL, 0, take_aligned_pages, &wrong_counts[i], 0, NULL);
        CHECK(threads[i] != NULL);
    }
    CHECK(WaitForMultipleObjects(THREADS, threads, TRUE, INFINITE) != WAIT_FAILED);
    for (size_t i = 0; i < THREADS; i++) {
        CHECK_SIZE(wrong_counts[i], 0);
        CHECK(CloseHandle(threads[i]));
    }
}

static char path[MAX_PATH + 1];

static unsigned char byte_at(size_t position) {
    return (unsigned char)(position * 7 + position / 256);
}

/* Makes a file of so many bytes at `path` and returns it open. */
static HANDLE file_of(size_t size_bytes) {
    char folder[MAX_PATH + 1];
    CHECK(GetTempPathA(sizeof folder, folder) != 0);
    CHECK(GetTempFileNameA(folder, "agm", 0, path) != 0);
    HANDLE file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE,
                              FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    CHECK(file != INVALID_HANDLE_VALUE);
    unsigned char *bytes = (unsigned char *)malloc(size_bytes + 1);
    for (size_t i = 0; i < size_bytes; i++)
        bytes[i] = byte_at(i);
    DWORD written = 0;
    CHECK(WriteFile(file, bytes, (DWORD)size_bytes, &written, NULL) && written == size_bytes);
    free(bytes);
    return file;
}

static void drop_file(HANDLE file) {
    CHECK(CloseHandle(file));
    CHECK(DeleteFileA(path));
}

static bool is_piece(const aegis_buffer *view, size_t offset, size_t length) {
    if (view->data == NULL || view->length != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (view->data[i] != byte_at(offset + i))
            return false;
    return true;
}

static size_t handle_count(void) {
    DWORD count = 0;
    CHECK(GetProcessHandleCount(GetCurrentProcess(), &count));
    return count;
}

static void mapped_file_is_a_view_until_the_last_release(void) {
    HANDLE file = file_of(200000);
    size_t before = handle_count();
    aegis_buffer view, part;
    CHECK(aegis_buffer_map_file(&view, path, NULL) == AEGIS_OK);
    CHECK(is_piece(&view, 0, 200000) && aegis_buffer_check_file(&view) == AEGIS_OK);
    MEMORY_BASIC_INFORMATION info = region_of(view.data);
    CHECK(info.Type == MEM_MAPPED && info.Protect == PAGE_READONLY);
    CHECK(aegis_buffer_slice(&view, 70000, 80000, &part) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK(is_piece(&part, 70000, 10000));
    const void *mapped = part.data;
    CHECK(aegis_buffer_release(&part) == AEGIS_OK);
    CHECK(region_of(mapped).State == MEM_FREE);
    CHECK_SIZE(handle_count(), before);
    drop_file(file);
}

static void piece_may_begin_and_end_anywhere(void) {
    size_t step = granularity_bytes(), size_bytes = 2 * step + 100;
    const size_t ends[] = {0, 1, PAGE_BYTES, step - 1, step, step + 1, 2 * step, size_bytes};
    const size_t count = sizeof ends / sizeof *ends;
    HANDLE file = file_of(size_bytes);
    size_t before = handle_count();
    aegis_buffer view;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i; k < count; k++) {
            CHECK(aegis_buffer_map_descriptor(&view, (intptr_t)file, ends[i], ends[k] - ends[i],
                                              NULL) == AEGIS_OK);
            CHECK(is_piece(&view, ends[i], ends[k] - ends[i]));
            CHECK(aegis_buffer_release(&view) == AEGIS_OK);
        }
        CHECK(aegis_buffer_map_descriptor(&view, (intptr_t)file, ends[i], SIZE_MAX, NULL) ==
              AEGIS_OK);
        CHECK(is_piece(&view, ends[i], size_bytes - ends[i]));
        CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    }
    CHECK_SIZE(handle_count(), before);
    drop_file(file);
}

static void expect_refusal(HANDLE file, uint64_t offset, size_t length, aegis_status expected,
                           DWORD expected_error) {
    aegis_buffer view = {NULL, 1, NULL};
    int os_error = -1;
    size_t before = handle_count();
    CHECK(aegis_buffer_map_descriptor(&view, (intptr_t)file, offset, length, &os_error) ==
          expected);
    CHECK(is_no_buffer(&view));
    CHECK_SIZE(os_error, expected_error);
    CHECK_SIZE(handle_count(), before);
}

static void what_cannot_be_mapped_is_refused_with_the_systems_reason(void) {
    HANDLE file = file_of(1000);
    expect_refusal(file, 1001, SIZE_MAX, AEGIS_E_INVALID, 0);
    expect_refusal(file, 1000, 1, AEGIS_E_INVALID, 0);
    expect_refusal(file, 1, SIZE_MAX - 1, AEGIS_E_INVALID, 0);
    expect_refusal(file, UINT64_MAX, SIZE_MAX, AEGIS_E_INVALID, 0);
    expect_refusal(INVALID_HANDLE_VALUE, 0, 1, AEGIS_E_INVALID, 0);
    HANDLE write_only = CreateFileA(path, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                    OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    CHECK(write_only != INVALID_HANDLE_VALUE);
    expect_refusal(write_only, 0, SIZE_MAX, AEGIS_E_IO, ERROR_ACCESS_DENIED);
    CHECK(CloseHandle(write_only));
    drop_file(file);
    HANDLE from, to;
    CHECK(CreatePipe(&from, &to, NULL, 0));
    expect_refusal(from, 0, SIZE_MAX, AEGIS_E_INVALID, 0);
    CHECK(CloseHandle(from) && CloseHandle(to));
    aegis_buffer view;
    int os_error = -1;
    CHECK(aegis_buffer_map_file(&view, ".", &os_error) == AEGIS_E_INVALID);
    CHECK(is_no_buffer(&view) && os_error == 0);
    CHECK(aegis_buffer_map_file(&view, "NUL", &os_error) == AEGIS_E_INVALID);
    CHECK(is_no_buffer(&view) && os_error == 0);
    CHECK(aegis_buffer_map_file(&view, path, &os_error) == AEGIS_E_IO);
    CHECK(is_no_buffer(&view) && os_error == ERROR_FILE_NOT_FOUND);
}

static void empty_file_is_an_empty_view(void) {
    HANDLE file = file_of(0);
    aegis_buffer view;
    CHECK(aegis_buffer_map_file(&view, path, NULL) == AEGIS_OK);
    CHECK(view.data != NULL && view.length == 0);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    drop_file(file);
}

static void set_size(HANDLE file, uint64_t size_bytes) {
    LARGE_INTEGER end;
    end.QuadPart = (LONGLONG)size_bytes;
    CHECK(SetFilePointerEx(file, end, NULL, FILE_BEGIN) && SetEndOfFile(file));
}

/* A piece behind the first 4 GiB, and a file that is cut off after the piece was unmapped. */
static void end_of_a_file_larger_than_32_bits_can_be_mapped(void) {
    uint64_t size_bytes = (uint64_t)5 << 30;
    DWORD count = 0;
    HANDLE file = file_of(0);
    /* If the file system has no sparse files, the test only takes longer. */
    (void)DeviceIoControl(file, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &count, NULL);
    set_size(file, size_bytes - 5);
    CHECK(WriteFile(file, "abcde", 5, &count, NULL) && count == 5);
    aegis_buffer view;
    CHECK(aegis_buffer_map_descriptor(&view, (intptr_t)file, size_bytes - 5, SIZE_MAX, NULL) ==
          AEGIS_OK);
    CHECK(holds(&view, "abcde", 5) && aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    set_size(file, 10);
    expect_refusal(file, size_bytes - 5, SIZE_MAX, AEGIS_E_INVALID, 0);
    drop_file(file);
}

int main(void) {
    RUN(pages_are_reserved_and_committed_alone_until_they_are_released);
    RUN(pages_that_are_used_again_are_zero_again);
    RUN(threads_that_want_aligned_pages_at_once_get_them);
    RUN(mapped_file_is_a_view_until_the_last_release);
    RUN(piece_may_begin_and_end_anywhere);
    RUN(what_cannot_be_mapped_is_refused_with_the_systems_reason);
    RUN(empty_file_is_an_empty_view);
    RUN(end_of_a_file_larger_than_32_bits_can_be_mapped);
    return check_finish();
}

#else

int main(void) {
    printf("not Windows: 1 passed, 0 failed\n");
    return 0;
}

#endif
