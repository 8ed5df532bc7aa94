// SPDX-License-Identifier: Apache-2.0
// The part in C++: a vector in the arena, which the arena destroys when it is reset.
#include "zones.h"

#include <aegis_memory.hpp>

#include <algorithm>
#include <memory_resource>
#include <vector>

bool zones_sort(aegis_arena *raw, const zone_list *list, zones *sorted) {
    aegis::arena_ref arena(raw);
    // The vector is in the arena, and so is the resource from which it takes its memory.
    auto *memory = arena.make<aegis::arena_resource>(arena);
    auto *vector = memory != nullptr ? arena.make<std::pmr::vector<zone>>(memory) : nullptr;
    if (vector == nullptr)
        return false;
    try {
        for (; list != nullptr; list = list->next)
            vector->push_back(list->zone);
    } catch (const std::bad_alloc &) {
        return false;
    }
    std::stable_sort(vector->begin(), vector->end(), [](const zone &one, const zone &other) {
        return one.latitude > other.latitude;
    });
    *sorted = {vector->data(), vector->size()};
    return true;
}
