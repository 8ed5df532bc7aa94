// SPDX-License-Identifier: Apache-2.0
//! A tree of budgets as text.

use core::fmt;

use super::tree::MemoryBudget;
use crate::ffi;
use crate::lines::draw;

impl fmt::Display for MemoryBudget {
    /// Draws the tree from this budget down. The line of a budget has its name, its use as a bar
    /// and in bytes, its peak and its limit. If more was in use when the peak of this budget
    /// was recorded than now, a last line says what the largest consumers held then: see
    /// [`peak_report`](MemoryBudget::peak_report).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        draw(f, |print, context| {
            // SAFETY: the budget is alive, and the function matches the context.
            let status = unsafe { ffi::aegis_budget_print(self.as_raw(), Some(print), context) };
            status == ffi::AEGIS_OK as ffi::aegis_status
        })
    }
}
