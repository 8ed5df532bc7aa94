// SPDX-License-Identifier: Apache-2.0
//! [`LockedArenaHeap`]: a heap behind a mutex, for any number of threads.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::builder::{ArenaBuilder, Hardened, Make, Stock};
use super::heap_methods::heap_methods;
use super::heap_stats::HeapStats;
#[cfg(aegis_allocator)]
use crate::allocator::{faces, Memory};
use crate::budget::move_methods;
use crate::error::{expect, AllocError};
use crate::sealed::Key;
use crate::{ffi, unwind};

/// An [`ArenaHeap`](super::ArenaHeap) behind a mutex, for any number of threads: it is
/// `Send` and `Sync`. Any thread may give back what another has allocated.
///
/// A call holds the lock while it finds or frees memory. Block sources and the pressure callbacks of
/// budgets run without the lock, so they may use the heap themselves.
///
/// # As the global allocator
///
/// A heap of [`lazy`](Self::lazy) can be the global allocator of a program. It never calls Rust's
/// allocator, because its blocks come from the C heap. If the process forks while another thread is
/// inside a call, the heap is lost in the child, which cannot allocate then.
///
/// ```
/// use aegis_memory::arena::LockedArenaHeap;
///
/// #[global_allocator]
/// static HEAP: LockedArenaHeap = LockedArenaHeap::lazy();
///
/// fn main() {
///     let before = HEAP.used();
///     let numbers: Vec<u32> = (0..1000).collect();
///     assert!(HEAP.used() >= before + 4000);
///     drop(numbers);
/// }
/// ```
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::LockedArenaHeap;
/// use std::alloc::Layout;
///
/// let heap = LockedArenaHeap::new(4096);
/// let layout = Layout::new::<[u8; 100]>();
/// std::thread::scope(|threads| {
///     for _ in 0..2 {
///         threads.spawn(|| {
///             let p = heap.alloc(layout);
///             // SAFETY: it was allocated with this layout, and is not used again.
///             unsafe { heap.dealloc(p, layout) };
///         });
///     }
/// });
/// assert_eq!(heap.used(), 0);
/// ```
pub struct LockedArenaHeap {
    /// What the C struct has. Null: the heap is not made yet. It changes once, from null.
    shared: AtomicPtr<ffi::aegis_locked_arena_heap_shared>,
}

// SAFETY: any thread may call the functions of the core behind the methods with `&self`. The other
// methods take `&mut self`. Sources are `Send + Sync`, and any thread may use a budget.
unsafe impl Send for LockedArenaHeap {}
// SAFETY: as above.
unsafe impl Sync for LockedArenaHeap {}

heap_methods!(LockedArenaHeap);

