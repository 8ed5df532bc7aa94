// SPDX-License-Identifier: Apache-2.0
//! Files as buffers: read-only mappings. The system reads a page of the file when it is first
//! touched.
//!
//! On Unix the core opens a path itself. It does not wait for the writer of a pipe, and it opens no
//! device. On Windows the standard library opens the path, because paths there consist of 16-bit
//! units. The standard library ends the process if it has no memory for such a path. If a file is
//! refused, the code asks afterwards what kind of file it is, for the message.

#[cfg(unix)]
use alloc::vec::Vec;
#[cfg(unix)]
use core::ffi::CStr;
use core::ops::{Bound, RangeBounds};
use std::fs::{File, FileType, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;

use super::ask::NONE;
use super::io::whole;
use super::map_error::{MapError, Reason};
use super::range::Written;
use super::view::Buffer;
use crate::ffi;

impl Buffer {
    /// Maps a file, read-only, and makes a view of its content. An empty file makes an empty view.
    ///
    /// A file whose content the system makes when it is read, for example one in `/proc`, cannot be
    /// mapped. Such a file is read to its end instead, and the view is of a copy on the C heap.
    ///
    /// # Errors
    ///
    /// - The error of the system, or [`ErrorKind::OutOfMemory`].
    /// - [`ErrorKind::InvalidInput`] for a path that names no regular file, for a path with a zero
    ///   byte, and for a file larger than the address space. A file that is not regular is not
    ///   opened, and the call does not wait for it. The message says what it is (a directory, a
    ///   pipe, a socket, a device) if the path has at most 255 bytes.
    /// - `EFBIG` for a file that must be read and has more than 64 MiB.
    ///
    /// # Safety
    ///
    /// - Nothing, in this process or any other, changes the file's content while there are handles.
    ///   Otherwise the bytes change under a `&[u8]`.
    /// - Nothing truncates the file during that time. Touching bytes past the new end is a fault
    ///   (`SIGBUS`).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// // SAFETY: nobody changes the file while this test runs.
    /// let text = unsafe { Buffer::map_file("Cargo.toml")? };
    /// assert!(text.starts_with(b"[package]"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub unsafe fn map_file(path: impl AsRef<Path>) -> Result<Self, MapError> {
        // SAFETY: the caller guarantees that nothing changes the file.
        unsafe { Self::map_path(path.as_ref()) }
    }

    #[cfg(unix)]
    unsafe fn map_path(path: &Path) -> Result<Self, MapError> {
        use std::os::unix::ffi::OsStrExt;
        let path_bytes = path.as_os_str().as_bytes();
        let mut c_path = Vec::new();
        c_path.try_reserve_exact(path_bytes.len() + 1).map_err(|_| ErrorKind::OutOfMemory)?;
        c_path.extend_from_slice(path_bytes);
        c_path.push(0);
        let c_path = CStr::from_bytes_with_nul(&c_path).map_err(|_| Reason::ZeroInPath)?;
        let (mut raw, mut os_error) = (NONE, 0);
        // SAFETY: the path ends with a zero byte; the call only writes the rest.
        let status =
            unsafe { ffi::aegis_buffer_map_file(&mut raw, c_path.as_ptr(), &mut os_error) };
        check(status, os_error, || {
            // For a longer path the standard library would allocate memory.
            if path_bytes.len() > SHORT_PATH {
                return Reason::NotRegular(NO_REGULAR_FILE).into();
            }
            outside(std::fs::metadata(path), &..)
        })?;
        // SAFETY: the core has made the buffer. The caller guarantees that its bytes do not change.
        Ok(unsafe { Self::from_raw(raw) })
    }

    #[cfg(windows)]
    unsafe fn map_path(path: &Path) -> Result<Self, MapError> {
        let file = File::open(path).map_err(|error| {
            // A directory cannot be opened like this: the system says that access is denied.
            if path.is_dir() {
                Reason::NotRegular("a directory").into()
            } else {
                MapError::from(error)
            }
        })?;
        // SAFETY: the caller guarantees that nothing changes the file.
        unsafe { Self::map(&file, ..) }
    }

    /// Maps the bytes `range` of a file that is open for reading. The file may be closed after the
    /// call.
    ///
    /// A file that must be read (see [`map_file`](Self::map_file)) is read from its beginning to
    /// the end of the range, whatever its position is. If the file was opened in blocking mode, the
    /// call may wait for it.
    ///
    /// # Errors
    ///
    /// As [`map_file`](Self::map_file), and [`ErrorKind::InvalidInput`] for a range that is not
    /// inside the file.
    ///
    /// # Safety
    ///
    /// - Nothing, in this process or any other, changes the file's content while there are handles.
    ///   Otherwise the bytes change under a `&[u8]`.
    /// - Nothing truncates the file during that time. Touching bytes past the new end is a fault
    ///   (`SIGBUS`).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    /// use std::fs::File;
    ///
    /// let file = File::open("Cargo.toml")?;
    /// // SAFETY: nothing changes the file meanwhile.
    /// let start = unsafe { Buffer::map(&file, ..9)? };
    /// assert_eq!(start.len(), 9);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub unsafe fn map(file: &File, range: impl RangeBounds<u64>) -> Result<Self, MapError> {
        let (offset, length) = piece(&range).ok_or_else(|| outside(file.metadata(), &range))?;
        let (mut raw, mut os_error) = (NONE, 0);
        // SAFETY: the descriptor is open during the call, which only writes the rest.
        let status = unsafe {
            ffi::aegis_buffer_map_descriptor(
                &mut raw,
                descriptor(file),
                offset,
                length,
                &mut os_error,
            )
        };
        check(status, os_error, || outside(file.metadata(), &range))?;
        // SAFETY: the core has made the buffer. The caller guarantees that its bytes do not change.
        Ok(unsafe { Self::from_raw(raw) })
    }

    /// Checks whether a mapped file is still as long as its mapping at the moment of the call. `Ok`
    /// for a buffer of any other kind.
    ///
    /// The calls that copy the bytes of a buffer or a chain themselves make this check first, and
    /// fail where the copy would fault. They are [`into_mut`](Self::into_mut),
    /// [`compact`](Self::compact), [`BufferChain::into_buffer`](super::BufferChain::into_buffer),
    /// reading through [`std::io::Read`] and [`BufRead`](std::io::BufRead),
    /// [`BufferChain::write_vectored_to`](super::BufferChain::write_vectored_to), and `Buf`'s
    /// `copy_to_slice`, `try_copy_to_slice` and `copy_to_bytes`.
    ///
    /// There is no such check in these cases:
    ///
    /// - Code that uses a plain slice of the bytes: dereferencing, comparing, hashing, `Buf`'s
    ///   `chunk`, code that is given the slice, and code that reads through `chunk`, such as
    ///   `Buf`'s `get_u8` and similar methods and `BufMut`'s `put`.
    /// - A buffer of another kind whose owner is this buffer: one made by
    ///   [`from_owner`](Self::from_owner), or from a `Bytes` that was made from this buffer. It
    ///   does not know that there is a file.
    ///
    /// The check does not help either if the file is truncated between the check and the copy.
    ///
    /// Only lengths are compared. A file that was truncated and has grown again passes. Touching
    /// its bytes is no fault, but the bytes past the truncation are zero or what was written later.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnexpectedEof`] when the file was truncated.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// // SAFETY: nothing changes the file meanwhile.
    /// let manifest = unsafe { Buffer::map_file("Cargo.toml")? };
    /// manifest.check_file()?;
    /// println!("{} bytes", manifest.iter().count());
    /// # Ok::<(), std::io::Error>(())
    ///
    /// ```
    pub fn check_file(&self) -> io::Result<()> {
        whole(self.is_whole(usize::MAX))
    }
}

