// SPDX-License-Identifier: Apache-2.0
//! A hash aggregation and a hash join of 10 million rows. Keys are texts of 24 to 55 bytes.
//!
//! The rows of the input are made as they are read. What the operators keep is a row of memory for
//! each group, or for each row of the join's smaller side: its key, and behind a header what is
//! known of it. Rows of equal keys are a list. A table of hashes finds the rows. It is hashbrown's,
//! and nobody tells it how many rows will come, because an engine does not know either. The table
//! of a bump allocator is on glibc's heap, because there the memory of the tables that it grows out
//! of is used again.

use std::alloc::Layout;
use std::ptr::{self, NonNull};
use std::slice;

use aegis_memory::arena::{Arena, ArenaHeap};
use aegis_memory::source::Pages;
use allocator_api2::alloc::{Allocator, Global};
use bumpalo::Bump;
use hashbrown::hash_table::{Entry, HashTable};

use super::{hash_of, random, random_below, rivals, Program, Rival};
use super::{GLIBC_HUGE, MIMALLOC_HUGE, OURS};
use crate::homes::{BumpScope, Home, Mimalloc, Std};

/// What is kept of a row or a group. Its key is behind it.
#[repr(C)]
struct Row {
    next: *const Row,
    key_bytes: usize,
    count: u64,
    sum: u64,
    least: u64,
    greatest: u64,
}

impl Row {
    fn layout(key_bytes: usize) -> Layout {
        let key = Layout::array::<u8>(key_bytes).expect("keys are short");
        Layout::new::<Row>().extend(key).expect("keys are short").0.pad_to_align()
    }

    /// A row in the memory of an allocator.
    #[inline]
    fn new_in(memory: impl Allocator, key: &[u8], value: u64, next: *const Row) -> NonNull<Row> {
        let new = memory.allocate(Self::layout(key.len())).expect("memory").cast::<Row>();
        let (key_bytes, count) = (key.len(), 1);
        // SAFETY: fresh memory for the header and the key behind it.
        unsafe {
            new.write(Row { next, key_bytes, count, sum: value, least: value, greatest: value });
            new.add(1).cast::<u8>().as_ptr().copy_from_nonoverlapping(key.as_ptr(), key.len());
        }
        new
    }

    /// # Safety
    ///
    /// - The row was made by `new_in` and is not changed meanwhile.
    #[inline]
    unsafe fn key<'a>(row: NonNull<Row>) -> &'a [u8] {
        // SAFETY: `new_in` has written the key behind the row.
        unsafe { slice::from_raw_parts(row.add(1).cast::<u8>().as_ptr(), row.as_ref().key_bytes) }
    }

    #[inline]
    fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(value);
        self.least = self.least.min(value);
        self.greatest = self.greatest.max(value);
    }
}

/// The rows of an operator by their keys. Each key has one entry, which has the latest row.
struct Rows<'a, H: Home, A: Allocator> {
    home: &'a H,
    table: HashTable<(u64, NonNull<Row>), A>,
}

impl<H: Home, A: Allocator> Rows<'_, H, A> {
    /// What is known of a key so far, or a new row for it.
    #[inline]
    fn group(&mut self, key: &[u8], value: u64) {
        match self.entry(key) {
            // SAFETY: nothing else borrows the row.
            Entry::Occupied(entry) => unsafe { entry.into_mut().1.as_mut() }.add(value),
            Entry::Vacant(_) => self.insert(key, value),
        }
    }

    /// A row of its own, before the others of its key.
    #[inline]
    fn insert(&mut self, key: &[u8], value: u64) {
        let home = self.home;
        match self.entry(key) {
            Entry::Occupied(entry) => {
                let latest = &mut entry.into_mut().1;
                *latest = Row::new_in(home.allocator(), key, value, latest.as_ptr());
            }
            Entry::Vacant(entry) => {
                let row = Row::new_in(home.allocator(), key, value, ptr::null());
                entry.insert((hash_of(key), row));
            }
        }
    }

    #[inline]
    fn entry(&mut self, key: &[u8]) -> Entry<'_, (u64, NonNull<Row>), A> {
        let hash = hash_of(key);
        // SAFETY: rows live as long as the table.
        let is_equal =
            |entry: &(u64, NonNull<Row>)| entry.0 == hash && unsafe { Row::key(entry.1) } == key;
        self.table.entry(hash, is_equal, |entry| entry.0)
    }

    /// The rows of a key.
    #[inline]
    fn of_key(&self, key: &[u8]) -> impl Iterator<Item = &Row> {
        let hash = hash_of(key);
        // SAFETY: rows live as long as the table.
        let is_equal =
            |entry: &(u64, NonNull<Row>)| entry.0 == hash && unsafe { Row::key(entry.1) } == key;
        let latest = self.table.find(hash, is_equal).map(|entry| entry.1);
        // SAFETY: rows live as long as the table, and a list ends with a null pointer.
        let first = latest.map(|row| unsafe { row.as_ref() });
        // SAFETY: as above.
        std::iter::successors(first, |row| unsafe { row.next.as_ref() })
    }

    /// A number that every group changes, in whatever order the table has them.
    fn checksum(&self) -> u64 {
        self.table.iter().fold(0, |sum, &(hash, row)| {
            // SAFETY: rows live as long as the table.
            let row = unsafe { row.as_ref() };
            let numbers = [row.count, row.sum, row.least, row.greatest];
            sum.wrapping_add(numbers.into_iter().fold(hash, |sum, number| random(sum ^ number)))
        })
    }
}

