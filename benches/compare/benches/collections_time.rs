// SPDX-License-Identifier: Apache-2.0
//! Measures the time of collections in this library's arena, in its rivals and on heaps. The rivals
//! of one operation take turns: each runs it once, then each runs it again. So other work of the
//! machine strikes all of them alike. Prints the least time of each, and their ratios.
//!
//! Usage: `cargo bench --bench collections_time [-- --quick]`

use std::env;
use std::time::Instant;

use compare::collections::{cases, ALL, BUMPS, OURS};

/// How often each rival runs each operation.
const TURNS: usize = 15;
const QUICK_TURNS: usize = 3;

/// The least time of each rival in nanoseconds per operation, in the order of the cases.
fn least_times(operation: &str, count: usize, turns: usize) -> Vec<(&'static str, f64)> {
    let cases = cases().into_iter().filter(|case| case.operation == operation);
    let mut rivals: Vec<_> = cases.map(|case| (case.rival, (case.make)(), f64::INFINITY)).collect();
    // In its first round an arena acquires its memory.
    rivals.iter_mut().for_each(|(_, round, _)| round(count));
    for turn in 0..turns {
        // Each begins a turn as often as the others.
        let first = turn % rivals.len();
        rivals.rotate_left(first);
        for (_, round, least) in &mut rivals {
            let start = Instant::now();
            round(count);
            *least = least.min(start.elapsed().as_nanos() as f64 / count as f64);
        }
        rivals.rotate_right(first);
    }
    rivals.into_iter().map(|(rival, _, least)| (rival, least)).collect()
}

fn main() {
    let turns = if env::args().any(|word| word == "--quick") { QUICK_TURNS } else { TURNS };
    let mut rows = Vec::new();
    for (operation, count) in ALL {
        rows.push((operation, least_times(operation, count, turns)));
    }
    println!("Collections, ns per operation, the least of {turns} turns");
    print!("{:<16}", "");
    rows[0].1.iter().for_each(|(rival, _)| print!("{rival:>17}"));
    println!("{:>14}{:>10}", "ours / bump", "mimalloc");
    for (operation, times) in &rows {
        let of = |name: &str| times.iter().find(|(rival, _)| *rival == name).expect("a rival").1;
        let best = BUMPS.iter().map(|name| of(name)).fold(f64::INFINITY, f64::min);
        print!("{operation:<16}");
        times.iter().for_each(|(_, time)| print!("{time:>17.3}"));
        println!("{:>14.2}{:>10.2}", of(OURS) / best, of(OURS) / of("mimalloc"));
    }
}
