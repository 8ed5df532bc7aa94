// SPDX-License-Identifier: Apache-2.0
//! The tables of whole programs in the README and in docs/choosing.md.

use std::fmt::Write;

use compare::programs::table::{group, markdown, milliseconds, PEAK, TIME};
use compare::programs::{programs, OURS};
use compare::turns::{Outcome, Quartiles, Timed};

use crate::report::{intro, wrapped, write_between};

/// A table for each program that was measured, with a line above that says what it does.
pub fn tables(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for program in programs() {
        if let Some(table) = markdown(outcomes, program.name) {
            let title = wrapped(&format!("**{}**: {}.", program.name, program.about));
            write!(text, "\n{title}\n{table}").expect("a string takes everything");
        }
    }
    text
}

/// For the README: this library beside the fastest and the leanest rival of each program.
fn summary(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| | this library, ms | the fastest rival | ratio | peak, MiB | the leanest rival |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for program in programs() {
        let [times, peaks] = [TIME, PEAK].map(|title| group(outcomes, title, program.name));
        let ours = [times, peaks].map(|group| Some((group?.case(OURS)?, group?.best_rival()?)));
        let [Some((time, fastest)), Some((peak, leanest))] = ours else { continue };
        let Quartiles { low, median, high } = time.ratio(fastest);
        let mib = |case: &Timed| case.time().median / 1024.0;
        writeln!(
            text,
            "| {} | {} | {}: {} | {median:.2} ({low:.2} to {high:.2}) | {:.1} | {}: {:.1} |",
            program.about,
            milliseconds(time.time()),
            fastest.name,
            milliseconds(fastest.time()),
            mib(peak),
            leanest.name,
            mib(leanest)
        )
        .expect("a string takes everything");
    }
    text
}

/// Writes tables and the chart, between the lines `<!-- programs: begin -->` and
/// `<!-- programs: end -->`.
pub fn write_pages(outcomes: &[Outcome]) {
    const CHART: &str = "![Time of whole programs, each on this library and its rivals]";
    let is_time = |group: &&Outcome| group.title.starts_with(TIME);
    let times: Vec<_> = outcomes.iter().filter(is_time).cloned().collect();
    let ratios = |of: &str| wrapped(&format!("{} A ratio is of {of}.", intro(&times)));
    let readme = format!(
        "Whole programs, each on this library and on its rivals.\n\n{}\n{}\n\
         {CHART}(docs/charts/programs.svg)\n",
        ratios("the two times of each turn, with its quartiles; below 1 this library is faster"),
        summary(outcomes)
    );
    write_between("README.md", "programs", &readme);
    let page = format!(
        "{}{}\n{CHART}(charts/programs.svg)\n",
        ratios("a row's time and the first row's in each turn; above 1 this library is faster"),
        tables(outcomes)
    );
    write_between("docs/choosing.md", "programs", &page);
}
