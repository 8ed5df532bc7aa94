// SPDX-License-Identifier: Apache-2.0
//! Runs five examples. `cargo test` builds the examples beside the tests.
//!
//! The quickstart gets good and bad input. Its output must be exact for good input, and bad input
//! must give one line of error and exit code 1. What the example `metrics` serves must be what
//! Prometheus' text format allows. The example `arbitration` checks its results itself; here its
//! bars and its drawing are checked. The examples `io_uring` and `tokio_read` check what they have
//! read; here it is checked that they did, and that the former says how.
#![cfg(feature = "std")]

#[path = "support/cargo.rs"]
mod cargo;
#[path = "support/runner.rs"]
mod runner;

use cargo::example;
use runner::command_for;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Output, Stdio};

const ZONES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/zone1970.tab");

fn run(arguments: &[&Path]) -> Output {
    command_for(&example("quickstart")).args(arguments).output().expect("the example starts")
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

/// Reads a text in the format of Prometheus: the value of each metric and label. Each metric must
/// have its help, its type and then its samples, in one place and without a sample twice.
#[track_caller]
fn samples_of(text: &str) -> BTreeMap<(String, String), f64> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let mut family = String::new();
    let mut lines = text.lines().peekable();
    assert!(text.ends_with('\n'), "the last line has no end");
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').expect("a help text").0.to_string();
            assert!(families.insert(family.clone()), "{family} is there twice");
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
            let (name, kind) = kind.and_then(|kind| kind.split_once(' ')).expect("a type");
            assert_eq!(name, family);
            assert!(matches!(kind, "gauge" | "counter"), "{kind}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
            assert!(lines.peek().is_some_and(|line| !line.starts_with('#')), "{family} is empty");
            continue;
        }
        let (name, rest) = line.split_once("{budget=\"").expect("a sample");
        assert_eq!(name, family, "the sample is in another place");
        let (label, value) = rest.rsplit_once("\"} ").expect("a value");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        // Further labels follow that of the budget. No value has a quotation mark that is bare.
        let mut labels = label.split("\",");
        let mut path = unescaped(labels.next().expect("a label"));
        for further in labels {
            path += " | ";
            path += &unescaped(further.split_once("=\"").expect("a label").1);
        }
        let earlier = samples.insert((name.to_string(), path), value);
        assert_eq!(earlier, None, "{line} is there twice");
    }
    samples
}

#[track_caller]
fn unescaped(label: &str) -> String {
    let (mut text, mut characters) = (String::new(), label.chars());
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some(escaped @ ('\\' | '"')) => escaped,
                other => panic!("{label}: an escaped {other:?}"),
            },
            '"' => panic!("{label}: a quotation mark"),
            plain => plain,
        });
    }
    text
}

/// Demands the samples that do not depend on the build.
#[track_caller]
fn assert_metrics(text: &str) {
    let samples = samples_of(text);
    let value = |name: &str, path: &str| {
        let name = format!("aegis_memory_budget_{name}_bytes");
        *samples.get(&(name, path.to_string())).unwrap_or_else(|| panic!("{path}: {text}"))
    };
    let report = r#"process/report "C:\now""#;
    let second = format!("{report}#2");
    assert_eq!((value("used", report), value("used", &second)), (1000.0, 2000.0));
    assert_eq!((value("peak", report), value("limit", &second)), (1000.0, 4096.0));
    assert_eq!(value("limit", "process/db/page cache"), f64::INFINITY);
    assert_eq!(value("used", "process/db/page cache"), f64::from(3 << 20));
    assert!(value("peak", "process/db/query") > 900_000.0);
    assert!(value("used", "process") >= f64::from(3 << 20) + 3000.0);
    let held = |rank_and_name: &str| {
        let label = format!("process | {rank_and_name}");
        samples[&("aegis_memory_budget_peak_consumer_bytes".to_string(), label)]
    };
    assert_eq!(held("1 | page cache"), f64::from(3 << 20));
    assert!(held("2 | query") > 700_000.0);
    assert_eq!(held(r#"3 | report "C:\now""#), 2000.0);
    let samples: BTreeMap<_, _> =
        samples.iter().filter(|((name, _), _)| !name.contains("consumer")).collect();
    let paths: BTreeSet<_> = samples.keys().map(|(_, path)| path).collect();
    let names: BTreeSet<_> = samples.keys().map(|(name, _)| name).collect();
    assert_eq!((paths.len(), names.len() * paths.len()), (6, samples.len()), "{text}");
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let output = command_for(&example("metrics")).output().expect("the example starts");
    assert_metrics(&output_of(output));
    let output = command_for(&example("metrics")).arg("x").output().expect("the example starts");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "usage: metrics [--serve]\n");
}

/// A program that is ended when the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn metrics_are_served_until_the_program_is_stopped() {
    let mut command = command_for(&example("metrics"));
    command.arg("--serve").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Running(command.spawn().expect("the example starts"));
    let mut line = String::new();
    let stdout = server.0.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("the example prints its address");
    let address = line.trim_end().strip_prefix("http://").expect("an address");
    let address = address.strip_suffix("/metrics").expect("a path");
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("the server answers");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        (head.to_string(), body.to_string())
    };
    for _ in 0..3 {
        let (head, body) = ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; "), "{head}");
        assert_metrics(&body);
        assert!(ask("GET / HTTP/1.1\r\n\r\n").0.starts_with("HTTP/1.1 404 "));
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n").0.starts_with("HTTP/1.1 405 "));
        // A client that asks nothing and goes.
        drop(TcpStream::connect(address).expect("the server listens"));
    }
}

