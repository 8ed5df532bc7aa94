// SPDX-License-Identifier: Apache-2.0
//! How pages of a [`PageCache`] are pinned.

use core::ptr;
use core::ptr::NonNull;

use super::error::{CacheError, FileId, NO_ERROR};
use super::hit::{self, Found};
use super::page::{PageMut, PageRef};
use super::page_cache::PageCache;
use crate::ffi;

/// What a caller knows about the use of a page.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{Hint, MemoryStore, PageCache};
///
/// let cache = PageCache::new(64);
/// let file = cache.open(MemoryStore::new())?;
/// cache.fresh(file, 0)?;
/// let root = cache.read_with(file, 0, Hint::Keep)?;
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// The page is used once, as by a scan: it is the first to be evicted, and its use does not
    /// count for a page that is resident already.
    Once = ffi::AEGIS_PIN_ONCE as isize,
    /// The page will be used often, as the root of an index: it is evicted late.
    Keep = ffi::AEGIS_PIN_KEEP as isize,
}

impl PageCache {
    /// Pins a page to read, and reads it from its store if it is not resident. Waits while another
    /// thread has it pinned to write.
    ///
    /// # Errors
    ///
    /// - [`CacheErrorKind::NoFile`](super::CacheErrorKind::NoFile) and `Closing`.
    /// - `Read`, `Verify` and `BeyondEnd`.
    /// - `Pinned` if the wait was too long, `AllPinned` if there is no frame.
    /// - `Write`, `Seal` and `Log` if another page had to be evicted and could not be written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?[0] = 7;
    /// assert_eq!(cache.read(file, 0)?[0], 7);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    #[inline]
    pub fn read(&self, file: FileId, page: u64) -> Result<PageRef<'_>, CacheError> {
        match hit::pin(self.raw(), file.0, page) {
            // SAFETY: it is pinned to be read.
            Some(found) => Ok(unsafe { PageRef::new(self, found) }),
            None => self.read_by(file, page, ffi::AEGIS_PIN_READ),
        }
    }

    /// Pins a page to read if it is resident. `None`: it is not, and its store was not asked.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?[0] = 7;
    /// assert_eq!(cache.read_resident(file, 0)?.expect("it is")[0], 7);
    /// assert!(cache.read_resident(file, 1)?.is_none());
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn read_resident(
        &self,
        file: FileId,
        page: u64,
    ) -> Result<Option<PageRef<'_>>, CacheError> {
        let (mut pin, mut error) = (NO_PIN, NO_ERROR);
        let mode = ffi::AEGIS_PIN_READ | ffi::AEGIS_PIN_RESIDENT;
        // SAFETY: any thread may call it, with any numbers. It runs no store and no hook.
        let status = unsafe {
            ffi::aegis_page_cache_pin(self.raw(), file.0, page, mode, &mut pin, &mut error)
        };
        if status == ffi::AEGIS_PENDING as ffi::aegis_status {
            return Ok(None);
        }
        self.check(status, error)?;
        // SAFETY: it is pinned to be read.
        Ok(Some(unsafe { PageRef::new(self, found(&pin)) }))
    }

    /// Pins a page to write, and reads it from its store if it is not resident. Waits while another
    /// thread has it pinned.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?;
    /// cache.write(file, 0)?[0] += 1;
    /// assert_eq!(cache.read(file, 0)?[0], 1);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn write(&self, file: FileId, page: u64) -> Result<PageMut<'_>, CacheError> {
        self.write_by(file, page, ffi::AEGIS_PIN_WRITE)
    }

    /// Pins a new page to write. It is zeroed, not read, and is dirty.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), but nothing is read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// assert!(cache.read(file, 0).is_err(), "the file is empty");
    /// assert_eq!(cache.fresh(file, 0)?[..], [0; 4096]);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn fresh(&self, file: FileId, page: u64) -> Result<PageMut<'_>, CacheError> {
        self.write_by(file, page, ffi::AEGIS_PIN_FRESH)
    }

    /// [`read`](Self::read) without waiting for another thread. A page that is not resident is
    /// still read.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read): [`CacheErrorKind::Pinned`](super::CacheErrorKind::Pinned) if the
    /// call would have to wait for the page.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// let page = cache.fresh(file, 0)?;
    /// assert!(cache.try_read(file, 0).is_err());
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    #[inline]
    pub fn try_read(&self, file: FileId, page: u64) -> Result<PageRef<'_>, CacheError> {
        match hit::pin(self.raw(), file.0, page) {
            // SAFETY: it is pinned to be read.
            Some(found) => Ok(unsafe { PageRef::new(self, found) }),
            None => self.read_by(file, page, ffi::AEGIS_PIN_READ | ffi::AEGIS_PIN_TRY),
        }
    }

    /// [`write`](Self::write) without waiting for another thread. A page that is not resident is
    /// still read.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// let page = cache.fresh(file, 0)?.downgrade();
    /// assert!(cache.try_write(file, 0).is_err());
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn try_write(&self, file: FileId, page: u64) -> Result<PageMut<'_>, CacheError> {
        self.write_by(file, page, ffi::AEGIS_PIN_WRITE | ffi::AEGIS_PIN_TRY)
    }

    /// [`fresh`](Self::fresh) without waiting for another thread.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// let page = cache.fresh(file, 0)?;
    /// assert!(cache.try_fresh(file, 0).is_err() && cache.try_fresh(file, 1).is_ok());
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn try_fresh(&self, file: FileId, page: u64) -> Result<PageMut<'_>, CacheError> {
        self.write_by(file, page, ffi::AEGIS_PIN_FRESH | ffi::AEGIS_PIN_TRY)
    }

    /// [`read`](Self::read) with a hint.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{Hint, MemoryStore, PageCache, PageStore};
    /// let store = MemoryStore::new();
    /// store.truncate(1000, 4096)?;
    /// let cache = PageCache::new(64);
    /// let file = cache.open(store)?;
    /// cache.fresh(file, 0)?;
    /// for page in 1..1000 {
    ///     cache.read_with(file, page, Hint::Once)?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_with(
        &self,
        file: FileId,
        page: u64,
        hint: Hint,
    ) -> Result<PageRef<'_>, CacheError> {
        self.read_by(file, page, ffi::AEGIS_PIN_READ | hint as u32)
    }

    /// [`write`](Self::write) with a hint.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{Hint, MemoryStore, PageCache};
    /// # let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?;
    /// cache.write_with(file, 0, Hint::Keep)?[0] = 1;
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn write_with(
        &self,
        file: FileId,
        page: u64,
        hint: Hint,
    ) -> Result<PageMut<'_>, CacheError> {
        self.write_by(file, page, ffi::AEGIS_PIN_WRITE | hint as u32)
    }

    #[cold]
    #[inline(never)]
    fn read_by(&self, file: FileId, page: u64, mode: u32) -> Result<PageRef<'_>, CacheError> {
        // SAFETY: it is pinned to be read.
        self.pin_by(file, page, mode).map(|found| unsafe { PageRef::new(self, found) })
    }

    fn write_by(&self, file: FileId, page: u64, mode: u32) -> Result<PageMut<'_>, CacheError> {
        let is_fresh = mode & ffi::AEGIS_PIN_FRESH == ffi::AEGIS_PIN_FRESH;
        let is_plain = mode & !(ffi::AEGIS_PIN_TRY | ffi::AEGIS_PIN_KEEP) == ffi::AEGIS_PIN_WRITE;
        let hit = if is_plain { self.write_hit(file, page) } else { None };
        let found = match hit {
            Some(found) => found,
            None => self.pin_by(file, page, mode)?,
        };
        // SAFETY: it is pinned to be written.
        Ok(unsafe { PageMut::new(self, found, is_fresh) })
    }

    /// Pins a resident page that nobody uses, to write. No store and no hook runs, so there is no
    /// panic to be kept.
    fn write_hit(&self, file: FileId, page: u64) -> Option<Found> {
        const MODE: u32 = ffi::AEGIS_PIN_WRITE | ffi::AEGIS_PIN_TRY | ffi::AEGIS_PIN_RESIDENT;
        let mut pin = NO_PIN;
        // SAFETY: any thread may call it, with any numbers, and need not want the reason.
        let status = unsafe {
            ffi::aegis_page_cache_pin(self.raw(), file.0, page, MODE, &mut pin, ptr::null_mut())
        };
        (status == ffi::AEGIS_OK as ffi::aegis_status).then(|| found(&pin))
    }

    fn pin_by(&self, file: FileId, page: u64, mode: u32) -> Result<Found, CacheError> {
        let mut pin = NO_PIN;
        // SAFETY: any thread may call it, with any number of a file and a page.
        self.call_keeping(|error| unsafe {
            ffi::aegis_page_cache_pin(self.raw(), file.0, page, mode, &mut pin, error)
        })?;
        Ok(found(&pin))
    }
}

/// A pin for the core to fill in.
pub(super) const NO_PIN: ffi::aegis_page_pin =
    ffi::aegis_page_pin { data: ptr::null_mut(), page: 0, file: 0, frame: 0, mode: 0 };

/// Where the page of a pin is that the core has filled in.
pub(super) fn found(pin: &ffi::aegis_page_pin) -> Found {
    // SAFETY: the core has filled it in, so there are bytes.
    (unsafe { NonNull::new_unchecked(pin.data) }, pin.frame)
}
