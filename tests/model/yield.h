/* SPDX-License-Identifier: Apache-2.0 */
/* Included before every file of a model check. The scheduler decides before each atomic operation
 * of the core, also of its public inline functions, which thread goes on. Magazines are small, so
 * that a few steps fill and empty them. This header includes nothing, because the files of the core
 * define feature macros before they include a system header. */
#ifndef MODEL_YIELD_H
#define MODEL_YIELD_H

void model_yield(void);

#define AEGIS_I_YIELD() model_yield()
#define AEGIS_ATOMIC_LOAD_U32(word) (model_yield(), __atomic_load_n((word), __ATOMIC_SEQ_CST))
#define AEGIS_ATOMIC_STORE_U32(word, value)                                                        \
    (model_yield(), __atomic_store_n((word), (value), __ATOMIC_SEQ_CST))
#define AEGIS_ATOMIC_CAS_U32(word, expected, desired)                                              \
    (model_yield(), __atomic_compare_exchange_n((word), (expected), (desired), 0,                  \
                                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
#define AEGIS_POOL_CACHE_BLOCKS 2
#define AEGIS_I_SLOT_MAGAZINES 4

#endif
