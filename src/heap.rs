// SPDX-License-Identifier: Apache-2.0
//! Rust's heap, asked so that it can say no. What returns a `Result` or an `Option` allocates like
//! this, or by the `try_reserve` of a collection: `tests/out_of_memory.rs` holds every such call to it.

use alloc::boxed::Box;
use core::alloc::Layout;

/// A value in a box, or the value again when there is no memory for it.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, T> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        // Nothing is allocated for it.
        return Ok(Box::new(value));
    }
    // SAFETY: the size is not 0.
    let memory = unsafe { alloc::alloc::alloc(layout) }.cast::<T>();
    if memory.is_null() {
        return Err(value);
    }
    // SAFETY: memory of the type's layout, which is nobody else's.
    unsafe { memory.write(value) };
    // SAFETY: allocated as a box allocates, and initialised above.
    Ok(unsafe { Box::from_raw(memory) })
}
