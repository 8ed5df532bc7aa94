// SPDX-License-Identifier: Apache-2.0
//! The statistics of one budget, which are also part of a refusal.

use super::budget_name::BudgetName;
use crate::ffi;
use crate::lines::display_lines;

/// The statistics of one budget, in bytes.
///
/// # Examples
///
/// ```
/// let budget = aegis_memory::budget::MemoryBudget::new("query", 1000);
/// let held = budget.reserve(100);
/// let stats = budget.stats();
/// assert_eq!((stats.used_bytes, stats.limit_bytes, stats.peak_bytes), (100, 1000, 100));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BudgetStats {
    /// Its name, cut to 47 bytes.
    pub name: BudgetName,
    /// Bytes charged now, to it and its descendants.
    pub used_bytes: usize,
    /// The largest use since the budget was made, or since
    /// [`take_peak`](crate::budget::MemoryBudget::take_peak).
    pub peak_bytes: usize,
    /// The limit. [`MemoryBudget::UNLIMITED`](crate::budget::MemoryBudget::UNLIMITED) when there is
    /// none.
    pub limit_bytes: usize,
    /// 0 for the budget that was asked for its statistics, 1 for its children, and so on.
    pub depth: u32,
    /// Its distance from the root, which has 0.
    pub level: u32,
    /// Requests that wait now until this budget has room.
    pub waiting_count: usize,
    /// Charges that this budget refused since it was made. A charge that an ancestor refused counts
    /// there. A request that waits, in a thread or as a future, counts only if it ends refused. If
    /// an object is refused a larger block than it needs, and then asks for a smaller one, only the
    /// last charge counts.
    pub refused_count: u64,
    /// Requests that have waited because this budget had no room.
    pub wait_count: u64,
    /// Those of them whose time was up.
    pub timeout_count: u64,
    /// How often reclaimers were asked for memory because this budget had no room.
    pub reclaim_count: u64,
    /// Bytes that the reclaimers then said that they gave back.
    pub reclaimed_bytes: u64,
}

display_lines!(BudgetStats {
    name: Text,
    used_bytes: Bytes,
    peak_bytes: Bytes,
    limit_bytes: Limit,
    depth: Count,
    level: Count,
    waiting_count: Count,
    refused_count: Count,
    wait_count: Count,
    timeout_count: Count,
    reclaim_count: Count,
    reclaimed_bytes: TotalBytes,
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
            waiting_count: raw.waiting_count,
            refused_count: raw.refused_count,
            wait_count: raw.wait_count,
            timeout_count: raw.timeout_count,
            reclaim_count: raw.reclaim_count,
            reclaimed_bytes: raw.reclaimed_bytes,
        }
    }
}
