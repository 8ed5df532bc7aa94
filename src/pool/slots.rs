// SPDX-License-Identifier: Apache-2.0
//! The blocks of a keyed pool as places for values: which of them have a value, and where they lie.
//!
//! The fast paths are those of `aegis_keyed_pool_alloc`, `_get` and `_free` in C, over the same
//! fields. `tests/pool/keyed.rs` checks that both do the same.
//!
//! The invariant: a block that is out has a value, except between the call that takes it and the
//! write that follows. No user code runs between the two.

use core::marker::PhantomData;
use core::mem;
use core::ptr::{self, NonNull};

use super::key::PoolKey;
use crate::error::AllocError;
use crate::{ffi, unwind};

/// A keyed pool of C whose blocks have values of type `T`. Its drop drops them.
pub(super) struct Slots<T> {
    raw: Raw,
    owns: PhantomData<T>,
}

/// Finishes the pool when it is dropped.
struct Raw(ffi::aegis_keyed_pool);

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the pool is ours, and nothing uses it again.
        unwind::call(|| unsafe { ffi::aegis_keyed_pool_abandon(&mut self.0) });
    }
}

// SAFETY: the pool owns its values, and nothing in it is bound to a thread: sources are
// `Send + Sync`, and any thread may use a budget.
#[cfg(aegis_threads)]
unsafe impl<T: Send> Send for Slots<T> {}
// SAFETY: a method with `&self` changes nothing, and lends values by `&T` only.
unsafe impl<T: Sync> Sync for Slots<T> {}

impl<T> Slots<T> {
    /// Takes over a pool.
    ///
    /// # Safety
    ///
    /// - The pool has no block out. Its blocks have the size and the alignment of `T`, or more.
    pub(super) unsafe fn new(raw: ffi::aegis_keyed_pool) -> Self {
        Self { raw: Raw(raw), owns: PhantomData }
    }

    #[inline(always)]
    pub(super) fn raw(&self) -> &ffi::aegis_keyed_pool {
        &self.raw.0
    }

    #[inline(always)]
    pub(super) fn raw_mut(&mut self) -> &mut ffi::aegis_keyed_pool {
        &mut self.raw.0
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        let pool = &self.raw.0.pool;
        pool.touched_count - pool.free_count - self.raw.0.retired_count
    }

    /// The generation of an index.
    ///
    /// # Safety
    ///
    /// - `index` is below the pool's limit.
    #[inline(always)]
    unsafe fn generation(&self, index: usize) -> u32 {
        // SAFETY: the array has an entry for each index.
        unsafe { *self.raw.0.generations.add(index) }
    }

    /// The block of an index.
    ///
    /// # Safety
    ///
    /// - The block is out.
    #[inline(always)]
    unsafe fn block(&self, index: usize) -> NonNull<T> {
        let pool = &self.raw.0.pool;
        if index < pool.grid.count {
            // SAFETY: the first slab has that many blocks.
            let block = unsafe { pool.grid.base.add(index * pool.grid.stride_bytes) };
            // SAFETY: a slab is not at address 0.
            return unsafe { NonNull::new_unchecked(block.cast()) };
        }
        let slab = index >> self.raw.0.step_shift;
        // SAFETY: the slab of a block that is out is in the directory.
        let entry = unsafe { pool.slabs.directory.add(slab).cast::<*mut u8>() };
        // SAFETY: the entry is the slab's address with two flags, read as a pointer.
        let entry = unsafe { *entry };
        let place = index & self.raw.0.step_mask as usize;
        // The flags are the lowest two bits.
        let base = entry.wrapping_sub(entry as usize & 3);
        // SAFETY: the slab has that many blocks.
        let block = unsafe { base.add(place * pool.grid.stride_bytes) };
        // SAFETY: a slab is not at address 0.
        unsafe { NonNull::new_unchecked(block.cast()) }
    }

    /// The value of a key.
    #[inline(always)]
    pub(super) fn find(&self, key: PoolKey) -> Option<NonNull<T>> {
        let (index, pool) = (key.index(), &self.raw.0.pool);
        if index < pool.grid.count {
            // SAFETY: the grid's count is not above the limit.
            if unsafe { self.generation(index) } != key.generation() {
                return None;
            }
            // SAFETY: a key's generation is odd, so the block is out.
            return Some(unsafe { self.block(index) });
        }
        let is_below = index < pool.slabs.index_limit as usize;
        // SAFETY: the index is below the limit.
        if !is_below || unsafe { self.generation(index) } != key.generation() {
            return None;
        }
        // SAFETY: as above.
        Some(unsafe { self.block(index) })
    }

