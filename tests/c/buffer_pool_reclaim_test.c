/* SPDX-License-Identifier: Apache-2.0 */
/* Tests buffer pools that are reclaimers of their budget: others get the bytes of idle slabs,
 * nothing in use is taken, the pool asks itself last, pools ask each other, and a pool ends as
 * without the registration, also while threads reclaim. AEGIS_TEST_SCALE sets the work. */
#include "arbitration_support.h"
#include "buffer_pool_support.h"

#define BUFFER_BYTES ((size_t)4096)
#define STEP ((size_t)4)
#define SLABS ((size_t)20)
#define BUFFERS (SLABS * STEP)

/* A source that counts, for any thread. `on_release` is called once, at the next release. */
typedef struct store {
    aegis_source pages;
    atomic_size_t live_bytes;
    atomic_size_t close_count;
    void (*on_release)(void);
} store;

static void *store_acquire(void *context, size_t size_bytes, size_t align_bytes, bool *zeroed) {
    store *self = (store *)context;
    atomic_fetch_add(&self->live_bytes, size_bytes);
    return self->pages.acquire(self->pages.context, size_bytes, align_bytes, zeroed);
}

static void store_release(void *context, void *memory, size_t size_bytes, size_t align_bytes) {
    store *self = (store *)context;
    void (*on_release)(void) = self->on_release;
    if (on_release != NULL) {
        self->on_release = NULL;
        on_release();
    }
    self->pages.release(self->pages.context, memory, size_bytes, align_bytes);
    atomic_fetch_sub(&self->live_bytes, size_bytes);
}

static void store_close(void *context) {
    atomic_fetch_add(&((store *)context)->close_count, 1);
}

static store memory;
static aegis_budget *root;
static aegis_budget *buffers;
static aegis_budget *other;
static aegis_buffer_pool pool;
static aegis_buffer_mut writers[2 * BUFFERS];

static aegis_buffer_pool make_pool(const aegis_buffer_class *classes, size_t class_count,
                                   aegis_budget *budget, int32_t priority) {
    aegis_source source = {store_acquire, store_release, store_close, &memory};
    aegis_buffer_pool_options options = buffer_pool_options(classes, class_count, &source);
    aegis_buffer_pool made;
    options.budget = budget;
    options.flags = AEGIS_BUFFER_RECLAIMABLE;
    options.reclaim_priority = priority;
    CHECK(aegis_buffer_pool_init(&made, &options) == AEGIS_OK);
    return made;
}

static void make_budgets(void) {
    memset(&memory, 0, sizeof memory);
    memory.pages = aegis_source_pages(0);
    root = aegis_budget_new("root", AEGIS_BUDGET_UNLIMITED, NULL);
    buffers = aegis_budget_new("buffers", AEGIS_BUDGET_UNLIMITED, root);
    other = aegis_budget_new("other", AEGIS_BUDGET_UNLIMITED, root);
}

/* Makes a pool of up to BUFFERS buffers, STEP in each slab. */
static void make(void) {
    aegis_buffer_class only = {BUFFER_BYTES, STEP, BUFFERS};
    make_budgets();
    pool = make_pool(&only, 1, buffers, 0);
}

static void take_apart(void) {
    CHECK(aegis_budget_uncharge(other, used(other)) == AEGIS_OK);
    CHECK_SIZE(used(root), 0);
    CHECK_SIZE(atomic_load(&memory.live_bytes), 0);
    aegis_budget_destroy(other);
    aegis_budget_destroy(buffers);
    aegis_budget_destroy(root);
}

/* Takes `count` buffers and writes its number into each. */
static void take(const aegis_buffer_pool *from, size_t count, size_t capacity_bytes) {
    CHECK_SIZE(get_writers(from, writers, count, capacity_bytes, NULL), count);
    for (size_t i = 0; i < count; i++)
        memset(writers[i].data, (int)(i % 251) + 1, capacity_bytes);
}

static void use(const aegis_buffer_pool *from, size_t count, size_t capacity_bytes) {
    take(from, count, capacity_bytes);
    release_writers(writers, count);
}

static bool is_whole(size_t i) {
    return is_filled(writers[i].data, (unsigned char)(i % 251 + 1), BUFFER_BYTES);
}

/* Charges `other` while the root has no room left. */
static aegis_status charge_full(size_t size_bytes) {
    aegis_budget_set_limit(root, used(root));
    return aegis_budget_charge(other, size_bytes, NULL);
}

