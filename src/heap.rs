// SPDX-License-Identifier: Apache-2.0
//! Allocation from Rust's heap that can fail. A function that returns a `Result` or an `Option`
//! allocates by [`try_box`] or by the `try_reserve` of a collection. `tests/out_of_memory.rs`
//! checks every such function.

use alloc::boxed::Box;
use core::alloc::Layout;

/// A value in a box, or the value again when there is no memory for it.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, T> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        // A value without a size needs no allocation.
        return Ok(Box::new(value));
    }
    // SAFETY: the size is not 0.
    let memory = unsafe { alloc::alloc::alloc(layout) }.cast::<T>();
    if memory.is_null() {
        return Err(value);
    }
    // SAFETY: new memory with the layout of the type.
    unsafe { memory.write(value) };
    // SAFETY: the memory was allocated as a box allocates, and was initialised above.
    Ok(unsafe { Box::from_raw(memory) })
}