    /// Takes a block. The caller must write a value into it at once.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Result<(NonNull<T>, PoolKey), AllocError> {
        match self.top() {
            // SAFETY: this is the index on top of the stack.
            Some(index) if index < self.raw.0.pool.grid.count => Ok(unsafe { self.pop(index) }),
            _ => self.take_slow(),
        }
    }

    /// The index on top of the stack of free blocks.
    #[inline(always)]
    fn top(&self) -> Option<usize> {
        let top = self.raw.0.pool.free_count.checked_sub(1)?;
        // SAFETY: the stack holds `free_count` indices.
        Some(unsafe { *self.raw.0.pool.free_indices.add(top) } as usize)
    }

    /// Takes the block on top of the stack.
    ///
    /// # Safety
    ///
    /// - `index` is the index on top of the stack.
    #[inline(always)]
    unsafe fn pop(&mut self, index: usize) -> (NonNull<T>, PoolKey) {
        self.raw.0.pool.free_count -= 1;
        // SAFETY: the array has an entry for each index.
        let generation = unsafe { &mut *self.raw.0.generations.add(index) };
        *generation += 1;
        let key = u64::from(*generation) << 32 | index as u64;
        // SAFETY: the block is out now, and the generation of such a block is odd.
        unsafe { (self.block(index), PoolKey::of_core(key)) }
    }

    /// For blocks of later slabs, and for growth. If there is no block, a panic of the source
    /// continues here.
    #[inline(never)]
    fn take_slow(&mut self) -> Result<(NonNull<T>, PoolKey), AllocError> {
        if !self.is_watched() {
            if let Some(index) = self.top() {
                // SAFETY: this is the index on top of the stack.
                return Ok(unsafe { self.pop(index) });
            }
        }
        let mut key = 0;
        let block = unwind::call_keeping(ffi::is_some, || {
            // SAFETY: the pool is ours.
            unsafe { ffi::aegis_keyed_pool_alloc_slow(&mut self.raw.0, &mut key) }
        });
        match NonNull::new(block.cast()) {
            // SAFETY: the call has written the key of the block.
            Some(block) => Ok((block, unsafe { PoolKey::of_core(key) })),
            None => Err(self.refusal()),
        }
    }

    /// Whether a checker watches, which the core must tell of each block. Before the first block is
    /// handed out, the answer is true in any case.
    #[inline(always)]
    fn is_watched(&self) -> bool {
        self.raw.0.pool.grid.count == 0
    }

    /// The key of the block that is taken next. There is such a block when the call returns it.
    #[inline]
    pub(super) fn next_key(&mut self) -> Result<PoolKey, AllocError> {
        let key = unwind::call_keeping(
            |key| *key != 0,
            // SAFETY: the pool is ours.
            || unsafe { ffi::aegis_keyed_pool_next_key(&mut self.raw.0) },
        );
        if key == 0 {
            return Err(self.refusal());
        }
        // SAFETY: it is the key of the block that is taken next.
        Ok(unsafe { PoolKey::of_core(key) })
    }

    /// Why the core has just refused a request.
    pub(super) fn refusal(&self) -> AllocError {
        // SAFETY: the core writes the record when it refuses, and the pool keeps the budget alive.
        unsafe { AllocError::from_raw(&self.raw.0.pool.failed) }
    }

    /// Gives a block back.
    ///
    /// # Safety
    ///
    /// - The key is valid. The value was moved out or dropped.
    #[inline(always)]
    unsafe fn put(&mut self, key: PoolKey) {
        if self.is_watched() || key.generation() == u32::MAX {
            return self.put_slow(key);
        }
        // SAFETY: the caller guarantees that the key is valid.
        unsafe { self.push(key) };
    }

    /// Puts the block of a key on the stack of free blocks.
    ///
    /// # Safety
    ///
    /// - The key is valid, and its generation is not the last one. No checker watches. The value was
    ///   moved out or dropped.
    #[inline(always)]
    unsafe fn push(&mut self, key: PoolKey) {
        let (pool, index) = (&mut self.raw.0.pool, key.index());
        let free_count = pool.free_count;
        // SAFETY: the array has an entry for each index.
        unsafe { *self.raw.0.generations.add(index) = key.generation() + 1 };
        // SAFETY: the stack has room for the index, because the block is out.
        unsafe { *pool.free_indices.add(free_count) = index as u32 };
        pool.free_count = free_count + 1;
    }

    /// For the last generation of an index, and when a checker watches.
    #[cold]
    #[inline(never)]
    fn put_slow(&mut self, key: PoolKey) {
        // SAFETY: the pool is ours, and the core checks the key.
        let status = unsafe { ffi::aegis_keyed_pool_free_slow(&mut self.raw.0, key.as_u64()) };
        debug_assert_eq!(status, ffi::AEGIS_OK as ffi::aegis_status, "{key} is not valid");
    }

    /// Moves the value of a key out.
    #[inline(always)]
    pub(super) fn remove(&mut self, key: PoolKey) -> Option<T> {
        let block = self.find(key)?;
        // SAFETY: it is the block of the key.
        Some(unsafe { self.take_out(key, block) })
    }

    /// The same for a block that was found.
    ///
    /// # Safety
    ///
    /// - The key is valid, and the block is that of the key.
    #[inline(always)]
    pub(super) unsafe fn take_out(&mut self, key: PoolKey, block: NonNull<T>) -> T {
        // SAFETY: the block has a value, which is not used again.
        let value = unsafe { ptr::read(block.as_ptr()) };
        // SAFETY: the key is valid, and the value was moved out.
        unsafe { self.put(key) };
        value
    }

    /// Drops the values of a walk that are left. If a drop panics, the others still run.
    pub(super) fn drop_rest(&mut self, walk: &mut Walk) {
        Rest { slots: self, walk }.run();
    }

    /// The walk over all values.
    #[inline]
    pub(super) fn walk(&self) -> Walk {
        Walk { front: 0, back: self.raw.0.index_bound, left: self.len() }
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        // The memory goes back after this, also if a drop panics.
        if mem::needs_drop::<T>() {
            let mut walk = self.walk();
            self.drop_rest(&mut walk);
        }
    }
}

