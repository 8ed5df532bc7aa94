// SPDX-License-Identifier: Apache-2.0
// The same plugin as C++. Here each inline function of the headers that is not inlined becomes a
// weak copy in the plugin. As C++17 it also uses the classes of aegis_memory.hpp, which have copies
// too; those of another version have other names.
#if __cplusplus >= 201703L
#define plugin_run plugin_run_c
#endif
#include "plugin.c"

#if __cplusplus >= 201703L
#undef plugin_run
#include <aegis_memory.hpp>

#include <memory_resource>
#include <vector>

extern "C" PLUGIN_API int plugin_run() {
    struct {
        aegis::arena arena;
        unsigned char behind[256];
    } local;
    memset(local.behind, 0xA5, sizeof local.behind);
    aegis::arena_resource resource(local.arena);
    std::pmr::vector<int> numbers(&resource);
    for (int i = 0; i < 1000; i++)
        numbers.push_back(i);
    if (numbers.back() != 999 || local.arena.stats().used_bytes < 4000)
        return 11;
    for (unsigned char byte : local.behind)
        if (byte != 0xA5)
            return 12;
    return plugin_run_c();
}
#endif
