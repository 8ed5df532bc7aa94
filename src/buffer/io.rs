// SPDX-License-Identifier: Apache-2.0
//! `std::io`: buffers and chains are read from the front, writers are written to; many at a time
//! with vectored calls.
//!
//! A [`Read`] is safe code and may look at the memory it is given, so room is cleared before the first
//! reader gets it, and a count that it cannot have read is a panic. What a count is held against is
//! known before the call: a reader may change the table that it is given, and a writer sees no more
//! of a chain than one table has.

use alloc::vec::Vec;
use core::mem::{self, MaybeUninit};
use std::io::{self, BufRead, ErrorKind, IoSlice, IoSliceMut, Read, Write};
#[cfg(unix)]
use std::{
    ffi::{c_int, c_void},
    os::fd::{AsFd, AsRawFd},
};

use super::chain::BufferChain;
use super::range;
use super::view::{drop_inside, Buffer};
use super::writer::BufferMut;
use crate::unwind;

/// Buffers in one vectored write: enough that the system call's own cost does not matter, few
/// enough for the stack, and below what any system takes (`IOV_MAX`, 1024 on most).
const BATCH: usize = 64;

#[cfg(unix)]
extern "C" {
    /// The C library's, which the standard library is linked to.
    fn read(file: c_int, into: *mut c_void, size: usize) -> isize;
}

/// `Err` when the bytes are those of a mapped file that was truncated. Without a text of its own, for
/// which `io::Error` would have to allocate.
pub(super) fn whole(is_whole: bool) -> io::Result<()> {
    if is_whole {
        Ok(())
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}

/// Reading takes bytes from the front. [`ErrorKind::UnexpectedEof`] when they are those of a mapped
/// file that was truncated; nothing is taken then.
impl Read for Buffer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.len().min(into.len());
        whole(self.is_whole(count))?;
        into[..count].copy_from_slice(&self[..count]);
        if count < self.len() {
            self.advance(count);
        } else {
            // What was read is not lost to a panic of the owner.
            unwind::call_keeping(|()| true, || drop_inside(mem::take(self)));
        }
        Ok(count)
    }
}

/// All bytes are there at once. Of a mapped file it is asked each time whether it was truncated.
impl BufRead for Buffer {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        whole(self.is_whole(self.len()))?;
        Ok(self)
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}

/// Reading takes bytes from the front. [`ErrorKind::UnexpectedEof`] when the first of them are those
/// of a mapped file that was truncated; nothing is taken then.
impl Read for BufferChain {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // What was read is not lost to a panic of the owner of a buffer that is used up.
        unwind::call_keeping(Result::is_ok, || {
            let mut done = 0;
            while done < into.len() && !self.is_empty() {
                if !self.is_whole(1) {
                    // Nor to the end of a file: the next call says so.
                    whole(done != 0)?;
                    break;
                }
                let front = self.front();
                let count = front.len().min(into.len() - done);
                into[done..done + count].copy_from_slice(&front[..count]);
                self.skip(count);
                done += count;
            }
            Ok(done)
        })
    }
}

/// A buffer at a time. Of a mapped file it is asked each time whether it was truncated.
impl BufRead for BufferChain {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        whole(self.is_whole(1))?;
        Ok(self.front())
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}

