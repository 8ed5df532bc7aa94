// SPDX-License-Identifier: Apache-2.0
//! Measures the time of the pools compared with the standard allocator and with a `Mutex<Vec<_>>`
//! of blocks. A plain `Vec<u32>` shows what no free list can beat. `cargo bench --bench pool`, with
//! `-- --quick` for a first look.
//!
//! One iteration takes and gives back `ROUND` blocks, so the printed microseconds are nanoseconds
//! per block. Where several threads take part, each does that with `ROUND` blocks at the same time,
//! and the time is until all have finished. Blocks are not cleared when they are taken, and each
//! goes through `black_box`. Other rivals are in `benches/compare/`.

mod support;

use std::alloc::{alloc, dealloc, Layout};
use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use aegis_memory::pool::{LockFreePool, LockedPool, Pool};
use aegis_memory::AllocError;
use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};
use support::work::{at_once, stack_of_numbers};
use support::{settings, Group};

/// How many blocks each thread takes and gives back in an iteration.
const ROUND: usize = 960;
const BLOCK_BYTES: usize = 256;
const BLOCKS: usize = 4096;
/// How many blocks go from one thread to another in a batch.
const HANDED: usize = 48;

/// A block of the standard allocator.
struct Standard(*mut u8);

// SAFETY: an owner of its memory.
unsafe impl Send for Standard {}

impl Standard {
    const LAYOUT: Layout = Layout::new::<[u8; BLOCK_BYTES]>();

    #[inline]
    fn take() -> Self {
        // SAFETY: the size is not 0.
        Self(unsafe { alloc(Self::LAYOUT) })
    }
}

impl Drop for Standard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: allocated in `take` with this layout.
        unsafe { dealloc(self.0, Self::LAYOUT) }
    }
}

type Boxed = Box<[u8; BLOCK_BYTES]>;

/// A free list that is protected by a mutex.
struct Listed(Mutex<Vec<Boxed>>);

struct ListedBlock<'a>(&'a Listed, Option<Boxed>);

impl Listed {
    fn new() -> Self {
        Self(Mutex::new((0..BLOCKS).map(|_| Box::new([0; BLOCK_BYTES])).collect()))
    }

    #[inline]
    fn take(&self) -> ListedBlock<'_> {
        ListedBlock(self, self.0.lock().expect("no panic").pop())
    }
}

impl Drop for ListedBlock<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0 .0.lock().expect("no panic").extend(self.1.take());
    }
}

/// Returns the block; there are always enough.
#[inline(always)]
fn some<T>(block: Result<T, AllocError>) -> T {
    block.expect("a block is left")
}

fn lock_free() -> LockFreePool {
    let builder = LockFreePool::builder().block_size(BLOCK_BYTES).blocks(BLOCKS);
    let pool = builder.caches(4).build().expect("pages");
    // Afterwards no block is fresh any more.
    drop((0..BLOCKS).map(|_| pool.alloc()).collect::<Vec<_>>());
    pool
}

fn one_owner(blocks: usize) -> Pool {
    let pool = Pool::new(BLOCK_BYTES, blocks);
    drop((0..blocks.min(BLOCKS)).map(|_| pool.alloc()).collect::<Vec<_>>());
    pool
}

/// Takes `batch` blocks, then gives them back, until a round is full.
#[inline(always)]
fn round<T>(held: &mut Vec<T>, batch: usize, take: impl Fn() -> T) {
    if batch == 1 {
        for _ in 0..ROUND {
            drop(black_box(take()));
        }
        return;
    }
    for _ in 0..ROUND / batch {
        for _ in 0..batch {
            held.push(take());
        }
        black_box(&mut *held);
        held.clear();
    }
}

fn case<T>(group: &mut Group<'_>, name: &str, batch: usize, take: impl Fn() -> T) {
    let mut held = Vec::with_capacity(batch);
    group.bench_function(name, |bencher| bencher.iter(|| round(&mut held, batch, &take)));
}

/// One thread, which takes one block at a time, then 8 and 48 at a time.
fn one_thread(criterion: &mut Criterion) {
    for batch in [1, 8, 48] {
        let mut group = criterion.benchmark_group(format!("take and give back {batch}"));
        let mut stack = stack_of_numbers(BLOCKS, ROUND, batch);
        group.bench_function("Vec<u32>", |bencher| bencher.iter(&mut stack));
        let pool = one_owner(BLOCKS);
        case(&mut group, "Pool", batch, || some(pool.alloc_uninit()));
        let pool = lock_free();
        let cache = pool.cache();
        case(&mut group, "PoolCache", batch, || some(cache.alloc_uninit()));
        case(&mut group, "LockFreePool", batch, || some(pool.alloc_uninit()));
        let pool = LockedPool::new(BLOCK_BYTES, BLOCKS);
        case(&mut group, "LockedPool", batch, || some(pool.alloc_uninit()));
        let list = Listed::new();
        case(&mut group, "Mutex<Vec>", batch, || list.take());
        case(&mut group, "standard", batch, Standard::take);
        group.finish();
    }
}

