// SPDX-License-Identifier: Apache-2.0
//! Tests that a tree of budgets can do what the memory pools of Apache DataFusion do: the greedy
//! pool, the fair pool for consumers that spill, and the report of the top consumers. A pool is a
//! budget here, and a consumer is a child of it. A consumer that cannot spill has the weight 0.

use aegis_memory::budget::{BudgetPolicy, BudgetRefusal, MemoryBudget, RefusalReason, Reservation};
use aegis_memory::AllocError;

/// A consumer, which grows and shrinks by whole reservations.
struct Consumer {
    budget: MemoryBudget,
    held: Vec<Reservation>,
}

impl Consumer {
    fn register(pool: &MemoryBudget, name: &str) -> Self {
        Self { budget: pool.child(name, MemoryBudget::UNLIMITED), held: Vec::new() }
    }

    fn unspillable(pool: &MemoryBudget, name: &str) -> Self {
        let consumer = Self::register(pool, name);
        consumer.budget.set_weight(0);
        consumer
    }

    fn try_grow(&mut self, bytes: usize) -> Result<(), AllocError> {
        self.held.push(self.budget.try_reserve(bytes)?);
        Ok(())
    }

    #[track_caller]
    fn grow(&mut self, bytes: usize) {
        self.try_grow(bytes).expect("there is room");
    }

    /// Gives back reservations that have these bytes together, the last first.
    fn shrink(&mut self, mut bytes: usize) {
        while bytes > 0 {
            bytes -= self.held.pop().expect("so many bytes are held").bytes();
        }
    }

    fn free(&mut self) {
        self.held.clear();
    }

    fn size(&self) -> usize {
        self.budget.used()
    }
}

fn greedy(bytes: usize) -> MemoryBudget {
    MemoryBudget::new("pool", bytes)
}

fn fair(bytes: usize) -> MemoryBudget {
    let pool = MemoryBudget::new("pool", bytes);
    pool.set_policy(BudgetPolicy::Fair);
    pool
}

#[track_caller]
fn refusal(result: Result<(), AllocError>) -> Box<BudgetRefusal> {
    match result {
        Err(AllocError::LimitExceeded { refusal, .. }) => refusal.expect("memory for the record"),
        other => panic!("{other:?}"),
    }
}

/// Demands a refusal for this reason, when so many bytes are available.
#[track_caller]
fn refused(result: Result<(), AllocError>, reason: RefusalReason, available: usize) {
    let refusal = refusal(result);
    let left = refusal.budget.limit_bytes.saturating_sub(refusal.budget.used_bytes);
    assert_eq!((refusal.reason, left), (reason, available), "{refusal}");
}

#[test]
fn unbounded_pool_never_refuses_and_knows_what_is_reserved() {
    let pool = greedy(MemoryBudget::UNLIMITED);
    let mut consumer = Consumer::register(&pool, "consumer");
    consumer.grow(isize::MAX as usize / 2);
    consumer.grow(1);
    assert_eq!(pool.used(), isize::MAX as usize / 2 + 1);
    consumer.free();
    assert_eq!(pool.used(), 0);
}

#[test]
fn greedy_pool_is_first_come_first_served() {
    let pool = greedy(100);
    let mut first = Consumer::register(&pool, "first");
    let mut second = Consumer::register(&pool, "second");
    first.grow(70);
    first.grow(20);
    refused(second.try_grow(11), RefusalReason::Limit, 10);
    assert_eq!((second.size(), pool.used()), (0, 90));
    second.grow(10);
    refused(first.try_grow(1), RefusalReason::Limit, 0);
    first.shrink(20);
    second.grow(20);
    assert_eq!((first.size(), second.size(), pool.used()), (70, 30, 100));
}

#[test]
fn freed_reservation_is_empty_and_a_refused_one_changes_nothing() {
    let pool = greedy(50);
    let mut first = Consumer::register(&pool, "first");
    refused(first.try_grow(100), RefusalReason::Limit, 50);
    assert_eq!((first.size(), pool.used()), (0, 0));
    first.grow(20);
    first.free();
    assert_eq!((first.size(), pool.used()), (0, 0));
    let mut second = Consumer::register(&pool, "second");
    second.grow(25);
    drop(second);
    assert_eq!(pool.used(), 0);
    first.grow(50);
    assert_eq!(pool.used(), 50);
}

