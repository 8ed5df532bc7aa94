// SPDX-License-Identifier: Apache-2.0
//! The handle to a block on loan from a pool of any form, and what the handle needs of its pool.
//!
//! The handle is two words, so that it travels in registers. One is a pointer to its pool (a
//! borrow, an `Arc` or an `Rc`). The other is the block's address, from which the pool computes the
//! index.

use alloc::sync::Arc;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

use crate::error::AllocError;
use crate::sealed::{Key, KEY};

/// A block that keeps its pool alive instead of borrowing it.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{LockFreePool, OwnedPoolBlock};
/// use std::sync::Arc;
///
/// let pool = Arc::new(LockFreePool::new(4096, 8));
/// let page: OwnedPoolBlock<LockFreePool> = pool.alloc_owned()?;
/// let thread = std::thread::spawn(move || page[0]);
/// assert_eq!(thread.join().expect("no panic"), 0);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub type OwnedPoolBlock<P, T = u8> = Block<Arc<P>, T>;

/// The object that a block comes from: a [`Pool`](super::Pool),
/// [`LockFreePool`](super::LockFreePool), [`LockedPool`](super::LockedPool) or
/// [`Cache`](super::Cache).
///
/// It is a bound for code that works with blocks of any of them. No other type implements it. Each
/// method does what the method of the same name does that the type itself has.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{Block, BlockPool, LockFreePool, Pool};
/// use std::ops::Deref;
///
/// // Takes the blocks of any pool.
/// fn first<H: Deref>(block: &Block<H>) -> u8
/// where
///     H::Target: BlockPool,
/// {
///     block[0]
/// }
/// // Takes a block of any pool or cache.
/// fn zeroes<P: BlockPool>(pool: &P) -> u8 {
///     pool.alloc().map_or(0, |block| first(&block))
/// }
/// let (pool, shared) = (Pool::new(64, 8), LockFreePool::new(64, 8));
/// assert_eq!(zeroes(&pool) + zeroes(&shared) + zeroes(&shared.cache()), 0);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub trait BlockPool: Source + Sized {
    /// Takes a block of zeroes.
    ///
    /// # Errors
    ///
    /// As `alloc` of the pool or cache.
    fn alloc(&self) -> Result<Block<&Self>, AllocError> {
        Block::zeroed(self)
    }

    /// Takes a block without clearing it.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    fn alloc_uninit(&self) -> Result<Block<&Self, MaybeUninit<u8>>, AllocError> {
        Block::uninit(self)
    }

    /// Usable bytes of each block.
    fn block_size(&self) -> usize {
        self.block_bytes(KEY)
    }
}

impl<P: Source> BlockPool for P {}

/// An element of a block: `u8`, or `MaybeUninit<u8>` when the content is undefined. Each is one
/// byte. No other type implements it.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{Block, BlockByte, Pool};
///
/// // Takes blocks with and without initialised bytes.
/// fn bytes<T: BlockByte>(block: &Block<&Pool, T>) -> usize {
///     block.len()
/// }
/// let pool = Pool::new(64, 8);
/// assert_eq!((bytes(&pool.alloc()?), bytes(&pool.alloc_uninit()?)), (64, 64));
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub trait BlockByte: Byte {}

impl BlockByte for u8 {}
impl BlockByte for MaybeUninit<u8> {}

/// Code outside this crate cannot name this trait, so it cannot implement it.
pub trait Byte: Sized {
    /// Whether a new block is full of zeroes.
    const IS_CLEARED: bool;
}

impl Byte for u8 {
    const IS_CLEARED: bool = true;
}

impl Byte for MaybeUninit<u8> {
    const IS_CLEARED: bool = false;
}

/// What a block needs of a pool. Code outside this crate cannot name this trait, so it cannot
/// implement it. It cannot call the methods either, because each takes a [`Key`].
///
/// A block is *out* from the time when it is taken until it is given back.
pub trait Source {
    /// Takes a block of [`block_bytes`](Self::block_bytes) bytes. They are zero if `zeroed` is
    /// true, else they are undefined.
    fn take(&self, key: Key, zeroed: bool) -> Result<NonNull<u8>, AllocError>;

    /// Gives a block back.
    ///
    /// # Safety
    ///
    /// `memory` is a block of this pool that is out, and the caller does not use it again.
    unsafe fn give_back(&self, key: Key, memory: NonNull<u8>);

    /// Takes `count` blocks and calls `each` with each of them. On failure, the blocks that `each`
    /// was called with stay out.
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
    /// Each is a block of this pool that is out, and the caller does not use it again.
    #[inline]
    unsafe fn give_back_n(&self, key: Key, blocks: impl Iterator<Item = NonNull<u8>>) {
        // SAFETY: the caller guarantees it for each block.
        blocks.for_each(|memory| unsafe { self.give_back(key, memory) });
    }

    /// The index of a block of this pool.
    fn index_of(&self, key: Key, memory: NonNull<u8>) -> usize;

    /// Usable bytes of each block.
    fn block_bytes(&self, key: Key) -> usize;

    /// Alignment of each block.
    fn block_align(&self, key: Key) -> usize;
}

