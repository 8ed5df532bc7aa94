// SPDX-License-Identifier: Apache-2.0
//! The operators of the example `arbitration`: a page cache, a sort and a hash aggregation. Each
//! charges its memory to a budget: the cache's buffers do so by themselves, and the other two have
//! reservations for their vectors.

use crate::support::{Failure, Temporary};
use aegis_memory::budget::{MemoryBudget, Reclaimer, Reservation};
use aegis_memory::buffer::{Buffer, BufferMut};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::mem::{self, size_of};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// How long a request waits for room. It is much longer than any operator keeps its memory.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers that look random (splitmix64). All input is made of them, so it can be made again.
pub fn random(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

pub const PAGE_BYTES: usize = 64 << 10;

#[derive(Default)]
struct Pages {
    by_number: HashMap<u64, Buffer>,
    oldest_first: VecDeque<u64>,
}

/// A cache of pages. It takes all the memory that nobody else wants.
pub struct PageCache {
    budget: MemoryBudget,
    pages: Mutex<Pages>,
    _reclaimer: Reclaimer,
}

impl PageCache {
    /// A cache that gives pages back when it is asked, before the reclaimers of a higher priority
    /// are. `own_last`: its own charges may ask it too. So a full cache replaces its oldest pages.
    pub fn new(budget: &MemoryBudget, priority: i32) -> Arc<Self> {
        // The cache owns its reclaimer. So the reclaimer must not own the cache.
        Arc::new_cyclic(|cache: &Weak<Self>| {
            let cache = cache.clone();
            let evict = move |wanted| cache.upgrade().map_or(0, |cache| cache.evict(wanted));
            let reclaimer = budget.on_reclaim_own_last(priority, evict);
            Self { budget: budget.clone(), pages: Mutex::default(), _reclaimer: reclaimer }
        })
    }

    /// The bytes of a page. The page stays in memory while a view of it exists.
    pub fn read(&self, number: u64) -> Result<Buffer, Failure> {
        if let Some(page) = self.pages.lock().expect("no panic").by_number.get(&number) {
            return Ok(page.clone());
        }
        // This charge may ask `evict`, on this thread. So the lock is not held here.
        let mut page = BufferMut::try_with_capacity_in(PAGE_BYTES, 16, &self.budget)
            .map_err(Failure::Memory)?;
        let words = (PAGE_BYTES / 8) as u64;
        for word in 0..words {
            page.extend_from_slice(&random(number * words + word).to_le_bytes());
        }
        let page = page.freeze();
        let mut pages = self.pages.lock().expect("no panic");
        pages.by_number.insert(number, page.clone());
        pages.oldest_first.push_back(number);
        Ok(page)
    }

    /// Gives all pages up.
    pub fn clear(&self) {
        *self.pages.lock().expect("no panic") = Pages::default();
    }

    /// The reclaimer: drops the oldest pages that no query reads. It returns what it has freed.
    fn evict(&self, wanted: usize) -> usize {
        // Another thread may be inside the cache. Then this one does not wait, and frees nothing.
        let Ok(mut pages) = self.pages.try_lock() else { return 0 };
        let mut freed = 0;
        for _ in 0..pages.oldest_first.len() {
            if freed >= wanted {
                break;
            }
            let Some(number) = pages.oldest_first.pop_front() else { break };
            if pages.by_number[&number].is_unique() {
                freed += pages.by_number.remove(&number).map_or(0, |page| page.retained_bytes());
            } else {
                pages.oldest_first.push_back(number);
            }
        }
        freed
    }
}

/// What is sorted. `number` says which row of the input it is.
#[derive(Clone, Copy)]
pub struct Row {
    pub key: u64,
    pub number: u64,
    _payload: [u64; 6],
}

pub const RUN_BYTES: usize = 2 << 20;
pub const RUN_ROWS: usize = RUN_BYTES / size_of::<Row>();

/// Sorts `run_count` runs of rows, calls `after_run` after each, and gives all rows to `emit` in
/// order. The memory of the runs is charged by a reservation that grows.
pub fn sort(
    budget: &MemoryBudget,
    run_count: usize,
    mut after_run: impl FnMut(usize),
    mut emit: impl FnMut(&Row),
) -> Result<(), Failure> {
    // Locals are dropped in reverse order: the runs are freed before they are uncharged.
    let mut memory = budget.try_reserve(0).map_err(Failure::Memory)?;
    let mut runs: Vec<Vec<Row>> = Vec::new();
    for run in 0..run_count {
        // If the database has no room, its reclaimers are asked inside this call. The sort does not
        // notice anything.
        memory.try_grow(RUN_BYTES).map_err(Failure::Memory)?;
        let numbers = (run * RUN_ROWS) as u64..((run + 1) * RUN_ROWS) as u64;
        let row = |number| Row { key: random(number), number, _payload: [number; 6] };
        let mut rows: Vec<Row> = numbers.map(row).collect();
        rows.sort_unstable_by_key(|row| row.key);
        runs.push(rows);
        after_run(run + 1);
    }
    // The heap has the next row of each run.
    let mut heads: BinaryHeap<_> =
        runs.iter().enumerate().map(|(run, rows)| Reverse((rows[0].key, run, 0))).collect();
    while let Some(Reverse((_, run, row))) = heads.pop() {
        emit(&runs[run][row]);
        if let Some(next) = runs[run].get(row + 1) {
            heads.push(Reverse((next.key, run, row + 1)));
        }
    }
    Ok(())
}

/// A group of rows with the same key: how many they are, and the sum of their values. A slot of a
/// table without rows is empty.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Group {
    pub key: u64,
    pub rows: u64,
    pub sum: u64,
}