/// One thread, one block at a time, with pools of 64 to 16 million blocks.
fn capacity(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("capacity");
    for blocks in [64, 4096, 1 << 20, 1 << 24] {
        let pool = one_owner(blocks);
        let id = BenchmarkId::new("Pool", blocks);
        group.bench_function(id, |bencher| {
            bencher.iter(|| round(&mut Vec::new(), 1, || some(pool.alloc_uninit())));
        });
        let pool = LockFreePool::builder().block_size(BLOCK_BYTES).blocks(blocks).caches(1);
        let pool = pool.build().expect("pages");
        let cache = pool.cache();
        let id = BenchmarkId::new("PoolCache", blocks);
        group.bench_function(id, |bencher| {
            bencher.iter(|| round(&mut Vec::new(), 1, || some(cache.alloc_uninit())));
        });
        let id = BenchmarkId::new("LockFreePool", blocks);
        group.bench_function(id, |bencher| {
            bencher.iter(|| round(&mut Vec::new(), 1, || some(pool.alloc_uninit())));
        });
    }
    group.finish();
}

/// Two threads, each of which takes 8 blocks and gives them back.
fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("two threads, 8 at a time");
    let rounds = |iterations: u64, round: &mut dyn FnMut()| (0..iterations).for_each(|_| round());
    let pool = lock_free();
    group.bench_function("PoolCache", |bencher| {
        bencher.iter_custom(|iterations| {
            at_once(2, || {
                let cache = pool.cache();
                let mut held = Vec::new();
                rounds(iterations, &mut || round(&mut held, 8, || some(cache.alloc_uninit())));
            })
        });
    });
    macro_rules! shared {
        ($name:literal, $take:expr) => {
            group.bench_function($name, |bencher| {
                bencher.iter_custom(|iterations| {
                    at_once(2, || {
                        let mut held = Vec::new();
                        rounds(iterations, &mut || round(&mut held, 8, $take));
                    })
                });
            });
        };
    }
    shared!("LockFreePool", || some(pool.alloc_uninit()));
    let locked = LockedPool::new(BLOCK_BYTES, BLOCKS);
    shared!("LockedPool", || some(locked.alloc_uninit()));
    let list = Listed::new();
    shared!("Mutex<Vec>", || list.take());
    shared!("standard", Standard::take);
    group.finish();
}

/// One thread takes batches of 48 blocks and sends them, and the other gives them back. All times
/// include the cost of the channel itself; the case `nothing` sends a batch of numbers and shows
/// that cost.
fn hand_over(criterion: &mut Criterion) {
    fn pipe<T: Send>(
        iterations: u64,
        fill: impl Fn(&mut Vec<T>) + Sync,
        empty: impl Fn(&mut Vec<T>) + Send,
    ) -> Duration {
        let (sender, receiver) = sync_channel::<Vec<T>>(8);
        let (back, emptied) = sync_channel::<Vec<T>>(16);
        let start = Instant::now();
        thread::scope(|threads| {
            threads.spawn(move || {
                for mut batch in receiver {
                    empty(black_box(&mut batch));
                    // The sender ends first.
                    let _ = back.try_send(batch);
                }
            });
            for _ in 0..iterations as usize * (ROUND / HANDED) {
                let mut batch = emptied.try_recv().unwrap_or_default();
                fill(&mut batch);
                sender.send(batch).expect("the receiver waits for it");
            }
            drop(sender);
        });
        start.elapsed()
    }
    let mut group = criterion.benchmark_group("hand over");
    macro_rules! handed {
        ($name:literal, $take:expr) => {
            group.bench_function($name, |bencher| {
                bencher.iter_custom(|iterations| {
                    let fill = |batch: &mut Vec<_>| batch.extend((0..HANDED).map(|_| $take));
                    pipe(iterations, fill, |batch| batch.clear())
                });
            });
        };
    }
    handed!("nothing", 0_usize);
    let pool = lock_free();
    group.bench_function("PoolCache", |bencher| {
        bencher.iter_custom(|iterations| {
            let (taker, giver) = (Mutex::new(pool.cache()), pool.cache());
            pipe(
                iterations,
                |batch| {
                    let cache = taker.lock().expect("no panic");
                    batch.extend((0..HANDED).map(|_| some(cache.alloc_uninit()).detach()));
                },
                move |batch| batch.drain(..).for_each(|block| giver.put(block)),
            )
        });
    });
    handed!("LockFreePool", some(pool.alloc_uninit()));
    let locked = LockedPool::new(BLOCK_BYTES, BLOCKS);
    handed!("LockedPool", some(locked.alloc_uninit()));
    let list = Listed::new();
    handed!("Mutex<Vec>", list.take());
    handed!("standard", Standard::take());
    group.finish();
}

criterion_group! {
    name = benches;
    config = settings(200, 600, 20);
    targets = one_thread, capacity, two_threads, hand_over
}
criterion_main!(benches);
