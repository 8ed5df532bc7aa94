/* SPDX-License-Identifier: Apache-2.0 */
/** @file aegis_memory.h
 *  The umbrella header: everything aegis-memory offers to C and C++.
 *
 *  Each header below may also be included on its own. base.h says what AEGIS_OMIT_THREADS and
 *  AEGIS_FREESTANDING leave out.
 */
#ifndef AEGIS_MEMORY_H
#define AEGIS_MEMORY_H

#include "aegis_memory/arena.h"
#include "aegis_memory/arena_heap.h"
#include "aegis_memory/arena_heap_hooks.h"
#include "aegis_memory/arena_hooks.h"
#include "aegis_memory/base.h"
#include "aegis_memory/budget.h"
#include "aegis_memory/budget_arbitration.h"
#include "aegis_memory/hooks.h"
#include "aegis_memory/keyed_pool.h"
#include "aegis_memory/pool.h"
#include "aegis_memory/source.h"

#if !defined(AEGIS_FREESTANDING)
#include "aegis_memory/budget_system.h"
#endif

#if !defined(AEGIS_OMIT_THREADS)
#include "aegis_memory/arena_local.h"
#include "aegis_memory/arena_recycler.h"
#include "aegis_memory/buffer.h"
#include "aegis_memory/buffer_pool.h"
#include "aegis_memory/lock_free_arena.h"
#include "aegis_memory/lock_free_pool.h"
#include "aegis_memory/locked_arena.h"
#include "aegis_memory/locked_arena_heap.h"
#include "aegis_memory/locked_arena_heap_hooks.h"
#include "aegis_memory/locked_pool.h"
#include "aegis_memory/page_cache.h"
#include "aegis_memory/page_cache_control.h"
#include "aegis_memory/page_checksum.h"
#include "aegis_memory/page_store.h"
#endif

#endif