/// A hash table of groups, with linear probing. Its slots are in a `Vec`, which a reservation
/// charges.
struct Table {
    slots: Vec<Group>,
    groups: usize,
    charge: Reservation,
}

impl Table {
    fn new(budget: &MemoryBudget) -> Self {
        Self { slots: Vec::new(), groups: 0, charge: budget.reserve(0) }
    }

    fn slot(&mut self, key: u64) -> &mut Group {
        let mask = self.slots.len() - 1;
        let mut at = (random(key) >> 8) as usize & mask;
        while self.slots[at].rows != 0 && self.slots[at].key != key {
            at = (at + 1) & mask;
        }
        &mut self.slots[at]
    }

    fn add(&mut self, group: Group) -> Result<(), Failure> {
        if self.groups * 2 >= self.slots.len() {
            self.grow()?;
        }
        let slot = self.slot(group.key);
        let is_new = slot.rows == 0;
        *slot = Group { key: group.key, rows: slot.rows + group.rows, sum: slot.sum + group.sum };
        self.groups += usize::from(is_new);
        Ok(())
    }

    /// Makes the table twice as large. While the groups move, both tables are charged.
    fn grow(&mut self) -> Result<(), Failure> {
        let count = (self.slots.len() * 2).max(1 << 12);
        let budget = self.charge.budget();
        let charge = budget.reserve_timeout(count * size_of::<Group>(), PATIENCE);
        let charge = charge.map_err(Failure::Memory)?;
        for group in mem::replace(&mut self.slots, vec![Group::default(); count]) {
            if group.rows != 0 {
                *self.slot(group.key) = group;
            }
        }
        // The old slots are freed, so now the old reservation may end.
        self.charge = charge;
        Ok(())
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        self.slots.iter().filter(|group| group.rows != 0)
    }

    fn free(&mut self) -> usize {
        (self.slots, self.groups) = (Vec::new(), 0);
        self.charge.free()
    }
}

/// The input is divided by key into this many partitions when it is spilled.
const PARTITIONS: usize = 8;

fn partition(key: u64) -> usize {
    random(key) as usize % PARTITIONS
}

