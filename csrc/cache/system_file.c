/* SPDX-License-Identifier: Apache-2.0 */
/* What the file store asks of the system. A call that the system interrupts is repeated.
 *
 * A file that is made is durable only together with its name, which belongs to its folder
 * (sync_folder). On Windows the file system itself sees to that. */
#if !defined(_WIN32) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* preadv, O_DIRECT, F_DUPFD_CLOEXEC */
#endif
#if !defined(_WIN32) && !defined(_FILE_OFFSET_BITS)
#define _FILE_OFFSET_BITS 64
#endif
#if defined(_WIN32) && !defined(_WIN32_WINNT)
#define _WIN32_WINNT 0x0600 /* SetFileInformationByHandle */
#endif

#include "system_file.h"

#if defined(AEGIS_I_HAS_FILES)

#include <stdlib.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#if !defined(_WIN32)

static aegis_status system_fail(int *os_error) {
    *os_error = errno;
    return AEGIS_E_IO;
}

aegis_status aegis_i_file_size(intptr_t file, uint64_t *size_bytes, int *os_error) {
    struct stat status;
    if (fstat((int)file, &status) != 0)
        return system_fail(os_error);
    *size_bytes = (uint64_t)status.st_size;
    return S_ISREG(status.st_mode) ? AEGIS_OK : AEGIS_E_INVALID;
}

/* Makes the names in the folder of a file durable, if the system lets us ask for that. */
static aegis_status sync_folder(const char *path, int *os_error) {
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    char *folder = (char *)malloc(length + 2);
    if (folder == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    memcpy(folder, path, length);
    memcpy(folder + length, ".", 2);
    int file = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    free(folder);
    if (file < 0)
        return errno == EACCES ? AEGIS_OK : system_fail(os_error);
    aegis_status status = AEGIS_OK;
    if (fsync(file) != 0 && errno != EINVAL && errno != EBADF)
        status = system_fail(os_error);
    (void)close(file);
    return status;
}

static int open_flags(uint32_t flags) {
    int mode = (flags & AEGIS_STORE_READ_ONLY) != 0 ? O_RDONLY : O_RDWR;
#if defined(O_DIRECT)
    if ((flags & AEGIS_STORE_DIRECT) != 0)
        mode |= O_DIRECT;
#endif
    return mode | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
}

/* Makes transfers go past the system's cache where that is no flag of open. */
static aegis_status make_direct(int file, int *os_error) {
#if defined(O_DIRECT)
    (void)file;
    (void)os_error;
    return AEGIS_OK;
#elif defined(F_NOCACHE)
    return fcntl(file, F_NOCACHE, 1) == 0 ? AEGIS_OK : system_fail(os_error);
#else
    (void)file;
    (void)os_error;
    return AEGIS_E_UNSUPPORTED;
#endif
}

aegis_status aegis_i_file_open(const char *path, uint32_t flags, intptr_t *file, int *os_error) {
    struct stat found;
    /* Some devices act as soon as they are opened. */
    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode))
        return AEGIS_E_INVALID;
    bool made = false;
    int descriptor = open(path, open_flags(flags));
    if (descriptor < 0 && errno == ENOENT && (flags & AEGIS_STORE_CREATE) != 0) {
        made = true;
        descriptor = open(path, open_flags(flags) | O_CREAT, 0666);
    }
    if (descriptor < 0) {
        (void)system_fail(os_error);
        bool refused = (flags & AEGIS_STORE_DIRECT) != 0 && errno == EINVAL;
        return refused ? AEGIS_E_UNSUPPORTED : AEGIS_E_IO;
    }
    aegis_status status = made ? sync_folder(path, os_error) : AEGIS_OK;
    if (status == AEGIS_OK && (flags & AEGIS_STORE_DIRECT) != 0)
        status = make_direct(descriptor, os_error);
    if (status != AEGIS_OK)
        (void)close(descriptor);
    *file = descriptor;
    return status;
}

aegis_status aegis_i_file_duplicate(intptr_t file, intptr_t *copy, int *os_error) {
    int descriptor = fcntl((int)file, F_DUPFD_CLOEXEC, 0);
    *copy = descriptor;
    return descriptor < 0 ? system_fail(os_error) : AEGIS_OK;
}

bool aegis_i_file_is_direct(intptr_t file, bool said) {
#if defined(O_DIRECT)
    (void)said;
    return (fcntl((int)file, F_GETFL) & O_DIRECT) != 0;
#else
    (void)file;
    return said;
#endif
}

void aegis_i_file_close(intptr_t file) {
    (void)close((int)file);
}

aegis_status aegis_i_file_transfer(intptr_t file, aegis_i_transfer *todo, size_t *done_bytes,
                                   int *os_error) {
    int descriptor = (int)file;
    const aegis_i_file_piece *pieces = &todo->pieces[todo->first];
    off_t offset = (off_t)todo->offset;
    ssize_t done = -1;
    do {
#if defined(AEGIS_I_HAS_VECTORS)
        int count = (int)(todo->count - todo->first);
        done = todo->writes ? pwritev(descriptor, pieces, count, offset)
                            : preadv(descriptor, pieces, count, offset);
#else
        done = todo->writes ? pwrite(descriptor, pieces->iov_base, pieces->iov_len, offset)
                            : pread(descriptor, pieces->iov_base, pieces->iov_len, offset);
#endif
    } while (done < 0 && errno == EINTR);
    *done_bytes = done < 0 ? 0 : (size_t)done;
    return done < 0 ? system_fail(os_error) : AEGIS_OK;
}

