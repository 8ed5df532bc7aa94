/* SPDX-License-Identifier: Apache-2.0 */
/* Tests the buffer pool on one thread, and a few cases with several: options, classes, growth,
 * budgets, the heap as a fallback, and lifetimes. A refusal must change nothing, and the pool must
 * live until its last handle and its last view are gone. Waiting is tested in
 * buffer_pool_wait_test.c, many threads are in buffer_pool_stress_test.c. */
#include "buffer_pool_support.h"

#include <pthread.h>

static test_source state;

static void all_buffers_can_be_had_then_the_pool_is_exhausted(void) {
    aegis_source source = test_source_get(&state, false);
    aegis_buffer_pool pool = buffer_pool_of(4096, 8, 0, &source);
    aegis_buffer_mut writers[9];
    aegis_error error;
    for (size_t round = 0; round < 3; round++) {
        CHECK_SIZE(get_writers(&pool, writers, 8, 4096, &error), 8);
        for (size_t i = 0; i < 8; i++) {
            CHECK(writers[i].length == 0 && writers[i].capacity == 4096);
            CHECK(is_aligned(writers[i].data, 4096));
            memset(writers[i].data, (int)i, 4096);
        }
        memset(&writers[8], 0xFF, sizeof writers[8]);
        CHECK(aegis_buffer_pool_get(&pool, &writers[8], 1, &error) == AEGIS_E_EXHAUSTED);
        CHECK(is_no_writer(&writers[8]));
        CHECK(error.status == AEGIS_E_EXHAUSTED && error.refused == NULL);
        CHECK(error.requested_bytes == 4096 && error.align_bytes == 4096);
        CHECK(error.limit_bytes == 8 * 4096 && error.in_use_bytes == 8 * 4096);
        CHECK(aegis_buffer_pool_get(&pool, &writers[8], 1, NULL) == AEGIS_E_EXHAUSTED);
        for (size_t i = 0; i < 8; i++)
            CHECK(is_filled(writers[i].data, (unsigned char)i, 4096));
        CHECK_SIZE(buffer_pool_stats(&pool).classes[0].in_use, 8);
        CHECK_SIZE(buffer_pool_stats(&pool).classes[0].parked, 0);
        release_writers(writers, 8);
        CHECK_SIZE(buffer_pool_stats(&pool).classes[0].in_use, 0);
        CHECK(buffer_pool_stats(&pool).classes[0].parked != 0);
    }
    CHECK(buffer_pool_stats(&pool).refused_count == 6);
    aegis_buffer_pool_release(&pool);
    CHECK(pool.shared == NULL);
    test_source_check_done(&state);
    CHECK_SIZE(state.close_count, 1);
}

static aegis_status init_fails(const aegis_buffer_pool_options *options) {
    aegis_buffer_pool pool;
    aegis_error error;
    memset(&pool, 0xFF, sizeof pool);
    memset(&error, 0xFF, sizeof error);
    aegis_buffer_pool_options copy = *options;
    copy.error = &error;
    aegis_status status = aegis_buffer_pool_init(&pool, &copy);
    CHECK(status != AEGIS_OK && error.status == status && pool.shared == NULL);
    return status;
}

