// SPDX-License-Identifier: Apache-2.0
//! Tests sources that refuse or panic: the n-th request fails, for every n until the work succeeds.
//! Each failure must be reported, must change nothing and must leak nothing.

use crate::support::{Act, TestSource};
use aegis_memory::arena::{Arena, LockFreeArena, LockedArena};
use aegis_memory::pool::Pool;
use aegis_memory::source::{BlockSource, SourceBlock};
use aegis_memory::AllocError;
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// The outcome of one step.
type Step = Result<(), AllocError>;

struct CountsDrop(Arc<AtomicUsize>, #[allow(dead_code)] [u8; 600]);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Asks for memory in every way, in small and large sizes. `made` and `dropped` count the values
/// with drop glue.
fn steps(arena: &Arena, made: &Arc<AtomicUsize>, dropped: &Arc<AtomicUsize>, each: &dyn Fn(Step)) {
    let value = || {
        made.fetch_add(1, SeqCst);
        CountsDrop(dropped.clone(), [1; 600])
    };
    for size in [0, 1, 700, 5000, 100] {
        each(arena.try_alloc(size).map(|b| assert!(b.iter().all(|&b| b == 0))));
        each(arena.try_alloc_uninit(size).map(|b| b.fill(std::mem::MaybeUninit::new(9))));
        each(arena.try_alloc_aligned(size, 1024).map(|b| assert!(b.iter().all(|&b| b == 0))));
        each(arena.try_alloc_slice_fill(size, 1_u64).map(|s| assert!(s.iter().all(|&w| w == 1))));
        each(arena.try_alloc_slice_from_iter((0..size).filter(|i| i % 2 == 0)).map(|_| ()));
        each(arena.try_alloc_fmt(format_args!("{:>size$}{}", 1, 2)).map(|_| ()));
        each(arena.try_alloc_static(value()).map(|_| ()));
        each(arena.try_alloc_boxed(value()).map(|_| ()));
        each(arena.scope(|scope| {
            scope.try_alloc(size)?;
            arena.try_alloc(size)?;
            scope.try_alloc_static(value())?;
            scope.try_alloc_slice_copy(&[7; 900]).map(|_| ())
        }));
    }
}

/// Runs the work over a source with this plan. Returns how many steps failed.
fn work(plan: impl Fn(usize) -> Act + Send + Sync + 'static) -> usize {
    let (source, log) = TestSource::with_plan(plan);
    let (made, dropped) = (Arc::default(), Arc::default());
    let failed = AtomicUsize::new(0);
    let mut arena = Arena::builder().max_block(4096).source(source).build().expect("no block yet");
    for round in 1..=2 {
        let before = std::cell::Cell::new(arena.stats());
        steps(&arena, &made, &dropped, &|step| {
            let now = arena.stats();
            if let Err(error) = step {
                failed.fetch_add(1, SeqCst);
                let in_use = before.get().used_bytes;
                let named = matches!(error, AllocError::OutOfMemory { .. });
                assert!(named, "{error}");
                assert!(now.used_bytes >= in_use && now.block_count >= before.get().block_count);
            }
            assert_eq!(now.block_count, log.live_blocks.load(SeqCst));
            assert_eq!(now.reserved_bytes, log.live_bytes.load(SeqCst));
            before.set(now);
        });
        arena.reset();
        assert_eq!(made.load(SeqCst), dropped.load(SeqCst), "round {round}: values not dropped");
    }
    drop(arena);
    log.assert_finished();
    failed.load(SeqCst)
}

#[test]
fn one_refusal_at_every_request_leaks_nothing() {
    for n in 0.. {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        work(move |request| {
            count.store(request, SeqCst);
            if request == n {
                Act::Refuse
            } else {
                Act::Give
            }
        });
        if asked.load(SeqCst) < n {
            assert!(n > 10, "the work hardly asks for memory");
            return;
        }
    }
}

#[test]
fn refusals_from_every_request_on_fail_until_all_are_granted() {
    for n in 0.. {
        let failed = work(move |request| if request >= n { Act::Refuse } else { Act::Give });
        if failed == 0 {
            assert!(n > 10, "the work hardly asks for memory");
            return;
        }
    }
}

#[test]
fn refused_request_changes_no_figure_and_says_what_was_asked() {
    let (source, log) = TestSource::with_plan(|n| if n == 0 { Act::Give } else { Act::Refuse });
    let arena = Arena::builder().capacity(1000).source(source).build().expect("the first block");
    let kept = arena.alloc_slice_fill(100, 0xC3_u8);
    let before = arena.stats();
    let size = 2000;
    let check = |error: AllocError| {
        assert!(
            matches!(error, AllocError::OutOfMemory { requested, in_use, .. }
                if requested >= size && in_use == before.used_bytes),
            "{error}"
        );
        assert_eq!(arena.stats(), before);
    };
    check(arena.try_alloc(size).unwrap_err());
    check(arena.try_alloc_uninit(size).unwrap_err());
    check(arena.try_alloc_aligned(size, 256).unwrap_err());
    check(arena.try_alloc_value([0_u8; 3000]).unwrap_err());
    check(arena.try_alloc_with(|| -> [u8; 3000] { panic!("called without room") }).unwrap_err());
    check(arena.try_alloc_boxed([0_u8; 3000]).unwrap_err());
    check(arena.try_alloc_static([0_u8; 3000]).unwrap_err());
    check(arena.try_alloc_slice_copy(&[0_u8; 2000]).unwrap_err());
    check(arena.try_alloc_slice_clone(&[0_u8; 2000]).unwrap_err());
    check(arena.try_alloc_slice_fill(2000, 0_u8).unwrap_err());
    check(arena.try_alloc_slice_fill_with(2000, |_| -> u8 { panic!("no room") }).unwrap_err());
    check(arena.try_alloc_slice_from_iter(0..2000).unwrap_err());
    check(arena.try_alloc_str(&"x".repeat(2000)).unwrap_err());
    assert!(kept.iter().all(|&byte| byte == 0xC3));
    drop(arena);
    log.assert_finished();
}

#[test]
fn static_value_without_room_for_its_finalizer_is_dropped_and_leaves_no_trace() {
    let mut memory = [std::mem::MaybeUninit::uninit(); 1000];
    let arena = aegis_memory::arena::FixedArena::new(&mut memory);
    let dropped = Arc::default();
    arena.alloc_uninit(arena.remaining() - 656);
    let used = arena.used();
    // The value of 608 bytes fits; the finalizer behind it may not fit.
    let mut fitted = 0;
    while arena.try_alloc_static(CountsDrop(Arc::clone(&dropped), [0; 600])).is_ok() {
        fitted += 1;
    }
    assert!(fitted <= 1);
    assert_eq!(dropped.load(SeqCst), 1);
    assert!(fitted == 1 || arena.used() == used);
}

#[cfg(feature = "std")]
mod panicking {
    use super::*;
    use crate::support::panic_of;

    #[test]
    fn panic_in_acquire_reaches_the_caller_and_the_arena_works_on() {
        for n in 0..8 {
            let plan = move |request| if request == n { Act::Panic } else { Act::Give };
            let (source, log) = TestSource::with_plan(plan);
            let arena = Arena::builder().source(source).max_block(1024).build().expect("no block");
            let mut panics = 0;
            for _ in 0..100 {
                let step = std::panic::AssertUnwindSafe(|| arena.alloc(300).fill(1));
                if let Err(payload) = std::panic::catch_unwind(step) {
                    assert_eq!(crate::support::message_of(&*payload), "acquire panics");
                    panics += 1;
                    assert!(log.requests.load(SeqCst) > n, "the panic came too early");
                }
            }
            assert_eq!(panics, 1);
            drop(arena);
            log.assert_finished();
        }
    }

    #[test]
    fn panic_in_acquire_is_never_left_for_another_arena() {
        // The source panics at the growth step, which refuses that step. The second request, of the
        // exact size, succeeds.
        let plan = |request| if request == 1 { Act::Panic } else { Act::Give };
        for form in 0..3 {
            let (source, _log) = TestSource::with_plan(plan);
            let arena = Arena::builder().source(source).capacity(64).build().expect("first block");
            assert_eq!(
                panic_of(|| match form {
                    0 => drop(arena.try_alloc_uninit(200)),
                    1 => drop(arena.try_alloc_slice_from_iter((0..99).filter(|i| i % 2 < 2))),
                    _ => drop(arena.try_alloc_static(CountsDrop(Arc::default(), [0; 600]))),
                }),
                "acquire panics"
            );
            let mut other = Arena::default();
            other.alloc(10_000);
            other.alloc_static(String::from("dropped"));
            other.clear();
        }
    }

    #[test]
    fn panic_in_acquire_fails_the_build_and_drops_the_source() {
        let (source, log) = TestSource::with_plan(|_| Act::Panic);
        let builder = Arena::builder().capacity(100).source(source);
        assert_eq!(panic_of(|| builder.build()), "acquire panics");
        log.assert_finished();
    }

    fn arena_panicking_in_release() -> (Arena, Arc<crate::support::Log>) {
        let (source, log) = TestSource::new();
        let source = source.releasing(|n| if n % 2 == 0 { Act::Panic } else { Act::Give });
        let arena = Arena::builder().source(source).build().expect("no block yet");
        (0..5).for_each(|_| _ = arena.alloc(100_000));
        (arena, log)
    }

    #[test]
    fn panic_in_release_reaches_the_caller_after_everything_was_released() {
        let (mut arena, log) = arena_panicking_in_release();
        assert_eq!(panic_of(|| arena.clear()), "release panics");
        assert_eq!(log.live_blocks.load(SeqCst), 0);
        assert_eq!(arena.stats().reserved_bytes, 0);
        arena.alloc(10);
        arena.reset();
        assert_eq!(arena.stats().block_count, 1);
        arena.trim(0);
        drop(arena);
        log.assert_finished();

        let (mut arena, log) = arena_panicking_in_release();
        arena.reset();
        assert_eq!(panic_of(|| arena.trim(150_000)), "release panics");
        assert!(arena.stats().reserved_bytes <= 150_000);
        assert_eq!(arena.stats().block_count, log.live_blocks.load(SeqCst));
        assert_eq!(panic_of(|| drop(arena)), "release panics");
        log.assert_finished();
    }

    #[test]
    fn panic_in_release_while_another_panic_unwinds_is_swallowed() {
        let (arena, log) = arena_panicking_in_release();
        let message = panic_of(|| {
            let _arena = arena;
            panic!("the first panic");
        });
        assert_eq!(message, "the first panic");
        log.assert_finished();
        Arena::new(64).clear();
    }
}

/// A source that aligns its memory as promised only if `keeps` is not 0.
struct Misaligned {
    inner: TestSource,
    keeps: Arc<AtomicUsize>,
}

/// The layout with room before the block, so that the source can give the block at a wrong place.
fn with_room(layout: Layout) -> Layout {
    Layout::from_size_align(layout.size() + layout.align(), layout.align()).expect("no overflow")
}

// SAFETY: not while `keeps` is 0: that such blocks are refused is what is tested. Others are the
// inner source's, as large as asked.
unsafe impl BlockSource for Misaligned {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        let SourceBlock { memory, zeroed } = self.inner.acquire(with_room(layout))?;
        let off = if self.keeps.load(SeqCst) != 0 { 0 } else { layout.align() / 2 };
        // SAFETY: there is room for one alignment more.
        let memory = unsafe { NonNull::new_unchecked(memory.as_ptr().add(off)) };
        Some(SourceBlock { memory, zeroed })
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        let off = memory.as_ptr() as usize % layout.align();
        // SAFETY: undoes what `acquire` did.
        unsafe {
            let start = NonNull::new_unchecked(memory.as_ptr().sub(off));
            self.inner.release(start, with_room(layout));
        }
    }
}

