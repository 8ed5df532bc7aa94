// SPDX-License-Identifier: Apache-2.0
//! Typed pools over locked pools: threads and futures that wait for a block for their value.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use super::block::Block;
use super::boxed::{Boxed, OwnedPoolBox, PoolBox};
use super::locked::{wait, LockedPool};
use super::locked_async::AllocBlock;
use super::typed::TypedPool;
use crate::error::AllocError;

impl<T> TypedPool<T, LockedPool> {
    /// Moves a value into a block that keeps the pool alive.
    ///
    /// # Errors
    ///
    /// As [`alloc`](Self::alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockedPool, TypedPool};
    /// use std::sync::Arc;
    ///
    /// let names = Arc::new(TypedPool::<String, LockedPool>::new(8));
    /// let name = names.alloc_owned(String::from("a"))?;
    /// std::thread::spawn(move || assert_eq!(*name, "a")).join().unwrap();
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_owned(
        self: &Arc<Self>,
        value: T,
    ) -> Result<OwnedPoolBox<T, LockedPool>, AllocError> {
        // SAFETY: the block is of this pool.
        unsafe { Self::place(Block::uninit(Self::shared(self))?, || value) }
    }

    /// Moves a value into a block, and waits if none is free. See [`LockedPool::alloc_timeout`].
    ///
    /// # Errors
    ///
    /// As [`LockedPool::alloc_timeout`]. The value is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockedPool, TypedPool};
    /// use std::time::Duration;
    ///
    /// let names = TypedPool::<&str, LockedPool>::new(1);
    /// let first = names.alloc("first")?;
    /// assert!(names.alloc_timeout("late", Duration::from_millis(1)).is_err());
    /// std::thread::scope(|threads| {
    ///     threads.spawn(|| names.alloc_timeout("second", Duration::MAX).map(|name| *name));
    ///     drop(first);
    /// });
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_timeout(
        &self,
        value: T,
        timeout: Duration,
    ) -> Result<PoolBox<'_, T, LockedPool>, AllocError> {
        // SAFETY: the block is of this pool.
        unsafe { Self::place(wait(&self.pool, timeout)?, || value) }
    }

    /// Takes a block, and waits if none is free. Then it moves the value that `f` returns into the
    /// block.
    ///
    /// # Errors
    ///
    /// As [`LockedPool::alloc_timeout`]. `f` is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockedPool, TypedPool};
    /// use std::time::Duration;
    ///
    /// let numbers = TypedPool::<u64, LockedPool>::new(1);
    /// let first = numbers.alloc_with_timeout(|| 1, Duration::ZERO)?;
    /// assert!(numbers.alloc_with_timeout(|| unreachable!(), Duration::ZERO).is_err());
    /// # drop(first);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_with_timeout(
        &self,
        f: impl FnOnce() -> T,
        timeout: Duration,
    ) -> Result<PoolBox<'_, T, LockedPool>, AllocError> {
        // SAFETY: the block is of this pool.
        unsafe { Self::place(wait(&self.pool, timeout)?, f) }
    }

    /// Moves a value into a block that keeps the pool alive, and waits if none is free.
    ///
    /// # Errors
    ///
    /// As [`alloc_timeout`](Self::alloc_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockedPool, TypedPool};
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// let numbers = Arc::new(TypedPool::<u64, LockedPool>::new(1));
    /// let number = numbers.alloc_owned_timeout(7, Duration::from_secs(1))?;
    /// drop(numbers);
    /// assert_eq!(*number, 7);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_owned_timeout(
        self: &Arc<Self>,
        value: T,
        timeout: Duration,
    ) -> Result<OwnedPoolBox<T, LockedPool>, AllocError> {
        // SAFETY: the block is of this pool.
        unsafe { Self::place(wait(Self::shared(self), timeout)?, || value) }
    }

    /// Waits for a block without blocking the thread, and moves a value into it. See
    /// [`LockedPool::alloc_async`].
    ///
    /// # Errors
    ///
    /// As [`AllocBlock`] says. The value is dropped.
    ///
    /// # Panics
    ///
    /// When the future is polled after it has given its result.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockedPool, TypedPool};
    ///
    /// async fn store(names: &TypedPool<String, LockedPool>) -> usize {
    ///     let name = names.alloc_async(String::from("waits while the pool is empty")).await;
    ///     name.map_or(0, |name| name.len())
    /// }
    /// # let names = TypedPool::new(8);
    /// # let mut future = std::pin::pin!(store(&names));
    /// # let waker = std::sync::Arc::new(Nothing).into();
    /// # let mut context = std::task::Context::from_waker(&waker);
    /// # assert!(std::future::Future::poll(future.as_mut(), &mut context).is_ready());
    /// # struct Nothing;
    /// # impl std::task::Wake for Nothing {
    /// #     fn wake(self: std::sync::Arc<Self>) {}
    /// # }
    /// ```
    pub fn alloc_async(&self, value: T) -> AllocValue<&LockedPool, T> {
        AllocValue { block: AllocBlock::new(&self.pool), value: Some(value) }
    }

    /// Waits for a block that keeps the pool alive, without blocking the thread, and moves a value into
    /// it. The future keeps the pool alive too.
    ///
    /// # Errors
    ///
    /// As [`alloc_async`](Self::alloc_async).
    ///
    /// # Panics
    ///
    /// As [`alloc_async`](Self::alloc_async).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockedPool, OwnedPoolBox, TypedPool};
    /// use std::sync::Arc;
    ///
    /// /// A task that a runtime can move to another thread.
    /// async fn store(names: Arc<TypedPool<String, LockedPool>>) -> OwnedPoolBox<String, LockedPool> {
    ///     names.alloc_owned_async(String::new()).await.expect("there are blocks")
    /// }
    /// fn is_send<T: Send + 'static>(_: T) {}
    /// is_send(store(Arc::new(TypedPool::new(8))));
    /// ```
    pub fn alloc_owned_async(self: &Arc<Self>, value: T) -> AllocValue<Arc<LockedPool>, T> {
        AllocValue { block: AllocBlock::new(Self::shared(self)), value: Some(value) }
    }
}

