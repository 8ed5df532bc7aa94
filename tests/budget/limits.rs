// SPDX-License-Identifier: Apache-2.0
//! Tests budgets: limits, the texts of refusals, pressure callbacks, threads, and arenas that
//! charge them. A refusal must change nothing and name the budget that refused. At the end every
//! charge must be taken back.

use std::ptr::{self, NonNull};
#[cfg(feature = "std")]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use aegis_memory::arena::{Arena, ArenaBuilder, LockFreeArena, LockedArena};
use aegis_memory::budget::{BudgetRefusal, BudgetStats, MemoryBudget, Pressure, Reservation};
use aegis_memory::{build_flags, ffi, AllocError};
use static_assertions::{assert_impl_all, assert_not_impl_any};

assert_impl_all!(MemoryBudget: Send, Sync, Clone);
assert_impl_all!(Reservation: Send, Sync);
assert_impl_all!(BudgetStats: Send, Sync, Clone);
assert_impl_all!(BudgetRefusal: Send, Sync, Clone);
assert_impl_all!(Pressure: Send, Sync, Copy);
assert_impl_all!(AllocError: Send, Sync, Clone);
#[cfg(feature = "std")]
assert_impl_all!(AllocError: std::error::Error);
// A copy of a reservation would release its bytes twice. An arena with a budget still has one
// owner.
assert_not_impl_any!(Reservation: Clone, Copy);
assert_not_impl_any!(MemoryBudget: Copy);
assert_impl_all!(Arena: Send);
assert_not_impl_any!(Arena: Sync);

#[test]
fn refusal_names_budget_and_largest_consumers_and_changes_nothing() {
    let db = MemoryBudget::new("db", 1000);
    let children: Vec<_> = (0..5).map(|i| db.child(&format!("q{i}"), 1000)).collect();
    let held: Vec<_> = children.iter().enumerate().map(|(i, c)| c.reserve(i * 100)).collect();
    assert_eq!(db.used(), 1000);
    let error = children[0].try_reserve(1).unwrap_err();
    let AllocError::LimitExceeded { refusal, limit: 1000, in_use: 1000, requested: 1, .. } = &error
    else {
        panic!("{error:?}");
    };
    let refusal = refusal.as_ref().expect("memory for the record");
    let names: Vec<_> = refusal.consumers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["q4", "q3", "q2"]);
    assert_eq!((children[0].used(), children[0].peak(), db.peak()), (0, 0, 1000));
    assert_eq!(
        error.to_string(),
        "memory limit exceeded: budget 'db' refused 1 bytes: limit 1000 bytes, 1000 bytes in use; \
         largest: 'q4' 400 bytes, 'q3' 300 bytes, 'q2' 200 bytes"
    );
    drop(held);
    assert_eq!(db.used(), 0);
}

#[test]
fn refusal_with_the_longest_names_and_figures_is_told_whole() {
    let long = "n".repeat(60);
    let root = MemoryBudget::new(&long, usize::MAX);
    let _held: Vec<_> = (0..4).map(|_| root.child(&long, usize::MAX)).collect();
    let _reserved: Vec<_> = _held.iter().map(|c| c.reserve(usize::MAX / 5)).collect();
    let _direct = root.reserve(usize::MAX / 5);
    let error = root.try_reserve(usize::MAX).unwrap_err();
    assert!(error.to_string().ends_with(" bytes held directly"), "{error}");
}

#[test]
#[should_panic(expected = "budget 'small' refused 11 bytes: limit 10 bytes, 0 bytes in use")]
fn reserve_beyond_the_limit_panics_with_the_explanation() {
    let _reservation = MemoryBudget::new("small", 10).reserve(11);
}

#[test]
fn reservation_is_released_when_dropped_on_any_thread() {
    let budget = MemoryBudget::new("b", 100);
    let reservation = budget.reserve(70);
    assert_eq!((reservation.bytes(), budget.used(), budget.peak()), (70, 70, 70));
    assert!(budget.try_reserve(31).is_err());
    let nothing = budget.reserve(0);
    thread::spawn(move || drop(reservation)).join().unwrap();
    drop(nothing);
    assert_eq!((budget.used(), budget.peak()), (0, 70));
}

