// SPDX-License-Identifier: Apache-2.0
//! What the tests of budgets that arbitrate share: a cache with a reclaimer, and what an error says.
#![allow(dead_code)]

use aegis_memory::budget::{BudgetRefusal, MemoryBudget, Reclaimer, RefusalReason, Reservation};
use aegis_memory::AllocError;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

/// Longer than any wait of a test that passes. A test that fails ends after it.
pub const LONG: Duration = Duration::from_secs(60);

/// A cache of reservations, which frees the last one first. With its reclaimer it is what the
/// documentation of `on_reclaim` shows.
pub struct Cache {
    pub budget: MemoryBudget,
    pub pages: Mutex<Vec<Reservation>>,
    /// What it was asked for, each time.
    wanted: Mutex<Vec<usize>>,
    _reclaimer: Option<Reclaimer>,
}

impl Cache {
    pub fn new(budget: &MemoryBudget, priority: i32) -> Arc<Self> {
        Self::with(budget, |evict| Some(budget.on_reclaim(priority, evict)))
    }

    pub fn with(
        budget: &MemoryBudget,
        register: impl FnOnce(Box<dyn Fn(usize) -> usize + Send + Sync>) -> Option<Reclaimer>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|cache: &Weak<Self>| {
            let cache = cache.clone();
            let evict = move |wanted| cache.upgrade().map_or(0, |cache| cache.evict(wanted));
            Self {
                budget: budget.clone(),
                pages: Mutex::default(),
                wanted: Mutex::default(),
                _reclaimer: register(Box::new(evict)),
            }
        })
    }

    pub fn fill(&self, count: usize, bytes: usize) {
        let new = (0..count).map(|_| self.budget.reserve(bytes)).collect::<Vec<_>>();
        self.pages.lock().unwrap().extend(new);
    }

    pub fn evict(&self, wanted: usize) -> usize {
        self.wanted.lock().unwrap().push(wanted);
        let Ok(mut pages) = self.pages.try_lock() else { return 0 };
        let mut freed = 0;
        while freed < wanted {
            let Some(page) = pages.pop() else { break };
            freed += page.bytes();
        }
        freed
    }

    pub fn wanted(&self) -> Vec<usize> {
        std::mem::take(&mut *self.wanted.lock().unwrap())
    }
}

/// The refusal in an error.
#[track_caller]
pub fn refusal<T>(result: Result<T, AllocError>) -> Box<BudgetRefusal> {
    match result.err().expect("the charge is refused") {
        AllocError::LimitExceeded { refusal, limit, in_use, needed, .. } => {
            assert!(needed > limit || in_use > limit - needed, "the numbers add up");
            refusal.expect("memory for the record")
        }
        other => panic!("{other:?}"),
    }
}

/// The reason, the limit and the use in an error.
#[track_caller]
pub fn reason<T>(result: Result<T, AllocError>) -> (RefusalReason, usize, usize) {
    let refusal = refusal(result);
    (refusal.reason, refusal.budget.limit_bytes, refusal.budget.used_bytes)
}

#[track_caller]
pub fn assert_closed<T>(result: Result<T, AllocError>) {
    match result.err() {
        Some(AllocError::Closed { .. }) => {}
        other => panic!("{other:?}"),
    }
}

pub fn until_waiting(budget: &MemoryBudget, count: usize) {
    while budget.waiting() != count {
        thread::yield_now();
    }
}
