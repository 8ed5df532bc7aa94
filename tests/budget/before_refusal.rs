// SPDX-License-Identifier: Apache-2.0
//! Tests what budgets do before they refuse: they ask reclaimers and let requests wait. Each number is
//! exact, because all bytes are reserved by hand.

use crate::arbitration::{assert_closed, reason, until_waiting, Cache, LONG};
use aegis_memory::budget::{BudgetPolicy, MemoryBudget, Reclaimer, RefusalReason};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;
use std::time::Duration;

assert_impl_all!(Reclaimer: Send, Sync);
assert_not_impl_any!(Reclaimer: Clone, Copy);
assert_impl_all!(BudgetPolicy: Send, Sync, Copy, Default);
assert_impl_all!(RefusalReason: Send, Sync, Copy);

// -- reclaim --

#[test]
fn reclaimers_are_asked_by_priority_then_by_use_and_the_own_one_last() {
    let root = MemoryBudget::new("root", 1000);
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |name: &'static str| {
        let order = Arc::clone(&order);
        move |wanted: usize| {
            order.lock().unwrap().push((name, wanted));
            0
        }
    };
    let make = |name, bytes| {
        let budget = root.child(name, 1000);
        let held = budget.reserve(bytes);
        (budget, held)
    };
    let (late, little, much) = (make("late", 400), make("little", 100), make("much", 200));
    let (own, empty, other) = (make("own", 50), make("empty", 0), make("other", 250));
    let _reclaimers = [
        late.0.on_reclaim(7, note("late")),
        little.0.on_reclaim(-3, note("little")),
        much.0.on_reclaim(-3, note("much")),
        own.0.on_reclaim_own_last(i32::MIN, note("own")),
        empty.0.on_reclaim(i32::MIN, note("empty")),
        other.0.on_reclaim(i32::MAX, note("other")),
        root.on_reclaim(0, note("root")),
    ];
    let take = || std::mem::take(&mut *order.lock().unwrap());
    // All are asked for what is lacking. Who has nothing in use is not asked.
    let asked = reason(own.0.try_reserve(30));
    assert_eq!(asked, (RefusalReason::Limit, 1000, 1000));
    let wanted =
        [("much", 30), ("little", 30), ("root", 30), ("late", 30), ("other", 30), ("own", 30)];
    assert_eq!(take(), wanted);
    // A charge to `other` does not ask the reclaimer of `other`, and `own` comes by its priority.
    assert!(other.0.try_reserve(30).is_err());
    let wanted = [("own", 30), ("much", 30), ("little", 30), ("root", 30), ("late", 30)];
    assert_eq!(take(), wanted);
    // The limit of `late` refuses: only what is beneath it could help.
    assert!(late.0.try_reserve(700).is_err());
    assert!(take().is_empty());
    assert_eq!((root.used(), root.peak()), (1000, 1000));
}

#[test]
fn reclaim_ends_as_soon_as_there_is_room_and_the_request_then_succeeds() {
    let root = MemoryBudget::new("root", 100);
    let (large, small) = (root.child("large", 100), root.child("small", 100));
    let (caches, query) =
        ([Cache::new(&large, 0), Cache::new(&small, 1)], root.child("query", 200));
    caches[0].fill(1, 60);
    caches[1].fill(8, 5);
    // 60 bytes are freed for 30, because there is no smaller page.
    let first = query.reserve(30);
    assert_eq!((large.used(), small.used(), root.used()), (0, 40, 70));
    assert_eq!((caches[0].wanted(), caches[1].wanted()), (vec![30], vec![]));
    // Now only the other cache has something. Of what is wanted, 12 bytes, 15 are freed.
    let second = query.reserve(42);
    assert_eq!((large.used(), small.used(), root.used()), (0, 25, 97));
    assert_eq!((caches[0].wanted(), caches[1].wanted()), (vec![], vec![12]));
    // What cannot be had is refused, and what was freed for it stays free. The cache is not asked for
    // more than its budget uses.
    let refused = reason(query.try_reserve(29));
    assert_eq!(refused, (RefusalReason::Limit, 100, 72));
    assert_eq!((caches[1].wanted(), small.used()), (vec![25], 0));
    drop((first, second));
    assert_eq!((root.used(), root.peak()), (0, 100));
}

