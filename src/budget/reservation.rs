// SPDX-License-Identifier: Apache-2.0
//! Reservations: charges for memory that does not come from this crate. They can grow and shrink,
//! be split and merged, and move from one budget to another.
//!
//! Invariants:
//! 1. A reservation's `bytes` are charged to its `budget`. A call charges before it adds to `bytes`,
//!    and subtracts from `bytes` before it uncharges, so a panic in between loses no memory that is
//!    in use.
//! 2. Each byte belongs to one reservation: `split`, `take` and `merge` subtract what they add.

use core::mem::{self, MaybeUninit};

use super::moving::move_object;
use super::tree::MemoryBudget;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

/// Bytes charged to a budget for memory that does not come from this crate. When the reservation is
/// dropped, the bytes are uncharged.
///
/// A reservation can be divided and put together again, and its bytes can move to another budget. A
/// call that fails changes nothing.
///
/// ```
/// use aegis_memory::budget::MemoryBudget;
///
/// let database = MemoryBudget::new("database", 100);
/// let (query, cache) = (database.child("query", 100), database.child("cache", 50));
/// let mut table = query.reserve(80);
/// assert!(table.try_grow(21).is_err());
///
/// // A part of the query's result goes to the cache. The database counts it once all the time, so
/// // it does not matter that there is no room for a second copy.
/// let mut result = table.split(50);
/// result.move_to(&cache);
/// assert_eq!((query.used(), cache.used(), database.used()), (30, 50, 80));
/// assert_eq!(table.free(), 30);
/// assert_eq!(database.used(), 50);
/// ```
#[derive(Debug)]
#[must_use = "dropping a reservation releases it"]
pub struct Reservation {
    budget: MemoryBudget,
    bytes: usize,
}

impl MemoryBudget {
    /// Charges memory that does not come from this crate, until the reservation is dropped.
    ///
    /// # Panics
    ///
    /// When [`try_reserve`](Self::try_reserve) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let table = budget.reserve(600); // of memory that you take elsewhere
    /// assert_eq!(budget.used(), 600);
    /// drop(table);
    /// assert_eq!(budget.used(), 0);
    /// ```
    #[track_caller]
    pub fn reserve(&self, bytes: usize) -> Reservation {
        expect(self.try_reserve(bytes))
    }

    /// Charges memory that does not come from this crate, until the reservation is dropped.
    ///
    /// # Errors
    ///
    /// [`AllocError::LimitExceeded`] when this budget or an ancestor refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let table = budget.try_reserve(600)?;
    /// assert!(budget.try_reserve(600).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_reserve(&self, bytes: usize) -> Result<Reservation, AllocError> {
        charge(self, bytes)?;
        Ok(Reservation { budget: self.clone(), bytes })
    }

    /// Charges memory that does not come from this crate, even if there is no room for it. This is
    /// for memory that is in use already, or that the caller cannot do without.
    ///
    /// First it does what [`try_reserve`](Self::try_reserve) does before it fails: it asks
    /// reclaimers and calls the pressure callbacks. What is then still refused is charged beyond
    /// the limits, also to a closed budget. Those budgets refuse all other charges until their use
    /// has fallen. No refusal is counted.
    ///
    /// ```
    /// use aegis_memory::budget::MemoryBudget;
    ///
    /// let query = MemoryBudget::new("query", 100);
    /// let table = query.reserve(80);
    /// let batch = query.force_reserve(50); // it has arrived, whether there is room or not
    /// assert_eq!(query.used(), 130);
    /// assert!(query.try_reserve(1).is_err());
    /// drop(table);
    /// assert!(query.try_reserve(50).is_ok());
    /// # drop(batch);
    /// ```
    pub fn force_reserve(&self, bytes: usize) -> Reservation {
        force_charge(self, bytes);
        Reservation { budget: self.clone(), bytes }
    }
}

impl Reservation {
    /// The reservation of bytes that are charged to the budget already.
    pub(super) fn of_charge(budget: MemoryBudget, bytes: usize) -> Self {
        Self { budget, bytes }
    }

    /// The bytes reserved.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// assert_eq!(budget.reserve(600).bytes(), 600);
    /// ```
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The budget that the bytes are charged to.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// assert_eq!(budget.reserve(600).budget().name(), "query");
    /// ```
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Charges `bytes` more.
    ///
    /// # Panics
    ///
    /// When [`try_grow`](Self::try_grow) fails. The reservation is then as before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// table.grow(100);
    /// assert_eq!(budget.used(), 700);
    /// ```
    #[track_caller]
    pub fn grow(&mut self, bytes: usize) {
        expect(self.try_grow(bytes));
    }

