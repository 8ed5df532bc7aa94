// SPDX-License-Identifier: Apache-2.0
//! What the three pools have alike, written once.

/// Construction, blocks borrowed from `&self`, figures.
macro_rules! pool_methods {
    ($pool:ident, $raw:ident, $get_slab:ident) => {
        impl $pool {
            /// Makes a pool of `blocks` blocks of `block_size` bytes, from pages of the system.
            ///
            /// # Panics
            ///
            /// When [`try_new`](Self::try_new) fails.
            #[must_use]
            #[track_caller]
            pub fn new(block_size: usize, blocks: usize) -> Self {
                crate::error::expect(Self::try_new(block_size, blocks))
            }

            /// Makes a pool of `blocks` blocks of `block_size` bytes, from pages of the system.
            ///
            /// # Errors
            ///
            /// As [`PoolBuilder::build`](crate::pool::PoolBuilder::build).
            pub fn try_new(block_size: usize, blocks: usize) -> Result<Self, AllocError> {
                Self::builder().block_size(block_size).blocks(blocks).build()
            }

            /// Starts a pool with other than default settings.
            pub fn builder() -> PoolBuilder<Self> {
                PoolBuilder::new()
            }

            /// Takes a block of zeroes. A block taken for the first time, from memory that its
            /// source had zeroed, is not cleared again.
            ///
            /// # Errors
            ///
            /// [`AllocError::Exhausted`] when none is left; when the pool may grow,
            /// [`AllocError::OutOfMemory`] if its source refuses and
            /// [`AllocError::LimitExceeded`] if its budget does.
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

            /// Blocks out: handed out and not given back.
            pub fn in_use(&self) -> usize {
                self.stats().in_use
            }

            /// Blocks that can be had without growth.
            pub fn available(&self) -> usize {
                self.stats().available
            }

            /// Slab number `slab`, from 0, if it is held now: the first one always, and where it
            /// is for the pool's life; the others, as many as `max_blocks` needs, from the
            /// growth that adds them to the trim that gives them back.
            pub fn slab(&self, slab: usize) -> Option<PoolSlab> {
                // SAFETY: reads the pool; the call writes the whole record or fails.
                unsafe { PoolSlab::read(|info| ffi::$get_slab(self.as_raw(), slab, info)) }
            }

            /// Gives the C struct away. It is the receiver's to finish.
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
