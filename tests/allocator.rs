// SPDX-License-Identifier: Apache-2.0
//! Tests references to arenas as `allocator_api2` allocators. Random calls of the trait's functions
//! are compared with the memory model, and collections live in an arena. Every live allocation must
//! stay whole, and a collection must behave as with the standard allocator.
#![cfg(feature = "allocator-api2")]

mod support;

use aegis_memory::arena::{Arena, FixedArena, LockFreeArena, LockedArena};
use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box as BoxIn;
use allocator_api2::vec::Vec as VecIn;
use proptest::prelude::*;
use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::thread;
use support::model::{assert_zero_and_dirty, Live, Model};
use support::{watched, TestSource};

#[derive(Clone, Debug)]
enum Op {
    Allocate { size: usize, align: usize, zeroed: bool },
    Resize { pick: usize, size: usize, align: usize, zeroed: bool },
    Deallocate { pick: usize },
    Scope,
    Reset,
}

fn op() -> impl Strategy<Value = Op> {
    let size = || prop_oneof![6 => 0_usize..64, 3 => 0_usize..2000, 1 => 0_usize..20_000];
    let align = || (0_u32..13).prop_map(|log| 1 << log);
    prop_oneof![
        8 => (size(), align(), any::<bool>())
            .prop_map(|(size, align, zeroed)| Op::Allocate { size, align, zeroed }),
        8 => (any::<usize>(), size(), align(), any::<bool>())
            .prop_map(|(pick, size, align, zeroed)| Op::Resize { pick, size, align, zeroed }),
        4 => any::<usize>().prop_map(|pick| Op::Deallocate { pick }),
        1 => Just(Op::Scope),
        1 => Just(Op::Reset),
    ]
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a small layout")
}

/// Grows or shrinks allocation `index` through the trait's function for that.
fn resize(arena: &impl Allocator, model: &mut Model, index: usize, new: Layout, zeroed: bool) {
    let Live { at, len, align, .. } = model.live[index];
    let old = layout(len, align);
    // SAFETY: live, of layout `old`, and the sizes are in the order that each function asks for.
    let memory = unsafe {
        if new.size() < old.size() {
            arena.shrink(at, old, new)
        } else if zeroed {
            arena.grow_zeroed(at, old, new)
        } else {
            arena.grow(at, old, new)
        }
    };
    let mut memory = memory.expect("there is memory for a test");
    assert!(memory.len() >= new.size());
    if zeroed && new.size() > old.size() {
        // SAFETY: the memory is ours, and its new end is promised to be zero.
        assert_zero_and_dirty(unsafe { &mut memory.as_mut()[old.size()..new.size()] });
    }
    model.resized(index, memory.cast(), new.size(), new.align());
}

/// Applies an operation on one allocation through the trait.
fn apply(allocator: &impl Allocator, model: &mut Model, op: &Op) {
    match *op {
        Op::Allocate { size, align, zeroed } => {
            let layout = layout(size, align);
            let memory =
                if zeroed { allocator.allocate_zeroed(layout) } else { allocator.allocate(layout) };
            let mut memory = memory.expect("there is memory for a test");
            if zeroed {
                // SAFETY: the memory is ours, and promised to be zero.
                assert_zero_and_dirty(unsafe { memory.as_mut() });
            }
            model.add(memory.cast(), size, align, 0);
        }
        Op::Resize { pick, size, align, zeroed } if !model.live.is_empty() => {
            let index = pick % model.live.len();
            resize(allocator, model, index, layout(size, align), zeroed);
        }
        Op::Deallocate { pick } if !model.live.is_empty() => {
            let old = model.live.swap_remove(pick % model.live.len());
            // SAFETY: live, of this layout, and not used again.
            unsafe { allocator.deallocate(old.at, layout(old.len, old.align)) };
        }
        _ => {}
    }
    model.check();
}

fn run(ops: &[Op], capacity: usize) {
    let (source, log) = TestSource::new();
    let builder = Arena::builder().capacity(capacity).source(source);
    let mut arena = builder.build().expect("there is memory for a test");
    let mut model = Model::default();
    for op in ops {
        match *op {
            Op::Scope => arena.scope(|scope| {
                let mut inner = VecIn::new_in(scope);
                let mut outer = VecIn::new_in(&arena);
                (0..500_u32).for_each(|i| (inner.push(i), outer.push(i)).0);
                assert!(inner.iter().eq(outer.iter()));
            }),
            Op::Reset => {
                model.end_scope(0);
                arena.reset();
            }
            _ => apply(&&arena, &mut model, op),
        }
        model.check();
    }
    drop(arena);
    log.assert_finished();
}

/// The same on a shared arena, in turn through the arena and through a handle. An allocation of one
/// must not be passed to the other.
fn run_lock_free(ops: &[Op], capacity: usize) {
    let (source, log) = TestSource::new();
    let builder = LockFreeArena::builder().capacity(capacity).max_block(16_384).source(source);
    let mut arena = builder.build().expect("there is memory for a test");
    for ops in ops.split(|op| matches!(op, Op::Reset)) {
        let (mut direct, mut by_handle) = (Model::default(), Model::default());
        let local = arena.local();
        for (at, op) in ops.iter().enumerate() {
            match at % 2 {
                0 => apply(&&arena, &mut direct, op),
                _ => apply(&&local, &mut by_handle, op),
            }
            direct.check();
            by_handle.check();
        }
        drop(local);
        direct.check();
        by_handle.check();
        arena.reset();
    }
    drop(arena);
    log.assert_finished();
}

