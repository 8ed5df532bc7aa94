// SPDX-License-Identifier: Apache-2.0
// A program without exceptions and type information: all works as in others, except that a resource
// that is refused memory prints the reason and aborts.
#include <aegis_memory.hpp>

#include "../c/check.h"

#include <map>
#include <memory_resource>
#include <string>
#include <vector>
#if !defined(_WIN32)
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>
#endif

#if defined(__GNUC__) && (defined(__cpp_exceptions) || defined(__cpp_rtti))
#error "this test is about a program without exceptions and type information"
#endif

namespace {

void resources_work() {
    aegis::arena arena;
    aegis::arena_resource resource(arena), same(arena);
    std::pmr::map<int, std::pmr::string> names(&resource);
    for (int i = 0; i < 100; i++)
        names.emplace(i, "a text that a string does not keep in itself");
    CHECK(names.size() == 100 && resource == same);
    std::vector<int, aegis::allocator<int>> numbers(100, 7, arena);
    CHECK(numbers[99] == 7);
    CHECK(*arena.make<std::string>("made") == "made");
    aegis::pool pool(64, 200);
    aegis::pool_resource blocks(pool);
    std::pmr::vector<int> small({1, 2, 3}, &blocks);
    CHECK(pool.stats().in_use == 1);
}

#if !defined(_WIN32)
// What a child process prints to stderr before `call` aborts it; empty if it does not abort.
template <class F> std::string abort_text(F call) {
    int ends[2];
    if (pipe(ends) != 0)
        return "";
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], 2);
        call();
        _exit(0);
    }
    (void)close(ends[1]);
    std::string text(1000, '\0');
    ssize_t length, total = 0;
    while ((length = read(ends[0], &text[static_cast<std::size_t>(total)],
                          text.size() - static_cast<std::size_t>(total))) > 0)
        total += length;
    (void)close(ends[0]);
    int status = 0;
    (void)waitpid(child, &status, 0);
    text.resize(static_cast<std::size_t>(total));
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? text : "";
}

void a_refusal_prints_the_reason_and_aborts() {
    aegis::budget budget("query", 1000);
    aegis::arena arena(0, budget);
    aegis::arena_resource resource(arena);
    std::string text = abort_text([&] { (void)resource.allocate(5000); });
    CHECK(text.find("aegis-memory: budget 'query' refused") == 0);
    text = abort_text([&] { (void)aegis::allocator<int>(arena).allocate(SIZE_MAX / 2); });
    CHECK(text.find("aegis-memory: invalid layout") == 0);
    aegis::pool pool(16, 1);
    aegis::pool_resource blocks(pool);
    void *block = blocks.allocate(16);
    text = abort_text([&] { (void)blocks.allocate(16); });
    CHECK(text.find("aegis-memory: pool exhausted") == 0);
    blocks.deallocate(block, 16);
}
#else
void a_refusal_prints_the_reason_and_aborts() {
}
#endif

} // namespace

int main() {
    RUN(resources_work);
    RUN(a_refusal_prints_the_reason_and_aborts);
    return check_finish();
}
