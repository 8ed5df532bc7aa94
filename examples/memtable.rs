// SPDX-License-Identifier: Apache-2.0
//! A memtable, the write buffer of a log-structured store, in a `LockFreeArena`.
//!
//! Several threads insert rows at the same time into a concurrent skip list. Its nodes, keys and
//! values live in one arena, and reading threads scan the list meanwhile. When the memory budget
//! refuses the next block, the table is frozen. It is scanned in order into a file, checked against
//! a `BTreeMap`, and freed at once; the next table uses its memory again. No single node is ever
//! freed, so the list needs no garbage collection: as long as the arena lives, every node is there.
//!
//! `cargo run --release --example memtable [FILE [DELIMITER]]` takes the rows of a delimited file,
//! with their first field and row number as keys. Without a file it generates rows in the shape of
//! TPC-H's `lineitem`.

use aegis_memory::arena::{LocalArena, LockFreeArena};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::AllocError;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::Mutex;
use std::thread;

const WRITERS: usize = 3;
const READERS: usize = 2;
const LIMIT_BYTES: usize = 8 << 20;
const ROWS: u64 = 150_000;
const MAX_HEIGHT: usize = 16;

/// A row: its key, and the line it came from.
type Row = (Vec<u8>, Vec<u8>);

/// A node of the list. Everything in it borrows the arena.
struct Node<'a> {
    key: &'a [u8],
    value: &'a [u8],
    /// The next node on each level that this node is on.
    next: &'a [AtomicPtr<Node<'a>>],
}

/// A skip list for inserting only (W. Pugh, 1990). Because nothing is removed, its concurrent form
/// needs only compare-and-swap. Level 0 holds all nodes in order; the higher levels are shortcuts.
struct SkipList<'a> {
    heads: &'a [AtomicPtr<Node<'a>>],
}

impl<'a> SkipList<'a> {
    fn new(arena: &'a LockFreeArena) -> Result<Self, AllocError> {
        let heads = arena.try_alloc_slice_fill_with(MAX_HEIGHT, |_| AtomicPtr::default())?;
        Ok(Self { heads })
    }

    /// The node that a link leads to.
    fn follow(link: &AtomicPtr<Node<'a>>) -> Option<&'a Node<'a>> {
        // SAFETY: links are null or lead to nodes that live as long as the arena is borrowed. They
        // were published with Release after they were written; this Acquire sees that.
        unsafe { link.load(Ordering::Acquire).as_ref() }
    }

