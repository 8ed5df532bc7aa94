// SPDX-License-Identifier: Apache-2.0
//! What tests/bare_parts/run_wasm.mjs calls.

use core::ffi::CStr;
use core::panic::PanicInfo;

#[link(wasm_import_module = "env")]
extern "C" {
    fn program_print(text: *const core::ffi::c_char);
}

fn print(text: &CStr) {
    // SAFETY: the text ends with a zero byte.
    unsafe { program_print(text.as_ptr()) }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    print(&crate::said(info));
    core::arch::wasm32::unreachable()
}

#[no_mangle]
extern "C" fn program() -> usize {
    crate::program();
    print(c"rust: all checks passed\n");
    0
}
