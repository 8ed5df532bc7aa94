// SPDX-License-Identifier: Apache-2.0
//! Pools: blocks, and slabs.

use std::hint::black_box;

use aegis_memory::pool::{LockFreePool, Pool};

use crate::curve::{per_operation, powers, repeats, time, Rule, Table};

const BLOCK_BYTES: usize = 64;
const FOUND: &str =
    "the slab of a block is looked up, unless it is the first; the table and the blocks \
                     outgrow the caches";

/// Takes as many blocks from `take` as there are, writes each, and gives them back in their order.
fn take_all<B: AsMut<[u8]>>(count: u64, held: &mut Vec<B>, mut take: impl FnMut() -> B) {
    for _ in 0..count {
        let mut block = take();
        block.as_mut()[0] = 1;
        held.push(block);
    }
    black_box(&mut *held).clear();
}

/// The same with a stack of numbers, and plain memory.
fn plain(table: &mut Table) {
    table.add("Vec<u32> and plain memory", Rule::Shown, |count| {
        let mut memory = vec![[0_u8; BLOCK_BYTES]; count as usize];
        let mut free: Vec<u32> = (0..count as u32).rev().collect();
        let mut held = Vec::with_capacity(count as usize);
        let repeats = repeats(count);
        Some(per_operation(count * repeats, || {
            time(|| {
                for _ in 0..repeats {
                    for _ in 0..count {
                        let index = black_box(&mut free).pop().expect("one is left");
                        memory[index as usize][0] = 1;
                        held.push(index);
                    }
                    for index in black_box(&mut held).drain(..) {
                        free.push(index);
                    }
                }
            })
        }))
    });
}

macro_rules! curves {
    ($table:ident, $Pool:ident, $rule:expr, $slab:expr) => {
        plain(&mut $table);
        let make = |count: u64| {
            let slab: usize = $slab(count);
            let pool = $Pool::builder().block_size(BLOCK_BYTES).blocks(slab);
            pool.max_blocks(count as usize).build().expect("memory")
        };
        $table.add(concat!(stringify!($Pool), ", get and put"), $rule, |count| {
            let pool = make(count);
            let mut held = Vec::with_capacity(count as usize);
            let repeats = repeats(count);
            let take = || pool.alloc().expect("a block");
            Some(per_operation(count * repeats, || {
                time(|| (0..repeats).for_each(|_| take_all(count, &mut held, take)))
            }))
        });
        $table.add("bytes reserved for a byte", Rule::Shown, |count| {
            let pool = make(count);
            let held: Vec<_> = (0..count).map(|_| pool.alloc().expect("a block")).collect();
            let used = held.len() * BLOCK_BYTES;
            Some(pool.stats().reserved_bytes as f64 / used as f64)
        });
    };
}

pub fn print(short: bool) {
    let last = if short { 5 } else { 7 };
    let mut table = Table::new(
        "Blocks of 64 B that a pool has, all taken and given back, ns",
        &powers(0, last),
    );
    let whole = |count: u64| count as usize;
    curves!(table, Pool, Rule::Plain, whole);
    curves!(table, LockFreePool, Rule::Plain, whole);
    table.print();

    let mut table =
        Table::new("The same in slabs of 64 blocks, ns for a block", &powers(2, last - 1));
    let small = |count: u64| (count as usize).min(64);
    curves!(table, Pool, Rule::Rise(10.0, FOUND), small);
    curves!(table, LockFreePool, Rule::Rise(10.0, FOUND), small);
    table.print();
}
