// SPDX-License-Identifier: Apache-2.0
//! Tests references to arenas and pools as allocators, through every allocator trait that there is.
//! Random calls of the traits' functions are compared with the memory model, and collections live
//! in arenas and pools. Every live allocation must stay whole, and a collection must behave as with
//! the standard allocator.
#![cfg(aegis_allocator)]
#![cfg_attr(aegis_unstable_allocator, feature(allocator_api, btreemap_alloc))]

#[path = "support/allocator_line.rs"]
#[macro_use]
mod allocator_line;
#[cfg(feature = "allocator-api2")]
#[path = "support/allocator_maps.rs"]
mod allocator_maps;
#[cfg(aegis_std_allocator)]
#[path = "support/allocator_std.rs"]
mod allocator_std;
mod support;

use aegis_memory::arena::{
    Arena, ArenaHeap, FixedArena, LockFreeArena, LockedArena, LockedArenaHeap,
};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, PoolBuilder, PoolKind};
use allocator_line::Face;
use proptest::prelude::*;
use std::alloc::Layout;
use std::mem::MaybeUninit;
use support::model::{assert_zero_and_dirty, Live, Model};
use support::{watched, TestSource};

#[cfg(feature = "allocator-api2")]
line!(line_02: allocator_api2, FromAllocator);
#[cfg(feature = "allocator-api2-03")]
line!(line_03: allocator_api2_03, FromAllocator03);
#[cfg(feature = "allocator-api2-04")]
line!(line_04: allocator_api2_04, FromAllocator04);
#[cfg(aegis_std_allocator)]
line!(line_std: std, FromStdAllocator);

/// An allocator behind each of the traits. An allocation of one can be given back through another,
/// because all call the same functions.
macro_rules! faces {
    ($allocator:expr) => {{
        let faces: Vec<Box<dyn Face + '_>> = vec![
            #[cfg(feature = "allocator-api2")]
            Box::new(line_02::Of($allocator)),
            #[cfg(feature = "allocator-api2-03")]
            Box::new(line_03::Of($allocator)),
            #[cfg(feature = "allocator-api2-04")]
            Box::new(line_04::Of($allocator)),
            #[cfg(aegis_std_allocator)]
            Box::new(line_std::Of($allocator)),
        ];
        faces
    }};
}

/// One allocator behind each trait, used in turn.
type Faces<'a> = [Box<dyn Face + 'a>];

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

/// An arena has memory for every layout.
fn every(_: Layout) -> bool {
    true
}

/// The blocks of the pools that are tested.
const BLOCK: usize = 256;
const BLOCK_ALIGN: usize = 64;

/// What a pool of such blocks has memory for.
fn one_block(layout: Layout) -> bool {
    layout.size() == 0 || (layout.size() <= BLOCK && layout.align() <= BLOCK_ALIGN)
}

/// Applies an operation on one allocation. The allocator must have memory for the layouts that
/// `fits` names and for no others.
fn apply(face: &dyn Face, fits: fn(Layout) -> bool, model: &mut Model, op: &Op) {
    match *op {
        Op::Allocate { size, align, zeroed } => {
            let memory = face.allocate(layout(size, align), zeroed);
            assert_eq!(memory.is_some(), fits(layout(size, align)));
            let Some(mut memory) = memory else { return };
            if zeroed {
                // SAFETY: the memory is ours, and promised to be zero.
                assert_zero_and_dirty(unsafe { memory.as_mut() });
            }
            model.add(memory.cast(), size, align, 0);
        }
        Op::Resize { pick, size, align, zeroed } if !model.live.is_empty() => {
            let index = pick % model.live.len();
            let Live { at, len, align: old_align, .. } = model.live[index];
            // SAFETY: live, of this layout, and used afterwards only if there is no new memory.
            let memory =
                unsafe { face.resize(at, layout(len, old_align), layout(size, align), zeroed) };
            assert_eq!(memory.is_some(), fits(layout(size, align)));
            let Some(mut memory) = memory else { return };
            assert!(memory.len() >= size);
            if zeroed && size > len {
                // SAFETY: the memory is ours, and its new end is promised to be zero.
                assert_zero_and_dirty(unsafe { &mut memory.as_mut()[len..size] });
            }
            model.resized(index, memory.cast(), size, align);
        }
        Op::Deallocate { pick } if !model.live.is_empty() => {
            let old = model.live.swap_remove(pick % model.live.len());
            // SAFETY: live, of this layout, and not used again.
            unsafe { face.deallocate(old.at, layout(old.len, old.align)) };
        }
        _ => {}
    }
}

