// SPDX-License-Identifier: Apache-2.0
//! The arena with one owner: what it is, and what frees its memory. How it is made is in
//! `builder.rs`, how it allocates in `alloc.rs`.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr;

use super::stats::ArenaStats;
use crate::error::AllocError;
use crate::{ffi, unwind};

/// A bump arena.
///
/// One thread owns it at a time: it is `Send` but not `Sync`. References that it hands out borrow
/// it, so nothing can outlive a [`reset`](Self::reset):
///
/// ```compile_fail,E0502
/// let mut arena = aegis_memory::arena::Arena::new(1024);
/// let buffer = arena.alloc(16);
/// arena.reset();
/// buffer[0] = 1;
/// ```
///
/// Of types with drop glue, which a plain allocation would never drop, it takes values by
/// [`alloc_boxed`](Self::alloc_boxed) and [`alloc_static`](Self::alloc_static) only:
///
/// ```compile_fail
/// let arena = aegis_memory::arena::Arena::new(1024);
/// arena.alloc_value(String::from("leaked"));
/// ```
///
/// # Examples
///
/// ```
/// let arena = aegis_memory::arena::Arena::new(64 * 1024);
/// let page = arena.alloc_aligned(4096, 4096);
/// assert_eq!(page.as_ptr() as usize % 4096, 0);
/// let even = arena.alloc_slice_from_iter((0..100).filter(|n| n % 2 == 0));
/// assert_eq!(even.len(), 50);
/// assert_eq!(arena.alloc_fmt(format_args!("{}-{}", 1, 2)), "1-2");
/// ```
#[repr(transparent)]
pub struct Arena {
    raw: UnsafeCell<ffi::aegis_arena>,
}

// SAFETY: the arena owns its blocks, and nothing in it is bound to a thread: finalizers come from
// `alloc_static`, which wants `T: Send`, and sources are `Send + Sync`. It is not `Sync`: its
// allocation through `&self` is unsynchronised (the `UnsafeCell` sees to that).
unsafe impl Send for Arena {}

impl Arena {
    /// Makes an arena from the options of the C interface.
    ///
    /// # Safety
    ///
    /// The options' pointers keep what `aegis_arena_init` asks of them.
    pub(super) unsafe fn from_options(
        options: &ffi::aegis_arena_options,
    ) -> Result<Self, AllocError> {
        let mut raw = MaybeUninit::<ffi::aegis_arena>::uninit();
        // SAFETY: `raw` is memory for the struct, and the caller vouches for the options.
        let status = unsafe { ffi::aegis_arena_init(raw.as_mut_ptr(), options) };
        // SAFETY: the call has written the whole struct, whether it failed or not.
        let raw = unsafe { raw.assume_init() };
        if status == ffi::AEGIS_OK as ffi::aegis_status {
            Ok(Self { raw: UnsafeCell::new(raw) })
        } else {
            Err(error_of(&raw))
        }
    }

    /// The C struct, for C code to allocate from. The pointer is good while the arena is neither
    /// moved nor dropped.
    ///
    /// Calling anything that frees through it (`aegis_arena_reset`, `_rewind`, `_clear`, `_fini`)
    /// is subject to the same rule as [`reset`](Self::reset): no reference into the arena may be
    /// live.
    pub fn as_raw(&self) -> *mut ffi::aegis_arena {
        self.raw.get()
    }

    /// Gives the C struct away. It is the receiver's to finish with `aegis_arena_fini`.
    #[must_use = "the struct owns blocks: finish it with aegis_arena_fini or Arena::from_raw"]
    pub fn into_raw(self) -> ffi::aegis_arena {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used or dropped afterwards, so the struct has one owner.
        unsafe { ptr::read(this.raw.get()) }
    }

    /// Takes a C arena over.
    ///
    /// # Safety
    ///
    /// - `raw` was made by `aegis_arena_init` or [`into_raw`](Self::into_raw), is not finished, and no
    ///   scope is open on it.
    /// - Nobody else uses or finishes this arena afterwards, under any copy of the struct.
    /// - What it was made with, the caller's memory and the source's context, is good until this
    ///   arena is dropped. The source keeps the contract of
    ///   [`BlockSource`](crate::source::BlockSource).
    /// - Its source may be used from any thread, and its deferred functions may run on any.
    pub unsafe fn from_raw(raw: ffi::aegis_arena) -> Self {
        Self { raw: UnsafeCell::new(raw) }
    }

    /// Borrows an arena that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to an arena made by `aegis_arena_init` that is neither moved, nor reset,
    ///   rewound, cleared or finished while `'a` lasts, nor is what it was made with.
    /// - No other thread uses it while `'a` lasts, and C neither frees nor resizes what Rust has
    ///   allocated.
    /// - C finishes it on a thread that values of [`alloc_static`](Self::alloc_static) may be dropped
    ///   on: any will do.
    pub unsafe fn borrow_raw<'a>(raw: *mut ffi::aegis_arena) -> &'a Self {
        // SAFETY: `Arena` is a transparent wrapper, and the caller vouches for the rest.
        unsafe { &*raw.cast::<Self>() }
    }