    /// Charges `bytes` more.
    ///
    /// # Errors
    ///
    /// [`AllocError::LimitExceeded`] when the budget or an ancestor refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// assert!(table.try_grow(500).is_err());
    /// assert_eq!(table.bytes(), 600);
    /// ```
    pub fn try_grow(&mut self, bytes: usize) -> Result<(), AllocError> {
        charge(&self.budget, bytes)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Charges `bytes` more, even if there is no room for them: see
    /// [`force_reserve`](MemoryBudget::force_reserve).
    ///
    /// # Panics
    ///
    /// When the reservation would have more than `usize::MAX` bytes. It is then as before.
    ///
    /// # Examples
    ///
    /// ```
    /// let budget = aegis_memory::budget::MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// table.force_grow(900); // the memory is there already
    /// assert_eq!(budget.used(), 1500);
    ///
    /// ```
    #[track_caller]
    pub fn force_grow(&mut self, bytes: usize) {
        let sum = self.bytes.checked_add(bytes);
        let sum = sum.expect("a reservation has at most usize::MAX bytes");
        force_charge(&self.budget, bytes);
        self.bytes = sum;
    }

    /// Uncharges `bytes` of the reservation.
    ///
    /// # Panics
    ///
    /// When the reservation has fewer bytes. It is then as before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// table.shrink(100);
    /// assert_eq!(budget.used(), 500);
    /// ```
    #[track_caller]
    pub fn shrink(&mut self, bytes: usize) {
        self.subtract(bytes);
        uncharge(&self.budget, bytes);
    }

    /// Makes the reservation `bytes` large: charges what is missing, or uncharges what is too much.
    ///
    /// # Panics
    ///
    /// When [`try_resize`](Self::try_resize) fails. The reservation is then as before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// table.resize(100);
    /// assert_eq!(budget.used(), 100);
    /// ```
    #[track_caller]
    pub fn resize(&mut self, bytes: usize) {
        expect(self.try_resize(bytes));
    }

    /// Makes the reservation `bytes` large: charges what is missing, or uncharges what is too much.
    ///
    /// # Errors
    ///
    /// [`AllocError::LimitExceeded`] when the budget or an ancestor refuses. A size that is not larger
    /// is never refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// table.try_resize(1000)?;
    /// assert!(table.try_resize(1001).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_resize(&mut self, bytes: usize) -> Result<(), AllocError> {
        if bytes > self.bytes {
            return self.try_grow(bytes - self.bytes);
        }
        self.shrink(self.bytes - bytes);
        Ok(())
    }

    /// Moves `bytes` of the reservation into a new one of the same budget. The budget does not
    /// change.
    ///
    /// # Panics
    ///
    /// When the reservation has fewer bytes. It is then as before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// let part = table.split(200);
    /// drop(table);
    /// assert_eq!(part.bytes(), 200);
    /// ```
    #[track_caller]
    pub fn split(&mut self, bytes: usize) -> Self {
        self.subtract(bytes);
        Self { budget: self.budget.clone(), bytes }
    }

    /// Moves all bytes into a new reservation of the same budget, and leaves 0. The budget does not
    /// change.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// let all = table.take();
    /// assert_eq!((table.bytes(), all.bytes()), (0, 600));
    /// ```
    pub fn take(&mut self) -> Self {
        self.split(self.bytes)
    }

    /// Adds the bytes of another reservation to this one. If the other one is of another budget,
    /// its bytes are moved as by [`move_to`](Self::move_to).
    ///
    /// # Panics
    ///
    /// When [`try_merge`](Self::try_merge) fails. `other` is then dropped: its bytes are uncharged.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// table.merge(budget.reserve(100));
    /// assert_eq!(table.bytes(), 700);
    /// ```
    #[track_caller]
    pub fn merge(&mut self, other: Self) {
        expect(self.try_merge(other).map_err(|(_, error)| error));
    }

