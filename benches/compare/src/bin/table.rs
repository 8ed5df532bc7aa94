// SPDX-License-Identifier: Apache-2.0
//! Counts instructions under Callgrind and prints them as a table.
//!
//! Usage: `table [--few | --collections]`; the script `run` calls it. The instructions per operation
//! are the difference between two runs that differ only in the number of operations in a round,
//! divided by that number, minus the same for the empty loop. The instructions of a reset are the
//! difference between two runs that differ in the number of rounds. `--few` counts only what the gate
//! needs. Exits with 1 if a promise is broken ([`broken_promises`]), or if a page claims another count
//! of this library ([`are_pages_wrong`]).

use std::collections::BTreeMap;
use std::env;
use std::process::{exit, Command};

use compare::operations::{ALL, COPY_16, LAYOUT, RECORD, SIZE, VALUE};
use compare::page::{Charges, CHARGED_LEVELS, CHARGED_RECLAIMERS};
use compare::rivals::GATED;
use compare::{c, page, pairs, rivals, Case};

/// The operations in which this library must take fewer instructions than the best rival of
/// [`GATED`].
const PROMISED: [&str; 5] = [VALUE, RECORD, SIZE, LAYOUT, COPY_16];
/// The most instructions of a C allocation whose size is known at run time only, and of a reset.
const MOST_SIZE: f64 = 7.0;
const MOST_RESET: u64 = 24;
/// The name of the column for resets, which are not an operation.
const RESET: &str = "reset";
/// The rounds and the operations per round of the shorter run. Twice as many have the same number
/// of digits, so that reading the arguments costs the same.
const ROUNDS: u64 = 20;
const COUNT: u64 = 400;

/// One number for a rival and an operation.
type Figures = BTreeMap<(&'static str, &'static str), f64>;

/// Runs `count` under Callgrind. Returns the instructions that it collected: all of them, or those
/// of some functions and of what they call.
fn collect(functions: &[&str], arguments: &[&str]) -> u64 {
    let count = env::current_exe().expect("a path").with_file_name("count");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.args(functions.iter().map(|name| format!("--toggle-collect={name}")));
    let output = command.arg(count).args(arguments).output().expect("valgrind runs");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "count {arguments:?} failed:\n{report}");
    let line = report.lines().find(|line| line.contains("Collected : "));
    let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no count in Callgrind's report:\n{report}"))
}

/// The instructions of this many rounds of this many operations.
fn run(rival: &str, operation: &str, rounds: u64, count: u64) -> f64 {
    collect(&[], &[rival, operation, &rounds.to_string(), &count.to_string()]) as f64
}

/// The row of the empty loop that is subtracted from a rival's row.
fn loop_of(rival: &str) -> &'static str {
    if rival.starts_with("C ") {
        c::NOTHING
    } else {
        rivals::NOTHING
    }
}

fn count_instructions(rows: &[(&'static str, &'static str)]) -> Figures {
    let mut raw = Figures::new();
    for &(rival, operation) in rows {
        let short = run(rival, operation, ROUNDS, COUNT);
        let long = run(rival, operation, ROUNDS, 2 * COUNT);
        let per_operation = (long - short) / (ROUNDS * COUNT) as f64;
        raw.insert((rival, operation), per_operation);
        // A heap has no reset. It frees its allocations one by one, which counts as part of the
        // operations.
        if operation == VALUE && !rivals::HEAPS.contains(&rival) {
            let more = run(rival, operation, 2 * ROUNDS, COUNT);
            let per_round = (more - short) / ROUNDS as f64;
            raw.insert((rival, RESET), per_round - per_operation * COUNT as f64);
        }
    }
    let less_loop = |(&(rival, operation), &figure): (&(&'static str, &'static str), &f64)| {
        Some(((rival, operation), figure - raw.get(&(loop_of(rival), operation))?))
    };
    raw.iter().filter_map(less_loop).collect()
}

fn print(title: &str, figures: &Figures, names: &[&'static str], columns: &[&'static str]) {
    print!("{title:<29}");
    columns.iter().for_each(|column| print!("{column:>10}"));
    println!();
    for &name in names {
        print!("{name:<29}");
        for &column in columns {
            match figures.get(&(name, column)) {
                Some(figure) => print!("{figure:>10.2}"),
                None => print!("{:>10}", "-"),
            }
        }
        println!();
    }
    println!();
}