/// Applies the operations up to the next reset, in turn through each trait.
fn apply_all(faces: &Faces<'_>, fits: fn(Layout) -> bool, model: &mut Model, ops: &[Op]) {
    for (face, op) in faces.iter().cycle().zip(ops) {
        apply(&**face, fits, model, op);
        model.check();
    }
}

/// The outer arena and that of a scope are used at the same time.
fn run_scope(arena: &Arena, outer: &mut Model) {
    arena.scope(|scope| {
        let (faces, inner_faces, mut inner) = (faces!(arena), faces!(scope), Model::default());
        for size in [40, 100, 90, 3000] {
            let ops = [
                Op::Allocate { size, align: 8, zeroed: true },
                Op::Resize { pick: size, size: 2 * size, align: 4, zeroed: false },
            ];
            apply_all(&faces, every, outer, &ops);
            apply_all(&inner_faces, every, &mut inner, &ops);
        }
        inner.check();
    });
    outer.check();
}

/// With `debug` each allocation has a guard and goes through the core, in a debug build. Without it
/// the inlined fast paths serve.
fn run(ops: &[Op], capacity: usize, debug: bool) {
    let (source, log) = TestSource::new();
    let builder = Arena::builder().capacity(capacity).source(source);
    let builder = if debug { builder } else { builder.no_debug() };
    let mut arena = builder.build().expect("there is memory for a test");
    for ops in ops.split(|op| matches!(op, Op::Reset)) {
        let mut model = Model::default();
        for ops in ops.split_inclusive(|op| matches!(op, Op::Scope)) {
            apply_all(&faces!(&arena), every, &mut model, ops);
            if let Some(Op::Scope) = ops.last() {
                run_scope(&arena, &mut model);
            }
        }
        arena.reset();
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
        let (faces, local_faces) = (faces!(&arena), faces!(&local));
        for ops in ops.chunks(2) {
            apply_all(&faces, every, &mut direct, &ops[..1]);
            apply_all(&local_faces, every, &mut by_handle, &ops[1..]);
            direct.check();
        }
        drop((faces, local_faces));
        drop(local);
        direct.check();
        by_handle.check();
        arena.reset();
    }
    drop(arena);
    log.assert_finished();
}

/// The same on a locked arena, in turn through the arena and through a view of a larger alignment.
fn run_locked(ops: &[Op], capacity: usize) {
    let mut arena = LockedArena::new(capacity);
    for ops in ops.split(|op| matches!(op, Op::Reset)) {
        let (view, mut model) = (arena.with_min_align::<64>(), Model::default());
        let (faces, view_faces) = (faces!(&arena), faces!(&view));
        for ops in ops.chunks(20) {
            apply_all(&faces, every, &mut model, &ops[..ops.len() / 2]);
            apply_all(&view_faces, every, &mut model, &ops[ops.len() / 2..]);
        }
        drop((faces, view_faces));
        arena.reset();
    }
}

fn blocks<P: PoolKind>(builder: PoolBuilder<P>) -> PoolBuilder<P> {
    builder.block_size(BLOCK).align(BLOCK_ALIGN).blocks(3).max_blocks(400)
}

/// Gives every allocation back.
fn empty(faces: &Faces<'_>, model: &mut Model) {
    while !model.live.is_empty() {
        apply(&*faces[0], one_block, model, &Op::Deallocate { pick: 0 });
        model.check();
    }
}

