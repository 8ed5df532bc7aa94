// SPDX-License-Identifier: Apache-2.0
//! The traits of byte strings for views and writers: deref, comparing, hashing, and `Debug` as a
//! byte string.

use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt::{self, Write as _};
use core::hash::{Hash, Hasher};
use core::ops::{Deref, DerefMut};
use core::slice;

use super::view::Buffer;
use super::writer::BufferMut;

impl Deref for Buffer {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        let raw = self.raw();
        // SAFETY: the owner keeps these bytes unchanged as long as there is a handle. The code that
        // made the buffer has promised this (buffer.h).
        unsafe { slice::from_raw_parts(raw.data, raw.length) }
    }
}

impl Deref for BufferMut {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        let raw = self.raw();
        // SAFETY: no other handle has the range, and its first `length` bytes are written
        // (buffer.h, and the contract of `set_len`).
        unsafe { slice::from_raw_parts(raw.data, raw.length) }
    }
}

impl DerefMut for BufferMut {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        let raw = self.raw();
        // SAFETY: as in `deref`, and exclusively.
        unsafe { slice::from_raw_parts_mut(raw.data, raw.length) }
    }
}

impl AsMut<[u8]> for BufferMut {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl BorrowMut<[u8]> for BufferMut {
    fn borrow_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// Equality and order with another type of bytes, in both directions.
macro_rules! compares {
    ([$($param:tt)*] $Type:ident, $Other:ty, |$other:ident| $bytes:expr) => {
        impl<$($param)*> PartialEq<$Other> for $Type {
            #[inline]
            fn eq(&self, $other: &$Other) -> bool {
                let bytes: &[u8] = $bytes;
                **self == *bytes
            }
        }

        impl<$($param)*> PartialEq<$Type> for $Other {
            #[inline]
            fn eq(&self, other: &$Type) -> bool {
                *other == *self
            }
        }

        impl<$($param)*> PartialOrd<$Other> for $Type {
            fn partial_cmp(&self, $other: &$Other) -> Option<core::cmp::Ordering> {
                let bytes: &[u8] = $bytes;
                (**self).partial_cmp(bytes)
            }
        }

        impl<$($param)*> PartialOrd<$Type> for $Other {
            fn partial_cmp(&self, other: &$Type) -> Option<core::cmp::Ordering> {
                other.partial_cmp(self).map(core::cmp::Ordering::reverse)
            }
        }
    };
}
#[cfg(feature = "bytes")]
pub(super) use compares;

/// The traits that both types have and that work on their bytes.
macro_rules! as_bytes {
    ($Type:ident) => {
        impl AsRef<[u8]> for $Type {
            #[inline]
            fn as_ref(&self) -> &[u8] {
                self
            }
        }

        impl Borrow<[u8]> for $Type {
            fn borrow(&self) -> &[u8] {
                self
            }
        }

        impl PartialEq for $Type {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                **self == **other
            }
        }

        impl Eq for $Type {}

        impl PartialOrd for $Type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $Type {
            fn cmp(&self, other: &Self) -> Ordering {
                (**self).cmp(&**other)
            }
        }

        impl Hash for $Type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }

        /// Shows a byte string as it is written in Rust.
        impl fmt::Debug for $Type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_bytes(self, f)
            }
        }

        compares!([] $Type, [u8], |other| other);
        compares!([] $Type, &[u8], |other| other);
        compares!([const N: usize] $Type, [u8; N], |other| other);
        compares!([const N: usize] $Type, &[u8; N], |other| *other);
        compares!([] $Type, Vec<u8>, |other| other);
        compares!([] $Type, str, |other| other.as_bytes());
        compares!([] $Type, &str, |other| other.as_bytes());
        compares!([] $Type, String, |other| other.as_bytes());
    };
}

as_bytes!(Buffer);
as_bytes!(BufferMut);
compares!([] Buffer, BufferMut, |other| other);

/// Writes `b"..."` with the escapes of a byte string.
pub(super) fn write_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("b\"")?;
    for &byte in bytes {
        match byte {
            b'\'' => f.write_char('\'')?,
            0 => f.write_str("\\0")?,
            _ => write!(f, "{}", byte.escape_ascii())?,
        }
    }
    f.write_char('"')
}
