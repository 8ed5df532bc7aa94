// SPDX-License-Identifier: Apache-2.0
//! The program that runs under Callgrind. `count RIVAL OPERATION ROUNDS COUNT` runs ROUNDS rounds
//! of COUNT operations. `count reset ALLOCATIONS BLOCKS` makes an arena with that many allocations
//! and blocks and resets it in [`measured_reset`]; only one of the two may be above 1.
//! `count charge LEVELS RECLAIMERS PAIRS` charges and uncharges the leaf of a tree of budgets.
//! `count boxes KIND COUNT` makes and drops this many boxes or shared values of four words.

use std::env;
use std::hint::black_box;
use std::ptr;
use std::rc::Rc;

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

/// Four words with drop glue.
struct Dropped([usize; 4]);

impl Drop for Dropped {
    fn drop(&mut self) {
        black_box(self.0[0]);
    }
}

/// Makes and drops this many values of one kind, in an arena that is reset after each thousand.
fn boxes(kind: &str, count: usize) {
    let mut arena = Arena::new(1 << 18);
    let mut repeat = |make: &dyn Fn(&Arena, usize)| {
        for round in 0..count / 1000 {
            (0..1000).for_each(|i| make(&arena, round + i));
            arena.reset();
        }
    };
    match kind {
        "none" => repeat(&|_, i| _ = black_box(i)),
        "rc" => repeat(&|_, i| _ = black_box(black_box(Rc::new([i; 4])).clone())),
        "arena-rc" => repeat(&|arena, i| _ = black_box(black_box(arena.alloc_rc([i; 4])).clone())),
        "reference" => repeat(&|arena, i| _ = black_box(*black_box(&&*arena.alloc_value([i; 4])))),
        "box" => repeat(&|_, i| _ = black_box(Box::new([i; 4]))),
        "arena-box" => repeat(&|arena, i| _ = black_box(arena.alloc_boxed([i; 4]))),
        "pin" => repeat(&|_, i| _ = black_box(Box::pin(Dropped([i; 4])))),
        "arena-pin" => repeat(&|arena, i| _ = black_box(arena.alloc_pinned(Dropped([i; 4])))),
        _ => panic!("no kind `{kind}`"),
    }
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
        ["boxes", kind, count] => boxes(kind, number(count)),
        [rival, operation, rounds, count] => {
            let case = compare::cases()
                .into_iter()
                .chain(compare::collections::cases())
                .find(|case| case.rival == rival && case.operation == operation)
                .unwrap_or_else(|| panic!("no case {rival}, {operation}"));
            let mut round = (case.make)();
            for _ in 0..number(rounds) {
                round(number(count));
            }
        }
        _ => panic!(
            "usage: count RIVAL OPERATION ROUNDS COUNT | count reset ALLOCATIONS BLOCKS | \
             count charge LEVELS RECLAIMERS PAIRS | count boxes KIND COUNT"
        ),
    }
}
