// SPDX-License-Identifier: Apache-2.0
//! Copies a file with two threads. One thread reads the file into page-aligned blocks of a pool.
//! The other thread writes the blocks out and gives them back by dropping them. The pool bounds the
//! memory: if writing is slower than reading, the reading thread waits for a block. At the end the
//! copy is compared with the file.
//!
//! ```text
//! cargo run --release --example page_io [FILE]    (default: 64 MiB made for the purpose)
//! ```

mod support;

use aegis_memory::pool::{LockedPool, PoolBlock};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};
use support::{run_on_file, write_numbers, Failure, Temporary};

const BLOCK_BYTES: usize = 64 << 10;
const BLOCKS: usize = 32;
const PAGE_BYTES: usize = 4096;
const MADE_BYTES: usize = 64 << 20;

/// A block that has been read, and how many of its bytes are from the file.
struct Filled<'p> {
    block: PoolBlock<'p, LockedPool>,
    len: usize,
}

/// Reads until the block is full or the file ends.
fn fill(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < block.len() {
        match file.read(&mut block[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// The reading thread. It stops when the writing thread has ended.
fn read<'p>(path: &Path, pool: &'p LockedPool, to: Sender<Filled<'p>>) -> Result<(), Failure> {
    let mut file = File::open(path).map_err(Failure::io("open", path))?;
    loop {
        let mut block = pool.alloc_timeout(Duration::MAX).map_err(Failure::Memory)?;
        assert_eq!(block.as_ptr() as usize % PAGE_BYTES, 0, "blocks are page-aligned");
        let len = fill(&mut file, &mut block).map_err(Failure::io("read", path))?;
        if len == 0 || to.send(Filled { block, len }).is_err() {
            return Ok(());
        }
    }
}

/// The writing thread. Each block returns to the pool once it is written.
fn write(path: &Path, from: Receiver<Filled<'_>>) -> Result<u64, Failure> {
    let mut file = File::create(path).map_err(Failure::io("create", path))?;
    let mut written = 0;
    for Filled { block, len } in from {
        file.write_all(&block[..len]).map_err(Failure::io("write", path))?;
        written += len as u64;
    }
    Ok(written)
}

/// Copies the file, with one thread for each side.
fn copy(from: &Path, to: &Path, pool: &LockedPool) -> Result<u64, Failure> {
    let (sender, receiver) = channel();
    thread::scope(|threads| {
        let reader = threads.spawn(|| read(from, pool, sender));
        let written = write(to, receiver);
        reader.join().expect("the reader does not panic")?;
        written
    })
}

/// Whether the two files are equal. Reads them through two blocks of the pool.
fn verify(from: &Path, to: &Path, pool: &LockedPool) -> Result<(), Failure> {
    let open = |path: &Path| File::open(path).map_err(Failure::io("open", path));
    let (mut left, mut right) = (open(from)?, open(to)?);
    let mut blocks =
        [pool.alloc().map_err(Failure::Memory)?, pool.alloc().map_err(Failure::Memory)?];
    let [a, b] = &mut blocks;
    let mut offset = 0;
    loop {
        let len = fill(&mut left, a).map_err(Failure::io("read", from))?;
        let other = fill(&mut right, b).map_err(Failure::io("read", to))?;
        if a[..len] != b[..other] {
            let same = a[..len].iter().zip(&b[..other]).take_while(|(a, b)| a == b).count();
            let from = offset + same as u64;
            return Err(Failure::Differs(format!("the copy differs from byte {from} on")));
        }
        if len == 0 {
            return Ok(());
        }
        offset += len as u64;
    }
}

/// The most memory that this process has had resident, if the system says it.
fn peak_resident_bytes() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? << 10)
}

fn run(given: Option<PathBuf>) -> Result<(), Failure> {
    let folder = std::env::temp_dir();
    let made = Temporary::new(&folder, "page_io", "input");
    let copied = Temporary::new(&folder, "page_io", "copy");
    let from = match given {
        Some(path) => path,
        None => {
            write_numbers(&made.0, MADE_BYTES / BLOCK_BYTES, BLOCK_BYTES)
                .map_err(Failure::io("write", &made.0))?;
            made.0.clone()
        }
    };
    let builder = LockedPool::builder().block_size(BLOCK_BYTES).blocks(BLOCKS).align(PAGE_BYTES);
    let pool = builder.build().map_err(Failure::Memory)?;

    let start = Instant::now();
    let bytes = copy(&from, &copied.0, &pool)?;
    let seconds = start.elapsed().as_secs_f64();
    verify(&from, &copied.0, &pool)?;

    let stats = pool.stats();
    let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
    println!("copied     {:.1} MiB from '{}', verified", mib(bytes as usize), from.display());
    println!(
        "throughput {:.0} MiB/s through blocks of {BLOCK_BYTES} bytes",
        mib(bytes as usize) / seconds
    );
    println!(
        "memory     {} of {} blocks at most; the pool holds {:.1} MiB",
        stats.peak_in_use,
        stats.capacity,
        mib(stats.reserved_bytes)
    );
    if let Some(peak) = peak_resident_bytes() {
        println!("peak       {:.1} MiB resident, the whole process", mib(peak));
    }
    Ok(())
}

fn main() -> ExitCode {
    run_on_file("page_io", run)
}
