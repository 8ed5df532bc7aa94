// SPDX-License-Identifier: Apache-2.0
//! The statistics of a heap.

use crate::ffi;
use crate::lines::display_lines;

/// The statistics of an [`ArenaHeap`](super::ArenaHeap) or a
/// [`LockedArenaHeap`](super::LockedArenaHeap), in bytes and counts. As text they are a line each.
///
/// In a [debug build](crate::is_debug), and with a checker in the build, each allocation has a guard,
/// which counts.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::ArenaHeap;
///
/// let heap = ArenaHeap::new(64 * 1024);
/// assert!(heap.stats().to_string().starts_with("reserved_bytes "));
/// assert_eq!(heap.stats().used_bytes, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HeapStats {
    /// Bytes acquired from the source and not released, with everything that the heap keeps in them.
    pub reserved_bytes: usize,
    /// The largest value `reserved_bytes` has had.
    pub peak_reserved_bytes: usize,
    /// Bytes that are out: what was allocated and not freed, with chunk headers and rounding.
    pub used_bytes: usize,
    /// Bytes in blocks of their own that are out; a part of `used_bytes`.
    pub large_bytes: usize,
    /// Bytes for chunks in the blocks in use, those of large requests not counted.
    pub capacity_bytes: usize,
    /// Free bytes in the quick lists, which are not merged yet.
    pub quick_bytes: usize,
    /// Blocks held now.
    pub block_count: usize,
    /// Blocks ever acquired from the source.
    pub acquired_count: u64,
    /// Blocks ever released to the source.
    pub released_count: u64,
    /// Resets so far: calls of `reset` and of `clear`, which is a reset too.
    pub reset_count: u64,
}

display_lines!(HeapStats {
    reserved_bytes: Bytes,
    peak_reserved_bytes: Bytes,
    used_bytes: Bytes,
    large_bytes: Bytes,
    capacity_bytes: Bytes,
    quick_bytes: Bytes,
    block_count: Count,
    acquired_count: Count,
    released_count: Count,
    reset_count: Count,
});

impl HeapStats {
    pub(super) fn from_raw(raw: &ffi::aegis_arena_heap_stats) -> Self {
        Self {
            reserved_bytes: raw.reserved_bytes,
            peak_reserved_bytes: raw.peak_reserved_bytes,
            used_bytes: raw.used_bytes,
            large_bytes: raw.large_bytes,
            capacity_bytes: raw.capacity_bytes,
            quick_bytes: raw.quick_bytes,
            block_count: raw.block_count,
            acquired_count: raw.acquired_count,
            released_count: raw.released_count,
            reset_count: raw.reset_count,
        }
    }
}
