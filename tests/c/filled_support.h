/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of filled structs share. A function of the library that fills a struct of the
 * caller must write every field of it, because Rust takes the struct as initialised afterwards.
 *
 * Each row of a table is a function, the parameter through which it fills a struct, and a call. The
 * call is made twice: with a struct full of 0xEE, and with one full of 0x11. A byte that keeps both
 * was left alone. The table of layouts.h says which bytes are a field's; padding may keep
 * what it was. tests/filled_structs.rs finds the functions that are in no table. */
#ifndef FILLED_SUPPORT_H
#define FILLED_SUPPORT_H

#include "layouts.h"
#include "pool_support.h"

/* Room for the largest public struct. */
#define FILLED_BYTES 4096
#define FILLED_FIRST 0xEE
#define FILLED_SECOND 0x11

typedef struct filled_row {
    const char *function;
    const char *parameter;
    const char *type;
    /* Makes the call, which must fail if `fails` is true. */
    void (*call)(void *out, bool fails);
    bool fails;
    /* In this call every field must be other than zero, except those that are named here. So a
     * filler that begins with an all-zero struct cannot forget one. NULL: any may be zero. */
    const char *zeroes;
} filled_row;

#define FILLS(function, parameter, type, call)                                                     \
    { #function, #parameter, #type, call, false, NULL }
#define FILLS_ON_FAILURE(function, parameter, type, call)                                          \
    { #function, #parameter, #type, call, true, NULL }
#define FILLS_ALL_BUT(function, parameter, type, call, zeroes)                                     \
    { #function, #parameter, #type, call, false, zeroes }

typedef union filled_place {
    max_align_t aligned;
    unsigned char bytes[FILLED_BYTES];
} filled_place;

static inline void filled_report(const filled_row *row, const char *field, const char *what) {
    check_report(row->function, row->fails, what);
    fprintf(stderr, "    %s(%s): %s.%s\n", row->function, row->parameter, row->type, field);
}

static inline bool filled_may_be_zero(const filled_row *row, const char *field) {
    size_t length = strlen(field);
    const char *found = row->zeroes == NULL ? field : strstr(row->zeroes, field);
    while (found != NULL && row->zeroes != NULL &&
           ((found != row->zeroes && found[-1] != ' ') ||
            (found[length] != '\0' && found[length] != ' ')))
        found = strstr(found + 1, field);
    return found != NULL;
}

/* Checks a field after both calls. */
static inline void filled_check_field(const filled_row *row, const layout_line *field,
                                      const filled_place *places) {
    const unsigned char *first = places[0].bytes + field->place;
    const unsigned char *second = places[1].bytes + field->place;
    bool alone = false;
    for (size_t i = 0; i < field->size_bytes; i++)
        alone = alone || (first[i] == FILLED_FIRST && second[i] == FILLED_SECOND);
    if (alone)
        filled_report(row, field->field, "a byte was left alone");
    if (is_filled(first, 0, field->size_bytes) && !filled_may_be_zero(row, field->field))
        filled_report(row, field->field, "the field is zero");
}

/* Makes the two calls of a row and checks every field, and that nothing behind the struct was
 * written. */
static inline void filled_check(const filled_row *row) {
    static filled_place places[2];
    size_t size_bytes = 0, field_count = 0;
    for (size_t i = 0; i < LAYOUT_LINES; i++)
        if (strcmp(layouts[i].type, row->type) == 0 && layouts[i].field == NULL)
            size_bytes = layouts[i].size_bytes;
    CHECK(size_bytes != 0 && size_bytes < FILLED_BYTES);
    for (size_t i = 0; i < 2; i++) {
        unsigned char pattern = i == 0 ? FILLED_FIRST : FILLED_SECOND;
        memset(&places[i], pattern, sizeof places[i]);
        row->call(&places[i], row->fails);
        if (!is_filled(places[i].bytes + size_bytes, pattern, FILLED_BYTES - size_bytes))
            filled_report(row, "?", "more than the struct was written");
    }
    for (size_t i = 0; i < LAYOUT_LINES; i++) {
        if (strcmp(layouts[i].type, row->type) != 0 || layouts[i].field == NULL)
            continue;
        filled_check_field(row, &layouts[i], places);
        field_count++;
    }
    CHECK(field_count != 0);
}

static inline void filled_check_all(const filled_row *rows, size_t count) {
    for (size_t i = 0; i < count; i++)
        filled_check(&rows[i]);
}

/* A source that always refuses. */
static inline void *filled_refuse(void *context, size_t size_bytes, size_t align_bytes,
                                  bool *zeroed) {
    (void)context;
    (void)size_bytes;
    (void)align_bytes;
    (void)zeroed;
    return NULL;
}

static const aegis_source filled_refusing = {filled_refuse, NULL, NULL, NULL};

#endif
