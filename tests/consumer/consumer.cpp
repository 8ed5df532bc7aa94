// SPDX-License-Identifier: Apache-2.0
// A C++17 program that uses the installed aegis_memory.hpp as a user would.
#include <aegis_memory.hpp>

#include <cstdio>
#include <memory_resource>
#include <string>
#include <vector>

int main() {
    aegis::budget budget("consumer", 1 << 20);
    aegis::arena arena(65536, budget);
    if (!arena)
        return 2;
    aegis::arena_resource resource(arena);
    std::pmr::vector<std::pmr::string> lines(&resource);
    for (int i = 0; i < 100; i++)
        lines.emplace_back("a line that a string does not keep in itself");
    std::vector<int, aegis::allocator<int>> numbers(1000, 7, arena);
    aegis::buffer text = aegis::buffer::copy(lines.back(), budget);
    std::printf("C++17: %zu bytes, %zu in use\n", text.size(), budget.stats().used_bytes);
    return text.text() == lines.front() && numbers.back() == 7 ? 0 : 3;
}
