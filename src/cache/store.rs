// SPDX-License-Identifier: Apache-2.0
//! [`PageStore`], where the pages of a file are kept, and how the C core calls one that is written
//! in Rust.
//!
//! The file is longer than 500 lines, because each method has an example.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::slice;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::error::{io_error, CacheError};
use super::shared::Shared;
use crate::sealed::Key;
use crate::{ffi, heap, unwind};

/// A page that is to be written.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{MemoryStore, PageStore, PageWrite};
///
/// let store = MemoryStore::new();
/// store.write_batch(&[PageWrite { page: 3, bytes: &[1; 512] }])?;
/// assert_eq!(store.len(512)?, 4);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PageWrite<'a> {
    /// Its number.
    pub page: u64,
    /// Its content.
    pub bytes: &'a [u8],
}

/// Where the pages of one file are kept: an array of pages that are read and written by their
/// numbers.
///
/// Built in are [`FileStore`](super::FileStore), [`MemoryStore`](super::MemoryStore), and
/// [`FaultStore`](super::FaultStore), which makes calls of another store fail, for tests. An `Arc`
/// of a store is a store.
///
/// The contract:
///
/// 1. Several threads may call the functions at the same time. Two writes of one page at the same
///    time leave either content, or a mixture.
/// 2. A page that was never written and lies before the end reads as zeros.
/// 3. Nothing is durable before a `sync` that began after the write has succeeded.
/// 4. All pages of a store have the same size.
/// 5. A function does not use the cache that calls it: it could wait for its own caller.
///
/// A panic is an error of the call: see [the module](super).
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{MemoryStore, PageCache, PageStore, PageWrite};
/// use std::io;
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use std::sync::Arc;
///
/// /// Counts the reads of another store.
/// struct Counting<S> {
///     inner: S,
///     reads: AtomicUsize,
/// }
///
/// impl<S: PageStore> PageStore for Counting<S> {
///     fn read(&self, first_page: u64, pages: &mut [&mut [u8]]) -> io::Result<usize> {
///         self.reads.fetch_add(1, Ordering::Relaxed);
///         self.inner.read(first_page, pages)
///     }
///     fn write_batch(&self, pages: &[PageWrite<'_>]) -> io::Result<()> {
///         self.inner.write_batch(pages)
///     }
///     fn sync(&self) -> io::Result<()> {
///         self.inner.sync()
///     }
///     fn len(&self, page_size: usize) -> io::Result<u64> {
///         self.inner.len(page_size)
///     }
///     fn truncate(&self, pages: u64, page_size: usize) -> io::Result<()> {
///         self.inner.truncate(pages, page_size)
///     }
/// }
///
/// let store = Arc::new(Counting { inner: MemoryStore::new(), reads: AtomicUsize::new(0) });
/// store.truncate(10, 4096)?;
/// let cache = PageCache::new(8);
/// let file = cache.open(Arc::clone(&store))?;
/// cache.read(file, 3)?;
/// cache.read(file, 3)?;
/// assert_eq!(store.reads.load(Ordering::Relaxed), 1);
/// # Ok::<(), io::Error>(())
/// ```
pub trait PageStore: Send + Sync {
    /// Reads neighbouring pages, the first of which is `first_page`. Returns how many bytes were
    /// read, counted from the first byte of the first page: fewer than asked for only where the
    /// store ends.
    ///
    /// # Errors
    ///
    /// When the pages could not be read. Nothing is known of the bytes then.
    fn read(&self, first_page: u64, pages: &mut [&mut [u8]]) -> io::Result<usize>;

