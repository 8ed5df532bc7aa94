/* SPDX-License-Identifier: Apache-2.0 */
/* Tests views: every range, every split and join, the count of references, and the state of a
 * handle that was given up. An owner must be released exactly once, with its last handle, and a
 * refused call must change nothing. Writers are tested in buffer_mut_test.c, and where bytes come
 * from in buffer_memory_test.c. */
#include "buffer_support.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/uio.h>
#include <unistd.h>
#define HAS_WRITEV 1
#endif

static test_owner state, other_state;

static void static_bytes_live_for_ever(void) {
    static const char text[] = "abcdef";
    aegis_buffer view = aegis_buffer_from_static(text, 6);
    aegis_buffer copy, part;
    aegis_buffer_mut writer;
    CHECK(view.data == (const unsigned char *)text && view.length == 6 && view.owner == NULL);
    CHECK(!aegis_buffer_is_unique(&view));
    CHECK(aegis_buffer_retain(&view, &copy) == AEGIS_OK && is_same_buffer(&view, &copy));
    CHECK(aegis_buffer_slice(&view, 1, 3, &part) == AEGIS_OK && holds(&part, "bc", 2));
    CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_E_INVALID && is_no_writer(&writer));
    CHECK(aegis_buffer_compact(&part, NULL, NULL) == AEGIS_OK);
    CHECK(part.data == (const unsigned char *)text + 1);
    CHECK(aegis_buffer_check_file(&view) == AEGIS_OK);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK && is_no_buffer(&view));
    CHECK(aegis_buffer_release(&copy) == AEGIS_OK);
    CHECK(aegis_buffer_release(&part) == AEGIS_OK);

    view = aegis_buffer_from_static(NULL, 0);
    CHECK(view.data != NULL && view.length == 0);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    view = aegis_buffer_from_static(NULL, 1);
    CHECK(is_no_buffer(&view));
}

static void owner_is_released_with_the_last_of_its_handles(void) {
    aegis_buffer views[20];
    views[0] = test_owner_adopt(&state, 0);
    CHECK(views[0].data == state.memory && views[0].length == OWNER_BYTES);
    for (size_t i = 1; i < 20; i++) {
        CHECK(aegis_buffer_retain(&views[i / 2], &views[i]) == AEGIS_OK);
        CHECK(is_same_buffer(&views[0], &views[i]));
        CHECK_SIZE(state.owner.references, i + 1);
    }
    for (size_t i = 0; i < 20; i++) {
        size_t k = (i * 7 + 3) % 20;
        CHECK_SIZE(state.release_count, 0);
        CHECK(aegis_buffer_is_unique(&views[k]) == (i == 19));
        CHECK(aegis_buffer_release(&views[k]) == AEGIS_OK && is_no_buffer(&views[k]));
    }
    CHECK_SIZE(state.release_count, 1);
    CHECK_SIZE(state.owner.references, 0);
}

static void adopted_owner_without_memory_has_an_address(void) {
    aegis_buffer_owner owner = {1, test_owner_release, NULL, 0, AEGIS_BUFFER_WRITABLE, 0};
    state.owner = owner;
    state.release_count = 0;
    aegis_buffer view = aegis_buffer_adopt(&state.owner);
    aegis_buffer_mut writer;
    CHECK(view.data != NULL && view.length == 0);
    CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_OK);
    CHECK_SIZE(writer.capacity, 0);
    CHECK(aegis_buffer_mut_append(&writer, "a", 1) == AEGIS_E_EXHAUSTED);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
}

static void slice_is_every_range_inside_and_none_outside(void) {
    aegis_buffer view = test_owner_adopt(&state, 0);
    CHECK(aegis_buffer_slice(&view, 3, 13, &view) == AEGIS_OK);
    aegis_buffer before = view;
    for (size_t start = 0; start <= 12; start++) {
        for (size_t end = 0; end <= 12; end++) {
            aegis_buffer part = {state.memory, 1, NULL};
            aegis_status status = aegis_buffer_slice(&view, start, end, &part);
            CHECK(is_same_buffer(&view, &before));
            if (start <= end && end <= 10) {
                CHECK(status == AEGIS_OK && holds(&part, state.memory + 3 + start, end - start));
                CHECK(start == end ? part.owner == NULL : part.data == state.memory + 3 + start);
                CHECK_SIZE(state.owner.references, start == end ? 1 : 2);
                CHECK(aegis_buffer_release(&part) == AEGIS_OK);
            } else {
                CHECK(status == AEGIS_E_INVALID && is_no_buffer(&part));
                CHECK(aegis_buffer_slice(&view, start, end, &view) == AEGIS_E_INVALID);
            }
        }
    }
    aegis_buffer part;
    CHECK(aegis_buffer_slice(&view, 0, SIZE_MAX, &part) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_slice(&view, SIZE_MAX, 0, &part) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_slice(&view, SIZE_MAX, SIZE_MAX, &part) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
}

static void slice_of_the_handle_itself_narrows_without_a_reference(void) {
    aegis_buffer view = test_owner_adopt(&state, 0);
    CHECK(aegis_buffer_slice(&view, 4, 20, &view) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&view, 1, 5, &view) == AEGIS_OK);
    CHECK(view.data == state.memory + 5 && view.length == 4);
    CHECK_SIZE(state.owner.references, 1);
    CHECK(aegis_buffer_is_unique(&view));
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
}

