// SPDX-License-Identifier: Apache-2.0
//! Futures that wait for room in a budget. They need no runtime: the core's queue has the tasks'
//! wakers.

use core::fmt;
use core::future::Future;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::reservation::Reservation;
use super::tree::MemoryBudget;
use crate::error::AllocError;
use crate::request::{RawRequest, Request};
use crate::{ffi, unwind};

/// A future that waits for room in a [`MemoryBudget`], made by
/// [`reserve_async`](MemoryBudget::reserve_async).
///
/// When it is first polled and refused, it asks reclaimers as [`reserve`](MemoryBudget::reserve)
/// does, and then enters the queue of the budget that refuses it. Threads and futures get room in
/// the order in which they came there. The charge is made for the future by the thread that makes
/// the room, and is kept until the future is polled or dropped. A future that is dropped leaves the
/// queue.
///
/// # Examples
///
/// ```
/// use aegis_memory::budget::{MemoryBudget, ReserveAsync};
///
/// async fn sort(budget: &MemoryBudget) -> Result<(), aegis_memory::AllocError> {
///     let room: ReserveAsync = budget.reserve_async(1 << 20);
///     let _room = room.await?;
///     Ok(())
/// }
///
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[must_use = "futures do nothing unless they are polled"]
pub struct ReserveAsync {
    /// Dropped before the budget.
    request: Request<ffi::aegis_budget_request>,
    /// `None` after the result was handed out.
    budget: Option<MemoryBudget>,
    bytes: usize,
}

impl MemoryBudget {
    /// Charges memory that does not come from this crate, and waits for room without blocking the
    /// thread.
    ///
    /// # Errors
    ///
    /// [`AllocError::LimitExceeded`] when a limit on the way to the root is less than `bytes`, so
    /// that no wait is of use, or when a reclaimer of the same tree asks.
    /// [`AllocError::Closed`] when this budget or an ancestor is closed.
    /// [`AllocError::OutOfMemory`] when there is no memory to wait with.
    /// [`AllocError::Forked`] in a child process, if another thread was changing the tree while the
    /// process forked.
    ///
    /// # Panics
    ///
    /// When the future is polled after it has given its result.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::budget::MemoryBudget;
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
    /// let budget = MemoryBudget::new("queries", 100);
    /// let held = budget.reserve(80);
    /// let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    /// let mut task = Context::from_waker(&waker);
    /// let mut next = pin!(budget.reserve_async(50));
    /// assert!(next.as_mut().poll(&mut task).is_pending());
    /// drop(held);
    /// std::thread::park(); // until the waker is called, which it was
    /// let Poll::Ready(Ok(reservation)) = next.as_mut().poll(&mut task) else { panic!() };
    /// assert_eq!((reservation.bytes(), budget.used()), (50, 50));
    /// ```
    pub fn reserve_async(&self, bytes: usize) -> ReserveAsync {
        ReserveAsync { request: Request::new(), budget: Some(self.clone()), bytes }
    }
}

impl Future for ReserveAsync {
    type Output = Result<Reservation, AllocError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let raw = this.budget.as_ref().expect("polled after it has given its result").as_raw();
        let (bytes, mut error) = (this.bytes, MaybeUninit::uninit());
        let status = this.request.poll(context, |request, wake, waker| {
            // A reclaimer may panic.
            unwind::call_keeping(ffi::is_ok, || {
                // SAFETY: the budget is alive. The request is null or one of this budget, and the
                // waker lives until `wake` was called or it was withdrawn.
                unsafe {
                    let error = error.as_mut_ptr();
                    ffi::aegis_budget_poll_charge(raw, bytes, request, wake, waker, error)
                }
            })
        });
        if status == Ok(ffi::AEGIS_PENDING as ffi::aegis_status) {
            return Poll::Pending;
        }
        let budget = this.budget.take().expect("it was there");
        Poll::Ready(status.and_then(|status| {
            if ffi::is_ok(&status) {
                return Ok(Reservation::of_charge(budget, bytes));
            }
            // SAFETY: the record is written on failure, and the budget in it is this one or an
            // ancestor.
            Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
        }))
    }
}

impl fmt::Debug for ReserveAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReserveAsync").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl RawRequest for ffi::aegis_budget_request {
    unsafe fn disarm(raw: *mut Self) -> bool {
        // SAFETY: the caller's contract is that of the call.
        unsafe { ffi::aegis_budget_request_disarm(raw) }
    }

    unsafe fn cancel(raw: *mut Self) -> bool {
        // SAFETY: the caller's contract is that of the call.
        unsafe { ffi::aegis_budget_request_cancel(raw) }
    }
}