#[test]
fn request_from_inside_a_reclaimer_is_refused_with_its_reason() {
    let root = MemoryBudget::new("root", 100);
    let cache = root.child("cache", 100);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (notes, inner) = (Arc::clone(&seen), cache.clone());
    let reclaimer = cache.on_reclaim_own_last(0, move |wanted| {
        let refused = inner.reserve_timeout(wanted, Duration::MAX);
        notes.lock().unwrap().push(refused.map(drop).expect_err("it does not fit"));
        0
    });
    let held = cache.reserve(90);
    assert_eq!(reason(root.try_reserve(40)), (RefusalReason::Limit, 100, 90));
    let errors = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        "memory limit exceeded: budget 'cache' refused 30 bytes: limit 100 bytes, 90 bytes in use, \
         asked from inside a reclaimer or pressure function"
    );
    assert_eq!(reason(errors.into_iter().next().map_or(Ok(()), Err)).0, RefusalReason::Nested);
    // The closure owns a handle to its own budget. Dropping the reclaimer breaks that circle.
    drop((reclaimer, held));
    assert_eq!((Arc::strong_count(&seen), root.used()), (1, 0));
}

#[test]
fn two_threads_that_ask_at_once_do_not_both_empty_the_cache() {
    for _ in 0..20 {
        let root = MemoryBudget::new("root", 100);
        let cache = root.child("cache", 100);
        let pages = Arc::new(Mutex::new(vec![cache.reserve(100)]));
        let calls = Arc::new(AtomicUsize::new(0));
        let (begun, begins) = mpsc::sync_channel(2);
        let (emptied, counted) = (Arc::clone(&pages), Arc::clone(&calls));
        let _reclaimer = cache.on_reclaim(0, move |_| {
            counted.fetch_add(1, SeqCst);
            begun.send(()).expect("the test waits for it");
            // The other thread has time to be refused. If it is late, it finds room.
            thread::sleep(Duration::from_millis(5));
            emptied.lock().unwrap().drain(..).map(|page| page.bytes()).sum()
        });
        thread::scope(|scope| {
            let first = scope.spawn(|| root.try_reserve(50));
            begins.recv().expect("the reclaimer runs");
            let second = root.try_reserve(50).expect("the first call has freed enough for both");
            let first = first.join().unwrap().expect("it asked the reclaimer");
            assert_eq!((first.bytes() + second.bytes(), root.used()), (100, 100));
        });
        assert_eq!((calls.load(SeqCst), cache.used()), (1, 0));
    }
}

#[test]
fn reclaimer_is_asked_until_it_is_dropped_and_a_kept_one_as_long_as_its_budget_lives() {
    let root = MemoryBudget::new("root", 100);
    let budget = root.child("cache", 100);
    let closure = Arc::new(());
    let calls = Arc::new(AtomicUsize::new(0));
    let count = || {
        let (alive, calls) = (Arc::clone(&closure), Arc::clone(&calls));
        move |_| {
            _ = &alive;
            calls.fetch_add(1, SeqCst);
            0
        }
    };
    let held = budget.reserve(100);
    let reclaimer = budget.on_reclaim(0, count());
    assert!(root.try_reserve(1).is_err());
    assert_eq!((calls.load(SeqCst), Arc::strong_count(&closure)), (1, 2));
    drop(reclaimer);
    assert!(root.try_reserve(1).is_err());
    assert_eq!((calls.load(SeqCst), Arc::strong_count(&closure)), (1, 1));
    budget.on_reclaim(0, count()).keep();
    assert!(root.try_reserve(1).is_err());
    assert_eq!((calls.load(SeqCst), Arc::strong_count(&closure)), (2, 2));
    drop((held, budget));
    assert_eq!((root.snapshot().len(), Arc::strong_count(&closure)), (1, 1));
    // A reclaimer keeps its budget alive.
    let reclaimer = root.child("other", 100).on_reclaim(0, count());
    assert_eq!((root.snapshot().len(), Arc::strong_count(&closure)), (2, 2));
    drop(reclaimer);
    assert_eq!((root.snapshot().len(), Arc::strong_count(&closure)), (1, 1));
}