    /// The links on each level behind which a key belongs.
    fn find(&self, key: &[u8]) -> [&'a [AtomicPtr<Node<'a>>]; MAX_HEIGHT] {
        let mut places = [self.heads; MAX_HEIGHT];
        let mut links = self.heads;
        for level in (0..MAX_HEIGHT).rev() {
            while let Some(node) = Self::follow(&links[level]).filter(|node| node.key < key) {
                links = node.next;
            }
            places[level] = links;
        }
        places
    }

    /// Copies a row into the arena and inserts it. If the key is there already, it keeps its value.
    fn insert(&self, arena: &LocalArena<'a>, key: &[u8], value: &[u8]) -> Result<(), AllocError> {
        let height = height_of(key);
        let node: &'a Node<'a> = arena.try_alloc_value(Node {
            key: arena.try_alloc_slice_copy(key)?,
            value: arena.try_alloc_slice_copy(value)?,
            next: arena.try_alloc_slice_fill_with(height, |_| AtomicPtr::default())?,
        })?;
        for level in 0..height {
            loop {
                let link = &self.find(key)[level][level];
                let behind = link.load(Ordering::Acquire);
                if level == 0 && Self::follow(link).is_some_and(|found| found.key == key) {
                    return Ok(());
                }
                // Since `find` another thread may have put a node here.
                // SAFETY: as in `follow`.
                if unsafe { behind.as_ref() }.is_some_and(|found| found.key < key) {
                    continue;
                }
                node.next[level].store(behind, Ordering::Relaxed);
                let fresh = (node as *const Node<'a>).cast_mut();
                // Release publishes the node to `follow`.
                let order = (Ordering::Release, Ordering::Relaxed);
                if link.compare_exchange(behind, fresh, order.0, order.1).is_ok() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The rows in the order of their keys.
    fn iter(&self) -> impl Iterator<Item = &'a Node<'a>> {
        std::iter::successors(Self::follow(&self.heads[0]), |node| Self::follow(&node.next[0]))
    }
}

/// The height of a key's node. Each level has a quarter of the nodes of the level below.
fn height_of(key: &[u8]) -> usize {
    let mut hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^= hash >> 29;
    (1 + hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).leading_zeros() as usize / 2).min(MAX_HEIGHT)
}

/// Scans the list again and again and counts the rows that it sees.
fn scan_until(done: &AtomicBool, list: &SkipList<'_>, seen: &AtomicUsize) {
    while !done.load(Ordering::Relaxed) {
        let mut last: &[u8] = &[];
        for node in list.iter() {
            assert!(last < node.key, "a scan is in order at any time");
            assert!(!node.value.is_empty(), "a node is seen complete");
            last = node.key;
            seen.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Several threads take rows from number `next` on until the budget refuses one. Returns the
/// numbers of the rows that were inserted and of those that were refused, and how many rows the
/// reading threads have seen.
fn fill<'a>(
    arena: &'a LockFreeArena,
    list: &SkipList<'a>,
    rows: &[Row],
    pending: Vec<usize>,
    next: &AtomicUsize,
) -> (Vec<usize>, Vec<usize>, usize) {
    let (done, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (inserted, pending) = (Mutex::new(Vec::new()), Mutex::new(pending));
    let refused = Mutex::new(Vec::new());
    thread::scope(|threads| {
        for _ in 0..READERS {
            threads.spawn(|| scan_until(&done, list, &seen));
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                threads.spawn(|| {
                    let local = arena.local();
                    let mut mine = Vec::new();
                    while !done.load(Ordering::Relaxed) {
                        let waiting = pending.lock().expect("not poisoned").pop();
                        let number =
                            waiting.unwrap_or_else(|| next.fetch_add(1, Ordering::Relaxed));
                        let Some((key, value)) = rows.get(number) else { break };
                        if list.insert(&local, key, value).is_err() {
                            // The table is full. This row goes into the next table, and all writing
                            // threads stop.
                            refused.lock().expect("not poisoned").push(number);
                            done.store(true, Ordering::Relaxed);
                        } else {
                            mine.push(number);
                        }
                    }
                    inserted.lock().expect("not poisoned").extend(mine);
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer does not panic");
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut left = refused.into_inner().expect("not poisoned");
    left.extend(pending.into_inner().expect("not poisoned"));
    (inserted.into_inner().expect("not poisoned"), left, seen.into_inner())
}

/// Writes a frozen table into a file, reads it back, and compares it with a `BTreeMap` of its rows.
fn flush(list: &SkipList<'_>, rows: &[Row], inserted: &[usize]) -> Result<u64, Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("aegis-memtable-{}.sst", std::process::id()));
    let mut file = BufWriter::new(File::create(&path)?);
    for node in list.iter() {
        file.write_all(node.value)?;
        file.write_all(b"\n")?;
    }
    file.into_inner()?.sync_all()?;
    let expected: BTreeMap<&[u8], &[u8]> =
        inserted.iter().map(|&number| (&rows[number].0[..], &rows[number].1[..])).collect();
    let mut lines = BufReader::new(File::open(&path)?).split(b'\n');
    for (key, value) in &expected {
        let line = lines.next().ok_or("the file is too short")??;
        assert_eq!(line, *value, "the row of key {:?}", String::from_utf8_lossy(key));
    }
    assert!(lines.next().is_none(), "the file holds nothing else");
    let bytes = std::fs::metadata(&path)?.len();
    std::fs::remove_file(&path)?;
    Ok(bytes)
}

/// Rows in the shape of TPC-H's `lineitem`, the same on every machine. Their keys are order and
/// line.
fn generated() -> Vec<Row> {
    let mut state = 1_u64;
    let mut random = move |bound: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    };
    const WORDS: [&str; 8] =
        ["carefully", "final", "deposits", "sleep", "quickly", "ironic", "packages", "above"];
    const MODES: [&str; 4] = ["TRUCK", "MAIL", "REG AIR", "SHIP"];
    (0..ROWS)
        .map(|row| {
            // Orders do not arrive in the order of their numbers, as with several clients.
            let order = row / 4 * 7919 % (ROWS * 4);
            let comment: Vec<_> = (0..3 + random(4)).map(|_| WORDS[random(8) as usize]).collect();
            let line = format!(
                "{order}|{}|{}|{}|{}|{}.{:02}|0.0{}|{}|19{:02}-{:02}-{:02}|{}|{}|",
                random(200_000),
                random(10_000),
                row % 4 + 1,
                1 + random(50),
                900 + random(100_000),
                random(100),
                random(10),
                if random(2) == 0 { "A|F" } else { "N|O" },
                92 + random(7),
                1 + random(12),
                1 + random(28),
                MODES[random(4) as usize],
                comment.join(" "),
            );
            (format!("{order:010}:{}", row % 4 + 1).into_bytes(), line.into_bytes())
        })
        .collect()
}

/// The lines of a file. Their keys are their first field and row number.
fn read(path: &str, delimiter: u8) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for (number, line) in BufReader::new(File::open(path)?).split(b'\n').enumerate() {
        let line = line?;
        let field = line.split(|&byte| byte == delimiter).next().unwrap_or_default();
        let key = [field, format!(":{number:010}").as_bytes()].concat();
        if !line.is_empty() {
            rows.push((key, line));
        }
    }
    Ok(rows)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows = match arguments.next() {
        Some(path) => read(&path, arguments.next().map_or(b'|', |text| text.as_bytes()[0]))?,
        None => generated(),
    };
    let budget = MemoryBudget::new("memtable", LIMIT_BYTES);
    let mut arena = LockFreeArena::builder().max_block(1 << 20).budget(&budget).build()?;
    let next = AtomicUsize::new(0);
    let (mut pending, mut flushed) = (Vec::new(), 0);
    for table in 1.. {
        let list = SkipList::new(&arena)?;
        let (inserted, left, seen) = fill(&arena, &list, &rows, pending, &next);
        if inserted.is_empty() {
            return Err("a row is larger than a table may be".into());
        }
        let bytes = flush(&list, &rows, &inserted)?;
        println!(
            "table {table}: {} rows, {bytes} bytes to the file from {} in memory; readers saw {seen}",
            inserted.len(),
            budget.used(),
        );
        flushed += inserted.len();
        pending = left;
        // Frees everything at once. The borrow checker has proved that no thread reads the list any
        // more.
        arena.reset();
        if pending.is_empty() && next.load(Ordering::Relaxed) >= rows.len() {
            break;
        }
    }
    assert_eq!(flushed, rows.len());
    drop(arena);
    assert_eq!(budget.used(), 0);
    println!("{flushed} rows by {WRITERS} writers, each table equal to a BTreeMap of its rows");
    Ok(())
}
