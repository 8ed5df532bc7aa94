// SPDX-License-Identifier: Apache-2.0
//! Tests arenas: how they are made, filled with bytes and values, reset, trimmed and cleared.
//! Memory must be zeroed where that is promised, and a reset must keep every block for reuse. Sizes
//! and alignments at their limits are in `arena_limits.rs`, slices and strings in
//! `arena_slices.rs`.

use crate::support::{panic_of, watched, TestSource};
use aegis_memory::arena::{Arena, LockFreeArena, LockedArena};
use aegis_memory::source::{Global, Heap, Pages};
use aegis_memory::AllocError;
use std::alloc::Layout;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

#[test]
fn documented_snippet_runs() {
    let mut arena = Arena::new(1024 * 1024);
    let buffer = arena.alloc(1024);
    buffer[0] = 42;
    arena.reset();
    assert!(arena.alloc(1024).iter().all(|&b| b == 0));
}

#[test]
fn new_holds_its_capacity_in_one_block() {
    let arena = Arena::new(10_000);
    let stats = arena.stats();
    assert!(stats.capacity_bytes >= 10_000 && stats.capacity_bytes < 10_100);
    assert!(stats.reserved_bytes > stats.capacity_bytes);
    assert_eq!((stats.block_count, stats.acquired_count), (1, 1));
    assert_eq!((arena.used(), arena.remaining()), (0, arena.capacity()));
    if !watched() {
        arena.alloc(10_000);
        assert_eq!(arena.stats().block_count, 1);
    }
}

#[test]
fn default_acquires_nothing_until_the_first_allocation() {
    let arena = Arena::default();
    assert_eq!(arena.stats(), Arena::new(0).stats());
    assert_eq!((arena.capacity(), arena.remaining(), arena.stats().block_count), (0, 0, 0));
    arena.alloc(1);
    assert_eq!((arena.stats().block_count, arena.stats().acquired_count), (1, 1));
    assert!(arena.capacity() > 0);
}

