// SPDX-License-Identifier: Apache-2.0
//! A request of the core that a future polls, and the waker that it lends to the core.
//!
//! The core calls each waker at most once, on any thread, and says in `disarm` and `cancel` whether
//! it has done so. The invariants:
//!
//! 1. A waker lies in a box of its own, which belongs either to the [`Request`] or to the call of
//!    [`wake`] for it. It is lent from the moment when it is given to a poll of the core.
//! 2. Before the next poll, and at the end, `disarm` or `cancel` settles whose it is. True: the core
//!    never uses it again, so it is the request's. False: it is, or was, that of [`wake`], and the
//!    request forgets it.
//! 3. A poll that does not leave a request behind has not kept the waker: then it is still the
//!    request's (`lent` counts only while `raw` is not null).
//!
//! So a waker is never used after its drop, and each is dropped once. A poll that gives the result
//! allocates nothing: without a box at hand, the core is first polled without a waker.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::mem;
use core::ptr::{self, NonNull};
use core::task::{Context, Waker};

use crate::error::AllocError;
use crate::{ffi, heap, unwind};

/// What the core has for each kind of request.
pub(crate) trait RawRequest {
    /// Withdraws the waker. False if it was called or is being called.
    ///
    /// # Safety
    ///
    /// - `raw` is a request that waits, and no other thread uses it.
    unsafe fn disarm(raw: *mut Self) -> bool;

    /// Ends the request. False as for [`disarm`](Self::disarm).
    ///
    /// # Safety
    ///
    /// - As for [`disarm`](Self::disarm). The request is not used again.
    unsafe fn cancel(raw: *mut Self) -> bool;
}

/// A request that is cancelled when it is dropped.
pub(crate) struct Request<R: RawRequest> {
    /// Null: the request is not made yet, or has ended.
    raw: *mut R,
    /// The box of a waker. It is the core's, if it is lent.
    waker: Option<NonNull<Waker>>,
    lent: bool,
}

// SAFETY: any thread may use a request of the core, one at a time, and a waker is `Send`.
#[cfg(aegis_threads)]
unsafe impl<R: RawRequest> Send for Request<R> {}
// SAFETY: a shared reference can do nothing.
#[cfg(aegis_threads)]
unsafe impl<R: RawRequest> Sync for Request<R> {}

impl<R: RawRequest> Request<R> {
    pub(crate) const fn new() -> Self {
        Self { raw: ptr::null_mut(), waker: None, lent: false }
    }

    /// Polls the core, which is given a place for the request and a waker. Returns its status. If
    /// there is no memory for the waker, the request has ended.
    pub(crate) fn poll(
        &mut self,
        context: &Context<'_>,
        mut core: impl FnMut(*mut *mut R, ffi::aegis_wake_fn, *mut c_void) -> ffi::aegis_status,
    ) -> Result<ffi::aegis_status, AllocError> {
        if !self.raw.is_null() {
            let raw = self.raw;
            // SAFETY: the request waits, and this is its owner.
            self.take_back(|| unsafe { R::disarm(raw) });
        }
        if self.waker.is_none() {
            let status = core(&mut self.raw, None, ptr::null_mut());
            if self.raw.is_null() {
                return Ok(status);
            }
        }
        let Some(waker) = self.renew(context.waker()) else {
            self.end();
            return Err(AllocError::no_memory_for::<Waker>());
        };
        // Also if a panic of the source leaves this function now.
        self.lent = true;
        let status = core(&mut self.raw, Some(wake), waker.as_ptr().cast());
        self.lent = !self.raw.is_null();
        Ok(status)
    }

    /// Takes the waker back from the core, or forgets it if the core has called it. If `settle`
    /// panics, the waker leaks.
    fn take_back(&mut self, settle: impl FnOnce() -> bool) {
        let lent = if self.lent { self.waker.take() } else { None };
        self.lent = false;
        if settle() && lent.is_some() {
            self.waker = lent;
        }
    }

    /// Makes the kept waker the task's. The waker is not lent.
    fn renew(&mut self, new: &Waker) -> Option<NonNull<Waker>> {
        if let Some(mut kept) = self.waker {
            // SAFETY: the waker is this request's.
            let kept = unsafe { kept.as_mut() };
            if !kept.will_wake(new) {
                *kept = new.clone();
            }
        } else {
            self.waker = heap::try_box(new.clone()).ok().map(|kept| NonNull::from(Box::leak(kept)));
        }
        self.waker
    }

    /// Ends the request, if it has not ended.
    fn end(&mut self) {
        let raw = mem::replace(&mut self.raw, ptr::null_mut());
        if !raw.is_null() {
            // SAFETY: the request waits, this is its owner, and nothing uses it again.
            self.take_back(|| unsafe { R::cancel(raw) });
        }
    }
}

impl<R: RawRequest> Drop for Request<R> {
    fn drop(&mut self) {
        self.end();
        if let Some(waker) = self.waker.take() {
            // SAFETY: a box that was leaked, and the core does not have it.
            drop(unsafe { Box::from_raw(waker.as_ptr()) });
        }
    }
}

/// The function that the core calls. A panic of the waker ends here, because the call that leads to
/// it has nothing to do with the task.
unsafe extern "C" fn wake(context: *mut c_void) {
    // SAFETY: the box of a waker that was lent, and this is the one call for it.
    let waker = unsafe { Box::from_raw(context.cast::<Waker>()) };
    unwind::swallow(move || waker.wake());
}
