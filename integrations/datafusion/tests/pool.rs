// SPDX-License-Identifier: Apache-2.0
//! Tests the pool by itself, as DataFusion tests its own: who gets how much, what a refusal says,
//! and that nothing is left when the consumers are gone.

use std::sync::Arc;
use std::thread;

use aegis_memory::budget::{BudgetPolicy, MemoryBudget};
use aegis_memory_datafusion::{runtime_producer, BudgetPool};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};
use datafusion::prelude::SessionConfig;

fn pool(budget: &MemoryBudget) -> Arc<dyn MemoryPool> {
    Arc::new(BudgetPool::new(budget))
}

fn spills(pool: &Arc<dyn MemoryPool>, name: &str) -> MemoryReservation {
    MemoryConsumer::new(name).with_can_spill(true).register(pool)
}

/// Names of the budget's children.
fn children(budget: &MemoryBudget) -> Vec<String> {
    budget.snapshot()[1..].iter().map(|stats| stats.name.to_string()).collect()
}

#[track_caller]
fn refusal(result: Result<(), DataFusionError>) -> String {
    match result {
        Err(DataFusionError::ResourcesExhausted(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn consumer_is_a_named_child_as_long_as_it_is_registered() {
    let query = MemoryBudget::new("query", 100);
    let pool = pool(&query);
    let sort = spills(&pool, "sort");
    let join = MemoryConsumer::new("a hash join with a name that is longer than a budget's é")
        .register(&pool);
    let names = children(&query);
    assert_eq!(names[0], format!("sort#{}", sort.consumer().id()));
    assert!(names[1].ends_with(&format!("#{}", join.consumer().id())) && names[1].len() <= 47);
    sort.try_grow(30).unwrap();
    let part = sort.split(10);
    assert_eq!((sort.size(), part.size(), pool.reserved(), query.used()), (20, 10, 30, 30));
    drop(sort);
    assert_eq!((children(&query).len(), query.used()), (2, 10));
    drop((part, join));
    assert_eq!((children(&query).len(), query.used(), pool.reserved()), (0, 0, 0));
}

#[test]
fn greedy_budget_is_first_come_first_served_and_says_who_has_what() {
    let server = MemoryBudget::new("server", 1000);
    let query = server.child("query", 100);
    let pool = pool(&query);
    let (a, b) = (spills(&pool, "a"), spills(&pool, "b"));
    a.try_grow(90).unwrap();
    let text = refusal(b.try_grow(11));
    let id = a.consumer().id();
    assert_eq!(
        text,
        format!(
            "b has 0 bytes and asked for 11 more: memory limit exceeded: budget 'query' refused 11 \
             bytes: limit 100 bytes, 90 bytes in use; largest: 'a#{id}' 90 bytes"
        )
    );
    assert_eq!((b.size(), pool.reserved()), (0, 90));
    a.shrink(50);
    b.try_grow(60).unwrap();
    assert_eq!(server.used(), 100);
}

#[test]
fn fair_budget_shares_among_those_that_can_spill() {
    let query = MemoryBudget::new("query", 100);
    query.set_policy(BudgetPolicy::Fair);
    let pool = pool(&query);
    let join = MemoryConsumer::new("join").register(&pool);
    let (a, b) = (spills(&pool, "a"), spills(&pool, "b"));
    join.try_grow(20).unwrap();
    a.try_grow(40).unwrap();
    assert!(refusal(a.try_grow(1)).contains("its fair share is 40 bytes, 40 bytes in use"));
    b.try_grow(40).unwrap();
    assert!(refusal(join.try_grow(1)).contains("limit 100 bytes, 100 bytes in use"));
    drop(b);
    a.try_grow(40).unwrap();
}

#[test]
fn growth_that_cannot_fail_counts_beyond_the_limit() {
    let server = MemoryBudget::new("server", 150);
    let query = server.child("query", 100);
    let pool = pool(&query);
    let (a, b) = (spills(&pool, "a"), spills(&pool, "b"));
    a.grow(170);
    assert_eq!((a.size(), pool.reserved(), server.used()), (170, 170, 170));
    refusal(b.try_grow(1));
    assert!(server.try_reserve(1).is_err(), "the rest of the server sees it");
    a.resize(60);
    b.try_resize(40).unwrap();
    assert_eq!(a.free() + b.free(), 100);
    assert_eq!(server.used(), 0);
}

#[test]
fn refused_growth_asks_what_else_the_tree_has() {
    let server = MemoryBudget::new("server", 100);
    let cache = std::sync::Mutex::new(Some(server.child("cache", 100).reserve(70)));
    let _cache = server
        .on_reclaim(0, move |_| cache.lock().unwrap().take().map_or(0, |pages| pages.bytes()));
    let query = server.child("query", 100);
    let pool = pool(&query);
    let sort = spills(&pool, "sort");
    sort.try_grow(80).unwrap();
    assert_eq!((server.used(), server.stats().reclaim_count), (80, 1));
}

#[test]
fn limit_is_that_of_the_budget() {
    let limit = |budget: &MemoryBudget| match pool(budget).memory_limit() {
        MemoryLimit::Finite(bytes) => Some(Some(bytes)),
        MemoryLimit::Infinite => Some(None),
        MemoryLimit::Unknown => None,
    };
    let root = MemoryBudget::new("root", MemoryBudget::UNLIMITED);
    assert_eq!(limit(&root), Some(None));
    let query = root.child("query", 100);
    assert_eq!(limit(&query), Some(Some(100)));
    assert_eq!(limit(&query.child("stage", MemoryBudget::UNLIMITED)), None);
    query.set_limit(50);
    assert_eq!(limit(&query), Some(Some(50)));
    assert!(pool(&query).to_string().starts_with("query "), "it draws the tree");
}

#[test]
fn pool_of_pools_and_threads_lose_nothing() {
    let query = MemoryBudget::new("query", 4000);
    let tracked: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(
        BudgetPool::new(&query),
        std::num::NonZeroUsize::new(3).unwrap(),
    ));
    thread::scope(|scope| {
        for number in 0..4 {
            let tracked = &tracked;
            scope.spawn(move || {
                for round in 0..500 {
                    let consumer = spills(tracked, &format!("thread {number}"));
                    let other = consumer.new_empty();
                    consumer.grow(round % 700);
                    let grown = other.try_grow(1000).is_ok();
                    assert!(tracked.reserved() >= round % 700 + usize::from(grown) * 1000);
                    consumer.shrink(round % 700 / 2);
                }
            });
        }
    });
    assert_eq!((query.used(), tracked.reserved(), children(&query).len()), (0, 0, 0));
}

#[test]
fn runtime_of_each_session_is_a_child() {
    let executor = MemoryBudget::new("executor", 100);
    executor.set_policy(BudgetPolicy::Fair);
    let produce = runtime_producer(&executor, |builder| builder);
    let (a, b) = (produce(&SessionConfig::new()).unwrap(), produce(&SessionConfig::new()).unwrap());
    assert_eq!(children(&executor), ["session 1", "session 2"]);
    let held = spills(&a.memory_pool, "sort");
    held.try_grow(50).unwrap();
    refusal(held.try_grow(1));
    drop(b);
    held.try_grow(50).unwrap();
    assert_eq!((executor.used(), children(&executor).len()), (100, 2));
}
