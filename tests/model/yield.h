/* SPDX-License-Identifier: Apache-2.0 */
/* Included ahead of every file of a model check: each atomic operation of the core, those of the
 * public inline functions too, lets the scheduler decide first which thread goes on. Magazines are
 * small, so that few steps fill and empty them. It includes nothing, as the core has feature macros
 * of its own to define first. */
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

#endif
