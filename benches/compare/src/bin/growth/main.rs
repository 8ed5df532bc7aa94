// SPDX-License-Identifier: Apache-2.0
//! Shows how cost grows: with the number of allocations, of blocks, of threads and of budgets.
//!
//! Usage: `growth [--short] [arenas|pools|threads|budgets|pages]...`; the script `run` calls it.
//! Every table has a column for each size, and at the end how far the curve has risen: its last
//! value over the least of those before. Beside it stands how far it may rise, and why, if that is
//! more than [`curve::NOISE`]. A curve that rises further is marked. Times never make it fail. What
//! more processors than the machine has would show is counted by `tests/contention/run`.

mod arenas;
mod budgets;
mod curve;
mod pages;
mod pools;
mod threads;

use std::env;

/// A part's name, and what measures and prints it, shortly or in full.
type Part = (&'static str, fn(bool));

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let short = arguments.iter().any(|argument| argument == "--short");
    let parts: [Part; 5] = [
        ("arenas", arenas::print),
        ("pools", pools::print),
        ("threads", threads::print),
        ("budgets", budgets::print),
        ("pages", pages::print),
    ];
    let all = arguments.iter().all(|argument| argument == "--short");
    for (name, print) in parts {
        if all || arguments.iter().any(|argument| argument == name) {
            print(short);
        }
    }
}
