// SPDX-License-Identifier: Apache-2.0
//! [`PageCache`]: how it is made, its files, and its end.

use alloc::boxed::Box;
use alloc::format;
use core::fmt;
use core::mem;
use core::ptr;

use super::builder::PageCacheBuilder;
use super::cleaner::Cleaner;
use super::error::{CacheError, CacheErrorKind, FileId, NO_ERROR};
use super::files::OpenFiles;
use super::hooks::{OwnedHooks, PageHooks};
use super::store::{Kept, OwnedStore, PageStore};
use crate::build_flags::is_debug;
use crate::sealed::KEY;
use crate::{ffi, unwind};

/// A page cache. Any thread may use it.
///
/// The drop writes all dirty pages, syncs and closes all files. It cannot say whether that has
/// succeeded, except to the report of a debug build: [`finish`](Self::finish) can. What could not
/// be written is lost with the drop.
///
/// A thread must not pin a page that it has pinned already, unless it does not wait
/// ([`try_read`](Self::try_read)), because a writer that waits keeps new readers out.
///
/// After a `fork` the cache belongs to the parent. In the child only pages that are resident can be
/// read, and the drop writes nothing.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{MemoryStore, PageCache};
/// use std::thread;
///
/// let cache = PageCache::new(64);
/// let file = cache.open(MemoryStore::new())?;
/// thread::scope(|threads| {
///     for thread in 0..4 {
///         let cache = &cache;
///         threads.spawn(move || cache.fresh(file, thread).unwrap()[0] = thread as u8);
///     }
/// });
/// assert_eq!(cache.read(file, 3)?[0], 3);
/// assert!(cache.finish().is_ok());
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
pub struct PageCache {
    /// Ended before anything that the files need is dropped. Never all-zero.
    raw: ffi::aegis_page_cache,
    files: OpenFiles,
    /// In a box, so that the cache is small enough to come back with an error.
    cleaner: Option<Box<Cleaner>>,
}

// SAFETY: any thread may call the functions of the C cache. Sources, stores and hooks are
// `Send + Sync`.
unsafe impl Send for PageCache {}
// SAFETY: as above.
unsafe impl Sync for PageCache {}

