// SPDX-License-Identifier: Apache-2.0
//! Caches of typed pools. A cache of a typed pool is a typed pool over a cache.

use alloc::sync::Arc;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr;

use super::block::Block;
use super::boxed::{Boxed, OwnedPoolBox};
use super::cache::{Cache, OwnedPoolCache, PoolCache};
use super::lock_free::LockFreePool;
use super::typed::TypedPool;
use crate::error::AllocError;

/// A cache of a [`TypedPool`] over a [`LockFreePool`], for one thread at a time. It borrows the pool.
/// From [`TypedPool::cache`].
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{LockFreePool, TypedCache, TypedPool};
///
/// let names = TypedPool::<String, LockFreePool>::new(1024);
/// std::thread::scope(|threads| {
///     for _ in 0..2 {
///         threads.spawn(|| {
///             let cache: TypedCache<'_, String> = names.cache();
///             let name = cache.alloc(String::from("a")).expect("there are 1024 blocks");
///             assert_eq!(*name, "a");
///         });
///     }
/// });
/// assert_eq!(names.in_use(), 0);
/// ```
pub type TypedCache<'p, T> = TypedPool<T, PoolCache<'p>>;

/// A cache of a [`TypedPool`] that keeps the pool alive, so that it can be a field of a worker. From
/// [`TypedPool::cache_owned`].
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{LockFreePool, OwnedTypedCache, TypedPool};
/// use std::sync::Arc;
///
/// struct Worker {
///     names: OwnedTypedCache<String>,
/// }
/// let names = Arc::new(TypedPool::<String, LockFreePool>::new(1024));
/// let worker = Worker { names: names.cache_owned() };
/// drop(names);
/// std::thread::spawn(move || assert!(worker.names.alloc(String::from("a")).is_ok())).join().unwrap();
/// ```
pub type OwnedTypedCache<T> = TypedPool<T, OwnedPoolCache>;

impl<T> TypedPool<T, LockFreePool> {
    /// A cache of up to 64 free blocks in front of the pool, for one thread: as
    /// [`LockFreePool::cache`].
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockFreePool, TypedPool};
    ///
    /// let numbers = TypedPool::<u64, LockFreePool>::new(1024);
    /// let cache = numbers.cache();
    /// assert_eq!(*cache.alloc(7)?, 7);
    /// assert!(cache.pool().is_open() && cache.pool().len() > 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn cache(&self) -> TypedCache<'_, T> {
        TypedPool::over(self.pool.cache())
    }

    /// A cache as of [`cache`](Self::cache) that keeps the pool alive instead of borrowing it.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockFreePool, TypedPool};
    /// use std::sync::Arc;
    ///
    /// let numbers = Arc::new(TypedPool::<u64, LockFreePool>::new(1024));
    /// let cache = numbers.cache_owned();
    /// drop(numbers);
    /// assert_eq!(*cache.alloc(7)?, 7);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn cache_owned(self: &Arc<Self>) -> OwnedTypedCache<T> {
        TypedPool::over(Self::shared(self).cache_owned())
    }
}

impl<T, H: Deref<Target = LockFreePool>> TypedPool<T, Cache<H>> {
    /// Drops a value and gives its block back through this cache, as [`Cache::put`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockFreePool, TypedPool};
    ///
    /// let numbers = TypedPool::<u64, LockFreePool>::new(1024);
    /// let cache = numbers.cache();
    /// cache.put(numbers.alloc(7)?);
    /// assert!(!cache.pool().is_empty() && numbers.in_use() == 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn put<G: Deref<Target = LockFreePool>>(&self, value: Boxed<G, T>) {
        /// Gives the block back when the value is dropped, also if that panics.
        struct Returning<'c, H, G>(&'c Cache<H>, Option<Block<G, MaybeUninit<u8>>>)
        where
            H: Deref<Target = LockFreePool>,
            G: Deref<Target = LockFreePool>;

        impl<H, G> Drop for Returning<'_, H, G>
        where
            H: Deref<Target = LockFreePool>,
            G: Deref<Target = LockFreePool>,
        {
            fn drop(&mut self) {
                if let Some(block) = self.1.take() {
                    self.0.put(block);
                }
            }
        }

        let block = Boxed::into_block(value);
        let value = block.memory().cast::<T>().as_ptr();
        let _returning = Returning(&self.pool, Some(block));
        // SAFETY: the value is initialised, and its owner is gone.
        unsafe { ptr::drop_in_place(value) };
    }
}

impl<T> OwnedTypedCache<T> {
    /// Moves a value into a block that keeps the pool alive. Its drop gives the block to the pool, and
    /// [`put`](Self::put) to this cache or that of another thread.
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
    /// let cache = Arc::new(TypedPool::<u64, LockFreePool>::new(1024)).cache_owned();
    /// let number = cache.alloc_owned(7)?;
    /// drop(cache);
    /// assert_eq!(*number, 7);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_owned(&self, value: T) -> Result<OwnedPoolBox<T, LockFreePool>, AllocError> {
        // SAFETY: the block is of this pool.
        unsafe { Self::place(self.pool.alloc_uninit()?.detach(), || value) }
    }
}

impl<H, T> Boxed<&Cache<H>, T>
where
    H: Deref<Target = LockFreePool> + Clone,
{
    /// Turns this value of a cache into a value of the pool, which can leave the cache and the thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{Boxed, LockFreePool, TypedPool};
    ///
    /// let numbers = TypedPool::<u64, LockFreePool>::new(1024);
    /// let cache = numbers.cache();
    /// let number = Boxed::detach(cache.alloc(7)?);
    /// drop(cache);
    /// assert_eq!(*number, 7);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn detach(this: Self) -> Boxed<H, T> {
        // SAFETY: the block has the value, whose owner is gone.
        unsafe { Boxed::of_block(Self::into_block(this).detach()) }
    }
}

impl<T, H: Deref<Target = LockFreePool>> fmt::Debug for TypedPool<T, Cache<H>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedPool").field("cache", &self.pool).finish()
    }
}
