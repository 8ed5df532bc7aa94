// SPDX-License-Identifier: Apache-2.0
//! Why a file could not be mapped. The text is written when it is asked for: an `io::Error` with a
//! text of its own allocates when it is made.

use core::fmt;
use std::io::{self, ErrorKind};

use super::range::Written;

/// Why a file could not be mapped. It turns into an [`io::Error`] of the same kind and text, as `?`
/// does in a function that returns one; for some of the texts that allocates.
pub struct MapError {
    reason: Reason,
}

#[derive(Debug)]
pub(super) enum Reason {
    /// What the system says.
    System(io::Error),
    ZeroInPath,
    /// What it is instead.
    NotRegular(&'static str),
    /// Of a file of so many bytes.
    Range(Written, u64),
}

impl MapError {
    /// The kind of error, as an [`io::Error`] has it.
    pub fn kind(&self) -> ErrorKind {
        match &self.reason {
            Reason::System(error) => error.kind(),
            _ => ErrorKind::InvalidInput,
        }
    }

    /// The system's number for the error, if it is the system's.
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
            // A file that the system makes up says that it has no bytes.
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
