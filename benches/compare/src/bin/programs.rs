// SPDX-License-Identifier: Apache-2.0
//! Runs the whole programs in turns, each allocator as a process of its own, and prints a table for
//! each program. Writes them into the file `turns/programs.tsv` of cargo's output, of which
//! `benches/times/` makes the tables and the chart of the pages.
//!
//!   --short       small inputs, one turn, no file: shows that all run and agree
//!   --turns N     how often each runs; if not given, as often as a minute or so allows
//!   --only NAME   one program; the file keeps what it has of others
//!   --quick       a busy machine is only warned of, and no file is written
//!
//! A virtual machine may give memory that is free for some seconds to its host, and then gets it back
//! slowly, page by page. So before each timed run this program makes memory resident and frees it.
//! Otherwise a process pays for what the one before it has left free.
//!
//! A process runs on one processor, so that no run has luck with where its threads are.
//!
//! System calls are counted by strace, in a run of its own that is not timed. It fails if two
//! allocators of a program compute different results, or if the machine is busy.

use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::{Duration, Instant};
use std::{env, fs};

use aegis_memory::arena::Arena;
use aegis_memory::source::Pages;
use compare::programs::table::{markdown, role_of, CALLS, FAULTS, PEAK, TIME};
use compare::programs::{programs, Program, Rival};
use compare::quiet::{faults_since, refuse, Noise, Watch};
use compare::turns::{Outcome, Timed};

/// The turns of a program, unless their number is given: the least and the most, and the time after
/// which no other begins.
const LEAST_TURNS: usize = 5;
const MOST_TURNS: usize = 15;
const PROGRAM_TIME: Duration = Duration::from_secs(50);

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

/// Runs a program in turns, and then once for its system calls. Each turn begins with another row.
fn measure(program: &Program, turns: Option<usize>, short: bool) -> Vec<Row> {
    let rivals = &program.rivals;
    let new = |rival: &Rival| Row { name: rival.name, runs: Vec::new(), calls: 0 };
    let mut rows: Vec<_> = rivals.iter().map(new).collect();
    let start = Instant::now();
    for turn in 0..turns.unwrap_or(MOST_TURNS) {
        if turns.is_none() && turn >= LEAST_TURNS && start.elapsed() >= PROGRAM_TIME {
            break;
        }
        for i in (0..rivals.len()).map(|i| (i + turn) % rivals.len()) {
            if !short {
                warm();
            }
            let command = command(&["taskset", "-c", "1"], program, &rivals[i], short);
            rows[i].runs.push(run(command));
        }
    }
    let expected = rows[0].runs[0].checksum;
    for (row, rival) in rows.iter_mut().zip(rivals) {
        if row.runs.iter().any(|run| run.checksum != expected) {
            fail(&format!("{}: {} computes another result", program.name, row.name));
        }
        row.calls = calls(program, rival, short);
    }
    rows
}

/// What is told of a program.
fn outcomes(program: &Program, rows: &[Row]) -> [Outcome; 4] {
    let outcome = |title: &str, numbers: &dyn Fn(&Row) -> Vec<f64>| Outcome {
        title: format!("{title}{}", program.name),
        cases: rows
            .iter()
            .map(|row| Timed {
                name: row.name.to_owned(),
                role: role_of(row.name),
                ns: numbers(row),
            })
            .collect(),
    };
    let each = |row: &Row, number: fn(&Run) -> u64| {
        row.runs.iter().map(|run| number(run) as f64).collect::<Vec<_>>()
    };
    [
        outcome(TIME, &|row| each(row, |run| run.time_ns)),
        outcome(PEAK, &|row| each(row, |run| run.peak_kib)),
        outcome(FAULTS, &|row| each(row, |run| run.faults)),
        outcome(CALLS, &|row| vec![row.calls as f64]),
    ]
}

/// Writes the file of results, which keeps its groups that were not measured again.
fn write_results(measured: Vec<Outcome>) {
    let this = env::current_exe().expect("the path of the program");
    let turns = this.ancestors().nth(2).expect("target/release").join("turns");
    let file = turns.join("programs.tsv");
    let before = fs::read_to_string(&file).ok().and_then(|text| Outcome::from_lines(&text));
    let is_new = |old: &Outcome| measured.iter().any(|new| new.title == old.title);
    let kept = before.unwrap_or_default().into_iter().filter(|old| !is_new(old));
    let lines: String = kept.chain(measured.iter().cloned()).map(|o| o.to_lines()).collect();
    let written = fs::create_dir_all(turns).and_then(|()| fs::write(&file, lines));
    written.unwrap_or_else(|error| fail(&format!("{}: {error}", file.display())));
}

fn main() {
    let (mut short, mut quick, mut turns, mut only) = (false, false, None, None);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| fail("a value is missing"));
        match argument.as_str() {
            "--short" => (short, turns) = (true, Some(1)),
            "--quick" => quick = true,
            "--turns" => {
                turns = Some(value().parse().unwrap_or_else(|_| fail("no number of turns")));
            }
            "--only" => only = Some(value()),
            _ => fail("usage: programs [--short | --quick] [--turns N] [--only NAME]"),
        }
    }
    let is_chosen = |program: &Program| only.as_ref().is_none_or(|only| program.name == only);
    let chosen: Vec<_> = programs().into_iter().filter(is_chosen).collect();
    if chosen.is_empty() || turns == Some(0) {
        fail("nothing to run");
    }
    let check_noise = |when| {
        if !short {
            let noise = Noise::measure();
            println!("machine {when}: {noise}");
            refuse(&noise.faults(), when, quick);
        }
    };
    check_noise("before the run");
    let watch = Watch::start();
    let mut measured = Vec::new();
    for program in chosen {
        let outcomes = outcomes(&program, &measure(&program, turns, short));
        let size = if short { " (here with a small input)" } else { "" };
        let table = markdown(&outcomes, program.name).expect("the program was measured");
        println!("\n{}: {}{size}\n\n{table}", program.name, program.about);
        measured.extend(outcomes);
    }
    if !short {
        refuse(&faults_since(&watch), "while it measured", quick);
    }
    check_noise("after the run");
    if !short && !quick {
        write_results(measured);
    }
}