    /// Frees everything that was allocated, in constant time, and keeps every block for reuse.
    ///
    /// Values of [`alloc_static`](Self::alloc_static) are dropped first, newest first.
    ///
    /// # Panics
    ///
    /// When the drop of such a value panicked; the reset is complete nevertheless.
    pub fn reset(&mut self) {
        // SAFETY: `&mut self`: no reference into the arena is live.
        unwind::call(|| unsafe { ffi::aegis_arena_reset(self.raw.get()) });
    }

    /// Gives idle blocks back to the source until at most `keep_bytes` are reserved or none is
    /// idle. The first block counts as idle when nothing is allocated.
    pub fn trim(&mut self, keep_bytes: usize) {
        // SAFETY: `&mut self`: the arena is ours alone.
        unwind::call(|| unsafe { ffi::aegis_arena_trim(self.raw.get(), keep_bytes) });
    }

    /// Resets and gives every block back to the source.
    ///
    /// # Panics
    ///
    /// As [`reset`](Self::reset).
    pub fn clear(&mut self) {
        // SAFETY: `&mut self`: no reference into the arena is live.
        unwind::call(|| unsafe { ffi::aegis_arena_clear(self.raw.get()) });
    }

    /// Runs `f` with an arena of its own: everything allocated from it is freed at the end, and
    /// nothing of it can leave.
    ///
    /// The scope's arena continues in the present block, and scopes nest. What was allocated before
    /// stays usable inside, and `self` may be allocated from meanwhile (out of blocks of its own);
    /// its figures leave out what the scope has borrowed.
    ///
    /// # Panics
    ///
    /// When `f` or the drop of one of its [`alloc_static`](Self::alloc_static) values panics; the
    /// scope is ended nevertheless.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::Arena::new(4096);
    /// let total = arena.alloc_value(0_u64);
    /// arena.scope(|scratch| {
    ///     let numbers = scratch.alloc_slice_fill_with(100, |i| i as u64);
    ///     *total = numbers.iter().sum();
    /// });
    /// assert_eq!(*total, 4950);
    /// ```
    ///
    /// ```compile_fail,E0521
    /// let arena = aegis_memory::arena::Arena::new(4096);
    /// let mut kept: &str = "";
    /// arena.scope(|scratch| kept = scratch.alloc_str("gone"));
    /// ```
    pub fn scope<R>(&self, f: impl FnOnce(&Arena) -> R) -> R {
        struct End<'a> {
            outer: &'a Arena,
            scope: MaybeUninit<ffi::aegis_arena_scope>,
        }
        impl Drop for End<'_> {
            fn drop(&mut self) {
                let (outer, scope) = (self.outer.raw.get(), self.scope.as_mut_ptr());
                // SAFETY: begun below on this arena. Inner scopes end before `f` returns, and no
                // reference into the scope is left: it was lent to `f` for any lifetime.
                unwind::call(|| unsafe { ffi::aegis_arena_scope_end(outer, scope) });
            }
        }
        let mut end = End { outer: self, scope: MaybeUninit::uninit() };
        let scope = end.scope.as_mut_ptr();
        // SAFETY: `end` stays where it is until it is dropped.
        unsafe { ffi::aegis_arena_scope_begin(self.raw.get(), scope) };
        // SAFETY: begun above; `Arena` is a transparent wrapper of the arena in it.
        let inner = unsafe { Arena::borrow_raw(ptr::addr_of_mut!((*scope).arena)) };
        f(inner)
    }

    /// Usable bytes in all blocks.
    pub fn capacity(&self) -> usize {
        self.stats().capacity_bytes
    }

    /// Bytes handed out since the last reset, alignment padding included.
    pub fn used(&self) -> usize {
        self.stats().used_bytes
    }

    /// Bytes left in the current block: what can be had without another block.
    pub fn remaining(&self) -> usize {
        self.stats().remaining_bytes
    }

    /// The arena's figures. Constant time.
    pub fn stats(&self) -> ArenaStats {
        let mut raw = MaybeUninit::<ffi::aegis_arena_stats>::uninit();
        // SAFETY: reads the arena, which is ours, and writes the whole struct.
        let raw = unsafe {
            ffi::aegis_arena_get_stats(self.raw.get(), raw.as_mut_ptr());
            raw.assume_init()
        };
        ArenaStats::from_raw(&raw)
    }
}

/// Reads why the latest request failed.
#[cold]
pub(super) fn error_of(raw: &ffi::aegis_arena) -> AllocError {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    // SAFETY: reads `raw` and writes the whole record.
    let error = unsafe {
        ffi::aegis_arena_last_error(raw, error.as_mut_ptr());
        error.assume_init()
    };
    // SAFETY: the budget is an ancestor of the one that the arena, or its builder, holds.
    unsafe { AllocError::from_raw(&error) }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the arena is ours and not used again.
        unwind::call(|| unsafe { ffi::aegis_arena_fini(self.raw.get()) });
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("stats", &self.stats()).finish()
    }
}
