// SPDX-License-Identifier: Apache-2.0
//! Futures that wait for a block of a locked pool. They need no runtime: the core's queue has the
//! tasks' wakers.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::pin::Pin;
use core::ptr::{self, NonNull};
use core::task::{Context, Poll};

use super::block::{Block, BlockByte};
use super::locked::LockedPool;
use crate::error::AllocError;
use crate::request::{RawRequest, Request};
use crate::{ffi, unwind};

/// A future that waits for a block of a [`LockedPool`], made by
/// [`alloc_async`](LockedPool::alloc_async) and its siblings. `H` is the pointer to the pool.
///
/// The future enters the queue of the pool when it is first polled and no block is free. Threads
/// and futures that wait get blocks in the order in which they began to wait. A future that is
/// dropped leaves the queue. If it was given a block already, the block goes to the next in the
/// queue. So a future that was woken keeps its block from all others until it is polled or dropped.
///
/// The result is an error as for [`alloc`](LockedPool::alloc). But while a block is out that can
/// come home, a refusal of the source or the budget is no error: the future waits. It then tries to
/// make the pool grow again when it becomes the first in the queue. A future that the budget has
/// refused waits in the queue of the budget too, and room there wakes it as a block does. It is not
/// woken when the source has memory again. [`AllocError::OutOfMemory`] also means that there is no
/// memory to wait with: the core's request lies on the C heap, and the task's waker on Rust's.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{AllocBlock, LockedPool};
///
/// async fn read(pages: &LockedPool) -> Result<(), aegis_memory::AllocError> {
///     let next: AllocBlock<&LockedPool> = pages.alloc_async();
///     next.await?[0] = 7;
///     Ok(())
/// }
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[must_use = "futures do nothing unless they are polled"]
pub struct AllocBlock<H, T = u8>
where
    H: Deref<Target = LockedPool>,
    T: BlockByte,
{
    /// Dropped before the pool.
    request: Request<ffi::aegis_locked_pool_request>,
    /// `None` after the result was handed out.
    pool: Option<H>,
    made: PhantomData<fn() -> T>,
}

// Nothing is pinned: the request has its own memory, and the pointer to the pool may move.
impl<H: Deref<Target = LockedPool>, T: BlockByte> Unpin for AllocBlock<H, T> {}

impl LockedPool {
    /// Waits for a block of zeroes without blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`AllocBlock`] says.
    ///
    /// # Panics
    ///
    /// When the future is polled after it has given its result.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::LockedPool;
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Wake};
    ///
    /// struct Unpark(std::thread::Thread);
    /// impl Wake for Unpark {
    ///     fn wake(self: std::sync::Arc<Self>) {
    ///         self.0.unpark();
    ///     }
    /// }
    ///
    /// let pool = LockedPool::new(4096, 1);
    /// let page = pool.alloc()?;
    /// let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    /// let mut task = Context::from_waker(&waker);
    /// let mut next = pin!(pool.alloc_async());
    /// assert!(next.as_mut().poll(&mut task).is_pending());
    /// drop(page);
    /// std::thread::park(); // until the waker is called, which it was
    /// assert!(matches!(next.as_mut().poll(&mut task), Poll::Ready(Ok(_))));
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_async(&self) -> AllocBlock<&Self> {
        AllocBlock::new(self)
    }

    /// Waits for a block without blocking the thread, and does not clear it.
    ///
    /// # Errors
    ///
    /// As [`AllocBlock`] says.
    ///
    /// # Panics
    ///
    /// As [`alloc_async`](Self::alloc_async).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::LockedPool;
    ///
    /// async fn read(pages: &LockedPool) -> Result<(), aegis_memory::AllocError> {
    ///     pages.alloc_uninit_async().await?[0].write(7);
    ///     Ok(())
    /// }
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn alloc_uninit_async(&self) -> AllocBlock<&Self, MaybeUninit<u8>> {
        AllocBlock::new(self)
    }

    /// Waits for a block of zeroes that keeps the pool alive, without blocking the thread. The
    /// future keeps the pool alive too.
    ///
    /// # Errors
    ///
    /// As [`AllocBlock`] says.
    ///
    /// # Panics
    ///
    /// As [`alloc_async`](Self::alloc_async).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::{LockedPool, OwnedPoolBlock};
    /// use aegis_memory::AllocError;
    /// use std::sync::Arc;
    ///
    /// async fn page(pages: Arc<LockedPool>) -> Result<OwnedPoolBlock<LockedPool>, AllocError> {
    ///     pages.alloc_owned_async().await
    /// }
    ///
    /// ```
    pub fn alloc_owned_async(self: &Arc<Self>) -> AllocBlock<Arc<Self>> {
        AllocBlock::new(self.clone())
    }
}

impl<H: Deref<Target = LockedPool>, T: BlockByte> AllocBlock<H, T> {
    /// `pool` dereferences to the same pool every time, without a panic.
    pub(super) fn new(pool: H) -> Self {
        Self { request: Request::new(), pool: Some(pool), made: PhantomData }
    }
}

impl<H: Deref<Target = LockedPool>, T: BlockByte> Future for AllocBlock<H, T> {
    type Output = Result<Block<H, T>, AllocError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let raw = this.pool.as_ref().expect("polled after it has given its result").as_raw();
        let (mut block, mut error) = (ptr::null_mut(), MaybeUninit::uninit());
        let status = this.request.poll(context, |request, wake, waker| {
            // A source may panic.
            unwind::call_keeping(ffi::is_ok, || {
                // SAFETY: any thread may call it. The request is null or one of this pool, and the
                // waker lives until `wake` was called or it was withdrawn.
                unsafe {
                    ffi::aegis_locked_pool_poll(
                        raw,
                        request,
                        &mut block,
                        wake,
                        waker,
                        error.as_mut_ptr(),
                    )
                }
            })
        });
        if status == Ok(ffi::AEGIS_PENDING as ffi::aegis_status) {
            return Poll::Pending;
        }
        let pool = this.pool.take().expect("it was there");
        Poll::Ready(status.and_then(|_| match NonNull::new(block.cast::<u8>()) {
            Some(memory) => {
                if T::IS_CLEARED {
                    // SAFETY: the block is ours, and has that many bytes.
                    unsafe { memory.as_ptr().write_bytes(0, pool.block_size()) };
                }
                // SAFETY: the block has just been taken. It was cleared, or may be uninitialised.
                Ok(unsafe { Block::from_raw(pool, memory) })
            }
            // SAFETY: the record is written on failure, and the pool keeps the budget alive.
            None => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
        }))
    }
}

impl<H: Deref<Target = LockedPool>, T: BlockByte> fmt::Debug for AllocBlock<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllocBlock").finish_non_exhaustive()
    }
}

impl RawRequest for ffi::aegis_locked_pool_request {
    unsafe fn disarm(raw: *mut Self) -> bool {
        // SAFETY: the caller's contract is that of the call.
        unsafe { ffi::aegis_locked_pool_request_disarm(raw) }
    }

    unsafe fn cancel(raw: *mut Self) -> bool {
        // SAFETY: the caller's contract is that of the call.
        unsafe { ffi::aegis_locked_pool_request_cancel(raw) }
    }
}
