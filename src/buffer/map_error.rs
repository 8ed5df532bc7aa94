// SPDX-License-Identifier: Apache-2.0
//! Why a file could not be mapped. The text is made only when it is shown, because an `io::Error`
//! with a text of its own allocates when it is made.

use core::fmt;
use std::io::{self, ErrorKind};

use super::range::Written;

/// Why a file could not be mapped. It converts into an [`io::Error`] of the same kind and text, for
/// example with `?`. For some texts the conversion allocates.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::{Buffer, MapError};
///
/// // SAFETY: there is no such file, which could change while it is mapped.
/// let error: MapError = unsafe { Buffer::map_file("no such file") }.unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
/// ```
pub struct MapError {
    reason: Reason,
}

#[derive(Debug)]
pub(super) enum Reason {
    /// The error of the system.
    System(io::Error),
    ZeroInPath,
    /// The path names no regular file. The text says what the path names.
    NotRegular(&'static str),
    /// A range that cannot be mapped, and the length of its file in bytes.
    Range(Written, u64),
}

impl MapError {
    /// The kind of error, as that of an [`io::Error`].
    ///
    /// # Examples
    ///
    /// ```
    /// // SAFETY: a folder is not mapped.
    /// let error = unsafe { aegis_memory::buffer::Buffer::map_file(".") }.unwrap_err();
    /// println!("{:?}: {error}", error.kind());
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match &self.reason {
            Reason::System(error) => error.kind(),
            _ => ErrorKind::InvalidInput,
        }
    }

    /// The system's number for the error, if it is an error of the system.
    ///
    /// # Examples
    ///
    /// ```
    /// // SAFETY: there is no such file, which could change while it is mapped.
    /// let error = unsafe { aegis_memory::buffer::Buffer::map_file("no such file") }.unwrap_err();
    /// assert_eq!(error.raw_os_error(), Some(2));
    ///
    /// ```
    pub fn raw_os_error(&self) -> Option<i32> {
        match &self.reason {
            Reason::System(error) => error.raw_os_error(),
            _ => None,
        }
    }
}

impl From<Reason> for MapError {
    fn from(reason: Reason) -> Self {
        Self { reason }
    }
}

impl From<io::Error> for MapError {
    fn from(error: io::Error) -> Self {
        Reason::System(error).into()
    }
}

impl From<ErrorKind> for MapError {
    fn from(kind: ErrorKind) -> Self {
        io::Error::from(kind).into()
    }
}

impl From<MapError> for io::Error {
    fn from(error: MapError) -> Self {
        match error.reason {
            Reason::System(error) => error,
            _ => Self::new(error.kind(), error),
        }
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::System(error) => error.fmt(f),
            Reason::ZeroInPath => f.write_str("a path with a zero byte names no file"),
            Reason::NotRegular(what) => write!(f, "{what} cannot be mapped"),
            // A file whose content the system makes when it is read reports a length of 0.
            Reason::Range(range, 0) => write!(f, "range {range} is not inside of the file"),
            Reason::Range(range, len) => match range.fault(*len) {
                Some(fault) => write!(f, "range {range} {fault} a file of {len} bytes"),
                None => {
                    let most = isize::MAX;
                    write!(
                        f,
                        "range {range} of a file of {len} bytes is more than the {most} of "
                    )?;
                    f.write_str("a buffer")
                }
            },
        }
    }
}

impl fmt::Debug for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for MapError {}
