// SPDX-License-Identifier: Apache-2.0
// Buffers, pools of buffers, and views of bytes.
#include "support.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>
#if __cplusplus >= 202002L
#include <span>
#endif

namespace {

std::size_t length_of(aegis::bytes_view bytes) {
    return bytes.size();
}

void a_view_is_made_of_whatever_has_bytes() {
    std::string text = "hello";
    const std::vector<unsigned char> numbers = {1, 2, 3};
    std::array<std::byte, 4> raw = {};
    CHECK(length_of("abc") == 3 && length_of(text) == 5 && length_of(numbers) == 3);
    CHECK(length_of(raw) == 4 && length_of(std::string_view("ab")) == 2);
    CHECK(length_of(std::string("temporary")) == 9 && length_of({}) == 0);
    CHECK(length_of({numbers.data(), 2}) == 2);
    aegis::mutable_bytes_view writable = text;
    writable[0] = std::byte('j');
    *(writable.end() - 1) = std::byte('y');
    CHECK(text == "jelly");
    aegis::bytes_view view = writable;
    CHECK(view.text() == "jelly" && view.data() == writable.data());
    CHECK(view.subview(1, 2).text() == "el" && view.subview(3).text() == "ly");
    CHECK(view.subview(5).empty() && view.subview(9, 1).empty() && view.subview(0, 0).empty());
    CHECK(std::count(view.begin(), view.end(), std::byte('l')) == 2);
    static_assert(!std::is_constructible<aegis::mutable_bytes_view,
                                         const std::vector<unsigned char> &>::value &&
                      !std::is_constructible<aegis::mutable_bytes_view, std::string>::value &&
                      !std::is_constructible<aegis::bytes_view, std::vector<int> &>::value,
                  "not of constants, temporaries, or elements of several bytes");
}

#if defined(__cpp_lib_span)
void a_view_and_a_span_turn_into_each_other() {
    std::string text = "hello";
    aegis::mutable_bytes_view writable = text;
    std::span<std::byte> span = writable;
    std::span<const std::byte> constant = aegis::bytes_view(text);
    span[0] = std::byte('j');
    CHECK(constant.size() == 5 && constant[0] == std::byte('j'));
    aegis::bytes_view back = constant;
    CHECK(back.data() == constant.data() && length_of(span) == 5);
    CHECK(length_of(std::as_bytes(std::span(text))) == 5);
    aegis::buffer buffer = aegis::buffer::copy(text);
    std::span<const std::byte> of_buffer = buffer.bytes();
    CHECK(of_buffer.data() == buffer.data());
    static_assert(std::ranges::contiguous_range<aegis::bytes_view> &&
                  std::ranges::borrowed_range<aegis::bytes_view> &&
                  std::ranges::view<aegis::bytes_view>);
}
#else
void a_view_and_a_span_turn_into_each_other() {
}
#endif

void copies_of_a_buffer_share_its_bytes() {
    aegis::budget budget("buffers");
    {
        aegis::buffer one = aegis::buffer::copy("hello world", budget);
        CHECK(one && one.is_unique() && budget.stats().used_bytes == one.retained_bytes());
        aegis::buffer two = one, three;
        three = two;
        CHECK(two.data() == one.data() && three.text() == "hello world" && !one.is_unique());
        aegis::buffer moved(std::move(two));
        CHECK(!two && moved.size() == 11 && two.bytes().empty());
        aegis::buffer part = one.slice(6, 11);
        CHECK(part.text() == "world" && part.data() == one.data() + 6 && !one.slice(6, 12));
        aegis::buffer front = moved.split_to(6), back = moved.split_off(2);
        CHECK(front.text() == "hello " && moved.text() == "wo" && back.text() == "rld");
        CHECK(moved.unsplit(back) && !back && moved.text() == "world");
        CHECK(front.unsplit(moved) && front.text() == "hello world" && !front.unsplit(part));
        CHECK(std::count(one.begin(), one.end(), one[2]) == 3);
    }
    CHECK(budget.stats().used_bytes == 0);
}

void a_buffer_has_any_bytes() {
    aegis::buffer literal = aegis::buffer::of_static("for ever");
    CHECK(literal.text() == "for ever" && literal.retained_bytes() == 0);
    std::string long_text(1000, 'x');
    const char *place = long_text.data();
    aegis::buffer taken = aegis::buffer::take(std::move(long_text));
    CHECK(taken.size() == 1000 && static_cast<const void *>(taken.data()) == place);
    CHECK(taken.retained_bytes() >= 1000);
    aegis::buffer numbers = aegis::buffer::take(std::vector<std::uint32_t>{1, 2, 3});
    CHECK(numbers.size() == 12);
    CHECK(aegis::buffer::take(std::string("short")).text() == "short");
    CHECK(aegis::buffer::take(std::vector<char>()).size() == 0);
    int released = 0;
    {
        aegis::buffer lent = aegis::buffer::wrap("lent", [&released] { released++; });
        aegis::buffer copy = lent;
        lent = aegis::buffer();
        CHECK(released == 0 && copy.text() == "lent");
    }
    CHECK(released == 1);
    aegis::error why;
    int os_error = 0;
    CHECK(!aegis::buffer::map_file("/no such file", &os_error, &why));
    CHECK(why.status == AEGIS_E_IO && os_error != 0);
    aegis::buffer raw = aegis::buffer::from_raw(taken.into_raw());
    CHECK(raw.size() == 1000 && !taken);
}

void a_buffer_takes_an_arena_over() {
    aegis::arena arena;
    aegis::bytes_view bytes = arena.copy("in an arena");
    aegis::buffer frozen = aegis::freeze(arena, bytes);
    CHECK(frozen.text() == "in an arena" && !arena && frozen.data() == bytes.data());
    aegis::arena busy;
    bytes = busy.copy("x");
    aegis::arena_scope scope(busy);
    aegis::error why;
    CHECK(!aegis::freeze(busy, bytes, &why) && busy && why.status == AEGIS_E_BUSY);
}

void a_writer_is_filled_and_frozen() {
    aegis::error why;
    aegis::buffer_mut writer(16, 4096);
    CHECK(writer && writer.capacity() >= 16 &&
          reinterpret_cast<std::uintptr_t>(writer.bytes().data()) % 4096 == 0);
    CHECK(writer.append("hello ") && !writer.append(std::string(100, 'x')));
    std::memcpy(writer.room().data(), "world", 5);
    CHECK(writer.add_written(5) && !writer.add_written(1000) && writer.size() == 11);
    CHECK(writer.reserve(1000) && writer.room().size() >= 1000);
    aegis::buffer_mut front = writer.split_to(6), back = writer.split_off(2);
    CHECK(front.bytes().text() == "hello " && back.bytes().text() == "rld");
    CHECK(writer.unsplit(back) && !back && front.unsplit(writer) && front.size() == 11);
    aegis::budget budget("writer");
    CHECK(front.move_budget(budget) && budget.stats().used_bytes > 1000);
    aegis::buffer view = front.freeze();
    CHECK(!front && view.text() == "hello world");
    aegis::buffer other = view;
    aegis::buffer_mut copy = view.into_mut(budget);
    CHECK(copy && !view && copy.bytes().data() != other.data());
    aegis::buffer_mut moved(std::move(copy));
    CHECK(moved && !copy && moved.reserve(1) && moved.append("!"));
    aegis::buffer_mut same = other.into_mut();
    CHECK(same.size() == 11);
    aegis::budget tiny("tiny", 10);
    CHECK(!aegis::buffer_mut(100, 0, tiny, &why) && why.status == AEGIS_E_LIMIT_EXCEEDED);
    aegis::buffer small = aegis::buffer::copy(std::string(1000, 'y')).slice(0, 10);
    CHECK(!small.compact(tiny, &why) && small.compact() && small.retained_bytes() < 200);
    CHECK(small.move_budget(budget));
}

void a_pool_of_buffers_serves_threads() {
    aegis::error why;
    aegis::buffer_pool pool(4096, 4, &why);
    CHECK(pool && !why.failed());
    std::thread other([copy = pool] {
        for (int i = 0; i < 100; i++) {
            aegis::buffer_mut writer = copy.get(100);
            CHECK(writer && writer.append("from a thread"));
            aegis::buffer view = writer.freeze();
            CHECK(view.text() == "from a thread");
        }
    });
    other.join();
    aegis::buffer_mut one = pool.get(), two = pool.get(), three = pool.get(), four = pool.get();
    CHECK(four.capacity() == 4096 && !pool.get(1, &why) && why.status == AEGIS_E_EXHAUSTED);
    CHECK(!pool.get_timeout(1, 1000, &why) && pool.stats().classes[0].in_use == 4);
    CHECK(!pool.get(5000, &why) && why.status == AEGIS_E_LIMIT_EXCEEDED);
    one = aegis::buffer_mut();
    pool.trim_idle();
    pool.trim(0);
    aegis::buffer last = two.freeze();
    aegis::buffer_pool moved(std::move(pool));
    CHECK(!pool && moved);
    moved = aegis::buffer_pool();
    CHECK(last.size() == 0);
    aegis::buffer_pool refused(0, 0, &why);
    CHECK(!refused && why.status == AEGIS_E_INVALID);
    const aegis_buffer_class classes[] = {{512, 4, 8}, {4096, 2, 0}};
    aegis_buffer_pool_options options = aegis_buffer_pool_options();
    options.classes = classes;
    options.class_count = 2;
    aegis::buffer_pool two_classes(options, &why);
    CHECK(two_classes.get(600).capacity() == 4096);
}

} // namespace

int main() {
    RUN(a_view_is_made_of_whatever_has_bytes);
    RUN(a_view_and_a_span_turn_into_each_other);
    RUN(copies_of_a_buffer_share_its_bytes);
    RUN(a_buffer_has_any_bytes);
    RUN(a_buffer_takes_an_arena_over);
    RUN(a_writer_is_filled_and_frozen);
    RUN(a_pool_of_buffers_serves_threads);
    return check_finish();
}
