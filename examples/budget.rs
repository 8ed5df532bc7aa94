// SPDX-License-Identifier: Apache-2.0
//! A server with a memory budget runs three queries at the same time, one of them greedy. The
//! budget refuses the greedy query and says why. That query gives its memory back and finishes with
//! a smaller plan, while the other two do not notice anything.
//!
//! `cargo run --example budget`

use std::sync::Barrier;
use std::thread;

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::AllocError;

const KIB: usize = 1 << 10;
/// What a row takes in a hash table: its key and a count.
const ROW: usize = 16;

/// Groups `rows` keys in the arena, as GROUP BY does, in a table of (key, count). Returns the
/// number of groups and the sum of their counts.
fn group(
    arena: &Arena,
    keys: impl Iterator<Item = u64>,
    rows: usize,
) -> Result<(u64, u64), AllocError> {
    let slots = (rows * 2).next_power_of_two();
    let table = arena.try_alloc_slice_fill(slots, (u64::MAX, 0_u64))?;
    for key in keys {
        let mut slot = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize & (slots - 1);
        while table[slot].0 != key && table[slot].1 != 0 {
            slot = (slot + 1) & (slots - 1);
        }
        table[slot] = (key, table[slot].1 + 1);
    }
    let used = table.iter().filter(|(_, count)| *count != 0);
    Ok(used.fold((0, 0), |(groups, sum), (_, count)| (groups + 1, sum + count)))
}

/// The keys of a query's input. Each of `rows / 2` values occurs twice.
fn keys(rows: usize) -> impl Iterator<Item = u64> {
    (0..rows as u64).map(move |row| row % (rows as u64 / 2))
}

/// The smaller plan. It splits the input by key into partitions and has one of them in memory at a
/// time; a real engine would write the others to disk. The partitions use the same blocks of the
/// arena, one after the other.
fn group_partitioned(arena: &mut Arena, rows: usize, parts: u64) -> Result<(u64, u64), AllocError> {
    let mut total = (0, 0);
    for part in 0..parts {
        let mine = keys(rows).filter(move |key| key % parts == part);
        let (groups, sum) = group(arena, mine, rows / parts as usize)?;
        total = (total.0 + groups, total.1 + sum);
        arena.reset();
    }
    Ok(total)
}

/// The text that the server prints for a refusal.
struct Refused {
    error: AllocError,
    tree: String,
}

/// Runs a query within its budget: first as a whole, and if that is refused, in partitions. Every
/// query keeps its memory until all queries have allocated theirs.
fn run(
    budget: &MemoryBudget,
    process: &MemoryBudget,
    rows: usize,
    all_hold: &Barrier,
) -> Result<((u64, u64), Option<Refused>), AllocError> {
    let mut arena = Arena::builder().budget(budget).build()?;
    let plan = arena.alloc_str("group by key");
    assert_eq!(plan, "group by key");
    let greedy = rows * 2 * ROW > 512 * KIB;
    if greedy {
        all_hold.wait(); // now the modest queries have their memory
    }
    let (result, refused) = match group(&arena, keys(rows), rows) {
        Ok(result) => (Ok(result), None),
        Err(error) => (Err(error.clone()), Some(Refused { error, tree: process.to_string() })),
    };
    if !greedy {
        all_hold.wait();
    }
    all_hold.wait(); // until then every query keeps its memory
    match result {
        Ok(groups) => Ok((groups, None)),
        Err(_) => {
            arena.clear();
            assert_eq!(budget.used(), 0, "the refused query gave everything back");
            Ok((group_partitioned(&mut arena, rows, 32)?, refused))
        }
    }
}

fn main() -> Result<(), AllocError> {
    let process = MemoryBudget::new("process", 4096 * KIB);
    let database = process.child("database", 1024 * KIB);
    let _page_cache = database.reserve(256 * KIB);
    database.on_pressure(70, |p| {
        println!("database under pressure: {} of {} bytes", p.used_bytes, p.limit_bytes)
    });

    let queries = [("query 1", 4_000), ("query 2", 30_000), ("query 3", 6_000)];
    let all_hold = Barrier::new(queries.len());
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = queries
            .iter()
            .map(|&(name, rows)| {
                let budget = database.child(name, 2048 * KIB);
                let (process, all_hold) = (&process, &all_hold);
                scope.spawn(move || run(&budget, process, rows, all_hold))
            })
            .collect();
        threads.into_iter().map(|t| t.join().expect("no query panics")).collect()
    });

    for (&(name, rows), outcome) in queries.iter().zip(outcomes) {
        let ((groups, sum), refused) = outcome?;
        assert_eq!((groups, sum), (rows as u64 / 2, rows as u64), "{name} counted every row");
        assert_eq!(refused.is_some(), name == "query 2", "only the greedy query is refused");
        if let Some(Refused { error, tree }) = refused {
            println!("{name} was refused: {error}\n\n{tree}\n");
            assert!(error.to_string().contains("budget 'database' refused"));
            println!("{name} finished in 32 partitions: {groups} groups");
        } else {
            println!("{name} finished at once: {groups} groups");
        }
    }
    println!("\nat the end:\n{process}");
    assert_eq!(process.used(), 256 * KIB, "only the page cache is left");
    assert!(database.peak() <= database.limit());
    Ok(())
}
