// SPDX-License-Identifier: Apache-2.0
//! Peaks of budgets: taken and begun anew, what the largest consumers held at the peak, and how exact
//! that is while threads charge.

use std::thread;

use aegis_memory::budget::{BudgetConsumer, BudgetPeak, MemoryBudget, Reservation};
use aegis_memory::buffer::BufferPool;
use static_assertions::assert_impl_all;

assert_impl_all!(BudgetPeak: Send, Sync, Copy);
assert_impl_all!(BudgetConsumer: Send, Sync, Copy);

#[test]
fn taken_peak_starts_again_at_the_present_use() {
    let root = MemoryBudget::new("root", 1000);
    let child = root.child("child", 1000);
    let held = child.reserve(300);
    drop(child.reserve(400));
    assert_eq!((root.take_peak(), root.peak(), child.peak()), (700, 300, 700));
    child.try_reserve(701).expect_err("more than the root has left");
    assert_eq!(root.peak(), 300);
    drop((held, child.reserve(10)));
    assert_eq!((root.take_peak(), root.take_peak(), root.peak()), (310, 0, 0));
    assert_eq!((child.take_peak(), child.stats().peak_bytes), (700, 0));
}

#[test]
fn peak_report_names_the_largest_consumers_of_the_peak() {
    let root = MemoryBudget::new("root", MemoryBudget::UNLIMITED);
    let children: Vec<_> = (0..5).map(|i| root.child(&format!("q{i}"), 10_000)).collect();
    let below = children[4].child("sort", MemoryBudget::UNLIMITED);
    let held: Vec<_> = children.iter().map(|child| child.reserve(100)).collect();
    let direct = root.reserve(16);
    let spike = (children[2].reserve(500), below.reserve(700));
    drop(spike);
    let peak = root.peak_report();
    assert_eq!((peak.name.as_str(), peak.peak_bytes, peak.used_bytes), ("root", 1716, 1716));
    assert_eq!(peak.direct_bytes, 16);
    let consumers: Vec<_> = peak
        .consumers
        .iter()
        .map(|c| (c.name.as_str(), c.direct_bytes, c.depth, c.level))
        .collect();
    assert_eq!(consumers, [("sort", 700, 2, 2), ("q2", 600, 1, 1), ("q0", 100, 1, 1)]);
    assert_eq!(
        peak.to_string(),
        "budget 'root' peaked at 1716 bytes; largest at 1716 bytes: 'sort' 700 bytes, \
         'q2' 600 bytes, 'q0' 100 bytes; 16 bytes held directly"
    );
    assert_eq!(children[4].peak_report().direct_bytes, 100);
    let drawn = root.to_string();
    let last =
        "peak, recorded at 1.7 KiB: 'sort' 700 B, 'q2' 600 B, 'q0' 100 B; 16 B held directly";
    assert_eq!(drawn.lines().last(), Some(last), "{drawn}");

    // A rise of less than 1/16 is not recorded.
    drop(children[0].reserve(1200));
    assert_eq!((root.peak(), root.peak_report()), (1716, peak));
    drop(children[0].reserve(1300));
    let later = root.peak_report();
    assert_eq!((later.peak_bytes, later.used_bytes), (1816, 1716));
    assert_eq!(later.consumers, peak.consumers);

    assert_eq!(root.take_peak(), 1816);
    let fresh = root.peak_report();
    assert_eq!((fresh.peak_bytes, fresh.used_bytes, fresh.direct_bytes), (516, 516, 16));
    assert!(fresh.consumers.iter().all(|c| c.direct_bytes == 100), "{fresh}");
    drop((held, direct));
}

#[test]
fn peak_report_of_threads_that_hold_what_they_charge_is_exact_to_a_sixteenth() {
    let root = MemoryBudget::new("root", MemoryBudget::UNLIMITED);
    let children = ["a", "b", "c"].map(|name| root.child(name, MemoryBudget::UNLIMITED));
    let held: Vec<Reservation> = thread::scope(|scope| {
        let work = |child: &MemoryBudget| -> Vec<_> {
            (1..200).map(|bytes| child.try_reserve(bytes).expect("no limit")).collect()
        };
        let threads: Vec<_> =
            children.iter().map(|child| scope.spawn(move || work(child))).collect();
        for _ in 0..100 {
            let seen = root.peak_report();
            assert!(seen.consumers.iter().all(|c| c.depth == 1 && c.direct_bytes != 0), "{seen}");
        }
        _ = root.take_peak();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let peak = root.peak_report();
    assert_eq!(peak.peak_bytes, root.used());
    let step = (peak.used_bytes / 16).max(1);
    assert!(peak.used_bytes <= peak.peak_bytes, "{peak}");
    assert!(peak.peak_bytes < peak.used_bytes + step, "{peak}");
    // The consumers were read after the use, when they had as much or more.
    let sum: usize = peak.consumers.iter().map(|consumer| consumer.direct_bytes).sum();
    assert!(sum + peak.direct_bytes >= peak.used_bytes && sum <= root.used(), "{peak}");
    drop(held);
    assert_eq!((root.used(), root.peak_report()), (0, peak));
}

#[test]
fn peak_report_with_the_longest_names_and_figures_is_told_whole() {
    let long = "n".repeat(60);
    let root = MemoryBudget::new(&long, usize::MAX);
    let children: Vec<_> = (0..4).map(|_| root.child(&long, usize::MAX)).collect();
    let _direct = root.reserve(usize::MAX / 5);
    let _held: Vec<_> = children.iter().map(|c| c.reserve(usize::MAX / 5)).collect();
    let told = root.peak_report().to_string();
    assert!(told.ends_with(" bytes held directly"), "{told}");
}

#[test]
fn buffer_that_comes_home_to_its_pool_is_recorded_with_and_without_the_gate() {
    for guaranteed in [0, 1000] {
        let server = MemoryBudget::new("server", 1 << 20);
        let (pools, cache) = (server.child("pools", 1 << 20), server.child("cache", 1 << 20));
        let home = pools.child("home", 1 << 20);
        // A guarantee makes the gate necessary.
        home.set_guaranteed(guaranteed);
        let pool = BufferPool::builder().class(4096, 2).budget(&home).build().unwrap();
        let page = pool.get(1).unwrap();
        let held = home.used();
        page.move_to(&cache);
        _ = pools.take_peak();
        assert_eq!(pools.peak_report().consumers[0].direct_bytes, home.used());
        drop(page);
        let peak = pools.peak_report();
        assert_eq!((peak.peak_bytes, peak.used_bytes), (held, held));
        assert_eq!((peak.consumers[0].direct_bytes, home.used()), (held, held));
    }
}
