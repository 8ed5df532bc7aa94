// SPDX-License-Identifier: Apache-2.0
//! Reads in two steps, for callers that do the input themselves: with io_uring, or asynchronously.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr;
use core::slice;
use std::io;

use super::error::{CacheError, FileId, NO_ERROR};
use super::page::PageRef;
use super::page_cache::PageCache;
use super::pins::{found, NO_PIN};
use crate::ffi;

/// What [`PageCache::begin_read`] returns.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{BeginRead, MemoryStore, PageCache};
///
/// let cache = PageCache::new(64);
/// let file = cache.open(MemoryStore::new())?;
/// assert!(matches!(cache.begin_read(file, 0)?, BeginRead::Pending(_)));
/// cache.fresh(file, 0)?;
/// assert!(matches!(cache.begin_read(file, 0)?, BeginRead::Ready(_)));
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
#[derive(Debug)]
pub enum BeginRead<'c> {
    /// The page is resident, and is pinned to be read.
    Ready(PageRef<'c>),
    /// The caller reads the page.
    Pending(ReadToken<'c>),
}

/// A read that the caller does. The bytes of the page go to where it derefs to, and then
/// [`complete`](Self::complete) publishes the page. Threads that want the page wait meanwhile.
///
/// The drop completes the read with an error, so that nobody waits for ever. It must not be dropped
/// while something else, such as the kernel, still writes to the bytes.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{BeginRead, MemoryStore, PageCache, ReadToken};
///
/// let cache = PageCache::new(64);
/// let file = cache.open(MemoryStore::new())?;
/// if let BeginRead::Pending(mut read) = cache.begin_read(file, 0)? {
///     read[..2].copy_from_slice(b"ok"); // here the engine reads
///     let page = read.complete(Ok(()))?;
///     assert_eq!(&page[..2], b"ok");
/// }
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
pub struct ReadToken<'c> {
    cache: &'c PageCache,
    raw: ffi::aegis_page_read,
}

// SAFETY: another thread may complete a read, and the bytes belong to this value.
unsafe impl Send for ReadToken<'_> {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for ReadToken<'_> {}

impl PageCache {
    /// Begins to read a page, or pins it if it is resident. It does not wait, and does no input or
    /// output.
    ///
    /// # Errors
    ///
    /// - [`CacheErrorKind::Pinned`](super::CacheErrorKind::Pinned) if another thread reads the
    ///   page, or has it pinned to write.
    /// - `AllPinned` and `AllDirty` if no frame is free and clean.
    /// - `NoFile` and `Closing`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{BeginRead, MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// let read = cache.begin_read(file, 0)?;
    /// assert!(cache.begin_read(file, 0).is_err(), "the page is on its way");
    /// drop(read);
    /// assert!(cache.begin_read(file, 0).is_ok());
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn begin_read(&self, file: FileId, page: u64) -> Result<BeginRead<'_>, CacheError> {
        let (mut pin, mut error) = (NO_PIN, NO_ERROR);
        let mut raw = ffi::aegis_page_read { data: ptr::null_mut(), page: 0, file: 0, frame: 0 };
        let mode = ffi::AEGIS_PIN_READ;
        // SAFETY: any thread may call it, with any numbers. It runs no store and no hook.
        let status = unsafe {
            ffi::aegis_page_cache_begin_read(
                self.raw(),
                file.0,
                page,
                mode,
                &mut pin,
                &mut raw,
                &mut error,
            )
        };
        if status == ffi::AEGIS_PENDING as ffi::aegis_status {
            return Ok(BeginRead::Pending(ReadToken { cache: self, raw }));
        }
        self.check(status, error)?;
        // SAFETY: it is pinned to be read.
        Ok(BeginRead::Ready(unsafe { PageRef::new(self, found(&pin)) }))
    }
}

impl<'c> ReadToken<'c> {
    /// The number of the page.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{BeginRead, MemoryStore, PageCache};
    /// # let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// let BeginRead::Pending(read) = cache.begin_read(file, 5)? else { panic!("it is not there")
    /// }; assert_eq!(read.page(), 5);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn page(&self) -> u64 {
        self.raw.page
    }

    /// The file of the page.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{BeginRead, MemoryStore, PageCache};
    /// # let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// let BeginRead::Pending(read) = cache.begin_read(file, 5)? else { panic!("it is not there")
    /// }; assert_eq!(read.file(), file);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn file(&self) -> FileId {
        FileId(self.raw.file)
    }

    /// Completes the read: publishes the page, which is pinned to be read, or the error to all who
    /// wait for it.
    ///
    /// # Errors
    ///
    /// - [`CacheErrorKind::Read`](super::CacheErrorKind::Read) for an error, which is its source.
    /// - `Verify` if the hook has refused the page.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{BeginRead, MemoryStore, PageCache};
    /// # let cache = PageCache::new(64);
    /// use std::error::Error;
    /// use std::io::ErrorKind;
    /// let file = cache.open(MemoryStore::new())?;
    /// let BeginRead::Pending(read) = cache.begin_read(file, 5)? else { panic!("it is not there")
    /// }; let error = read.complete(Err(ErrorKind::TimedOut.into())).unwrap_err();
    /// assert_eq!(error.source().unwrap().to_string(), "timed out");
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn complete(self, result: io::Result<()>) -> Result<PageRef<'c>, CacheError> {
        let mut this = ManuallyDrop::new(self);
        let status = match result {
            Ok(()) => ffi::AEGIS_OK as ffi::aegis_status,
            Err(error) => {
                this.cache.files().set_error(this.raw.file, ffi::AEGIS_PAGE_READ, error);
                ffi::AEGIS_E_IO
            }
        };
        this.complete_with(status)
    }

    /// # Safety of what follows
    ///
    /// The read is used up: the token is not used again.
    fn complete_with(&mut self, result: ffi::aegis_status) -> Result<PageRef<'c>, CacheError> {
        let (cache, mut pin) = (self.cache, NO_PIN);
        // SAFETY: the read was begun and is completed once.
        cache.call_keeping(|error| unsafe {
            ffi::aegis_page_cache_complete(cache.raw(), &mut self.raw, result, &mut pin, error)
        })?;
        // SAFETY: it is pinned to be read.
        Ok(unsafe { PageRef::new(cache, found(&pin)) })
    }
}

impl Deref for ReadToken<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the frame belongs to this value, and its memory has a value from the beginning
        // (resize.c).
        unsafe { slice::from_raw_parts(self.raw.data, self.cache.page_size()) }
    }
}

impl DerefMut for ReadToken<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.raw.data, self.cache.page_size()) }
    }
}

impl Drop for ReadToken<'_> {
    fn drop(&mut self) {
        let error = io::ErrorKind::Interrupted.into();
        self.cache.files().set_error(self.raw.file, ffi::AEGIS_PAGE_READ, error);
        // It fails, as it should.
        _ = self.complete_with(ffi::AEGIS_E_IO);
    }
}

impl fmt::Debug for ReadToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadToken")
            .field("file", &self.raw.file)
            .field("page", &self.raw.page)
            .finish_non_exhaustive()
    }
}
