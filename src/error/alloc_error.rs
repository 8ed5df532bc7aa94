// SPDX-License-Identifier: Apache-2.0
//! [`AllocError`], the error of every call that allocates. The C core writes the text of an error,
//! from the same kind of record that the error was read from.

use alloc::boxed::Box;
use core::fmt;
use core::mem::{align_of, size_of};

use super::refusal::BudgetRefusal;
use super::what::What;
use crate::{ffi, heap};

/// Why a call failed: what was asked for, and what prevented it.
///
/// A call that fails changes nothing. Sizes are in bytes.
///
/// # Examples
///
/// ```
/// use aegis_memory::{arena::Arena, AllocError};
///
/// let error = Arena::default().try_alloc(usize::MAX).unwrap_err();
/// let AllocError::InvalidLayout { size, .. } = error else { panic!("not that: {error}") };
/// assert_eq!(size, usize::MAX);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AllocError {
    /// The block source had no memory to give.
    #[non_exhaustive]
    OutOfMemory {
        /// Bytes asked for.
        requested: usize,
        /// Alignment asked for.
        align: usize,
        /// Bytes in use in the object that asked.
        in_use: usize,
    },
    /// A memory budget refused a charge. The text names the budget and its largest consumers.
    #[non_exhaustive]
    LimitExceeded {
        /// Bytes asked for.
        requested: usize,
        /// Bytes that were to be charged: with block headers, side arrays and all else that goes
        /// with the bytes asked for. Together with `in_use` they are more than `limit`.
        needed: usize,
        /// The limit of the budget that refused, or its fair share.
        limit: usize,
        /// Bytes that the charge found in use there. What is guaranteed to budgets beneath, or was
        /// asked for earlier, counts too.
        in_use: usize,
        /// The budget, and the largest consumers beneath it. `None` when there was no memory for
        /// this record.
        refusal: Option<Box<BudgetRefusal>>,
    },
    /// The size is too large or the alignment is not a power of two.
    #[non_exhaustive]
    InvalidLayout {
        /// Bytes asked for. `usize::MAX` if the computation of their number overflowed.
        size: usize,
        /// Alignment asked for.
        align: usize,
        /// The largest size that is possible at this alignment. If `align` is not a valid
        /// alignment, the largest size at any alignment.
        limit: usize,
    },
    /// Memory of a fixed size has no room left for the request.
    #[non_exhaustive]
    Exhausted {
        /// Bytes asked for.
        requested: usize,
        /// Alignment asked for. 0 where a request has no alignment.
        align: usize,
        /// Bytes that the request takes with its padding and guard. Together with `in_use` they
        /// are more than `capacity`.
        needed: usize,
        /// Bytes of the memory in all.
        capacity: usize,
        /// Bytes in use, with guards.
        in_use: usize,
        /// Number of pool blocks asked for, which all have the same size. 0 where the memory does
        /// not consist of blocks.
        blocks: u32,
    },
    /// Another thread was using the object when the process forked, so this process cannot use the
    /// object.
    #[non_exhaustive]
    Forked {
        /// Bytes asked for.
        requested: usize,
    },
    /// The budget was closed, so that nothing can be charged to it any more.
    #[non_exhaustive]
    Closed {
        /// Bytes asked for.
        requested: usize,
    },
    /// The block source broke its contract: its memory was not aligned as asked for. The memory was
    /// released to the source.
    #[non_exhaustive]
    BadSource {
        /// Bytes asked for.
        requested: usize,
        /// Alignment asked for.
        align: usize,
    },
    /// The file behind a mapping was truncated, so that a copy of the mapped bytes cannot be made.
    #[non_exhaustive]
    Truncated {
        /// Bytes to be copied.
        requested: usize,
    },
    /// The system does not offer what the call needs, or this crate does not know how to ask it.
    #[non_exhaustive]
    Unsupported {
        /// What cannot be had.
        what: What,
    },
    /// A setting or an argument that is never accepted, such as a pool without blocks.
    #[non_exhaustive]
    Invalid {
        /// What is wrong, and what the numbers count.
        what: What,
        /// What was asked for.
        requested: usize,
        /// What is accepted: the largest value, or the smallest value if less was asked for.
        allowed: usize,
    },
}

