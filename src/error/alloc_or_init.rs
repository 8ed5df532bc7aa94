// SPDX-License-Identifier: Apache-2.0
//! [`AllocOrInitError`], the error of a call that allocates and then runs a closure that can fail.

use core::convert::Infallible;
use core::fmt;

use super::alloc_error::{expect, AllocError};

/// Why a value was not built in an arena: there was no room for it, or the closure or iterator that
/// was to make it has returned an error.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
/// use aegis_memory::AllocOrInitError;
///
/// let arena = Arena::default();
/// match arena.try_alloc_try_with(|| "12x".parse::<u32>()) {
///     Ok(number) => println!("{number}"),
///     Err(AllocOrInitError::Init(error)) => println!("not a number: {error}"),
///     Err(AllocOrInitError::Alloc(error)) => println!("no memory: {error}"),
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllocOrInitError<E> {
    /// The arena has refused the request. The closure was not called, or the iterator was consumed
    /// up to the item for which there was no room.
    Alloc(AllocError),
    /// What the closure or the iterator has returned. The arena has the room back, if it was the
    /// latest allocation.
    Init(E),
}

impl<E> From<AllocError> for AllocOrInitError<E> {
    fn from(error: AllocError) -> Self {
        Self::Alloc(error)
    }
}

impl AllocOrInitError<Infallible> {
    /// The error of a closure that cannot fail.
    pub(crate) fn into_alloc(self) -> AllocError {
        match self {
            Self::Alloc(error) => error,
            Self::Init(never) => match never {},
        }
    }
}

impl<E: fmt::Display> fmt::Display for AllocOrInitError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alloc(error) => error.fmt(f),
            Self::Init(error) => error.fmt(f),
        }
    }
}

#[cfg(feature = "std")]
impl<E: std::error::Error> std::error::Error for AllocOrInitError<E> {
    // The text is the one of the error inside, so its source is the source.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Alloc(error) => error.source(),
            Self::Init(error) => error.source(),
        }
    }
}

/// Returns what a `try_` form has returned, except that it panics where the arena has refused. The
/// plain forms call it.
#[inline(always)]
#[track_caller]
pub(crate) fn expect_alloc<T, E>(result: Result<T, AllocOrInitError<E>>) -> Result<T, E> {
    match result {
        Ok(value) => Ok(value),
        Err(AllocOrInitError::Init(error)) => Err(error),
        Err(AllocOrInitError::Alloc(error)) => expect(Err(error)),
    }
}
