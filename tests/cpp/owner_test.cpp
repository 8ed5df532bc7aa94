// SPDX-License-Identifier: Apache-2.0
// Owners of arenas, pools and budgets, and the objects that they make.
#include "support.hpp"

#include <string>
#include <vector>

namespace {

static_assert(!std::is_copy_constructible<aegis::arena>::value &&
                  std::is_nothrow_move_constructible<aegis::arena>::value &&
                  std::is_nothrow_move_assignable<aegis::arena>::value,
              "an arena is moved only");
static_assert(!std::is_move_constructible<aegis::arena_scope>::value &&
                  !std::is_move_constructible<aegis::fixed_arena<64>>::value,
              "these stay where they are");
static_assert(std::is_nothrow_copy_constructible<aegis::budget>::value, "a budget is shared");
static_assert(sizeof(aegis::arena_ptr<int>) == sizeof(int *), "the deleter has no state");

void an_arena_is_moved_and_the_old_owner_is_empty() {
    aegis::arena first(4096);
    char *text = first.copy_text("hello");
    aegis::arena second(std::move(first));
    CHECK(second && !first);
    CHECK(std::string(text) == "hello" && second.stats().capacity_bytes >= 4096);
    first = std::move(second);
    CHECK(first && !second && std::string(text) == "hello");
    second = aegis::arena();
    CHECK(second && second.alloc(10) != nullptr);
    aegis::arena third = aegis::arena::from_raw(first.into_raw());
    CHECK(third && !first && third.alloc_zeroed(16) != nullptr);
    aegis::arena &same = third;
    third = std::move(same);
    CHECK(third && third.alloc(16) != nullptr);
}

void an_arena_that_cannot_be_made_is_empty_and_says_why() {
    aegis::budget budget("tiny", 100);
    aegis::arena arena(4096, budget);
    CHECK(!arena);
    aegis::error why = arena.last_error();
    CHECK(why.failed() && why.status == AEGIS_E_LIMIT_EXCEEDED);
    CHECK(why.text().view().find("budget 'tiny' refused") != std::string_view::npos);
    aegis_arena_options options = aegis_arena_options();
    options.flags = 1u << 30;
    CHECK(aegis::arena(options).last_error().status == AEGIS_E_INVALID);
}

void calls_of_an_arena_do_what_those_of_c_do() {
    aegis::arena arena;
    CHECK(!arena.last_error().failed());
    CHECK(reinterpret_cast<std::uintptr_t>(arena.alloc(3, 256)) % 256 == 0);
    CHECK(arena.alloc(3, 24) == nullptr && arena.last_error().status == AEGIS_E_INVALID_LAYOUT);
    CHECK(arena.alloc(3, 0) == nullptr && arena.alloc(3, 3) == nullptr);
    char *memory = static_cast<char *>(arena.alloc(8));
    std::memcpy(memory, "1234567", 8);
    memory = static_cast<char *>(arena.realloc(memory, 8, 1000));
    CHECK(std::string(memory) == "1234567");
    aegis::mutable_bytes_view copy = arena.copy("bytes");
    CHECK(copy.text() == "bytes");
    CHECK(arena.copy(aegis::bytes_view()).empty());
    CHECK(std::string(arena.copy_text("")) == "");
    aegis_arena_mark mark = arena.mark();
    std::size_t used = arena.stats().used_bytes;
    (void)arena.alloc(5000);
    CHECK(arena.rewind(mark) && arena.stats().used_bytes == used);
    arena.reset();
    CHECK(!arena.rewind(mark) && arena.stats().used_bytes == 0);
    arena.trim(0);
    arena.clear();
    CHECK(arena.stats().reserved_bytes == 0);
    aegis::budget budget("moved");
    (void)arena.alloc(1);
    CHECK(arena.move_budget(budget) && budget.stats().used_bytes == arena.stats().reserved_bytes);
}

void a_scope_frees_what_was_allocated_in_it() {
    aegis::arena arena;
    char *outside = arena.copy_text("outside");
    std::size_t used = arena.stats().used_bytes;
    {
        aegis::arena_scope scope(arena);
        scope.make<counted>(1);
        auto inner = scope.scope();
        inner.make<counted>(2);
        CHECK(counted::live() == 2);
    }
    CHECK(counted::live() == 0);
    CHECK(arena.stats().used_bytes == used && std::string(outside) == "outside");
}

void a_fixed_arena_ends_with_its_bytes() {
    aegis::fixed_arena<1024> arena;
    CHECK(arena.alloc(100) != nullptr);
    CHECK(arena.alloc(2000) == nullptr && arena.last_error().status == AEGIS_E_EXHAUSTED);
    CHECK(arena.stats().reserved_bytes == 0);
    arena.reset();
    CHECK(arena.alloc(800) != nullptr);
}

void a_pointer_destroys_its_object_and_the_arena_frees_it() {
    aegis::arena arena;
    {
        aegis::arena_ptr<counted> one = arena.make_unique<counted>(3);
        CHECK(one->value == 3 && counted::live() == 1);
        aegis::arena_ptr<counted[]> several = arena.make_unique<counted[]>(4);
        CHECK(counted::live() == 5 && several.get_deleter().size() == 4 && several[3].value == 0);
        struct derived : counted {};
        aegis::arena_ptr<counted> base = arena.make_unique<derived>();
        aegis::arena_ptr<const counted> constant = std::move(one);
        CHECK(constant->value == 3 && counted::live() == 6);
    }
    CHECK(counted::live() == 0);
    int *numbers = arena.make_array<int>(10);
    CHECK(numbers[9] == 0);
    /* Not a constant: with 32-bit addresses gcc would warn of so many steps of a loop. */
    const volatile std::size_t too_many = SIZE_MAX / 2;
    CHECK(arena.make_array<int>(too_many) == nullptr);
    CHECK(arena.last_error().status == AEGIS_E_INVALID_LAYOUT);
    CHECK(arena.make_unique<counted[]>(too_many) == nullptr);
    CHECK(arena.make_unique<counted[]>(0) != nullptr);
}

void an_arena_destroys_what_it_made_newest_first() {
    std::vector<int> order;
    struct noted {
        std::vector<int> *order;
        int value;
        noted(std::vector<int> *into, int with) : order(into), value(with) {
        }
        noted(const noted &) = delete;
        ~noted() {
            order->push_back(value);
        }
    };
    aegis::arena arena;
    CHECK(arena.make<noted>(&order, 1) != nullptr);
    CHECK(*arena.make<int>(5) == 5);
    CHECK(arena.defer([&order] { order.push_back(2); }));
    aegis_arena_mark mark = arena.mark();
    CHECK(arena.make<noted>(&order, 3) != nullptr);
    CHECK(arena.rewind(mark) && order == std::vector<int>({3}));
    arena.reset();
    CHECK(order == std::vector<int>({3, 2, 1}));
    CHECK(arena.make<noted>(&order, 4) != nullptr);
    { aegis::arena ends(std::move(arena)); }
    CHECK(order.back() == 4);
    aegis::arena fresh;
    CHECK(fresh.make<const noted>(&order, 5)->value == 5);
    CHECK(aegis::locked_arena().make<const noted>(&order, 6) != nullptr);
    CHECK(order.back() == 6);
    CHECK((fresh.reset(), order.back() == 5));
}

void what_a_constructor_throws_passes_and_nothing_is_left() {
    aegis_arena_options options = aegis_arena_options();
    options.flags = AEGIS_ARENA_NO_DEBUG;
    aegis::arena arena(options);
    aegis::typed_pool<counted> pool(2);
    (void)arena.alloc(8);
    std::size_t used = arena.stats().used_bytes;
    int caught = 0;
    counted::throw_at() = 0;
    try {
        (void)arena.make_unique<counted>();
    } catch (int value) {
        caught += value;
    }
    try {
        (void)arena.make<counted>();
    } catch (int value) {
        caught += value;
    }
    try {
        (void)pool.make_unique();
    } catch (int value) {
        caught += value;
    }
    counted::throw_at() = 2;
    try {
        (void)arena.make_unique<counted[]>(4);
    } catch (int value) {
        caught += value;
    }
    counted::throw_at() = -1;
    CHECK(caught == 28 && counted::live() == 0);
    CHECK(arena.stats().used_bytes == used && pool.stats().in_use == 0);
}

void no_room_for_an_object_is_a_null_pointer() {
    aegis::fixed_arena<256> arena;
    (void)arena.alloc(64);
    while (arena.alloc(8) != nullptr)
        continue;
    CHECK(arena.make<counted>() == nullptr && arena.make_unique<counted>() == nullptr);
    CHECK(!arena.defer([] {}) && arena.copy("bytes").data() == nullptr);
    CHECK(arena.copy_text("text text text") == nullptr);
    CHECK(counted::live() == 0);
}

void shared_arenas_make_and_destroy_objects() {
    aegis::locked_arena locked;
    aegis::lock_free_arena lock_free;
    CHECK(locked.make<counted>(1)->value == 1 && lock_free.make<counted>(2)->value == 2);
    CHECK(lock_free.make_unique<counted>(3)->value == 3);
    CHECK(counted::live() == 2);
    {
        aegis::local_arena local(lock_free);
        CHECK(local && local.make<int>(3) != nullptr);
        aegis::local_arena moved(std::move(local));
        CHECK(moved && !local);
    }
    locked.reset();
    lock_free.clear();
    CHECK(counted::live() == 0 && lock_free.stats().reserved_bytes == 0);
    aegis::error why;
    CHECK(locked.alloc(8, 24, &why) == nullptr && why.status == AEGIS_E_INVALID_LAYOUT);
    CHECK(locked.alloc_zeroed(8) != nullptr);
    aegis::budget budget("no room", 1);
    aegis_arena_options options = aegis_arena_options();
    options.budget = budget.raw();
    options.capacity_bytes = 1000;
    aegis::locked_arena refused(options, &why);
    CHECK(!refused && why.status == AEGIS_E_LIMIT_EXCEEDED);
    aegis::locked_arena taken = aegis::locked_arena::from_raw(locked.into_raw());
    CHECK(!locked && taken.alloc(8) != nullptr);
    taken = aegis::locked_arena();
    CHECK(taken && taken.stats().used_bytes == 0);
}

void a_heap_is_an_owner_too() {
    aegis::arena_heap heap;
    char *text = static_cast<char *>(heap.alloc(10));
    std::memcpy(text, "123456789", 10);
    text = static_cast<char *>(heap.realloc(text, 5000));
    CHECK(std::string(text) == "123456789");
    aegis::arena_heap moved(std::move(heap));
    CHECK(!heap && moved && std::string(text) == "123456789");
    moved.free(text);
    moved.free(nullptr);
    CHECK(moved.alloc_zeroed(100, 256) != nullptr && moved.alloc(8, 24) == nullptr);
    CHECK(moved.last_error().status == AEGIS_E_INVALID_LAYOUT);
    heap = std::move(moved);
    heap = aegis::arena_heap::from_raw(heap.into_raw());
    CHECK(heap && heap.stats().used_bytes != 0);
    aegis::budget budget("heap");
    CHECK(heap.move_budget(budget) && budget.stats().used_bytes == heap.stats().reserved_bytes);
    heap.reset();
    heap.trim(0);
    heap.clear();
    CHECK(heap.stats().reserved_bytes == 0 && budget.stats().used_bytes == 0);
    std::vector<int, aegis::heap_allocator<int>> numbers(100, 7, heap.allocator<int>());
    CHECK(numbers.back() == 7 && numbers.get_allocator() == aegis::heap_allocator<char>(heap));

    aegis::budget tiny("tiny", 100);
    aegis_arena_options limited = aegis_arena_options();
    limited.capacity_bytes = 1000;
    limited.budget = tiny.raw();
    aegis::arena_heap refused(limited);
    CHECK(!refused && refused.last_error().status == AEGIS_E_LIMIT_EXCEEDED);

    aegis::error why;
    aegis::locked_arena_heap locked(&why);
    CHECK(locked && !why.failed());
    {
        std::vector<int, aegis::locked_heap_allocator<int>> shared(100, 7, locked);
        CHECK(shared.back() == 7 && shared.get_allocator() == locked.allocator());
    }
    locked = aegis::locked_arena_heap::from_raw(locked.into_raw());
    void *memory = locked.realloc(locked.alloc_zeroed(10), 100);
    CHECK(memory != nullptr && locked.alloc(8, 24, &why) == nullptr && why.failed());
    locked.free(memory);
    locked.reset();
    aegis::locked_arena_heap other(std::move(locked));
    CHECK(other && !locked && other.alloc(1) != nullptr);
}

template <class Pool> void use_pool() {
    aegis::error why;
    Pool pool(100, 2, &why);
    CHECK(pool && !why.failed());
    void *one = pool.alloc(), *two = pool.alloc();
    CHECK(one != nullptr && two != nullptr && pool.alloc(&why) == nullptr);
    CHECK(why.status == AEGIS_E_EXHAUSTED);
    CHECK(pool.owns(one) && !pool.owns(&why) && !pool.free(&why));
    CHECK(!pool.finish() && pool);
    CHECK(pool.free(one) && !pool.free(one) && pool.stats().in_use == 1);
    Pool moved(std::move(pool));
    CHECK(!pool && moved && moved.free(two));
    Pool taken = Pool::from_raw(moved.into_raw());
    CHECK(taken && !moved);
    CHECK(taken.finish() && !taken);
    CHECK(!Pool::from_raw(taken.into_raw()));
    Pool wrong(100, 0, &why);
    CHECK(!wrong && why.status == AEGIS_E_INVALID);
    wrong = Pool(8, 1);
    CHECK(wrong && wrong.alloc() != nullptr);
}

void pools_of_every_form_hand_out_blocks() {
    use_pool<aegis::pool>();
    use_pool<aegis::locked_pool>();
    use_pool<aegis::lock_free_pool>();
}

void a_typed_pool_destroys_and_frees() {
    aegis::budget budget("objects");
    aegis::typed_pool<counted> pool(2, 4, budget);
    CHECK(pool && budget.stats().used_bytes == pool.stats().reserved_bytes);
    {
        auto one = pool.make_unique(1), two = pool.make_unique(2), three = pool.make_unique(3);
        auto four = pool.make_unique(4);
        CHECK(four->value == 4 && pool.make_unique() == nullptr && counted::live() == 4);
        three.reset();
        CHECK(counted::live() == 3 && pool.stats().in_use == 3);
    }
    CHECK(counted::live() == 0 && pool.stats().in_use == 0 && pool.finish());
    CHECK(budget.stats().used_bytes == 0);
    struct alignas(256) wide {
        char bytes[256];
    };
    aegis::typed_pool<wide, aegis::detail::locked_pool_form> shared(2);
    auto object = shared.make_unique();
    CHECK(reinterpret_cast<std::uintptr_t>(object.get()) % 256 == 0);
    aegis::typed_pool<const counted> constants(1);
    CHECK(constants.make_unique(7)->value == 7);
    CHECK(constants.stats().in_use == 0);
}

int printed;

void print_line(const char *) {
    printed++;
}

void budgets_form_a_tree_and_count() {
    aegis::budget none;
    CHECK(!none && none.charge(SIZE_MAX) && none.uncharge(SIZE_MAX));
    aegis::budget root("root", 1000);
    aegis::budget child("child", AEGIS_BUDGET_UNLIMITED, root), other("other", 500, root);
    aegis::error why;
    CHECK(child.charge(600) && !child.charge(600, &why));
    CHECK(why.text().view().find("budget 'root' refused") != std::string_view::npos);
    CHECK(!child.move_to(other, 600, &why) && child.move_to(other, 400));
    CHECK(root.stats().used_bytes == 600 && other.stats().used_bytes == 400);
    aegis::budget copy(child), moved(std::move(copy));
    CHECK(moved.raw() == child.raw() && !copy);
    copy = moved;
    CHECK(copy.uncharge(200) && child.stats().used_bytes == 0);
    other.force_charge(2000);
    CHECK(!other.charge(1) && other.uncharge(2400));

    std::vector<std::string> lines;
    CHECK(root.print([&](const char *line) { lines.emplace_back(line); }));
    CHECK(lines.size() >= 3 && lines[1].find("child") != std::string::npos);
    const auto constant = [&](const char *) { lines.pop_back(); };
    CHECK(root.print(print_line) && printed == static_cast<int>(lines.size()));
    CHECK(root.print(constant) && lines.empty());
    int calls = 0;
    CHECK(root.on_pressure(50, [&calls](std::size_t, std::size_t limit_bytes) {
        calls += limit_bytes == 1000 ? 1 : 100;
    }));
    CHECK(!root.on_pressure(101, [](std::size_t, std::size_t) {}));
    CHECK(child.charge(500) && calls == 1 && child.uncharge(500));
    root.set_limit(10);
    CHECK(!child.charge(11));
}

void a_reservation_is_taken_back_at_its_end() {
    aegis::budget budget("reserved", 1000);
    {
        aegis::reservation one(budget, 600), refused(budget, 600);
        CHECK(one && !refused && !refused.resize(1));
        aegis::error why;
        CHECK(!one.resize(1001, &why) && why.failed() && one.size() == 600);
        CHECK(one.resize(1000) && one.resize(100) && budget.stats().used_bytes == 100);
        aegis::reservation moved(std::move(one));
        CHECK(!one && moved.size() == 100);
        refused = std::move(moved);
        aegis::reservation &same = refused;
        refused = std::move(same);
        CHECK(refused.size() == 100 && budget.stats().used_bytes == 100);
    }
    CHECK(budget.stats().used_bytes == 0);
}

} // namespace

int main() {
    RUN(an_arena_is_moved_and_the_old_owner_is_empty);
    RUN(an_arena_that_cannot_be_made_is_empty_and_says_why);
    RUN(calls_of_an_arena_do_what_those_of_c_do);
    RUN(a_scope_frees_what_was_allocated_in_it);
    RUN(a_fixed_arena_ends_with_its_bytes);
    RUN(a_pointer_destroys_its_object_and_the_arena_frees_it);
    RUN(an_arena_destroys_what_it_made_newest_first);
    RUN(what_a_constructor_throws_passes_and_nothing_is_left);
    RUN(no_room_for_an_object_is_a_null_pointer);
    RUN(shared_arenas_make_and_destroy_objects);
    RUN(a_heap_is_an_owner_too);
    RUN(pools_of_every_form_hand_out_blocks);
    RUN(a_typed_pool_destroys_and_frees);
    RUN(budgets_form_a_tree_and_count);
    RUN(a_reservation_is_taken_back_at_its_end);
    return check_finish();
}
