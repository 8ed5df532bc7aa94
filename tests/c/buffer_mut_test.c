/* SPDX-License-Identifier: Apache-2.0 */
/* Tests writers: filling, freezing, splitting and joining, and the four ways to get more room. A
 * writer must keep its bytes, must never write to the bytes of another handle, and must move no
 * more bytes than go through it. */
#include "buffer_support.h"

static test_owner state, other_state;

static void append_fills_the_capacity_and_no_more(void) {
    aegis_buffer_mut writer = test_owner_writer(&state);
    CHECK(writer.length == 0 && writer.capacity == OWNER_BYTES && writer.data == state.memory);
    CHECK(aegis_buffer_mut_append(&writer, "abc", 3) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&writer, NULL, 0) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&writer, NULL, 1) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_mut_append(&writer, "defg", 4) == AEGIS_OK);
    CHECK(writer.length == 7 && memcmp(state.memory, "abcdefg\x07", 8) == 0);
    aegis_buffer_mut before = writer;
    CHECK(aegis_buffer_mut_append(&writer, "abc", OWNER_BYTES - 6) == AEGIS_E_EXHAUSTED);
    CHECK(aegis_buffer_mut_append(&writer, "abc", SIZE_MAX) == AEGIS_E_EXHAUSTED);
    CHECK(is_same_writer(&writer, &before) && state.memory[7] == 7);
    unsigned char rest[OWNER_BYTES - 7];
    memset(rest, 'z', sizeof rest);
    CHECK(aegis_buffer_mut_append(&writer, rest, sizeof rest) == AEGIS_OK);
    CHECK(writer.length == OWNER_BYTES);
    CHECK(aegis_buffer_mut_append(&writer, rest, 1) == AEGIS_E_EXHAUSTED);
    CHECK(aegis_buffer_mut_append(&writer, NULL, 0) == AEGIS_OK);
    CHECK(memcmp(state.memory, "abcdefg", 7) == 0);
    CHECK(is_filled(state.memory + 7, 'z', OWNER_BYTES - 7));
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK && is_no_writer(&writer));
    CHECK_SIZE(state.release_count, 1);
}

static void freeze_is_a_view_of_what_was_written(void) {
    aegis_buffer_mut writer = test_owner_writer(&state);
    CHECK(aegis_buffer_mut_append(&writer, "abc", 3) == AEGIS_OK);
    aegis_buffer view = aegis_buffer_mut_freeze(&writer);
    CHECK(is_no_writer(&writer) && view.data == state.memory && holds(&view, "abc", 3));
    CHECK(aegis_buffer_is_unique(&view));
    CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_OK);
    CHECK(writer.length == 3 && writer.capacity == OWNER_BYTES);
    view = aegis_buffer_mut_freeze(&writer);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
    view = aegis_buffer_mut_freeze(&writer);
    CHECK(is_no_buffer(&view));
}

/* A writer of 12 bytes of which 7 are written. It begins at the fourth byte of the owner's
 * memory. */
static aegis_buffer_mut writer_in_the_middle(void) {
    aegis_buffer_mut writer = test_owner_writer(&state), middle, rest;
    CHECK(aegis_buffer_mut_split_off(&writer, 3, &middle) == AEGIS_OK);
    CHECK(aegis_buffer_mut_split_off(&middle, 12, &rest) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&middle, "abcdefg", 7) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&rest) == AEGIS_OK);
    CHECK_SIZE(state.owner.references, 1);
    return middle;
}

static void split_to_cuts_at_every_byte_written(void) {
    for (size_t at = 0; at <= 7; at++) {
        aegis_buffer_mut writer = writer_in_the_middle(), front;
        CHECK(aegis_buffer_mut_split_to(&writer, at, &front) == AEGIS_OK);
        CHECK(front.data == state.memory + 3 && front.length == at && front.capacity == at);
        CHECK(writer.data == state.memory + 3 + at && writer.length == 7 - at);
        CHECK_SIZE(writer.capacity, 12 - at);
        CHECK(aegis_buffer_mut_append(&front, "x", 1) == AEGIS_E_EXHAUSTED);
        CHECK(aegis_buffer_mut_unsplit(&front, &writer) == AEGIS_OK && is_no_writer(&writer));
        CHECK(front.data == state.memory + 3 && front.length == 7 && front.capacity == 12);
        CHECK(memcmp(front.data, "abcdefg", 7) == 0);
        CHECK_SIZE(state.owner.references, 1);
        CHECK(aegis_buffer_mut_release(&front) == AEGIS_OK);
    }
    for (size_t at = 8; at <= 13; at++) {
        aegis_buffer_mut writer = writer_in_the_middle(), before = writer, front;
        CHECK(aegis_buffer_mut_split_to(&writer, at, &front) == AEGIS_E_INVALID);
        CHECK(is_no_writer(&front) && is_same_writer(&writer, &before));
        CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    }
}

