/* SPDX-License-Identifier: Apache-2.0 */
/* The status texts and the version. */
#include "support.h"

static void status_message_of_each_status_is_its_own_text(void) {
    static const aegis_status statuses[] = {
        AEGIS_OK,          AEGIS_E_OUT_OF_MEMORY, AEGIS_E_LIMIT_EXCEEDED, AEGIS_E_INVALID_LAYOUT,
        AEGIS_E_EXHAUSTED, AEGIS_E_INVALID,       AEGIS_E_BUSY,           AEGIS_E_IO,
        AEGIS_E_FORKED};
    size_t count = sizeof statuses / sizeof statuses[0];
    for (size_t i = 0; i < count; i++) {
        const char *text = aegis_status_message(statuses[i]);
        CHECK(text != NULL && text[0] != '\0');
        CHECK(strcmp(text, aegis_status_message(1)) != 0);
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(text, aegis_status_message(statuses[j])) != 0);
    }
}

static void status_message_of_no_status_is_a_fixed_text(void) {
    const char *text = aegis_status_message(1);
    CHECK(text != NULL && text[0] != '\0');
    CHECK(strcmp(text, aegis_status_message(INT32_MIN)) == 0);
    CHECK(strcmp(text, aegis_status_message(INT32_MAX)) == 0);
    CHECK(strcmp(text, aegis_status_message(AEGIS_E_FORKED - 1)) == 0);
}

static void status_ok_is_zero_and_errors_are_negative(void) {
    CHECK(AEGIS_OK == 0);
    CHECK(AEGIS_E_OUT_OF_MEMORY < 0 && AEGIS_E_LIMIT_EXCEEDED < 0 && AEGIS_E_INVALID_LAYOUT < 0 &&
          AEGIS_E_EXHAUSTED < 0 && AEGIS_E_INVALID < 0 && AEGIS_E_BUSY < 0);
}

static void version_of_library_equals_version_of_headers(void) {
    CHECK_SIZE(aegis_version(),
               AEGIS_VERSION_MAJOR * 10000 + AEGIS_VERSION_MINOR * 100 + AEGIS_VERSION_PATCH);
}

int main(void) {
    RUN(status_message_of_each_status_is_its_own_text);
    RUN(status_message_of_no_status_is_a_fixed_text);
    RUN(status_ok_is_zero_and_errors_are_negative);
    RUN(version_of_library_equals_version_of_headers);
    return check_finish();
}
