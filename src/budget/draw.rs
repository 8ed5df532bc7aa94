// SPDX-License-Identifier: Apache-2.0
//! A tree of budgets as text.

use alloc::string::String;
use core::ffi::{c_char, c_void, CStr};
use core::fmt::{self, Write};

use super::tree::MemoryBudget;
use crate::error::write_lossy;
use crate::ffi;

impl fmt::Display for MemoryBudget {
    /// Draws the tree from this budget down. The line of a budget has its name, its use as a bar
    /// and in bytes, its peak and its limit. If more was in use when the peak of this budget
    /// was recorded than now, a last line says what the largest consumers held then: see
    /// [`peak_report`](MemoryBudget::peak_report).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The text so far, or `None` when there was no memory for it.
        struct Lines(Option<String>);
        impl Write for Lines {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let lines = self.0.as_mut().ok_or(fmt::Error)?;
                if lines.try_reserve(text.len()).is_err() {
                    self.0 = None;
                    return Err(fmt::Error);
                }
                lines.push_str(text);
                Ok(())
            }
        }
        unsafe extern "C" fn push(lines: *mut c_void, line: *const c_char) {
            // SAFETY: the context is `lines` below, and the line is terminated.
            let (lines, line) = unsafe { (&mut *lines.cast::<Lines>(), CStr::from_ptr(line)) };
            let is_first = lines.0.as_ref().is_some_and(String::is_empty);
            let separator = if is_first { "" } else { "\n" };
            // `lines` remembers a failure.
            _ = lines.write_str(separator).and_then(|()| write_lossy(lines, line.to_bytes()));
        }
        let mut lines = Lines(Some(String::new()));
        let context: *mut Lines = &mut lines;
        // SAFETY: the budget is alive, and `push` matches the type of the context.
        let status = unsafe { ffi::aegis_budget_print(self.as_raw(), Some(push), context.cast()) };
        match lines.0 {
            Some(lines) if status == ffi::AEGIS_OK as ffi::aegis_status => f.write_str(&lines),
            _ => f.write_str("(no memory to draw the budget)"),
        }
    }
}