/// The groups of a partition in the file.
struct Spilled {
    partition: usize,
    offset: u64,
    groups: usize,
}

struct State {
    table: Table,
    file: File,
    spilled: Vec<Spilled>,
}

/// A hash aggregation, which writes its table to a file when its reclaimer is asked.
pub struct Aggregation {
    state: Mutex<State>,
    _path: Temporary,
    _reclaimer: Reclaimer,
}

impl Aggregation {
    pub fn new(budget: &MemoryBudget, priority: i32) -> Result<Arc<Self>, Failure> {
        let path = Temporary::new(std::env::temp_dir(), "arbitration", "spilled");
        let file = File::options().read(true).write(true).create_new(true).open(&path.0);
        let file = file.map_err(Failure::io("create", &path.0))?;
        let state = State { table: Table::new(budget), file, spilled: Vec::new() };
        Ok(Arc::new_cyclic(|own: &Weak<Self>| {
            let own = own.clone();
            let spill = move |_| own.upgrade().map_or(0, |own| own.spill());
            let reclaimer = budget.on_reclaim(priority, spill);
            Self { state: Mutex::new(state), _path: path, _reclaimer: reclaimer }
        }))
    }

    /// Adds rows. The lock is held while the table grows, so this thread may wait for room with the
    /// lock. That is no deadlock, because no reclaimer waits for the lock.
    pub fn add(&self, mut rows: impl Iterator<Item = Group>) -> Result<(), Failure> {
        let mut state = self.state.lock().expect("no panic");
        rows.try_for_each(|row| state.table.add(row))
    }

    /// The reclaimer: writes the whole table to the file. It frees more than is wanted, because
    /// half a table is of little use. If the file cannot be written, the table stays in memory.
    fn spill(&self) -> usize {
        let Ok(mut state) = self.state.try_lock() else { return 0 };
        state.spill().unwrap_or(0)
    }

    /// Gives all groups to `emit`: merges one partition after the other, so that only the groups of
    /// one are in memory. Returns how many bytes were in the file.
    pub fn finish(&self, mut emit: impl FnMut(&Group)) -> Result<u64, Failure> {
        let mut state = self.state.lock().expect("no panic");
        let failed = Failure::io("use", &self._path.0);
        state.spill().map_err(&failed)?;
        let State { table, file, spilled } = &mut *state;
        for number in 0..PARTITIONS {
            for part in spilled.iter().filter(|part| part.partition == number) {
                file.seek(SeekFrom::Start(part.offset)).map_err(&failed)?;
                let mut from = BufReader::new(&mut *file);
                for _ in 0..part.groups {
                    table.add(read_group(&mut from).map_err(&failed)?)?;
                }
            }
            table.groups().for_each(&mut emit);
            table.free();
        }
        file.seek(SeekFrom::End(0)).map_err(&failed)
    }
}

impl State {
    fn spill(&mut self) -> io::Result<usize> {
        let mut parts = Vec::new();
        let mut offset = self.file.seek(SeekFrom::End(0))?;
        let mut to = BufWriter::new(&mut self.file);
        for partition_number in 0..PARTITIONS {
            let mut groups = 0;
            for group in self.table.groups() {
                if partition(group.key) == partition_number {
                    for field in [group.key, group.rows, group.sum] {
                        to.write_all(&field.to_le_bytes())?;
                    }
                    groups += 1;
                }
            }
            parts.push(Spilled { partition: partition_number, offset, groups });
            offset += (groups * size_of::<Group>()) as u64;
        }
        to.flush()?;
        drop(to);
        self.spilled.append(&mut parts);
        Ok(self.table.free())
    }
}

fn read_group(from: &mut impl Read) -> io::Result<Group> {
    let mut fields = [0; 3];
    for field in &mut fields {
        let mut bytes = [0; 8];
        from.read_exact(&mut bytes)?;
        *field = u64::from_le_bytes(bytes);
    }
    let [key, rows, sum] = fields;
    Ok(Group { key, rows, sum })
}
