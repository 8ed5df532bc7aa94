// SPDX-License-Identifier: Apache-2.0
//! Tests what budgets keep for others: what is guaranteed, and shares by weight. Each number is
//! exact, because all bytes are reserved by hand.

use crate::arbitration::{reason, refusal, until_waiting, Cache, LONG};
use aegis_memory::budget::{BudgetPolicy, MemoryBudget, RefusalReason};
use aegis_memory::{AllocError, What};
use std::thread;

#[test]
fn guaranteed_bytes_are_safe_from_growth_and_from_reclaim() {
    let root = MemoryBudget::new("root", 100);
    let (safe, other) = (root.child("safe", 80), root.child("other", 100));
    let cache = Cache::new(&safe, 0);
    safe.set_guaranteed(40);
    assert_eq!((safe.guaranteed(), safe.used(), root.used()), (40, 0, 0));
    let refused = refusal(other.try_reserve(61));
    assert_eq!(refused.reason, RefusalReason::Guarantee);
    assert_eq!(
        refused.to_string(),
        "budget 'root' refused 61 bytes: limit 100 bytes, 40 bytes in use or guaranteed"
    );
    let most = other.reserve(60);
    cache.fill(4, 10);
    assert_eq!((root.used(), safe.used()), (100, 40));
    assert!(other.try_reserve(1).is_err());
    assert!(cache.wanted().is_empty());
    // What is above the guarantee can be reclaimed, and no more is asked for.
    drop(most);
    cache.fill(3, 10);
    let some = other.reserve(30);
    assert_eq!(reason(other.try_reserve(31)), (RefusalReason::Limit, 100, 70));
    assert_eq!((cache.wanted(), safe.used()), (vec![30], 40));
    let more = other.reserve(30);
    // Without the guarantee all can be reclaimed.
    safe.set_guaranteed(0);
    let all = other.reserve(40);
    assert_eq!((safe.used(), other.used(), root.used()), (0, 100, 100));
    drop((some, more, all));
    assert_eq!(root.used(), 0);
}

#[test]
fn guarantee_that_cannot_be_kept_is_refused_and_changes_nothing() {
    let root = MemoryBudget::new("root", 100);
    let (a, b) = (root.child("a", 100), root.child("b", 70));
    let held = b.reserve(50);
    a.set_guaranteed(30);
    assert_eq!(reason(a.try_set_guaranteed(51)), (RefusalReason::Guarantee, 100, 80));
    match b.try_set_guaranteed(71) {
        Err(AllocError::Invalid { what: What::Guarantee, requested: 71, allowed: 70, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!((a.guaranteed(), b.guaranteed()), (30, 0));
    // Of a guarantee for what is in use already, only the rest must be found.
    b.set_guaranteed(70);
    assert_eq!(reason(root.try_reserve(1)), (RefusalReason::Guarantee, 100, 100));
    drop(held);
    // A budget that goes takes its guarantee along.
    drop((a, b));
    assert_eq!(root.reserve(100).bytes(), 100);
}

#[test]
fn children_share_by_weight_what_is_left() {
    let root = MemoryBudget::new("root", 120);
    root.set_policy(BudgetPolicy::Fair);
    assert_eq!((root.policy(), root.share()), (BudgetPolicy::Fair, 120));
    let light = root.child("light", 200);
    assert_eq!((light.share(), light.policy()), (120, BudgetPolicy::Greedy));
    let heavy = root.child("heavy", 200);
    assert_eq!((light.weight(), heavy.weight()), (100, MemoryBudget::DEFAULT_WEIGHT));
    heavy.set_weight(300);
    assert_eq!((light.share(), heavy.share()), (30, 90));
    let mine = light.reserve(30);
    let refused = refusal(light.try_reserve(1));
    assert_eq!(refused.reason, RefusalReason::Share);
    let says = "budget 'light' refused 1 bytes: its fair share is 30 bytes, 30 bytes in use";
    assert_eq!(refused.to_string(), says);
    // What is charged directly or without a weight leaves less to be shared. What is in use stays.
    let (direct, free) = (root.reserve(20), root.child("free", 200));
    free.set_weight(0);
    let unshared = free.reserve(20);
    assert_eq!((light.share(), heavy.share(), free.share()), (20, 60, 200));
    assert_eq!((light.used(), reason(light.try_reserve(1))), (30, (RefusalReason::Share, 20, 30)));
    assert_eq!(reason(free.try_reserve(51)), (RefusalReason::Limit, 120, 70));
    // A guarantee comes first, and beside the share of the rest.
    drop((unshared, direct));
    heavy.set_guaranteed(40);
    assert_eq!((light.share(), heavy.share()), (20, 100));
    drop((free, heavy));
    assert_eq!((light.share(), light.reserve(90).bytes()), (120, 90));
    drop(mine);
    assert_eq!(root.used(), 0);
}

#[test]
fn share_that_grows_serves_who_waits_for_it() {
    let root = MemoryBudget::new("root", 100);
    root.set_policy(BudgetPolicy::Fair);
    let (a, b) = (root.child("a", 100), root.child("b", 100));
    thread::scope(|scope| {
        let waits = scope.spawn(|| a.reserve_timeout(75, LONG));
        until_waiting(&a, 1);
        a.set_weight(200);
        assert_eq!((a.share(), a.waiting()), (66, 1));
        a.set_weight(300);
        assert_eq!((a.waiting(), a.used()), (0, 75));
        let served = waits.join().unwrap().expect("its share is 75 bytes now");
        assert_eq!((served.bytes(), a.share(), a.waiting()), (75, 75, 0));
        let waits = scope.spawn(|| a.reserve_timeout(25, LONG));
        until_waiting(&a, 1);
        drop(b);
        assert_eq!((a.waiting(), a.share()), (0, 100));
        assert_eq!(waits.join().unwrap().expect("it has all").bytes(), 25);
    });
}

#[test]
fn terms_out_of_range_are_refused_and_change_nothing() {
    let root = MemoryBudget::new("root", 100);
    let most = MemoryBudget::MAX_WEIGHT;
    root.set_weight(most);
    match root.try_set_weight(most + 1) {
        Err(AllocError::Invalid { what: What::Weight, requested, allowed, .. }) => {
            assert_eq!((requested, allowed), (most as usize + 1, most as usize));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(root.weight(), most);
    let held = root.reserve(1);
    let used = root.try_set_policy(BudgetPolicy::Fair).expect_err("bytes are in use");
    assert!(matches!(used, AllocError::Invalid { what: What::UsedBudget, .. }));
    assert_eq!(used.to_string(), "still in use: the budget has children or bytes in use");
    drop(held);
    let child = root.child("child", 1);
    assert!(root.try_set_policy(BudgetPolicy::Fair).is_err());
    assert_eq!(root.policy(), BudgetPolicy::default());
    drop(child);
    root.set_policy(BudgetPolicy::Fair);
    root.set_policy(BudgetPolicy::Greedy);
    assert_eq!(root.policy(), BudgetPolicy::Greedy);
}
