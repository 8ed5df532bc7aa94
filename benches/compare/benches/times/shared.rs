// SPDX-License-Identifier: Apache-2.0
//! Measures the time of an allocation from the arenas that threads share and from their rivals, by
//! one thread and by two at the same time. The method is that of the library's own bench of these
//! arenas (`benches/arena_shared.rs`): no first word is written, the arenas are warm, and resets
//! are not timed.
//!
//! There are two families with a group each: one arena for all threads (direct), and a handle or an
//! arena for each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::Mutex;

use aegis_memory::arena::{ArenaRecycler, LockFreeArena, LockedArena};
use blink_alloc::SyncBlinkAlloc;
use bump_scope::{traits::BumpAllocatorTyped, BumpPool};
use bumpalo::Bump;
use bumpalo_herd::Herd;
use compare::turns::{Group, Run};
use compare::work::{shared, SHARED_CAPACITY};
use rarena_allocator::{sync, Allocator as _, Buffer as _, Options};

/// Makes this many allocations.
#[inline(always)]
fn repeat(count: u64, mut allocate: impl FnMut() -> NonNull<u8>) {
    for _ in 0..count {
        black_box(allocate());
    }
}

/// Adds a contender that the threads share.
fn shared_case<'a, S: Sync + 'a>(
    group: &mut Group<'a>,
    name: &str,
    threads: usize,
    state: S,
    work: impl Fn(&S, u64) + Sync + 'a,
    reset: impl Fn(&mut S) + 'a,
) {
    let mut time = shared(threads, state, work, reset);
    group.bench_function(name, move |bencher| bencher.iter_custom(&mut time));
}

fn direct(group: &mut Group<'_>, threads: usize, layout: Layout) {
    let arena = LockFreeArena::new(SHARED_CAPACITY);
    let work = move |arena: &LockFreeArena, n| repeat(n, || arena.alloc_layout(layout));
    shared_case(group, "LockFreeArena", threads, arena, work, LockFreeArena::reset);
    let arena = LockedArena::new(SHARED_CAPACITY);
    let work = move |arena: &LockedArena, n| repeat(n, || arena.alloc_layout(layout));
    shared_case(group, "LockedArena", threads, arena, work, LockedArena::reset);
    let bump = Mutex::new(Bump::with_capacity(SHARED_CAPACITY));
    let work = move |bump: &Mutex<Bump>, n| {
        repeat(n, || bump.lock().expect("no panic").alloc_layout(layout));
    };
    let reset = |bump: &mut Mutex<Bump>| bump.get_mut().expect("no panic").reset();
    shared_case(group, "Mutex<bumpalo>", threads, bump, work, reset);
    let work = move |blink: &SyncBlinkAlloc, n| {
        repeat(n, || blink.allocate(layout).expect("memory").cast());
    };
    shared_case(group, "blink-alloc", threads, SyncBlinkAlloc::new(), work, SyncBlinkAlloc::reset);
    let arena: sync::Arena =
        Options::new().with_capacity(SHARED_CAPACITY as u32).alloc().expect("memory for the arena");
    let work = move |arena: &sync::Arena, n| {
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
    shared_case(group, "rarena", threads, arena, work, reset);
}

fn by_handle(group: &mut Group<'_>, threads: usize, layout: Layout) {
    let stock = ArenaRecycler::builder().capacity(SHARED_CAPACITY).max_idle(2);
    let stock = stock.keep_bytes(usize::MAX).no_debug().build().expect("memory");
    let work = move |stock: &ArenaRecycler, n| {
        let arena = stock.get();
        repeat(n, || arena.alloc_layout(layout));
    };
    shared_case(group, "Arena", threads, stock, work, |_| ());
    let arena = LockFreeArena::new(SHARED_CAPACITY);
    let work = move |arena: &LockFreeArena, n| {
        let local = arena.local();
        repeat(n, || local.alloc_layout(layout));
    };
    shared_case(group, "LocalArena", threads, arena, work, LockFreeArena::reset);
    let work = move |herd: &Herd, n| {
        let member = herd.get();
        repeat(n, || member.alloc_layout(layout));
    };
    shared_case(group, "bumpalo-herd", threads, Herd::new(), work, Herd::reset);
    let pool: BumpPool = BumpPool::new();
    let work = move |pool: &BumpPool, n| {
        let bump = pool.get();
        repeat(n, || bump.allocate_layout(layout));
    };
    shared_case(group, "bump-scope pool", threads, pool, work, BumpPool::reset);
    let work = move |blink: &SyncBlinkAlloc, n| {
        let local = blink.local();
        repeat(n, || local.allocate(layout).expect("memory").cast());
    };
    shared_case(
        group,
        "blink-alloc local",
        threads,
        SyncBlinkAlloc::new(),
        work,
        SyncBlinkAlloc::reset,
    );
    type Given = Mutex<Vec<Vec<usize>>>;
    let hand_out = move |given: &Given, count: u64, allocate: &dyn Fn() -> *mut u8| {
        let mut mine = Vec::with_capacity(count as usize);
        repeat(count, || {
            let p = NonNull::new(allocate()).expect("memory");
            mine.push(p.as_ptr() as usize);
            p
        });
        given.lock().expect("no panic").push(mine);
    };
    // SAFETY: the size is not 0.
    let work = move |given: &Given, n| hand_out(given, n, &|| unsafe { System.alloc(layout) });
    let free = move |given: &mut Given| {
        for p in given.get_mut().expect("no panic").drain(..).flatten() {
            // SAFETY: allocated above with this layout.
            unsafe { System.dealloc(p as *mut u8, layout) };
        }
    };
    shared_case(group, "malloc", threads, Given::default(), work, free);
    let work = move |given: &Given, n| {
        // SAFETY: any size may be asked for.
        hand_out(given, n, &|| unsafe { libmimalloc_sys::mi_malloc(layout.size()) }.cast());
    };
    let free = move |given: &mut Given| {
        for p in given.get_mut().expect("no panic").drain(..).flatten() {
            // SAFETY: allocated above.
            unsafe { libmimalloc_sys::mi_free(p as *mut _) };
        }
    };
    shared_case(group, "mimalloc", threads, Given::default(), work, free);
}

fn sizes(run: &mut Run, threads: usize) {
    for size in [16, 32, 256] {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        let title = format!("shared {size} B, {threads} threads");
        let mut group = run.group(format!("{title}, direct"), 1);
        direct(&mut group, threads, layout);
        group.finish();
        let mut group = run.group(format!("{title}, by handle"), 1);
        by_handle(&mut group, threads, layout);
        group.finish();
    }
}

pub fn one_thread(run: &mut Run) {
    sizes(run, 1);
}

pub fn two_threads(run: &mut Run) {
    sizes(run, 2);
}
