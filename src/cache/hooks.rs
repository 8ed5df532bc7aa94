// SPDX-License-Identifier: Apache-2.0
//! [`PageHooks`], what an engine adds to the reading and writing of a file, and a checksum that is
//! ready.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_void;
use core::slice;
use std::io;

use super::error::{CacheError, FileId};
use super::store::Errors;
use crate::{ffi, heap, unwind};

/// What an engine adds to the reading and writing of one file. Several threads may call the
/// functions at the same time. Each does nothing by default.
///
/// A function does not use the cache that calls it. A panic is an error of the call: see
/// [the module](super). An `Arc` of hooks is hooks.
///
/// # Examples
///
/// Checksums and the write-ahead rule together:
///
/// ```
/// use aegis_memory::cache::{Crc32c, FileId, MemoryStore, PageCache, PageHooks};
/// use std::io;
/// use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
/// use std::sync::Arc;
///
/// struct Engine {
///     sums: Crc32c,
///     durable: AtomicU64,
/// }
///
/// impl PageHooks for Engine {
///     fn before_write(&self, _: FileId, max_lsn: u64) -> io::Result<()> {
///         self.durable.fetch_max(max_lsn, SeqCst); // here the log is written and synced
///         Ok(())
///     }
///     fn verify(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
///         self.sums.verify(page, bytes)
///     }
///     fn seal(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
///         self.sums.seal(page, bytes)
///     }
/// }
///
/// let engine = Arc::new(Engine { sums: Crc32c::at(0), durable: AtomicU64::new(0) });
/// let cache = PageCache::new(8);
/// let file = cache.open_with(MemoryStore::new(), Arc::clone(&engine))?;
/// let mut page = cache.fresh(file, 0)?;
/// page[4] = 1;
/// page.set_lsn(77);
/// drop(page);
/// cache.flush(file)?;
/// assert_eq!(engine.durable.load(SeqCst), 77);
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
pub trait PageHooks: Send + Sync {
    /// Called before pages are written. `max_lsn` is the highest LSN among them; it is not called
    /// if none has one. `Ok` means that the log is durable up to there.
    ///
    /// # Errors
    ///
    /// When the log could not be made durable. Nothing is written then.
    fn before_write(&self, file: FileId, max_lsn: u64) -> io::Result<()> {
        let _ = (file, max_lsn);
        Ok(())
    }

    /// Called after a page was read, before anybody sees it. It may change the bytes, to decrypt
    /// them.
    ///
    /// # Errors
    ///
    /// When the page is not valid. The call that needed the page fails.
    fn verify(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
        let _ = (page, bytes);
        Ok(())
    }

    /// Called with the copy of a page that is to be written. It may change the bytes, to add a
    /// checksum or to encrypt them.
    ///
    /// # Errors
    ///
    /// When the page cannot be written. It stays dirty.
    fn seal(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
        let _ = (page, bytes);
        Ok(())
    }
}

impl<H: PageHooks + ?Sized> PageHooks for Arc<H> {
    fn before_write(&self, file: FileId, max_lsn: u64) -> io::Result<()> {
        (**self).before_write(file, max_lsn)
    }

    fn verify(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
        (**self).verify(page, bytes)
    }

    fn seal(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
        (**self).seal(page, bytes)
    }
}

/// The CRC-32C (Castagnoli) of bytes, or of bytes that follow others: then `crc` is what this
/// function returned for those before, and 0 else.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::crc32c;
///
/// assert_eq!(crc32c(0, b"123456789"), 0xE306_9283);
/// assert_eq!(crc32c(crc32c(0, b"12345"), b"6789"), 0xE306_9283);
/// ```
pub fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    // SAFETY: the bytes are readable.
    unsafe { ffi::aegis_crc32c(crc, bytes.as_ptr().cast(), bytes.len()) }
}

/// Hooks that keep a CRC32C of each page in the page: 4 bytes, least significant first. The sum
/// covers the number of the page and all other bytes of it. A page that is all zero is accepted,
/// because a file may have holes.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{CacheErrorKind, Crc32c, MemoryStore, PageCache, PageStore, PageWrite};
/// use std::sync::Arc;
///
/// let store = Arc::new(MemoryStore::new());
/// let cache = PageCache::new(8);
/// let file = cache.open_with(Arc::clone(&store), Crc32c::at(0))?;
/// cache.fresh(file, 0)?[100] = 1;
/// cache.close(file)?;
///
/// store.write_batch(&[PageWrite { page: 0, bytes: &[7; 4096] }])?; // something goes wrong
/// let file = cache.open_with(store, Crc32c::at(0))?;
/// assert_eq!(cache.read(file, 0).unwrap_err().kind(), CacheErrorKind::Verify);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Crc32c {
    sum_at: usize,
}

