// SPDX-License-Identifier: Apache-2.0
//! What an invalid setting or argument is about.

use crate::ffi;

/// What an [`AllocError::Invalid`](crate::AllocError::Invalid) is about.
///
/// # Examples
///
/// ```
/// use aegis_memory::{budget::MemoryBudget, AllocError, What};
///
/// let most = MemoryBudget::MAX_WEIGHT;
/// let error = MemoryBudget::new("query", 1000).try_set_weight(most + 1).unwrap_err();
/// assert!(matches!(error, AllocError::Invalid { what: What::Weight, .. }));
/// ```
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
    /// Bytes of a size class, which must be more than those of the class before it.
    ClassBytes = ffi::AEGIS_WHAT_CLASS_BYTES as u8,
    /// Bytes of a buffer. The largest size class is the limit.
    BufferBytes = ffi::AEGIS_WHAT_BUFFER_BYTES as u8,
    /// Arenas that a recycler keeps.
    IdleArenas = ffi::AEGIS_WHAT_IDLE_ARENAS as u8,
    /// A capacity that was given together with memory of the caller.
    Capacity = ffi::AEGIS_WHAT_CAPACITY as u8,
    /// Memory of the caller, in bytes, for an object that cannot use any.
    Memory = ffi::AEGIS_WHAT_MEMORY as u8,
    /// Flags, as bits.
    Flags = ffi::AEGIS_WHAT_FLAGS as u8,
    /// What a buffer pool is to do when it is empty, or how a budget divides its room.
    Policy = ffi::AEGIS_WHAT_POLICY as u8,
    /// Options that are null.
    Options = ffi::AEGIS_WHAT_OPTIONS as u8,
    /// A function that is null.
    Function = ffi::AEGIS_WHAT_FUNCTION as u8,
    /// Data that is null; the number is its length.
    Data = ffi::AEGIS_WHAT_DATA as u8,
    /// An object that was not made, or that was released or reset since.
    Handle = ffi::AEGIS_WHAT_HANDLE as u8,
    /// An arena with a scope open on it.
    OpenScope = ffi::AEGIS_WHAT_SCOPE as u8,
    /// Levels of a tree of budgets.
    Levels = ffi::AEGIS_WHAT_LEVELS as u8,
    /// A share of the system's memory, in percent, rounded up. 0 for a share that is not above 0 or
    /// not a number.
    Share = ffi::AEGIS_WHAT_SHARE as u8,
    /// Bytes that a budget is guaranteed. Its limit is the largest guarantee.
    Guarantee = ffi::AEGIS_WHAT_GUARANTEE as u8,
    /// The weight of a budget.
    Weight = ffi::AEGIS_WHAT_WEIGHT as u8,
    /// A budget that has children or bytes in use, so that its policy cannot change.
    UsedBudget = ffi::AEGIS_WHAT_USED_BUDGET as u8,
    /// Memory that another call is moving to another budget.
    Moving = ffi::AEGIS_WHAT_MOVE as u8,
    /// A buffer pool with other handles, or with buffers that are out.
    Out = ffi::AEGIS_WHAT_OUT as u8,
    /// An option that is set beyond those that the library knows; the numbers are bytes of the
    /// struct. Only a caller in C with a newer header meets this.
    UnknownOption = ffi::AEGIS_WHAT_UNKNOWN_OPTION as u8,
}

impl What {
    /// All values. None has the core's number 0, which stands for bytes.
    const ALL: &'static [Self] = &[
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
        Self::Share,
        Self::Guarantee,
        Self::Weight,
        Self::UsedBudget,
        Self::Moving,
        Self::Out,
        Self::UnknownOption,
    ];

    pub(super) fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|&what| what as u32 == raw)
    }
}
