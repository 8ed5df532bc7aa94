// SPDX-License-Identifier: Apache-2.0
//! Runs one whole program on one allocator, and prints what it took in one line of five numbers:
//! the checksum, nanoseconds, the peak of resident memory in KiB, and page faults without and with
//! input from a disk. Called as `program NAME ALLOCATOR [--small]`, by `programs`.
//!
//! Time and faults are those of the work. The peak is that of the process (VmHWM), so it has the
//! program's input and the process itself in it. A call of getppid before and after the work shows
//! in a trace of system calls where it begins and ends.

use std::time::Instant;
use std::{env, fs};

use compare::programs::programs;

/// The page faults of the process so far, without and with input from a disk, as
/// `/proc/self/stat` counts them.
fn faults() -> [u64; 2] {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    // The name in brackets may have blanks. The tenth and the twelfth field are wanted.
    let (_, fields) = text.rsplit_once(')').expect("a name in brackets");
    let fields: Vec<_> = fields.split_whitespace().collect();
    [fields[7], fields[9]].map(|field| field.parse().expect("a number"))
}

/// The peak of resident memory in KiB.
fn peak_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let (names, small) = match &arguments[..] {
        [names @ .., last] if last == "--small" => (names, true),
        names => (names, false),
    };
    let [name, allocator] = names else {
        panic!("usage: program NAME ALLOCATOR [--small]");
    };
    let program = programs().into_iter().find(|program| program.name == name);
    let rivals = program.unwrap_or_else(|| panic!("no program is called {name}")).rivals;
    let rival = rivals.into_iter().find(|rival| rival.name == allocator);
    let rival = rival.unwrap_or_else(|| panic!("{name} has no row {allocator}"));
    let work = (rival.prepare)(small);

    let before = faults();
    let _ = std::os::unix::process::parent_id();
    let start = Instant::now();
    let checksum = work();
    let time = start.elapsed().as_nanos();
    let _ = std::os::unix::process::parent_id();
    let after = faults();
    println!("{checksum} {time} {} {} {}", peak_kib(), after[0] - before[0], after[1] - before[1]);
}
