/* SPDX-License-Identifier: Apache-2.0 */
/* Threads charge, uncharge, move, wait, reclaim and close in trees of budgets, while limits,
 * guarantees and weights change and budgets come and go. Each thread notes what it holds. After
 * each phase all threads stop, and then each budget must have in use exactly what its holders say,
 * and everything that budgets count about each other must be exact too. At the end of a run nothing
 * may be left.
 *
 * A phase has another tree, made from a seed that is printed if the phase fails. AEGIS_TEST_SCALE
 * makes the test longer: with 750 it takes about a minute. */
#include "arbitration_support.h"
#include "../../csrc/budget/move.h"

#define THREADS 4
#define BUDGETS 24
#define FIXED 16
#define HOLDS 32
#define STEPS scaled(4000)
#define PHASES scaled(12)

/* A node of the tree. The first FIXED ones stay for the whole phase; the others are remade. */
typedef struct node {
    aegis_budget *budget;
    size_t parent;
    aegis_budget_reclaimer *reclaimer;
    /* What the reclaimer can give back; it is charged to `budget`. */
    atomic_size_t cached_bytes;
    /* What the threads hold in this budget itself; written at the end of a phase. */
    size_t held_bytes;
} node;

typedef struct hold {
    size_t at;
    size_t size_bytes;
} hold;

typedef struct worker {
    uint64_t random;
    size_t number;
    hold holds[HOLDS];
    size_t hold_count;
    /* A budget that only this thread makes, charges and destroys. */
    size_t own;
    pthread_t thread;
} worker;

static node nodes[BUDGETS];
static size_t node_count;
static worker workers[THREADS];
static bool fair;
static atomic_size_t granted_count, refused_count, reclaimed_count, closed_count, moved_count;

static size_t give_back(void *context, size_t wanted_bytes) {
    node *self = (node *)context;
    size_t cached = atomic_load(&self->cached_bytes), some;
    do {
        some = cached < wanted_bytes ? cached : wanted_bytes;
    } while (!atomic_compare_exchange_weak(&self->cached_bytes, &cached, cached - some));
    CHECK(aegis_budget_uncharge(self->budget, some) == AEGIS_OK);
    atomic_fetch_add(&reclaimed_count, some != 0);
    return some;
}

static void make_node(size_t number, size_t parent, size_t limit_bytes) {
    node *self = &nodes[number];
    self->parent = parent;
    self->reclaimer = NULL;
    self->held_bytes = 0;
    atomic_store(&self->cached_bytes, 0);
    self->budget = aegis_budget_new("node", limit_bytes, number != 0 ? nodes[parent].budget : NULL);
    CHECK(self->budget != NULL);
}

/* A tree of random form. A number is larger than that of its parent. */
static void make_tree(uint64_t *random) {
    node_count = FIXED;
    fair = random_below(random, 2) == 0;
    make_node(0, 0, 2000 + random_below(random, 4000));
    for (size_t i = 1; i < FIXED; i++) {
        size_t parent = random_below(random, i);
        while (nodes[parent].budget->level > 6)
            parent = nodes[parent].parent;
        if (fair && nodes[parent].budget->first_child == NULL && random_below(random, 3) == 0)
            CHECK(aegis_budget_set_policy(nodes[parent].budget, AEGIS_BUDGET_FAIR, NULL) ==
                  AEGIS_OK);
        bool limited = random_below(random, 2) == 0;
        make_node(i, parent, limited ? 300 + random_below(random, 3000) : AEGIS_BUDGET_UNLIMITED);
        if (random_below(random, 3) == 0)
            CHECK(aegis_budget_on_reclaim(nodes[i].budget, (int32_t)random_below(random, 3),
                                          (uint32_t)random_below(random, 2), give_back, NULL,
                                          &nodes[i], &nodes[i].reclaimer) == AEGIS_OK);
    }
}

