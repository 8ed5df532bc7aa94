// SPDX-License-Identifier: Apache-2.0
//! Tests the arenas that threads share: every form of allocation on each, references that cross
//! threads, reuse after a reset, budgets, and sources that fail or panic. No byte may have two
//! owners, and every value must be dropped exactly once.

use crate::support::{panic_of, Act, TestSource};
use aegis_memory::arena::{Arena, LocalArena, LockFreeArena, LockedArena};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::AllocError;
use proptest::prelude::*;
use std::alloc::Layout;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;

/// Calls each form of allocation once, with a normal case and its limit.
macro_rules! every_form {
    ($name:ident, $arena:ident, $make:expr, $allocator:expr) => {
        #[test]
        fn $name() {
            let $arena = $make;
            let a = $allocator;
            assert_eq!(a.alloc(100), [0; 100]);
            assert!(a.alloc(0).is_empty());
            assert_eq!(a.alloc_uninit(10).len(), 10);
            let aligned = a.alloc_aligned(10, 4096);
            assert_eq!((aligned.as_ptr() as usize % 4096, &*aligned), (0, &[0; 10][..]));
            let layout = Layout::from_size_align(24, 64).expect("a layout");
            assert_eq!(a.alloc_layout(layout).as_ptr() as usize % 64, 0);
            assert_eq!(*a.alloc_value(7_u128), 7);
            assert_eq!(*a.alloc_with(|| *a.alloc_value(8_u8)), 8);
            assert_eq!(a.alloc_slice_copy(&[1, 2, 3]), [1, 2, 3]);
            assert_eq!(a.alloc_slice_clone(&[Cell::new(4)])[0].get(), 4);
            assert_eq!(a.alloc_slice_fill(3, 'x'), ['x'; 3]);
            assert_eq!(a.alloc_slice_fill_with(3, |i| i * i), [0, 1, 4]);
            assert_eq!(a.alloc_slice_from_iter((0..1000).filter(|n| n % 2 == 0)).len(), 500);
            // The iterator allocates between its items, so the slice cannot grow in place.
            let nested = a.alloc_slice_from_iter((0..50).filter(|_| *a.alloc_value(true)));
            assert!(nested.iter().copied().eq(0..50));
            assert_eq!(a.alloc_slice_from_iter([(); 9]).len(), 9);
            assert_eq!(a.alloc_slice_uninit::<u64>(5).len(), 5);
            assert_eq!(a.alloc_str("text"), "text");
            let long = "y".repeat(300);
            assert_eq!(a.alloc_fmt(format_args!("{}-{long}", 1)), &format!("1-{long}")[..]);
            assert_eq!(a.alloc_fmt(format_args!("plain")), "plain");

            let drops = AtomicUsize::new(0);
            struct Counted<'c>(&'c AtomicUsize);
            impl Drop for Counted<'_> {
                fn drop(&mut self) {
                    self.0.fetch_add(1, SeqCst);
                }
            }
            drop(a.alloc_boxed(Counted(&drops)));
            assert_eq!(drops.load(SeqCst), 1);

            let too_many = a.try_alloc_slice_uninit::<u64>(usize::MAX / 4);
            assert!(matches!(too_many, Err(AllocError::InvalidLayout { .. })));
            assert!(matches!(a.try_alloc(usize::MAX), Err(AllocError::InvalidLayout { .. })));
            let odd = a.try_alloc_aligned(8, 24);
            assert!(matches!(odd, Err(AllocError::InvalidLayout { align: 24, .. })));
            assert!(panic_of(|| a.alloc(usize::MAX)).starts_with("invalid layout"));
            assert_eq!(panic_of(|| a.alloc_with(|| panic!("in f"))), "in f");
            a.alloc_value(1_u8);
        }
    };
}

every_form!(every_form_on_a_lock_free_arena, arena, LockFreeArena::new(64), &arena);
every_form!(every_form_on_a_local_handle, arena, LockFreeArena::new(64), arena.local());
every_form!(every_form_on_a_locked_arena, arena, LockedArena::new(64), &arena);

