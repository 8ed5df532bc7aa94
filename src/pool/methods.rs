// SPDX-License-Identifier: Apache-2.0
//! The methods that are the same in all three pools.

/// Construction, blocks borrowed from `&self`, statistics.
macro_rules! pool_methods {
    ($pool:ident, $raw:ident, $get_slab:ident) => {
        impl $pool {
            /// Makes a pool of `blocks` blocks of `block_size` bytes each, in pages of the system.
            ///
            /// # Panics
            ///
            /// When [`try_new`](Self::try_new) fails.
            #[must_use]
            #[track_caller]
            pub fn new(block_size: usize, blocks: usize) -> Self {
                crate::error::expect(Self::try_new(block_size, blocks))
            }

            /// Makes a pool of `blocks` blocks of `block_size` bytes each, in pages of the system.
            ///
            /// # Errors
            ///
            /// As [`PoolBuilder::build`](crate::pool::PoolBuilder::build).
            pub fn try_new(block_size: usize, blocks: usize) -> Result<Self, AllocError> {
                Self::builder().block_size(block_size).blocks(blocks).build()
            }

            /// Starts to make a pool with settings other than the defaults.
            pub fn builder() -> PoolBuilder<Self> {
                PoolBuilder::new()
            }

            /// Takes a block of zeroes. If the source zeroes its memory, a block that is taken for
            /// the first time is not cleared again.
            ///
            /// # Errors
            ///
            /// [`AllocError::Exhausted`] when no block is free and the pool cannot grow. When the
            /// pool tries to grow, [`AllocError::OutOfMemory`] if the source refuses, and
            /// [`AllocError::LimitExceeded`] if the budget refuses.
            #[inline]
            pub fn alloc(&self) -> Result<PoolBlock<'_, Self>, AllocError> {
                Block::zeroed(self)
            }

            /// Takes a block without clearing it.
            ///
            /// # Errors
            ///
            /// As [`alloc`](Self::alloc).
            #[inline]
            pub fn alloc_uninit(&self) -> Result<PoolBlock<'_, Self, MaybeUninit<u8>>, AllocError> {
                Block::uninit(self)
            }

            /// Usable bytes of each block.
            #[inline]
            pub fn block_size(&self) -> usize {
                Source::block_bytes(self, KEY)
            }

            /// Blocks that are out: handed out and not given back.
            pub fn in_use(&self) -> usize {
                self.stats().in_use
            }

            /// Blocks that can be taken without growth.
            pub fn available(&self) -> usize {
                self.stats().available
            }

            /// Slab number `slab`, counted from 0, or `None` if the pool does not hold it now. The
            /// pool always holds the first slab, which never moves. It may have as many others as
            /// `max_blocks` needs. It holds each of them from the growth that adds it until the
            /// trim that releases it.
            pub fn slab(&self, slab: usize) -> Option<PoolSlab> {
                // SAFETY: the call reads the pool, and writes the whole record or fails.
                unsafe { PoolSlab::read(|info| ffi::$get_slab(self.as_raw(), slab, info)) }
            }

            /// Gives away the C struct. The receiver must finish it.
            #[must_use = "the struct owns slabs: finish it in C or take it back with from_raw"]
            pub fn into_raw(self) -> ffi::$raw {
                let this = ManuallyDrop::new(self);
                // SAFETY: `this` is not used or dropped afterwards, so the struct has one owner.
                unsafe { ptr::read(this.as_raw()) }
            }
        }

        bulk_methods!([] $pool);

        impl fmt::Debug for $pool {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($pool)).field("stats", &self.stats()).finish()
            }
        }
    };
}

pub(super) use pool_methods;
