// SPDX-License-Identifier: Apache-2.0
//! Compares the two copies of the fast path, one in C and one in Rust, and Rust's fast path of growth
//! with the functions of the core. The test drives both with the same random sequences, each on an
//! arena of its own with the same settings. Both must give the same offsets, the same zeroes, the
//! same failures and the same statistics.

use crate::support::{Region, DIRT};
use aegis_memory::arena::{Arena, ArenaStats};
use aegis_memory::{ffi, AllocError};
use proptest::prelude::*;
use std::alloc::Layout;
use std::mem::{size_of, MaybeUninit};
use std::ptr::NonNull;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Op {
    Uninit(usize),
    Zeroed(usize),
    Aligned(usize, usize),
    Layout(usize, usize),
    Words(usize),
    Copy(usize),
    Typed(u8),
    Grow(Growth),
    Scope(Vec<Op>),
    Reset,
    Trim(usize),
    Clear,
}

/// An allocation that grows, perhaps after another one was made, and is perhaps given back.
#[derive(Clone, Copy, Debug)]
struct Growth {
    first: usize,
    between: Option<usize>,
    more: usize,
    align: usize,
    is_freed: bool,
}

fn growths() -> impl Strategy<Value = Growth> {
    let size = || prop_oneof![8 => 0_usize..80, 2 => 0_usize..3000];
    let more = prop_oneof![8 => 0_usize..80, 4 => 0_usize..5000, 1 => 0_usize..90_000];
    let align = prop_oneof![8 => Just(8), 1 => Just(1), 1 => Just(64)];
    (size(), prop::option::of(size()), more, align, any::<bool>()).prop_map(
        |(first, between, more, align, is_freed)| Growth { first, between, more, align, is_freed },
    )
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0_usize..80,
        4 => 0_usize..3000,
        1 => 0_usize..40_000,
        1 => Just(9 << 20),
        1 => isize::MAX as usize - 40..isize::MAX as usize + 40,
        1 => usize::MAX - 40..=usize::MAX,
    ]
}

fn aligns() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => (0_u32..=21).prop_map(|log| 1 << log),
        1 => prop_oneof![Just(0), Just(3), Just(24), Just(1 << (usize::BITS - 1)), Just(usize::MAX)],
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let leaf = prop_oneof![
        6 => sizes().prop_map(Op::Uninit),
        6 => sizes().prop_map(Op::Zeroed),
        4 => (sizes(), aligns()).prop_map(|(size, align)| Op::Aligned(size, align)),
        4 => (sizes(), aligns()).prop_map(|(size, align)| Op::Layout(size, align)),
        3 => (0_usize..5000).prop_map(Op::Words),
        3 => (0_usize..5000).prop_map(Op::Copy),
        6 => (0_u8..8).prop_map(Op::Typed),
        8 => growths().prop_map(Op::Grow),
    ];
    let allocations = leaf
        .prop_recursive(2, 24, 12, |inner| prop::collection::vec(inner, 0..12).prop_map(Op::Scope));
    let op = prop_oneof![
        30 => allocations,
        2 => Just(Op::Reset),
        1 => (0_usize..100_000).prop_map(Op::Trim),
        1 => Just(Op::Clear),
    ];
    prop::collection::vec(op, 0..120)
}

/// The outcome of an allocation: its offset in the region, or why it failed.
type Outcome = Result<usize, String>;

struct Settings {
    capacity: usize,
    max_block: usize,
    zeroed: bool,
    plain: bool,
    wipes: bool,
}

/// One side: an arena and its region.
struct Side {
    region: Arc<Region>,
    arena: Arena,
    /// Whether the arena wipes what is freed, and does nothing else with it.
    wipes: bool,
}

impl Side {
    fn new(settings: &Settings) -> Self {
        let region = Region::new(settings.zeroed);
        let builder = Arena::builder().capacity(settings.capacity).max_block(settings.max_block);
        // In a debug build the flags send every allocation to the slow path.
        let builder = if settings.plain { builder.no_debug() } else { builder };
        let builder = builder.wipe_on_reset(settings.wipes).source(region.clone());
        let arena = builder.build().expect("the region has room");
        Self { region, arena, wipes: settings.plain && settings.wipes }
    }

