// SPDX-License-Identifier: Apache-2.0
//! Why a call failed: the error, and the records that it holds.
//!
//! The records of a budget's refusal are here, below the budgets, because the error holds them and
//! the budgets return errors. `crate::budget` exports the public ones.

mod alloc_error;
mod alloc_or_init;
mod budget_name;
mod budget_stats;
mod refusal;
mod what;

pub(crate) use alloc_error::expect;
pub use alloc_error::AllocError;
pub(crate) use alloc_or_init::expect_alloc;
pub use alloc_or_init::AllocOrInitError;
pub(crate) use budget_name::c_name;
pub use budget_name::BudgetName;
pub use budget_stats::BudgetStats;
pub use refusal::{BudgetRefusal, RefusalReason};
pub use what::What;