#[test]
fn cache_that_is_dropped_inside_its_own_closure_leaves_nothing() {
    let root = MemoryBudget::new("root", 100);
    let pages = root.child("pages", 100);
    let slot = Arc::new(Mutex::new(None));
    let emptied = Arc::clone(&slot);
    let dropped: Arc<Mutex<Option<Arc<Cache>>>> = Arc::clone(&slot);
    let cache = Cache::with(&pages, |evict| {
        Some(pages.on_reclaim(0, move |wanted| {
            let last = emptied.lock().unwrap().take();
            evict(wanted) + usize::from(last.is_some())
        }))
    });
    cache.fill(4, 20);
    *dropped.lock().unwrap() = Some(cache);
    // The slot has the last handle. The closure of the cache takes it, and drops it with all pages.
    let all = root.reserve(100);
    assert_eq!((pages.used(), root.used()), (0, 100));
    drop(all);
    drop(pages);
    assert_eq!((root.snapshot().len(), Arc::strong_count(&slot)), (1, 2));
}

#[test]
fn pressure_callback_runs_for_a_refused_charge_after_the_reclaimers() {
    let root = MemoryBudget::new("root", 100);
    let held = Arc::new(Mutex::new(vec![root.reserve(50), root.reserve(40)]));
    let told = Arc::new(Mutex::new(Vec::new()));
    let (notes, freed) = (Arc::clone(&told), Arc::clone(&held));
    root.on_pressure(100, move |pressure| {
        notes.lock().unwrap().push((pressure.used_bytes, pressure.limit_bytes));
        drop(freed.lock().unwrap().pop());
    });
    let more = root.reserve(30);
    assert_eq!((more.bytes(), root.used()), (30, 80));
    assert_eq!(*told.lock().unwrap(), [(120, 100)]);
    // The callback stays with the budget, which these reservations would keep alive.
    held.lock().unwrap().clear();
}

// -- limits --

#[test]
fn lowered_limit_asks_the_reclaimers_for_the_excess_and_a_raised_one_serves_who_waits() {
    let root = MemoryBudget::new("root", 100);
    let (pages, query) = (root.child("pages", 100), root.child("query", 100));
    let cache = Cache::new(&pages, 0);
    cache.fill(10, 5);
    let held = query.reserve(40);
    root.set_limit(60);
    assert_eq!((cache.wanted(), pages.used(), root.used()), (vec![30], 20, 60));
    // All is asked for what is too much. What stays in use stays.
    root.set_limit(15);
    assert_eq!((cache.wanted(), pages.used(), root.used()), (vec![20], 0, 40));
    assert_eq!(reason(root.try_reserve(1)), (RefusalReason::Limit, 15, 40));
    // No wait helps a request for more than the limit.
    let refused = root.reserve_timeout(20, Duration::MAX);
    assert_eq!(reason(refused), (RefusalReason::Limit, 15, 40));
    root.set_limit(20);
    thread::scope(|scope| {
        let waits = scope.spawn(|| root.reserve_timeout(20, LONG));
        until_waiting(&root, 1);
        root.set_limit(59);
        assert_eq!((root.waiting(), root.used()), (1, 40));
        root.set_limit(60);
        assert_eq!((root.waiting(), root.used()), (0, 60));
        let served = waits.join().unwrap().expect("there is room now");
        assert_eq!((served.bytes(), root.waiting(), root.used()), (20, 0, 60));
    });
    drop(held);
    assert_eq!((root.used(), root.peak()), (0, 90));
}

// -- waiting --