#[test]
fn reservation_keeps_its_budget_and_the_ancestors_alive() {
    let root = MemoryBudget::new("root", 100);
    let reservation = root.child("child", 100).reserve(60);
    assert_eq!(root.snapshot().len(), 2);
    let same = root.clone();
    drop(root);
    assert_eq!(same.used(), 60);
    drop(reservation);
    assert_eq!((same.used(), same.snapshot().len()), (0, 1));
}

#[test]
fn limits_can_be_raised_and_lowered_while_in_use() {
    let budget = MemoryBudget::new("b", 100);
    let held = budget.reserve(80);
    budget.set_limit(50);
    assert!(budget.try_reserve(1).is_err());
    budget.set_limit(MemoryBudget::UNLIMITED);
    assert_eq!(budget.limit(), MemoryBudget::UNLIMITED);
    drop(budget.reserve(usize::MAX / 2));
    budget.set_limit(50);
    drop(held);
    assert!(budget.try_reserve(50).is_ok());
}

#[test]
fn names_are_cut_at_a_nul_and_between_characters() {
    assert_eq!(MemoryBudget::new("a\0b", 1).name(), "a");
    assert_eq!(MemoryBudget::new("", 1).name(), "");
    let long = format!("{}é", "x".repeat(46));
    assert_eq!(MemoryBudget::new(&long, 1).name(), "x".repeat(46));
}

#[test]
fn tree_is_sixteen_levels_deep() {
    let mut budget = MemoryBudget::new("0", 10);
    for level in 1..16 {
        budget = budget.child("n", 10);
        assert_eq!(budget.stats().level, level);
    }
    let deeper = std::panic::catch_unwind(|| budget.child("too deep", 10));
    assert!(deeper.is_err());
}

#[test]
fn raw_budget_is_shared_with_c() {
    let budget = MemoryBudget::new("b", 100);
    // SAFETY: the budget is alive, and the charge is taken back below.
    let status = unsafe { ffi::aegis_budget_charge(budget.as_raw(), 40, ptr::null_mut()) };
    assert_eq!((status, budget.used()), (0, 40));
    let raw = NonNull::new(budget.as_raw()).unwrap();
    // SAFETY: the budget is alive.
    let again = unsafe { MemoryBudget::from_raw(raw) };
    drop(budget);
    assert_eq!(again.used(), 40);
    // SAFETY: takes the charge from above back.
    unsafe { ffi::aegis_budget_uncharge(again.as_raw(), 40) };
    assert_eq!(again.used(), 0);
}

#[test]
fn display_draws_the_tree() {
    let process = MemoryBudget::new("process", 4096);
    let database = process.child("database", MemoryBudget::UNLIMITED);
    let _query = database.child("query", 2048);
    let _held = database.reserve(1024);
    let lines: Vec<_> = process.to_string().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        lines[0],
        "process                      [######..................]  25%  1.0 KiB of 4.0 KiB, peak 1.0 KiB"
    );
    assert!(lines[1].starts_with("  database "), "{}", lines[1]);
    assert!(lines[1].ends_with("1.0 KiB, no limit, peak 1.0 KiB"), "{}", lines[1]);
    assert!(lines[2].starts_with("    query "), "{}", lines[2]);
    assert_eq!(format!("{database}").lines().next().unwrap().trim_end(), {
        let without_indent = &lines[1][2..];
        let (name, rest) = without_indent.split_at("database".len());
        format!("{name}  {rest}")
    });
}

#[test]
fn refusals_are_counted_by_the_budget_that_refused_and_drawn() {
    let root = MemoryBudget::new("root", 100);
    let child = root.child("child", 50);
    let refused = |budget: &MemoryBudget| budget.stats().refused_count;
    child.try_reserve(51).expect_err("more than its limit");
    child.try_reserve(60).expect_err("more than its limit");
    assert_eq!((refused(&child), refused(&root)), (2, 0));
    child.set_limit(MemoryBudget::UNLIMITED);
    child.try_reserve(101).expect_err("more than the limit of the root");
    assert_eq!((refused(&child), refused(&root)), (2, 1));
    assert_eq!(root.snapshot().iter().map(|s| s.refused_count).collect::<Vec<_>>(), [1, 2]);
    let drawn = root.to_string();
    let endings = ["peak 0 B, 1 refused", "peak 0 B, 2 refused"];
    assert!(drawn.lines().zip(endings).all(|(line, ending)| line.ends_with(ending)), "{drawn}");
}

