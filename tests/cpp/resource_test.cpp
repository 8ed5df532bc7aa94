// SPDX-License-Identifier: Apache-2.0
// Memory resources: containers of std::pmr over arenas, pools and budgets, which resources are
// equal, alignment, what is freed when, and what is thrown.
#include "support.hpp"

#include <array>
#include <list>
#include <map>
#include <memory_resource>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

// Work for any resource: containers of several kinds, nested, which grow, shrink and move.
void use_containers(std::pmr::memory_resource *memory) {
    std::pmr::vector<int> numbers(memory);
    for (int i = 0; i < 1000; i++)
        numbers.push_back(i);
    numbers.erase(numbers.begin(), numbers.begin() + 500);
    numbers.shrink_to_fit();
    CHECK(numbers.size() == 500 && numbers.front() == 500 && numbers.back() == 999);

    std::pmr::unordered_map<int, std::pmr::string> names(memory);
    for (int i = 0; i < 300; i++)
        names[i].assign("a name that is longer than a short string is: " + std::to_string(i));
    for (int i = 0; i < 300; i += 2)
        names.erase(i);
    CHECK(names.size() == 150 && names.at(7).back() == '7');
    CHECK(names.at(7).get_allocator().resource() == memory);

    std::pmr::map<std::pmr::string, std::pmr::vector<std::pmr::string>> lists(memory);
    for (int i = 0; i < 40; i++)
        for (int j = 0; j < i; j++)
            lists[std::pmr::string("list ") + std::pmr::string(std::to_string(i))].emplace_back(
                "an element that does not fit into the string itself");
    CHECK(lists.size() == 39 && lists.rbegin()->second.size() == 9);
    CHECK(lists.rbegin()->second.back().get_allocator().resource() == memory);

    std::pmr::list<std::pmr::string> strings(memory);
    for (int i = 0; i < 100; i++)
        strings.emplace_front(static_cast<std::size_t>(i), 'x');
    strings.sort();
    CHECK(strings.size() == 100 && strings.back().size() == 99);

    // A container that is moved takes its memory along, if the resources are equal.
    const int *first = numbers.data();
    std::pmr::vector<int> moved(std::move(numbers), memory);
    CHECK(moved.data() == first && moved.size() == 500);
}

void a_resource_over_an_arena_serves_containers() {
    aegis::arena arena;
    aegis::arena_resource resource(arena);
    use_containers(&resource);
    aegis::fixed_arena<1 << 20> fixed;
    aegis::arena_resource over_fixed(fixed);
    use_containers(&over_fixed);
    CHECK(fixed.stats().reserved_bytes == 0);
    aegis::arena_scope scope(arena);
    aegis::arena_resource over_scope(scope);
    use_containers(&over_scope);
    aegis::arena_resource over_raw(arena.raw());
    use_containers(&over_raw);
}

void a_resource_over_a_shared_arena_serves_containers_of_threads() {
    aegis::lock_free_arena lock_free;
    aegis::locked_arena locked;
    CHECK(lock_free && locked);
    aegis::lock_free_arena_resource first(lock_free);
    aegis::locked_arena_resource second(locked);
    std::thread other([&] {
        use_containers(&first);
        use_containers(&second);
    });
    use_containers(&first);
    use_containers(&second);
    other.join();
    aegis::local_arena local(lock_free);
    aegis::arena_resource over_local(local);
    use_containers(&over_local);
    // The resource has a copy of the handle, so the owner may be moved.
    aegis::locked_arena elsewhere(std::move(locked));
    use_containers(&second);
}

void a_resource_over_a_heap_serves_containers_and_uses_memory_again() {
    aegis::arena_heap heap;
    aegis::arena_heap_resource resource(heap), same(heap);
    use_containers(&resource);
    std::size_t peak = heap.stats().peak_reserved_bytes;
    CHECK(heap.stats().used_bytes == 0);
    for (int i = 0; i < 10; i++)
        use_containers(&resource);
    CHECK(heap.stats().used_bytes == 0 && heap.stats().peak_reserved_bytes <= 2 * peak);
    aegis::arena arena;
    aegis::arena_heap inside{aegis::arena_ref(arena)};
    aegis::arena_heap_resource in_arena(inside);
    use_containers(&in_arena);
    CHECK(resource == same && resource != in_arena && arena.stats().used_bytes > 0);
    aegis::locked_arena_heap locked;
    aegis::locked_arena_heap_resource shared(locked);
    std::thread other([&] { use_containers(&shared); });
    use_containers(&shared);
    other.join();
    aegis::budget budget("heap", 4096);
    aegis_arena_options options = aegis_arena_options();
    options.budget = budget.raw();
    aegis::arena_heap small(options);
    aegis::arena_heap_resource refusing(small);
    CHECK(throws([&] { (void)refusing.allocate(10000); }, "budget 'heap' refused"));
    CHECK(small.last_error().status == AEGIS_E_LIMIT_EXCEEDED);
}

