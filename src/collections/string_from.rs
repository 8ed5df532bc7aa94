// SPDX-License-Identifier: Apache-2.0
//! What an [`ArenaString`] is made of: text, bytes, UTF-16, formatted text, an iterator.

use core::char::{decode_utf16, DecodeUtf16Error, REPLACEMENT_CHARACTER};
use core::fmt::{self, Write};
use core::str::{self, Utf8Error};

use super::string::ArenaString;
use super::vec::ArenaVec;
use crate::arena::{AnyArena, Arena};
use crate::error::{expect, AllocError};

impl<'a, A: AnyArena> ArenaString<'a, A> {
    /// Copies a text into the arena.
    ///
    /// # Panics
    ///
    /// When [`try_from_str_in`](Self::try_from_str_in) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::from_str_in("abc", &arena);
    /// assert_eq!(text, "abc");
    /// ```
    #[inline]
    #[track_caller]
    pub fn from_str_in(text: &str, arena: &'a A) -> Self {
        expect(Self::try_from_str_in(text, arena))
    }

    /// Copies a text into the arena.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// assert_eq!(ArenaString::try_from_str_in("abc", &arena)?, "abc");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_from_str_in(text: &str, arena: &'a A) -> Result<Self, AllocError> {
        let mut copy = Self::try_with_capacity_in(text.len(), arena)?;
        copy.try_push_str(text)?;
        Ok(copy)
    }

    /// Makes a text of the characters or texts of an iterator. As `iter.collect_in(&arena)`.
    ///
    /// # Panics
    ///
    /// When the arena has no memory.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::from_iter_in(["a", "bc"], &arena);
    /// assert_eq!(text, "abc");
    /// ```
    #[inline]
    #[track_caller]
    pub fn from_iter_in<T>(iter: impl IntoIterator<Item = T>, arena: &'a A) -> Self
    where
        Self: Extend<T>,
    {
        let mut text = Self::new_in(arena);
        text.extend(iter);
        text
    }

    /// Formats into the arena. `arena_format!` calls it.
    ///
    /// # Panics
    ///
    /// When [`try_from_fmt_in`](Self::try_from_fmt_in) fails or panics.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let args = format_args!("{}", 1);
    /// assert_eq!(aegis_memory::collections::ArenaString::from_fmt_in(args, &arena), "1");
    /// ```
    #[track_caller]
    pub fn from_fmt_in(text: fmt::Arguments<'_>, arena: &'a A) -> Self {
        expect(Self::try_from_fmt_in(text, arena))
    }

    /// Formats into the arena.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// # Panics
    ///
    /// When a `Display` in `text` returns an error that is not a failed allocation of this text.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// assert_eq!(ArenaString::try_from_fmt_in(format_args!("{}", 7), &arena)?, "7");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn try_from_fmt_in(text: fmt::Arguments<'_>, arena: &'a A) -> Result<Self, AllocError> {
        struct Writer<'a, A: AnyArena> {
            text: ArenaString<'a, A>,
            refusal: Option<AllocError>,
        }
        impl<A: AnyArena> Write for Writer<'_, A> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                if self.refusal.is_some() {
                    return Err(fmt::Error);
                }
                self.text.try_push_str(text).map_err(|refusal| {
                    self.refusal = Some(refusal);
                    fmt::Error
                })
            }
        }
        if let Some(text) = text.as_str() {
            return Self::try_from_str_in(text, arena);
        }
        let mut writer = Writer { text: Self::new_in(arena), refusal: None };
        let result = writer.write_fmt(text);
        // A `Display` may have ignored the error. Then a piece of the text is missing.
        if let Some(refusal) = writer.refusal {
            return Err(refusal);
        }
        assert!(result.is_ok(), "a Display implementation returned an error");
        Ok(writer.text)
    }

    /// Makes a text of bytes, without a copy.
    ///
    /// # Errors
    ///
    /// When the bytes are not UTF-8. The error gives them back.
    ///
    /// ```
    /// use aegis_memory::collections::{arena_vec, ArenaString};
    /// # let arena = aegis_memory::arena::Arena::default();
    /// assert_eq!(ArenaString::from_utf8(arena_vec![in &arena; b'a', b'b']).unwrap(), "ab");
    /// let error = ArenaString::from_utf8(arena_vec![in &arena; b'a', 0xFF]).unwrap_err();
    /// assert_eq!(error.utf8_error().valid_up_to(), 1);
    /// assert_eq!(error.into_bytes(), [b'a', 0xFF]);
    /// ```
    pub fn from_utf8(bytes: ArenaVec<'a, u8, A>) -> Result<Self, FromUtf8Error<'a, A>> {
        match str::from_utf8(&bytes) {
            Ok(_) => Ok(Self { bytes }),
            Err(error) => Err(FromUtf8Error { bytes, error }),
        }
    }

    /// Makes a text of bytes, without a copy and without a check.
    ///
    /// # Safety
    ///
    /// - The bytes are UTF-8.
    ///
    /// ```
    /// use aegis_memory::collections::{arena_vec, ArenaString};
    /// # let arena = aegis_memory::arena::Arena::default();
    /// // SAFETY: it is ASCII.
    /// let text = unsafe { ArenaString::from_utf8_unchecked(arena_vec![in &arena; b'a']) };
    /// assert_eq!(text, "a");
    /// ```
    #[inline]
    pub unsafe fn from_utf8_unchecked(bytes: ArenaVec<'a, u8, A>) -> Self {
        Self { bytes }
    }

    /// Copies bytes into the arena as text. `U+FFFD` takes the place of what is not UTF-8.
    ///
    /// # Panics
    ///
    /// When [`try_from_utf8_lossy_in`](Self::try_from_utf8_lossy_in) fails.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let text = aegis_memory::collections::ArenaString::from_utf8_lossy_in(b"a\xFFb", &arena);
    /// assert_eq!(text, "a\u{FFFD}b");
    /// ```
    #[track_caller]
    pub fn from_utf8_lossy_in(bytes: &[u8], arena: &'a A) -> Self {
        expect(Self::try_from_utf8_lossy_in(bytes, arena))
    }

    /// Copies bytes into the arena as text. `U+FFFD` takes the place of what is not UTF-8.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in).
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// assert_eq!(ArenaString::try_from_utf8_lossy_in(b"a\xFF", &arena)?, "a\u{FFFD}");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_from_utf8_lossy_in(mut bytes: &[u8], arena: &'a A) -> Result<Self, AllocError> {
        let mut text = Self::try_with_capacity_in(bytes.len(), arena)?;
        loop {
            let error = match str::from_utf8(bytes) {
                Ok(rest) => {
                    text.try_push_str(rest)?;
                    return Ok(text);
                }
                Err(error) => error,
            };
            let (valid, rest) = bytes.split_at(error.valid_up_to());
            // SAFETY: the bytes up to there are UTF-8.
            text.try_push_str(unsafe { str::from_utf8_unchecked(valid) })?;
            text.try_push(REPLACEMENT_CHARACTER)?;
            bytes = &rest[error.error_len().unwrap_or(rest.len())..];
        }
    }

    /// Decodes UTF-16 into the arena.
    ///
    /// # Errors
    ///
    /// At the first surrogate that has no partner.
    ///
    /// # Panics
    ///
    /// When the arena has no memory.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// # use aegis_memory::collections::ArenaString;
    /// let text = ArenaString::from_utf16_in(&[0x61, 0xD834, 0xDD1E], &arena).unwrap();
    /// assert_eq!(text, "a\u{1D11E}");
    /// assert!(ArenaString::from_utf16_in(&[0xD834], &arena).is_err());
    /// ```
    #[track_caller]
    pub fn from_utf16_in(units: &[u16], arena: &'a A) -> Result<Self, DecodeUtf16Error> {
        let mut text = Self::with_capacity_in(units.len(), arena);
        for character in decode_utf16(units.iter().copied()) {
            text.push(character?);
        }
        Ok(text)
    }

    /// Decodes UTF-16 into the arena. `U+FFFD` takes the place of a surrogate that has no partner.
    ///
    /// # Panics
    ///
    /// When the arena has no memory.
    ///
    /// ```
    /// # let arena = aegis_memory::arena::Arena::default();
    /// # use aegis_memory::collections::ArenaString;
    /// assert_eq!(ArenaString::from_utf16_lossy_in(&[0x61, 0xD834], &arena), "a\u{FFFD}");
    /// ```
    #[track_caller]
    pub fn from_utf16_lossy_in(units: &[u16], arena: &'a A) -> Self {
        let characters = decode_utf16(units.iter().copied());
        Self::from_iter_in(characters.map(|c| c.unwrap_or(REPLACEMENT_CHARACTER)), arena)
    }

    /// Makes a text of room that was taken from the arena.
    ///
    /// # Safety
    ///
    /// - As [`ArenaVec::from_raw_parts_in`], and the first `len` bytes are UTF-8.
    ///
    /// ```
    /// # use aegis_memory::collections::ArenaString;
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let (bytes, len, capacity) =
    ///     ArenaString::from_str_in("abc", &arena).into_bytes().into_raw_parts();
    /// // SAFETY: the parts of a text of this arena, which no longer exists.
    /// let text = unsafe { ArenaString::from_raw_parts_in(bytes, len, capacity, &arena) };
    /// assert_eq!(text, "abc");
    /// ```
    pub unsafe fn from_raw_parts_in(
        bytes: *mut u8,
        len: usize,
        capacity: usize,
        arena: &'a A,
    ) -> Self {
        // SAFETY: the caller keeps this function's contract, which is the same.
        Self { bytes: unsafe { ArenaVec::from_raw_parts_in(bytes, len, capacity, arena) } }
    }
}

