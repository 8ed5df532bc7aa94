// SPDX-License-Identifier: Apache-2.0
//! `std::io`: buffers and chains are read from the front, and writers are written to. Vectored
//! calls read or write several buffers at a time.
//!
//! User code that implements [`Read`] or [`Write`] is not trusted:
//!
//! 1. A reader is safe code and may look at the memory that it is given. So `initialized_room`
//!    clears room before the first reader gets it.
//! 2. A count that is larger than the room, or than the bytes that were given to a writer, is a
//!    panic.
//! 3. The number that a count is compared with is computed before the call. For a reader it is the
//!    room in all writers, because a reader may change the table that it is given. For a writer it
//!    is the bytes in one table, because a writer sees no more of a chain than that.

use alloc::vec::Vec;
use core::borrow::BorrowMut;
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

/// The most buffers in one vectored write. They are enough that the cost of the system call itself
/// does not matter, and few enough for the stack. The number is below the limit of every system
/// (`IOV_MAX`, 1024 on most).
const BATCH: usize = 64;

#[cfg(unix)]
extern "C" {
    /// The function of the C library, which the standard library links.
    fn read(file: c_int, into: *mut c_void, size: usize) -> isize;
}

/// `Err` if `is_whole` is false: the bytes lie in a mapped file that was truncated. The error has
/// no text of its own, because `io::Error` would have to allocate for one.
pub(super) fn whole(is_whole: bool) -> io::Result<()> {
    if is_whole {
        Ok(())
    } else {
        Err(ErrorKind::UnexpectedEof.into())
    }
}

/// Reading takes bytes from the front. It fails with [`ErrorKind::UnexpectedEof`] if they lie in a
/// mapped file that was truncated. Then nothing is taken.
impl Read for Buffer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.len().min(into.len());
        whole(self.is_whole(count))?;
        into[..count].copy_from_slice(&self[..count]);
        if count < self.len() {
            self.advance(count);
        } else {
            // If the owner panics in its drop, the panic ends here, and the bytes read are
            // returned.
            unwind::call_keeping(|()| true, || drop_inside(mem::take(self)));
        }
        Ok(count)
    }
}

/// `fill_buf` returns all bytes at once. For a mapped file, each call checks whether it was
/// truncated.
impl BufRead for Buffer {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        whole(self.is_whole(self.len()))?;
        Ok(self)
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}

