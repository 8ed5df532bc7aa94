// SPDX-License-Identifier: Apache-2.0
//! The elements of a boxed slice, one after the other, by value.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::mem;
use core::ptr::{self, NonNull};
use core::slice;

use super::arena_box::ArenaBox;

/// The elements of a boxed slice by value, from [`ArenaBox::into_values`]. Its drop drops the
/// elements that are left.
///
/// ```
/// use aegis_memory::arena::{Arena, ArenaBox};
///
/// let arena = Arena::default();
/// let words = arena.alloc_boxed_slice_clone(&[String::from("a"), String::from("b")]);
/// let mut words = ArenaBox::into_values(words);
/// assert_eq!(words.next_back().as_deref(), Some("b"));
/// ```
pub struct IntoValues<'a, T> {
    /// The elements that are left: `len` from here on.
    start: NonNull<T>,
    len: usize,
    _owns: PhantomData<(&'a (), T)>,
}

// SAFETY: it owns the elements that are left and nothing else, as a box of them does.
unsafe impl<T: Send> Send for IntoValues<'_, T> {}
// SAFETY: `&IntoValues` gives `&[T]` only.
unsafe impl<T: Sync> Sync for IntoValues<'_, T> {}

impl<'a, T> ArenaBox<'a, [T]> {
    /// Moves the elements out, one after the other.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::{Arena, ArenaBox};
    ///
    /// let arena = Arena::default();
    /// let words = arena.alloc_boxed_slice_from_iter("a b".split(' ').map(String::from));
    /// let words: Vec<String> = ArenaBox::into_values(words).collect();
    /// assert_eq!(words, ["a", "b"]);
    /// ```
    pub fn into_values(this: Self) -> IntoValues<'a, T> {
        let values = Self::into_raw(this);
        IntoValues { start: values.cast(), len: values.len(), _owns: PhantomData }
    }
}

impl<T> IntoValues<'_, T> {
    /// The elements that are left.
    ///
    /// ```
    /// # use aegis_memory::arena::{Arena, ArenaBox};
    /// # let arena = Arena::default();
    /// let mut numbers = ArenaBox::into_values(arena.alloc_boxed_slice_from_iter(0..3));
    /// numbers.next();
    /// assert_eq!(numbers.as_slice(), [1, 2]);
    /// ```
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the elements are initialised, and `self`, which is borrowed, owns them.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> Iterator for IntoValues<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        let first = self.start;
        // SAFETY: there was an element left, so its end is in the slice or at its end.
        self.start = unsafe { NonNull::new_unchecked(first.as_ptr().add(1)) };
        // SAFETY: the element is initialised, and is no longer among those that are left.
        Some(unsafe { ptr::read(first.as_ptr()) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<T> DoubleEndedIterator for IntoValues<'_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the element is initialised, and is no longer among those that are left.
        Some(unsafe { ptr::read(self.start.as_ptr().add(self.len)) })
    }
}

impl<T> ExactSizeIterator for IntoValues<'_, T> {}
impl<T> FusedIterator for IntoValues<'_, T> {}

impl<T> Drop for IntoValues<'_, T> {
    fn drop(&mut self) {
        if mem::needs_drop::<T>() {
            // SAFETY: the elements that are left are initialised, and `self` is not used again.
            unsafe { ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.len).drop_in_place() }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for IntoValues<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IntoValues").field(&self.as_slice()).finish()
    }
}
