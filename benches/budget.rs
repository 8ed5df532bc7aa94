// SPDX-License-Identifier: Apache-2.0
//! Measures what a budget costs. Charging and releasing one block is compared with the same number
//! of plain atomic additions. An arena with a budget, where only blocks are charged, is compared
//! with an arena without one. A charge for which a reclaimer makes room is compared with the same
//! charges and uncharges made by hand. Moving a reservation is compared with a new reservation and
//! the end of the old one. `budget_threads` measures what several threads do to each other.
//!
//! `cargo bench --bench budget`

mod support;

use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::ffi;
use criterion::{criterion_group, criterion_main, Criterion};
use support::settings;

const BLOCK: usize = 64 << 10;

/// The leaf of a tree `depth` levels deep.
fn leaf(depth: usize) -> MemoryBudget {
    let root = MemoryBudget::new("root", MemoryBudget::UNLIMITED / 2);
    (1..depth).fold(root, |parent, _| parent.child("node", MemoryBudget::UNLIMITED / 2))
}

fn charge_and_release(budget: &MemoryBudget) {
    // SAFETY: the budget is alive, and what is charged is taken back.
    unsafe {
        let status = ffi::aegis_budget_charge(budget.as_raw(), BLOCK, ptr::null_mut());
        assert_eq!(status, 0);
        ffi::aegis_budget_uncharge(budget.as_raw(), BLOCK);
    }
}

/// The additions that any exact count over `depth` levels needs, and nothing else.
fn add_and_subtract(counters: &[Padded]) {
    for counter in counters {
        counter.0.fetch_add(black_box(BLOCK), Ordering::Relaxed);
    }
    for counter in counters {
        counter.0.fetch_sub(black_box(BLOCK), Ordering::Relaxed);
    }
}

/// A counter that has its cache lines for itself, as a budget's counters have.
#[repr(align(128))]
#[derive(Default)]
struct Padded(AtomicUsize);

/// Measures `work` while another thread does the same work without a pause.
fn beside_another_thread(c: &mut Criterion, name: &str, work: impl Fn() + Sync) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                work();
            }
        });
        c.bench_function(name, |b| b.iter(&work));
        stop.store(true, Ordering::Relaxed);
    });
}

fn charges(c: &mut Criterion) {
    for depth in [1, 4] {
        let budget = leaf(depth);
        let counters: Vec<Padded> = (0..depth).map(|_| Padded::default()).collect();
        c.bench_function(&format!("charge/depth {depth}/alone/budget"), |b| {
            b.iter(|| charge_and_release(&budget));
        });
        c.bench_function(&format!("charge/depth {depth}/alone/atomics"), |b| {
            b.iter(|| add_and_subtract(&counters));
        });
        let name = format!("charge/depth {depth}/two threads");
        beside_another_thread(c, &format!("{name}/budget"), || charge_and_release(&budget));
        beside_another_thread(c, &format!("{name}/atomics"), || add_and_subtract(&counters));
        assert_eq!(budget.used(), 0);
    }
}

/// A request: a thousand small allocations, then a reset.
fn request(arena: &mut Arena) {
    for i in 0..1000_u64 {
        black_box(arena.alloc_value(i));
    }
    arena.reset();
}

fn arenas(c: &mut Criterion) {
    let budget = leaf(4);
    let mut without = Arena::builder().no_debug().build().expect("no limit is set");
    let mut within = Arena::builder().no_debug().budget(&budget).build().expect("no limit is near");
    c.bench_function("arena/1000 values/no budget", |b| b.iter(|| request(&mut without)));
    c.bench_function("arena/1000 values/budget", |b| b.iter(|| request(&mut within)));
    let fresh = |budget: Option<&MemoryBudget>| {
        let builder = Arena::builder().capacity(4096).no_debug();
        let builder = budget.into_iter().fold(builder, |b, budget| b.budget(budget));
        black_box(builder.build().expect("no limit is near").alloc_value(1_u64));
    };
    c.bench_function("arena/new and drop/no budget", |b| b.iter(|| fresh(None)));
    c.bench_function("arena/new and drop/budget", |b| b.iter(|| fresh(Some(&budget))));
}

fn charge(budget: &MemoryBudget) -> ffi::aegis_status {
    // SAFETY: the budget is alive, and no error is asked for.
    unsafe { ffi::aegis_budget_charge(budget.as_raw(), BLOCK, ptr::null_mut()) }
}

fn uncharge(budget: &MemoryBudget) {
    // SAFETY: the budget is alive, and has been charged as much.
    let status = unsafe { ffi::aegis_budget_uncharge(budget.as_raw(), BLOCK) };
    assert_eq!(status, 0);
}

/// A root that a cache has filled, the cache, and an operator that has nothing.
fn full_root() -> [MemoryBudget; 3] {
    let root = MemoryBudget::new("root", 64 * BLOCK);
    let [cache, operator] = ["cache", "operator"].map(|name| root.child(name, 64 * BLOCK));
    for _ in 0..64 {
        assert_eq!(charge(&cache), 0);
    }
    [root, cache, operator]
}

/// Gives the operator's block back to the cache.
fn give_back(cache: &MemoryBudget, operator: &MemoryBudget) {
    uncharge(operator);
    assert_eq!(charge(cache), 0);
}

fn refused_charges(c: &mut Criterion) {
    let [root, cache, operator] = full_root();
    c.bench_function("full/refused/no reclaimer", |b| {
        b.iter(|| assert_ne!(charge(&operator), 0));
    });
    c.bench_function("full/charged/by hand", |b| {
        b.iter(|| {
            uncharge(&cache);
            assert_eq!(charge(&operator), 0);
            give_back(&cache, &operator);
        });
    });
    let reclaimer = cache.on_reclaim(0, |_| 0);
    c.bench_function("full/refused/a reclaimer has nothing", |b| {
        b.iter(|| assert_ne!(charge(&operator), 0));
    });
    drop(reclaimer);
    let own = cache.clone();
    let reclaimer = cache.on_reclaim(0, move |_| {
        uncharge(&own);
        BLOCK
    });
    c.bench_function("full/charged/a reclaimer makes room", |b| {
        b.iter(|| {
            assert_eq!(charge(&operator), 0);
            give_back(&cache, &operator);
        });
    });
    drop(reclaimer);
    assert_eq!(root.used(), 64 * BLOCK);
    (0..64).for_each(|_| uncharge(&cache));
}

fn moves(c: &mut Criterion) {
    let root = MemoryBudget::new("root", 64 * BLOCK);
    let [query, cache] = ["query", "cache"].map(|name| root.child(name, 64 * BLOCK));
    let other = MemoryBudget::new("other", 64 * BLOCK);
    for (where_to, budget) in [("sibling", &cache), ("another tree", &other)] {
        let mut held = query.reserve(BLOCK);
        c.bench_function(&format!("there and back/{where_to}/moved"), |b| {
            b.iter(|| {
                held.move_to(budget);
                held.move_to(&query);
            });
        });
        c.bench_function(&format!("there and back/{where_to}/reserved anew"), |b| {
            b.iter(|| {
                held = budget.reserve(BLOCK);
                held = query.reserve(BLOCK);
            });
        });
        drop(held);
        assert_eq!((root.used(), other.used()), (0, 0));
    }
}

criterion_group! {
    name = benches;
    config = settings(200, 500, 20);
    targets = charges, arenas, refused_charges, moves
}
criterion_main!(benches);
