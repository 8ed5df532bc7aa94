// SPDX-License-Identifier: Apache-2.0
//! The Rust rivals. For each operation, a rival uses the shortest calls that its interface has.

use std::alloc::Layout;
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::slice;
use std::str;

use aegis_memory::arena::Arena;
use bump_scope::alloc::Global;
use bump_scope::settings::BumpSettings;
use bump_scope::traits::BumpAllocatorTyped;
use original::MemoryArena;

use crate::operations::{self, Rival, BY_SIZE};
use crate::{Case, Round};

/// The bytes that an arena starts with: enough for a round.
const CAPACITY: usize = 4 << 20;
/// The largest number of operations in a round.
const MAX_COUNT: usize = 2000;

/// The name of this library's rows.
pub const OURS: &str = "aegis-memory";
/// The name of the row that shows what the loop itself costs.
pub const NOTHING: &str = "nothing";
/// The rivals that the gate compares with.
pub const GATED: [&str; 6] = [
    "bumpalo",
    "bumpalo, align 8",
    "bump-scope up",
    "bump-scope up, align 8",
    "bump-scope down",
    "bump-scope down, align 8",
];

/// The rivals that free their allocations one by one.
pub const HEAPS: [&str; 2] = ["malloc", "mimalloc"];

type BumpScope<const ALIGN: usize, const UP: bool> =
    bump_scope::Bump<Global, BumpSettings<ALIGN, UP, true, false, false, false>>;

/// Every Rust case.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    add::<Nothing>(&mut cases, NOTHING);
    add::<Arena>(&mut cases, OURS);
    add::<bumpalo::Bump>(&mut cases, GATED[0]);
    add::<bumpalo::Bump<8>>(&mut cases, GATED[1]);
    add::<BumpScope<1, true>>(&mut cases, GATED[2]);
    add::<BumpScope<8, true>>(&mut cases, GATED[3]);
    add::<BumpScope<1, false>>(&mut cases, GATED[4]);
    add::<BumpScope<8, false>>(&mut cases, GATED[5]);
    add::<MemoryArena>(&mut cases, "aegis-memory 0.3");
    add::<Malloc>(&mut cases, HEAPS[0]);
    add::<Mimalloc>(&mut cases, HEAPS[1]);
    cases
}

fn add<R: Rival>(cases: &mut Vec<Case>, rival: &'static str) {
    for operation in operations::ALL.into_iter().chain(BY_SIZE.map(|(name, _)| name)) {
        let make = Box::new(move || {
            let mut rival = R::new();
            Box::new(move |count| operations::round(&mut rival, operation, count)) as Round
        });
        cases.push(Case { rival, operation, make });
    }
}

/// Allocates nothing, so only the cost of the loop is left.
struct Nothing(Cell<u64>);

impl Rival for Nothing {
    fn new() -> Self {
        Self(Cell::new(0))
    }
    #[inline(always)]
    fn value<T: Copy>(&self, _: T) -> &T {
        // SAFETY: never read.
        unsafe { &*NonNull::dangling().as_ptr() }
    }
    #[inline(always)]
    fn layout(&self, _: Layout) -> NonNull<u8> {
        NonNull::from(&self.0).cast()
    }
    #[inline(always)]
    fn slice(&self, source: &[u8]) -> &[u8] {
        // SAFETY: the sources are static.
        unsafe { slice::from_raw_parts(source.as_ptr(), source.len()) }
    }
    #[inline(always)]
    fn text(&self, source: &str) -> &str {
        // SAFETY: the sources are static.
        unsafe { str::from_utf8_unchecked(slice::from_raw_parts(source.as_ptr(), source.len())) }
    }
    #[inline(always)]
    fn zeroed(&self, _: usize) -> &[u8] {
        &[]
    }
    #[inline(always)]
    fn reset(&mut self) {}
}