fn run_locked(ops: &[Op], capacity: usize) {
    let mut arena = LockedArena::new(capacity);
    for ops in ops.split(|op| matches!(op, Op::Reset)) {
        let mut model = Model::default();
        ops.iter().for_each(|op| apply(&&arena, &mut model, op));
        arena.reset();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_use_of_the_trait_keeps_every_live_allocation_whole(
        ops in prop::collection::vec(op(), 0..100),
        capacity in prop_oneof![Just(0), 1_usize..5000],
    ) {
        run(&ops, capacity);
    }

    #[test]
    fn random_use_on_a_shared_arena_and_a_handle_keeps_every_live_allocation_whole(
        ops in prop::collection::vec(op(), 0..150),
        capacity in prop_oneof![Just(0), 1_usize..5000],
    ) {
        run_lock_free(&ops, capacity);
        run_locked(&ops, capacity);
    }

    #[test]
    fn vec_in_an_arena_equals_vec(ops in prop::collection::vec((0_u8..7, any::<u16>()), 0..200)) {
        let arena = Arena::new(100);
        let mut ours = VecIn::new_in(&arena);
        let mut theirs = Vec::new();
        for (op, value) in ops {
            let index = usize::from(value) % (theirs.len() + 1);
            match op {
                0..=2 => {
                    ours.push(value.to_string());
                    theirs.push(value.to_string());
                }
                3 => {
                    ours.insert(index, value.to_string());
                    theirs.insert(index, value.to_string());
                }
                4 => {
                    ours.truncate(index);
                    theirs.truncate(index);
                }
                5 => {
                    ours.shrink_to_fit();
                    arena.alloc(index);
                }
                _ => {
                    ours.reserve(index);
                    ours.extend((0..index).map(|i| i.to_string()));
                    theirs.extend((0..index).map(|i| i.to_string()));
                    ours.truncate(300);
                    theirs.truncate(300);
                }
            }
            prop_assert_eq!(&*ours, &*theirs);
        }
    }
}

/// Fills a vector that has its arena for itself, so that the vector grows in place, and then drops
/// it.
fn fill_in_place(arena: impl Allocator) {
    let mut numbers = VecIn::new_in(arena);
    numbers.push(0_u64);
    let place = numbers.as_ptr();
    numbers.extend(1..10_000);
    assert_eq!(numbers.as_ptr(), place);
}

#[test]
fn vec_alone_in_an_arena_grows_in_place() {
    let arena = Arena::new(100_000);
    fill_in_place(&arena);
    if !watched() {
        assert_eq!(arena.used(), 0);
    }
}

#[test]
fn box_in_an_arena_drops_its_value() {
    let value = std::sync::Arc::new(());
    let arena = Arena::new(100);
    let boxed = BoxIn::new_in(value.clone(), &arena);
    assert_eq!(std::sync::Arc::strong_count(&value), 2);
    drop(boxed);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn vec_in_a_fixed_arena_reports_that_it_is_full_and_keeps_its_items() {
    let mut memory = [MaybeUninit::uninit(); 1024];
    let arena = FixedArena::new(&mut memory);
    let mut numbers = VecIn::new_in(&*arena);
    while numbers.try_reserve(1).is_ok() {
        numbers.push(numbers.len());
    }
    assert!(numbers.len() > 50 && numbers.iter().copied().eq(0..numbers.len()));
    assert!((&*arena).allocate(layout(5000, 8)).is_err());
    assert!((&*arena).allocate_zeroed(layout(5000, 8)).is_err());
}

#[test]
fn collections_in_a_shared_arena_are_filled_sent_and_dropped_by_threads() {
    let mut arena = LockFreeArena::builder().max_block(4096).build().expect("built");
    let local = arena.local();
    let by_handle: VecIn<_, _> = {
        let mut numbers = VecIn::new_in(&local);
        numbers.extend(0..2000_usize);
        numbers
    };
    thread::scope(|threads| {
        let workers: Vec<_> = (0..4_usize)
            .map(|number| {
                let arena = &arena;
                threads.spawn(move || {
                    let mut names = VecIn::new_in(arena);
                    for i in 0..2000 {
                        names.push(BoxIn::new_in(number * 10_000 + i, arena));
                        if i % 7 == 0 {
                            names.shrink_to_fit();
                        }
                    }
                    names
                })
            })
            .collect();
        for (number, worker) in workers.into_iter().enumerate() {
            let names = worker.join().expect("no panic");
            // The vector is dropped on another thread than the one that filled it, while other
            // threads allocate.
            threads.spawn(move || {
                assert!(names.iter().map(|name| **name).eq((0..2000).map(|i| number * 10_000 + i)));
            });
        }
    });
    assert!(by_handle.iter().copied().eq(0..2000));
    drop(by_handle);
    drop(local);
    arena.reset();
    assert_eq!(arena.used(), 0);
}

#[test]
fn vec_alone_in_a_shared_arena_grows_in_place_and_gives_its_room_back() {
    let arena = LockFreeArena::new(100_000);
    fill_in_place(&arena);
    assert_eq!(arena.used(), 0);
}

#[test]
fn refusal_of_a_shared_arena_leaves_a_vec_as_it_was() {
    let budget = aegis_memory::budget::MemoryBudget::new("rows", 20_000);
    let arena = LockFreeArena::builder().budget(&budget).build().expect("built");
    let local = arena.local();
    let mut direct = VecIn::new_in(&arena);
    let mut by_handle = VecIn::new_in(&local);
    while direct.try_reserve(1).is_ok() && by_handle.try_reserve(1).is_ok() {
        direct.push(direct.len());
        by_handle.push(by_handle.len());
    }
    assert!(direct.iter().copied().eq(0..direct.len()) && direct.len() > 100);
    assert!(by_handle.iter().copied().eq(0..by_handle.len()));
}