static void idle_slabs_make_room_for_another_consumer(void) {
    make();
    size_t first_bytes = used(buffers);
    take(&pool, BUFFERS, BUFFER_BYTES);
    size_t full_bytes = used(buffers);
    size_t slab_bytes = (full_bytes - first_bytes) / (SLABS - 1);
    /* The buffers that stay out lie in two slabs. */
    aegis_buffer_mut kept[2] = {writers[BUFFERS / 2], writers[BUFFERS - 1]};
    writers[BUFFERS / 2] = writers[BUFFERS - 2];
    release_writers(writers, BUFFERS - 2);
    /* As many slabs as are needed, and no more. */
    CHECK(charge_full(2 * slab_bytes + 1) == AEGIS_OK);
    CHECK_SIZE(used(buffers), full_bytes - 3 * slab_bytes);
    CHECK_SIZE(buffer_pool_stats(&pool).reserved_bytes, used(buffers));
    CHECK_SIZE(atomic_load(&memory.live_bytes), used(buffers));
    CHECK_SIZE(figures_of(root).reclaim_count, 1);
    CHECK(figures_of(root).reclaimed_bytes == 3 * slab_bytes);
    CHECK_SIZE(figures_of(root).refused_count, 0);
    /* All that is idle, except the first slab. */
    CHECK(charge_full(used(buffers) - first_bytes - 2 * slab_bytes) == AEGIS_OK);
    CHECK_SIZE(used(buffers), first_bytes + 2 * slab_bytes);
    CHECK(charge_full(1) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[0].in_use, 2);
    for (size_t i = 0; i < 2; i++)
        CHECK(is_filled(kept[i].data, kept[i].data[0], BUFFER_BYTES) && kept[i].data[0] != 0);
    release_writers(kept, 2);
    /* A limit that is lowered asks too. */
    aegis_budget_set_limit(root, AEGIS_BUDGET_UNLIMITED);
    use(&pool, BUFFERS, BUFFER_BYTES);
    CHECK_SIZE(used(buffers), full_bytes);
    aegis_budget_set_limit(root, used(root) - slab_bytes);
    CHECK_SIZE(used(buffers), full_bytes - slab_bytes);
    aegis_buffer_pool_release(&pool);
    take_apart();
}

static void nothing_in_use_is_taken(void) {
    make();
    take(&pool, BUFFERS, BUFFER_BYTES);
    size_t full_bytes = used(buffers);
    CHECK(charge_full(1) == AEGIS_E_LIMIT_EXCEEDED);
    /* A few free buffers, and no slab all of whose buffers are free: they stay where they are. */
    release_writers(writers, 1);
    release_writers(writers + BUFFERS - 1, 1);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[0].parked, 2);
    CHECK(charge_full(1) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(buffer_pool_stats(&pool).classes[0].parked, 2);
    CHECK_SIZE(used(buffers), full_bytes);
    for (size_t i = 1; i < BUFFERS - 1; i++)
        CHECK(is_whole(i));
    release_writers(writers + 1, BUFFERS - 2);
    CHECK(charge_full(1) == AEGIS_OK);
    CHECK(used(buffers) < full_bytes);
    aegis_buffer_pool_release(&pool);
    take_apart();
}

static void a_class_grows_by_what_another_class_does_not_use(void) {
    static const aegis_buffer_class classes[2] = {{BUFFER_BYTES, STEP, BUFFERS},
                                                  {4 * BUFFER_BYTES, STEP, BUFFERS}};
    make_budgets();
    pool = make_pool(classes, 2, buffers, 0);
    for (int round = 0; round < 3; round++) {
        aegis_budget_set_limit(buffers, AEGIS_BUDGET_UNLIMITED);
        use(&pool, 3 * STEP, 4 * BUFFER_BYTES);
        size_t limit_bytes = used(buffers);
        aegis_budget_set_limit(buffers, limit_bytes);
        use(&pool, 6 * STEP, BUFFER_BYTES);
        CHECK(used(buffers) <= limit_bytes);
        CHECK(buffer_pool_stats(&pool).classes[0].capacity >= 6 * STEP);
        CHECK(buffer_pool_stats(&pool).classes[1].capacity < 3 * STEP);
        CHECK(figures_of(buffers).reclaim_count != 0);
        aegis_buffer_pool_trim(&pool, 0);
    }
    CHECK_SIZE(buffer_pool_stats(&pool).refused_count, 0);
    aegis_buffer_pool_release(&pool);
    take_apart();
}

