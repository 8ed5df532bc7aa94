// SPDX-License-Identifier: Apache-2.0
//! Measures the time of a hit: a page that is resident is pinned, a byte of it is read, and it is
//! unpinned. The rivals keep pages behind an `Arc`, which they clone.
//!
//! Pages are looked up in a random order. With two threads each has pages of its own, or both have
//! one and the same.

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use aegis_memory::cache::{FileId, MemoryStore, PageCache};
use compare::turns::{Group, Run};
use compare::work::{at_once_with, Chance};

/// How many pages are resident.
const PAGES: u64 = 1024;
const PAGE_BYTES: usize = 4096;
/// How many hits each thread has in an iteration.
const ROUND: usize = 1000;

type Page = Arc<[u8; PAGE_BYTES]>;

fn page(number: u64) -> Page {
    Arc::new([number as u8; PAGE_BYTES])
}

/// Which page a thread looks up next, and which byte it reads.
struct Order {
    chance: Chance,
    first: u64,
    count: u64,
}

impl Order {
    #[inline(always)]
    fn next(&mut self) -> (u64, usize) {
        let random = self.chance.draw();
        (self.first + ((random * self.count) >> 32), random as usize % PAGE_BYTES)
    }
}

/// The pages of one thread of several.
#[derive(Clone, Copy)]
enum Share {
    /// All pages, or an equal part of them.
    Own,
    /// One page, the same for all.
    One,
}

/// Reads bytes in this many threads; `read` gets a page and where the byte is.
fn timed<'a>(
    group: &mut Group<'a>,
    name: &str,
    threads: usize,
    share: Share,
    read: impl Fn(u64, usize) -> u8 + Sync + 'a,
) {
    group.bench_function(name, move |bencher| {
        bencher.iter_custom(|iterations| {
            let taken = std::sync::atomic::AtomicU64::new(0);
            let order = || {
                let thread = taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let count = PAGES / threads as u64;
                match share {
                    Share::Own => Order { chance: Chance(thread), first: thread * count, count },
                    Share::One => Order { chance: Chance(thread), first: 7, count: 1 },
                }
            };
            at_once_with(threads, order, |order| {
                for _ in 0..iterations as usize * ROUND {
                    let (page, at) = order.next();
                    black_box(read(page, at));
                }
            })
        });
    });
}

fn filled() -> (PageCache, FileId) {
    let cache = PageCache::new(PAGES as usize);
    let file = cache.open(MemoryStore::new()).expect("a file can be opened");
    for number in 0..PAGES {
        cache.fresh(file, number).expect("there is a frame").fill(number as u8);
    }
    cache.flush(file).expect("memory can be written");
    (cache, file)
}

fn hits(run: &mut Run, threads: usize, share: Share, title: &str) {
    let (cache, file) = filled();
    let pages: Vec<Page> = (0..PAGES).map(page).collect();
    let quick = quick_cache::sync::Cache::new(2 * PAGES as usize);
    let lru = Mutex::new(lru::LruCache::unbounded());
    let moka = moka::sync::Cache::new(2 * PAGES);
    for number in 0..PAGES {
        quick.insert(number, page(number));
        lru.lock().expect("no panic").put(number, page(number));
        moka.insert(number, page(number));
    }
    let mut group = run.group(title, ROUND);
    timed(&mut group, "PageCache", threads, share, |number, at| {
        cache.read(file, number).expect("it is resident")[at]
    });
    timed(&mut group, "quick_cache", threads, share, |number, at| {
        quick.get(&number).expect("it is there")[at]
    });
    timed(&mut group, "Mutex<LruCache>", threads, share, |number, at| {
        let page = lru.lock().expect("no panic").get(&number).map(Arc::clone);
        page.expect("it is there")[at]
    });
    timed(&mut group, "moka", threads, share, |number, at| {
        moka.get(&number).expect("it is there")[at]
    });
    timed(&mut group, "Arc<page>", threads, share, |number, at| {
        Arc::clone(black_box(&pages[number as usize]))[at]
    });
    group.finish();
}

pub fn one_thread(run: &mut Run) {
    hits(run, 1, Share::Own, "page hit");
}

pub fn two_threads(run: &mut Run) {
    hits(run, 2, Share::Own, "page hit, two threads");
    hits(run, 2, Share::One, "page hit, one page, two threads");
}
