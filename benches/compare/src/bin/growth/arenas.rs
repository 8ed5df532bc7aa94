// SPDX-License-Identifier: Apache-2.0
//! An arena with one owner: allocations, and blocks.

use std::alloc::Layout;
use std::cell::RefCell;

use aegis_memory::arena::Arena;
use compare::keep;

use crate::curve::{mean, per_operation, powers, repeats, time, Rule, Table};

/// A size is left out if it needs more memory than this.
const MAX_BYTES: u64 = 2 << 30;

const COLD: &str =
    "the writes before it have moved its code and the arena's records out of the caches";

/// Allocates, and writes the first word of each allocation.
fn fill(arena: &Arena, count: u64, layout: Layout) {
    for _ in 0..count {
        let memory = arena.alloc_layout(layout);
        // SAFETY: the allocation has at least a word, and is aligned for it.
        unsafe { memory.cast::<u64>().write(1) };
    }
}

/// The same to memory that is there already. Like an arena it stores each time how far it has come:
/// a processor has room for so many stores only that wait for memory.
fn write(memory: &mut Vec<u8>, count: u64, size: usize) {
    let mut position = 0_usize;
    for _ in 0..count {
        // SAFETY: the vector has room for `count` pieces of `size` bytes, and no piece is smaller
        // than a word. The address need not be aligned.
        unsafe { memory.as_mut_ptr().add(position).cast::<u64>().write_unaligned(1) };
        position += size;
        keep(&position);
    }
    keep(memory.as_ptr());
}

fn plain(count: u64, size: usize) -> Vec<u8> {
    Vec::with_capacity(count as usize * size)
}

fn by_size(sizes: &[u64], size: usize) {
    let layout = Layout::from_size_align(size, 16).expect("a layout");
    let fits = |count: u64| (count * size as u64 <= MAX_BYTES).then_some(count);
    let mut table = Table::new(&format!("Allocations of {size} B from an arena, ns each"), sizes);
    table.add("plain memory, new", Rule::Shown, |count| {
        let repeats = repeats(fits(count)?);
        Some(per_operation(count * repeats, || {
            time(|| (0..repeats).for_each(|_| write(&mut plain(count, size), count, size)))
        }))
    });
    table.add("arena: made, filled, dropped", Rule::Plain, |count| {
        let repeats = repeats(fits(count)?);
        Some(per_operation(count * repeats, || {
            time(|| (0..repeats).for_each(|_| fill(&Arena::new(0), count, layout)))
        }))
    });
    table.add("plain memory, again", Rule::Shown, |count| {
        let mut memory = plain(fits(count)?, size);
        let repeats = repeats(count);
        Some(per_operation(count * repeats, || {
            time(|| (0..repeats).for_each(|_| write(&mut memory, count, size)))
        }))
    });
    table.add("arena: filled after a reset", Rule::Plain, |count| {
        let mut arena = Arena::new(0);
        let repeats = repeats(fits(count)?);
        Some(per_operation(count * repeats, || {
            time(|| {
                for _ in 0..repeats {
                    fill(&arena, count, layout);
                    arena.reset();
                }
            })
        }))
    });
    table.add("a reset", Rule::Rise(600.0, COLD), |count| {
        let arena = RefCell::new(Arena::new(0));
        fits(count)?;
        Some(mean(count, || fill(&arena.borrow(), count, layout), || arena.borrow_mut().reset()))
    });
    table.add("bytes reserved for a byte", Rule::Shown, |count| {
        let arena = Arena::new(0);
        fill(&arena, fits(count)?, layout);
        let used = count as f64 * size as f64;
        Some(arena.stats().reserved_bytes as f64 / used)
    });
    table.print();
}

/// Fills an arena until it has so many blocks.
fn fill_blocks(arena: &Arena, blocks: u64) {
    while (arena.stats().block_count as u64) < blocks {
        fill(arena, 1, Layout::new::<[u64; 64]>());
    }
}

fn by_blocks(sizes: &[u64]) {
    let make = |blocks: u64| {
        let arena = Arena::builder().max_block(4096).build().expect("memory");
        fill_blocks(&arena, blocks);
        arena
    };
    let mut table = Table::new("Blocks of an arena (4 KiB, allocations of 512 B), ns", sizes);
    table.add("a reset", Rule::Rise(600.0, COLD), |blocks| {
        let arena = RefCell::new(make(blocks));
        let count = arena.borrow().stats().used_bytes as u64 / 512;
        let prepare = || fill(&arena.borrow(), count, Layout::new::<[u64; 64]>());
        Some(mean(blocks, prepare, || arena.borrow_mut().reset()))
    });
    table.add(
        "an allocation after a reset",
        Rule::Rise(8.0, "its lines come from memory, not from a cache"),
        |blocks| {
            let mut arena = make(blocks);
            let count = arena.stats().used_bytes as u64 / 512;
            let repeats = repeats(count);
            Some(per_operation(count * repeats, || {
                time(|| {
                    for _ in 0..repeats {
                        arena.reset();
                        fill(&arena, count, Layout::new::<[u64; 64]>());
                    }
                })
            }))
        },
    );
    table.add(
        "a block at the drop",
        Rule::Rise(60.0, "the C heap gives the pages of so many back to the system"),
        |blocks| {
            Some(per_operation(blocks, || {
                let arena = make(blocks);
                time(|| drop(arena))
            }))
        },
    );
    table.add("bytes reserved for a byte", Rule::Shown, |blocks| {
        let stats = make(blocks).stats();
        Some(stats.reserved_bytes as f64 / stats.used_bytes as f64)
    });
    table.print();
}

pub fn print(short: bool) {
    for size in [16, 64, 256] {
        by_size(&powers(2, if short { 6 } else { 8 }), size);
    }
    by_blocks(&powers(0, if short { 4 } else { 5 }));
}