/* Charges one of the budgets that stay, or the thread's own. */
static void charge(worker *self) {
    bool own = self->own != 0 && random_below(&self->random, 3) == 0;
    size_t at = own ? self->own : random_below(&self->random, FIXED);
    size_t size_bytes = random_below(&self->random, 20) == 0 ? random_below(&self->random, 3000)
                                                             : random_below(&self->random, 200);
    uint64_t timeout_ns =
        random_below(&self->random, 2) == 0 ? 0 : random_below(&self->random, 200) * UINT64_C(1000);
    aegis_error error;
    if (self->hold_count == HOLDS)
        return;
    aegis_status status =
        aegis_budget_charge_timeout(nodes[at].budget, size_bytes, timeout_ns, &error);
    if (status == AEGIS_OK) {
        hold made = {at, size_bytes};
        self->holds[self->hold_count++] = made;
        atomic_fetch_add(&granted_count, 1);
    } else if (status == AEGIS_E_CLOSED) {
        atomic_fetch_add(&closed_count, 1);
    } else {
        CHECK(status == AEGIS_E_LIMIT_EXCEEDED && error.refused != NULL);
        CHECK(error.needed_bytes > error.limit_bytes ||
              error.in_use_bytes > error.limit_bytes - error.needed_bytes);
        atomic_fetch_add(&refused_count, 1);
    }
}

static void uncharge(worker *self) {
    if (self->hold_count == 0)
        return;
    hold *one = &self->holds[random_below(&self->random, self->hold_count)];
    size_t some = random_below(&self->random, 3) == 0
                      ? random_below(&self->random, one->size_bytes + 1)
                      : one->size_bytes;
    CHECK(aegis_budget_uncharge(nodes[one->at].budget, some) == AEGIS_OK);
    one->size_bytes -= some;
    if (one->size_bytes == 0)
        *one = self->holds[--self->hold_count];
}

/* Moves what the thread holds, or a part of it, to another budget, or home, which is not refused.
 */
static void move(worker *self) {
    if (self->hold_count == 0 || self->hold_count == HOLDS)
        return;
    hold *one = &self->holds[random_below(&self->random, self->hold_count)];
    bool own = self->own != 0 && random_below(&self->random, 3) == 0;
    hold moved = {own ? self->own : random_below(&self->random, FIXED), one->size_bytes};
    aegis_budget *from = nodes[one->at].budget, *to = nodes[moved.at].budget;
    aegis_error error;
    if (random_below(&self->random, 2) == 0)
        moved.size_bytes = random_below(&self->random, one->size_bytes + 1);
    if (random_below(&self->random, 4) == 0) {
        aegis_i_move_home(from, to, moved.size_bytes);
    } else {
        aegis_status status = aegis_budget_move(from, to, moved.size_bytes, &error);
        CHECK(status == AEGIS_OK || status == AEGIS_E_CLOSED ||
              (status == AEGIS_E_LIMIT_EXCEEDED && error.refused != NULL));
        if (status != AEGIS_OK)
            return;
    }
    atomic_fetch_add(&moved_count, 1);
    one->size_bytes -= moved.size_bytes;
    self->holds[self->hold_count++] = moved;
}

/* Puts bytes into a cache, which its reclaimer may free from then on. */
static void fill_cache(worker *self) {
    node *at = &nodes[random_below(&self->random, FIXED)];
    size_t size_bytes = random_below(&self->random, 100);
    if (at->reclaimer != NULL && aegis_budget_charge(at->budget, size_bytes, NULL) == AEGIS_OK)
        atomic_fetch_add(&at->cached_bytes, size_bytes);
}

