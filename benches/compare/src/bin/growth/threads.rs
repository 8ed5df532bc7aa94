// SPDX-License-Identifier: Apache-2.0
//! Threads on one object, also more of them than the machine has processors.
//!
//! The threads work for the same time. The nanoseconds are those of a processor: that time, times
//! the processors that the threads could use, for each operation. So a curve is flat if threads cost
//! each other nothing.
//!
//! Where there are more threads than processors, the system takes a processor away from a thread
//! for some milliseconds, at any point. What that does to the others is in the two rows below: a
//! thread cannot go on as long as it needs what the other one holds. So each operation is timed,
//! in a run of its own, and the longest is shown, and the one that one in ten thousand is longer
//! than. Each thread's own turns without a processor are in both.

use std::alloc::Layout;
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aegis_memory::arena::{LockFreeArena, LockedArena};
use aegis_memory::buffer::BufferPool;
use aegis_memory::pool::{LockFreePool, LockedPool};

use crate::curve::{Rule, Table};

const THREADS: [u64; 6] = [1, 2, 4, 8, 16, 32];
/// Room for all allocations of a run.
const CAPACITY: usize = 64 << 20;

/// What runs a thread's operation so often.
type Repeat<'a> = &'a mut dyn FnMut(u64);
/// What measures a thread: it gets the thread's operation, and returns how often it has run it.
type Measure<'a> = &'a (dyn Fn(Repeat<'_>) -> u64 + Sync);

/// Runs the work on so many threads, and adds up how often each has run its operation. Returns the
/// time from the first thread's start to the last one's end for each operation.
fn at_once(threads: u64, work: impl Fn() -> u64 + Sync) -> f64 {
    let barrier = Barrier::new(threads as usize);
    let side = || {
        barrier.wait();
        let start = Instant::now();
        let count = work();
        (start, count, Instant::now())
    };
    let sides: Vec<_> = thread::scope(|scope| {
        let sides: Vec<_> = (0..threads).map(|_| scope.spawn(side)).collect();
        sides.into_iter().map(|side| side.join().expect("no panic")).collect()
    });
    let start = sides.iter().map(|side| side.0).min().expect("a thread");
    let end = sides.iter().map(|side| side.2).max().expect("a thread");
    let count: u64 = sides.iter().map(|side| side.1).sum();
    (end - start).as_nanos() as f64 / count as f64
}

/// How long the threads of a run work, and the most operations of all together.
#[derive(Clone, Copy)]
struct Limits {
    time: Duration,
    operations: u64,
}

impl Limits {
    /// Repeats the operation until one of the limits, for a thread of so many.
    fn repeat(self, threads: u64, repeat: Repeat<'_>) -> u64 {
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < self.time && count < self.operations / threads {
            repeat(64);
            count += 64;
        }
        count
    }

    /// The same, with the time of each operation.
    fn each(self, threads: u64, repeat: Repeat<'_>, times: &Mutex<Vec<u64>>) -> u64 {
        let share = (self.operations.min(1 << 22) / threads) as usize;
        let mut own = Vec::with_capacity(share);
        let mut last = Instant::now();
        let start = last;
        while last - start < self.time && own.len() < share {
            repeat(1);
            let now = Instant::now();
            own.push((now - last).as_nanos() as u64);
            last = now;
        }
        times.lock().expect("no panic").append(&mut own);
        share as u64
    }
}

/// Adds the curves of a form. `work` makes a thread's handle, and passes the operation on to be
/// measured; `reset` makes the state ready for another run.
fn form<S: Sync>(
    table: &mut Table,
    name: &str,
    rule: Rule,
    limits: Limits,
    mut state: S,
    work: impl Fn(&S, Measure<'_>) -> u64 + Sync,
    reset: impl Fn(&mut S),
) {
    let processors = thread::available_parallelism().map_or(1, usize::from) as u64;
    let mut run = |threads: u64, measure: Measure<'_>| {
        let each = at_once(threads, || work(&state, measure));
        reset(&mut state);
        each * processors.min(threads) as f64
    };
    table.add(name, rule, |threads| {
        let once = |_| run(threads, &|repeat| limits.repeat(threads, repeat));
        (0..3).map(once).reduce(f64::min)
    });
    let mut longest = Vec::new();
    table.add("  1 in 10,000 is longer, us", Rule::Shown, |threads| {
        let times = Mutex::new(Vec::new());
        run(threads, &|repeat| limits.each(threads, repeat, &times));
        let mut times = times.into_inner().expect("no panic");
        times.sort_unstable();
        longest.push(times[times.len() - 1] as f64 / 1e3);
        Some(times[times.len() - 1 - times.len() / 10_000] as f64 / 1e3)
    });
    let mut longest = longest.into_iter();
    table.add("  the longest, us", Rule::Shown, |_| longest.next());
}

pub fn print(short: bool) {
    // So many allocations of an arena have room in the memory of a small machine.
    let limits = Limits {
        time: Duration::from_millis(if short { 10 } else { 100 }),
        operations: if short { 1 << 22 } else { 1 << 25 },
    };
    let layout = Layout::from_size_align(16, 16).expect("a layout");
    const LINES: &str = "from two threads on, each operation fetches lines that another processor \
                         has written; how many threads there are does not matter";
    const LOCK: &str = "the same, and threads sleep and are woken";
    let mut table = Table::new("Threads on one object, ns of a processor", &THREADS);
    let arena = || LockFreeArena::new(CAPACITY);
    form(
        &mut table,
        "LockFreeArena, 16 B",
        Rule::Later(2.0, LINES),
        limits,
        arena(),
        |arena, measure| {
            measure(&mut |count| {
                (0..count).for_each(|_| {
                    black_box(arena.alloc_layout(layout));
                })
            })
        },
        LockFreeArena::reset,
    );
    form(
        &mut table,
        "LocalArena, 16 B",
        Rule::Flat,
        limits,
        arena(),
        |arena, measure| {
            let local = arena.local();
            measure(&mut |count| {
                (0..count).for_each(|_| {
                    black_box(local.alloc_layout(layout));
                })
            })
        },
        LockFreeArena::reset,
    );
    form(
        &mut table,
        "LockedArena, 16 B",
        Rule::Later(2.0, LOCK),
        limits,
        LockedArena::new(CAPACITY),
        |arena, measure| {
            measure(&mut |count| {
                (0..count).for_each(|_| {
                    black_box(arena.alloc_layout(layout));
                })
            })
        },
        LockedArena::reset,
    );
    let pool =
        || LockFreePool::builder().block_size(64).blocks(4096).caches(32).build().expect("memory");
    form(
        &mut table,
        "LockFreePool",
        Rule::Later(2.0, LINES),
        limits,
        pool(),
        |pool, measure| {
            measure(&mut |count| (0..count).for_each(|_| drop(black_box(pool.alloc()))))
        },
        |_| (),
    );
    form(
        &mut table,
        "PoolCache",
        Rule::Flat,
        limits,
        pool(),
        |pool, measure| {
            let cache = pool.cache();
            measure(&mut |count| (0..count).for_each(|_| drop(black_box(cache.alloc()))))
        },
        |_| (),
    );
    form(
        &mut table,
        "LockedPool",
        Rule::Later(2.0, LOCK),
        limits,
        LockedPool::new(64, 4096),
        |pool, measure| {
            measure(&mut |count| (0..count).for_each(|_| drop(black_box(pool.alloc()))))
        },
        |_| (),
    );
    form(
        &mut table,
        "BufferPool, 4 KiB",
        Rule::Rise(
            3.0,
            "more threads than twice the processors share stripes, with a \
                         read-modify-write for each call",
        ),
        limits,
        BufferPool::new(4096, 1024),
        |pool, measure| {
            measure(&mut |count| (0..count).for_each(|_| drop(black_box(pool.get(4096)))))
        },
        |_| (),
    );
    table.print();
}