#[test]
fn snapshot_lists_parents_first() {
    let root = MemoryBudget::new("root", 1000);
    let a = root.child("a", 100);
    let _b = root.child("b", 100);
    let _a1 = a.child("a1", 10);
    let _held = a.reserve(7);
    let figures: Vec<_> = root
        .snapshot()
        .iter()
        .map(|s| (s.name.to_string(), s.depth, s.level, s.used_bytes))
        .collect();
    let expected = [("root", 0, 0, 7), ("a", 1, 1, 7), ("a1", 2, 2, 0), ("b", 1, 1, 0)];
    assert_eq!(figures, expected.map(|(name, d, l, used)| (name.to_owned(), d, l, used)));
    assert_eq!(a.snapshot()[1].depth, 1);
}

#[test]
fn name_made_by_c_is_text_whatever_its_bytes() {
    let named = |name: &std::ffi::CStr| {
        // SAFETY: a terminated name, and no parent.
        let raw = unsafe { aegis_memory::ffi::aegis_budget_new(name.as_ptr(), 1, ptr::null_mut()) };
        let raw = NonNull::new(raw).expect("memory for a budget");
        // SAFETY: a live budget, whose first reference is given up here.
        unsafe {
            let budget = MemoryBudget::from_raw(raw);
            aegis_memory::ffi::aegis_budget_destroy(raw.as_ptr());
            budget.stats().name
        }
    };
    assert_eq!(named(c_str(b"caf\xe9!\0")), "caf\u{fffd}!");
    // Each invalid byte becomes three bytes of text. What does not fit is left out.
    assert_eq!(named(c_str(&[[0xff; 40].as_slice(), b"\0"].concat())), "\u{fffd}".repeat(15));
    assert_eq!(format!("{:>6}|", named(c_str(b"name\0"))), "  name|");
}

fn c_str(bytes: &[u8]) -> &std::ffi::CStr {
    std::ffi::CStr::from_bytes_with_nul(bytes).expect("terminated")
}

#[cfg(feature = "serde")]
#[test]
fn snapshot_and_arena_stats_serialize() {
    let root = MemoryBudget::new("root", 1000);
    let child = root.child("child", 100);
    let _held = child.reserve(7);
    child.try_reserve(94).expect_err("more than the limit");
    let json = serde_json::to_value(root.peak_report()).unwrap();
    assert_eq!((&json["name"], &json["peak_bytes"]), (&"root".into(), &7.into()));
    let consumer = serde_json::json!({"name": "child", "direct_bytes": 7, "depth": 1, "level": 1});
    assert_eq!(json["consumers"], serde_json::json!([consumer]));
    let json = serde_json::to_value(root.snapshot()).unwrap();
    let expected = serde_json::json!([
        {"name": "root", "used_bytes": 7, "peak_bytes": 7, "limit_bytes": 1000,
         "depth": 0, "level": 0, "waiting_count": 0, "refused_count": 0, "wait_count": 0,
         "timeout_count": 0, "reclaim_count": 0, "reclaimed_bytes": 0},
        {"name": "child", "used_bytes": 7, "peak_bytes": 7, "limit_bytes": 100,
         "depth": 1, "level": 1, "waiting_count": 0, "refused_count": 1, "wait_count": 0,
         "timeout_count": 0, "reclaim_count": 0, "reclaimed_bytes": 0},
    ]);
    assert_eq!(json, expected);

    let arena = Arena::new(1000);
    arena.alloc(16);
    let json = serde_json::to_value(arena.stats()).unwrap();
    assert_eq!(json["block_count"], 1);
    assert_eq!(json["used_bytes"], arena.used());
}