impl AllocError {
    /// Panics with the error. The plain forms end so.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(crate) fn panic(self) -> ! {
        panic!("{self}")
    }

    /// The error for a number of elements or bytes that no layout can have.
    pub(crate) const fn invalid(size: usize, align: usize) -> Self {
        // The same limit as in the core. An alignment that every allocation of an arena has anyway
        // takes nothing away from the largest size.
        let odd = align <= ffi::AEGIS_ARENA_ALIGN as usize || !align.is_power_of_two();
        let excess = if odd { 0 } else { align - 1 };
        Self::InvalidLayout { size, align, limit: isize::MAX as usize - excess }
    }

    /// The error for a request that found no memory.
    pub(crate) const fn out_of_memory(requested: usize, align: usize, in_use: usize) -> Self {
        Self::OutOfMemory { requested, align, in_use }
    }

    /// The error for a value of type `T` that Rust's heap had no memory for.
    pub(crate) const fn no_memory_for<T>() -> Self {
        Self::out_of_memory(size_of::<T>(), align_of::<T>(), 0)
    }

    /// The same error for a call that asks for `count` blocks at once. The call had taken `taken`
    /// blocks when the pool refused the next one. It has given them back since, so they do not
    /// count as in use. The slabs that were charged for them stay.
    pub(crate) fn of_blocks(mut self, count: usize, taken: usize) -> Self {
        match &mut self {
            Self::Exhausted { requested, needed, in_use, blocks, .. } => {
                *in_use = in_use.saturating_sub(requested.saturating_mul(taken));
                if let Ok(all) = u32::try_from(count) {
                    if let Some(bytes) = requested.checked_mul(count) {
                        (*requested, *needed, *blocks) = (bytes, bytes, all);
                    }
                }
            }
            Self::LimitExceeded { requested, refusal, .. } => {
                *requested = requested.saturating_mul(count);
                if let Some(refusal) = refusal {
                    refusal.requested_bytes = *requested;
                }
            }
            _ => {}
        }
        self
    }

    /// Translates the record that the C core keeps of a failure.
    ///
    /// # Safety
    ///
    /// - The budget in the record is null or alive.
    pub(crate) unsafe fn from_raw(raw: &ffi::aegis_error) -> Self {
        let (requested, align, in_use) = (raw.requested_bytes, raw.align_bytes, raw.in_use_bytes);
        let needed = raw.needed_bytes;
        match (raw.status, What::from_raw(raw.what)) {
            (ffi::AEGIS_E_LIMIT_EXCEEDED, _) if !raw.refused.is_null() => Self::LimitExceeded {
                requested,
                needed,
                limit: raw.limit_bytes,
                in_use,
                // SAFETY: there is a budget, and the caller vouches for it. Without memory for the
                // record there is none.
                refusal: heap::try_box(unsafe { BudgetRefusal::read(raw) }).ok(),
            },
            (ffi::AEGIS_E_EXHAUSTED, what) => Self::Exhausted {
                requested,
                align,
                needed,
                capacity: raw.limit_bytes,
                in_use,
                blocks: u32::from(what == Some(What::Blocks)),
            },
            (ffi::AEGIS_E_SOURCE, _) => Self::BadSource { requested, align },
            (ffi::AEGIS_E_IO, _) => Self::Truncated { requested },
            (ffi::AEGIS_E_FORKED, _) => Self::Forked { requested },
            (ffi::AEGIS_E_CLOSED, _) => Self::Closed { requested },
            (ffi::AEGIS_E_UNSUPPORTED, Some(what)) => Self::Unsupported { what },
            (_, Some(what)) => Self::Invalid { what, requested: raw.asked, allowed: raw.allowed },
            (ffi::AEGIS_E_INVALID_LAYOUT, None) => {
                Self::InvalidLayout { size: requested, align, limit: raw.allowed }
            }
            _ => Self::OutOfMemory { requested, align, in_use },
        }
    }

    /// The record of the core for this failure, from which the core writes the text. The refusal of
    /// a budget has a record of its own.
    fn to_raw(&self) -> ffi::aegis_error {
        let mut raw = ffi::aegis_error { status: ffi::AEGIS_E_OUT_OF_MEMORY, ..ffi::NO_ERROR };
        match *self {
            Self::OutOfMemory { requested, align, in_use } => {
                (raw.requested_bytes, raw.align_bytes, raw.in_use_bytes) =
                    (requested, align, in_use);
            }
            Self::LimitExceeded { requested, needed, limit, in_use, .. } => {
                raw.status = ffi::AEGIS_E_LIMIT_EXCEEDED;
                (raw.requested_bytes, raw.needed_bytes) = (requested, needed);
                (raw.limit_bytes, raw.in_use_bytes) = (limit, in_use);
            }
            Self::InvalidLayout { size, align, limit } => {
                raw.status = ffi::AEGIS_E_INVALID_LAYOUT;
                (raw.requested_bytes, raw.align_bytes, raw.allowed) = (size, align, limit);
            }
            Self::Exhausted { requested, align, needed, capacity, in_use, blocks } => {
                raw.status = ffi::AEGIS_E_EXHAUSTED;
                (raw.requested_bytes, raw.align_bytes) = (requested, align);
                raw.needed_bytes = needed;
                (raw.limit_bytes, raw.in_use_bytes) = (capacity, in_use);
                if blocks != 0 {
                    (raw.what, raw.asked) = (ffi::AEGIS_WHAT_BLOCKS, blocks as usize);
                }
            }
            Self::BadSource { requested, align } => {
                raw.status = ffi::AEGIS_E_SOURCE;
                (raw.requested_bytes, raw.align_bytes) = (requested, align);
            }
            Self::Truncated { requested } => {
                (raw.status, raw.requested_bytes) = (ffi::AEGIS_E_IO, requested);
            }
            Self::Forked { requested } => {
                (raw.status, raw.requested_bytes) = (ffi::AEGIS_E_FORKED, requested);
            }
            Self::Closed { requested } => {
                (raw.status, raw.requested_bytes) = (ffi::AEGIS_E_CLOSED, requested);
            }
            Self::Unsupported { what } => {
                (raw.status, raw.what) = (ffi::AEGIS_E_UNSUPPORTED, what as u32);
            }
            Self::Invalid { what, requested, allowed } => {
                raw.status = ffi::AEGIS_E_INVALID;
                (raw.what, raw.asked, raw.allowed) = (what as u32, requested, allowed);
            }
        }
        raw
    }
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::LimitExceeded { requested, needed, limit, in_use, refusal } = self {
            f.write_str("memory limit exceeded: ")?;
            if let Some(refusal) = refusal {
                return refusal.fmt(f);
            }
            write!(f, "{requested} bytes requested, ")?;
            if needed != requested {
                write!(f, "{needed} bytes needed, ")?;
            }
            return write!(f, "{in_use} of {limit} bytes in use");
        }
        let (raw, mut text) = (self.to_raw(), [0_u8; 256]);
        // SAFETY: the record has no budget, and the buffer has room for the given number of bytes.
        let length =
            unsafe { ffi::aegis_error_explain(&raw, text.as_mut_ptr().cast(), text.len()) };
        // The texts are ASCII and shorter than the buffer.
        let text = &text[..length.min(text.len() - 1)];
        f.write_str(core::str::from_utf8(text).unwrap_or("no memory"))
    }
}

#[cfg(feature = "std")]
impl std::error::Error for AllocError {}

/// Returns the value that a `try_` form has returned, or panics with its error. The plain forms
/// call it.
#[inline(always)]
#[track_caller]
pub(crate) fn expect<T>(result: Result<T, AllocError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => error.panic(),
    }
}