/// The result of a mapping from the status of the core. `reason` gives the error for a mapping that
/// can never be made.
fn check(
    status: ffi::aegis_status,
    os_error: i32,
    reason: impl FnOnce() -> MapError,
) -> Result<(), MapError> {
    match status {
        0 => Ok(()),
        ffi::AEGIS_E_IO if os_error != 0 => Err(io::Error::from_raw_os_error(os_error).into()),
        ffi::AEGIS_E_OUT_OF_MEMORY => Err(ErrorKind::OutOfMemory.into()),
        ffi::AEGIS_E_INVALID | ffi::AEGIS_E_INVALID_LAYOUT => Err(reason()),
        _ => Err(ErrorKind::Other.into()),
    }
}

const NO_REGULAR_FILE: &str = "what is no regular file";

/// The longest path, in bytes, that this code passes to the standard library. The standard library
/// has room for 384 bytes on the stack, so it does not allocate for such a path.
#[cfg(unix)]
const SHORT_PATH: usize = 255;

/// The name of a kind of file that is not regular.
fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        return "a directory";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a pipe";
        } else if kind.is_socket() {
            return "a socket";
        } else if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    NO_REGULAR_FILE
}

/// The error for a file, or a range of a file, that can never be mapped.
fn outside(data: io::Result<Metadata>, range: &impl RangeBounds<u64>) -> MapError {
    let data = match data {
        Ok(data) => data,
        Err(error) => return error.into(),
    };
    if !data.is_file() {
        return Reason::NotRegular(name_of(data.file_type())).into();
    }
    let range = Written(range.start_bound().cloned(), range.end_bound().cloned());
    Reason::Range(range, data.len()).into()
}

/// Offset and length as C expects them. The length `usize::MAX` means up to the file's end.
fn piece(range: &impl RangeBounds<u64>) -> Option<(u64, usize)> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.checked_add(1)?,
        Bound::Excluded(&end) => end,
        Bound::Unbounded => return Some((start, usize::MAX)),
    };
    let length = usize::try_from(end.checked_sub(start)?).ok()?;
    (length != usize::MAX).then_some((start, length))
}

#[cfg(unix)]
fn descriptor(file: &File) -> isize {
    use std::os::fd::AsRawFd;
    file.as_raw_fd() as isize
}

#[cfg(windows)]
fn descriptor(file: &File) -> isize {
    use std::os::windows::io::AsRawHandle;
    file.as_raw_handle() as isize
}