#[test]
fn pressure_is_told_once_per_rise() {
    let parent = MemoryBudget::new("parent", 100);
    let child = parent.child("child", 1000);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    parent.on_pressure(80, move |p| told.lock().unwrap().push((p.used_bytes, p.limit_bytes)));
    let a = child.reserve(79);
    assert!(seen.lock().unwrap().is_empty());
    let b = child.reserve(1);
    let c = child.reserve(5);
    drop(c);
    drop(child.reserve(5));
    assert_eq!(*seen.lock().unwrap(), [(80, 100)]);
    drop(b);
    let _b = child.reserve(3);
    assert_eq!(*seen.lock().unwrap(), [(80, 100), (82, 100)]);
    drop(a);
    parent.set_limit(3);
    assert_eq!(*seen.lock().unwrap(), [(80, 100), (82, 100), (3, 3)]);
}

#[test]
fn pressure_callback_may_release_reserve_and_allocate() {
    let budget = MemoryBudget::new("b", 1 << 20);
    let cache = Arc::new(Mutex::new(Some(budget.reserve(400 << 10))));
    let spare = MemoryBudget::new("spare", 1 << 20);
    let evicted = Arc::clone(&cache);
    budget.on_pressure(75, move |_| {
        drop(evicted.lock().unwrap().take());
        let arena = Arena::builder().budget(&spare).build().unwrap();
        arena.alloc(1000);
    });
    let arena = Arena::builder().budget(&budget).build().unwrap();
    arena.alloc(500 << 10);
    assert!(cache.lock().unwrap().is_none());
    arena.alloc(400 << 10);
}

#[cfg(feature = "std")]
#[test]
fn panic_in_a_pressure_callback_goes_no_further() {
    let budget = MemoryBudget::new("b", 100);
    let later = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&later);
    budget.on_pressure(50, move |_| {
        told.fetch_add(1, Ordering::Relaxed);
    });
    budget.on_pressure(50, |_| panic!("a pressure callback panics on purpose"));
    let held = budget.reserve(60);
    assert_eq!((budget.used(), later.load(Ordering::Relaxed)), (60, 1));
    drop(held);
    let _held = budget.reserve(70);
    assert_eq!((budget.used(), later.load(Ordering::Relaxed)), (70, 2));
}

#[test]
fn pressure_callback_is_dropped_with_its_budget() {
    let owned = Arc::new(());
    let budget = MemoryBudget::new("b", 100);
    let captured = Arc::clone(&owned);
    budget.on_pressure(100, move |_| drop(Arc::clone(&captured)));
    let held = budget.reserve(100);
    drop(budget);
    assert_eq!(Arc::strong_count(&owned), 2);
    drop(held);
    assert_eq!(Arc::strong_count(&owned), 1);
}

#[test]
fn pressure_percent_out_of_range_panics() {
    let budget = MemoryBudget::new("b", 100);
    for percent in [0, 101, u32::MAX] {
        let budget = std::panic::AssertUnwindSafe(&budget);
        assert!(std::panic::catch_unwind(|| budget.on_pressure(percent, |_| ())).is_err());
    }
}

