// SPDX-License-Identifier: Apache-2.0
//! The statistics of one budget, which are also part of a refusal.

use super::budget_name::BudgetName;
use crate::ffi;
use crate::lines::display_lines;

/// The statistics of one budget, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BudgetStats {
    /// Its name, cut to 47 bytes.
    pub name: BudgetName,
    /// Bytes charged now, to it and its descendants.
    pub used_bytes: usize,
    /// The largest use so far.
    pub peak_bytes: usize,
    /// The limit. [`MemoryBudget::UNLIMITED`](crate::budget::MemoryBudget::UNLIMITED) when there is
    /// none.
    pub limit_bytes: usize,
    /// 0 for the budget that was asked for its statistics, 1 for its children, and so on.
    pub depth: u32,
    /// Its distance from the root, which has 0.
    pub level: u32,
}

display_lines!(BudgetStats {
    name: Text,
    used_bytes: Bytes,
    peak_bytes: Bytes,
    limit_bytes: Limit,
    depth: Count,
    level: Count,
});

impl BudgetStats {
    pub(crate) fn from_raw(raw: &ffi::aegis_budget_figures) -> Self {
        Self {
            name: BudgetName::from_raw(&raw.name),
            used_bytes: raw.used_bytes,
            peak_bytes: raw.peak_bytes,
            limit_bytes: raw.limit_bytes,
            depth: raw.depth,
            level: raw.level,
        }
    }
}
