// SPDX-License-Identifier: Apache-2.0
//! Tests futures that wait for a buffer of a pool: which of them a released buffer wakes, what is
//! left when they are dropped, and that none waits in vain.

use crate::executor::{block_on, poll_once, run_tasks, yield_once, Calls};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{BufferPool, WhenEmpty};
use aegis_memory::AllocError;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::task::Poll;
use std::thread;

#[test]
fn free_buffer_is_there_at_once() {
    let pool = BufferPool::new(4096, 1);
    let page = block_on(pool.get_async(100)).unwrap();
    assert_eq!((page.capacity(), page.len()), (4096, 0));
    drop(page);
    assert_eq!(pool.stats().wait_count, 0);
}

#[test]
fn future_waits_whatever_the_policy() {
    for policy in [WhenEmpty::Fail, WhenEmpty::Heap] {
        let pool = BufferPool::builder().class(64, 1).when_empty(policy).build().unwrap();
        let (calls, waker) = Calls::new();
        let held = pool.get(1).unwrap();
        let mut future = pool.get_async(1);
        assert!(poll_once(&mut future, &waker).is_pending());
        drop(held);
        assert_eq!((calls.count(), pool.stats().heap_count), (1, 0));
        assert!(poll_once(&mut future, &waker).is_ready());
    }
}

#[test]
fn too_many_bytes_are_an_error_at_once() {
    let pool = BufferPool::new(64, 1);
    assert!(matches!(block_on(pool.get_async(65)), Err(AllocError::Invalid { .. })));
    assert!(block_on(pool.get_async(64)).is_ok());
}

#[test]
fn only_the_oldest_future_is_woken() {
    let pool = BufferPool::new(64, 1);
    let wakers: Vec<_> = (0..8).map(|_| Calls::new()).collect();
    let held = pool.get(1).unwrap();
    let mut futures: Vec<_> = wakers.iter().map(|_| pool.get_async(1)).collect();
    for (future, (_, waker)) in futures.iter_mut().zip(&wakers) {
        assert!(poll_once(future, waker).is_pending());
    }
    drop(held.freeze());
    for (turn, future) in futures.iter_mut().enumerate() {
        let counts: Vec<_> = wakers.iter().map(|(calls, _)| calls.count()).collect();
        assert_eq!(counts, (0..8).map(|n| usize::from(n <= turn)).collect::<Vec<_>>());
        let Poll::Ready(Ok(_page)) = poll_once(future, &wakers[turn].1) else { panic!("woken") };
    }
}

#[test]
fn dropped_future_wakes_the_next() {
    let pool = BufferPool::new(64, 1);
    let (calls, waker) = Calls::new();
    let (next_calls, next_waker) = Calls::new();
    let held = pool.get(1).unwrap();
    let (mut one, mut two, mut three) = (pool.get_async(1), pool.get_async(1), pool.get_async(1));
    assert!(poll_once(&mut one, &waker).is_pending());
    assert!(poll_once(&mut two, &waker).is_pending());
    assert!(poll_once(&mut three, &next_waker).is_pending());
    drop(one);
    drop(held);
    assert_eq!((calls.count(), next_calls.count()), (1, 0));
    drop(two);
    assert_eq!(next_calls.count(), 1);
    drop(three);
    assert!(pool.get(1).is_ok());
    // Every clone of a waker that the futures made is dropped.
    assert_eq!((Arc::strong_count(&calls), Arc::strong_count(&next_calls)), (2, 2));
}

#[test]
fn many_tasks_on_one_thread_share_a_few_buffers() {
    const TASKS: usize = 500;
    let pool = BufferPool::builder().class(64, 2).class(256, 1).build().unwrap();
    let order = RefCell::new(Vec::new());
    let task = |number: usize| {
        let (pool, order) = (&pool, &order);
        let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
            let wanted = if number % 4 == 0 { 200 } else { 10 };
            let mut page = pool.get_async(wanted).await.expect("it waits");
            assert!(page.capacity() >= wanted);
            order.borrow_mut().push(number);
            page.extend_from_slice(&[number as u8; 10]);
            yield_once().await;
            assert_eq!(page.freeze(), [number as u8; 10]);
        });
        task
    };
    let polls = run_tasks((0..TASKS).map(task).collect());
    let order = order.into_inner();
    assert_eq!(order.len(), TASKS);
    // Those that want a large buffer get it in the order in which they came.
    let large: Vec<_> = order.iter().filter(|&number| number % 4 == 0).collect();
    assert!(large.is_sorted());
    assert!(polls <= 4 * TASKS, "{polls} polls");
    assert!(pool.stats().classes.iter().all(|class| class.in_use == 0));
}