    /// An allocation of size 0 may lie anywhere, even outside the region. Only its alignment
    /// counts.
    fn place(&self, p: NonNull<u8>, size: usize) -> usize {
        if size == 0 {
            p.as_ptr() as usize % 8
        } else {
            self.region.offset_of(p)
        }
    }
}

/// Demands that the memory is zero if that was promised, and dirties it for the next round.
fn use_up(p: NonNull<u8>, size: usize, zeroed: bool) {
    if zeroed {
        // SAFETY: `size` bytes at `p` were just allocated, and promised to be initialised.
        let bytes = unsafe { std::slice::from_raw_parts(p.as_ptr(), size) };
        // SAFETY: any bytes make a u64.
        let (head, words, tail) = unsafe { bytes.align_to::<u64>() };
        let zero = words.iter().all(|&word| word == 0);
        assert!(zero && head.iter().chain(tail).all(|&byte| byte == 0), "not zero");
    }
    // SAFETY: as above.
    unsafe { p.as_ptr().write_bytes(DIRT, size) };
}

/// The last byte of what an allocation has before it grows; it must have it afterwards.
const MARK: u8 = 0x3C;

/// Grows an allocation by three functions: the first allocates, the second resizes from a layout to
/// another, and the third frees. Each of the first two may return NULL.
fn grow(
    side: &Side,
    arena: &Arena,
    growth: Growth,
    allocate: impl Fn(Layout) -> *mut u8,
    resize: impl FnOnce(*mut u8, Layout, Layout) -> *mut u8,
    free: impl FnOnce(*mut u8, Layout),
) -> Outcome {
    let Growth { first, between, more, align, is_freed } = growth;
    let layout = |size| Layout::from_size_align(size, align).expect("a small layout");
    let (old, new) = (layout(first), layout(first + more));
    let some = |p: *mut u8| NonNull::new(p).ok_or_else(|| last_error(arena));
    let p = some(allocate(old))?;
    use_up(p, first, false);
    if first > 0 {
        // SAFETY: the last byte of the allocation.
        unsafe { p.as_ptr().add(first - 1).write(MARK) };
    }
    if let Some(size) = between {
        some(allocate(layout(size)))?;
    }
    let grown = some(resize(p.as_ptr(), old, new))?;
    if first > 0 {
        // SAFETY: a byte of the allocation, which was written above.
        assert_eq!(unsafe { grown.as_ptr().add(first - 1).read() }, MARK, "{growth:?}");
    }
    // Under AddressSanitizer nobody may look at freed memory.
    if first > 0 && grown != p && side.wipes && !cfg!(aegis_sanitizer) {
        // SAFETY: freed, but memory of the arena.
        assert_eq!(unsafe { p.as_ptr().add(first - 1).read() }, 0, "not wiped: {growth:?}");
    }
    use_up(grown, new.size(), false);
    if is_freed {
        free(grown.as_ptr(), new);
    }
    Ok(side.place(grown, new.size()))
}

fn grow_by_c(side: &Side, arena: &Arena, growth: Growth) -> Outcome {
    let raw = arena.as_raw();
    // SAFETY: the arena is ours and open; each allocation is live and has this layout.
    unsafe {
        grow(
            side,
            arena,
            growth,
            |layout| {
                let (size, align) = (layout.size(), layout.align());
                ffi::aegis_arena_alloc_aligned(raw, size, align).cast()
            },
            |p, old, new| {
                let (p, align) = (p.cast(), new.align());
                ffi::aegis_arena_realloc_aligned(raw, p, old.size(), new.size(), align).cast()
            },
            |p, layout| ffi::aegis_arena_free_last(raw, p.cast(), layout.size()),
        )
    }
}

