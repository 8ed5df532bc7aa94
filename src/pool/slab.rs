// SPDX-License-Identifier: Apache-2.0
//! Where the blocks of a pool lie: slabs, and from a block's address to its index.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::ffi;

/// The same as `aegis_pool_grid_find` in C: the index of the block that starts at `memory`. If none
/// starts there, the result is not below the grid's count.
#[inline(always)]
pub(super) fn find(grid: &ffi::aegis_pool_grid, memory: NonNull<u8>) -> usize {
    let offset = (memory.as_ptr() as usize).wrapping_sub(grid.base as usize);
    offset.wrapping_mul(grid.inverse).rotate_right(grid.rotate)
}

/// A slab of a pool: one contiguous, page-aligned piece of memory with a row of blocks. `slab()` of
/// each pool returns it.
///
/// It has what a registration with the kernel needs. Register `size_bytes` bytes at `base` once,
/// then name a block by its [`index`](super::Block::index) or by its address, as the kernel's call
/// wants it. Block `i` starts at `base + (i - first_index) * stride_bytes`.
///
/// # Examples
///
/// ```
/// let pool = aegis_memory::pool::Pool::new(4096, 8);
/// let slab = pool.slab(0).expect("the first slab is always there");
/// assert_eq!((slab.first_index, slab.block_count), (0, 8));
/// assert!(slab.size_bytes >= 8 * 4096);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSlab {
    /// The start of its first block.
    pub base: NonNull<u8>,
    /// Bytes of the slab: `block_count` times `stride_bytes`.
    pub size_bytes: usize,
    /// Bytes from the start of one block to the start of the next.
    pub stride_bytes: usize,
    /// The index of its first block.
    pub first_index: usize,
    /// Blocks in the slab, reserves of caches included.
    pub block_count: usize,
}

// SAFETY: it is an address and numbers. Code that uses the memory at the address needs a SAFETY
// reason of its own.
unsafe impl Send for PoolSlab {}
// SAFETY: as above.
unsafe impl Sync for PoolSlab {}

impl PoolSlab {
    /// The slab that a function of the core reports.
    ///
    /// # Safety
    ///
    /// - If `get` returns AEGIS_OK, it has written the whole record, and the record describes a
    ///   slab of a pool.
    pub(super) unsafe fn read(
        get: impl FnOnce(*mut ffi::aegis_pool_slab_info) -> ffi::aegis_status,
    ) -> Option<Self> {
        let mut info = MaybeUninit::<ffi::aegis_pool_slab_info>::uninit();
        if get(info.as_mut_ptr()) != ffi::AEGIS_OK as ffi::aegis_status {
            return None;
        }
        // SAFETY: the call has written the whole record.
        let info = unsafe { info.assume_init() };
        Some(Self {
            base: NonNull::new(info.base.cast())?,
            size_bytes: info.size_bytes,
            stride_bytes: info.size_bytes / info.block_count,
            first_index: info.first_index,
            block_count: info.block_count,
        })
    }
}
