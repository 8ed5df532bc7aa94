// SPDX-License-Identifier: Apache-2.0
//! A hit, and the unpin of a page to read: the same as in C (csrc/cache/pin.h and table.h,
//! `aegis_i_frame_leave` in frame.h), inline in Rust. `tests/cache/fast_path.rs` holds the two
//! equal.

use core::ptr::NonNull;

/// A page that was found and pinned: its bytes, and the number of its frame.
pub(super) type Found = (NonNull<u8>, u32);

#[cfg(target_has_atomic = "64")]
mod imp {
    use core::ptr::{addr_of, NonNull};
    use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

    use super::Found;
    use crate::ffi;

    /// The bytes of a frame whose slab is held.
    ///
    /// # Safety
    ///
    /// - The frame is pinned.
    #[inline(always)]
    unsafe fn bytes_of(cache: &ffi::aegis_page_cache, frame: u32) -> NonNull<u8> {
        let (slab, at) = (frame >> cache.slab_shift, frame & ((1 << cache.slab_shift) - 1));
        // SAFETY: there is an entry for each slab, and a slab with a pinned page is held, so its
        // entry is an address, with flags in the lowest 2 bits.
        unsafe {
            // Acquire pairs with the release of the thread that changed it (pool/slab.h).
            let word =
                AtomicUsize::from_ptr(cache.slabs.add(slab as usize)).load(Ordering::Acquire);
            let base = (word & !3) as *mut u8;
            NonNull::new_unchecked(base.add(at as usize * cache.stride_bytes))
        }
    }

    /// Which page a frame has.
    ///
    /// # Safety
    ///
    /// - `frame` is a frame of a cache that is alive.
    #[inline(always)]
    pub(in super::super) unsafe fn identity(frame: *mut ffi::aegis_page_frame) -> (u32, u64) {
        // SAFETY: the header of a frame is never freed while the cache lives, and the fields are
        // aligned and changed only atomically. Relaxed: it is read under a pin, or is checked under
        // one.
        unsafe {
            let file = AtomicU32::from_ptr(addr_of!((*frame).file).cast_mut());
            let page = AtomicU64::from_ptr(addr_of!((*frame).page).cast_mut());
            (file.load(Ordering::Relaxed), page.load(Ordering::Relaxed))
        }
    }

    /// Pins a resident page to read, if it is found and free of writers. `None`: the caller goes
    /// the long way.
    #[inline(always)]
    pub(in super::super) fn pin(
        cache: &ffi::aegis_page_cache,
        file: u32,
        page: u64,
    ) -> Option<Found> {
        let key = page.wrapping_add(u64::from(file) << 40).wrapping_add(u64::from(file));
        let hash = key.wrapping_mul(cache.chain_factor);
        let chain = ((hash >> 32) * u64::from(cache.chain_count)) >> 32;
        // SAFETY: a product of 32 bits is below `chain_count`, and there are as many chains.
        let mut link = unsafe { AtomicU32::from_ptr(cache.chains.add(chain as usize)) };
        for _ in 0..ffi::AEGIS_PAGE_MAX_STEPS {
            // Acquire pairs with the releases of the thread that linked the frame
            // (`aegis_i_table_add`): its header is seen as it was then, or later.
            let number = link.load(Ordering::Acquire).checked_sub(1)?;
            // SAFETY: a link is the number of a frame, plus 1.
            let frame = unsafe { cache.frames.add(number as usize) };
            // SAFETY: the frame is one of the cache, which is alive.
            if unsafe { identity(frame) } == (file, page) {
                return enter(cache, frame, number, (file, page));
            }
            // SAFETY: as above.
            link = unsafe { AtomicU32::from_ptr(addr_of!((*frame).next).cast_mut()) };
        }
        None
    }

    #[inline(always)]
    fn enter(
        cache: &ffi::aegis_page_cache,
        frame: *mut ffi::aegis_page_frame,
        number: u32,
        wanted: (u32, u64),
    ) -> Option<Found> {
        // SAFETY: the frame is one of the cache, which is alive, and its word changes only
        // atomically.
        let state = unsafe { AtomicU64::from_ptr(addr_of!((*frame).state).cast_mut()) };
        // Acquire pairs with the release of each thread that had the frame exclusively: this thread
        // sees the page as that one left it.
        let before = state.fetch_add(ffi::AEGIS_FRAME_ONE_PIN + 1, Ordering::Acquire);
        // SAFETY: as above.
        let is_same = unsafe { identity(frame) } == wanted;
        if before & ffi::AEGIS_FRAME_CLOSED as u64 != 0 || !is_same {
            refused(cache, state, number);
            return None;
        }
        // SAFETY: the page is pinned.
        Some((unsafe { bytes_of(cache, number) }, number))
    }

