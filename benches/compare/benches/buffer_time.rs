// SPDX-License-Identifier: Apache-2.0
//! Measures the time of the buffers compared with `bytes`. A view is cloned and dropped, sliced,
//! and split; a writer is frozen; 4 KiB are taken and given back. All by one thread and by two.
//!
//! In an iteration each thread does [`ROUND`] operations, and the time is that of the slower
//! thread.

#[path = "../../support/mod.rs"]
mod support;

use std::hint::black_box;

use aegis_memory::buffer::{Buffer, BufferMut, BufferPool};
use bytes::{Bytes, BytesMut};
use criterion::{criterion_group, criterion_main, Criterion};
use support::{at_once_with, short, Group};

/// How many operations each thread does in an iteration.
const ROUND: usize = 1000;
/// How many bytes are taken and given back.
const PAGE_BYTES: usize = 4096;

/// Runs an operation one round at a time in this many threads. Each thread works with what `make`
/// makes for it.
fn timed<T>(
    group: &mut Group<'_>,
    name: &str,
    threads: usize,
    make: impl Fn() -> T + Sync,
    operation: impl Fn(&mut T) + Sync,
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let warm = || {
                let mut state = make();
                operation(&mut state);
                state
            };
            at_once_with(threads, warm, |state| {
                for _ in 0..iterations as usize * ROUND {
                    operation(black_box(state));
                }
            })
        });
    });
}

fn view() -> Buffer {
    Buffer::copy_from_slice(&[7; PAGE_BYTES])
}

/// Makes it a shared one: the first clone turns a `Bytes` of a `Vec` into that form.
fn bytes() -> Bytes {
    let bytes = Bytes::from(vec![7; PAGE_BYTES]);
    drop(bytes.clone());
    bytes
}

fn views(criterion: &mut Criterion) {
    for (threads, suffix) in [(1, ""), (2, ", two threads")] {
        let mut group = criterion.benchmark_group(format!("clone and drop{suffix}"));
        timed(&mut group, "Buffer", threads, view, |view| drop(black_box(view.clone())));
        timed(&mut group, "bytes", threads, bytes, |bytes| drop(black_box(bytes.clone())));
        group.finish();
        // All threads count in one counter.
        let (shared, other) = (view(), bytes());
        let mut group = criterion.benchmark_group(format!("clone and drop, shared{suffix}"));
        timed(&mut group, "Buffer", threads, || &shared, |view| drop(black_box(view.clone())));
        timed(&mut group, "bytes", threads, || &other, |bytes| drop(black_box(bytes.clone())));
        group.finish();
        let mut group = criterion.benchmark_group(format!("slice and drop{suffix}"));
        timed(&mut group, "Buffer", threads, view, |view| drop(black_box(view.slice(8..40))));
        timed(&mut group, "bytes", threads, bytes, |bytes| drop(black_box(bytes.slice(8..40))));
        group.finish();
        let mut group = criterion.benchmark_group(format!("clone, split and drop{suffix}"));
        timed(&mut group, "Buffer", threads, view, |view| {
            let mut rest = view.clone();
            drop(black_box(rest.split_to(8)));
            black_box(rest);
        });
        timed(&mut group, "bytes", threads, bytes, |bytes| {
            let mut rest = bytes.clone();
            drop(black_box(rest.split_to(8)));
            black_box(rest);
        });
        group.finish();
    }
}

fn pages(criterion: &mut Criterion) {
    for (threads, suffix) in [(1, ""), (2, ", two threads")] {
        let mut group = criterion.benchmark_group(format!("get and return 4 KiB{suffix}"));
        let pool = BufferPool::new(PAGE_BYTES, 1024);
        timed(&mut group, "BufferPool", threads, || (), |()| drop(black_box(pool.get(PAGE_BYTES))));
        timed(
            &mut group,
            "BufferMut",
            threads,
            || (),
            |()| {
                drop(black_box(BufferMut::with_capacity(PAGE_BYTES)));
            },
        );
        timed(
            &mut group,
            "BytesMut",
            threads,
            || (),
            |()| {
                drop(black_box(BytesMut::with_capacity(PAGE_BYTES)));
            },
        );
        timed(
            &mut group,
            "malloc",
            threads,
            || (),
            |()| {
                drop(black_box(Vec::<u8>::with_capacity(PAGE_BYTES)));
            },
        );
        timed(
            &mut group,
            "mimalloc",
            threads,
            || (),
            |()| {
                // SAFETY: no precondition.
                let memory = unsafe { libmimalloc_sys::mi_malloc(PAGE_BYTES) };
                // SAFETY: taken just now.
                unsafe { libmimalloc_sys::mi_free(black_box(memory)) };
            },
        );
        group.finish();
        let mut group =
            criterion.benchmark_group(format!("get 4 KiB, write, freeze, return{suffix}"));
        timed(
            &mut group,
            "BufferPool",
            threads,
            || (),
            |()| {
                let mut writer = pool.get(PAGE_BYTES).expect("one is left");
                writer.extend_from_slice(black_box(&[1; 64]));
                drop(black_box(writer.freeze()));
            },
        );
        timed(
            &mut group,
            "bytes",
            threads,
            || (),
            |()| {
                let mut writer = BytesMut::with_capacity(PAGE_BYTES);
                writer.extend_from_slice(black_box(&[1; 64]));
                drop(black_box(writer.freeze()));
            },
        );
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = short(100, 400, 20);
    targets = views, pages
}
criterion_main!(benches);
