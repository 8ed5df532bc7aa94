// SPDX-License-Identifier: Apache-2.0
//! Why a call failed: what was asked, and what was allowed.
//!
//! The sentences are the core's: an error is written back into the record that it came from.

use alloc::boxed::Box;
use core::fmt;
use core::ptr::{self, NonNull};

use crate::budget::{self, BudgetRefusal};
use crate::ffi;

/// Why a call failed: what was asked, and what stood in the way.
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
        /// Alignment asked for.
        align: usize,
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
        /// The budget, and what is beneath it; `None` when there was no memory for this record.
        refusal: Option<Box<BudgetRefusal>>,
    },
    /// The size is too large or the alignment is not a power of two.
    #[non_exhaustive]
    InvalidLayout {
        /// Bytes asked for; `usize::MAX` if their number overflowed.
        size: usize,
        /// Alignment asked for.
        align: usize,
        /// The most bytes that there can be at this alignment; the most at any, if it is none.
        limit: usize,
    },
    /// Memory of a fixed size has no room left that would fit.
    #[non_exhaustive]
    Exhausted {
        /// Bytes asked for.
        requested: usize,
        /// Alignment asked for; 0 where there is none to ask for.
        align: usize,
        /// Bytes there are in all.
        capacity: usize,
        /// Bytes in use.
        in_use: usize,
        /// How many blocks of a pool the bytes asked for are, each as large as the others; 0 where
        /// memory does not consist of blocks.
        blocks: u32,
    },
    /// Another thread was using the object when the process forked: it is of no use in this process.
    #[non_exhaustive]
    Forked {
        /// Bytes asked for.
        requested: usize,
    },
    /// The block source broke its contract: the memory it gave is not aligned as asked, and went
    /// back to it.
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
    /// A setting or an argument that is never accepted, such as a pool of no blocks.
    #[non_exhaustive]
    Invalid {
        /// What is wrong, and what the numbers count.
        what: What,
        /// What was asked for.
        requested: usize,
        /// What could have been asked for: the most, or the least if less was asked for.
        allowed: usize,
    },
}

/// What an [`AllocError::Invalid`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum What {
    /// An alignment in bytes.
    Align = ffi::AEGIS_WHAT_ALIGN as u8,
    /// Blocks of a pool, or buffers of a size class.
    Blocks = ffi::AEGIS_WHAT_BLOCKS as u8,
    /// The number of blocks or buffers that a pool may grow to.
    MaxBlocks = ffi::AEGIS_WHAT_MAX_BLOCKS as u8,
    /// Slabs that a pool may grow to: `max_blocks` divided by `blocks`.
    Slabs = ffi::AEGIS_WHAT_SLABS as u8,
    /// Caches of a pool.
    Caches = ffi::AEGIS_WHAT_CACHES as u8,
    /// Size classes of a buffer pool.
    Classes = ffi::AEGIS_WHAT_CLASSES as u8,
    /// Bytes of a size class, which are more than those of the class before.
    ClassBytes = ffi::AEGIS_WHAT_CLASS_BYTES as u8,
    /// Bytes of a buffer, which the largest size class bounds.
    BufferBytes = ffi::AEGIS_WHAT_BUFFER_BYTES as u8,
    /// Arenas that a recycler keeps.
    IdleArenas = ffi::AEGIS_WHAT_IDLE_ARENAS as u8,
    /// A capacity beside memory of the caller.
    Capacity = ffi::AEGIS_WHAT_CAPACITY as u8,
    /// Memory of the caller, in bytes, where none can be used.
    Memory = ffi::AEGIS_WHAT_MEMORY as u8,
    /// Flags, as bits.
    Flags = ffi::AEGIS_WHAT_FLAGS as u8,
    /// What a buffer pool is to do when it is empty.
    Policy = ffi::AEGIS_WHAT_POLICY as u8,
    /// Options that are null.
    Options = ffi::AEGIS_WHAT_OPTIONS as u8,
    /// A function that is null.
    Function = ffi::AEGIS_WHAT_FUNCTION as u8,
    /// Data that is null; the number is its length.
    Data = ffi::AEGIS_WHAT_DATA as u8,
    /// An object that was not made, or was released or reset since.
    Handle = ffi::AEGIS_WHAT_HANDLE as u8,
    /// An arena with a scope open on it.
    OpenScope = ffi::AEGIS_WHAT_SCOPE as u8,
    /// Levels of a tree of budgets.
    Levels = ffi::AEGIS_WHAT_LEVELS as u8,
}

impl What {
    /// All of them, in the order of the core's numbers, which begin with 1: 0 stands for bytes.
    const ALL: [Self; ffi::AEGIS_WHAT_LEVELS as usize] = [
        Self::Align,
        Self::Blocks,
        Self::MaxBlocks,
        Self::Slabs,
        Self::Caches,
        Self::Classes,
        Self::ClassBytes,
        Self::BufferBytes,
        Self::IdleArenas,
        Self::Capacity,
        Self::Memory,
        Self::Flags,
        Self::Policy,
        Self::Options,
        Self::Function,
        Self::Data,
        Self::Handle,
        Self::OpenScope,
        Self::Levels,
    ];

    fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.get((raw as usize).wrapping_sub(1)).copied()
    }
}

impl AllocError {
    /// The error for a number of elements or bytes that no layout can have.
    pub(crate) const fn invalid(size: usize, align: usize) -> Self {
        // As the core has it: what an arena aligns to anyway costs no size anything.
        let odd = align <= ffi::AEGIS_ARENA_ALIGN as usize || !align.is_power_of_two();
        let excess = if odd { 0 } else { align - 1 };
        Self::InvalidLayout { size, align, limit: isize::MAX as usize - excess }
    }

    /// The error for memory that was not to be had.
    pub(crate) const fn out_of_memory(requested: usize, align: usize, in_use: usize) -> Self {
        Self::OutOfMemory { requested, align, in_use }
    }

    /// The same for `count` blocks at a time, of which `taken` were in use when the last one asked
    /// for could not be had, and are no longer.
    pub(crate) fn of_blocks(mut self, count: usize, taken: usize) -> Self {
        if let Self::Exhausted { requested, in_use, blocks, .. } = &mut self {
            *in_use = in_use.saturating_sub(requested.saturating_mul(taken));
            if let Ok(all) = u32::try_from(count) {
                if let Some(bytes) = requested.checked_mul(count) {
                    (*requested, *blocks) = (bytes, all);
                }
            }
        }
        self
    }

    /// Translates the record that the C core keeps of a failure.
    ///
    /// # Safety
    ///
    /// The budget in the record is null or alive.
    pub(crate) unsafe fn from_raw(raw: &ffi::aegis_error) -> Self {
        let (requested, align, in_use) = (raw.requested_bytes, raw.align_bytes, raw.in_use_bytes);
        if let (ffi::AEGIS_E_LIMIT_EXCEEDED, Some(refused)) =
            (raw.status, NonNull::new(raw.refused.cast_mut()))
        {
            // SAFETY: the caller vouches for the budget.
            return unsafe { budget::limit_exceeded(refused, requested) };
        }
        match (raw.status, What::from_raw(raw.what)) {
            (ffi::AEGIS_E_EXHAUSTED, what) => Self::Exhausted {
                requested,
                align,
                capacity: raw.limit_bytes,
                in_use,
                blocks: u32::from(what == Some(What::Blocks)),
            },
            (ffi::AEGIS_E_SOURCE, _) => Self::BadSource { requested, align },
            (ffi::AEGIS_E_IO, _) => Self::Truncated { requested },
            (ffi::AEGIS_E_FORKED, _) => Self::Forked { requested },
            (_, Some(what)) => Self::Invalid { what, requested: raw.asked, allowed: raw.allowed },
            (ffi::AEGIS_E_INVALID_LAYOUT, None) => {
                Self::InvalidLayout { size: requested, align, limit: raw.allowed }
            }
            _ => Self::OutOfMemory { requested, align, in_use },
        }
    }

    /// The core's record of the failure, for its sentence. A refusal of a budget has its own.
    fn to_raw(&self) -> ffi::aegis_error {
        let mut raw = ffi::aegis_error {
            status: ffi::AEGIS_E_OUT_OF_MEMORY,
            requested_bytes: 0,
            align_bytes: 0,
            limit_bytes: 0,
            in_use_bytes: 0,
            refused: ptr::null(),
            asked: 0,
            allowed: 0,
            what: ffi::AEGIS_WHAT_BYTES,
        };
        match *self {
            Self::OutOfMemory { requested, align, in_use } => {
                (raw.requested_bytes, raw.align_bytes, raw.in_use_bytes) =
                    (requested, align, in_use);
            }
            Self::LimitExceeded { requested, limit, in_use, .. } => {
                raw.status = ffi::AEGIS_E_LIMIT_EXCEEDED;
                (raw.requested_bytes, raw.limit_bytes, raw.in_use_bytes) =
                    (requested, limit, in_use);
            }
            Self::InvalidLayout { size, align, limit } => {
                raw.status = ffi::AEGIS_E_INVALID_LAYOUT;
                (raw.requested_bytes, raw.align_bytes, raw.allowed) = (size, align, limit);
            }
            Self::Exhausted { requested, align, capacity, in_use, blocks } => {
                raw.status = ffi::AEGIS_E_EXHAUSTED;
                (raw.requested_bytes, raw.align_bytes) = (requested, align);
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
        if let Self::LimitExceeded { requested, limit, in_use, refusal } = self {
            f.write_str("memory limit exceeded: ")?;
            return match refusal {
                Some(refusal) => refusal.fmt(f),
                None => write!(f, "{requested} bytes requested, {in_use} of {limit} bytes in use"),
            };
        }
        let (raw, mut text) = (self.to_raw(), [0_u8; 256]);
        // SAFETY: the record has no budget, and the buffer room for as many bytes as are named.
        let length =
            unsafe { ffi::aegis_error_explain(&raw, text.as_mut_ptr().cast(), text.len()) };
        // The sentences are ASCII and shorter than that.
        let text = &text[..length.min(text.len() - 1)];
        f.write_str(core::str::from_utf8(text).unwrap_or("no memory"))
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
