// SPDX-License-Identifier: Apache-2.0
//! Measures the time of buffers compared with the standard library's types: `cargo bench --bench
//! buffer`, with `-- --quick` for a first look.
//!
//! Views are compared with an `Arc<[u8]>`, which can be shared but not cut, and with a `Vec<u8>`,
//! which must be copied. Pools are compared with the standard allocator. One iteration is `ROUND`
//! operations, so the printed microseconds are nanoseconds per operation. Where two threads take
//! part, each does `ROUND` operations at the same time, and the time is until both have finished.
//! Results go through `black_box`. Other rivals are in `benches/compare/`.

mod support;

use std::collections::VecDeque;
use std::hint::black_box;
use std::io::Read;
use std::sync::Arc;

use aegis_memory::buffer::{Buffer, BufferMut, BufferPool};
use criterion::{criterion_group, criterion_main, Criterion};
use support::work::at_once;
use support::{settings, Group};

/// How many operations each thread does in an iteration.
const ROUND: usize = 1000;
const PAGE_BYTES: usize = 4096;

fn page() -> Vec<u8> {
    (0..PAGE_BYTES).map(|i| i as u8).collect()
}

#[inline(always)]
fn round<T>(make: impl Fn() -> T) {
    for _ in 0..ROUND {
        drop(black_box(make()));
    }
}

fn case<T>(group: &mut Group<'_>, name: &str, make: impl Fn() -> T) {
    group.bench_function(name, |bencher| bencher.iter(|| round(&make)));
}

/// Makes another handle to a page and drops it.
fn clone_and_drop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clone and drop 4 KiB");
    let buffer = Buffer::from(page());
    case(&mut group, "Buffer", || black_box(&buffer).clone());
    let fixed = Buffer::from_static(page().leak());
    case(&mut group, "Buffer, static", || black_box(&fixed).clone());
    let shared: Arc<[u8]> = page().into();
    case(&mut group, "Arc<[u8]>", || black_box(&shared).clone());
    let vec = page();
    case(&mut group, "Vec<u8>", || black_box(&vec).clone());
    group.finish();
}

/// Makes a view of 64 bytes of a page and drops it.
fn slice(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slice of 64 bytes");
    let buffer = Buffer::from(page());
    case(&mut group, "Buffer", || black_box(&buffer).slice(black_box(100)..164));
    let shared: Arc<[u8]> = page().into();
    case(&mut group, "Arc<[u8]> and range", || {
        let start = black_box(100);
        (black_box(&shared).clone(), start..start + 64)
    });
    let vec = page();
    case(&mut group, "Vec<u8>", || {
        let start = black_box(100);
        black_box(&vec)[start..start + 64].to_vec()
    });
    group.finish();
}

/// Cuts a page into records of 16 bytes from the front and drops them.
fn split_to(criterion: &mut Criterion) {
    const RECORD: usize = PAGE_BYTES / 16;
    let mut group = criterion.benchmark_group("split_to 4 KiB into 256");
    let buffer = Buffer::from(page());
    group.bench_function("Buffer", |bencher| {
        bencher.iter(|| {
            let mut rest = black_box(&buffer).clone();
            for _ in 0..RECORD {
                drop(black_box(rest.split_to(16)));
            }
        });
    });
    let mut writer = BufferMut::with_capacity(PAGE_BYTES);
    group.bench_function("BufferMut, joined again", |bencher| {
        bencher.iter(|| {
            writer.resize(PAGE_BYTES, 0);
            for _ in 0..RECORD {
                drop(black_box(writer.split_to(16)));
            }
            writer.reserve(PAGE_BYTES);
        });
    });
    let vec = page();
    group.bench_function("Vec<u8>", |bencher| {
        bencher.iter(|| {
            for record in black_box(&vec).chunks(16) {
                drop(black_box(record.to_vec()));
            }
        });
    });
    group.finish();
}

fn case_mut<T>(group: &mut Group<'_>, name: &str, mut work: impl FnMut() -> T) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for _ in 0..ROUND {
                black_box(work());
            }
        });
    });
}

