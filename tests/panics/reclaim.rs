// SPDX-License-Identifier: Apache-2.0
//! Tests panics of reclaimers. A panic must come out of the call whose charge has asked the
//! reclaimer, and of no other. The numbers stay exact, and no result is lost. The tests go through
//! every object that charges a budget. A closure whose drop panics is tested in the same way.

use crate::support::message_of;
use crate::support::panics::bystanders;
use aegis_memory::arena::{Arena, ArenaRecycler, LockFreeArena, LockedArena};
use aegis_memory::budget::{MemoryBudget, Reclaimer, Reservation};
use aegis_memory::buffer::{Buffer, BufferMut, BufferPool};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool};
use std::panic::{catch_unwind, panic_any, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: usize = 1 << 20;

/// A tree that is full: the object's budget, and a cache whose first reclaimer panics.
struct Stage {
    root: MemoryBudget,
    cache: MemoryBudget,
    held: Arc<Mutex<Vec<Reservation>>>,
    calls: Arc<AtomicUsize>,
    _panics: Reclaimer,
}

impl Stage {
    fn fill(root: &MemoryBudget) -> Self {
        let cache = root.child("cache", LIMIT);
        let held = Arc::new(Mutex::new(vec![cache.reserve(LIMIT - root.used())]));
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let panics = cache.on_reclaim(0, move |_| {
            count.fetch_add(1, SeqCst);
            panic_any("reclaim")
        });
        Self { root: root.clone(), cache, held, calls, _panics: panics }
    }

    /// Registers a reclaimer that is asked after the other and frees everything.
    fn relent(&self) -> Reclaimer {
        let held = Arc::clone(&self.held);
        self.cache.on_reclaim(1, move |_| {
            held.lock().unwrap().drain(..).map(|reservation| reservation.bytes()).sum()
        })
    }
}

fn message(result: Result<(), Box<dyn std::any::Any + Send>>) -> Option<String> {
    result.err().map(|payload| message_of(&*payload))
}

/// Makes an object, fills the tree, and makes a call that needs memory: first when nothing can be
/// reclaimed, then when a second reclaimer makes room. If the object `keeps` the result, the panic
/// also continues from a call that succeeds.
#[track_caller]
fn check<T>(
    keeps: bool,
    make: impl FnOnce(&MemoryBudget) -> T,
    mut call: impl FnMut(&mut T) -> bool,
) {
    let root = MemoryBudget::new("root", LIMIT);
    let mut object = make(&root.child("object", LIMIT));
    let stage = Stage::fill(&root);
    assert_eq!(root.used(), LIMIT);
    let refused = message(catch_unwind(AssertUnwindSafe(|| _ = call(&mut object))));
    assert_eq!(refused.as_deref(), Some("reclaim"));
    let first = stage.calls.load(SeqCst);
    assert_eq!((first > 0, root.used()), (true, LIMIT));
    bystanders();
    let relents = stage.relent();
    let mut succeeded = false;
    let helped = message(catch_unwind(AssertUnwindSafe(|| succeeded = call(&mut object))));
    assert!(stage.calls.load(SeqCst) > first);
    assert_eq!(helped.as_deref(), keeps.then_some("reclaim"));
    assert_eq!((succeeded, stage.cache.used()), (!keeps, 0));
    bystanders();
    drop((object, relents));
    assert_eq!(stage.root.used(), 0);
}

#[test]
fn panic_comes_out_of_the_call_that_charges_by_hand() {
    check(
        false,
        |budget| (budget.clone(), Vec::new()),
        |(budget, kept)| budget.try_reserve(100).map(|got| kept.push(got)).is_ok(),
    );
    check(
        false,
        |budget| (budget.clone(), Vec::new()),
        |(budget, kept)| {
            budget.reserve_timeout(100, Duration::ZERO).map(|got| kept.push(got)).is_ok()
        },
    );
}

#[test]
fn panic_comes_out_of_a_lowered_limit_which_is_lowered_all_the_same() {
    let root = MemoryBudget::new("root", LIMIT);
    let stage = Stage::fill(&root);
    let result = message(catch_unwind(AssertUnwindSafe(|| root.set_limit(LIMIT / 2))));
    assert_eq!((result.as_deref(), root.limit()), (Some("reclaim"), LIMIT / 2));
    bystanders();
    root.set_limit(LIMIT);
    assert_eq!((stage.calls.load(SeqCst), root.used()), (1, LIMIT));
}

macro_rules! arena_calls {
    ($Arena:ident) => {
        let make = |budget: &MemoryBudget| $Arena::builder().budget(budget).build().unwrap();
        check(true, make, |arena| arena.alloc(5000).len() == 5000);
        check(true, make, |arena| arena.try_alloc_uninit(5000).is_ok());
        check(true, make, |arena| arena.try_alloc_static(String::from("static")).is_ok());
        check(true, make, |arena| arena.try_alloc_fmt(format_args!("{:5000}", 7)).is_ok());
        check(true, make, |arena| {
            arena.try_alloc_slice_from_iter((0..20_000_u32).filter(|i| i % 2 == 0)).is_ok()
        });
        check(false, MemoryBudget::clone, |budget| {
            $Arena::builder().budget(budget).capacity(5000).build().is_ok()
        });
    };
}

#[test]
fn panic_comes_out_of_the_call_that_makes_an_arena_grow() {
    arena_calls!(Arena);
    arena_calls!(LockFreeArena);
    arena_calls!(LockedArena);
    let local = |budget: &MemoryBudget| LockFreeArena::builder().budget(budget).build().unwrap();
    check(true, local, |arena| arena.local().try_alloc(50).is_ok());
    let stock = |budget: &MemoryBudget| {
        ArenaRecycler::builder().capacity(5000).max_idle(2).budget(budget).build().unwrap()
    };
    check(false, stock, |recycler| recycler.try_get().is_ok());
    let growing = |budget: &MemoryBudget| Arena::builder().budget(budget).build().unwrap();
    check(true, growing, |arena| arena.scope(|scratch| scratch.try_alloc(5000).is_ok()));
}

#[test]
fn panic_comes_out_of_the_call_that_makes_a_pool_grow() {
    macro_rules! pool_calls {
        ($Pool:ident, $Shared:ident) => {
            let make = |budget: &MemoryBudget| {
                let builder = $Pool::builder().block_size(64).blocks(2).max_blocks(8);
                let pool = $Shared::new(builder.budget(budget).build().unwrap());
                let held: Vec<_> = (0..2).map(|_| pool.alloc_owned().unwrap()).collect();
                (pool, held)
            };
            check(false, make, |(pool, held)| pool.alloc_owned().map(|b| held.push(b)).is_ok());
            check(false, make, |(pool, _)| pool.alloc_n(3, &mut Vec::new()).is_ok());
            check(false, MemoryBudget::clone, |budget| {
                $Pool::builder().block_size(64).blocks(2).budget(budget).build().is_ok()
            });
        };
    }
    pool_calls!(Pool, Rc);
    pool_calls!(LockFreePool, Arc);
    pool_calls!(LockedPool, Arc);
    let locked = |budget: &MemoryBudget| {
        let builder = LockedPool::builder().block_size(64).blocks(1).max_blocks(2);
        let pool = Arc::new(builder.budget(budget).build().unwrap());
        let held = vec![pool.alloc_owned().unwrap()];
        (pool, held)
    };
    check(false, locked, |(pool, held)| {
        pool.alloc_owned_timeout(Duration::ZERO).map(|block| held.push(block)).is_ok()
    });
}

#[test]
fn panic_comes_out_of_the_call_that_makes_a_buffer() {
    let bytes = [7; 5000];
    let kept = |budget: &MemoryBudget| (budget.clone(), Vec::new());
    check(false, kept, |(budget, kept)| {
        Buffer::try_copy_from_slice_in(&bytes, budget).map(|view| kept.push(view)).is_ok()
    });
    check(false, MemoryBudget::clone, |budget| {
        BufferMut::try_with_capacity_in(5000, 64, budget).is_ok()
    });
    let writer = |budget: &MemoryBudget| (BufferMut::with_capacity(10), budget.clone());
    check(true, writer, |(writer, budget)| writer.try_reserve_in(5000, budget).is_ok());
    check(false, MemoryBudget::clone, |budget| {
        BufferPool::builder().class(64, 2).budget(budget).build().is_ok()
    });
}

// -- closures whose drop panics --

/// What a closure owns, with a drop that panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "drop");
    }
}

