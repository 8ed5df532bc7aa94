// SPDX-License-Identifier: Apache-2.0
//! Tests futures that wait for a block of a locked pool: their order, their wakers, what is left when
//! they are dropped, and that none needs a runtime.

use crate::executor::{block_on, poll_once, run_tasks, yield_once, Calls};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::LockedPool;
use aegis_memory::AllocError;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
#[cfg(feature = "std")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread;

#[test]
fn free_block_is_there_at_once_and_zeroed() {
    let pool = Arc::new(LockedPool::new(64, 1));
    pool.alloc().unwrap().fill(0xFF);
    let mut block = block_on(pool.alloc_async()).unwrap();
    assert!(block.iter().all(|&byte| byte == 0));
    block.fill(0xFF);
    drop(block);
    let owned = block_on(pool.alloc_owned_async()).unwrap();
    assert!(owned.iter().all(|&byte| byte == 0));
    drop(owned);
    assert_eq!(block_on(pool.alloc_uninit_async()).unwrap().len(), 64);
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn futures_and_threads_are_served_in_one_order() {
    let pool = LockedPool::new(64, 1);
    let (calls, waker) = Calls::new();
    let held = pool.alloc().unwrap();
    let mut first = pool.alloc_async();
    assert!(poll_once(&mut first, &waker).is_pending());
    thread::scope(|threads| {
        let second = threads.spawn(|| pool.alloc_timeout(std::time::Duration::MAX).map(drop));
        while pool.waiting() != 2 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!((calls.count(), pool.waiting()), (1, 1));
        let Poll::Ready(Ok(block)) = poll_once(&mut first, &waker) else { panic!("it was woken") };
        assert!(!second.is_finished());
        drop(block);
        second.join().unwrap().unwrap();
    });
}

#[test]
fn only_the_future_that_gets_the_block_is_woken() {
    let pool = LockedPool::new(64, 1);
    let wakers: Vec<_> = (0..8).map(|_| Calls::new()).collect();
    let held = pool.alloc().unwrap();
    let mut futures: Vec<_> = wakers.iter().map(|_| pool.alloc_async()).collect();
    for (future, (_, waker)) in futures.iter_mut().zip(&wakers) {
        assert!(poll_once(future, waker).is_pending());
    }
    drop(held);
    for (turn, future) in futures.iter_mut().enumerate() {
        let counts: Vec<_> = wakers.iter().map(|(calls, _)| calls.count()).collect();
        assert_eq!(counts, (0..8).map(|n| usize::from(n <= turn)).collect::<Vec<_>>());
        let Poll::Ready(Ok(_block)) = poll_once(future, &wakers[turn].1) else { panic!("woken") };
    }
}

#[test]
fn dropped_future_leaves_its_place_or_its_block_to_the_next() {
    let pool = LockedPool::new(64, 1);
    let (calls, waker) = Calls::new();
    let (next_calls, next_waker) = Calls::new();
    let held = pool.alloc().unwrap();
    let (mut one, mut two, mut three) =
        (pool.alloc_async(), pool.alloc_async(), pool.alloc_async());
    assert!(poll_once(&mut one, &waker).is_pending());
    assert!(poll_once(&mut two, &waker).is_pending());
    assert!(poll_once(&mut three, &next_waker).is_pending());
    drop(one);
    drop(held);
    assert_eq!((calls.count(), next_calls.count(), pool.stats().in_use), (1, 0, 1));
    drop(two);
    assert_eq!((next_calls.count(), pool.waiting()), (1, 0));
    drop(three);
    assert_eq!(pool.stats().in_use, 0);
    // Every clone of a waker that the futures made is dropped.
    assert_eq!((Arc::strong_count(&calls), Arc::strong_count(&next_calls)), (2, 2));
}

#[test]
fn latest_waker_is_called() {
    let pool = LockedPool::new(64, 1);
    let (old, old_waker) = Calls::new();
    let (new, new_waker) = Calls::new();
    let held = pool.alloc().unwrap();
    let mut future = pool.alloc_async();
    assert!(poll_once(&mut future, &old_waker).is_pending());
    assert!(poll_once(&mut future, &old_waker).is_pending());
    assert_eq!(Arc::strong_count(&old), 3, "the waker of the same task is kept");
    assert!(poll_once(&mut future, &new_waker).is_pending());
    assert_eq!(Arc::strong_count(&old), 2);
    drop(held);
    assert_eq!((old.count(), new.count()), (0, 1));
    assert_eq!(Arc::strong_count(&new), 2, "a waker is used up by its call");
    assert!(poll_once(&mut future, &new_waker).is_ready());
}

/// Many tasks on one thread, each polled only when it was woken, share a few blocks.
#[test]
fn many_tasks_on_one_thread_share_a_few_blocks_in_order() {
    const TASKS: usize = 500;
    let pool = LockedPool::new(64, 3);
    let order = RefCell::new(Vec::new());
    let (out, most) = (Cell::new(0), Cell::new(0));
    let task = |number: usize| {
        let (pool, order, out, most) = (&pool, &order, &out, &most);
        let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
            let mut block = pool.alloc_async().await.expect("it waits");
            order.borrow_mut().push(number);
            out.set(out.get() + 1);
            most.set(most.get().max(out.get()));
            block.fill(number as u8);
            yield_once().await;
            assert!(block.iter().all(|&byte| byte == number as u8));
            out.set(out.get() - 1);
        });
        task
    };
    let polls = run_tasks((0..TASKS).map(task).collect());
    assert_eq!(order.into_inner(), (0..TASKS).collect::<Vec<_>>());
    assert_eq!((most.get(), pool.stats().in_use), (3, 0));
    // Each task is polled at its beginning, once more if it has waited, and after it has yielded.
    assert!(polls <= 3 * TASKS, "{polls} polls");
}

