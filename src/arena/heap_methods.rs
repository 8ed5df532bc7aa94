// SPDX-License-Identifier: Apache-2.0
//! The methods of a heap of either form, written once. A form itself has three functions that call
//! the core (`take`, `give_back`, `resize_raw`), its statistics, and how it is made.

/// Writes the constructors, the methods that allocate and free, and the implementations of the
/// allocator traits.
macro_rules! heap_methods {
    ($heap:ident) => {
        impl $heap {
            /// Makes a heap whose first block holds `capacity` bytes. With a capacity of 0, the
            /// first allocation acquires it.
            ///
            /// # Panics
            ///
            /// When [`try_new`](Self::try_new) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// let heap = aegis_memory::arena::ArenaHeap::new(64 * 1024);
            /// assert!(heap.stats().reserved_bytes > 64 * 1024);
            /// ```
            #[must_use]
            #[track_caller]
            pub fn new(capacity: usize) -> Self {
                expect(Self::try_new(capacity))
            }

            /// Makes a heap whose first block holds `capacity` bytes.
            ///
            /// # Errors
            ///
            /// [`AllocError::InvalidLayout`] for a capacity that no object can have,
            /// [`AllocError::OutOfMemory`] when the C heap refuses.
            ///
            /// # Examples
            ///
            /// ```
            /// let heap = aegis_memory::arena::ArenaHeap::try_new(64 * 1024)?;
            /// assert_eq!(heap.stats().block_count, 1);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_new(capacity: usize) -> Result<Self, AllocError> {
                Self::builder().capacity(capacity).build()
            }

            /// Returns a builder, for a heap with other settings than the defaults, such as a budget.
            ///
            /// A block of a heap is an eighth of what is reserved, and at most
            /// [`max_block`](ArenaBuilder::max_block). A request above a 32nd of that has a block of
            /// its own, which goes back to the source when it is freed.
            ///
            /// # Examples
            ///
            /// ```
            /// use aegis_memory::{arena::ArenaHeap, budget::MemoryBudget};
            /// use std::alloc::Layout;
            ///
            /// let budget = MemoryBudget::new("plugin", 1 << 20);
            /// let heap = ArenaHeap::builder().budget(&budget).name("plugin").build()?;
            /// assert!(heap.try_alloc(Layout::new::<[u8; 2 << 20]>()).is_err());
            /// assert_eq!(budget.used(), 0);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn builder() -> ArenaBuilder<Self> {
                ArenaBuilder::default()
            }

            /// Allocates uninitialised memory. A size of 0 gives a pointer that must not be
            /// dereferenced, and that has to be given back like any other.
            ///
            /// The memory is good until it is given back, or until the heap is reset, cleared or
            /// dropped.
            ///
            /// # Panics
            ///
            /// When [`try_alloc`](Self::try_alloc) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let heap = aegis_memory::arena::ArenaHeap::default();
            /// use std::alloc::Layout;
            /// let layout = Layout::new::<u64>();
            /// let number = heap.alloc(layout).cast::<u64>();
            /// // SAFETY: the memory is for a `u64`. It is not used after it was given back.
            /// unsafe {
            ///     number.as_ptr().write(7);
            ///     heap.dealloc(number.cast(), layout);
            /// }
            /// ```
            #[track_caller]
            pub fn alloc(&self, layout: Layout) -> NonNull<u8> {
                expect(self.try_alloc(layout))
            }

            /// Allocates uninitialised memory.
            ///
            /// # Errors
            ///
            /// [`AllocError::OutOfMemory`] when the source refuses, [`AllocError::LimitExceeded`]
            /// when the budget refuses.
            ///
            /// # Examples
            ///
            /// ```
            /// # let heap = aegis_memory::arena::ArenaHeap::default();
            /// use std::alloc::Layout;
            /// let page = heap.try_alloc(Layout::from_size_align(4096, 4096).unwrap())?;
            /// assert_eq!(page.as_ptr() as usize % 4096, 0);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
                self.take(layout, false)
            }

            /// Allocates zeroed memory, as [`alloc`](Self::alloc) does.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_zeroed`](Self::try_alloc_zeroed) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let heap = aegis_memory::arena::ArenaHeap::default();
            /// use std::alloc::Layout;
            /// let zero = heap.alloc_zeroed(Layout::new::<u64>()).cast::<u64>();
            /// // SAFETY: the memory is for a `u64`, and zeroed.
            /// assert_eq!(unsafe { zero.as_ptr().read() }, 0);
            /// ```
            #[track_caller]
            pub fn alloc_zeroed(&self, layout: Layout) -> NonNull<u8> {
                expect(self.try_alloc_zeroed(layout))
            }

            /// Allocates zeroed memory.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let heap = aegis_memory::arena::ArenaHeap::default();
            /// use std::alloc::Layout;
            /// let zero = heap.try_alloc_zeroed(Layout::new::<u64>())?.cast::<u64>();
            /// // SAFETY: the memory is for a `u64`, and zeroed.
            /// assert_eq!(unsafe { zero.as_ptr().read() }, 0);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
                self.take(layout, true)
            }

            /// Gives memory back, so that it is used again.
            ///
            /// # Safety
            ///
            /// - `p` is a live allocation of this heap with this layout. It is not used afterwards.
            ///
            /// # Examples
            ///
            /// ```
            /// # let heap = aegis_memory::arena::ArenaHeap::default();
            /// use std::alloc::Layout;
            /// let layout = Layout::new::<[u8; 100]>();
            /// let p = heap.alloc(layout);
            /// // SAFETY: it was allocated with this layout, and is not used again.
            /// unsafe { heap.dealloc(p, layout) };
            /// assert_eq!(heap.stats().used_bytes, 0);
            /// ```
            #[inline]
            pub unsafe fn dealloc(&self, p: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller vouches for the allocation.
                unsafe { self.give_back(p, layout) }
            }

            /// Resizes memory: where it is if there is room, else by moving its bytes. The alignment
            /// stays the same, and bytes behind the old ones are uninitialised.
            ///
            /// # Panics
            ///
            /// When [`try_realloc`](Self::try_realloc) fails.
            ///
            /// # Safety
            ///
            /// - As for [`try_realloc`](Self::try_realloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let heap = aegis_memory::arena::ArenaHeap::default();
            /// use std::alloc::Layout;
            /// let layout = Layout::new::<[u8; 100]>();
            /// let p = heap.alloc(layout);
            /// // SAFETY: it was allocated with this layout, and only the new pointer is used.
            /// let larger = unsafe { heap.realloc(p, layout, 200) };
            /// # let _ = larger;
            /// ```
            #[track_caller]
            pub unsafe fn realloc(
                &self,
                p: NonNull<u8>,
                layout: Layout,
                new_size: usize,
            ) -> NonNull<u8> {
                // SAFETY: the caller keeps this function's contract, which is the same.
                expect(unsafe { self.try_realloc(p, layout, new_size) })
            }

            /// Resizes memory.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc), and [`AllocError::InvalidLayout`] for a size that
            /// no object can have. The memory is as it was then.
            ///
            /// # Safety
            ///
            /// - `p` is a live allocation of this heap with this layout. If the call succeeds, only
            ///   the pointer that it returns is used afterwards, with the new size.
            ///
            /// # Examples
            ///
            /// ```
            /// # let heap = aegis_memory::arena::ArenaHeap::default();
            /// use std::alloc::Layout;
            /// let layout = Layout::new::<[u8; 100]>();
            /// let p = heap.alloc(layout);
            /// // SAFETY: it was allocated with this layout, and only the new pointer is used.
            /// let larger = unsafe { heap.try_realloc(p, layout, 200) }?;
            /// # let _ = larger;
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub unsafe fn try_realloc(
                &self,
                p: NonNull<u8>,
                layout: Layout,
                new_size: usize,
            ) -> Result<NonNull<u8>, AllocError> {
                // SAFETY: the caller vouches for the allocation.
                unsafe { self.resize_raw(p, layout, new_size, layout.align()) }
            }

            /// Bytes that are out: what was allocated and not freed, with chunk headers and rounding.
            ///
            /// # Examples
            ///
            /// ```
            /// # let heap = aegis_memory::arena::ArenaHeap::default();
            /// heap.alloc(std::alloc::Layout::new::<[u8; 100]>());
            /// assert!(heap.used() >= 100);
            /// ```
            pub fn used(&self) -> usize {
                self.stats().used_bytes
            }
        }

        impl Default for $heap {
            /// A heap without blocks: the first allocation acquires one.
            fn default() -> Self {
                Self::new(0)
            }
        }

        impl fmt::Debug for $heap {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let stats = self.stats();
                f.debug_struct(stringify!($heap))
                    .field("used", &stats.used_bytes)
                    .field("reserved", &stats.reserved_bytes)
                    .finish_non_exhaustive()
            }
        }

        impl Hardened for $heap {}

        #[cfg(aegis_allocator)]
        // SAFETY: the core gives memory of the size and the alignment asked for, which no other
        // allocation overlaps. It is valid until it is given back, and what else frees it takes the
        // heap by `&mut`.
        unsafe impl Memory for $heap {
            #[inline]
            fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
                self.take(layout, false).ok()
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>> {
                self.take(layout, true).ok()
            }

            #[inline]
            unsafe fn deallocate(&self, p: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller vouches for the allocation.
                unsafe { self.give_back(p, layout) }
            }

            unsafe fn resize(
                &self,
                p: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Option<NonNull<u8>> {
                if p.as_ptr() as usize % new.align() == 0 {
                    // SAFETY: the caller vouches for the allocation. If it moves, it gets the new
                    // alignment, and where it is it has that already.
                    return unsafe { self.resize_raw(p, old, new.size(), new.align()) }.ok();
                }
                let moved = self.take(new, false).ok()?;
                // SAFETY: the old bytes are those of another allocation, and the smaller size fits
                // both. The old allocation is not used afterwards.
                unsafe {
                    let count = old.size().min(new.size());
                    moved.as_ptr().copy_from_nonoverlapping(p.as_ptr(), count);
                    self.give_back(p, old);
                }
                Some(moved)
            }
        }

        #[cfg(aegis_allocator)]
        faces!($heap);
    };
}

pub(super) use heap_methods;