/// Bytes that are not UTF-8, from [`ArenaString::from_utf8`].
///
/// ```
/// # use aegis_memory::collections::ArenaString;
/// # let arena = aegis_memory::arena::Arena::default();
/// # use aegis_memory::collections::arena_vec;
/// let error = ArenaString::from_utf8(arena_vec![in &arena; 0xFF]).unwrap_err();
/// assert!(error.to_string().starts_with("invalid utf-8"));
/// ```
pub struct FromUtf8Error<'a, A: AnyArena = Arena> {
    bytes: ArenaVec<'a, u8, A>,
    error: Utf8Error,
}

impl<'a, A: AnyArena> FromUtf8Error<'a, A> {
    /// The bytes.
    ///
    /// ```
    /// # use aegis_memory::collections::{arena_vec, ArenaString};
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let error = ArenaString::from_utf8(arena_vec![in &arena; 0xFF]).unwrap_err();
    /// assert_eq!(error.as_bytes(), [0xFF]);
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, as they were given.
    ///
    /// ```
    /// # use aegis_memory::collections::{arena_vec, ArenaString};
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let error = ArenaString::from_utf8(arena_vec![in &arena; 0xFF]).unwrap_err();
    /// assert_eq!(error.into_bytes(), [0xFF]);
    /// ```
    pub fn into_bytes(self) -> ArenaVec<'a, u8, A> {
        self.bytes
    }

    /// Where the bytes stop being UTF-8.
    ///
    /// ```
    /// # use aegis_memory::collections::{arena_vec, ArenaString};
    /// # let arena = aegis_memory::arena::Arena::default();
    /// let error = ArenaString::from_utf8(arena_vec![in &arena; b'a', 0xFF]).unwrap_err();
    /// assert_eq!(error.utf8_error().valid_up_to(), 1);
    /// ```
    pub fn utf8_error(&self) -> Utf8Error {
        self.error
    }
}

impl<A: AnyArena> fmt::Display for FromUtf8Error<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<A: AnyArena> fmt::Debug for FromUtf8Error<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("FromUtf8Error");
        text.field("bytes", &self.bytes).field("error", &self.error).finish()
    }
}

#[cfg(feature = "std")]
impl<A: AnyArena> std::error::Error for FromUtf8Error<'_, A> {}
