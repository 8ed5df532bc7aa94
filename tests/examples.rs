// SPDX-License-Identifier: Apache-2.0
//! Runs the quickstart example on good and bad input. Its output must be exact for good input, and
//! bad input must give one line of error and exit code 1. `cargo test` builds the examples beside
//! the tests.
#![cfg(feature = "std")]

#[path = "support/cargo.rs"]
mod cargo;
#[path = "support/runner.rs"]
mod runner;

use runner::command_for;
use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Once;

const ZONES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/zone1970.tab");

/// The path `target/<profile>/examples/quickstart`. If cargo was asked for tests only, it has not
/// built the example; then this function asks cargo to build it.
fn quickstart() -> PathBuf {
    static BUILT: Once = Once::new();
    let example = cargo::profile().join("examples").join(format!("quickstart{EXE_SUFFIX}"));
    BUILT.call_once(|| {
        if !example.exists() {
            let mut cargo = cargo::command("build");
            cargo.args(["--quiet", "--example", "quickstart"]);
            assert!(cargo.status().expect("cargo starts").success(), "the example does not build");
        }
    });
    assert!(example.exists(), "{} is missing: cargo test builds it", example.display());
    example
}

fn run(arguments: &[&Path]) -> Output {
    command_for(&quickstart()).args(arguments).output().expect("the example starts")
}

/// Writes these bytes into a file with this name and runs the example on it.
fn run_on(name: &str, bytes: &[u8]) -> (Output, String) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).expect("the folder for tests can be written");
    (run(&[&path]), path.display().to_string())
}

#[track_caller]
fn output_of(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(output.stdout).expect("the example prints UTF-8")
}

/// Demands that the example ended with exit code 1, with nothing on its output and with this one
/// line of error.
#[track_caller]
fn assert_refused(output: Output, message: &str) {
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("{message}\n"));
}

#[test]
fn zones_are_counted_by_region_and_memory_is_acquired_once() {
    let zones = std::fs::read_to_string(ZONES).expect("the example's data is in the package");
    let rows: Vec<_> = zones.lines().filter(|line| !line.starts_with('#')).collect();
    let asian = rows.iter().filter(|row| row.contains("\tAsia/")).count();
    for output in [run(&[Path::new(ZONES)]), run(&[])] {
        let text = output_of(output);
        assert!(text.contains(&format!(": {} rows in ", rows.len())), "{text}");
        assert!(text.contains(&format!("\n  {:<20} {asian:>6}\n", "Asia")), "{text}");
        assert!(text.contains("\narena: ") && text.contains("  1 closed "), "{text}");
        assert!(text.contains("the other 99 together 0 times"), "{text}");
        assert!(text.contains("\n  0 calls of Rust's allocator a request\nthe same"), "{text}");
    }
}

#[test]
fn other_files_are_counted_by_their_first_field() {
    let rows = "# a comment\r\n\r\nb,1,x\r\na,2,y\r\nb,3\n";
    let (output, path) = run_on("good.csv", rows.as_bytes());
    let text = output_of(output);
    let groups =
        format!("{path}: 3 rows in 2 groups\n  {:<20} {:>6}\n  {:<20} {:>6}\n", "b", 2, "a", 1);
    assert!(text.starts_with(&groups), "{text}");
    let (output, path) = run_on("tabs.txt", b"a, b\tc\na, b\td");
    assert!(output_of(output).starts_with(&format!("{path}: 2 rows in 1 groups\n")));
}

#[test]
fn missing_file_is_named() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no such file");
    let output = run(&[&path]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.starts_with(&format!("quickstart: cannot read {}: ", path.display())));
}

#[test]
fn line_that_is_not_utf_8_is_named() {
    let (output, path) = run_on("latin1.csv", b"# x\na,b\nc,\xE4\nd\n");
    assert_refused(output, &format!("{path}:3: the line is not valid UTF-8"));
}

#[test]
fn ragged_line_is_named() {
    let (output, path) = run_on("ragged.csv", b"a,b,c\na,b\n# x\na,b,c,d\n");
    assert_refused(output, &format!("{path}:4: the row has 4 fields, expected are 2 to 3"));
    let (output, path) = run_on("pairs.csv", b"a,b\na\n");
    assert_refused(output, &format!("{path}:2: the row has 1 fields, expected are 2 to 2"));
    let (output, path) = run_on("ragged.tab", b"AD\t+1+1\tEurope/Andorra\nAD\t+1+1\n");
    assert_refused(output, &format!("{path}:2: the row has 2 fields, expected are 3 to 4"));
}

#[test]
fn file_without_rows_is_refused() {
    for (name, bytes) in [("empty.csv", &b""[..]), ("comments.csv", b"# nothing\n\n")] {
        let (output, path) = run_on(name, bytes);
        assert_refused(output, &format!("{path}:1: the file has no rows"));
    }
}

#[test]
fn too_many_arguments_give_the_usage() {
    let output = run(&[Path::new(ZONES), Path::new(ZONES)]);
    assert_refused(output, "usage: quickstart [FILE]");
}
