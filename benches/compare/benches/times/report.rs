// SPDX-License-Identifier: Apache-2.0
//! The tables of times, for the terminal and for the pages, which have them between markers.
//!
//! A cell is a median and half the distance between the quartiles. Where a crate has several settings,
//! its row has the fastest of them for each column.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use compare::page::compilers;
use compare::turns::{Outcome, Quartiles, Role, Timed};

/// A row of a table: its label, and the cases of which it has the fastest.
pub struct Row {
    pub label: &'static str,
    names: &'static [&'static str],
}

const fn row(label: &'static str, names: &'static [&'static str]) -> Row {
    Row { label, names }
}

/// A table of times.
pub struct Table {
    pub title: &'static str,
    /// The file of its chart, if it has one, and the labels of the rows that are drawn.
    pub chart: Option<(&'static str, &'static [&'static str])>,
    /// Groups and their labels. Where a group lacks a row, there is a dash.
    pub columns: &'static [(&'static str, &'static str)],
    pub rows: &'static [Row],
}

const BUMPALO: Row = row("bumpalo, best setting", &["bumpalo", "bumpalo, align 8"]);
const BUMP_SCOPE: Row = row(
    "bump-scope, best setting",
    &["bump-scope up", "bump-scope up, align 8", "bump-scope down", "bump-scope down, align 8"],
);
const ARENA_ROWS: &[Row] = &[
    row("aegis-memory", &["aegis-memory"]),
    BUMPALO,
    BUMP_SCOPE,
    row("aegis-memory 0.3", &["aegis-memory 0.3"]),
    row("mimalloc", &["mimalloc"]),
    row("malloc", &["malloc"]),
];

/// Every table of the pages.
pub const TABLES: &[Table] = &[
    Table {
        title: "Arenas, by what is allocated",
        chart: None,
        columns: &[
            ("u64", "`u64`"),
            ("3 words", "3 words"),
            ("size", "run-time size"),
            ("layout", "run-time layout"),
            ("copy 16", "copy 16 bytes"),
            ("copy n", "copy a slice"),
            ("str 16", "copy a `str`"),
            ("zeroed", "1 KiB zeroed"),
        ],
        rows: ARENA_ROWS,
    },
    Table {
        title: "Arenas, by size",
        chart: Some((
            "arena.svg",
            &["aegis-memory", BUMPALO.label, BUMP_SCOPE.label, "mimalloc", "malloc"],
        )),
        columns: &[
            ("8 bytes", "8 B"),
            ("64 bytes", "64 B"),
            ("512 bytes", "512 B"),
            ("4 KiB", "4 KiB"),
        ],
        rows: ARENA_ROWS,
    },
    Table {
        title: "Arenas in C",
        chart: None,
        columns: &[
            ("u64 in C", "`uint64_t`"),
            ("3 words in C", "3 words"),
            ("size in C", "run-time size"),
            ("copy 16 in C", "copy 16 bytes"),
            ("zeroed in C", "1 KiB zeroed"),
        ],
        rows: &[
            row("aegis_arena", &["C aegis_arena"]),
            row("the smallest inline bump", &["C inline bump"]),
            row("obstack", &["C obstack"]),
            row("APR pool", &["C APR pool"]),
            row("talloc pool", &["C talloc pool"]),
        ],
    },
    Table {
        title: "Pools",
        chart: Some((
            "pools.svg",
            &[
                "Pool",
                "PoolCache",
                "LockFreePool",
                "LockedPool",
                "Vec<u32>",
                "malloc",
                "mimalloc",
                "ArrayQueue",
                "Mutex<Vec>",
            ],
        )),
        columns: &[
            ("1 at a time", "1 block out"),
            ("8 at a time", "8 blocks out"),
            ("48 at a time", "48 blocks out"),
            ("two threads, 8 at a time", "8 out, two threads"),
            ("handed over, 48 at a time", "handed to another thread"),
        ],
        rows: &[
            row("Pool", &["Pool"]),
            row("PoolCache", &["PoolCache"]),
            row("LockFreePool", &["LockFreePool"]),
            row("LockedPool", &["LockedPool"]),
            row("Vec<u32>", &["Vec<u32>"]),
            row("malloc", &["malloc"]),
            row("mimalloc", &["mimalloc"]),
            row("ArrayQueue", &["ArrayQueue"]),
            row("lockfree-object-pool", &["lockfree-object-pool"]),
            row("sharded-slab", &["sharded-slab"]),
            row("Mutex<Vec>", &["Mutex<Vec>"]),
        ],
    },
    Table {
        title: "Shared arenas, all threads on one",
        chart: Some((
            "shared.svg",
            &["LockFreeArena", "LockedArena", "Mutex<bumpalo>", "blink-alloc", "rarena"],
        )),
        columns: &[
            ("shared 16 B, 1 threads, direct", "16 B, one thread"),
            ("shared 16 B, 2 threads, direct", "16 B, two threads"),
            ("shared 256 B, 1 threads, direct", "256 B, one thread"),
            ("shared 256 B, 2 threads, direct", "256 B, two threads"),
        ],
        rows: &[
            row("LockFreeArena", &["LockFreeArena"]),
            row("LockedArena", &["LockedArena"]),
            row("Mutex<bumpalo>", &["Mutex<bumpalo>"]),
            row("blink-alloc", &["blink-alloc"]),
            row("rarena", &["rarena"]),
        ],
    },
    Table {
        title: "Shared arenas, a handle for each thread",
        chart: Some((
            "local.svg",
            &[
                "LocalArena",
                "Arena",
                "bumpalo-herd",
                "bump-scope pool",
                "blink-alloc local",
                "malloc",
                "mimalloc",
            ],
        )),
        columns: &[
            ("shared 16 B, 1 threads, by handle", "16 B, one thread"),
            ("shared 16 B, 2 threads, by handle", "16 B, two threads"),
            ("shared 256 B, 1 threads, by handle", "256 B, one thread"),
            ("shared 256 B, 2 threads, by handle", "256 B, two threads"),
        ],
        rows: &[
            row("LocalArena", &["LocalArena"]),
            row("Arena", &["Arena"]),
            row("bumpalo-herd", &["bumpalo-herd"]),
            row("bump-scope pool", &["bump-scope pool"]),
            row("blink-alloc local", &["blink-alloc local"]),
            row("malloc", &["malloc"]),
            row("mimalloc", &["mimalloc"]),
        ],
    },
    Table {
        title: "Buffers",
        chart: Some((
            "buffers.svg",
            &["Buffer, BufferPool", "BufferMut", "bytes", "Arc<[u8]>", "malloc", "mimalloc"],
        )),
        columns: &[
            ("clone and drop", "clone"),
            ("clone and drop, two threads", "clone, two threads"),
            ("clone and drop, shared, two threads", "clone, two threads on one"),
            ("slice and drop", "slice"),
            ("clone, split and drop", "split"),
            ("make and drop 64 B", "64 B on the heap"),
            ("make and drop 1024 B", "1 KiB on the heap"),
            ("get and return 4 KiB", "4 KiB from a pool"),
            ("get and return 4 KiB, two threads", "4 KiB from a pool, two threads"),
            ("get 4 KiB, write, freeze, return", "4 KiB, written and frozen"),
        ],
        rows: &[
            row("Buffer, BufferPool", &["Buffer", "BufferPool"]),
            row("BufferMut", &["BufferMut"]),
            row("bytes", &["bytes", "BytesMut"]),
            row("Arc<[u8]>", &["Arc<[u8]>"]),
            row("malloc", &["malloc"]),
            row("mimalloc", &["mimalloc"]),
        ],
    },
    Table {
        title: "A page of a cache that is resident: pinned, a byte of it read, unpinned",
        chart: None,
        columns: &[
            ("page hit", "1,024 pages in random order"),
            ("page hit, two threads", "two threads, each with half of them"),
            ("page hit, one page, two threads", "two threads, one page"),
        ],
        rows: &[
            row("PageCache", &["PageCache"]),
            row("quick_cache", &["quick_cache"]),
            row("Mutex<LruCache>", &["Mutex<LruCache>"]),
            row("moka", &["moka"]),
            row("clone of an Arc", &["Arc<page>"]),
        ],
    },
    Table {
        title: "Collections",
        chart: None,
        columns: &[
            ("map grown", "insert into a table that grows"),
            ("map sized", "insert into a table made large enough"),
            ("map found", "find in a table"),
            ("Vec push", "push to a vector"),
            ("text push", "push to a string"),
            ("tree", "a node of a tree"),
            ("JSON", "a byte of JSON"),
        ],
        rows: &[
            row("aegis-memory", &["aegis-memory"]),
            row("bumpalo", &["bumpalo"]),
            row("bump-scope", &["bump-scope up", "bump-scope down"]),
            row("mimalloc", &["mimalloc"]),
            row("standard library", &["std"]),
        ],
    },
];

/// The rows of the README's table: what is done, and the group and the case that show it.
const SUMMARY: &[(&str, &str, &str)] = &[
    ("allocate a `u64` from an `Arena`", "u64", "aegis-memory"),
    ("allocate 64 bytes", "64 bytes", "aegis-memory"),
    ("copy 16 bytes into it", "copy 16", "aegis-memory"),
    ("1 KiB zeroed", "zeroed", "aegis-memory"),
    ("16 bytes of a `LocalArena`, two threads", "shared 16 B, 2 threads, by handle", "LocalArena"),
    (
        "16 bytes of a `LockFreeArena`, two threads",
        "shared 16 B, 2 threads, direct",
        "LockFreeArena",
    ),
    ("take a block of a `Pool` and give it back", "48 at a time", "Pool"),
    ("the same with a `PoolCache`, two threads", "two threads, 8 at a time", "PoolCache"),
    ("a `PoolCache`'s block, freed by another thread", "handed over, 48 at a time", "PoolCache"),
    ("clone a `Buffer` and drop it", "clone and drop", "Buffer"),
    ("the same, two threads on one `Buffer`", "clone and drop, shared, two threads", "Buffer"),
    (
        "4 KiB from a `BufferPool` and back, two threads",
        "get and return 4 KiB, two threads",
        "BufferPool",
    ),
    ("pin a page of a `PageCache`, read a byte, unpin", "page hit", "PageCache"),
    ("the same, two threads", "page hit, two threads", "PageCache"),
    ("parse a byte of JSON into an arena", "JSON", "aegis-memory"),
];

impl Row {
    /// Its case in a group: of several the fastest.
    pub fn case<'a>(&self, group: &'a Outcome) -> Option<&'a Timed> {
        let cases = self.names.iter().filter_map(|name| group.case(name));
        cases.min_by(|a, b| a.time().median.total_cmp(&b.time().median))
    }
}

/// The group with that title.
pub fn group<'a>(outcomes: &'a [Outcome], title: &str) -> &'a Outcome {
    let group = outcomes.iter().find(|outcome| outcome.title == title);
    group.unwrap_or_else(|| panic!("no times of {title}"))
}

