// SPDX-License-Identifier: Apache-2.0
//! Times this library and its rivals in turns, prints tables, and writes the times and charts of the
//! pages. `benches/compare/run` calls it.
//!
//! Usage: `cargo bench --bench times [-- [--quick | --report] [--write] [--collections] [PART..]]`
//!
//! - `--quick`: fewer and shorter turns, and a busy machine is only warned of.
//! - `--write`: writes `docs/charts/` and the times in the README and in docs/choosing.md.
//! - `--report`: measures nothing, and tells what the files of results have.
//! - `--collections`: measures collections only.
//! - PART: measures only the cases whose group or name contains one of these.
//!
//! Results are files in the directory `turns` of cargo's output. What `programs` has written there about
//! whole programs is told too. Of what no file has, nothing is written.
//!
//! Ends with 1 and without a table if the machine is busy before, while or after it measures.

mod buffer;
mod cache;
mod charts;
mod collections;
mod operations;
mod pool;
mod programs;
mod report;
mod shared;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use compare::programs::table::is_of_program;
use compare::quiet::{faults_since, refuse, Noise, Watch};
use compare::turns::{Outcome, Role, Run, Settings};

const FULL: Settings =
    Settings { turns: 41, slice: Duration::from_millis(8), group: Duration::from_secs(10) };
const QUICK: Settings =
    Settings { turns: 9, slice: Duration::from_millis(2), group: Duration::from_secs(1) };

/// The names of this library's cases.
const OURS: [&str; 14] = [
    "aegis-memory",
    "C aegis_arena",
    "Pool",
    "PoolCache",
    "LockFreePool",
    "LockedPool",
    "Arena",
    "LocalArena",
    "LockFreeArena",
    "LockedArena",
    "Buffer",
    "BufferMut",
    "BufferPool",
    "PageCache",
];
/// The names of what does less than the contenders.
const YARDSTICKS: [&str; 4] = [compare::c::BUMP, "Vec<u32>", "a constant", "Arc<page>"];

fn role_of(name: &str) -> Role {
    if OURS.contains(&name) {
        Role::Ours
    } else if YARDSTICKS.contains(&name) {
        Role::Yardstick
    } else {
        Role::Rival
    }
}

/// Measures the noise in a process of its own: one that has had threads gets a slower malloc.
fn check_noise(when: &str, is_quick: bool) {
    let mut command = Command::new(env::current_exe().expect("a path"));
    let output = command.arg("--noise").output().expect("this program runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = text.lines().map(str::to_owned);
    println!("machine {when}: {}", lines.next().expect("a line"));
    refuse(&lines.collect::<Vec<_>>(), when, is_quick);
}

/// The directory of cargo's output, in which this program lies.
fn results() -> PathBuf {
    let program = env::current_exe().expect("a path");
    program.ancestors().nth(3).expect("target/release/deps").join("turns")
}

/// What is in the files of results.
fn read_results() -> Vec<Outcome> {
    let entries = fs::read_dir(results()).expect("something was measured");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("the results can be read");
        Outcome::from_lines(&text).unwrap_or_else(|| panic!("not results: {}", path.display()))
    };
    paths.into_iter().flat_map(read).collect()
}

/// Measures, and returns the lines of a file of results.
fn measure(arguments: &[String]) -> String {
    let has = |option: &str| arguments.iter().any(|word| word == option);
    let is_quick = has("--quick");
    let is_all = !has("--collections");
    let parts = arguments.iter().filter(|word| !word.starts_with('-')).cloned().collect();

    check_noise("before the run", is_quick);
    let watch = Watch::start();
    let mut run = Run::new(if is_quick { QUICK } else { FULL }, role_of, parts);
    // A process that has had two threads gets a slower malloc, so they come last.
    if is_all {
        operations::one_thread(&mut run);
        pool::one_thread(&mut run);
        shared::one_thread(&mut run);
        buffer::one_thread(&mut run);
        cache::one_thread(&mut run);
    }
    collections::one_thread(&mut run);
    if is_all {
        pool::two_threads(&mut run);
        shared::two_threads(&mut run);
        buffer::two_threads(&mut run);
        cache::two_threads(&mut run);
    }
    refuse(&faults_since(&watch), "while it measured", is_quick);
    check_noise("after the run", is_quick);
    run.outcomes.iter().map(Outcome::to_lines).collect()
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let has = |option: &str| arguments.iter().any(|word| word == option);
    if has("--noise") {
        let noise = Noise::measure();
        println!("{noise}");
        noise.faults().iter().for_each(|fault| println!("{fault}"));
        return;
    }
    if !has("--report") {
        let lines = measure(&arguments);
        fs::create_dir_all(results()).expect("the directory can be made");
        fs::write(results().join("times.tsv"), lines).expect("the results can be written");
    }
    let outcomes = read_results();
    let (programs, outcomes): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(is_of_program);
    outcomes.iter().for_each(|outcome| println!("{}", outcome.table()));
    print!("{}", programs::tables(&programs));
    if has("--write") && !outcomes.is_empty() {
        report::write_pages(&outcomes);
        charts::draw_all(&outcomes);
    }
    if has("--write") && !programs.is_empty() {
        programs::write_pages(&programs);
        charts::draw_programs(&programs);
    }
}
