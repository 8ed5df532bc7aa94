// SPDX-License-Identifier: Apache-2.0
//! Tests objects that wait for room in their budget. No test depends on how fast a thread is: the
//! threads find each other's requests in what the budget says when it refuses.

use aegis_memory::arena::{Arena, ArenaRecycler, LockFreeArena, LockedArena};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{BufferPool, WhenEmpty};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, PoolBuilder, PoolKind};
use aegis_memory::AllocError;
use std::thread;
use std::time::Duration;

const LIMIT: usize = 1 << 20;
const BLOCK: usize = 4096;
const MS: Duration = Duration::from_millis(1);

/// The bytes of the requests that wait at the budget.
fn waiting_bytes(budget: &MemoryBudget) -> usize {
    match budget.try_reserve(1) {
        Ok(_) => 0,
        Err(AllocError::LimitExceeded { in_use, .. }) => in_use.saturating_sub(budget.used()),
        Err(error) => panic!("{error}"),
    }
}

/// Returns when more than `old` bytes wait.
fn wait_for_more(budget: &MemoryBudget, old: usize) {
    while waiting_bytes(budget) <= old {
        thread::yield_now();
    }
}

type Work<'a> = Box<dyn FnMut() -> Result<(), AllocError> + Send + 'a>;

/// Makes a pool that has one block and can grow.
fn pool_of<P: PoolKind>(builder: PoolBuilder<P>, budget: &MemoryBudget, wait: Duration) -> P {
    builder.block_size(BLOCK).blocks(1).max_blocks(8).budget(budget).wait(wait).build().unwrap()
}

/// Makes an object of each kind that waits for the budget. Each allocates what it holds, so that
/// the next call must acquire memory. Returns the name and a function that makes one allocation and
/// keeps it.
fn objects<'a>(budget: &MemoryBudget, wait: Duration) -> Vec<(&'static str, Work<'a>)> {
    let arena = Arena::builder().budget(budget).wait(wait).build().unwrap();
    let locked: LockedArena = LockedArena::builder().budget(budget).wait(wait).build().unwrap();
    let lock_free: LockFreeArena =
        LockFreeArena::builder().budget(budget).wait(wait).build().unwrap();
    let recycler: ArenaRecycler =
        ArenaRecycler::builder().budget(budget).wait(wait).build().unwrap();
    let pool = pool_of(Pool::builder(), budget, wait);
    let locked_pool = pool_of(LockedPool::builder(), budget, wait);
    let lock_free_pool = pool_of(LockFreePool::builder(), budget, wait);
    let buffers =
        BufferPool::builder().class_growing(BLOCK, 1, 8).budget(budget).wait(wait).build().unwrap();
    std::mem::forget(pool.alloc().unwrap());
    std::mem::forget(locked_pool.alloc().unwrap());
    std::mem::forget(lock_free_pool.alloc().unwrap());
    let mut kept = vec![buffers.get(1).unwrap()];
    vec![
        ("arena", Box::new(move || arena.try_alloc_uninit(100).map(drop))),
        ("locked arena", Box::new(move || locked.try_alloc_uninit(100).map(drop))),
        ("lock-free arena", Box::new(move || lock_free.try_alloc_uninit(100).map(drop))),
        (
            "recycler",
            Box::new(move || recycler.try_get().and_then(|arena| arena.try_alloc(100).map(drop))),
        ),
        ("pool", Box::new(move || pool.alloc().map(std::mem::forget))),
        ("locked pool", Box::new(move || locked_pool.alloc().map(std::mem::forget))),
        ("lock-free pool", Box::new(move || lock_free_pool.alloc().map(std::mem::forget))),
        ("buffer pool", Box::new(move || buffers.get(1).map(|buffer| kept.push(buffer)))),
    ]
}