static void options_that_cannot_be_are_refused(void) {
    aegis_source source = test_source_get(&state, false);
    aegis_buffer_class classes[2] = {{64, 1, 0}, {128, 1, 0}};
    aegis_buffer_pool_options good = buffer_pool_options(classes, 2, &source), bad;
    aegis_buffer_pool pool;
    CHECK(aegis_buffer_pool_init(&pool, NULL) == AEGIS_E_INVALID && pool.shared == NULL);
    bad = good, bad.classes = NULL;
    CHECK(init_fails(&bad) == AEGIS_E_INVALID);
    bad = good, bad.class_count = 0;
    CHECK(init_fails(&bad) == AEGIS_E_INVALID);
    bad = good, bad.class_count = AEGIS_BUFFER_MAX_CLASSES + 1;
    CHECK(init_fails(&bad) == AEGIS_E_INVALID);
    bad = good, bad.when_empty = AEGIS_BUFFER_WAIT + 1;
    CHECK(init_fails(&bad) == AEGIS_E_INVALID);
    bad = good, bad.align_bytes = 48;
    CHECK(init_fails(&bad) == AEGIS_E_INVALID_LAYOUT);
    static const aegis_buffer_class wrong[][2] = {
        {{64, 1, 0}, {64, 1, 0}},  {{128, 1, 0}, {64, 1, 0}}, {{0, 1, 0}, {64, 1, 0}},
        {{64, 0, 0}, {128, 1, 0}}, {{64, 2, 1}, {128, 1, 0}}, {{64, 1, 0}, {128, 0, 4}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        bad = good, bad.classes = wrong[i];
        CHECK(init_fails(&bad) == AEGIS_E_INVALID);
    }
    static const aegis_buffer_class vast[][2] = {{{64, 1, 0}, {SIZE_MAX, 1, 0}},
                                                 {{64, 1, 0}, {SIZE_MAX / 2, 4, 0}},
                                                 {{64, 1, 0}, {128, 1, SIZE_MAX}},
                                                 {{64, 1, 0}, {128, (size_t)1 << 31, 0}}};
    for (size_t i = 0; i < sizeof vast / sizeof *vast; i++) {
        bad = good, bad.classes = vast[i];
        CHECK(init_fails(&bad) == AEGIS_E_INVALID_LAYOUT);
    }
    test_source_check_done(&state);
    CHECK_SIZE(state.close_count, 0);
}

static void the_smallest_class_that_will_do_serves_then_the_next(void) {
    aegis_source source = test_source_get(&state, true);
    aegis_buffer_class classes[3] = {{512, 2, 0}, {4096, 1, 0}, {65536, 1, 0}};
    aegis_buffer_pool_options options = buffer_pool_options(classes, 3, &source);
    options.align_bytes = 512;
    aegis_buffer_pool pool;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    static const size_t asked[] = {0, 512, 1, 513};
    static const size_t got[] = {512, 512, 4096, 65536};
    aegis_buffer_mut writers[5];
    aegis_error error;
    for (size_t i = 0; i < 4; i++) {
        CHECK(aegis_buffer_pool_get(&pool, &writers[i], asked[i], NULL) == AEGIS_OK);
        CHECK_SIZE(writers[i].capacity, got[i]);
        CHECK(is_aligned(writers[i].data, 512));
        memset(writers[i].data, 0x5A, writers[i].capacity);
    }
    CHECK(aegis_buffer_pool_get(&pool, &writers[4], 600, &error) == AEGIS_E_EXHAUSTED);
    CHECK_SIZE(error.requested_bytes, 4096);
    CHECK(aegis_buffer_pool_get(&pool, &writers[4], 65537, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.requested_bytes == 65537);
    CHECK(error.limit_bytes == 65536 && error.align_bytes == 512 && error.refused == NULL);
    CHECK(is_no_writer(&writers[4]));
    aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
    CHECK_SIZE(stats.class_count, 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK_SIZE(stats.classes[i].buffer_bytes, classes[i].buffer_bytes);
        CHECK_SIZE(stats.classes[i].capacity, classes[i].buffer_count);
        CHECK_SIZE(stats.classes[i].max_capacity, classes[i].buffer_count);
        CHECK_SIZE(stats.classes[i].in_use, classes[i].buffer_count);
    }
    CHECK_SIZE(stats.reserved_bytes, state.live_bytes);
    release_writers(writers, 4);
    CHECK(aegis_buffer_pool_get(&pool, &writers[0], 600, NULL) == AEGIS_OK);
    CHECK_SIZE(writers[0].capacity, 4096);
    release_writers(writers, 1);
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

static void a_class_grows_to_its_limit_and_names_its_blocks(void) {
    aegis_source source = test_source_get(&state, false);
    aegis_buffer_class classes[2] = {{64, 3, 8}, {256, 1, 2}};
    aegis_buffer_pool_options options = buffer_pool_options(classes, 2, &source);
    aegis_buffer_pool pool, other = buffer_pool_of(64, 1, 0, NULL);
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    aegis_iovec places[11];
    memset(places, 0xFF, sizeof places);
    CHECK_SIZE(aegis_buffer_pool_iovecs(&pool, NULL, 0), 10);
    CHECK_SIZE(aegis_buffer_pool_iovecs(&pool, places, 11), 10);
    for (size_t i = 0; i < 10; i++) {
        bool made = i < 3 || i == 8;
        CHECK((places[i].base != NULL) == made);
        CHECK_SIZE(places[i].length, made ? (i < 8 ? 64 : 256) : 0);
    }
    CHECK_SIZE(places[10].length, SIZE_MAX);

    aegis_buffer_mut writers[11];
    CHECK_SIZE(get_writers(&pool, writers, 11, 1, NULL), 10);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[0].capacity, 8);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[1].capacity, 2);
    CHECK_SIZE(aegis_buffer_pool_iovecs(&pool, places, 9), 10);
    bool seen[10] = {false};
    for (size_t i = 0; i < 10; i++) {
        size_t id = SIZE_MAX;
        CHECK(aegis_buffer_pool_id_of(&pool, writers[i].owner, &id) == AEGIS_OK);
        CHECK(id < 10 && !seen[id]);
        seen[id] = true;
        if (id < 9)
            CHECK(places[id].base == writers[i].data && places[id].length == writers[i].capacity);
    }
    size_t id = 77;
    const aegis_buffer_owner *inside = (aegis_buffer_owner *)((uintptr_t)writers[0].owner + 8);
    CHECK(aegis_buffer_pool_id_of(&pool, NULL, &id) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_pool_id_of(&pool, inside, &id) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_pool_id_of(&other, writers[0].owner, &id) == AEGIS_E_INVALID);
    CHECK_SIZE(id, 77);
    release_writers(writers, 10);
    aegis_buffer_pool_release(&other);
    aegis_buffer_pool_release(&pool);
    test_source_check_done(&state);
}

/* The pool must not grow as long as a buffer is free anywhere. */
static void a_class_grows_only_when_all_its_buffers_are_out(void) {
    aegis_buffer_pool pool = buffer_pool_of(64, 40, 80, NULL);
    aegis_buffer_mut writers[41];
    for (size_t round = 0; round < 3; round++) {
        CHECK_SIZE(get_writers(&pool, writers, 40, 64, NULL), 40);
        CHECK_SIZE(buffer_pool_stats(&pool).classes[0].capacity, 40);
        release_writers(writers, 40);
    }
    CHECK_SIZE(get_writers(&pool, writers, 41, 64, NULL), 41);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[0].capacity, 80);
    release_writers(writers, 41);
    aegis_buffer_pool_release(&pool);
}

