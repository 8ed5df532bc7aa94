// SPDX-License-Identifier: Apache-2.0
//! Names of budgets. A name is stored inline, so that a refusal can name budgets when no memory is
//! left.

use alloc::string::String;
use core::ffi::{c_char, CStr};
use core::fmt::{self, Write};
use core::ops::Deref;
use core::str;

use crate::ffi;
use crate::lines::write_lossy;

/// A name as C stores it, with the zero byte behind it.
pub(crate) type RawName = [c_char; ffi::AEGIS_BUDGET_NAME_BYTES as usize];

/// The largest length of a name, in bytes.
const MOST: usize = ffi::AEGIS_BUDGET_NAME_BYTES as usize - 1;

/// The name of a [`MemoryBudget`](crate::budget::MemoryBudget): at most 47 bytes of text, stored
/// without an allocation. It derefs to `str`.
///
/// # Examples
///
/// ```
/// let stats = aegis_memory::budget::MemoryBudget::new("query 42", 1000).stats();
/// assert!(stats.name.starts_with("query"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BudgetName {
    /// UTF-8. The bytes behind the text are zero.
    bytes: [u8; MOST],
    len: u8,
}

impl BudgetName {
    const EMPTY: Self = Self { bytes: [0; MOST], len: 0 };

    /// Reads a name that C holds. C may have made it of bytes that are not UTF-8, which are
    /// replaced.
    pub(crate) fn from_raw(raw: &RawName) -> Self {
        struct Filled(BudgetName);
        impl Write for Filled {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let Self(name) = self;
                for character in text.chars() {
                    let start = usize::from(name.len);
                    let end = start + character.len_utf8();
                    let room = name.bytes.get_mut(start..end).ok_or(fmt::Error)?;
                    character.encode_utf8(room);
                    name.len = end as u8;
                }
                Ok(())
            }
        }
        // SAFETY: the core terminates every name.
        let raw = unsafe { CStr::from_ptr(raw.as_ptr()) };
        let mut filled = Filled(Self::EMPTY);
        // What does not fit is left out.
        _ = write_lossy(&mut filled, raw.to_bytes());
        filled.0
    }

    /// The name as text.
    ///
    /// # Examples
    ///
    /// ```
    /// let stats = aegis_memory::budget::MemoryBudget::new("query 42", 1000).stats();
    /// assert_eq!(stats.name.as_str(), "query 42");
    /// ```
    pub fn as_str(&self) -> &str {
        // Only whole characters are written, so the bytes are UTF-8.
        str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// A name as C takes it. It is cut at the first NUL, and to the length that the core keeps.
pub(crate) fn c_name(name: &str) -> RawName {
    let mut buffer = [0; ffi::AEGIS_BUDGET_NAME_BYTES as usize];
    let mut length = name.find('\0').unwrap_or(name.len()).min(buffer.len() - 1);
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    for (to, from) in buffer.iter_mut().zip(&name.as_bytes()[..length]) {
        *to = *from as c_char;
    }
    buffer
}

impl Default for BudgetName {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Deref for BudgetName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for BudgetName {
    fn as_ref(&self) -> &str {
        self
    }
}

impl From<BudgetName> for String {
    fn from(name: BudgetName) -> Self {
        name.as_str().into()
    }
}

impl PartialEq<str> for BudgetName {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for BudgetName {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for BudgetName {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl fmt::Display for BudgetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for BudgetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for BudgetName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}