/// The values that are still to be dropped. When the drop of one panics, the drop of this goes on.
struct Rest<'a, T> {
    slots: &'a mut Slots<T>,
    walk: &'a mut Walk,
}

impl<T> Rest<'_, T> {
    fn run(&mut self) {
        while let Some((key, value)) = self.walk.next(self.slots) {
            let _out = Out { slots: self.slots, key };
            // SAFETY: the block has a value. `_out` gives the block back, also when this panics.
            unsafe { value.as_ptr().drop_in_place() };
        }
    }
}

impl<T> Drop for Rest<'_, T> {
    fn drop(&mut self) {
        self.run();
    }
}

/// Gives a block back whose value is being dropped.
struct Out<'a, T> {
    slots: &'a mut Slots<T>,
    key: PoolKey,
}

impl<T> Drop for Out<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the key is valid, and the value was dropped.
        unsafe { self.slots.put(self.key) };
    }
}

/// A walk over the values of a pool in the order of their indices, from both ends. The pool may lose
/// values that the walk has passed, and gets none meanwhile.
#[derive(Clone)]
pub(super) struct Walk {
    front: usize,
    back: usize,
    /// How many values lie between the two.
    pub(super) left: usize,
}

impl Walk {
    /// The next value and its key.
    #[inline(always)]
    pub(super) fn next<T>(&mut self, slots: &Slots<T>) -> Option<(PoolKey, NonNull<T>)> {
        while self.left != 0 {
            let index = self.front;
            self.front += 1;
            // SAFETY: values are left, so this is below the bound of the indices.
            if let Some(found) = unsafe { self.at(slots, index) } {
                return Some(found);
            }
        }
        None
    }

    /// The last value that is left, and its key.
    #[inline(always)]
    pub(super) fn next_back<T>(&mut self, slots: &Slots<T>) -> Option<(PoolKey, NonNull<T>)> {
        while self.left != 0 {
            self.back -= 1;
            // SAFETY: values are left, so this was above 0, and it is below the bound.
            if let Some(found) = unsafe { self.at(slots, self.back) } {
                return Some(found);
            }
        }
        None
    }

    /// The value of an index, if there is one.
    ///
    /// # Safety
    ///
    /// - `index` is below the bound of the indices.
    #[inline(always)]
    unsafe fn at<T>(&mut self, slots: &Slots<T>, index: usize) -> Option<(PoolKey, NonNull<T>)> {
        // SAFETY: the caller guarantees it.
        let generation = unsafe { slots.generation(index) };
        if generation & 1 == 0 {
            return None;
        }
        self.left -= 1;
        // SAFETY: the generation is odd, so this is a key and its block is out.
        unsafe {
            let key = PoolKey::of_core(u64::from(generation) << 32 | index as u64);
            Some((key, slots.block(index)))
        }
    }
}