static void view_of_no_bytes_holds_nothing(void) {
    for (int way = 0; way < 6; way++) {
        aegis_buffer view = test_owner_adopt(&state, AEGIS_BUFFER_WRITABLE), part = view;
        aegis_buffer_mut writer;
        switch (way) {
        case 0:
            CHECK(aegis_buffer_slice(&view, 3, 3, &view) == AEGIS_OK);
            break;
        case 1:
            CHECK(aegis_buffer_slice(&view, 3, 3, &part) == AEGIS_OK && part.owner == NULL);
            CHECK(aegis_buffer_release(&view) == AEGIS_OK);
            view = part;
            break;
        case 2:
            CHECK(aegis_buffer_split_to(&view, OWNER_BYTES, &part) == AEGIS_OK);
            CHECK_SIZE(state.owner.references, 1);
            CHECK(aegis_buffer_release(&part) == AEGIS_OK);
            break;
        case 3:
            CHECK(aegis_buffer_split_off(&view, 0, &part) == AEGIS_OK);
            CHECK_SIZE(state.owner.references, 1);
            CHECK(aegis_buffer_release(&part) == AEGIS_OK);
            break;
        case 4:
            CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_OK);
            writer.length = 0;
            view = aegis_buffer_mut_freeze(&writer);
            break;
        default:
            CHECK(aegis_buffer_slice(&view, 0, 0, &part) == AEGIS_OK);
            CHECK(aegis_buffer_slice(&view, 5, 5, &view) == AEGIS_OK);
            CHECK(aegis_buffer_unsplit(&part, &view) == AEGIS_OK);
            view = part;
        }
        CHECK(view.data != NULL && view.length == 0 && view.owner == NULL);
        CHECK_SIZE(state.release_count, 1);
        CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    }
}

/* An owner of no bytes must not be freed before the call that takes it over has returned. */
static void owner_of_no_bytes_is_kept_until_its_view_is_given_up(void) {
    for (int way = 0; way < 4; way++) {
        aegis_buffer_owner owner = {1, test_owner_release, state.memory, 0, 0, 0};
        state.owner = owner;
        state.release_count = 0;
        aegis_buffer view = aegis_buffer_adopt(&state.owner), part = view;
        CHECK(view.owner == &state.owner && state.release_count == 0);
        if (way == 1)
            CHECK(aegis_buffer_slice(&view, 0, 0, &view) == AEGIS_OK);
        if (way == 2)
            CHECK(aegis_buffer_split_to(&view, 0, &part) == AEGIS_OK && part.owner == NULL);
        if (way == 3) {
            part = aegis_buffer_from_static("abc", 3);
            CHECK(aegis_buffer_unsplit(&view, &part) == AEGIS_OK && holds(&view, "abc", 3));
        }
        CHECK_SIZE(state.release_count, way == 0 ? 0 : 1);
        CHECK(aegis_buffer_release(&view) == AEGIS_OK);
        CHECK_SIZE(state.release_count, 1);
    }
}

