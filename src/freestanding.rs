// SPDX-License-Identifier: Apache-2.0
//! Where there is no C library: Rust's allocator is the default source of the core, for objects that
//! are given none and for the records of budgets. The core calls these two functions by their names.

use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::{self, NonNull};

use crate::source::{BlockSource, Global};

#[no_mangle]
extern "C" fn aegis_i_rust_acquire(
    _context: *mut c_void,
    size_bytes: usize,
    align_bytes: usize,
    zeroed: &mut bool,
) -> *mut c_void {
    let Ok(layout) = Layout::from_size_align(size_bytes, align_bytes) else {
        return ptr::null_mut();
    };
    match Global.acquire(layout) {
        Some(block) => {
            *zeroed = block.zeroed;
            block.memory.as_ptr().cast()
        }
        None => ptr::null_mut(),
    }
}

/// # Safety
///
/// - `memory` came from the function above with this size and alignment.
#[no_mangle]
unsafe extern "C" fn aegis_i_rust_release(
    _context: *mut c_void,
    memory: NonNull<c_void>,
    size_bytes: usize,
    align_bytes: usize,
) {
    // SAFETY: the two are those of a layout, because the memory was acquired with them.
    let layout = unsafe { Layout::from_size_align_unchecked(size_bytes, align_bytes) };
    // SAFETY: the caller vouches for it.
    unsafe { Global.release(memory.cast(), layout) }
}
