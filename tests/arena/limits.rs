// SPDX-License-Identifier: Apache-2.0
//! Tests sizes and alignments at their limits. Every legal request must succeed. Every other one
//! must be refused with an error that names what was asked, and must change nothing.

use crate::support::{panic_of, TestSource};
use aegis_memory::arena::{Arena, ArenaStats, LockFreeArena, LockedArena};
use aegis_memory::AllocError;
use std::alloc::Layout;

const MAX: usize = isize::MAX as usize;

/// Demands that `f` fails on an arena with something in it and leaves the arena as it was. Returns
/// the text of the error.
#[track_caller]
fn refused<T>(f: impl Fn(&Arena) -> Result<T, AllocError>) -> String {
    let arena = |capacity| {
        let builder = Arena::builder().capacity(capacity).source(TestSource::new().0);
        builder.build().expect("memory for a test")
    };
    for arena in [&arena(0), &arena(1000)] {
        arena.alloc(100);
        let before = arena.stats();
        assert!(f(arena).is_err());
        assert_eq!(arena.stats(), before, "a failure changed something");
        assert_eq!(arena.alloc(1), [0]);
    }
    let error = f(&arena(1000)).err().expect("it failed before");
    error.to_string()
}

#[track_caller]
fn assert_invalid<T>(size: usize, align: usize, f: impl Fn(&Arena) -> Result<T, AllocError>) {
    let text = refused(f);
    let named = format!("invalid layout: size {size} with alignment {align};");
    assert!(text.starts_with(&named), "{text}");
    let most = if align > 8 && align.is_power_of_two() { MAX - (align - 1) } else { MAX };
    let named = if align.is_power_of_two() { most.to_string() } else { "a power of two".into() };
    assert!(text.contains(&named), "what is allowed is missing in: {text}");
}

#[track_caller]
fn assert_out_of_memory<T>(size: usize, f: impl Fn(&Arena) -> Result<T, AllocError>) {
    let text = refused(f);
    assert!(text.starts_with(&format!("out of memory: {size} bytes requested at ")), "{text}");
    assert!(text.ends_with(" bytes in use"), "{text}");
}

#[test]
fn size_zero_and_one_succeed_everywhere_and_are_aligned() {
    for arena in [Arena::default(), Arena::new(64), Arena::new(5000)] {
        for size in [0, 1] {
            assert_eq!(arena.alloc(size).len(), size);
            assert_eq!(arena.alloc(size).as_ptr() as usize % 8, 0);
            assert_eq!(arena.alloc_uninit(size).as_ptr() as usize % 8, 0);
            for log in 0..=21 {
                let bytes = arena.alloc_aligned(size, 1 << log);
                assert_eq!((bytes.len(), bytes.as_ptr() as usize % (1 << log)), (size, 0));
                assert!(bytes.iter().all(|&b| b == 0));
                let layout = Layout::from_size_align(size, 1 << log).expect("a small layout");
                assert_eq!(arena.alloc_layout(layout).as_ptr() as usize % (1 << log), 0);
            }
        }
    }
}

#[test]
fn size_zero_on_an_empty_arena_acquires_no_block() {
    let mut arena = Arena::default();
    arena.alloc(0);
    arena.alloc_uninit(0);
    arena.alloc_str("");
    arena.alloc_value(());
    arena.alloc_slice_fill(1000, ());
    assert_eq!(arena.stats(), ArenaStats::default());
    arena.reset();
    arena.trim(0);
    arena.clear();
}

#[test]
fn size_above_isize_max_is_an_invalid_layout() {
    for size in [MAX + 1, usize::MAX - 8, usize::MAX] {
        assert_invalid(size, 8, |arena| arena.try_alloc(size).map(drop));
        assert_invalid(size, 8, |arena| arena.try_alloc_uninit(size).map(drop));
        assert_invalid(size, 64, |arena| arena.try_alloc_aligned(size, 64).map(drop));
        assert_invalid(size, 8, |arena| arena.try_alloc_slice_uninit::<u8>(size).map(drop));
    }
}

