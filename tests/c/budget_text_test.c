/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the texts that budgets and arenas write: refusals, the drawn tree, and explanations. Most
 * texts are compared word for word. A text that does not fit must be cut between characters. */
#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* condition.h */
#endif
#include "../../csrc/budget/state.h"
#include "budget_support.h"
#include "support.h"

static void name_is_cut_between_characters(void) {
    /* 46 letters, then a character of two bytes. Only one byte has room left. */
    const char *name = "0123456789012345678901234567890123456789012345\xC3\xA9";
    aegis_budget *budget = aegis_budget_new(name, 1, NULL);
    CHECK_SIZE(strlen(figures_of(budget).name), 46);
    aegis_budget_destroy(budget);
    budget = aegis_budget_new(name + 1, 1, NULL);
    CHECK(strcmp(figures_of(budget).name, name + 1) == 0);
    aegis_budget_destroy(budget);
}

static void long_name_is_cut_between_characters(void) {
    /* 46 letters and a letter of two bytes, so that a cut by bytes would fall within the letter. */
    char name[64];
    memset(name, 'a', 46);
    strcpy(name + 46, "\xC3\xA9\xC3\xA9");
    aegis_budget *budget = aegis_budget_new(name, 1, NULL);
    CHECK_SIZE(strlen(figures_of(budget).name), 46);
    aegis_budget_destroy(budget);
    memset(name, 0x80, 63);
    name[63] = '\0';
    budget = aegis_budget_new(name, 1, NULL);
    CHECK_SIZE(strlen(figures_of(budget).name), 0);
    aegis_budget_destroy(budget);
}

