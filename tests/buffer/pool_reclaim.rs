// SPDX-License-Identifier: Apache-2.0
//! Tests pools of buffers that are reclaimers of their budget: they give idle slabs back for others,
//! keep what is in use, and end as other pools do, also while threads reclaim.

use crate::support::TestSource;
#[cfg(feature = "std")]
use crate::support::{panic_of, Act};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferPool};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

const SIZE: usize = 4096;

/// A reclaimable pool of up to 80 buffers, 4 in each slab.
fn pool_in(budget: &MemoryBudget) -> BufferPool {
    let builder = BufferPool::builder().class_growing(SIZE, 4, 80).budget(budget);
    builder.reclaimable(0).build().unwrap()
}

/// Takes `count` buffers, which are full of their number.
fn take(pool: &BufferPool, count: usize) -> Vec<Buffer> {
    let written = |number| {
        let mut buffer = pool.get(SIZE).unwrap();
        buffer.resize(SIZE, number as u8);
        buffer.freeze()
    };
    (0..count).map(written).collect()
}

fn assert_whole(buffer: &Buffer, number: usize) {
    assert!(buffer.len() == SIZE && buffer.iter().all(|&byte| byte == number as u8));
}

#[test]
fn others_get_the_bytes_of_idle_slabs_and_nothing_in_use_is_taken() {
    let root = MemoryBudget::new("root", usize::MAX);
    let (pages, query) = (root.child("pages", usize::MAX), root.child("query", usize::MAX));
    let pool = pool_in(&pages);
    let at_first = pages.used();
    let mut buffers = take(&pool, 80);
    let slab = (pages.used() - at_first) / 19;
    root.set_limit(root.used());
    // All are out, so nothing can be reclaimed.
    assert!(query.try_reserve(1).is_err());
    let kept = buffers.swap_remove(50);
    drop(buffers);
    let held = query.reserve(17 * slab + 1);
    assert_eq!((pages.used(), held.bytes()), (at_first + slab, 17 * slab + 1));
    assert_eq!((root.stats().reclaim_count, root.stats().refused_count), (2, 1));
    assert_eq!(root.stats().reclaimed_bytes, 18 * slab as u64);
    assert_eq!(pool.stats().reserved_bytes, pages.used());
    assert_whole(&kept, 50);
    assert_eq!(pool.stats().classes[0].in_use, 1);
    // When they have what they need, the pool grows again.
    drop((held, kept));
    assert_eq!(take(&pool, 80).len(), 80);
}

#[test]
fn two_pools_of_one_budget_ask_each_other() {
    let root = MemoryBudget::new("root", usize::MAX);
    let pools = ["left", "right"].map(|name| pool_in(&root.child(name, usize::MAX)));
    let at_first = root.used();
    drop(take(&pools[0], 80));
    // There is room for the buffers of one of them, and for those of both if each takes half.
    root.set_limit(root.used());
    for round in 0..6 {
        drop(take(&pools[round % 2], 80));
        assert!(root.used() <= root.limit());
    }
    let half = pools.each_ref().map(|pool| take(pool, 40));
    for buffers in &half {
        buffers.iter().enumerate().for_each(|(number, buffer)| assert_whole(buffer, number));
    }
    drop(half);
    root.set_limit(at_first);
    assert_eq!(root.used(), at_first, "a limit that is lowered asks too");
    drop(pools);
    assert_eq!(root.used(), 0);
}

#[test]
fn a_request_that_waits_gets_slabs_that_become_idle() {
    let root = MemoryBudget::new("root", usize::MAX);
    let pool = pool_in(&root.child("pages", usize::MAX));
    let mut buffers = take(&pool, 80);
    root.set_limit(root.used());
    thread::scope(|threads| {
        let query = threads.spawn(|| root.reserve_timeout(1, Duration::from_secs(60)).is_ok());
        while root.stats().waiting_count == 0 {
            thread::yield_now();
        }
        while buffers.len() > 4 {
            buffers.pop();
        }
        assert!(query.join().unwrap());
    });
    buffers.iter().enumerate().for_each(|(number, buffer)| assert_whole(buffer, number));
}

#[test]
fn a_pool_that_is_dropped_with_buffers_out_keeps_only_their_slabs() {
    let root = MemoryBudget::new("root", usize::MAX);
    let pages = root.child("pages", usize::MAX);
    let (source, log) = TestSource::new();
    let builder = BufferPool::builder().class_growing(SIZE, 4, 80).budget(&pages);
    let pool = builder.source(source).reclaimable(3).build().unwrap();
    let at_first = pages.used();
    let mut buffers = take(&pool, 80);
    let slab = (pages.used() - at_first) / 19;
    let kept = [buffers.swap_remove(79), buffers.swap_remove(40)];
    drop(buffers);
    let copy = pool.clone();
    drop(pool);
    assert_eq!(pages.used(), at_first + 19 * slab, "there is still a handle");
    drop(copy);
    assert_eq!(pages.used(), at_first + 2 * slab);
    assert_eq!(log.drops.load(SeqCst), 0);
    root.set_limit(root.used());
    assert!(root.try_reserve(1).is_err());
    assert_eq!(root.stats().reclaim_count, 0, "it is not asked any more");
    assert_whole(&kept[0], 79);
    assert_whole(&kept[1], 40);
    drop(kept);
    log.assert_finished();
    assert_eq!(root.used(), 0);
}

#[test]
fn pools_may_be_dropped_while_threads_reclaim() {
    const ROUNDS: usize = 200;
    let root = MemoryBudget::new("root", usize::MAX);
    let full = {
        let pool = pool_in(&root);
        drop(take(&pool, 80));
        root.used()
    };
    assert_eq!(root.used(), 0);
    root.set_limit(full + full / 4);
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(SeqCst) {
                    drop(root.try_reserve(full / 2));
                    thread::yield_now();
                }
            });
        }
        for round in 0..ROUNDS {
            let (source, log) = TestSource::new();
            let builder = BufferPool::builder().class_growing(SIZE, 4, 80).source(source);
            let builder = builder.budget(&root.child("pages", usize::MAX));
            let pool = builder.reclaimable(0).build().unwrap();
            // The threads may have taken the room for some of them.
            let mut buffers: Vec<_> = (0..80).map_while(|_| pool.get(SIZE).ok()).collect();
            let kept = if round % 2 == 0 { buffers.pop() } else { None };
            drop(buffers);
            let other = pool.clone();
            let ends = threads.spawn(move || drop((other, kept)));
            drop(pool);
            ends.join().unwrap();
            // A thread that reclaims may have had the last handle.
            while log.drops.load(SeqCst) == 0 {
                thread::yield_now();
            }
            log.assert_finished();
        }
        done.store(true, SeqCst);
    });
    assert_eq!(root.used(), 0);
    assert_ne!(root.stats().reclaim_count, 0);
}

#[cfg(feature = "std")]
#[test]
fn a_panic_of_the_source_comes_out_of_the_call_that_reclaims() {
    let root = MemoryBudget::new("root", usize::MAX);
    let (source, log) = TestSource::new();
    let source = source.releasing(|n| if n == 0 { Act::Panic } else { Act::Give });
    let builder = BufferPool::builder().class_growing(SIZE, 4, 80).source(source);
    let pool = builder.budget(&root).reclaimable(0).build().unwrap();
    let at_first = root.used();
    drop(take(&pool, 80));
    assert_eq!(panic_of(|| root.set_limit(at_first)), "release panics");
    assert_eq!(root.used(), at_first);
    drop(pool);
    log.assert_finished();
}