#[cfg(feature = "allocator-api2")]
fn grow_by_rust(side: &Side, arena: &Arena, growth: Growth) -> Option<Outcome> {
    use allocator_api2::alloc::{AllocError, Allocator};
    use std::ptr::null_mut;
    let start = |memory: Result<NonNull<[u8]>, AllocError>| {
        memory.map_or(null_mut(), |memory| memory.as_ptr().cast())
    };
    let some = |p| NonNull::new(p).expect("it was allocated");
    Some(grow(
        side,
        arena,
        growth,
        |layout| start((&arena).allocate(layout)),
        // SAFETY: the allocation is live and has this layout, and the new one is not smaller.
        |p, old, new| start(unsafe { (&arena).grow(some(p), old, new) }),
        // SAFETY: the allocation is live and has this layout.
        |p, layout| unsafe { (&arena).deallocate(some(p), layout) },
    ))
}

#[cfg(not(feature = "allocator-api2"))]
fn grow_by_rust(_: &Side, _: &Arena, _: Growth) -> Option<Outcome> {
    None
}

/// Allocates with the C functions.
fn by_c(side: &Side, arena: &Arena, op: &Op) -> Outcome {
    if let Op::Grow(growth) = *op {
        return grow_by_c(side, arena, growth);
    }
    let raw = arena.as_raw();
    let (size, align, zeroed) = match *op {
        Op::Uninit(size) | Op::Copy(size) => (size, 8, false),
        Op::Zeroed(size) => (size, 8, true),
        Op::Aligned(size, align) | Op::Layout(size, align) => (size, align, false),
        Op::Words(len) => (len * size_of::<u64>(), 8, false),
        Op::Typed(number) => {
            let layout = typed_layout(number);
            (layout.size(), layout.align().max(8), false)
        }
        _ => unreachable!("not an allocation"),
    };
    // SAFETY: the arena is ours and open.
    let p = unsafe {
        match op {
            Op::Zeroed(_) => ffi::aegis_arena_alloc_zeroed(raw, size),
            Op::Aligned(..) | Op::Layout(..) => ffi::aegis_arena_alloc_aligned(raw, size, align),
            _ if align > 8 => ffi::aegis_arena_alloc_aligned(raw, size, align),
            _ => ffi::aegis_arena_alloc(raw, size),
        }
    };
    match NonNull::new(p.cast()) {
        Some(p) => {
            use_up(p, size, zeroed);
            Ok(side.place(p, size))
        }
        None => Err(last_error(arena)),
    }
}

/// The C record of the last failure, in the words of the Rust error.
fn last_error(arena: &Arena) -> String {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    // SAFETY: the call writes the whole record.
    let error = unsafe {
        ffi::aegis_arena_last_error(arena.as_raw(), error.as_mut_ptr());
        error.assume_init()
    };
    let (requested, in_use) = (error.requested_bytes, error.in_use_bytes);
    match error.status {
        ffi::AEGIS_E_OUT_OF_MEMORY => {
            let align = error.align_bytes;
            format!("out of memory: {requested} bytes requested at alignment {align}, {in_use} bytes in use")
        }
        ffi::AEGIS_E_INVALID_LAYOUT => {
            format!("invalid layout: size {requested} with alignment {}", error.align_bytes)
        }
        status => panic!("unexpected status {status}"),
    }
}

fn in_c_words(error: AllocError) -> String {
    let text = error.to_string();
    text.split(';').next().expect("split gives one piece at least").to_string()
}

