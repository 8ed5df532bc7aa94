// SPDX-License-Identifier: Apache-2.0
//! A block on loan, for every form of pool: what it is, and what it asks of its pool.
//!
//! A block is two words, so that it travels in registers: a way to its pool (a borrow, an `Arc` or
//! an `Rc`) and its address, from which the pool finds the index again.

use alloc::sync::Arc;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

use crate::error::AllocError;
use crate::sealed::{Key, KEY};

/// A block that keeps its pool alive instead of borrowing it.
pub type OwnedPoolBlock<P, T = u8> = Block<Arc<P>, T>;

/// What blocks come from: [`Pool`](super::Pool), [`LockFreePool`](super::LockFreePool),
/// [`LockedPool`](super::LockedPool) or [`PoolCache`](super::PoolCache). A bound for code that works
/// with blocks of any of them; it has no methods to call, and nobody else implements it.
pub trait BlockPool: Source {}

impl<P: Source> BlockPool for P {}

/// What a block is made of: `u8`, or `MaybeUninit<u8>` when the content is undefined. One byte each;
/// nothing else implements it.
pub trait BlockByte: Byte {}

impl BlockByte for u8 {}
impl BlockByte for MaybeUninit<u8> {}

/// Not nameable outside: nobody else implements it.
pub trait Byte: Sized {}

impl Byte for u8 {}
impl Byte for MaybeUninit<u8> {}

/// What a block needs of a pool. Not nameable outside, so nobody else implements it; and each method
/// takes a [`Key`], so nobody else calls it.
pub trait Source {
    /// Takes a block of [`block_bytes`](Self::block_bytes), zeroed or with undefined content.
    fn take(&self, key: Key, zeroed: bool) -> Result<NonNull<u8>, AllocError>;

    /// Gives a block back.
    ///
    /// # Safety
    ///
    /// `memory` is a block of this pool that is out, and is not used again.
    unsafe fn give_back(&self, key: Key, memory: NonNull<u8>);

    /// Takes `count` blocks and shows each to `each`. On failure those shown are out all the same.
    #[inline]
    fn take_n(
        &self,
        key: Key,
        count: usize,
        zeroed: bool,
        mut each: impl FnMut(NonNull<u8>),
    ) -> Result<(), AllocError> {
        (0..count).try_for_each(|_| self.take(key, zeroed).map(&mut each))
    }

    /// Gives several blocks back.
    ///
    /// # Safety
    ///
    /// Each is a block of this pool that is out, and is not used again.
    #[inline]
    unsafe fn give_back_n(&self, key: Key, blocks: impl Iterator<Item = NonNull<u8>>) {
        // SAFETY: the caller vouches for each.
        blocks.for_each(|memory| unsafe { self.give_back(key, memory) });
    }

    /// The index of a block of this pool.
    fn index_of(&self, key: Key, memory: NonNull<u8>) -> usize;

    /// Usable bytes of each block.
    fn block_bytes(&self, key: Key) -> usize;
}

/// A block of a pool that `H`, a reference or a counted one, leads to. Named through
/// [`PoolBlock`](super::PoolBlock) and [`OwnedPoolBlock`].
pub struct Block<H, T = u8>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    pool: H,
    memory: NonNull<T>,
}

// SAFETY: the block owns its bytes; the pool is used through `H`, which may be sent.
unsafe impl<H: Deref + Send, T: BlockByte + Send> Send for Block<H, T> where H::Target: BlockPool {}
// SAFETY: `&Block` gives `&[T]` and uses the pool through `&H`.
unsafe impl<H: Deref + Sync, T: BlockByte + Sync> Sync for Block<H, T> where H::Target: BlockPool {}