    /// Writes pages, in ascending order of their numbers, some of them neighbours. The store grows
    /// where a page lies beyond its end.
    ///
    /// # Errors
    ///
    /// When not all could be written. Any of them may be written then, also in part.
    fn write_batch(&self, pages: &[PageWrite<'_>]) -> io::Result<()>;

    /// Makes all that was written before, and the length, durable.
    ///
    /// # Errors
    ///
    /// When that failed. The pages written since the last good `sync` may be lost then.
    fn sync(&self) -> io::Result<()>;

    /// The number of pages of `page_size` bytes. A last page that is cut counts as one.
    ///
    /// # Errors
    ///
    /// When it could not be found out.
    fn len(&self, page_size: usize) -> io::Result<u64>;

    /// Makes the store `pages` pages long. What is cut off is gone; what is added is zero.
    ///
    /// # Errors
    ///
    /// When that failed.
    fn truncate(&self, pages: u64, page_size: usize) -> io::Result<()>;

    /// The store as the core takes it. Only this crate can call it.
    #[doc(hidden)]
    fn into_owned(self, _: Key) -> Result<OwnedStore, CacheError>
    where
        Self: Sized + 'static,
    {
        OwnedStore::of_user(self)
    }
}

impl<S: PageStore + ?Sized> PageStore for Arc<S> {
    fn read(&self, first_page: u64, pages: &mut [&mut [u8]]) -> io::Result<usize> {
        (**self).read(first_page, pages)
    }

    fn write_batch(&self, pages: &[PageWrite<'_>]) -> io::Result<()> {
        (**self).write_batch(pages)
    }

    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }

    fn len(&self, page_size: usize) -> io::Result<u64> {
        (**self).len(page_size)
    }

    fn truncate(&self, pages: u64, page_size: usize) -> io::Result<()> {
        (**self).truncate(pages, page_size)
    }
}

/// The last error of each kind that a store or hook of a file has returned, by the reason that the
/// core gives with it. One that there was no memory to keep is none.
#[derive(Default)]
pub struct Errors(Mutex<[Option<Shared<io::Error>>; 6]>);

impl Errors {
    fn place(reason: u32) -> Option<usize> {
        Some(match reason {
            ffi::AEGIS_PAGE_READ => 0,
            ffi::AEGIS_PAGE_WRITE => 1,
            ffi::AEGIS_PAGE_SYNC => 2,
            ffi::AEGIS_PAGE_VERIFY => 3,
            ffi::AEGIS_PAGE_SEAL => 4,
            ffi::AEGIS_PAGE_LOG => 5,
            _ => return None,
        })
    }

    /// Whether a failure for this reason comes from a store or a hook.
    pub(super) fn has(reason: u32) -> bool {
        Self::place(reason).is_some()
    }

    pub(super) fn set(&self, reason: u32, error: Option<io::Error>) {
        drop(self.replace(reason, error));
    }

    /// Sets an error, and returns the one before, to be dropped without a lock.
    pub(super) fn replace(
        &self,
        reason: u32,
        error: Option<io::Error>,
    ) -> Option<Shared<io::Error>> {
        let place = Self::place(reason)?;
        let error = error.and_then(Shared::try_new);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        core::mem::replace(&mut all[place], error)
    }

    pub(super) fn get(&self, reason: u32) -> Option<Shared<io::Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[Self::place(reason)?].clone()
    }

    /// Runs a function of a store or hook for the core. What it returns, or that it has panicked,
    /// is kept.
    pub(super) fn run(
        &self,
        reason: u32,
        function: impl FnOnce() -> io::Result<()>,
    ) -> ffi::aegis_status {
        let error = match unwind::contain(Err(None), || function().map_err(Some)) {
            Ok(()) => return ffi::AEGIS_OK as ffi::aegis_status,
            Err(error) => error,
        };
        // The drop of the error before is user code too.
        unwind::contain((), || self.set(reason, error));
        ffi::AEGIS_E_IO
    }
}

/// The record of a store that injects faults. The core reads and writes it, at an address that
/// stays.
pub struct FaultRecord {
    pub(super) raw: UnsafeCell<ffi::aegis_page_faults>,
    /// That of the store inside, if it injects faults too.
    pub(super) _within: Option<Shared<FaultRecord>>,
}

// SAFETY: the core changes the record atomically, and Rust does not look into it.
unsafe impl Send for FaultRecord {}
// SAFETY: as above.
unsafe impl Sync for FaultRecord {}

/// What a store needs as long as it is open.
pub struct Kept {
    pub(super) errors: Box<Errors>,
    pub(super) faults: Option<Shared<FaultRecord>>,
}

/// A store as the C core takes it. The drop closes the store. When a cache takes the store over,
/// this value is taken apart, so that only the cache closes it.
pub struct OwnedStore {
    pub(super) raw: ffi::aegis_page_store,
    /// `None`: the cache has it.
    kept: Option<Kept>,
}

// SAFETY: any thread may call the functions of a store, and a context from Rust is `Send + Sync`.
unsafe impl Send for OwnedStore {}
// SAFETY: as above.
unsafe impl Sync for OwnedStore {}

/// A store for the core to fill in.
pub(super) const NO_STORE: ffi::aegis_page_store = ffi::aegis_page_store {
    read: None,
    write_batch: None,
    sync: None,
    len: None,
    truncate: None,
    close: None,
    context: core::ptr::null_mut(),
};

/// A store of the user, on the heap.
struct Held<S> {
    store: S,
    /// The one of the `Kept`, which outlives the store.
    errors: *const Errors,
}

impl OwnedStore {
    fn of_user<S: PageStore + 'static>(store: S) -> Result<Self, CacheError> {
        let errors = heap::try_box(Errors::default()).map_err(|_| CacheError::NO_MEMORY)?;
        let held = Held { store, errors: &*errors };
        let held = heap::try_box(held).map_err(|_| CacheError::NO_MEMORY)?;
        let raw = ffi::aegis_page_store {
            read: Some(read::<S>),
            write_batch: Some(write_batch::<S>),
            sync: Some(sync::<S>),
            len: Some(len::<S>),
            truncate: Some(truncate::<S>),
            close: Some(close::<S>),
            context: Box::into_raw(held).cast(),
        };
        Ok(Self { raw, kept: Some(Kept { errors, faults: None }) })
    }

