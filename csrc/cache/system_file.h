/* SPDX-License-Identifier: Apache-2.0 */
/* What the file store asks of the system. If a call fails with AEGIS_E_IO, it stores the system's
 * error in `*os_error`. Not installed. */
#ifndef AEGIS_MEMORY_I_CACHE_SYSTEM_FILE_H
#define AEGIS_MEMORY_I_CACHE_SYSTEM_FILE_H

#include "store.h"

#if defined(_WIN32) || defined(__unix__) || defined(__APPLE__)
#define AEGIS_I_HAS_FILES 1
#endif

#if (defined(__linux__) && !defined(__ANDROID__)) || defined(__FreeBSD__) ||                       \
    defined(__NetBSD__) || defined(__OpenBSD__) || defined(__DragonFly__)
/* The system has preadv and pwritev. */
#define AEGIS_I_HAS_VECTORS 1
#include <sys/uio.h>
typedef struct iovec aegis_i_file_piece;
#else
typedef struct aegis_i_file_piece {
    void *iov_base;
    size_t iov_len;
} aegis_i_file_piece;
#endif

/* The most of one system call: Linux transfers no more than 2 GiB, and takes no more than 1024
 * pieces. */
#define AEGIS_I_TRANSFER_PIECES 256
#define AEGIS_I_TRANSFER_BYTES AEGIS_STORE_MAX_PAGE_BYTES

/* What is left to be read or written: the pieces from `first` on, which lie at `offset`. */
typedef struct aegis_i_transfer {
    bool writes;
    uint64_t offset;
    size_t first;
    size_t count;
    /* Of all pieces when the transfer began. */
    size_t size_bytes;
    aegis_i_file_piece pieces[AEGIS_I_TRANSFER_PIECES];
} aegis_i_transfer;

/* Opens a path with AEGIS_STORE_* flags. AEGIS_E_INVALID if it is not a regular file. */
AEGIS_I_HIDDEN aegis_status aegis_i_file_open(const char *path, uint32_t flags, intptr_t *file,
                                              int *os_error);
AEGIS_I_HIDDEN aegis_status aegis_i_file_duplicate(intptr_t file, intptr_t *copy, int *os_error);
AEGIS_I_HIDDEN void aegis_i_file_close(intptr_t file);
/* AEGIS_E_INVALID if it is not a regular file. */
AEGIS_I_HIDDEN aegis_status aegis_i_file_size(intptr_t file, uint64_t *size_bytes, int *os_error);
/* Whether transfers of an open file go past the system's cache; `said`, if the system does not
 * tell. */
AEGIS_I_HIDDEN bool aegis_i_file_is_direct(intptr_t file, bool said);
/* One system call, which transfers some of the bytes, and at most the first piece where the system
 * has no call for several. A read of nothing is the end of the file. */
AEGIS_I_HIDDEN aegis_status aegis_i_file_transfer(intptr_t file, aegis_i_transfer *todo,
                                                  size_t *done_bytes, int *os_error);
AEGIS_I_HIDDEN aegis_status aegis_i_file_sync(intptr_t file, int *os_error);
AEGIS_I_HIDDEN aegis_status aegis_i_file_truncate(intptr_t file, uint64_t size_bytes,
                                                  int *os_error);

#endif
