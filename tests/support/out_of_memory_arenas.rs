// SPDX-License-Identifier: Apache-2.0
//! The table of `tests/out_of_memory.rs` for arenas.

use aegis_memory::arena::{
    Arena, ArenaBuilder, ArenaHeap, ArenaKind, ArenaRecycler, FixedArena, LockFreeArena,
    LockedArena, LockedArenaHeap, TypedArena,
};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferMut, BufferPool};
use aegis_memory::pool::{LockFreePool, LockedPool, TypedPool};
use aegis_memory::source::Global;
use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

use crate::failing_heap::{Probe, Row, Text};
use crate::{full, Counted};

/// Makes a call on every form of arena, first with a source and then under a budget that refuses.
macro_rules! on_every_arena {
    ($probe:ident, |$arena:ident| $call:expr) => {
        on_every_arena!(of $probe, Arena, |$arena| $call);
        on_every_arena!(of $probe, LockFreeArena, |$arena| $call);
        on_every_arena!(of $probe, LockedArena, |$arena| $call);
        let shared = LockFreeArena::builder().source(Global).build().expect("no block yet");
        let $arena = shared.local();
        _ = $probe.may_fail(|| $call.map(|_| ()));
        let (full, _root, _held) = full();
        let shared = LockFreeArena::builder().budget(&full).build().expect("no block yet");
        let $arena = shared.local();
        _ = $probe.fails(|| $call.map(|_| ())).expect_err("the budget refuses");
    };
    (of $probe:ident, $Arena:ident, |$arena:ident| $call:expr) => {
        let $arena = $Arena::builder().source(Global).build().expect("no block yet");
        _ = $probe.may_fail(|| $call.map(|_| ()));
        let (full, _root, _held) = full();
        let $arena = $Arena::builder().budget(&full).build().expect("no block yet");
        _ = $probe.fails(|| $call.map(|_| ())).expect_err("the budget refuses");
    };
}

/// The same for both forms of heap.
macro_rules! on_every_heap {
    ($probe:ident, |$heap:ident| $call:expr) => {
        on_every_arena!(of $probe, ArenaHeap, |$heap| $call);
        on_every_arena!(of $probe, LockedArenaHeap, |$heap| $call);
    };
}

/// Builds an arena with a source, and then with a budget that refuses.
fn build<A: ArenaKind>(probe: &Probe, builder: impl Fn() -> ArenaBuilder<A>) {
    let (source, drops) = Counted::new();
    drop(probe.fails(|| builder().source(source).capacity(5000).build()));
    assert_eq!(drops.load(SeqCst), 1, "the source is dropped once");
    let (full, _root, _held) = full();
    let (source, drops) = Counted::new();
    let refused = probe.fails(|| builder().budget(&full).capacity(5000).source(source).build());
    assert_eq!((refused.is_err(), drops.load(SeqCst)), (true, 1));
}

