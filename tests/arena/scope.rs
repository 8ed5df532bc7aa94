// SPDX-License-Identifier: Apache-2.0
//! Tests scopes, and arenas over the caller's memory. A scope must free exactly what was allocated
//! in it, however it ends, and must leave the outer arena's memory untouched. A fixed arena must
//! use all of its memory and must never grow.

use crate::support::{panic_of, watched};
use aegis_memory::arena::{Arena, ArenaMark, FixedArena, StaleMark};
use aegis_memory::ffi;
use aegis_memory::AllocError;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};

#[test]
fn scope_keeps_outer_values_and_frees_inner_ones() {
    let mut arena = Arena::new(4096);
    let a = arena.alloc_value(1u64);
    let used = arena.used();
    let kept = arena.scope(|s| {
        let big = s.alloc(100_000);
        big.fill(7);
        let b = arena.alloc_value(5u64);
        *a += s.scope(|t| *t.alloc_value(2u64)) + big[99_999] as u64;
        b
    });
    assert_eq!((*a, *kept), (10, 5));
    assert!(arena.used() >= used);
    arena.reset();
    assert!(arena.alloc(200_000).iter().all(|&b| b == 0));
}

#[test]
fn scope_memory_is_used_again_and_zero_when_promised() {
    let arena = Arena::new(1000);
    arena.alloc(10);
    let before = arena.stats();
    let mut places = Vec::new();
    for _ in 0..5 {
        places.push(arena.scope(|scope| {
            let bytes = scope.alloc(100);
            crate::support::model::assert_zero_and_dirty(bytes);
            crate::support::model::assert_zero_and_dirty(scope.alloc(5000));
            bytes.as_ptr() as usize
        }));
        assert_eq!(arena.used(), before.used_bytes);
    }
    assert!(places.iter().all(|&place| place == places[0]));
    assert_eq!(arena.stats().acquired_count, before.acquired_count + 1);
}

#[test]
fn scope_of_an_empty_arena_and_empty_scope_change_nothing_in_use() {
    let arena = Arena::default();
    arena.scope(|_| ());
    assert_eq!(arena.stats(), Arena::default().stats());
    arena.scope(|scope| _ = scope.alloc(10));
    assert_eq!((arena.used(), arena.stats().block_count), (0, 1));
    arena.scope(|_| _ = arena.alloc(10));
    assert!(arena.used() >= 16);
}

#[test]
fn values_of_the_outer_arena_survive_deep_nesting() {
    fn nest<'a>(outer: &'a Arena, arena: &Arena, depth: u32) -> Vec<&'a mut [u32]> {
        let scratch = arena.alloc_slice_fill(50, depth);
        let mut kept = vec![outer.alloc_slice_fill(30, depth)];
        if depth > 0 {
            kept.extend(arena.scope(|inner| nest(outer, inner, depth - 1)));
        }
        assert_eq!(scratch, [depth; 50]);
        kept
    }
    let mut arena = Arena::new(256);
    for _ in 0..3 {
        let kept = arena.scope(|scope| nest(&arena, scope, 20));
        for (slice, depth) in kept.iter().zip((0..=20).rev()) {
            assert_eq!(**slice, [depth; 30]);
        }
        arena.reset();
    }
}

#[test]
fn scope_ends_when_its_closure_panics() {
    let arena = Arena::new(1000);
    let kept = arena.alloc_str("kept");
    let used = arena.used();
    let message = panic_of(|| {
        arena.scope(|scope| {
            scope.alloc(5000);
            scope.scope(|inner| -> () {
                inner.alloc(50_000);
                panic!("in the inner scope")
            })
        })
    });
    assert_eq!((message.as_str(), arena.used(), &*kept), ("in the inner scope", used, "kept"));
}

#[test]
fn steady_loop_of_scopes_acquires_no_block_after_the_first_round() {
    let arena = Arena::new(128);
    arena.alloc(64);
    let round = || {
        arena.scope(|a| {
            (0..100).for_each(|i| _ = a.alloc(i * 10));
            a.scope(|b| (0..100).for_each(|i| _ = b.alloc(i * 20)));
            (0..100).for_each(|i| _ = a.alloc(i * 10));
        });
    };
    round();
    let first = arena.stats();
    (0..20).for_each(|_| round());
    assert_eq!(arena.stats().acquired_count, first.acquired_count);
    assert_eq!(arena.used(), first.used_bytes);
}

