/* SPDX-License-Identifier: Apache-2.0 */
/** @file budget_system.h
 *  A budget that is sized from the machine, for instance the root of a tree of budgets.
 *
 *  The memory that a share is taken of is the smallest of these:
 *  - The physical memory of the machine.
 *  - On Linux, the limits of the control groups (cgroups) that the process is in, from its own
 *    group up to the highest one that is visible. In version 2 these are memory.max and
 *    memory.high. Above memory.high the system slows the process down, so a budget must refuse
 *    before that. In version 1 the limits are memory.limit_in_bytes and, for all groups above,
 *    hierarchical_memory_limit.
 *  - The address space, if that is smaller than the machine's memory, as it can be with 32 bits.
 *
 *  Limits of other kinds are not read, such as those of setrlimit or of job objects on Windows.
 *  What is read is the state at the moment of the call: the budget does not follow later changes.
 */
#ifndef AEGIS_MEMORY_BUDGET_SYSTEM_H
#define AEGIS_MEMORY_BUDGET_SYSTEM_H

#if defined(AEGIS_FREESTANDING)
#error "aegis_memory/budget_system.h needs a C library: AEGIS_FREESTANDING leaves it out"
#endif

#include "budget.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Makes a budget without a parent whose limit is a share of the memory that this process may
 *  use. Its name says the share, and of what: "80% of physical memory", "80% of cgroup v2
 *  memory.max", "80% of cgroup v2 memory.high", "80% of cgroup v1 limit" or "80% of address
 *  space".
 *  @param budget  set to the budget.
 *  @param share   above 0 and at most 1. The limit is rounded down to a byte.
 *  @param error   overwritten on failure. NULL if the reason is not wanted.
 *  @return        AEGIS_OK; AEGIS_E_INVALID for another share, or one that is not a number;
 *                 AEGIS_E_UNSUPPORTED if the system does not say how much memory it has, or the
 *                 library does not know how to ask it; AEGIS_E_OUT_OF_MEMORY.
 *  On failure:    `*budget` is NULL.
 *  Ownership:     the caller's; give it up with aegis_budget_destroy.
 *  Threads:       any thread.
 *  Cost:          on Linux it reads /proc/self/cgroup, /proc/self/mountinfo, and two files for
 *                 each group on the way up, with the C library's files, which allocate. It uses
 *                 about 20 KiB of stack. Elsewhere one or two system calls. One allocation on the
 *                 C heap for the budget.
 */
AEGIS_API aegis_status aegis_budget_of_system(aegis_budget **budget, double share,
                                              aegis_error *error);

#ifdef __cplusplus
}
#endif

#endif
