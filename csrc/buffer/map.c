/* SPDX-License-Identifier: Apache-2.0 */
/* Views of files. The owner has a read-only mapping of the file. It also has a descriptor of its
 * own, by which it can later ask how long the file is then (mapped_check).
 *
 * Files that the system makes up while they are read (/proc, /sys) have a length of 0 or cannot be
 * mapped. Such a file is read into a copy on the C heap, and the view is a view of the copy
 * (read_piece). It may have no end, so a file that has more than READ_MAX_BYTES is refused.
 *
 * The system may cancel a thread while it opens or closes a file. Then memory and descriptors that
 * the thread has at that moment would leak, so no thread is cancelled here
 * (aegis_i_uncancelled_begin).
 *
 * A mapping must begin at a multiple of the system's step. So the mapping of a piece begins up to
 * one step before the piece (map_piece). The view of a piece of 0 bytes has no owner. What differs
 * from system to system is in the small functions below, up to unmap. If one of them fails, it
 * stores the system's error in `*os_error`. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC, O_CLOEXEC */
#endif
#if !defined(_WIN32) && !defined(_FILE_OFFSET_BITS)
#define _FILE_OFFSET_BITS 64
#endif

#include "owner.h"
#include "../base/cancel.h"

#include <stdlib.h>

/* The most that is read of a file that cannot be mapped. */
#define READ_MAX_BYTES ((size_t)64 << 20)
/* The first piece that is read. */
#define READ_START_BYTES ((size_t)4096)

#if defined(_WIN32)
#include <windows.h>
#elif defined(__unix__) || defined(__APPLE__)
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define AEGIS_I_HAS_FILES 1
#endif

#if defined(AEGIS_I_HAS_FILES)

/* The system's error for what is not a regular file. */
static int kind_error(mode_t mode) {
    if (S_ISDIR(mode))
        return EISDIR;
    return S_ISFIFO(mode) || S_ISSOCK(mode) ? ESPIPE : ENODEV;
}

/* Opens a file for reading. It does not wait for the writer of a pipe. It opens no device, because
 * some devices act as soon as they are opened. */
static aegis_status file_open(const char *path, intptr_t *file, int *os_error) {
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        *os_error = kind_error(status.st_mode);
        return AEGIS_E_INVALID;
    }
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    *os_error = descriptor < 0 ? errno : 0;
    *file = descriptor;
    return descriptor < 0 ? AEGIS_E_IO : AEGIS_OK;
}

static aegis_status file_duplicate(intptr_t file, intptr_t *copy, int *os_error) {
    int descriptor = fcntl((int)file, F_DUPFD_CLOEXEC, 0);
    *os_error = descriptor < 0 ? errno : 0;
    *copy = descriptor;
    return descriptor < 0 ? AEGIS_E_IO : AEGIS_OK;
}

static void file_close(intptr_t file) {
    (void)close((int)file);
}

/* AEGIS_E_INVALID if it is not a regular file. */
static aegis_status file_size(intptr_t file, uint64_t *size_bytes, int *os_error) {
    struct stat status;
    if (fstat((int)file, &status) != 0) {
        *os_error = errno;
        return AEGIS_E_IO;
    }
    *size_bytes = (uint64_t)status.st_size;
    *os_error = S_ISREG(status.st_mode) ? 0 : kind_error(status.st_mode);
    return S_ISREG(status.st_mode) ? AEGIS_OK : AEGIS_E_INVALID;
}

/* Reads from `offset` and does not move the file's position. Reads 0 bytes at the end of the file.
 */
static aegis_status file_read(intptr_t file, uint64_t offset, void *into, size_t size_bytes,
                              size_t *read_bytes, int *os_error) {
    ssize_t count = -1;
    do
        count = pread((int)file, into, size_bytes, (off_t)offset);
    while (count < 0 && errno == EINTR);
    *os_error = count < 0 ? errno : 0;
    *read_bytes = count < 0 ? 0 : (size_t)count;
    return count < 0 ? AEGIS_E_IO : AEGIS_OK;
}

/* The error for a file that must be read and is longer than READ_MAX_BYTES. */
static int too_large_error(void) {
    return EFBIG;
}

/* Whether a mapping failed because files of this kind cannot be mapped. */
static bool has_no_mappings(int os_error) {
    return os_error == ENODEV;
}