static void split_off_cuts_at_every_byte_and_in_the_room(void) {
    for (size_t at = 0; at <= 12; at++) {
        aegis_buffer_mut writer = writer_in_the_middle(), back;
        CHECK(aegis_buffer_mut_split_off(&writer, at, &back) == AEGIS_OK);
        CHECK(writer.data == state.memory + 3 && writer.capacity == at);
        CHECK_SIZE(writer.length, at < 7 ? at : 7);
        CHECK(back.data == state.memory + 3 + at && back.capacity == 12 - at);
        CHECK_SIZE(back.length, at < 7 ? 7 - at : 0);
        CHECK_SIZE(state.owner.references, 2);
        /* Whatever one writer writes, the bytes of the other must stay. */
        memset(back.data, 'B', back.capacity);
        memset(writer.data, 'F', writer.capacity);
        CHECK(is_filled(state.memory + 3, 'F', at) && is_filled(back.data, 'B', 12 - at));
        CHECK(state.memory[2] == 2 && state.memory[15] == 15);
        CHECK(aegis_buffer_mut_unsplit(&writer, &back) == AEGIS_OK);
        CHECK(writer.length == 7 && writer.capacity == 12);
        CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    }
    aegis_buffer_mut writer = writer_in_the_middle(), before = writer, back;
    CHECK(aegis_buffer_mut_split_off(&writer, 13, &back) == AEGIS_E_INVALID && is_no_writer(&back));
    CHECK(aegis_buffer_mut_split_off(&writer, SIZE_MAX, &back) == AEGIS_E_INVALID);
    state.owner.references = SIZE_MAX / 2;
    CHECK(aegis_buffer_mut_split_off(&writer, 5, &back) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(is_no_writer(&back));
    CHECK(aegis_buffer_mut_split_to(&writer, 5, &back) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(is_no_writer(&back) && is_same_writer(&writer, &before));
    state.owner.references = 1;
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
}

/* Demands that the two writers do not join and stay as they are. */
static void expect_apart(aegis_buffer_mut *front, aegis_buffer_mut *back) {
    aegis_buffer_mut front_before = *front, back_before = *back;
    CHECK(aegis_buffer_mut_unsplit(front, back) == AEGIS_E_INVALID);
    CHECK(is_same_writer(front, &front_before) && is_same_writer(back, &back_before));
}

static void writers_that_do_not_meet_stay_apart(void) {
    aegis_buffer_mut a = test_owner_writer(&state), b, c, none = {NULL, 0, 0, NULL, 0};
    aegis_buffer_mut stranger = test_owner_writer(&other_state), empty;
    CHECK(aegis_buffer_mut_split_off(&a, 10, &b) == AEGIS_OK);
    CHECK(aegis_buffer_mut_split_off(&b, 10, &c) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&a, "aaa", 3) == AEGIS_OK);
    CHECK(aegis_buffer_mut_append(&b, "bbb", 3) == AEGIS_OK);
    expect_apart(&a, &c);
    expect_apart(&b, &a);
    expect_apart(&a, &a);
    expect_apart(&a, &stranger);
    expect_apart(&a, &none);
    expect_apart(&none, &a);
    expect_apart(&a, &b); /* there is room between the bytes of the two */
    CHECK(aegis_buffer_mut_append(&a, "1234567", 7) == AEGIS_OK);
    CHECK(aegis_buffer_mut_unsplit(&a, &b) == AEGIS_OK);
    CHECK(a.length == 13 && a.capacity == 20 && memcmp(a.data, "aaa1234567bbb", 13) == 0);
    CHECK(aegis_buffer_mut_unsplit(&a, &c) == AEGIS_OK); /* only room: `a` grows by it */
    CHECK(a.length == 13 && a.capacity == OWNER_BYTES);
    CHECK_SIZE(state.owner.references, 1);
    CHECK(aegis_buffer_mut_split_off(&stranger, OWNER_BYTES, &empty) == AEGIS_OK);
    CHECK(aegis_buffer_mut_unsplit(&a, &empty) == AEGIS_OK && is_no_writer(&empty));
    CHECK(a.length == 13 && a.capacity == OWNER_BYTES);
    CHECK_SIZE(other_state.owner.references, 1);
    CHECK(aegis_buffer_mut_release(&stranger) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&a) == AEGIS_OK);
    CHECK_SIZE(state.release_count + other_state.release_count, 2);
}