/* Uncharges what the thread holds in its own budget, and destroys that. */
static void end_own(worker *self) {
    for (size_t i = self->hold_count; i != 0; i--) {
        hold *one = &self->holds[i - 1];
        if (one->at != self->own)
            continue;
        CHECK(aegis_budget_uncharge(nodes[one->at].budget, one->size_bytes) == AEGIS_OK);
        *one = self->holds[--self->hold_count];
    }
    CHECK_SIZE(used(nodes[self->own].budget), 0);
    aegis_budget_destroy(nodes[self->own].budget);
    nodes[self->own].budget = NULL;
    self->own = 0;
}

static void remake_own(worker *self) {
    if (self->own != 0) {
        /* Charges of a closed budget fail until it is destroyed; uncharges do not. */
        if (random_below(&self->random, 3) == 0)
            aegis_budget_close(nodes[self->own].budget);
        else
            end_own(self);
        return;
    }
    size_t parent = random_below(&self->random, FIXED);
    self->own = FIXED + self->number;
    make_node(self->own, parent, 500);
}

static void change_terms(worker *self) {
    aegis_budget *budget = nodes[random_below(&self->random, FIXED)].budget;
    switch (random_below(&self->random, 4)) {
    case 0:
        aegis_budget_set_limit(budget, 300 + random_below(&self->random, 5000));
        break;
    case 1:
        (void)aegis_budget_set_guarantee(budget, random_below(&self->random, 400), NULL);
        break;
    case 2:
        (void)aegis_budget_set_guarantee(budget, 0, NULL);
        break;
    default:
        CHECK(aegis_budget_set_weight(budget, (uint32_t)random_below(&self->random, 300), NULL) ==
              AEGIS_OK);
    }
}

static void *work(void *context) {
    worker *self = (worker *)context;
    for (size_t i = 0; i < STEPS; i++) {
        size_t what = random_below(&self->random, 100);
        if (what < 40)
            charge(self);
        else if (what < 75)
            uncharge(self);
        else if (what < 85)
            move(self);
        else if (what < 92)
            fill_cache(self);
        else if (what < 95)
            remake_own(self);
        else
            change_terms(self);
    }
    return NULL;
}

static bool is_fair_parent(const aegis_budget *budget) {
    return budget->parent != NULL && atomic_load(&budget->parent->policy) == AEGIS_BUDGET_FAIR;
}

static size_t held_in(const aegis_budget *budget) {
    for (size_t i = 0; i < FIXED + THREADS; i++)
        if (nodes[i].budget == budget)
            return nodes[i].held_bytes;
    CHECK(false);
    return 0;
}

/* Notes in each node what is held there. */
static void count_holds(void) {
    for (size_t i = 0; i < FIXED + THREADS; i++)
        nodes[i].held_bytes = i < FIXED ? atomic_load(&nodes[i].cached_bytes) : 0;
    for (size_t i = 0; i < THREADS; i++)
        for (size_t k = 0; k < workers[i].hold_count; k++)
            nodes[workers[i].holds[k].at].held_bytes += workers[i].holds[k].size_bytes;
}

static void take_apart(void) {
    for (size_t i = 0; i < THREADS; i++) {
        worker *self = &workers[i];
        if (self->own != 0)
            end_own(self);
        while (self->hold_count != 0)
            uncharge(self);
    }
    for (size_t i = FIXED; i != 0; i--) {
        node *each = &nodes[i - 1];
        CHECK(aegis_budget_uncharge(each->budget, atomic_load(&each->cached_bytes)) == AEGIS_OK);
        atomic_store(&each->cached_bytes, 0);
    }
    count_holds();
    (void)check_tree(nodes[0].budget, held_in);
    for (size_t i = FIXED; i != 0; i--) {
        CHECK_SIZE(used(nodes[i - 1].budget), 0);
        aegis_budget_reclaimer_remove(nodes[i - 1].reclaimer);
        if (i != 1)
            aegis_budget_destroy(nodes[i - 1].budget);
    }
    CHECK(aegis_budget_set_guarantee(nodes[0].budget, 0, NULL) == AEGIS_OK);
    CHECK_SIZE(total_of_budget(nodes[0].budget), 0);
    aegis_budget_destroy(nodes[0].budget);
}