/// This library compared with the best of the gated rivals, and its C form compared with the inline
/// bump.
fn print_ratios(title: &str, figures: &Figures, columns: &[&'static str]) {
    let mut ratios = Figures::new();
    for &column in columns {
        if let (Some(ours), Some(best)) =
            (figures.get(&(rivals::OURS, column)), best(figures, column))
        {
            ratios.insert(("ours / best bump crate", column), ours / best);
        }
        let c = (figures.get(&(c::OURS, column)), figures.get(&(c::BUMP, column)));
        if let (Some(ours), Some(bump)) = c {
            ratios.insert(("ours / inline bump in C", column), ours / bump);
        }
    }
    print(title, &ratios, &["ours / best bump crate", "ours / inline bump in C"], columns);
}

fn best(figures: &Figures, operation: &'static str) -> Option<f64> {
    GATED.iter().filter_map(|&rival| figures.get(&(rival, operation)).copied()).reduce(f64::min)
}

/// Counts the instructions of one reset after many allocations and with many blocks: in Rust, the
/// first one and one after the same work again, and the same two in C. Prints them.
fn count_resets() -> Vec<[u64; 4]> {
    print!("{:<26}{:>10}{:>10}", "One reset, instructions", "Rust", "again");
    println!("{:>20}{:>10}", "aegis_arena_reset", "again");
    let cases = [("1", "1"), ("1000", "1"), ("1000000", "1"), ("1", "1000")];
    let counts = cases.map(|(allocations, blocks)| {
        let [rust, c] = ["measured_reset", "aegis_arena_reset"].map(|function| {
            ["1", "2"].map(|rounds| collect(&[function], &["reset", allocations, blocks, rounds]))
        });
        let counts = [rust[0], rust[1] - rust[0], c[0], c[1] - c[0]];
        let case = if blocks == "1" {
            format!("after {allocations} allocations")
        } else {
            format!("with {blocks} blocks")
        };
        println!("{case:<26}{:>10}{:>10}{:>20}{:>10}", counts[0], counts[1], counts[2], counts[3]);
        counts
    });
    println!();
    counts.to_vec()
}

/// Counts the instructions of a charge and its uncharge in trees of budgets, and prints them. They
/// are the difference between two runs that differ in the number of charges, so the first charge,
/// which raises the peak, does not count.
fn count_charges() -> Charges {
    const PAIRS: u64 = 10;
    let functions = ["aegis_budget_charge", "aegis_budget_uncharge"];
    print!("{:<29}", "Charge and uncharge, levels");
    CHARGED_LEVELS.iter().for_each(|levels| print!("{levels:>10}"));
    println!();
    let charges = CHARGED_RECLAIMERS.map(|reclaimers| {
        print!("{:<29}", format!("reclaimers: {reclaimers}"));
        let counts = CHARGED_LEVELS.map(|levels| {
            let [short, long] = [PAIRS, 2 * PAIRS].map(|pairs| {
                let [levels, reclaimers] = [levels, reclaimers].map(|number| number.to_string());
                collect(&functions, &["charge", &levels, &reclaimers, &pairs.to_string()])
            });
            let count = (long - short) as f64 / PAIRS as f64;
            print!("{count:>10.2}");
            count
        });
        println!();
        counts
    });
    println!();
    charges
}

/// Counts the instructions of what is taken and given back at once, and prints them. They are the
/// difference between two runs that differ in the number of operations, less that of the empty loop.
fn count_pairs() -> Figures {
    let mut figures = Figures::new();
    let mut names = Vec::new();
    for Case { rival, operation, .. } in pairs::cases() {
        let [short, long] = [COUNT, 2 * COUNT].map(|count| run(rival, operation, ROUNDS, count));
        let count = (long - short) / (ROUNDS * COUNT) as f64;
        let empty = figures.get(&(pairs::NOTHING, operation)).copied().unwrap_or_default();
        figures.insert((rival, operation), count - empty);
        if rival != pairs::NOTHING {
            names.push(rival);
        }
    }
    print("Taken and given back", &figures, &names, &pairs::ALL);
    figures
}

/// Compares the pages of the library with what was counted, and prints each difference. Returns
/// whether the pages are wrong: the counts of other compilers than the pages name may differ.
fn are_pages_wrong(instructions: &Figures, resets: &[[u64; 4]], charges: &Charges) -> bool {
    let count = |rival, operation| instructions.get(&(rival, operation)).copied();
    let reset = resets[0][3] as f64;
    // The negative control: no page has half an instruction, so each number must differ.
    let wrong = page::differences(
        |rival, operation| Some(count(rival, operation)? + 0.5),
        reset + 0.5,
        &charges.map(|counts| counts.map(|count| count + 0.5)),
    );
    assert_eq!(wrong.len(), page::COMPARED, "the numbers that were compared");
    let differences = page::differences(count, reset, charges);
    let is_same = page::is_of_these_compilers();
    let word = if is_same { "WRONG" } else { "different" };
    for page::Difference { place, claimed, counted } in &differences {
        println!("{word} {place}: the page says \"{claimed}\", counted \"{counted}\"");
    }
    if !is_same {
        println!(
            "The pages' numbers are of other compilers than this build's: {}.",
            page::compilers()
        );
        println!("So no difference from them is a fault.");
    } else if !differences.is_empty() {
        println!("If the change of the code is meant, write what was counted into the pages.");
    } else {
        println!("The pages have the counts of this library: {}.", page::compilers());
    }
    is_same && !differences.is_empty()
}

/// The promises of the library that these numbers break. The library promises fewer instructions
/// than the best bump crate, in C as few for a run-time size as [`MOST_SIZE`], a reset with at most
/// [`MOST_RESET`] whose count is the same whatever was allocated, and a charge whose count is the
/// same whether there are reclaimers. It promises no times, because they vary
/// from run to run.
fn broken_promises(
    instructions: &Figures,
    pairs: &Figures,
    resets: &[[u64; 4]],
    [without, with]: &Charges,
) -> Vec<String> {
    let mut broken = Vec::new();
    for operation in PROMISED {
        let ours = instructions[&(rivals::OURS, operation)];
        let best = best(instructions, operation).expect("the rivals were counted");
        if ours >= best {
            broken.push(format!("{operation}: {ours:.2} instructions, the best rival {best:.2}"));
        }
    }
    let size = instructions[&(c::OURS, SIZE)];
    if size > MOST_SIZE {
        broken.push(format!("{SIZE} in C: {size:.2} instructions, more than {MOST_SIZE}"));
    }
    for (operation, ours, rival) in pairs::PROMISES {
        let [count, limit] = [ours, rival].map(|name| pairs[&(name, operation)]);
        if count > limit {
            broken.push(format!("{operation}: {ours} {count:.2}, more than {limit:.2} of {rival}"));
        }
    }
    if resets.iter().any(|counts| *counts != resets[0]) {
        broken.push(String::from("reset: the counts above are not the same"));
    }
    if resets[0].iter().any(|count| !(1..=MOST_RESET).contains(count)) {
        broken.push(format!("reset: a count above is not from 1 to {MOST_RESET}"));
    }
    if without.contains(&0.0) || with != without {
        broken.push(String::from("charge: a reclaimer that is not asked changes the counts above"));
    }
    broken
}

/// Counts the instructions of collections in each home, per operation, and prints them. They are the
/// difference between two runs that differ in the number of rounds, so the first rounds, in which
/// an arena acquires its memory, do not count.
fn print_collections() {
    const ROUNDS: u64 = 2;
    const COUNT: u64 = 200_000;
    let mut figures = Figures::new();
    let (mut names, mut columns) = (Vec::new(), Vec::new());
    for Case { rival, operation, .. } in compare::collections::cases() {
        let [short, long] = [ROUNDS, 2 * ROUNDS].map(|rounds| run(rival, operation, rounds, COUNT));
        figures.insert((rival, operation), (long - short) / (ROUNDS * COUNT) as f64);
        names.push(rival);
        columns.push(operation);
    }
    names.dedup();
    columns.truncate(compare::collections::ALL.len());
    print("Collections, instructions", &figures, &names, &columns);
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let few = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--few"] => true,
        ["--collections"] => return print_collections(),
        _ => panic!("usage: table [--few | --collections]"),
    };
    let wanted = |rival: &str| {
        let ours = [rivals::NOTHING, rivals::OURS, c::NOTHING, c::OURS, c::BUMP];
        !few || GATED.contains(&rival) || ours.contains(&rival)
    };
    let counted = if few { &PROMISED[..] } else { &ALL };
    let rows: Vec<_> = compare::cases()
        .iter()
        .map(|case| (case.rival, case.operation))
        .filter(|&(rival, operation)| wanted(rival) && counted.contains(&operation))
        .collect();
    let mut names: Vec<_> = rows.iter().map(|row| row.0).collect();
    names.dedup();
    let mut columns: Vec<_> =
        ALL.into_iter().filter(|operation| rows.iter().any(|row| row.1 == *operation)).collect();

    let instructions = count_instructions(&rows);
    columns.push(RESET);
    names.retain(|&name| name != loop_of(name));
    print("Instructions per operation", &instructions, &names, &columns);
    print_ratios("Ratios of instructions", &instructions, &columns);
    let resets = count_resets();
    let charges = count_charges();
    let pairs = count_pairs();
    let broken = broken_promises(&instructions, &pairs, &resets, &charges);
    for promise in &broken {
        println!("BROKEN {promise}");
    }
    if are_pages_wrong(&instructions, &resets, &charges) || !broken.is_empty() {
        exit(1);
    }
    println!(
        "Fewer instructions than the best bump crate; a reset and a charge that stay the same."
    );
}
