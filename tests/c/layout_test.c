/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that every public struct has the layout that is written down in tests/abi/, so that no
 * change of a struct goes unseen. There is a file for each way in which compilers lay these structs
 * out: with 64-bit pointers, with 32-bit pointers, and the latter with 64-bit numbers at multiples
 * of 4, as on i386. Needs no library. With an argument it writes the
 * file: docs/contributing.md says when that is right. */
#include "check.h"
#include "layouts.h"

#define FILE_BYTES 65536

typedef struct number {
    char before;
    uint64_t value;
} number;

static const char *file_name(void) {
    if (sizeof(void *) == 8)
        return "tests/abi/layout_64.txt";
    return offsetof(number, value) == 8 ? "tests/abi/layout_32.txt" : "tests/abi/layout_i386.txt";
}

/* Writes all layouts as text. */
static size_t describe(char *text) {
    size_t length = 0;
    length += (size_t)snprintf(
        text, FILE_BYTES,
        "# SPDX-License-Identifier: Apache-2.0\n"
        "# The public structs of version %d.%d: size and alignment. Their fields: offset and "
        "size.\n"
        "# tests/layouts writes this file; docs/contributing.md says what a change means.\n",
        AEGIS_VERSION_MAJOR, AEGIS_VERSION_MINOR);
    for (size_t i = 0; i < LAYOUT_LINES && length < FILE_BYTES; i++) {
        const layout_line *line = &layouts[i];
        bool is_struct = line->field == NULL;
        length += (size_t)snprintf(
            text + length, FILE_BYTES - length, is_struct ? "%s %zu %zu\n" : "    %s %zu %zu\n",
            is_struct ? line->type : line->field, is_struct ? line->size_bytes : line->place,
            is_struct ? line->place : line->size_bytes);
    }
    return length;
}

/* The first line in which the texts differ. */
static void show_difference(const char *kept, const char *fresh) {
    size_t start = 0;
    for (size_t i = 0; kept[i] == fresh[i]; i++)
        start = kept[i] == '\n' ? i + 1 : start;
    fprintf(stderr, "%s has \"%.*s\", the headers have \"%.*s\"\n", file_name(),
            (int)strcspn(kept + start, "\n"), kept + start, (int)strcspn(fresh + start, "\n"),
            fresh + start);
}

static bool writes;

static void every_struct_has_the_layout_that_is_written_down(void) {
    static char kept[FILE_BYTES + 1], fresh[FILE_BYTES + 1];
    size_t length = describe(fresh);
    CHECK(length < FILE_BYTES);
    FILE *file = fopen(file_name(), writes ? "wb" : "rb");
    CHECK(file != NULL);
    if (file == NULL)
        return;
    if (writes) {
        CHECK_SIZE(fwrite(fresh, 1, length, file), length);
        CHECK(fclose(file) == 0);
        return;
    }
    kept[fread(kept, 1, FILE_BYTES, file)] = '\0';
    CHECK(fclose(file) == 0);
    bool same = strcmp(kept, fresh) == 0;
    if (!same)
        show_difference(kept, fresh);
    CHECK(same);
}

int main(int argument_count, char **arguments) {
    (void)arguments;
    writes = argument_count > 1;
    RUN(every_struct_has_the_layout_that_is_written_down);
    return check_finish();
}