/// As many digits as a time is known by.
fn digits(ns: f64) -> usize {
    match ns {
        ns if ns < 9.995 => 2,
        ns if ns < 99.95 => 1,
        _ => 0,
    }
}

fn cell(time: Quartiles) -> String {
    let Quartiles { low, median, high } = time;
    let digits = digits(median);
    format!("{median:.digits$} ± {:.digits$}", (high - low) / 2.0)
}

/// A name as a page has it: types with parameters are code, because they look like tags otherwise.
fn name(name: &str) -> String {
    if name.contains('<') {
        format!("`{name}`")
    } else {
        name.to_owned()
    }
}

/// A table in Markdown, with its title above.
fn markdown(table: &Table, outcomes: &[Outcome]) -> String {
    let mut text = format!("**{}**, ns:\n\n|", table.title);
    // A group is a row of the page, so that a page is not too wide.
    table.rows.iter().for_each(|row| write!(text, " | {}", name(row.label)).expect("a String"));
    text += " |\n| ---";
    table.rows.iter().for_each(|_| text += " | ---");
    text += " |\n";
    for &(title, label) in table.columns {
        let group = group(outcomes, title);
        write!(text, "| {label}").expect("a String");
        for row in table.rows {
            match row.case(group) {
                Some(case) if case.role == Role::Ours => {
                    write!(text, " | **{}**", cell(case.time())).expect("a String");
                }
                Some(case) => write!(text, " | {}", cell(case.time())).expect("a String"),
                None => text += " | ",
            }
        }
        text += " |\n";
    }
    text
}

