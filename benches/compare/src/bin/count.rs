// SPDX-License-Identifier: Apache-2.0
//! The program that runs under Callgrind. `count RIVAL OPERATION ROUNDS COUNT` runs ROUNDS rounds
//! of COUNT operations. `count reset ALLOCATIONS BLOCKS ROUNDS` makes that many allocations or fills
//! that many blocks in an arena and resets it, in each round by [`measured_reset`] and then by
//! `aegis_arena_reset`; only one of the first two may be above 1.
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

/// A function with a name that Callgrind can find. It is no C function, because a call of one that
/// may panic has instructions of its own.
#[no_mangle]
#[inline(never)]
pub fn measured_reset(arena: &mut Arena) {
    arena.reset();
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn reset(allocations: usize, blocks: usize, rounds: usize) {
    let make = || {
        let capacity = if blocks == 1 { allocations * 8 } else { BLOCK };
        Arena::builder().capacity(capacity).max_block(BLOCK).build().expect("heap memory")
    };
    let fill = |arena: &Arena| {
        if blocks == 1 {
            (0..allocations).for_each(|i| *arena.alloc_value(0) = i as u64);
        } else {
            (0..blocks).for_each(|_| _ = arena.alloc_uninit(BLOCK));
        }
        assert_eq!(arena.stats().block_count, blocks);
    };
    let [mut by_rust, by_c] = [make(), make()];
    for _ in 0..rounds {
        fill(&by_rust);
        measured_reset(&mut by_rust);
        fill(&by_c);
        // SAFETY: the arena is alive, and nothing in it is used any more.
        unsafe { ffi::aegis_arena_reset(by_c.as_raw()) };
        assert_eq!((by_rust.used(), by_c.used()), (0, 0));
    }
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
        ["reset", allocations, blocks, rounds] => {
            reset(number(allocations), number(blocks), number(rounds));
        }
        ["charge", levels, reclaimers, pairs] => {
            charge(number(levels), number(reclaimers), number(pairs));
        }
        ["boxes", kind, count] => boxes(kind, number(count)),
        [rival, operation, rounds, count] => {
            let case = compare::cases()
                .into_iter()
                .chain(compare::collections::cases())
                .chain(compare::pairs::cases())
                .find(|case| case.rival == rival && case.operation == operation)
                .unwrap_or_else(|| panic!("no case {rival}, {operation}"));
            let mut round = (case.make)();
            for _ in 0..number(rounds) {
                round(number(count));
            }
        }
        _ => panic!(
            "usage: count RIVAL OPERATION ROUNDS COUNT | count reset ALLOCATIONS BLOCKS ROUNDS | \
             count charge LEVELS RECLAIMERS PAIRS | count boxes KIND COUNT"
        ),
    }
}