fn misaligned() -> (Misaligned, Arc<AtomicUsize>, Arc<crate::support::Log>) {
    let (inner, log) = TestSource::new();
    let keeps = Arc::<AtomicUsize>::default();
    (Misaligned { inner, keeps: keeps.clone() }, keeps, log)
}

#[track_caller]
fn assert_bad(error: &AllocError, requested: usize) {
    assert!(matches!(error, AllocError::BadSource { requested: r, .. } if *r == requested));
    assert!(error.to_string().contains("block source"), "{error}");
}

#[test]
fn misaligned_block_is_refused_by_every_arena_and_given_back() {
    fn check<A>(
        build: impl Fn(Misaligned) -> A,
        try_alloc: impl for<'a> Fn(&'a A, usize) -> Result<&'a mut [u8], AllocError>,
    ) {
        let (source, keeps, log) = misaligned();
        let arena = build(source);
        for size in [10, 5000] {
            assert_bad(&try_alloc(&arena, size).expect_err("the block is misaligned"), size);
            assert_eq!(log.live_blocks.load(SeqCst), 0);
        }
        assert_eq!(log.requests.load(SeqCst), 2, "each request asks once");
        keeps.store(1, SeqCst);
        assert!(try_alloc(&arena, 5000).expect("aligned now").iter().all(|&b| b == 0));
        drop(arena);
        log.assert_finished();
    }
    let plain = |source| Arena::builder().source(source).build().expect("no block yet");
    check(plain, |arena, size| arena.try_alloc(size));
    let locked = |source| LockedArena::builder().source(source).build().expect("no block yet");
    check(locked, |arena, size| arena.try_alloc(size));
    let free = |source| LockFreeArena::builder().source(source).build().expect("no block yet");
    check(free, |arena, size| arena.try_alloc(size));
}

#[test]
fn misaligned_memory_builds_no_arena_and_no_pool() {
    let (source, _, log) = misaligned();
    let error = Arena::builder().capacity(100).source(source).build().expect_err("misaligned");
    assert_bad(&error, 100);
    log.assert_finished();
    let (source, _, log) = misaligned();
    let error =
        Pool::builder().block_size(64).blocks(8).source(source).build().expect_err("misaligned");
    assert!(matches!(error, AllocError::BadSource { .. }), "{error}");
    log.assert_finished();
}