/// The README's table.
fn summary(outcomes: &[Outcome]) -> String {
    let mut text = String::from("| ns | this library | the fastest rival | ratio |\n");
    text += "| --- | --- | --- | --- |\n";
    for &(label, title, case) in SUMMARY {
        let group = group(outcomes, title);
        let ours = group.case(case).unwrap_or_else(|| panic!("no time of {case} in {title}"));
        let best = group.best_rival().expect("each group has a rival");
        let Quartiles { low, median, high } = ours.ratio(best);
        writeln!(
            text,
            "| {label} | {} | {}: {} | {median:.2} ({low:.2} to {high:.2}) |",
            cell(ours.time()),
            name(&best.name),
            cell(best.time())
        )
        .expect("a String");
    }
    text
}

/// The first value of that name in a file of Linux.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The versions of the rivals, as cargo has chosen them.
fn versions() -> String {
    const RIVALS: [&str; 14] = [
        "blink-alloc",
        "bump-scope",
        "bumpalo",
        "bumpalo-herd",
        "bytes",
        "crossbeam-queue",
        "hashbrown",
        "libmimalloc-sys",
        "lockfree-object-pool",
        "lru",
        "moka",
        "quick_cache",
        "rarena-allocator",
        "sharded-slab",
    ];
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = fs::read_to_string(lock).expect("cargo has made it");
    let version = |name: &&str| {
        // The newest: other crates may use an older one.
        let after = lock.split(&format!("name = \"{name}\"\nversion = \"")).skip(1).last()?;
        Some(format!("{name} {}", after.split('"').next()?))
    };
    RIVALS.iter().filter_map(version).collect::<Vec<_>>().join(", ")
}

