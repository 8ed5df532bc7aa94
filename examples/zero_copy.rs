// SPDX-License-Identifier: Apache-2.0
//! Filters a delimited file with three threads, once on shared views and once on `Vec<u8>`.
//!
//! Two threads parse chunks of the file into fields and drop the rows that do not match. A third
//! thread counts the other rows by their first field and writes them out. With `Buffer`, the file
//! is mapped, and every field and row is a view of the mapping, also in the third thread and in its
//! vectored writes: no byte is copied. The same program on `Vec<u8>` copies each byte. Both must
//! write the same file.
//!
//! ```text
//! cargo run --release --example zero_copy [FILE COLUMN PREFIX]
//! ```
//!
//! The example keeps the rows whose field in COLUMN (from 1) begins with PREFIX. Fields end at tabs
//! in a file whose name ends in `.tab` or `.tsv`, otherwise at commas; lines that begin with `#`
//! are comments. By default the example repeats IANA's time zone table up to 64 MiB and keeps the
//! zones in America.

mod support;

use aegis_memory::buffer::{Buffer, BufferChain};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::Hash;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use support::{exit_code, Failure, Temporary};

const ZONES: &[u8] = include_bytes!("data/zone1970.tab");
const MADE_BYTES: usize = 64 << 20;
const CHUNK_BYTES: usize = 1 << 20;
const PARSERS: usize = 2;

/// Counts the memory that Rust code takes from the standard allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static COPIED: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes on to `System`, whose contract is the same.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The kind of bytes that one of the two programs uses.
trait Bytes: AsRef<[u8]> + Clone + Eq + Hash + Send {
    /// The next chunk of the file, made of whole lines; `None` at the end of the file.
    fn next_chunk(input: &mut Input<Self>) -> io::Result<Option<Self>>
    where
        Self: Sized;
    /// A part of a chunk.
    fn part(chunk: &Self, range: Range<usize>) -> Self;
    /// Writes rows that follow one another in the file.
    fn write(rows: Vec<Self>, to: &mut File) -> io::Result<()>
    where
        Self: Sized;
}

/// The part of the file that is not read yet.
struct Input<B> {
    file: File,
    rest: B,
}

/// The length of the lines that end within the first bytes. If no line ends there, the length of
/// all bytes.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 1)
}

impl Bytes for Buffer {
    fn next_chunk(input: &mut Input<Self>) -> io::Result<Option<Self>> {
        let rest = &mut input.rest;
        if rest.is_empty() {
            return Ok(None);
        }
        let len =
            if rest.len() > CHUNK_BYTES { whole_lines(&rest[..CHUNK_BYTES]) } else { rest.len() };
        // Each chunk gets an owner, and so a count, of its own. The parsing threads then do not
        // contend for one count.
        Ok(Some(Buffer::from_owner(rest.split_to(len))))
    }

    fn part(chunk: &Self, range: Range<usize>) -> Self {
        chunk.slice(range)
    }

    fn write(rows: Vec<Self>, to: &mut File) -> io::Result<()> {
        let mut chain = BufferChain::new();
        let mut run = Buffer::new();
        for row in rows {
            // Adjacent rows become one view again, and so one entry of the vectored write.
            if let Err(row) = run.try_unsplit(row) {
                chain.push(std::mem::replace(&mut run, row));
            }
        }
        chain.push(run);
        chain.write_vectored_to(to)
    }
}

