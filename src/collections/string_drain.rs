// SPDX-License-Identifier: Apache-2.0
//! The iterator that removes a part of a text. Beneath is the one of a vector, which removes the
//! bytes, whatever the iterator has come to.

use core::fmt;
use core::iter::FusedIterator;
use core::str;

use super::iter::Drain;
use crate::arena::{AnyArena, Arena};

/// Removes a part of a text. From [`ArenaString::drain`](super::ArenaString::drain).
///
/// ```
/// # use aegis_memory::collections::ArenaString;
/// # let arena = aegis_memory::arena::Arena::default();
/// let mut text = ArenaString::from_str_in("abc", &arena);
/// assert!(text.drain(1..).eq(['b', 'c']));
/// assert_eq!(text, "a");
/// ```
pub struct StringDrain<'s, 'a, A: AnyArena = Arena>(Drain<'s, 'a, u8, A>);

impl<'s, 'a, A: AnyArena> StringDrain<'s, 'a, A> {
    /// Removes these bytes, which are whole characters of a text.
    pub(super) fn of(bytes: Drain<'s, 'a, u8, A>) -> Self {
        Self(bytes)
    }

    /// The part of the text that is left.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("abcd", &arena);
    /// assert_eq!(text.drain(1..3).as_str(), "bc");
    /// assert_eq!(text, "ad");
    /// ```
    #[inline]
    pub fn as_str(&self) -> &str {
        // SAFETY: whole characters of the text are left.
        unsafe { str::from_utf8_unchecked(self.0.as_slice()) }
    }
}

impl<A: AnyArena> Iterator for StringDrain<'_, '_, A> {
    type Item = char;

    #[inline]
    fn next(&mut self) -> Option<char> {
        let first = self.as_str().chars().next()?;
        self.0.by_ref().take(first.len_utf8()).for_each(drop);
        Some(first)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.as_str().chars().size_hint()
    }
}

impl<A: AnyArena> DoubleEndedIterator for StringDrain<'_, '_, A> {
    #[inline]
    fn next_back(&mut self) -> Option<char> {
        let last = self.as_str().chars().next_back()?;
        self.0.by_ref().rev().take(last.len_utf8()).for_each(drop);
        Some(last)
    }
}

impl<A: AnyArena> FusedIterator for StringDrain<'_, '_, A> {}

impl<A: AnyArena> fmt::Debug for StringDrain<'_, '_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StringDrain").field(&self.as_str()).finish()
    }
}