static void pools_are_asked_by_priority_and_the_largest_class_gives_first(void) {
    static const aegis_buffer_class classes[2] = {{BUFFER_BYTES, STEP, BUFFERS},
                                                  {2 * BUFFER_BYTES, STEP, BUFFERS}};
    make_budgets();
    aegis_buffer_pool last = make_pool(classes, 2, buffers, 7);
    aegis_buffer_pool first = make_pool(classes, 2, buffers, -7);
    use(&last, 2 * STEP, 2 * BUFFER_BYTES);
    use(&first, 2 * STEP, 2 * BUFFER_BYTES);
    use(&first, 2 * STEP, BUFFER_BYTES);
    CHECK(charge_full(1) == AEGIS_OK);
    CHECK_SIZE(buffer_pool_stats(&first).classes[1].capacity, STEP);
    CHECK_SIZE(buffer_pool_stats(&first).classes[0].capacity, 2 * STEP);
    CHECK(charge_full(1) == AEGIS_OK);
    CHECK_SIZE(buffer_pool_stats(&first).classes[0].capacity, STEP);
    CHECK_SIZE(buffer_pool_stats(&last).classes[1].capacity, 2 * STEP);
    CHECK(charge_full(1) == AEGIS_OK);
    CHECK_SIZE(buffer_pool_stats(&last).classes[1].capacity, STEP);
    CHECK(charge_full(1) == AEGIS_E_LIMIT_EXCEEDED);
    aegis_buffer_pool_release(&first);
    aegis_buffer_pool_release(&last);
    take_apart();
}

/* The registration is no handle: the pool ends with its last handle, and the budget with its last
 * reference. */
