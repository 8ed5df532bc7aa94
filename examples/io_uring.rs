// SPDX-License-Identifier: Apache-2.0
//! Registers the blocks of a buffer pool with the kernel and reads a file into them with `io_uring`
//! (Linux 5.1 or later). The kernel pins a registered block once, not for each read, and a read
//! names it by its index. The pool knows the index of each block: `io_blocks` is the table to
//! register, and `id_of_mut` the place of a buffer in that table.
//!
//! If the kernel refuses, the example says why and reads into the same blocks with `read(2)`. On
//! other systems it does so too.
//!
//! ```text
//! cargo run --release --example io_uring [FILE]    (default: 16 MiB made for the purpose)
//! ```

mod support;

use aegis_memory::buffer::{Buffer, BufferPool};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use support::{run_on_file, write_numbers, Failure, Temporary};

const BLOCK_BYTES: usize = 64 << 10;
const BLOCKS: usize = 32;
const MADE_BYTES: usize = 16 << 20;

/// Why the blocks are not registered.
struct Refusal {
    /// The step that failed.
    step: &'static str,
    error: io::Error,
}

impl Refusal {
    /// What the user can do about it.
    fn advice(&self) -> String {
        #[cfg(target_os = "linux")]
        match self.error.raw_os_error() {
            Some(libc::ENOSYS) => return "this kernel, or a sandbox, has no io_uring".into(),
            Some(libc::EPERM | libc::EACCES) => {
                return "a sandbox or the setting kernel.io_uring_disabled forbids it".into()
            }
            Some(libc::ENOMEM) => {
                let kib = (BLOCKS * BLOCK_BYTES) >> 10;
                return format!("the limit of locked memory is below {kib} KiB: see ulimit -l");
            }
            _ => {}
        }
        "this system does without".into()
    }
}

#[cfg(target_os = "linux")]
mod ring {
    use super::{Refusal, BLOCKS, BLOCK_BYTES};
    use aegis_memory::buffer::{Buffer, BufferMut, BufferPool};
    use io_uring::{opcode, types, IoUring};
    use std::fs::File;
    use std::io::{self, ErrorKind};
    use std::mem;
    use std::os::fd::AsRawFd;

    /// A read that the kernel has not finished, and the buffer that it writes to.
    struct Pending {
        buffer: BufferMut,
        offset: u64,
        wanted: usize,
    }

