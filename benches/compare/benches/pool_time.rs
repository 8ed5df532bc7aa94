// SPDX-License-Identifier: Apache-2.0
//! Measures the time of the pools compared with their rivals. One thread takes and gives back
//! blocks one, 8 and 48 at a time, two threads do it 8 at a time, and one thread hands blocks over
//! to another.
//!
//! In an iteration each thread handles 960 blocks, and the time is that of the slower thread. So
//! the printed microseconds times 1000/960 are nanoseconds per block. `Vec<u32>` is a stack of
//! numbers, for comparison.

#[path = "../../support/mod.rs"]
mod support;

use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use aegis_memory::pool::{LockFreePool, LockedPool, Pool};
use compare::pools::{
    Cached, Linear, Malloc, Mimalloc, MutexVec, Queue, Rival, Sharded, Shared, BLOCKS,
};
use criterion::{criterion_group, criterion_main, Criterion};
use support::{short, stack_of_numbers, Group};

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

fn alone<R: Rival>(group: &mut Group<'_>, name: &str, batch: usize) {
    let rival = R::new();
    let handle = rival.handle();
    let mut held = Vec::with_capacity(batch);
    group.bench_function(name, |bencher| bencher.iter(|| round::<R>(&handle, batch, &mut held)));
}

fn one_thread(criterion: &mut Criterion) {
    for batch in [1, 8, 48] {
        let mut group = criterion.benchmark_group(format!("{batch} at a time"));
        stack_of_numbers(&mut group, BLOCKS, ROUND, batch);
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

fn together<R: Shared>(group: &mut Group<'_>, name: &str) {
    let rival = R::new();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let barrier = Barrier::new(2);
            let side = || {
                let handle = rival.handle();
                let mut held = Vec::with_capacity(8);
                barrier.wait();
                let start = Instant::now();
                (0..iterations).for_each(|_| round::<R>(&handle, 8, &mut held));
                let elapsed = start.elapsed();
                drop(held);
                elapsed
            };
            thread::scope(|threads| {
                let other = threads.spawn(side);
                side().max(other.join().expect("no panic"))
            })
        });
    });
}

fn handed<R: Shared>(group: &mut Group<'_>, name: &str) {
    let rival = R::new();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let (sender, receiver) = sync_channel::<Vec<R::Sent<'_>>>(8);
            let (back, emptied) = sync_channel::<Vec<R::Sent<'_>>>(16);
            let rival = &rival;
            let start = Instant::now();
            thread::scope(|threads| {
                threads.spawn(move || {
                    let handle = rival.handle();
                    for mut batch in receiver {
                        batch.drain(..).for_each(|sent| R::receive(&handle, sent));
                        // The sender ends first.
                        let _ = back.try_send(batch);
                    }
                });
                let handle = rival.handle();
                for _ in 0..iterations as usize * (ROUND / HANDED) {
                    let mut batch = emptied.try_recv().unwrap_or_default();
                    batch.extend((0..HANDED).map(|_| R::send(&handle)));
                    sender.send(black_box(batch)).expect("the receiver waits for it");
                }
                drop(sender);
            });
            start.elapsed()
        });
    });
}

fn two_threads(criterion: &mut Criterion) {
    for (name, case) in [("two threads, 8 at a time", 0), ("handed over, 48 at a time", 1)] {
        let mut group = criterion.benchmark_group(name);
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

criterion_group! {
    name = benches;
    config = short(100, 400, 20);
    targets = one_thread, two_threads
}
criterion_main!(benches);
