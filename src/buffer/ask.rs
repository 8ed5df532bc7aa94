// SPDX-License-Identifier: Apache-2.0
//! How the core is asked for memory: the budget as it takes it, the handles that it fills in, and the
//! error when there was none.

use core::mem::MaybeUninit;
use core::ptr;

use crate::budget::MemoryBudget;
use crate::error::AllocError;
use crate::ffi;

/// A budget as C takes it.
pub(super) fn raw_budget(budget: Option<&MemoryBudget>) -> *mut ffi::aegis_budget {
    budget.map_or(ptr::null_mut(), MemoryBudget::as_raw)
}

/// Calls the core for memory, and says why there was none. Inside `unwind::call` or
/// `unwind::call_keeping`: the call may run user code.
///
/// # Safety
///
/// The function writes the record when it fails, and the budget in it is alive for this call.
pub(super) unsafe fn ask(
    function: impl FnOnce(*mut ffi::aegis_error) -> ffi::aegis_status,
) -> Result<(), AllocError> {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    match function(error.as_mut_ptr()) {
        0 => Ok(()),
        // SAFETY: the caller vouches for record and budget.
        _ => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
    }
}

/// What the C core fills in: no buffer yet.
pub(super) const NONE: ffi::aegis_buffer =
    ffi::aegis_buffer { data: ptr::null(), length: 0, owner: ptr::null_mut() };

/// What the C core fills in: no writer yet.
pub(super) const NO_WRITER: ffi::aegis_buffer_mut = ffi::aegis_buffer_mut {
    data: ptr::null_mut(),
    length: 0,
    capacity: 0,
    owner: ptr::null_mut(),
    initialized: 0,
};
