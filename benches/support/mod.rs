// SPDX-License-Identifier: Apache-2.0
//! What several benches need, here and in `benches/compare/`: criterion's settings, threads that
//! start together, the loop over an arena that threads share, and a stack of numbers for
//! comparison.
#![allow(dead_code)]

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};

/// A group of cases, timed by the clock.
pub type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Sets short timings with this many samples, unless the command line asks for others.
pub fn short(warm_up_ms: u64, measurement_ms: u64, samples: usize) -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(warm_up_ms))
        .measurement_time(Duration::from_millis(measurement_ms))
        .sample_size(samples)
        .configure_from_args()
}

/// Runs the work on this many threads at the same time. Each thread's work gets what `make` makes
/// for it. Returns the time of the slowest thread.
pub fn at_once_with<T>(
    threads: usize,
    make: impl Fn() -> T + Sync,
    work: impl Fn(&mut T) + Sync,
) -> Duration {
    let barrier = Barrier::new(threads);
    let side = || {
        let mut state = make();
        barrier.wait();
        let start = Instant::now();
        work(&mut state);
        start.elapsed()
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(side)).collect();
        let first = side();
        let others = others.into_iter().map(|other| other.join().expect("no panic"));
        others.fold(first, Duration::max)
    })
}

/// The same for work that needs nothing of its own.
pub fn at_once(threads: usize, work: impl Fn() + Sync) -> Duration {
    at_once_with(threads, || (), |()| work())
}

/// How many bytes a shared arena starts with.
pub const SHARED_CAPACITY: usize = 64 << 20;
/// How many allocations a thread makes between two resets of a shared arena.
const SHARED_CHUNK: u64 = 65_536;

/// Measures one contender that the threads share. `work` makes this many allocations from the
/// state; `reset` frees them all, and its time is not counted.
pub fn shared_case<S: Sync>(
    group: &mut Group<'_>,
    name: &str,
    threads: usize,
    mut state: S,
    work: impl Fn(&S, u64) + Sync,
    reset: impl Fn(&mut S),
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let count = left.min(SHARED_CHUNK);
                total += at_once(threads, || work(&state, count));
                reset(&mut state);
                left -= count;
            }
            total
        });
    });
}

/// A plain stack of this many numbers. A round pops and pushes `batch` numbers at a time. No free
/// list can be faster.
pub fn stack_of_numbers(group: &mut Group<'_>, numbers: usize, round: usize, batch: usize) {
    let mut list: Vec<u32> = (0..numbers as u32).collect();
    let mut held = Vec::with_capacity(batch);
    group.bench_function("Vec<u32>", |bencher| {
        bencher.iter(|| {
            let list = black_box(&mut list);
            for _ in 0..round / batch {
                if batch == 1 {
                    let index = list.pop().expect("some are left");
                    list.push(black_box(index));
                    continue;
                }
                for _ in 0..batch {
                    held.push(list.pop().expect("some are left"));
                }
                black_box(&mut held);
                for index in held.drain(..) {
                    list.push(index);
                }
            }
        });
    });
}
