// SPDX-License-Identifier: Apache-2.0
//! Runs the whole programs in turns, each allocator as a process of its own, and prints a table for
//! each program.
//!
//!   --short       small inputs, one turn: shows that all run and agree
//!   --turns N     how often each runs; 7 if not given
//!   --only NAME   one program
//!   --tsv FILE    writes each run as a line: program, allocator, turn, nanoseconds, peak in KiB,
//!                 page faults, system calls
//!
//! A virtual machine may give memory that is free for some seconds to its host, and then gets it back
//! slowly, page by page. So before each timed run this program makes memory resident and frees it.
//! Otherwise a process pays for what the one before it has left free.
//!
//! A process runs on one processor, so that no run has luck with where its threads are.
//!
//! System calls are counted by strace, in a run of its own that is not timed. It fails if two
//! allocators of a program compute different results.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::{env, fs};

use aegis_memory::arena::Arena;
use aegis_memory::source::Pages;
use compare::programs::{programs, Program, Rival};

/// What a process says of one run.
#[derive(Clone, Copy)]
struct Run {
    checksum: u64,
    time_ns: u64,
    peak_kib: u64,
    faults: u64,
}

/// What is known of a row.
struct Row {
    name: &'static str,
    runs: Vec<Run>,
    calls: usize,
}

fn fail(text: &str) -> ! {
    eprintln!("programs: {text}");
    process::exit(1);
}

/// The command of a row, with its settings, run by another program if one is given.
fn command(wrapper: &[&str], program: &Program, rival: &Rival, short: bool) -> Command {
    let this = env::current_exe().expect("the path of the program");
    let binary = this.with_file_name("program");
    let mut words = wrapper.iter().map(Path::new).map(PathBuf::from).chain([binary]);
    let mut command = Command::new(words.next().expect("at least the binary"));
    command.args(words).args([program.name, rival.name]).args(short.then_some("--small"));
    for (name, _) in programs().iter().flat_map(|p| &p.rivals).filter_map(|r| r.setting) {
        command.env_remove(name);
    }
    command.envs(rival.setting);
    command
}

/// More memory than a process takes.
const WARM_BYTES: usize = 512 << 20;

/// Leaves free memory that is resident on the machine below this one, if there is one.
fn warm() {
    let pages = Pages::new().huge_pages().prefault();
    drop(Arena::builder().source(pages).capacity(WARM_BYTES).build().expect("memory"));
}

/// Runs a row once.
fn run(mut command: Command) -> Run {
    let output = command.output().unwrap_or_else(|error| fail(&format!("{command:?}: {error}")));
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = text.split_whitespace().map_while(|n| n.parse().ok()).collect();
    let (true, &[checksum, time_ns, peak_kib, minor, major]) =
        (output.status.success(), &numbers[..])
    else {
        let errors = String::from_utf8_lossy(&output.stderr);
        fail(&format!("{command:?}: {}: {text}{errors}", output.status));
    };
    Run { checksum, time_ns, peak_kib, faults: minor + major }
}

/// The system calls of the work: the lines of a trace between the first two calls of getppid.
fn calls(program: &Program, rival: &Rival, short: bool) -> usize {
    let trace = env::temp_dir().join(format!("aegis-memory-trace-{}", process::id()));
    let path = trace.to_str().expect("a path in UTF-8");
    run(command(&["strace", "-f", "-o", path], program, rival, short));
    let text = fs::read_to_string(&trace).expect("strace has written it");
    fs::remove_file(&trace).expect("it is there");
    let mut parts = text.split_inclusive("getppid()");
    let work = parts.nth(1).unwrap_or_else(|| fail("the trace has no getppid"));
    // A call that is interrupted has two lines. Signals and exits are no calls.
    let is_call = |line: &&str| !["resumed>", " +++ ", " --- "].iter().any(|no| line.contains(no));
    work.lines().skip(1).filter(is_call).count().saturating_sub(1)
}

