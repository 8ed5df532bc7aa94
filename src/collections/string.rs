// SPDX-License-Identifier: Apache-2.0
//! [`ArenaString`]: the type, its room, and what it turns into. `string_from.rs` has the ways to
//! make one, `string_edit.rs` the methods that change the text, `string_traits.rs` its traits.
//!
//! It is an [`ArenaVec`] of bytes that are always UTF-8, also when a user's closure has panicked.

use core::ptr::NonNull;
use core::str;

use super::vec::ArenaVec;
use crate::arena::{AnyArena, Arena, ArenaBox};
use crate::error::{expect, AllocError};

/// A growable text in an arena, with the methods of the standard library's `String`.
///
/// It grows as an [`ArenaVec`] does. [`into_str`](Self::into_str) keeps the text in the arena
/// without a copy. `write!` appends to it: the result is an error when the arena has no memory.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
/// use aegis_memory::collections::ArenaString;
/// use std::fmt::Write;
///
/// let arena = Arena::default();
/// let mut text = ArenaString::from_str_in("path", &arena);
/// text.push('/');
/// write!(text, "{:03}", 7)?;
/// assert_eq!(text, "path/007");
/// let kept: &str = text.into_str(); // not copied, and valid as long as the arena
/// assert_eq!(kept.len(), 8);
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub struct ArenaString<'a, A: AnyArena = Arena> {
    pub(super) bytes: ArenaVec<'a, u8, A>,
}

impl<'a, A: AnyArena> ArenaString<'a, A> {
    /// Makes an empty text. It takes memory with its first byte.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::new_in(&arena);
    /// assert!(text.is_empty());
    /// ```
    #[inline]
    pub fn new_in(arena: &'a A) -> Self {
        Self { bytes: ArenaVec::new_in(arena) }
    }

