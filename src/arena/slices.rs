// SPDX-License-Identifier: Apache-2.0
//! Allocating slices and strings.

use core::alloc::Layout;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::{slice, str};

use super::alloc::NoDrop;
use super::forms::{self, Allocate, Bytes};
use super::Arena;
use crate::error::{expect, AllocError};
use crate::ffi;

impl Arena {
    /// Copies a slice into the arena.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_slice_copy`](Self::try_alloc_slice_copy) fails.
    #[inline]
    #[track_caller]
    pub fn alloc_slice_copy<T: Copy>(&self, source: &[T]) -> &mut [T] {
        expect(self.try_alloc_slice_copy(source))
    }

    /// Copies a slice into the arena.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc).
    #[inline]
    pub fn try_alloc_slice_copy<T: Copy>(&self, source: &[T]) -> Result<&mut [T], AllocError> {
        let p = self.bump_layout(Layout::for_value(source))?.cast::<T>();
        // SAFETY: fresh room for as many elements, disjoint from the source.
        Ok(unsafe {
            ptr::copy_nonoverlapping(source.as_ptr(), p.as_ptr(), source.len());
            slice::from_raw_parts_mut(p.as_ptr(), source.len())
        })
    }

    /// Clones a slice of a type without drop glue into the arena.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_slice_clone`](Self::try_alloc_slice_clone) fails, or a clone panics.
    #[inline]
    #[track_caller]
    pub fn alloc_slice_clone<T: Clone>(&self, source: &[T]) -> &mut [T] {
        expect(self.try_alloc_slice_clone(source))
    }

    /// Clones a slice of a type without drop glue into the arena.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc); nothing is cloned then.
    #[inline]
    pub fn try_alloc_slice_clone<T: Clone>(&self, source: &[T]) -> Result<&mut [T], AllocError> {
        // SAFETY: `fill_with` asks for `source.len()` elements.
        self.try_alloc_slice_fill_with(source.len(), |i| unsafe { source.get_unchecked(i).clone() })
    }

    /// Allocates a slice of `len` clones of a value without drop glue.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_slice_fill`](Self::try_alloc_slice_fill) fails, or a clone panics.
    #[inline]
    #[track_caller]
    pub fn alloc_slice_fill<T: Clone>(&self, len: usize, value: T) -> &mut [T] {
        expect(self.try_alloc_slice_fill(len, value))
    }

    /// Allocates a slice of `len` clones of a value without drop glue.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc); nothing is cloned then.
    #[inline]
    pub fn try_alloc_slice_fill<T: Clone>(
        &self,
        len: usize,
        value: T,
    ) -> Result<&mut [T], AllocError> {
        self.try_alloc_slice_fill_with(len, |_| value.clone())
    }

    /// Allocates a slice of `len` elements without drop glue, the i-th being `f(i)`.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_slice_fill_with`](Self::try_alloc_slice_fill_with) fails, or `f` panics.
    #[inline]
    #[track_caller]
    pub fn alloc_slice_fill_with<T>(&self, len: usize, f: impl FnMut(usize) -> T) -> &mut [T] {
        expect(self.try_alloc_slice_fill_with(len, f))
    }

    /// Allocates a slice of `len` elements without drop glue, the i-th being `f(i)`. `f` may
    /// allocate from the arena.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc); `f` is not called then.
    #[inline]
    pub fn try_alloc_slice_fill_with<T>(
        &self,
        len: usize,
        mut f: impl FnMut(usize) -> T,
    ) -> Result<&mut [T], AllocError> {
        let () = NoDrop::<T>::CHECK;
        let p = self.bump_array::<T>(len)?;
        // SAFETY: the room is ours and holds `len` elements, each written before the slice is made.
        // If `f` panics, what was written needs no drop.
        Ok(unsafe {
            for i in 0..len {
                p.as_ptr().add(i).write(f(i));
            }
            slice::from_raw_parts_mut(p.as_ptr(), len)
        })
    }

    /// Collects an iterator of items without drop glue into a slice.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_slice_from_iter`](Self::try_alloc_slice_from_iter) fails, or the iterator
    /// panics.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::Arena::default();
    /// let even = arena.alloc_slice_from_iter((0..100).filter(|n| n % 2 == 0));
    /// assert_eq!(even.len(), 50);
    /// ```
    #[track_caller]
    pub fn alloc_slice_from_iter<T>(&self, iter: impl IntoIterator<Item = T>) -> &mut [T] {
        expect(self.try_alloc_slice_from_iter(iter))
    }