void a_resource_over_a_pool_serves_containers() {
    aegis::pool pool(64, 2000);
    aegis::pool_resource resource(pool);
    use_containers(&resource);
    CHECK(pool.stats().in_use == 0);
    aegis::locked_pool locked(64, 2000);
    aegis::locked_pool_resource over_locked(locked);
    use_containers(&over_locked);
    aegis::lock_free_pool lock_free(64, 2000);
    aegis::lock_free_pool_resource over_lock_free(lock_free);
    use_containers(&over_lock_free);
    CHECK(locked.stats().in_use == 0 && lock_free.stats().in_use == 0);
}

void a_resource_over_a_budget_serves_containers_and_uncharges_all() {
    aegis::budget budget("containers", 1 << 20);
    aegis::budget_resource resource(budget);
    use_containers(&resource);
    CHECK(budget.stats().used_bytes == 0 && budget.stats().peak_bytes > 1000);
    aegis::arena arena;
    aegis::arena_resource upstream(arena);
    aegis::budget_resource over_arena(budget, &upstream);
    use_containers(&over_arena);
    CHECK(budget.stats().used_bytes == 0 && over_arena.upstream_resource() == &upstream);
}

void resources_over_the_same_memory_are_equal_and_no_others() {
    aegis::arena one, other;
    aegis::arena_resource first(one), second(one), third(other);
    aegis::arena_scope scope(one);
    aegis::arena_resource over_scope(scope);
    CHECK(first == first && first == second && first != third && first != over_scope);
    CHECK(first != *std::pmr::get_default_resource() && *std::pmr::new_delete_resource() != first);

    aegis::locked_arena locked, another;
    aegis::locked_arena_resource locked_one(locked), locked_two(locked), locked_other(another);
    CHECK(locked_one == locked_two && locked_one != locked_other && locked_one != first);

    aegis::pool pool(32, 4), other_pool(32, 4);
    aegis::pool_resource blocks(pool), same(pool), other_blocks(other_pool);
    aegis::pool_resource same_upstream(pool, &first), equal_upstream(pool, &second);
    CHECK(blocks == same && blocks != other_blocks && blocks != same_upstream);
    CHECK(same_upstream == equal_upstream && blocks != first && first != blocks);

    aegis::budget budget("one"), other_budget("other");
    aegis::budget_resource charged(budget), also(budget), otherwise(other_budget);
    aegis::budget_resource elsewhere(budget, &first), there(budget, &second);
    CHECK(charged == also && charged != otherwise && charged != elsewhere && elsewhere == there);

    // So the vectors exchange memory instead of copying.
    std::pmr::vector<int> from({1, 2, 3}, &first), to(&second), apart(&third);
    const int *data = from.data();
    to = std::move(from);
    CHECK(to.data() == data);
    apart = std::move(to);
    CHECK(apart.data() != data && apart.size() == 3 && apart[2] == 3);
}

void memory_is_aligned_as_it_is_asked_for() {
    aegis::arena arena;
    aegis::locked_arena locked;
    aegis::lock_free_arena lock_free;
    aegis::pool pool(64, 8);
    aegis::arena_resource one(arena);
    aegis::locked_arena_resource two(locked);
    aegis::lock_free_arena_resource three(lock_free);
    aegis::pool_resource four(pool, &one);
    aegis::arena_heap heap;
    aegis::locked_arena_heap locked_heap;
    aegis::arena_heap_resource five(heap);
    aegis::locked_arena_heap_resource six(locked_heap);
    const std::array<std::pmr::memory_resource *, 6> all = {&one, &two, &three, &four, &five, &six};
    for (std::pmr::memory_resource *memory : all)
        for (std::size_t align = 1; align <= 4096; align *= 2)
            for (std::size_t size : {0u, 1u, 40u, 64u, 65u, 5000u}) {
                void *p = memory->allocate(size, align);
                CHECK(p != nullptr && reinterpret_cast<std::uintptr_t>(p) % align == 0);
                std::memset(p, 0xA5, size);
                memory->deallocate(p, size, align);
            }
    CHECK(pool.stats().in_use == 0);
}

