// SPDX-License-Identifier: Apache-2.0
//! The arena that any number of threads allocate from at once, without a lock. The algorithm, and
//! what may block, are described in `aegis_memory/lock_free_arena.h`.

use core::alloc::Layout;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::{slice, str};

use super::boxed::ArenaBox;
use super::builder::{ArenaBuilder, Make, Stock};
use super::forms::{self, Allocate, Bytes, NoDrop, ALIGN};
use super::methods::allocation_forms;
use super::stats::ArenaStats;
use crate::error::{expect, AllocError};
use crate::sealed::Key;
use crate::{ffi, unwind};

/// A bump arena for any number of threads, without a lock: `Send` and `Sync`.
///
/// An allocation is one atomic addition. Whatever other threads do, or wherever they are stopped, a
/// thread that allocates gets on; only the block source, which is called when a block is full, may
/// lock. A thread that allocates much takes a [`local`](Self::local) handle, which costs no atomic
/// operation per allocation.
///
/// What is allocated borrows the arena, not the thread: it can be read from any thread if its type
/// can, and nothing outlives a [`reset`](Self::reset).
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::LockFreeArena;
///
/// let mut arena = LockFreeArena::new(1024 * 1024);
/// let total: usize = std::thread::scope(|threads| {
///     let workers: Vec<_> = (0..4)
///         .map(|number| {
///             let arena = &arena;
///             threads.spawn(move || arena.alloc_fmt(format_args!("written by {number}")))
///         })
///         .collect();
///     workers.into_iter().map(|worker| worker.join().expect("no panic").len()).sum()
/// });
/// assert_eq!(total, 4 * "written by 0".len());
/// arena.reset();
/// ```
#[repr(transparent)]
pub struct LockFreeArena {
    raw: ffi::aegis_lock_free_arena,
}

// SAFETY: what `&self` leads to in the core may be called from any thread, the rest takes
// `&mut self`; sources are `Send + Sync`, and budgets any thread's. Values in the arena are reached
// only through the references it has handed out, which cross threads if their types do; those that
// it drops, on whatever thread, are `Send`.
unsafe impl Send for LockFreeArena {}
// SAFETY: as above.
unsafe impl Sync for LockFreeArena {}

