// SPDX-License-Identifier: Apache-2.0
//! Futures that wait for room in a budget: order, one wake for each, what a dropped future leaves
//! behind, and that nothing is lost among many threads.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;

use crate::executor::{block_on, poll_once, run_tasks, yield_once, Calls};
use aegis_memory::budget::{MemoryBudget, Reservation};
use aegis_memory::AllocError;

#[test]
fn future_with_room_is_ready_at_once() {
    let budget = MemoryBudget::new("b", 100);
    let (calls, waker) = Calls::new();
    let Poll::Ready(Ok(held)) = poll_once(&mut budget.reserve_async(100), &waker) else {
        panic!("there is room")
    };
    assert_eq!((held.bytes(), budget.used(), calls.count()), (100, 100, 0));
    drop(held);
    assert_eq!(budget.used(), 0);
}

#[test]
fn only_the_future_that_gets_room_is_woken_and_a_large_one_is_not_passed() {
    let root = MemoryBudget::new("root", 100);
    let (left, right) = (root.child("left", 200), root.child("right", 200));
    let mut held = left.reserve(100);
    let (large_calls, large_waker) = Calls::new();
    let (small_calls, small_waker) = Calls::new();
    let (mut large, mut small) = (right.reserve_async(60), left.reserve_async(10));
    assert!(poll_once(&mut large, &large_waker).is_pending());
    assert!(poll_once(&mut small, &small_waker).is_pending());
    assert_eq!(root.stats().waiting_count, 2);

    held.shrink(50);
    assert_eq!((large_calls.count(), small_calls.count()), (0, 0));
    // Nor does a request that does not wait pass the large one.
    assert!(left.try_reserve(1).is_err());
    held.shrink(10);
    assert_eq!((large_calls.count(), small_calls.count(), root.used()), (1, 0, 100));
    let Poll::Ready(Ok(got)) = poll_once(&mut large, &large_waker) else { panic!("woken") };
    drop(got);
    assert_eq!(small_calls.count(), 1);
    let Poll::Ready(Ok(got)) = poll_once(&mut small, &small_waker) else { panic!("woken") };
    assert_eq!((got.bytes(), root.used(), root.stats().waiting_count), (10, 50, 0));
}

#[test]
fn dropped_future_leaves_its_place_or_its_bytes_to_the_next() {
    let budget = MemoryBudget::new("b", 100);
    let (calls, waker) = Calls::new();
    let (next_calls, next_waker) = Calls::new();
    let held = budget.reserve(100);
    let (mut one, mut two, mut three) =
        (budget.reserve_async(70), budget.reserve_async(80), budget.reserve_async(90));
    assert!(poll_once(&mut one, &waker).is_pending());
    assert!(poll_once(&mut two, &waker).is_pending());
    assert!(poll_once(&mut three, &next_waker).is_pending());
    drop(one);
    drop(held);
    assert_eq!((calls.count(), next_calls.count(), budget.used()), (1, 0, 80));
    drop(two);
    assert_eq!((next_calls.count(), budget.used()), (1, 90));
    drop(three);
    assert_eq!(budget.used(), 0);
    // Every clone of a waker that the futures made is dropped.
    assert_eq!((Arc::strong_count(&calls), Arc::strong_count(&next_calls)), (2, 2));
}

#[test]
fn cache_that_can_free_more_than_when_it_was_asked_notifies_the_future() {
    let root = MemoryBudget::new("root", 100);
    let pages = root.child("pages", 100);
    // A cache of one page, which is pinned first.
    let page = Arc::new(Mutex::new(None));
    let evicted = Arc::clone(&page);
    let reclaimer = pages.on_reclaim(0, move |_| {
        let page: Option<Reservation> = evicted.lock().unwrap().take();
        page.map_or(0, |page| page.bytes())
    });
    let pinned = pages.reserve(100);
    let (calls, waker) = Calls::new();
    let mut waiting = root.reserve_async(60);
    assert!(poll_once(&mut waiting, &waker).is_pending());
    reclaimer.notify();
    assert_eq!(calls.count(), 1);
    assert!(poll_once(&mut waiting, &waker).is_pending());
    *page.lock().unwrap() = Some(pinned);
    reclaimer.notify();
    assert_eq!(calls.count(), 2);
    assert!(poll_once(&mut waiting, &waker).is_ready());
    assert!(page.lock().unwrap().is_none());
}

