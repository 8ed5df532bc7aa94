// SPDX-License-Identifier: Apache-2.0
//! The iterators of a [`TypedArena`], and how it drops its values. They walk the chunks in the order
//! of the list.

use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::mem::needs_drop;
use core::ptr::{self, NonNull};
use core::{fmt, slice};

use super::typed_chunks::{values_of, Chunk};

/// The values of each chunk of a list, from the first chunk on.
struct Slices<T> {
    next: Option<NonNull<Chunk>>,
    _values: PhantomData<NonNull<T>>,
}

impl<T> Slices<T> {
    /// # Safety
    ///
    /// - `first` is `None` or the first chunk of a list. All of its records are good, and its values
    ///   are of this type. The list does not change while it is walked.
    unsafe fn of(first: Option<NonNull<Chunk>>) -> Self {
        Self { next: first, _values: PhantomData }
    }

    fn next(&mut self) -> Option<NonNull<[T]>> {
        let chunk = self.next?;
        // SAFETY: a chunk of the list.
        let record = unsafe { chunk.as_ref() };
        self.next = record.next.get();
        Some(NonNull::slice_from_raw_parts(values_of(chunk), record.len.get()))
    }
}

/// Drops these values and then those of the chunks that follow, also after a drop that panics.
///
/// # Safety
///
/// - Nothing else uses the values.
unsafe fn drop_rest<T>(here: NonNull<[T]>, slices: Slices<T>) {
    struct Rest<T>(Slices<T>);
    impl<T> Drop for Rest<T> {
        fn drop(&mut self) {
            while let Some(values) = self.0.next() {
                // SAFETY: the caller of `drop_rest` vouches for the values.
                unsafe { ptr::drop_in_place(values.as_ptr()) };
            }
        }
    }
    if needs_drop::<T>() {
        let mut rest = Rest(slices);
        // SAFETY: the caller vouches for the values.
        unsafe { ptr::drop_in_place(here.as_ptr()) };
        while let Some(values) = rest.0.next() {
            // SAFETY: the caller vouches for the values.
            unsafe { ptr::drop_in_place(values.as_ptr()) };
        }
    }
}

fn no_values<T>() -> NonNull<[T]> {
    NonNull::slice_from_raw_parts(NonNull::dangling(), 0)
}

/// Drops the values of a list of chunks, the oldest first.
///
/// # Safety
///
/// - As for `Slices::of`, and nothing else uses the values.
pub(super) unsafe fn drop_all<T>(first: Option<NonNull<Chunk>>) {
    // SAFETY: the caller vouches for the list and the values.
    unsafe { drop_rest::<T>(no_values(), Slices::of(first)) };
}

/// An iterator over the values of a [`TypedArena`](super::TypedArena), from its method `iter_mut`.
///
/// # Examples
///
/// ```
/// let mut arena = aegis_memory::arena::TypedArena::from_iter([1, 2]);
/// let values: aegis_memory::arena::TypedIterMut<'_, i32> = arena.iter_mut();
/// assert_eq!(values.len(), 2);
/// ```
pub struct TypedIterMut<'a, T> {
    slices: Slices<T>,
    here: slice::IterMut<'a, T>,
    left: usize,
}

// SAFETY: the iterator borrows values exclusively and does not use their arena.
unsafe impl<T: Send> Send for TypedIterMut<'_, T> {}

impl<T> TypedIterMut<'_, T> {
    /// # Safety
    ///
    /// - As for `Slices::of`. The values, `len` in all, are borrowed exclusively for the lifetime.
    pub(super) unsafe fn new(first: Option<NonNull<Chunk>>, len: usize) -> Self {
        // SAFETY: the caller vouches for the list.
        Self { slices: unsafe { Slices::of(first) }, here: [].iter_mut(), left: len }
    }
}

impl<'a, T> Iterator for TypedIterMut<'a, T> {
    type Item = &'a mut T;

    #[inline]
    fn next(&mut self) -> Option<&'a mut T> {
        loop {
            if let Some(value) = self.here.next() {
                self.left -= 1;
                return Some(value);
            }
            let mut values = self.slices.next()?;
            // SAFETY: the values are borrowed exclusively for 'a, and each chunk comes once.
            self.here = unsafe { values.as_mut() }.iter_mut();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for TypedIterMut<'_, T> {}
impl<T> FusedIterator for TypedIterMut<'_, T> {}

impl<T> fmt::Debug for TypedIterMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedIterMut").field("len", &self.left).finish_non_exhaustive()
    }
}

/// An iterator that moves the values out of a [`TypedArena`](super::TypedArena). It owns the memory
/// of the arena, and drops the values that are left.
///
/// # Examples
///
/// ```
/// let arena = aegis_memory::arena::TypedArena::from_iter([1, 2]);
/// let mut values: aegis_memory::arena::TypedIntoIter<i32> = arena.into_iter();
/// assert_eq!((values.next(), values.len()), (Some(1), 1));
/// ```
pub struct TypedIntoIter<T> {
    slices: Slices<T>,
    /// The values of a chunk that are left.
    here: NonNull<[T]>,
    left: usize,
    /// The memory that the values lie in.
    _memory: super::one_owner::Arena,
}

// SAFETY: the iterator owns its values and their memory.
#[cfg(aegis_threads)]
unsafe impl<T: Send> Send for TypedIntoIter<T> {}

impl<T> TypedIntoIter<T> {
    /// # Safety
    ///
    /// - As for `Slices::of`. The list has `len` values, which are the caller's to give away, and
    ///   lies in `memory`.
    pub(super) unsafe fn new(
        first: Option<NonNull<Chunk>>,
        len: usize,
        memory: super::one_owner::Arena,
    ) -> Self {
        // SAFETY: the caller vouches for the list.
        let slices = unsafe { Slices::of(first) };
        Self { slices, here: no_values(), left: len, _memory: memory }
    }
}

impl<T> Iterator for TypedIntoIter<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        while self.here.len() == 0 {
            self.here = self.slices.next()?;
        }
        let first = self.here.cast::<T>();
        // SAFETY: a value is left, and it is taken out of those that are left.
        let behind = unsafe { NonNull::new_unchecked(first.as_ptr().add(1)) };
        self.here = NonNull::slice_from_raw_parts(behind, self.here.len() - 1);
        self.left -= 1;
        // SAFETY: as above.
        Some(unsafe { first.as_ptr().read() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for TypedIntoIter<T> {}
impl<T> FusedIterator for TypedIntoIter<T> {}

impl<T> Drop for TypedIntoIter<T> {
    fn drop(&mut self) {
        let next = self.slices.next.take();
        // SAFETY: the values that are left are those here and those of the chunks that follow.
        unsafe { drop_rest(self.here, Slices::of(next)) };
    }
}

impl<T> fmt::Debug for TypedIntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedIntoIter").field("len", &self.left).finish_non_exhaustive()
    }
}
