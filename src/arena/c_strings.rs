// SPDX-License-Identifier: Apache-2.0
//! C strings in an arena, for every form: copied, made of a text, or formatted.
//!
//! A C string ends at its first zero byte. So a text with a zero byte inside is refused, with the
//! position of that byte, where cutting it would lose the rest without a word.

use core::ffi::CStr;
use core::fmt;
use core::ptr::{self, NonNull};

use super::aligned::AlignedArena;
use super::forms::{array, copy, Allocate};
use super::gather;
#[cfg(aegis_threads)]
use super::local::LocalArena;
#[cfg(aegis_threads)]
use super::lock_free::LockFreeArena;
#[cfg(aegis_threads)]
use super::locked::LockedArena;
use super::one_owner::Arena;
use crate::error::{expect, AllocError};

/// Why no C string was made of a text.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{Arena, CStrError};
///
/// let arena = Arena::default();
/// let error = arena.try_alloc_cstr_from_str("a\0b").unwrap_err();
/// assert!(matches!(error, CStrError::InteriorNul { position: 1, .. }));
/// assert_eq!(error.to_string(), "a C string cannot have a zero byte inside: byte 1 is zero");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CStrError {
    /// The text has a zero byte.
    #[non_exhaustive]
    InteriorNul {
        /// The index of the first zero byte.
        position: usize,
    },
    /// The arena could not allocate.
    Alloc(AllocError),
}

impl From<AllocError> for CStrError {
    fn from(error: AllocError) -> Self {
        Self::Alloc(error)
    }
}

impl fmt::Display for CStrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InteriorNul { position } => {
                write!(f, "a C string cannot have a zero byte inside: byte {position} is zero")
            }
            Self::Alloc(error) => error.fmt(f),
        }
    }
}

#[cfg(feature = "std")]
impl std::error::Error for CStrError {}

/// Returns what a `try_` form has returned, or panics with its error.
#[track_caller]
fn expect_text<T>(result: Result<T, CStrError>) -> T {
    match result {
        Ok(text) => text,
        Err(CStrError::Alloc(error)) => expect(Err(error)),
        Err(error) => panic!("{error}"),
    }
}

fn check(text: &[u8]) -> Result<(), CStrError> {
    match text.iter().position(|&byte| byte == 0) {
        Some(position) => Err(CStrError::InteriorNul { position }),
        None => Ok(()),
    }
}

/// Copies a text and ends it with a zero byte.
fn from_text<A: Allocate>(arena: &A, text: &[u8]) -> Result<NonNull<[u8]>, CStrError> {
    check(text)?;
    let p = array::<A, u8>(arena, text.len() + 1)?;
    // SAFETY: new room for the text and one byte more, which does not overlap the text.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), p.as_ptr(), text.len());
        p.as_ptr().add(text.len()).write(0);
    }
    Ok(NonNull::slice_from_raw_parts(p, text.len() + 1))
}

/// Formats a text and ends it with a zero byte. A text that is refused gives its room back.
fn from_fmt<A: Allocate>(arena: &A, text: fmt::Arguments<'_>) -> Result<NonNull<[u8]>, CStrError> {
    if let Some(text) = text.as_str() {
        return from_text(arena, text.as_bytes());
    }
    let bytes = gather::format(arena, format_args!("{text}\0"))?;
    // SAFETY: the bytes were written just now, and no other code has a pointer to them.
    let written = unsafe { bytes.as_ref() };
    check(&written[..written.len() - 1]).map_err(|error| {
        // SAFETY: an allocation of this arena with this size, which is not used afterwards.
        unsafe { arena.give_back(bytes.cast(), bytes.len()) };
        error
    })?;
    Ok(bytes)
}