#[test]
fn values_written_by_threads_are_read_by_others_while_the_arena_is_borrowed() {
    let mut arena = LockFreeArena::default();
    for _ in 0..3 {
        let shared = &arena;
        let texts: Vec<&mut str> = thread::scope(|threads| {
            let workers: Vec<_> = (0..6)
                .map(|number| {
                    threads.spawn(move || {
                        let local = shared.local();
                        let text = (0..500).map(|i| match i % 2 {
                            0 => shared.alloc_fmt(format_args!("{number}:{i}")),
                            _ => local.alloc_fmt(format_args!("{number}:{i}")),
                        });
                        // The handle is dropped; what it has allocated stays.
                        text.collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
        });
        assert_eq!(texts.len(), 3000);
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(**text, format!("{}:{}", at / 500, at % 500));
        }
        arena.reset();
        assert_eq!(arena.used(), 0);
    }
}

#[test]
fn handle_is_sent_to_another_thread() {
    let arena = LockFreeArena::default();
    let local = arena.local();
    let before = local.alloc_value(1);
    let after = thread::scope(|threads| {
        threads.spawn(move || local.alloc_value(2)).join().expect("no panic")
    });
    assert_eq!((*before, *after), (1, 2));
}

#[test]
fn handle_derefs_to_an_arena_for_scopes_and_finalizers() {
    let arena = LockFreeArena::default();
    let dropped = Arc::new(AtomicUsize::new(0));
    struct OnDrop(Arc<AtomicUsize>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let local: LocalArena<'_> = arena.local();
    let kept = local.scope(|scratch: &Arena| {
        scratch.alloc(100_000).fill(1);
        local.alloc_str("from outside of the scope")
    });
    local.alloc_static(OnDrop(dropped.clone()));
    drop(local);
    assert_eq!((kept as &str, dropped.load(SeqCst)), ("from outside of the scope", 1));
}

#[test]
fn same_workload_after_reset_acquires_nothing_and_clear_gives_all_back() {
    let (source, log) = TestSource::new();
    let mut arena = LockFreeArena::builder().max_block(4096).source(source).build().expect("built");
    let mut requests = None;
    for _ in 0..4 {
        let local = arena.local();
        for size in 0..500 {
            assert!(arena.alloc(size * 3).iter().chain(local.alloc(size).iter()).all(|&b| b == 0));
            local.alloc(size).fill(0xEE);
            arena.alloc(size).fill(0xEE);
        }
        drop(local);
        let asked = log.requests.load(SeqCst);
        assert_eq!(*requests.get_or_insert(asked), asked);
        arena.reset();
    }
    assert_eq!(arena.stats().reset_count, 4);
    arena.trim(10_000);
    assert!(log.live_bytes.load(SeqCst) <= 10_000);
    arena.clear();
    assert_eq!((log.live_blocks.load(SeqCst), arena.capacity()), (0, 0));
    drop(arena);
    log.assert_finished();
}

#[test]
fn budget_that_refuses_is_named_on_every_way_in() {
    let process = MemoryBudget::new("process", 100_000);
    let table = process.child("memtable", 20_000);
    let arena = LockFreeArena::builder().capacity(1000).budget(&table).build().expect("built");
    let local = arena.local();
    let refusals = [
        arena.try_alloc(30_000).map(drop).expect_err("over the limit"),
        local.try_alloc(30_000).map(drop).expect_err("over the limit"),
    ];
    for refusal in refusals {
        assert!(refusal.to_string().contains("memtable"), "{refusal}");
        assert!(matches!(refusal, AllocError::LimitExceeded { limit: 20_000, .. }));
    }
    assert_eq!(table.used(), arena.stats().reserved_bytes);
    let refused = LockFreeArena::builder().capacity(30_000).budget(&table).build();
    assert!(matches!(refused, Err(AllocError::LimitExceeded { .. })));
    drop(local);
    drop(arena);
    assert_eq!(process.used(), 0);

    let locked = LockedArena::builder().budget(&table).build().expect("built");
    let refusal = locked.try_alloc(30_000).expect_err("over the limit");
    assert!(refusal.to_string().contains("memtable"));
}

#[test]
fn source_that_panics_or_refuses_at_every_step_leaves_the_arenas_usable() {
    // Without `std`, a panic of a source aborts the process.
    let acts: &[Act] =
        if cfg!(feature = "std") { &[Act::Refuse, Act::Panic] } else { &[Act::Refuse] };
    for &act in acts {
        for step in 0..12 {
            let (source, log) =
                TestSource::with_plan(move |n| if n == step { act } else { Act::Give });
            let arena = LockFreeArena::builder().max_block(2048).source(source).build();
            let arena = arena.expect("no block is asked for");
            let mut failures = 0;
            for i in 0..120 {
                let size = if i % 9 == 8 { 3000 } else { 100 };
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    arena.try_alloc(size).map(|bytes| bytes.fill(1))
                }));
                failures += usize::from(!matches!(result, Ok(Ok(()))));
            }
            // When a growth step is refused, a smaller block serves the request. A panic always
            // goes on.
            assert!(failures <= 1 && (act == Act::Refuse || failures == 1), "{step}: {failures}");
            drop(arena);
            log.assert_finished();
        }
    }
}

// Without `std`, a panic in a finalizer or a source aborts the process.
#[cfg(feature = "std")]
macro_rules! static_values {
    ($name:ident, $arena:ident) => {
        #[test]
        fn $name() {
            let order = Arc::new(std::sync::Mutex::new(Vec::new()));
            struct Logged(Arc<std::sync::Mutex<Vec<u32>>>, u32);
            impl Drop for Logged {
                fn drop(&mut self) {
                    self.0.lock().expect("not poisoned").push(self.1);
                }
            }
            let mut arena = $arena::default();
            for number in 0..3 {
                assert_eq!(arena.alloc_static(Logged(order.clone(), number)).1, number);
            }
            arena.trim(0);
            assert!(order.lock().expect("not poisoned").is_empty());
            arena.reset();
            assert_eq!(*order.lock().expect("not poisoned"), [2, 1, 0]);
            arena.alloc_static(Logged(order.clone(), 3));
            struct PanicsOnDrop;
            impl Drop for PanicsOnDrop {
                fn drop(&mut self) {
                    panic!("in drop");
                }
            }
            arena.alloc_static(PanicsOnDrop);
            assert_eq!(panic_of(|| arena.reset()), "in drop");
            assert_eq!(*order.lock().expect("not poisoned"), [2, 1, 0, 3]);
            assert_eq!(arena.used(), 0);
            arena.alloc_static(Logged(order.clone(), 4));
            arena.alloc_static(PanicsOnDrop);
            assert_eq!(panic_of(|| arena.clear()), "in drop");
            assert_eq!(arena.capacity(), 0);
            arena.alloc_static(Logged(order.clone(), 5));
            arena.alloc_static(PanicsOnDrop);
            assert_eq!(panic_of(|| drop(arena)), "in drop");
            assert_eq!(*order.lock().expect("not poisoned"), [2, 1, 0, 3, 4, 5]);
        }
    };
}

#[cfg(feature = "std")]
static_values!(locked_arena_drops_its_static_values_newest_first, LockedArena);
#[cfg(feature = "std")]
static_values!(lock_free_arena_drops_its_static_values_newest_first, LockFreeArena);

#[test]
fn static_values_of_many_threads_are_dropped_once_by_whoever_resets() {
    struct Counted(Box<usize>, Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(*self.0, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut arena = LockFreeArena::builder().max_block(2048).build().expect("built");
    let sum: usize = (0..6 * 300).sum();
    for round in 1..=3 {
        thread::scope(|threads| {
            for number in 0..6 {
                let (arena, dropped) = (&arena, &dropped);
                threads.spawn(move || {
                    for i in 0..300 {
                        let value = Box::new(number * 300 + i);
                        let kept = arena.alloc_static(Counted(value, dropped.clone()));
                        assert_eq!(*kept.0, number * 300 + i);
                    }
                });
            }
        });
        assert_eq!(dropped.load(SeqCst), (round - 1) * sum);
        if round == 1 {
            arena.reset();
        } else if round == 2 {
            arena = thread::spawn(move || {
                arena.clear();
                arena
            })
            .join()
            .expect("no panic");
        } else {
            drop(std::mem::take(&mut arena));
        }
        assert_eq!(dropped.load(SeqCst), round * sum);
    }
    assert_eq!(Arc::strong_count(&dropped), 1);
}

/// The source panics, or refuses, when the arena acquires room for a finalizer. The arena must drop
/// each value that was moved into it exactly once, and must never drop bytes that hold no value.
#[cfg(feature = "std")]
macro_rules! static_values_over_a_failing_source {
    ($name:ident, $arena:ident) => {
        #[test]
        fn $name() {
            const MARK: u64 = 0x5EED_0FA1_1DEA_1234;
            static MADE: AtomicUsize = AtomicUsize::new(0);
            static DROPPED: AtomicUsize = AtomicUsize::new(0);
            struct Marked(u64);
            impl Drop for Marked {
                fn drop(&mut self) {
                    assert_eq!(std::mem::take(&mut self.0), MARK, "no value was here");
                    DROPPED.fetch_add(1, SeqCst);
                }
            }
            for (act, step, pad) in [Act::Refuse, Act::Panic]
                .into_iter()
                .flat_map(|act| (1..4).map(move |step| (act, step)))
                .flat_map(|(act, step)| (0..5).map(move |pad| (act, step, pad)))
            {
                let (source, log) =
                    TestSource::with_plan(move |n| if n == step { act } else { Act::Give });
                let arena = $arena::builder().max_block(1024).source(source).build();
                let mut arena = arena.expect("no block is asked for");
                arena.alloc_uninit(8 * pad);
                let mut panics = 0;
                for _ in 0..200 {
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        MADE.fetch_add(1, SeqCst);
                        arena.try_alloc_static(Marked(MARK)).map(|value| assert_eq!(value.0, MARK))
                    }));
                    panics += usize::from(result.is_err());
                }
                assert_eq!(panics, usize::from(act == Act::Panic));
                arena.reset();
                assert_eq!(DROPPED.load(SeqCst), MADE.load(SeqCst));
                drop(arena);
                assert_eq!(DROPPED.load(SeqCst), MADE.load(SeqCst));
                log.assert_finished();
            }
        }
    };
}