fn bomb() -> impl Fn(usize) -> usize + Send + Sync {
    let bomb = Bomb;
    move |_| {
        _ = &bomb;
        0
    }
}

/// Makes an object that has the last reference to a budget with such a closure, and drops it.
#[track_caller]
fn check_drop<T>(make: impl FnOnce(&MemoryBudget) -> T) {
    let budget = MemoryBudget::new("budget", LIMIT);
    budget.on_reclaim(0, bomb()).keep();
    let object = make(&budget);
    drop(budget);
    expect_drop(|| drop(object));
}

#[track_caller]
fn expect_drop(call: impl FnOnce()) {
    assert_eq!(message(catch_unwind(AssertUnwindSafe(call))).as_deref(), Some("drop"));
    bystanders();
}

#[test]
fn panic_of_a_closure_that_is_dropped_comes_out_of_the_call_that_drops_it() {
    check_drop(MemoryBudget::clone);
    check_drop(|budget| budget.child("child", 10));
    check_drop(|budget| budget.reserve(1));
    check_drop(|budget| Arena::builder().budget(budget).build().unwrap());
    check_drop(|budget| LockFreeArena::builder().budget(budget).build().unwrap());
    check_drop(|budget| LockedArena::builder().budget(budget).build().unwrap());
    check_drop(|budget| ArenaRecycler::builder().max_idle(1).budget(budget).build().unwrap());
    check_drop(|budget| Pool::builder().block_size(64).blocks(1).budget(budget).build().unwrap());
    check_drop(|budget| {
        LockFreePool::builder().block_size(64).blocks(1).budget(budget).build().unwrap()
    });
    check_drop(|budget| {
        LockedPool::builder().block_size(64).blocks(1).budget(budget).build().unwrap()
    });
    check_drop(|budget| BufferMut::with_capacity_in(100, 16, budget));
    check_drop(|budget| Buffer::copy_from_slice_in(&[1; 100], budget));
    check_drop(|budget| BufferPool::builder().class(64, 1).budget(budget).build().unwrap());
    let reclaimer = || MemoryBudget::new("budget", LIMIT).on_reclaim(0, bomb());
    expect_drop(|| drop(reclaimer()));
    // The reclaimer's handle is the last one to the budget.
    expect_drop(|| reclaimer().keep());
}

#[test]
fn closure_that_frees_itself_during_a_call_panics_out_of_that_call() {
    let root = MemoryBudget::new("root", 100);
    let cache = root.child("cache", 100);
    let own: Arc<Mutex<Option<Reclaimer>>> = Arc::default();
    let (slot, bomb) = (Arc::clone(&own), Bomb);
    *own.lock().unwrap() = Some(cache.on_reclaim(0, move |_| {
        _ = &bomb;
        drop(slot.lock().unwrap().take());
        0
    }));
    let held = cache.reserve(100);
    let result = catch_unwind(AssertUnwindSafe(|| _ = root.try_reserve(1)));
    assert_eq!(message(result).as_deref(), Some("drop"));
    bystanders();
    drop(held);
    assert_eq!((root.used(), Arc::strong_count(&own)), (0, 1));
}
