/* SPDX-License-Identifier: Apache-2.0 */
/* Tests what an engine needs that reads and writes by itself: pages that get another number in
 * their frames, pins of resident pages only, and the count of resident pages of a file. */
#include "support.h"

#include "aegis_memory/page_cache_control.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

#define PAGE_BYTES 512
#define FRAMES 32

typedef struct fixture {
    aegis_page_store store;
    aegis_page_cache cache;
    uint32_t file;
} fixture;

/* Writes the number of a page to its first byte. */
static void stamp(aegis_page_pin *pin, unsigned char number) {
    pin->data[0] = number;
}

/* A cache of a file with 64 pages, each stamped with its number, none of them resident. */
static void set_up(fixture *self) {
    aegis_page_cache_options options = {0};
    unsigned char bytes[PAGE_BYTES] = {0};
    aegis_page_write page = {0, bytes};
    options.page_bytes = PAGE_BYTES;
    options.frame_count = FRAMES;
    CHECK(aegis_page_store_memory(&self->store, NULL) == AEGIS_OK);
    for (; page.page < 64; page.page++) {
        bytes[0] = (unsigned char)page.page;
        CHECK(self->store.write_batch(self->store.context, &page, 1, PAGE_BYTES) == AEGIS_OK);
    }
    CHECK(aegis_page_cache_init(&self->cache, &options) == AEGIS_OK);
    CHECK(aegis_page_cache_open(&self->cache, &self->store, NULL, &self->file, NULL) == AEGIS_OK);
}

static aegis_page_pin pin(fixture *self, uint64_t page, uint32_t mode) {
    aegis_page_pin made;
    CHECK(aegis_page_cache_pin(&self->cache, self->file, page, mode, &made, NULL) == AEGIS_OK);
    return made;
}

static void unpin(fixture *self, aegis_page_pin *made, uint32_t flags) {
    CHECK(aegis_page_cache_unpin(&self->cache, made, flags) == AEGIS_OK);
}

static void finish(fixture *self) {
    CHECK(aegis_page_cache_destroy(&self->cache, NULL) == AEGIS_OK);
}

/* The first byte that the store has of a page. */
static unsigned char stored(fixture *self, uint64_t page) {
    unsigned char bytes[PAGE_BYTES], *pages[1] = {bytes};
    size_t read_bytes;
    CHECK(self->store.read(self->store.context, page, pages, 1, PAGE_BYTES, &read_bytes) ==
          AEGIS_OK);
    return bytes[0];
}

static void a_page_keeps_its_frame_and_bytes_under_another_number(void) {
    fixture self;
    set_up(&self);
    aegis_page_pin moved = pin(&self, 3, AEGIS_PIN_WRITE);
    unsigned char *data = moved.data;
    uint32_t frame = moved.frame;
    CHECK(aegis_page_cache_rekey(&self.cache, &moved, 40, NULL) == AEGIS_OK);
    CHECK(moved.page == 40 && moved.data == data && moved.frame == frame);
    CHECK(data[0] == 3);
    CHECK(!aegis_page_cache_contains(&self.cache, self.file, 3));
    CHECK(aegis_page_cache_contains(&self.cache, self.file, 40));
    CHECK(aegis_page_cache_downgrade(&self.cache, &moved, 0) == AEGIS_OK);
    aegis_page_pin again = pin(&self, 40, AEGIS_PIN_READ);
    CHECK(again.data == data);
    unpin(&self, &again, 0);
    unpin(&self, &moved, 0);
    /* The old number is read from the store, and the page was clean, so the new one is too. */
    again = pin(&self, 3, AEGIS_PIN_READ);
    CHECK(again.data != data && again.data[0] == 3);
    unpin(&self, &again, 0);
    CHECK(aegis_page_cache_flush(&self.cache, self.file, NULL) == AEGIS_OK);
    CHECK(stored(&self, 40) == 40);
    finish(&self);
}

static void a_dirty_page_is_written_under_its_new_number_only(void) {
    fixture self;
    set_up(&self);
    aegis_page_pin moved = pin(&self, 5, AEGIS_PIN_WRITE);
    stamp(&moved, 200);
    unpin(&self, &moved, AEGIS_UNPIN_DIRTY);
    moved = pin(&self, 5, AEGIS_PIN_WRITE);
    CHECK(aegis_page_cache_rekey(&self.cache, &moved, 6, NULL) == AEGIS_OK);
    unpin(&self, &moved, 0);
    moved = pin(&self, 7, AEGIS_PIN_WRITE);
    stamp(&moved, 201);
    CHECK(aegis_page_cache_rekey(&self.cache, &moved, 8, NULL) == AEGIS_OK);
    unpin(&self, &moved, AEGIS_UNPIN_DIRTY);
    CHECK(aegis_page_cache_flush(&self.cache, self.file, NULL) == AEGIS_OK);
    CHECK(stored(&self, 5) == 5);
    CHECK(stored(&self, 6) == 200);
    CHECK(stored(&self, 7) == 7);
    CHECK(stored(&self, 8) == 201);
    finish(&self);
}

