// SPDX-License-Identifier: Apache-2.0
//! A page cache, a sort, a hash aggregation and a query share 64 MiB. Together they want much more.
//! None of their requests is refused, because the budget arbitrates:
//!
//! 1. The cache fills all the memory, since nobody else wants it.
//! 2. The aggregation and the sort grow. For each of their charges the budget asks the reclaimer
//!    with the lowest priority, which is the cache's. The cache drops its oldest pages.
//! 3. The cache has only what is guaranteed to it. So the next reclaimer is asked, and the
//!    aggregation writes its table to a file (it spills).
//! 4. A query wants more than is left, and nobody can give any more back. It waits. The aggregation
//!    goes on and waits behind the query, although the little that it wants would fit: otherwise
//!    small requests would starve a large one.
//! 5. The sort ends. The thread that frees its memory makes the charge for the query and wakes it,
//!    and then the aggregation.
//! 6. The aggregation merges what it has spilled, and the cache grows again.
//!
//! ```text
//! cargo run --release --example arbitration [-- --plot FILE]    (the timeline as SVG)
//! ```

#[path = "support/operators.rs"]
mod operators;
mod support;
#[path = "support/timeline.rs"]
mod timeline;

use aegis_memory::budget::MemoryBudget;
use operators::{random, sort, Aggregation, Group, PageCache, Row};
use operators::{PAGE_BYTES, PATIENCE, RUN_ROWS};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::mem::size_of;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use support::{exit_code, Failure};
use timeline::Timeline;

const MIB: usize = 1 << 20;
const MEMORY: usize = 64 * MIB;
/// The cache's reclaimer is asked first, because to drop a page costs less than to write a table.
const CACHE_PRIORITY: i32 = 0;
const AGGREGATION_PRIORITY: i32 = 10;
const CACHE_GUARANTEE: usize = 4 * MIB;
const SORT_RUNS: usize = 26;
/// The query's memory: a counter for each of so many values.
const COUNTERS: usize = 24 * MIB / 8;
/// The pages that the query reads.
const QUERY_PAGES: u64 = 160;
/// More pages than fit into the memory.
const ALL_PAGES: u64 = (MEMORY / PAGE_BYTES) as u64 + 100;
const GROUPS: u64 = 200_000;
const INPUT_ROWS: u64 = 600_000;

/// A row of the aggregation's input: a group of one row.
fn input(number: u64) -> Group {
    Group { key: random(number) % GROUPS, rows: 1, sum: number }
}

/// The database: what shares the memory, and the timeline of it.
struct Database {
    root: MemoryBudget,
    cache_budget: MemoryBudget,
    sort_budget: MemoryBudget,
    aggregation_budget: MemoryBudget,
    query_budget: MemoryBudget,
    cache: Arc<PageCache>,
    aggregation: Arc<Aggregation>,
    time: Timeline,
}

impl Database {
    fn new() -> Result<Self, Failure> {
        let root = MemoryBudget::new("database", MEMORY);
        // Each of them may have all the memory that the others leave.
        let [cache_budget, sort_budget, aggregation_budget, query_budget] =
            ["cache", "sort", "aggregation", "query"].map(|name| root.child(name, MEMORY));
        cache_budget.set_guaranteed(CACHE_GUARANTEE);
        let cache = PageCache::new(&cache_budget, CACHE_PRIORITY);
        let aggregation = Aggregation::new(&aggregation_budget, AGGREGATION_PRIORITY)?;
        let consumers = [&cache_budget, &sort_budget, &aggregation_budget, &query_budget];
        let time = Timeline::new(MEMORY, &consumers);
        Ok(Self {
            root,
            cache_budget,
            sort_budget,
            aggregation_budget,
            query_budget,
            cache,
            aggregation,
            time,
        })
    }

    /// Reads pages into the cache. If the memory is full, they replace the oldest ones.
    fn scan(&self, pages: Range<u64>) -> Result<(), Failure> {
        for number in pages {
            self.cache.read(number)?;
            if number % 128 == 0 {
                self.time.note("");
            }
        }
        Ok(())
    }

    /// The query: counts how often each value occurs in the words of some pages. It needs all of
    /// its memory at once, so it waits for its turn. Returns the number of
    /// words and their sum.
    fn query(&self) -> Result<(u64, u64), Failure> {
        let memory = self.query_budget.reserve_timeout(COUNTERS * size_of::<u64>(), PATIENCE);
        let memory = memory.map_err(Failure::Memory)?;
        self.time.note("the query has its turn");
        let (mut counters, mut sum) = (vec![0_u64; COUNTERS], 0_u64);
        for number in 0..QUERY_PAGES {
            for word in self.cache.read(number)?.chunks_exact(8) {
                let word = u64::from_le_bytes(word.try_into().expect("8 bytes"));
                counters[(word % COUNTERS as u64) as usize] += 1;
                sum = sum.wrapping_add(word);
            }
        }
        let words = counters.iter().sum();
        // The memory is freed first, and then uncharged.
        drop(counters);
        drop(memory);
        Ok((words, sum))
    }

    /// The second half of the aggregation's input. Its table was spilled, so it begins a new one.
    fn group_the_rest(&self) -> Result<(), Failure> {
        self.aggregation.add((INPUT_ROWS / 2..INPUT_ROWS).map(input))?;
        self.time.note("the other half is grouped");
        Ok(())
    }

