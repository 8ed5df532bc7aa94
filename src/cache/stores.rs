// SPDX-License-Identifier: Apache-2.0
//! The stores that are built in: a file, and memory. The core calls them without a way through
//! Rust.

use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt;
use core::ptr;
use std::fs::File;
use std::io;
use std::path::Path;

use super::error::{io_error, CacheError};
use super::store::{OwnedStore, PageStore, PageWrite, NO_STORE};
use crate::budget::MemoryBudget;
use crate::ffi;
use crate::sealed::Key;

/// Implements [`PageStore`] for a store that the core has made.
macro_rules! core_store {
    ($name:ident) => {
        impl PageStore for $name {
            fn read(&self, first_page: u64, pages: &mut [&mut [u8]]) -> io::Result<usize> {
                self.0.read(first_page, pages)
            }

            fn write_batch(&self, pages: &[PageWrite<'_>]) -> io::Result<()> {
                self.0.write_batch(pages)
            }

            fn sync(&self) -> io::Result<()> {
                self.0.sync()
            }

            fn len(&self, page_size: usize) -> io::Result<u64> {
                self.0.len(page_size)
            }

            fn truncate(&self, pages: u64, page_size: usize) -> io::Result<()> {
                self.0.truncate(pages, page_size)
            }

            fn into_owned(self, _: Key) -> Result<OwnedStore, CacheError> {
                Ok(self.0)
            }
        }
    };
}

pub(super) use core_store;

/// How a [`FileStore`] is opened: by default for reading and writing a file that is there, through
/// the system's cache.
///
/// # Examples
///
/// ```
/// let options = aegis_memory::cache::FileOptions::new().create().direct();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FileOptions {
    flags: u32,
}

impl FileOptions {
    /// The defaults.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = aegis_memory::cache::FileOptions::new();
    /// ```
    pub const fn new() -> Self {
        Self { flags: 0 }
    }

    /// Makes the file if there is none, and makes its name durable.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = aegis_memory::cache::FileOptions::new().create();
    /// ```
    #[must_use]
    pub const fn create(self) -> Self {
        Self { flags: self.flags | ffi::AEGIS_STORE_CREATE }
    }

    /// Transfers do not go through the system's cache (`O_DIRECT`). The size of pages must then be
    /// a multiple of what the device asks for; 4096 bytes are enough for all usual ones. Of a file
    /// that is open already it says that it was opened so.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = aegis_memory::cache::FileOptions::new().direct();
    /// ```
    #[must_use]
    pub const fn direct(self) -> Self {
        Self { flags: self.flags | ffi::AEGIS_STORE_DIRECT }
    }

    /// The file is for reading only. Writes are errors.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = aegis_memory::cache::FileOptions::new().read_only();
    /// ```
    #[must_use]
    pub const fn read_only(self) -> Self {
        Self { flags: self.flags | ffi::AEGIS_STORE_READ_ONLY }
    }
}

/// A regular file as a store: page `n` is at the offset `n` times the size of a page.
///
/// Neighbouring pages are transferred with one system call where the system can. `sync` is
/// `fdatasync`, `F_FULLFSYNC` or `FlushFileBuffers`. The file is not locked against other programs.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{FileOptions, FileStore, PageCache};
///
/// # let path = std::env::temp_dir().join(format!("aegis-doc-store-{}", std::process::id()));
/// let cache = PageCache::new(64);
/// let file = cache.open(FileStore::open(&path, FileOptions::new().create())?)?;
/// cache.fresh(file, 2)?[0] = 7;
/// cache.close(file)?; // writes and syncs
/// assert_eq!(std::fs::read(&path)?.len(), 3 * 4096);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct FileStore(OwnedStore);

impl FileStore {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// When the system refuses, when it is not a regular file, or when there is no memory.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{FileOptions, FileStore};
    /// assert!(FileStore::open("/no such file", FileOptions::new()).is_err());
    /// ```
    pub fn open(path: impl AsRef<Path>, options: FileOptions) -> io::Result<Self> {
        let path = bytes_of(path.as_ref())?;
        let mut c_path = Vec::new();
        c_path.try_reserve_exact(path.len() + 1).map_err(|_| io::ErrorKind::OutOfMemory)?;
        c_path.extend_from_slice(path);
        c_path.push(0);
        let path = CStr::from_bytes_with_nul(&c_path).map_err(|_| io::ErrorKind::InvalidInput)?;
        Self::make(|store, os_error| {
            // SAFETY: the path ends with a zero byte.
            unsafe {
                ffi::aegis_page_store_open_file(store, path.as_ptr(), options.flags, os_error)
            }
        })
    }

