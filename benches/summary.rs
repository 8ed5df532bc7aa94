// SPDX-License-Identifier: Apache-2.0
//! The table that closes `cargo bench -p aegis-memory`, because it is the last bench by name: what an
//! allocation costs from the arena and from the standard allocator, and what it costs to free one, a
//! thousand and a million of them. In nanoseconds per operation, and measured in turns
//! (`support/turns.rs`). `--test` runs each case once, and words select rows.

mod support;

use std::alloc::{alloc, dealloc, Layout};
use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aegis_memory::arena::Arena;
use support::turns::{Bencher, Group, Quartiles, Role, Run, Settings};

/// Operations in a round.
const ROUND: usize = 1000;
/// How many 1 KiB blocks a round has that are written: few, so that they stay in the processor's cache.
const ZEROED_ROUND: usize = 32;
const ARENA: &str = "arena";
const STANDARD: &str = "standard allocator";
/// The row that has a footnote.
const MILLION: &str = "free 1,000,000 allocations [1]";

/// Runs `operation` for a round on an arena with enough room, and then resets the arena.
fn in_arena(group: &mut Group<'_>, round: usize, operation: impl Fn(&Arena, usize) + 'static) {
    let mut arena = Arena::new(4 << 20);
    group.bench_function(ARENA, move |bencher| {
        bencher.iter(|| {
            let arena = black_box(&mut arena);
            (0..round).for_each(|i| operation(arena, i));
            arena.reset();
        });
    });
}

/// Runs `operation` for a round that keeps its results on the heap, and then drops them.
fn on_heap<T: 'static>(
    group: &mut Group<'_>,
    round: usize,
    operation: impl Fn(usize) -> T + 'static,
) {
    let mut list = Vec::with_capacity(round);
    group.bench_function(STANDARD, move |bencher| {
        bencher.iter(|| {
            list.extend((0..round).map(|i| black_box(operation(i))));
            list.clear();
        });
    });
}

fn free(list: &mut Vec<*mut u8>, layout: Layout) {
    for memory in list.drain(..) {
        // SAFETY: whoever fills the list allocates with this layout.
        unsafe { dealloc(memory, layout) };
    }
}

fn allocations(run: &mut Run) {
    for (name, size) in [("8 B", 8), ("64 B", 64), ("1 KiB", 1024)] {
        let mut group = run.group(format!("allocate {name}"), ROUND);
        in_arena(&mut group, ROUND, move |arena, _| {
            black_box(arena.alloc_uninit(black_box(size)));
        });
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        let mut list = Vec::with_capacity(ROUND);
        group.bench_function(STANDARD, move |bencher| {
            bencher.iter(|| {
                let layout = black_box(layout);
                for _ in 0..ROUND {
                    // SAFETY: the size is not 0.
                    list.push(black_box(unsafe { alloc(layout) }));
                }
                free(&mut list, layout);
            });
        });
        group.finish();
    }
    let mut group = run.group("allocate 1 KiB, zeroed", ZEROED_ROUND);
    in_arena(&mut group, ZEROED_ROUND, |arena, _| {
        black_box(arena.alloc(black_box(1024)));
    });
    on_heap(&mut group, ZEROED_ROUND, |_| vec![0_u8; black_box(1024)]);
    group.finish();
    let mut group = run.group("allocate a u64 and write it", ROUND);
    in_arena(&mut group, ROUND, |arena, i| {
        black_box(arena.alloc_value(i as u64));
    });
    on_heap(&mut group, ROUND, |i| Box::new(i as u64));
    group.finish();
}

/// Times `measured` alone, on what `fill` has made ready: several at a time, because reading the clock
/// takes as long as one.
fn freed<T>(
    bencher: &mut Bencher,
    ready: &mut [T],
    fill: impl Fn(&mut T),
    measured: impl Fn(&mut T),
) {
    let count = ready.len() as u32;
    bencher.iter_custom(|iterations| {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            ready.iter_mut().for_each(&fill);
            let start = Instant::now();
            ready.iter_mut().for_each(&measured);
            total += start.elapsed();
        }
        total / count
    });
}

fn frees(run: &mut Run) {
    let rows = [
        ("free 1 allocation", 1, 64),
        ("free 1,000 allocations", 1000, 64),
        (MILLION, 1_000_000, 16),
    ];
    for (name, count, arenas) in rows {
        let mut group = run.group(name, 1);
        let mut ready: Vec<_> = (0..arenas).map(|_| Arena::new(count * 8)).collect();
        group.bench_function(ARENA, move |bencher| {
            let fill = |arena: &mut Arena| {
                for i in 0..count {
                    black_box(arena.alloc_value(i as u64));
                }
            };
            freed(bencher, &mut ready, fill, Arena::reset);
        });
        let lists = if count == 1 { 64 } else { 1 };
        let mut ready: Vec<_> = (0..lists).map(|_| Vec::with_capacity(count)).collect();
        group.bench_function(STANDARD, move |bencher| {
            let layout = Layout::new::<u64>();
            let fill = |list: &mut Vec<_>| {
                list.extend((0..count).map(|i| Box::into_raw(Box::new(i as u64)).cast()));
            };
            freed(bencher, &mut ready, fill, |list| free(list, layout));
        });
        group.finish();
    }
}

fn written(time: Quartiles) -> String {
    let Quartiles { low, median, high } = time;
    let digits = if median < 100.0 { 2 } else { 0 };
    format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
}

fn print(run: &Run) {
    println!("\nns, measured in turns: the median, and the quartiles");
    println!("{:<32}{ARENA:>24}{STANDARD:>34}{:>13}", "", "ratio");
    for outcome in &run.outcomes {
        print!("{:<32}", outcome.title);
        let times = [ARENA, STANDARD].map(|name| outcome.case(name));
        for (case, width) in times.into_iter().zip([24, 34]) {
            print!("{:>width$}", case.map_or(String::from("-"), |case| written(case.time())));
        }
        if let [Some(arena), Some(standard)] = times {
            let ratio = standard.ratio(arena).median;
            let digits = if ratio < 100.0 { 1 } else { 0 };
            print!("{:>13}", format!("1 : {ratio:.digits$}"));
        }
        println!();
    }
    println!("To allocate takes its share of the reset after 1,000, or the free.");
    if run.outcomes.iter().any(|outcome| outcome.title == MILLION) {
        println!("[1] A million writes have pushed the header of the arena's block out of the");
        println!(
            "    processor's caches. So this is the time of a few misses; the instructions of a"
        );
        println!("    reset are the same after any number of allocations.");
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |option: &str| arguments.iter().any(|word| word == option);
    if has("--list") {
        return;
    }
    let settings = if has("--quick") {
        Settings { turns: 7, slice: Duration::from_millis(1), group: Duration::from_secs(1) }
    } else {
        Settings { turns: 41, slice: Duration::from_millis(5), group: Duration::from_secs(6) }
    };
    let words = arguments.iter().filter(|word| !word.starts_with('-'));
    let run = Run::new(settings, |_| Role::Ours, words.cloned().collect());
    let mut run = if has("--test") { run.test() } else { run };
    allocations(&mut run);
    frees(&mut run);
    if !run.outcomes.is_empty() {
        print(&run);
    }
}
