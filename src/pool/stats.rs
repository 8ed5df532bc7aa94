// SPDX-License-Identifier: Apache-2.0
//! The statistics of a pool of any form.

use core::mem::MaybeUninit;

use crate::ffi;
use crate::lines::display_lines;

/// The statistics of a pool. They count blocks, unless a name says bytes.
///
/// # Examples
///
/// ```
/// let pool = aegis_memory::pool::Pool::new(4096, 8);
/// let block = pool.alloc()?;
/// let stats = pool.stats();
/// assert_eq!((stats.in_use, stats.available, stats.slab_count), (1, 7, 1));
///
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolStats {
    /// Usable bytes of each block.
    pub block_bytes: usize,
    /// Bytes from the start of one block to the start of the next. A build with AddressSanitizer or
    /// Valgrind support adds 16 before it rounds up to the alignment.
    pub stride_bytes: usize,
    /// Alignment of each block.
    pub align_bytes: usize,
    /// Blocks that can be out at a time with the slabs that the pool holds now.
    pub capacity: usize,
    /// Blocks that the pool may grow to.
    pub max_capacity: usize,
    /// Blocks that are out: handed out and not given back.
    pub in_use: usize,
    /// Blocks that can be taken without growth.
    pub available: usize,
    /// The largest value that `in_use` has had. In a pool with caches it includes the blocks in
    /// caches. In a `LockFreePool` it may include free blocks that a trim was sorting.
    pub peak_in_use: usize,
    /// Free blocks that lie in caches.
    pub parked: usize,
    /// Slabs that the pool holds now.
    pub slab_count: usize,
    /// Bytes acquired from the source and not released: slabs, in which a block takes `stride_bytes`,
    /// side arrays, and what is set aside for caches.
    pub reserved_bytes: usize,
    /// Pieces of memory ever acquired from the source: slabs, and one piece for the side arrays.
    pub acquired_count: u64,
    /// Pieces of memory ever released to the source.
    pub released_count: u64,
    /// Bytes of `reserved_bytes` that the pool has set aside for caches: it would have acquired so
    /// many less if it had been made for none. Always 0 for a pool that has no caches.
    pub cache_reserve_bytes: usize,
    /// How many caches of the pool can be open at a time.
    pub max_cache_count: usize,
}

display_lines!(PoolStats {
    block_bytes: Bytes,
    stride_bytes: Bytes,
    align_bytes: Bytes,
    capacity: Count,
    max_capacity: Count,
    in_use: Count,
    available: Count,
    peak_in_use: Count,
    parked: Count,
    slab_count: Count,
    reserved_bytes: Bytes,
    acquired_count: Count,
    released_count: Count,
    cache_reserve_bytes: Bytes,
    max_cache_count: Count,
});

impl PoolStats {
    /// The statistics that a function of the core reports.
    ///
    /// # Safety
    ///
    /// - `get` writes the whole struct.
    pub(super) unsafe fn read(get: impl FnOnce(*mut ffi::aegis_pool_stats)) -> Self {
        let mut raw = MaybeUninit::<ffi::aegis_pool_stats>::uninit();
        get(raw.as_mut_ptr());
        // SAFETY: the call has written the whole struct.
        let raw = unsafe { raw.assume_init() };
        Self {
            block_bytes: raw.block_bytes,
            stride_bytes: raw.stride_bytes,
            align_bytes: raw.align_bytes,
            capacity: raw.capacity,
            max_capacity: raw.max_capacity,
            in_use: raw.in_use,
            available: raw.available,
            peak_in_use: raw.peak_in_use,
            parked: raw.parked,
            slab_count: raw.slab_count,
            reserved_bytes: raw.reserved_bytes,
            acquired_count: raw.acquired_count,
            released_count: raw.released_count,
            cache_reserve_bytes: raw.cache_reserve_bytes,
            max_cache_count: raw.max_cache_count,
        }
    }
}