static void a_pool_ends_with_its_last_handle(void) {
    aegis_buffer_pool copy;
    make();
    use(&pool, BUFFERS, BUFFER_BYTES);
    CHECK(aegis_buffer_pool_retain(&pool, &copy) == AEGIS_OK);
    aegis_buffer_pool_release(&pool);
    CHECK(charge_full(1) == AEGIS_OK);
    CHECK_SIZE(figures_of(root).reclaim_count, 1);
    aegis_buffer_pool_release(&copy);
    CHECK_SIZE(atomic_load(&memory.close_count), 1);
    CHECK(charge_full(1) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(figures_of(root).reclaim_count, 1);
    take_apart();
}

static void buffers_outlive_the_last_handle_and_idle_slabs_do_not(void) {
    make();
    size_t first_bytes = used(buffers);
    take(&pool, BUFFERS, BUFFER_BYTES);
    size_t slab_bytes = (used(buffers) - first_bytes) / (SLABS - 1);
    release_writers(writers, BUFFERS - 1);
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(used(buffers), first_bytes + slab_bytes);
    CHECK_SIZE(atomic_load(&memory.close_count), 0);
    /* The pool is not asked any more. */
    CHECK(charge_full(1) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(figures_of(root).reclaim_count, 0);
    CHECK(is_whole(BUFFERS - 1));
    /* The pool keeps its budget. */
    aegis_budget_destroy(buffers);
    buffers = aegis_budget_retain(other);
    release_writers(writers + BUFFERS - 1, 1);
    CHECK_SIZE(atomic_load(&memory.close_count), 1);
    take_apart();
}

static void give_up_handle(void) {
    aegis_buffer_pool_release(&pool);
    CHECK_SIZE(atomic_load(&memory.close_count), 0);
}

/* The last handle is given up inside of the reclaimer, by the pool's own source. */
static void a_pool_may_end_inside_its_reclaimer(void) {
    for (size_t kept_count = 0; kept_count < 2; kept_count++) {
        make();
        take(&pool, BUFFERS, BUFFER_BYTES);
        release_writers(writers, BUFFERS - kept_count);
        memory.on_release = give_up_handle;
        CHECK(charge_full(1) == AEGIS_OK);
        CHECK_SIZE(atomic_load(&memory.close_count), 1 - kept_count);
        if (kept_count != 0) {
            CHECK(is_whole(BUFFERS - 1));
            release_writers(writers + BUFFERS - 1, 1);
        }
        CHECK_SIZE(atomic_load(&memory.close_count), 1);
        CHECK_SIZE(used(root), 1);
        take_apart();
    }
}

static atomic_size_t wake_count;

static void count_wake(void *unused) {
    (void)unused;
    atomic_fetch_add(&wake_count, 1);
}

/* A request that waits when all buffers are out gets the bytes as soon as a slab is idle, although
 * its buffers are released one by one. */
static void a_request_that_waits_gets_slabs_that_become_idle(void) {
    waiting thread;
    aegis_budget_request *polled = NULL;
    for (int round = 0; round < 2; round++) {
        make();
        take(&pool, BUFFERS, BUFFER_BYTES);
        size_t full_bytes = used(buffers);
        aegis_budget_set_limit(root, used(root));
        atomic_store(&wake_count, 0);
        if (round == 0)
            waiting_start(&thread, other, 1, LONG_NS, root);
        else
            CHECK(aegis_budget_poll_charge(other, 1, &polled, count_wake, NULL, NULL) ==
                  AEGIS_PENDING);
        for (size_t i = BUFFERS; i > STEP; i--) {
            release_writers(&writers[i - 1], 1);
            if (round == 1 && polled != NULL && atomic_load(&wake_count) != 0) {
                atomic_store(&wake_count, 0);
                (void)aegis_budget_poll_charge(other, 1, &polled, count_wake, NULL, NULL);
            }
        }
        if (round == 0)
            CHECK(waiting_join(&thread) == AEGIS_OK);
        CHECK(polled == NULL);
        CHECK_SIZE(used(other), 1);
        CHECK(used(buffers) < full_bytes);
        for (size_t i = 0; i < STEP; i++)
            CHECK(is_whole(i));
        /* Buffers are cached again. */
        release_writers(writers, STEP);
        use(&pool, STEP, BUFFER_BYTES);
        CHECK(buffer_pool_stats(&pool).classes[0].parked != 0);
        aegis_buffer_pool_release(&pool);
        take_apart();
    }
}

static void options_are_checked_and_need_no_budget(void) {
    aegis_error error;
    aegis_buffer_class only = {BUFFER_BYTES, STEP, BUFFERS};
    aegis_buffer_pool_options options = buffer_pool_options(&only, 1, NULL);
    options.error = &error;
    options.flags = AEGIS_BUFFER_RECLAIMABLE << 1;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_E_INVALID);
    CHECK(error.what == AEGIS_WHAT_FLAGS && error.asked == options.flags);
    CHECK_SIZE(error.allowed, AEGIS_BUFFER_RECLAIMABLE);
    options.flags = AEGIS_BUFFER_RECLAIMABLE;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    use(&pool, BUFFERS, BUFFER_BYTES);
    aegis_buffer_pool_release(&pool);
    /* Without the flag nothing is registered. */
    make_budgets();
    options.flags = 0;
    options.budget = buffers;
    CHECK(aegis_buffer_pool_init(&pool, &options) == AEGIS_OK);
    use(&pool, BUFFERS, BUFFER_BYTES);
    CHECK(charge_full(1) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK_SIZE(figures_of(root).reclaim_count, 0);
    aegis_buffer_pool_release(&pool);
    take_apart();
}

#define HELD ((size_t)20)

typedef struct user {
    pthread_t thread;
    aegis_buffer_pool pool;
    aegis_budget *budget;
    int number;
    size_t failure_count;
} user;

static void *use_in_waves(void *argument) {
    user *self = (user *)argument;
    aegis_buffer_mut held[HELD];
    for (size_t round = 0; round < scaled(300); round++) {
        size_t count = round % 3 != 0 ? HELD : 1;
        for (size_t i = 0; i < count; i++) {
            aegis_status status =
                aegis_buffer_pool_get_timeout(&self->pool, &held[i], BUFFER_BYTES, LONG_NS, NULL);
            if (status != AEGIS_OK) {
                self->failure_count++;
                count = i;
                break;
            }
            memset(held[i].data, self->number, BUFFER_BYTES);
        }
        for (size_t i = 0; i < count; i++) {
            self->failure_count +=
                !is_filled(held[i].data, (unsigned char)self->number, BUFFER_BYTES);
            (void)aegis_buffer_mut_release(&held[i]);
        }
    }
    return NULL;
}

/* There is room for what both have out, and for none of what both have idle. */
static void two_pools_ask_each_other(void) {
    aegis_buffer_class only = {BUFFER_BYTES, 1, 3 * HELD};
    user users[2];
    make_budgets();
    memset(users, 0, sizeof users);
    size_t first_bytes = 0;
    for (int i = 0; i < 2; i++) {
        users[i].number = i + 1;
        users[i].budget = aegis_budget_new("user", AEGIS_BUDGET_UNLIMITED, root);
        users[i].pool = make_pool(&only, 1, users[i].budget, 0);
        first_bytes += used(users[i].budget);
    }
    use(&users[0].pool, 1 + HELD, BUFFER_BYTES);
    aegis_budget_set_limit(root, used(root) + (used(root) - first_bytes));
    /* By turns. */
    for (int round = 0; round < 6; round++)
        use(&users[round % 2].pool, 2 * HELD, BUFFER_BYTES);
    CHECK(figures_of(root).reclaim_count >= 5);
    /* At the same time. */
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&users[i].thread, NULL, use_in_waves, &users[i]) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(users[i].thread, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK_SIZE(users[i].failure_count, 0);
        CHECK_SIZE(used(users[i].budget), buffer_pool_stats(&users[i].pool).reserved_bytes);
        aegis_buffer_pool_release(&users[i].pool);
        CHECK_SIZE(used(users[i].budget), 0);
        aegis_budget_destroy(users[i].budget);
    }
    CHECK(peak(root) <= figures_of(root).limit_bytes);
    take_apart();
}

static atomic_bool done;
static size_t room_bytes;

/* Charges so much that the pool has to give back, and frees it again. */
static void *charge_again_and_again(void *unused) {
    (void)unused;
    while (!atomic_load(&done)) {
        if (aegis_budget_charge(other, room_bytes, NULL) == AEGIS_OK)
            CHECK(aegis_budget_uncharge(other, room_bytes) == AEGIS_OK);
        sched_yield();
    }
    return NULL;
}

typedef struct last_buffer {
    pthread_t thread;
    aegis_buffer_pool handle;
    aegis_buffer_mut writer;
} last_buffer;

/* Gives up a handle, and then the last buffer. */
static void *give_up_all(void *argument) {
    last_buffer *self = (last_buffer *)argument;
    aegis_buffer_pool_release(&self->handle);
    if (self->writer.owner != NULL)
        (void)aegis_buffer_mut_release(&self->writer);
    return NULL;
}

static void a_pool_ends_while_threads_reclaim(void) {
    pthread_t threads[2];
    aegis_buffer_class only = {BUFFER_BYTES, STEP, BUFFERS};
    make();
    use(&pool, BUFFERS, BUFFER_BYTES);
    size_t full_bytes = used(buffers);
    aegis_buffer_pool_release(&pool);
    atomic_store(&memory.close_count, 0);
    room_bytes = full_bytes / 2;
    aegis_budget_set_limit(root, full_bytes + full_bytes / 4);
    atomic_store(&done, false);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, charge_again_and_again, NULL) == 0);
    /* With little work, it may take more rounds until a thread reclaims at all. */
    for (size_t round = 0; round < scaled(300) || figures_of(root).reclaim_count == 0; round++) {
        last_buffer other_end;
        aegis_budget *own = aegis_budget_new("own", AEGIS_BUDGET_UNLIMITED, root);
        memset(&other_end, 0, sizeof other_end);
        pool = make_pool(&only, 1, own, 0);
        aegis_budget_destroy(own);
        CHECK(aegis_buffer_pool_retain(&pool, &other_end.handle) == AEGIS_OK);
        /* The threads may have taken the room for some of them. */
        size_t count = get_writers(&pool, writers, BUFFERS, BUFFER_BYTES, NULL);
        if (count != 0 && round % 2 != 0)
            other_end.writer = writers[--count];
        release_writers(writers, count);
        CHECK(pthread_create(&other_end.thread, NULL, give_up_all, &other_end) == 0);
        aegis_buffer_pool_release(&pool);
        CHECK(pthread_join(other_end.thread, NULL) == 0);
        /* A thread that reclaims may have had the last handle. */
        while (atomic_load(&memory.close_count) != round + 1)
            sched_yield();
        CHECK_SIZE(atomic_load(&memory.live_bytes), 0);
    }
    atomic_store(&done, true);
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    take_apart();
}

int main(void) {
    check_alarm(300);
    RUN(idle_slabs_make_room_for_another_consumer);
    RUN(nothing_in_use_is_taken);
    RUN(a_class_grows_by_what_another_class_does_not_use);
    RUN(pools_are_asked_by_priority_and_the_largest_class_gives_first);
    RUN(a_pool_ends_with_its_last_handle);
    RUN(buffers_outlive_the_last_handle_and_idle_slabs_do_not);
    RUN(a_pool_may_end_inside_its_reclaimer);
    RUN(a_request_that_waits_gets_slabs_that_become_idle);
    RUN(options_are_checked_and_need_no_budget);
    RUN(two_pools_ask_each_other);
    RUN(a_pool_ends_while_threads_reclaim);
    return check_finish();
}
