// SPDX-License-Identifier: Apache-2.0
//! Memory budgets: a tree of named limits, such as process, database, query, operator.
//!
//! A charge to a budget counts in it and in every ancestor; if one would exceed its limit, the
//! charge fails and says which, and who the largest consumers are. Arenas charge whole blocks, so
//! allocation itself pays nothing. The algorithm is described in `aegis_memory/budget.h`.
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

mod tree;

pub use crate::error::{BudgetName, BudgetRefusal, BudgetStats};
pub use tree::{MemoryBudget, Pressure, Reservation};
