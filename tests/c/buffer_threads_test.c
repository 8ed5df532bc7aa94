/* SPDX-License-Identifier: Apache-2.0 */
/* Tests owners that more threads than cores use. Each release function must be called exactly once,
 * by any thread, and not before the last holder has read the bytes. Each holder checks the bytes
 * and the release destroys them. Nothing else synchronizes these accesses, so a sanitizer sees a
 * release that comes too early. AEGIS_TEST_SCALE sets the work. */
#include "buffer_support.h"

#include <pthread.h>

#define THREADS 8
#define BYTES 64
#define HELD 12

static atomic_size_t failure_count;

static void demand(bool condition) {
    if (!condition)
        atomic_fetch_add(&failure_count, 1);
}

/* Bytes lent to buffers. */
typedef struct lent {
    unsigned char bytes[BYTES];
    /* Not atomic: only the releasing thread has access. */
    size_t release_count;
} lent;

static void give_back(void *context) {
    lent *piece = (lent *)context;
    demand(is_filled(piece->bytes, piece->bytes[0], BYTES));
    memset(piece->bytes, 0xDD, BYTES);
    piece->release_count++;
    /* The library holds no lock here, so a release function may use buffers. */
    aegis_buffer copy;
    demand(aegis_buffer_copy(&copy, piece->bytes, BYTES, NULL, NULL) == AEGIS_OK);
    demand(aegis_buffer_release(&copy) == AEGIS_OK);
}

static aegis_buffer lend(lent *piece, unsigned char value) {
    aegis_buffer view;
    memset(piece->bytes, value, BYTES);
    demand(aegis_buffer_wrap(&view, piece->bytes, BYTES, give_back, piece, NULL) == AEGIS_OK);
    return view;
}

/* A thread and what it works with. */
typedef struct worker {
    pthread_t thread;
    uint64_t seed;
    size_t rounds;
    /* A handle that belongs to this thread, which gives it up at the end. */
    aegis_buffer view;
    aegis_buffer_mut writer;
    unsigned char value;
} worker;

static worker workers[THREADS];

static void start(size_t i, void *(*function)(void *), size_t rounds) {
    workers[i].seed = 0x9E3779B97F4A7C15u * (i + 1);
    workers[i].rounds = rounds;
    CHECK(pthread_create(&workers[i].thread, NULL, function, &workers[i]) == 0);
}

static void join_all(void) {
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
    CHECK_SIZE(atomic_exchange(&failure_count, 0), 0);
}

/* Makes and gives up handles of one owner at random. */
static void *storm(void *context) {
    worker *self = (worker *)context;
    aegis_buffer held[HELD];
    memset(held, 0, sizeof held);
    held[0] = self->view;
    for (size_t round = 0; round < self->rounds; round++) {
        aegis_buffer *from = &held[random_below(&self->seed, HELD)];
        aegis_buffer *to = &held[random_below(&self->seed, HELD)];
        if (from->data == NULL)
            continue;
        size_t at = random_below(&self->seed, from->length + 1);
        demand(is_filled(from->data, self->value, from->length));
        if (to == from) {
            demand(aegis_buffer_slice(from, 0, from->length, from) == AEGIS_OK);
        } else if (to->data != NULL) {
            demand(aegis_buffer_release(to) == AEGIS_OK);
        } else if (round % 3 == 0) {
            demand(aegis_buffer_split_off(from, at, to) == AEGIS_OK);
            demand(aegis_buffer_unsplit(from, to) == AEGIS_OK);
        } else if (round % 3 == 1) {
            demand(aegis_buffer_slice(from, 0, at, to) == AEGIS_OK);
        } else {
            demand(aegis_buffer_retain(from, to) == AEGIS_OK);
        }
    }
    for (size_t i = 0; i < HELD; i++)
        if (held[i].data != NULL)
            demand(aegis_buffer_release(&held[i]) == AEGIS_OK);
    return NULL;
}

static void storm_of_clones_releases_once(void) {
    static lent piece;
    for (size_t turn = 0; turn < scaled(20); turn++) {
        unsigned char value = (unsigned char)(turn + 1);
        piece.release_count = 0;
        aegis_buffer view = lend(&piece, value);
        for (size_t i = 0; i < THREADS; i++) {
            workers[i].value = value;
            CHECK(aegis_buffer_retain(&view, &workers[i].view) == AEGIS_OK);
        }
        for (size_t i = 0; i < THREADS; i++)
            start(i, storm, scaled(4000));
        CHECK(aegis_buffer_release(&view) == AEGIS_OK);
        join_all();
        CHECK_SIZE(piece.release_count, 1);
        CHECK(is_filled(piece.bytes, 0xDD, BYTES));
    }
}

