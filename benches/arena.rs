// SPDX-License-Identifier: Apache-2.0
//! Measures the time of the arena compared with the standard allocator: `cargo bench -p
//! aegis-memory`, with `-- --quick` for a first look.
//!
//! Unless a group says otherwise, one iteration is a round of `ROUND` operations and then the call
//! that frees them all, so the printed microseconds are nanoseconds per operation. Results go
//! through `black_box`; an operation touches only the memory that it writes itself. Instruction
//! counts and other rivals are in `benches/compare/`.

mod support;

use std::alloc::{alloc, dealloc, Layout};
use std::hint::black_box;
use std::time::{Duration, Instant};

use aegis_memory::arena::{Arena, ArenaHeap, LockedArenaHeap};
use aegis_memory::source::Pages;
use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};
use support::{settings, Group};

/// Operations in a round.
const ROUND: usize = 1000;
/// How many blocks of 1 KiB a round takes from fresh memory: many, so that the cost of reading the
/// clock is small beside them.
const FRESH_ROUND: usize = 10_000;
/// How many zeroed blocks of 1 KiB a round takes: few, so that they stay in the processor's cache.
const ZEROED_ROUND: usize = 64;
/// How many allocations a heap has while one of them is freed and another one made.
const OUT: usize = 512;
/// How many arenas are made ready at a time when only one call on each is measured.
const READY: usize = 16;
/// The usable bytes of a small block.
const BLOCK: usize = 512;

/// A typical small record.
#[derive(Clone, Copy)]
#[allow(dead_code)] // Only the bench reads it.
struct Record {
    key: u64,
    offset: u64,
    length: u64,
}

/// Allocates a round from the standard allocator, then frees it.
fn standard_round(list: &mut Vec<*mut u8>, layout: Layout) {
    for _ in 0..ROUND {
        // SAFETY: no layout here has size 0.
        list.push(black_box(unsafe { alloc(layout) }));
    }
    for memory in list.drain(..) {
        // SAFETY: allocated above with this layout.
        unsafe { dealloc(memory, layout) };
    }
}

/// Runs `operation` for a round on an arena that has enough room, and then resets the arena.
fn in_arena(
    group: &mut Group<'_>,
    id: BenchmarkId,
    round: usize,
    operation: impl Fn(&Arena, usize),
) {
    let mut arena = Arena::new(4 << 20);
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            let arena = black_box(&mut arena);
            for i in 0..round {
                operation(arena, i);
            }
            arena.reset();
        });
    });
}

/// Runs `operation` for a round that keeps its results on the heap, and then drops them.
fn on_heap<T>(group: &mut Group<'_>, id: BenchmarkId, operation: impl Fn(usize) -> T) {
    let mut list = Vec::with_capacity(ROUND);
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            list.extend((0..ROUND).map(|i| black_box(operation(i))));
            list.clear();
        });
    });
}

/// Uninitialised memory of 8 B, 64 B and 1 KiB: `alloc_uninit` with one reset for each round,
/// compared with the standard allocator's `alloc` with one `dealloc` for each operation.
fn allocate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("allocate");
    for (name, size) in [("8 B", 8), ("64 B", 64), ("1 KiB", 1024)] {
        in_arena(&mut group, BenchmarkId::new("arena", name), ROUND, |arena, _| {
            black_box(arena.alloc_uninit(black_box(size)));
        });
        let layout = Layout::from_size_align(size, 8).expect("a valid layout");
        let mut list = Vec::with_capacity(ROUND);
        group.bench_function(BenchmarkId::new("standard", name), |bencher| {
            bencher.iter(|| standard_round(&mut list, black_box(layout)));
        });
    }
    group.finish();
}

/// Times `measured` alone, on arenas that `prepare` has made ready, `READY` arenas at a time.
fn timed<T>(
    count: u64,
    mut ready: Vec<T>,
    prepare: impl Fn(&mut T),
    measured: fn(&mut T),
) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = count as usize;
    while left > 0 {
        let now = left.min(ready.len());
        ready[..now].iter_mut().for_each(&prepare);
        let start = Instant::now();
        ready[..now].iter_mut().for_each(measured);
        total += start.elapsed();
        left -= now;
    }
    total
}