    /// A ring with the blocks of a pool registered.
    pub struct Ring<'p> {
        ring: IoUring,
        /// The registered memory. It outlives the ring.
        pool: &'p BufferPool,
        /// One place for each block, with the same index.
        pending: Vec<Option<Pending>>,
    }

    impl<'p> Ring<'p> {
        pub fn new(pool: &'p BufferPool) -> Result<Self, Refusal> {
            let refused = |step| move |error| Refusal { step, error };
            let ring = IoUring::new(BLOCKS as u32).map_err(refused("io_uring_setup"))?;
            let table: Vec<_> = pool
                .io_blocks()
                .iter()
                .map(|block| libc::iovec { iov_base: block.base.cast(), iov_len: block.len })
                .collect();
            // SAFETY: the pool outlives the ring and does not grow, so its blocks stay where they
            // are. (The blocks of a class that grows and is trimmed would have to be registered
            // again.)
            unsafe { ring.submitter().register_buffers(&table) }
                .map_err(refused("registering the blocks"))?;
            let pending = table.iter().map(|_| None).collect();
            Ok(Self { ring, pool, pending })
        }

        /// Reads `size` bytes of a file and calls `each` with every piece and its offset, in the
        /// order in which the kernel is ready with them.
        pub fn read(
            mut self,
            file: &File,
            size: u64,
            mut each: impl FnMut(u64, Buffer),
        ) -> io::Result<()> {
            let mut next = 0;
            loop {
                while next < size {
                    let Ok(buffer) = self.pool.get(BLOCK_BYTES) else { break };
                    let wanted = (size - next).min(BLOCK_BYTES as u64) as usize;
                    self.start(file, Pending { buffer, offset: next, wanted })?;
                    next += wanted as u64;
                }
                if self.pending.iter().all(Option::is_none) {
                    // The pool has no block left, because `each` has kept them all.
                    let all = next == size;
                    return if all { Ok(()) } else { Err(ErrorKind::OutOfMemory.into()) };
                }
                for (mut read, result) in self.finished()? {
                    let count = usize::try_from(result);
                    match count.map_err(|_| io::Error::from_raw_os_error(-result)) {
                        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                        // SAFETY: the kernel has written that many bytes behind those before.
                        Ok(count) => unsafe { read.buffer.set_len(read.buffer.len() + count) },
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                    if read.buffer.len() < read.wanted {
                        self.start(file, read)?;
                    } else {
                        each(read.offset, read.buffer.freeze());
                    }
                }
            }
        }

        /// Queues the read of what is missing of a piece.
        fn start(&mut self, file: &File, mut read: Pending) -> io::Result<()> {
            // The index under which the kernel knows the block.
            let id = self.pool.id_of_mut(&read.buffer).expect("the buffer is the pool's");
            let done = read.buffer.len();
            let left = (read.wanted - done) as u32;
            // SAFETY: `wanted` is at most the capacity.
            let into = unsafe { read.buffer.as_mut_ptr().add(done) };
            let entry = opcode::ReadFixed::new(types::Fd(file.as_raw_fd()), into, left, id as u16)
                .offset(read.offset + done as u64)
                .build()
                .user_data(id as u64);
            self.pending[id] = Some(read);
            // SAFETY: the buffer is in `pending` until the kernel has finished the read, and the
            // file is open that long: see `drop`.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            pushed.map_err(|full| {
                self.pending[id] = None;
                io::Error::other(full)
            })
        }

        /// Waits for at least one read, and returns those that are finished, with their results. The
        /// kernel does not write to their buffers any more, so they are not pending any more.
        fn finished(&mut self) -> io::Result<Vec<(Pending, i32)>> {
            loop {
                match self.ring.submit_and_wait(1) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                    Ok(_) => break,
                }
            }
            let (entries, pending) = (self.ring.completion(), &mut self.pending);
            Ok(entries
                .filter_map(|entry| {
                    Some((pending[entry.user_data() as usize].take()?, entry.result()))
                })
                .collect())
        }
    }

    impl Drop for Ring<'_> {
        /// Waits for the reads that an error has left, because the kernel still writes to their
        /// buffers.
        fn drop(&mut self) {
            while self.pending.iter().any(Option::is_some) {
                if self.finished().is_err() {
                    // Nothing is known of them any more: their blocks are not used again.
                    return mem::forget(mem::take(&mut self.pending));
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod ring {
    use super::Refusal;
    use aegis_memory::buffer::{Buffer, BufferPool};
    use std::fs::File;
    use std::io;

    /// A ring, of which there are none on this system.
    pub enum Ring {}

    impl Ring {
        pub fn new(_pool: &BufferPool) -> Result<Self, Refusal> {
            let error = io::Error::new(io::ErrorKind::Unsupported, "only Linux has io_uring");
            Err(Refusal { step: "io_uring", error })
        }

        pub fn read(self, _: &File, _: u64, _: impl FnMut(u64, Buffer)) -> io::Result<()> {
            match self {}
        }
    }
}

/// Reads the file into the same blocks with one call of the system for each.
fn read_plainly(
    path: &Path,
    mut file: &File,
    pool: &BufferPool,
    mut each: impl FnMut(u64, Buffer),
) -> Result<(), Failure> {
    let mut offset = 0;
    loop {
        let mut buffer = pool.get(BLOCK_BYTES).map_err(Failure::Memory)?;
        let count = buffer.read_from(&mut file).map_err(Failure::io("read", path))?;
        if count == 0 {
            return Ok(());
        }
        each(offset, buffer.freeze());
        offset += count as u64;
    }
}

fn read(path: &Path, pool: &BufferPool, each: impl FnMut(u64, Buffer)) -> Result<(), Failure> {
    let file = File::open(path).map_err(Failure::io("open", path))?;
    match ring::Ring::new(pool) {
        Ok(ring) => {
            println!("ring      {BLOCKS} blocks of {} KiB are registered", BLOCK_BYTES >> 10);
            let size = file.metadata().map_err(Failure::io("look at", path))?.len();
            ring.read(&file, size, each).map_err(Failure::io("read", path))
        }
        Err(refusal) => {
            println!("no ring   {}: {}", refusal.step, refusal.error);
            println!("          {}", refusal.advice());
            println!("fallback  one read(2) for each block");
            read_plainly(path, &file, pool, each)
        }
    }
}

fn run(given: Option<PathBuf>) -> Result<(), Failure> {
    let made = Temporary::new(std::env::temp_dir(), "io_uring", "input");
    let path = match given {
        Some(path) => path,
        None => {
            write_numbers(&made.0, MADE_BYTES / BLOCK_BYTES, BLOCK_BYTES)
                .map_err(Failure::io("write", &made.0))?;
            made.0.clone()
        }
    };
    let pool = BufferPool::try_new(BLOCK_BYTES, BLOCKS).map_err(Failure::Memory)?;
    let expected = fs::read(&path).map_err(Failure::io("read", &path))?;
    let (mut pieces, mut bytes, mut wrong) = (0, 0, None);
    read(&path, &pool, |offset, buffer| {
        let at = offset as usize;
        if expected.get(at..at + buffer.len()) != Some(&*buffer) {
            wrong.get_or_insert(at);
        }
        pieces += 1;
        bytes += buffer.len();
    })?;
    if wrong.is_some() || bytes != expected.len() {
        let at = wrong.unwrap_or(bytes);
        return Err(Failure::Differs(format!("the bytes from {at} on are not those of the file")));
    }
    println!("read      {bytes} bytes in {pieces} pieces, verified");
    println!("pool      {} of {BLOCKS} blocks are out", pool.stats().classes[0].in_use);
    Ok(())
}

fn main() -> ExitCode {
    run_on_file("io_uring", run)
}
