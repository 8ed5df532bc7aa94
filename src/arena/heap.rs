// SPDX-License-Identifier: Apache-2.0
//! [`ArenaHeap`]: a heap in an arena, for one owner.

use core::alloc::Layout;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::builder::{ArenaBuilder, Hardened, Make, Stock};
use super::heap_methods::heap_methods;
use super::heap_stats::HeapStats;
#[cfg(aegis_allocator)]
use crate::allocator::{faces, Memory};
use crate::budget::move_methods;
use crate::error::{expect, AllocError};
use crate::sealed::Key;
use crate::unshared::Unshared;
use crate::{ffi, unwind};

/// A heap in an arena: memory is allocated, resized and freed one piece at a time, what is freed is
/// used again, and a [`reset`](Self::reset) frees all of it at once.
///
/// It is made for collections and C libraries that free and resize much, behind a budget of their
/// own. It takes about as much memory as `malloc`, and less time. Collections that only grow, and
/// values that live until a reset, need only an [`Arena`](super::Arena), which is faster still.
///
/// A reference to a heap is an allocator for collections, of each allocator trait whose feature is on.
/// The heap cannot be reset while a collection borrows it. One thread at a time owns a heap: it is
/// `Send` but not `Sync`. Threads share a [`LockedArenaHeap`](super::LockedArenaHeap).
///
/// The methods of [`ArenaBuilder`] that have to do with how an arena grows are explained at
/// [`builder`](Self::builder).
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::ArenaHeap;
/// use std::alloc::Layout;
///
/// let mut heap = ArenaHeap::default();
/// let layout = Layout::new::<[u64; 50]>();
/// for _ in 0..1000 {
///     let p = heap.alloc(layout);
///     // SAFETY: it was allocated with this layout, and is not used again.
///     unsafe { heap.dealloc(p, layout) };
/// }
/// assert!(heap.stats().reserved_bytes < 4096);
/// heap.reset();
/// ```
///
/// ```
/// # #[cfg(feature = "allocator-api2")] {
/// use aegis_memory::arena::ArenaHeap;
/// use allocator_api2::vec::Vec;
///
/// let mut heap = ArenaHeap::default();
/// let mut lists: Vec<Vec<u32, _>, _> = Vec::new_in(&heap);
/// for i in 0..100 {
///     let mut list = Vec::new_in(&heap);
///     list.extend(0..i);
///     lists.push(list);
/// }
/// drop(lists); // what they had is free again
/// assert_eq!(heap.used(), 0);
/// heap.reset();
/// # }
/// ```
#[repr(transparent)]
pub struct ArenaHeap {
    raw: Unshared<ffi::aegis_arena_heap>,
}

// SAFETY: the heap owns its blocks, nothing in it is bound to a thread, and sources are
// `Send + Sync`. `Unshared` keeps it from being `Sync`.
#[cfg(aegis_threads)]
unsafe impl Send for ArenaHeap {}

heap_methods!(ArenaHeap);

impl ArenaHeap {
    /// The C struct, from which C code can allocate. The pointer is valid until the heap is moved or
    /// dropped.
    ///
    /// A call of a C function that frees everything (`aegis_arena_heap_reset`, `_clear`, `_fini`) is
    /// subject to the same rule as [`reset`](Self::reset): no allocation may be in use.
    ///
    /// # Examples
    ///
    /// ```
    /// let heap = aegis_memory::arena::ArenaHeap::default();
    /// // SAFETY: the heap is alive, and this thread owns it.
    /// let memory = unsafe { aegis_memory::ffi::aegis_arena_heap_alloc(heap.as_raw(), 100) };
    /// assert!(!memory.is_null());
    /// ```
    pub fn as_raw(&self) -> *mut ffi::aegis_arena_heap {
        self.raw.get()
    }

    /// Frees everything that was allocated, in constant time, and keeps every block for reuse.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut heap = aegis_memory::arena::ArenaHeap::default();
    /// for _ in 0..3 {
    ///     heap.alloc(std::alloc::Layout::new::<[u8; 900]>());
    ///     heap.reset();
    /// }
    /// assert_eq!((heap.used(), heap.stats().acquired_count), (0, 1));
    /// ```
    pub fn reset(&mut self) {
        // SAFETY: `&mut self`: no collection borrows the heap, and other memory is the caller's
        // concern, who can use it only in unsafe code.
        unwind::call(|| unsafe { ffi::aegis_arena_heap_reset(self.raw.get()) });
    }

    /// Releases blocks of which nothing is out to the source, until at most `keep_bytes` are reserved
    /// or there is no such block. Nothing that is out changes.
    ///
    /// # Examples
    ///
    /// ```
    /// let heap = aegis_memory::arena::ArenaHeap::new(10_000);
    /// heap.trim(0);
    /// assert_eq!(heap.stats().reserved_bytes, 0);
    /// ```
    pub fn trim(&self, keep_bytes: usize) {
        // SAFETY: this thread owns the heap.
        unwind::call(|| unsafe { ffi::aegis_arena_heap_trim(self.raw.get(), keep_bytes) });
    }