    /// It was no pin after all.
    #[cold]
    fn refused(cache: &ffi::aegis_page_cache, state: &AtomicU64, number: u32) {
        // Not below 0: the policy may have taken it out meanwhile. Relaxed: it is only a count. It
        // fails if there is nothing to take off.
        _ = state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            (seen >= ffi::AEGIS_FRAME_ONE_PIN).then(|| seen - ffi::AEGIS_FRAME_ONE_PIN)
        });
        // SAFETY: this thread was added to the readers, and is taken off once.
        unsafe { unpin(cache, number, core::ptr::null_mut()) };
    }

    /// Gives a pin to read up.
    ///
    /// # Safety
    ///
    /// - The caller has the page of the frame pinned to read, or counted among the readers, and
    ///   does not use it again.
    #[inline(always)]
    pub(in super::super) unsafe fn unpin(cache: &ffi::aegis_page_cache, number: u32, _: *mut u8) {
        // SAFETY: the number is that of a frame, and its word changes only atomically.
        let state = unsafe {
            AtomicU64::from_ptr(addr_of!((*cache.frames.add(number as usize)).state).cast_mut())
        };
        // Release pairs with the acquire of a writer's compare-and-swap: it changes the page after
        // this thread has read it.
        let before = state.fetch_sub(1, Ordering::Release);
        let is_last = before & u64::from(ffi::AEGIS_FRAME_READERS) == 1;
        if before & u64::from(ffi::AEGIS_FRAME_TELL) != 0 || is_last && is_wanted(cache) {
            left(cache, number, before);
        }
    }

    /// Whether a thread waits for frames. Relaxed: one that waits looks again every few
    /// milliseconds.
    #[inline(always)]
    fn is_wanted(cache: &ffi::aegis_page_cache) -> bool {
        // SAFETY: the first word of the shared state is an atomic number of 32 bits (page_cache.h).
        unsafe { AtomicU32::from_ptr(cache.shared.cast()) }.load(Ordering::Relaxed) != 0
    }

    #[cold]
    fn left(cache: &ffi::aegis_page_cache, number: u32, before: u64) {
        // SAFETY: this thread has left the frame, whose word was `before`.
        unsafe { ffi::aegis_page_cache_left(cache, number, before) };
    }
}

/// Where Rust has no atomic numbers of 64 bits, C does all.
#[cfg(not(target_has_atomic = "64"))]
mod imp {
    use core::ptr::addr_of;

    use super::Found;
    use crate::ffi;

    /// Which page a frame has.
    ///
    /// # Safety
    ///
    /// - `frame` is a frame of a cache that is alive, and is pinned.
    pub(in super::super) unsafe fn identity(frame: *mut ffi::aegis_page_frame) -> (u32, u64) {
        // SAFETY: the caller vouches for the frame. A pinned one keeps its page.
        unsafe {
            (addr_of!((*frame).file).read_volatile(), addr_of!((*frame).page).read_volatile())
        }
    }

    pub(in super::super) fn pin(_: &ffi::aegis_page_cache, _: u32, _: u64) -> Option<Found> {
        None
    }

    /// Gives a pin to read up.
    ///
    /// # Safety
    ///
    /// - The caller has the page of the frame pinned to read, and does not use it again. `data` is
    ///   its first byte.
    pub(in super::super) unsafe fn unpin(cache: &ffi::aegis_page_cache, frame: u32, data: *mut u8) {
        // SAFETY: the caller vouches for the pin.
        unsafe {
            let (file, page) = identity(cache.frames.add(frame as usize));
            let mode = ffi::AEGIS_PIN_READ;
            let mut pin = ffi::aegis_page_pin { data, page, file, frame, mode };
            ffi::aegis_page_cache_unpin(cache, &mut pin, 0);
        }
    }
}

pub(super) use imp::{identity, pin, unpin};
