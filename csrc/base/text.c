/* SPDX-License-Identifier: Apache-2.0 */
/* The status texts, the version, reports, and text building. The texts are made by the C library's
 * vsnprintf. Without a C library (AEGIS_FREESTANDING) a small formatter takes its place. It knows
 * the conversions that the core's texts use, and no widths. */
#include "aegis_memory/base.h"
#include "text.h"
#include "arithmetic.h"
#include "atomics.h"
#include "cancel.h"
#include "harden.h"

#include <stdarg.h>
#if !defined(AEGIS_FREESTANDING)
#include <stdio.h>
#endif

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
    return AEGIS_VERSION;
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

#if !defined(AEGIS_FREESTANDING)

#define FORMAT vsnprintf

static void report_to_stderr(const char *message) {
    (void)fprintf(stderr, "aegis-memory: %s\n", message);
}

#define FIRST_REPORT report_to_stderr

#else

#define FORMAT format_text
/* There is no place to write to before the user sets a function. */
#define FIRST_REPORT NULL

static void put(aegis_i_text *text, char letter) {
    if (text->length + 1 < text->buffer_bytes)
        text->buffer[text->length] = letter;
    text->length++;
}

static void put_text(aegis_i_text *text, const char *letters) {
    while (*letters != '\0')
        put(text, *letters++);
}

static void put_number(aegis_i_text *text, unsigned long long number, unsigned base) {
    char digits[24];
    size_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    while (count != 0)
        put(text, digits[--count]);
}

/* Writes one conversion. Returns the end of its letters. */
static const char *put_value(aegis_i_text *text, const char *format, va_list *values) {
    switch (*format) {
    case 's':
        put_text(text, va_arg(*values, const char *));
        return format + 1;
    case 'd': /* never negative */
        put_number(text, (unsigned)va_arg(*values, int), 10);
        return format + 1;
    case 'l':
        put_number(text, va_arg(*values, unsigned long long), 10);
        return format + 3;
    case 'z':
        put_number(text, va_arg(*values, size_t), format[1] == 'x' ? 16 : 10);
        return format + 2;
    default:
        put(text, *format);
        return format + 1;
    }
}

static int format_text(char *buffer, size_t buffer_bytes, const char *format, va_list values) {
    aegis_i_text text = {buffer, buffer_bytes, 0};
    va_list left;
    va_copy(left, values);
    while (*format != '\0')
        if (*format == '%')
            format = put_value(&text, format + 1, &left);
        else
            put(&text, *format++);
    va_end(left);
    if (buffer_bytes != 0)
        buffer[aegis_i_min(text.length, buffer_bytes - 1)] = '\0';
    return (int)text.length;
}

#endif

/* Relaxed: it is exchanged and read as a whole, and nothing else depends on its order. */
static AEGIS_I_ATOMIC(aegis_report_fn) report_function = FIRST_REPORT;

aegis_report_fn aegis_set_report(aegis_report_fn report) {
    aegis_report_fn before = aegis_i_load(&report_function, memory_order_relaxed);
    while (!aegis_i_cas_weak(&report_function, &before, report, memory_order_relaxed,
                             memory_order_relaxed))
        continue;
    return before;
}

void aegis_i_report(const char *format, ...) {
    aegis_report_fn report = aegis_i_load(&report_function, memory_order_relaxed);
    if (report == NULL)
        return;
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    (void)FORMAT(message, sizeof message, format, arguments);
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
    int added =
        FORMAT(room_bytes != 0 ? text->buffer + text->length : NULL, room_bytes, format, arguments);
    va_end(arguments);
    text->length += added > 0 ? (size_t)added : 0;
}

void aegis_i_copy_name(char *to, const char *from, size_t bytes) {
    size_t length = aegis_i_length(from);
    if (length >= bytes) {
        length = bytes - 1;
        while (length > 0 && ((unsigned char)from[length] & 0xC0) == 0x80)
            length--;
    }
    memcpy(to, from, length);
    to[length] = '\0';
}