static void split_at_every_point_and_unsplit_gives_the_whole_back(void) {
    aegis_buffer view = test_owner_adopt(&state, 0), part;
    aegis_buffer whole = view;
    for (size_t at = 0; at <= OWNER_BYTES; at++) {
        CHECK(aegis_buffer_split_to(&view, at, &part) == AEGIS_OK);
        CHECK(holds(&part, state.memory, at) && (at == 0 || part.data == state.memory));
        CHECK(holds(&view, state.memory + at, OWNER_BYTES - at));
        CHECK_SIZE(state.owner.references, at == 0 || at == OWNER_BYTES ? 1 : 2);
        CHECK(aegis_buffer_unsplit(&part, &view) == AEGIS_OK && is_no_buffer(&view));
        CHECK(is_same_buffer(&part, &whole));
        CHECK_SIZE(state.owner.references, 1);

        CHECK(aegis_buffer_split_off(&part, at, &view) == AEGIS_OK);
        CHECK(holds(&part, state.memory, at));
        CHECK(holds(&view, state.memory + at, OWNER_BYTES - at));
        CHECK(aegis_buffer_unsplit(&part, &view) == AEGIS_OK);
        CHECK(is_same_buffer(&part, &whole));
        view = part;
    }
    CHECK(aegis_buffer_split_to(&view, OWNER_BYTES + 1, &part) == AEGIS_E_INVALID);
    CHECK(is_no_buffer(&part) && is_same_buffer(&view, &whole));
    CHECK(aegis_buffer_split_off(&view, SIZE_MAX, &part) == AEGIS_E_INVALID);
    CHECK(is_no_buffer(&part) && is_same_buffer(&view, &whole));
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
}

/* Demands that the two views do not join and stay as they are. */
static void expect_apart(aegis_buffer *front, aegis_buffer *back) {
    aegis_buffer front_before = *front, back_before = *back;
    CHECK(aegis_buffer_unsplit(front, back) == AEGIS_E_INVALID);
    CHECK(is_same_buffer(front, &front_before) && is_same_buffer(back, &back_before));
}

static void views_that_do_not_meet_stay_apart(void) {
    aegis_buffer a = test_owner_adopt(&state, 0), b, c, none = {NULL, 0, NULL};
    aegis_buffer stranger = test_owner_adopt(&other_state, 0);
    CHECK(aegis_buffer_split_off(&a, 10, &b) == AEGIS_OK);
    CHECK(aegis_buffer_split_off(&b, 10, &c) == AEGIS_OK);
    expect_apart(&a, &c);
    expect_apart(&b, &a);
    expect_apart(&c, &a);
    expect_apart(&a, &a);
    expect_apart(&a, &stranger);
    expect_apart(&a, &none);
    expect_apart(&none, &a);
    /* The same address, but another owner. */
    aegis_buffer lookalike = {b.data, b.length, &other_state.owner};
    other_state.owner.base = state.memory;
    expect_apart(&a, &lookalike);
    other_state.owner.base = other_state.memory;
    /* Static bytes have no owner, so the library cannot know whether two pieces belong together. */
    aegis_buffer front = aegis_buffer_from_static(state.memory, 5);
    aegis_buffer back = aegis_buffer_from_static(state.memory + 5, 5);
    expect_apart(&front, &back);

    CHECK(aegis_buffer_slice(&stranger, 7, 7, &stranger) == AEGIS_OK);
    CHECK(aegis_buffer_unsplit(&a, &stranger) == AEGIS_OK && is_no_buffer(&stranger));
    CHECK(holds(&a, state.memory, 10));
    CHECK_SIZE(other_state.release_count, 1);
    CHECK(aegis_buffer_unsplit(&b, &c) == AEGIS_OK);
    CHECK(aegis_buffer_unsplit(&a, &b) == AEGIS_OK);
    CHECK(holds(&a, state.memory, OWNER_BYTES));
    CHECK_SIZE(state.owner.references, 1);
    CHECK(aegis_buffer_release(&a) == AEGIS_OK);
}

static void handle_that_was_given_up_is_inert_and_reported(void) {
    aegis_buffer view = test_owner_adopt(&state, AEGIS_BUFFER_WRITABLE), none = view, part;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_release(&none) == AEGIS_OK && is_no_buffer(&none));
    aegis_report_fn before = watch_reports();
    CHECK(aegis_buffer_release(&none) == AEGIS_E_INVALID);
    CHECK_SIZE(atomic_load(&report_count), ONE_REPORT);
    /* A copy of the handle. Its owner still exists by chance. */
    CHECK(aegis_buffer_retain(&view, &part) == AEGIS_E_INVALID && is_no_buffer(&part));
    CHECK_SIZE(atomic_load(&report_count), 2 * ONE_REPORT);
    CHECK(aegis_buffer_release(&view) == AEGIS_E_INVALID && is_no_buffer(&view));
    CHECK_SIZE(atomic_load(&report_count), 3 * ONE_REPORT);
    CHECK_SIZE(state.release_count, 1);
    CHECK_SIZE(state.owner.references, 0);

    aegis_error error;
    CHECK(aegis_buffer_retain(&none, &part) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_slice(&none, 0, 0, &part) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_split_to(&none, 0, &part) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_split_off(&none, 0, &part) == AEGIS_E_INVALID);
    CHECK(aegis_buffer_try_into_mut(&none, &writer) == AEGIS_E_INVALID && is_no_writer(&writer));
    error.status = AEGIS_OK;
    CHECK(aegis_buffer_into_mut(&none, &writer, NULL, &error) == AEGIS_E_INVALID);
    CHECK(is_no_writer(&writer) && error.status == AEGIS_E_INVALID);
    error.status = AEGIS_OK;
    CHECK(aegis_buffer_compact(&none, NULL, &error) == AEGIS_E_INVALID);
    CHECK(error.status == AEGIS_E_INVALID);
    CHECK(!aegis_buffer_is_unique(&none));
    CHECK(aegis_buffer_check_file(&none) == AEGIS_OK);
    CHECK_SIZE(atomic_load(&report_count), 3 * ONE_REPORT);
    (void)aegis_set_report(before);
}