#[cfg(feature = "std")]
static_values_over_a_failing_source!(static_values_over_a_failing_source_on_an_arena, Arena);
#[cfg(feature = "std")]
static_values_over_a_failing_source!(static_values_over_a_failing_source_when_locked, LockedArena);
#[cfg(feature = "std")]
static_values_over_a_failing_source!(
    static_values_over_a_failing_source_without_a_lock,
    LockFreeArena
);

#[test]
fn locked_arena_packs_from_threads_as_densely_as_one_arena() {
    let arena = LockedArena::builder().capacity(64 * 1024).no_debug().build().expect("built");
    thread::scope(|threads| {
        for number in 0..4_u8 {
            let arena = &arena;
            threads.spawn(move || {
                let pieces: Vec<_> = (0..200).map(|_| arena.alloc_slice_fill(16, number)).collect();
                assert!(pieces.iter().all(|piece| **piece == [number; 16]));
            });
        }
    });
    if !crate::support::watched() {
        assert_eq!(arena.used(), 4 * 200 * 16);
    }
}

#[test]
fn struct_goes_to_c_and_back() {
    let arena = LockFreeArena::new(1024);
    arena.alloc_str("kept");
    let raw = arena.into_raw();
    // SAFETY: given away just before.
    let arena = unsafe { LockFreeArena::from_raw(raw) };
    // SAFETY: neither moved nor reset while borrowed.
    let borrowed = unsafe { LockFreeArena::borrow_raw(arena.as_raw()) };
    assert!(borrowed.used() >= 4);
    borrowed.alloc(8);
}