#[test]
fn builder_uses_each_source() {
    fn check(arena: Result<Arena, AllocError>) {
        let mut arena = arena.expect("there is memory for a test");
        assert!(arena.capacity() >= 100_000);
        for _ in 0..2 {
            assert!(arena.alloc(300_000).iter().all(|&b| b == 0));
            arena.alloc_uninit(300_000).fill(std::mem::MaybeUninit::new(7));
            arena.reset();
        }
        arena.clear();
        assert_eq!(arena.capacity(), 0);
    }
    let builder = || Arena::builder().capacity(100_000);
    check(builder().build());
    check(builder().source(Heap).build());
    check(builder().source(Global).build());
    check(builder().source(Pages::new()).build());
    check(builder().source(Pages::new().prefault()).build());
    check(builder().capacity(3 << 20).source(Pages::new().huge_pages().prefault()).build());
    static HEAP: Heap = Heap;
    check(builder().source(&HEAP as &'static dyn aegis_memory::source::BlockSource).build());
    check(builder().source(std::sync::Arc::new(Heap)).build());
    #[cfg(feature = "allocator-api2")]
    check(
        builder()
            .source(aegis_memory::source::FromAllocator(allocator_api2::alloc::Global))
            .build(),
    );
}

#[test]
fn builder_replacing_or_dropping_a_source_closes_it() {
    let (first, first_log) = TestSource::new();
    let (second, second_log) = TestSource::new();
    let builder = Arena::builder().source(first).source(second);
    first_log.assert_finished();
    drop(builder);
    second_log.assert_finished();
}

#[test]
fn max_block_bounds_growth_but_not_a_large_request() {
    let arena = Arena::builder().max_block(8192).build().expect("no block is acquired");
    for _ in 0..1000 {
        arena.alloc(100);
    }
    let blocks = arena.stats().block_count;
    assert!(blocks >= 100_000 / 8192, "{blocks} blocks of at most 8 KiB");
    arena.alloc(1 << 20);
    assert_eq!(arena.stats().block_count, blocks + 1);
}

#[test]
fn alloc_is_zeroed_on_memory_dirtied_before_a_reset() {
    let (source, _log) = TestSource::new();
    let mut arena = Arena::builder().source(source).build().expect("no block is acquired");
    for size in [1, 7, 8, 100, 5000, 100_000] {
        for _ in 0..2 {
            crate::support::model::assert_zero_and_dirty(arena.alloc(size));
            arena.alloc_uninit(size).fill(std::mem::MaybeUninit::new(0xEE));
            crate::support::model::assert_zero_and_dirty(arena.alloc_aligned(size, 512));
            arena.reset();
        }
    }
}

#[test]
fn consecutive_allocations_are_adjacent_and_eight_byte_aligned() {
    let arena = Arena::new(4096);
    let a = arena.alloc(1).as_ptr() as usize;
    let b = arena.alloc(9).as_ptr() as usize;
    let c = arena.alloc_value(1_u8) as *const u8 as usize;
    assert!(a % 8 == 0 && b % 8 == 0 && c % 8 == 0);
    if !watched() {
        assert_eq!((b - a, c - b), (8, 16));
        assert_eq!(arena.used(), 32);
    }
}

#[test]
fn alloc_layout_gives_distinct_memory_of_the_layout() {
    let arena = Arena::new(256);
    for align_log in 0..=21 {
        let layout = Layout::from_size_align(24, 1 << align_log).expect("a small layout");
        let p = arena.alloc_layout(layout);
        assert_eq!(p.as_ptr() as usize % layout.align(), 0);
        // SAFETY: 24 bytes at `p` are ours.
        unsafe { p.as_ptr().write_bytes(1, 24) };
    }
}

#[test]
fn values_keep_what_was_moved_in() {
    #[repr(align(256))]
    #[derive(Debug, PartialEq)]
    struct Wide([u8; 300]);
    let arena = Arena::new(64);
    let small = arena.alloc_value(1_u8);
    let wide = arena.alloc_value(Wide([3; 300]));
    let large = arena.alloc_with(|| [5_u64; 20_000]);
    let unit = arena.alloc_value(());
    *small += 1;
    assert_eq!((*small, &*wide, large[19_999], *unit), (2, &Wide([3; 300]), 5, ()));
    assert_eq!(wide as *const Wide as usize % 256, 0);
}

#[test]
fn alloc_with_may_allocate_from_the_arena_it_fills() {
    let arena = Arena::new(64);
    let pair = arena.alloc_with(|| {
        let text = arena.alloc_str("inner");
        let more = arena.alloc(10_000);
        (text, more.len(), *arena.alloc_value(7_u8))
    });
    assert_eq!((&*pair.0, pair.1, pair.2), ("inner", 10_000, 7));
}

#[test]
fn panicking_closure_leaves_the_arena_usable() {
    let arena = Arena::new(64);
    assert_eq!(panic_of(|| arena.alloc_with(|| -> u64 { panic!("in f") })), "in f");
    assert_eq!(*arena.alloc_value(3), 3);
}

#[test]
fn reset_rewinds_and_reuses_every_block() {
    let mut arena = Arena::new(64);
    let work = |arena: &Arena| (1..500).for_each(|i| _ = arena.alloc(i * 7 % 3000));
    work(&arena);
    arena.reset();
    assert_eq!((arena.used(), arena.stats().wasted_bytes, arena.stats().reset_count), (0, 0, 1));
    let first = arena.stats();
    assert!(first.block_count > 5 && first.peak_used_bytes > 600_000);
    for round in 2..20 {
        work(&arena);
        arena.reset();
        let stats = arena.stats();
        assert_eq!(stats.acquired_count, first.acquired_count, "round {round} acquired a block");
        assert_eq!((stats.block_count, stats.released_count), (first.block_count, 0));
        assert_eq!(stats.reset_count, round);
    }
}

#[test]
fn trim_keeps_no_more_than_asked_and_what_is_in_use() {
    let (source, log) = TestSource::new();
    let mut arena = Arena::builder().source(source).build().expect("no block is acquired");
    (0..300).for_each(|_| _ = arena.alloc(1000));
    let full = arena.stats();
    arena.trim(0);
    assert_eq!(arena.stats(), full, "nothing is idle");
    arena.reset();
    arena.trim(usize::MAX);
    assert_eq!(arena.stats().block_count, full.block_count);
    arena.trim(50_000);
    let trimmed = arena.stats();
    assert!(trimmed.reserved_bytes <= 50_000 && trimmed.block_count >= 1);
    assert_eq!(log.live_bytes.load(std::sync::atomic::Ordering::SeqCst), trimmed.reserved_bytes);
    arena.alloc(10);
    arena.trim(0);
    assert_eq!((arena.stats().block_count, arena.alloc(10).len()), (1, 10));
    arena.reset();
    arena.trim(0);
    assert_eq!((arena.stats().block_count, arena.stats().reserved_bytes), (0, 0));
    arena.alloc(10);
    drop(arena);
    log.assert_finished();
}

#[test]
fn clear_gives_everything_back_and_the_arena_works_on() {
    let (source, log) = TestSource::new();
    let mut arena = Arena::builder().capacity(1 << 16).source(source).build().expect("memory");
    (0..300).for_each(|_| _ = arena.alloc(1000));
    arena.clear();
    let stats = arena.stats();
    assert_eq!((stats.capacity_bytes, stats.reserved_bytes, stats.block_count), (0, 0, 0));
    assert_eq!((stats.used_bytes, stats.remaining_bytes), (0, 0));
    assert_eq!(stats.released_count, stats.acquired_count);
    assert_eq!(log.live_blocks.load(std::sync::atomic::Ordering::SeqCst), 0);
    arena.clear();
    assert_eq!(arena.alloc(5), [0; 5]);
    drop(arena);
    log.assert_finished();
}

#[test]
fn moved_arena_keeps_its_memory() {
    let mut arenas = vec![Arena::new(64)];
    arenas[0].alloc_static(String::from("dropped at the end"));
    for _ in 0..100 {
        let arena = Arena::default();
        arena.alloc_static(vec![1]);
        arenas.push(arena);
    }
    arenas.swap(0, 57);
    arenas.iter_mut().for_each(Arena::reset);
    assert_eq!(arenas[57].stats().reset_count, 1);
}

#[test]
fn layout_draws_each_block_with_its_fill() {
    let mut arena = Arena::new(1024);
    assert!(arena.layout().to_string().contains("[................................] 0 B of 1.0"));
    arena.alloc(512);
    arena.alloc(5000);
    let picture = arena.layout().to_string();
    assert_eq!(picture.lines().count(), 1 + arena.stats().block_count, "{picture}");
    assert!(picture.contains(" current [") && picture.contains(" closed  ["), "{picture}");
    arena.reset();
    let picture = arena.layout().to_string();
    assert!(picture.starts_with("arena: 0 B of ") && picture.contains(" idle    ["), "{picture}");
    arena.clear();
    assert_eq!(arena.layout().to_string(), "arena: 0 B of 0 B used in 0 blocks");
}

#[test]
fn debug_shows_the_figures() {
    let text = format!("{:?}", Arena::default());
    assert!(text.starts_with("Arena { stats: ArenaStats {") && text.contains("used_bytes: 0"));
}

// With a checker there are gaps between the allocations.
#[cfg(not(any(aegis_sanitizer, feature = "valgrind")))]
#[test]
fn chunks_are_the_bytes_handed_out_the_oldest_first() {
    let mut arena = Arena::builder().no_debug().build().expect("no block yet");
    assert_eq!(arena.iter_allocated_chunks().count(), 0);
    for round in 0..2 {
        for number in 0..20_000_u64 {
            arena.alloc_value(number);
        }
        // SAFETY: nothing is allocated meanwhile.
        let bytes: usize = unsafe { arena.iter_allocated_chunks_raw() }.map(|(_, len)| len).sum();
        assert_eq!((bytes, arena.used()), (160_000, 160_000));
        let mut numbers = Vec::new();
        for chunk in arena.iter_allocated_chunks() {
            let number = chunk.chunks_exact(8).map(|bytes| bytes.as_ptr().cast::<u64>());
            // SAFETY: the arena has only numbers, each of them written.
            numbers.extend(number.map(|number| unsafe { number.read() }));
        }
        assert!(numbers.into_iter().eq(0..20_000), "round {round}");
        arena.reset();
        assert_eq!(arena.iter_allocated_chunks().count(), 0, "idle blocks have no bytes");
    }
    arena.alloc(1);
    let mut chunks = arena.iter_allocated_chunks();
    assert_eq!(chunks.next().map(<[_]>::len), Some(8));
    assert!(chunks.next().is_none() && chunks.next().is_none());
}

#[test]
fn view_with_a_least_alignment_raises_that_of_every_method() {
    fn check<const N: usize>(arena: &Arena) {
        let view = arena.with_min_align::<N>();
        let aligned = |p: *const u8| assert_eq!(p as usize % N, 0);
        for _ in 0..20 {
            arena.alloc(8);
            aligned(view.alloc_value(1_u8));
            aligned(view.alloc(3).as_ptr());
            assert!(view.alloc(700).iter().all(|&byte| byte == 0));
            aligned(view.alloc_str("a").as_ptr());
            aligned(view.alloc_boxed([1_u8; 3]).as_ptr());
            aligned(view.alloc_fmt(format_args!("{:600}", 1)).as_ptr());
            aligned(
                view.alloc_slice_from_iter((0..900_u16).filter(|i| i % 2 == 0)).as_ptr().cast(),
            );
            aligned(view.alloc_layout(Layout::new::<[u8; 5]>()).as_ptr());
            assert_eq!(view.alloc_aligned(1, 256).as_ptr() as usize % 256, 0);
            aligned(view.arena().with_min_align::<N>().alloc(0).as_ptr());
        }
        assert!(matches!(view.try_alloc_aligned(1, 24), Err(AllocError::InvalidLayout { .. })));
        let largest = isize::MAX as usize;
        let too_large = Layout::from_size_align(largest, 1).expect("a layout");
        assert!(view.try_alloc_layout(too_large).is_err());
        assert!(view.try_alloc(largest).is_err() && view.try_alloc_uninit(largest).is_err());
    }
    let arena = Arena::new(64);
    check::<1>(&arena);
    check::<16>(&arena);
    check::<64>(&arena);
    check::<4096>(&arena);
    arena.scope(check::<32>);
    let shared = LockFreeArena::default();
    let local = shared.local();
    let through = local.with_min_align::<64>().alloc_value(1_u8) as *const u8;
    assert_eq!(through as usize % 64, 0);
    assert_eq!(shared.with_min_align::<64>().alloc(9).as_ptr() as usize % 64, 0);
    assert_eq!(LockedArena::new(9).with_min_align::<64>().alloc(9).as_ptr() as usize % 64, 0);
}

#[test]
#[cfg(feature = "allocator-api2-04")]
fn vector_in_a_view_stays_aligned_as_it_grows() {
    let arena = Arena::new(64);
    let view = arena.with_min_align::<64>();
    let mut vector = allocator_api2_04::vec::Vec::new_in(&view);
    for i in 0..3000_u16 {
        vector.push(i);
        assert_eq!(vector.as_ptr() as usize % 64, 0);
    }
    assert!(vector.iter().copied().eq(0..3000));
}

#[test]
fn adopted_owner_is_not_copied_and_dropped_at_the_reset() {
    struct Owner(Box<[u8]>, Arc<AtomicUsize>);
    impl Drop for Owner {
        fn drop(&mut self) {
            self.1.fetch_add(1, SeqCst);
        }
    }
    impl Deref for Owner {
        type Target = [u8];
        fn deref(&self) -> &[u8] {
            &self.0
        }
    }
    impl DerefMut for Owner {
        fn deref_mut(&mut self) -> &mut [u8] {
            &mut self.0
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let (mut one, mut free, mut locked) =
        (Arena::default(), LockFreeArena::default(), LockedArena::default());
    macro_rules! check {
        ($($arena:expr),*) => {$(
            let vector = vec![1_u32, 2, 3];
            let place = vector.as_ptr();
            let slice: &mut [u32] = $arena.adopt(vector);
            slice[0] = 7;
            assert_eq!((&*slice, slice.as_ptr()), (&[7, 2, 3][..], place));
            let text: &mut str = $arena.adopt(String::from("text"));
            let number: &mut u64 = $arena.adopt(Box::new(9));
            $arena.adopt(Owner(Box::default(), drops.clone()));
            assert_eq!((&*text, *number, drops.load(SeqCst)), ("text", 9, 0));
            $arena.reset();
            assert_eq!(drops.swap(0, SeqCst), 1);
        )*};
    }
    check!(one, free, locked);
}
