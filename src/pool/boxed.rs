// SPDX-License-Identifier: Apache-2.0
//! A value in a block of a typed pool.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::ptr;

use super::block::{Block, BlockPool};
use super::one_owner::Pool;

/// A value that borrows its pool: from [`TypedPool::alloc`](super::TypedPool::alloc).
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
pub type PoolBox<'a, T, P = Pool> = Boxed<&'a P, T>;

/// A value that keeps its pool alive instead of borrowing it: from `alloc_owned` of a
/// [`TypedPool`](super::TypedPool).
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{LockFreePool, OwnedPoolBox, TypedPool};
/// use std::sync::Arc;
///
/// let names = Arc::new(TypedPool::<String, LockFreePool>::new(8));
/// let name: OwnedPoolBox<String, LockFreePool> = names.alloc_owned(String::from("a"))?;
/// drop(names);
/// assert_eq!(*name, "a");
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub type OwnedPoolBox<T, P> = Boxed<Arc<P>, T>;

/// A value in a block of a [`TypedPool`](super::TypedPool). When it is dropped, it drops the value and
/// gives the block back.
///
/// `H` is the pointer to the pool of blocks: a reference, an `Arc` or an `Rc`. The usual names of this
/// type are [`PoolBox`] and [`OwnedPoolBox`].
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
pub struct Boxed<H, T>
where
    H: Deref,
    H::Target: BlockPool,
{
    block: Block<H, MaybeUninit<u8>>,
    owns: PhantomData<T>,
}

impl<H, T> Boxed<H, T>
where
    H: Deref,
    H::Target: BlockPool,
{
    /// Moves a value into a block.
    ///
    /// # Safety
    ///
    /// - The block has at least the size and the alignment of `T`.
    #[inline(always)]
    pub(super) unsafe fn new(block: Block<H, MaybeUninit<u8>>, f: impl FnOnce() -> T) -> Self {
        // SAFETY: the block is ours, and the caller guarantees size and alignment.
        unsafe { block.memory().cast::<T>().as_ptr().write(f()) };
        Self { block, owns: PhantomData }
    }

    /// Takes over the value in a block.
    ///
    /// # Safety
    ///
    /// - The block begins with a value that has no other owner.
    pub(super) unsafe fn of_block(block: Block<H, MaybeUninit<u8>>) -> Self {
        Self { block, owns: PhantomData }
    }

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
        unsafe { block.memory().cast::<T>().as_ptr().read() }
    }

    /// The block without ownership of the value: the caller takes care of the value.
    pub(super) fn into_block(this: Self) -> Block<H, MaybeUninit<u8>> {
        let this = core::mem::ManuallyDrop::new(this);
        // SAFETY: `this` is not used or dropped again, so the block has one owner.
        unsafe { ptr::read(&this.block) }
    }
}

impl<'a, T, P: BlockPool> PoolBox<'a, T, P> {
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
}

impl<H, T> Drop for Boxed<H, T>
where
    H: Deref,
    H::Target: BlockPool,
{
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the value is initialised, and nothing uses it again. The block goes back after
        // the value is dropped, even if its drop panics.
        unsafe { ptr::drop_in_place(self.block.memory().cast::<T>().as_ptr()) }
    }
}

impl<H, T> Deref for Boxed<H, T>
where
    H: Deref,
    H::Target: BlockPool,
{
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the value is initialised and ours, and the borrow is that of the handle.
        unsafe { self.block.memory().cast().as_ref() }
    }
}

impl<H, T> DerefMut for Boxed<H, T>
where
    H: Deref,
    H::Target: BlockPool,
{
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and exclusively.
        unsafe { self.block.memory().cast().as_mut() }
    }
}

impl<H, T> AsRef<T> for Boxed<H, T>
where
    H: Deref,
    H::Target: BlockPool,
{
    fn as_ref(&self) -> &T {
        self
    }
}

impl<H, T> AsMut<T> for Boxed<H, T>
where
    H: Deref,
    H::Target: BlockPool,
{
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<H, T: fmt::Debug> fmt::Debug for Boxed<H, T>
where
    H: Deref,
    H::Target: BlockPool,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<H, T: fmt::Display> fmt::Display for Boxed<H, T>
where
    H: Deref,
    H::Target: BlockPool,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
