// SPDX-License-Identifier: Apache-2.0
// What the tests of aegis_memory.hpp share.
#ifndef SUPPORT_HPP
#define SUPPORT_HPP

#include <aegis_memory.hpp>

#include "../c/check.h"

#include <cstring>
#include <new>

// Whether a call throws a std::bad_alloc whose text contains these words.
template <class F> bool throws(F call, const char *words) {
    try {
        call();
    } catch (const std::bad_alloc &why) {
        return std::strstr(why.what(), words) != nullptr;
    }
    return false;
}

// Counts the objects that live, and throws at the construction of a certain one.
struct counted {
    static int &live() {
        static int count = 0;
        return count;
    }
    static int &throw_at() {
        static int at = -1;
        return at;
    }
    explicit counted(int with = 0) : value(with) {
        if (live() == throw_at())
            throw 7;
        live()++;
    }
    counted(const counted &other) : counted(other.value) {
    }
    counted &operator=(const counted &) = default;
    virtual ~counted() {
        live()--;
    }
    int value;
};

#endif
