// SPDX-License-Identifier: Apache-2.0
//! Tests threads that wait for a block of a pool: in which order they get one, that each wait ends,
//! and what a pool does that grows meanwhile.

use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::LockedPool;
use aegis_memory::AllocError;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// How often a thread gives up as a block arrives.
const ROUNDS: usize = if cfg!(debug_assertions) { 200 } else { 1_000 };

#[test]
fn alloc_timeout_gives_up_when_time_is_up() {
    let pool = LockedPool::new(64, 1);
    let block = pool.alloc_timeout(Duration::MAX).unwrap();
    let start = Instant::now();
    let error = pool.alloc_timeout(Duration::from_millis(20)).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(matches!(error, AllocError::Exhausted { .. }), "{error}");
    assert!(pool.alloc_timeout(Duration::ZERO).is_err());
    drop(block);
    assert!(pool.alloc_uninit_timeout(Duration::ZERO).is_ok());
}

#[test]
fn waiting_threads_are_served_in_order_and_get_zeroes() {
    let pool = LockedPool::new(64, 1);
    let mut block = pool.alloc().unwrap();
    block.fill(0xFF);
    let (sender, receiver) = channel();
    thread::scope(|threads| {
        for number in 0..4 {
            let (pool, sender) = (&pool, sender.clone());
            threads.spawn(move || {
                let mut block = pool.alloc_timeout(Duration::MAX).unwrap();
                assert_eq!(*block, [0; 64]);
                sender.send(number).unwrap();
                block.fill(0xFF);
            });
            while pool.waiting() != number + 1 {
                thread::yield_now();
            }
        }
        drop(block);
    });
    drop(sender);
    assert_eq!(receiver.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn no_block_is_lost_when_a_waiter_gives_up_as_it_arrives() {
    let pool = LockedPool::new(8, 1);
    let barrier = Barrier::new(2);
    thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..ROUNDS {
                barrier.wait();
                let _ = pool.alloc_timeout(Duration::from_micros(30));
                barrier.wait();
            }
        });
        for _ in 0..ROUNDS {
            let block = pool.alloc().unwrap();
            barrier.wait();
            thread::sleep(Duration::from_micros(1));
            drop(block);
            barrier.wait();
            assert_eq!((pool.in_use(), pool.waiting()), (0, 0));
        }
    });
}

/// The pool holds no lock while a pressure callback runs, so the callback may take a block of the
/// pool that grows.
#[test]
fn pressure_callback_takes_a_block_of_the_locked_pool_that_grows() {
    let budget = MemoryBudget::new("pool", 1 << 20);
    let builder = LockedPool::builder().block_size(4096).blocks(1).max_blocks(8).budget(&budget);
    let pool = Arc::new(builder.build().unwrap());
    let (taken, blocks) = channel();
    let inner = Arc::downgrade(&pool);
    let percent = budget.stats().used_bytes * 100 / (1 << 20) + 1;
    budget.on_pressure(percent as u32, move |_| {
        if let Some(block) = inner.upgrade().and_then(|pool| pool.alloc_owned().ok()) {
            taken.send(block).unwrap();
        }
    });
    let mine: Vec<_> = (0..7).map(|_| pool.alloc().unwrap()).collect();
    let theirs = blocks.try_recv().expect("the callback has run and got a block");
    assert_eq!(pool.stats().in_use, mine.len() + 1);
    drop((mine, theirs));
    assert_eq!(pool.stats().in_use, 0);
}

/// No call wakes a waiting thread when a budget has room again: the thread finds out by itself.
#[test]
fn waiting_thread_gets_a_block_once_the_budget_has_room_again() {
    let budget = MemoryBudget::new("pool", 1 << 20);
    let builder = LockedPool::builder().block_size(4096).blocks(1).max_blocks(2).budget(&budget);
    let pool = builder.build().unwrap();
    let first = pool.alloc().unwrap();
    let rest = budget.reserve((1 << 20) - budget.stats().used_bytes);
    thread::scope(|threads| {
        let waiter = threads.spawn(|| pool.alloc_timeout(Duration::MAX).map(|block| block.len()));
        while pool.waiting() == 0 {
            thread::yield_now();
        }
        drop(rest);
        assert_eq!(waiter.join().unwrap(), Ok(4096));
    });
    drop(first);
}
