// SPDX-License-Identifier: Apache-2.0
//! Tests budgets that are sized from the machine. The C tests look at how its memory is found
//! (`tests/c/system_memory_test.c`).

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::{AllocError, What};
use std::thread;

fn of_system(share: f64) -> MemoryBudget {
    MemoryBudget::of_system(share).expect("this system says how much memory it has")
}

#[test]
fn budget_has_a_share_of_the_memory_and_says_of_what() {
    let (all, part) = (of_system(1.0), of_system(0.8));
    let origin = part.name().strip_prefix("80% of ").expect("the share comes first").to_string();
    let known = ["physical memory", "address space", "cgroup v1 limit"];
    assert!(known.contains(&&*origin) || origin.starts_with("cgroup v2 memory."), "{origin}");
    assert_eq!(all.name(), format!("100% of {origin}"));
    let wanted = all.limit() as f64 * 0.8;
    assert!((part.limit() as f64 - wanted).abs() <= 1.0, "{} of {}", part.limit(), all.limit());
    assert!(all.limit() != MemoryBudget::UNLIMITED && part.limit() > 1 << 20);
    let stats = part.stats();
    assert_eq!((stats.used_bytes, stats.peak_bytes, stats.level), (0, 0, 0));
}

#[test]
fn budget_bounds_its_children_and_lives_as_long_as_they() {
    let process = of_system(0.5);
    let most = process.limit();
    let database = process.child("database", MemoryBudget::UNLIMITED);
    drop(process);
    let arena = Arena::builder().budget(&database).build().expect("no block yet");
    arena.alloc(1000);
    let error = database.try_reserve(most).expect_err("the arena has a part of it");
    assert!(matches!(error, AllocError::LimitExceeded { limit, .. } if limit == most));
    assert!(error.to_string().contains("budget '50% of "), "{error}");
}

#[test]
fn share_that_is_none_is_invalid() {
    let refused = [
        (0.0, 0),
        (-1.0, 0),
        (f64::NAN, 0),
        (f64::NEG_INFINITY, 0),
        (1.0 + f64::EPSILON, 101),
        (2.5, 250),
        (f64::INFINITY, usize::MAX),
    ];
    for (share, percent) in refused {
        let error = MemoryBudget::of_system(share).expect_err("no such share");
        let AllocError::Invalid { what: What::Share, requested, allowed: 100, .. } = error else {
            panic!("{share}: {error:?}");
        };
        assert_eq!(requested, percent, "{share}");
    }
}

#[test]
fn any_thread_may_ask() {
    let limits: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| of_system(0.25).limit())).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(limits.iter().all(|limit| *limit == limits[0]), "{limits:?}");
}