/// Writes the methods for a form of arena, as `allocation_forms` does.
macro_rules! c_string_forms {
    ({$($generics:tt)*} $arena:ty, $out:lifetime) => {
        impl $($generics)* $arena {
            /// Copies a C string into the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_cstr`](Self::try_alloc_cstr) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::default();
            /// let path = std::ffi::CString::new("/etc/hosts")?;
            /// let copy = arena.alloc_cstr(&path);
            /// assert_eq!(copy.to_str(), Ok("/etc/hosts"));
            /// # Ok::<(), std::ffi::NulError>(())
            /// ```
            #[track_caller]
            pub fn alloc_cstr(&self, text: &CStr) -> &$out CStr {
                expect(self.try_alloc_cstr(text))
            }

            /// Copies a C string into the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// # let text = std::ffi::CString::default();
            /// assert_eq!(arena.try_alloc_cstr(&text)?, &*text);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_alloc_cstr(&self, text: &CStr) -> Result<&$out CStr, AllocError> {
                let bytes = copy(self, text.to_bytes_with_nul())?;
                // SAFETY: a copy of a C string, in memory that is valid for the lifetime.
                Ok(unsafe { CStr::from_bytes_with_nul_unchecked(bytes.as_ref()) })
            }

            /// Copies a text into the arena and ends it with a zero byte, so that C can read it.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_cstr_from_str`](Self::try_alloc_cstr_from_str) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.alloc_cstr_from_str("name").to_bytes_with_nul(), b"name\0");
            /// ```
            #[track_caller]
            pub fn alloc_cstr_from_str(&self, text: &str) -> &$out CStr {
                expect_text(self.try_alloc_cstr_from_str(text))
            }

            /// Copies a text into the arena and ends it with a zero byte.
            ///
            /// # Errors
            ///
            /// [`CStrError::InteriorNul`] with the position of the first zero byte of `text`, if
            /// there is one. [`CStrError::Alloc`] as [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let name = arena.try_alloc_cstr_from_str("name")?;
            /// assert_eq!(name.to_bytes(), b"name");
            /// # Ok::<(), aegis_memory::arena::CStrError>(())
            /// ```
            pub fn try_alloc_cstr_from_str(&self, text: &str) -> Result<&$out CStr, CStrError> {
                let bytes = from_text(self, text.as_bytes())?;
                // SAFETY: the only zero byte is the last one, and the memory is valid for the
                // lifetime.
                Ok(unsafe { CStr::from_bytes_with_nul_unchecked(bytes.as_ref()) })
            }

            /// Formats a text into the arena and ends it with a zero byte, so that C can read it.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_cstr_fmt`](Self::try_alloc_cstr_fmt) fails, or a `Display` in `text`
            /// returns an error.
            ///
            /// # Examples
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::default();
            /// let name = arena.alloc_cstr_fmt(format_args!("worker {}", 7));
            /// assert_eq!(name.to_bytes(), b"worker 7");
            /// ```
            #[track_caller]
            pub fn alloc_cstr_fmt(&self, text: fmt::Arguments<'_>) -> &$out CStr {
                expect_text(self.try_alloc_cstr_fmt(text))
            }

            /// Formats a text into the arena and ends it with a zero byte. A `Display` in `text` may
            /// allocate from the arena.
            ///
            /// # Errors
            ///
            /// [`CStrError::InteriorNul`] with the position of the first zero byte of the formatted
            /// text, if there is one. [`CStrError::Alloc`] as [`try_alloc`](Self::try_alloc).
            ///
            /// # Panics
            ///
            /// When a `Display` in `text` returns an error that is not a failed allocation of this
            /// arena.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let text = "with a \0 inside";
            /// assert!(arena.try_alloc_cstr_fmt(format_args!("{text}")).is_err());
            /// ```
            pub fn try_alloc_cstr_fmt(
                &self,
                text: fmt::Arguments<'_>,
            ) -> Result<&$out CStr, CStrError> {
                let bytes = from_fmt(self, text)?;
                // SAFETY: the only zero byte is the last one, and the memory is valid for the
                // lifetime.
                Ok(unsafe { CStr::from_bytes_with_nul_unchecked(bytes.as_ref()) })
            }
        }
    };
}

c_string_forms!({} Arena, '_);
#[cfg(aegis_threads)]
c_string_forms!({} LockFreeArena, '_);
#[cfg(aegis_threads)]
c_string_forms!({} LockedArena, '_);
#[cfg(aegis_threads)]
c_string_forms!({<'a>} LocalArena<'a>, 'a);
c_string_forms!({<'a, const N: usize, A: Allocate>} AlignedArena<'a, N, A>, 'a);
