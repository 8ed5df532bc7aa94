// SPDX-License-Identifier: Apache-2.0
//! The log of the tree: what was changed, so that it can be done again after a crash.
//!
//! A record has a number, its LSN. The numbers have no gaps, and do not begin anew when the log is
//! emptied. Records are collected in memory; `flush` writes and syncs them. What is read after a
//! crash ends at the first record that is not whole.
//!
//! The file begins with 16 bytes: the LSN of its first record, and a checksum. A record is its
//! length and its checksum, 4 bytes each, its LSN, and its changes.

use aegis_memory::cache::crc32c;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What a record says.
#[derive(Debug, PartialEq)]
pub enum Change {
    /// An entry was put into a leaf.
    Insert { page: u64, key: u64, value: u64 },
    /// These pages have this content now. All of them, or none.
    Pages(Vec<(u64, Vec<u8>)>),
}

/// A record as it was read.
pub struct Record {
    pub lsn: u64,
    pub change: Change,
}

struct Tail {
    file: File,
    /// Records that are not written yet.
    pending: Vec<u8>,
    /// The LSN of the latest record.
    last: u64,
}

pub struct Log {
    path: PathBuf,
    tail: Mutex<Tail>,
    /// All records up to this LSN are on disk.
    durable: AtomicU64,
    /// How often the cache has asked for that.
    pub asked: AtomicU64,
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let head = bytes.get(..count)?;
    *bytes = &bytes[count..];
    Some(head)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?))
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
}

/// Takes a record off the front; `None`: there is no whole one.
fn read_record(bytes: &mut &[u8]) -> Option<Record> {
    let length = take_u32(bytes)?;
    let sum = take_u32(bytes)?;
    let mut body = take(bytes, length as usize)?;
    if crc32c(0, body) != sum {
        return None;
    }
    let lsn = take_u64(&mut body)?;
    let pages = take_u32(&mut body)?;
    let change = if pages == 0 {
        let (page, key) = (take_u64(&mut body)?, take_u64(&mut body)?);
        Change::Insert { page, key, value: take_u64(&mut body)? }
    } else {
        let mut images = Vec::new();
        for _ in 0..pages {
            let page = take_u64(&mut body)?;
            let length = take_u32(&mut body)? as usize;
            images.push((page, take(&mut body, length)?.to_vec()));
        }
        Change::Pages(images)
    };
    Some(Record { lsn, change })
}

/// Reads a log: the LSN before its first record, and its whole records.
pub fn read(path: &Path) -> io::Result<(u64, Vec<Record>)> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, Vec::new())),
        bytes => bytes?,
    };
    let mut rest = &bytes[..];
    let base = take_u64(&mut rest)
        .filter(|base| take_u64(&mut rest) == Some(u64::from(crc32c(0, &base.to_le_bytes()))));
    let base = base.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no log"))?;
    let mut records = Vec::new();
    while let Some(record) = read_record(&mut rest) {
        if record.lsn != base + records.len() as u64 + 1 {
            break;
        }
        records.push(record);
    }
    Ok((base, records))
}

/// Makes an empty log whose first record will be the one behind `base`, in place of any other.
fn make(path: &Path, base: u64) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&base.to_le_bytes())?;
    file.write_all(&u64::from(crc32c(0, &base.to_le_bytes())).to_le_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    #[cfg(unix)]
    File::open(path.parent().expect("a log lies in a folder"))?.sync_all()?;
    Ok(file)
}

impl Log {
    /// Opens a log for redoing what is in it, and says what that is. `restart` must be called before
    /// anything is appended.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Record>)> {
        let (base, records) = read(path)?;
        let last = base + records.len() as u64;
        let file = if path.exists() { File::open(path)? } else { make(path, 0)? };
        let log = Self {
            path: path.to_path_buf(),
            tail: Mutex::new(Tail { file, pending: Vec::new(), last }),
            durable: AtomicU64::new(last),
            asked: AtomicU64::new(0),
        };
        Ok((log, records))
    }

    /// Empties the log, because all pages are durable.
    pub fn restart(&self) -> io::Result<()> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.file = make(&self.path, tail.last)?;
        tail.pending.clear();
        self.durable.store(tail.last, Ordering::Release);
        Ok(())
    }

    /// Appends a record: `build` gets its LSN and says what it is. Returns the LSN.
    pub fn append(&self, build: impl FnOnce(u64) -> Change) -> u64 {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lsn = tail.last + 1;
        let mut body = lsn.to_le_bytes().to_vec();
        match build(lsn) {
            Change::Insert { page, key, value } => {
                body.extend(0u32.to_le_bytes());
                [page, key, value].iter().for_each(|number| body.extend(number.to_le_bytes()));
            }
            Change::Pages(images) => {
                body.extend((images.len() as u32).to_le_bytes());
                for (page, bytes) in images {
                    body.extend(page.to_le_bytes());
                    body.extend((bytes.len() as u32).to_le_bytes());
                    body.extend(bytes);
                }
            }
        }
        tail.pending.extend((body.len() as u32).to_le_bytes());
        tail.pending.extend(crc32c(0, &body).to_le_bytes());
        tail.pending.extend(body);
        tail.last = lsn;
        lsn
    }

    /// Makes all records up to this LSN durable.
    pub fn flush(&self, lsn: u64) -> io::Result<()> {
        if self.durable.load(Ordering::Acquire) >= lsn {
            return Ok(());
        }
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let Tail { file, pending, last } = &mut *tail;
        file.write_all(pending)?;
        file.sync_data()?;
        pending.clear();
        self.durable.store(*last, Ordering::Release);
        Ok(())
    }

    /// Makes all records durable that were appended so far.
    pub fn commit(&self) -> io::Result<()> {
        let last = self.tail.lock().unwrap_or_else(PoisonError::into_inner).last;
        self.flush(last)
    }
}