static size_t misuse_count;

static void count_misuse(const char *text) {
    (void)text;
    misuse_count++;
}

static void the_page_that_has_the_number_is_forgotten_unless_it_is_pinned(void) {
    fixture self;
    aegis_page_error error;
    set_up(&self);
    aegis_page_pin moved = pin(&self, 1, AEGIS_PIN_WRITE);
    aegis_page_pin other = pin(&self, 2, AEGIS_PIN_WRITE);
    CHECK(aegis_page_cache_rekey(&self.cache, &moved, 2, &error) == AEGIS_E_BUSY);
    CHECK(error.reason == AEGIS_PAGE_PINNED && error.page == 2);
    CHECK(moved.page == 1);
    stamp(&other, 100);
    unpin(&self, &other, AEGIS_UNPIN_DIRTY);
    CHECK(aegis_page_cache_rekey(&self.cache, &moved, 2, NULL) == AEGIS_OK);
    CHECK(moved.data[0] == 1);
    CHECK_SIZE(aegis_page_cache_count(&self.cache, self.file), 1);
    CHECK(aegis_page_cache_rekey(&self.cache, &moved, 2, NULL) == AEGIS_OK);
    unpin(&self, &moved, 0);
    CHECK(aegis_page_cache_flush(&self.cache, self.file, NULL) == AEGIS_OK);
    CHECK(stored(&self, 2) == 2);
    finish(&self);
}

static void only_a_pin_to_write_gets_another_number(void) {
    fixture self;
    aegis_page_error error;
    set_up(&self);
    aegis_report_fn old = aegis_set_report(count_misuse);
    aegis_page_pin reader = pin(&self, 1, AEGIS_PIN_READ);
    CHECK(aegis_page_cache_rekey(&self.cache, &reader, 9, &error) == AEGIS_E_INVALID);
    CHECK(error.reason == AEGIS_PAGE_HANDLE);
    CHECK(reader.page == 1 && aegis_page_cache_contains(&self.cache, self.file, 1));
    aegis_page_pin none = {0};
    CHECK(aegis_page_cache_rekey(&self.cache, &none, 9, NULL) == AEGIS_E_INVALID);
    (void)aegis_set_report(old);
    CHECK_SIZE(misuse_count, (aegis_build_flags() & AEGIS_BUILD_DEBUG) != 0 ? 2 : 0);
    unpin(&self, &reader, 0);
    finish(&self);
}

typedef struct closing {
    fixture *self;
    aegis_page_pin moved;
    aegis_status status;
} closing;

/* A `seal` that tries to give another page a number, once, and unpins it. */
static aegis_status rekey_meanwhile(void *context, uint64_t page, unsigned char *bytes,
                                    size_t page_bytes) {
    closing *now = (closing *)context;
    (void)page;
    (void)bytes;
    (void)page_bytes;
    if (now->moved.data == NULL)
        return AEGIS_OK;
    now->status = aegis_page_cache_rekey(&now->self->cache, &now->moved, 9, NULL);
    CHECK(now->moved.page == 1);
    unpin(now->self, &now->moved, 0);
    return AEGIS_OK;
}

static void no_page_gets_another_number_while_its_file_is_closed(void) {
    fixture self;
    closing now = {&self, {0}, AEGIS_OK};
    aegis_page_hooks hooks = {0};
    aegis_page_store store;
    set_up(&self);
    CHECK(aegis_page_cache_close(&self.cache, self.file, 0, NULL) == AEGIS_OK);
    hooks.seal = rekey_meanwhile;
    hooks.context = &now;
    CHECK(aegis_page_store_memory(&store, NULL) == AEGIS_OK);
    CHECK(aegis_page_cache_open(&self.cache, &store, &hooks, &self.file, NULL) == AEGIS_OK);
    now.moved = pin(&self, 1, AEGIS_PIN_FRESH);
    aegis_page_pin dirty = pin(&self, 2, AEGIS_PIN_FRESH);
    unpin(&self, &dirty, 0);
    CHECK(aegis_page_cache_close(&self.cache, self.file, 0, NULL) == AEGIS_OK);
    CHECK(now.status == AEGIS_E_CLOSED);
    finish(&self);
}

