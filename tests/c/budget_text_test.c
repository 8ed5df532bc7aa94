/* SPDX-License-Identifier: Apache-2.0 */
/* What budgets and arenas say in words: refusals, the drawn tree, explanations. */
#include "support.h"

static aegis_budget_figures figures_of(const aegis_budget *budget) {
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    return figures;
}

static void long_name_is_cut_between_characters(void) {
    /* 46 letters and a letter of two bytes: the cut would fall within it. */
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
    const aegis_budget *refused = NULL;
    CHECK(aegis_budget_charge(children[0], 1, &refused) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_refusal refusal;
    aegis_budget_get_refusal(refused, 1, &refusal);
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
    /* Cut, and only measured: the length is that of the whole. */
    char cut[10];
    CHECK_SIZE(aegis_budget_explain(&refusal, cut, sizeof cut), length);
    CHECK_SIZE(strlen(cut), 9);
    CHECK_SIZE(aegis_budget_explain(&refusal, NULL, 0), length);
    for (size_t i = 0; i < 6; i++) {
        CHECK(aegis_budget_uncharge(children[i], sizes[i]) == AEGIS_OK);
        aegis_budget_destroy(children[i]);
    }
    aegis_budget_get_refusal(parent, 1000, &refusal);
    CHECK_SIZE(refusal.consumer_count, 0);
    CHECK(aegis_budget_explain(&refusal, text, sizeof text) < length);
    CHECK(aegis_budget_uncharge(parent, 55) == AEGIS_OK);
    children[0] = aegis_budget_new("only one", 1000, parent);
    CHECK(aegis_budget_charge(children[0], 10, NULL) == AEGIS_OK);
    aegis_budget_get_refusal(parent, 1000, &refusal);
    CHECK_SIZE(refusal.direct_bytes, 0);
    (void)aegis_budget_explain(&refusal, text, sizeof text);
    CHECK(strstr(text, "only one") != NULL && strstr(text, "directly") == NULL);
    CHECK(aegis_budget_uncharge(children[0], 10) == AEGIS_OK);
    aegis_budget_destroy(children[0]);
    aegis_budget_destroy(parent);
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
    CHECK(aegis_budget_print(chain[0], NULL, NULL) == AEGIS_E_INVALID);
    aegis_budget_figures figures[3];
    CHECK_SIZE(aegis_budget_snapshot(chain[0], figures, 3), AEGIS_BUDGET_MAX_DEPTH + 1);
    CHECK(figures[0].depth == 0 && figures[1].depth == 1 && figures[2].depth == 2);
    CHECK(aegis_budget_uncharge(parent, 5000) == AEGIS_OK);
    aegis_budget_destroy(none);
    for (size_t i = 0; i < AEGIS_BUDGET_MAX_DEPTH; i++)
        aegis_budget_destroy(chain[i]);
}

static void explain_says_what_failed_without_a_budget_too(void) {
    aegis_arena arena;
    char text[200];
    unsigned char memory[512];
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
    RUN(long_name_is_cut_between_characters);
    RUN(refusal_names_the_largest_consumers_in_order);
    RUN(print_and_snapshot_show_every_budget);
    RUN(explain_says_what_failed_without_a_budget_too);
    return check_finish();
}