allocation_forms!({} LockFreeArena, '_);

impl LockFreeArena {
    /// Makes an arena whose first block holds `capacity` bytes, acquired at once from the C heap.
    /// With a capacity of 0 none is, until the first allocation.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    #[must_use]
    #[track_caller]
    pub fn new(capacity: usize) -> Self {
        expect(Self::try_new(capacity))
    }

    /// Makes an arena whose first block holds `capacity` bytes.
    ///
    /// # Errors
    ///
    /// As [`Arena::try_new`](super::Arena::try_new).
    pub fn try_new(capacity: usize) -> Result<Self, AllocError> {
        Self::builder().capacity(capacity).build()
    }

    /// Starts an arena with other than default settings. Threads may call its source at once.
    pub fn builder() -> ArenaBuilder<Self> {
        ArenaBuilder::default()
    }

    /// Frees everything that was allocated and keeps every block for reuse. Values of
    /// [`alloc_static`](Self::alloc_static) are dropped first, newest first.
    ///
    /// # Panics
    ///
    /// When the drop of such a value panicked; the reset is complete nevertheless.
    pub fn reset(&mut self) {
        // SAFETY: `&mut self`: no other thread, no handle and no reference uses the arena.
        unwind::call(|| unsafe { ffi::aegis_lock_free_arena_reset(&mut self.raw) });
    }

    /// Gives blocks that nothing is allocated in back to the source until at most `keep_bytes` are
    /// reserved or none is left.
    pub fn trim(&mut self, keep_bytes: usize) {
        // SAFETY: as in `reset`.
        unwind::call(|| unsafe { ffi::aegis_lock_free_arena_trim(&mut self.raw, keep_bytes) });
    }

    /// Resets and gives every block back to the source.
    ///
    /// # Panics
    ///
    /// As [`reset`](Self::reset).
    pub fn clear(&mut self) {
        // SAFETY: as in `reset`.
        unwind::call(|| unsafe { ffi::aegis_lock_free_arena_clear(&mut self.raw) });
    }

    /// Moves a value into the arena, which drops it at its reset, clear or drop, on the thread that
    /// does so. Newest values are dropped first.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_static`](Self::try_alloc_static) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut arena = aegis_memory::arena::LockFreeArena::default();
    /// std::thread::scope(|threads| {
    ///     threads.spawn(|| arena.alloc_static(vec![String::from("dropped at reset")]));
    /// });
    /// arena.reset();
    /// ```
    #[track_caller]
    pub fn alloc_static<T: Send + 'static>(&self, value: T) -> &mut T {
        expect(self.try_alloc_static(value))
    }

    /// Moves a value into the arena, which drops it at its reset, clear or drop.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc); the value is dropped then.
    pub fn try_alloc_static<T: Send + 'static>(&self, value: T) -> Result<&mut T, AllocError> {
        let place = forms::place_static(self, value, |function, context, error| {
            // SAFETY: any thread may register. Nothing runs the function before `&mut self`, and
            // the record is only written.
            unsafe { ffi::aegis_lock_free_arena_defer(&self.raw, function, context, error) }
        });
        // SAFETY: freshly placed, and ours for as long as `self` is borrowed.
        place.map(|mut p| unsafe { p.as_mut() })
    }

    /// Usable bytes in all blocks.
    pub fn capacity(&self) -> usize {
        self.stats().capacity_bytes
    }

    /// Bytes handed out since the last reset, padding and the shards of handles included.
    pub fn used(&self) -> usize {
        self.stats().used_bytes
    }

    /// The arena's figures, in time for each block: exact while no other thread allocates.
    pub fn stats(&self) -> ArenaStats {
        let mut raw = MaybeUninit::<ffi::aegis_arena_stats>::uninit();
        // SAFETY: any thread may ask; the call writes the whole struct.
        let raw = unsafe {
            ffi::aegis_lock_free_arena_get_stats(&self.raw, raw.as_mut_ptr());
            raw.assume_init()
        };
        ArenaStats::from_raw(&raw)
    }

    /// The C struct, for C code to allocate from, on any thread. The pointer is good while the
    /// arena is neither moved nor dropped.
    pub fn as_raw(&self) -> *const ffi::aegis_lock_free_arena {
        &self.raw
    }

    /// Gives the C struct away. It is the receiver's to finish with `aegis_lock_free_arena_fini`.
    #[must_use = "the struct owns blocks: finish it with aegis_lock_free_arena_fini or from_raw"]
    pub fn into_raw(self) -> ffi::aegis_lock_free_arena {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used or dropped afterwards, so the struct has one owner.
        unsafe { ptr::read(&this.raw) }
    }

    /// Takes a C arena over.
    ///
    /// # Safety
    ///
    /// - `raw` was made by `aegis_lock_free_arena_init` or [`into_raw`](Self::into_raw), and is not
    ///   finished.
    /// - Nobody else resets, trims or finishes this arena afterwards. C uses it, handles of it and
    ///   what it has allocated not during a call that takes this one by `&mut`, and not after such a
    ///   reset or the drop; it neither frees nor resizes what Rust has allocated.
    /// - What it was made with, the source's context for one, is good until this arena is dropped.
    ///   The source keeps the contract of [`BlockSource`](crate::source::BlockSource).
    /// - Its source may be used from any thread, and its deferred functions may run on any.
    pub unsafe fn from_raw(raw: ffi::aegis_lock_free_arena) -> Self {
        Self { raw }
    }

    /// Borrows an arena that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to an arena made by `aegis_lock_free_arena_init` that is neither moved, nor
    ///   reset, trimmed, cleared or finished while `'a` lasts, and C neither frees nor resizes what
    ///   Rust has allocated.
    /// - Its source may be used from any thread, and its deferred functions may run on any.
    pub unsafe fn borrow_raw<'a>(raw: *const ffi::aegis_lock_free_arena) -> &'a Self {
        // SAFETY: `LockFreeArena` is a transparent wrapper, and the caller vouches for the rest.
        unsafe { &*raw.cast::<Self>() }
    }

    /// Calls the core for memory, with room for the reason of a failure.
    #[inline(always)]
    fn call(
        &self,
        function: impl FnOnce(*const ffi::aegis_lock_free_arena, *mut ffi::aegis_error) -> *mut u8,
    ) -> Bytes {
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        let p = unwind::call(|| function(&self.raw, error.as_mut_ptr()));
        match NonNull::new(p) {
            Some(p) => Ok(p),
            // SAFETY: the record is written on failure, and the arena holds the budget.
            None => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
        }
    }
}

