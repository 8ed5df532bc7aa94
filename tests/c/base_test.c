/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the status texts, the version and the build flags. Every status must have a text of its
 * own, and the library must say the same version as its headers. */
#include "support.h"

/* The lowest status that the header names; the header is searched for "AEGIS_E_". */
static aegis_status lowest_status(void) {
    char line[256];
    int lowest = 0;
    FILE *header = fopen("include/aegis_memory/base.h", "r");
    CHECK(header != NULL);
    while (header != NULL && fgets(line, sizeof line, header) != NULL) {
        char name[64];
        int value;
        if (sscanf(line, "#define AEGIS_E_%63s (%d)", name, &value) == 2 && value < lowest)
            lowest = value;
    }
    if (header != NULL)
        (void)fclose(header);
    CHECK(lowest <= AEGIS_E_IO);
    return lowest;
}

static void status_message_of_each_status_is_its_own_text(void) {
    for (aegis_status status = lowest_status(); status <= AEGIS_OK; status++) {
        const char *text = aegis_status_message(status);
        CHECK(text != NULL && text[0] != '\0');
        CHECK(strcmp(text, aegis_status_message(INT32_MAX)) != 0);
        for (aegis_status other = status + 1; other <= AEGIS_OK; other++)
            CHECK(strcmp(text, aegis_status_message(other)) != 0);
    }
}

static void status_message_of_no_status_is_a_fixed_text(void) {
    const char *text = aegis_status_message(INT32_MAX);
    CHECK(text != NULL && text[0] != '\0');
    CHECK(strcmp(text, aegis_status_message(INT32_MIN)) == 0);
    CHECK(strcmp(text, aegis_status_message(INT32_MAX)) == 0);
    CHECK(strcmp(text, aegis_status_message(lowest_status() - 1)) == 0);
}

static void status_ok_is_zero_and_errors_are_negative(void) {
    CHECK(AEGIS_OK == 0);
    CHECK(AEGIS_E_OUT_OF_MEMORY < 0 && AEGIS_E_LIMIT_EXCEEDED < 0 && AEGIS_E_INVALID_LAYOUT < 0 &&
          AEGIS_E_EXHAUSTED < 0 && AEGIS_E_INVALID < 0 && AEGIS_E_BUSY < 0);
}

static void version_of_library_equals_version_of_headers(void) {
    CHECK_SIZE(aegis_version(),
               AEGIS_VERSION_MAJOR * 10000 + AEGIS_VERSION_MINOR * 100 + AEGIS_VERSION_PATCH);
    CHECK_SIZE(AEGIS_VERSION, aegis_version());
}

static void library_fits_its_own_headers_and_older_ones_of_the_same_minor(void) {
    CHECK(aegis_version_fits(AEGIS_VERSION));
    CHECK(aegis_version_fits(AEGIS_VERSION_MAJOR * 10000 + AEGIS_VERSION_MINOR * 100));
    CHECK(!aegis_version_fits(AEGIS_VERSION + 1));
    CHECK(!aegis_version_fits(AEGIS_VERSION + 100));
    CHECK(!aegis_version_fits(AEGIS_VERSION + 10000));
    CHECK(!aegis_version_fits(AEGIS_VERSION - AEGIS_VERSION_PATCH - 1));
}

static void build_flags_are_known_and_tell_what_an_arena_gets(void) {
    uint32_t flags = aegis_build_flags();
    CHECK((flags & ~(AEGIS_BUILD_DEBUG | AEGIS_BUILD_ASAN | AEGIS_BUILD_VALGRIND)) == 0);
#if defined(TEST_ASAN)
    CHECK((flags & AEGIS_BUILD_ASAN) != 0);
#endif
    aegis_arena arena;
    CHECK(default_arena_init(&arena) == AEGIS_OK);
    unsigned char *first = (unsigned char *)aegis_arena_alloc(&arena, 8);
    unsigned char *second = (unsigned char *)aegis_arena_alloc(&arena, 8);
    CHECK(first != NULL && second != NULL);
    CHECK((second - first == 8) == (flags == 0));
    aegis_arena_fini(&arena);
}

enum { OLD_MINOR = AEGIS_VERSION_MINOR };
/* What a program does that has the headers of the next minor version. */
#undef AEGIS_VERSION_MINOR
#define AEGIS_VERSION_MINOR (OLD_MINOR + 1)

static void headers_of_another_version_are_noticed(void) {
    CHECK(AEGIS_VERSION == aegis_version() + 100);
    CHECK(!aegis_version_fits(AEGIS_VERSION));
}

int main(void) {
    RUN(status_message_of_each_status_is_its_own_text);
    RUN(status_message_of_no_status_is_a_fixed_text);
    RUN(status_ok_is_zero_and_errors_are_negative);
    RUN(version_of_library_equals_version_of_headers);
    RUN(library_fits_its_own_headers_and_older_ones_of_the_same_minor);
    RUN(headers_of_another_version_are_noticed);
    RUN(build_flags_are_known_and_tell_what_an_arena_gets);
    return check_finish();
}