    /// Resets the heap and releases every block to the source.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut heap = aegis_memory::arena::ArenaHeap::new(10_000);
    /// heap.alloc(std::alloc::Layout::new::<[u8; 100]>());
    /// heap.clear();
    /// assert_eq!(heap.stats().reserved_bytes, 0);
    /// ```
    pub fn clear(&mut self) {
        // SAFETY: as in `reset`.
        unwind::call(|| unsafe { ffi::aegis_arena_heap_clear(self.raw.get()) });
    }

    move_methods!(
        aegis_arena_heap_move_budget,
        (&mut) self => self.raw.get(),
        "all blocks of the heap, and later ones,"
    );

    /// The statistics of the heap.
    ///
    /// # Examples
    ///
    /// ```
    /// let heap = aegis_memory::arena::ArenaHeap::new(10_000);
    /// assert_eq!(heap.stats().block_count, 1);
    /// ```
    pub fn stats(&self) -> HeapStats {
        let mut raw = MaybeUninit::<ffi::aegis_arena_heap_stats>::uninit();
        // SAFETY: this thread owns the heap; the call writes the whole struct.
        let raw = unsafe {
            ffi::aegis_arena_heap_get_stats(self.raw.get(), raw.as_mut_ptr());
            raw.assume_init()
        };
        HeapStats::from_raw(&raw)
    }

    /// The error of the latest request that failed.
    #[cold]
    fn last_error(&self) -> AllocError {
        // SAFETY: the call reads the heap and writes the whole record. The heap keeps its budget
        // alive.
        unsafe { error_of(self.raw.get()) }
    }

    #[inline]
    fn take(&self, layout: Layout, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let (heap, size, align) = (self.raw.get(), layout.size(), layout.align());
        // SAFETY: this thread owns the heap.
        let p = unwind::call(|| unsafe {
            if zeroed || align > ffi::AEGIS_ARENA_HEAP_ALIGN as usize {
                ffi::aegis_arena_heap_alloc_aligned(heap, size, align, zeroed)
            } else {
                ffi::aegis_arena_heap_alloc(heap, size)
            }
        });
        NonNull::new(p.cast()).ok_or_else(|| self.last_error())
    }

    /// # Safety
    ///
    /// - `p` is a live allocation of this heap with this layout. It is not used afterwards.
    #[inline]
    unsafe fn give_back(&self, p: NonNull<u8>, layout: Layout) {
        // SAFETY: this thread owns the heap, and the caller vouches for the allocation.
        unwind::call(|| unsafe {
            ffi::aegis_arena_heap_free_sized(self.raw.get(), p.as_ptr().cast(), layout.size());
        });
    }

    /// # Safety
    ///
    /// - As for `try_realloc`.
    unsafe fn resize_raw(
        &self,
        p: NonNull<u8>,
        old: Layout,
        new_size: usize,
        align: usize,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: this thread owns the heap, and the caller vouches for the allocation.
        let moved = unwind::call(|| unsafe {
            let p = p.as_ptr().cast();
            ffi::aegis_arena_heap_realloc_aligned(self.raw.get(), p, old.size(), new_size, align)
        });
        NonNull::new(moved.cast()).ok_or_else(|| self.last_error())
    }
}

/// The error record of a heap.
///
/// # Safety
///
/// - The heap was made, or its init has failed. The budget in the record is alive.
unsafe fn error_of(heap: *const ffi::aegis_arena_heap) -> AllocError {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    // SAFETY: the call writes the whole record, and the caller vouches for the budget.
    unsafe {
        ffi::aegis_arena_heap_last_error(heap, error.as_mut_ptr());
        AllocError::from_raw(error.assume_init_ref())
    }
}

impl Make for ArenaHeap {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_arena_options,
        _: Stock,
    ) -> Result<Self, AllocError> {
        let mut raw = MaybeUninit::<ffi::aegis_arena_heap>::uninit();
        // SAFETY: `raw` is memory for the struct, and the caller vouches for the options.
        let status = unsafe { ffi::aegis_arena_heap_init(raw.as_mut_ptr(), options) };
        if ffi::is_ok(&status) {
            // SAFETY: the call has written the whole struct.
            return Ok(Self { raw: Unshared::new(unsafe { raw.assume_init() }) });
        }
        // SAFETY: the failing call has written the struct, and the builder keeps the budget alive.
        Err(unsafe { error_of(raw.as_ptr()) })
    }
}

impl Drop for ArenaHeap {
    fn drop(&mut self) {
        // SAFETY: `&mut self`, and the heap is not used again.
        unwind::call(|| unsafe { ffi::aegis_arena_heap_fini(self.raw.get()) });
    }
}
