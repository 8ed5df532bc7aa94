/* SPDX-License-Identifier: Apache-2.0 */
/* How every object of the library gets memory from its source, and how it gives that back. Not
 * installed. */
#ifndef AEGIS_MEMORY_I_ACQUIRE_H
#define AEGIS_MEMORY_I_ACQUIRE_H

#include "aegis_memory/source.h"
#include "budget/calls.h"
#include "budget/charge.h"

/* No memory that an object has ends this close to the end of the address space. */
#define AEGIS_I_HEADROOM ((uintptr_t)65536)
/* No block ends above this address: see the invariants in arena.h. With 64-bit addresses that
 * leaves the lower half of the address space, so that the sum of an address and a valid size cannot
 * wrap. */
#if UINTPTR_MAX > UINT32_MAX
#define AEGIS_I_TOP ((uintptr_t)INTPTR_MAX - AEGIS_I_HEADROOM)
#else
#define AEGIS_I_TOP (UINTPTR_MAX - AEGIS_I_HEADROOM)
#endif

/* Charges the budget, which may be NULL, and acquires memory from the source. No other code calls
 * an acquire function. It calls the user's functions (source, pressure), which may use the object
 * that asks. So the caller holds no lock, and this function knows nothing of that object. A charge
 * that is refused waits up to `wait_ns`; AEGIS_I_OPTIONAL: it is refused at once, because the
 * caller asks for less then. NULL: `why` says why. */
AEGIS_I_HIDDEN void *aegis_i_acquire(const aegis_source *source, aegis_budget *budget,
                                     size_t size_bytes, size_t align_bytes, uint64_t wait_ns,
                                     bool *zeroed, aegis_i_refusal *why);
/* The same, and waits as `patience` says. If the status in `why` is AEGIS_PENDING, the wait has
 * ended because the thread was called back, or the polled request waits in the queue. */
AEGIS_I_HIDDEN void *aegis_i_acquire_patiently(const aegis_source *source, aegis_budget *budget,
                                               size_t size_bytes, size_t align_bytes,
                                               aegis_i_patience *patience, bool *zeroed,
                                               aegis_i_refusal *why);
/* Makes memory that aegis_i_acquire gave larger, which may move it. Nothing is reclaimed for it,
 * and it does not wait. NULL: the budget refuses, or the source cannot do it, and the memory is as
 * it was. */
AEGIS_I_HIDDEN void *aegis_i_acquire_larger(const aegis_source *source, aegis_budget *budget,
                                            void *memory, size_t old_bytes, size_t new_bytes,
                                            size_t align_bytes);
/* Releases memory that aegis_i_acquire gave, and uncharges the budget. */
AEGIS_I_HIDDEN void aegis_i_give_back(const aegis_source *source, aegis_budget *budget,
                                      void *memory, size_t size_bytes, size_t align_bytes);

#endif
