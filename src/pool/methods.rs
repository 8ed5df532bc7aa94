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
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// let pool = Pool::new(4096, 8);
            /// assert_eq!(pool.capacity(), 8);
            /// ```
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
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// let pool = Pool::try_new(4096, 8)?;
            /// assert_eq!(pool.block_size(), 4096);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_new(block_size: usize, blocks: usize) -> Result<Self, AllocError> {
                Self::builder().block_size(block_size).blocks(blocks).build()
            }

            /// Starts to make a pool with settings other than the defaults.
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// let pool = Pool::builder().block_size(4096).blocks(8).align(4096).build()?;
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
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
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// let pool = Pool::new(4096, 1);
            /// let mut page = pool.alloc()?;
            /// assert!(pool.alloc().is_err(), "the only block is out");
            /// page[0] = 7;
            /// drop(page);
            /// assert_eq!(pool.alloc()?[0], 0, "each block is zeroed");
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn alloc(&self) -> Result<PoolBlock<'_, Self>, AllocError> {
                Block::zeroed(self)
            }

            /// Takes a block without clearing it.
            ///
            /// # Errors
            ///
            /// As [`alloc`](Self::alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// let pool = Pool::new(4096, 8);
            /// let mut page = pool.alloc_uninit()?;
            /// page[0].write(7);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn alloc_uninit(&self) -> Result<PoolBlock<'_, Self, MaybeUninit<u8>>, AllocError> {
                Block::uninit(self)
            }

            /// Usable bytes of each block.
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// assert_eq!(Pool::new(100, 8).block_size(), 100);
            /// ```
            #[inline]
            pub fn block_size(&self) -> usize {
                Source::block_bytes(self, KEY)
            }

            /// Blocks that are out: handed out and not given back.
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// let pool = Pool::new(4096, 8);
            /// let page = pool.alloc()?;
            /// assert_eq!(pool.in_use(), 1);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn in_use(&self) -> usize {
                self.stats().in_use
            }

            /// Blocks that can be taken without growth.
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// let pool = Pool::new(4096, 8);
            /// let page = pool.alloc()?;
            /// assert_eq!(pool.available(), 7);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn available(&self) -> usize {
                self.stats().available
            }

            /// Slab number `slab`, counted from 0, or `None` if the pool does not hold it now. The
            /// pool always holds the first slab, which never moves. It may have as many others as
            /// `max_blocks` needs. It holds each of them from the growth that adds it until the
            /// trim that releases it.
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// let pool = Pool::new(4096, 8);
            /// let slab = pool.slab(0).expect("the first slab is always there");
            /// assert!(pool.slab(1).is_none());
            /// let page = pool.alloc()?;
            /// let start = slab.base.as_ptr() as usize + page.index() * slab.stride_bytes;
            /// assert_eq!(page.as_ptr() as usize, start);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn slab(&self, slab: usize) -> Option<PoolSlab> {
                // SAFETY: the call reads the pool, and writes the whole record or fails.
                unsafe { PoolSlab::read(|info| ffi::$get_slab(self.as_raw(), slab, info)) }
            }

            /// Gives away the C struct. The receiver must finish it.
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::pool::Pool;
            /// use aegis_memory::ffi;
            /// let mut raw = Pool::new(4096, 8).into_raw();
            /// // SAFETY: this code owns the pool and finishes it once.
            /// unsafe { ffi::aegis_pool_fini(&mut raw) };
            ///
            /// ```
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