/// What the times were measured on and with.
fn machine() -> String {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let name = field("/proc/cpuinfo", "model name").unwrap_or_else(|| String::from("unknown"));
    format!("{processors} processors \"{name}\" ({})", compilers())
}

/// Breaks a paragraph into lines.
pub fn wrapped(text: &str) -> String {
    let (mut wrapped, mut width) = (String::new(), 0);
    for word in text.split_whitespace() {
        if width > 0 && width + word.len() >= 105 {
            wrapped.push('\n');
            width = 0;
        } else if width > 0 {
            wrapped.push(' ');
        }
        wrapped += word;
        width += word.len() + 1;
    }
    wrapped + "\n"
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the charts are.
pub fn charts() -> PathBuf {
    root().join("docs/charts")
}

/// The sentence about what was measured.
pub fn intro(outcomes: &[Outcome]) -> String {
    let turns = outcomes.iter().flat_map(|group| &group.cases).map(|case| case.ns.len());
    let (least, most) = (turns.clone().min().unwrap_or(0), turns.max().unwrap_or(0));
    let turns = if least == most { format!("{most}") } else { format!("{least} to {most}") };
    format!(
        "Measured in {turns} turns by `benches/compare/run` on {}: medians, and half the distance \
         between the quartiles.",
        machine()
    )
}

/// Writes the times into the pages, between the lines `<!-- times: begin -->` and
/// `<!-- times: end -->`.
pub fn write_pages(outcomes: &[Outcome]) {
    let readme = format!(
        "{}\n{}",
        wrapped(&format!(
            "{} A ratio is of the two times of each turn, with its quartiles; below 1 this library \
             is faster.",
            intro(outcomes)
        )),
        summary(outcomes)
    );
    write_between("README.md", "times", &readme);
    let rivals = format!("The rivals: {}; glibc's malloc.", versions());
    let mut page = wrapped(&format!("{} {rivals}", intro(outcomes)));
    TABLES.iter().for_each(|table| page += &format!("\n{}", markdown(table, outcomes)));
    write_between("docs/choosing.md", "times", &page);
}

/// Writes what stands in a page between two lines with that mark.
pub fn write_between(page: &str, mark: &str, between: &str) {
    let [begin, end] = ["begin", "end"].map(|what| format!("<!-- {mark}: {what} -->\n"));
    let path = root().join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let parts = text.split_once(&begin);
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.unwrap_or_else(|| panic!("{page} has no place for {mark}"));
    let text = format!("{before}{begin}\n{between}\n{end}{after}");
    fs::write(path, text).unwrap_or_else(|error| panic!("{page}: {error}"));
}