impl Bytes for Vec<u8> {
    fn next_chunk(input: &mut Input<Self>) -> io::Result<Option<Self>> {
        // The rest of the last chunk is the beginning of a line.
        let mut chunk = std::mem::take(&mut input.rest);
        let wanted = CHUNK_BYTES - chunk.len();
        let read = (&mut input.file).take(wanted as u64).read_to_end(&mut chunk)?;
        if read == wanted {
            let len = whole_lines(&chunk);
            input.rest = copied(&chunk[len..]);
            chunk.truncate(len);
        }
        COPIED.fetch_add(read as u64, Ordering::Relaxed);
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    fn part(chunk: &Self, range: Range<usize>) -> Self {
        copied(&chunk[range])
    }

    fn write(rows: Vec<Self>, to: &mut File) -> io::Result<()> {
        let mut to = BufWriter::with_capacity(64 << 10, to);
        for row in rows {
            COPIED.fetch_add(row.len() as u64, Ordering::Relaxed);
            to.write_all(&row)?;
        }
        to.flush()
    }
}

fn copied(bytes: &[u8]) -> Vec<u8> {
    COPIED.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    bytes.to_vec()
}

/// Which rows the program keeps.
struct Filter {
    delimiter: u8,
    column: usize,
    prefix: Vec<u8>,
}

/// The rows of one chunk that are kept: each row with its line end, and the fields of all of them.
struct Batch<B> {
    number: usize,
    rows: Vec<B>,
    fields: Vec<B>,
    /// Where the fields of each row end in `fields`.
    ends: Vec<usize>,
}

/// Splits a chunk into rows and the rows into fields. Keeps the rows that the filter accepts.
fn parse<B: Bytes>(number: usize, chunk: &B, filter: &Filter) -> Batch<B> {
    let bytes = chunk.as_ref();
    let mut batch = Batch { number, rows: Vec::new(), fields: Vec::new(), ends: Vec::new() };
    let mut start = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let row = start..start + line.len();
        start = row.end;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut fields = line.split(|&byte| byte == filter.delimiter);
        let kept = fields.nth(filter.column).is_some_and(|field| field.starts_with(&filter.prefix));
        if line.starts_with(b"#") || !kept {
            continue;
        }
        let mut at = row.start;
        for field in line.split(|&byte| byte == filter.delimiter) {
            batch.fields.push(B::part(chunk, at..at + field.len()));
            at += field.len() + 1;
        }
        batch.ends.push(batch.fields.len());
        batch.rows.push(B::part(chunk, row));
    }
    batch
}

/// What the writing thread has counted.
struct Outcome<B> {
    rows: u64,
    fields: u64,
    counts: HashMap<B, u64>,
}

/// Counts rows by their first field and writes them in the order of the file.
fn write<B: Bytes>(path: &Path, from: Receiver<Batch<B>>) -> Result<Outcome<B>, Failure> {
    let mut file = File::create(path).map_err(Failure::io("create", path))?;
    let mut outcome = Outcome { rows: 0, fields: 0, counts: HashMap::new() };
    let mut early = HashMap::new();
    let mut next = 0;
    for batch in from {
        early.insert(batch.number, batch);
        while let Some(batch) = early.remove(&next) {
            next += 1;
            let mut begin = 0;
            for &end in &batch.ends {
                let key = &batch.fields[begin];
                match outcome.counts.get_mut(key) {
                    Some(count) => *count += 1,
                    None => drop(outcome.counts.insert(key.clone(), 1)),
                }
                begin = end;
            }
            outcome.rows += batch.rows.len() as u64;
            outcome.fields += batch.fields.len() as u64;
            B::write(batch.rows, &mut file).map_err(Failure::io("write", path))?;
        }
    }
    Ok(outcome)
}

/// A parsing thread: takes chunks until there are no more, or until the writing thread has ended.
fn work<B: Bytes>(
    input: &Mutex<(usize, Input<B>)>,
    filter: &Filter,
    to: SyncSender<Batch<B>>,
) -> io::Result<()> {
    loop {
        let (number, chunk) = {
            let mut input = input.lock().expect("no parser panics");
            let Some(chunk) = B::next_chunk(&mut input.1)? else { return Ok(()) };
            input.0 += 1;
            (input.0 - 1, chunk)
        };
        if to.send(parse(number, &chunk, filter)).is_err() {
            return Ok(());
        }
    }
}

/// What a run has cost.
struct Cost {
    time: Duration,
    copied: u64,
    allocations: u64,
}

/// Runs one of the two programs.
fn filter_file<B: Bytes + Sync>(
    from: &Path,
    to: &Path,
    filter: &Filter,
    open: impl FnOnce(File) -> io::Result<Input<B>>,
) -> Result<(Outcome<B>, Cost), Failure> {
    let copied = COPIED.load(Ordering::Relaxed);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    let start = Instant::now();
    let file = File::open(from).map_err(Failure::io("open", from))?;
    let input = open(file).map_err(Failure::io("read", from))?;
    let input = Mutex::new((0, input));
    let (sender, receiver) = sync_channel(2 * PARSERS);
    let outcome = thread::scope(|threads| {
        let parsers: Vec<_> = (0..PARSERS)
            .map(|_| {
                let (input, sender) = (&input, sender.clone());
                threads.spawn(move || work(input, filter, sender))
            })
            .collect();
        drop(sender);
        let outcome = write(to, receiver)?;
        for parser in parsers {
            let parsed = parser.join().expect("a parser does not panic");
            parsed.map_err(Failure::io("read", from))?;
        }
        Ok(outcome)
    })?;
    let cost = Cost {
        time: start.elapsed(),
        copied: COPIED.load(Ordering::Relaxed) - copied,
        allocations: ALLOCATIONS.load(Ordering::Relaxed) - allocations,
    };
    Ok((outcome, cost))
}