#[derive(Clone, Copy)]
#[repr(align(16))]
struct Align16(#[allow(dead_code)] [u8; 48]);
#[derive(Clone, Copy)]
#[repr(align(4096))]
struct Align4096(#[allow(dead_code)] u8);

fn typed_layout(number: u8) -> Layout {
    match number {
        0 => Layout::new::<u8>(),
        1 => Layout::new::<u64>(),
        2 => Layout::new::<[u64; 3]>(),
        3 => Layout::new::<[u8; 41]>(),
        4 => Layout::new::<()>(),
        5 => Layout::new::<Align16>(),
        6 => Layout::new::<Align4096>(),
        _ => Layout::new::<[u64; 9000]>(),
    }
}

fn typed_value(arena: &Arena, number: u8) -> Result<NonNull<u8>, AllocError> {
    fn put<T>(arena: &Arena, value: T) -> Result<NonNull<u8>, AllocError> {
        Ok(NonNull::from(arena.try_alloc_value(value)?).cast())
    }
    match number {
        0 => put(arena, 1_u8),
        1 => put(arena, 1_u64),
        2 => put(arena, [1_u64; 3]),
        3 => put(arena, [1_u8; 41]),
        4 => put(arena, ()),
        5 => put(arena, Align16([1; 48])),
        6 => put(arena, Align4096(1)),
        _ => put(arena, [1_u64; 9000]),
    }
}

/// Allocates with the Rust functions. `None`: Rust has no form for this request.
fn by_rust(side: &Side, arena: &Arena, op: &Op) -> Option<Outcome> {
    let (p, size, zeroed) = match *op {
        Op::Uninit(size) => {
            (arena.try_alloc_uninit(size).map(|b| NonNull::from(b).cast()), size, false)
        }
        Op::Zeroed(size) => (arena.try_alloc(size).map(|b| NonNull::from(b).cast()), size, true),
        Op::Aligned(size, align) => {
            let bytes = arena.try_alloc_aligned(size, align);
            (bytes.map(|bytes| NonNull::from(bytes).cast()), size, true)
        }
        Op::Layout(size, align) => {
            let layout = Layout::from_size_align(size, align).ok()?;
            (arena.try_alloc_layout(layout), size, false)
        }
        Op::Words(len) => {
            let words = arena.try_alloc_slice_uninit::<u64>(len);
            (words.map(|words| NonNull::from(words).cast()), len * 8, false)
        }
        Op::Copy(size) => {
            let copy = arena.try_alloc_slice_copy(&vec![1_u8; size]);
            (copy.map(|copy| NonNull::from(copy).cast()), size, false)
        }
        Op::Typed(number) => (typed_value(arena, number), typed_layout(number).size(), false),
        Op::Grow(growth) => return grow_by_rust(side, arena, growth),
        _ => unreachable!("not an allocation"),
    };
    Some(p.map_err(in_c_words).map(|p| {
        use_up(p, size, zeroed);
        side.place(p, size)
    }))
}

/// Applies the operation to both arenas. They are the arenas of the sides, or scopes in them.
fn apply(sides: (&Side, &Side), c: &Arena, rust: &Arena, op: &Op) {
    if let Op::Scope(inner) = op {
        c.scope(|c| rust.scope(|rust| inner.iter().for_each(|op| apply(sides, c, rust, op))));
    } else if let Some(outcome) = by_rust(sides.1, rust, op) {
        assert_eq!(by_c(sides.0, c, op), outcome, "{op:?}: C on the left, Rust on the right");
    }
    assert_eq!(c.stats(), rust.stats(), "after {op:?}: C on the left, Rust on the right");
}

fn figures(arena: &Arena) -> (ArenaStats, String) {
    (arena.stats(), arena.layout().to_string())
}

fn drive(ops: &[Op], settings: &Settings) {
    let c = Side::new(settings);
    let mut rust = Side::new(settings);
    for op in ops {
        match *op {
            Op::Reset => {
                // SAFETY: no reference into the arena of the C side is live here.
                unsafe { ffi::aegis_arena_reset(c.arena.as_raw()) };
                rust.arena.reset();
            }
            Op::Trim(keep) => {
                // SAFETY: as above.
                unsafe { ffi::aegis_arena_trim(c.arena.as_raw(), keep) };
                rust.arena.trim(keep);
            }
            Op::Clear => {
                // SAFETY: as above.
                unsafe { ffi::aegis_arena_clear(c.arena.as_raw()) };
                rust.arena.clear();
            }
            _ => apply((&c, &rust), &c.arena, &rust.arena, op),
        }
        assert_eq!(figures(&c.arena), figures(&rust.arena), "after {op:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn c_and_rust_give_equal_offsets_zeroes_failures_and_figures(
        ops in ops(),
        capacity in prop_oneof![Just(0), 1_usize..10_000],
        max_block in prop_oneof![Just(0), 1_usize..100_000],
        zeroed: bool,
        plain in prop::bool::weighted(0.8),
        wipes in prop::bool::weighted(0.2),
    ) {
        drive(&ops, &Settings { capacity, max_block, zeroed, plain, wipes });
    }
}
