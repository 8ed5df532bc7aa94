// SPDX-License-Identifier: Apache-2.0
//! Why a budget refused a charge. The record holds everything inline, so that it needs only one
//! allocation, which may fail.

use core::fmt;
use core::mem::MaybeUninit;

use super::budget_name::c_name;
use super::budget_stats::BudgetStats;
use crate::ffi;
use crate::lines::write_lossy;
use crate::short_list::ShortList;

/// The largest number of consumers that a refusal names.
const CONSUMERS: usize = 3;

/// What of a budget refused a charge.
///
/// # Examples
///
/// ```
/// use aegis_memory::budget::{MemoryBudget, RefusalReason};
/// use aegis_memory::AllocError;
///
/// let error = MemoryBudget::new("query", 1000).try_reserve(2000).unwrap_err();
/// let AllocError::LimitExceeded { refusal: Some(refusal), .. } = error else { panic!("{error}") };
/// assert_eq!(refusal.reason, RefusalReason::Limit);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum RefusalReason {
    /// The limit of the budget.
    #[default]
    Limit = ffi::AEGIS_REFUSED_LIMIT as u8,
    /// Its fair share of its parent's room, which is less than its limit. In the error the share
    /// stands in the place of the limit.
    Share = ffi::AEGIS_REFUSED_SHARE as u8,
    /// Requests that came earlier wait at the budget, or wait further up and have been promised the
    /// bytes. What they ask for counts as in use.
    Queue = ffi::AEGIS_REFUSED_QUEUE as u8,
    /// The limit or the share, and nothing was reclaimed, because the thread is running a reclaimer
    /// or a pressure callback of the same tree.
    Nested = ffi::AEGIS_REFUSED_NESTED as u8,
    /// The limit, because of the bytes that budgets beneath are guaranteed and do not use. They
    /// count as in use.
    Guarantee = ffi::AEGIS_REFUSED_GUARANTEE as u8,
}

impl RefusalReason {
    fn from_raw(raw: u32) -> Self {
        let all = [Self::Share, Self::Queue, Self::Nested, Self::Guarantee];
        all.into_iter().find(|&reason| reason as u32 == raw).unwrap_or_default()
    }
}

/// Why a budget refused a charge.
///
/// # Examples
///
/// ```
/// use aegis_memory::{budget::MemoryBudget, AllocError};
///
/// let query = MemoryBudget::new("query", 1000);
/// let (sort, join) = (query.child("sort", 1000), query.child("join", 1000));
/// let held = sort.reserve(900);
/// let error = join.try_reserve(200).unwrap_err();
/// let AllocError::LimitExceeded { refusal: Some(refusal), .. } = error else { panic!("{error}") };
/// assert_eq!(refusal.budget.name.as_str(), "query");
/// assert_eq!(refusal.consumers[0].name.as_str(), "sort");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetRefusal {
    /// The budget that refused: the one charged or an ancestor of it. Its limit and its use are
    /// those that the charge found.
    pub budget: BudgetStats,
    /// Bytes charged to it directly and not through a child.
    pub direct_bytes: usize,
    /// The largest budgets beneath it at any depth, at most three, the largest first. Their
    /// `used_bytes` are the bytes charged to them directly and not through a child.
    pub consumers: ShortList<BudgetStats, CONSUMERS>,
    /// What of that budget refused.
    pub reason: RefusalReason,
    pub(super) requested_bytes: usize,
    needed_bytes: usize,
}

impl BudgetRefusal {
    /// The record of a charge that a budget has just refused, from the error of that call.
    ///
    /// # Safety
    ///
    /// - The budget in the error is alive.
    pub(super) unsafe fn read(error: &ffi::aegis_error) -> Self {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: the caller vouches for the budget; the call writes the whole record.
        let raw: ffi::aegis_budget_refusal = unsafe {
            ffi::aegis_budget_get_refusal(error, raw.as_mut_ptr());
            raw.assume_init()
        };
        let consumers = &raw.consumers[..raw.consumer_count];
        Self {
            budget: BudgetStats::from_raw(&raw.budget),
            direct_bytes: raw.direct_bytes,
            consumers: ShortList::of(consumers.iter().map(BudgetStats::from_raw)),
            reason: RefusalReason::from_raw(raw.reason),
            requested_bytes: raw.requested_bytes,
            needed_bytes: raw.needed_bytes,
        }
    }
}

/// The statistics as the core stores them.
fn figures_of(stats: &BudgetStats) -> ffi::aegis_budget_figures {
    ffi::aegis_budget_figures {
        name: c_name(&stats.name),
        used_bytes: stats.used_bytes,
        peak_bytes: stats.peak_bytes,
        limit_bytes: stats.limit_bytes,
        depth: stats.depth,
        level: stats.level,
        waiting_count: stats.waiting_count,
        refused_count: stats.refused_count,
        wait_count: stats.wait_count,
        timeout_count: stats.timeout_count,
        reclaim_count: stats.reclaim_count,
        reclaimed_bytes: stats.reclaimed_bytes,
    }
}

impl fmt::Display for BudgetRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = ffi::aegis_budget_refusal {
            budget: figures_of(&self.budget),
            requested_bytes: self.requested_bytes,
            needed_bytes: self.needed_bytes,
            direct_bytes: self.direct_bytes,
            consumer_count: self.consumers.len(),
            consumers: [figures_of(&BudgetStats::default()); CONSUMERS],
            reason: self.reason as u32,
        };
        for (to, from) in raw.consumers.iter_mut().zip(&self.consumers) {
            *to = figures_of(from);
        }
        let mut text = [0_u8; 640];
        // SAFETY: the buffer has room for the given number of bytes.
        let length =
            unsafe { ffi::aegis_budget_explain(&raw, text.as_mut_ptr().cast(), text.len()) };
        write_lossy(f, &text[..length.min(text.len() - 1)])
    }
}