macro_rules! run_pool {
    ($Pool:ident, $ops:expr, |$pool:ident| $front:expr) => {{
        let (source, log) = TestSource::new();
        let $pool = blocks($Pool::builder()).source(source).build().expect("there is memory");
        {
            let (front, mut model) = ($front, Model::default());
            let faces = faces!(&front);
            apply_all(&faces, one_block, &mut model, $ops);
            let with_bytes = model.live.iter().filter(|live| live.len > 0).count();
            assert_eq!($pool.in_use(), with_bytes);
            empty(&faces, &mut model);
        }
        assert_eq!($pool.in_use(), 0);
        drop($pool);
        log.assert_finished();
    }};
}

/// A part of the usual number of cases.
fn config(share: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { failure_persistence: None, cases: usual.cases.div_ceil(share), ..usual }
}

proptest! {
    #![proptest_config(config(2))]

    #[test]
    fn random_use_of_the_traits_keeps_every_live_allocation_whole(
        ops in prop::collection::vec(op(), 0..100),
        capacity in prop_oneof![Just(0), 1_usize..5000],
        debug in any::<bool>(),
    ) {
        run(&ops, capacity, debug);
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
    fn random_use_on_pools_serves_what_a_block_holds_and_keeps_it_whole(
        ops in prop::collection::vec(op(), 0..150),
    ) {
        run_pool!(Pool, &ops, |pool| &pool);
        run_pool!(LockFreePool, &ops, |pool| &pool);
        run_pool!(LockFreePool, &ops, |pool| pool.cache());
        run_pool!(LockedPool, &ops, |pool| &pool);
    }
}

#[test]
fn every_trait_refuses_what_no_memory_can_hold() {
    let (arena, pool) = (Arena::new(64), Pool::new(64, 1));
    let mut memory = [MaybeUninit::uninit(); 1024];
    let fixed = FixedArena::new(&mut memory);
    let huge = layout(isize::MAX as usize - 4095, 4096);
    for face in faces!(&arena).iter().chain(&faces!(&pool)).chain(&faces!(&fixed)) {
        for zeroed in [false, true] {
            assert!(face.allocate(huge, zeroed).is_none());
            let small = face.allocate(layout(9, 1), zeroed).expect("there is memory");
            let small = small.cast::<u8>();
            // SAFETY: a live allocation, which a refusal leaves as it is.
            unsafe {
                small.as_ptr().write_bytes(7, 9);
                assert!(face.resize(small, layout(9, 1), huge, zeroed).is_none());
                assert_eq!(std::slice::from_raw_parts(small.as_ptr(), 9), [7; 9]);
                face.deallocate(small, layout(9, 1));
            }
        }
    }
}

/// The tests that the authors of `allocator-api2` have published, for the line that they exist for.
#[cfg(feature = "allocator-api2-03")]
mod published {
    use super::*;

    macro_rules! on {
        ($name:ident, $allocator:expr) => {
            mod $name {
                use super::*;
                allocator_api2_tests::make_test!(
                    test_sizes($allocator),
                    test_vec($allocator),
                    test_many_boxes($allocator),
                );
            }
        };
    }

    on!(arena, &Arena::new(9));
    on!(fixed, &FixedArena::new(&mut [MaybeUninit::uninit(); 100_000]));
    on!(lock_free, &LockFreeArena::new(9));
    on!(local, &LockFreeArena::new(9).local());
    on!(locked, &LockedArena::new(9));
    on!(heap, &ArenaHeap::new(9));
    on!(locked_heap, &LockedArenaHeap::new(9));
    on!(pool, &Pool::new(16_384, 20));
    on!(lock_free_pool, &LockFreePool::new(16_384, 20));
    on!(cache, &LockFreePool::new(16_384, 20).cache());
    on!(locked_pool, &LockedPool::new(16_384, 20));
}