impl Crc32c {
    /// The 4 bytes of the sum are at this offset in the page. If they are not inside of it, each
    /// read and each write fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{Crc32c, PageHooks};
    /// let mut page = [1; 512];
    /// Crc32c::at(508).seal(9, &mut page)?;
    /// assert!(Crc32c::at(508).verify(9, &mut page).is_ok());
    /// assert!(Crc32c::at(508).verify(8, &mut page).is_err(), "it is another page");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const fn at(offset: usize) -> Self {
        Self { sum_at: offset }
    }

    /// Runs one of the hooks of C, which do not look at the memory behind `context`.
    fn run(
        self,
        hook: impl FnOnce(&ffi::aegis_page_hooks) -> Option<Hook>,
        page: u64,
        bytes: &mut [u8],
    ) -> io::Result<()> {
        // SAFETY: returns a plain struct.
        let hooks = unsafe { ffi::aegis_page_hooks_crc32c(self.sum_at) };
        let status = hook(&hooks).map_or(ffi::AEGIS_E_INVALID, |hook| {
            // SAFETY: the bytes are so many.
            unsafe { hook(hooks.context, page, bytes.as_mut_ptr(), bytes.len()) }
        });
        match status {
            0 => Ok(()),
            ffi::AEGIS_E_INVALID => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "the checksum is not in the page"))
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum is wrong")),
        }
    }
}

type Hook = unsafe extern "C" fn(*mut c_void, u64, *mut u8, usize) -> ffi::aegis_status;

impl PageHooks for Crc32c {
    fn verify(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.run(|hooks| hooks.verify, page, bytes)
    }

    fn seal(&self, page: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.run(|hooks| hooks.seal, page, bytes)
    }
}

/// Hooks on the heap.
struct Held<H> {
    hooks: H,
    /// That of the file's store, which outlives the hooks.
    errors: *const Errors,
}

/// Hooks as the C core takes them. The drop closes them. When a cache takes them over, this value
/// is forgotten.
pub(super) struct OwnedHooks(pub(super) ffi::aegis_page_hooks);

impl OwnedHooks {
    /// # Safety
    ///
    /// - `errors` stay until the hooks are closed.
    pub(super) unsafe fn try_new<H: PageHooks + 'static>(
        hooks: H,
        errors: *const Errors,
    ) -> Result<Self, CacheError> {
        let held = heap::try_box(Held { hooks, errors }).map_err(|_| CacheError::NO_MEMORY)?;
        Ok(Self(ffi::aegis_page_hooks {
            before_write: Some(before_write::<H>),
            verify: Some(verify::<H>),
            seal: Some(seal::<H>),
            close: Some(close::<H>),
            context: Box::into_raw(held).cast(),
        }))
    }
}

impl Drop for OwnedHooks {
    fn drop(&mut self) {
        if let Some(close) = self.0.close {
            // SAFETY: no cache has the hooks, because then this value would have been forgotten.
            unwind::call(|| unsafe { close(self.0.context) });
        }
    }
}

/// The box of [`OwnedHooks`].
///
/// # Safety
///
/// - `context` is that of hooks of `H` that are not closed.
unsafe fn held<'a, H>(context: *mut c_void) -> (&'a H, &'a Errors) {
    // SAFETY: the caller vouches for it, and the errors outlive the hooks.
    unsafe {
        let held = &*context.cast::<Held<H>>();
        (&held.hooks, &*held.errors)
    }
}

unsafe extern "C" fn before_write<H: PageHooks>(
    context: *mut c_void,
    file: u32,
    max_lsn: u64,
) -> ffi::aegis_status {
    // SAFETY: the core calls hooks of an open file.
    let (hooks, errors) = unsafe { held::<H>(context) };
    errors.run(ffi::AEGIS_PAGE_LOG, || hooks.before_write(FileId(file), max_lsn))
}

/// Calls a hook with the bytes of a page.
///
/// # Safety
///
/// - It is a call of the core for hooks of an open file.
/// - The page, or its copy, is one that no other thread sees.
unsafe fn run_on_page<H: PageHooks>(
    context: *mut c_void,
    bytes: (*mut u8, usize),
    reason: u32,
    hook: impl FnOnce(&H, &mut [u8]) -> io::Result<()>,
) -> ffi::aegis_status {
    // SAFETY: the caller's contract is the same.
    let (hooks, errors) = unsafe { held::<H>(context) };
    // SAFETY: the caller vouches for the bytes.
    let bytes = unsafe { slice::from_raw_parts_mut(bytes.0, bytes.1) };
    errors.run(reason, || hook(hooks, bytes))
}

unsafe extern "C" fn verify<H: PageHooks>(
    context: *mut c_void,
    page: u64,
    bytes: *mut u8,
    page_bytes: usize,
) -> ffi::aegis_status {
    let hook = |hooks: &H, bytes: &mut [u8]| hooks.verify(page, bytes);
    // SAFETY: the core passes a page that no other thread sees.
    unsafe { run_on_page(context, (bytes, page_bytes), ffi::AEGIS_PAGE_VERIFY, hook) }
}

unsafe extern "C" fn seal<H: PageHooks>(
    context: *mut c_void,
    page: u64,
    bytes: *mut u8,
    page_bytes: usize,
) -> ffi::aegis_status {
    let hook = |hooks: &H, bytes: &mut [u8]| hooks.seal(page, bytes);
    // SAFETY: the core passes a copy of a page that no other thread sees.
    unsafe { run_on_page(context, (bytes, page_bytes), ffi::AEGIS_PAGE_SEAL, hook) }
}

unsafe extern "C" fn close<H: PageHooks>(context: *mut c_void) {
    // SAFETY: `context` is the box of `OwnedHooks`; the core closes hooks once.
    unwind::contain((), || drop(unsafe { Box::from_raw(context.cast::<Held<H>>()) }));
}
