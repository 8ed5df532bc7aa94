// SPDX-License-Identifier: Apache-2.0
//! The terms of a budget, all of which may change at run time: its limit, its guarantee, its weight
//! and its policy. The core applies them to charges (`csrc/budget/gate.c`).

use core::mem::MaybeUninit;

use super::tree::MemoryBudget;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

/// How a budget divides its room among its children.
///
/// # Examples
///
/// ```
/// use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
///
/// let query = MemoryBudget::new("query", 1000);
/// query.set_policy(BudgetPolicy::Fair);
/// let (sort, join) = (query.child("sort", 1000), query.child("join", 1000));
/// assert!(sort.try_reserve(600).is_err(), "the join may have half");
/// assert!(sort.try_reserve(500).is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum BudgetPolicy {
    /// First come, first served.
    #[default]
    Greedy = ffi::AEGIS_BUDGET_GREEDY as u8,
    /// Each child with a weight has a share of the room by its weight, and no more: of the limit,
    /// without what is guaranteed, and without what is charged to the budget directly or to children
    /// of weight 0. A child has its share as long as it exists, used or not.
    Fair = ffi::AEGIS_BUDGET_FAIR as u8,
}

impl MemoryBudget {
    /// The weight of a new budget.
    pub const DEFAULT_WEIGHT: u32 = ffi::AEGIS_BUDGET_DEFAULT_WEIGHT;
    /// The largest weight.
    pub const MAX_WEIGHT: u32 = ffi::AEGIS_BUDGET_MAX_WEIGHT;

    pub(super) fn terms(&self) -> ffi::aegis_budget_terms {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: the budget is alive; the call writes the whole struct.
        unsafe {
            ffi::aegis_budget_get_terms(self.as_raw(), raw.as_mut_ptr());
            raw.assume_init()
        }
    }

    /// Changes something of the budget by a call that writes the record when it fails.
    fn change(
        &self,
        set: impl FnOnce(*mut ffi::aegis_error) -> ffi::aegis_status,
    ) -> Result<(), AllocError> {
        let mut error = MaybeUninit::uninit();
        if ffi::is_ok(&set(error.as_mut_ptr())) {
            return Ok(());
        }
        // SAFETY: the failing call has written the record. The budget in it is an ancestor of this
        // one, so it is alive.
        Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
    }

    /// Changes the limit. If more than that is in use, the reclaimers of this budget and of the
    /// budgets beneath it are asked for the excess. What they do not give back stays in use, and the
    /// budget refuses charges until the use has fallen.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// database.set_limit(100);
    /// assert!(database.try_reserve(200).is_err());
    /// ```
    pub fn set_limit(&self, limit: usize) {
        // SAFETY: the budget is alive.
        unwind::call(|| unsafe { ffi::aegis_budget_set_limit(self.as_raw(), limit) });
    }

    /// The bytes that are guaranteed to the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// let cache = database.child("cache", 1000);
    /// cache.set_guaranteed(300);
    /// assert_eq!(cache.guaranteed(), 300);
    /// ```
    pub fn guaranteed(&self) -> usize {
        self.terms().guaranteed_bytes
    }

    /// Guarantees bytes to the budget. They count in all its ancestors, used or not. So no growth of
    /// another budget can take them, and no reclaimer beneath this budget is asked for them on behalf
    /// of another one. 0 ends the guarantee.
    ///
    /// # Panics
    ///
    /// When [`try_set_guaranteed`](Self::try_set_guaranteed) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// let cache = database.child("cache", 1000);
    /// cache.set_guaranteed(300);
    /// assert!(database.child("query", 1000).try_reserve(800).is_err());
    /// assert!(cache.try_reserve(300).is_ok());
    /// ```
    #[track_caller]
    pub fn set_guaranteed(&self, bytes: usize) {
        expect(self.try_set_guaranteed(bytes));
    }

