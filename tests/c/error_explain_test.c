/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the sentences that aegis_error_explain makes of error records: every status has one, a text
 * that is too long is cut, and a refusal names each number that its sum needs. */
#include "pool_support.h"

#define TEXT_BYTES 256

static void explain_cuts_and_counts_as_other_texts_do(void) {
    aegis_error error = {0};
    char whole[TEXT_BYTES], cut[10];
    error.status = AEGIS_E_OUT_OF_MEMORY;
    error.requested_bytes = error.asked = 4096;
    error.align_bytes = 16;
    size_t length = aegis_error_explain(&error, whole, sizeof whole);
    CHECK(strcmp(whole, "out of memory: 4096 bytes requested at alignment 16, 0 bytes in use") ==
          0);
    CHECK_SIZE(length, strlen(whole));
    CHECK_SIZE(aegis_error_explain(&error, NULL, 0), length);
    CHECK_SIZE(aegis_error_explain(&error, cut, sizeof cut), length);
    CHECK(strlen(cut) == 9 && memcmp(cut, whole, 9) == 0);
}

static void every_status_and_every_what_makes_a_sentence(void) {
    for (aegis_status status = AEGIS_OK; status > -30; status--) {
        bool known = strcmp(aegis_status_message(status), aegis_status_message(INT32_MAX)) != 0;
        for (uint32_t what = 0; known && what < 40; what++) {
            aegis_error error = {0};
            char text[TEXT_BYTES];
            error.status = status;
            error.what = what;
            error.asked = error.requested_bytes = 4711;
            error.align_bytes = 64;
            size_t length = aegis_error_explain(&error, text, sizeof text);
            CHECK(length != 0 && length == strlen(text));
            CHECK(strchr(text, '%') == NULL);
            CHECK(status == AEGIS_OK || what != AEGIS_WHAT_BYTES || strstr(text, "4711") != NULL);
        }
    }
}

static void object_lost_at_a_fork_says_only_what_is_known(void) {
    aegis_error error = {0};
    char text[TEXT_BYTES];
    error.status = AEGIS_E_FORKED;
    error.requested_bytes = error.asked = 100;
    error.align_bytes = 8;
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK(strcmp(text, "the object was in use by another thread when the process forked: 100 bytes "
                       "requested at alignment 8") == 0);
    error.requested_bytes = error.asked = error.align_bytes = 0;
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK(strcmp(text, aegis_status_message(AEGIS_E_FORKED)) == 0);
}

static void refusal_of_bytes_that_would_fit_says_how_many_were_needed(void) {
    aegis_budget *budget = aegis_budget_new("query", 100, NULL);
    aegis_arena_options options = {0, 0, NULL, NULL, 0, budget, NULL, 0, 0};
    aegis_arena arena;
    aegis_error error;
    char text[TEXT_BYTES], wanted[TEXT_BYTES];
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    for (size_t bytes = 99; bytes <= 101; bytes++) {
        CHECK(aegis_arena_alloc(&arena, bytes) == NULL);
        aegis_arena_last_error(&arena, &error);
        CHECK(error.needed_bytes > 100 && error.needed_bytes < 300);
        (void)aegis_arena_explain(&arena, text, sizeof text);
        (void)snprintf(wanted, sizeof wanted,
                       "budget 'query' refused %zu bytes for a request of %zu bytes: limit 100 "
                       "bytes, 0 bytes in use",
                       error.needed_bytes, bytes);
        CHECK(strcmp(text, wanted) == 0);
    }
    aegis_arena_fini(&arena);
    aegis_budget_destroy(budget);
}

static void fixed_memory_that_would_be_enough_says_how_much_was_needed(void) {
    static _Alignas(4096) unsigned char memory[1024];
    aegis_arena_options options = {0};
    aegis_arena arena;
    aegis_error error;
    char text[TEXT_BYTES], wanted[TEXT_BYTES];
    options.memory = memory;
    options.memory_bytes = sizeof memory;
    options.flags = AEGIS_ARENA_NO_DEBUG;
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    CHECK(aegis_arena_alloc_aligned(&arena, 100, 4096) == NULL);
    aegis_arena_last_error(&arena, &error);
    CHECK(error.needed_bytes > error.limit_bytes && error.in_use_bytes == 0);
    (void)snprintf(wanted, sizeof wanted,
                   "fixed memory exhausted: 100 bytes requested at alignment 4096, %zu bytes "
                   "needed, 0 of %zu bytes in use",
                   error.needed_bytes, error.limit_bytes);
    (void)aegis_arena_explain(&arena, text, sizeof text);
    CHECK(strcmp(text, wanted) == 0);
    aegis_arena_fini(&arena);
}

static void budget_that_refused_is_named(void) {
    aegis_budget *budget = aegis_budget_new("query", 100, NULL);
    aegis_buffer_mut writer;
    aegis_error error;
    char text[TEXT_BYTES], wanted[TEXT_BYTES];
    CHECK(aegis_buffer_mut_alloc(&writer, 1000, 0, budget, &error) == AEGIS_E_LIMIT_EXCEEDED);
    (void)aegis_error_explain(&error, text, sizeof text);
    (void)snprintf(wanted, sizeof wanted,
                   "budget 'query' refused %zu bytes for a request of 1000 bytes: limit 100 bytes, "
                   "0 bytes in use",
                   error.needed_bytes);
    CHECK(error.needed_bytes > 1000 && strcmp(text, wanted) == 0);
    CHECK(aegis_budget_charge(budget, 101, &error) == AEGIS_E_LIMIT_EXCEEDED);
    (void)aegis_error_explain(&error, text, sizeof text);
    CHECK(strcmp(text, "budget 'query' refused 101 bytes: limit 100 bytes, 0 bytes in use") == 0);
    aegis_budget_destroy(budget);
}

int main(void) {
    RUN(explain_cuts_and_counts_as_other_texts_do);
    RUN(every_status_and_every_what_makes_a_sentence);
    RUN(object_lost_at_a_fork_says_only_what_is_known);
    RUN(refusal_of_bytes_that_would_fit_says_how_many_were_needed);
    RUN(fixed_memory_that_would_be_enough_says_how_much_was_needed);
    RUN(budget_that_refused_is_named);
    return check_finish();
}
