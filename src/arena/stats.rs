// SPDX-License-Identifier: Apache-2.0
//! The statistics of an arena.

use crate::ffi;
use crate::lines::display_lines;

/// The statistics of an arena, in bytes and counts. As text they are a line each:
///
/// ```
/// let arena = aegis_memory::arena::Arena::new(64 * 1024);
/// println!("{}", arena.stats());
/// assert!(arena.stats().to_string().starts_with("capacity_bytes   64.0 KiB\n"));
/// ```
///
/// They are the same in every build and with every debug option, with these exceptions:
/// - The guards of [`debug_guard`](super::ArenaBuilder::debug_guard), which
///   [debug builds](crate::is_debug) have by themselves, count in the fields that say so. These
///   fields are as if each request for more than 0 bytes were larger by a guard (48 bytes with
///   64-bit addresses). A checker's gap (AddressSanitizer, Valgrind; 16 bytes) counts like a guard.
/// - With [`debug_own_blocks`](super::ArenaBuilder::debug_own_blocks) each allocation has a block,
///   and `wasted_bytes` is 0. Freeing or resizing an allocation may change `used_bytes` only at the
///   next reset.
/// - An alignment above 16 can need another padding, because allocations lie elsewhere.
/// - A [`LockFreeArena`](super::LockFreeArena) counts a shard of a handle as used, with the guards
///   in it, and the gaps of a checker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ArenaStats {
    /// Usable bytes in all blocks. Guards count.
    pub capacity_bytes: usize,
    /// Bytes acquired from the source and not released, block headers included. Guards count.
    pub reserved_bytes: usize,
    /// Bytes handed out since the last reset, alignment padding included. Guards and gaps do not
    /// count.
    pub used_bytes: usize,
    /// The largest value `used_bytes` has had. After a scope it is the larger peak of its two
    /// arenas.
    pub peak_used_bytes: usize,
    /// Bytes left in the current block. The guards of later allocations will take some.
    pub remaining_bytes: usize,
    /// Unused bytes at the ends of blocks that the arena left before they were full. Guards count:
    /// they change where blocks end.
    pub wasted_bytes: usize,
    /// Blocks held now. Guards count: fewer allocations fit into a block.
    pub block_count: usize,
    /// Blocks ever acquired from the source. Guards count, as for `block_count`.
    pub acquired_count: u64,
    /// Blocks ever released to the source. Guards count, as for `block_count`.
    pub released_count: u64,
    /// Resets so far: calls of `reset` and of `clear`, which is a reset too. In an arena of a recycler
    /// also each return to the stock.
    pub reset_count: u64,
}

display_lines!(ArenaStats {
    capacity_bytes: Bytes,
    reserved_bytes: Bytes,
    used_bytes: Bytes,
    peak_used_bytes: Bytes,
    remaining_bytes: Bytes,
    wasted_bytes: Bytes,
    block_count: Count,
    acquired_count: Count,
    released_count: Count,
    reset_count: Count,
});

impl ArenaStats {
    pub(super) fn from_raw(raw: &ffi::aegis_arena_stats) -> Self {
        Self {
            capacity_bytes: raw.capacity_bytes,
            reserved_bytes: raw.reserved_bytes,
            used_bytes: raw.used_bytes,
            peak_used_bytes: raw.peak_used_bytes,
            remaining_bytes: raw.remaining_bytes,
            wasted_bytes: raw.wasted_bytes,
            block_count: raw.block_count,
            acquired_count: raw.acquired_count,
            released_count: raw.released_count,
            reset_count: raw.reset_count,
        }
    }
}
