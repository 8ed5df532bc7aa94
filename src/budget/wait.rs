// SPDX-License-Identifier: Apache-2.0
//! Requests for room, those that wait for it, and the end of all waiting. The core has the queues
//! (`csrc/budget/wait.c`).

use core::mem::MaybeUninit;
use core::time::Duration;

use super::reservation::Reservation;
use super::tree::MemoryBudget;
use crate::error::AllocError;
use crate::{ffi, unwind};

impl MemoryBudget {
    /// The reservation of the bytes that `charge` has charged to this budget, or its error. A
    /// `charge` that fails writes the record, with this budget or an ancestor in it.
    pub(super) fn charged(
        &self,
        bytes: usize,
        charge: impl FnOnce(*mut ffi::aegis_error) -> ffi::aegis_status,
    ) -> Result<Reservation, AllocError> {
        let mut error = MaybeUninit::uninit();
        let status = unwind::call_keeping(ffi::is_ok, || charge(error.as_mut_ptr()));
        if !ffi::is_ok(&status) {
            // SAFETY: the failing call has written the record. The budget that refused is this one
            // or an ancestor of it, so it is alive.
            return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
        }
        Ok(Reservation::of_charge(self.clone(), bytes))
    }

    /// Charges memory that does not come from this crate, and waits for room if that is necessary:
    /// at most `timeout`, and with `Duration::MAX` without a limit. Reclaimers are asked before the
    /// wait.
    ///
    /// Requests that wait at a budget get room in the order in which they came. Meanwhile the budget
    /// refuses requests that do not wait, so that small requests do not starve a large one.
    ///
    /// # Errors
    ///
    /// [`AllocError::LimitExceeded`] when the time is over. At that moment the call tries once more,
    /// and the error is that of this last attempt. From inside a reclaimer the call does not wait.
    /// [`AllocError::Closed`] when this budget or an ancestor is closed before or during the wait.
    /// [`AllocError::Forked`] in a child process, if another thread was changing the tree while the
    /// process forked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// use std::time::Duration;
    /// let budget = MemoryBudget::new("query", 1000);
    /// let held = budget.reserve(900);
    /// std::thread::scope(|threads| {
    ///     let waits = threads.spawn(|| budget.reserve_timeout(500, Duration::from_secs(60)));
    ///     drop(held);
    ///     assert!(waits.join().unwrap().is_ok());
    /// });
    /// ```
    pub fn reserve_timeout(
        &self,
        bytes: usize,
        timeout: Duration,
    ) -> Result<Reservation, AllocError> {
        // The largest value is AEGIS_WAIT_FOREVER.
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: the budget is alive. A call that fails writes the record.
        self.charged(bytes, |error| unsafe {
            ffi::aegis_budget_charge_timeout(self.as_raw(), bytes, timeout_ns, error)
        })
    }

    /// How many requests wait at this budget: those that have its room to wait for, and not the room
    /// of an ancestor.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// assert_eq!(MemoryBudget::new("query", 1000).waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        self.terms().waiting_count
    }

    /// Closes the budget for good. All charges to it and to the budgets beneath it then fail with
    /// [`AllocError::Closed`], also those that wait. What is charged stays charged until it is freed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let query = MemoryBudget::new("query", 1000);
    /// query.close(); // it is cancelled
    /// assert!(query.try_reserve(1).is_err());
    /// ```
    pub fn close(&self) {
        // SAFETY: the budget is alive.
        unsafe { ffi::aegis_budget_close(self.as_raw()) }
    }

    /// Whether this budget or an ancestor was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let query = MemoryBudget::new("query", 1000);
    /// let sort = query.child("sort", 1000);
    /// query.close();
    /// assert!(sort.is_closed());
    ///
    /// ```
    pub fn is_closed(&self) -> bool {
        self.terms().closed != 0
    }
}
