// SPDX-License-Identifier: Apache-2.0
//! Measures the time of the arenas that threads share, from one thread and from two at the same
//! time, compared with an `Arena` behind a mutex and with the standard allocator: `cargo bench
//! --bench arena_shared`, with `-- --quick` for a first look.
//!
//! An iteration is one allocation in each thread, either without or with a write to its first word.
//! The write is expensive for threads that allocate in turn, because their allocations lie in one
//! cache line. The printed time is that of one allocation in the slower thread. All threads start
//! together. After every 65,536 allocations the arena is reset, or the standard allocator frees
//! what it gave; that time is not counted. Other rivals are in `benches/compare/`.

mod support;

use std::alloc::{alloc, dealloc, Layout};
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::Mutex;

use aegis_memory::arena::{Arena, ArenaRecycler, LockFreeArena, LockedArena};
use criterion::{criterion_group, criterion_main, Criterion};
use support::work::{shared, SHARED_CAPACITY};
use support::{settings, Group};

/// Writes the first word of an allocation, as a caller usually does, or leaves it untouched.
#[inline(always)]
fn touch<const WRITE: bool>(p: NonNull<u8>) {
    if WRITE {
        // SAFETY: every contender has just allocated 16 bytes or more at a multiple of 8.
        unsafe { p.cast::<u64>().as_ptr().write(1) };
    }
    black_box(p);
}

/// Measures a contender that the threads share.
fn shared_case<S: Sync>(
    group: &mut Group<'_>,
    name: &str,
    threads: usize,
    state: S,
    work: impl Fn(&S, u64) + Sync,
    reset: impl Fn(&mut S),
) {
    let mut time = shared(threads, state, work, reset);
    group.bench_function(name, |bencher| bencher.iter_custom(&mut time));
}

/// The loop over an arena. An arena and a handle, which derefs to one, use the same copy of it. If
/// it were inlined, the times of two copies of the same few instructions would differ by half,
/// depending on their addresses.
#[inline(never)]
fn fill<const WRITE: bool>(arena: &Arena, count: u64, layout: Layout) {
    for _ in 0..count {
        touch::<WRITE>(arena.alloc_layout(layout));
    }
}

fn sized<const SIZE: usize, const WRITE: bool>(criterion: &mut Criterion) {
    let layout = Layout::from_size_align(SIZE, 8).expect("a layout");
    let written = if WRITE { " and first word" } else { "" };
    for threads in [1, 2] {
        let mut group =
            criterion.benchmark_group(format!("{SIZE} B{written}, {threads} thread(s)"));
        // Each thread has an arena of its own, so the threads share only the stock that it comes
        // from.
        let stock =
            ArenaRecycler::builder().capacity(SHARED_CAPACITY).max_idle(2).keep_bytes(usize::MAX);
        let stock = stock.no_debug().build().expect("memory");
        let own = |stock: &ArenaRecycler, count| {
            fill::<WRITE>(&stock.get(), count, layout);
        };
        shared_case(&mut group, "Arena", threads, stock, own, |_| ());
        let local = |arena: &LockFreeArena, count| {
            fill::<WRITE>(&arena.local(), count, layout);
        };
        let arena = LockFreeArena::new(SHARED_CAPACITY);
        shared_case(&mut group, "LocalArena", threads, arena, local, LockFreeArena::reset);
        let direct = |arena: &LockFreeArena, count| {
            for _ in 0..count {
                touch::<WRITE>(arena.alloc_layout(layout));
            }
        };
        let arena = LockFreeArena::new(SHARED_CAPACITY);
        shared_case(&mut group, "LockFreeArena", threads, arena, direct, LockFreeArena::reset);
        let locked = |arena: &LockedArena, count| {
            for _ in 0..count {
                touch::<WRITE>(arena.alloc_layout(layout));
            }
        };
        let arena = LockedArena::new(SHARED_CAPACITY);
        shared_case(&mut group, "LockedArena", threads, arena, locked, LockedArena::reset);
        let mutex = |arena: &Mutex<Arena>, count| {
            for _ in 0..count {
                touch::<WRITE>(arena.lock().expect("no panic").alloc_layout(layout));
            }
        };
        let reset = |arena: &mut Mutex<Arena>| arena.get_mut().expect("no panic").reset();
        shared_case(
            &mut group,
            "Mutex<Arena>",
            threads,
            Mutex::new(Arena::new(SHARED_CAPACITY)),
            mutex,
            reset,
        );
        let given = Mutex::new(Vec::<Vec<usize>>::new());
        let standard = |given: &Mutex<Vec<Vec<usize>>>, count: u64| {
            let mut mine = Vec::with_capacity(count as usize);
            for _ in 0..count {
                // SAFETY: the size is not 0.
                let p = NonNull::new(unsafe { alloc(layout) }).expect("memory");
                touch::<WRITE>(p);
                mine.push(p.as_ptr() as usize);
            }
            given.lock().expect("no panic").push(mine);
        };
        let free = |given: &mut Mutex<Vec<Vec<usize>>>| {
            for p in given.get_mut().expect("no panic").drain(..).flatten() {
                // SAFETY: allocated above with this layout.
                unsafe { dealloc(p as *mut u8, layout) };
            }
        };
        shared_case(&mut group, "standard", threads, given, standard, free);
        group.finish();
    }
}

fn all(criterion: &mut Criterion) {
    sized::<16, false>(criterion);
    sized::<32, false>(criterion);
    sized::<256, false>(criterion);
    sized::<16, true>(criterion);
    sized::<32, true>(criterion);
    sized::<256, true>(criterion);
}

criterion_group! {
    name = arena_shared;
    config = settings(3000, 5000, 100);
    targets = all
}
criterion_main!(arena_shared);
