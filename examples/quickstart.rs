// SPDX-License-Identifier: Apache-2.0
//! A loop that serves requests from one arena. Each request reads the rows of a delimited file into
//! records that live in the arena, counts them by groups, and frees everything with one reset. Then
//! the same work is done with `String` and `Vec`.
//!
//! ```text
//! cargo run --release --example quickstart [FILE]    (default: examples/data/zone1970.tab)
//! ```
//!
//! Fields are separated by tabs, or by commas if the first row has no tab; there is no quoting.
//! Lines that begin with '#' are comments. In a time zone table (*.tab) a row has 3 or 4 fields,
//! and zones are counted by region. In other files every row has as many fields as the first one;
//! if these are 3 or more, the last one may be absent. Their rows are counted by the first field.
//! `examples/c/quickstart.c` does the same from C.

use aegis_memory::arena::Arena;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::str::from_utf8;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

const DEFAULT_FILE: &str = "examples/data/zone1970.tab";
const REQUESTS: u32 = 100;
const GROUPS_SHOWN: usize = 12;

/// A row of the file, as a request keeps it. The text and the list are in the arena.
#[derive(Clone, Copy)]
struct Row<'a> {
    fields: &'a [&'a str],
}

/// A group of rows and how many there are.
struct Group<'a> {
    name: &'a str,
    count: usize,
}

/// One request: parses the file and counts its groups, the largest first. All of it lives in the
/// arena.
fn serve<'a>(arena: &'a Arena, input: &Input) -> Result<(&'a [Row<'a>], &'a [Group<'a>]), Fault> {
    let mut fault = None;
    let rows = arena.alloc_slice_from_iter(input.rows().map_while(|row| match row {
        Ok(row) => {
            let fields = row.map(|field| &*arena.alloc_str(field));
            Some(Row { fields: arena.alloc_slice_from_iter(fields) })
        }
        Err(found) => {
            fault = Some(found);
            None
        }
    }));
    if let Some(fault) = fault {
        return Err(fault);
    }

    let names = arena.alloc_slice_fill_with(rows.len(), |i| {
        input.group_of(rows[i].fields[input.group_column()])
    });
    names.sort_unstable();
    let firsts = (0..names.len()).filter(|&i| i == 0 || names[i] != names[i - 1]);
    let groups = arena.alloc_slice_from_iter(firsts.map(|i| {
        let count = names[i..].partition_point(|&name| name == names[i]);
        Group { name: names[i], count }
    }));
    groups.sort_unstable_by_key(|group| (usize::MAX - group.count, group.name));
    Ok((rows, groups))
}

/// The same with the standard collections. Returns the number of groups.
fn serve_from_heap(input: &Input) -> Result<usize, Fault> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for row in input.rows() {
        rows.push(row?.map(String::from).collect());
    }
    let mut names: Vec<String> = Vec::with_capacity(rows.len());
    for row in &rows {
        names.push(input.group_of(&row[input.group_column()]).to_string());
    }
    names.sort_unstable();
    let mut groups: Vec<(usize, String)> = Vec::new();
    for name in names {
        match groups.last_mut() {
            Some((count, last)) if *last == name => *count += 1,
            _ => groups.push((1, name)),
        }
    }
    groups.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(groups.len())
}

fn run(path: &str) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|e| format!("quickstart: cannot read {path}: {e}"))?;
    let input = Input::new(path, &bytes);
    let report = |fault: Fault| format!("{path}:{fault}");

    // The first request is printed; the others are measured.
    let mut arena = Arena::default();
    let (rows, groups) = serve(&arena, &input).map_err(report)?;
    print_result(path, rows, groups);
    let stats = arena.stats();
    println!("\n{}", arena.layout());
    println!(
        "{} bytes used, {} wasted, {} reserved in {} blocks",
        stats.used_bytes, stats.wasted_bytes, stats.reserved_bytes, stats.block_count
    );
    arena.reset();

    let (in_arena, arena_calls) = measure(|| {
        let served = serve(&arena, &input).map(drop);
        arena.reset();
        served.map_err(report)
    })?;
    let (on_heap, heap_calls) = measure(|| serve_from_heap(&input).map(drop).map_err(report))?;

    let others = REQUESTS - 1;
    println!("\n{REQUESTS} requests, each freed by one reset:");
    println!(
        "  the first went to the system for memory {} times, the other {others} together {} times",
        stats.acquired_count,
        arena.stats().acquired_count - stats.acquired_count
    );
    println!("  {arena_calls} calls of Rust's allocator a request");
    println!("the same with String and Vec:");
    let ratio = on_heap.as_secs_f64() / in_arena.as_secs_f64();
    println!(
        "  {heap_calls} calls of Rust's allocator a request; {ratio:.2} times the arena's time"
    );
    Ok(())
}

