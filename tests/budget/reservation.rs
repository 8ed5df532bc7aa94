// SPDX-License-Identifier: Apache-2.0
//! Tests reservations: growing, shrinking, splitting, merging, and moving to another budget. An
//! oracle knows what each reservation and each budget must have. A call that fails, or panics, must
//! change nothing, and at the end nothing may be charged.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use aegis_memory::budget::{BudgetPolicy, MemoryBudget, Reservation};
use aegis_memory::AllocError;
use proptest::prelude::*;

fn refused_by(error: &AllocError) -> String {
    match error {
        AllocError::LimitExceeded { refusal: Some(refusal), .. } => refusal.budget.name.to_string(),
        other => panic!("not a refusal: {other:?}"),
    }
}

fn text_of_panic(call: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("it panics");
    panic.downcast_ref::<String>().expect("a text").clone()
}

#[test]
fn grow_shrink_and_resize_charge_the_difference() {
    let budget = MemoryBudget::new("b", 100);
    let mut held = budget.reserve(10);
    held.grow(30);
    assert_eq!((held.bytes(), budget.used()), (40, 40));
    held.shrink(15);
    assert_eq!((held.bytes(), budget.used()), (25, 25));
    held.resize(90);
    assert_eq!((held.bytes(), budget.used(), budget.peak()), (90, 90, 90));
    held.resize(90);
    held.resize(0);
    assert_eq!((held.bytes(), budget.used()), (0, 0));
    held.grow(100);
    assert_eq!(held.free(), 100);
    assert_eq!((held.bytes(), budget.used(), held.free()), (0, 0, 0));
    assert_eq!(held.budget().name(), "b");
}

#[test]
fn refused_growth_changes_nothing_and_names_the_budget() {
    let root = MemoryBudget::new("root", 100);
    let child = root.child("child", 60);
    let mut held = child.reserve(50);
    assert_eq!(refused_by(&held.try_grow(11).unwrap_err()), "child");
    assert_eq!(refused_by(&held.try_resize(61).unwrap_err()), "child");
    assert!(text_of_panic(|| held.grow(11)).contains("budget 'child' refused 11 bytes"));
    assert!(text_of_panic(|| held.resize(62)).contains("budget 'child' refused 12 bytes"));
    assert!(held.try_grow(usize::MAX).is_err());
    assert_eq!((held.bytes(), child.used(), root.used(), root.peak()), (50, 50, 50, 50));
    // A smaller size is accepted, however low the limit is.
    child.set_limit(1);
    assert!(held.try_resize(49).is_ok() && held.try_resize(49).is_ok());
    assert_eq!((held.bytes(), root.used()), (49, 49));
}

#[test]
fn giving_more_than_is_held_panics_and_changes_nothing() {
    let budget = MemoryBudget::new("b", 100);
    let _other = budget.reserve(40);
    let mut held = budget.reserve(5);
    assert_eq!(text_of_panic(|| held.shrink(6)), "a reservation of 5 bytes has no 6 bytes to give");
    assert_eq!(
        text_of_panic(|| drop(held.split(usize::MAX))),
        format!("a reservation of 5 bytes has no {} bytes to give", usize::MAX)
    );
    assert_eq!((held.bytes(), budget.used()), (5, 45));
}

#[test]
fn split_take_and_merge_leave_the_budget_as_it_is() {
    let budget = MemoryBudget::new("b", 100);
    let mut all = budget.reserve(100);
    let mut part = all.split(30);
    assert_eq!((all.bytes(), part.bytes()), (70, 30));
    let nothing = all.split(0);
    let rest = all.take();
    assert_eq!((all.bytes(), rest.bytes(), nothing.bytes()), (0, 70, 0));
    part.merge(rest);
    part.merge(nothing);
    assert_eq!((part.bytes(), budget.used(), budget.peak()), (100, 100, 100));
    drop(all);
    assert_eq!(budget.used(), 100);
    drop(part);
    assert_eq!(budget.used(), 0);
}

#[test]
fn move_to_a_sibling_fits_under_a_full_parent() {
    let root = MemoryBudget::new("root", 100);
    let (query, cache) = (root.child("query", 100), root.child("cache", 100));
    let mut held = query.reserve(100);
    held.move_to(&cache);
    assert_eq!((query.used(), cache.used(), root.used(), root.peak()), (0, 100, 100, 100));
    assert_eq!(held.budget().name(), "cache");
    // To an ancestor, to a descendant, and to the same budget.
    held.move_to(&root);
    assert_eq!((cache.used(), root.used()), (0, 100));
    held.move_to(&query);
    held.move_to(&query);
    assert_eq!((query.used(), query.peak(), root.peak()), (100, 100, 100));
    // The reservation keeps its new budget alive.
    let elsewhere = MemoryBudget::new("elsewhere", 100);
    held.move_to(&elsewhere.child("leaf", 100));
    assert_eq!((root.used(), elsewhere.used(), elsewhere.snapshot().len()), (0, 100, 2));
    drop(held);
    assert_eq!((elsewhere.used(), elsewhere.snapshot().len()), (0, 1));
}

