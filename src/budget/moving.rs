// SPDX-License-Identifier: Apache-2.0
//! How objects move to another budget: their methods, written once.

use core::mem::MaybeUninit;
use core::ptr;

use super::tree::MemoryBudget;
use crate::error::AllocError;
use crate::{ffi, unwind};

/// Calls the C function that moves an object to `budget`, or to none.
///
/// # Safety
///
/// - The function moves an object to the given budget, or writes the error and fails. A budget in
///   the error is the given one or an ancestor of it.
pub(crate) unsafe fn move_object(
    budget: Option<&MemoryBudget>,
    function: impl FnOnce(*mut ffi::aegis_budget, *mut ffi::aegis_error) -> ffi::aegis_status,
) -> Result<(), AllocError> {
    let mut error = MaybeUninit::uninit();
    let raw = budget.map_or(ptr::null_mut(), MemoryBudget::as_raw);
    // A reclaimer may panic.
    if ffi::is_ok(&unwind::call_keeping(ffi::is_ok, || function(raw, error.as_mut_ptr()))) {
        return Ok(());
    }
    // SAFETY: the failing call has written the record, and `budget` keeps the budget that refused.
    Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
}

/// Writes the methods that move an object to another budget: `$function` is the C function, `$raw`
/// its first argument, and `$access` how the object is borrowed. `$what` is what a move charges, and
/// `$more` is added to the errors.
macro_rules! move_methods {
    (
        $function:ident, ($($access:tt)*) $this:ident => $raw:expr, $what:literal
        $(, $more:literal)*
    ) => {
        #[doc = concat!("Charges ", $what, " to another budget instead of the present one, or with \
            `None` to no budget.")]
        ///
        /// The budgets above both count the bytes once at every moment, so it does not matter how
        /// full those are. The object keeps the new budget alive.
        ///
        /// # Panics
        ///
        /// When [`try_move_to`](Self::try_move_to) fails. Nothing has changed then.
        ///
        /// # Examples
        ///
        /// ```
        /// use aegis_memory::{arena::Arena, budget::MemoryBudget};
        ///
        /// let server = MemoryBudget::new("server", 1 << 20);
        /// let (query, cache) = (server.child("query", 1 << 20), server.child("cache", 1 << 20));
        /// let mut result = Arena::builder().budget(&query).build()?;
        /// result.alloc(1000);
        /// result.move_to(&cache); // it outlives the query
        /// assert!(query.used() == 0 && cache.used() >= 1000);
        /// result.move_to(None);
        /// assert_eq!(server.used(), 0);
        /// # Ok::<(), aegis_memory::AllocError>(())
        /// ```
        #[track_caller]
        pub fn move_to<'b>(
            $($access)* $this,
            budget: impl Into<Option<&'b $crate::budget::MemoryBudget>>,
        ) {
            $crate::error::expect($this.try_move_to(budget));
        }

        #[doc = concat!("Charges ", $what, " to another budget instead of the present one, or with \
            `None` to no budget.")]
        ///
        /// # Errors
        ///
        /// [`AllocError::LimitExceeded`](crate::AllocError::LimitExceeded) when the new budget
        /// refuses, or an ancestor of it that is not above the present one. Also when a common
        /// ancestor has no room for a guarantee that the move leaves unused.
        ///
        /// # Examples
        ///
        /// ```
        /// use aegis_memory::{arena::Arena, budget::MemoryBudget};
        ///
        /// let small = MemoryBudget::new("small", 10);
        /// let mut result = Arena::default();
        /// result.alloc(1000);
        /// assert!(result.try_move_to(&small).is_err());
        /// ```
        $(#[doc = $more])*
        pub fn try_move_to<'b>(
            $($access)* $this,
            budget: impl Into<Option<&'b $crate::budget::MemoryBudget>>,
        ) -> Result<(), $crate::AllocError> {
            // SAFETY: the object is alive, and borrowed as the C function demands. The function
            // writes the record when it fails.
            unsafe {
                $crate::budget::move_object(budget.into(), |budget, error| {
                    $crate::ffi::$function($raw, budget, error)
                })
            }
        }
    };
}

pub(crate) use move_methods;