    /// Makes an empty text with room for this number of bytes.
    ///
    /// # Panics
    ///
    /// When [`try_with_capacity_in`](Self::try_with_capacity_in) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::with_capacity_in(10, &arena);
    /// assert_eq!(text.capacity(), 10);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with_capacity_in(capacity: usize, arena: &'a A) -> Self {
        expect(Self::try_with_capacity_in(capacity, arena))
    }

    /// Makes an empty text with room for this number of bytes.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when the arena can get no block, or when the size is above `isize::MAX`. The
    /// other `try_` forms fail for the same reasons, and leave the text as it is.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// assert!(ArenaString::try_with_capacity_in(10, &arena).is_ok());
    /// assert!(ArenaString::try_with_capacity_in(usize::MAX, &arena).is_err());
    /// ```
    #[inline]
    pub fn try_with_capacity_in(capacity: usize, arena: &'a A) -> Result<Self, AllocError> {
        Ok(Self { bytes: ArenaVec::try_with_capacity_in(capacity, arena)? })
    }

    /// The arena that the text lives in.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::new_in(&arena);
    /// text.arena().alloc_str("beside it");
    /// ```
    #[inline]
    pub fn arena(&self) -> &'a A {
        self.bytes.arena()
    }

    /// How many bytes there is room for.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::new_in(&arena);
    /// assert_eq!(text.capacity(), 0);
    /// ```
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for `additional` bytes more, and for as many as there are if that is more.
    ///
    /// # Panics
    ///
    /// When [`try_reserve`](Self::try_reserve) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::new_in(&arena);
    /// text.reserve(100);
    /// assert!(text.capacity() >= 100);
    /// ```
    #[inline]
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        self.bytes.reserve(additional);
    }

    /// Makes room for `additional` bytes more, and for as many as there are if that is more.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::new_in(&arena);
    /// assert!(text.try_reserve(usize::MAX).is_err());
    /// ```
    #[inline]
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), AllocError> {
        self.bytes.try_reserve(additional)
    }

    /// Makes room for exactly `additional` bytes more.
    ///
    /// # Panics
    ///
    /// When [`try_reserve_exact`](Self::try_reserve_exact) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::new_in(&arena);
    /// text.reserve_exact(5);
    /// assert_eq!(text.capacity(), 5);
    /// ```
    #[inline]
    #[track_caller]
    pub fn reserve_exact(&mut self, additional: usize) {
        self.bytes.reserve_exact(additional);
    }

    /// Makes room for exactly `additional` bytes more.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = ArenaString::from_str_in("abc", &arena);
    /// text.try_reserve_exact(1)?;
    /// assert_eq!(text.capacity(), 4);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_reserve_exact(&mut self, additional: usize) -> Result<(), AllocError> {
        self.bytes.try_reserve_exact(additional)
    }

    /// Gives back the room that has no text, as [`ArenaVec::shrink_to_fit`] does.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::with_capacity_in(100, &arena);
    /// text.push_str("abc");
    /// text.shrink_to_fit();
    /// assert_eq!(text.capacity(), 3);
    /// ```
    #[inline]
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// As [`shrink_to_fit`](Self::shrink_to_fit), and leaves room for at least `least` bytes.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::with_capacity_in(100, &arena);
    /// text.shrink_to(10);
    /// assert_eq!(text.capacity(), 10);
    /// ```
    #[inline]
    pub fn shrink_to(&mut self, least: usize) {
        self.bytes.shrink_to(least);
    }

    /// Keeps the text in the arena, as a `str` that the caller owns. It is not copied. Room that
    /// has no text is given back if the text is the arena's latest allocation.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// let text: &mut str = text.into_str();
    /// text.make_ascii_uppercase();
    /// assert_eq!(text, "ABC");
    /// ```
    #[inline]
    pub fn into_str(self) -> &'a mut str {
        // SAFETY: the bytes are UTF-8.
        unsafe { str::from_utf8_unchecked_mut(self.bytes.into_slice()) }
    }

    /// Keeps the text in the arena, in a box. It is not copied.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// let text: aegis_memory::arena::ArenaBox<'_, str> = text.into_boxed_str();
    /// assert_eq!(&*text, "abc");
    /// ```
    #[inline]
    pub fn into_boxed_str(self) -> ArenaBox<'a, str> {
        // SAFETY: the text lives in an arena borrowed for 'a, and the box is its only owner.
        unsafe { ArenaBox::from_raw(NonNull::from(self.into_str())) }
    }

    /// The bytes of the text, in the same memory.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// assert_eq!(text.into_bytes(), b"abc");
    /// ```
    #[inline]
    pub fn into_bytes(self) -> ArenaVec<'a, u8, A> {
        self.bytes
    }

    /// The bytes of the text, to be changed.
    ///
    /// # Safety
    ///
    /// - When the reference ends, the bytes are UTF-8.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// // SAFETY: only ASCII is written.
    /// unsafe { text.as_mut_vec() }.push(b'd');
    /// assert_eq!(text, "abcd");
    /// ```
    #[inline]
    pub unsafe fn as_mut_vec(&mut self) -> &mut ArenaVec<'a, u8, A> {
        &mut self.bytes
    }

    /// The text. The string also derefs to it.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// assert_eq!(text.as_str(), "abc");
    /// ```
    #[inline]
    pub fn as_str(&self) -> &str {
        // SAFETY: the bytes are UTF-8.
        unsafe { str::from_utf8_unchecked(&self.bytes) }
    }

    /// The text, to be changed. The string also derefs to it.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// text.as_mut_str().make_ascii_uppercase();
    /// assert_eq!(text, "ABC");
    /// ```
    #[inline]
    pub fn as_mut_str(&mut self) -> &mut str {
        // SAFETY: the bytes are UTF-8, and a `str` that is changed stays so.
        unsafe { str::from_utf8_unchecked_mut(&mut self.bytes) }
    }

    /// The bytes of the text.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// assert_eq!(text.as_bytes(), b"abc");
    /// ```
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}