    /// Takes over a store that the core has made.
    ///
    /// # Safety
    ///
    /// - `raw` is a store, which nobody else closes.
    pub(super) unsafe fn of_core(raw: ffi::aegis_page_store) -> Result<Self, CacheError> {
        let mut store = Self { raw, kept: None };
        // Without memory the drop closes the store.
        let errors = heap::try_box(Errors::default()).map_err(|_| CacheError::NO_MEMORY)?;
        store.kept = Some(Kept { errors, faults: None });
        Ok(store)
    }

    /// The store that uses this one, which the core has made.
    ///
    /// # Safety
    ///
    /// - `raw` is a store, which nobody else closes, and closes this one.
    /// - It needs `faults` until then.
    pub(super) unsafe fn around(
        mut self,
        raw: ffi::aegis_page_store,
        faults: Shared<FaultRecord>,
    ) -> Self {
        if let Some(kept) = &mut self.kept {
            kept.faults = Some(faults);
        }
        self.raw = raw;
        self
    }

    /// What the store needs. Whoever calls this closes the store.
    pub(super) fn take(mut self) -> Option<Kept> {
        self.kept.take().map(|kept| {
            self.raw.close = None;
            kept
        })
    }

    pub(super) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// The result of a call of the store.
    fn check(&self, status: ffi::aegis_status) -> io::Result<()> {
        if ffi::is_ok(&status) {
            return Ok(());
        }
        Err(os_error(&self.raw, status).unwrap_or_else(|| io_error(status)))
    }

    /// What is inside of the call of a function, with its context. A store from Rust and one that
    /// the core has made have all functions.
    fn call<F>(
        &self,
        function: Option<F>,
        run: impl FnOnce(F, *mut c_void) -> ffi::aegis_status,
    ) -> io::Result<()> {
        let Some(function) = function else { return Err(io_error(ffi::AEGIS_E_INVALID)) };
        self.check(unwind::call(|| run(function, self.raw.context)))
    }

    pub(super) fn read(&self, first_page: u64, pages: &mut [&mut [u8]]) -> io::Result<usize> {
        let Some(page_size) = pages.first().map(|page| page.len()) else { return Ok(0) };
        assert!(pages.iter().all(|page| page.len() == page_size), "pages have one size");
        let raw = collect(pages.iter_mut().map(|page| page.as_mut_ptr()))?;
        let mut read = 0;
        // SAFETY: there are as many pages, and each has `page_size` bytes.
        self.call(self.raw.read, |function, context| unsafe {
            function(context, first_page, raw.as_ptr(), raw.len(), page_size, &mut read)
        })?;
        Ok(read)
    }

    pub(super) fn write_batch(&self, pages: &[PageWrite<'_>]) -> io::Result<()> {
        let Some(page_size) = pages.first().map(|page| page.bytes.len()) else { return Ok(()) };
        assert!(pages.iter().all(|page| page.bytes.len() == page_size), "pages have one size");
        assert!(pages.windows(2).all(|two| two[0].page < two[1].page), "pages are in order");
        let raw = |page: &PageWrite<'_>| ffi::aegis_page_write {
            page: page.page,
            bytes: page.bytes.as_ptr(),
        };
        let raw = collect(pages.iter().map(raw))?;
        // SAFETY: there are as many pages, and each has `page_size` bytes.
        self.call(self.raw.write_batch, |function, context| unsafe {
            function(context, raw.as_ptr(), raw.len(), page_size)
        })
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        // SAFETY: the store is open.
        self.call(self.raw.sync, |function, context| unsafe { function(context) })
    }

    pub(super) fn len(&self, page_size: usize) -> io::Result<u64> {
        let mut pages = 0;
        // SAFETY: the store is open.
        self.call(self.raw.len, |function, context| unsafe {
            function(context, page_size, &mut pages)
        })?;
        Ok(pages)
    }

    pub(super) fn truncate(&self, pages: u64, page_size: usize) -> io::Result<()> {
        // SAFETY: the store is open.
        self.call(self.raw.truncate, |function, context| unsafe {
            function(context, pages, page_size)
        })
    }
}

impl Drop for OwnedStore {
    fn drop(&mut self) {
        if let Some(close) = self.raw.close {
            // SAFETY: no cache has the store, because then `take` would have been called.
            unwind::call(|| unsafe { close(self.raw.context) });
        }
    }
}

