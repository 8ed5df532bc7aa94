// SPDX-License-Identifier: Apache-2.0
//! An arena of 1 GiB, with and without huge pages.

use std::alloc::Layout;
use std::fs;
use std::time::Duration;

use aegis_memory::arena::Arena;
use aegis_memory::source::{Heap, Pages};

use crate::curve::time;

/// How many pages the process was given so far.
fn faults() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = text.rsplit(')').next().expect("a name in brackets");
    fields.split_whitespace().nth(7).and_then(|number| number.parse().ok()).expect("a number")
}

/// What is measured of a kind of memory, in the order of the columns.
fn measure(bytes: usize, make: &impl Fn() -> Arena) -> [f64; 7] {
    let layout = Layout::from_size_align(64, 16).expect("a layout");
    let count = bytes / 64;
    let fill = |arena: &Arena| {
        for _ in 0..count {
            // SAFETY: the allocation has 64 bytes and is aligned for a word.
            unsafe { arena.alloc_layout(layout).cast::<u64>().write(1) };
        }
    };
    let before = faults();
    let mut arena = None;
    let made = time(|| arena = Some(make()));
    let mut arena = arena.expect("made just now");
    let first = time(|| fill(&arena));
    let pages = faults() - before;
    let reset = time(|| arena.reset());
    let again = time(|| fill(&arena));
    let reserved = arena.stats().reserved_bytes as f64 / bytes as f64;
    let dropped = time(|| drop(arena));
    let each = |time: Duration| time.as_nanos() as f64 / count as f64;
    [
        each(made + first),
        each(again),
        reset.as_nanos() as f64,
        made.as_secs_f64() * 1e3,
        dropped.as_secs_f64() * 1e3,
        pages as f64,
        reserved,
    ]
}

/// Prints the least of two measurements.
fn row(name: &str, bytes: usize, make: impl Fn() -> Arena) {
    let (first, second) = (measure(bytes, &make), measure(bytes, &make));
    let figures: String = first
        .iter()
        .zip(second)
        .map(|(first, second)| format!("{:10.2}", first.min(second)))
        .collect();
    println!("{name:32}{figures}");
}

pub fn print(short: bool) {
    let bytes = if short { 64 << 20 } else { 1 << 30 };
    println!("\nAn arena of {} MiB, filled with allocations of 64 B", bytes >> 20);
    println!(
        "{:32}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "first, ns", "again, ns", "reset, ns", "make, ms", "drop, ms", "faults", "reserved"
    );
    let whole = || Arena::builder().capacity(bytes);
    row("C heap", bytes, || whole().source(Heap).build().expect("memory"));
    row("C heap, grown", bytes, || Arena::new(0));
    row("Pages", bytes, || whole().source(Pages::new()).build().expect("memory"));
    row("Pages, huge", bytes, || {
        whole().source(Pages::new().huge_pages()).build().expect("memory")
    });
    row("Pages, huge, prefault", bytes, || {
        whole().source(Pages::new().huge_pages().prefault()).build().expect("memory")
    });
}