/* The offset of a mapping must be a multiple of this. */
static size_t map_step_bytes(void) {
    long bytes = sysconf(_SC_PAGESIZE);
    return bytes > 0 ? (size_t)bytes : 4096;
}

static void *map(intptr_t file, uint64_t offset, size_t size_bytes, int *os_error) {
    /* Private, because nothing is written, and more file systems allow it than shared mappings. */
    void *mapped = mmap(NULL, size_bytes, PROT_READ, MAP_PRIVATE, (int)file, (off_t)offset);
    *os_error = mapped == MAP_FAILED ? errno : 0;
    return mapped == MAP_FAILED ? NULL : mapped;
}

static void unmap(void *mapped, size_t size_bytes) {
    (void)munmap(mapped, size_bytes);
}

#elif defined(_WIN32)

/* Keeps the reason of the call that has just failed. */
static aegis_status file_fail(int *os_error) {
    *os_error = (int)GetLastError();
    return AEGIS_E_IO;
}

static aegis_status file_open(const char *path, intptr_t *file, int *os_error) {
    /* A directory cannot be opened in this way. The status says that it is not a regular file. */
    DWORD attributes = GetFileAttributesA(path);
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
        return AEGIS_E_INVALID;
    HANDLE handle =
        CreateFileA(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                    NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    *file = (intptr_t)handle;
    return handle == INVALID_HANDLE_VALUE ? file_fail(os_error) : AEGIS_OK;
}

static aegis_status file_duplicate(intptr_t file, intptr_t *copy, int *os_error) {
    HANDLE process = GetCurrentProcess();
    HANDLE handle = NULL;
    BOOL done =
        DuplicateHandle(process, (HANDLE)file, process, &handle, 0, FALSE, DUPLICATE_SAME_ACCESS);
    *copy = (intptr_t)handle;
    return done ? AEGIS_OK : file_fail(os_error);
}

static void file_close(intptr_t file) {
    (void)CloseHandle((HANDLE)file);
}

static aegis_status file_size(intptr_t file, uint64_t *size_bytes, int *os_error) {
    LARGE_INTEGER size;
    if (GetFileType((HANDLE)file) != FILE_TYPE_DISK)
        return AEGIS_E_INVALID;
    if (!GetFileSizeEx((HANDLE)file, &size))
        return file_fail(os_error);
    *size_bytes = (uint64_t)size.QuadPart;
    return AEGIS_OK;
}

/* The system knows the length of every file on a disk and can map it, so no file has to be read. */
static aegis_status file_read(intptr_t file, uint64_t offset, void *into, size_t size_bytes,
                              size_t *read_bytes, int *os_error) {
    (void)file;
    (void)offset;
    (void)into;
    (void)size_bytes;
    (void)os_error;
    *read_bytes = 0;
    return AEGIS_OK;
}

static int too_large_error(void) {
    return ERROR_FILE_TOO_LARGE;
}

static bool has_no_mappings(int os_error) {
    (void)os_error;
    return false;
}

static size_t map_step_bytes(void) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    return system.dwAllocationGranularity;
}

static void *map(intptr_t file, uint64_t offset, size_t size_bytes, int *os_error) {
    HANDLE mapping = CreateFileMappingA((HANDLE)file, NULL, PAGE_READONLY, 0, 0, NULL);
    if (mapping == NULL) {
        (void)file_fail(os_error);
        return NULL;
    }
    void *mapped = MapViewOfFile(mapping, FILE_MAP_READ, (DWORD)(offset >> 32),
                                 (DWORD)(offset & UINT32_MAX), size_bytes);
    if (mapped == NULL)
        (void)file_fail(os_error);
    /* The view keeps the mapping. */
    (void)CloseHandle(mapping);
    return mapped;
}

static void unmap(void *mapped, size_t size_bytes) {
    (void)size_bytes;
    (void)UnmapViewOfFile(mapped);
}

#else

/* No files that can be mapped are known here: every call is refused. */
static aegis_status file_open(const char *path, intptr_t *file, int *os_error) {
    (void)path;
    (void)file;
    (void)os_error;
    return AEGIS_E_IO;
}

static aegis_status file_duplicate(intptr_t file, intptr_t *copy, int *os_error) {
    (void)copy;
    return file_open(NULL, &file, os_error);
}

static void file_close(intptr_t file) {
    (void)file;
}

static aegis_status file_size(intptr_t file, uint64_t *size_bytes, int *os_error) {
    (void)size_bytes;
    return file_open(NULL, &file, os_error);
}

