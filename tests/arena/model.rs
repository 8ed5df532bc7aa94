// SPDX-License-Identifier: Apache-2.0
//! Runs random work on an arena and compares it with a model of the live allocations. No two may
//! overlap, each must be aligned, content must stay, and zeroed memory must be zero. Scopes nest,
//! and an allocation goes to any open arena: the arena of the innermost scope, or one further out.

use crate::support::model::{assert_zero_and_dirty, Model};
use crate::support::TestSource;
use aegis_memory::arena::{Arena, ArenaBuilder};
use aegis_memory::ffi;
use proptest::prelude::*;
use std::alloc::Layout;
use std::mem::{align_of, size_of_val};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Op {
    /// Allocates with the form of this number, with this size and alignment, from an arena `out`
    /// scopes further out.
    Alloc {
        form: u8,
        size: usize,
        align: usize,
        out: usize,
    },
    /// Resizes the live allocation that this number picks.
    Resize {
        pick: usize,
        size: usize,
    },
    Free {
        pick: usize,
    },
    Scope(Vec<Op>),
    Check,
}

#[derive(Clone, Debug)]
enum Top {
    Do(Op),
    Reset,
    Trim(usize),
    Clear,
    Move,
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0_usize..64, 3 => 0_usize..1500, 1 => 0_usize..20_000]
}

fn op() -> impl Strategy<Value = Op> {
    let align = (0_u32..13).prop_map(|log| 1 << log);
    let leaf = prop_oneof![
        12 => (0_u8..FORMS, sizes(), align, 0_usize..4)
            .prop_map(|(form, size, align, out)| Op::Alloc { form, size, align, out }),
        4 => (any::<usize>(), sizes()).prop_map(|(pick, size)| Op::Resize { pick, size }),
        2 => any::<usize>().prop_map(|pick| Op::Free { pick }),
        1 => Just(Op::Check),
    ];
    leaf.prop_recursive(3, 60, 16, |inner| prop::collection::vec(inner, 0..16).prop_map(Op::Scope))
}

fn top() -> impl Strategy<Value = Top> {
    prop_oneof![
        40 => op().prop_map(Top::Do),
        2 => Just(Top::Reset),
        1 => (0_usize..60_000).prop_map(Top::Trim),
        1 => Just(Top::Clear),
        1 => Just(Top::Move),
    ]
}

struct CountsDrop(Arc<AtomicUsize>, u64);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        assert_eq!(self.1, 0xFEED, "a value with drop glue was overwritten");
        self.0.fetch_add(1, SeqCst);
    }
}

struct World {
    model: Model,
    dropped: Arc<AtomicUsize>,
    made: usize,
}

const FORMS: u8 = 13;

impl World {
    /// Allocates from `arena`, whose scope has this depth.
    fn alloc(&mut self, arena: &Arena, depth: usize, form: u8, size: usize, align: usize) {
        let bytes: &mut [u8] = match form {
            0 => {
                let bytes = arena.alloc(size);
                assert_zero_and_dirty(bytes);
                bytes
            }
            1 => {
                let bytes = arena.alloc_aligned(size, align);
                assert_zero_and_dirty(bytes);
                return self.model.add(NonNull::from(bytes).cast(), size, align.max(8), depth);
            }
            2 => {
                let layout = Layout::from_size_align(size, align).expect("a small layout");
                let p = arena.alloc_layout(layout);
                return self.model.add(p, size, align.max(8), depth);
            }
            3 => return self.add_uninit(arena.alloc_slice_uninit::<u8>(size), depth),
            4 => return self.add_uninit(arena.alloc_slice_uninit::<u128>(size / 16), depth),
            5 => arena.alloc_slice_copy(&vec![form; size]),
            6 => arena.alloc_slice_clone(&vec![form; size]),
            7 => arena.alloc_slice_fill_with(size, |i| i as u8),
            8 => arena.alloc_slice_from_iter((0..size).filter(|i| i % 3 > 0).map(|i| i as u8)),
            9 => {
                let text = arena.alloc_fmt(format_args!("{:>size$}{form}", 'ä'));
                assert!(text.ends_with("ä9"));
                // SAFETY: the text is not used as a string again.
                unsafe { text.as_bytes_mut() }
            }
            10 => {
                self.made += 1;
                arena.alloc_static(CountsDrop(self.dropped.clone(), 0xFEED));
                return;
            }
            11 => {
                self.made += 1;
                drop(arena.alloc_boxed(CountsDrop(self.dropped.clone(), 0xFEED)));
                return;
            }
            _ => arena.alloc_value([0_u8; 40]),
        };
        let (at, len) = (NonNull::from(&mut *bytes).cast(), bytes.len());
        self.model.add(at, len, 8, depth);
    }

    fn add_uninit<T>(&mut self, items: &mut [T], depth: usize) {
        let len = size_of_val(items);
        self.model.add(NonNull::from(items).cast(), len, align_of::<T>().max(8), depth);
    }