// SAFETY: the core hands out each byte once, and keeps it until it is reset.
unsafe impl Allocate for LockFreeArena {
    #[inline(always)]
    fn take(&self, layout: Layout) -> Bytes {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any thread may ask; the record is only written.
        self.call(|raw, error| unsafe {
            if align <= ALIGN {
                ffi::aegis_lock_free_arena_alloc(raw, size, error).cast()
            } else {
                ffi::aegis_lock_free_arena_alloc_aligned(raw, size, align, error).cast()
            }
        })
    }

    fn take_regrown(&self, layout: Layout) -> Bytes {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any thread may ask; the record is only written.
        self.call(|raw, error| unsafe {
            ffi::aegis_i_lock_free_alloc_regrown(raw, size, align, error).cast()
        })
    }

    #[inline(always)]
    fn take_zeroed(&self, size: usize, align: usize) -> Bytes {
        // SAFETY: any thread may ask; the core checks the alignment; the record is only written.
        self.call(|raw, error| unsafe {
            if align == ALIGN {
                ffi::aegis_lock_free_arena_alloc_zeroed(raw, size, error).cast()
            } else {
                ffi::aegis_lock_free_arena_alloc_aligned_zeroed(raw, size, align, error).cast()
            }
        })
    }

    unsafe fn resize_in_place(&self, p: NonNull<u8>, old: usize, new: usize) -> bool {
        // SAFETY: the caller vouches for the allocation.
        unsafe {
            ffi::aegis_lock_free_arena_resize_in_place(&self.raw, p.as_ptr().cast(), old, new)
        }
    }

    unsafe fn give_back(&self, p: NonNull<u8>, size: usize) {
        // SAFETY: the caller vouches for the allocation.
        unsafe { ffi::aegis_lock_free_arena_free_last(&self.raw, p.as_ptr().cast(), size) }
    }
}

impl Make for LockFreeArena {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_arena_options,
        _: Stock,
    ) -> Result<Self, AllocError> {
        let options = ffi::aegis_lock_free_arena_options {
            capacity_bytes: options.capacity_bytes,
            max_block_bytes: options.max_block_bytes,
            source: options.source,
            budget: options.budget,
            name: options.name,
        };
        let mut raw = ffi::aegis_lock_free_arena { shared: ptr::null_mut() };
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        // SAFETY: the caller vouches for the options.
        let status =
            unsafe { ffi::aegis_lock_free_arena_init(&mut raw, &options, error.as_mut_ptr()) };
        if status == ffi::AEGIS_OK as ffi::aegis_status {
            return Ok(Self { raw });
        }
        // SAFETY: the record is written on failure, and the builder holds the budget.
        Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
    }
}

impl Default for LockFreeArena {
    /// An arena without blocks: the first allocation acquires one.
    fn default() -> Self {
        Self::new(0)
    }
}

impl Drop for LockFreeArena {
    fn drop(&mut self) {
        // SAFETY: the arena is ours and not used again.
        unwind::call(|| unsafe { ffi::aegis_lock_free_arena_fini(&mut self.raw) });
    }
}

impl fmt::Debug for LockFreeArena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockFreeArena").field("stats", &self.stats()).finish()
    }
}