static aegis_status file_read(intptr_t file, uint64_t offset, void *into, size_t size_bytes,
                              size_t *read_bytes, int *os_error) {
    (void)offset;
    (void)into;
    (void)size_bytes;
    (void)read_bytes;
    return file_open(NULL, &file, os_error);
}

static int too_large_error(void) {
    return 0;
}

static bool has_no_mappings(int os_error) {
    (void)os_error;
    return false;
}

static size_t map_step_bytes(void) {
    return 1;
}

static void *map(intptr_t file, uint64_t offset, size_t size_bytes, int *os_error) {
    (void)offset;
    (void)size_bytes;
    (void)file_open(NULL, &file, os_error);
    return NULL;
}

static void unmap(void *mapped, size_t size_bytes) {
    (void)mapped;
    (void)size_bytes;
}

#endif

typedef struct mapped_memory {
    aegis_i_file_owner head;
    intptr_t file;
    /* The mapping; NULL if the piece has no bytes. */
    void *mapped;
    size_t mapped_bytes;
    /* The file must be at least this long, or some bytes of the mapping do not exist. */
    uint64_t end;
} mapped_memory;

static void mapped_release(aegis_buffer_owner *owner) {
    mapped_memory *memory = (mapped_memory *)(void *)owner;
    int state = aegis_i_uncancelled_begin();
    if (memory->mapped != NULL)
        unmap(memory->mapped, memory->mapped_bytes);
    file_close(memory->file);
    free(memory);
    aegis_i_uncancelled_end(state);
}

static aegis_status mapped_check(const aegis_i_file_owner *owner) {
    const mapped_memory *memory = (const mapped_memory *)(const void *)owner;
    uint64_t size_bytes = 0;
    int reason = 0;
    aegis_status status = file_size(memory->file, &size_bytes, &reason);
    return status == AEGIS_OK && size_bytes >= memory->end ? AEGIS_OK : AEGIS_E_IO;
}

/* Checks that a piece lies in a file of `size_bytes`. If `*length` is SIZE_MAX, which stands for
 * all bytes from the offset on, stores their number. */
static aegis_status piece_length(uint64_t size_bytes, uint64_t offset, size_t *length) {
    if (offset > size_bytes || (*length != SIZE_MAX && *length > size_bytes - offset))
        return AEGIS_E_INVALID;
    uint64_t piece_bytes = *length == SIZE_MAX ? size_bytes - offset : *length;
    if (piece_bytes > PTRDIFF_MAX - map_step_bytes())
        return AEGIS_E_INVALID_LAYOUT;
    *length = (size_t)piece_bytes;
    return AEGIS_OK;
}

/* Maps a piece of `memory->file`, and fills in the rest of `memory`. */
static aegis_status map_piece(mapped_memory *memory, uint64_t offset, size_t length,
                              int *os_error) {
    uint64_t size_bytes = 0;
    aegis_status status = file_size(memory->file, &size_bytes, os_error);
    if (status == AEGIS_OK)
        status = piece_length(size_bytes, offset, &length);
    if (status != AEGIS_OK)
        return status;
    size_t lead_bytes = (size_t)(offset % map_step_bytes());
    aegis_buffer_owner owner = {1, mapped_release, NULL, length, 0, lead_bytes + length};
    memory->end = offset + length;
    memory->mapped = NULL;
    memory->mapped_bytes = owner.retained_bytes;
    if (length != 0) {
        memory->mapped = map(memory->file, offset - lead_bytes, memory->mapped_bytes, os_error);
        if (memory->mapped == NULL)
            return AEGIS_E_IO;
        owner.base = (unsigned char *)memory->mapped + lead_bytes;
    }
    memory->head.owner = owner;
    memory->head.check = mapped_check;
    return AEGIS_OK;
}

/* Maps a piece. On success the view owns `file`. On failure the caller still owns it. */
static aegis_status map_own(aegis_buffer *buffer, intptr_t file, uint64_t offset, size_t length,
                            int *os_error) {
    aegis_status status = AEGIS_E_OUT_OF_MEMORY;
    mapped_memory *memory = (mapped_memory *)malloc(sizeof *memory);
    if (memory != NULL) {
        memory->file = file;
        status = map_piece(memory, offset, length, os_error);
    }
    if (status == AEGIS_OK) {
        *buffer = aegis_buffer_adopt(&memory->head.owner);
        memory->head.owner.flags |= AEGIS_I_BUFFER_FILE;
        if (buffer->length == 0)
            (void)aegis_buffer_slice(buffer, 0, 0, buffer);
    } else {
        free(memory);
    }
    return status;
}

