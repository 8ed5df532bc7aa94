// SPDX-License-Identifier: Apache-2.0
//! A picture of a cache, and where its slabs are.

use core::fmt;
use core::iter;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::page_cache::PageCache;
use crate::ffi;
use crate::lines::draw;

/// A picture of a [`PageCache`] as text: a line of figures, a map of the frames, and a line for
/// each file. [`PageCache::layout`] returns it.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::PageCache;
///
/// let cache = PageCache::new(64);
/// println!("{}", cache.layout());
/// ```
#[derive(Clone, Copy)]
pub struct CacheLayout<'c> {
    cache: &'c PageCache,
}

impl fmt::Display for CacheLayout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        draw(f, |print, context| {
            // SAFETY: any thread may call it, and the function matches the context.
            unsafe { ffi::aegis_page_cache_print(self.cache.raw(), Some(print), context) };
            true
        })
    }
}

impl fmt::Debug for CacheLayout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A slab of a [`PageCache`]: one contiguous, page-aligned piece of memory with a row of frames.
/// [`PageCache::slabs`] returns them.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::PageCache;
///
/// let cache = PageCache::new(64);
/// let slab = cache.slabs().next().expect("there is one");
/// assert!(slab.size_bytes >= slab.frame_count * 4096);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageSlab {
    /// The first byte.
    pub base: NonNull<u8>,
    /// Bytes of the slab.
    pub size_bytes: usize,
    /// The number of the first frame.
    pub first_frame: usize,
    /// How many frames there are.
    pub frame_count: usize,
}

// SAFETY: it is an address and numbers. Code that uses the memory at the address needs a SAFETY
// reason of its own.
unsafe impl Send for PageSlab {}
// SAFETY: as above.
unsafe impl Sync for PageSlab {}

impl PageCache {
    /// A picture of the cache as text.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{MemoryStore, PageCache};
    /// let cache = PageCache::new(64);
    /// let file = cache.open(MemoryStore::new())?;
    /// cache.fresh(file, 0)?;
    /// println!("{}", cache.layout());
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn layout(&self) -> CacheLayout<'_> {
        CacheLayout { cache: self }
    }

    /// The slabs that the cache has at this moment, to register them with the kernel. A resize
    /// moves nothing, but adds and removes slabs.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::PageCache;
    /// let cache = PageCache::new(64);
    /// assert_eq!(cache.slabs().map(|slab| slab.frame_count).sum::<usize>(), 64);
    /// ```
    pub fn slabs(&self) -> impl Iterator<Item = PageSlab> + '_ {
        let mut at = 0;
        iter::from_fn(move || loop {
            let mut raw = MaybeUninit::<ffi::aegis_page_slab>::uninit();
            // SAFETY: any thread may call it, with any number, and it writes the whole struct.
            let (status, raw) = unsafe {
                let status = ffi::aegis_page_cache_get_slab(self.raw(), at, raw.as_mut_ptr());
                (status, raw.assume_init())
            };
            at += 1;
            match (status, NonNull::new(raw.base)) {
                (0, Some(base)) => {
                    return Some(PageSlab {
                        base,
                        size_bytes: raw.size_bytes,
                        first_frame: raw.first_frame,
                        frame_count: raw.frame_count,
                    })
                }
                // Not held at this moment.
                (ffi::AEGIS_E_EXHAUSTED, _) => {}
                _ => return None,
            }
        })
    }
}