void an_arena_frees_the_latest_allocation_at_once_and_others_at_reset() {
    aegis_arena_options options = aegis_arena_options();
    options.flags = AEGIS_ARENA_NO_DEBUG;
    aegis::arena arena(options);
    aegis::arena_resource resource(arena);
    void *first = resource.allocate(100);
    void *second = resource.allocate(100);
    std::size_t used = arena.stats().used_bytes;
    resource.deallocate(first, 100);
    CHECK(arena.stats().used_bytes == used);
    resource.deallocate(second, 100);
    CHECK(arena.stats().used_bytes < used);
    CHECK(resource.allocate(100) == second);
    arena.reset();
    CHECK(arena.stats().used_bytes == 0);
}

void a_pool_gives_what_fits_and_the_upstream_the_rest() {
    aegis::arena arena;
    aegis::arena_resource upstream(arena);
    aegis::pool pool(64, 2);
    aegis::pool_resource resource(pool, &upstream);
    void *small = resource.allocate(64, 16);
    void *large = resource.allocate(65, 16);
    void *aligned = resource.allocate(8, 64);
    CHECK(pool.owns(small) && !pool.owns(large) && !pool.owns(aligned));
    CHECK(pool.stats().in_use == 1 && resource.upstream_resource() == &upstream);
    resource.deallocate(aligned, 8, 64);
    resource.deallocate(large, 65, 16);
    resource.deallocate(small, 64, 16);
    CHECK(pool.stats().in_use == 0);

    aegis::pool_resource alone(pool, std::pmr::null_memory_resource());
    CHECK(throws([&] { (void)alone.allocate(65); }, ""));
}

void a_refusal_is_a_bad_alloc_with_the_reason() {
    aegis::budget budget("query", 4096);
    aegis::arena arena(0, budget);
    aegis::arena_resource resource(arena);
    std::pmr::vector<int> numbers(&resource);
    CHECK(throws([&] { numbers.resize(10000); }, "budget 'query' refused"));
    CHECK(numbers.empty() && arena.last_error().status == AEGIS_E_LIMIT_EXCEEDED);
    volatile std::size_t too_large = SIZE_MAX; // compilers warn of a constant
    CHECK(throws([&] { (void)resource.allocate(too_large); }, "invalid layout"));

    aegis::budget_resource charged(budget, std::pmr::null_memory_resource());
    std::size_t used = budget.stats().used_bytes;
    CHECK(throws([&] { (void)charged.allocate(100000); }, "budget 'query' refused"));
    CHECK(throws([&] { (void)charged.allocate(1); }, ""));
    CHECK(budget.stats().used_bytes == used);

    aegis::pool pool(64, 1);
    aegis::pool_resource blocks(pool);
    void *block = blocks.allocate(64);
    CHECK(throws([&] { (void)blocks.allocate(64); }, "pool exhausted"));
    blocks.deallocate(block, 64);

    aegis_arena_options options = aegis_arena_options();
    options.budget = budget.raw();
    aegis::locked_arena locked(options);
    aegis::locked_arena_resource shared(locked);
    CHECK(throws([&] { (void)shared.allocate(10000); }, "budget 'query' refused"));
}

} // namespace

int main() {
    RUN(a_resource_over_an_arena_serves_containers);
    RUN(a_resource_over_a_shared_arena_serves_containers_of_threads);
    RUN(a_resource_over_a_heap_serves_containers_and_uses_memory_again);
    RUN(a_resource_over_a_pool_serves_containers);
    RUN(a_resource_over_a_budget_serves_containers_and_uncharges_all);
    RUN(resources_over_the_same_memory_are_equal_and_no_others);
    RUN(memory_is_aligned_as_it_is_asked_for);
    RUN(an_arena_frees_the_latest_allocation_at_once_and_others_at_reset);
    RUN(a_pool_gives_what_fits_and_the_upstream_the_rest);
    RUN(a_refusal_is_a_bad_alloc_with_the_reason);
    return check_finish();
}
