/* SPDX-License-Identifier: Apache-2.0 */
/* The status texts, the version, reports, and text building. */
#include "aegis_memory/base.h"
#include "text.h"
#include "cancel.h"
#include "harden.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

const char *aegis_status_message(aegis_status status) {
    switch (status) {
    case AEGIS_OK:
        return "success";
    case AEGIS_E_OUT_OF_MEMORY:
        return "the block source is out of memory";
    case AEGIS_E_LIMIT_EXCEEDED:
        return "a memory limit would be exceeded";
    case AEGIS_E_INVALID_LAYOUT:
        return "a size or number is too large, or an alignment no power of two";
    case AEGIS_E_EXHAUSTED:
        return "the memory of fixed size is exhausted";
    case AEGIS_E_INVALID:
        return "invalid argument";
    case AEGIS_E_BUSY:
        return "still in use";
    case AEGIS_E_IO:
        return "the operating system refused an operation on a file";
    case AEGIS_E_SOURCE:
        return "the block source broke its contract: its memory is not aligned as asked";
    case AEGIS_E_FORKED:
        return "the object was in use by another thread when the process forked";
    case AEGIS_E_CLOSED:
        return "the budget is closed";
    case AEGIS_PENDING:
        return "the request has to wait";
    case AEGIS_E_UNSUPPORTED:
        return "the system does not offer what the call needs";
    default:
        return "unknown status";
    }
}

uint32_t aegis_version(void) {
    return AEGIS_VERSION_MAJOR * 10000 + AEGIS_VERSION_MINOR * 100 + AEGIS_VERSION_PATCH;
}

uint32_t aegis_build_flags(void) {
    uint32_t flags = AEGIS_I_DEBUG ? AEGIS_BUILD_DEBUG : 0;
#if defined(AEGIS_I_ASAN)
    flags |= AEGIS_BUILD_ASAN;
#endif
#if defined(AEGIS_VALGRIND)
    flags |= AEGIS_BUILD_VALGRIND;
#endif
    return flags;
}

static void report_to_stderr(const char *message) {
    (void)fprintf(stderr, "aegis-memory: %s\n", message);
}

/* Relaxed: it is exchanged and read as a whole, and nothing else depends on its order. */
static _Atomic(aegis_report_fn) report_function = report_to_stderr;

aegis_report_fn aegis_set_report(aegis_report_fn report) {
    return atomic_exchange_explicit(&report_function, report, memory_order_relaxed);
}

void aegis_i_report(const char *format, ...) {
    aegis_report_fn report = atomic_load_explicit(&report_function, memory_order_relaxed);
    if (report == NULL)
        return;
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    /* The caller may be in the middle of a change, and writing is a cancellation point. */
    int state = aegis_i_uncancelled_begin();
    report(message);
    aegis_i_uncancelled_end(state);
}

void aegis_i_text_add(aegis_i_text *text, const char *format, ...) {
    size_t room_bytes = text->buffer_bytes > text->length ? text->buffer_bytes - text->length : 0;
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(room_bytes != 0 ? text->buffer + text->length : NULL, room_bytes, format,
                          arguments);
    va_end(arguments);
    text->length += added > 0 ? (size_t)added : 0;
}

void aegis_i_copy_name(char *to, const char *from, size_t bytes) {
    size_t length = strlen(from);
    if (length >= bytes) {
        length = bytes - 1;
        while (length > 0 && ((unsigned char)from[length] & 0xC0) == 0x80)
            length--;
    }
    memcpy(to, from, length);
    to[length] = '\0';
}