fn on_views(file: File) -> io::Result<Input<Buffer>> {
    // SAFETY: the file is ours, or the user has been told to leave it alone; nothing here writes it.
    let rest = unsafe { Buffer::map(&file, ..)? };
    Ok(Input { file, rest })
}

fn on_copies(file: File) -> io::Result<Input<Vec<u8>>> {
    Ok(Input { file, rest: Vec::new() })
}

/// Writes the table of time zones again and again.
fn make(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    (0..MADE_BYTES.div_ceil(ZONES.len())).try_for_each(|_| file.write_all(ZONES))
}

fn run(given: Option<(PathBuf, Filter)>) -> Result<(), Failure> {
    let temporary = |name| Temporary::new(std::env::temp_dir(), "zero_copy", name);
    let made = temporary("input.tab");
    let (from, filter) = match given {
        Some(given) => given,
        None => {
            make(&made.0).map_err(Failure::io("write", &made.0))?;
            (made.0.clone(), Filter { delimiter: b'\t', column: 2, prefix: b"America/".to_vec() })
        }
    };
    let (viewed, copied) = (temporary("views"), temporary("copies"));
    // The file is read once before, so that it is in the system's cache for both programs.
    let bytes = fs::read(&from).map_err(Failure::io("read", &from))?.len();
    let (outcome, views) = filter_file(&from, &viewed.0, &filter, on_views)?;
    let (other, copies) = filter_file(&from, &copied.0, &filter, on_copies)?;
    let read = |file: &Temporary| fs::read(&file.0).map_err(Failure::io("read", &file.0));
    let written = read(&viewed)?;
    if written != read(&copied)? || outcome.rows != other.rows {
        return Err(Failure::Differs("the two programs have written different files".into()));
    }
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    println!("read     {:.1} MiB from '{}'", mib(bytes as u64), from.display());
    println!(
        "kept     {} rows of {} fields, {:.1} MiB; {} different first fields",
        outcome.rows,
        outcome.fields,
        mib(written.len() as u64),
        outcome.counts.len()
    );
    println!("{:<20} {:>12} {:>12}", "", "Buffer", "Vec<u8>");
    println!(
        "{:<20} {:>8.1} MiB {:>8.1} MiB",
        "bytes copied",
        mib(views.copied),
        mib(copies.copied)
    );
    println!("{:<20} {:>12} {:>12}", "allocations", views.allocations, copies.allocations);
    println!(
        "{:<20} {:>9.0} ms {:>9.0} ms",
        "time",
        views.time.as_secs_f64() * 1e3,
        copies.time.as_secs_f64() * 1e3
    );
    Ok(())
}

/// What the command line asks for; `None` if it is wrong.
fn arguments() -> Option<Option<(PathBuf, Filter)>> {
    let given: Vec<_> = std::env::args_os().skip(1).collect();
    let [file, column, prefix] = given.as_slice() else {
        return given.is_empty().then_some(None);
    };
    let path = PathBuf::from(file);
    let tabs = path.extension().is_some_and(|extension| extension == "tab" || extension == "tsv");
    let column = column.to_str()?.parse::<usize>().ok()?.checked_sub(1)?;
    let prefix = prefix.to_str()?.as_bytes().to_vec();
    let delimiter = if tabs { b'\t' } else { b',' };
    Some(Some((path, Filter { delimiter, column, prefix })))
}

fn main() -> ExitCode {
    let Some(given) = arguments() else {
        eprintln!("usage: zero_copy [FILE COLUMN PREFIX], where COLUMN is a number from 1");
        return ExitCode::from(2);
    };
    exit_code("zero_copy", run(given))
}