/// One reset: after 1, 1,000 and 1,000,000 allocations in one block, and with 1 and 1,000 blocks in
/// use. For comparison, the time that the standard allocator takes to free 1 and 1,000 allocations
/// of 64 B. All resets take the same instructions, but 1,000 block headers push the first one out
/// of the cache.
fn reset(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reset");
    let mut case = |name: &str, count: usize, make: fn(usize) -> Arena, size: usize| {
        group.bench_function(BenchmarkId::new(name, count), |bencher| {
            bencher.iter_custom(|iterations| {
                let arenas = (0..READY).map(|_| make(count)).collect();
                let fill = |arena: &mut Arena| {
                    for _ in 0..count {
                        black_box(arena.alloc_uninit(size));
                    }
                };
                timed(iterations, arenas, fill, Arena::reset)
            });
        });
    };
    for count in [1, 1_000, 1_000_000] {
        case("arena, allocations", count, |count| Arena::new(count * 8), 8);
    }
    for count in [1, 1_000] {
        case("arena, blocks", count, of_blocks, BLOCK);
    }
    let layout = Layout::new::<[u8; 64]>();
    for count in [1_usize, 1_000] {
        group.bench_function(BenchmarkId::new("standard, frees", count), |bencher| {
            bencher.iter_custom(|iterations| {
                let lists = (0..READY).map(|_| Vec::with_capacity(count)).collect();
                // SAFETY: the layout's size is not 0.
                let fill = |list: &mut Vec<_>| list.resize_with(count, || unsafe { alloc(layout) });
                timed(iterations, lists, fill, |list| {
                    for memory in list.drain(..) {
                        // SAFETY: allocated above with this layout.
                        unsafe { dealloc(memory, Layout::new::<[u8; 64]>()) };
                    }
                })
            });
        });
    }
    group.finish();
}

/// An empty arena of `count` blocks, each with room for one allocation of `BLOCK` bytes.
fn of_blocks(count: usize) -> Arena {
    let mut arena = Arena::builder().capacity(BLOCK).max_block(BLOCK).build().expect("heap memory");
    for _ in 0..count {
        arena.alloc_uninit(BLOCK);
    }
    assert_eq!(arena.stats().block_count, count);
    arena.reset();
    arena
}

/// Zeroed memory, 1 KiB at a time. On fresh memory: `alloc`, which finds the memory zero already,
/// compared with `alloc_uninit`. On recycled memory: `alloc` compared with `alloc_uninit` and with
/// `memset` alone.
fn zeroed(criterion: &mut Criterion) {
    fn fresh(operation: fn(&Arena), iterations: u64) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            let builder = Arena::builder().capacity(FRESH_ROUND * 1024).source(Pages::new());
            let arena = builder.build().expect("pages");
            let start = Instant::now();
            operation(&arena);
            total += start.elapsed();
        }
        total
    }
    let mut group = criterion.benchmark_group("zeroed 1 KiB");
    group.bench_function("fresh/alloc", |bencher| {
        let operation = |arena: &Arena| {
            for _ in 0..FRESH_ROUND {
                black_box(arena.alloc(1024));
            }
        };
        bencher.iter_custom(|iterations| fresh(operation, iterations));
    });
    group.bench_function("fresh/alloc_uninit", |bencher| {
        let operation = |arena: &Arena| {
            for _ in 0..FRESH_ROUND {
                black_box(arena.alloc_uninit(1024));
            }
        };
        bencher.iter_custom(|iterations| fresh(operation, iterations));
    });
    let alloc = BenchmarkId::new("recycled", "alloc");
    in_arena(&mut group, alloc, ZEROED_ROUND, |arena, _| {
        black_box(arena.alloc(1024));
    });
    let memset = BenchmarkId::new("recycled", "alloc_uninit + memset");
    in_arena(&mut group, memset, ZEROED_ROUND, |arena, _| {
        let memory = arena.alloc_uninit(1024);
        // SAFETY: the memory is ours.
        unsafe { memory.as_mut_ptr().write_bytes(0, memory.len()) };
        black_box(memory);
    });
    group.finish();
}

/// Typed values: a `u64` and a record of three words, compared with `Box`.
fn values(criterion: &mut Criterion) {
    let record = |i: usize| Record { key: i as u64, offset: 0, length: i as u64 };
    let mut group = criterion.benchmark_group("values");
    in_arena(&mut group, BenchmarkId::new("arena", "u64"), ROUND, |arena, i| {
        black_box(arena.alloc_value(i as u64));
    });
    on_heap(&mut group, BenchmarkId::new("Box", "u64"), |i| Box::new(i as u64));
    in_arena(&mut group, BenchmarkId::new("arena", "3 words"), ROUND, |arena, i| {
        black_box(arena.alloc_value(record(i)));
    });
    on_heap(&mut group, BenchmarkId::new("Box", "3 words"), |i| Box::new(record(i)));
    group.finish();
}

