// SPDX-License-Identifier: Apache-2.0
//! Measures the time of the buffers compared with `bytes`. A view is cloned and dropped, sliced,
//! and split; a writer is frozen; 4 KiB are taken and given back. All by one thread and by two.
//!
//! In an iteration each thread does [`ROUND`] operations, and the time is that of the slower
//! thread.

use std::hint::black_box;
use std::sync::Arc;

use aegis_memory::buffer::{Buffer, BufferMut, BufferPool};
use bytes::{Bytes, BytesMut};
use compare::turns::{Group, Run};
use compare::work::at_once_with;

/// How many operations each thread does in an iteration.
const ROUND: usize = 1000;
/// How many bytes are taken and given back.
const PAGE_BYTES: usize = 4096;

/// Runs an operation one round at a time in this many threads. Each thread works with what `make`
/// makes for it.
fn timed<'a, T>(
    group: &mut Group<'a>,
    name: &str,
    threads: usize,
    make: impl Fn() -> T + Sync + 'a,
    operation: impl Fn(&mut T) + Sync + 'a,
) {
    group.bench_function(name, move |bencher| {
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

fn arc() -> Arc<[u8]> {
    Arc::new([7; PAGE_BYTES])
}

fn views(run: &mut Run, threads: usize, suffix: &str) {
    let mut group = run.group(format!("clone and drop{suffix}"), ROUND);
    timed(&mut group, "Buffer", threads, view, |view| drop(black_box(view.clone())));
    timed(&mut group, "bytes", threads, bytes, |bytes| drop(black_box(bytes.clone())));
    timed(&mut group, "Arc<[u8]>", threads, arc, |arc| drop(black_box(arc.clone())));
    group.finish();
    // All threads count in one counter.
    let (shared, other) = (view(), bytes());
    let shared_arc = arc();
    let mut group = run.group(format!("clone and drop, shared{suffix}"), ROUND);
    timed(&mut group, "Buffer", threads, || &shared, |view| drop(black_box(view.clone())));
    timed(&mut group, "bytes", threads, || &other, |bytes| drop(black_box(bytes.clone())));
    timed(&mut group, "Arc<[u8]>", threads, || &shared_arc, |arc| drop(black_box(arc.clone())));
    group.finish();
    let mut group = run.group(format!("slice and drop{suffix}"), ROUND);
    timed(&mut group, "Buffer", threads, view, |view| drop(black_box(view.slice(8..40))));
    timed(&mut group, "bytes", threads, bytes, |bytes| drop(black_box(bytes.slice(8..40))));
    group.finish();
    let mut group = run.group(format!("clone, split and drop{suffix}"), ROUND);
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

/// Writers on the heap, made and dropped.
fn writers(run: &mut Run, threads: usize, suffix: &str) {
    for size in [64, 256, 1024] {
        let mut group = run.group(format!("make and drop {size} B{suffix}"), ROUND);
        timed(
            &mut group,
            "BufferMut",
            threads,
            || (),
            move |()| drop(black_box(BufferMut::with_capacity(black_box(size)))),
        );
        timed(
            &mut group,
            "BytesMut",
            threads,
            || (),
            move |()| drop(black_box(BytesMut::with_capacity(black_box(size)))),
        );
        group.finish();
    }
}

fn pages(run: &mut Run, threads: usize, suffix: &str) {
    let pool = BufferPool::new(PAGE_BYTES, 1024);
    let mut group = run.group(format!("get and return 4 KiB{suffix}"), ROUND);
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
    let mut group = run.group(format!("get 4 KiB, write, freeze, return{suffix}"), ROUND);
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

pub fn one_thread(run: &mut Run) {
    views(run, 1, "");
    writers(run, 1, "");
    pages(run, 1, "");
}

pub fn two_threads(run: &mut Run) {
    views(run, 2, ", two threads");
    writers(run, 2, ", two threads");
    pages(run, 2, ", two threads");
}
