// SPDX-License-Identifier: Apache-2.0
//! The program that runs under Callgrind. `count RIVAL OPERATION ROUNDS COUNT` runs ROUNDS rounds
//! of COUNT operations. `count reset ALLOCATIONS BLOCKS` makes an arena with that many allocations
//! and blocks and resets it in [`measured_reset`]; only one of the two may be above 1.
//! `count charge LEVELS RECLAIMERS PAIRS` charges and uncharges the leaf of a tree of budgets.

use std::env;
use std::ptr;

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::ffi;

/// The usable bytes of a block, and of an allocation that fills it.
const BLOCK: usize = 512;

/// A function with a name that Callgrind can find.
#[no_mangle]
#[inline(never)]
pub extern "C" fn measured_reset(arena: &mut Arena) {
    arena.reset();
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn reset(allocations: usize, blocks: usize) {
    let mut arena = if blocks == 1 {
        let arena = Arena::new(allocations * 8);
        for i in 0..allocations {
            *arena.alloc_value(0) = i as u64;
        }
        arena
    } else {
        let builder = Arena::builder().capacity(BLOCK).max_block(BLOCK);
        let arena = builder.build().expect("heap memory");
        for _ in 0..blocks {
            arena.alloc_uninit(BLOCK);
        }
        arena
    };
    assert_eq!(arena.stats().block_count, blocks);
    measured_reset(&mut arena);
    assert_eq!(arena.used(), 0);
}

/// Makes a chain of this many budgets, and charges and uncharges the lowest this many times. The
/// reclaimers are registered with a budget beside the lowest, and none is asked.
fn charge(levels: usize, reclaimers: usize, pairs: usize) {
    let root = MemoryBudget::new("root", 1 << 30);
    let leaf = (1..levels).fold(root.clone(), |parent, _| parent.child("node", 1 << 30));
    let cache = root.child("cache", 1 << 30);
    for _ in 0..reclaimers {
        cache.on_reclaim(0, |_| panic!("there is room")).keep();
    }
    for _ in 0..pairs {
        // SAFETY: the budget is alive, and no error is asked for.
        let status = unsafe { ffi::aegis_budget_charge(leaf.as_raw(), 4096, ptr::null_mut()) };
        assert_eq!(status, 0, "there is room");
        // SAFETY: the budget is alive, and has been charged as much.
        let status = unsafe { ffi::aegis_budget_uncharge(leaf.as_raw(), 4096) };
        assert_eq!(status, 0, "there is a charge");
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["reset", allocations, blocks] => reset(number(allocations), number(blocks)),
        ["charge", levels, reclaimers, pairs] => {
            charge(number(levels), number(reclaimers), number(pairs));
        }
        [rival, operation, rounds, count] => {
            let case = compare::cases()
                .into_iter()
                .find(|case| case.rival == rival && case.operation == operation)
                .unwrap_or_else(|| panic!("no case {rival}, {operation}"));
            let mut round = (case.make)();
            for _ in 0..number(rounds) {
                round(number(count));
            }
        }
        _ => panic!(
            "usage: count RIVAL OPERATION ROUNDS COUNT | count reset ALLOCATIONS BLOCKS | \
             count charge LEVELS RECLAIMERS PAIRS"
        ),
    }
}