proptest! {
    /// Threads allocate random sizes and alignments. No byte may have two owners.
    #[test]
    fn no_two_allocations_of_any_threads_overlap(
        plans in prop::collection::vec(
            prop::collection::vec((0_usize..300, 0_u32..8, any::<bool>()), 1..60), 2..5),
        max_block in 1024_usize..20_000,
    ) {
        let arena = LockFreeArena::builder().max_block(max_block).build().expect("built");
        let mut pieces: Vec<(usize, usize)> = thread::scope(|threads| {
            let workers: Vec<_> = plans.iter().enumerate().map(|(number, plan)| {
                let arena = &arena;
                threads.spawn(move || {
                    let local = arena.local();
                    let mark = number as u8 + 1;
                    let mine: Vec<&mut [u8]> = plan.iter().map(|&(size, align, direct)| {
                        let bytes = if direct {
                            arena.alloc_aligned(size, 1 << align)
                        } else {
                            local.alloc_aligned(size, 1 << align)
                        };
                        assert!(bytes.iter().all(|&byte| byte == 0));
                        bytes.fill(mark);
                        bytes
                    }).collect();
                    assert!(mine.iter().all(|bytes| bytes.iter().all(|&byte| byte == mark)));
                    mine.iter().map(|b| (b.as_ptr() as usize, b.len())).collect::<Vec<_>>()
                })
            }).collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
        });
        pieces.retain(|&(_, size)| size != 0);
        pieces.sort_unstable();
        for pair in pieces.windows(2) {
            prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0);
        }
    }
}