#[test]
fn fair_pool_gives_spillable_consumers_equal_shares_of_what_others_leave() {
    let pool = fair(100);
    let mut r1 = Consumer::unspillable(&pool, "r1");
    let mut r2 = Consumer::register(&pool, "r2");
    r1.grow(10);
    // The only consumer that can spill may have all the rest.
    r2.grow(10);
    r2.grow(70);
    refused(r2.try_grow(11), RefusalReason::Share, 10);
    r2.shrink(70);
    assert_eq!((r1.size(), r2.size(), pool.used()), (10, 10, 20));
    r1.grow(10);
    r2.grow(10);
    assert_eq!((r1.size(), r2.size(), pool.used()), (20, 20, 40));
    // One more consumer that can spill halves the share: (100 - 20) / 2.
    let mut r3 = Consumer::register(&pool, "r3");
    refused(r3.try_grow(70), RefusalReason::Share, 40);
    assert_eq!((r2.budget.share(), r3.budget.share()), (40, 40));
    // It is halved even if the other consumer uses nothing of it.
    r2.free();
    refused(r3.try_grow(70), RefusalReason::Share, 40);
    r3.grow(40);
    // When the other one is unregistered, its share comes back.
    drop(r2);
    r3.grow(40);
    assert_eq!((r1.size(), r3.size(), pool.used()), (20, 80, 100));
    // A consumer that cannot spill takes what there is.
    let mut r4 = Consumer::unspillable(&pool, "r4");
    refused(r4.try_grow(30), RefusalReason::Limit, 0);
    r3.shrink(40);
    r4.grow(30);
    assert_eq!((r3.budget.share(), r4.size(), pool.used()), (50, 30, 90));
    refused(r3.try_grow(11), RefusalReason::Share, 10);
}

#[test]
fn consumer_above_its_new_share_keeps_what_it_has_and_gets_no_more() {
    let pool = fair(100);
    let mut early = Consumer::register(&pool, "early");
    early.grow(50);
    early.grow(40);
    let mut late = Consumer::register(&pool, "late");
    assert_eq!((early.budget.share(), early.size()), (50, 90));
    refused(early.try_grow(1), RefusalReason::Share, 0);
    // The share of the late one is 50, but the early one has not given anything back yet.
    refused(late.try_grow(11), RefusalReason::Limit, 10);
    late.grow(10);
    // It spills, and each has its share.
    early.shrink(40);
    late.grow(40);
    assert_eq!((early.size(), late.size(), pool.used()), (50, 50, 100));
    refused(early.try_grow(1), RefusalReason::Share, 0);
    refused(late.try_grow(1), RefusalReason::Share, 0);
}

#[test]
fn unregistering_in_any_order_gives_the_shares_back() {
    let pool = fair(120);
    let mut consumers: Vec<_> =
        (0..4).map(|i| Consumer::register(&pool, &format!("c{i}"))).collect();
    consumers.iter_mut().for_each(|consumer| consumer.grow(30));
    refused(consumers[2].try_grow(1), RefusalReason::Share, 0);
    drop(consumers.remove(1));
    drop(consumers.remove(0));
    assert_eq!(pool.used(), 60);
    for consumer in &mut consumers {
        assert_eq!(consumer.budget.share(), 60);
        consumer.grow(30);
        refused(consumer.try_grow(1), RefusalReason::Share, 0);
    }
    assert_eq!(pool.used(), 120);
    drop(consumers);
    assert_eq!((pool.used(), pool.snapshot().len()), (0, 1));
}

#[test]
fn refusal_reports_the_top_consumers_and_only_those_that_are_registered() {
    let pool = greedy(100);
    let mut consumers: Vec<_> =
        (1..=4).map(|i| Consumer::register(&pool, &format!("r{i}"))).collect();
    for (consumer, bytes) in consumers.iter_mut().zip([50, 15, 20, 4]) {
        consumer.grow(bytes);
    }
    // What was given back is not reported.
    consumers[3].grow(11);
    consumers[3].shrink(11);
    let mut last = Consumer::register(&pool, "r5");
    let top = |refusal: &BudgetRefusal| {
        let each = refusal.consumers.iter();
        each.map(|c| format!("{} {}", c.name.as_str(), c.used_bytes)).collect::<Vec<_>>()
    };
    let error = refusal(last.try_grow(150));
    assert_eq!(top(&error), ["r1 50", "r3 20", "r2 15"]);
    assert_eq!(
        error.to_string(),
        "budget 'pool' refused 150 bytes: limit 100 bytes, 89 bytes in use; largest: 'r1' 50 bytes, \
         'r3' 20 bytes, 'r2' 15 bytes"
    );
    // Two consumers of the same name are two consumers.
    let mut twin = Consumer::register(&pool, "r1");
    twin.grow(10);
    drop(consumers.remove(2));
    assert_eq!(top(&refusal(last.try_grow(150))), ["r1 50", "r2 15", "r1 10"]);
    consumers.clear();
    assert_eq!(top(&refusal(last.try_grow(150))), ["r1 10"]);
    drop(twin);
    assert_eq!(top(&refusal(last.try_grow(150))), Vec::<String>::new());
}

#[test]
fn refused_share_reports_nothing_but_the_consumer_itself() {
    let pool = fair(100);
    let (mut a, mut b) = (Consumer::register(&pool, "a"), Consumer::register(&pool, "b"));
    a.grow(40);
    b.grow(50);
    let error = refusal(a.try_grow(11));
    assert_eq!(
        error.to_string(),
        "budget 'a' refused 11 bytes: its fair share is 50 bytes, 40 bytes in use"
    );
    assert_eq!(error.direct_bytes, 40);
}