    /// Adds the bytes of another reservation to this one. If the other one is of another budget,
    /// its bytes are moved as by [`try_move_to`](Self::try_move_to).
    ///
    /// # Errors
    ///
    /// The other reservation, as it was, and [`AllocError::LimitExceeded`], when this budget or an
    /// ancestor that is not above the other budget refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// let other = MemoryBudget::new("other", 1000).reserve(900);
    /// let Err((other, _)) = table.try_merge(other) else { panic!("the query has no room for it") };
    /// assert_eq!((table.bytes(), other.bytes()), (600, 900));
    /// ```
    pub fn try_merge(&mut self, mut other: Self) -> Result<(), (Self, AllocError)> {
        match other.try_move_to(&self.budget) {
            Ok(()) => {
                // Forced charges may be more than can be counted. The budget counts as much then.
                self.bytes = self.bytes.saturating_add(mem::take(&mut other.bytes));
                Ok(())
            }
            Err(error) => Err((other, error)),
        }
    }

    /// Uncharges all bytes, and returns how many they were. The reservation can be used again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let mut table = budget.reserve(600);
    /// assert_eq!(table.free(), 600);
    /// assert_eq!(budget.used(), 0);
    /// ```
    pub fn free(&mut self) -> usize {
        let bytes = mem::take(&mut self.bytes);
        uncharge(&self.budget, bytes);
        bytes
    }

    /// Charges the bytes to another budget instead of the present one. The budgets above both of
    /// them count the bytes once at every moment, so it does not matter how full those are.
    ///
    /// # Panics
    ///
    /// When [`try_move_to`](Self::try_move_to) fails. The reservation is then as before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let cache = MemoryBudget::new("cache", 1000);
    /// let mut table = budget.reserve(600);
    /// table.move_to(&cache);
    /// assert_eq!((budget.used(), cache.used()), (0, 600));
    /// ```
    #[track_caller]
    pub fn move_to(&mut self, budget: &MemoryBudget) {
        expect(self.try_move_to(budget));
    }

    /// Charges the bytes to another budget instead of the present one. The budgets above both of
    /// them count the bytes once at every moment, so it does not matter how full those are.
    ///
    /// # Errors
    ///
    /// [`AllocError::LimitExceeded`] when the other budget refuses, or an ancestor of it that is not
    /// above the present budget. Also when a common ancestor has no room for a guarantee that the
    /// move leaves unused.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// # let budget = MemoryBudget::new("query", 1000);
    /// let small = MemoryBudget::new("small", 10);
    /// let mut table = budget.reserve(600);
    /// assert!(table.try_move_to(&small).is_err());
    ///
    /// ```
    pub fn try_move_to(&mut self, budget: &MemoryBudget) -> Result<(), AllocError> {
        let from = self.budget.as_raw();
        // SAFETY: both budgets are alive, and the call writes the record when it fails.
        unsafe {
            move_object(Some(budget), |to, error| {
                ffi::aegis_budget_move(from, to, self.bytes, error)
            })?;
        }
        self.budget.clone_from(budget);
        Ok(())
    }

    /// Takes bytes away from the reservation, but not from the budget.
    #[track_caller]
    fn subtract(&mut self, bytes: usize) {
        assert!(
            bytes <= self.bytes,
            "a reservation of {} bytes has no {bytes} bytes to give",
            self.bytes
        );
        self.bytes -= bytes;
    }
}

/// Charges a budget for a reservation.
fn charge(budget: &MemoryBudget, bytes: usize) -> Result<(), AllocError> {
    let mut error = MaybeUninit::uninit();
    let status = unwind::call_keeping(ffi::is_ok, || {
        // SAFETY: the budget is alive.
        unsafe { ffi::aegis_budget_charge(budget.as_raw(), bytes, error.as_mut_ptr()) }
    });
    if !ffi::is_ok(&status) {
        // SAFETY: the failing call has written the record. The budget that refused is this one or an
        // ancestor of it, so it is alive.
        return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
    }
    Ok(())
}

/// Charges a budget for a reservation, beyond its limit if there is no other way.
fn force_charge(budget: &MemoryBudget, bytes: usize) {
    // A panic of a reclaimer ends here: the charge is made.
    unwind::call_keeping(
        |()| true,
        // SAFETY: the budget is alive.
        || unsafe { ffi::aegis_budget_force_charge(budget.as_raw(), bytes) },
    );
}

/// Takes back a charge that a reservation does not hold any more.
fn uncharge(budget: &MemoryBudget, bytes: usize) {
    // SAFETY: the budget is alive. The bytes were charged to it, by invariant 1.
    unsafe { ffi::aegis_budget_uncharge(budget.as_raw(), bytes) };
}

impl Drop for Reservation {
    fn drop(&mut self) {
        uncharge(&self.budget, self.bytes);
    }
}
