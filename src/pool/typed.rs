// SPDX-License-Identifier: Apache-2.0
//! A pool of values. Each value lies in a block of its own and is dropped when the block is given
//! back.

use alloc::rc::Rc;
use alloc::sync::Arc;
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;

use super::block::{Block, BlockPool};
#[cfg(aegis_threads)]
use super::boxed::OwnedPoolBox;
use super::boxed::{Boxed, PoolBox};
use super::builder::{PoolBuilder, PoolKind};
use super::one_owner::Pool;
use super::stats::PoolStats;
use crate::budget::MemoryBudget;
use crate::error::{expect, AllocError};
use crate::sealed::KEY;

/// A pool of values of type `T` over a pool `P`: [`Pool`], [`LockFreePool`](super::LockFreePool),
/// [`LockedPool`](super::LockedPool), or a cache ([`TypedCache`](super::TypedCache)).
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
#[repr(transparent)]
pub struct TypedPool<T, P = Pool> {
    /// Its blocks have at least the size and the alignment of `T`.
    pub(super) pool: P,
    // Handles own the values, so the pool may be sent to another thread whatever `T` is.
    makes: PhantomData<fn(T) -> T>,
}

impl<T, P: BlockPool> TypedPool<T, P> {
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
        // SAFETY: the block is of this pool.
        unsafe { Self::place(Block::uninit(&self.pool)?, f) }
    }

    /// Moves a value into a block.
    ///
    /// # Safety
    ///
    /// - The block is of the pool of blocks of a typed pool of `T`.
    #[inline(always)]
    pub(super) unsafe fn place<H>(
        block: Block<H, MaybeUninit<u8>>,
        f: impl FnOnce() -> T,
    ) -> Result<Boxed<H, T>, AllocError>
    where
        H: Deref,
        H::Target: BlockPool,
    {
        // SAFETY: such a block has at least the size and the alignment of `T`.
        Ok(unsafe { Boxed::new(block, f) })
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

    /// A typed pool over a pool or cache whose blocks have at least the size and the alignment of `T`.
    pub(super) fn over(pool: P) -> Self {
        Self { pool, makes: PhantomData }
    }

    /// The pool of blocks behind an `Arc`.
    pub(super) fn shared(this: &Arc<Self>) -> Arc<P> {
        let this = Arc::into_raw(this.clone());
        // SAFETY: the pointer comes from `into_raw`. `TypedPool` is a transparent wrapper around `P`,
        // so both have one layout, and has no drop of its own, so the drop of `P` is that of both.
        unsafe { Arc::from_raw(this.cast()) }
    }
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

impl<T> TypedPool<T> {
    /// Moves a value into a block that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::TypedPool;
    /// use std::rc::Rc;
    ///
    /// let names = Rc::new(TypedPool::<String>::new(8));
    /// let name = names.alloc_owned(String::from("a"))?;
    /// drop(names);
    /// assert_eq!(*name, "a");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_owned(self: &Rc<Self>, value: T) -> Result<Boxed<Rc<Pool>, T>, AllocError> {
        let this = Rc::into_raw(self.clone());
        // SAFETY: as in `shared`.
        let pool: Rc<Pool> = unsafe { Rc::from_raw(this.cast()) };
        // SAFETY: the block is of this pool.
        unsafe { Self::place(Block::uninit(pool)?, || value) }
    }
}

#[cfg(aegis_threads)]
impl<T> TypedPool<T, super::LockFreePool> {
    /// Moves a value into a block that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockFreePool, TypedPool};
    /// use std::sync::Arc;
    ///
    /// let names = Arc::new(TypedPool::<String, LockFreePool>::new(8));
    /// let name = names.alloc_owned(String::from("a"))?;
    /// std::thread::spawn(move || assert_eq!(*name, "a")).join().unwrap();
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_owned(
        self: &Arc<Self>,
        value: T,
    ) -> Result<OwnedPoolBox<T, super::LockFreePool>, AllocError> {
        // SAFETY: the block is of this pool.
        unsafe { Self::place(Block::uninit(Self::shared(self))?, || value) }
    }

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
        Ok(TypedPool::over(pool))
    }
}

impl<T, P: PoolKind> fmt::Debug for TypedPool<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedPool").field("stats", &self.stats()).finish()
    }
}