static void a_budget_that_refuses_leaves_the_pool_as_it_was(void) {
    aegis_budget *budget = aegis_budget_new("buffers", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_buffer_class only = {4096, 2, 6};
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, NULL);
    options.budget = budget;
    aegis_buffer_pool pool;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    aegis_budget_figures figures;
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, buffer_pool_stats(&pool).reserved_bytes);
    aegis_budget_set_limit(budget, figures.used_bytes);
    aegis_buffer_mut writers[7];
    aegis_error error;
    CHECK_SIZE(get_writers(&pool, writers, 7, 1, &error), 2);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK(error.requested_bytes == 1 && error.needed_bytes >= 8192);
    CHECK(error.limit_bytes == figures.used_bytes);
    CHECK(error.in_use_bytes == figures.used_bytes);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[0].capacity, 2);
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    CHECK_SIZE(get_writers(&pool, writers + 2, 5, 1, &error), 4);
    release_writers(writers, 6);
    aegis_buffer_pool_release(&pool);
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    aegis_budget_set_limit(budget, 100);
    options.error = &error;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    aegis_budget_destroy(budget);
}

/* Seven acquires make the pool; two more let it grow. */
static void oom_at_every_step_leaves_the_pool_as_it_was(void) {
    aegis_buffer_class classes[2] = {{64, 1, 2}, {256, 1, 2}};
    size_t refused_count = 0;
    for (size_t fail_at = 1; fail_at <= 10; fail_at++) {
        aegis_source source = test_source_get(&state, fail_at % 2 == 0);
        aegis_buffer_pool_options options = buffer_pool_options(classes, 2, &source);
        aegis_buffer_pool pool;
        aegis_error error;
        options.error = &error;
        state.fail_at = fail_at;
        if (aegis_buffer_pool_init(&pool, &options) != AEGIS_OK) {
            CHECK(error.status == AEGIS_E_OUT_OF_MEMORY && error.requested_bytes != 0);
            CHECK(fail_at <= 7 && pool.shared == NULL);
            test_source_check_done(&state);
            CHECK_SIZE(state.close_count, 0);
            continue;
        }
        CHECK(fail_at > 7);
        aegis_buffer_mut writers[4];
        size_t got_count = 0;
        while (got_count < 4) {
            aegis_status status = aegis_buffer_pool_get(&pool, &writers[got_count], 65, &error);
            got_count += status == AEGIS_OK;
            if (status == AEGIS_E_EXHAUSTED)
                break;
            CHECK(status == AEGIS_OK || status == AEGIS_E_OUT_OF_MEMORY);
            refused_count += status != AEGIS_OK;
        }
        CHECK_SIZE(got_count, 2);
        aegis_buffer_mut small[2];
        CHECK(aegis_buffer_pool_get(&pool, &small[0], 1, NULL) == AEGIS_OK);
        aegis_status status = aegis_buffer_pool_get(&pool, &small[1], 1, &error);
        CHECK((status != AEGIS_OK) == (fail_at == 9));
        if (status != AEGIS_OK) {
            CHECK(status == AEGIS_E_OUT_OF_MEMORY && error.status == status);
            CHECK(aegis_buffer_pool_get(&pool, &small[1], 1, NULL) == AEGIS_OK);
        }
        release_writers(writers, got_count);
        release_writers(small, 2);
        aegis_buffer_pool_release(&pool);
        test_source_check_done(&state);
        CHECK_SIZE(state.close_count, 1);
    }
    CHECK_SIZE(refused_count, 1);
}

