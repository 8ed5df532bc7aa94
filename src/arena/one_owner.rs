// SPDX-License-Identifier: Apache-2.0
//! [`Arena`], the arena with one owner: the type, and the methods that free its memory or report on
//! it. `builder.rs` has its constructors, `alloc.rs` the methods that allocate, and `layout.rs` its
//! picture.

use core::fmt;
use core::mem::{size_of, ManuallyDrop, MaybeUninit};
use core::ptr;

use super::stats::ArenaStats;
use crate::budget::move_methods;
use crate::error::AllocError;
use crate::unshared::Unshared;
use crate::{ffi, unwind};

/// The bytes of a block header, as `AEGIS_I_ARENA_BLOCK_HEADER`.
const BLOCK_HEADER: usize = (size_of::<ffi::aegis_arena_block>() + 15) & !15;

/// A bump arena.
///
/// One thread at a time owns it: it is `Send` but not `Sync`. Threads that allocate from one arena
/// at the same time share a [`LockFreeArena`](super::LockFreeArena) or a
/// [`LockedArena`](super::LockedArena). The references that an arena hands out borrow it, so none of
/// them can outlive a [`reset`](Self::reset):
///
/// ```compile_fail,E0502
/// let mut arena = aegis_memory::arena::Arena::new(1024);
/// let buffer = arena.alloc(16);
/// arena.reset();
/// buffer[0] = 1;
/// ```
///
/// A plain allocation never drops its value. So a value of a type with drop glue goes into the
/// arena only by [`alloc_boxed`](Self::alloc_boxed) or [`alloc_static`](Self::alloc_static). The
/// following is refused by `cargo build`, and not by `cargo check`: see
/// [drop glue](super#drop-glue).
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
    raw: Unshared<ffi::aegis_arena>,
}

// SAFETY: the arena owns its blocks, and nothing in it is bound to a thread: finalizers come from
// `alloc_static`, which requires `T: Send`, and sources are `Send + Sync`. The arena must not be
// `Sync`, because allocation through `&self` is not synchronised. `Unshared` keeps it from being
// `Sync`.
#[cfg(aegis_threads)]
unsafe impl Send for Arena {}

impl Arena {
    /// Makes an arena from the options of the C interface.
    ///
    /// # Safety
    ///
    /// - The pointers in `options` are as `aegis_arena_init` requires them.
    pub(super) unsafe fn from_options(
        options: &ffi::aegis_arena_options,
    ) -> Result<Self, AllocError> {
        let mut raw = MaybeUninit::<ffi::aegis_arena>::uninit();
        // SAFETY: `raw` is memory for the struct, and the caller vouches for the options.
        let status = unsafe { ffi::aegis_arena_init(raw.as_mut_ptr(), options) };
        // SAFETY: the call has written the whole struct, whether it failed or not.
        let raw = unsafe { raw.assume_init() };
        if status == ffi::AEGIS_OK as ffi::aegis_status {
            Ok(Self { raw: Unshared::new(raw) })
        } else {
            Err(error_of(&raw))
        }
    }

    /// The C struct, from which C code can allocate. The pointer is valid until the arena is moved
    /// or dropped.
    ///
    /// A call of a C function that frees (`aegis_arena_reset`, `_rewind`, `_clear`, `_fini`) is
    /// subject to the same rule as [`reset`](Self::reset): no reference into the arena may be live.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// // SAFETY: the arena is alive, and this thread owns it.
    /// let memory = unsafe { aegis_memory::ffi::aegis_arena_alloc(arena.as_raw(), 100) };
    /// assert!(!memory.is_null());
    /// ```
    pub fn as_raw(&self) -> *mut ffi::aegis_arena {
        self.raw.get()
    }

    /// Gives the C struct to the caller, who finishes it with `aegis_arena_fini`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// let mut raw = arena.into_raw();
    /// // SAFETY: this code owns the arena and finishes it once.
    /// unsafe { aegis_memory::ffi::aegis_arena_fini(&mut raw) };
    /// ```
    #[must_use = "the struct owns blocks: finish it with aegis_arena_fini or Arena::from_raw"]
    pub fn into_raw(self) -> ffi::aegis_arena {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used or dropped afterwards, so the struct has one owner.
        unsafe { ptr::read(this.raw.get()) }
    }