#[test]
fn refused_move_and_merge_lose_nothing() {
    let root = MemoryBudget::new("root", 1000);
    let (query, cache) = (root.child("query", 100), root.child("cache", 50));
    let mut held = query.reserve(60);
    let mut kept = cache.reserve(0);
    assert_eq!(refused_by(&held.try_move_to(&cache).unwrap_err()), "cache");
    assert!(text_of_panic(|| held.move_to(&cache)).contains("budget 'cache' refused 60 bytes"));
    assert_eq!((held.bytes(), held.budget().name().as_str()), (60, "query"));
    let (mut held, error) = kept.try_merge(held).unwrap_err();
    assert_eq!(refused_by(&error), "cache");
    assert_eq!((held.bytes(), held.budget().name().as_str()), (60, "query"));
    assert_eq!((query.used(), cache.used(), kept.bytes()), (60, 0, 0));
    kept.merge(held.split(50));
    assert_eq!((query.used(), cache.used(), kept.bytes(), held.bytes()), (10, 50, 50, 10));
    // A merge that panics drops the other reservation.
    assert!(text_of_panic(|| kept.merge(held)).contains("budget 'cache' refused 10 bytes"));
    assert_eq!((query.used(), cache.used(), kept.bytes(), root.used()), (0, 50, 50, 50));
}

const LIMITS: [usize; 6] = [900, 500, 400, 300, 200, 600];
const PARENTS: [Option<usize>; 6] = [None, Some(0), Some(0), Some(1), Some(1), None];

fn make_tree() -> Vec<MemoryBudget> {
    let mut tree: Vec<MemoryBudget> = Vec::new();
    for (number, limit) in LIMITS.iter().enumerate() {
        let name = number.to_string();
        tree.push(match PARENTS[number] {
            Some(parent) => tree[parent].child(&name, *limit),
            None => MemoryBudget::new(&name, *limit),
        });
    }
    tree
}

fn ways_up(budget: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(budget), |budget| PARENTS[*budget])
}

/// What is held: for each reservation its budget and its bytes.
#[derive(Default)]
struct Oracle(Vec<(usize, usize)>);

impl Oracle {
    fn used(&self, budget: usize) -> usize {
        let below = |&&(at, _): &&(usize, usize)| ways_up(at).any(|up| up == budget);
        self.0.iter().filter(below).map(|(_, bytes)| bytes).sum()
    }

    /// The budget that must refuse `bytes` that come from a budget, or from nowhere.
    fn refuser(&self, from: Option<usize>, to: usize, bytes: usize) -> Option<usize> {
        ways_up(to)
            .take_while(|up| !from.is_some_and(|from| ways_up(from).any(|above| above == *up)))
            .find(|up| self.used(*up) + bytes > LIMITS[*up])
    }
}

fn agrees<T>(result: Result<T, AllocError>, refuser: Option<usize>) -> Option<T> {
    match (result, refuser) {
        (Ok(value), None) => Some(value),
        (Err(error), Some(refuser)) => {
            assert_eq!(refused_by(&error), refuser.to_string());
            None
        }
        (result, refuser) => panic!("{:?} but {refuser:?} refuses", result.err()),
    }
}