static void reserve_uses_all_of_the_memory_when_alone(void) {
    aegis_buffer_mut writer = writer_in_the_middle(), front;
    CHECK(aegis_buffer_mut_reserve(&writer, 5, NULL, NULL) == AEGIS_OK);
    CHECK(writer.data == state.memory + 3 && writer.capacity == 12);
    /* There are enough bytes behind the writer. */
    CHECK(aegis_buffer_mut_reserve(&writer, OWNER_BYTES - 3 - 7, NULL, NULL) == AEGIS_OK);
    CHECK(writer.data == state.memory + 3 && writer.capacity == OWNER_BYTES - 3);
    /* There are enough bytes together with those before the writer, and moving wins as much room as
     * it moves. */
    CHECK(aegis_buffer_mut_split_to(&writer, 2, &front) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&front) == AEGIS_OK);
    CHECK(aegis_buffer_mut_reserve(&writer, OWNER_BYTES - 5, NULL, NULL) == AEGIS_OK);
    CHECK(writer.data == state.memory && writer.capacity == OWNER_BYTES);
    CHECK(writer.length == 5 && memcmp(writer.data, "cdefg", 5) == 0);
    CHECK_SIZE(state.owner.references, 1);
    /* There is not enough memory at all. */
    CHECK(aegis_buffer_mut_reserve(&writer, OWNER_BYTES - 4, NULL, NULL) == AEGIS_OK);
    CHECK(writer.owner != &state.owner && is_aligned(writer.data, 16));
    CHECK(writer.length == 5 && memcmp(writer.data, "cdefg", 5) == 0);
    CHECK_SIZE(writer.capacity, 2 * OWNER_BYTES);
    CHECK_SIZE(state.release_count, 1);
    CHECK(aegis_buffer_mut_reserve(&writer, 1000, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(writer.capacity, 1005);
    CHECK(memcmp(writer.data, "cdefg", 5) == 0);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

/* Appends, drops bytes from the front and makes room, at random. `moved` counts the bytes that the
 * writer moves for this, `appended` the bytes that are appended. */
static void slide(uint64_t *random, size_t window_bytes, size_t *moved, size_t *appended) {
    static const unsigned char bytes[64] = {0};
    aegis_buffer_mut writer;
    /* The window also reaches its size by growing. */
    CHECK(aegis_buffer_mut_alloc(&writer, 1, 0, NULL, NULL) == AEGIS_OK);
    *moved = *appended = 0;
    while (*appended < 3 * window_bytes) {
        size_t length = 1 + random_below(random, sizeof bytes);
        const unsigned char *place = writer.data;
        CHECK(aegis_buffer_mut_reserve(&writer, length, NULL, NULL) == AEGIS_OK);
        *moved += writer.data != place ? writer.length : 0;
        CHECK(aegis_buffer_mut_append(&writer, bytes, length) == AEGIS_OK);
        *appended += length;
        while (writer.length > window_bytes) {
            aegis_buffer_mut front;
            size_t at = 1 + random_below(random, writer.length - window_bytes);
            CHECK(aegis_buffer_mut_split_to(&writer, at, &front) == AEGIS_OK);
            CHECK(aegis_buffer_mut_release(&front) == AEGIS_OK);
        }
    }
    CHECK(writer.owner->capacity_bytes <= 4 * (window_bytes + sizeof bytes));
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

static void sliding_window_moves_no_more_bytes_than_go_through_it(void) {
    uint64_t random = 7;
    for (size_t window_bytes = 1; window_bytes <= 20000; window_bytes = window_bytes * 3 + 1) {
        size_t moved, appended;
        slide(&random, window_bytes, &moved, &appended);
        CHECK(moved <= 2 * appended);
    }
}

/* The loop of a codec: fill the writer, split off the complete frame, make room again. */
static void split_writer_takes_as_much_memory_as_it_had(void) {
    aegis_buffer_mut writer;
    aegis_buffer frames[1000];
    size_t count = 0;
    CHECK(aegis_buffer_mut_alloc(&writer, 1024, 0, NULL, NULL) == AEGIS_OK);
    for (size_t i = 0; i < 1000; i++) {
        aegis_buffer_mut frame;
        const aegis_buffer_owner *owner = writer.owner;
        CHECK(aegis_buffer_mut_reserve(&writer, 16, NULL, NULL) == AEGIS_OK);
        count += writer.owner != owner;
        CHECK(aegis_buffer_mut_append(&writer, "sixteen bytes ..", 16) == AEGIS_OK);
        CHECK(aegis_buffer_mut_split_to(&writer, 16, &frame) == AEGIS_OK);
        frames[i] = aegis_buffer_mut_freeze(&frame);
    }
    CHECK_SIZE(count, 16000 / 1024);
    for (size_t i = 0; i < 1000; i++)
        CHECK(aegis_buffer_release(&frames[i]) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

/* A small part of a large piece of memory must not take another piece of that size. */
static void split_writer_takes_up_to_64_kib(void) {
    aegis_buffer_mut writer, part;
    CHECK(aegis_buffer_mut_alloc(&writer, (size_t)1 << 20, 0, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_split_off(&writer, ((size_t)1 << 20) - 10, &part) == AEGIS_OK);
    CHECK(aegis_buffer_mut_reserve(&part, 11, NULL, NULL) == AEGIS_OK);
    CHECK_SIZE(part.capacity, (size_t)64 << 10);
    CHECK(aegis_buffer_mut_release(&part) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

static void reserve_takes_what_is_needed_when_more_is_refused(void) {
    aegis_budget *budget = aegis_budget_new("tight", 400, NULL);
    aegis_buffer_mut writer, part;
    CHECK(aegis_buffer_mut_alloc(&writer, 1000, 0, NULL, NULL) == AEGIS_OK);
    CHECK(aegis_buffer_mut_split_off(&writer, 990, &part) == AEGIS_OK);
    CHECK(aegis_buffer_mut_reserve(&part, 100, budget, NULL) == AEGIS_OK);
    CHECK_SIZE(part.capacity, 100);
    CHECK(aegis_buffer_mut_release(&part) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(budget_used(budget), 0);
    aegis_budget_destroy(budget);
}

static void reserve_beside_another_handle_leaves_the_memory(void) {
    aegis_buffer_mut writer = test_owner_writer(&state), front;
    CHECK(aegis_buffer_mut_append(&writer, "abcdefgh", 8) == AEGIS_OK);
    CHECK(aegis_buffer_mut_split_to(&writer, 3, &front) == AEGIS_OK);
    aegis_buffer view = aegis_buffer_mut_freeze(&front);
    CHECK(aegis_buffer_mut_reserve(&writer, OWNER_BYTES - 8, NULL, NULL) == AEGIS_OK);
    CHECK(writer.data == state.memory + 3 && writer.owner == &state.owner);
    CHECK(aegis_buffer_mut_reserve(&writer, OWNER_BYTES - 7, NULL, NULL) == AEGIS_OK);
    CHECK(writer.owner != &state.owner && writer.capacity == 2 * (OWNER_BYTES - 3));
    CHECK(writer.length == 5 && memcmp(writer.data, "defgh", 5) == 0);
    CHECK(holds(&view, "abc", 3) && aegis_buffer_is_unique(&view));
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
}

static void reclaim_takes_room_of_the_memory_when_alone(void) {
    aegis_buffer_mut writer = test_owner_writer(&state), front, none = writer;
    CHECK(aegis_buffer_mut_append(&writer, "abcdefgh", 8) == AEGIS_OK);
    CHECK(aegis_buffer_mut_try_reclaim(&writer, OWNER_BYTES - 8));
    CHECK(!aegis_buffer_mut_try_reclaim(&writer, OWNER_BYTES - 7));
    CHECK(!aegis_buffer_mut_try_reclaim(&writer, SIZE_MAX));
    CHECK(aegis_buffer_mut_split_to(&writer, 5, &front) == AEGIS_OK);
    CHECK(!aegis_buffer_mut_try_reclaim(&front, 1) && !aegis_buffer_mut_try_reclaim(&writer, 100));
    CHECK(front.capacity == 5 && writer.data == state.memory + 5);
    CHECK(!aegis_buffer_mut_try_reclaim(&writer, OWNER_BYTES - 3));
    CHECK(aegis_buffer_mut_release(&front) == AEGIS_OK);
    CHECK(aegis_buffer_mut_try_reclaim(&writer, OWNER_BYTES - 8));
    CHECK(writer.data == state.memory + 5);
    CHECK(aegis_buffer_mut_try_reclaim(&writer, OWNER_BYTES - 3));
    CHECK(writer.data == state.memory && writer.capacity == OWNER_BYTES);
    CHECK(writer.length == 3 && memcmp(writer.data, "fgh", 3) == 0);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
    memset(&none, 0, sizeof none);
    CHECK(!aegis_buffer_mut_try_reclaim(&none, 0));
}

/* At every place of a writer in memory that is itself aligned to 16 only. */
static void aligned_reserve_stays_in_the_memory_if_it_can(void) {
    enum { MEMORY_BYTES = 512, ALIGN = 64 };
    for (size_t at = 0; at < 2 * ALIGN; at++) {
        for (size_t length = 0; length < 70; length += 23) {
            aegis_buffer_mut writer, front;
            CHECK(aegis_buffer_mut_alloc(&writer, MEMORY_BYTES, 0, NULL, NULL) == AEGIS_OK);
            memset(writer.data, 'x', at);
            memset(writer.data + at, 'y', length);
            writer.length = at + length;
            CHECK(aegis_buffer_mut_split_to(&writer, at, &front) == AEGIS_OK);
            CHECK(aegis_buffer_mut_release(&front) == AEGIS_OK);
            const aegis_buffer_owner *owner = writer.owner;
            const unsigned char *data = writer.data;
            size_t first = (size_t)(0 - (uintptr_t)owner->base) % ALIGN;
            bool stays =
                is_aligned(data, ALIGN) || length == 0 || (at >= first && at - first >= length);
            CHECK(aegis_buffer_mut_reserve_aligned(&writer, 100, ALIGN, NULL, NULL) == AEGIS_OK);
            CHECK(is_aligned(writer.data, ALIGN) && writer.capacity - writer.length >= 100);
            CHECK(writer.length == length && (writer.owner == owner) == stays);
            CHECK(!is_aligned(data, ALIGN) || writer.data == data);
            for (size_t i = 0; i < length; i++)
                CHECK(writer.data[i] == 'y');
            CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
        }
    }
}

static void aligned_reserve_refuses_what_is_no_alignment(void) {
    aegis_buffer_mut writer = writer_in_the_middle(), before = writer;
    aegis_error error;
    CHECK(aegis_buffer_mut_reserve_aligned(&writer, 1, 48, NULL, &error) == AEGIS_E_INVALID_LAYOUT);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT && error.align_bytes == 48);
    CHECK(aegis_buffer_mut_reserve_aligned(&writer, 1, ~(SIZE_MAX / 2), NULL, &error) ==
          AEGIS_E_INVALID_LAYOUT);
    CHECK(is_same_writer(&writer, &before));
    CHECK(aegis_buffer_mut_reserve_aligned(&writer, 1, 4096, NULL, NULL) == AEGIS_OK);
    CHECK(is_aligned(writer.data, 4096) && memcmp(writer.data, "abcdefg", 7) == 0);
    CHECK_SIZE(state.release_count, 1);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

static void refused_reserve_changes_nothing_and_says_why(void) {
    aegis_buffer_mut writer = writer_in_the_middle(), before = writer;
    aegis_budget *budget = aegis_budget_new("writers", 100, NULL);
    aegis_error error;
    CHECK(aegis_buffer_mut_reserve(&writer, 200, budget, &error) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(error.status == AEGIS_E_LIMIT_EXCEEDED && error.refused == budget);
    CHECK(error.requested_bytes == 200 && error.needed_bytes > 207);
    CHECK(error.limit_bytes == 100 && error.in_use_bytes == 0);
    CHECK(aegis_buffer_mut_reserve(&writer, 200, budget, NULL) == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(aegis_buffer_mut_reserve(&writer, SIZE_MAX, NULL, &error) == AEGIS_E_INVALID_LAYOUT);
    CHECK(error.status == AEGIS_E_INVALID_LAYOUT && error.requested_bytes == SIZE_MAX);
    CHECK(aegis_buffer_mut_reserve(&writer, PTRDIFF_MAX - 7, NULL, NULL) == AEGIS_E_INVALID_LAYOUT);
    CHECK(aegis_buffer_mut_reserve(&writer, PTRDIFF_MAX - 6, NULL, NULL) == AEGIS_E_INVALID_LAYOUT);
    test_hoard hoard = test_hoard_take();
    CHECK(aegis_buffer_mut_reserve(&writer, PTRDIFF_MAX / 2, NULL, &error) ==
          AEGIS_E_OUT_OF_MEMORY);
    test_hoard_give_back(&hoard);
    CHECK(error.status == AEGIS_E_OUT_OF_MEMORY && error.refused == NULL);
    CHECK(is_same_writer(&writer, &before) && memcmp(writer.data, "abcdefg", 7) == 0);
    CHECK_SIZE(budget_used(budget), 0);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
    aegis_budget_destroy(budget);
}

static void writer_that_was_given_up_is_inert_and_reported(void) {
    aegis_buffer_mut writer = test_owner_writer(&state), none = writer, part;
    aegis_error error;
    CHECK(aegis_buffer_mut_release(&none) == AEGIS_OK && is_no_writer(&none));
    aegis_report_fn before = watch_reports();
    CHECK(aegis_buffer_mut_release(&none) == AEGIS_E_INVALID);
    CHECK_SIZE(atomic_load(&report_count), ONE_REPORT);
    CHECK(aegis_buffer_mut_split_off(&writer, 3, &part) == AEGIS_E_INVALID && is_no_writer(&part));
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_E_INVALID && is_no_writer(&writer));
    CHECK_SIZE(atomic_load(&report_count), 3 * ONE_REPORT);
    CHECK_SIZE(state.release_count, 1);
    CHECK(aegis_buffer_mut_append(&none, "a", 1) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_mut_append(&none, NULL, 0) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_mut_reserve(&none, 0, NULL, &error) == AEGIS_E_INVALID);
    CHECK(error.status == AEGIS_E_INVALID);
    CHECK(aegis_buffer_mut_split_to(&none, 0, &part) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_mut_split_off(&none, 0, &part) == AEGIS_E_INVALID);
    CHECK_SIZE(atomic_load(&report_count), 3 * ONE_REPORT);
    (void)aegis_set_report(before);
}

int main(void) {
    RUN(append_fills_the_capacity_and_no_more);
    RUN(freeze_is_a_view_of_what_was_written);
    RUN(split_to_cuts_at_every_byte_written);
    RUN(split_off_cuts_at_every_byte_and_in_the_room);
    RUN(writers_that_do_not_meet_stay_apart);
    RUN(reserve_uses_all_of_the_memory_when_alone);
    RUN(sliding_window_moves_no_more_bytes_than_go_through_it);
    RUN(split_writer_takes_as_much_memory_as_it_had);
    RUN(split_writer_takes_up_to_64_kib);
    RUN(reserve_takes_what_is_needed_when_more_is_refused);
    RUN(reserve_beside_another_handle_leaves_the_memory);
    RUN(reclaim_takes_room_of_the_memory_when_alone);
    RUN(aligned_reserve_stays_in_the_memory_if_it_can);
    RUN(aligned_reserve_refuses_what_is_no_alignment);
    RUN(refused_reserve_changes_nothing_and_says_why);
    RUN(writer_that_was_given_up_is_inert_and_reported);
    return check_finish();
}