static void an_empty_pool_falls_back_to_the_heap_within_its_budget(void) {
    aegis_budget *budget = aegis_budget_new("buffers", AEGIS_BUDGET_UNLIMITED, NULL);
    aegis_buffer_class classes[2] = {{1000, 1, 0}, {4096, 1, 0}};
    aegis_buffer_pool_options options = buffer_pool_options(classes, 2, NULL);
    options.budget = budget;
    options.when_empty = AEGIS_BUFFER_HEAP;
    aegis_buffer_pool pool;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    size_t reserved_bytes = buffer_pool_stats(&pool).reserved_bytes;
    aegis_buffer_mut writers[5];
    aegis_error error;
    CHECK_SIZE(get_writers(&pool, writers, 3, 10, NULL), 3);
    CHECK_SIZE(writers[2].capacity, 1000);
    CHECK(aegis_buffer_pool_get(&pool, &writers[3], 100000, NULL) == AEGIS_OK);
    CHECK_SIZE(writers[3].capacity, 100000);
    size_t id;
    for (size_t i = 2; i < 4; i++) {
        CHECK(is_aligned(writers[i].data, 4096) && writers[i].length == 0);
        memset(writers[i].data, 0x77, writers[i].capacity);
        CHECK(aegis_buffer_pool_id_of(&pool, writers[i].owner, &id) == AEGIS_E_INVALID);
    }
    aegis_budget_figures figures;
    aegis_buffer_pool_stats stats = buffer_pool_stats(&pool);
    aegis_budget_get_figures(budget, &figures);
    CHECK(stats.heap_count == 2 && stats.heap_bytes >= 101000 && stats.refused_count == 0);
    CHECK_SIZE(figures.used_bytes, reserved_bytes + stats.heap_bytes);
    aegis_budget_set_limit(budget, figures.used_bytes + 4096);
    CHECK(aegis_buffer_pool_get(&pool, &writers[4], 5000, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.refused == budget && is_no_writer(&writers[4]));
    CHECK(error.requested_bytes == 5000 && error.needed_bytes > 5000);
    CHECK(aegis_buffer_pool_get(&pool, &writers[4], SIZE_MAX, &error) == AEGIS_E_INVALID_LAYOUT);
    CHECK(error.requested_bytes == SIZE_MAX && error.align_bytes == 4096);
    CHECK(aegis_buffer_pool_get(&pool, &writers[4], PTRDIFF_MAX, NULL) == AEGIS_E_INVALID_LAYOUT);
    aegis_budget_set_limit(budget, AEGIS_BUDGET_UNLIMITED);
    test_hoard hoard = test_hoard_take();
    CHECK(aegis_buffer_pool_get(&pool, &writers[4], PTRDIFF_MAX - 8192, &error) ==
          AEGIS_E_OUT_OF_MEMORY);
    test_hoard_give_back(&hoard);
    CHECK(buffer_pool_stats(&pool).refused_count == 4);
    release_writers(writers + 2, 1);
    CHECK(buffer_pool_stats(&pool).heap_bytes < stats.heap_bytes);
    /* The last view keeps the pool. */
    release_writers(writers, 2);
    aegis_buffer_pool_release(&pool);
    aegis_budget_get_figures(budget, &figures);
    CHECK(figures.used_bytes >= reserved_bytes + 100000);
    release_writers(writers + 3, 1);
    aegis_budget_get_figures(budget, &figures);
    CHECK_SIZE(figures.used_bytes, 0);
    aegis_budget_destroy(budget);
}

static void handles_that_are_no_pool_are_inert(void) {
    aegis_buffer_pool none = {NULL}, copy;
    aegis_buffer_mut writer;
    aegis_error error;
    size_t id = 5;
    memset(&copy, 0xFF, sizeof copy);
    CHECK(aegis_buffer_pool_retain(&none, &copy) == AEGIS_E_INVALID && copy.shared == NULL);
    CHECK(aegis_buffer_pool_get(&none, &writer, 9, &error) == AEGIS_E_INVALID);
    CHECK(is_no_writer(&writer) && error.status == AEGIS_E_INVALID && error.requested_bytes == 9);
    CHECK(aegis_buffer_pool_get_timeout(&none, &writer, 9, 9, NULL) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_pool_id_of(&none, NULL, &id) == AEGIS_E_INVALID && id == 5);
    CHECK_SIZE(aegis_buffer_pool_iovecs(&none, NULL, 0), 0);
    CHECK_SIZE(buffer_pool_stats(&none).class_count, 0);
    aegis_buffer_pool_release(&none);
    aegis_buffer_pool_release(NULL);
}

static void the_pool_lives_as_long_as_a_handle(void) {
    aegis_source source = test_source_get(&state, true);
    aegis_buffer_pool first = buffer_pool_of(64, 2, 0, &source), second, third;
    CHECK(aegis_buffer_pool_retain(&first, &second) == AEGIS_OK);
    CHECK(aegis_buffer_pool_retain(&second, &third) == AEGIS_OK);
    aegis_buffer_pool_release(&first);
    aegis_buffer_pool_release(&third);
    aegis_buffer_mut writers[3];
    CHECK_SIZE(get_writers(&second, writers, 3, 1, NULL), 2);
    release_writers(writers, 2);
    CHECK_SIZE(state.close_count, 0);
    aegis_buffer_pool_release(&second);
    test_source_check_done(&state);
    CHECK_SIZE(state.close_count, 1);
}

static void *release_view(void *argument) {
    CHECK(aegis_buffer_release((aegis_buffer *)argument) == AEGIS_OK);
    return NULL;
}

/* All handles are released. Each of several threads then releases one of the views. */
static void the_pool_lives_until_its_last_view_is_released(void) {
    aegis_source source = test_source_get(&state, false);
    aegis_buffer_pool pool = buffer_pool_of(4096, 20, 0, &source);
    aegis_buffer_mut writers[20];
    aegis_buffer views[6];
    CHECK_SIZE(get_writers(&pool, writers, 20, 1, NULL), 20);
    release_writers(writers + 3, 17);
    for (size_t i = 0; i < 3; i++) {
        memset(writers[i].data, (int)i + 1, 4096);
        writers[i].length = 4096;
        views[i] = aegis_buffer_mut_freeze(&writers[i]);
        CHECK(aegis_buffer_split_to(&views[i], 1000, &views[i + 3]) == AEGIS_OK);
    }
    aegis_buffer_pool_release(&pool);
    for (size_t i = 0; i < 6; i++) {
        CHECK_SIZE(state.close_count, 0);
        CHECK(is_filled(views[i].data, (unsigned char)(i % 3 + 1), views[i].length));
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, release_view, &views[i]) == 0);
        pthread_join(thread, NULL);
    }
    test_source_check_done(&state);
    CHECK_SIZE(state.close_count, 1);
}

