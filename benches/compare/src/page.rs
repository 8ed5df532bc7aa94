// SPDX-License-Identifier: Apache-2.0
//! The counts of instructions that the pages of the library claim for it: read from the pages, and
//! compared with what was counted.
//!
//! Rows of rivals are not compared: they depend on the rivals' versions and on the C library.

use std::fs;
use std::path::{Path, PathBuf};

use crate::operations::{COPY_16, LAYOUT, RECORD, SIZE, VALUE};
use crate::{c, rivals};

/// The page with the table, and the other one that names the least and the greatest count.
const PAGE: &str = "docs/choosing.md";
const README: &str = "README.md";
/// The rows of [`PAGE`] that are compared, and the rows of `table` that they are.
const ROWS: [(&str, &str); 3] = [
    ("**aegis-memory**", rivals::OURS),
    ("**`aegis_arena_alloc` in C**", c::OURS),
    ("the smallest inline bump in C", c::BUMP),
];
/// The columns of the page's table, and the operations that they are.
const COLUMNS: [(&str, &str); 5] = [
    ("`u64`", VALUE),
    ("3 words", RECORD),
    ("run-time size", SIZE),
    ("run-time layout", LAYOUT),
    ("copy 16 bytes", COPY_16),
];

/// The columns of the page's table of budgets: the levels of the tree.
const LEVELS: [&str; CHARGED_LEVELS.len()] = ["one level", "two levels", "three levels"];
/// The rows of the page's table of budgets: the numbers of registered reclaimers.
const RECLAIMERS: [&str; CHARGED_RECLAIMERS.len()] =
    ["**no reclaimer**", "**a reclaimer that is not asked**"];
/// The numbers of levels for which a charge is counted.
pub const CHARGED_LEVELS: [usize; 3] = [1, 2, 3];
/// The numbers of reclaimers for which a charge is counted.
pub const CHARGED_RECLAIMERS: [usize; 2] = [0, 1];
/// The instructions of a charge and its uncharge, by reclaimers and levels.
pub type Charges = [[f64; CHARGED_LEVELS.len()]; CHARGED_RECLAIMERS.len()];

/// A number of a page beside the one that was counted. They may be texts, to name a missing one.
pub struct Difference {
    /// The page, the row and the column.
    pub place: String,
    /// What the page says.
    pub claimed: String,
    /// What was counted.
    pub counted: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The machine and the compilers of this build, in the words of the page.
pub fn compilers() -> &'static str {
    env!("COMPARE_COMPILERS")
}

/// Whether the page's numbers were made by the compilers of this build.
pub fn is_of_these_compilers() -> bool {
    one_line(&read(PAGE)).contains(&format!("(Callgrind, {}, by", compilers()))
}

/// The text with each run of white space as one space, because lines are wrapped anywhere.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cells of a row of a table in Markdown.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// A count as the pages write it. Counts of this library are whole numbers.
fn written(count: f64) -> String {
    let rounded = count.round();
    if (count - rounded).abs() < 0.01 {
        format!("{rounded}")
    } else {
        format!("{count:.2}")
    }
}

/// How many numbers are compared: those of [`ROWS`], of which C has no run-time layout; that of a
/// reset; those of charges; the range on two pages.
pub const COMPARED: usize = 5 + 4 + 4 + 1 + CHARGED_LEVELS.len() * CHARGED_RECLAIMERS.len() + 2;

/// The cells of the row that begins with this name, without the name.
fn row<'a>(lines: &'a [Vec<&'a str>], name: &str) -> &'a [&'a str] {
    let row = lines.iter().find(|cells| cells[0] == name);
    &row.unwrap_or_else(|| panic!("{PAGE} has no row {name}"))[1..]
}

/// Where the pages differ from what was counted: `count` is asked for the row of a rival and an
/// operation, `reset` is the count of `aegis_arena_reset`, and `charges` are those of budgets.
pub fn differences(
    count: impl Fn(&'static str, &'static str) -> Option<f64>,
    reset: f64,
    charges: &Charges,
) -> Vec<Difference> {
    let text = read(PAGE);
    let lines: Vec<_> = text.lines().map(cells).collect();
    assert_eq!(row(&lines, "instructions per operation"), COLUMNS.map(|column| column.0));
    assert_eq!(row(&lines, "instructions per charge and uncharge"), LEVELS);

    let mut found = Vec::new();
    let mut check = |place: String, claimed: &str, counted: String| {
        if claimed != counted {
            found.push(Difference { place, claimed: claimed.to_owned(), counted });
        }
    };
    let mut ours = Vec::new();
    for (name, rival) in ROWS {
        for ((column, operation), cell) in COLUMNS.iter().zip(row(&lines, name)) {
            let counted = count(rival, operation);
            let place = format!("{PAGE}, row {name}, column {column}");
            check(place, cell.trim_matches('*'), counted.map_or(String::new(), written));
            ours.extend(counted.filter(|_| name.starts_with("**")));
        }
    }
    for (name, counts) in RECLAIMERS.into_iter().zip(charges) {
        for ((column, cell), &counted) in LEVELS.iter().zip(row(&lines, name)).zip(counts) {
            let place = format!("{PAGE}, row {name}, column {column}");
            check(place, cell.trim_matches('*'), written(counted));
        }
    }
    let claimed = one_line(&text);
    let after = claimed.split("`aegis_arena_reset` takes ").nth(1).unwrap_or_default();
    let claimed_reset = after.split(' ').next().unwrap_or_default();
    check(format!("{PAGE}, `aegis_arena_reset`"), claimed_reset, written(reset));

    // The same counts in a sentence: the least and the greatest.
    let least = ours.iter().copied().fold(f64::INFINITY, f64::min);
    let range =
        format!("{} to {}", written(least), written(ours.iter().copied().fold(0.0, f64::max)));
    for (page, before, after) in [
        (PAGE, "move a pointer: ", " instructions, inlined"),
        (README, "An allocation takes ", " inlined instructions"),
    ] {
        let text = one_line(&read(page));
        let said = text.split(before).nth(1).and_then(|rest| rest.split_once(after));
        let said = said.map_or("", |(said, _)| said);
        check(format!("{page}, \"{before}...{after}\""), said, range.clone());
    }
    found
}
