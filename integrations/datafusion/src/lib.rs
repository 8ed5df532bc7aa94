// SPDX-License-Identifier: Apache-2.0
//! A budget of aegis-memory as the memory pool of DataFusion.
//!
//! A [`BudgetPool`] charges a `MemoryBudget`, which is a node in a tree of the process. So a query
//! shares its limits with whatever else the tree counts: the caches of the server, other queries,
//! buffer pools. Each consumer that DataFusion registers becomes a child of the budget with the
//! consumer's name. When a charge is refused, DataFusion is told `ResourcesExhausted`, and operators
//! that can spill do so. The message is the budget's own, which names the budget that refused and
//! its largest consumers.

#![deny(missing_docs)]

pub mod tpch;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use aegis_memory::budget::{MemoryBudget, Reservation};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::SessionConfig;

/// A memory pool of DataFusion that charges a budget and what is above it.
///
/// | DataFusion asks for | what happens |
/// | --- | --- |
/// | `register` | a child of the budget, named `consumer#id`; weight 0 if it cannot spill |
/// | `try_grow` | a charge, which may ask the reclaimers of the tree; if it is refused, `ResourcesExhausted` with the budget's own words |
/// | `grow` | a charge that asks the same, and then counts beyond the limit, because this call cannot fail |
/// | `shrink` | an uncharge |
/// | `unregister` | the end of the child |
/// | `memory_limit` | the limit of the budget |
///
/// With the policy `Greedy` of the budget (the default) the pool is first come, first served, as
/// DataFusion's `GreedyMemoryPool`. With `Fair` the consumers that can spill have equal shares of
/// what the others leave, as in its `FairSpillPool`. A plan with many operators needs a larger limit
/// then, because those that are idle have shares too.
///
/// ```
/// use std::sync::Arc;
///
/// use aegis_memory::budget::MemoryBudget;
/// use aegis_memory_datafusion::BudgetPool;
/// use datafusion::execution::runtime_env::RuntimeEnvBuilder;
/// use datafusion::prelude::{SessionConfig, SessionContext};
///
/// let server = MemoryBudget::new("server", 1 << 30);
/// let query = server.child("query 7", 64 << 20);
/// let pool = Arc::new(BudgetPool::new(&query));
/// let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
/// let context = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
/// # drop(context);
/// # Ok::<(), datafusion::error::DataFusionError>(())
/// ```
pub struct BudgetPool {
    budget: MemoryBudget,
    /// By the consumer's id.
    consumers: RwLock<HashMap<usize, Arc<Consumer>>>,
    /// For a consumer that could not be given a child, for lack of memory.
    others: Arc<Consumer>,
}

/// What a consumer has. Its reservations in DataFusion are parts of `held`.
struct Consumer {
    budget: MemoryBudget,
    held: Mutex<Reservation>,
}

impl Consumer {
    fn new(budget: MemoryBudget) -> Self {
        let held = Mutex::new(budget.force_reserve(0));
        Self { budget, held }
    }

    /// A panic in `shrink` leaves the reservation as it was, so the lock is never poisoned by half a
    /// change.
    fn held(&self) -> MutexGuard<'_, Reservation> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds bytes that were charged without the lock, because a charge may ask reclaimers.
    fn add(&self, more: Reservation) {
        self.held().merge(more);
    }
}

impl BudgetPool {
    /// A pool that charges this budget. Make a budget for each pool, for example a child for each
    /// query: all that is charged to it counts as reserved by the pool.
    pub fn new(budget: &MemoryBudget) -> Self {
        let others = Arc::new(Consumer::new(budget.clone()));
        Self { budget: budget.clone(), consumers: RwLock::default(), others }
    }

    /// The budget that the pool charges.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    fn consumer(&self, reservation: &MemoryReservation) -> Arc<Consumer> {
        let consumers = self.consumers.read().unwrap_or_else(PoisonError::into_inner);
        let found = consumers.get(&reservation.consumer().id());
        Arc::clone(found.unwrap_or(&self.others))
    }
}

/// The name of the child for a consumer. A budget's name has at most 47 bytes, and the id, which
/// tells the partitions of an operator apart, shall be among them.
fn child_name(consumer: &MemoryConsumer) -> String {
    const LONGEST: usize = 47;
    let id = format!("#{}", consumer.id());
    let name = consumer.name();
    let mut end = name.len().min(LONGEST.saturating_sub(id.len()));
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{id}", &name[..end])
}

impl MemoryPool for BudgetPool {
    fn name(&self) -> &str {
        "budget"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        let Ok(child) = self.budget.try_child(&child_name(consumer), MemoryBudget::UNLIMITED)
        else {
            return;
        };
        // Without a weight it takes no part in the sharing of a fair budget. A refusal (after a
        // fork) leaves it with the usual weight, which is safe.
        if !consumer.can_spill() {
            let _ = child.try_set_weight(0);
        }
        let mut consumers = self.consumers.write().unwrap_or_else(PoisonError::into_inner);
        consumers.insert(consumer.id(), Arc::new(Consumer::new(child)));
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut consumers = self.consumers.write().unwrap_or_else(PoisonError::into_inner);
        let gone = consumers.remove(&consumer.id());
        drop(consumers);
        // Its child ends here. That may wake what waits for room, so no lock is held.
        drop(gone);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let consumer = self.consumer(reservation);
        consumer.add(consumer.budget.force_reserve(additional));
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let given_back = self.consumer(reservation).held().split(shrink);
        drop(given_back);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = self.consumer(reservation);
        let more = consumer.budget.try_reserve(additional).map_err(|error| {
            DataFusionError::ResourcesExhausted(format!(
                "{} has {} bytes and asked for {additional} more: {error}",
                reservation.consumer().name(),
                reservation.size(),
            ))
        })?;
        consumer.add(more);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.budget.used()
    }

    /// Without a limit of its own the budget may have one above it, which is not asked for.
    fn memory_limit(&self) -> MemoryLimit {
        let stats = self.budget.stats();
        match (stats.limit_bytes, stats.level) {
            (MemoryBudget::UNLIMITED, 0) => MemoryLimit::Infinite,
            (MemoryBudget::UNLIMITED, _) => MemoryLimit::Unknown,
            (bytes, _) => MemoryLimit::Finite(bytes),
        }
    }
}

impl fmt::Debug for BudgetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetPool").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// Draws the budget's tree.
impl fmt::Display for BudgetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.budget.fmt(f)
    }
}

/// Makes runtimes whose pools charge children of a budget, for what asks for a runtime by a
/// session's configuration. That is Ballista's `RuntimeProducer`: its executors ask once for each
/// session that they keep. If the budget is fair, each session has its share, and within a session
/// the operators are served as they come. `change` completes each runtime, for example with a folder for spilled
/// files.
#[allow(clippy::type_complexity)]
pub fn runtime_producer(
    budget: &MemoryBudget,
    change: impl Fn(RuntimeEnvBuilder) -> RuntimeEnvBuilder + Send + Sync + 'static,
) -> Arc<dyn Fn(&SessionConfig) -> Result<Arc<RuntimeEnv>> + Send + Sync> {
    let budget = budget.clone();
    let sessions = std::sync::atomic::AtomicUsize::new(0);
    Arc::new(move |_config| {
        let number = 1 + sessions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let session = budget
            .try_child(&format!("session {number}"), MemoryBudget::UNLIMITED)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let pool = Arc::new(BudgetPool::new(&session));
        change(RuntimeEnvBuilder::new().with_memory_pool(pool)).build_arc()
    })
}
