// SPDX-License-Identifier: Apache-2.0
//! How many caches a lock-free pool has whose builder was not told a number, and what they cost.
//! `tests/c/pool_fit_test.c` checks the rule itself.

use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, PoolBuilder, PoolStats, TypedPool};
use aegis_memory::AllocError;

fn builder(blocks: usize) -> PoolBuilder<LockFreePool> {
    LockFreePool::builder().block_size(64).blocks(blocks)
}

fn stats(builder: PoolBuilder<LockFreePool>) -> PoolStats {
    builder.build().unwrap().stats()
}

/// How many caches of the pool are open, of 100 that are alive at a time.
fn open(pool: &LockFreePool) -> usize {
    let caches: Vec<_> = (0..100).map(|_| pool.cache()).collect();
    caches.iter().filter(|cache| cache.is_open()).count()
}

#[test]
fn pool_has_caches_by_its_size_and_they_add_at_most_a_quarter() {
    for blocks in (1..10).chain((10..2000).step_by(37)).chain([4096, 20_000, 100_000]) {
        let pool = LockFreePool::new(64, blocks);
        let (stats, plain) = (pool.stats(), stats(builder(blocks).caches(0)));
        assert_eq!(stats, self::stats(builder(blocks)));
        assert!(stats.max_cache_count >= (blocks / 280).min(16), "{blocks}: {stats:?}");
        assert!(stats.reserved_bytes <= plain.reserved_bytes + plain.reserved_bytes / 4);
        assert_eq!(stats.reserved_bytes - stats.cache_reserve_bytes, plain.reserved_bytes);
        assert_eq!((stats.capacity, plain.capacity), (blocks, blocks));
        assert_eq!((plain.cache_reserve_bytes, plain.max_cache_count), (0, 0));
        assert_eq!(open(&pool), stats.max_cache_count.min(100));
    }
    assert_eq!(open(&LockFreePool::new(8, 63)), 0);
    let typed = TypedPool::<u64, LockFreePool>::new(1024);
    assert!(typed.pool().cache().is_open() && typed.stats().max_cache_count >= 2);
}

#[test]
fn pool_with_a_budget_has_the_same_caches_if_there_is_room() {
    let budget = MemoryBudget::new("pool", 64 << 20);
    let pool = builder(1024).budget(&budget).build().unwrap();
    assert!(pool.cache().is_open());
    assert_eq!(pool.stats().max_cache_count, LockFreePool::new(64, 1024).stats().max_cache_count);
    assert_eq!(budget.used(), pool.stats().reserved_bytes);
}

#[test]
fn blocks_come_before_caches_in_a_tight_budget() {
    let needed = |caches| stats(builder(1024).caches(caches)).reserved_bytes;
    for room in 0..=3 {
        let budget = MemoryBudget::new("pool", needed(room));
        let pool = builder(1024).budget(&budget).build().unwrap();
        assert_eq!((open(&pool), pool.capacity()), (room, 1024));
        assert_eq!(budget.used(), budget.peak());
        drop(pool);
        // Fewer by one; and without room for the blocks the error is that of the blocks.
        let budget = MemoryBudget::new("pool", needed(room) - 1);
        match builder(1024).budget(&budget).build() {
            Ok(pool) => assert_eq!(open(&pool) + 1, room),
            Err(error) => {
                assert_eq!(room, 0);
                assert!(matches!(error, AllocError::LimitExceeded { .. }), "{error}");
            }
        }
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn explicit_number_is_kept_or_refused() {
    for caches in [0, 1, 7, 40] {
        assert_eq!(open(&builder(10).caches(caches).build().unwrap()), caches);
        let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
        assert_eq!(open(&builder(10).caches(caches).budget(&budget).build().unwrap()), caches);
    }
    let limit = stats(builder(1024).caches(2)).reserved_bytes;
    let budget = MemoryBudget::new("pool", limit - 1);
    let error = builder(1024).caches(2).budget(&budget).build().unwrap_err();
    assert!(matches!(error, AllocError::LimitExceeded { .. }), "{error}");
    for caches in [65_537, u32::MAX as usize, usize::MAX] {
        let error = builder(1).caches(caches).build().unwrap_err();
        assert!(error.to_string().contains(&format!("{caches} caches requested")), "{error}");
    }
}

#[test]
fn pools_without_caches_set_nothing_aside() {
    for stats in [Pool::new(64, 1024).stats(), LockedPool::new(64, 1024).stats()] {
        assert_eq!((stats.cache_reserve_bytes, stats.max_cache_count), (0, 0));
    }
}