aegis_status aegis_i_file_sync(intptr_t file, int *os_error) {
    int result = -1;
    do {
#if defined(__APPLE__)
        result = fcntl((int)file, F_FULLFSYNC);
        if (result != 0 && errno == ENOTSUP)
            result = fsync((int)file);
#elif defined(__linux__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
        result = fdatasync((int)file);
#else
        result = fsync((int)file);
#endif
    } while (result != 0 && errno == EINTR);
    return result != 0 ? system_fail(os_error) : AEGIS_OK;
}

aegis_status aegis_i_file_truncate(intptr_t file, uint64_t size_bytes, int *os_error) {
    int result = -1;
    do
        result = ftruncate((int)file, (off_t)size_bytes);
    while (result != 0 && errno == EINTR);
    return result != 0 ? system_fail(os_error) : AEGIS_OK;
}

#else

static aegis_status system_fail(int *os_error) {
    *os_error = (int)GetLastError();
    return AEGIS_E_IO;
}

aegis_status aegis_i_file_size(intptr_t file, uint64_t *size_bytes, int *os_error) {
    LARGE_INTEGER size;
    if (GetFileType((HANDLE)file) != FILE_TYPE_DISK)
        return AEGIS_E_INVALID;
    if (!GetFileSizeEx((HANDLE)file, &size))
        return system_fail(os_error);
    *size_bytes = (uint64_t)size.QuadPart;
    return AEGIS_OK;
}

/* The path as Windows takes it, on the C heap. */
static aegis_status widen(const char *path, WCHAR **wide) {
    int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0);
    if (length == 0)
        return AEGIS_E_INVALID;
    *wide = (WCHAR *)malloc((size_t)length * sizeof **wide);
    if (*wide == NULL)
        return AEGIS_E_OUT_OF_MEMORY;
    (void)MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, *wide, length);
    return AEGIS_OK;
}

static aegis_status open_wide(const WCHAR *path, uint32_t flags, intptr_t *file, int *os_error) {
    /* A directory cannot be opened in this way. The status says that it is not a regular file. */
    DWORD attributes = GetFileAttributesW(path);
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
        return AEGIS_E_INVALID;
    bool is_direct = (flags & AEGIS_STORE_DIRECT) != 0;
    DWORD access = GENERIC_READ;
    if ((flags & AEGIS_STORE_READ_ONLY) == 0)
        access |= GENERIC_WRITE;
    HANDLE handle =
        CreateFileW(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                    (flags & AEGIS_STORE_CREATE) != 0 ? OPEN_ALWAYS : OPEN_EXISTING,
                    is_direct ? FILE_FLAG_NO_BUFFERING : FILE_ATTRIBUTE_NORMAL, NULL);
    *file = (intptr_t)handle;
    if (handle != INVALID_HANDLE_VALUE)
        return AEGIS_OK;
    (void)system_fail(os_error);
    return is_direct && *os_error == ERROR_INVALID_PARAMETER ? AEGIS_E_UNSUPPORTED : AEGIS_E_IO;
}

aegis_status aegis_i_file_open(const char *path, uint32_t flags, intptr_t *file, int *os_error) {
    WCHAR *wide = NULL;
    aegis_status status = widen(path, &wide);
    if (status == AEGIS_OK)
        status = open_wide(wide, flags, file, os_error);
    free(wide);
    return status;
}

aegis_status aegis_i_file_duplicate(intptr_t file, intptr_t *copy, int *os_error) {
    HANDLE process = GetCurrentProcess();
    HANDLE handle = NULL;
    BOOL done =
        DuplicateHandle(process, (HANDLE)file, process, &handle, 0, FALSE, DUPLICATE_SAME_ACCESS);
    *copy = (intptr_t)handle;
    return done ? AEGIS_OK : system_fail(os_error);
}

bool aegis_i_file_is_direct(intptr_t file, bool said) {
    (void)file;
    return said;
}

void aegis_i_file_close(intptr_t file) {
    (void)CloseHandle((HANDLE)file);
}

/* With an offset of its own a transfer does not depend on the file's position. */
aegis_status aegis_i_file_transfer(intptr_t file, aegis_i_transfer *todo, size_t *done_bytes,
                                   int *os_error) {
    const aegis_i_file_piece *piece = &todo->pieces[todo->first];
    OVERLAPPED place;
    memset(&place, 0, sizeof place);
    place.Offset = (DWORD)(todo->offset & UINT32_MAX);
    place.OffsetHigh = (DWORD)(todo->offset >> 32);
    DWORD done = 0;
    BOOL good = todo->writes
                    ? WriteFile((HANDLE)file, piece->iov_base, (DWORD)piece->iov_len, &done, &place)
                    : ReadFile((HANDLE)file, piece->iov_base, (DWORD)piece->iov_len, &done, &place);
    *done_bytes = good ? done : 0;
    if (good || (!todo->writes && GetLastError() == ERROR_HANDLE_EOF))
        return AEGIS_OK;
    return system_fail(os_error);
}

aegis_status aegis_i_file_sync(intptr_t file, int *os_error) {
    return FlushFileBuffers((HANDLE)file) ? AEGIS_OK : system_fail(os_error);
}

aegis_status aegis_i_file_truncate(intptr_t file, uint64_t size_bytes, int *os_error) {
    FILE_END_OF_FILE_INFO end;
    end.EndOfFile.QuadPart = (LONGLONG)size_bytes;
    BOOL done = SetFileInformationByHandle((HANDLE)file, FileEndOfFileInfo, &end, sizeof end);
    return done ? AEGIS_OK : system_fail(os_error);
}

#endif

#endif