    /// Guarantees bytes to the budget, as [`set_guaranteed`](Self::set_guaranteed) says.
    ///
    /// # Errors
    ///
    /// [`AllocError::Invalid`] for more than the limit. [`AllocError::LimitExceeded`] when an
    /// ancestor has no room for the guarantee. [`AllocError::Forked`] in a child process, if another
    /// thread was changing the tree while the process forked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// let cache = database.child("cache", 100);
    /// assert!(cache.try_set_guaranteed(101).is_err(), "more than its limit");
    /// ```
    pub fn try_set_guaranteed(&self, bytes: usize) -> Result<(), AllocError> {
        // SAFETY: the budget is alive.
        self.change(|error| unsafe { ffi::aegis_budget_set_guarantee(self.as_raw(), bytes, error) })
    }

    /// The weight of the budget, which matters if the parent's policy is [`BudgetPolicy::Fair`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// assert_eq!(database.weight(), MemoryBudget::DEFAULT_WEIGHT);
    /// ```
    pub fn weight(&self) -> u32 {
        self.terms().weight
    }

    /// Changes the weight. A budget of weight 0 has no share: it may have what it can get, and that
    /// leaves less to be shared.
    ///
    /// # Panics
    ///
    /// When [`try_set_weight`](Self::try_set_weight) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// database.set_policy(BudgetPolicy::Fair);
    /// let (large, small) = (database.child("large", 1000), database.child("small", 1000));
    /// large.set_weight(3 * small.weight());
    /// assert_eq!((large.share(), small.share()), (750, 250));
    /// ```
    #[track_caller]
    pub fn set_weight(&self, weight: u32) {
        expect(self.try_set_weight(weight));
    }

    /// Changes the weight, as [`set_weight`](Self::set_weight) says.
    ///
    /// # Errors
    ///
    /// [`AllocError::Invalid`] for more than [`MAX_WEIGHT`](Self::MAX_WEIGHT).
    /// [`AllocError::Forked`] in a child process, if another thread was changing the tree while the
    /// process forked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// assert!(database.try_set_weight(MemoryBudget::MAX_WEIGHT + 1).is_err());
    /// ```
    pub fn try_set_weight(&self, weight: u32) -> Result<(), AllocError> {
        // SAFETY: the budget is alive.
        self.change(|error| unsafe { ffi::aegis_budget_set_weight(self.as_raw(), weight, error) })
    }

    /// The most that the budget may have in use at this moment: its fair share of the parent's room,
    /// but at most its limit. If the parent does not share, or the budget has weight 0: the limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// database.set_policy(BudgetPolicy::Fair);
    /// let operators = [(); 4].map(|()| database.child("operator", 1000));
    /// assert_eq!(operators[0].share(), 250);
    /// ```
    pub fn share(&self) -> usize {
        self.terms().share_bytes
    }

    /// How the budget divides its room among its children.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// assert_eq!(database.policy(), BudgetPolicy::Greedy);
    /// ```
    pub fn policy(&self) -> BudgetPolicy {
        match self.terms().policy {
            ffi::AEGIS_BUDGET_FAIR => BudgetPolicy::Fair,
            _ => BudgetPolicy::Greedy,
        }
    }

    /// Chooses how the budget divides its room among its children. A new budget is greedy.
    ///
    /// # Panics
    ///
    /// When [`try_set_policy`](Self::try_set_policy) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// database.set_policy(BudgetPolicy::Fair);
    /// assert_eq!(database.policy(), BudgetPolicy::Fair);
    /// ```
    #[track_caller]
    pub fn set_policy(&self, policy: BudgetPolicy) {
        expect(self.try_set_policy(policy));
    }

    /// Chooses how the budget divides its room among its children, as
    /// [`set_policy`](Self::set_policy) says.
    ///
    /// # Errors
    ///
    /// [`AllocError::Invalid`] with [`What::UsedBudget`](crate::What::UsedBudget) when the budget has
    /// children or bytes in use. [`AllocError::Forked`] in a child process, if another thread was
    /// changing the tree while the process forked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
    /// # let database = MemoryBudget::new("database", 1000);
    /// let child = database.child("query", 1000);
    /// assert!(database.try_set_policy(BudgetPolicy::Fair).is_err(), "it has a child already");
    ///
    /// ```
    pub fn try_set_policy(&self, policy: BudgetPolicy) -> Result<(), AllocError> {
        // SAFETY: the budget is alive.
        self.change(|error| unsafe {
            ffi::aegis_budget_set_policy(self.as_raw(), policy as u32, error)
        })
    }
}