#define PIECES 1000

static lent pieces[PIECES];
static aegis_buffer piece_views[THREADS][PIECES];

/* Every thread has a handle to every piece, and all threads give them up in the same order. */
static void *release_all(void *context) {
    worker *self = (worker *)context;
    aegis_buffer *views = piece_views[self - workers];
    for (size_t i = 0; i < self->rounds; i++) {
        demand(is_filled(views[i].data, (unsigned char)(i + 1), BYTES));
        demand(aegis_buffer_release(&views[i]) == AEGIS_OK);
    }
    return NULL;
}

static void last_of_many_at_once_releases_once(void) {
    for (size_t turn = 0; turn < scaled(10); turn++) {
        for (size_t i = 0; i < PIECES; i++) {
            pieces[i].release_count = 0;
            piece_views[0][i] = lend(&pieces[i], (unsigned char)(i + 1));
            for (size_t k = 1; k < THREADS; k++)
                CHECK(aegis_buffer_retain(&piece_views[0][i], &piece_views[k][i]) == AEGIS_OK);
        }
        for (size_t i = 0; i < THREADS; i++)
            start(i, release_all, PIECES);
        join_all();
        for (size_t i = 0; i < PIECES; i++)
            CHECK_SIZE(pieces[i].release_count, 1);
    }
}

/* A place where one thread leaves a handle for another. */
typedef struct mailbox {
    pthread_mutex_t lock;
    aegis_buffer view;
} mailbox;

static mailbox mailboxes[THREADS];

static void swap_mail(mailbox *box, aegis_buffer *view) {
    (void)pthread_mutex_lock(&box->lock);
    aegis_buffer found = box->view;
    box->view = *view;
    *view = found;
    (void)pthread_mutex_unlock(&box->lock);
}

/* Takes a view over for writing if it is the only handle, and marks its bytes. */
static void rewrite(worker *self, aegis_buffer *view, size_t *rewritten_count) {
    aegis_buffer_mut writer;
    aegis_status status = aegis_buffer_try_into_mut(view, &writer);
    demand(status == AEGIS_OK || status == AEGIS_E_BUSY);
    if (status != AEGIS_OK)
        return;
    memset(writer.data, (int)random_below(&self->seed, 256), writer.length);
    *view = aegis_buffer_mut_freeze(&writer);
    (*rewritten_count)++;
}

static atomic_size_t rewritten_total;

/* Passes heap buffers round. A thread that has the only handle to one writes to it. */
static void *hand_over(void *context) {
    worker *self = (worker *)context;
    size_t rewritten_count = 0;
    for (size_t round = 0; round < self->rounds; round++) {
        aegis_buffer view = {NULL, 0, NULL}, copy;
        swap_mail(&mailboxes[random_below(&self->seed, THREADS)], &view);
        if (view.data == NULL) {
            unsigned char bytes[BYTES];
            memset(bytes, (int)round & 0xFF, BYTES);
            demand(aegis_buffer_copy(&view, bytes, BYTES, NULL, NULL) == AEGIS_OK);
        }
        demand(is_filled(view.data, view.data[0], BYTES));
        rewrite(self, &view, &rewritten_count);
        demand(aegis_buffer_retain(&view, &copy) == AEGIS_OK);
        swap_mail(&mailboxes[random_below(&self->seed, THREADS)], &copy);
        if (copy.data != NULL)
            demand(aegis_buffer_release(&copy) == AEGIS_OK);
        demand(is_filled(view.data, view.data[0], BYTES));
        demand(aegis_buffer_release(&view) == AEGIS_OK);
    }
    atomic_fetch_add(&rewritten_total, rewritten_count);
    return NULL;
}

static void handed_over_buffer_is_written_by_who_is_alone_with_it(void) {
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_mutex_init(&mailboxes[i].lock, NULL) == 0);
    for (size_t i = 0; i < THREADS; i++)
        start(i, hand_over, scaled(20000));
    join_all();
    CHECK(atomic_load(&rewritten_total) > 0);
    for (size_t i = 0; i < THREADS; i++) {
        if (mailboxes[i].view.data != NULL)
            CHECK(aegis_buffer_release(&mailboxes[i].view) == AEGIS_OK);
        CHECK(pthread_mutex_destroy(&mailboxes[i].lock) == 0);
    }
}

