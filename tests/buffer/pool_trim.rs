// SPDX-License-Identifier: Apache-2.0
//! Tests that a pool of buffers gives slabs back: those without a buffer out, at any time, on any
//! thread, and with the budget credited at once. A buffer that is out keeps its bytes.

#[cfg(feature = "std")]
use crate::support::{panic_of, Act, TestSource};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{BufferPool, WhenEmpty};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

fn capacity(pool: &BufferPool) -> usize {
    pool.stats().classes[0].capacity
}

#[test]
fn trim_keeps_what_is_out_and_what_it_is_told_to_keep() {
    let budget = MemoryBudget::new("pool", usize::MAX);
    let builder = BufferPool::builder().class_growing(4096, 4, 80).budget(&budget);
    let pool = builder.build().unwrap();
    let at_first = budget.used();
    let mut buffers: Vec<_> = (0..80).map(|_| pool.get(4096).unwrap()).collect();
    let mut kept = buffers.swap_remove(33);
    kept.extend_from_slice(b"stays");
    let kept = kept.freeze();
    drop(buffers);
    pool.trim(40);
    assert_eq!(capacity(&pool), 40);
    pool.clone().trim(0);
    assert_eq!((capacity(&pool), pool.stats().classes[0].in_use), (8, 1));
    assert_eq!(budget.used(), pool.stats().reserved_bytes);
    assert_eq!(&kept[..], b"stays");
    drop(kept);
    pool.trim(0);
    assert_eq!((capacity(&pool), budget.used()), (4, at_first));
    assert_eq!((0..81).map_while(|_| pool.get(1).ok()).collect::<Vec<_>>().len(), 80);
}

#[test]
fn a_pool_whose_load_shrinks_decays_to_what_it_needs() {
    let budget = MemoryBudget::new("pool", usize::MAX);
    let builder = BufferPool::builder().class_growing(4096, 4, 400).budget(&budget);
    let pool = builder.build().unwrap();
    let at_first = budget.used();
    let hold = |count| drop((0..count).map(|_| pool.get(4096).unwrap()).collect::<Vec<_>>());
    hold(400);
    pool.trim_idle();
    assert_eq!(capacity(&pool), 400);
    for load in [300, 300, 120, 40] {
        hold(load);
        hold(load / 2);
        pool.trim_idle();
        // A thread's stripe has at most 28 buffers, which count as used.
        let capacity = capacity(&pool);
        assert!((load..=load + 32).contains(&capacity), "{capacity} for {load}");
        assert_eq!(budget.used(), pool.stats().reserved_bytes);
    }
    pool.trim_idle();
    pool.trim_idle();
    assert_eq!((capacity(&pool), budget.used()), (4, at_first));
}

/// The limit of the pool is what all threads hold at most, so no request is refused because of a trim.
/// Each thread checks its buffers, so a buffer whose slab went while it was out is found out.
#[test]
fn trims_take_nothing_from_other_threads() {
    const THREADS: usize = 6;
    const ROUNDS: usize = if cfg!(debug_assertions) { 4_000 } else { 20_000 };
    let budget = MemoryBudget::new("pool", usize::MAX);
    for policy in [WhenEmpty::Fail, WhenEmpty::Wait(Duration::from_secs(60))] {
        let builder = BufferPool::builder().class_growing(512, 3, THREADS * 9).align(512);
        let pool = builder.when_empty(policy).budget(&budget).build().unwrap();
        let at_first = budget.used();
        let done = AtomicBool::new(false);
        thread::scope(|threads| {
            let workers: Vec<_> = (0..THREADS)
                .map(|owner| {
                    let pool = &pool;
                    threads.spawn(move || {
                        let mut held = Vec::new();
                        for round in 0..ROUNDS {
                            if held.len() < 1 + (round / 64) % 9 {
                                let mut buffer = pool.get(512).unwrap();
                                buffer.resize(512, owner as u8);
                                held.push(buffer.freeze());
                            } else {
                                let buffer = held.swap_remove(round % held.len());
                                assert!(buffer.iter().all(|&byte| byte == owner as u8));
                            }
                        }
                    })
                })
                .collect();
            let trimmer = threads.spawn(|| {
                for round in 0.. {
                    if done.load(SeqCst) {
                        break;
                    }
                    if round % 3 == 0 {
                        pool.trim_idle();
                    } else {
                        pool.trim(round % 2 * 20);
                    }
                    thread::yield_now();
                }
            });
            for worker in workers {
                worker.join().unwrap();
            }
            done.store(true, SeqCst);
            trimmer.join().unwrap();
        });
        assert_eq!(pool.stats().refused_count, 0);
        pool.trim(0);
        assert_eq!((capacity(&pool), budget.used()), (3, at_first));
        assert_eq!(pool.stats().classes[0].in_use, 0);
    }
    assert_eq!(budget.used(), 0);
}

#[cfg(feature = "std")]
#[test]
fn a_panic_of_the_source_comes_out_of_the_trim_and_all_slabs_are_given_back() {
    let (source, log) = TestSource::new();
    let source = source.releasing(|n| if n == 0 { Act::Panic } else { Act::Give });
    let builder = BufferPool::builder().class_growing(4096, 2, 8).source(source);
    let pool = builder.build().unwrap();
    drop((0..8).map(|_| pool.get(1).unwrap()).collect::<Vec<_>>());
    assert_eq!(panic_of(|| pool.trim(0)), "release panics");
    assert_eq!(capacity(&pool), 2);
    drop((0..8).map(|_| pool.get(1).unwrap()).collect::<Vec<_>>());
    drop(pool);
    log.assert_finished();
}
