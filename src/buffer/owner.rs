// SPDX-License-Identifier: Apache-2.0
//! The owner of a piece of memory, and the count of the references to it. The core has the same
//! code; it is written again here so that it inlines. `aegis_memory/buffer.h` describes the
//! counting:
//!
//! 1. Each handle, a view or a writer, holds one reference. [`retain`] adds one, and
//!    [`release_view`] and [`release_writer`] take one away.
//! 2. `retain` is relaxed. Its caller has a handle, so the count cannot become 0 during the call.
//! 3. Each decrement is a Release, and the thread that brings the count to 0 loads it with Acquire.
//!    So everything that other threads did with the bytes happens before the bytes are freed.
//! 4. [`is_unique`] loads the count with Acquire. If it is 1, the caller has the only handle, and
//!    no other thread can make one. So the caller may write, and `release_writer` may free the
//!    memory without a read-modify-write.

use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::{ffi, unwind};

/// The header of a piece of memory, as in C.
pub(super) type Owner = ffi::aegis_buffer_owner;

/// A flag of an owner: behind the header lies the address of what moves the memory's charge to
/// another budget, or null. (The core has the same number in `references.h`.)
const CHARGED: u32 = 1 << 28;
/// The flags of writable memory whose release calls no user code.
pub(super) const PLAIN: u32 = ffi::AEGIS_BUFFER_WRITABLE | CHARGED;

/// What moves the charge of [`PLAIN`] memory to another budget, as in the core's `move.h`.
#[repr(C)]
pub(super) struct OwnerKind {
    pub(super) move_charge: unsafe extern "C" fn(
        *mut Owner,
        *mut ffi::aegis_budget,
        *mut ffi::aegis_error,
    ) -> ffi::aegis_status,
}

/// The header of memory that is [`PLAIN`].
#[repr(C)]
pub(super) struct PlainOwner {
    pub(super) head: Owner,
    pub(super) kind: *const OwnerKind,
}

/// The owner's count.
///
/// # Safety
///
/// `owner` is alive for `'a`.
#[inline(always)]
unsafe fn references<'a>(owner: *mut Owner) -> &'a AtomicUsize {
    // SAFETY: the caller guarantees that the owner is alive. Its count is only accessed atomically
    // as soon as there are handles (buffer.h). No reference to the whole header is made.
    unsafe { AtomicUsize::from_ptr(addr_of_mut!((*owner).references)) }
}

/// Counts one more handle. An overflow ends the process, as in an `Arc`.
///
/// # Safety
///
/// `owner` is null, or the caller has a handle to it.
#[inline(always)]
pub(super) unsafe fn retain(owner: *mut Owner) {
    if owner.is_null() {
        return;
    }
    // SAFETY: the caller's handle keeps the owner alive. Relaxed: the caller has a handle already.
    let before = unsafe { references(owner) }.fetch_add(1, Ordering::Relaxed);
    if before > isize::MAX as usize {
        unwind::abort();
    }
}

/// Gives up a view. If it is the last handle, this frees the memory and the owner. A panic of the
/// owner continues here.
///
/// # Safety
///
/// `owner` is null, or the caller has a handle to it, which is not used again.
#[inline(always)]
pub(super) unsafe fn release_view(owner: *mut Owner) {
    if owner.is_null() {
        return;
    }
    // A writer loads the count first. A view does not: views are mostly shared, and then the thread
    // would wait twice for the count's cache line.
    // SAFETY: the caller's handle keeps the owner alive.
    if unsafe { references(owner) }.fetch_sub(1, Ordering::Release) == 1 {
        // Acquire: pairs with the Release of every thread that gave up its handle before. So what
        // these threads did with the bytes happens before the bytes are freed. It is a load and not
        // a fence, because ThreadSanitizer does not understand fences.
        // SAFETY: ours was the last handle, and nothing has freed the header yet.
        unsafe { references(owner) }.load(Ordering::Acquire);
        // SAFETY: ours was the last handle.
        unsafe { free(owner) };
    }
}

/// Gives up a writer, as [`release_view`] gives up a view. A writer is mostly the only handle, and
/// then no read-modify-write is needed.
///
/// # Safety
///
/// As for [`release_view`], and the owner is not null.
#[inline(always)]
pub(super) unsafe fn release_writer(owner: *mut Owner) {
    // SAFETY: the caller has a handle.
    if unsafe { is_unique(owner) } {
        // If the header is not freed, the count 0 lets C code detect the use of a stale copy of the
        // handle.
        // SAFETY: the caller's handle keeps the owner alive.
        unsafe { references(owner) }.store(0, Ordering::Relaxed);
        // SAFETY: ours was the only handle.
        unsafe { free(owner) };
    } else {
        // SAFETY: the caller's contract is the same.
        unsafe { release_view(owner) };
    }
}

/// Frees the memory and the owner.
///
/// # Safety
///
/// There is no handle left, and the caller has given up the last one.
#[inline(always)]
unsafe fn free(owner: *mut Owner) {
    // SAFETY: no other code frees the header.
    let (release, flags) = unsafe { ((*owner).release, (*owner).flags) };
    match release {
        // Writable memory that the library has allocated. Freeing it calls no user code, with two
        // exceptions: the last buffer of a pool releases the pool's memory to the source, and the
        // last reference to a budget drops the closures that were registered with it.
        Some(release) if flags == PLAIN => {
            // SAFETY: it is called once, when no handle is left (buffer.h).
            unwind::call(|| unsafe { release(owner) });
        }
        // The core limits the depth of the calls when owners own further owners, so the stack does
        // not overflow.
        // SAFETY: as above.
        Some(_) => unwind::call(|| unsafe { ffi::aegis_buffer_owner_release(owner) }),
        None => {}
    }
}

/// Whether the caller has the only handle. Never true for static bytes.
///
/// # Safety
///
/// `owner` is null, or the caller has a handle to it.
#[inline(always)]
pub(super) unsafe fn is_unique(owner: *mut Owner) -> bool {
    // Acquire: pairs with the Release of the threads that gave up their handles, because the caller
    // may write next.
    // SAFETY: the caller's handle keeps the owner alive.
    !owner.is_null() && unsafe { references(owner) }.load(Ordering::Acquire) == 1
}

/// Whether there are two handles, which the caller has both. The caller may then write, as the
/// caller of [`is_unique`] may.
///
/// # Safety
///
/// The caller has a handle to `owner`.
pub(super) unsafe fn is_shared_by_two(owner: *mut Owner) -> bool {
    // Acquire: as in `is_unique`.
    // SAFETY: the caller's handle keeps the owner alive.
    unsafe { references(owner) }.load(Ordering::Acquire) == 2
}

/// Whether the only handle to the memory may write it. A mapped file, for example, may not be
/// written.
///
/// # Safety
///
/// The caller has a handle to `owner`.
#[inline(always)]
pub(super) unsafe fn is_writable(owner: *mut Owner) -> bool {
    // SAFETY: the caller's handle keeps the owner alive, and the field is not written while there
    // are handles.
    unsafe { (*owner).flags & ffi::AEGIS_BUFFER_WRITABLE != 0 }
}
