// SPDX-License-Identifier: Apache-2.0
// A C++11 program that uses the installed library as a user would: a vector whose elements are in
// an arena.
#include <aegis_memory.h>

#include <cstdio>
#include <new>
#include <vector>

template <typename T> struct ArenaAllocator {
    typedef T value_type;
    aegis_arena *arena;

    explicit ArenaAllocator(aegis_arena *from) : arena(from) {
    }
    template <typename U> ArenaAllocator(const ArenaAllocator<U> &other) : arena(other.arena) {
    }
    T *allocate(std::size_t count) {
        void *memory = count <= PTRDIFF_MAX / sizeof(T)
                           ? aegis_arena_alloc_aligned(arena, count * sizeof(T), alignof(T))
                           : nullptr;
        if (memory == nullptr)
            throw std::bad_alloc();
        return static_cast<T *>(memory);
    }
    void deallocate(T *memory, std::size_t count) {
        aegis_arena_free_last(arena, memory, count * sizeof(T));
    }
    template <typename U> bool operator==(const ArenaAllocator<U> &other) const {
        return arena == other.arena;
    }
    template <typename U> bool operator!=(const ArenaAllocator<U> &other) const {
        return arena != other.arena;
    }
};

int main() {
    aegis_source source = aegis_source_pages(0);
    aegis_arena_options options = aegis_arena_options();
    options.capacity_bytes = 65536;
    options.source = &source;
    aegis_arena arena;
    if (aegis_arena_init(&arena, &options) != AEGIS_OK)
        return 2;
    unsigned long long sum = 0;
    {
        std::vector<int, ArenaAllocator<int>> numbers((ArenaAllocator<int>(&arena)));
        for (int i = 0; i < 1000; i++)
            numbers.push_back(i);
        for (int number : numbers)
            sum += static_cast<unsigned long long>(number);
    }
    std::printf("C++: the sum is %llu\n", sum);
    aegis_arena_fini(&arena);
    return sum == 499500 ? 0 : 3;
}