static void *get_and_release_all(void *argument) {
    aegis_buffer_pool *pool = (aegis_buffer_pool *)argument;
    static aegis_buffer_mut writers[1001];
    CHECK_SIZE(get_writers(pool, writers, 1001, 1, NULL), 1000);
    release_writers(writers, 1000);
    return NULL;
}

/* Each thread must find the buffers that the threads before it have cached. */
static void no_thread_hides_buffers_from_another(void) {
    aegis_buffer_pool pool = buffer_pool_of(16, 10, 1000, NULL);
    for (size_t i = 0; i < 5; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, get_and_release_all, &pool) == 0);
        pthread_join(thread, NULL);
        CHECK(buffer_pool_stats(&pool).classes[0].parked != 0);
        CHECK_SIZE(buffer_pool_stats(&pool).classes[0].capacity, 1000);
    }
    aegis_buffer_pool_release(&pool);
}

int main(void) {
    RUN(all_buffers_can_be_had_then_the_pool_is_exhausted);
    RUN(options_that_cannot_be_are_refused);
    RUN(the_smallest_class_that_will_do_serves_then_the_next);
    RUN(a_class_grows_to_its_limit_and_names_its_blocks);
    RUN(a_class_grows_only_when_all_its_buffers_are_out);
    RUN(a_budget_that_refuses_leaves_the_pool_as_it_was);
    RUN(oom_at_every_step_leaves_the_pool_as_it_was);
    RUN(an_empty_pool_falls_back_to_the_heap_within_its_budget);
    RUN(handles_that_are_no_pool_are_inert);
    RUN(the_pool_lives_as_long_as_a_handle);
    RUN(the_pool_lives_until_its_last_view_is_released);
    RUN(no_thread_hides_buffers_from_another);
    return check_finish();
}
