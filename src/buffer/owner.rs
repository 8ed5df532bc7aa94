// SPDX-License-Identifier: Apache-2.0
//! What keeps the bytes: the count of references, written here a second time for its speed (see
//! `aegis_memory/buffer.h`).

use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::{ffi, unwind};

/// The C header of a piece of memory.
pub(super) type Owner = ffi::aegis_buffer_owner;

/// The owner's count.
///
/// # Safety
///
/// `owner` is alive for `'a`.
#[inline(always)]
unsafe fn references<'a>(owner: *mut Owner) -> &'a AtomicUsize {
    // SAFETY: the caller vouches for the owner, whose count is only touched atomically once there
    // are handles (buffer.h). No reference to the whole header is made.
    unsafe { AtomicUsize::from_ptr(addr_of_mut!((*owner).references)) }
}

/// Counts one more handle. An overflow ends the process, as that of an `Arc` does.
///
/// # Safety
///
/// `owner` is null or one that the caller has a handle to.
#[inline(always)]
pub(super) unsafe fn retain(owner: *mut Owner) {
    if owner.is_null() {
        return;
    }
    // SAFETY: alive, by the caller's handle. Relaxed: whoever counts up has a handle already.
    let before = unsafe { references(owner) }.fetch_add(1, Ordering::Relaxed);
    if before > isize::MAX as usize {
        unwind::abort();
    }
}

/// Gives a view up; the last handle frees memory and owner. A panic of the owner goes on from here.
///
/// # Safety
///
/// `owner` is null or one that the caller has a handle to, which is not used again.
#[inline(always)]
pub(super) unsafe fn release_view(owner: *mut Owner) {
    if owner.is_null() {
        return;
    }
    // SAFETY: alive, by the caller's handle. No look at the count before, as writers take it: views
    // are mostly shared, and then it would wait for the count twice.
    if unsafe { references(owner) }.fetch_sub(1, Ordering::Release) == 1 {
        // Acquire: pairs with the Release of all who gave their handle up before, so that what they
        // did with the bytes has happened before they are freed. A load and no fence, for the sake
        // of ThreadSanitizer.
        // SAFETY: the header is still alive: ours was the last handle.
        unsafe { references(owner) }.load(Ordering::Acquire);
        // SAFETY: ours was the last handle.
        unsafe { free(owner) };
    }
}

/// Gives a writer up, as [`release_view`] does a view. The only handle, which a writer mostly is,
/// needs no read-modify-write.
///
/// # Safety
///
/// As for [`release_view`], and the owner is not null.
#[inline(always)]
pub(super) unsafe fn release_writer(owner: *mut Owner) {
    // SAFETY: the caller has a handle.
    if unsafe { is_unique(owner) } {
        // So that a stale copy of the handle in C is found out where the header is not freed.
        // SAFETY: alive, by the caller's handle.
        unsafe { references(owner) }.store(0, Ordering::Relaxed);
        // SAFETY: ours is the only handle.
        unsafe { free(owner) };
    } else {
        // SAFETY: the caller's contract is the same.
        unsafe { release_view(owner) };
    }
}

/// Frees memory and owner.
///
/// # Safety
///
/// There is no handle left, and whoever gave the last one up calls.
#[inline(always)]
unsafe fn free(owner: *mut Owner) {
    // SAFETY: nobody else frees the header.
    let (release, flags) = unsafe { ((*owner).release, (*owner).flags) };
    match release {
        // Memory that the library has allocated to be written: freeing it calls nobody else's code
        // but, with the last buffer of a pool, its source.
        Some(release) if flags == ffi::AEGIS_BUFFER_WRITABLE => {
            // SAFETY: called once, without handles left (buffer.h).
            unwind::call(|| unsafe { release(owner) });
        }
        // The core sees to it that owners of owners do not use the stack up.
        // SAFETY: as above.
        Some(_) => unwind::call(|| unsafe { ffi::aegis_buffer_owner_release(owner) }),
        None => {}
    }
}

/// Whether the caller's is the only handle. Never of bytes that live for ever.
///
/// # Safety
///
/// `owner` is null or one that the caller has a handle to.
#[inline(always)]
pub(super) unsafe fn is_unique(owner: *mut Owner) -> bool {
    // SAFETY: alive, by the caller's handle. Acquire: pairs with the Release of those who gave
    // theirs up, since the caller may write next.
    !owner.is_null() && unsafe { references(owner) }.load(Ordering::Acquire) == 1
}

/// Whether the memory may be written by the only handle to it: unlike a mapped file.
///
/// # Safety
///
/// `owner` is one that the caller has a handle to.
#[inline(always)]
pub(super) unsafe fn is_writable(owner: *mut Owner) -> bool {
    // SAFETY: alive, by the caller's handle; the field is not written while there are handles.
    unsafe { (*owner).flags & ffi::AEGIS_BUFFER_WRITABLE != 0 }
}