/// Makes, freezes and drops a writer: what a message costs whatever its length.
fn freeze(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("make 64 bytes, freeze, drop");
    let pool = BufferPool::new(PAGE_BYTES, 64);
    case(&mut group, "BufferPool", || {
        let mut writer = pool.get(64).expect("a buffer is left");
        writer.extend_from_slice(black_box(&[7; 64]));
        writer.freeze()
    });
    case(&mut group, "BufferMut", || {
        let mut writer = BufferMut::with_capacity(64);
        writer.extend_from_slice(black_box(&[7; 64]));
        writer.freeze()
    });
    case(&mut group, "Vec<u8> into Buffer", || {
        let mut vec = Vec::with_capacity(64);
        vec.extend_from_slice(black_box(&[7; 64]));
        Buffer::from(vec)
    });
    case(&mut group, "Vec<u8> into Arc<[u8]>", || {
        let mut vec = Vec::with_capacity(64);
        vec.extend_from_slice(black_box(&[7; 64]));
        Arc::<[u8]>::from(vec)
    });
    group.finish();
}

/// A full window that moves on by one byte, and a buffer that is filled by reads of 100 bytes.
fn fill(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slide a full window of 64 KiB");
    let mut window = BufferMut::with_capacity(1 << 16);
    window.resize(1 << 16, 1);
    case_mut(&mut group, "BufferMut", || {
        drop(black_box(window.split_to(1)));
        window.reserve(1);
        window.extend_from_slice(black_box(&[1]));
    });
    let mut window: VecDeque<u8> = vec![1; 1 << 16].into();
    case_mut(&mut group, "VecDeque<u8>", || {
        window.push_back(black_box(1));
        window.pop_front()
    });
    group.finish();
    let mut group = criterion.benchmark_group("100 bytes of a reader, 64 KiB of room");
    let input = [7; 100];
    let mut page = BufferMut::with_capacity(1 << 16);
    case_mut(&mut group, "BufferMut::read_from", || {
        if page.remaining_capacity() < input.len() {
            page.clear();
        }
        page.read_from(&mut black_box(&input[..])).expect("a slice is read")
    });
    let (mut vec, mut at) = (vec![0; 1 << 16], 0);
    case_mut(&mut group, "Read::read into a Vec<u8>", || {
        if vec.len() - at < input.len() {
            at = 0;
        }
        at += black_box(&input[..]).read(&mut vec[at..]).expect("a slice is read");
    });
    group.finish();
}

/// Takes a page and gives it back.
fn get(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("get and return 4 KiB");
    let pool = BufferPool::new(PAGE_BYTES, 64);
    case(&mut group, "BufferPool", || pool.get(PAGE_BYTES));
    case(&mut group, "BufferMut", || BufferMut::with_capacity(PAGE_BYTES));
    case(&mut group, "Vec<u8>", || Vec::<u8>::with_capacity(PAGE_BYTES));
    group.finish();
}

/// The same by two threads, on one page and on one pool.
fn two_threads(criterion: &mut Criterion) {
    fn both<T>(group: &mut Group<'_>, name: &str, make: impl Fn() -> T + Sync) {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                at_once(2, || (0..iterations).for_each(|_| round(&make)))
            });
        });
    }
    let mut group = criterion.benchmark_group("two threads: clone and drop 4 KiB");
    let buffer = Buffer::from(page());
    both(&mut group, "Buffer", || black_box(&buffer).clone());
    let shared: Arc<[u8]> = page().into();
    both(&mut group, "Arc<[u8]>", || black_box(&shared).clone());
    group.finish();
    let mut group = criterion.benchmark_group("two threads: get and return 4 KiB");
    let pool = BufferPool::new(PAGE_BYTES, 64);
    both(&mut group, "BufferPool", || pool.get(PAGE_BYTES));
    both(&mut group, "Vec<u8>", || Vec::<u8>::with_capacity(PAGE_BYTES));
    group.finish();
}

criterion_group! {
    name = benches;
    config = settings(200, 600, 20);
    targets = clone_and_drop, slice, split_to, freeze, fill, get, two_threads
}
criterion_main!(benches);
