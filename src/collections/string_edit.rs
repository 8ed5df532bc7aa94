// SPDX-License-Identifier: Apache-2.0
//! The methods of [`ArenaString`] that change its text. A position in the text is a number of
//! bytes, and each method that takes one panics if it lies within a character.

use core::ops::RangeBounds;
use core::{ptr, str};

use super::room::part;
use super::string::ArenaString;
use super::string_drain::StringDrain;
use crate::arena::AnyArena;
use crate::error::{expect, AllocError};

impl<'a, A: AnyArena> ArenaString<'a, A> {
    /// Appends a character.
    ///
    /// # Panics
    ///
    /// When [`try_push`](Self::try_push) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::new_in(&arena);
    /// text.push('a');
    /// assert_eq!(text, "a");
    /// ```
    #[inline]
    #[track_caller]
    pub fn push(&mut self, character: char) {
        expect(self.try_push(character));
    }

    /// Appends a character.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = ArenaString::from_str_in("abc", &arena);
    /// text.try_push('d')?;
    /// assert_eq!(text, "abcd");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_push(&mut self, character: char) -> Result<(), AllocError> {
        if character.is_ascii() {
            return self.bytes.try_push(character as u8);
        }
        self.try_push_str(character.encode_utf8(&mut [0; 4]))
    }

    /// Appends a text.
    ///
    /// # Panics
    ///
    /// When [`try_push_str`](Self::try_push_str) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::new_in(&arena);
    /// text.push_str("abc");
    /// assert_eq!(text, "abc");
    /// ```
    #[inline]
    #[track_caller]
    pub fn push_str(&mut self, text: &str) {
        expect(self.try_push_str(text));
    }

    /// Appends a text.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = ArenaString::from_str_in("abc", &arena);
    /// text.try_push_str("de")?;
    /// assert_eq!(text, "abcde");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_push_str(&mut self, text: &str) -> Result<(), AllocError> {
        self.bytes.try_extend_from_slice_copy(text.as_bytes())
    }

    /// Appends a copy of a part of the text.
    ///
    /// # Panics
    ///
    /// When the range is no part of the text, and when
    /// [`try_extend_from_within`](Self::try_extend_from_within) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// text.extend_from_within(1..);
    /// assert_eq!(text, "abcbc");
    /// ```
    #[inline]
    #[track_caller]
    pub fn extend_from_within(&mut self, range: impl RangeBounds<usize>) {
        expect(self.try_extend_from_within(range));
    }

    /// Appends a copy of a part of the text.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// # Panics
    ///
    /// When the range is no part of the text.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = ArenaString::from_str_in("abc", &arena);
    /// text.try_extend_from_within(..1)?;
    /// assert_eq!(text, "abca");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn try_extend_from_within(
        &mut self,
        range: impl RangeBounds<usize>,
    ) -> Result<(), AllocError> {
        let range = part(range, self.len());
        self.check(range.start);
        self.check(range.end);
        self.bytes.try_extend_from_within(range)
    }

    /// Removes the last character.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("aé", &arena);
    /// assert_eq!([text.pop(), text.pop(), text.pop()], [Some('é'), Some('a'), None]);
    /// ```
    pub fn pop(&mut self) -> Option<char> {
        let last = self.chars().next_back()?;
        let len = self.len() - last.len_utf8();
        // SAFETY: the text ends before its last character.
        unsafe { self.bytes.set_len(len) };
        Some(last)
    }

    /// Inserts a character.
    ///
    /// # Panics
    ///
    /// When `index` is no position in the text, and when [`try_insert`](Self::try_insert) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("ac", &arena);
    /// text.insert(1, 'b');
    /// assert_eq!(text, "abc");
    /// ```
    #[inline]
    #[track_caller]
    pub fn insert(&mut self, index: usize, character: char) {
        expect(self.try_insert(index, character));
    }

    /// Inserts a character.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// # Panics
    ///
    /// When `index` is no position in the text.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = ArenaString::from_str_in("abc", &arena);
    /// text.try_insert(0, '>')?;
    /// assert_eq!(text, ">abc");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_insert(&mut self, index: usize, character: char) -> Result<(), AllocError> {
        self.try_insert_str(index, character.encode_utf8(&mut [0; 4]))
    }

    /// Inserts a text.
    ///
    /// # Panics
    ///
    /// When `index` is no position in the text, and when
    /// [`try_insert_str`](Self::try_insert_str) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("ad", &arena);
    /// text.insert_str(1, "bc");
    /// assert_eq!(text, "abcd");
    /// ```
    #[inline]
    #[track_caller]
    pub fn insert_str(&mut self, index: usize, text: &str) {
        expect(self.try_insert_str(index, text));
    }

    /// Inserts a text.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// # Panics
    ///
    /// When `index` is no position in the text.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = ArenaString::from_str_in("abc", &arena);
    /// text.try_insert_str(0, "> ")?;
    /// assert_eq!(text, "> abc");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_insert_str(&mut self, index: usize, text: &str) -> Result<(), AllocError> {
        self.try_replace_range(index..index, text)
    }

    /// Puts a text into the place of a range.
    ///
    /// # Panics
    ///
    /// When the range is no part of the text, and when
    /// [`try_replace_range`](Self::try_replace_range) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("a-z", &arena);
    /// text.replace_range(1..2, "...");
    /// assert_eq!(text, "a...z");
    /// ```
    #[inline]
    #[track_caller]
    pub fn replace_range(&mut self, range: impl RangeBounds<usize>, text: &str) {
        expect(self.try_replace_range(range, text));
    }

    /// Puts a text into the place of a range.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// # Panics
    ///
    /// When the range is no part of the text.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = ArenaString::from_str_in("abc", &arena);
    /// text.try_replace_range(..2, "_")?;
    /// assert_eq!(text, "_c");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn try_replace_range(
        &mut self,
        range: impl RangeBounds<usize>,
        text: &str,
    ) -> Result<(), AllocError> {
        let len = self.len();
        let range = part(range, len);
        self.check(range.start);
        self.check(range.end);
        self.try_reserve(text.len().saturating_sub(range.len()))?;
        // SAFETY: there is room for the text, which is not in this string, and for what is behind
        // the range. Both ends of the range are at the ends of characters.
        unsafe {
            let start = self.bytes.as_mut_ptr().add(range.start);
            ptr::copy(start.add(range.len()), start.add(text.len()), len - range.end);
            ptr::copy_nonoverlapping(text.as_ptr(), start, text.len());
            self.bytes.set_len(len - range.len() + text.len());
        }
        Ok(())
    }

    /// Removes the character at `index`.
    ///
    /// # Panics
    ///
    /// When no character begins there.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("éa", &arena);
    /// assert_eq!(text.remove(0), 'é');
    /// assert_eq!(text, "a");
    /// ```
    #[track_caller]
    pub fn remove(&mut self, index: usize) -> char {
        let Some(character) = self[index..].chars().next() else {
            panic!("no character to remove at the end of the text");
        };
        self.bytes.drain(index..index + character.len_utf8());
        character
    }

    /// Keeps the characters for which the condition holds.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("a-b-c", &arena);
    /// text.retain(|c| c != '-');
    /// assert_eq!(text, "abc");
    /// ```
    pub fn retain(&mut self, mut condition: impl FnMut(char) -> bool) {
        /// The text that stays, a hole, and the text that the condition has not seen. The drop
        /// closes the hole, also when the condition panics.
        struct Hole<'s, 'a, A: AnyArena> {
            text: &'s mut ArenaString<'a, A>,
            kept: usize,
            seen: usize,
        }
        impl<A: AnyArena> Drop for Hole<'_, '_, A> {
            fn drop(&mut self) {
                let bytes = &mut self.text.bytes;
                let rest = bytes.len() - self.seen;
                bytes.copy_within(self.seen.., self.kept);
                // SAFETY: whole characters that are all initialised.
                unsafe { bytes.set_len(self.kept + rest) };
            }
        }
        let mut hole = Hole { text: self, kept: 0, seen: 0 };
        while let Some(character) = hole.text.after(hole.seen) {
            let len = character.len_utf8();
            let stays = condition(character);
            if stays && hole.kept != hole.seen {
                hole.text.bytes.copy_within(hole.seen..hole.seen + len, hole.kept);
            }
            hole.kept += if stays { len } else { 0 };
            hole.seen += len;
        }
    }

    /// The first character from `index` on, which is a position in the text that no hole ends
    /// behind.
    #[inline(always)]
    fn after(&self, index: usize) -> Option<char> {
        // SAFETY: the caller has the position of a character.
        unsafe { str::from_utf8_unchecked(self.bytes.get_unchecked(index..)) }.chars().next()
    }

    /// Removes the text from `len` on. Does nothing if the text is shorter.
    ///
    /// # Panics
    ///
    /// When `len` lies within a character.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// text.truncate(1);
    /// assert_eq!(text, "a");
    /// ```
    #[inline]
    #[track_caller]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.check(len);
            self.bytes.truncate(len);
        }
    }

    /// Removes the text, and keeps the room.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// text.clear();
    /// assert_eq!((text.len(), text.capacity()), (0, 3));
    /// ```
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Removes a part of the text, and returns an iterator of its characters. The part is removed
    /// even if the iterator is not used up.
    ///
    /// # Panics
    ///
    /// When the range is no part of the text.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("abcd", &arena);
    /// assert_eq!(text.drain(1..3).collect::<String>(), "bc");
    /// assert_eq!(text, "ad");
    /// ```
    #[track_caller]
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> StringDrain<'_, 'a, A> {
        let range = part(range, self.len());
        self.check(range.start);
        self.check(range.end);
        StringDrain::of(self.bytes.drain(range))
    }

    /// Moves the text from `at` on into a new one of the same arena.
    ///
    /// # Panics
    ///
    /// When `at` is no position in the text, and when [`try_split_off`](Self::try_split_off) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = aegis_memory::collections::ArenaString::from_str_in("abcd", &arena);
    /// assert_eq!(text.split_off(2), "cd");
    /// assert_eq!(text, "ab");
    /// ```
    #[inline]
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        expect(self.try_split_off(at))
    }

    /// Moves the text from `at` on into a new one of the same arena.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// # Panics
    ///
    /// When `at` is no position in the text.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let mut text = ArenaString::from_str_in("abc", &arena);
    /// assert_eq!(text.try_split_off(1)?, "bc");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_split_off(&mut self, at: usize) -> Result<Self, AllocError> {
        self.check(at);
        Ok(Self { bytes: self.bytes.try_split_off(at)? })
    }

    /// Panics if `index` is no position in the text.
    #[inline]
    #[track_caller]
    fn check(&self, index: usize) {
        assert!(self.is_char_boundary(index), "byte {index} is no position in the text");
    }
}
