// SPDX-License-Identifier: Apache-2.0
//! [`CacheError`], the error of every call of a page cache. The C core writes the text of an error,
//! from the record that the error keeps.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::ptr;
use std::io;

use super::shared::Shared;
use crate::error::AllocError;
use crate::{ffi, heap};

/// The number of a file that is open in a [`PageCache`](super::PageCache). The number of a file
/// that was closed is found out.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{CacheErrorKind, FileId, MemoryStore, PageCache};
///
/// let cache = PageCache::new(8);
/// let file: FileId = cache.open(MemoryStore::new())?;
/// cache.close(file)?;
/// assert_eq!(cache.read(file, 0).unwrap_err().kind(), CacheErrorKind::NoFile);
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct FileId(pub(super) u32);

impl FileId {
    /// The number, as C has it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(8);
    /// assert_ne!(cache.open(MemoryStore::new())?.number(), 0);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of failure a [`CacheError`] is.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{CacheErrorKind, MemoryStore, PageCache};
///
/// let cache = PageCache::new(8);
/// let file = cache.open(MemoryStore::new())?;
/// assert_eq!(cache.read(file, 7).unwrap_err().kind(), CacheErrorKind::BeyondEnd);
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheErrorKind {
    /// An option or an argument that is never accepted.
    Invalid,
    /// No file with this number is open.
    NoFile,
    /// The file is being closed.
    Closing,
    /// The page, or one of the pages, is pinned.
    Pinned,
    /// Every frame is pinned.
    AllPinned,
    /// No frame is free and clean, and the call does not write.
    AllDirty,
    /// The store could not read the page.
    Read,
    /// The page lies beyond the end of the file.
    BeyondEnd,
    /// The hook `verify` has refused the page.
    Verify,
    /// The store could not write the page, or a batch that it was in. It stays dirty.
    Write,
    /// The hook `seal` has refused the page. It stays dirty.
    Seal,
    /// The hook `before_write` has failed. The pages stay dirty.
    Log,
    /// The store could not sync. The pages are dirty again.
    Sync,
    /// A sync failed earlier, and pages that it should have made durable are no longer in memory.
    /// Only closing the file without writing helps, and recovery from a log.
    Lost,
    /// Another call is changing the number of frames.
    Resizing,
    /// Too many open files, or too many pins of one page.
    TooMany,
    /// There was no memory, or the budget refused it: see [`CacheError::alloc_error`].
    Memory,
    /// This process is a child of the one that the cache belongs to.
    Forked,
}

/// What an error keeps.
#[derive(Clone)]
struct Record {
    /// Its budget is null, so that it may outlive the call.
    raw: ffi::aegis_page_error,
    memory: Option<AllocError>,
    cause: Option<Shared<io::Error>>,
}

// SAFETY: the pointer in the record is null.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

/// Why a call of a [`PageCache`](super::PageCache) failed.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{CacheErrorKind, MemoryStore, PageCache};
///
/// let cache = PageCache::builder().frames(1).page_size(4096).build()?;
/// let file = cache.open(MemoryStore::new())?;
/// let page = cache.fresh(file, 0)?;
/// let error = cache.fresh(file, 1).unwrap_err();
/// assert_eq!(error.kind(), CacheErrorKind::AllPinned);
/// assert!(error.to_string().starts_with("every frame is pinned: 1 of 1"));
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
#[derive(Clone)]
pub struct CacheError {
    /// `None`: there was no memory, not even for the record.
    record: Option<Box<Record>>,
}

/// A record that says nothing, for the core to fill in.
pub(super) const NO_ERROR: ffi::aegis_page_error = ffi::aegis_page_error {
    status: ffi::AEGIS_OK as ffi::aegis_status,
    reason: ffi::AEGIS_PAGE_NONE,
    file: ffi::AEGIS_PAGE_NO_FILE,
    pinned_file: ffi::AEGIS_PAGE_NO_FILE,
    page: 0,
    asked: 0,
    allowed: 0,
    pinned_count: 0,
    pinned_file_count: 0,
    memory: ffi::NO_ERROR,
};

impl CacheError {
    /// There is no memory.
    pub(super) const NO_MEMORY: Self = Self { record: None };

    /// The error of a call that says no more than its status.
    pub(super) fn of_status(status: ffi::aegis_status) -> Self {
        // SAFETY: the record has no budget.
        unsafe { Self::from_raw(status, NO_ERROR, None) }
    }

    /// There is no such file.
    pub(super) fn no_file(file: FileId, status: ffi::aegis_status) -> Self {
        let raw = ffi::aegis_page_error { reason: ffi::AEGIS_PAGE_FILE, file: file.0, ..NO_ERROR };
        // SAFETY: the record has no budget.
        unsafe { Self::from_raw(status, raw, None) }
    }

