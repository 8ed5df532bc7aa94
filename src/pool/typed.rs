// SPDX-License-Identifier: Apache-2.0
//! A pool of values. Each value lies in a block of its own and is dropped when the block is given
//! back.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::ptr;

use super::block::{Block, BlockPool};
use super::builder::{PoolBuilder, PoolKind};
use super::one_owner::Pool;
use super::stats::PoolStats;
use crate::budget::MemoryBudget;
use crate::error::{expect, AllocError};
use crate::sealed::KEY;

/// A pool of values of type `T` over a pool `P`: [`Pool`], [`LockFreePool`](super::LockFreePool) or
/// [`LockedPool`](super::LockedPool).
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{LockFreePool, TypedPool};
///
/// let names = TypedPool::<String, LockFreePool>::new(1000);
/// let mut name = names.alloc(String::from("dropped when it is given back"))?;
/// name.push('!');
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
///
/// A value cannot outlive its pool:
///
/// ```compile_fail,E0505
/// let names = aegis_memory::pool::TypedPool::<String>::new(10);
/// let name = names.alloc(String::new()).unwrap();
/// drop(names);
/// name.len();
/// ```
pub struct TypedPool<T, P = Pool> {
    /// Its blocks have at least the size and the alignment of `T`.
    pool: P,
    // Handles own the values, so the pool may be sent to another thread whatever `T` is.
    makes: PhantomData<fn(T) -> T>,
}

impl<T, P: PoolKind> TypedPool<T, P> {
    /// Makes a pool with room for `blocks` values, in pages of the system.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let names = aegis_memory::pool::TypedPool::<String>::new(8);
    /// assert_eq!(names.capacity(), 8);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(blocks: usize) -> Self {
        expect(Self::try_new(blocks))
    }

    /// Makes a pool with room for `blocks` values, in pages of the system. For other settings use
    /// [`PoolBuilder::build_typed`].
    ///
    /// # Errors
    ///
    /// As [`PoolBuilder::build`].
    ///
    /// # Examples
    ///
    /// ```
    /// let names = aegis_memory::pool::TypedPool::<String>::try_new(8)?;
    /// assert_eq!(names.capacity(), 8);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_new(blocks: usize) -> Result<Self, AllocError> {
        PoolBuilder::<P>::new().blocks(blocks).build_typed()
    }

    /// Moves a value into a block.
    ///
    /// # Errors
    ///
    /// As `alloc` of the pool. The value is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// let name = names.alloc(String::from("dropped with its handle"))?;
    /// assert_eq!(name.len(), 23);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn alloc(&self, value: T) -> Result<PoolBox<'_, T, P>, AllocError> {
        self.alloc_with(|| value)
    }

    /// Takes a block and moves the value that `f` returns into it.
    ///
    /// # Errors
    ///
    /// As `alloc` of the pool. `f` is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// let name = names.alloc_with(|| String::from("made when there is a block"))?;
    /// assert_eq!(name.len(), 26);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn alloc_with(&self, f: impl FnOnce() -> T) -> Result<PoolBox<'_, T, P>, AllocError> {
        let mut block = Block::uninit(&self.pool)?;
        // SAFETY: the block is ours, and its size and alignment are enough for a `T`.
        unsafe { block.as_mut_ptr().cast::<T>().write(f()) };
        Ok(PoolBox { block, owns: PhantomData })
    }

    /// The pool that the blocks come from.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// assert!(names.pool().block_size() >= std::mem::size_of::<String>());
    /// ```
    pub fn pool(&self) -> &P {
        &self.pool
    }

    /// Values that can live at a time with the slabs that the pool holds now.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// assert_eq!(names.capacity(), 8);
    /// ```
    pub fn capacity(&self) -> usize {
        self.stats().capacity
    }

    /// Values that live now, leaked and forgotten values included.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// let name = names.alloc(String::new())?;
    /// assert_eq!(names.in_use(), 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn in_use(&self) -> usize {
        self.stats().in_use
    }

    /// Values that can be added without growth.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// let name = names.alloc(String::new())?;
    /// assert_eq!(names.available(), 7);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn available(&self) -> usize {
        self.stats().available
    }

    /// The statistics of the pool of blocks, at the cost of its `stats()`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// assert_eq!(names.stats().capacity, 8);
    /// ```
    pub fn stats(&self) -> PoolStats {
        self.pool.figures(KEY)
    }

    /// Releases slabs without values to the source, as `trim` of the pool does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// names.trim(0);
    /// assert_eq!(names.capacity(), 8, "the first slab stays");
    /// ```
    pub fn trim(&self, keep_blocks: usize) {
        self.pool.shrink(KEY, keep_blocks);
    }

    /// Charges all memory of the pool to another budget, as `move_to` of the pool does.
    ///
    /// # Panics
    ///
    /// When [`try_move_to`](Self::try_move_to) fails. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// use aegis_memory::budget::MemoryBudget;
    /// let (mut names, budget) = (names, MemoryBudget::new("names", 1 << 20));
    /// names.move_to(&budget);
    /// assert!(budget.used() > 0);
    /// ```
    #[track_caller]
    pub fn move_to<'b>(&mut self, budget: impl Into<Option<&'b MemoryBudget>>) {
        expect(self.try_move_to(budget));
    }

    /// Charges all memory of the pool to another budget, as `try_move_to` of the pool does.
    ///
    /// # Errors
    ///
    /// [`AllocError::LimitExceeded`] when the new budget refuses, or an ancestor of it that is not
    /// above the present one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::pool::TypedPool;
    /// # let names = TypedPool::<String>::new(8);
    /// use aegis_memory::budget::MemoryBudget;
    /// let (mut names, small) = (names, MemoryBudget::new("small", 10));
    /// assert!(names.try_move_to(&small).is_err());
    /// ```
    pub fn try_move_to<'b>(
        &mut self,
        budget: impl Into<Option<&'b MemoryBudget>>,
    ) -> Result<(), AllocError> {
        self.pool.relocate(KEY, budget.into())
    }
}