#[test]
fn loop_that_allocates_outside_of_its_scopes_stops_acquiring_blocks() {
    let middle = |arena: &Arena| {
        arena.scope(|a| a.scope(|b| (_ = a.alloc(1), _ = b.alloc(3000), _ = arena.alloc(2))))
    };
    let again_on_outer = |arena: &Arena| {
        arena.scope(|a| arena.scope(|b| (_ = a.alloc(1), _ = b.alloc(3000), _ = arena.alloc(2))))
    };
    for round in [&middle as &dyn Fn(&Arena) -> ((), (), ()), &again_on_outer] {
        let mut arena = Arena::default();
        for _ in 0..100 {
            round(&arena);
            arena.reset();
        }
        assert!(arena.stats().acquired_count < 10, "{}", arena.stats().acquired_count);
    }
}

#[test]
fn empty_allocations_of_a_guarded_arena_survive_trim_and_scope() {
    let mut arena = Arena::builder().debug_guard(true).build().expect("no block yet");
    // By chance, no address that an arena without blocks uses for empty allocations has this
    // alignment.
    arena.alloc_aligned(0, 1 << 21);
    arena.trim(0);
    arena.scope(|scope| (_ = arena.alloc_aligned(0, 1 << 21), _ = scope.alloc(2000)));
    arena.alloc(2000).fill(1);
    arena.reset();
}

#[test]
fn fixed_arena_serves_what_fits_and_refuses_the_rest_by_name() {
    let mut memory = [MaybeUninit::<u8>::new(crate::support::DIRT); 1024];
    let range = memory.as_ptr_range();
    let mut arena = FixedArena::new(&mut memory);
    let capacity = arena.capacity();
    assert!((1024 - 64 - 16..1024).contains(&capacity));
    for _ in 0..3 {
        let bytes = arena.alloc(500);
        crate::support::model::assert_zero_and_dirty(bytes);
        assert!(range.contains(&bytes.as_ptr().cast()));
        let before = arena.stats();
        let error = arena.try_alloc(600).expect_err("it does not fit");
        let in_use = capacity - before.remaining_bytes;
        assert!(
            matches!(error, AllocError::Exhausted { requested: 600, capacity: c, in_use: u, .. }
            if c == capacity && u == in_use)
        );
        assert_eq!(
            error.to_string(),
            format!(
                "fixed memory exhausted: 600 bytes requested at alignment 8, {in_use} of {capacity} bytes in use",
            )
        );
        assert_eq!(arena.stats(), before);
        assert!(matches!(arena.try_alloc(usize::MAX), Err(AllocError::InvalidLayout { .. })));
        arena.reset();
    }
    assert_eq!(arena.stats().acquired_count, 0);
}

#[test]
fn fixed_arena_is_filled_to_its_last_whole_word() {
    let mut memory = [MaybeUninit::<u8>::uninit(); 777];
    for len in 0..memory.len() {
        let arena = FixedArena::new(&mut memory[..len]);
        let capacity = arena.capacity();
        assert_eq!(arena.remaining(), capacity);
        if len >= 64 + 16 + 8 {
            assert!(capacity >= 8, "{len} bytes give no room");
        }
        if !watched() {
            assert_eq!(arena.alloc(capacity).len(), capacity);
            assert!(arena.try_alloc(1).is_err());
            assert!(arena.try_alloc(0).is_ok());
        }
    }
}

#[test]
fn fixed_arena_scopes_share_its_memory_and_the_outer_has_none_meanwhile() {
    let mut memory = [MaybeUninit::<u8>::uninit(); 1024];
    let arena = FixedArena::new(&mut memory);
    let kept = arena.alloc_str("kept");
    let stats = arena.stats();
    for _ in 0..3 {
        arena.scope(|scope| {
            assert_eq!(scope.alloc(600), [0; 600]);
            assert!(scope.try_alloc(600).is_err());
            assert!(matches!(arena.try_alloc(8), Err(AllocError::Exhausted { .. })));
        });
        assert_eq!(arena.used(), stats.used_bytes);
    }
    assert_eq!((&*kept, arena.stats().block_count), ("kept", 1));
    assert_eq!(arena.capacity(), stats.capacity_bytes);
}