/// The calls that are the same for this library's arena and bumpalo's, except for the name of the
/// first.
macro_rules! same_calls {
    ($value:ident) => {
        #[inline(always)]
        fn value<T: Copy>(&self, value: T) -> &T {
            self.$value(value)
        }
        #[inline(always)]
        fn layout(&self, layout: Layout) -> NonNull<u8> {
            self.alloc_layout(layout)
        }
        #[inline(always)]
        fn slice(&self, source: &[u8]) -> &[u8] {
            self.alloc_slice_copy(source)
        }
        #[inline(always)]
        fn text(&self, source: &str) -> &str {
            self.alloc_str(source)
        }
        #[inline(always)]
        fn reset(&mut self) {
            Self::reset(self);
        }
    };
}

impl Rival for Arena {
    fn new() -> Self {
        Arena::new(CAPACITY)
    }
    same_calls!(alloc_value);
    #[inline(always)]
    fn zeroed(&self, size: usize) -> &[u8] {
        self.alloc(size)
    }
}

impl<const ALIGN: usize> Rival for bumpalo::Bump<ALIGN> {
    fn new() -> Self {
        Self::with_min_align_and_capacity(CAPACITY)
    }
    same_calls!(alloc);
    #[inline(always)]
    fn zeroed(&self, size: usize) -> &[u8] {
        self.alloc_slice_fill_copy(size, 0)
    }
}

macro_rules! bump_scope_rival {
    ($align:literal, $up:literal) => {
        impl Rival for BumpScope<$align, $up> {
            fn new() -> Self {
                Self::with_size(CAPACITY)
            }
            #[inline(always)]
            fn value<T: Copy>(&self, value: T) -> &T {
                // `into_ref` needs a type that it knows to need no drop.
                const { assert!(!std::mem::needs_drop::<T>()) };
                bump_scope::BumpBox::leak(self.alloc(value))
            }
            #[inline(always)]
            fn layout(&self, layout: Layout) -> NonNull<u8> {
                self.allocate_layout(layout)
            }
            #[inline(always)]
            fn slice(&self, source: &[u8]) -> &[u8] {
                self.alloc_slice_copy(source).into_ref()
            }
            #[inline(always)]
            fn text(&self, source: &str) -> &str {
                self.alloc_str(source).into_ref()
            }
            #[inline(always)]
            fn zeroed(&self, size: usize) -> &[u8] {
                self.alloc_slice_fill(size, 0).into_ref()
            }
            #[inline(always)]
            fn reset(&mut self) {
                self.reset_to_start();
            }
        }
    };
}

bump_scope_rival!(1, true);
bump_scope_rival!(8, true);
bump_scope_rival!(1, false);
bump_scope_rival!(8, false);

impl Rival for MemoryArena {
    fn new() -> Self {
        MemoryArena::with_chunk_size(CAPACITY)
    }
    #[inline(always)]
    fn value<T: Copy>(&self, value: T) -> &T {
        self.allocate_value(value).expect("memory")
    }
    #[inline(always)]
    fn layout(&self, layout: Layout) -> NonNull<u8> {
        self.allocate_aligned(layout.size(), layout.align()).expect("memory")
    }
    #[inline(always)]
    fn slice(&self, source: &[u8]) -> &[u8] {
        let memory = self.allocate_slice(source.len()).expect("memory");
        memory.copy_from_slice(source);
        memory
    }
    #[inline(always)]
    fn text(&self, source: &str) -> &str {
        // SAFETY: a copy of a `str`.
        unsafe { str::from_utf8_unchecked(self.slice(source.as_bytes())) }
    }
    #[inline(always)]
    fn zeroed(&self, size: usize) -> &[u8] {
        let memory = self.allocate_slice(size).expect("memory");
        memory.fill(0);
        memory
    }
    #[inline(always)]
    fn reset(&mut self) {
        MemoryArena::reset(self);
    }
}

/// The allocations of a round, which are freed one by one.
struct List {
    items: UnsafeCell<Box<[*mut c_void; MAX_COUNT]>>,
    len: Cell<usize>,
}