impl LockedArenaHeap {
    /// Makes a heap for a `static`: the first use acquires the lock and the first block, from the C
    /// heap. If there is no memory for the lock, the call that needs it fails, and the next one tries
    /// again.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::LockedArenaHeap;
    /// static HEAP: LockedArenaHeap = LockedArenaHeap::lazy();
    /// assert_eq!(HEAP.used(), 0);
    /// HEAP.alloc(std::alloc::Layout::new::<[u8; 100]>());
    /// assert!(HEAP.used() >= 100);
    /// ```
    #[must_use]
    pub const fn lazy() -> Self {
        Self { shared: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Frees everything that was allocated, in constant time, and keeps every block for reuse.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut heap = aegis_memory::arena::LockedArenaHeap::default();
    /// heap.alloc(std::alloc::Layout::new::<[u8; 900]>());
    /// heap.reset();
    /// assert_eq!((heap.used(), heap.stats().block_count), (0, 1));
    /// ```
    pub fn reset(&mut self) {
        // SAFETY: `&mut self`: no thread uses the heap and no collection borrows it. Other memory is
        // the caller's concern, who can use it only in unsafe code.
        self.if_made(|heap| unwind::call(|| unsafe { ffi::aegis_locked_arena_heap_reset(heap) }));
    }

    /// Releases blocks of which nothing is out to the source, until at most `keep_bytes` are reserved
    /// or there is no such block. Nothing that is out changes.
    ///
    /// # Examples
    ///
    /// ```
    /// let heap = aegis_memory::arena::LockedArenaHeap::new(10_000);
    /// heap.trim(0);
    /// assert_eq!(heap.stats().reserved_bytes, 0);
    /// ```
    pub fn trim(&self, keep_bytes: usize) {
        self.if_made(|heap| {
            // SAFETY: any thread may call this.
            unwind::call(|| unsafe { ffi::aegis_locked_arena_heap_trim(heap, keep_bytes) });
        });
    }

    /// Resets the heap and releases every block to the source.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut heap = aegis_memory::arena::LockedArenaHeap::new(10_000);
    /// heap.clear();
    /// assert_eq!(heap.stats().reserved_bytes, 0);
    /// ```
    pub fn clear(&mut self) {
        // SAFETY: as in `reset`.
        self.if_made(|heap| unwind::call(|| unsafe { ffi::aegis_locked_arena_heap_clear(heap) }));
    }

    move_methods!(
        aegis_locked_arena_heap_move_budget,
        (&mut) self => &mut self.made_raw(),
        "all blocks of the heap, and later ones,"
    );

    /// The statistics of the heap, all read at the same moment.
    ///
    /// # Examples
    ///
    /// ```
    /// let heap = aegis_memory::arena::LockedArenaHeap::new(10_000);
    /// assert_eq!(heap.stats().block_count, 1);
    /// ```
    pub fn stats(&self) -> HeapStats {
        let mut stats = HeapStats::default();
        self.if_made(|heap| {
            let mut raw = MaybeUninit::<ffi::aegis_arena_heap_stats>::uninit();
            // SAFETY: any thread may call this; the call writes the whole struct.
            let raw = unsafe {
                ffi::aegis_locked_arena_heap_get_stats(heap, raw.as_mut_ptr());
                raw.assume_init()
            };
            stats = HeapStats::from_raw(&raw);
        });
        stats
    }

    /// The C struct, if the heap is made.
    #[inline]
    fn raw(&self) -> Option<ffi::aegis_locked_arena_heap> {
        // Acquire pairs with the release in `make_shared`.
        let shared = self.shared.load(Ordering::Acquire);
        (!shared.is_null()).then_some(ffi::aegis_locked_arena_heap { shared })
    }

    fn if_made(&self, f: impl FnOnce(&mut ffi::aegis_locked_arena_heap)) {
        if let Some(mut raw) = self.raw() {
            f(&mut raw);
        }
    }

    /// The C struct. Makes the heap at the first use.
    #[inline]
    fn raw_or_make(&self) -> Result<ffi::aegis_locked_arena_heap, AllocError> {
        match self.raw() {
            Some(raw) => Ok(raw),
            None => self.make_shared(),
        }
    }

    /// The C struct of a heap that has a budget or is to have one.
    fn made_raw(&self) -> ffi::aegis_locked_arena_heap {
        expect(self.raw_or_make())
    }

    /// Makes the heap of [`lazy`](Self::lazy). If two threads do that at once, the second one uses
    /// what the first one has made. This takes no lock and calls no allocator of Rust.
    #[cold]
    fn make_shared(&self) -> Result<ffi::aegis_locked_arena_heap, AllocError> {
        // SAFETY: without options there are no pointers in them.
        let mut raw = unsafe { init(ptr::null()) }?;
        // Release pairs with the acquires here and in `raw`.
        match self.shared.compare_exchange(
            ptr::null_mut(),
            raw.shared,
            Ordering::Release,
            Ordering::Acquire,
        ) {
            Ok(_) => Ok(raw),
            Err(shared) => {
                // SAFETY: no other code has this heap.
                unsafe { ffi::aegis_locked_arena_heap_fini(&mut raw) };
                Ok(ffi::aegis_locked_arena_heap { shared })
            }
        }
    }

    /// Calls a function of the core that returns memory.
    ///
    /// # Safety
    ///
    /// - The function returns memory, or null after it has written the error.
    #[inline]
    unsafe fn call(
        &self,
        function: impl FnOnce(
            *const ffi::aegis_locked_arena_heap,
            *mut ffi::aegis_error,
        ) -> *mut core::ffi::c_void,
    ) -> Result<NonNull<u8>, AllocError> {
        let raw = self.raw_or_make()?;
        // SAFETY: the caller vouches for the function. The heap keeps its budget alive.
        unsafe { super::shared::call(|error| function(&raw, error)) }
    }

    #[inline]
    fn take(&self, layout: Layout, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any thread may call this, and it writes the error on failure.
        unsafe {
            self.call(|heap, error| {
                ffi::aegis_locked_arena_heap_alloc_aligned(heap, size, align, zeroed, error)
            })
        }
    }

    /// # Safety
    ///
    /// - `p` is a live allocation of this heap with this layout. It is not used afterwards.
    #[inline]
    unsafe fn give_back(&self, p: NonNull<u8>, layout: Layout) {
        self.if_made(|heap| {
            // SAFETY: any thread may call this, and the caller vouches for the allocation.
            unwind::call(|| unsafe {
                let p = p.as_ptr().cast();
                ffi::aegis_locked_arena_heap_free_sized(heap, p, layout.size());
            });
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
        let (p, old_size) = (p.as_ptr().cast(), old.size());
        // SAFETY: any thread may call this, and it writes the error on failure. The caller vouches
        // for the allocation.
        unsafe {
            self.call(|heap, error| {
                ffi::aegis_locked_arena_heap_realloc_aligned(
                    heap, p, old_size, new_size, align, error,
                )
            })
        }
    }
}

/// Makes the C object.
///
/// # Safety
///
/// - The pointers in the options, if there are any, are as `aegis_arena_init` requires them.
unsafe fn init(
    options: *const ffi::aegis_arena_options,
) -> Result<ffi::aegis_locked_arena_heap, AllocError> {
    let mut raw = ffi::aegis_locked_arena_heap { shared: ptr::null_mut() };
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    // SAFETY: the caller vouches for the options.
    let status =
        unsafe { ffi::aegis_locked_arena_heap_init(&mut raw, options, error.as_mut_ptr()) };
    if ffi::is_ok(&status) {
        return Ok(raw);
    }
    // SAFETY: the core writes the record on failure, and the builder keeps the budget alive.
    Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
}

impl Make for LockedArenaHeap {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_arena_options,
        _: Stock,
    ) -> Result<Self, AllocError> {
        // SAFETY: the caller vouches for the options.
        let raw = unsafe { init(options) }?;
        Ok(Self { shared: AtomicPtr::new(raw.shared) })
    }
}

// SAFETY: the core gives memory of the size and the alignment asked for, which no other allocation
// overlaps. It is valid until it is given back, and what else frees it takes the heap by `&mut`,
// which nothing has of a global allocator. These functions do not unwind, and do not allocate: they
// call the core alone, whose memory is that of the C heap.
unsafe impl GlobalAlloc for LockedArenaHeap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take_or_null(layout, false)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.take_or_null(layout, true)
    }

    #[inline]
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        self.if_made(|heap| {
            // SAFETY: any thread may call this, and the caller vouches for the allocation.
            unsafe { ffi::aegis_locked_arena_heap_free_sized(heap, p.cast(), layout.size()) };
        });
    }

    #[inline]
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(heap) = self.raw_or_make() else {
            return ptr::null_mut();
        };
        // SAFETY: any thread may call this, and the caller vouches for the allocation.
        let moved = unsafe {
            ffi::aegis_locked_arena_heap_realloc_aligned(
                &heap,
                p.cast(),
                layout.size(),
                new_size,
                layout.align(),
                ptr::null_mut(),
            )
        };
        moved.cast()
    }
}

impl LockedArenaHeap {
    #[inline]
    fn take_or_null(&self, layout: Layout, zeroed: bool) -> *mut u8 {
        let Ok(heap) = self.raw_or_make() else {
            return ptr::null_mut();
        };
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any thread may call this.
        let p = unsafe {
            ffi::aegis_locked_arena_heap_alloc_aligned(&heap, size, align, zeroed, ptr::null_mut())
        };
        p.cast()
    }
}

impl Drop for LockedArenaHeap {
    fn drop(&mut self) {
        self.if_made(|heap| {
            // SAFETY: `&mut self`, and the heap is not used again.
            unwind::call(|| unsafe { ffi::aegis_locked_arena_heap_fini(heap) });
        });
    }
}
