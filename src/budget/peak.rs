// SPDX-License-Identifier: Apache-2.0
//! What a budget remembers of its peak.

use core::fmt;
use core::mem::MaybeUninit;

use crate::error::{c_name, BudgetName};
use crate::ffi;
use crate::lines::write_lossy;
use crate::short_list::ShortList;

/// The largest number of consumers that a record names.
const CONSUMERS: usize = ffi::AEGIS_BUDGET_CONSUMERS as usize;

/// The peak of a budget, and what the largest consumers beneath it held at that time. As text it is
/// a sentence.
///
/// A consumer is a budget that bytes are charged to directly, not through a child. Consumers are
/// recorded by the thread whose charge raises the peak, but not at each rise: only if the peak comes
/// to at least 17/16 of the peak recorded before, and at least 1 byte above it. So the peak is less
/// than 1/16, or 1 byte, above `used_bytes`.
///
/// If other threads charge and release while a record is made, its numbers are of slightly different
/// moments, and bytes of a charge that is under way may count as charged directly. `used_bytes` is
/// what the record found. That may be lower than said above if others released memory between the
/// rise and the record, and higher than the peak by charges that were under way.
///
/// # Examples
///
/// ```
/// use aegis_memory::budget::MemoryBudget;
///
/// let server = MemoryBudget::new("server", 1000);
/// let held = server.child("sort", 1000).reserve(600);
/// let peak = server.peak_report();
/// assert_eq!((peak.peak_bytes, peak.direct_bytes), (600, 0));
/// assert_eq!(peak.consumers[0].direct_bytes, 600);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BudgetPeak {
    /// The name of the budget, cut to 47 bytes.
    pub name: BudgetName,
    /// The largest use since the budget was made, or since
    /// [`take_peak`](crate::budget::MemoryBudget::take_peak).
    pub peak_bytes: usize,
    /// What was in use when the consumers were recorded.
    pub used_bytes: usize,
    /// What was then charged to the budget directly and not through a child.
    pub direct_bytes: usize,
    /// The largest consumers beneath the budget at any depth, at most three, the largest first.
    pub consumers: ShortList<BudgetConsumer, CONSUMERS>,
}

/// A consumer in the record of a peak.
///
/// # Examples
///
/// ```
/// use aegis_memory::budget::MemoryBudget;
///
/// let server = MemoryBudget::new("server", 1000);
/// let held = server.child("sort", 1000).reserve(600);
/// let consumer = server.peak_report().consumers[0];
/// assert_eq!((consumer.name.as_str(), consumer.depth), ("sort", 1));
///
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BudgetConsumer {
    /// Its name, cut to 47 bytes.
    pub name: BudgetName,
    /// What was charged to it directly and not through a child.
    pub direct_bytes: usize,
    /// 1 for a child of the budget that the record is about, 2 for the children of these, and so on.
    pub depth: u32,
    /// Its distance from the root, which has 0.
    pub level: u32,
}

impl BudgetPeak {
    /// Reads the peak of a budget.
    ///
    /// # Safety
    ///
    /// - The budget is alive.
    pub(super) unsafe fn read(budget: *mut ffi::aegis_budget) -> Self {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: the caller vouches for the budget; the call writes the whole record.
        let raw: ffi::aegis_budget_peak = unsafe {
            ffi::aegis_budget_get_peak(budget, raw.as_mut_ptr());
            raw.assume_init()
        };
        let consumers = &raw.consumers[..raw.consumer_count];
        Self {
            name: BudgetName::from_raw(&raw.name),
            peak_bytes: raw.peak_bytes,
            used_bytes: raw.used_bytes,
            direct_bytes: raw.direct_bytes,
            consumers: ShortList::of(consumers.iter().map(|raw| BudgetConsumer {
                name: BudgetName::from_raw(&raw.name),
                direct_bytes: raw.direct_bytes,
                depth: raw.depth,
                level: raw.level,
            })),
        }
    }
}

/// A consumer as the core stores it.
fn raw_consumer(from: &BudgetConsumer) -> ffi::aegis_budget_consumer {
    ffi::aegis_budget_consumer {
        name: c_name(&from.name),
        direct_bytes: from.direct_bytes,
        depth: from.depth,
        level: from.level,
    }
}

impl fmt::Display for BudgetPeak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = ffi::aegis_budget_peak {
            name: c_name(&self.name),
            peak_bytes: self.peak_bytes,
            used_bytes: self.used_bytes,
            direct_bytes: self.direct_bytes,
            consumer_count: self.consumers.len(),
            consumers: [raw_consumer(&BudgetConsumer::default()); CONSUMERS],
        };
        for (to, from) in raw.consumers.iter_mut().zip(&self.consumers) {
            *to = raw_consumer(from);
        }
        let mut text = [0_u8; 640];
        // SAFETY: the buffer has room for the given number of bytes.
        let length =
            unsafe { ffi::aegis_budget_explain_peak(&raw, text.as_mut_ptr().cast(), text.len()) };
        write_lossy(f, &text[..length.min(text.len() - 1)])
    }
}