#[test]
fn many_threads_with_futures_that_are_dropped_wait_not_in_vain() {
    const THREADS: usize = 8;
    let rounds = if cfg!(debug_assertions) { 500 } else { 3_000 };
    let pool = BufferPool::builder().class(64, 1).class(256, 2).build().unwrap();
    let taken = AtomicUsize::new(0);
    thread::scope(|threads| {
        for number in 0..THREADS {
            let (pool, taken) = (pool.clone(), &taken);
            threads.spawn(move || {
                for round in 0..rounds {
                    let wanted = if (round + number) % 2 == 0 { 200 } else { 10 };
                    match (round + number) % 5 {
                        0 => {
                            let (_calls, waker) = Calls::new();
                            _ = poll_once(&mut pool.get_async(wanted), &waker);
                            continue;
                        }
                        // A thread that waits, beside the futures.
                        1 => drop(pool.get_timeout(wanted, std::time::Duration::MAX).unwrap()),
                        _ => {
                            let mut page = block_on(pool.get_async(wanted)).expect("it waits");
                            page.extend_from_slice(&[number as u8; 10]);
                            thread::yield_now();
                            assert_eq!(page.freeze(), [number as u8; 10]);
                        }
                    }
                    taken.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert!(taken.load(SeqCst) > THREADS * rounds / 2);
    assert!(pool.stats().classes.iter().all(|class| class.in_use == 0));
}

#[test]
fn refused_growth_is_no_error_while_a_buffer_is_out() {
    let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
    let pool = BufferPool::builder().class_growing(64, 1, 2).budget(&budget).build().unwrap();
    let held = pool.get(1).unwrap();
    budget.set_limit(budget.used());
    assert!(matches!(pool.get(1), Err(AllocError::LimitExceeded { .. })));
    let (calls, waker) = Calls::new();
    let mut future = pool.get_async(1);
    assert!(poll_once(&mut future, &waker).is_pending());
    // A growth of another call is for the future too.
    budget.set_limit(MemoryBudget::UNLIMITED);
    drop(held);
    assert_eq!(calls.count(), 1);
    let Poll::Ready(Ok(_first)) = poll_once(&mut future, &waker) else { panic!("it was woken") };
    assert!(block_on(pool.get_async(1)).is_ok(), "the pool grows");
}

#[cfg(feature = "std")]
struct Panics;

#[cfg(feature = "std")]
impl std::task::Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("the waker");
    }
}

/// Without `std` no panic can be contained.
#[cfg(feature = "std")]
#[test]
fn panic_of_a_waker_ends_in_the_call_that_wakes() {
    let pool = BufferPool::new(64, 1);
    let panics = Arc::new(Panics);
    let waker = std::task::Waker::from(panics.clone());
    let held = pool.get(1).unwrap();
    let mut future = pool.get_async(1);
    assert!(poll_once(&mut future, &waker).is_pending());
    drop(held);
    assert!(poll_once(&mut future, &waker).is_ready());
    assert!(pool.get(1).is_ok());
    drop((future, waker));
    assert_eq!(Arc::strong_count(&panics), 1);
}

#[test]
fn future_moves_to_another_thread() {
    let pool = BufferPool::new(64, 1);
    let held = pool.get(1).unwrap();
    let (calls, waker) = Calls::new();
    let mut future = pool.get_async(1);
    assert!(poll_once(&mut future, &waker).is_pending());
    thread::scope(|threads| {
        let waiting = threads.spawn(|| block_on(future).map(|page| page.capacity()));
        thread::yield_now();
        drop(held);
        assert_eq!(waiting.join().unwrap(), Ok(64));
    });
    assert!(calls.count() <= 1);
}

#[test]
#[should_panic(expected = "polled after it has given its result")]
fn future_that_is_polled_after_its_end_panics() {
    let pool = BufferPool::new(64, 1);
    let (_calls, waker) = Calls::new();
    let mut future = pool.get_async(1);
    assert!(poll_once(&mut future, &waker).is_ready());
    _ = poll_once(&mut future, &waker);
}

#[test]
fn room_in_the_budget_wakes_a_future() {
    let budget = MemoryBudget::new("b", 1 << 20);
    let pool = BufferPool::builder().class_growing(4096, 1, 4).budget(&budget).build().unwrap();
    let (calls, waker) = Calls::new();
    let held = pool.get(1).unwrap();
    let rest = budget.reserve((1 << 20) - budget.used());
    let mut next = pool.get_async(1);
    assert!(poll_once(&mut next, &waker).is_pending());
    assert_eq!(calls.count(), 0);
    drop(rest);
    assert_eq!(calls.count(), 1);
    let Poll::Ready(Ok(buffer)) = poll_once(&mut next, &waker) else { panic!("there is room") };
    drop((buffer, held, next));
    drop(pool);
    assert_eq!(budget.used(), 0);
}

/// Futures wait for buffers and for the budget at the same time, on several threads, and some are
/// dropped. No waker may be called after it was released, and no charge may stay.
#[test]
fn many_threads_with_futures_wait_for_buffers_and_the_budget() {
    let budget = MemoryBudget::new("b", 1 << 20);
    let pool = BufferPool::builder().class_growing(4096, 1, 4).budget(&budget).build().unwrap();
    let room = 3 << 13;
    let rest = budget.reserve((1 << 20) - budget.used() - room);
    thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                for round in 0..200 {
                    if round % 3 == 0 {
                        let (_, waker) = Calls::new();
                        let _ = poll_once(&mut pool.get_async(1), &waker);
                    } else {
                        drop(block_on(pool.get_async(1)).unwrap());
                    }
                    if round % 8 == 0 {
                        pool.trim(0);
                    }
                }
            });
        }
        threads.spawn(|| {
            // It may have to give up, because idle slabs can fill the budget.
            for _ in 0..200 {
                let (_, waker) = Calls::new();
                drop(poll_once(&mut budget.reserve_async(room), &waker));
                thread::yield_now();
            }
        });
    });
    drop((pool, rest));
    assert_eq!(budget.used(), 0);
}