/// Reading takes bytes from the front. It fails with [`ErrorKind::UnexpectedEof`] if the first of
/// them lie in a mapped file that was truncated. Then nothing is taken.
impl Read for BufferChain {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // If the owner of a buffer without bytes left panics in its drop, the panic ends here, and
        // the bytes read are returned.
        unwind::call_keeping(Result::is_ok, || {
            let mut done = 0;
            while done < into.len() && !self.is_empty() {
                if !self.is_whole(1) {
                    // A truncated file does not lose them either: the next call reports it.
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

/// `fill_buf` returns one buffer at a time. For a mapped file, each call checks whether it was
/// truncated.
impl BufRead for BufferChain {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        whole(self.is_whole(1))?;
        Ok(self.front())
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}

/// Appends as many bytes as fit. A full writer accepts 0 bytes, which `write_all` reports as
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
    /// Appends the bytes of one call of `read`, at most as many as there is room for, and returns
    /// their number. It is 0 at the end of the input, or without room.
    ///
    /// Room is cleared once, before a reader sees it for the first time. So many small reads cost
    /// only what they read. If a reader claims more bytes than it has stored, the others are
    /// zeroes, or bytes that an earlier reader has stored in the same room.
    /// [`read_from_fd`](Self::read_from_fd) needs no cleared room.
    ///
    /// # Errors
    ///
    /// The error of the reader. Nothing is appended.
    ///
    /// # Panics
    ///
    /// When the reader claims to have read more bytes than there was room for.
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

    /// Appends the bytes of one `read(2)` of a file, pipe or socket, at most as many as there is
    /// room for, and returns their number. It is 0 at the end of the input, or without room. The
    /// system stores the bytes, so no room is cleared.
    ///
    /// # Errors
    ///
    /// The error of the system, [`ErrorKind::Interrupted`] and [`ErrorKind::WouldBlock`] included.
    /// Nothing is appended.
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
        // Some systems accept no more than this, and no system reads more at once.
        const MOST: usize = c_int::MAX as usize - 1;
        let file = file.as_fd();
        let room = self.room_mut();
        let (into, most) = (room.as_mut_ptr(), room.len().min(MOST));
        // SAFETY: the descriptor is borrowed, and there is room for `most` bytes.
        let count = unsafe { read(file.as_raw_fd(), into.cast(), most) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the system has stored `count` bytes behind the bytes written.
        unsafe { self.set_len(self.len() + count) };
        Ok(count)
    }

    /// The room behind the bytes written, with every byte of it initialised.
    fn initialized_room(&mut self) -> &mut [u8] {
        let begun = self.raw().initialized.saturating_sub(self.len());
        let room = self.room_mut();
        // The bytes before `begun` are initialised already.
        room[begun..].fill(MaybeUninit::new(0));
        let room: *mut [MaybeUninit<u8>] = room;
        self.raw_mut().initialized = self.capacity();
        // SAFETY: every byte was written at some time, and the borrow is that of `self`.
        unsafe { &mut *(room as *mut [u8]) }
    }

    /// Counts the first `count` bytes of an initialised room as written.
    fn claim(&mut self, count: usize) {
        if count > self.remaining_capacity() {
            let room = self.remaining_capacity();
            range::beyond("a reader's claim of", count, "a room of", room);
        }
        let len = self.len() + count;
        // `borrow_mut` of a caller's type decides which writer this is.
        assert!(count == 0 || len <= self.raw().initialized, "another writer than before the read");
        // SAFETY: the writer has that much room, and the room is initialised.
        unsafe { self.set_len(len) };
    }
}

/// Fills several writers with one vectored read, and returns how many bytes were read. The writers
/// are a slice of [`BufferMut`] or of `&mut BufferMut`. Each writer is filled to its capacity before the next one gets bytes. Their room is initialised as in
/// [`BufferMut::read_from`].
///
/// # Errors
///
/// The error of the reader, and [`ErrorKind::OutOfMemory`] when there is no memory for the table of
/// the writers. Nothing is appended.
///
/// # Panics
///
/// When the reader claims to have read more bytes than there was room for. Also when `borrow_mut` of
/// a type of the caller's returns another writer after the read than before it.
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
/// let [head, body] = &mut parts;
/// let mut writers = [body, head]; // in another order, and without moving them
/// assert_eq!(buffer::read_vectored(&mut &b"more"[..], &mut writers)?, 4);
/// assert_eq!(parts[1], "bodymore");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_vectored<R: Read + ?Sized, W: BorrowMut<BufferMut>>(
    reader: &mut R,
    writers: &mut [W],
) -> io::Result<usize> {
    let mut rooms = Vec::new();
    if rooms.try_reserve_exact(writers.len()).is_err() {
        return Err(ErrorKind::OutOfMemory.into());
    }
    rooms.extend(
        writers.iter_mut().map(|writer| IoSliceMut::new(writer.borrow_mut().initialized_room())),
    );
    let room = rooms.iter().map(|room| room.len()).fold(0, usize::saturating_add);
    // The reader may shorten the entries of the table, as `IoSliceMut::advance_slices` does.
    let count = reader.read_vectored(&mut rooms)?;
    if count > room {
        range::beyond("a reader's claim of", count, "a room of", room);
    }
    let mut left = count;
    for writer in writers {
        let writer = writer.borrow_mut();
        let part = left.min(writer.remaining_capacity());
        writer.claim(part);
        left -= part;
    }
    Ok(count)
}

impl BufferChain {
    /// The buffers as a table for a vectored write.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// # let mut message: BufferChain = [Buffer::from("head"), Buffer::from("body")].into();
    /// let table = message.as_io_slices();
    /// assert_eq!((table.len(), &*table[1]), (2, &b"body"[..]));
    /// ```
    pub fn as_io_slices(&self) -> Vec<IoSlice<'_>> {
        self.iter().map(|part| IoSlice::new(part)).collect()
    }

    /// Fills a table for a vectored write with the first buffers, and returns how many entries it
    /// has filled. The other entries stay unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// # let mut message: BufferChain = [Buffer::from("head"), Buffer::from("body")].into();
    /// use std::io::IoSlice;
    /// let mut table = [IoSlice::new(b""); 8];
    /// assert_eq!(message.fill_io_slices(&mut table), 2);
    /// ```
    pub fn fill_io_slices<'a>(&'a self, table: &mut [IoSlice<'a>]) -> usize {
        let parts = table.iter_mut().zip(self.iter());
        parts.map(|(entry, part)| *entry = IoSlice::new(part)).count()
    }

    /// Writes all bytes with as many vectored writes as are needed, and drops the bytes that were
    /// written from the front of the chain. To keep the chain, clone it before.
    ///
    /// # Errors
    ///
    /// The bytes that were not written stay in the chain.
    ///
    /// - The error of the writer, except [`ErrorKind::Interrupted`]: then the write is tried again.
    /// - [`ErrorKind::WriteZero`] when the writer accepts no more bytes.
    /// - [`ErrorKind::UnexpectedEof`] when a part lies in a mapped file that was truncated.
    ///
    /// # Panics
    ///
    /// When the writer claims to have written more bytes than it was given. The chain keeps the
    /// bytes that it had before that call of the writer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// # let mut message: BufferChain = [Buffer::from("head"), Buffer::from("body")].into();
    /// let mut sent = Vec::new();
    /// message.write_vectored_to(&mut sent)?;
    /// assert!(message.is_empty() && sent == b"headbody");
    /// # Ok::<(), std::io::Error>(())
    ///
    /// ```
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