    /// The error that the core has described.
    ///
    /// # Safety
    ///
    /// - The budget in the record is null or alive.
    #[cold]
    pub(super) unsafe fn from_raw(
        status: ffi::aegis_status,
        mut raw: ffi::aegis_page_error,
        cause: Option<Shared<io::Error>>,
    ) -> Self {
        raw.status = status;
        let of_memory = raw.reason == ffi::AEGIS_PAGE_NONE && raw.memory.status == status;
        // SAFETY: the caller vouches for the budget.
        let memory = of_memory.then(|| unsafe { AllocError::from_raw(&raw.memory) });
        raw.memory.refused = ptr::null();
        Self { record: heap::try_box(Record { raw, memory, cause }).ok() }
    }

    /// What kind of failure it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::cache::{CacheErrorKind, PageCache};
    /// let error = PageCache::builder().page_size(1000).frames(8).build().unwrap_err();
    /// assert_eq!(error.kind(), CacheErrorKind::Invalid);
    /// ```
    pub fn kind(&self) -> CacheErrorKind {
        let Some(record) = &self.record else { return CacheErrorKind::Memory };
        match (record.raw.reason, record.raw.status) {
            (ffi::AEGIS_PAGE_FILE, ffi::AEGIS_E_CLOSED) => CacheErrorKind::Closing,
            (ffi::AEGIS_PAGE_FILE, _) => CacheErrorKind::NoFile,
            (ffi::AEGIS_PAGE_PINNED, _) => CacheErrorKind::Pinned,
            (ffi::AEGIS_PAGE_ALL_PINNED, _) => CacheErrorKind::AllPinned,
            (ffi::AEGIS_PAGE_ALL_DIRTY, _) => CacheErrorKind::AllDirty,
            (ffi::AEGIS_PAGE_READ, _) => CacheErrorKind::Read,
            (ffi::AEGIS_PAGE_BEYOND, _) => CacheErrorKind::BeyondEnd,
            (ffi::AEGIS_PAGE_VERIFY, _) => CacheErrorKind::Verify,
            (ffi::AEGIS_PAGE_WRITE, _) => CacheErrorKind::Write,
            (ffi::AEGIS_PAGE_SEAL, _) => CacheErrorKind::Seal,
            (ffi::AEGIS_PAGE_LOG, _) => CacheErrorKind::Log,
            (ffi::AEGIS_PAGE_SYNC, _) => CacheErrorKind::Sync,
            (ffi::AEGIS_PAGE_LOST, _) => CacheErrorKind::Lost,
            (ffi::AEGIS_PAGE_RESIZING, _) => CacheErrorKind::Resizing,
            (ffi::AEGIS_PAGE_PINS | ffi::AEGIS_PAGE_FILES, _) => CacheErrorKind::TooMany,
            (ffi::AEGIS_PAGE_NONE, ffi::AEGIS_E_FORKED) => CacheErrorKind::Forked,
            (ffi::AEGIS_PAGE_NONE, ffi::AEGIS_E_INVALID) => CacheErrorKind::Invalid,
            (ffi::AEGIS_PAGE_NONE, _) => CacheErrorKind::Memory,
            _ => CacheErrorKind::Invalid,
        }
    }

    /// The file that the error is about, if it is about one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// assert_eq!(cache.read(file, 7).unwrap_err().file(), Some(file));
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn file(&self) -> Option<FileId> {
        let file = self.record.as_ref()?.raw.file;
        (file != ffi::AEGIS_PAGE_NO_FILE).then_some(FileId(file))
    }

    /// The page that the error is about, if it is about one. Of a batch it is the first one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// assert_eq!(cache.read(file, 7).unwrap_err().page(), Some(7));
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn page(&self) -> Option<u64> {
        self.file()?;
        let record = self.record.as_ref()?;
        let of_page = matches!(
            record.raw.reason,
            ffi::AEGIS_PAGE_PINNED
                | ffi::AEGIS_PAGE_READ
                | ffi::AEGIS_PAGE_BEYOND
                | ffi::AEGIS_PAGE_VERIFY
                | ffi::AEGIS_PAGE_WRITE
                | ffi::AEGIS_PAGE_SEAL
                | ffi::AEGIS_PAGE_PINS
        );
        of_page.then_some(record.raw.page)
    }