impl PageCache {
    /// Makes a cache of so many frames for pages of 4096 bytes.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// assert_eq!(PageCache::new(64).page_size(), 4096);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(frames: usize) -> Self {
        Self::try_new(frames).unwrap_or_else(|error| error.panic())
    }

    /// Makes a cache of so many frames for pages of 4096 bytes.
    ///
    /// # Errors
    ///
    /// As [`PageCacheBuilder::build`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// assert!(PageCache::try_new(64).is_ok() && PageCache::try_new(0).is_err());
    /// ```
    pub fn try_new(frames: usize) -> Result<Self, CacheError> {
        Self::builder().frames(frames).build()
    }

    /// Starts to make a cache with settings other than the defaults.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// let cache = PageCache::builder().page_size(16384).frames(64).build()?;
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn builder() -> PageCacheBuilder {
        PageCacheBuilder::new()
    }

    /// Size of a page in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// assert_eq!(PageCache::new(8).page_size(), 4096);
    /// ```
    #[inline]
    pub fn page_size(&self) -> usize {
        self.raw.page_bytes
    }

    /// Calls the core, which may run a store or a hook. A panic in one of them continues from here.
    pub(super) fn call(
        &self,
        core: impl FnOnce(*mut ffi::aegis_page_error) -> ffi::aegis_status,
    ) -> Result<(), CacheError> {
        let mut error = NO_ERROR;
        let status = unwind::call(|| core(&mut error));
        self.check(status, error)
    }

    /// The same for a result that would be lost: then a panic continues only if the call has
    /// failed.
    pub(super) fn call_keeping(
        &self,
        core: impl FnOnce(*mut ffi::aegis_page_error) -> ffi::aegis_status,
    ) -> Result<(), CacheError> {
        let mut error = NO_ERROR;
        let status = unwind::call_keeping(ffi::is_ok, || core(&mut error));
        self.check(status, error)
    }

    /// The result of a call of the core.
    pub(super) fn check(
        &self,
        status: ffi::aegis_status,
        error: ffi::aegis_page_error,
    ) -> Result<(), CacheError> {
        if ffi::is_ok(&status) {
            return Ok(());
        }
        Err(self.error(status, error))
    }

    #[cold]
    fn error(&self, status: ffi::aegis_status, raw: ffi::aegis_page_error) -> CacheError {
        let cause = self.files.cause(status, &raw);
        // SAFETY: the cache keeps its budget alive.
        unsafe { CacheError::from_raw(status, raw, cause) }
    }

    pub(super) fn files(&self) -> &OpenFiles {
        &self.files
    }

    /// Opens a file. Two files must not have pages in common.
    ///
    /// # Errors
    ///
    /// When there is no memory, or 65,536 files are open. The store is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let (table, index) = (cache.open(MemoryStore::new())?, cache.open(MemoryStore::new())?);
    /// cache.fresh(table, 0)?[0] = 1;
    /// cache.fresh(index, 0)?[0] = 2;
    /// assert_eq!((cache.read(table, 0)?[0], cache.read(index, 0)?[0]), (1, 2));
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn open(&self, store: impl PageStore + 'static) -> Result<FileId, CacheError> {
        self.open_owned(store.into_owned(KEY)?, None)
    }

    /// Opens a file with hooks: see [`PageHooks`].
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// use aegis_memory::cache::Crc32c;
    /// let cache = PageCache::new(64);
    /// let file = cache.open_with(MemoryStore::new(), Crc32c::at(4092))?;
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn open_with(
        &self,
        store: impl PageStore + 'static,
        hooks: impl PageHooks + 'static,
    ) -> Result<FileId, CacheError> {
        let store = store.into_owned(KEY)?;
        let Some(kept) = store.kept() else { return Err(CacheError::NO_MEMORY) };
        let errors = ptr::addr_of!(*kept.errors);
        // SAFETY: the errors are kept as long as the file is open. If it cannot be opened, the
        // hooks are dropped before the store.
        let hooks = unsafe { OwnedHooks::try_new(hooks, errors) }?;
        self.open_owned(store, Some(hooks))
    }

    fn open_owned(
        &self,
        store: OwnedStore,
        hooks: Option<OwnedHooks>,
    ) -> Result<FileId, CacheError> {
        let raw = store.raw;
        let open = || -> Result<(u32, Kept), CacheError> {
            let mut number = ffi::AEGIS_PAGE_NO_FILE;
            let raw_hooks = hooks.as_ref().map_or(ptr::null(), |hooks| &hooks.0);
            // SAFETY: the core copies both structs. It takes the store and the hooks over if it
            // succeeds.
            self.call_keeping(|error| unsafe {
                ffi::aegis_page_cache_open(&self.raw, &raw, raw_hooks, &mut number, error)
            })?;
            mem::forget(hooks);
            // A store that is here has what it needs.
            let kept = store.take().ok_or(CacheError::NO_MEMORY)?;
            Ok((number, kept))
        };
        self.files.open(raw, open).map(FileId)
    }

    /// Writes the dirty pages of a file, syncs it, removes its pages, and closes its store. Reads
    /// that are on their way are waited for.
    ///
    /// # Errors
    ///
    /// - [`CacheErrorKind::Pinned`] if pages are pinned.
    /// - As [`flush`](Self::flush).
    ///
    /// The file is open as before then, and nothing is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// let page = cache.fresh(file, 0)?;
    /// assert!(cache.close(file).is_err(), "a page is pinned");
    /// drop(page);
    /// cache.close(file)?;
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn close(&self, file: FileId) -> Result<(), CacheError> {
        self.close_file(file, 0)
    }

    /// Closes a file, and throws its dirty pages away.
    ///
    /// # Errors
    ///
    /// [`CacheErrorKind::Pinned`] if pages are pinned. The file is open as before then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache, PageStore};
    /// # use std::sync::Arc;
    /// let store = Arc::new(MemoryStore::new());
    /// let cache = PageCache::new(64);
    /// let file = cache.open(Arc::clone(&store))?;
    /// cache.fresh(file, 0)?;
    /// cache.close_discarding(file)?;
    /// assert_eq!(store.len(4096)?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close_discarding(&self, file: FileId) -> Result<(), CacheError> {
        self.close_file(file, ffi::AEGIS_CLOSE_DISCARD)
    }

    fn close_file(&self, file: FileId, flags: u32) -> Result<(), CacheError> {
        let (mut status, mut error) = (ffi::AEGIS_OK as ffi::aegis_status, NO_ERROR);
        self.files.close(file.0, |closed| {
            unwind::call(|| {
                // SAFETY: any thread may call it, with any number.
                status =
                    unsafe { ffi::aegis_page_cache_close(&self.raw, file.0, flags, &mut error) };
                // The drop of a store may panic after that.
                *closed = ffi::is_ok(&status);
            });
        });
        self.check(status, error)
    }

    /// Ends the cache as the drop does, and says whether all was written.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush), and [`CacheErrorKind::Pinned`] if a pin was forgotten. The cache
    /// is as good as before then, so nothing is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{Fault, FaultOptions, FaultStore, MemoryStore, PageCache};
    /// let store = FaultStore::new(MemoryStore::new(), FaultOptions::default())?;
    /// let faults = store.faults();
    /// let cache = PageCache::new(64);
    /// let file = cache.open(store)?;
    /// cache.fresh(file, 0)?[0] = 1;
    /// faults.set(Fault::Write, 1, 0);
    /// let (cache, error) = cache.finish().unwrap_err();
    /// println!("{error}");
    /// cache.finish().expect("the second time it succeeds");
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn finish(mut self) -> Result<(), (Self, CacheError)> {
        match self.destroy() {
            Ok(()) => Ok(()),
            Err(error) => Err((self, error)),
        }
    }

    /// Ends the core's cache. On failure it is as good as before.
    fn destroy(&mut self) -> Result<(), CacheError> {
        let mut paused = self.cleaner.as_ref().and_then(|cleaner| cleaner.pause());
        let (raw, mut error) = (&mut self.raw, NO_ERROR);
        let status = unwind::call(|| {
            // SAFETY: nobody else uses the cache: no pin and no token is alive, because they borrow
            // it, and the cleaner is paused.
            let status = unsafe { ffi::aegis_page_cache_destroy(raw, &mut error) };
            // The cleaner must not find a cache that is gone. The drop of a store may panic.
            if let (true, Some(paused)) = (ffi::is_ok(&status), &mut paused) {
                paused.end();
            }
            status
        });
        drop(paused);
        self.check(status, error)
    }

    /// The C struct, so that C code can use the cache, on any thread. The pointer is valid until
    /// this value is moved or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// assert!(!PageCache::new(8).as_raw().is_null());
    /// ```
    #[inline]
    pub fn as_raw(&self) -> *const ffi::aegis_page_cache {
        &self.raw
    }

    #[inline]
    pub(super) fn raw(&self) -> &ffi::aegis_page_cache {
        &self.raw
    }
}