    /// Collects an iterator of items without drop glue into a slice, which grows in place while it
    /// is the latest allocation. The iterator may allocate from the arena.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc); the iterator may be partly consumed then.
    pub fn try_alloc_slice_from_iter<T>(
        &self,
        iter: impl IntoIterator<Item = T>,
    ) -> Result<&mut [T], AllocError> {
        // SAFETY: fresh memory, ours for as long as `self` is borrowed.
        forms::collect(self, iter).map(|mut items| unsafe { items.as_mut() })
    }

    /// Allocates a slice of `len` elements without initialising them.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_slice_uninit`](Self::try_alloc_slice_uninit) fails.
    #[inline]
    #[track_caller]
    pub fn alloc_slice_uninit<T>(&self, len: usize) -> &mut [MaybeUninit<T>] {
        expect(self.try_alloc_slice_uninit(len))
    }

    /// Allocates a slice of `len` elements without initialising them.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc).
    #[inline]
    pub fn try_alloc_slice_uninit<T>(
        &self,
        len: usize,
    ) -> Result<&mut [MaybeUninit<T>], AllocError> {
        let p = self.bump_array::<MaybeUninit<T>>(len)?;
        // SAFETY: the room is ours and holds `len` elements, which need not be initialised.
        Ok(unsafe { slice::from_raw_parts_mut(p.as_ptr(), len) })
    }

    /// Copies a string into the arena.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_str`](Self::try_alloc_str) fails.
    #[inline]
    #[track_caller]
    pub fn alloc_str(&self, text: &str) -> &mut str {
        expect(self.try_alloc_str(text))
    }

    /// Copies a string into the arena.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc).
    #[inline]
    pub fn try_alloc_str(&self, text: &str) -> Result<&mut str, AllocError> {
        let bytes = self.try_alloc_slice_copy(text.as_bytes())?;
        // SAFETY: a copy of a `str`.
        Ok(unsafe { str::from_utf8_unchecked_mut(bytes) })
    }

    /// Formats into the arena.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_fmt`](Self::try_alloc_fmt) fails, or a `Display` in it returns an error.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::Arena::default();
    /// assert_eq!(arena.alloc_fmt(format_args!("{}-{}", 1, 2)), "1-2");
    /// ```
    #[track_caller]
    pub fn alloc_fmt(&self, text: fmt::Arguments<'_>) -> &mut str {
        expect(self.try_alloc_fmt(text))
    }

    /// Formats into the arena. A `Display` in it may allocate from the arena.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc).
    ///
    /// # Panics
    ///
    /// When a `Display` in `text` returns an error of its own.
    pub fn try_alloc_fmt(&self, text: fmt::Arguments<'_>) -> Result<&mut str, AllocError> {
        let mut bytes = forms::format(self, text)?;
        // SAFETY: whole strings in fresh memory, ours for as long as `self` is borrowed.
        Ok(unsafe { str::from_utf8_unchecked_mut(bytes.as_mut()) })
    }
}

// SAFETY: the arena hands out each byte once, and keeps it until it is reset or rewound.
unsafe impl Allocate for Arena {
    #[inline(always)]
    fn take(&self, layout: Layout) -> Bytes {
        self.bump_layout(layout)
    }

    #[inline(always)]
    fn take_zeroed(&self, size: usize, align: usize) -> Bytes {
        let bytes = self.try_alloc_aligned(size, align)?;
        Ok(NonNull::from(bytes).cast())
    }

    unsafe fn resize(&self, p: NonNull<u8>, old: usize, new: usize, align: usize) -> Bytes {
        let p = p.as_ptr().cast();
        // SAFETY: the caller vouches for the allocation.
        self.settle(unsafe { ffi::aegis_arena_realloc_aligned(self.as_raw(), p, old, new, align) })
    }

    unsafe fn give_back(&self, p: NonNull<u8>, size: usize) {
        // SAFETY: the caller vouches for the allocation.
        unsafe { ffi::aegis_arena_free_last(self.as_raw(), p.as_ptr().cast(), size) }
    }
}
