// SPDX-License-Identifier: Apache-2.0
//! What is told of a program. A file of results has four groups of it, and this makes a table of them.

use std::fmt::Write;

use super::OURS;
use crate::turns::{Outcome, Quartiles, Role, Timed};

/// What the titles of the groups begin with; the name of the program follows. Their numbers are the
/// nanoseconds, the peaks of resident memory in KiB and the page faults of each turn, and the system
/// calls of one run.
pub const TIME: &str = "program: ";
/// See [`TIME`].
pub const PEAK: &str = "program, peak: ";
/// See [`TIME`].
pub const FAULTS: &str = "program, page faults: ";
/// See [`TIME`].
pub const CALLS: &str = "program, system calls: ";

/// Whether a group tells of a program.
pub fn is_of_program(group: &Outcome) -> bool {
    [TIME, PEAK, FAULTS, CALLS].iter().any(|title| group.title.starts_with(title))
}

/// The group of a program with such a title.
pub fn group<'a>(outcomes: &'a [Outcome], title: &str, program: &str) -> Option<&'a Outcome> {
    outcomes.iter().find(|group| group.title.strip_prefix(title) == Some(program))
}

/// The name of a row's allocator, without its settings.
pub fn allocator(row: &str) -> &str {
    row.split_once(", ").map_or(row, |(allocator, _)| allocator)
}

/// The role of a row by its name.
pub fn role_of(row: &str) -> Role {
    if allocator(row) == OURS {
        Role::Ours
    } else {
        Role::Rival
    }
}

/// A time, and half the distance between its quartiles.
pub fn milliseconds(time: Quartiles) -> String {
    let Quartiles { low, median, high } = time;
    let digits = if median < 99.95e6 { 1 } else { 0 };
    format!("{:.digits$} ± {:.digits$}", median / 1e6, (high - low) / 2e6)
}

/// The table of a program in Markdown, if its times are there.
pub fn markdown(outcomes: &[Outcome], program: &str) -> Option<String> {
    let times = group(outcomes, TIME, program)?;
    let ours = times.case(OURS)?;
    let header = ["", "ms", "ratio", "peak, MiB", "page faults", "system calls"];
    let mut rows = vec![header.map(String::from), [(); 6].map(|()| String::from("---"))];
    for case in &times.cases {
        let time = milliseconds(case.time());
        let is_ours = case.role == Role::Ours;
        let ratio = || {
            let Quartiles { low, median, high } = case.ratio(ours);
            format!("{median:.2} ({low:.2} to {high:.2})")
        };
        let number = |title, size: f64, digits: usize| {
            let group = group(outcomes, title, program);
            let median = group.and_then(|group| group.case(&case.name)).map(Timed::time)?.median;
            Some(format!("{:.digits$}", median / size))
        };
        let peak = number(PEAK, 1024.0, 1);
        let [faults, calls] = [FAULTS, CALLS].map(|title| number(title, 1.0, 0));
        rows.push([
            case.name.clone(),
            if is_ours { format!("**{time}**") } else { time },
            if case.name == OURS { String::new() } else { ratio() },
            peak.unwrap_or_default(),
            faults.unwrap_or_default(),
            calls.unwrap_or_default(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..header.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            write!(text, "| {cell:<width$} ").expect("a string takes everything");
        }
        text += "|\n";
    }
    Some(text)
}