    /// Makes a store of an open file, whose descriptor is duplicated. Of the options only
    /// [`read_only`](FileOptions::read_only) and [`direct`](FileOptions::direct) are allowed.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{FileOptions, FileStore, PageStore};
    /// # fn main() -> std::io::Result<()> {
    /// # let path = std::env::temp_dir().join(format!("aegis-doc-file-{}", std::process::id()));
    /// std::fs::write(&path, [7; 5000])?;
    /// let file = std::fs::File::open(&path)?;
    /// let store = FileStore::from_file(&file, FileOptions::new().read_only())?;
    /// assert_eq!(store.len(4096)?, 2);
    /// # std::fs::remove_file(&path)
    /// # }
    /// ```
    pub fn from_file(file: &File, options: FileOptions) -> io::Result<Self> {
        let descriptor = descriptor_of(file);
        Self::make(|store, os_error| {
            // SAFETY: the file is open during the call.
            unsafe {
                ffi::aegis_page_store_from_descriptor(store, descriptor, options.flags, os_error)
            }
        })
    }

    fn make(
        make: impl FnOnce(*mut ffi::aegis_page_store, *mut core::ffi::c_int) -> ffi::aegis_status,
    ) -> io::Result<Self> {
        let (mut raw, mut code) = (NO_STORE, 0);
        match make(&mut raw, &mut code) {
            // SAFETY: the core has made the store.
            0 => Ok(Self(
                unsafe { OwnedStore::of_core(raw) }.map_err(|_| io::ErrorKind::OutOfMemory)?,
            )),
            _ if code != 0 => Err(io::Error::from_raw_os_error(code)),
            status => Err(io_error(status)),
        }
    }
}

core_store!(FileStore);

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").finish_non_exhaustive()
    }
}

#[cfg(unix)]
fn bytes_of(path: &Path) -> io::Result<&[u8]> {
    use std::os::unix::ffi::OsStrExt;
    Ok(path.as_os_str().as_bytes())
}

#[cfg(not(unix))]
fn bytes_of(path: &Path) -> io::Result<&[u8]> {
    Ok(path.to_str().ok_or(io::ErrorKind::InvalidInput)?.as_bytes())
}

#[cfg(unix)]
fn descriptor_of(file: &File) -> isize {
    use std::os::fd::AsRawFd;
    file.as_raw_fd() as isize
}

#[cfg(windows)]
fn descriptor_of(file: &File) -> isize {
    use std::os::windows::io::AsRawHandle;
    file.as_raw_handle() as isize
}

/// The library knows no files here, and says so.
#[cfg(not(any(unix, windows)))]
fn descriptor_of(_: &File) -> isize {
    -1
}

/// A store in memory, for tests and for data that need not outlive the process. Pages that were not
/// written take no memory.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{MemoryStore, PageCache};
///
/// let cache = PageCache::new(64);
/// let file = cache.open(MemoryStore::new())?;
/// cache.fresh(file, 1_000_000)?[0] = 7;
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
pub struct MemoryStore(OwnedStore);

impl MemoryStore {
    /// Makes an empty store.
    ///
    /// # Panics
    ///
    /// When there is no memory.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageStore};
    /// assert_eq!(MemoryStore::new().len(4096)?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[allow(clippy::new_without_default)]
    #[track_caller]
    pub fn new() -> Self {
        Self::try_new(None).unwrap_or_else(|error| error.panic())
    }

    /// Makes an empty store, which charges a budget for its memory.
    ///
    /// # Errors
    ///
    /// When there is no memory, or the budget refuses it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageStore, PageWrite};
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("store", 1 << 20);
    /// let store = MemoryStore::try_new(Some(&budget))?;
    /// store.write_batch(&[PageWrite { page: 0, bytes: &[0; 4096] }])?;
    /// assert!(budget.used() >= 4096);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_new(budget: Option<&MemoryBudget>) -> Result<Self, CacheError> {
        let mut raw = NO_STORE;
        let budget = budget.map_or(ptr::null_mut(), MemoryBudget::as_raw);
        // SAFETY: the budget is alive, and the store holds a reference to it.
        let status = crate::unwind::call_keeping(ffi::is_ok, || unsafe {
            ffi::aegis_page_store_memory(&mut raw, budget)
        });
        if !ffi::is_ok(&status) {
            return Err(CacheError::of_status(status));
        }
        // SAFETY: the core has made the store.
        Ok(Self(unsafe { OwnedStore::of_core(raw) }?))
    }
}

core_store!(MemoryStore);

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