/* Appends the bytes of the file up to `end`, or up to the end of the file if that comes first. It
 * may append some bytes behind `end` too. */
static aegis_status read_up_to(aegis_buffer_mut *writer, intptr_t file, uint64_t end,
                               int *os_error) {
    aegis_status status = AEGIS_OK;
    size_t read_bytes = SIZE_MAX;
    while (status == AEGIS_OK && read_bytes != 0 && writer->length < end) {
        if (writer->length > READ_MAX_BYTES) {
            *os_error = too_large_error();
            return AEGIS_E_IO;
        }
        if (writer->length == writer->capacity)
            status = aegis_buffer_mut_reserve(writer, writer->length, NULL, NULL);
        if (status == AEGIS_OK)
            status = file_read(file, writer->length, writer->data + writer->length,
                               writer->capacity - writer->length, &read_bytes, os_error);
        if (status == AEGIS_OK)
            writer->length += read_bytes;
    }
    return status;
}

/* Makes a view of a copy of a piece, for a file whose length is known only after reading it. The
 * bytes before the piece are read too, because only this shows whether the piece lies in the file.
 */
static aegis_status read_piece(aegis_buffer *buffer, intptr_t file, uint64_t offset, size_t length,
                               int *os_error) {
    bool is_bounded = length != SIZE_MAX && length <= UINT64_MAX - offset;
    aegis_buffer_mut writer;
    aegis_status status = aegis_buffer_mut_alloc(&writer, READ_START_BYTES, 0, NULL, NULL);
    if (status != AEGIS_OK)
        return status;
    status = read_up_to(&writer, file, is_bounded ? offset + length : UINT64_MAX, os_error);
    if (status == AEGIS_OK)
        status = piece_length(writer.length, offset, &length);
    if (status != AEGIS_OK) {
        (void)aegis_buffer_mut_release(&writer);
        return status;
    }
    *buffer = aegis_buffer_mut_freeze(&writer);
    return aegis_buffer_slice(buffer, (size_t)offset, (size_t)offset + length, buffer);
}

/* Makes the view, and takes over `file`: if the view does not own it in the end, it is closed. */
static aegis_status view_own(aegis_buffer *buffer, intptr_t file, uint64_t offset, size_t length,
                             int *os_error) {
    uint64_t size_bytes = 0;
    aegis_status status = file_size(file, &size_bytes, os_error);
    bool must_read = status == AEGIS_OK && size_bytes == 0;
    if (status == AEGIS_OK && !must_read) {
        status = map_own(buffer, file, offset, length, os_error);
        if (status == AEGIS_OK)
            return AEGIS_OK;
        must_read =
            status == AEGIS_E_IO && has_no_mappings(*os_error) && size_bytes <= READ_MAX_BYTES;
    }
    if (must_read)
        status = read_piece(buffer, file, offset, length, os_error);
    file_close(file);
    return status;
}

aegis_status aegis_buffer_map_file(aegis_buffer *buffer, const char *path, int *os_error) {
    int reason = 0;
    intptr_t file = 0;
    memset(buffer, 0, sizeof *buffer);
    int state = aegis_i_uncancelled_begin();
    aegis_status status = file_open(path, &file, &reason);
    if (status == AEGIS_OK)
        status = view_own(buffer, file, 0, SIZE_MAX, &reason);
    aegis_i_uncancelled_end(state);
    if (status != AEGIS_OK && os_error != NULL)
        *os_error = reason;
    return status;
}

aegis_status aegis_buffer_map_descriptor(aegis_buffer *buffer, intptr_t file, uint64_t offset,
                                         size_t length, int *os_error) {
    int reason = 0;
    intptr_t copy = 0;
    memset(buffer, 0, sizeof *buffer);
    int state = aegis_i_uncancelled_begin();
    aegis_status status = file_duplicate(file, &copy, &reason);
    if (status == AEGIS_OK)
        status = view_own(buffer, copy, offset, length, &reason);
    aegis_i_uncancelled_end(state);
    if (status != AEGIS_OK && os_error != NULL)
        *os_error = reason;
    return status;
}
