// SPDX-License-Identifier: Apache-2.0
//! Budgets that are sized from the machine.

use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use super::tree::MemoryBudget;
use crate::error::AllocError;
use crate::ffi;

impl MemoryBudget {
    /// Makes a budget without a parent whose limit is a share of the memory that this process may
    /// use. `share` is above 0 and at most 1.
    ///
    /// That memory is the smallest of the machine's physical memory, the limits of the process's
    /// control groups on Linux (version 2: `memory.max` and `memory.high`; version 1), and the
    /// address space. The name of the budget says which of them it was, for instance
    /// `80% of cgroup v2 memory.max` or `80% of physical memory`. The budget does not follow later
    /// changes. `aegis_memory/budget_system.h` has the details.
    ///
    /// # Errors
    ///
    /// [`AllocError::Invalid`] for a share that is not above 0 and at most 1.
    /// [`AllocError::Unsupported`] when the system does not say how much memory it has, or this
    /// crate does not know how to ask it. [`AllocError::OutOfMemory`] when the C heap has no memory
    /// for the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::budget::MemoryBudget;
    ///
    /// let process = MemoryBudget::of_system(0.8)?;
    /// let database = process.child("database", process.limit() / 2);
    /// assert!(process.name().starts_with("80% of "));
    /// # drop(database);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn of_system(share: f64) -> Result<Self, AllocError> {
        let (mut raw, mut error) = (ptr::null_mut(), MaybeUninit::uninit());
        // SAFETY: both places can be written.
        unsafe { ffi::aegis_budget_of_system(&mut raw, share, error.as_mut_ptr()) };
        match NonNull::new(raw) {
            // The reference that the call has made is now this handle's.
            Some(raw) => Ok(Self { raw }),
            // SAFETY: the failing call has written the record, which names no budget.
            None => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
        }
    }
}