impl PageCacheBuilder {
    /// Makes the cache.
    ///
    /// # Errors
    ///
    /// - [`CacheErrorKind::Invalid`] for no frames, for more than 2 to the power of 30 or than
    ///   [`max_frames`](Self::max_frames), and for a size of a page that is not allowed.
    /// - [`CacheErrorKind::Memory`] when the source or the budget refuses, or when the thread of
    ///   the [cleaner](Self::cleaner) cannot be made.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// assert!(PageCache::builder().frames(8).build().is_ok());
    /// assert!(PageCache::builder().frames(8).page_size(1000).build().is_err());
    /// ```
    pub fn build(self) -> Result<PageCache, CacheError> {
        let interval = self.cleaner;
        let mut cache = PageCache { raw: self.make()?, files: OpenFiles::default(), cleaner: None };
        if let Some(interval) = interval {
            // SAFETY: the cleaner is ended or paused before the cache is ended.
            let cleaner = unsafe { Cleaner::start(cache.raw, interval) };
            cache.cleaner = Some(Box::new(cleaner.map_err(|_| CacheError::NO_MEMORY)?));
        }
        Ok(cache)
    }
}

impl Drop for PageCache {
    fn drop(&mut self) {
        /// A panic of a store may continue from any of the calls below.
        struct Abandon<'a>(&'a mut PageCache);

        impl Drop for Abandon<'_> {
            fn drop(&mut self) {
                // SAFETY: nobody else uses the cache, as in `destroy`. A pin that was forgotten is
                // used by nobody. A cache that is gone is accepted.
                unwind::call(|| unsafe { ffi::aegis_page_cache_abandon(&mut self.0.raw) });
            }
        }

        drop(self.cleaner.take());
        let cache = Abandon(self);
        let Err(mut error) = cache.0.destroy() else { return };
        // A forgotten pin must not cost the other pages.
        if error.kind() == CacheErrorKind::Pinned {
            if let Err(of_flush) = cache.0.flush_all() {
                error = of_flush;
            }
        }
        if error.kind() != CacheErrorKind::Forked {
            report(&error);
        }
    }
}

/// Reports in a debug build that a drop may have lost pages.
fn report(error: &CacheError) {
    if is_debug() {
        let text = format!("a page cache is dropped, and is not in order: {error}\0");
        // SAFETY: both texts end with a zero byte, and the first asks for the second.
        unsafe { ffi::aegis_i_report(b"%s\0".as_ptr().cast(), text.as_ptr()) };
    }
}

impl fmt::Debug for PageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