#[test]
fn closing_a_budget_wakes_the_futures_beneath_it() {
    let root = MemoryBudget::new("root", 100);
    let (query, other) = (root.child("query", 50), root.child("other", 100));
    let _held = other.reserve(100);
    let (calls, waker) = Calls::new();
    let (other_calls, other_waker) = Calls::new();
    let mut futures: Vec<_> = (0..3).map(|_| query.reserve_async(30)).collect();
    for future in &mut futures {
        assert!(poll_once(future, &waker).is_pending());
    }
    let mut stays = other.reserve_async(10);
    assert!(poll_once(&mut stays, &other_waker).is_pending());
    // SAFETY: the budget is alive.
    unsafe { aegis_memory::ffi::aegis_budget_close(query.as_raw()) };
    assert_eq!((calls.count(), other_calls.count()), (3, 0));
    for future in &mut futures {
        let Poll::Ready(Err(error)) = poll_once(future, &waker) else { panic!("closed") };
        assert!(matches!(error, AllocError::Closed { .. }), "{error}");
    }
    assert_eq!((query.used(), root.used()), (0, 100));
}

#[test]
fn what_can_never_fit_is_refused_at_once_and_when_the_limit_falls() {
    let root = MemoryBudget::new("root", 100);
    let query = root.child("query", MemoryBudget::UNLIMITED);
    let _held = root.reserve(90);
    let (calls, waker) = Calls::new();
    assert!(matches!(
        poll_once(&mut query.reserve_async(101), &waker),
        Poll::Ready(Err(AllocError::LimitExceeded { .. }))
    ));
    let (mut large, mut small) = (query.reserve_async(80), query.reserve_async(10));
    assert!(poll_once(&mut large, &waker).is_pending());
    assert!(poll_once(&mut small, &waker).is_pending());
    root.set_limit(79);
    assert_eq!(calls.count(), 1);
    assert!(matches!(poll_once(&mut large, &waker), Poll::Ready(Err(_))));
    root.set_limit(100);
    assert!(matches!(poll_once(&mut small, &waker), Poll::Ready(Ok(_))));
    // The one that waited and got its bytes was not refused.
    let stats = root.stats();
    assert_eq!((stats.refused_count, stats.wait_count), (2, 2));
}

/// Many tasks on one thread, each polled only when it was woken, share the bytes of a budget.
#[test]
fn many_tasks_on_one_thread_get_room_in_order() {
    const TASKS: usize = 500;
    let budget = MemoryBudget::new("b", 100);
    let order = RefCell::new(Vec::new());
    let most = Cell::new(0);
    let task = |number: usize| {
        let (budget, order, most) = (&budget, &order, &most);
        let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
            let held = budget.reserve_async(1 + number * 37 % 100).await.expect("it waits");
            order.borrow_mut().push(number);
            most.set(most.get().max(budget.used()));
            yield_once().await;
            drop(held);
        });
        task
    };
    let polls = run_tasks((0..TASKS).map(task).collect());
    assert_eq!(order.into_inner(), (0..TASKS).collect::<Vec<_>>());
    assert!(most.get() <= 100);
    assert_eq!(budget.used(), 0);
    // Each task is polled at its beginning, once more if it has waited, and after it has yielded.
    assert!(polls <= 3 * TASKS, "{polls} polls");
}

#[test]
fn many_threads_with_futures_that_are_dropped_lose_no_byte() {
    const THREADS: usize = 8;
    let rounds = if cfg!(debug_assertions) { 500 } else { 3_000 };
    let root = MemoryBudget::new("root", 300);
    let budgets = [root.child("one", 200), root.child("two", 150)];
    thread::scope(|threads| {
        for number in 0..THREADS {
            let budgets = &budgets;
            threads.spawn(move || {
                for round in 0..rounds {
                    let budget = &budgets[(round + number) % 2];
                    let bytes = 1 + (round * 31 + number * 17) % 150;
                    if (round + number) % 3 == 0 {
                        let (_calls, waker) = Calls::new();
                        _ = poll_once(&mut budget.reserve_async(bytes), &waker);
                        continue;
                    }
                    let held = block_on(budget.reserve_async(bytes)).expect("it waits");
                    assert!(budget.used() >= bytes);
                    thread::yield_now();
                    drop(held);
                }
            });
        }
    });
    for budget in budgets.iter().chain([&root]) {
        assert_eq!((budget.used(), budget.stats().waiting_count), (0, 0));
    }
}