/// A block of a pool. `H` is the pointer to the pool: a reference, an `Arc` or an `Rc`. The usual
/// names of this type are [`PoolBlock`](super::PoolBlock) and [`OwnedPoolBlock`].
///
/// # Examples
///
/// ```
/// let pool = aegis_memory::pool::Pool::new(4096, 8);
/// let mut page = pool.alloc()?;
/// page[..4].copy_from_slice(b"data");
/// drop(page);
/// assert_eq!(pool.in_use(), 0);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub struct Block<H, T = u8>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    pool: H,
    memory: NonNull<T>,
}

// SAFETY: the block owns its bytes. It uses the pool through `H`, which is `Send`.
unsafe impl<H: Deref + Send, T: BlockByte + Send> Send for Block<H, T> where H::Target: BlockPool {}
// SAFETY: `&Block` gives `&[T]` and uses the pool through `&H`, and `H` is `Sync`.
unsafe impl<H: Deref + Sync, T: BlockByte + Sync> Sync for Block<H, T> where H::Target: BlockPool {}

impl<H, T> Block<H, T>
where
    H: Deref,
    H::Target: BlockPool,
    T: BlockByte,
{
    /// The block's number. Numbers start at 0 with the first block of the first slab, and they are
    /// below the pool's largest capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = aegis_memory::pool::Pool::new(4096, 8);
    /// assert!(pool.alloc()?.index() < 8);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn index(&self) -> usize {
        self.pool.index_of(KEY, self.memory.cast())
    }

    /// Gives up the handle; the block stays out. C code can give the block back with the free
    /// function of the pool, and [`from_raw`](Self::from_raw) makes a handle of it again.
    ///
    /// A handle that owns its pool, an [`OwnedPoolBlock`], gives up the pool too. The memory is
    /// then valid only while another owner keeps the pool alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{Pool, PoolBlock};
    ///
    /// let pool = Pool::new(4096, 8);
    /// let memory = pool.alloc()?.into_raw();
    /// assert_eq!(pool.in_use(), 1);
    /// // SAFETY: the block is out and has no other handle.
    /// drop(unsafe { PoolBlock::<Pool>::from_raw(&pool, memory.cast()) });
    /// assert_eq!(pool.in_use(), 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn into_raw(self) -> NonNull<[T]> {
        let memory = self.slice();
        drop(self.parts());
        memory
    }

    /// Makes a handle of a block that is out.
    ///
    /// # Safety
    ///
    /// - `pool` dereferences to the same pool every time, without a panic. That pool is not
    ///   dropped, finished or given away before the handle is dropped.
    /// - `memory` came from [`into_raw`](Self::into_raw) of a block of this pool, or C code has
    ///   taken it from this pool. It points to the start of the block and may be used for all of
    ///   its bytes. For a cache, "this pool" is the pool behind the cache.
    /// - The block is out. Until the handle is dropped, no other code uses the block, gives it back
    ///   or makes a handle of it.
    /// - If `T` is `u8`, all of its bytes are initialised.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{Pool, PoolBlock};
    ///
    /// let pool = Pool::new(4096, 8);
    /// let memory = pool.alloc()?.into_raw();
    /// // SAFETY: the block is out and has no other handle, and it was zeroed.
    /// let page = unsafe { PoolBlock::<Pool>::from_raw(&pool, memory.cast()) };
    /// assert_eq!(page[0], 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub unsafe fn from_raw(pool: H, memory: NonNull<u8>) -> Self {
        // SAFETY: the caller guarantees it for the pool and the block.
        unsafe { Self::of_parts(pool, memory.cast()) }
    }

    /// Makes a handle of the parts that [`parts`](Self::parts) returned. `pool` may be another
    /// pointer to the same pool.
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

    /// The address of the bytes. Unlike a pointer that comes from a slice of them, it may be used to
    /// change them behind a shared borrow, as a `Cell` in the block does.
    #[inline(always)]
    pub(super) fn memory(&self) -> NonNull<T> {
        self.memory
    }

    /// The pool that the block returns to.
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

    /// Declares the content initialised.
    ///
    /// # Safety
    ///
    /// - Every byte has been written since the block was taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = aegis_memory::pool::Pool::new(64, 8);
    /// let mut block = pool.alloc_uninit()?;
    /// block.iter_mut().for_each(|byte| _ = byte.write(7));
    /// // SAFETY: every byte was written.
    /// let block = unsafe { block.assume_init() };
    /// assert_eq!(block[63], 7);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub unsafe fn assume_init(self) -> Block<H, u8> {
        let (pool, memory) = self.parts();
        Block { pool, memory: memory.cast() }
    }

    /// Clears every byte.
    pub(super) fn cleared(mut self) -> Block<H, u8> {
        let len = self.len();
        // SAFETY: the block has that many bytes, and they are ours.
        unsafe { self.as_mut_ptr().write_bytes(0, len) };
        // SAFETY: every byte has just been written.
        unsafe { self.assume_init() }
    }
}

impl<'a, P: BlockPool, T: BlockByte> Block<&'a P, T> {
    /// Gives up the handle; the block stays out for the rest of the pool's life.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = aegis_memory::pool::Pool::new(64, 8);
    /// let bytes: &mut [u8] = pool.alloc()?.leak();
    /// bytes[0] = 7;
    /// assert_eq!(pool.in_use(), 1);
    ///
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
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
        // SAFETY: the block is out, and nothing uses it again.
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

/// Shows index and length. A block has too many bytes to show them.
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
