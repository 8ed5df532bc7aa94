// SPDX-License-Identifier: Apache-2.0
//! Why an allocation failed.

use alloc::boxed::Box;
use core::fmt;
use core::ptr::NonNull;

use crate::budget::{self, BudgetRefusal};
use crate::ffi;

/// Why an allocation failed: what was asked, and what stood in the way.
///
/// A call that fails changes nothing. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllocError {
    /// The block source had no memory to give.
    #[non_exhaustive]
    OutOfMemory {
        /// Bytes asked for.
        requested: usize,
        /// Bytes in use in the object that asked.
        in_use: usize,
    },
    /// A memory budget refused: the text names it and its largest consumers.
    #[non_exhaustive]
    LimitExceeded {
        /// Bytes asked for.
        requested: usize,
        /// The limit that refused.
        limit: usize,
        /// Bytes charged to that budget.
        in_use: usize,
        /// The budget, and what is beneath it.
        refusal: Box<BudgetRefusal>,
    },
    /// The size is above `isize::MAX` or the alignment is not a power of two.
    #[non_exhaustive]
    InvalidLayout {
        /// Bytes asked for; `usize::MAX` if their number overflowed.
        size: usize,
        /// Alignment asked for.
        align: usize,
    },
    /// Memory of a fixed size has no room left that would fit.
    #[non_exhaustive]
    Exhausted {
        /// Bytes asked for.
        requested: usize,
        /// Bytes there are in all.
        capacity: usize,
        /// Bytes in use.
        in_use: usize,
    },
    /// Another thread was using the object when the process forked: it is of no use in this process.
    #[non_exhaustive]
    Forked {
        /// Bytes asked for.
        requested: usize,
    },
}

impl AllocError {
    /// The error for a number of elements or bytes that no layout can have.
    pub(crate) const fn invalid(size: usize, align: usize) -> Self {
        Self::InvalidLayout { size, align }
    }

    /// The error of a pool without blocks.
    pub(crate) const fn exhausted(requested: usize) -> Self {
        Self::Exhausted { requested, capacity: 0, in_use: 0 }
    }

    /// Translates the record that the C core keeps of a failure.
    ///
    /// # Safety
    ///
    /// The budget in the record is null or alive.
    pub(crate) unsafe fn from_raw(raw: &ffi::aegis_error) -> Self {
        let (requested, limit, in_use) = (raw.requested_bytes, raw.limit_bytes, raw.in_use_bytes);
        if let (ffi::AEGIS_E_LIMIT_EXCEEDED, Some(refused)) =
            (raw.status, NonNull::new(raw.refused.cast_mut()))
        {
            // SAFETY: the caller vouches for the budget.
            return unsafe { budget::limit_exceeded(refused, requested) };
        }
        match raw.status {
            ffi::AEGIS_E_INVALID_LAYOUT => Self::invalid(requested, raw.align_bytes),
            // No budget refused: it is the object's own limit, such as a pool's largest class.
            ffi::AEGIS_E_EXHAUSTED | ffi::AEGIS_E_LIMIT_EXCEEDED => {
                Self::Exhausted { requested, capacity: limit, in_use }
            }
            ffi::AEGIS_E_FORKED => Self::Forked { requested },
            _ => Self::OutOfMemory { requested, in_use },
        }
    }
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory { requested, in_use } => {
                write!(f, "out of memory: {requested} bytes requested, {in_use} bytes in use")
            }
            Self::LimitExceeded { refusal, .. } => write!(f, "memory limit exceeded: {refusal}"),
            Self::InvalidLayout { size, align } => write!(
                f,
                "invalid layout: size {size} with alignment {align}; a size is at most {} bytes \
                 and an alignment is a power of two",
                isize::MAX
            ),
            Self::Exhausted { requested, capacity, in_use } => write!(
                f,
                "fixed memory exhausted: {requested} bytes requested, {in_use} of {capacity} bytes \
                 in use"
            ),
            Self::Forked { requested } => write!(
                f,
                "the object was in use by another thread when the process forked: {requested} \
                 bytes requested"
            ),
        }
    }
}

#[cfg(feature = "std")]
impl std::error::Error for AllocError {}

/// Gives the value of a `try_` form to its plain twin, which panics instead of failing.
#[inline(always)]
#[track_caller]
pub(crate) fn expect<T>(result: Result<T, AllocError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic_with(error),
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn panic_with(error: AllocError) -> ! {
    panic!("{error}")
}