static void sums_are_exact_after_each_phase(void) {
    for (size_t phase = 0; phase < PHASES; phase++) {
        int before = check_failures;
        uint64_t seed = 977 + phase * 7919;
        uint64_t random = seed;
        memset(nodes, 0, sizeof nodes);
        memset(workers, 0, sizeof workers);
        make_tree(&random);
        for (size_t i = 0; i < THREADS; i++) {
            workers[i].number = i;
            workers[i].random = random_next(&random) | 1;
            CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
        }
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_join(workers[i].thread, NULL) == 0);
        count_holds();
        (void)check_tree(nodes[0].budget, held_in);
        CHECK(nodes[0].budget->gate.sessions == NULL);
        CHECK(nodes[0].budget->gate.session_marks == 0);
        CHECK(nodes[0].budget->gate.to_be_served == NULL);
        take_apart();
        if (check_failures != before)
            fprintf(stderr, "phase with the seed %llu\n", (unsigned long long)seed);
    }
    printf("%zu granted, %zu refused, %zu closed, %zu times reclaimed, %zu moved\n",
           atomic_load(&granted_count), atomic_load(&refused_count), atomic_load(&closed_count),
           atomic_load(&reclaimed_count), atomic_load(&moved_count));
    CHECK(atomic_load(&granted_count) != 0 && atomic_load(&refused_count) != 0);
    CHECK(atomic_load(&moved_count) != 0);
}

/* Each thread holds one charge at a time, which each limit on the way allows. So no wait may last
 * for ever, whatever the others do. */
static void *wait_and_pass(void *context) {
    worker *self = (worker *)context;
    for (size_t i = 0; i < STEPS / 2; i++) {
        aegis_budget *budget = nodes[random_below(&self->random, FIXED)].budget;
        if (random_below(&self->random, 20) == 0) {
            (void)aegis_budget_set_guarantee(budget, random_below(&self->random, 100), NULL);
            CHECK(aegis_budget_set_guarantee(budget, 0, NULL) == AEGIS_OK);
        }
        size_t size_bytes = 1 + random_below(&self->random, 300);
        uint64_t timeout_ns = random_below(&self->random, 4) == 0
                                  ? random_below(&self->random, 100) * UINT64_C(1000)
                                  : AEGIS_WAIT_FOREVER;
        aegis_status status = aegis_budget_charge_timeout(budget, size_bytes, timeout_ns, NULL);
        CHECK(status == AEGIS_OK || timeout_ns != AEGIS_WAIT_FOREVER);
        if (status == AEGIS_OK)
            CHECK(aegis_budget_uncharge(budget, size_bytes) == AEGIS_OK);
    }
    return NULL;
}

static void waits_without_an_end_come_to_an_end(void) {
    for (size_t phase = 0; phase < PHASES; phase++) {
        uint64_t random = 31 + phase * 104729;
        memset(nodes, 0, sizeof nodes);
        memset(workers, 0, sizeof workers);
        make_tree(&random);
        for (size_t i = 0; i < FIXED; i++)
            if (is_fair_parent(nodes[i].budget))
                CHECK(aegis_budget_set_weight(nodes[i].budget, 0, NULL) == AEGIS_OK);
            else
                aegis_budget_set_limit(nodes[i].budget, 300 + random_below(&random, 300));
        for (size_t i = 0; i < THREADS; i++) {
            workers[i].random = random_next(&random) | 1;
            CHECK(pthread_create(&workers[i].thread, NULL, wait_and_pass, &workers[i]) == 0);
        }
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_join(workers[i].thread, NULL) == 0);
        take_apart();
    }
}

int main(void) {
    check_alarm(3600);
    RUN(waits_without_an_end_come_to_an_end);
    RUN(sums_are_exact_after_each_phase);
    return check_finish();
}