impl<H, T> Block<H, T>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    /// The block's number: from 0, below the pool's largest capacity, first slab first.
    pub fn index(&self) -> usize {
        self.pool.index_of(KEY, self.memory.cast())
    }

    /// Gives the handle up; the block stays out. For C code, which gives it back with the free
    /// function of the pool, or for [`from_raw`](Self::from_raw).
    ///
    /// A handle that owns its pool, an [`OwnedPoolBlock`], gives that up too: the memory is good as
    /// long as another owner keeps the pool alive.
    pub fn into_raw(self) -> NonNull<[T]> {
        let memory = self.slice();
        drop(self.parts());
        memory
    }

    /// Makes a handle again.
    ///
    /// # Safety
    ///
    /// - `pool` leads to the same pool whenever it is dereferenced, without a panic, and that pool
    ///   is not dropped, finished or given away before the handle is dropped.
    /// - `memory` came from [`into_raw`](Self::into_raw) of a block of this pool, or is a block of
    ///   it that C code has taken: the pointer to its start, good for all of its bytes. A cache's
    ///   pool is the one behind it.
    /// - The block is out, and until the handle is dropped nobody else uses it, gives it back or
    ///   makes a handle of it.
    /// - If `T` is `u8`, all of its bytes are initialised.
    pub unsafe fn from_raw(pool: H, memory: NonNull<u8>) -> Self {
        // SAFETY: the caller vouches for pool and block.
        unsafe { Self::of_parts(pool, memory.cast()) }
    }

    /// Makes a handle again of what [`parts`](Self::parts) gave, with another way to the pool, say.
    ///
    /// # Safety
    ///
    /// As for [`from_raw`](Self::from_raw).
    #[inline(always)]
    pub(super) unsafe fn of_parts(pool: H, memory: NonNull<T>) -> Self {
        Self { pool, memory }
    }

    #[inline(always)]
    fn slice(&self) -> NonNull<[T]> {
        NonNull::slice_from_raw_parts(self.memory, self.pool.block_bytes(KEY))
    }

    /// The pool that the block goes back to.
    #[inline(always)]
    pub(super) fn pool(&self) -> &H::Target {
        &self.pool
    }

    /// The parts, without giving the block back.
    #[inline(always)]
    pub(super) fn parts(self) -> (H, NonNull<T>) {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used or dropped again, so the handle has one owner.
        let pool = unsafe { ptr::read(&this.pool) };
        (pool, this.memory)
    }
}

impl<H> Block<H, u8>
where
    H: Deref,
    H::Target: BlockPool,
{
    /// Takes a block of zeroes.
    #[inline(always)]
    pub(super) fn zeroed(pool: H) -> Result<Self, AllocError> {
        let memory = pool.take(KEY, true)?;
        Ok(Self { pool, memory })
    }
}

impl<H> Block<H, MaybeUninit<u8>>
where
    H: Deref,
    H::Target: BlockPool,
{
    /// Takes a block with undefined content.
    #[inline(always)]
    pub(super) fn uninit(pool: H) -> Result<Self, AllocError> {
        let memory = pool.take(KEY, false)?.cast();
        Ok(Self { pool, memory })
    }

    /// Takes the content to be initialised.
    ///
    /// # Safety
    ///
    /// - Every byte has been written since the block was taken.
    pub unsafe fn assume_init(self) -> Block<H, u8> {
        let (pool, memory) = self.parts();
        Block { pool, memory: memory.cast() }
    }

    /// Clears every byte.
    pub(super) fn cleared(mut self) -> Block<H, u8> {
        let len = self.len();
        // SAFETY: that many bytes are ours.
        unsafe { self.as_mut_ptr().write_bytes(0, len) };
        // SAFETY: every byte has just been written.
        unsafe { self.assume_init() }
    }
}

impl<'a, P: BlockPool, T: BlockByte> Block<&'a P, T> {
    /// Gives the handle up; the block stays out for the rest of the pool's life.
    pub fn leak(self) -> &'a mut [T] {
        // SAFETY: the block is ours and never given back, and the pool is borrowed for 'a.
        unsafe { self.into_raw().as_mut() }
    }
}

impl<H, T> Drop for Block<H, T>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the block is out, and not used again.
        unsafe { self.pool.give_back(KEY, self.memory.cast()) }
    }
}

impl<H, T> Deref for Block<H, T>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the block is ours, and initialised if `T` is not `MaybeUninit`.
        unsafe { self.slice().as_ref() }
    }
}

impl<H, T> DerefMut for Block<H, T>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and exclusively.
        unsafe { self.slice().as_mut() }
    }
}

impl<H, T> AsRef<[T]> for Block<H, T>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<H, T> AsMut<[T]> for Block<H, T>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

/// Index and length; a block's bytes are too many to show.
impl<H, T> fmt::Debug for Block<H, T>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, len) = (self.index(), self.len());
        f.debug_struct("PoolBlock").field("index", &index).field("len", &len).finish()
    }
}