proptest! {
    #[test]
    fn random_operations_agree_with_the_oracle(
        steps in prop::collection::vec((0_u8..8, any::<usize>(), any::<usize>(), 0_usize..400), 1..80)
    ) {
        let tree = make_tree();
        let mut held: Vec<Reservation> = Vec::new();
        let mut oracle = Oracle::default();
        for (step, one, other, bytes) in steps {
            let to = other % tree.len();
            if held.is_empty() || step == 0 {
                let refuser = oracle.refuser(None, to, bytes);
                if let Some(made) = agrees(tree[to].try_reserve(bytes), refuser) {
                    held.push(made);
                    oracle.0.push((to, bytes));
                }
                continue;
            }
            let number = one % held.len();
            let (at, has) = oracle.0[number];
            let part = bytes % (has + 1);
            match step {
                1 => {
                    let refuser = oracle.refuser(None, at, bytes);
                    if agrees(held[number].try_grow(bytes), refuser).is_some() {
                        oracle.0[number].1 += bytes;
                    }
                }
                2 => {
                    let more = bytes.saturating_sub(has);
                    let refuser = oracle.refuser(None, at, more).filter(|_| bytes >= has);
                    if agrees(held[number].try_resize(bytes), refuser).is_some() {
                        oracle.0[number].1 = bytes;
                    }
                }
                3 => {
                    held[number].shrink(part);
                    oracle.0[number].1 -= part;
                }
                4 => {
                    let made = held[number].split(part);
                    held.push(made);
                    oracle.0[number].1 -= part;
                    oracle.0.push((at, part));
                }
                5 => {
                    let last = held.pop().unwrap();
                    let (from, moved) = oracle.0.pop().unwrap();
                    let Some(into) = (!held.is_empty()).then(|| other % held.len()) else {
                        continue;
                    };
                    oracle.0.push((from, moved));
                    let refuser = oracle.refuser(Some(from), oracle.0[into].0, moved);
                    let result = held[into].try_merge(last).map_err(|(last, error)| {
                        held.push(last);
                        error
                    });
                    if agrees(result, refuser).is_some() {
                        oracle.0.pop();
                        oracle.0[into].1 += moved;
                    }
                }
                6 => {
                    let taken = held[number].take();
                    assert_eq!(held[number].free(), 0);
                    held[number] = taken;
                }
                _ => {
                    let refuser = oracle.refuser(Some(at), to, has);
                    if agrees(held[number].try_move_to(&tree[to]), refuser).is_some() {
                        oracle.0[number].0 = to;
                    }
                }
            }
            for (number, budget) in tree.iter().enumerate() {
                prop_assert_eq!(budget.used(), oracle.used(number));
            }
            for (one, (at, bytes)) in held.iter().zip(&oracle.0) {
                prop_assert_eq!((one.bytes(), one.budget().as_raw()), (*bytes, tree[*at].as_raw()));
            }
        }
        drop(held);
        prop_assert!(tree.iter().all(|budget| budget.used() == 0));
    }
}