/// The middle, the least and the greatest.
fn spread(numbers: impl Iterator<Item = u64>) -> [f64; 3] {
    let mut numbers: Vec<_> = numbers.map(|number| number as f64).collect();
    numbers.sort_by(f64::total_cmp);
    let count = numbers.len();
    let middle = (numbers[(count - 1) / 2] + numbers[count / 2]) / 2.0;
    [middle, numbers[0], numbers[count - 1]]
}

fn print(program: &Program, rows: &[Row], short: bool) {
    let size = if short { " (here with a small input)" } else { "" };
    println!("\n{}: {}{size}\n", program.name, program.about);
    println!(
        "{:<24}{:>9} {:>16}{:>7}{:>10}{:>7}{:>10}{:>9}",
        "", "ms", "least..greatest", "ratio", "peak MiB", "ratio", "faults", "calls"
    );
    let time = |row: &Row| spread(row.runs.iter().map(|run| run.time_ns));
    let peak = |row: &Row| spread(row.runs.iter().map(|run| run.peak_kib))[0];
    let (our_time, our_peak) = (time(&rows[0])[0], peak(&rows[0]));
    for row in rows {
        let [middle, least, greatest] = time(row).map(|ns| ns / 1e6);
        println!(
            "{:<24}{middle:>9.1} {:>16}{:>7.2}{:>10.1}{:>7.2}{:>10}{:>9}",
            row.name,
            format!("{least:.1}..{greatest:.1}"),
            middle * 1e6 / our_time,
            peak(row) / 1024.0,
            peak(row) / our_peak,
            spread(row.runs.iter().map(|run| run.faults))[0],
            row.calls,
        );
    }
}

fn main() {
    let (mut short, mut turns, mut only, mut tsv) = (false, 7, None, None);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| fail("a value is missing"));
        match argument.as_str() {
            "--short" => (short, turns) = (true, 1),
            "--turns" => turns = value().parse().unwrap_or_else(|_| fail("no number of turns")),
            "--only" => only = Some(value()),
            "--tsv" => tsv = Some(value()),
            _ => fail("usage: programs [--short] [--turns N] [--only NAME] [--tsv FILE]"),
        }
    }
    let chosen: Vec<_> = programs()
        .into_iter()
        .filter(|program| only.as_ref().is_none_or(|only| program.name == only))
        .collect();
    if chosen.is_empty() || turns == 0 {
        fail("nothing to run");
    }
    let mut lines = String::new();
    for program in chosen {
        let mut rows: Vec<_> = program
            .rivals
            .iter()
            .map(|rival| Row { name: rival.name, runs: Vec::new(), calls: 0 })
            .collect();
        for _ in 0..turns {
            for (row, rival) in rows.iter_mut().zip(&program.rivals) {
                if !short {
                    warm();
                }
                row.runs.push(run(command(&["taskset", "-c", "1"], &program, rival, short)));
            }
        }
        let expected = rows[0].runs[0].checksum;
        for row in &rows {
            if row.runs.iter().any(|run| run.checksum != expected) {
                fail(&format!("{}: {} computes another result", program.name, row.name));
            }
        }
        for (row, rival) in rows.iter_mut().zip(&program.rivals) {
            row.calls = calls(&program, rival, short);
        }
        print(&program, &rows, short);
        for row in &rows {
            for (turn, run) in row.runs.iter().enumerate() {
                let Run { time_ns, peak_kib, faults, .. } = run;
                let (name, calls) = (row.name, row.calls);
                writeln!(
                    lines,
                    "{}\t{name}\t{turn}\t{time_ns}\t{peak_kib}\t{faults}\t{calls}",
                    program.name
                )
                .expect("a string takes everything");
            }
        }
    }
    if let Some(file) = tsv {
        fs::write(&file, lines).unwrap_or_else(|error| fail(&format!("{file}: {error}")));
    }
}
