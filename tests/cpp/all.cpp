// SPDX-License-Identifier: Apache-2.0
// All tests of aegis_memory.hpp that need exceptions, as one program, because a compiler spends
// most of its time on the headers of the standard library. Each file is also a program by itself.
#define main allocator_main
#include "allocator_test.cpp"
#undef main
#define main buffer_main
#include "buffer_test.cpp"
#undef main
#define main owner_main
#include "owner_test.cpp"
#undef main
#define main resource_main
#include "resource_test.cpp"
#undef main

int main() {
    int failed = allocator_main();
    failed |= buffer_main();
    failed |= owner_main();
    return failed | resource_main();
}
