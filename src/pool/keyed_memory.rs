// SPDX-License-Identifier: Apache-2.0
//! How a keyed pool is made with settings, and how much memory it has.

use core::alloc::Layout;
use core::ptr;

use super::builder::{made, PoolBuilder};
use super::keyed::KeyedPool;
use super::one_owner::Pool;
use super::slab::PoolSlab;
use super::slots::Slots;
use super::stats::PoolStats;
use crate::budget::move_methods;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

impl<T> KeyedPool<T> {
    /// How many values the slabs that the pool holds now have room for.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::Pool;
    ///
    /// let mut pool = Pool::builder().blocks(8).max_blocks(64).build_keyed()?;
    /// assert_eq!(pool.capacity(), 8);
    /// for value in 0..9 {
    ///     pool.insert(value);
    /// }
    /// assert_eq!(pool.capacity(), 16);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.raw().pool.capacity - self.slots.raw().retired_count
    }

    /// Makes the pool grow until `additional` more values need no further growth.
    ///
    /// # Panics
    ///
    /// When [`try_reserve`](Self::try_reserve) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::Pool;
    ///
    /// let mut pool = Pool::builder().blocks(8).max_blocks(64).build_keyed::<u64>()?;
    /// pool.reserve(20);
    /// assert_eq!(pool.capacity(), 24);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        expect(self.try_reserve(additional));
    }

    /// Makes the pool grow until `additional` more values need no further growth.
    ///
    /// # Errors
    ///
    /// As [`Pool::alloc`]. Slabs that were added stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::Pool;
    ///
    /// let mut pool = Pool::builder().blocks(8).max_blocks(64).build_keyed::<u64>()?;
    /// pool.try_reserve(64)?;
    /// assert!(pool.try_reserve(65).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), AllocError> {
        let status = unwind::call_keeping(ffi::is_ok, || {
            // SAFETY: the pool is ours.
            unsafe { ffi::aegis_keyed_pool_reserve(self.slots.raw_mut(), additional) }
        });
        if status == ffi::AEGIS_OK as ffi::aegis_status {
            return Ok(());
        }
        Err(self.slots.refusal())
    }

    /// Releases slabs without values to the source. The first slab stays.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::Pool;
    ///
    /// let mut pool = Pool::builder().blocks(8).max_blocks(64).build_keyed::<u64>()?;
    /// pool.reserve(64);
    /// pool.shrink_to_fit();
    /// assert_eq!(pool.capacity(), 8);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn shrink_to_fit(&mut self) {
        self.trim(0);
    }

    /// Releases slabs without values to the source, the last slab first. The first slab stays, and so
    /// does every slab that is needed to keep `keep_blocks` blocks in all. No value moves, and stale
    /// keys stay stale.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::Pool;
    ///
    /// let mut pool = Pool::builder().blocks(8).max_blocks(64).build_keyed::<u64>()?;
    /// pool.reserve(64);
    /// pool.trim(20);
    /// assert_eq!(pool.capacity(), 24);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn trim(&mut self, keep_blocks: usize) {
        let raw = self.slots.raw_mut();
        // SAFETY: the pool is ours, and the call leaves slabs with blocks out alone.
        unwind::call(|| unsafe { ffi::aegis_keyed_pool_trim(raw, keep_blocks) });
    }

    /// The statistics of the pool of blocks. A block that is not used again, because its generations
    /// are used up, is left out of all counts but the peak. The peak may be too high by up to 31
    /// blocks, or by those of a reserve, after slabs were released and came back.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(1_u64);
    /// assert_eq!((pool.stats().in_use, pool.stats().block_bytes), (1, 8));
    /// ```
    pub fn stats(&self) -> PoolStats {
        let raw = self.slots.raw();
        // SAFETY: the call reads the pool, and writes the whole struct.
        unsafe { PoolStats::read(|stats| ffi::aegis_keyed_pool_get_stats(raw, stats)) }
    }

    /// Slab number `slab`, counted from 0, or `None` if the pool does not hold it now. See
    /// [`Pool::slab`].
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(7_u64);
    /// let slab = pool.slab(0).expect("the first slab is always there");
    /// // SAFETY: the index is in this slab, and the value was inserted above.
    /// let value = unsafe { slab.base.as_ptr().add(key.index() * slab.stride_bytes).cast::<u64>().read() };
    /// assert_eq!(value, 7);
    /// ```
    pub fn slab(&self, slab: usize) -> Option<PoolSlab> {
        let pool = &self.slots.raw().pool;
        // SAFETY: the call reads the pool, and writes the whole record or fails.
        unsafe { PoolSlab::read(|info| ffi::aegis_pool_get_slab(pool, slab, info)) }
    }

    move_methods!(
        aegis_pool_move_budget,
        (&mut) self => ptr::addr_of_mut!(self.slots.raw_mut().pool),
        "all memory of the pool, and later slabs,"
    );

    /// The C struct, so that C code can find values by their keys. The pointer is valid until the
    /// pool is used otherwise, moved or dropped. Each block of a valid key has a `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::ffi;
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(7_u32);
    /// // SAFETY: the pool is ours, and the key is valid.
    /// let value = unsafe { *ffi::aegis_keyed_pool_get(pool.as_raw(), key.into()).cast::<u32>() };
    /// assert_eq!(value, 7);
    /// ```
    pub fn as_raw(&mut self) -> *mut ffi::aegis_keyed_pool {
        self.slots.raw_mut()
    }
}

impl PoolBuilder<Pool> {
    /// Makes a pool whose values of type `T` are found by keys. Each block has the size of `T` and at
    /// least its alignment. If the pool can grow, [`blocks`](Self::blocks) is rounded up to a power
    /// of two, or to [`max_blocks`](Self::max_blocks) if that is less.
    ///
    /// Beside each of `max_blocks` blocks there are 12 bytes of side arrays, which are charged to the
    /// budget at once.
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::Pool;
    ///
    /// let mut pool = Pool::builder().blocks(100).max_blocks(1000).build_keyed()?;
    /// let key = pool.insert("value");
    /// assert_eq!((pool[key], pool.capacity()), ("value", 128));
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn build_keyed<T>(self) -> Result<KeyedPool<T>, AllocError> {
        let raw = self.of_values(Layout::new::<T>()).make(|options, _| {
            // SAFETY: the call writes the whole struct, and the builder's options are valid.
            unsafe { made(|raw| ffi::aegis_keyed_pool_init(raw, options)) }
        })?;
        // SAFETY: the pool is new, and its blocks have the layout of `T`.
        Ok(KeyedPool { slots: unsafe { Slots::new(raw) } })
    }
}