    /// Why memory was refused, if that is the reason, and the core has said why.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::{budget::MemoryBudget, cache::PageCache, AllocError};
    ///
    /// let budget = MemoryBudget::new("cache", 1 << 20);
    /// let error = PageCache::builder().frames(1000).budget(&budget).build().unwrap_err();
    /// assert!(matches!(error.alloc_error(), Some(AllocError::LimitExceeded { .. })));
    /// ```
    pub fn alloc_error(&self) -> Option<&AllocError> {
        self.record.as_ref()?.memory.as_ref()
    }

    /// The status, as C has it.
    fn status(&self) -> ffi::aegis_status {
        self.record.as_ref().map_or(ffi::AEGIS_E_OUT_OF_MEMORY, |record| record.raw.status)
    }

    /// Panics with the error. The plain forms end so.
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(super) fn panic(&self) -> ! {
        panic!("{self}")
    }
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(record) = &self.record else { return f.write_str("out of memory") };
        if let Some(memory) = &record.memory {
            return memory.fmt(f);
        }
        let mut text = [0_u8; 256];
        // SAFETY: the record has no budget, and the buffer has room for the given number of bytes.
        let length = unsafe {
            ffi::aegis_page_error_explain(&record.raw, text.as_mut_ptr().cast(), text.len())
        };
        // The texts are ASCII and shorter than the buffer.
        let text = &text[..length.min(text.len() - 1)];
        f.write_str(core::str::from_utf8(text).unwrap_or("a page cache has failed"))?;
        match &record.cause {
            Some(cause) => write!(f, " ({})", **cause),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CacheError");
        shown.field("kind", &self.kind());
        if let Some(file) = self.file() {
            shown.field("file", &file.0);
        }
        if let Some(page) = self.page() {
            shown.field("page", &page);
        }
        shown.field("text", &format_args!("{self}")).finish_non_exhaustive()
    }
}

impl std::error::Error for CacheError {
    /// The error of the store or of the hook, or of the memory. It is the last one of this kind for
    /// the file: if several threads have one at the same time, it may be another thread's.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let record = self.record.as_ref()?;
        match (&record.cause, &record.memory) {
            (Some(cause), _) => Some(&**cause),
            (None, Some(memory)) => Some(memory),
            (None, None) => None,
        }
    }
}

impl From<AllocError> for CacheError {
    fn from(memory: AllocError) -> Self {
        let mut raw = NO_ERROR;
        raw.status = ffi::AEGIS_E_OUT_OF_MEMORY;
        Self { record: heap::try_box(Record { raw, memory: Some(memory), cause: None }).ok() }
    }
}

impl From<CacheError> for io::Error {
    /// The kind is that of the store's error, if there is one. The error is kept.
    fn from(error: CacheError) -> Self {
        let cause = error.record.as_ref().and_then(|record| record.cause.as_ref());
        let kind = match (cause, error.kind()) {
            (Some(cause), _) => cause.kind(),
            (None, CacheErrorKind::Invalid) => io::ErrorKind::InvalidInput,
            (None, CacheErrorKind::NoFile | CacheErrorKind::Closing) => io::ErrorKind::NotFound,
            (
                None,
                CacheErrorKind::Pinned
                | CacheErrorKind::AllPinned
                | CacheErrorKind::AllDirty
                | CacheErrorKind::Resizing,
            ) => io::ErrorKind::WouldBlock,
            (None, CacheErrorKind::BeyondEnd) => io::ErrorKind::UnexpectedEof,
            (None, CacheErrorKind::Verify) => io::ErrorKind::InvalidData,
            (None, CacheErrorKind::Memory) => io::ErrorKind::OutOfMemory,
            (None, _) => kind_of(error.status()),
        };
        Self::new(kind, error)
    }
}

/// The kind of a status that has no other explanation.
fn kind_of(status: ffi::aegis_status) -> io::ErrorKind {
    match status {
        ffi::AEGIS_E_OUT_OF_MEMORY | ffi::AEGIS_E_LIMIT_EXCEEDED => io::ErrorKind::OutOfMemory,
        ffi::AEGIS_E_INVALID | ffi::AEGIS_E_INVALID_LAYOUT => io::ErrorKind::InvalidInput,
        ffi::AEGIS_E_UNSUPPORTED => io::ErrorKind::Unsupported,
        _ => io::ErrorKind::Other,
    }
}

/// The error of a status, for a store that is called directly.
pub(super) fn io_error(status: ffi::aegis_status) -> io::Error {
    if status == ffi::AEGIS_E_OUT_OF_MEMORY {
        // It takes no memory.
        return io::ErrorKind::OutOfMemory.into();
    }
    // SAFETY: returns a text that is never freed, for any number.
    let text = unsafe { core::ffi::CStr::from_ptr(ffi::aegis_status_message(status)) };
    io::Error::new(kind_of(status), String::from(text.to_string_lossy()))
}
