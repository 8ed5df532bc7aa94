// SPDX-License-Identifier: Apache-2.0
//! Reads a file with `O_DIRECT`, past the system's page cache, into page-aligned buffers of a pool.
//! Another thread checks the bytes. When it drops a buffer, the reading thread can use that buffer
//! again. If the file system does not allow direct reads, the example says so and reads through the
//! cache.
//!
//! ```text
//! cargo run --release --example direct_io [FILE]    (default: 64 MiB made for the purpose)
//! ```

mod support;

use aegis_memory::buffer::{Buffer, BufferPool, WhenEmpty};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};
use support::{run_on_file, write_numbers, Failure, Temporary};

const BUFFER_BYTES: usize = 256 << 10;
const BUFFERS: usize = 16;
/// The alignment that direct reads need for address, offset and size on every common device.
const PAGE_BYTES: usize = 4096;
const MADE_BYTES: usize = 64 << 20;

/// Opens the file for direct reading. A file system that does not allow it refuses here or at the
/// first read.
#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_path: &Path) -> io::Result<File> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no O_DIRECT"))
}

/// The open file, and the reason if it is not read directly.
fn open(path: &Path, pool: &BufferPool) -> Result<(File, Option<io::Error>), Failure> {
    let tried = open_direct(path).and_then(|file| {
        let mut probe = pool.get(PAGE_BYTES).map_err(io::Error::other)?;
        probe.read_from(&mut &file)?;
        // Opens the file again, to read from its beginning: the first descriptor has moved on.
        open_direct(path)
    });
    match tried {
        Ok(file) => Ok((file, None)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::io("open", path)(error))
        }
        Err(error) => {
            let file = OpenOptions::new().read(true).open(path);
            Ok((file.map_err(Failure::io("open", path))?, Some(error)))
        }
    }
}

/// The reading thread: fills one buffer with each read until the file ends.
fn read(path: &Path, file: &File, pool: &BufferPool, to: Sender<Buffer>) -> Result<(), Failure> {
    loop {
        let mut buffer = pool.get(BUFFER_BYTES).map_err(Failure::Memory)?;
        assert_eq!(buffer.as_ptr() as usize % PAGE_BYTES, 0, "buffers are page-aligned");
        match buffer.read_from(&mut &*file) {
            Ok(0) => return Ok(()),
            Ok(_) if to.send(buffer.freeze()).is_err() => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Failure::io("read", path)(error)),
        }
    }
}

/// The sum of the bytes and their FNV-1a hash, computed over 64-bit words as far as there are whole
/// words.
#[derive(Default, PartialEq)]
struct Sum {
    bytes: u64,
    hash: u64,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.hash = (self.hash ^ u64::from_le_bytes(word)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

fn sum(from: Receiver<Buffer>) -> Sum {
    let mut sum = Sum::default();
    from.into_iter().for_each(|buffer| sum.add(&buffer));
    sum
}

fn run(given: Option<PathBuf>) -> Result<(), Failure> {
    // The file is in the working directory. That is more often on a disk than the folder for
    // temporary files.
    let made = Temporary::new("", "direct_io", "input.tmp");
    let path = match given {
        Some(path) => path,
        None => {
            write_numbers(&made.0, MADE_BYTES / BUFFER_BYTES, BUFFER_BYTES)
                .and_then(|file| file.sync_all())
                .map_err(Failure::io("write", &made.0))?;
            made.0.clone()
        }
    };
    let pool = BufferPool::builder()
        .class(BUFFER_BYTES, BUFFERS)
        .align(PAGE_BYTES)
        .when_empty(WhenEmpty::Wait(Duration::from_secs(60)))
        .build()
        .map_err(Failure::Memory)?;

    let (file, refused) = open(&path, &pool)?;
    match &refused {
        None => println!("reading   '{}' directly (O_DIRECT)", path.display()),
        Some(error) => {
            println!("reading   '{}' through the page cache: O_DIRECT: {error}", path.display())
        }
    }
    let (sender, receiver) = channel();
    let start = Instant::now();
    let sum = thread::scope(|threads| {
        let checker = threads.spawn(|| sum(receiver));
        let done = read(&path, &file, &pool, sender);
        let sum = checker.join().expect("the checker does not panic");
        done.map(|()| sum)
    })?;
    let seconds = start.elapsed().as_secs_f64();

    let mut expected = Sum::default();
    let whole = fs::read(&path).map_err(Failure::io("read", &path))?;
    whole.chunks(BUFFER_BYTES).for_each(|chunk| expected.add(chunk));
    if sum != expected {
        return Err(Failure::Differs("what was read is not what is in the file".into()));
    }
    let stats = pool.stats();
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    println!(
        "read      {:.1} MiB, {:.0} MiB/s, verified",
        mib(sum.bytes),
        mib(sum.bytes) / seconds
    );
    println!(
        "buffers   {} of {} KiB; the reader waited for one {} times",
        stats.classes[0].capacity,
        BUFFER_BYTES >> 10,
        stats.wait_count
    );
    println!("register  {} buffers, numbered, for io_uring and the like", pool.io_blocks().len());
    Ok(())
}

fn main() -> ExitCode {
    run_on_file("direct_io", run)
}