/// Appends what fits: a full writer accepts 0 bytes, which `write_all` reports as
/// [`ErrorKind::WriteZero`].
impl Write for BufferMut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.remaining_capacity());
        self.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let before = self.len();
        for bytes in slices {
            if self.write(bytes)? < bytes.len() {
                break;
            }
        }
        Ok(self.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BufferMut {
    /// Appends what one call of `read` yields, at most what there is room for, and says how many
    /// bytes that were: 0 at the end, or without room.
    ///
    /// Room is cleared before a reader sees it for the first time, and only then: many small reads
    /// cost what they read. So a reader that claims more than it has stored leaves zeroes, or what an
    /// earlier reader of the same room has stored. See [`read_from_fd`](Self::read_from_fd) for what
    /// needs nothing cleared.
    ///
    /// # Errors
    ///
    /// What the reader says; nothing is appended.
    ///
    /// # Panics
    ///
    /// When the reader claims to have read more than there was room for.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::BufferMut;
    ///
    /// let mut input = &b"from anywhere"[..];
    /// let mut page = BufferMut::with_capacity(4);
    /// assert_eq!(page.read_from(&mut input)?, 4);
    /// assert_eq!(page, "from");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_from<R: Read + ?Sized>(&mut self, reader: &mut R) -> io::Result<usize> {
        let count = reader.read(self.initialized_room())?;
        self.claim(count);
        Ok(count)
    }

    /// Appends what one `read(2)` of a file, pipe or socket yields, at most what there is room for,
    /// and says how many bytes that were: 0 at the end, or without room. The system stores the bytes,
    /// so no room is cleared.
    ///
    /// # Errors
    ///
    /// What the system says, [`ErrorKind::Interrupted`] and [`ErrorKind::WouldBlock`] included;
    /// nothing is appended.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::BufferPool;
    /// use std::fs::File;
    ///
    /// let mut page = BufferPool::new(4096, 1).get(4096)?;
    /// page.read_from_fd(&File::open("Cargo.toml")?)?;
    /// assert!(page.starts_with(b"[package]"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    pub fn read_from_fd(&mut self, file: impl AsFd) -> io::Result<usize> {
        // More than some systems accept, and than any reads at once.
        const MOST: usize = c_int::MAX as usize - 1;
        let file = file.as_fd();
        let room = self.room_mut();
        let (into, most) = (room.as_mut_ptr(), room.len().min(MOST));
        // SAFETY: the descriptor is borrowed, and there is room for as many bytes.
        let count = unsafe { read(file.as_raw_fd(), into.cast(), most) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the system has stored that many bytes behind those written.
        unsafe { self.set_len(self.len() + count) };
        Ok(count)
    }

    /// The room, every byte of it initialised.
    fn initialized_room(&mut self) -> &mut [u8] {
        let begun = self.raw().initialized.saturating_sub(self.len());
        let room = self.room_mut();
        // Bytes below are so already.
        room[begun..].fill(MaybeUninit::new(0));
        let room: *mut [MaybeUninit<u8>] = room;
        self.raw_mut().initialized = self.capacity();
        // SAFETY: every byte was written at some time, and the borrow is that of `self`.
        unsafe { &mut *(room as *mut [u8]) }
    }

    /// Counts `count` bytes of an initialised room as written.
    fn claim(&mut self, count: usize) {
        if count > self.remaining_capacity() {
            let room = self.remaining_capacity();
            range::beyond("a reader's claim of", count, "a room of", room);
        }
        // SAFETY: there is room, which is initialised.
        unsafe { self.set_len(self.len() + count) };
    }
}

/// Fills several writers with one vectored read, each to its capacity before the next gets bytes,
/// and says how many bytes were read. Their room is initialised as in [`BufferMut::read_from`].
///
/// # Errors
///
/// What the reader says, and [`ErrorKind::OutOfMemory`] when there is no memory for the table of the
/// writers; nothing is appended.
///
/// # Panics
///
/// When the reader claims to have read more than there was room for.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::{self, BufferMut};
///
/// let mut input = &b"headbody"[..];
/// let mut parts = [BufferMut::with_capacity(4), BufferMut::with_capacity(16)];
/// assert_eq!(buffer::read_vectored(&mut input, &mut parts)?, 8);
/// assert!(parts[0] == "head" && parts[1] == "body");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_vectored<R: Read + ?Sized>(
    reader: &mut R,
    writers: &mut [BufferMut],
) -> io::Result<usize> {
    let mut rooms = Vec::new();
    if rooms.try_reserve_exact(writers.len()).is_err() {
        return Err(ErrorKind::OutOfMemory.into());
    }
    rooms.extend(writers.iter_mut().map(|writer| IoSliceMut::new(writer.initialized_room())));
    let room = rooms.iter().map(|room| room.len()).fold(0, usize::saturating_add);
    // The reader may leave less in the table than was there: `IoSliceMut::advance_slices` does.
    let count = reader.read_vectored(&mut rooms)?;
    if count > room {
        range::beyond("a reader's claim of", count, "a room of", room);
    }
    let mut left = count;
    for writer in writers {
        let part = left.min(writer.remaining_capacity());
        writer.claim(part);
        left -= part;
    }
    Ok(count)
}

impl BufferChain {
    /// The buffers as a table for a vectored write.
    pub fn as_io_slices(&self) -> Vec<IoSlice<'_>> {
        self.iter().map(|part| IoSlice::new(part)).collect()
    }

    /// Fills in a table for a vectored write with the first buffers, and says with how many. The
    /// entries behind are left as they are.
    pub fn fill_io_slices<'a>(&'a self, table: &mut [IoSlice<'a>]) -> usize {
        let parts = table.iter_mut().zip(self.iter());
        parts.map(|(entry, part)| *entry = IoSlice::new(part)).count()
    }

    /// Writes all bytes with vectored writes, as many as it takes, and drops what was written from
    /// the front. Clone the chain before to keep it.
    ///
    /// # Errors
    ///
    /// What the writer says, interruptions aside, which are tried again;
    /// [`ErrorKind::WriteZero`] when it accepts no more; and [`ErrorKind::UnexpectedEof`] when a part
    /// is of a mapped file that was truncated. What was not written is left in the chain.
    ///
    /// # Panics
    ///
    /// When the writer claims to have written more than it was given; the chain keeps what it had
    /// before that call.
    pub fn write_vectored_to<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        while !self.is_empty() {
            let mut table = [IoSlice::new(&[]); BATCH];
            let filled = self.fill_io_slices(&mut table);
            let table = &table[..filled];
            let given = table.iter().map(|part| part.len()).sum();
            whole(self.is_whole(given))?;
            match writer.write_vectored(table) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) if count > given => {
                    range::beyond("a writer's claim of", count, "a table of", given)
                }
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