impl<H: Home, A: Allocator> Drop for Rows<'_, H, A> {
    /// Frees the rows one by one if they are in a heap.
    fn drop(&mut self) {
        if !H::IS_HEAP {
            return;
        }
        for &(_, row) in self.table.iter() {
            let mut next: *const Row = row.as_ptr();
            while let Some(row) = NonNull::new(next.cast_mut()) {
                // SAFETY: a row that `new_in` made, freed once, and its list read before.
                unsafe {
                    next = row.as_ref().next;
                    let layout = Row::layout(row.as_ref().key_bytes);
                    self.home.allocator().deallocate(row.cast(), layout);
                }
            }
        }
    }
}

/// The bytes of the longest key.
const MAX_KEY_BYTES: usize = 55;

/// Writes the key with this number, and returns it.
#[inline]
fn key(number: u64, buffer: &mut [u8; MAX_KEY_BYTES]) -> &[u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    buffer[..8].copy_from_slice(b"account-");
    let mut rest = random(number);
    for digit in &mut buffer[8..24] {
        *digit = DIGITS[rest as usize & 15];
        rest >>= 4;
    }
    &buffer[..24 + number as usize % 32]
}

/// The buffer of a key, whose end is the same in each.
const BUFFER: [u8; MAX_KEY_BYTES] = *b"account-----------------/branch/of/the/northern/region/";

fn aggregate<H: Home, A: Allocator>(home: &H, table: A, small: bool) -> u64 {
    let (rows, groups) = if small { (100_000, 20_000) } else { (10_000_000, 2_000_000) };
    let mut table = Rows { home, table: HashTable::new_in(table) };
    let mut buffer = BUFFER;
    for row in 0..rows {
        let key = key(random_below(row, groups), &mut buffer);
        table.group(key, random(row ^ 0xabcd) >> 32);
    }
    table.checksum()
}

fn joined<H: Home, A: Allocator>(home: &H, table: A, small: bool) -> u64 {
    let (built, probed) = if small { (20_000, 80_000) } else { (2_000_000, 8_000_000) };
    let mut table = Rows { home, table: HashTable::new_in(table) };
    let mut buffer = BUFFER;
    for row in 0..built {
        table.insert(key(random_below(row, built), &mut buffer), row);
    }
    let mut sum = 0_u64;
    for row in 0..probed {
        for found in table.of_key(key(random_below(!row, built), &mut buffer)) {
            sum = sum.wrapping_add(random(found.sum ^ row << 32));
        }
    }
    sum
}

/// Rows in an arena, and the table in a heap beside it, because a table that has grown gives the
/// memory of the smaller one back. Both are of huge pages.
macro_rules! ours {
    ($operator:ident) => {
        |small| {
            Box::new(move || {
                let pages = Pages::new().huge_pages();
                let rows = Arena::builder()
                    .source(pages)
                    .capacity(2 << 20)
                    .max_block(32 << 20)
                    .build()
                    .expect("memory");
                let table = ArenaHeap::builder().source(pages).build().expect("memory");
                $operator(&rows, &table, small)
            })
        }
    };
}

macro_rules! rivals_of {
    ($operator:ident) => {
        rivals!(
            ours!($operator),
            |small| Box::new(move || $operator(&Bump::new(), Global, small)),
            |small| Box::new(move || $operator(&<BumpScope<true> as Home>::new(), Global, small)),
            |small| Box::new(move || $operator(&Mimalloc, Mimalloc, small)),
            |small| Box::new(move || $operator(&Std, Global, small))
        )
    };
}

/// The aggregation and its rows.
pub fn aggregation() -> Program {
    Program {
        name: "aggregation",
        about: "a hash aggregation: 10 M rows, 2 M groups with keys of 24 to 55 bytes",
        rivals: rivals_of!(aggregate),
    }
}

/// The join and its rows.
pub fn join() -> Program {
    Program {
        name: "join",
        about: "a hash join of 2 M and 8 M rows with keys of 24 to 55 bytes",
        rivals: rivals_of!(joined),
    }
}
