// SPDX-License-Identifier: Apache-2.0
//! The pins: [`PageRef`] to read a page, and [`PageMut`] to write it.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::slice;

use super::error::{CacheError, FileId, NO_ERROR};
use super::hit;
use super::page_cache::PageCache;
use crate::buffer::Buffer;
use crate::ffi;

/// What both pins have.
#[derive(Clone, Copy)]
struct Pin<'c> {
    cache: &'c PageCache,
    data: NonNull<u8>,
    frame: u32,
}

impl Pin<'_> {
    /// # Safety
    ///
    /// - The pin was not given up.
    unsafe fn identity(&self) -> (u32, u64) {
        // SAFETY: the frame is one of the cache, which is alive, and it is pinned.
        unsafe { hit::identity(self.cache.raw().frames.add(self.frame as usize)) }
    }

    /// The pin as C has it.
    ///
    /// # Safety
    ///
    /// - The pin was not given up.
    unsafe fn raw(&self, mode: u32) -> ffi::aegis_page_pin {
        // SAFETY: the caller's contract is the same.
        let (file, page) = unsafe { self.identity() };
        ffi::aegis_page_pin { data: self.data.as_ptr(), page, file, frame: self.frame, mode }
    }
}

/// A page that is pinned to be read. It stays in its frame as long as this lives, and nobody writes
/// to it. Other threads may read it too. The pin may be given up by another thread.
///
/// A pin that is forgotten costs one frame.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{MemoryStore, PageCache, PageRef};
///
/// let cache = PageCache::new(64);
/// let file = cache.open(MemoryStore::new())?;
/// cache.fresh(file, 0)?[..2].copy_from_slice(b"ok");
/// let page: PageRef<'_> = cache.read(file, 0)?;
/// assert_eq!(&page[..2], b"ok");
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
pub struct PageRef<'c> {
    pin: Pin<'c>,
}

// SAFETY: any thread may read the bytes of a page that is pinned to be read, and give the pin up.
unsafe impl Send for PageRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for PageRef<'_> {}

impl<'c> PageRef<'c> {
    /// # Safety
    ///
    /// - The page is pinned to be read, and nobody else gives the pin up.
    #[inline(always)]
    pub(super) unsafe fn new(cache: &'c PageCache, (data, frame): hit::Found) -> Self {
        Self { pin: Pin { cache, data, frame } }
    }

    /// The pin without its drop.
    fn take(self) -> Pin<'c> {
        ManuallyDrop::new(self).pin
    }

    /// The number of the page.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// assert_eq!(cache.fresh(file, 5)?.downgrade().page(), 5);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn page(&self) -> u64 {
        // SAFETY: the pin is given up only by the drop.
        unsafe { self.pin.identity().1 }
    }

    /// The file of the page.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// assert_eq!(cache.fresh(file, 5)?.downgrade().file(), file);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn file(&self) -> FileId {
        // SAFETY: the pin is given up only by the drop.
        FileId(unsafe { self.pin.identity().0 })
    }

    /// Makes the pin one to write, and waits until all other readers have gone.
    ///
    /// # Errors
    ///
    /// [`CacheErrorKind::Pinned`](super::CacheErrorKind::Pinned) if the wait was too long, or at
    /// once if another thread waits to upgrade the same page, because both would wait for ever. The
    /// pin comes back then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?;
    /// let page = cache.read(file, 0)?;
    /// if page[0] == 0 {
    ///     page.upgrade().map_err(|(_, error)| error)?[0] = 1;
    /// }
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn upgrade(self) -> Result<PageMut<'c>, (Self, CacheError)> {
        self.upgrade_by(0)
    }

    /// The same without waiting.
    ///
    /// # Errors
    ///
    /// [`CacheErrorKind::Pinned`](super::CacheErrorKind::Pinned) if there are other readers. The
    /// pin comes back then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?;
    /// let (page, other) = (cache.read(file, 0)?, cache.read(file, 0)?);
    /// let (page, _) = page.try_upgrade().unwrap_err();
    /// drop(other);
    /// assert!(page.try_upgrade().is_ok());
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn try_upgrade(self) -> Result<PageMut<'c>, (Self, CacheError)> {
        self.upgrade_by(ffi::AEGIS_PIN_TRY)
    }

    fn upgrade_by(self, flags: u32) -> Result<PageMut<'c>, (Self, CacheError)> {
        let (cache, mut error) = (self.pin.cache, NO_ERROR);
        // SAFETY: the pin is given up only by the drop. The call runs no store and no hook.
        let status = unsafe {
            let mut raw = self.pin.raw(ffi::AEGIS_PIN_READ);
            ffi::aegis_page_cache_upgrade(cache.raw(), &mut raw, flags, &mut error)
        };
        match cache.check(status, error) {
            Ok(()) => Ok(PageMut { pin: self.take(), dirty: false }),
            Err(error) => Err((self, error)),
        }
    }

    /// A buffer over the page, without a copy. The page stays pinned to be read as long as a view
    /// of the buffer lives, and the memory of the cache stays as long, even if the cache is
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`CacheErrorKind::Memory`](super::CacheErrorKind::Memory) when there is no memory for the
    /// owner of the buffer. The pin is given up then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?[4..7].copy_from_slice(b"row");
    /// let page = cache.read(file, 0)?.into_buffer()?;
    /// let row = page.slice(4..7);
    /// drop(page);
    /// drop(cache);
    /// assert_eq!(row, "row");
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn into_buffer(self) -> Result<Buffer, CacheError> {
        let (cache, mut error) = (self.pin.cache, NO_ERROR);
        let mut buffer = ffi::aegis_buffer { data: ptr::null(), length: 0, owner: ptr::null_mut() };
        // SAFETY: the pin is given up only by the drop. The call runs no store and no hook.
        let status = unsafe {
            let mut raw = self.pin.raw(ffi::AEGIS_PIN_READ);
            ffi::aegis_page_cache_into_buffer(cache.raw(), &mut raw, &mut buffer, &mut error)
        };
        cache.check(status, error)?;
        // The buffer has the pin.
        _ = self.take();
        // SAFETY: the core has made the buffer, and nobody else releases it.
        Ok(unsafe { Buffer::from_raw(buffer) })
    }
}