#[test]
fn contended_reservations_end_at_exactly_zero() {
    let root = MemoryBudget::new("root", 300);
    let database = root.child("database", 1000);
    let refused: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|i| {
                let query = database.child(&format!("query {i}"), 200);
                scope.spawn(move || {
                    let mut refused = 0;
                    for round in 0..20_000 {
                        let first = query.try_reserve(50 + round % 50);
                        let second = query.try_reserve(70);
                        refused += usize::from(first.is_err()) + usize::from(second.is_err());
                        if let Err(error) = first.and(second) {
                            assert!(matches!(error, AllocError::LimitExceeded { .. }), "{error}");
                        }
                    }
                    assert_eq!(query.used(), 0);
                    assert!(query.peak() <= 200);
                    refused
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    println!("{refused} reservations were refused");
    assert_eq!((root.used(), database.used()), (0, 0));
    assert!(root.peak() <= 300 && root.snapshot().len() == 2);
}

#[test]
fn arena_charges_whole_blocks_and_gives_them_back() {
    let budget = MemoryBudget::new("query", 1 << 20);
    let mut arena = Arena::builder().capacity(1000).budget(&budget).build().unwrap();
    assert_eq!(budget.used(), arena.stats().reserved_bytes);
    for size in [10, 5000, 70_000] {
        arena.alloc(size);
        assert_eq!(budget.used(), arena.stats().reserved_bytes);
    }
    let full = budget.used();
    arena.reset();
    assert_eq!(budget.used(), full);
    arena.trim(2000);
    assert!(budget.used() <= 2000);
    arena.scope(|s| {
        s.alloc(50_000);
        assert!(budget.used() > 50_000);
    });
    arena.clear();
    assert_eq!(budget.used(), 0);
    arena.alloc(1);
    drop(arena);
    assert_eq!((budget.used(), budget.peak() >= full), (0, true));
}

#[test]
fn arena_refused_by_an_ancestor_says_so_and_recovers() {
    let database = MemoryBudget::new("database", 200 << 10);
    let query = database.child("query", MemoryBudget::UNLIMITED);
    let rest = database.reserve(120 << 10);
    let mut arena = Arena::builder().budget(&query).name("plan").build().unwrap();
    let before = (arena.alloc(10 << 10).len(), query.used());
    let error = arena.try_alloc(100 << 10).unwrap_err();
    let AllocError::LimitExceeded { requested, refusal: Some(refusal), .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*requested, 100 << 10);
    assert_eq!(refusal.budget.name, "database");
    assert_eq!(refusal.consumers[0].name, "query");
    assert_eq!(refusal.direct_bytes, 120 << 10);
    assert_eq!((10 << 10, query.used()), before);
    drop(rest);
    assert_eq!(arena.alloc(100 << 10).len(), 100 << 10);
    arena.reset();
}

#[test]
fn arenas_take_what_is_left_below_a_limit_in_one_block() {
    let flags = build_flags();
    // A checker wants a gap behind each allocation.
    let gap = if flags.asan || flags.valgrind { 16 } else { 0 };
    macro_rules! check {
        ($arena:ident, $build:expr) => {{
            let budget = MemoryBudget::new("arena", 262_144);
            let parent = MemoryBudget::new("parent", 263_000);
            let child = parent.child("child", 1 << 30);
            for (charged, refusing) in [(&budget, "arena"), (&child, "parent")] {
                let build: fn(ArenaBuilder<$arena>) -> ArenaBuilder<$arena> = $build;
                let mut arena = build($arena::builder().budget(charged)).build().unwrap();
                let mut served = 0;
                let error = loop {
                    match arena.try_alloc(32) {
                        Ok(_) => served += 1,
                        Err(error) => break error,
                    }
                };
                let AllocError::LimitExceeded { requested: 32, in_use, .. } = &error else {
                    panic!("{error}");
                };
                assert!(error.to_string().contains(refusing), "{error}");
                assert!(*in_use > 262_144 - 128);
                // Steps of 1 KiB to 128 KiB, and at most two blocks of what is left of the limit.
                let stats = arena.stats();
                assert!(stats.block_count <= 8 + 2, "{stats:?}");
                assert!(served * (32 + gap) > 259_000, "{served}");
                // The same work acquires nothing and is served.
                arena.reset();
                assert!((0..served).all(|_| arena.try_alloc(32).is_ok()));
                assert!(arena.try_alloc(32).is_err());
                assert_eq!(arena.stats().acquired_count, stats.acquired_count);
            }
        }};
    }
    check!(Arena, |arena| arena.no_debug());
    check!(LockedArena, |arena| arena.no_debug());
    check!(LockFreeArena, |arena| arena);
}

#[test]
fn arena_refused_at_birth_charges_nothing() {
    let budget = MemoryBudget::new("tiny", 1000);
    let error = Arena::builder().capacity(4000).budget(&budget).build().map(drop).unwrap_err();
    let says = " bytes for a request of 4000 bytes: limit 1000 bytes, 0 bytes in use";
    assert!(error.to_string().ends_with(says), "{error}");
    assert_eq!((budget.used(), budget.peak()), (0, 0));
}

#[test]
fn arena_keeps_its_budget_alive() {
    let arena = {
        let root = MemoryBudget::new("root", 8000);
        Arena::builder().budget(&root.child("query", 100_000)).build().unwrap()
    };
    arena.alloc(2000);
    let error = arena.try_alloc(9000).unwrap_err();
    assert!(error.to_string().contains("budget 'root' refused"), "{error}");
}
