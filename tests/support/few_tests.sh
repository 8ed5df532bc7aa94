# SPDX-License-Identifier: Apache-2.0
# For runs whose code other runs test in full. The scripts of tests/ read this file with `.`.

# A few programs of tests/c, which use most of the library.
# shellcheck disable=SC2034
few_tests='arena_test arena_heap_test budget_test buffer_test buffer_pool_test keyed_pool_test
    lock_free_arena_test locked_pool_test pool_test'