fn print_result(path: &str, rows: &[Row], groups: &[Group]) {
    println!("{path}: {} rows in {} groups", rows.len(), groups.len());
    for group in groups.iter().take(GROUPS_SHOWN) {
        println!("  {:<20} {:>6}", group.name, group.count);
    }
    if groups.len() > GROUPS_SHOWN {
        println!("  and {} more", groups.len() - GROUPS_SHOWN);
    }
}

/// Serves all requests except the first. Returns the time, and how often each request called the
/// allocator.
fn measure(mut serve: impl FnMut() -> Result<(), String>) -> Result<(Duration, usize), String> {
    let calls = ALLOCATOR.calls.load(Relaxed);
    let start = Instant::now();
    for _ in 1..REQUESTS {
        serve()?;
    }
    let calls = ALLOCATOR.calls.load(Relaxed) - calls;
    Ok((start.elapsed(), calls / (REQUESTS as usize - 1)))
}

/// The file, and what its first row says about the others.
struct Input<'f> {
    bytes: &'f [u8],
    is_zone_table: bool,
    delimiter: char,
    field_count: RangeInclusive<usize>,
}

/// What is wrong with a line.
struct Fault {
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

impl<'f> Input<'f> {
    fn new(path: &str, bytes: &'f [u8]) -> Self {
        let is_zone_table = path.ends_with(".tab");
        let mut input = Self { bytes, is_zone_table, delimiter: '\t', field_count: 3..=4 };
        let first = input.lines().find_map(|(_, line)| line.ok()).unwrap_or_default();
        if !first.contains('\t') {
            input.delimiter = ',';
        }
        if !is_zone_table {
            let most = first.split(input.delimiter).count();
            input.field_count = most - usize::from(most >= 3)..=most;
        }
        input
    }

    /// The lines that are not comments, with their numbers.
    fn lines(&self) -> impl Iterator<Item = (usize, Result<&'f str, Fault>)> {
        let numbered = (1..).zip(self.bytes.split(|&byte| byte == b'\n'));
        numbered.filter_map(|(number, line)| match from_utf8(line) {
            Ok(line) => {
                let line = line.strip_suffix('\r').unwrap_or(line);
                let counts = !line.is_empty() && !line.starts_with('#');
                counts.then_some((number, Ok(line)))
            }
            Err(_) => {
                let what = "the line is not valid UTF-8".to_string();
                Some((number, Err(Fault { line: number, what })))
            }
        })
    }

    /// The fields of each row. A file without rows gives one error.
    fn rows(&self) -> impl Iterator<Item = Result<impl Iterator<Item = &'f str>, Fault>> + '_ {
        let mut lines = self.lines().peekable();
        let none = lines.peek().is_none().then(|| {
            let what = "the file has no rows".to_string();
            Err(Fault { line: 1, what })
        });
        none.into_iter().chain(lines.map(|(number, line)| self.split(number, line?)))
    }

    fn split(&self, number: usize, line: &'f str) -> Result<impl Iterator<Item = &'f str>, Fault> {
        let fields = line.split(self.delimiter);
        let count = fields.clone().count();
        if self.field_count.contains(&count) {
            return Ok(fields);
        }
        let (least, most) = (self.field_count.start(), self.field_count.end());
        let what = format!("the row has {count} fields, expected are {least} to {most}");
        Err(Fault { line: number, what })
    }

    /// Rows are counted by their first field, time zones by their name.
    fn group_column(&self) -> usize {
        if self.is_zone_table {
            2
        } else {
            0
        }
    }

    /// The group that a field of that column names: the whole field, or the region of a time zone.
    fn group_of<'a>(&self, field: &'a str) -> &'a str {
        let region = field.split('/').next().unwrap_or_default();
        if self.is_zone_table {
            region
        } else {
            field
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(default_file);
    if arguments.next().is_some() {
        eprintln!("usage: quickstart [FILE]");
        return ExitCode::FAILURE;
    }
    match run(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The default file. If it is not in the working directory, it is taken from the package's
/// directory.
fn default_file() -> String {
    if std::path::Path::new(DEFAULT_FILE).exists() {
        return DEFAULT_FILE.to_string();
    }
    format!("{}/{DEFAULT_FILE}", env!("CARGO_MANIFEST_DIR"))
}

/// The system's allocator, which counts its calls here. The arena takes its blocks from elsewhere.
struct Counting {
    calls: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Counting = Counting { calls: AtomicUsize::new(0) };

// SAFETY: the system's allocator keeps the contract, and counting does not touch it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.calls.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.calls.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