#[test]
fn fixed_arena_drops_static_values_and_prints_itself() {
    let value = std::sync::Arc::new(());
    let mut memory = [MaybeUninit::<u8>::uninit(); 512];
    let arena = FixedArena::new(&mut memory);
    arena.alloc_static(value.clone());
    assert_eq!(std::sync::Arc::strong_count(&value), 2);
    assert!(format!("{arena:?}").contains("block_count: 1"));
    drop(arena);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn reset_of_a_scopes_arena_by_c_leaves_the_outer_values() {
    let mut arena = Arena::new(1024);
    let before = arena.alloc_str("allocated before, untouched");
    arena.scope(|scope| {
        let used = scope.used();
        for _ in 0..3 {
            scope.alloc(3000).fill(1);
            // SAFETY: no reference into the scope is live.
            unsafe { ffi::aegis_arena_reset(scope.as_raw()) };
            assert_eq!(scope.used(), used);
            // SAFETY: as above.
            unsafe { ffi::aegis_arena_clear(scope.as_raw()) };
            scope.alloc(100).fill(2);
        }
        // A scope on the scope's arena has a start of its own to go back to.
        let kept = scope.alloc_value(7);
        scope.scope(|inner| {
            inner.alloc(100).fill(3);
            // SAFETY: no reference into the inner scope is live.
            unsafe { ffi::aegis_arena_reset(inner.as_raw()) };
        });
        assert_eq!(*kept, 7);
    });
    assert_eq!(before, "allocated before, untouched");
    arena.reset();
}

#[test]
fn mark_of_an_ended_scope_is_refused_in_the_next() {
    let arena = Arena::new(1024);
    let mut stale = Vec::new();
    for _ in 0..4 {
        arena.scope(|scope| {
            for raw in [arena.as_raw(), scope.as_raw()] {
                // SAFETY: both arenas are alive, and a mark that is refused changes nothing.
                unsafe {
                    for mark in &stale {
                        assert_eq!(ffi::aegis_arena_rewind(raw, mark), ffi::AEGIS_E_INVALID);
                    }
                }
            }
            // SAFETY: both arenas are alive.
            stale.extend(
                [arena.as_raw(), scope.as_raw()]
                    .map(|raw| unsafe { ffi::aegis_arena_get_mark(raw) }),
            );
        });
    }
}

#[test]
fn rewind_frees_what_came_after_the_mark_and_keeps_the_rest() {
    let arena = Arena::new(256);
    let kept = arena.alloc_slice_fill(10, 7_u64);
    let mark = arena.mark();
    let used = arena.used();
    let mut places = Vec::new();
    for round in 0..5 {
        places.push(arena.alloc_slice_fill(20_000, round).as_ptr() as usize);
        arena.alloc_static(vec![round]);
        // SAFETY: the mark is of this arena, and nothing that came after it is used again.
        assert_eq!(unsafe { arena.rewind(&mark) }, Ok(()));
        assert_eq!((arena.used(), &*kept), (used, &[7; 10][..]));
    }
    assert!(places.iter().all(|&place| place == places[0]), "the blocks are kept");
}

#[test]
fn rewind_drops_static_values_since_the_mark_the_newest_first() {
    let dropped = Arc::new(Mutex::new(Vec::new()));
    struct Notes(u32, Arc<Mutex<Vec<u32>>>);
    impl Drop for Notes {
        fn drop(&mut self) {
            self.1.lock().expect("no panic").push(self.0);
        }
    }
    let arena = Arena::default();
    arena.alloc_static(Notes(1, dropped.clone()));
    let mark = arena.mark();
    arena.alloc_static(Notes(2, dropped.clone()));
    arena.alloc_static(Notes(3, dropped.clone()));
    // SAFETY: as above.
    assert_eq!(unsafe { arena.rewind(&mark) }, Ok(()));
    assert_eq!(*dropped.lock().expect("no panic"), [3, 2]);
    drop(arena);
    assert_eq!(*dropped.lock().expect("no panic"), [3, 2, 1]);
}

#[test]
fn stale_mark_is_refused_and_changes_nothing() {
    let mut arena = Arena::new(1024);
    arena.alloc(8);
    let early = arena.mark();
    arena.alloc(8);
    let late = arena.mark();
    // SAFETY: the marks are of this arena, and nothing that came after them is used again.
    let rewind = |arena: &Arena, mark: &ArenaMark| unsafe { arena.rewind(mark) };
    arena.scope(|scope| {
        assert_eq!(rewind(&arena, &late), Err(StaleMark), "from before the scope");
        let inner = scope.mark();
        scope.alloc(100);
        assert_eq!((rewind(scope, &inner), scope.used()), (Ok(()), 16));
    });
    assert_eq!(rewind(&arena, &early), Ok(()));
    let used = arena.used();
    assert_eq!((rewind(&arena, &late), arena.used()), (Err(StaleMark), used));
    let moved = std::thread::spawn(move || {
        assert_eq!(rewind(&arena, &early), Ok(()), "a mark goes with its arena");
        arena.reset();
        assert_eq!(rewind(&arena, &early), Err(StaleMark));
    });
    moved.join().expect("no panic");
    let says = "the mark is stale: the arena has freed what was in use when it was taken";
    assert_eq!(StaleMark.to_string(), says);
}