    /// Takes ownership of a C arena.
    ///
    /// # Safety
    ///
    /// - `raw` was made by `aegis_arena_init` or [`into_raw`](Self::into_raw). It is not finished,
    ///   and no scope is open on it.
    /// - No other code uses or finishes this arena afterwards, through any copy of the struct.
    /// - The memory of the caller and the context of the source with which the arena was made stay
    ///   valid until this arena is dropped, and for ever if it is forgotten. The source keeps the
    ///   contract of [`BlockSource`](crate::source::BlockSource).
    /// - Any thread may use the source of the arena, and its deferred functions may run on any
    ///   thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// use aegis_memory::arena::Arena;
    /// let raw = arena.into_raw();
    /// // SAFETY: the struct is used for this only.
    /// let arena = unsafe { Arena::from_raw(raw) };
    /// arena.alloc(100);
    /// ```
    pub unsafe fn from_raw(raw: ffi::aegis_arena) -> Self {
        Self { raw: Unshared::new(raw) }
    }

    /// Borrows an arena that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to an arena made by `aegis_arena_init`. While `'a` lasts, the arena is not
    ///   moved, reset, rewound, cleared or finished, and what it was made with stays valid.
    /// - No other thread uses the arena while `'a` lasts. C does not free or resize what Rust has
    ///   allocated.
    /// - After that, C uses the memory of the arena for something else only when it has reset, rewound
    ///   or finished the arena.
    /// - C finishes the arena on a thread on which values of [`alloc_static`](Self::alloc_static)
    ///   may be dropped. Every thread is such a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// use aegis_memory::arena::Arena;
    /// // SAFETY: `arena` is not moved, reset or finished while `same` is used.
    /// let same = unsafe { Arena::borrow_raw(arena.as_raw()) };
    /// assert_eq!(same.alloc(2), [0, 0]);
    /// ```
    pub unsafe fn borrow_raw<'a>(raw: *mut ffi::aegis_arena) -> &'a Self {
        // SAFETY: `Arena` is a transparent wrapper, and the caller vouches for the rest.
        unsafe { &*raw.cast::<Self>() }
    }

    /// Frees everything that was allocated, in constant time, and keeps every block for reuse.
    ///
    /// Values of [`alloc_static`](Self::alloc_static) are dropped before that, the newest first.
    ///
    /// # Panics
    ///
    /// When the drop of such a value panics. The reset is complete all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// for _ in 0..3 {
    ///     arena.alloc(1000);
    ///     arena.reset();
    /// }
    /// assert_eq!((arena.used(), arena.stats().acquired_count), (0, 1));
    /// ```
    #[inline]
    pub fn reset(&mut self) {
        // This is what aegis_arena_reset does. It is written again, so that it can be inlined.
        // SAFETY: the struct is initialised, and `&mut self`: no other code uses it.
        let raw = unsafe { &mut *self.raw.get() };
        let (home, ptr) = (raw.home, raw.ptr);
        if home.is_null() {
            return self.reset_slow();
        }
        let used_bytes = (ptr as usize).wrapping_sub(raw.used_from);
        raw.ptr = home.cast::<u8>().wrapping_add(BLOCK_HEADER);
        raw.used_from = raw.ptr as usize;
        if used_bytes > raw.peak_used_bytes {
            raw.peak_used_bytes = used_bytes;
        }
        if ptr > raw.dirty_end {
            // SAFETY: an arena with a first block has a current block, whose header it owns.
            unsafe { (*raw.block).dirty_end = ptr };
        }
        // SAFETY: the first block is the arena's, as above.
        (raw.limit, raw.dirty_end) = unsafe { ((*home).end, (*home).dirty_end) };
        (raw.block, raw.last) = (home, home);
        raw.closed_bytes = 0;
        raw.reset_count += 1;
    }

    #[cold]
    #[inline(never)]
    fn reset_slow(&mut self) {
        // SAFETY: `&mut self`: no reference into the arena is live.
        unwind::call(|| unsafe { ffi::aegis_arena_reset_slow(self.raw.get()) });
    }

    /// Releases idle blocks to the source until at most `keep_bytes` are reserved or no block is
    /// idle. The first block counts as idle when nothing is allocated.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// arena.alloc(100_000);
    /// arena.reset();
    /// arena.trim(0);
    /// assert_eq!(arena.stats().reserved_bytes, 0);
    /// ```
    pub fn trim(&mut self, keep_bytes: usize) {
        // SAFETY: `&mut self`: no other code uses the arena.
        unwind::call(|| unsafe { ffi::aegis_arena_trim(self.raw.get(), keep_bytes) });
    }