    /// Applies an operation. `open` holds the arena and its open scopes, the innermost last.
    fn apply(&mut self, open: &[&Arena], op: &Op) {
        let innermost = open.len() - 1;
        match *op {
            Op::Alloc { form, size, align, out } => {
                let depth = innermost - out.min(innermost);
                self.alloc(open[depth], depth, form, size, align);
            }
            Op::Resize { pick, size } if !self.model.live.is_empty() => {
                let index = pick % self.model.live.len();
                let old = self.model.live[index];
                // SAFETY: live, of this size and alignment, and from this arena.
                let p = unsafe {
                    ffi::aegis_arena_realloc_aligned(
                        open[old.depth].as_raw(),
                        old.at.as_ptr().cast(),
                        old.len,
                        size,
                        old.align,
                    )
                };
                let p = NonNull::new(p.cast()).expect("there is memory for a test");
                self.model.resized(index, p, size, old.align);
            }
            Op::Free { pick } if !self.model.live.is_empty() => {
                let index = pick % self.model.live.len();
                let old = self.model.live.swap_remove(index);
                let p = old.at.as_ptr().cast();
                // SAFETY: live, of this size, from this arena, and not used again.
                unsafe { ffi::aegis_arena_free_last(open[old.depth].as_raw(), p, old.len) };
            }
            Op::Scope(ref ops) => {
                open[innermost].scope(|scope| {
                    let mut open = open.to_vec();
                    open.push(scope);
                    ops.iter().for_each(|op| self.apply(&open, op));
                    self.model.end_scope(innermost + 1);
                });
            }
            Op::Check => self.model.check(),
            Op::Resize { .. } | Op::Free { .. } => {}
        }
        for arena in open {
            let stats = arena.stats();
            assert!(stats.used_bytes <= stats.capacity_bytes);
            assert!(stats.used_bytes <= stats.peak_used_bytes);
            assert!(stats.capacity_bytes <= stats.reserved_bytes);
        }
    }
}

/// Makes the requests and scopes of the operation and nothing else.
fn request(open: &[&Arena], op: &Op) {
    let innermost = open.len() - 1;
    match *op {
        Op::Alloc { size, align, out, .. } => {
            let layout = Layout::from_size_align(size, align).expect("a small layout");
            open[innermost - out.min(innermost)].alloc_layout(layout);
        }
        Op::Scope(ref ops) => open[innermost].scope(|scope| {
            let open = [open, &[scope]].concat();
            ops.iter().for_each(|op| request(&open, op));
        }),
        Op::Resize { .. } | Op::Free { .. } | Op::Check => {}
    }
}

fn run(ops: Vec<Top>, mut builder: ArenaBuilder, plain: bool) {
    let (source, log) = TestSource::new();
    if plain {
        builder = builder.no_debug();
    }
    let mut arena = builder.source(source).build().expect("there is memory for a test");
    let mut world = World { model: Model::default(), dropped: Arc::default(), made: 0 };
    for op in ops {
        match op {
            Top::Do(op) => world.apply(&[&arena], &op),
            Top::Trim(keep) => arena.trim(keep),
            Top::Move => arena = *Box::new(arena),
            Top::Reset | Top::Clear => {
                world.model.end_scope(0);
                if matches!(op, Top::Reset) {
                    arena.reset();
                } else {
                    arena.clear();
                    assert_eq!(log.live_blocks.load(SeqCst), 0);
                }
                assert_eq!((arena.used(), arena.stats().wasted_bytes), (0, 0));
                assert_eq!(world.dropped.load(SeqCst), world.made, "values not dropped");
            }
        }
        world.model.check();
        assert_eq!(arena.stats().block_count, log.live_blocks.load(SeqCst));
        assert_eq!(arena.stats().reserved_bytes, log.live_bytes.load(SeqCst));
    }
    drop(arena);
    assert_eq!(world.dropped.load(SeqCst), world.made, "values not dropped");
    log.assert_finished();
}

/// An arena that has acquired no block in so many resets has stopped acquiring blocks.
const QUIET_RESETS: usize = 60;

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 500,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn random_work_keeps_every_live_allocation_whole(
        ops in prop::collection::vec(top(), 0..80),
        capacity in prop_oneof![Just(0), 1_usize..5000],
        max_block in prop_oneof![Just(0), 1_usize..10_000],
        plain: bool,
    ) {
        run(ops, Arena::builder().capacity(capacity).max_block(max_block), plain);
    }

    #[test]
    fn same_requests_after_each_reset_stop_acquiring_blocks(
        ops in prop::collection::vec(op(), 0..60),
        capacity in prop_oneof![Just(0), 1_usize..5000],
        max_block in prop_oneof![Just(0), 1_usize..10_000],
    ) {
        let builder = Arena::builder().capacity(capacity).max_block(max_block);
        let mut arena = builder.build().expect("there is memory for a test");
        // With scopes the merge at their end changes the order of the idle blocks. So it takes some
        // resets until each request finds a block.
        let scopes = ops.iter().any(|op| matches!(op, Op::Scope(_)));
        let most_resets = if scopes { 1000 } else { QUIET_RESETS };
        let mut acquired = Vec::new();
        let is_quiet = |acquired: &[u64]| {
            acquired.len() >= QUIET_RESETS
                && acquired[acquired.len() - QUIET_RESETS] == acquired[acquired.len() - 1]
        };
        while acquired.len() < most_resets && !is_quiet(&acquired) {
            ops.iter().for_each(|op| request(&[&arena], op));
            arena.reset();
            acquired.push(arena.stats().acquired_count);
        }
        prop_assert!(is_quiet(&acquired), "acquired so far: {:?}", acquired);
    }
}