impl<T> TypedPool<T, super::LockFreePool> {
    /// Releases slabs that have had no value since the latest call, as
    /// [`trim_idle`](super::LockFreePool::trim_idle) does.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockFreePool, TypedPool};
    ///
    /// let names = TypedPool::<String, LockFreePool>::new(8);
    /// names.trim_idle();
    /// assert_eq!(names.capacity(), 8, "the first slab stays");
    /// ```
    pub fn trim_idle(&self) {
        self.pool.trim_idle();
    }
}

impl<P: PoolKind> PoolBuilder<P> {
    /// Makes a pool of values of type `T`. Each block has the size of `T` and at least its
    /// alignment.
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::LockFreePool;
    ///
    /// let numbers = LockFreePool::builder().blocks(8).max_blocks(64).build_typed::<u64>()?;
    /// assert_eq!(*numbers.alloc(7)?, 7);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn build_typed<T>(self) -> Result<TypedPool<T, P>, AllocError> {
        let pool = self.of_values(Layout::new::<T>()).build()?;
        Ok(TypedPool { pool, makes: PhantomData })
    }
}

impl<T, P: PoolKind> fmt::Debug for TypedPool<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedPool").field("stats", &self.stats()).finish()
    }
}

/// A value in a block of a [`TypedPool`]. When it is dropped, it drops the value and gives the
/// block back.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{PoolBox, TypedPool};
///
/// let names = TypedPool::<String>::new(8);
/// let mut name: PoolBox<'_, String> = names.alloc(String::from("a"))?;
/// name.push('b');
/// assert_eq!(*name, "ab");
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub struct PoolBox<'a, T, P: BlockPool = Pool> {
    block: Block<&'a P, MaybeUninit<u8>>,
    owns: PhantomData<T>,
}

impl<'a, T, P: BlockPool> PoolBox<'a, T, P> {
    /// Moves the value out and gives the block back.
    ///
    /// This is an associated function, and so is `leak`, so that they hide no method of `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{PoolBox, TypedPool};
    ///
    /// let names = TypedPool::<String>::new(8);
    /// let name: String = PoolBox::into_inner(names.alloc(String::from("moved out"))?);
    /// assert_eq!((name.as_str(), names.in_use()), ("moved out", 0));
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn into_inner(this: Self) -> T {
        let block = Self::into_block(this);
        // SAFETY: the value is initialised, and its owner is gone.
        unsafe { ptr::read(block.as_ptr().cast()) }
    }

    /// Gives up the handle without dropping the value. The block stays out.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{PoolBox, TypedPool};
    ///
    /// let numbers = TypedPool::<u64>::new(8);
    /// let number: &mut u64 = PoolBox::leak(numbers.alloc(7)?);
    /// *number += 1;
    /// assert_eq!(numbers.in_use(), 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn leak(this: Self) -> &'a mut T {
        let memory = Self::into_block(this).leak().as_mut_ptr().cast();
        // SAFETY: the value is initialised, its owner is gone, and the pool is borrowed for 'a.
        unsafe { &mut *memory }
    }

    /// The block without ownership of the value: the caller takes care of the value.
    fn into_block(this: Self) -> Block<&'a P, MaybeUninit<u8>> {
        let this = core::mem::ManuallyDrop::new(this);
        // SAFETY: `this` is not used or dropped again, so the block has one owner.
        unsafe { ptr::read(&this.block) }
    }
}

impl<T, P: BlockPool> Drop for PoolBox<'_, T, P> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the value is initialised, and nothing uses it again. The block goes back after
        // the value is dropped, even if its drop panics.
        unsafe { ptr::drop_in_place(self.block.as_mut_ptr().cast::<T>()) }
    }
}

impl<T, P: BlockPool> Deref for PoolBox<'_, T, P> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the value is initialised and ours, and the borrow is that of the handle.
        unsafe { &*self.block.as_ptr().cast() }
    }
}

impl<T, P: BlockPool> DerefMut for PoolBox<'_, T, P> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and exclusively.
        unsafe { &mut *self.block.as_mut_ptr().cast() }
    }
}

impl<T, P: BlockPool> AsRef<T> for PoolBox<'_, T, P> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T, P: BlockPool> AsMut<T> for PoolBox<'_, T, P> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: fmt::Debug, P: BlockPool> fmt::Debug for PoolBox<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display, P: BlockPool> fmt::Display for PoolBox<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
