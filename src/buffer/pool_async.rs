// SPDX-License-Identifier: Apache-2.0
//! The future that waits for a buffer of a pool. It needs no runtime: the core's queue has the
//! tasks' wakers.

use core::fmt;
use core::future::Future;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::ask::NO_WRITER;
use super::pool::BufferPool;
use super::writer::BufferMut;
use crate::error::AllocError;
use crate::request::{RawRequest, Request};
use crate::{ffi, unwind};

/// A future that waits for a buffer of a [`BufferPool`], made by
/// [`get_async`](BufferPool::get_async).
///
/// A buffer that is released wakes the future that has waited longest and for which it is large
/// enough. It is not kept for that future: another call may take it in between. Then the future
/// waits on, and keeps its place before those that came later. A future that was woken, and is
/// dropped or gets another buffer, wakes the next one.
///
/// The result is an error as for [`get`](BufferPool::get). But while a buffer is out that can come
/// home, the future waits, also if the source or the budget has refused to let the pool grow. If it
/// was the budget, the future waits in the queue of the budget too, and room there wakes it as a
/// buffer does. It is not woken when the source has memory again. [`AllocError::OutOfMemory`] also
/// means that there is no memory to wait with: the core's request lies on the C heap, and the
/// task's waker on Rust's.
///
/// The pool's policy plays no part, and the buffer never comes from the heap.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::{BufferPool, GetBuffer};
///
/// async fn read(pool: &BufferPool) -> Result<(), aegis_memory::AllocError> {
///     let next: GetBuffer<'_> = pool.get_async(4096);
///     next.await?.extend_from_slice(b"row");
///     Ok(())
/// }
///
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[must_use = "futures do nothing unless they are polled"]
pub struct GetBuffer<'a> {
    request: Request<ffi::aegis_buffer_pool_request>,
    pool: &'a BufferPool,
    min_capacity: usize,
    is_done: bool,
}

impl BufferPool {
    /// Waits for a writer with a capacity of at least `min_capacity` bytes, without blocking the
    /// thread.
    ///
    /// # Errors
    ///
    /// As [`GetBuffer`] says.
    ///
    /// # Panics
    ///
    /// When the future is polled after it has given its result.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferPool};
    /// use aegis_memory::AllocError;
    ///
    /// async fn read_page(pool: &BufferPool) -> Result<Buffer, AllocError> {
    ///     let mut page = pool.get_async(4096).await?;
    ///     page.extend_from_slice(b"what was read");
    ///     Ok(page.freeze())
    /// }
    /// # _ = read_page(&BufferPool::new(4096, 1));
    /// ```
    pub fn get_async(&self, min_capacity: usize) -> GetBuffer<'_> {
        GetBuffer { request: Request::new(), pool: self, min_capacity, is_done: false }
    }
}

impl Future for GetBuffer<'_> {
    type Output = Result<BufferMut, AllocError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        assert!(!this.is_done, "polled after it has given its result");
        let (mut writer, mut error) = (NO_WRITER, MaybeUninit::uninit());
        let status = this.request.poll(context, |request, wake, waker| {
            // A source may panic.
            unwind::call_keeping(ffi::is_ok, || {
                // SAFETY: any thread may call it. The request is null or one of this pool, and the
                // waker lives until `wake` was called or it was withdrawn.
                unsafe {
                    ffi::aegis_buffer_pool_poll(
                        this.pool.as_raw(),
                        request,
                        &mut writer,
                        this.min_capacity,
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
        this.is_done = true;
        Poll::Ready(status.and_then(|status| {
            if !ffi::is_ok(&status) {
                // SAFETY: the record is written on failure, and the pool keeps the budget alive.
                return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
            }
            // SAFETY: the core has made the writer, of a whole block of the pool.
            Ok(unsafe { BufferMut::whole(writer) })
        }))
    }
}

impl fmt::Debug for GetBuffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetBuffer")
            .field("min_capacity", &self.min_capacity)
            .finish_non_exhaustive()
    }
}

impl RawRequest for ffi::aegis_buffer_pool_request {
    unsafe fn disarm(raw: *mut Self) -> bool {
        // SAFETY: the caller's contract is that of the call.
        unsafe { ffi::aegis_buffer_pool_request_disarm(raw) }
    }

    unsafe fn cancel(raw: *mut Self) -> bool {
        // The request may be the last that keeps the pool, whose source then releases its memory.
        // SAFETY: the caller's contract is that of the call.
        unwind::call(|| unsafe { ffi::aegis_buffer_pool_request_cancel(raw) })
    }
}