#[test]
fn requests_get_room_in_the_order_in_which_they_came() {
    let root = MemoryBudget::new("root", 100);
    let (first, second) = (root.child("first", 100), root.child("second", 100));
    let (a, b) = (root.reserve(50), root.reserve(40));
    thread::scope(|scope| {
        let large = scope.spawn(|| first.reserve_timeout(60, LONG));
        until_waiting(&root, 1);
        let small = scope.spawn(|| second.reserve_timeout(10, LONG));
        until_waiting(&root, 2);
        // There are 10 bytes, which the second request and this one would fit into.
        assert_eq!(reason(root.try_reserve(1)), (RefusalReason::Queue, 100, 160));
        assert_eq!(root.reserve(0).bytes(), 0);
        // The thread that frees makes the charge of the one that waits, before the call returns.
        drop(a);
        assert_eq!((root.waiting(), root.used(), first.used(), second.used()), (1, 100, 60, 0));
        drop(large.join().unwrap().expect("60 bytes are free"));
        assert_eq!((root.waiting(), root.used(), second.used()), (0, 50, 10));
        let small = small.join().unwrap().expect("room again");
        assert_eq!((root.waiting(), root.used(), second.used()), (0, 50, 10));
        drop((small, b));
    });
    assert_eq!((root.used(), root.peak()), (0, 100));
}

#[test]
fn time_that_is_up_changes_nothing_and_lets_those_behind_have_their_turn() {
    let root = MemoryBudget::new("root", 100);
    let held = root.reserve(80);
    for timeout in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(3)] {
        assert_eq!(reason(root.reserve_timeout(21, timeout)), (RefusalReason::Limit, 100, 80));
        assert_eq!((root.waiting(), root.used(), root.peak()), (0, 80, 80));
    }
    assert_eq!(root.reserve_timeout(20, Duration::ZERO).expect("it fits").bytes(), 20);
    thread::scope(|scope| {
        let early = scope.spawn(|| root.reserve_timeout(90, Duration::from_millis(30)));
        let late = scope.spawn(|| {
            thread::sleep(Duration::from_millis(3));
            root.reserve_timeout(20, LONG)
        });
        assert_eq!(reason(early.join().unwrap()).1, 100);
        // Nobody waits that fits, whether the late request has come yet or not.
        assert_eq!(root.waiting(), 0);
        assert_eq!(late.join().unwrap().expect("nobody is before it").bytes(), 20);
    });
    drop(held);
    assert_eq!((root.used(), root.waiting()), (0, 0));
}

#[test]
fn reclaimers_are_asked_before_a_request_waits() {
    let root = MemoryBudget::new("root", 100);
    let cache = Cache::new(&root.child("pages", 100), 0);
    cache.fill(10, 10);
    let got = root.reserve_timeout(25, Duration::MAX).expect("the cache gives it");
    assert_eq!((got.bytes(), cache.wanted(), cache.budget.used()), (25, vec![25], 70));
}

#[test]
fn closing_a_budget_ends_all_waiting_beneath_it_and_nothing_else() {
    let root = MemoryBudget::new("root", 100);
    let query = root.child("query", 100);
    let (operator, other) = (query.child("operator", 20), root.child("other", 100));
    let (held, own) = (root.reserve(80), operator.reserve(20));
    thread::scope(|scope| {
        let up = scope.spawn(|| query.reserve_timeout(50, LONG));
        until_waiting(&root, 1);
        let down = scope.spawn(|| operator.reserve_timeout(1, LONG));
        until_waiting(&operator, 1);
        let else_where = scope.spawn(|| other.reserve_timeout(10, LONG));
        until_waiting(&root, 2);
        query.close();
        assert_closed(up.join().unwrap());
        assert_closed(down.join().unwrap());
        assert_eq!((root.waiting(), operator.waiting()), (1, 0));
        assert_eq!(
            (root.is_closed(), query.is_closed(), operator.is_closed()),
            (false, true, true)
        );
        // What is charged can be freed, and makes room for others.
        drop(own);
        assert_eq!((root.waiting(), other.used()), (0, 10));
        assert_eq!(else_where.join().unwrap().expect("20 bytes are free").bytes(), 10);
    });
    let closed = operator.try_reserve(1).expect_err("it is closed");
    assert_eq!(closed.to_string(), "the budget is closed: 1 bytes requested");
    assert_closed(Err::<(), _>(closed));
    assert_closed(query.reserve_timeout(1, LONG));
    assert_closed(query.child("late", 10).try_reserve(1));
    assert_eq!(root.reserve(20).bytes(), 20);
    drop(held);
    assert_eq!((root.used(), query.used()), (0, 0));
}
