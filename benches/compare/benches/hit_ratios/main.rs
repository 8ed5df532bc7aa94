// SPDX-License-Identifier: Apache-2.0
//! Hit ratios of eviction policies on the same traces, in percent, as a Markdown table.
//!
//! Usage: `cargo bench --bench hit_ratios [-- [--check] [--capacity PAGES] [ROW]]`
//!
//! - `--capacity`: measures caches of this size only.
//! - ROW: replays only the traces whose name contains it.
//! - `--check`: ends with 1 if ours is more than one point behind the best of LRU, ARC, S3-FIFO and
//!   `quick_cache` on some trace.
//!
//! Each trace has 60 accesses for each page of the capacity, of which the first 20 are not counted. For
//! a small capacity it is replayed several times with other seeds, and the ratios are averaged. So a
//! row differs by about 0.3 from what other seeds would give. Lengths in the names of rows are in units
//! of the capacity.

mod lists;
mod ours;
mod rivals;
mod traces;

use std::env;
use std::process::exit;

use traces::{Shape, Trace};

/// A cache of pages, without the pages.
pub trait Policy {
    /// Reads a page, and says whether it was in the cache. It is in the cache then.
    fn access(&mut self, page: u64) -> bool;
}

struct Column {
    name: &'static str,
    make: fn(usize) -> Box<dyn Policy>,
    /// Whether ours is compared with it.
    is_rival: bool,
}

const COLUMNS: [Column; 8] = [
    Column { name: "LRU", make: |pages| Box::new(rivals::Lru::new(pages)), is_rival: true },
    Column { name: "CLOCK", make: |pages| Box::new(rivals::Clock::new(pages)), is_rival: false },
    Column { name: "2Q", make: |pages| Box::new(rivals::TwoQ::new(pages)), is_rival: false },
    Column { name: "ARC", make: |pages| Box::new(rivals::Arc::new(pages)), is_rival: true },
    Column { name: "S3-FIFO", make: |pages| Box::new(rivals::S3Fifo::new(pages)), is_rival: true },
    Column { name: "SIEVE", make: |pages| Box::new(rivals::Sieve::new(pages)), is_rival: false },
    Column {
        name: "quick_cache",
        make: |pages| Box::new(rivals::QuickCache::new(pages)),
        is_rival: true,
    },
    Column { name: OURS, make: |pages| Box::new(ours::Ours::new(pages)), is_rival: false },
];
const OURS: &str = "ours";

const CAPACITIES: [usize; 2] = [1000, 10_000];
const WARM_UP: usize = 20;
const COUNTED: usize = 40;
/// The most that ours may be behind, in points.
const MOST_BEHIND: f64 = 1.0;

fn replay(column: &Column, shape: Shape, capacity: usize, seed: u64) -> f64 {
    let mut policy = (column.make)(capacity);
    let mut trace = Trace::new(shape, capacity, seed);
    for _ in 0..WARM_UP * capacity {
        policy.access(trace.next());
    }
    let count = COUNTED * capacity;
    let hits = (0..count).filter(|_| policy.access(trace.next())).count();
    hits as f64 * 100.0 / count as f64
}

/// The hit ratios of a row, one for each column.
fn ratios(shape: Shape, capacity: usize, row: u64) -> Vec<f64> {
    let repeats = (10_000 / capacity).clamp(1, 100) as u64;
    let mean = |column| {
        let seeds = (0..repeats).map(|turn| row + 1000 * turn);
        seeds.map(|seed| replay(column, shape, capacity, seed)).sum::<f64>() / repeats as f64
    };
    COLUMNS.iter().map(mean).collect()
}

/// By how many points ours is behind the best rival.
fn behind(ratios: &[f64]) -> f64 {
    let (mut best, mut ours) = (0.0, 0.0);
    for (column, &ratio) in COLUMNS.iter().zip(ratios) {
        if column.is_rival {
            best = f64::max(best, ratio);
        } else if column.name == OURS {
            ours = ratio;
        }
    }
    best - ours
}

fn print_table(capacity: usize, wanted: &str) -> f64 {
    print!("\n| {:<50} |", format!("{capacity} pages"));
    COLUMNS.iter().for_each(|column| print!(" {:>7} |", column.name));
    print!("\n| {:-<50} |", "");
    COLUMNS.iter().for_each(|column| print!(" {:->1$}: |", "", column.name.len().max(7) - 1));
    println!();
    let mut most = f64::MIN;
    for (row, (name, shape)) in (1..).zip(traces::all()) {
        if !name.contains(wanted) {
            continue;
        }
        let ratios = ratios(shape, capacity, row);
        print!("| {name:<50} |");
        for (column, ratio) in COLUMNS.iter().zip(&ratios) {
            print!(" {:>1$.2$} |", ratio, column.name.len().max(7), 1);
        }
        println!();
        most = most.max(behind(&ratios));
    }
    println!("\nmost points behind LRU, ARC, S3-FIFO and quick_cache: {most:.2}");
    most
}

fn main() {
    let mut capacities = CAPACITIES.to_vec();
    let mut wanted = String::new();
    let mut is_check = false;
    let mut options = env::args().skip(1);
    while let Some(option) = options.next() {
        match option.as_str() {
            "--bench" => {}
            "--check" => is_check = true,
            "--capacity" => {
                let pages = options.next().and_then(|pages| pages.parse().ok());
                capacities = vec![pages.filter(|&pages| pages >= 16).expect("16 pages or more")];
            }
            _ => wanted = option,
        }
    }
    let most = capacities.iter().map(|&pages| print_table(pages, &wanted)).fold(f64::MIN, f64::max);
    if is_check && most > MOST_BEHIND {
        exit(1);
    }
}