/// A future that waits for a block of a [`TypedPool`] over a [`LockedPool`], and has the value that goes
/// into it. It waits as [`AllocBlock`] does. `H` is the pointer to the pool of blocks.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{AllocValue, LockedPool, TypedPool};
///
/// let names = TypedPool::<String, LockedPool>::new(8);
/// let future: AllocValue<&LockedPool, String> = names.alloc_async(String::from("a"));
/// drop(future); // drops the value, too
/// assert_eq!(names.in_use(), 0);
/// ```
#[must_use = "futures do nothing unless they are polled"]
pub struct AllocValue<H: Deref<Target = LockedPool>, T> {
    block: AllocBlock<H, MaybeUninit<u8>>,
    /// `None` after the result was handed out.
    value: Option<T>,
}

// The value is not pinned: it moves into its block.
impl<H: Deref<Target = LockedPool>, T> Unpin for AllocValue<H, T> {}

impl<H: Deref<Target = LockedPool>, T> Future for AllocValue<H, T> {
    type Output = Result<Boxed<H, T>, AllocError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Poll::Ready(block) = Pin::new(&mut this.block).poll(context) else {
            return Poll::Pending;
        };
        let value = this.value.take().expect("the block is handed out once");
        Poll::Ready(block.and_then(|block| {
            // SAFETY: the future was made for the pool of blocks of a typed pool of `T`.
            unsafe { TypedPool::<T, LockedPool>::place(block, || value) }
        }))
    }
}

impl<H: Deref<Target = LockedPool>, T> fmt::Debug for AllocValue<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllocValue").finish_non_exhaustive()
    }
}