impl Deref for PageRef<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the page is pinned, so it has its bytes, and nobody writes to them.
        unsafe { slice::from_raw_parts(self.pin.data.as_ptr(), self.pin.cache.page_size()) }
    }
}

impl AsRef<[u8]> for PageRef<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for PageRef<'_> {
    #[inline]
    fn drop(&mut self) {
        let Pin { cache, data, frame } = self.pin;
        // SAFETY: the page is pinned to be read, and this is the end of the pin.
        unsafe { hit::unpin(cache.raw(), frame, data.as_ptr()) }
    }
}

impl fmt::Debug for PageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, page) = (self.file().0, self.page());
        f.debug_struct("PageRef").field("file", &file).field("page", &page).finish_non_exhaustive()
    }
}

/// A page that is pinned to be written: nobody else has it pinned. It is dirty from the first
/// access by `&mut` on, and a page that was made by [`fresh`](PageCache::fresh) in any case.
/// Reading does not make it dirty.
///
/// A pin that is forgotten costs one frame, and its page can be neither used nor flushed any more.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{MemoryStore, PageCache, PageMut};
///
/// let cache = PageCache::new(64);
/// let file = cache.open(MemoryStore::new())?;
/// let mut page: PageMut<'_> = cache.fresh(file, 0)?;
/// page[..2].copy_from_slice(b"ok");
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
pub struct PageMut<'c> {
    pin: Pin<'c>,
    dirty: bool,
}

// SAFETY: the bytes of the page belong to this value, and any thread may give the pin up.
unsafe impl Send for PageMut<'_> {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for PageMut<'_> {}

impl<'c> PageMut<'c> {
    /// # Safety
    ///
    /// - The page is pinned to be written, and nobody else gives the pin up.
    pub(super) unsafe fn new(cache: &'c PageCache, (data, frame): hit::Found, dirty: bool) -> Self {
        Self { pin: Pin { cache, data, frame }, dirty }
    }

