// SPDX-License-Identifier: Apache-2.0
// The allocators over arenas in the containers of the standard library.
#include "support.hpp"

#include <list>
#include <map>
#include <memory>
#include <scoped_allocator>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

template <class T> using vector_in = std::vector<T, aegis::allocator<T>>;
using string_in = std::basic_string<char, std::char_traits<char>, aegis::allocator<char>>;

void containers_live_in_an_arena() {
    aegis::arena arena;
    vector_in<int> numbers(arena);
    for (int i = 0; i < 1000; i++)
        numbers.push_back(i);
    CHECK(numbers.back() == 999 && numbers.get_allocator().handle() == arena.raw());

    std::unordered_map<int, int, std::hash<int>, std::equal_to<int>,
                       aegis::allocator<std::pair<const int, int>>>
        squares(16, std::hash<int>(), std::equal_to<int>(), arena.allocator());
    for (int i = 0; i < 100; i++)
        squares[i] = i * i;
    squares.erase(7);
    CHECK(squares.size() == 99 && squares.at(9) == 81);

    std::map<string_in, int, std::less<string_in>,
             aegis::allocator<std::pair<const string_in, int>>>
        names(arena.allocator());
    names.emplace(string_in("a text that a string does not keep in itself", arena), 1);
    CHECK(names.begin()->first.size() == 44);

    std::list<double, aegis::allocator<double>> values(arena);
    values.assign(50, 0.5);
    values.remove(0.5);
    CHECK(values.empty());

    // A vector of strings that all live in the arena.
    std::vector<string_in, std::scoped_allocator_adaptor<aegis::allocator<string_in>>> texts(
        (aegis::allocator<string_in>(arena)));
    texts.emplace_back("another text that a string does not keep in itself");
    CHECK(texts[0].get_allocator() == arena.allocator());

    auto shared = std::allocate_shared<counted>(aegis::allocator<counted>(arena), 5);
    CHECK(shared->value == 5 && counted::live() == 1);
    shared.reset();
    CHECK(counted::live() == 0);
}

void a_container_stays_in_its_arena_when_it_is_assigned_to() {
    aegis::arena one, other;
    vector_in<int> from({1, 2, 3}, one), same(one), apart(other);
    const int *data = from.data();
    same = std::move(from);
    CHECK(same.data() == data);
    apart = same;
    CHECK(apart.get_allocator() == aegis::allocator<int>(other) && apart == same);
    apart.clear();
    apart = std::move(same);
    CHECK(apart.data() != data && apart.get_allocator().handle() == other.raw());
    // A swap exchanges the arenas.
    vector_in<int> third({9}, one);
    const int *nine = third.data();
    swap(third, apart);
    CHECK(apart.data() == nine && apart.get_allocator().handle() == one.raw());
    vector_in<int> copy(apart);
    CHECK(copy.get_allocator() == apart.get_allocator() && copy[0] == 9);
}

void allocators_of_shared_arenas_serve_threads() {
    aegis::locked_arena locked;
    aegis::lock_free_arena lock_free;
    auto work = [&] {
        std::vector<int, aegis::locked_allocator<int>> first(locked);
        std::vector<int, aegis::lock_free_allocator<int>> second(lock_free);
        for (int i = 0; i < 5000; i++) {
            first.push_back(i);
            second.push_back(i);
        }
        return first.back() == 4999 && second.size() == 5000;
    };
    bool other_passed = false;
    std::thread other([&] { other_passed = work(); });
    CHECK(work());
    other.join();
    CHECK(other_passed);
    CHECK(aegis::locked_allocator<int>(locked) == locked.allocator<char>());
}

void elements_are_aligned() {
    struct alignas(128) wide {
        char bytes[128];
    };
    aegis::arena arena;
    vector_in<char> odd(3, 'x', arena);
    vector_in<wide> elements(5, wide(), arena);
    CHECK(reinterpret_cast<std::uintptr_t>(elements.data()) % 128 == 0);
}

void too_many_elements_are_a_bad_alloc() {
    aegis::arena arena;
    aegis::allocator<int> ints(arena);
    CHECK(throws([&] { (void)ints.allocate(SIZE_MAX / 2); }, "invalid layout"));
    CHECK(throws([&] { (void)ints.allocate(SIZE_MAX / 4); }, "invalid layout"));
    aegis::budget budget("small", 2000);
    aegis::arena limited(0, budget);
    vector_in<int> numbers(limited);
    CHECK(throws([&] { numbers.resize(1000); }, "budget 'small' refused"));
    CHECK(numbers.empty());
}

static_assert(std::is_nothrow_move_constructible<vector_in<int>>::value, "");
static_assert(std::is_nothrow_constructible<aegis::allocator<int>, aegis::arena &>::value, "");
// The arena of a temporary owner would be gone.
static_assert(!std::is_constructible<aegis::allocator<int>, aegis::arena>::value, "");
static_assert(!std::is_constructible<aegis::locked_allocator<int>, aegis::locked_arena>::value, "");
static_assert(!std::is_constructible<aegis::arena_resource, aegis::arena>::value, "");

} // namespace

int main() {
    RUN(containers_live_in_an_arena);
    RUN(a_container_stays_in_its_arena_when_it_is_assigned_to);
    RUN(allocators_of_shared_arenas_serve_threads);
    RUN(elements_are_aligned);
    RUN(too_many_elements_are_a_bad_alloc);
    return check_finish();
}
