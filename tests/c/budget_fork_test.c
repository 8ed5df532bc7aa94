/* SPDX-License-Identifier: Apache-2.0 */
/* Tests budgets that wait, reclaim and guarantee in child processes: the parent's threads wait in
 * queues or for a session, hold guarantees, or are inside the gate at the fork. */
#include "fork_support.h"

#if defined(_WIN32)

int main(void) {
    RUN(nothing_forks_here);
    return check_finish();
}

#else

#include "reclaim_support.h"

static aegis_budget *root, *leaf;
static cache stock;
static waiting request;

static void make(void) {
    root = aegis_budget_new("root", 100, NULL);
    leaf = aegis_budget_new("leaf", AEGIS_BUDGET_UNLIMITED, root);
}

static void take_apart(void) {
    CHECK(aegis_budget_uncharge(leaf, used(leaf)) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(root, used(root)) == AEGIS_OK);
    aegis_budget_destroy(leaf);
    aegis_budget_destroy(root);
}

/* The queue of the parent is forgotten, also what was promised to it. */
static void use_without_the_queue(void) {
    CHECK(aegis_budget_charge(leaf, 11, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(leaf, 10, NULL) == AEGIS_OK);
    CHECK_SIZE(waiting_at(root), 0);
    check_open(leaf);
    CHECK(aegis_budget_charge_timeout(leaf, 1, NS_PER_MS, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_set_guarantee(leaf, 50, NULL) == AEGIS_OK);
    aegis_budget_close(leaf);
    CHECK(aegis_budget_charge(leaf, 0, NULL) == AEGIS_E_CLOSED);
    take_apart();
}

static void destroy_at_once(void) {
    take_apart();
}

static void child_forgets_the_requests_that_wait_in_the_parent(void) {
    make();
    CHECK(aegis_budget_charge(leaf, 40, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(root, 50, NULL) == AEGIS_OK);
    waiting_start(&request, leaf, 20, LONG_NS, root);
    run_in_child(use_without_the_queue);
    run_in_child(destroy_at_once);
    CHECK(aegis_budget_uncharge(root, 50) == AEGIS_OK);
    CHECK(waiting_join(&request) == AEGIS_OK);
    take_apart();
}

static void use_guarantee(void) {
    CHECK(aegis_budget_charge(root, 61, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_budget_charge(root, 60, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 40, NULL) == AEGIS_OK);
    CHECK(aegis_budget_set_guarantee(leaf, 0, NULL) == AEGIS_OK);
    take_apart();
}

static void guarantee_holds_in_the_child(void) {
    make();
    CHECK(aegis_budget_set_guarantee(leaf, 40, NULL) == AEGIS_OK);
    run_in_child(use_guarantee);
    take_apart();
}

static atomic_bool may_leave;
static atomic_bool is_inside;

static void *stay_inside(void *unused) {
    (void)unused;
    CHECK(aegis_i_mutex_lock(&root->gate.mutex));
    atomic_store(&is_inside, true);
    while (!atomic_load(&may_leave))
        sched_yield();
    aegis_i_mutex_unlock(&root->gate.mutex);
    return NULL;
}

/* Without the gate there are no guarantees, and all else works. */
static void use_without_the_gate(void) {
    aegis_error error;
    CHECK_SIZE(used(root), 30);
    CHECK(aegis_budget_charge(root, 71, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(error.in_use_bytes, 30);
    CHECK(aegis_budget_charge(root, 70, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(leaf, 31) == AEGIS_E_INVALID);
    CHECK(aegis_budget_uncharge(leaf, 30) == AEGIS_OK);
    CHECK_SIZE(used(root), 70);
    CHECK(aegis_budget_charge_timeout(leaf, 31, LONG_NS, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_budget_set_guarantee(leaf, 1, &error) == AEGIS_E_FORKED);
    CHECK(error.status == AEGIS_E_FORKED);
    CHECK(aegis_budget_set_weight(leaf, 1, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_budget_set_policy(leaf, AEGIS_BUDGET_FAIR, NULL) == AEGIS_E_FORKED);
    CHECK(aegis_budget_on_reclaim(leaf, 0, 0, cache_reclaim, NULL, &stock, NULL) == AEGIS_E_FORKED);
    aegis_budget_force_charge(leaf, 40);
    CHECK_SIZE(used(root), 110);
    CHECK(aegis_budget_uncharge(leaf, 40) == AEGIS_OK);
    aegis_budget_set_limit(root, 71);
    CHECK(aegis_budget_charge(leaf, 2, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_budget_close(leaf);
    aegis_budget *more = aegis_budget_new("more", 10, leaf);
    CHECK(more != NULL && aegis_budget_charge(more, 1, NULL) == AEGIS_OK);
    CHECK(aegis_budget_uncharge(more, 1) == AEGIS_OK);
    aegis_budget_destroy(more);
    take_apart();
}

/* Runs a function in a child that was forked while another thread was inside the gate. */
static void run_without_the_gate(void (*in_child)(void)) {
    pthread_t thread;
    atomic_store(&may_leave, false);
    atomic_store(&is_inside, false);
    CHECK(pthread_create(&thread, NULL, stay_inside, NULL) == 0);
    while (!atomic_load(&is_inside))
        sched_yield();
    run_in_child(in_child);
    atomic_store(&may_leave, true);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void child_without_the_gate_charges_and_uncharges(void) {
    make();
    CHECK(aegis_budget_set_guarantee(leaf, 50, NULL) == AEGIS_OK);
    CHECK(aegis_budget_charge(leaf, 30, NULL) == AEGIS_OK);
    run_without_the_gate(use_without_the_gate);
    run_without_the_gate(destroy_at_once);
    CHECK(aegis_budget_charge(root, 51, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    take_apart();
}

/* The list of reclaimers cannot be changed there, and is not used either. */
static void remove_without_the_gate(void) {
    CHECK(aegis_budget_charge(root, 20, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(log_count, 0);
    cache_end(&stock);
    CHECK_SIZE(stock.destroy_count, 1);
    take_apart();
}

static void child_without_the_gate_destroys_a_reclaimer_that_is_removed(void) {
    make();
    log_count = 0;
    cache_make(&stock, root, AEGIS_BUDGET_UNLIMITED, 100, 0, 0);
    run_without_the_gate(remove_without_the_gate);
    cache_end(&stock);
    take_apart();
}

static aegis_buffer_pool buffers;
static test_source store;

static aegis_status make_buffers(aegis_error *error) {
    static const aegis_buffer_class only = {64, 4, 64};
    aegis_source source = test_source_get(&store, true);
    aegis_buffer_pool_options options;
    memset(&options, 0, sizeof options);
    options.classes = &only;
    options.class_count = 1;
    options.align_bytes = 64;
    options.source = &source;
    options.budget = leaf;
    options.flags = AEGIS_BUFFER_RECLAIMABLE;
    options.error = error;
    return aegis_buffer_pool_init(&buffers, &options);
}

static void end_buffers(void) {
    aegis_buffer_pool_release(&buffers);
    CHECK_SIZE(store.close_count, 1);
    test_source_check_done(&store);
    CHECK_SIZE(used(leaf), 0);
}

/* A pool that cannot be registered is not made, and loses nothing. One of the parent ends. */
static void use_pools_without_the_gate(void) {
    aegis_error error;
    memset(&error, 0, sizeof error);
    end_buffers();
    CHECK(make_buffers(&error) == AEGIS_E_FORKED);
    CHECK(error.status == AEGIS_E_FORKED && error.requested_bytes != 0);
    CHECK(buffers.shared == NULL);
    CHECK_SIZE(store.close_count, 0);
    CHECK(store.acquired_count != 0);
    test_source_check_done(&store);
    CHECK_SIZE(used(leaf), 0);
    take_apart();
}

static void child_without_the_gate_ends_pools_and_registers_none(void) {
    make();
    aegis_budget_set_limit(root, AEGIS_BUDGET_UNLIMITED);
    CHECK(make_buffers(NULL) == AEGIS_OK);
    run_without_the_gate(use_pools_without_the_gate);
    end_buffers();
    take_apart();
}

static aegis_buffer_mut writer;

/* What comes home is counted without the gate, above the limit too. A reclaimable pool cannot be
 * registered with another budget, and stays where it is. */
static void come_home_without_the_gate(void) {
    aegis_error error;
    size_t used_bytes = used(leaf), away_bytes = aegis_buffer_mut_retained_bytes(&writer);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(used(leaf), used_bytes + away_bytes);
    CHECK_SIZE(used(root), used_bytes + away_bytes);
    CHECK(aegis_buffer_pool_move_budget(&buffers, root, &error) == AEGIS_E_FORKED);
    CHECK(error.status == AEGIS_E_FORKED);
    CHECK_SIZE(used(leaf), used_bytes + away_bytes);
    CHECK(aegis_buffer_pool_move_budget(&buffers, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), 0);
    end_buffers();
    take_apart();
}

static void buffer_comes_home_in_a_child_without_the_gate(void) {
    make();
    aegis_budget_set_limit(root, AEGIS_BUDGET_UNLIMITED);
    CHECK(make_buffers(NULL) == AEGIS_OK);
    CHECK(aegis_buffer_pool_get(&buffers, &writer, 1, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_move_budget(&writer, NULL, NULL) == AEGIS_OK);
    aegis_budget_set_limit(leaf, used(leaf));
    CHECK(aegis_budget_set_guarantee(leaf, 1, NULL) == AEGIS_OK);
    run_without_the_gate(come_home_without_the_gate);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    end_buffers();
    take_apart();
}

static void reclaim_in_the_child(void) {
    CHECK(aegis_budget_charge(root, 20, NULL) == AEGIS_OK);
    CHECK_SIZE(log_count, 1);
    aegis_budget_set_limit(root, AEGIS_BUDGET_UNLIMITED);
    CHECK(aegis_budget_uncharge(root, 20) == AEGIS_OK);
    cache_end(&stock);
    take_apart();
}

static void reclaimers_work_in_the_child(void) {
    make();
    log_count = 0;
    cache_make(&stock, root, AEGIS_BUDGET_UNLIMITED, 100, 0, 0);
    run_in_child(reclaim_in_the_child);
    CHECK_SIZE(log_count, 0);
    cache_end(&stock);
    take_apart();
}

static size_t stay_in_reclaimer(void *unused, size_t wanted_bytes) {
    (void)unused;
    atomic_store(&is_inside, true);
    while (!atomic_load(&may_leave))
        sched_yield();
    CHECK(aegis_budget_uncharge(leaf, wanted_bytes) == AEGIS_OK);
    return wanted_bytes;
}

static aegis_budget_reclaimer *slow;

static void *charge_root(void *unused) {
    (void)unused;
    CHECK(aegis_budget_charge(root, 10, NULL) == AEGIS_OK);
    return NULL;
}

/* Neither the session of the parent's thread nor those that wait for its end are in the child. */
static void use_beside_the_session(void) {
    atomic_store(&may_leave, true);
    CHECK(aegis_budget_charge(root, 10, NULL) == AEGIS_OK);
    aegis_budget_reclaimer_remove(slow);
    take_apart();
}

static void remove_beside_the_session(void) {
    aegis_budget_reclaimer_remove(slow);
    take_apart();
}

static void child_does_not_wait_for_a_session_of_the_parent(void) {
    pthread_t threads[3];
    make();
    CHECK(aegis_budget_charge(leaf, 100, NULL) == AEGIS_OK);
    CHECK(aegis_budget_on_reclaim(leaf, 0, 0, stay_in_reclaimer, NULL, NULL, &slow) == AEGIS_OK);
    atomic_store(&may_leave, false);
    atomic_store(&is_inside, false);
    for (size_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, charge_root, NULL) == 0);
    while (!atomic_load(&is_inside))
        sched_yield();
    /* The two others wait for the session by now, or will. */
    struct timespec moment = {0, 20 * 1000 * 1000};
    (void)nanosleep(&moment, NULL);
    run_in_child(use_beside_the_session);
    run_in_child(remove_beside_the_session);
    atomic_store(&may_leave, true);
    for (size_t i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_SIZE(used(root), 100);
    aegis_budget_reclaimer_remove(slow);
    take_apart();
}

static size_t fork_inside(void *unused, size_t wanted_bytes) {
    (void)unused;
    fflush(stdout);
    pid_t child = fork();
    if (child != 0) {
        int status = -1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    CHECK(aegis_budget_uncharge(leaf, wanted_bytes) == AEGIS_OK);
    if (child == 0)
        atomic_store(&is_inside, true);
    return wanted_bytes;
}

static void reclaimer_may_fork(void) {
    make();
    CHECK(aegis_budget_charge(leaf, 100, NULL) == AEGIS_OK);
    CHECK(aegis_budget_on_reclaim(leaf, 0, 0, fork_inside, NULL, NULL, &slow) == AEGIS_OK);
    atomic_store(&is_inside, false);
    int before = check_failures;
    CHECK(aegis_budget_charge(root, 10, NULL) == AEGIS_OK);
    CHECK_SIZE(used(root), 100);
    aegis_budget_reclaimer_remove(slow);
    take_apart();
    if (atomic_load(&is_inside))
        _exit(check_failures != before);
}

int main(void) {
    check_alarm(120);
    if (!test_can_fork_beside_threads()) {
        RUN(guarantee_holds_in_the_child);
        return check_finish();
    }
    RUN(child_forgets_the_requests_that_wait_in_the_parent);
    RUN(guarantee_holds_in_the_child);
    RUN(child_without_the_gate_charges_and_uncharges);
    RUN(child_without_the_gate_destroys_a_reclaimer_that_is_removed);
    RUN(child_without_the_gate_ends_pools_and_registers_none);
    RUN(buffer_comes_home_in_a_child_without_the_gate);
    RUN(reclaimers_work_in_the_child);
    RUN(child_does_not_wait_for_a_session_of_the_parent);
    RUN(reclaimer_may_fork);
    return check_finish();
}

#endif
