// SPDX-License-Identifier: Apache-2.0
//! How the core is asked for memory: the budget that it is given, the empty structs that it fills
//! in, and the error when there is no memory.

use core::mem::MaybeUninit;
use core::ptr;

use crate::budget::MemoryBudget;
use crate::error::AllocError;
use crate::{ffi, unwind};

/// The pointer to a budget that C expects: null for none.
#[inline]
pub(super) fn raw_budget(budget: Option<&MemoryBudget>) -> *mut ffi::aegis_budget {
    budget.map_or(ptr::null_mut(), MemoryBudget::as_raw)
}

/// Calls the core for memory, and returns the reason when there is none. Callers are inside
/// `unwind::call` or `unwind::call_keeping`, because the core may run user code.
///
/// # Safety
///
/// The function writes the record when it fails. The budget in the record is alive during this
/// call.
#[inline]
pub(super) unsafe fn ask(
    function: impl FnOnce(*mut ffi::aegis_error) -> ffi::aegis_status,
) -> Result<(), AllocError> {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    match function(error.as_mut_ptr()) {
        0 => Ok(()),
        // SAFETY: the caller guarantees that the record is written and that the budget is alive.
        _ => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
    }
}

/// The same inside of [`unwind::call_keeping`]. What passes through that is the status and not the
/// `Result`, whose first byte would be stored and then copied with its neighbours, for which the
/// processor waits.
///
/// # Safety
///
/// As for [`ask`].
#[inline]
pub(super) unsafe fn ask_keeping(
    function: impl FnOnce(*mut ffi::aegis_error) -> ffi::aegis_status,
) -> Result<(), AllocError> {
    let call = |error| unwind::call_keeping(ffi::is_ok, || function(error));
    // SAFETY: the caller's contract is the same.
    unsafe { ask(call) }
}

/// A struct for the core to fill in. It is no buffer yet.
pub(super) const NONE: ffi::aegis_buffer =
    ffi::aegis_buffer { data: ptr::null(), length: 0, owner: ptr::null_mut() };

/// A struct for the core to fill in. It is no writer yet.
pub(super) const NO_WRITER: ffi::aegis_buffer_mut = ffi::aegis_buffer_mut {
    data: ptr::null_mut(),
    length: 0,
    capacity: 0,
    owner: ptr::null_mut(),
    initialized: 0,
};