#[test]
fn size_of_isize_max_is_out_of_memory() {
    for size in [MAX - 100, MAX - 8, MAX - 1, MAX] {
        assert_out_of_memory(size, |arena| arena.try_alloc(size).map(drop));
        assert_out_of_memory(size, |arena| arena.try_alloc_uninit(size).map(drop));
        assert_out_of_memory(size, |arena| arena.try_alloc_aligned(size, 1).map(drop));
        let layout = Layout::from_size_align(size, 1).expect("a layout");
        assert_out_of_memory(size, |arena| arena.try_alloc_layout(layout));
    }
}

#[test]
fn slice_whose_size_overflows_is_an_invalid_layout() {
    for len in [usize::MAX, usize::MAX / 2, usize::MAX / 8 + 1] {
        assert_invalid(usize::MAX, 8, |arena| arena.try_alloc_slice_uninit::<u64>(len).map(drop));
        assert_invalid(usize::MAX, 8, |arena| arena.try_alloc_slice_fill(len, 1_u64).map(drop));
        assert_invalid(usize::MAX, 8, |arena| {
            arena.try_alloc_slice_fill_with(len, |_| -> u64 { unreachable!() }).map(drop)
        });
    }
    assert_invalid(usize::MAX - 7, 8, |arena| {
        arena.try_alloc_slice_uninit::<u64>(usize::MAX / 8).map(drop)
    });
}