pub fn rows() -> Vec<Row> {
    macro_rules! row {
        ($($covers:literal),+; $run:expr) => { Row { covers: &[$($covers),+], run: $run } };
    }
    vec![
        row!("arena/builder.rs try_new"; |probe| {
            drop(probe.quiet(|| (Arena::try_new(9), LockFreeArena::try_new(9))));
            drop(probe.quiet(|| LockedArena::try_new(9)));
        }),
        row!("arena/builder.rs build"; |probe| {
            build(probe, Arena::builder);
            build(probe, LockFreeArena::builder);
            build(probe, LockedArena::builder);
            build(probe, ArenaHeap::builder);
            build(probe, LockedArenaHeap::builder);
            // The recycler makes its first arena when a caller asks for one.
            let (source, drops) = Counted::new();
            drop(probe.fails(|| ArenaRecycler::builder().max_idle(1).source(source).build()));
            assert_eq!(drops.load(SeqCst), 1, "the source is dropped once");
        }),
        row!("arena/heap_methods.rs try_new", "arena/heap_methods.rs fmt"; |probe| {
            drop(probe.quiet(|| (ArenaHeap::try_new(9), LockedArenaHeap::try_new(9))));
            let (heap, locked) = (ArenaHeap::new(9), LockedArenaHeap::new(9));
            probe.quiet(|| Text::of(format_args!("{heap:?}{locked:?}")));
        }),
        row!("arena/heap_methods.rs try_alloc"; |probe| {
            on_every_heap!(probe, |heap| heap.try_alloc(Layout::new::<[u64; 9]>()));
        }),
        row!("arena/heap_methods.rs try_alloc_zeroed"; |probe| {
            on_every_heap!(probe, |heap| heap.try_alloc_zeroed(Layout::new::<[u64; 9]>()));
        }),
        row!("arena/heap_methods.rs try_realloc"; |probe| {
            on_every_heap!(probe, |heap| {
                let layout = Layout::new::<u64>();
                // SAFETY: it was allocated with this layout, and only the new pointer is used.
                heap.try_alloc(layout).and_then(|p| unsafe { heap.try_realloc(p, layout, 72) })
            });
        }),
        row!("arena/methods.rs try_alloc"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc(9000));
        }),
        row!("arena/methods.rs try_alloc_uninit"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_uninit(9000));
        }),
        row!("arena/methods.rs try_alloc_aligned"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_aligned(9, 4096));
        }),
        row!("arena/methods.rs try_alloc_layout"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_layout(Layout::new::<[u64; 9]>()));
        }),
        row!("arena/methods.rs try_alloc_value"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_value([1_u64; 9]));
        }),
        row!("arena/methods.rs try_alloc_with"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_with(|| [1_u64; 9]));
        }),
        row!("arena/methods.rs try_alloc_boxed"; |probe| {
            let drops = Arc::new(AtomicUsize::new(0));
            let value = || Counted::with(&drops);
            on_every_arena!(probe, |arena| arena.try_alloc_boxed(value()));
            assert_eq!(drops.load(SeqCst), 8, "each is dropped once");
        }),
        row!("arena/emplace_methods.rs try_alloc_try_with",
             "arena/emplace_methods.rs alloc_try_with"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_try_with(|| Ok::<_, ()>([1_u64; 9])));
            on_every_arena!(probe, |arena| arena.try_alloc_try_with(|| Ok::<_, ()>([1_u8; 9000])));
            let arena = Arena::default();
            _ = probe.quiet(|| arena.alloc_try_with(|| Err::<u8, _>(7)));
        }),
        row!("arena/emplace_methods.rs try_alloc_slice_try_fill_with",
             "arena/emplace_methods.rs alloc_slice_try_fill_with"; |probe| {
            on_every_arena!(probe, |arena| {
                arena.try_alloc_slice_try_fill_with(900, Ok::<usize, ()>)
            });
            let arena = Arena::default();
            _ = probe.quiet(|| arena.alloc_slice_try_fill_with(9, Err::<u8, _>));
        }),
        row!("arena/emplace_methods.rs try_alloc_slice_try_from_iter",
             "arena/emplace_methods.rs alloc_slice_try_from_iter"; |probe| {
            let items = || (0..20_000_u32).filter(|i| i % 2 == 0).map(Ok::<_, ()>);
            on_every_arena!(probe, |arena| arena.try_alloc_slice_try_from_iter(items()));
            let arena = Arena::default();
            _ = probe.quiet(|| arena.alloc_slice_try_from_iter([Ok(1), Err(2)]));
        }),
        row!("arena/box_methods.rs try_alloc_boxed_with",
             "arena/box_methods.rs try_alloc_boxed_try_with",
             "arena/box_methods.rs alloc_boxed_try_with"; |probe| {
            let (made, drops) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let value = || {
                made.fetch_add(1, SeqCst);
                Counted::with(&drops)
            };
            on_every_arena!(probe, |arena| arena.try_alloc_boxed_with(value));
            on_every_arena!(probe, |arena| {
                arena.try_alloc_boxed_try_with(|| Ok::<_, ()>(value()))
            });
            assert_eq!(drops.load(SeqCst), made.load(SeqCst), "each is dropped once");
            let arena = Arena::default();
            _ = probe.quiet(|| arena.alloc_boxed_try_with(|| Err::<u8, _>(7)));
        }),
        row!("arena/box_methods.rs try_alloc_boxed_uninit",
             "arena/box_methods.rs try_alloc_boxed_slice_uninit",
             "arena/box_methods.rs try_alloc_boxed_str"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_boxed_uninit::<[u64; 9]>());
            on_every_arena!(probe, |arena| arena.try_alloc_boxed_slice_uninit::<u64>(900));
            on_every_arena!(probe, |arena| arena.try_alloc_boxed_str("a text"));
        }),
        row!("arena/box_methods.rs try_alloc_boxed_slice_clone",
             "arena/box_methods.rs try_alloc_boxed_slice_fill_with",
             "arena/box_methods.rs try_alloc_boxed_slice_try_fill_with",
             "arena/box_methods.rs alloc_boxed_slice_try_fill_with"; |probe| {
            let (made, drops) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let value = |_| {
                made.fetch_add(1, SeqCst);
                Counted::with(&drops)
            };
            on_every_arena!(probe, |arena| arena.try_alloc_boxed_slice_fill_with(9, value));
            on_every_arena!(probe, |arena| {
                arena.try_alloc_boxed_slice_try_fill_with(9, |i| Ok::<_, ()>(value(i)))
            });
            assert_eq!(drops.load(SeqCst), made.load(SeqCst), "each is dropped once");
            on_every_arena!(probe, |arena| arena.try_alloc_boxed_slice_clone(&[7_u16; 900]));
            let arena = Arena::default();
            _ = probe.quiet(|| arena.alloc_boxed_slice_try_fill_with(9, Err::<u8, _>));
        }),
        row!("arena/box_methods.rs try_alloc_boxed_slice_from_iter",
             "arena/box_methods.rs try_alloc_boxed_slice_try_from_iter",
             "arena/box_methods.rs alloc_boxed_slice_try_from_iter"; |probe| {
            let (made, drops) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let items = || (0..500_u32).filter(|i| i % 2 == 0).map(|_| {
                made.fetch_add(1, SeqCst);
                Counted::with(&drops)
            });
            on_every_arena!(probe, |arena| arena.try_alloc_boxed_slice_from_iter(items()));
            on_every_arena!(probe, |arena| {
                arena.try_alloc_boxed_slice_try_from_iter(items().map(Ok::<_, ()>))
            });
            assert_eq!(drops.load(SeqCst), made.load(SeqCst), "each is dropped once");
            let arena = Arena::default();
            _ = probe.quiet(|| arena.alloc_boxed_slice_try_from_iter([Ok(1), Err(2)]));
        }),
        row!("arena/rc.rs try_alloc_rc"; |probe| {
            let drops = Arc::new(AtomicUsize::new(0));
            let value = || Counted::with(&drops);
            on_every_arena!(probe, |arena| arena.try_alloc_rc(value()));
            assert_eq!(drops.load(SeqCst), 8, "each is dropped once");
        }),
        row!("arena/pin.rs try_alloc_pinned"; |probe| {
            let drops = Arc::new(AtomicUsize::new(0));
            let value = || Counted::with(&drops);
            on_every_arena!(probe, |arena| arena.try_alloc_pinned(value()));
            assert_eq!(drops.load(SeqCst), 8, "each is dropped once");
        }),
        row!("arena/methods.rs try_alloc_slice_copy"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_slice_copy(&[7_u16; 900]));
        }),
        row!("arena/methods.rs try_alloc_slice_clone"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_slice_clone(&[7_u16; 900]));
        }),
        row!("arena/methods.rs try_alloc_slice_fill"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_slice_fill(900, 7_u16));
        }),
        row!("arena/methods.rs try_alloc_slice_fill_with"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_slice_fill_with(900, |i| i));
        }),
        row!("arena/methods.rs try_alloc_slice_from_iter"; |probe| {
            let items = || (0..20_000_u32).filter(|i| i % 2 == 0);
            on_every_arena!(probe, |arena| arena.try_alloc_slice_from_iter(items()));
        }),
        row!("arena/methods.rs try_alloc_slice_uninit"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_slice_uninit::<u64>(900));
        }),
        row!("arena/methods.rs try_alloc_str"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_str("a text"));
        }),
        row!("arena/methods.rs try_alloc_fmt"; |probe| {
            on_every_arena!(probe, |arena| arena.try_alloc_fmt(format_args!("{:9000}", 7)));
        }),
        row!("arena/alloc.rs try_alloc_static", "arena/shared.rs try_alloc_static"; |probe| {
            let drops = Arc::new(AtomicUsize::new(0));
            let value = || Counted::with(&drops);
            {
                on_every_arena!(probe, |arena| arena.try_alloc_static(value()));
            }
            assert_eq!(drops.load(SeqCst), 8, "each is dropped once");
        }),
        row!("arena/c_strings.rs try_alloc_cstr", "arena/c_strings.rs try_alloc_cstr_from_str",
             "arena/c_strings.rs try_alloc_cstr_fmt", "arena/c_strings.rs fmt"; |probe| {
            let text = CString::new("a text").expect("no zero byte");
            on_every_arena!(probe, |arena| arena.try_alloc_cstr(&text));
            on_every_arena!(probe, |arena| arena.try_alloc_cstr_from_str("a text"));
            on_every_arena!(probe, |arena| arena.try_alloc_cstr_fmt(format_args!("{:9000}", 7)));
            let error = probe.quiet(|| Arena::default().try_alloc_cstr_from_str("a\0").unwrap_err());
            let says = probe.quiet(|| Text::of(format_args!("{error}{error:?}")));
            assert!(says.as_str().contains("byte 1 is zero"));
        }),
        row!("arena/reverse.rs try_alloc_slice_from_iter_rev"; |probe| {
            let items = || (0..20_000_u32).filter(|i| i % 2 == 0);
            on_every_arena!(probe, |arena| arena.try_alloc_slice_from_iter_rev(items()));
            on_every_arena!(probe, |arena| arena.try_alloc_slice_from_iter_rev(0..20_000_u32));
        }),
        row!("arena/aligned.rs fmt"; |probe| {
            let arena = Arena::default();
            probe.quiet(|| Text::of(format_args!("{:?}", arena.with_min_align::<64>())));
            on_every_arena!(probe, |arena| arena.with_min_align::<64>().try_alloc_value(7_u8));
            on_every_arena!(probe, |arena| arena.with_min_align::<64>().try_alloc(9000));
            let items = || (0..20_000_u32).filter(|i| i % 2 == 0);
            on_every_arena!(probe, |arena| {
                arena.with_min_align::<64>().try_alloc_slice_from_iter(items())
            });
        }),
        row!("arena/adopt.rs try_adopt"; |probe| {
            struct Owner(Counted);
            impl Deref for Owner {
                type Target = Counted;
                fn deref(&self) -> &Counted {
                    &self.0
                }
            }
            impl DerefMut for Owner {
                fn deref_mut(&mut self) -> &mut Counted {
                    &mut self.0
                }
            }
            let drops = Arc::new(AtomicUsize::new(0));
            {
                on_every_arena!(probe, |arena| {
                    arena.try_adopt(Owner(Counted::with(&drops)))
                });
            }
            assert_eq!(drops.load(SeqCst), 8, "each is dropped once");
        }),
        row!("arena/mark.rs rewind", "arena/mark.rs fmt"; |probe| {
            let arena = Arena::default();
            let mark = probe.quiet(|| arena.mark());
            arena.alloc(100);
            // SAFETY: the mark is of this arena, and nothing that came after it is used again.
            let error = probe.quiet(|| unsafe {
                assert!(arena.rewind(&mark).is_ok());
                let late = arena.mark();
                _ = arena.rewind(&mark);
                arena.rewind(&late)
            });
            let error = error.expect_err("it is stale");
            probe.quiet(|| Text::of(format_args!("{error}{error:?}{mark:?}")));
        }),
        row!("arena/chunks.rs next", "arena/chunks.rs fmt"; |probe| {
            let mut arena = Arena::default();
            arena.alloc(100);
            probe.quiet(|| {
                let mut chunks = arena.iter_allocated_chunks();
                assert!(chunks.next().is_some() && chunks.next().is_none());
                Text::of(format_args!("{chunks:?}"));
                // SAFETY: the arena does not change.
                let mut chunks = unsafe { arena.iter_allocated_chunks_raw() };
                assert!(chunks.next().is_some() && chunks.next().is_none());
                Text::of(format_args!("{chunks:?}"));
            });
        }),
        row!("arena/typed.rs try_with_capacity", "arena/typed.rs try_alloc",
             "arena/typed.rs try_alloc_extend", "arena/typed.rs try_reserve_extend",
             "arena/typed.rs fmt", "arena/typed_iter.rs next",
             "arena/typed_iter.rs size_hint", "arena/typed_iter.rs fmt"; |probe| {
            assert!(probe.quiet(|| TypedArena::<u64>::try_with_capacity(9)).is_ok());
            let drops = Arc::new(AtomicUsize::new(0));
            let made = Cell::new(0);
            let value = || {
                made.set(made.get() + 1);
                Counted::with(&drops)
            };
            for refuses in [false, true] {
                let (full, _root, _held) = full();
                let builder = Arena::builder();
                let builder = if refuses { builder.budget(&full) } else { builder.source(Global) };
                let mut arena = TypedArena::from(builder.build().expect("no block yet"));
                let items = || std::iter::repeat_with(value);
                for result in [
                    probe.may_fail(|| arena.try_reserve_extend(9)),
                    probe.may_fail(|| arena.try_alloc(value()).map(|_| ())),
                    probe.may_fail(|| arena.try_alloc_extend(items().take(300)).map(|_| ())),
                ] {
                    assert!(result.is_err() || !refuses);
                }
                assert_eq!(drops.load(SeqCst) + arena.len(), made.get());
                probe.quiet(|| {
                    Text::of(format_args!("{arena:?}"));
                    Text::of(format_args!("{:?}", arena.iter_mut()));
                    let mut values = arena.into_iter();
                    _ = (values.next(), values.size_hint());
                    Text::of(format_args!("{values:?}"));
                });
                assert_eq!(drops.load(SeqCst), made.get());
            }
        }),
        row!("arena/recycler.rs try_get", "arena/recycler.rs try_get_owned"; |probe| {
            let recycler = || ArenaRecycler::builder().capacity(5000).max_idle(1);
            let owned = |builder: ArenaBuilder<ArenaRecycler>| Arc::new(builder.build().unwrap());
            let some = owned(recycler().source(Global));
            drop(probe.fails(|| some.try_get()));
            some.trim(0);
            drop(probe.fails(|| some.try_get_owned()));
            let (full, root, _held) = full();
            root.set_limit(MemoryBudget::UNLIMITED);
            let none = owned(recycler().budget(&full));
            root.set_limit(0);
            drop(probe.fails(|| none.try_get()));
            assert!(probe.fails(|| none.try_get_owned()).is_err());
        }),
        row!("budget/moving.rs try_move_to", "arena/recycler.rs try_move_to",
             "pool/typed.rs try_move_to", "pool/one_owner.rs relocate",
             "pool/lock_free.rs relocate", "pool/locked.rs relocate"; |probe| {
            let (full, _root, held) = full();
            let mut pool = TypedPool::<u64>::new(10);
            assert!(probe.fails(|| pool.try_move_to(&full)).is_err());
            let mut pool = TypedPool::<u64, LockFreePool>::new(10);
            assert!(probe.fails(|| pool.try_move_to(&full)).is_err());
            let mut pool = TypedPool::<u64, LockedPool>::new(10);
            assert!(probe.fails(|| pool.try_move_to(&full)).is_err());
            let mut arena = Arena::new(1000);
            assert!(probe.fails(|| arena.try_move_to(&full)).is_err());
            let (mut shared, mut locked) = (LockFreeArena::new(1000), LockedArena::new(1000));
            assert!(probe.fails(|| shared.try_move_to(&full)).is_err());
            assert!(probe.fails(|| locked.try_move_to(&full)).is_err());
            let recycler = ArenaRecycler::builder().capacity(1000).max_idle(1).keep_bytes(9999);
            let recycler = recycler.build().expect("memory for the stock");
            let mut out = recycler.get();
            assert!(probe.fails(|| out.try_move_to(&full)).is_err());
            drop(out);
            assert!(probe.fails(|| recycler.try_move_to(&full)).is_err());
            let mut pages = BufferPool::builder().class(4096, 1).build().expect("memory");
            assert!(probe.fails(|| pages.try_move_to(&full)).is_err());
            let writer = BufferMut::with_capacity(1000);
            assert!(probe.fails(|| writer.try_move_to(&full)).is_err());
            assert!(probe.fails(|| Buffer::copy_from_slice(&[1]).try_move_to(&full)).is_err());
            assert_eq!((full.used(), recycler.stats().idle_count), (held.bytes(), 1));
        }),
        row!("arena/boxed/traits.rs fmt", "arena/fixed.rs fmt", "arena/layout.rs fmt", "arena/local.rs fmt",
             "arena/one_owner.rs fmt", "arena/recycler.rs fmt", "arena/shared.rs fmt", "lines.rs fmt",
             "lines.rs write_str"; |probe| {
            let (mut memory, arena) = ([MaybeUninit::uninit(); 100], Arena::new(9));
            let (fixed, boxed) = (FixedArena::new(&mut memory), arena.alloc_boxed(7));
            let (shared, locked) = (LockFreeArena::new(9), LockedArena::new(9));
            let (local, recycler) = (shared.local(), ArenaRecycler::new(1, 9));
            let out = recycler.get();
            probe.quiet(|| Text::of(format_args!("{arena:?}{boxed:?}{boxed}{fixed:?}{local:?}")));
            probe.quiet(|| Text::of(format_args!("{shared:?}{locked:?}{recycler:?}{out:?}")));
            probe.quiet(|| Text::of(format_args!("{}", arena.layout())));
            probe.quiet(|| Text::of(format_args!("{}{}", arena.stats(), recycler.stats())));
        }),
        #[cfg(feature = "allocator-api2")]
        row!("allocator.rs allocate", "allocator.rs allocate_zeroed", "allocator.rs grow",
             "allocator.rs grow_zeroed", "allocator.rs shrink", "arena/allocator.rs allocate",
             "arena/allocator.rs allocate_zeroed", "arena/allocator.rs grow",
             "arena/allocator.rs resize"; |probe| {
            use allocator_api2::alloc::Allocator;
            let [small, large] = [1000, 90_000].map(|n| Layout::from_size_align(n, 8).unwrap());
            on_every_arena!(probe, |arena| (&arena).allocate(small));
            on_every_arena!(probe, |arena| (&arena).allocate_zeroed(small));
            let budget = MemoryBudget::new("vector", MemoryBudget::UNLIMITED);
            let arena = Arena::builder().budget(&budget).build().expect("no block yet");
            let memory = (&arena).allocate(small).expect("no limit").cast();
            let later = (&arena).allocate(small).expect("no limit").cast();
            budget.set_limit(budget.used());
            // SAFETY: a live allocation with this layout, which a refusal leaves as it is.
            let result = probe.fails(|| unsafe { (&arena).grow(memory, small, large) });
            assert!(result.is_err());
            // SAFETY: as above.
            let result = probe.fails(|| unsafe { (&arena).grow_zeroed(memory, small, large) });
            assert!(result.is_err());
            let smaller = Layout::from_size_align(10, 8).unwrap();
            // SAFETY: a live allocation with this layout.
            assert!(probe.quiet(|| unsafe { (&arena).shrink(later, small, smaller) }).is_ok());
        }),
    ]
}
