/* SPDX-License-Identifier: Apache-2.0 */
/* Tests buffers over pages: they keep the page pinned and the memory alive. */
#include "page_cache_support.h"

static aegis_page_cache cache;
static test_disk *disk;
static uint32_t file;
static test_source state;

static void begin(size_t frame_count) {
    aegis_source source = test_source_get(&state, true);
    aegis_page_cache_options options = cache_options(frame_count);
    options.source = &source;
    options.latch_wait_ns = 20 * MS;
    cache = cache_with(&options);
    disk = disk_new(32);
    file = open_disk(&cache, disk, NULL);
}

static void end_memory(void) {
    test_source_check_done(&state);
    CHECK_SIZE(state.close_count, 1);
    CHECK_SIZE(disk->close_count, 1);
    disk_free(disk);
}

static aegis_buffer buffer_of(uint64_t page) {
    aegis_buffer buffer;
    aegis_page_pin pin = pin_page(&cache, file, page, AEGIS_PIN_READ);
    const unsigned char *data = pin.data;
    CHECK(aegis_page_cache_into_buffer(&cache, &pin, &buffer, NULL) == AEGIS_OK);
    CHECK(pin.data == NULL && buffer.data == data && buffer.length == PAGE_BYTES);
    return buffer;
}

static void a_buffer_pins_the_page_as_long_as_a_view_lives(void) {
    begin(4);
    aegis_buffer buffer = buffer_of(3);
    aegis_buffer view;
    CHECK(aegis_buffer_split_to(&buffer, 100, &view) == AEGIS_OK);
    CHECK(aegis_buffer_release(&buffer) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).buffer_count, 1);
    CHECK_SIZE(cache_stats(&cache).pinned_count, 1);
    aegis_page_pin pin;
    CHECK(aegis_page_cache_pin(&cache, file, 3, AEGIS_PIN_WRITE, &pin, NULL) == AEGIS_E_BUSY);
    for (int round = 0; round < 3; round++)
        for (uint64_t page = 4; page < 32; page++)
            check_page(&cache, file, page, 0);
    unsigned char expected[PAGE_BYTES];
    page_fill(expected, 3, 0);
    CHECK(memcmp(view.data, expected, 100) == 0);
    CHECK(aegis_page_cache_discard(&cache, file, 3, 1, NULL, NULL) == AEGIS_E_BUSY);
    CHECK(aegis_page_cache_close(&cache, file, 0, NULL) == AEGIS_E_BUSY);
    CHECK(aegis_buffer_release(&view) == AEGIS_OK);
    CHECK_SIZE(cache_stats(&cache).buffer_count, 0);
    change_page(&cache, file, 3, 1, 0);
    end_cache(&cache);
    end_memory();
}

static void buffers_outlive_the_cache(void) {
    for (int abandoned = 0; abandoned < 2; abandoned++) {
        begin(4);
        change_page(&cache, file, 0, 1, 0);
        aegis_buffer buffers[3];
        for (uint64_t i = 0; i < 3; i++)
            buffers[i] = buffer_of(i);
        if (abandoned != 0) {
            aegis_page_cache_abandon(&cache);
            CHECK(cache.shared == NULL);
        } else {
            end_cache(&cache);
            CHECK(page_is(disk->durable[0], 0, 1));
        }
        CHECK_SIZE(disk->close_count, 1);
        for (uint64_t i = 0; i < 3; i++) {
            CHECK(state.live_count != 0 && state.close_count == 0);
            CHECK(page_is(buffers[i].data, i, i == 0 ? 1 : 0));
            CHECK(aegis_buffer_release(&buffers[i]) == AEGIS_OK);
        }
        end_memory();
    }
}

static void pins_beside_buffers_keep_the_cache_from_its_end(void) {
    begin(4);
    aegis_buffer buffer = buffer_of(1);
    aegis_page_pin pin = pin_page(&cache, file, 1, AEGIS_PIN_READ);
    CHECK_ERROR(aegis_page_cache_destroy(&cache, error), AEGIS_E_BUSY, AEGIS_PAGE_PINNED,
                "pages are pinned");
    unpin_page(&cache, &pin, 0);
    end_cache(&cache);
    CHECK(page_is(buffer.data, 1, 0));
    CHECK(aegis_buffer_release(&buffer) == AEGIS_OK);
    end_memory();
}

static void *release_it(void *argument) {
    aegis_buffer *buffer = (aegis_buffer *)argument;
    CHECK(page_is(buffer->data, 2, 0));
    CHECK(aegis_buffer_release(buffer) == AEGIS_OK);
    return NULL;
}

static void the_last_of_several_threads_frees_the_memory(void) {
    for (size_t round = 0; round < scaled(50); round++) {
        begin(4);
        aegis_buffer buffers[4];
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            buffers[i] = buffer_of(2);
        for (int i = 0; i < 4; i++)
            threads[i] = start(release_it, &buffers[i]);
        end_cache(&cache);
        for (int i = 0; i < 4; i++)
            join(threads[i]);
        end_memory();
    }
}

int main(void) {
    check_alarm(120);
    RUN(a_buffer_pins_the_page_as_long_as_a_view_lives);
    RUN(buffers_outlive_the_cache);
    RUN(pins_beside_buffers_keep_the_cache_from_its_end);
    RUN(the_last_of_several_threads_frees_the_memory);
    return check_finish();
}
