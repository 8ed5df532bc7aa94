// SPDX-License-Identifier: Apache-2.0
//! Rust's heap, asked so that it can say no. What returns a `Result` or an `Option` allocates like
//! this, or by the `try_reserve` of a collection: `tests/out_of_memory.rs` holds every such call to it.

use alloc::boxed::Box;
use core::alloc::Layout;

use crate::error::AllocError;

/// A value in a box, or the value again and why there is none.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, (T, AllocError)> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        // Nothing is allocated for it.
        return Ok(Box::new(value));
    }
    // SAFETY: the size is not 0.
    let memory = unsafe { alloc::alloc::alloc(layout) }.cast::<T>();
    if memory.is_null() {
        return Err((value, AllocError::out_of_memory(layout.size(), layout.align(), 0)));
    }
    // SAFETY: memory of the type's layout, which is nobody else's.
    unsafe { memory.write(value) };
    // SAFETY: allocated as a box allocates, and initialised above.
    Ok(unsafe { Box::from_raw(memory) })
}