static void refusal_names_the_largest_consumers_in_order(void) {
    static const size_t sizes[] = {10, 400, 0, 30, 200, 5};
    aegis_budget *parent = aegis_budget_new("database", 700, NULL);
    aegis_budget *children[6];
    for (size_t i = 0; i < 6; i++) {
        char name[] = "query 0";
        name[6] = (char)('0' + i);
        children[i] = aegis_budget_new(name, 1000, parent);
        CHECK(aegis_budget_charge(children[i], sizes[i], NULL) == AEGIS_OK);
    }
    CHECK(aegis_budget_charge(parent, 55, NULL) == AEGIS_OK);
    aegis_error error;
    CHECK(aegis_budget_charge(children[0], 1, &error) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_refusal refusal;
    aegis_budget_get_refusal(&error, &refusal);
    CHECK(strcmp(refusal.budget.name, "database") == 0);
    CHECK_SIZE(refusal.consumer_count, AEGIS_BUDGET_CONSUMERS);
    CHECK_SIZE(refusal.consumers[0].used_bytes, 400);
    CHECK_SIZE(refusal.consumers[1].used_bytes, 200);
    CHECK_SIZE(refusal.consumers[2].used_bytes, 30);
    CHECK_SIZE(refusal.direct_bytes, 55);
    char text[400];
    size_t length = aegis_budget_explain(&refusal, text, sizeof text);
    CHECK_SIZE(length, strlen(text));
    CHECK(strstr(text, "database") != NULL && strstr(text, "query 1") != NULL &&
          strstr(text, "directly") != NULL);
    /* Writes the text cut, and then only measures it. The length must be that of the whole text. */
    char cut[10];
    CHECK_SIZE(aegis_budget_explain(&refusal, cut, sizeof cut), length);
    CHECK_SIZE(strlen(cut), 9);
    CHECK_SIZE(aegis_budget_explain(&refusal, NULL, 0), length);
    for (size_t i = 0; i < 6; i++) {
        CHECK(aegis_budget_uncharge(children[i], sizes[i]) == AEGIS_OK);
        aegis_budget_destroy(children[i]);
    }
    CHECK(aegis_budget_charge(parent, 1000, &error) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_get_refusal(&error, &refusal);
    CHECK_SIZE(refusal.consumer_count, 0);
    CHECK(aegis_budget_explain(&refusal, text, sizeof text) < length);
    CHECK(aegis_budget_uncharge(parent, 55) == AEGIS_OK);
    children[0] = aegis_budget_new("only one", 1000, parent);
    CHECK(aegis_budget_charge(children[0], 10, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(parent, 1000, &error) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_get_refusal(&error, &refusal);
    CHECK_SIZE(refusal.direct_bytes, 0);
    (void)aegis_budget_explain(&refusal, text, sizeof text);
    CHECK(strstr(text, "only one") != NULL && strstr(text, "directly") == NULL);
    CHECK(aegis_budget_uncharge(children[0], 10) == AEGIS_OK);
    aegis_budget_destroy(children[0]);
    aegis_budget_destroy(parent);
}

static void refusal_names_the_largest_consumers(void) {
    static const char *const names[] = {"q0", "q1", "q2", "q3", "q4"};
    static const size_t bytes[] = {30, 0, 50, 10, 20};
    aegis_budget *root = aegis_budget_new("root", 120, NULL);
    aegis_budget *children[5];
    for (size_t i = 0; i < 5; i++) {
        children[i] = aegis_budget_new(names[i], 100, root);
        CHECK(aegis_budget_charge(children[i], bytes[i], NULL) == AEGIS_OK);
    }
    CHECK(aegis_budget_charge(root, 5, NULL) == AEGIS_OK);
    aegis_error error;
    CHECK(aegis_budget_charge(children[1], 6, &error) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_refusal refusal;
    aegis_budget_get_refusal(&error, &refusal);
    CHECK_SIZE(refusal.consumer_count, 3);
    CHECK_SIZE(refusal.direct_bytes, 5);
    CHECK_SIZE(refusal.requested_bytes, 6);
    CHECK(strcmp(refusal.budget.name, "root") == 0);
    CHECK_SIZE(refusal.consumers[2].depth, 1);

    const char *expected = "budget 'root' refused 6 bytes: limit 120 bytes, 115 bytes in use; "
                           "largest: 'q2' 50 bytes, 'q0' 30 bytes, 'q4' 20 bytes; "
                           "5 bytes held directly";
    char text[256];
    CHECK_SIZE(aegis_budget_explain(&refusal, text, sizeof text), strlen(expected));
    CHECK(strcmp(text, expected) == 0);
    for (size_t room = 0; room <= strlen(expected) + 1; room++) {
        memset(text, '!', sizeof text);
        CHECK_SIZE(aegis_budget_explain(&refusal, text, room), strlen(expected));
        CHECK(text[room] == '!');
        CHECK(room == 0 || strlen(text) == room - 1);
        CHECK(room == 0 || memcmp(text, expected, room - 1) == 0);
    }
    CHECK_SIZE(aegis_budget_explain(&refusal, NULL, 0), strlen(expected));

    for (size_t i = 0; i < 5; i++) {
        CHECK(aegis_budget_uncharge(children[i], bytes[i]) == AEGIS_OK);
        aegis_budget_destroy(children[i]);
    }
    CHECK(aegis_budget_uncharge(root, 5) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 200, &error) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_get_refusal(&error, &refusal);
    (void)aegis_budget_explain(&refusal, text, sizeof text);
    CHECK(strcmp(text, "budget 'root' refused 200 bytes: limit 120 bytes, 0 bytes in use") == 0);
    aegis_budget_destroy(root);
}

/* When a refusal is told, the use and the limit may have changed. The numbers are still those of
 * the charge. */
static void refusal_is_told_with_the_numbers_that_the_charge_met(void) {
    aegis_budget *budget = aegis_budget_new("b", 100, NULL);
    aegis_error error;
    aegis_budget_refusal refusal;
    char text[256];
    const char *wanted = "budget 'b' refused 30 bytes: limit 100 bytes, 80 bytes in use";
    CHECK(aegis_budget_charge(budget, 80, &error) == AEGIS_OK);
    CHECK(aegis_budget_charge(budget, 30, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.requested_bytes == 30 && error.needed_bytes == 30 && error.refused == budget);
    CHECK(aegis_budget_uncharge(budget, 80) == AEGIS_OK);
    aegis_budget_set_limit(budget, 1000);
    aegis_budget_get_refusal(&error, &refusal);
    CHECK(refusal.budget.used_bytes == 80 && refusal.budget.limit_bytes == 100);
    CHECK_SIZE(aegis_budget_explain(&refusal, text, sizeof text), strlen(wanted));
    CHECK(strcmp(text, wanted) == 0);
    CHECK_SIZE(aegis_error_explain(&error, text, sizeof text), strlen(wanted));
    CHECK(strcmp(text, wanted) == 0);
    error.refused = NULL;
    aegis_budget_get_refusal(&error, &refusal);
    CHECK(refusal.requested_bytes == 0 && refusal.budget.name[0] == '\0');
    aegis_budget_destroy(budget);
}

static char printed[4096];

static void collect(void *context, const char *line) {
    ++*(size_t *)context;
    strncat(printed, line, sizeof printed - strlen(printed) - 2);
    strcat(printed, "\n");
}

static void print_and_snapshot_show_every_budget(void) {
    aegis_budget *chain[AEGIS_BUDGET_MAX_DEPTH];
    aegis_budget *parent = NULL;
    for (size_t i = 0; i < AEGIS_BUDGET_MAX_DEPTH; i++) {
        uint64_t limit = UINT64_C(1) << (44 - 2 * i);
        if (i == 0 || limit > SIZE_MAX)
            limit = AEGIS_BUDGET_UNLIMITED;
        parent = chain[i] = aegis_budget_new("level", (size_t)limit, parent);
    }
    aegis_budget *none = aegis_budget_new("nothing", 0, chain[0]);
    CHECK(aegis_budget_charge(parent, 5000, NULL) == AEGIS_OK);
    size_t line_count = 0;
    CHECK(aegis_budget_print(chain[0], collect, &line_count) == AEGIS_OK);
    CHECK_SIZE(line_count, AEGIS_BUDGET_MAX_DEPTH + 1);
    CHECK(strstr(printed, "no limit") != NULL && strstr(printed, "nothing") != NULL);
    aegis_budget_figures figures[3];
    CHECK_SIZE(aegis_budget_snapshot(chain[0], figures, 3), AEGIS_BUDGET_MAX_DEPTH + 1);
    CHECK(figures[0].depth == 0 && figures[1].depth == 1 && figures[2].depth == 2);
    CHECK(aegis_budget_uncharge(parent, 5000) == AEGIS_OK);
    aegis_budget_destroy(none);
    for (size_t i = 0; i < AEGIS_BUDGET_MAX_DEPTH; i++)
        aegis_budget_destroy(chain[i]);
}

static char kept[16][400];
static size_t kept_count;

static void keep_line(void *context, const char *line) {
    (void)context;
    if (kept_count < 16)
        snprintf(kept[kept_count], sizeof kept[0], "%s", line);
    kept_count++;
}

static void print_draws_a_line_per_budget(void) {
    aegis_budget *root = aegis_budget_new("process", 4096, NULL);
    aegis_budget *child = aegis_budget_new("database", AEGIS_BUDGET_UNLIMITED, root);
    CHECK(aegis_budget_charge(child, 1024, NULL) == AEGIS_OK);
    kept_count = 0;
    CHECK(aegis_budget_print(root, keep_line, NULL) == AEGIS_OK);
    CHECK_SIZE(kept_count, 2);
    CHECK(strcmp(kept[0], "process                      [######..................]  25%  "
                          "1.0 KiB of 4.0 KiB, peak 1.0 KiB") == 0);
    CHECK(strcmp(kept[1], "  database                   [........................]   -   "
                          "1.0 KiB, no limit, peak 1.0 KiB") == 0);
    CHECK(aegis_budget_uncharge(child, 1024) == AEGIS_OK);
    aegis_budget_destroy(child);
    aegis_budget_destroy(root);
}

static void print_shows_the_counts_that_are_not_zero(void) {
    aegis_budget *budget = aegis_budget_new("b", 4096, NULL);
    CHECK(aegis_budget_charge(budget, 4097, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    kept_count = 0;
    CHECK(aegis_budget_print(budget, keep_line, NULL) == AEGIS_OK);
    CHECK(strcmp(kept[0], "b                            [........................]   0%  "
                          "0 B of 4.0 KiB, peak 0 B, 1 refused") == 0);
    aegis_i_store(&budget->reclaim_count, 1, memory_order_relaxed);
    kept_count = 0;
    CHECK(aegis_budget_print(budget, keep_line, NULL) == AEGIS_OK);
    CHECK(strstr(kept[0], "peak 0 B, 1 refused, 0 B by 1 reclaim") != NULL);
    /* The largest numbers fit in the line, beside the longest name. */
    aegis_i_store(&budget->waiting_count, 2, memory_order_relaxed);
    aegis_i_store(&budget->refused_count, UINT64_MAX, memory_order_relaxed);
    aegis_i_store(&budget->wait_count, UINT64_MAX, memory_order_relaxed);
    aegis_i_store(&budget->timeout_count, UINT64_MAX, memory_order_relaxed);
    aegis_i_store(&budget->reclaim_count, UINT64_MAX, memory_order_relaxed);
    aegis_i_store(&budget->reclaimed_bytes, UINT64_MAX, memory_order_relaxed);
    memset(budget->name, 'n', AEGIS_BUDGET_NAME_BYTES - 1);
    aegis_budget_set_limit(budget, SIZE_MAX - 1);
    kept_count = 0;
    CHECK(aegis_budget_print(budget, keep_line, NULL) == AEGIS_OK);
    CHECK(strstr(kept[0], ", 18446744073709551615 refused, 2 waiting, "
                          "18446744073709551615 waited, 18446744073709551615 timed out, "
                          "16.0 EiB by 18446744073709551615 reclaims") != NULL);
    aegis_i_store(&budget->waiting_count, 0, memory_order_relaxed);
    aegis_budget_destroy(budget);
}

static void print_of_a_budget_far_above_its_limit_is_a_full_bar(void) {
    static const size_t limits[] = {0, 1, 7};
    for (size_t i = 0; i < 3; i++) {
        aegis_budget *budget = aegis_budget_new("b", AEGIS_BUDGET_UNLIMITED, NULL);
        CHECK(aegis_budget_charge(budget, SIZE_MAX / 2, NULL) == AEGIS_OK);
        aegis_budget_set_limit(budget, limits[i]);
        kept_count = 0;
        CHECK(aegis_budget_print(budget, keep_line, NULL) == AEGIS_OK);
        CHECK(strstr(kept[0], "[########################]") != NULL);
        CHECK(aegis_budget_uncharge(budget, SIZE_MAX / 2) == AEGIS_OK);
        aegis_budget_destroy(budget);
    }
}

static void explain_says_what_failed_without_a_budget_too(void) {
    aegis_arena arena;
    char text[200];
    static unsigned char memory[512];
    aegis_arena_options options = test_options(0, 0, NULL, memory, sizeof memory);
    CHECK(aegis_arena_init(&arena, &options) == AEGIS_OK);
    size_t length = aegis_arena_explain(&arena, text, sizeof text);
    CHECK(strcmp(text, aegis_status_message(AEGIS_OK)) == 0 && length == strlen(text));
    CHECK(aegis_arena_alloc(&arena, SIZE_MAX) == NULL);
    size_t refused = aegis_arena_explain(&arena, text, sizeof text);
    CHECK(refused > length);
    CHECK(aegis_arena_alloc(&arena, 5000) == NULL);
    CHECK(aegis_arena_explain(&arena, text, sizeof text) == strlen(text));
    CHECK(strstr(text, "5000") != NULL && strstr(text, " of ") != NULL);
    aegis_arena_fini(&arena);
}

int main(void) {
    RUN(name_is_cut_between_characters);
    RUN(long_name_is_cut_between_characters);
    RUN(refusal_names_the_largest_consumers_in_order);
    RUN(refusal_names_the_largest_consumers);
    RUN(refusal_is_told_with_the_numbers_that_the_charge_met);
    RUN(print_and_snapshot_show_every_budget);
    RUN(print_draws_a_line_per_budget);
    RUN(print_shows_the_counts_that_are_not_zero);
    RUN(print_of_a_budget_far_above_its_limit_is_a_full_bar);
    RUN(explain_says_what_failed_without_a_budget_too);
    return check_finish();
}
