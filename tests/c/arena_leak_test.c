/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the reports of leaks: in a debug build, an object that ends while a part of it is still in
 * use must be reported by name. Each leak happens in a child process. Other builds must report
 * nothing. */
#include "arena_debug_support.h"
#include "report_support.h"

static void fini_with_a_scope_open(void) {
    aegis_arena arena = new_arena(0);
    static aegis_arena_scope scope; /* static: the test loses what it holds on purpose */
    aegis_arena_scope_begin(&arena, &scope);
    take(&arena, 30);
    aegis_arena_fini(&arena);
    aegis_arena_fini(&scope.arena);
}

static void fini_after_scopes(void) {
    aegis_arena arena = new_arena(0);
    aegis_arena_scope outer, inner;
    aegis_arena_scope_begin(&arena, &outer);
    aegis_arena_scope_begin(&outer.arena, &inner);
    take(&inner.arena, 30);
    aegis_arena_scope_end(&outer.arena, &inner);
    aegis_arena_scope_end(&arena, &outer);
    aegis_arena_fini(&arena);
}

static void destroy_with_bytes_charged(void) {
    aegis_budget *budget = aegis_budget_new("query 7", 100, NULL);
    CHECK(aegis_budget_charge(budget, 10, NULL) == AEGIS_OK);
    aegis_budget_destroy(budget);
}

static void leaks_are_reported_in_debug_builds(void) {
    if (is_debug()) {
        EXPECT(fini_with_a_scope_open, "arena 'victim' finished with a scope open\n");
        EXPECT(destroy_with_bytes_charged, "budget 'query 7' destroyed with 10 bytes charged\n");
    } else {
        EXPECT(fini_with_a_scope_open, "");
        EXPECT(destroy_with_bytes_charged, "");
    }
    EXPECT(fini_after_scopes, "");
}

int main(void) {
    RUN(leaks_are_reported_in_debug_builds);
    return check_finish();
}
