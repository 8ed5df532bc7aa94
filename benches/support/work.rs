// SPDX-License-Identifier: Apache-2.0
//! What benches do here and in `benches/compare/`: threads that start together, the loop over an arena
//! that threads share, and a stack of numbers for comparison.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

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

/// Numbers of 32 bits in an order of chance, which is the same each time: the upper half of a linear
/// congruential generator, with Knuth's factor.
pub struct Chance(pub u64);

impl Chance {
    /// The next number.
    #[inline(always)]
    pub fn draw(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }
}

/// How many bytes a shared arena starts with.
pub const SHARED_CAPACITY: usize = 64 << 20;
/// How many allocations a thread makes between two resets of a shared arena.
const SHARED_CHUNK: u64 = 65_536;

/// Times one contender that the threads share, for a bencher's `iter_custom`. `work` makes this many
/// allocations from the state; `reset` frees them all, and its time is not counted.
pub fn shared<S: Sync>(
    threads: usize,
    mut state: S,
    work: impl Fn(&S, u64) + Sync,
    reset: impl Fn(&mut S),
) -> impl FnMut(u64) -> Duration {
    move |iterations| {
        let mut total = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            let count = left.min(SHARED_CHUNK);
            total += at_once(threads, || work(&state, count));
            reset(&mut state);
            left -= count;
        }
        total
    }
}

/// A round with a plain stack of this many numbers, which pops and pushes `batch` numbers at a time.
/// No free list can be faster.
pub fn stack_of_numbers(numbers: usize, round: usize, batch: usize) -> impl FnMut() {
    let mut list: Vec<u32> = (0..numbers as u32).collect();
    let mut held = Vec::with_capacity(batch);
    move || {
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
    }
}