#[test]
fn many_threads_with_futures_that_are_dropped_lose_no_block() {
    const THREADS: usize = 8;
    let rounds = if cfg!(debug_assertions) { 1_000 } else { 5_000 };
    let pool = LockedPool::new(64, 2);
    let taken = AtomicUsize::new(0);
    thread::scope(|threads| {
        for number in 0..THREADS {
            let (pool, taken) = (&pool, &taken);
            threads.spawn(move || {
                for round in 0..rounds {
                    if (round + number) % 3 == 0 {
                        let (_calls, waker) = Calls::new();
                        _ = poll_once(&mut pool.alloc_async(), &waker);
                        continue;
                    }
                    let mut block = block_on(pool.alloc_async()).expect("it waits");
                    block.fill(number as u8);
                    thread::yield_now();
                    assert!(block.iter().all(|&byte| byte == number as u8));
                    taken.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert!(taken.load(SeqCst) > THREADS * rounds / 2);
    assert_eq!((pool.waiting(), pool.stats().in_use), (0, 0));
}

#[test]
fn owned_future_keeps_the_pool_and_moves_to_another_thread() {
    let pool = Arc::new(LockedPool::new(64, 1));
    let held = pool.alloc_owned().unwrap();
    let (calls, waker) = Calls::new();
    let mut future = pool.alloc_owned_async();
    assert!(poll_once(&mut future, &waker).is_pending());
    drop(pool);
    let waiting = thread::spawn(move || block_on(future).unwrap().len());
    thread::yield_now();
    drop(held);
    assert_eq!(waiting.join().unwrap(), 64);
    assert!(calls.count() <= 1);
}

#[test]
fn refused_growth_is_no_error_while_a_block_is_out() {
    let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
    let builder = LockedPool::builder().block_size(4096).blocks(1).max_blocks(2);
    let pool = builder.budget(&budget).build().unwrap();
    let held = pool.alloc().unwrap();
    budget.set_limit(budget.used());
    assert!(matches!(pool.alloc(), Err(AllocError::LimitExceeded { .. })));
    let (calls, waker) = Calls::new();
    let mut future = pool.alloc_async();
    assert!(poll_once(&mut future, &waker).is_pending());
    drop(held);
    assert_eq!(calls.count(), 1);
    assert!(poll_once(&mut future, &waker).is_ready());
    budget.set_limit(MemoryBudget::UNLIMITED);
    let held = block_on(pool.alloc_async()).unwrap();
    assert!(block_on(pool.alloc_async()).is_ok(), "the pool grows");
    drop(held);
}

#[cfg(feature = "std")]
struct Panics(AtomicBool);

#[cfg(feature = "std")]
impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
        panic!("the waker");
    }
}

/// Without `std` no panic can be contained.
#[cfg(feature = "std")]
#[test]
fn panic_of_a_waker_ends_in_the_call_that_wakes() {
    let pool = LockedPool::new(64, 1);
    let panics = Arc::new(Panics(AtomicBool::new(false)));
    let waker = Waker::from(panics.clone());
    let held = pool.alloc().unwrap();
    let mut future = pool.alloc_async();
    assert!(poll_once(&mut future, &waker).is_pending());
    drop(held);
    assert!(panics.0.load(SeqCst));
    // The future has its block all the same, and the next call does not see the panic.
    assert!(poll_once(&mut future, &waker).is_ready());
    assert!(pool.alloc().is_ok());
    drop((future, waker));
    assert_eq!(Arc::strong_count(&panics), 1);
}

/// A waker that drops the future that it is of, inside of the call that wakes it.
struct DropsFuture<'a>(std::sync::Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>>);

impl Wake for DropsFuture<'static> {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn waker_may_drop_its_future() {
    let pool = Arc::new(LockedPool::new(64, 1));
    let held = pool.alloc().unwrap();
    let future = pool.alloc_owned_async();
    let task = Arc::new(DropsFuture(std::sync::Mutex::new(None)));
    let mut future = Box::pin(async move { drop(future.await) });
    let waker = Waker::from(task.clone());
    let mut context = std::task::Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut context).is_pending());
    *task.0.lock().unwrap() = Some(future);
    drop(held);
    assert!(task.0.lock().unwrap().is_none());
    assert_eq!((pool.stats().in_use, pool.waiting(), Arc::strong_count(&pool)), (0, 0, 1));
}

#[test]
#[should_panic(expected = "polled after it has given its result")]
fn future_that_is_polled_after_its_end_panics() {
    let pool = LockedPool::new(64, 1);
    let (_calls, waker) = Calls::new();
    let mut future = pool.alloc_async();
    assert!(poll_once(&mut future, &waker).is_ready());
    _ = poll_once(&mut future, &waker);
}

/// A pool of one block that may grow, and that fills its budget together with the reservation.
fn full_pool(budget: &MemoryBudget) -> LockedPool {
    let builder = LockedPool::builder().block_size(4096).blocks(1).max_blocks(4);
    builder.budget(budget).build().unwrap()
}

#[test]
fn room_in_the_budget_wakes_a_future() {
    let budget = MemoryBudget::new("b", 1 << 20);
    let pool = full_pool(&budget);
    let (calls, waker) = Calls::new();
    let held = pool.alloc().unwrap();
    let rest = budget.reserve((1 << 20) - budget.used());
    let mut next = pool.alloc_async();
    assert!(poll_once(&mut next, &waker).is_pending());
    assert_eq!(calls.count(), 0);
    drop(rest);
    assert_eq!(calls.count(), 1);
    let Poll::Ready(Ok(block)) = poll_once(&mut next, &waker) else { panic!("there is room") };
    drop((block, held, next));
    drop(pool);
    assert_eq!(budget.used(), 0);
}

#[test]
fn future_that_is_dropped_leaves_the_budget() {
    let budget = MemoryBudget::new("b", 1 << 20);
    let pool = full_pool(&budget);
    let (calls, waker) = Calls::new();
    let held = pool.alloc().unwrap();
    let own = budget.used();
    let rest = budget.reserve((1 << 20) - own);
    let (mut first, mut second) = (pool.alloc_async(), pool.alloc_async());
    assert!(poll_once(&mut first, &waker).is_pending());
    assert!(poll_once(&mut second, &waker).is_pending());
    drop(first);
    drop(rest);
    drop(second);
    assert_eq!(budget.used(), own);
    assert!(calls.count() >= 1);
    drop(held);
}