    /// Resets the arena and releases every block to the source.
    ///
    /// # Panics
    ///
    /// As [`reset`](Self::reset).
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// arena.alloc(1000);
    /// arena.clear();
    /// assert_eq!(arena.stats().reserved_bytes, 0);
    /// ```
    pub fn clear(&mut self) {
        // SAFETY: `&mut self`: no reference into the arena is live.
        unwind::call(|| unsafe { ffi::aegis_arena_clear(self.raw.get()) });
    }

    /// Runs `f` with a scope, which is a nested arena. When `f` ends, everything allocated from the
    /// scope is freed. No reference into the scope can leave `f`.
    ///
    /// The scope continues in the current block, and scopes nest. What was allocated before stays
    /// usable inside. While the scope is open, `self` can allocate too, from other blocks than the
    /// scope. The statistics of `self` leave out the memory that the scope has borrowed.
    ///
    /// # Panics
    ///
    /// When `f` panics, or the drop of a value of [`alloc_static`](Self::alloc_static) in the
    /// scope. The scope ends all the same.
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
                // SAFETY: the scope was begun below on this arena. Inner scopes end before `f`
                // returns. No reference into the scope is left, because `f` accepts a scope of any
                // lifetime.
                unwind::call(|| unsafe { ffi::aegis_arena_scope_end(outer, scope) });
            }
        }
        let mut end = End { outer: self, scope: MaybeUninit::uninit() };
        let scope = end.scope.as_mut_ptr();
        // SAFETY: `end` stays where it is until it is dropped.
        unsafe { ffi::aegis_arena_scope_begin(self.raw.get(), scope) };
        // SAFETY: the scope was begun above, and `Arena` is a transparent wrapper of the arena in
        // it.
        let inner = unsafe { Arena::borrow_raw(ptr::addr_of_mut!((*scope).arena)) };
        f(inner)
    }

    /// Usable bytes in all blocks.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// assert_eq!(arena.capacity(), 0);
    /// arena.alloc(1000);
    /// assert!(arena.capacity() >= 1000);
    /// ```
    pub fn capacity(&self) -> usize {
        self.stats().capacity_bytes
    }

    /// Bytes handed out since the last reset, alignment padding included.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// arena.alloc(1000);
    /// assert_eq!(arena.used(), 1000);
    /// ```
    pub fn used(&self) -> usize {
        self.stats().used_bytes
    }

    move_methods!(
        aegis_arena_move_budget,
        (&mut) self => self.raw.get(),
        "all blocks of the arena, and later ones,"
    );

    /// Bytes left in the current block. They can be allocated without another block.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// arena.alloc(1000);
    /// assert!(arena.remaining() < arena.capacity());
    /// ```
    pub fn remaining(&self) -> usize {
        self.stats().remaining_bytes
    }

    /// The statistics of the arena. Takes constant time.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut arena = aegis_memory::arena::Arena::default();
    /// arena.alloc(1000);
    /// let stats = arena.stats();
    /// assert_eq!((stats.used_bytes, stats.block_count), (1000, 1));
    ///
    /// ```
    pub fn stats(&self) -> ArenaStats {
        let mut raw = MaybeUninit::<ffi::aegis_arena_stats>::uninit();
        // SAFETY: the call reads the arena, which this thread owns, and writes the whole struct.
        let raw = unsafe {
            ffi::aegis_arena_get_stats(self.raw.get(), raw.as_mut_ptr());
            raw.assume_init()
        };
        ArenaStats::from_raw(&raw)
    }
}

/// Reads from the arena why the latest request failed.
#[cold]
pub(super) fn error_of(raw: &ffi::aegis_arena) -> AllocError {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    // SAFETY: the call reads `raw` and writes the whole record.
    let error = unsafe {
        ffi::aegis_arena_last_error(raw, error.as_mut_ptr());
        error.assume_init()
    };
    // SAFETY: the budget in the record is alive: it is the one that the arena or its builder holds,
    // or an ancestor of that one.
    unsafe { AllocError::from_raw(&error) }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: `self` owns the arena, which is not used again.
        unwind::call(|| unsafe { ffi::aegis_arena_fini(self.raw.get()) });
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("stats", &self.stats()).finish()
    }
}