/// Slices and strings: copies of 16 bytes, 32 filled words, a formatted string; compared with
/// `Box<[T]>`, `vec!` and `String`.
fn slices_and_strings(criterion: &mut Criterion) {
    let text = "Europe/Amsterdam";
    let mut group = criterion.benchmark_group("slices and strings");
    in_arena(&mut group, BenchmarkId::new("arena", "copy 16 B"), ROUND, |arena, _| {
        black_box(arena.alloc_slice_copy(black_box(text.as_bytes())));
    });
    on_heap(&mut group, BenchmarkId::new("standard", "copy 16 B"), |_| {
        Box::<[u8]>::from(black_box(text.as_bytes()))
    });
    in_arena(&mut group, BenchmarkId::new("arena", "fill 32 words"), ROUND, |arena, i| {
        black_box(arena.alloc_slice_fill(black_box(32), i as u64));
    });
    on_heap(&mut group, BenchmarkId::new("standard", "fill 32 words"), |i| {
        vec![i as u64; black_box(32)]
    });
    in_arena(&mut group, BenchmarkId::new("arena", "string"), ROUND, |arena, _| {
        black_box(arena.alloc_str(black_box(text)));
    });
    on_heap(&mut group, BenchmarkId::new("standard", "string"), |_| String::from(black_box(text)));
    in_arena(&mut group, BenchmarkId::new("arena", "formatted"), ROUND, |arena, i| {
        black_box(arena.alloc_fmt(format_args!("{text}-{i}")));
    });
    on_heap(&mut group, BenchmarkId::new("standard", "formatted"), |i| format!("{text}-{i}"));
    group.finish();
}

/// A round of 64 B on a new arena whose first block holds 16 B, including growth and the arena's
/// drop; compared with the standard allocator.
fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("growth from 16 B");
    group.bench_function("arena", |bencher| {
        bencher.iter(|| {
            let arena = Arena::new(black_box(16));
            for _ in 0..ROUND {
                black_box(arena.alloc_uninit(64));
            }
        });
    });
    let mut list = Vec::with_capacity(ROUND);
    group.bench_function("standard", |bencher| {
        bencher.iter(|| standard_round(&mut list, black_box(Layout::new::<[u8; 64]>())));
    });
    group.finish();
}

/// What a heap is for: allocations of mixed sizes that come and go in any order. One operation frees
/// one of `OUT` allocations and makes another of another size.
fn free_and_allocate(criterion: &mut Criterion) {
    fn churn<P: Copy>(
        group: &mut Group<'_>,
        name: &str,
        alloc: impl Fn(Layout) -> P,
        free: impl Fn(P, Layout),
    ) {
        for most in [64, 1000, 20_000] {
            let size = |i: usize| {
                let bytes = 1 + i.wrapping_mul(7919) % most;
                Layout::from_size_align(bytes, 8).expect("a valid layout")
            };
            let mut out: Vec<_> = (0..OUT).map(|i| (alloc(size(i)), size(i))).collect();
            let mut step = 0_usize;
            group.bench_function(BenchmarkId::new(name, most), |bencher| {
                bencher.iter(|| {
                    for _ in 0..ROUND {
                        step = step.wrapping_add(1);
                        let place = &mut out[step.wrapping_mul(31) % OUT];
                        free(place.0, place.1);
                        let layout = size(step.wrapping_mul(step));
                        *place = (black_box(alloc(layout)), layout);
                    }
                });
            });
            for (p, layout) in out {
                free(p, layout);
            }
        }
    }
    let mut group = criterion.benchmark_group("free and allocate, mixed sizes up to");
    let heap = ArenaHeap::default();
    // SAFETY: each allocation is freed once, with its layout.
    churn(&mut group, "heap", |layout| heap.alloc(layout), |p, l| unsafe { heap.dealloc(p, l) });
    let heap = LockedArenaHeap::default();
    // SAFETY: as above.
    churn(&mut group, "locked", |layout| heap.alloc(layout), |p, l| unsafe { heap.dealloc(p, l) });
    // SAFETY: no layout here has size 0.
    let standard = |layout| unsafe { alloc(layout) };
    // SAFETY: as above.
    churn(&mut group, "standard", standard, |p, l| unsafe { dealloc(p, l) });
    group.finish();
}

criterion_group! {
    name = benches;
    config = settings(300, 2000, 30);
    targets = allocate, reset, zeroed, values, slices_and_strings, growth, free_and_allocate
}
criterion_main!(benches);
