// SPDX-License-Identifier: Apache-2.0
//! Why a call failed: what was asked, and what was allowed.
//!
//! The records that a refusal of a budget consists of are here too, below the budgets: an error
//! holds them, and budgets return errors. `crate::budget` exports those that are public.

mod alloc_error;
mod budget_name;
mod budget_stats;
mod refusal;
mod what;

pub(crate) use alloc_error::expect;
pub use alloc_error::AllocError;
pub use budget_name::BudgetName;
pub(crate) use budget_name::{c_name, write_lossy};
pub use budget_stats::BudgetStats;
pub use refusal::BudgetRefusal;
pub use what::What;