    /// The number of the page.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// assert_eq!(cache.fresh(file, 5)?.page(), 5);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn page(&self) -> u64 {
        // SAFETY: the pin is given up only by the drop.
        unsafe { self.pin.identity().1 }
    }

    /// The file of the page.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// assert_eq!(cache.fresh(file, 5)?.file(), file);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn file(&self) -> FileId {
        // SAFETY: the pin is given up only by the drop.
        FileId(unsafe { self.pin.identity().0 })
    }

    /// Says that the page was changed by the log record with this LSN, which is above 0. Before the
    /// page is written, [`before_write`](super::PageHooks::before_write) is called with it or a
    /// higher one. An LSN below that of the page changes nothing.
    ///
    /// # Panics
    ///
    /// If `lsn` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?.set_lsn(1234);
    /// assert_eq!(cache.stats().oldest_dirty_lsn, 1234);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    #[track_caller]
    pub fn set_lsn(&mut self, lsn: u64) {
        assert!(lsn != 0, "an LSN is above 0");
        // SAFETY: the pin is given up only by the drop.
        let status = unsafe {
            let raw = self.pin.raw(ffi::AEGIS_PIN_WRITE);
            ffi::aegis_page_cache_set_lsn(self.pin.cache.raw(), &raw, lsn)
        };
        debug_assert_eq!(status, ffi::AEGIS_OK as ffi::aegis_status);
    }

    /// Gives the page another number, with its bytes and in its frame. What the store has under the
    /// old number stays there. A page that is resident under the new number is forgotten, as by
    /// [`discard`](PageCache::discard).
    ///
    /// # Errors
    ///
    /// `Pinned` if the page that has the number is pinned. Then nothing has changed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// let mut page = cache.fresh(file, 0)?;
    /// page[0] = 7;
    /// page.rekey(5)?;
    /// drop(page);
    /// assert_eq!(cache.read(file, 5)?[0], 7);
    /// assert!(!cache.contains(file, 0));
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn rekey(&mut self, new_page: u64) -> Result<(), CacheError> {
        // SAFETY: the pin is given up only by the drop.
        let mut raw = unsafe { self.pin.raw(ffi::AEGIS_PIN_WRITE) };
        // SAFETY: it is a pin to write. The call runs no store and no hook.
        self.pin.cache.call(|error| unsafe {
            ffi::aegis_page_cache_rekey(self.pin.cache.raw(), &mut raw, new_page, error)
        })
    }

    /// Makes the pin one to read, so that nobody else writes in between.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// # let cache = PageCache::new(8);
    /// let file = cache.open(MemoryStore::new())?;
    /// let mut page = cache.fresh(file, 0)?;
    /// page[0] = 1;
    /// let page = page.downgrade();
    /// assert_eq!(cache.read(file, 0)?[0], page[0]);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn downgrade(self) -> PageRef<'c> {
        let this = ManuallyDrop::new(self);
        // SAFETY: the pin was not given up, and is one to read afterwards.
        let status = unsafe {
            let mut raw = this.pin.raw(ffi::AEGIS_PIN_WRITE);
            ffi::aegis_page_cache_downgrade(this.pin.cache.raw(), &mut raw, this.flags())
        };
        debug_assert_eq!(status, ffi::AEGIS_OK as ffi::aegis_status);
        PageRef { pin: this.pin }
    }

    fn flags(&self) -> u32 {
        if self.dirty {
            ffi::AEGIS_UNPIN_DIRTY
        } else {
            0
        }
    }
}

impl Deref for PageMut<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the page is pinned, so it has its bytes, and only `self` writes to them.
        unsafe { slice::from_raw_parts(self.pin.data.as_ptr(), self.pin.cache.page_size()) }
    }
}

impl DerefMut for PageMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.dirty = true;
        // SAFETY: the page is pinned, so it has its bytes, and only `self` uses them.
        unsafe { slice::from_raw_parts_mut(self.pin.data.as_ptr(), self.pin.cache.page_size()) }
    }
}

impl AsRef<[u8]> for PageMut<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for PageMut<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Drop for PageMut<'_> {
    fn drop(&mut self) {
        // SAFETY: the page is pinned to be written, and this is the end of the pin. The call runs
        // no store and no hook.
        let status = unsafe {
            let mut raw = self.pin.raw(ffi::AEGIS_PIN_WRITE);
            ffi::aegis_page_cache_unpin(self.pin.cache.raw(), &mut raw, self.flags())
        };
        debug_assert_eq!(status, ffi::AEGIS_OK as ffi::aegis_status);
    }
}

impl fmt::Debug for PageMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageMut")
            .field("file", &self.file().0)
            .field("page", &self.page())
            .field("dirty", &self.dirty)
            .finish_non_exhaustive()
    }
}