static void too_many_references_are_refused_and_change_nothing(void) {
    aegis_buffer view = test_owner_adopt(&state, 0), before = view, part;
    state.owner.references = SIZE_MAX / 2 - 1;
    CHECK(aegis_buffer_retain(&view, &part) == AEGIS_OK);
    CHECK_SIZE(state.owner.references, SIZE_MAX / 2);
    CHECK(aegis_buffer_retain(&view, &part) == AEGIS_E_LIMIT_EXCEEDED && is_no_buffer(&part));
    CHECK(aegis_buffer_slice(&view, 1, 2, &part) == AEGIS_E_LIMIT_EXCEEDED && is_no_buffer(&part));
    CHECK(aegis_buffer_split_to(&view, 1, &part) == AEGIS_E_LIMIT_EXCEEDED && is_no_buffer(&part));
    CHECK(aegis_buffer_split_off(&view, 1, &part) == AEGIS_E_LIMIT_EXCEEDED && is_no_buffer(&part));
    CHECK(is_same_buffer(&view, &before));
    CHECK_SIZE(state.owner.references, SIZE_MAX / 2);
    CHECK(aegis_buffer_slice(&view, 1, 2, &view) == AEGIS_OK);
    state.owner.references = SIZE_MAX;
    CHECK(aegis_buffer_retain(&view, &part) == AEGIS_E_LIMIT_EXCEEDED && is_no_buffer(&part));
    CHECK_SIZE(state.owner.references, SIZE_MAX);
    state.owner.references = 1;
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);
}

static void only_view_of_writable_memory_becomes_a_writer(void) {
    aegis_buffer view = test_owner_adopt(&state, AEGIS_BUFFER_WRITABLE), copy;
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_slice(&view, 4, 10, &view) == AEGIS_OK);
    CHECK(aegis_buffer_retain(&view, &copy) == AEGIS_OK);
    CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_E_BUSY && is_no_writer(&writer));
    CHECK(view.data == state.memory + 4 && view.length == 6);
    CHECK(aegis_buffer_release(&copy) == AEGIS_OK);
    CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_OK && is_no_buffer(&view));
    CHECK(writer.data == state.memory + 4 && writer.length == 6 && writer.owner == &state.owner);
    CHECK_SIZE(writer.capacity, OWNER_BYTES - 4);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
    CHECK_SIZE(state.release_count, 1);

    view = test_owner_adopt(&state, 0);
    CHECK(aegis_buffer_try_into_mut(&view, &writer) == AEGIS_E_INVALID && is_no_writer(&writer));
    CHECK(view.length == OWNER_BYTES);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
}

static void into_mut_copies_what_is_shared_or_not_writable(void) {
    for (uint32_t flags = 0; flags <= AEGIS_BUFFER_WRITABLE; flags++) {
        aegis_buffer view = test_owner_adopt(&state, flags), copy = {NULL, 0, NULL};
        aegis_buffer_mut writer;
        if (flags != 0)
            CHECK(aegis_buffer_retain(&view, &copy) == AEGIS_OK);
        CHECK(aegis_buffer_slice(&view, 4, 10, &view) == AEGIS_OK);
        CHECK(aegis_buffer_into_mut(&view, &writer, NULL, NULL) == AEGIS_OK);
        CHECK(is_no_buffer(&view) && writer.owner != &state.owner);
        CHECK(writer.length == 6 && memcmp(writer.data, state.memory + 4, 6) == 0);
        CHECK_SIZE(state.owner.references, flags);
        writer.data[0] = 77;
        CHECK_SIZE(state.memory[4], 4);
        CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
        if (flags != 0)
            CHECK(aegis_buffer_release(&copy) == AEGIS_OK);
        CHECK_SIZE(state.release_count, 1);
    }
    aegis_buffer view = test_owner_adopt(&state, AEGIS_BUFFER_WRITABLE);
    aegis_buffer_mut writer;
    CHECK(aegis_buffer_into_mut(&view, &writer, NULL, NULL) == AEGIS_OK);
    CHECK(writer.data == state.memory && writer.owner == &state.owner);
    CHECK(aegis_buffer_mut_release(&writer) == AEGIS_OK);
}

