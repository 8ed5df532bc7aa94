// SPDX-License-Identifier: Apache-2.0
//! Measures the time of the pools compared with their rivals. One thread takes and gives back
//! blocks one, 8 and 48 at a time, two threads do it 8 at a time, and one thread hands blocks over
//! to another.
//!
//! In an iteration each thread handles 960 blocks, and the time is that of the slower thread.
//! `Vec<u32>` is a stack of numbers, for comparison.

use std::hint::{self, black_box};
use std::thread;
use std::time::Instant;

use aegis_memory::pool::{LockFreePool, LockedPool, Pool};
use compare::pools::{
    Cached, Constant, Linear, Malloc, Mimalloc, MutexVec, Queue, Rival, Sharded, Shared, BLOCKS,
};
use compare::turns::{Group, Run};
use compare::work::{at_once_with, stack_of_numbers};
use crossbeam_queue::ArrayQueue;

/// How many blocks each thread takes and gives back in an iteration.
const ROUND: usize = 960;
/// How many blocks go from one thread to another at a time.
const HANDED: usize = 48;

/// Takes `batch` blocks, then gives them back, until a round is full.
#[inline(always)]
fn round<'h, R: Rival>(handle: &'h R::Handle<'_>, batch: usize, held: &mut Vec<R::Block<'h>>) {
    for _ in 0..ROUND / batch {
        if batch == 1 {
            drop(black_box(R::take(handle)));
            continue;
        }
        for _ in 0..batch {
            held.push(R::take(handle));
        }
        black_box(&mut *held);
        held.clear();
    }
}

/// A rival of which the cases of a group borrow. It lives until the process ends.
fn kept<R: Rival>() -> &'static R {
    Box::leak(Box::new(R::new()))
}

fn alone<R: Rival + 'static>(group: &mut Group<'_>, name: &str, batch: usize) {
    let handle = &*Box::leak(Box::new(kept::<R>().handle()));
    let mut held = Vec::with_capacity(batch);
    group.bench_function(name, move |bencher| {
        bencher.iter(|| round::<R>(handle, batch, &mut held));
    });
}

pub fn one_thread(run: &mut Run) {
    for batch in [1, 8, 48] {
        let mut group = run.group(format!("{batch} at a time"), ROUND);
        let mut stack = stack_of_numbers(BLOCKS, ROUND, batch);
        group.bench_function("Vec<u32>", move |bencher| bencher.iter(&mut stack));
        alone::<Pool>(&mut group, "Pool", batch);
        alone::<Cached>(&mut group, "PoolCache", batch);
        alone::<LockFreePool>(&mut group, "LockFreePool", batch);
        alone::<LockedPool>(&mut group, "LockedPool", batch);
        alone::<Malloc>(&mut group, "malloc", batch);
        alone::<Mimalloc>(&mut group, "mimalloc", batch);
        alone::<Queue>(&mut group, "ArrayQueue", batch);
        alone::<Linear>(&mut group, "lockfree-object-pool", batch);
        alone::<Sharded>(&mut group, "sharded-slab", batch);
        alone::<MutexVec>(&mut group, "Mutex<Vec>", batch);
        group.finish();
    }
}

fn together<R: Shared + 'static>(group: &mut Group<'_>, name: &str) {
    let rival = kept::<R>();
    group.bench_function(name, move |bencher| {
        bencher.iter_custom(|iterations| {
            at_once_with(
                2,
                || rival.handle(),
                |handle| {
                    let mut held = Vec::with_capacity(8);
                    (0..iterations).for_each(|_| round::<R>(handle, 8, &mut held));
                },
            )
        });
    });
}

/// Tries until there is a result. Both threads run at the same time, so it does not sleep, which
/// would take longer than what is measured.
fn until_some<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    for round in 0_u32.. {
        if let Some(result) = attempt() {
            return result;
        }
        // The other thread may have no processor.
        if round % 1024 == 1023 {
            thread::yield_now();
        }
        hint::spin_loop();
    }
    unreachable!("there is no end to the rounds")
}

/// Hands batches of blocks to another thread, which gives them back, and sends the empty batch.
fn handed<R: Shared + 'static>(group: &mut Group<'_>, name: &str) {
    let rival = kept::<R>();
    group.bench_function(name, move |bencher| {
        bencher.iter_custom(|iterations| {
            let batches = iterations as usize * (ROUND / HANDED);
            let (full, empty) = (ArrayQueue::new(8), ArrayQueue::new(8));
            (0..8).for_each(|_| drop(empty.push(Vec::with_capacity(HANDED))));
            let start = Instant::now();
            thread::scope(|threads| {
                threads.spawn(|| {
                    let handle = rival.handle();
                    for _ in 0..batches {
                        let mut batch: Vec<R::Sent<'_>> = until_some(|| full.pop());
                        batch.drain(..).for_each(|sent| R::receive(&handle, sent));
                        assert!(empty.push(batch).is_ok(), "there are eight batches");
                    }
                });
                let handle = rival.handle();
                for _ in 0..batches {
                    let mut batch = until_some(|| empty.pop());
                    batch.extend((0..HANDED).map(|_| R::send(&handle)));
                    assert!(full.push(black_box(batch)).is_ok(), "there are eight batches");
                }
            });
            start.elapsed()
        });
    });
}

pub fn two_threads(run: &mut Run) {
    for (name, case) in [("two threads, 8 at a time", 0), ("handed over, 48 at a time", 1)] {
        let mut group = run.group(name, ROUND);
        macro_rules! cases {
            ($($Rival:ty: $name:literal),* $(,)?) => {$(
                if case == 0 {
                    together::<$Rival>(&mut group, $name);
                } else {
                    handed::<$Rival>(&mut group, $name);
                }
            )*};
        }
        cases! {
            Constant: "a constant",
            Cached: "PoolCache",
            LockFreePool: "LockFreePool",
            LockedPool: "LockedPool",
            Malloc: "malloc",
            Mimalloc: "mimalloc",
            Queue: "ArrayQueue",
            Linear: "lockfree-object-pool",
            Sharded: "sharded-slab",
            MutexVec: "Mutex<Vec>",
        }
        group.finish();
    }
}