/* Fills a part of memory while other threads write to the parts beside it. */
static void *fill(void *context) {
    worker *self = (worker *)context;
    aegis_buffer_mut rest = self->writer;
    aegis_buffer front = {NULL, 0, NULL};
    while (rest.capacity != 0) {
        aegis_buffer_mut part;
        size_t length = random_below(&self->seed, rest.capacity) + 1;
        demand(aegis_buffer_mut_split_off(&rest, length, &part) == AEGIS_OK);
        for (size_t i = 0; i < length; i++)
            demand(aegis_buffer_mut_append(&rest, &self->value, 1) == AEGIS_OK);
        aegis_buffer view = aegis_buffer_mut_freeze(&rest);
        if (front.data == NULL)
            front = view;
        else
            demand(aegis_buffer_unsplit(&front, &view) == AEGIS_OK);
        rest = part;
    }
    demand(aegis_buffer_mut_release(&rest) == AEGIS_OK);
    self->view = front;
    return NULL;
}

static void parts_filled_by_threads_join_to_the_whole(void) {
    for (size_t turn = 0; turn < scaled(50); turn++) {
        aegis_buffer_mut writer;
        CHECK(aegis_buffer_mut_alloc(&writer, THREADS * 100, 0, NULL, NULL) == AEGIS_OK);
        for (size_t i = 0; i < THREADS; i++) {
            workers[i].writer = writer;
            workers[i].value = (unsigned char)(i + 1);
            CHECK(aegis_buffer_mut_split_off(&workers[i].writer, 100, &writer) == AEGIS_OK);
        }
        CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
        for (size_t i = 0; i < THREADS; i++)
            start(i, fill, 1);
        join_all();
        aegis_buffer whole = workers[0].view;
        for (size_t i = 1; i < THREADS; i++)
            CHECK(aegis_buffer_unsplit(&whole, &workers[i].view) == AEGIS_OK);
        CHECK_SIZE(whole.length, THREADS * 100);
        for (size_t i = 0; i < THREADS; i++)
            CHECK(is_filled(whole.data + i * 100, (unsigned char)(i + 1), 100));
        CHECK(aegis_buffer_is_unique(&whole));
        CHECK(aegis_buffer_release(&whole) == AEGIS_OK);
    }
}

static aegis_budget *budget;

/* Makes copies under a budget that is too small for the copies of all threads. Leaves some of them
 * for another thread to give up. */
static void *copy_under_budget(void *context) {
    worker *self = (worker *)context;
    unsigned char bytes[BYTES];
    memset(bytes, self->value, BYTES);
    for (size_t round = 0; round < self->rounds; round++) {
        aegis_buffer view;
        aegis_error error;
        aegis_status status = aegis_buffer_copy(&view, bytes, BYTES, budget, &error);
        if (status != AEGIS_OK) {
            demand(status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
            memset(&view, 0, sizeof view);
        }
        swap_mail(&mailboxes[random_below(&self->seed, THREADS)], &view);
        if (view.data == NULL)
            continue;
        demand(is_filled(view.data, view.data[0], BYTES));
        demand(aegis_buffer_release(&view) == AEGIS_OK);
    }
    return NULL;
}

static void budget_is_as_before_when_all_copies_are_gone(void) {
    budget = aegis_budget_new("copies", 5 * (BYTES + 100), NULL);
    memset(mailboxes, 0, sizeof mailboxes);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_mutex_init(&mailboxes[i].lock, NULL) == 0);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].value = (unsigned char)(i + 1);
        start(i, copy_under_budget, scaled(10000));
    }
    join_all();
    for (size_t i = 0; i < THREADS; i++) {
        if (mailboxes[i].view.data != NULL)
            CHECK(aegis_buffer_release(&mailboxes[i].view) == AEGIS_OK);
        CHECK(pthread_mutex_destroy(&mailboxes[i].lock) == 0);
    }
    CHECK_SIZE(budget_used(budget), 0);
    aegis_budget_destroy(budget);
}

int main(void) {
    RUN(storm_of_clones_releases_once);
    RUN(last_of_many_at_once_releases_once);
    RUN(handed_over_buffer_is_written_by_who_is_alone_with_it);
    RUN(parts_filled_by_threads_join_to_the_whole);
    RUN(budget_is_as_before_when_all_copies_are_gone);
    return check_finish();
}
