// SPDX-License-Identifier: Apache-2.0
//! Time of an allocation from the arenas that threads share and from their rivals, by one thread and
//! by two at once. The method is that of the library's own bench of the same arenas
//! (`benches/arena_shared.rs`): no first word is written, arenas are warm, resets are not timed.
//!
//! Two families: one arena for all threads (direct), and a handle or an arena for each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aegis_memory::arena::{LockFreeArena, LockedArena};
use blink_alloc::SyncBlinkAlloc;
use bump_scope::{traits::BumpAllocatorTyped, BumpPool};
use bumpalo::Bump;
use bumpalo_herd::Herd;
use criterion::measurement::WallTime;
use criterion::{criterion_group, criterion_main, BenchmarkGroup, Criterion};
use rarena_allocator::{sync, Allocator as _, Buffer as _, Options};

/// Allocations of a thread between two resets.
const CHUNK: u64 = 65_536;
const CAPACITY: usize = 64 << 20;

/// Runs the work on so many threads at once; the time of the slowest.
fn at_once(threads: usize, work: impl Fn() + Sync) -> Duration {
    let barrier = Barrier::new(threads);
    let side = || {
        barrier.wait();
        let start = Instant::now();
        work();
        start.elapsed()
    };
    if threads == 1 {
        return side();
    }
    thread::scope(|scope| {
        let sides: Vec<_> = (0..threads).map(|_| scope.spawn(side)).collect();
        let times = sides.into_iter().map(|side| side.join().expect("no panic"));
        times.max().expect("at least one thread")
    })
}

/// One rival: `work` allocates so many times from the shared state, `reset` frees all.
fn case<S: Sync>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    threads: usize,
    mut state: S,
    work: impl Fn(&S, u64) + Sync,
    reset: impl Fn(&mut S),
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let count = left.min(CHUNK);
                total += at_once(threads, || work(&state, count));
                reset(&mut state);
                left -= count;
            }
            total
        });
    });
}

/// So many allocations.
#[inline(always)]
fn repeat(count: u64, mut allocate: impl FnMut() -> NonNull<u8>) {
    for _ in 0..count {
        black_box(allocate());
    }
}

fn direct(group: &mut BenchmarkGroup<'_, WallTime>, threads: usize, layout: Layout) {
    let arena = LockFreeArena::new(CAPACITY);
    let work = |arena: &LockFreeArena, n| repeat(n, || arena.alloc_layout(layout));
    case(group, "LockFreeArena", threads, arena, work, LockFreeArena::reset);
    let arena = LockedArena::new(CAPACITY);
    let work = |arena: &LockedArena, n| repeat(n, || arena.alloc_layout(layout));
    case(group, "LockedArena", threads, arena, work, LockedArena::reset);
    let bump = Mutex::new(Bump::with_capacity(CAPACITY));
    let work = |bump: &Mutex<Bump>, n| {
        repeat(n, || bump.lock().expect("no panic").alloc_layout(layout));
    };
    let reset = |bump: &mut Mutex<Bump>| bump.get_mut().expect("no panic").reset();
    case(group, "Mutex<bumpalo>", threads, bump, work, reset);
    let work = |blink: &SyncBlinkAlloc, n| {
        repeat(n, || blink.allocate(layout).expect("memory").cast());
    };
    case(group, "blink-alloc", threads, SyncBlinkAlloc::new(), work, SyncBlinkAlloc::reset);
    let arena: sync::Arena =
        Options::new().with_capacity(CAPACITY as u32).alloc().expect("memory for the arena");
    let work = |arena: &sync::Arena, n| {
        repeat(n, || {
            let mut bytes = arena.alloc_aligned_bytes::<u64>(layout.size() as u32 - 8);
            let bytes = bytes.as_mut().expect("room");
            // SAFETY: the bytes are given up; the reset frees them.
            unsafe { bytes.detach() };
            NonNull::new(bytes.as_mut_ptr()).expect("not null")
        });
    };
    // SAFETY: nothing of the arena is in use.
    let reset = |arena: &mut sync::Arena| unsafe { arena.clear() }.expect("not read-only");
    case(group, "rarena", threads, arena, work, reset);
}

fn by_handle(group: &mut BenchmarkGroup<'_, WallTime>, threads: usize, layout: Layout) {
    let arena = LockFreeArena::new(CAPACITY);
    let work = |arena: &LockFreeArena, n| {
        let local = arena.local();
        repeat(n, || local.alloc_layout(layout));
    };
    case(group, "LocalArena", threads, arena, work, LockFreeArena::reset);
    let work = |herd: &Herd, n| {
        let member = herd.get();
        repeat(n, || member.alloc_layout(layout));
    };
    case(group, "bumpalo-herd", threads, Herd::new(), work, Herd::reset);
    let pool: BumpPool = BumpPool::new();
    let work = |pool: &BumpPool, n| {
        let bump = pool.get();
        repeat(n, || bump.allocate_layout(layout));
    };
    case(group, "bump-scope pool", threads, pool, work, BumpPool::reset);
    let work = |blink: &SyncBlinkAlloc, n| {
        let local = blink.local();
        repeat(n, || local.allocate(layout).expect("memory").cast());
    };
    case(group, "blink-alloc local", threads, SyncBlinkAlloc::new(), work, SyncBlinkAlloc::reset);
    type Given = Mutex<Vec<Vec<usize>>>;
    let hand_out = |given: &Given, count: u64, allocate: &dyn Fn() -> *mut u8| {
        let mut mine = Vec::with_capacity(count as usize);
        repeat(count, || {
            let p = NonNull::new(allocate()).expect("memory");
            mine.push(p.as_ptr() as usize);
            p
        });
        given.lock().expect("no panic").push(mine);
    };
    // SAFETY: the size is not 0.
    let work = |given: &Given, n| hand_out(given, n, &|| unsafe { System.alloc(layout) });
    let free = |given: &mut Given| {
        for p in given.get_mut().expect("no panic").drain(..).flatten() {
            // SAFETY: allocated above with this layout.
            unsafe { System.dealloc(p as *mut u8, layout) };
        }
    };
    case(group, "malloc", threads, Given::default(), work, free);
    let work = |given: &Given, n| {
        // SAFETY: any size may be asked for.
        hand_out(given, n, &|| unsafe { libmimalloc_sys::mi_malloc(layout.size()) }.cast());
    };
    let free = |given: &mut Given| {
        for p in given.get_mut().expect("no panic").drain(..).flatten() {
            // SAFETY: allocated above.
            unsafe { libmimalloc_sys::mi_free(p as *mut _) };
        }
    };
    case(group, "mimalloc", threads, Given::default(), work, free);
}

fn shared(criterion: &mut Criterion) {
    for size in [16, 32, 256] {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        for threads in [1, 2] {
            let mut group =
                criterion.benchmark_group(format!("shared {size} B, {threads} threads"));
            direct(&mut group, threads, layout);
            by_handle(&mut group, threads, layout);
            group.finish();
        }
    }
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(20)
        .configure_from_args()
}

criterion_group! {
    name = benches;
    config = short();
    targets = shared
}
criterion_main!(benches);