static void compact_copies_less_than_half_of_the_memory(void) {
    for (size_t length = 0; length <= OWNER_BYTES; length++) {
        aegis_buffer view = test_owner_adopt(&state, 0);
        size_t start = (OWNER_BYTES - length) / 2;
        CHECK(aegis_buffer_slice(&view, start, start + length, &view) == AEGIS_OK);
        CHECK(aegis_buffer_compact(&view, NULL, NULL) == AEGIS_OK);
        CHECK(holds(&view, state.memory + start, length));
        bool copied = view.owner != &state.owner;
        CHECK(copied == (length < OWNER_BYTES / 2));
        CHECK_SIZE(state.release_count, copied ? 1 : 0);
        CHECK(aegis_buffer_is_unique(&view) == (length != 0));
        CHECK(aegis_buffer_release(&view) == AEGIS_OK);
        CHECK_SIZE(state.release_count, 1);
    }
}

static void iovecs_list_the_bytes_and_their_sum(void) {
    aegis_buffer views[4];
    aegis_iovec iovecs[4];
    views[0] = aegis_buffer_from_static("abc", 3);
    views[1] = aegis_buffer_from_static("", 0);
    views[2] = test_owner_adopt(&state, 0);
    memcpy(state.memory, "defghij", 7);
    CHECK(aegis_buffer_split_off(&views[2], 4, &views[3]) == AEGIS_OK);
    CHECK(aegis_buffer_slice(&views[3], 0, 3, &views[3]) == AEGIS_OK);
    CHECK_SIZE(aegis_buffer_iovecs(views, 0, NULL), 0);
    CHECK_SIZE(aegis_buffer_iovecs(views, 4, iovecs), 10);
    for (size_t i = 0; i < 4; i++)
        CHECK(iovecs[i].base == views[i].data && iovecs[i].length == views[i].length);
#if defined(HAS_WRITEV)
    int ends[2];
    char words[16];
    CHECK(pipe(ends) == 0);
    CHECK(writev(ends[1], (const struct iovec *)(const void *)iovecs, 4) == 10);
    CHECK(read(ends[0], words, sizeof words) == 10 && memcmp(words, "abcdefghij", 10) == 0);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
#endif
    CHECK(aegis_buffer_release(&views[2]) == AEGIS_OK);
    CHECK(aegis_buffer_release(&views[3]) == AEGIS_OK);

    for (size_t i = 0; i < 4; i++)
        views[i] = aegis_buffer_from_static("", SIZE_MAX / 2);
    CHECK_SIZE(aegis_buffer_iovecs(views, 2, iovecs), SIZE_MAX - 1);
    CHECK_SIZE(aegis_buffer_iovecs(views, 3, iovecs), SIZE_MAX);
    CHECK_SIZE(aegis_buffer_iovecs(views, 4, iovecs), SIZE_MAX);
    CHECK_SIZE(iovecs[3].length, SIZE_MAX / 2);
}

int main(void) {
    RUN(static_bytes_live_for_ever);
    RUN(owner_is_released_with_the_last_of_its_handles);
    RUN(adopted_owner_without_memory_has_an_address);
    RUN(slice_is_every_range_inside_and_none_outside);
    RUN(slice_of_the_handle_itself_narrows_without_a_reference);
    RUN(view_of_no_bytes_holds_nothing);
    RUN(owner_of_no_bytes_is_kept_until_its_view_is_given_up);
    RUN(split_at_every_point_and_unsplit_gives_the_whole_back);
    RUN(views_that_do_not_meet_stay_apart);
    RUN(handle_that_was_given_up_is_inert_and_reported);
    RUN(too_many_references_are_refused_and_change_nothing);
    RUN(only_view_of_writable_memory_becomes_a_writer);
    RUN(into_mut_copies_what_is_shared_or_not_writable);
    RUN(compact_copies_less_than_half_of_the_memory);
    RUN(iovecs_list_the_bytes_and_their_sum);
    return check_finish();
}
