// SPDX-License-Identifier: Apache-2.0
//! Measures the time of pages of a cache compared with what a program writes with the standard library
//! alone: `cargo bench --bench cache`, with `-- --quick` for a first look.
//!
//! Pages that are resident are compared with a map behind a lock: its pages are shared ones, which a
//! reader clones, or are changed under the lock. A page that is not resident is compared with memory
//! that is allocated and filled each time. One iteration is `ROUND` operations, so the printed
//! microseconds are nanoseconds per operation. With two threads each does `ROUND` operations at the
//! same time, and the time is until both have finished. Other rivals, hit ratios and files are in
//! `benches/compare/`.

mod support;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use aegis_memory::cache::{FileId, MemoryStore, PageCache};
use criterion::{criterion_group, criterion_main, Criterion};
use support::work::{at_once_with, Chance};
use support::{settings, Group};

/// How many operations each thread does in an iteration.
const ROUND: usize = 1000;
const PAGE_BYTES: usize = 4096;
/// How many pages are resident, and how many the file has.
const RESIDENT: u64 = 1024;
const FILE: u64 = 8192;

/// A cache with this many frames, of a file all of whose pages have been written.
fn cache(frames: u64) -> (PageCache, FileId) {
    let cache = PageCache::new(frames as usize);
    let file = cache.open(MemoryStore::new()).expect("a file can be opened");
    for number in 0..FILE {
        cache.fresh(file, number).expect("there is a frame").fill(number as u8);
    }
    cache.flush(file).expect("memory can be written");
    for number in 0..RESIDENT {
        drop(cache.read(file, number).expect("memory can be read"));
    }
    (cache, file)
}

fn page(number: u64) -> Vec<u8> {
    vec![number as u8; PAGE_BYTES]
}

fn map<T>(make: impl Fn(Vec<u8>) -> T) -> HashMap<u64, T> {
    (0..RESIDENT).map(|number| (number, make(page(number)))).collect()
}

/// Times `visit`, which gets a page below `pages` and a place in it, in an order of chance.
fn case<T>(
    group: &mut Group<'_>,
    name: &str,
    threads: usize,
    pages: u64,
    visit: impl Fn(u64, usize) -> T + Sync,
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let taken = AtomicU64::new(0);
            at_once_with(
                threads,
                || Chance(taken.fetch_add(1, Ordering::Relaxed)),
                |chance| {
                    for _ in 0..iterations as usize * ROUND {
                        let number = chance.draw();
                        black_box(visit((number * pages) >> 32, number as usize % PAGE_BYTES));
                    }
                },
            )
        });
    });
}

/// Reads one byte of a page that is resident.
fn read(criterion: &mut Criterion) {
    let (cache, file) = cache(2 * RESIDENT);
    let locked = Mutex::new(map(Arc::<[u8]>::from));
    let shared = RwLock::new(map(Arc::<[u8]>::from));
    for (threads, title) in [(1, "read a resident page"), (2, "two threads: read a resident page")]
    {
        let mut group = criterion.benchmark_group(title);
        case(&mut group, "PageCache", threads, RESIDENT, |number, at| {
            cache.read(file, number).expect("it is resident")[at]
        });
        case(&mut group, "Mutex<HashMap<u64, Arc<[u8]>>>", threads, RESIDENT, |number, at| {
            let page = locked.lock().expect("no panic").get(&number).map(Arc::clone);
            page.expect("it is there")[at]
        });
        case(&mut group, "RwLock<HashMap<u64, Arc<[u8]>>>", threads, RESIDENT, |number, at| {
            let page = shared.read().expect("no panic").get(&number).map(Arc::clone);
            page.expect("it is there")[at]
        });
        group.finish();
    }
}

/// Changes one byte of a page that is resident.
fn write(criterion: &mut Criterion) {
    let (cache, file) = cache(2 * RESIDENT);
    let locked = Mutex::new(map(|page| page));
    let mut group = criterion.benchmark_group("change a resident page");
    case(&mut group, "PageCache", 1, RESIDENT, |number, at| {
        cache.write(file, number).expect("it is resident")[at] = at as u8;
    });
    case(&mut group, "Mutex<HashMap<u64, Vec<u8>>>", 1, RESIDENT, |number, at| {
        let mut pages = locked.lock().expect("no panic");
        pages.get_mut(&number).expect("it is there")[at] = at as u8;
    });
    group.finish();
}

/// Reads pages most of which are not resident, so that another page is evicted first.
fn miss(criterion: &mut Criterion) {
    let (cache, file) = cache(FILE / 64);
    let store: Vec<Vec<u8>> = (0..FILE).map(page).collect();
    let mut group = criterion.benchmark_group("read a page of 4 KiB, 1 of 64 resident");
    case(&mut group, "PageCache", 1, FILE, |number, at| {
        cache.read(file, number).expect("memory can be read")[at]
    });
    case(&mut group, "Vec<u8>, a copy", 1, FILE, |number, at| {
        black_box(store[number as usize].clone())[at]
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = settings(200, 600, 20);
    targets = read, write, miss
}
criterion_main!(benches);