/// The bars that the example `arbitration` has printed: for each event, how many MiB the cache, the
/// sort, the aggregation and the query held.
#[track_caller]
fn bars_of(text: &str) -> Vec<(&str, [usize; 4])> {
    let bars = text.lines().filter_map(|line| {
        let (event, bar) = line.strip_prefix("  ")?.strip_suffix('|')?.split_once('|')?;
        assert_eq!(bar.len(), 64, "{line}");
        assert!(bar.trim_end().bytes().all(|letter| b"CSAQ".contains(&letter)), "{line}");
        Some((event.trim_end(), ["C", "S", "A", "Q"].map(|letter| bar.matches(letter).count())))
    });
    bars.collect()
}

#[test]
fn operators_that_share_memory_get_what_they_need_in_turn() {
    let output = command_for(&example("arbitration")).output().expect("the example starts");
    let text = output_of(output);
    for line in [
        "sort: 851968 rows in order\n",
        "query: 1310720 words counted after it has waited\n",
        "aggregation: 190089 groups of 600000 rows, ",
        " 2 waiting, 2 waited, ",
        "nothing was refused, at most ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let bars = bars_of(&text);
    let at = |event: &str| {
        let found = bars.iter().find(|bar| bar.0 == event);
        found.unwrap_or_else(|| panic!("{event}: {text}")).1
    };
    assert_eq!(at("the cache is full"), [64, 0, 0, 0]);
    // The cache gives back first, and only down to what is guaranteed.
    let runs = [8, 16, 24].map(|runs| at(&format!("the sort has {runs} runs")));
    assert_eq!(runs, [[36, 16, 12, 0], [20, 32, 12, 0], [4, 48, 12, 0]]);
    assert_eq!(at("the aggregation has spilled"), [4, 50, 0, 0]);
    assert_eq!(at("two requests wait"), [4, 52, 0, 0]);
    let [_, sort, _, query] = at("the query has its turn");
    assert_eq!((sort, query), (0, 24));
    assert_eq!(at("the cache is full again"), [64, 0, 0, 0]);
    assert_eq!(bars.last(), Some(&("the end", [0; 4])));
}

#[test]
fn timeline_of_the_operators_is_drawn_as_svg() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("arbitration.svg");
    // The file of an earlier run, if there is one.
    _ = std::fs::remove_file(&path);
    let mut command = command_for(&example("arbitration"));
    output_of(command.arg("--plot").arg(&path).output().expect("the example starts"));
    let svg = std::fs::read_to_string(&path).expect("the drawing is there");
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    // An area for each consumer.
    assert_eq!(svg.matches("<polygon ").count(), 4, "{svg}");
    for text in ["cache", "sort", "aggregation", "query", "two requests wait", "the end"] {
        assert!(svg.contains(&format!("\n{text}\n</text>")), "{text}: {svg}");
    }
    let output = command_for(&example("arbitration")).arg("--plot").output();
    let output = output.expect("the example starts");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "usage: arbitration [--plot FILE]\n");
}

#[test]
fn drawing_that_cannot_be_written_is_named() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no such folder").join("x.svg");
    let output = command_for(&example("arbitration")).arg("--plot").arg(&path).output();
    let output = output.expect("the example starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.starts_with(&format!("arbitration: cannot create '{}'", path.display())),
        "{errors}"
    );
}

#[test]
fn file_is_read_into_registered_blocks_or_the_refusal_is_explained() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("io_uring.bin");
    // The last piece is shorter than a block.
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|n| (n / 7) as u8).collect();
    std::fs::write(&path, &bytes).expect("the folder for tests can be written");
    let text = output_of(command_for(&example("io_uring")).arg(&path).output().expect("it starts"));
    let registered = text.contains("ring      32 blocks of 64 KiB are registered\n");
    let refused = text.contains("no ring   ") && text.contains("\nfallback  one read(2)");
    assert!(registered != refused, "{text}");
    assert!(text.contains(&format!("read      {} bytes in 46 pieces, verified\n", bytes.len())));
    assert!(text.ends_with("pool      0 of 32 blocks are out\n"), "{text}");
}

#[test]
fn every_count_is_in_the_file_when_the_page_cache_is_closed() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page_cache.bin");
    _ = std::fs::remove_file(&path);
    for counts in ["10000", "20000"] {
        let output = command_for(&example("page_cache")).arg(&path).output().expect("it starts");
        let text = output_of(output);
        let end = format!("{counts} counts are in {}\n", path.display());
        assert!(text.starts_with("page cache: 256 frames") && text.ends_with(&end), "{text}");
    }
}

#[cfg(feature = "bytes")]
#[test]
fn sockets_are_read_into_fewer_pages_than_there_are_connections() {
    let output = command_for(&example("tokio_read")).arg("12").output().expect("it starts");
    let text = output_of(output);
    assert!(text.contains(" bytes in lines on 12 connections, verified\n"), "{text}");
    assert!(text.ends_with("pages     8 of 4096 bytes, 0 of them out\n"), "{text}");
}