#[test]
fn over_aligned_slice_beyond_every_layout_is_an_invalid_layout() {
    #[derive(Clone)]
    #[repr(align(64))]
    struct Line(#[allow(dead_code)] u8);
    let len = MAX / 64 + 1;
    assert_invalid(len * 64, 64, |arena| arena.try_alloc_slice_uninit::<Line>(len).map(drop));
    assert_invalid(usize::MAX, 64, |arena| {
        arena.try_alloc_slice_fill(usize::MAX, Line(1)).map(drop)
    });
}

#[test]
fn alignment_that_is_no_power_of_two_is_an_invalid_layout() {
    for align in [0, 3, 6, 7, 9, 24, 4095, MAX, usize::MAX] {
        for size in [0, 1, 100] {
            assert_invalid(size, align, |arena| arena.try_alloc_aligned(size, align).map(drop));
        }
    }
}

#[test]
fn every_alignment_up_to_two_mebibytes_is_kept_at_any_fill() {
    let (source, _log) = TestSource::new();
    let mut arena = Arena::builder().capacity(100).source(source).build().expect("memory");
    for log in 0..=21 {
        let align = 1 << log;
        for before in [0, 1, 8, 24, 4000] {
            arena.alloc(before);
            let bytes = arena.alloc_aligned(10, align);
            assert_eq!(bytes.as_ptr() as usize % align, 0, "alignment {align}");
            crate::support::model::assert_zero_and_dirty(bytes);
        }
        arena.reset();
    }
}

#[test]
fn alignment_beyond_memory_is_refused() {
    let half = 1_usize << (usize::BITS - 1);
    assert_out_of_memory(0, |arena| arena.try_alloc_aligned(0, half >> 1).map(drop));
    assert_out_of_memory(0, |arena| arena.try_alloc_aligned(0, half).map(drop));
    assert_invalid(2, half, |arena| arena.try_alloc_aligned(2, half).map(drop));
    assert_invalid(usize::MAX, half, |arena| arena.try_alloc_aligned(usize::MAX, half).map(drop));
    let layout = Layout::from_size_align(0, half).expect("the largest alignment");
    assert_out_of_memory(0, |arena| arena.try_alloc_layout(layout));
}

#[test]
fn capacity_at_the_limits_is_refused_by_name() {
    for capacity in [usize::MAX, usize::MAX - 8, MAX + 1, MAX] {
        let error = Arena::try_new(capacity).expect_err("no arena is that large");
        assert!(matches!(error, AllocError::InvalidLayout { size, .. } if size == capacity));
        assert!(error.to_string().contains(&format!("size {capacity} ")), "{error}");
    }
    let builder = Arena::builder().capacity(MAX - 1000).source(TestSource::new().0);
    let error = builder.build().expect_err("no machine has that much");
    assert!(matches!(error, AllocError::OutOfMemory { requested, in_use: 0, .. }
        if requested == MAX - 1000));
}

#[test]
fn failed_build_drops_the_source_once_and_holds_nothing() {
    let (source, log) = TestSource::new();
    assert!(Arena::builder().capacity(usize::MAX).source(source).build().is_err());
    log.assert_finished();
    let (source, log) = TestSource::with_plan(|_| crate::support::Act::Refuse);
    assert!(Arena::builder().capacity(100).source(source).build().is_err());
    log.assert_finished();
}

#[test]
fn any_max_block_makes_a_working_arena() {
    for max_block in [0, 1, 7, 48, 97, 4096, MAX, MAX + 1, usize::MAX] {
        let arena = Arena::builder().max_block(max_block).build().expect("no block is acquired");
        for size in [1, 100, 10_000] {
            assert_eq!(arena.alloc(size).len(), size, "max_block {max_block}");
        }
    }
}

#[test]
fn plain_forms_panic_with_the_words_of_the_error() {
    let arena = Arena::builder().source(TestSource::new().0).build().expect("no block yet");
    let text = arena.try_alloc(usize::MAX).expect_err("too large").to_string();
    assert_eq!(panic_of(|| arena.alloc(usize::MAX)), text);
    assert_eq!(panic_of(|| arena.alloc_uninit(usize::MAX)), text);
    let text_of_new = Arena::try_new(usize::MAX).expect_err("too large").to_string();
    assert_eq!(panic_of(|| Arena::new(usize::MAX)), text_of_new);
    let text = arena.try_alloc_aligned(5, 3).expect_err("no power of two").to_string();
    assert_eq!(panic_of(|| arena.alloc_aligned(5, 3)), text);
    let text = arena.try_alloc_slice_uninit::<u64>(usize::MAX).expect_err("too large").to_string();
    assert_eq!(panic_of(|| arena.alloc_slice_uninit::<u64>(usize::MAX)), text);
    assert_eq!(panic_of(|| arena.alloc_slice_fill(usize::MAX, 0_u64)), text);
    assert_eq!(panic_of(|| arena.alloc_slice_fill_with(usize::MAX, |i| i)), text);
    let layout = Layout::from_size_align(MAX - 500, 1).expect("a layout");
    let text = arena.try_alloc_layout(layout).expect_err("too large").to_string();
    assert_eq!(panic_of(|| arena.alloc_layout(layout)), text);
}

/// Makes large and small requests in one arena and checks after each how much the arena has
/// reserved.
#[track_caller]
fn assert_reserves_little<A>(arena: A, alloc: impl Fn(&A, usize), reserved: impl Fn(&A) -> usize) {
    let mut bound = 0;
    for size in [10, 1 << 20, 10, 65_536, 300_000, 10, 1 << 18] {
        alloc(&arena, size);
        // 128: the shard of a local arena has a block header and an alignment of its own.
        bound += size + size / 10 + 1024 + 128;
        assert!(reserved(&arena) <= bound, "{} after {size} bytes", reserved(&arena));
    }
}

#[test]
fn no_request_reserves_much_more_than_it_asks_for() {
    assert_reserves_little(
        Arena::default(),
        |arena, size| _ = arena.alloc(size),
        |arena| arena.stats().reserved_bytes,
    );
    assert_reserves_little(
        LockedArena::builder().build().unwrap(),
        |arena, size| _ = arena.alloc(size),
        |arena| arena.stats().reserved_bytes,
    );
    let shared = LockFreeArena::builder().build().unwrap();
    assert_reserves_little(
        &shared,
        |arena, size| _ = arena.alloc(size),
        |arena| arena.stats().reserved_bytes,
    );
    let shared = LockFreeArena::builder().build().unwrap();
    assert_reserves_little(
        shared.local(),
        |arena, size| _ = arena.alloc(size),
        |_| shared.stats().reserved_bytes,
    );
}