impl List {
    fn new() -> Self {
        Self { items: UnsafeCell::new(Box::new([ptr::null_mut(); MAX_COUNT])), len: Cell::new(0) }
    }
    #[inline(always)]
    fn push(&self, memory: *mut c_void) -> NonNull<u8> {
        // SAFETY: no other reference to the items is live.
        unsafe { (&mut *self.items.get())[self.len.get()] = memory };
        self.len.set(self.len.get() + 1);
        NonNull::new(memory.cast()).expect("memory")
    }
    #[inline(always)]
    fn drain(&mut self, free: impl Fn(*mut c_void)) {
        self.items.get_mut()[..self.len.replace(0)].iter().for_each(|&memory| free(memory));
    }
}

/// What every malloc aligns its memory to.
const MALLOC_ALIGN: usize = 16;

macro_rules! heap_rival {
    ($name:ident, $docs:literal, $malloc:path, $aligned:path, $zeroed:path, $free:path) => {
        #[doc = $docs]
        struct $name(List);

        impl Rival for $name {
            fn new() -> Self {
                Self(List::new())
            }
            #[inline(always)]
            fn value<T: Copy>(&self, value: T) -> &T {
                let p = self.layout(Layout::new::<T>()).cast::<T>();
                // SAFETY: fresh memory of the type's layout.
                unsafe {
                    p.as_ptr().write(value);
                    p.as_ref()
                }
            }
            #[inline(always)]
            fn layout(&self, layout: Layout) -> NonNull<u8> {
                let (size, align) = (layout.size(), layout.align());
                // SAFETY: any size, and a layout's alignment is a power of two.
                self.0.push(unsafe {
                    if align <= MALLOC_ALIGN {
                        $malloc(size)
                    } else {
                        $aligned(size, align)
                    }
                })
            }
            #[inline(always)]
            fn slice(&self, source: &[u8]) -> &[u8] {
                // SAFETY: any size.
                let p = self.0.push(unsafe { $malloc(source.len()) });
                // SAFETY: fresh memory of that size.
                unsafe {
                    p.as_ptr().copy_from_nonoverlapping(source.as_ptr(), source.len());
                    slice::from_raw_parts(p.as_ptr(), source.len())
                }
            }
            #[inline(always)]
            fn text(&self, source: &str) -> &str {
                // SAFETY: a copy of a `str`.
                unsafe { str::from_utf8_unchecked(self.slice(source.as_bytes())) }
            }
            #[inline(always)]
            fn zeroed(&self, size: usize) -> &[u8] {
                // SAFETY: any size, and that many zeroed bytes come.
                unsafe { slice::from_raw_parts(self.0.push($zeroed(size)).as_ptr(), size) }
            }
            #[inline(always)]
            fn reset(&mut self) {
                // SAFETY: what is in the list was allocated by its functions and is freed once.
                self.0.drain(|memory| unsafe { $free(memory) });
            }
        }
    };
}

/// The C library's heap.
mod libc {
    use std::ffi::c_void;

    extern "C" {
        pub fn malloc(size: usize) -> *mut c_void;
        pub fn free(memory: *mut c_void);
        fn calloc(count: usize, size: usize) -> *mut c_void;
        fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    }

    #[inline(always)]
    pub unsafe fn zeroed(size: usize) -> *mut c_void {
        // SAFETY: any size.
        unsafe { calloc(1, size) }
    }

    #[inline(always)]
    pub unsafe fn aligned(size: usize, align: usize) -> *mut c_void {
        // SAFETY: the caller gives a power of two.
        unsafe { aligned_alloc(align, size) }
    }
}

use libmimalloc_sys::{mi_free, mi_malloc, mi_malloc_aligned, mi_zalloc};

heap_rival!(Malloc, "The C library's heap.", libc::malloc, libc::aligned, libc::zeroed, libc::free);
heap_rival!(Mimalloc, "mimalloc.", mi_malloc, mi_malloc_aligned, mi_zalloc, mi_free);