/// The error of the system behind a failure of a file store.
pub(super) fn os_error(
    store: &ffi::aegis_page_store,
    status: ffi::aegis_status,
) -> Option<io::Error> {
    // SAFETY: the store is open.
    let code = unsafe { ffi::aegis_page_store_os_error(store) };
    (status == ffi::AEGIS_E_IO && code != 0).then(|| io::Error::from_raw_os_error(code))
}

/// The box of [`OwnedStore::of_user`].
///
/// # Safety
///
/// - `context` is that of a store of `S` that is open.
unsafe fn held<'a, S>(context: *mut c_void) -> (&'a S, &'a Errors) {
    // SAFETY: the caller vouches for it, and the errors outlive the store.
    unsafe {
        let held = &*context.cast::<Held<S>>();
        (&held.store, &*held.errors)
    }
}

/// A list, if there is memory for it.
fn collect<T>(items: impl ExactSizeIterator<Item = T>) -> io::Result<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(items.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
    all.extend(items);
    Ok(all)
}

/// Calls a function with pages, for one of them without an allocation. `None`: there was no memory.
fn with_all<T, R>(
    count: usize,
    make: impl Fn(usize) -> T,
    function: impl FnOnce(&mut [T]) -> R,
) -> Option<R> {
    if count == 1 {
        return Some(function(&mut [make(0)]));
    }
    Some(function(&mut collect((0..count).map(make)).ok()?))
}

unsafe extern "C" fn read<S: PageStore>(
    context: *mut c_void,
    first_page: u64,
    pages: *const *mut u8,
    page_count: usize,
    page_bytes: usize,
    read_bytes: *mut usize,
) -> ffi::aegis_status {
    // SAFETY: the core calls the functions of an open store.
    let (store, errors) = unsafe { held::<S>(context) };
    // SAFETY: the core passes so many pages, which no other thread sees. The memory of frames has a
    // value from the beginning (resize.c).
    let page = |at| unsafe { slice::from_raw_parts_mut(*pages.add(at), page_bytes) };
    let run = |pages: &mut [&mut [u8]]| {
        errors.run(ffi::AEGIS_PAGE_READ, || {
            let read = store.read(first_page, pages)?;
            // SAFETY: the core passes a valid pointer.
            unsafe { *read_bytes = read };
            Ok(())
        })
    };
    with_all(page_count, page, run).unwrap_or(ffi::AEGIS_E_OUT_OF_MEMORY)
}

unsafe extern "C" fn write_batch<S: PageStore>(
    context: *mut c_void,
    pages: *const ffi::aegis_page_write,
    page_count: usize,
    page_bytes: usize,
) -> ffi::aegis_status {
    // SAFETY: the core calls the functions of an open store.
    let (store, errors) = unsafe { held::<S>(context) };
    // SAFETY: the core passes so many pages, which nobody changes during the call.
    let page = |at| unsafe {
        let raw: &ffi::aegis_page_write = &*pages.add(at);
        PageWrite { page: raw.page, bytes: slice::from_raw_parts(raw.bytes, page_bytes) }
    };
    let run = |pages: &mut [PageWrite<'_>]| {
        errors.run(ffi::AEGIS_PAGE_WRITE, || store.write_batch(pages))
    };
    with_all(page_count, page, run).unwrap_or(ffi::AEGIS_E_OUT_OF_MEMORY)
}

unsafe extern "C" fn sync<S: PageStore>(context: *mut c_void) -> ffi::aegis_status {
    // SAFETY: the core calls the functions of an open store.
    let (store, errors) = unsafe { held::<S>(context) };
    errors.run(ffi::AEGIS_PAGE_SYNC, || store.sync())
}

unsafe extern "C" fn len<S: PageStore>(
    context: *mut c_void,
    page_bytes: usize,
    page_count: *mut u64,
) -> ffi::aegis_status {
    // SAFETY: the core calls the functions of an open store.
    let (store, errors) = unsafe { held::<S>(context) };
    errors.run(ffi::AEGIS_PAGE_READ, || {
        let pages = store.len(page_bytes)?;
        // SAFETY: the core passes a valid pointer.
        unsafe { *page_count = pages };
        Ok(())
    })
}

unsafe extern "C" fn truncate<S: PageStore>(
    context: *mut c_void,
    page_count: u64,
    page_bytes: usize,
) -> ffi::aegis_status {
    // SAFETY: the core calls the functions of an open store.
    let (store, errors) = unsafe { held::<S>(context) };
    errors.run(ffi::AEGIS_PAGE_WRITE, || store.truncate(page_count, page_bytes))
}

unsafe extern "C" fn close<S: PageStore>(context: *mut c_void) {
    // SAFETY: `context` is the box of `of_user`; the core closes a store once.
    unwind::contain((), || drop(unsafe { Box::from_raw(context.cast::<Held<S>>()) }));
}