#[test]
fn each_object_waits_until_another_thread_uncharges() {
    let budget = MemoryBudget::new("b", LIMIT);
    for (name, mut allocate) in objects(&budget, Duration::MAX) {
        let rest = budget.reserve(LIMIT - budget.used());
        thread::scope(|threads| {
            let waiter = threads.spawn(move || {
                let done = allocate();
                (done, allocate)
            });
            wait_for_more(&budget, 0);
            assert!(!waiter.is_finished(), "{name}");
            drop(rest);
            let (done, _allocate) = waiter.join().unwrap();
            assert_eq!(done, Ok(()), "{name}");
        });
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn objects_are_served_in_the_order_of_arrival() {
    let budget = MemoryBudget::new("b", LIMIT);
    let objects = objects(&budget, Duration::MAX);
    let mut rest: Vec<_> = Vec::new();
    while let Ok(piece) = budget.try_reserve(BLOCK) {
        rest.push(piece);
    }
    rest.extend(budget.try_reserve(LIMIT - budget.used()));
    thread::scope(|threads| {
        let mut waiters = Vec::new();
        for (name, mut allocate) in objects {
            let old = waiting_bytes(&budget);
            // The object is kept until all threads have ended, so that its end makes no room.
            let waiter = threads.spawn(move || (allocate(), allocate));
            wait_for_more(&budget, old);
            waiters.push((name, waiter));
        }
        let mut kept = Vec::new();
        for (name, waiter) in waiters {
            let old = waiting_bytes(&budget);
            while waiting_bytes(&budget) == old && !waiter.is_finished() {
                rest.pop();
            }
            // If it were not the first that was served, this would not end.
            let (done, allocate) = waiter.join().unwrap();
            assert_eq!(done, Ok(()), "{name}");
            kept.push(allocate);
        }
    });
    drop(rest);
    assert_eq!(budget.used(), 0);
}

#[test]
fn time_that_is_up_is_told_by_a_whole_error() {
    let budget = MemoryBudget::new("b", LIMIT);
    let mut objects = objects(&budget, MS);
    let rest = budget.reserve(LIMIT - budget.used());
    for (name, allocate) in &mut objects {
        match allocate() {
            Err(AllocError::LimitExceeded { limit, in_use, refusal, .. }) => {
                assert_eq!((limit, in_use), (LIMIT, LIMIT), "{name}");
                assert_eq!(refusal.unwrap().budget.name.to_string(), "b", "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(budget.used() + waiting_bytes(&budget), LIMIT, "{name}");
    }
    drop((objects, rest));
    assert_eq!(budget.used(), 0);
}

/// Pools of one block each, which may grow by another one.
fn growing_pools(budget: &MemoryBudget, when_empty: WhenEmpty) -> (LockedPool, BufferPool) {
    let pool = LockedPool::builder()
        .block_size(BLOCK)
        .blocks(1)
        .max_blocks(2)
        .budget(budget)
        .wait(Duration::MAX)
        .build()
        .unwrap();
    let buffers = BufferPool::builder()
        .class_growing(BLOCK, 1, 2)
        .budget(budget)
        .when_empty(when_empty)
        .wait(Duration::MAX)
        .build()
        .unwrap();
    (pool, buffers)
}

#[test]
fn block_that_comes_home_ends_the_wait_for_the_budget() {
    let budget = MemoryBudget::new("b", LIMIT);
    let (pool, buffers) = growing_pools(&budget, WhenEmpty::Fail);
    let block = pool.alloc().unwrap();
    let buffer = buffers.get(1).unwrap();
    let rest = budget.reserve(LIMIT - budget.used());
    thread::scope(|threads| {
        let waiter = threads.spawn(|| pool.alloc().map(drop));
        wait_for_more(&budget, 0);
        drop(block);
        assert_eq!(waiter.join().unwrap(), Ok(()));
        let waiter = threads.spawn(|| buffers.get(1).map(drop));
        wait_for_more(&budget, 0);
        drop(buffer);
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
    assert_eq!(budget.used(), LIMIT);
    drop(rest);
}

#[test]
fn time_of_a_request_bounds_its_wait_for_the_budget() {
    let budget = MemoryBudget::new("b", LIMIT);
    let (pool, buffers) = growing_pools(&budget, WhenEmpty::Wait(MS));
    let _block = pool.alloc().unwrap();
    let _buffer = buffers.get(1).unwrap();
    let _rest = budget.reserve(LIMIT - budget.used());
    // Without that bound none of these would end.
    assert!(matches!(pool.alloc_timeout(MS), Err(AllocError::LimitExceeded { .. })));
    assert!(matches!(pool.alloc_timeout(Duration::ZERO), Err(AllocError::LimitExceeded { .. })));
    assert!(matches!(buffers.get(1), Err(AllocError::LimitExceeded { .. })));
    assert!(matches!(buffers.get_timeout(1, MS), Err(AllocError::LimitExceeded { .. })));
}