#[test]
fn threads_that_move_reservations_never_change_the_common_parent() {
    let root = MemoryBudget::new("root", 40);
    let sides = [root.child("a", 40), root.child("b", 30), root.child("c", 25).child("d", 20)];
    let held: Vec<_> = (0..4).map(|_| sides[0].reserve(10)).collect();
    let done: Vec<Reservation> = thread::scope(|scope| {
        let (root, sides) = (&root, &sides);
        let start = |(number, held)| scope.spawn(move || move_around(number, held, root, sides));
        let threads: Vec<_> = held.into_iter().enumerate().map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((root.used(), root.peak()), (40, 40));
    for side in &sides {
        let here = done.iter().filter(|held| held.budget().as_raw() == side.as_raw());
        assert_eq!(side.used(), here.map(Reservation::bytes).sum::<usize>());
    }
    drop(done);
    assert_eq!(root.used(), 0);
}

/// Moves a reservation, and parts of it, round a tree whose root is full.
fn move_around(
    number: usize,
    mut held: Reservation,
    root: &MemoryBudget,
    sides: &[MemoryBudget],
) -> Reservation {
    for round in 0..5000 {
        if let Err(error) = held.try_move_to(&sides[(round + number) % sides.len()]) {
            assert_ne!(refused_by(&error), "root");
        }
        let mut part = held.split(4);
        part.move_to(root);
        assert_eq!(root.used(), 40);
        if let Err((part, _)) = held.try_merge(part) {
            // The other threads have taken the room. The root has all bytes.
            held.move_to(root);
            held.merge(part);
        }
        assert_eq!(held.bytes(), 10);
    }
    held
}

#[test]
fn forced_charge_counts_beyond_each_limit_and_refuses_others_until_use_has_fallen() {
    let root = MemoryBudget::new("root", 100);
    let (a, b) = (root.child("a", 60), root.child("b", 100));
    let mut forced = a.force_reserve(50);
    assert_eq!((a.used(), root.used()), (50, 50), "what fits is an ordinary charge");
    forced.force_grow(70);
    assert_eq!((forced.bytes(), a.used(), root.used(), root.peak()), (120, 120, 120, 120));
    assert_eq!((a.stats().refused_count, root.stats().refused_count), (0, 0));
    assert_eq!(refused_by(&b.try_reserve(1).unwrap_err()), "root");
    assert_eq!(refused_by(&a.try_reserve(1).unwrap_err()), "a");
    forced.shrink(50);
    assert_eq!(b.reserve(30).bytes(), 30);
    assert_eq!(refused_by(&a.try_reserve(1).unwrap_err()), "a");
    // It can be divided and moved as any other.
    let mut part = forced.split(40);
    part.move_to(&b);
    assert_eq!((a.used(), b.used(), root.used()), (30, 40, 70));
    drop((part, forced));
    assert_eq!(root.used(), 0);
}

#[test]
fn forced_charge_asks_reclaimers_and_callbacks_first_and_outlives_their_panic() {
    let root = MemoryBudget::new("root", 100);
    let cache = Arc::new(Mutex::new(Some(root.child("cache", 100).reserve(60))));
    let (asked, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (stock, count) = (Arc::clone(&cache), Arc::clone(&asked));
    let _gives = root.on_reclaim(0, move |_| {
        count.fetch_add(1, SeqCst);
        stock.lock().unwrap().take().map_or(0, |held| held.bytes())
    });
    let count = Arc::clone(&told);
    root.on_pressure(100, move |_| _ = count.fetch_add(1, SeqCst));
    let query = root.child("query", MemoryBudget::UNLIMITED);
    let first = query.force_reserve(80);
    assert_eq!((root.used(), asked.load(SeqCst), told.load(SeqCst)), (80, 1, 0), "it fits now");
    let second = query.force_reserve(80);
    assert_eq!((root.used(), asked.load(SeqCst)), (160, 2), "nothing more could be given back");
    let before = told.load(SeqCst);
    assert!(before >= 1, "the callback was told");
    let mut none = query.force_reserve(0);
    none.force_grow(0);
    assert_eq!((asked.load(SeqCst), told.load(SeqCst)), (2, before), "nobody is asked for nothing");
    drop((first, second));

    let root = MemoryBudget::new("root", 10);
    let _panics = root.on_reclaim(0, |_| panic!("a reclaimer"));
    let held = root.child("query", 10).force_reserve(20);
    assert_eq!((held.bytes(), root.used()), (20, 20));
    drop(held);
    assert_eq!(root.used(), 0);
}

#[test]
fn forced_charge_counts_in_closed_shared_and_guaranteed_budgets() {
    let root = MemoryBudget::new("root", 100);
    root.set_policy(BudgetPolicy::Fair);
    let (a, b) = (root.child("a", 100), root.child("b", 100));
    b.set_guaranteed(40);
    let over = a.force_reserve(90);
    assert_eq!((a.used(), root.used()), (90, 90));
    assert!(a.try_reserve(1).is_err(), "it has more than its share");
    drop(over);
    assert_eq!(b.reserve(40).bytes(), 40);
    a.close();
    assert!(a.try_reserve(1).is_err());
    let late = a.force_reserve(5);
    assert_eq!((a.used(), root.used()), (5, 5));
    drop(late);
    assert_eq!((a.used(), root.used()), (0, 0));
}

#[test]
fn forced_charges_of_many_threads_are_all_counted() {
    let root = MemoryBudget::new("root", 50);
    let sides = [root.child("a", 10), root.child("b", 30)];
    thread::scope(|scope| {
        for number in 0..4 {
            let (root, side) = (&root, &sides[number % 2]);
            scope.spawn(move || {
                for round in 0..2000 {
                    let mut held = side.force_reserve(round % 40);
                    assert!(root.used() >= round % 40);
                    held.force_grow(3);
                    drop(side.try_reserve(5));
                }
            });
        }
    });
    assert_eq!((root.used(), sides[0].used(), sides[1].used()), (0, 0, 0));
}

#[test]
fn forced_growth_that_cannot_be_counted_panics_and_changes_nothing() {
    let budget = MemoryBudget::new("b", 10);
    let mut held = budget.force_reserve(20);
    assert!(catch_unwind(AssertUnwindSafe(|| held.force_grow(usize::MAX))).is_err());
    assert_eq!((held.bytes(), budget.used()), (20, 20));
    let huge = budget.force_reserve(usize::MAX / 2);
    assert_eq!(budget.used(), usize::MAX / 2 + 20);
    drop(huge);
    assert_eq!(budget.used(), 20);
}

#[test]
fn forced_charges_beyond_what_can_be_counted_are_merged_to_the_most_that_can() {
    let budget = MemoryBudget::new("b", 10);
    let mut most = budget.force_reserve(usize::MAX);
    most.merge(budget.force_reserve(100));
    assert_eq!((most.bytes(), budget.used()), (usize::MAX, usize::MAX));
    drop(most);
    assert_eq!(budget.used(), 0);
}