    /// Sorts, and lets the query and the aggregation wait for the end of the sort.
    fn sort_while_others_wait(&self) -> Result<(), Failure> {
        thread::scope(|scope| {
            let (mut has_spilled, mut others) = (false, None);
            let after_run = |runs| {
                self.note_run(runs, &mut has_spilled);
                if runs == SORT_RUNS {
                    assert!(has_spilled, "the cache alone could not give enough");
                    let query = scope.spawn(|| self.query());
                    self.wait_for_queue(1, &query);
                    let rest = scope.spawn(|| self.group_the_rest());
                    self.wait_for_queue(2, &rest);
                    self.time.note("two requests wait");
                    println!("the sort has its memory, two requests wait:\n{}\n", self.root);
                    others = Some((query, rest));
                }
            };
            let mut checker = SortChecker::default();
            sort(&self.sort_budget, SORT_RUNS, after_run, |row| checker.check(row))?;
            assert_eq!(checker.seen.len(), SORT_RUNS * RUN_ROWS, "no row is missing");
            println!("sort: {} rows in order", checker.seen.len());
            let (query, rest) = others.expect("the sort has run");
            rest.join().expect("no panic")?;
            let (words, sum) = query.join().expect("no panic")?;
            assert_eq!(words, QUERY_PAGES * (PAGE_BYTES / 8) as u64);
            assert_eq!(sum, (0..words).map(random).fold(0, u64::wrapping_add));
            println!("query: {words} words counted after it has waited");
            Ok(())
        })
    }

    /// Notes how far the sort is, and checks who has given memory back for it. The aggregation is
    /// asked only when the cache has nothing more to give.
    fn note_run(&self, runs: usize, has_spilled: &mut bool) {
        let cache = self.cache_budget.used();
        assert!(cache > CACHE_GUARANTEE - 2 * PAGE_BYTES, "the guaranteed pages stay");
        let spills = self.aggregation_budget.used() == 0 && !*has_spilled;
        assert!(!spills || cache <= CACHE_GUARANTEE, "the cache was asked first");
        *has_spilled |= spills;
        self.time.note(&match runs {
            _ if spills => "the aggregation has spilled".to_string(),
            _ if runs % 8 == 0 && !*has_spilled => format!("the sort has {runs} runs"),
            _ => String::new(),
        });
    }

    /// Waits until so many requests stand in the queue, the last one from this thread. It cannot
    /// leave the queue before the calling thread frees memory.
    fn wait_for_queue<T>(&self, count: usize, of: &ScopedJoinHandle<'_, T>) {
        while self.root.stats().waiting_count < count {
            assert!(!of.is_finished(), "the request did not wait");
            thread::yield_now();
        }
    }

    /// Merges what was spilled, and compares the groups with those of another computation.
    fn merge_groups(&self) -> Result<(), Failure> {
        let mut expected: HashMap<u64, Group> = HashMap::new();
        for row in (0..INPUT_ROWS).map(input) {
            let group = expected.entry(row.key).or_insert(Group { key: row.key, rows: 0, sum: 0 });
            (group.rows, group.sum) = (group.rows + 1, group.sum + row.sum);
        }
        let count = expected.len();
        let written = self
            .aggregation
            .finish(|group| assert_eq!(expected.remove(&group.key), Some(*group)))?;
        assert!(expected.is_empty(), "{} groups are missing", expected.len());
        println!("aggregation: {count} groups of {INPUT_ROWS} rows, {written} bytes spilled");
        Ok(())
    }

    /// What holds at the end, when everything is freed.
    fn check_budgets(&self) {
        for budget in self.root.snapshot() {
            assert_eq!(budget.used_bytes, 0, "'{}' has all its memory back", budget.name);
            assert_eq!(budget.refused_count, 0, "'{}' has refused something", budget.name);
            assert_eq!((budget.waiting_count, budget.timeout_count), (0, 0), "'{}'", budget.name);
        }
        let root = self.root.stats();
        assert!(root.peak_bytes <= MEMORY);
        assert_eq!(root.wait_count, 2, "the query and the aggregation have waited");
        println!("nothing was refused, at most {} of {MEMORY} bytes were used", root.peak_bytes);
    }
}

/// Checks that the rows come in order, and that each comes once.
#[derive(Default)]
struct SortChecker {
    last: u64,
    seen: HashSet<u64>,
}

impl SortChecker {
    fn check(&mut self, row: &Row) {
        assert!(self.last <= row.key, "row {} comes too late", row.number);
        assert_eq!(row.key, random(row.number));
        assert!(row.number < (SORT_RUNS * RUN_ROWS) as u64, "there is no row {}", row.number);
        assert!(self.seen.insert(row.number), "row {} comes twice", row.number);
        self.last = row.key;
    }
}

fn run(plot: Option<&Path>) -> Result<(), Failure> {
    if let Some(path) = plot {
        // A file that cannot be written is found now, and not after all the work.
        File::create(path).map_err(Failure::io("create", path))?;
    }
    let database = Database::new()?;
    let time = &database.time;
    time.note("nothing runs");
    database.scan(0..ALL_PAGES)?;
    time.note("the cache is full");
    database.aggregation.add((0..INPUT_ROWS / 2).map(input))?;
    time.note("one half is grouped");
    println!("the cache has made room for the aggregation:\n{}\n", database.root);
    database.sort_while_others_wait()?;
    time.note("the sort and the query are over");
    database.merge_groups()?;
    time.note("the aggregation is over");
    database.scan(0..ALL_PAGES)?;
    time.note("the cache is full again");
    database.cache.clear();
    time.note("the end");
    println!("\nat the end:\n{}\n\nwho held what (a letter is 1 MiB):", database.root);
    time.print();
    database.check_budgets();
    match plot {
        Some(path) => time.draw(path).map_err(Failure::io("draw", path)),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match &arguments[..] {
        [] => exit_code("arbitration", run(None)),
        [option, file] if option == "--plot" => {
            exit_code("arbitration", run(Some(Path::new(file))))
        }
        _ => {
            eprintln!("usage: arbitration [--plot FILE]");
            ExitCode::from(2)
        }
    }
}