static void a_pin_of_resident_pages_reads_nothing(void) {
    fixture self;
    aegis_page_cache_stats stats;
    aegis_page_pin made;
    set_up(&self);
    for (uint32_t mode = AEGIS_PIN_READ; mode <= AEGIS_PIN_WRITE; mode++) {
        memset(&made, 0xff, sizeof made);
        CHECK(aegis_page_cache_pin(&self.cache, self.file, 4 + mode, mode | AEGIS_PIN_RESIDENT,
                                   &made, NULL) == AEGIS_PENDING);
        CHECK(made.data == NULL);
        CHECK(!aegis_page_cache_contains(&self.cache, self.file, 4 + mode));
    }
    aegis_page_cache_get_stats(&self.cache, &stats);
    CHECK(stats.miss_count == 0 && stats.resident_count == 0);
    made = pin(&self, 4, AEGIS_PIN_WRITE);
    unpin(&self, &made, 0);
    made = pin(&self, 4, AEGIS_PIN_READ | AEGIS_PIN_RESIDENT);
    unpin(&self, &made, 0);
    made = pin(&self, 4, AEGIS_PIN_WRITE | AEGIS_PIN_RESIDENT);
    unpin(&self, &made, 0);
    finish(&self);
}

static void the_count_is_of_the_pages_of_one_file(void) {
    fixture self;
    aegis_page_store second;
    uint32_t other;
    size_t gone;
    set_up(&self);
    CHECK(aegis_page_store_memory(&second, NULL) == AEGIS_OK);
    CHECK(aegis_page_cache_open(&self.cache, &second, NULL, &other, NULL) == AEGIS_OK);
    CHECK_SIZE(aegis_page_cache_count(&self.cache, self.file), 0);
    for (uint64_t page = 0; page < 5; page++) {
        aegis_page_pin made = pin(&self, page, AEGIS_PIN_READ);
        unpin(&self, &made, 0);
    }
    CHECK_SIZE(aegis_page_cache_count(&self.cache, self.file), 5);
    CHECK_SIZE(aegis_page_cache_count(&self.cache, other), 0);
    CHECK(aegis_page_cache_discard(&self.cache, self.file, 1, 2, &gone, NULL) == AEGIS_OK);
    CHECK_SIZE(aegis_page_cache_count(&self.cache, self.file), 3);
    CHECK(aegis_page_cache_discard(&self.cache, self.file, 0, UINT64_MAX, &gone, NULL) == AEGIS_OK);
    CHECK_SIZE(gone, 3);
    CHECK(aegis_page_cache_close(&self.cache, other, 0, NULL) == AEGIS_OK);
    CHECK_SIZE(aegis_page_cache_count(&self.cache, other), 0);
    finish(&self);
}

#if !defined(_WIN32)

/* Reads pages of chance, which must have the stamps of their numbers. */
static void *read_pages(void *argument) {
    fixture *self = (fixture *)argument;
    uint64_t chance = 88172645463325252;
    size_t wrong_count = 0;
    for (int i = 0; i < 20000; i++) {
        aegis_page_pin made;
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        uint64_t page = chance % 16;
        if (aegis_page_cache_pin(&self->cache, self->file, page, AEGIS_PIN_READ, &made, NULL) !=
            AEGIS_OK) {
            wrong_count++;
            continue;
        }
        wrong_count += made.data[0] != page;
        (void)aegis_page_cache_unpin(&self->cache, &made, 0);
    }
    return (void *)wrong_count;
}

static void readers_see_each_page_under_its_number_while_numbers_change(void) {
    fixture self;
    pthread_t readers[2];
    size_t moved_count = 0;
    set_up(&self);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&readers[i], NULL, read_pages, &self) == 0);
    for (unsigned i = 0; i < 5000; i++) {
        unsigned char to = (unsigned char)(i * 7 % 16);
        aegis_page_pin made = pin(&self, i % 16, AEGIS_PIN_WRITE);
        if (aegis_page_cache_rekey(&self.cache, &made, to, NULL) == AEGIS_OK) {
            stamp(&made, to);
            moved_count += to != i % 16;
        }
        unpin(&self, &made, i % 2 != 0 ? AEGIS_UNPIN_DIRTY : 0);
    }
    for (int i = 0; i < 2; i++) {
        void *wrong_count;
        CHECK(pthread_join(readers[i], &wrong_count) == 0);
        CHECK(wrong_count == NULL);
    }
    CHECK(moved_count != 0);
    finish(&self);
}

#endif

int main(void) {
    RUN(a_page_keeps_its_frame_and_bytes_under_another_number);
    RUN(a_dirty_page_is_written_under_its_new_number_only);
    RUN(the_page_that_has_the_number_is_forgotten_unless_it_is_pinned);
    RUN(only_a_pin_to_write_gets_another_number);
    RUN(no_page_gets_another_number_while_its_file_is_closed);
    RUN(a_pin_of_resident_pages_reads_nothing);
    RUN(the_count_is_of_the_pages_of_one_file);
#if !defined(_WIN32)
    RUN(readers_see_each_page_under_its_number_while_numbers_change);
#endif
    return check_finish();
}
