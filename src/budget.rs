// SPDX-License-Identifier: Apache-2.0
//! Memory budgets: a tree of named limits, such as process, database, query, operator.
//!
//! A charge to a budget counts in that budget and in every ancestor. If one of them would exceed
//! its limit, it first asks reclaimers for memory, and the request may wait. Otherwise the charge
//! fails, and the error names the budget that refused, the reason, and its largest consumers.
//! Arenas charge whole blocks, so an allocation that needs no new block costs nothing extra.
//! `aegis_memory/budget.h` describes the algorithm.
//!
//! ```
//! use aegis_memory::arena::Arena;
//! use aegis_memory::budget::MemoryBudget;
//!
//! let database = MemoryBudget::new("database", 1 << 20);
//! let query = database.child("query 1", 256 << 10);
//! let arena = Arena::builder().budget(&query).build()?;
//! arena.alloc(100 << 10);
//!
//! let error = arena.try_alloc(1 << 20).unwrap_err();
//! assert!(error.to_string().contains("budget 'query 1' refused"));
//! assert!(database.used() >= 100 << 10);
//! # Ok::<(), aegis_memory::AllocError>(())
//! ```

#[cfg(all(feature = "arrow", aegis_threads))]
mod arrow;
#[cfg(aegis_hosted)]
mod draw;
mod moving;
mod peak;
mod reclaim;
mod reservation;
mod reserve_async;
#[cfg(aegis_hosted)]
mod system;
mod terms;
mod tree;
mod wait;

pub use crate::error::{BudgetName, BudgetRefusal, BudgetStats, RefusalReason};
pub(crate) use moving::{move_methods, move_object};
pub use peak::{BudgetConsumer, BudgetPeak};
pub use reclaim::Reclaimer;
pub use reservation::Reservation;
pub use reserve_async::ReserveAsync;
pub use terms::BudgetPolicy;
pub use tree::{MemoryBudget, Pressure};
