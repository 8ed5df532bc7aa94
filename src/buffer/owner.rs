// SPDX-License-Identifier: Apache-2.0
//! What keeps the bytes: the count of references, written here a second time for its speed (see
//! `aegis_memory/buffer.h`), and the owners that Rust supplies, a `Vec` and any other value.

use alloc::boxed::Box;
use alloc::vec::Vec;
#[cfg(feature = "bytes")]
use core::mem::align_of;
use core::mem::ManuallyDrop;
use core::ptr::{self, addr_of_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use super::{Buffer, BufferMut};
#[cfg(feature = "bytes")]
use crate::error::expect;
use crate::error::AllocError;
use crate::{ffi, heap, unwind};

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
unsafe fn release_view(owner: *mut Owner) {
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
unsafe fn release_writer(owner: *mut Owner) {
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

/// A view of a vector's bytes, without a copy. The header is all that is allocated; without memory
/// for it the vector is returned, and why.
pub(super) fn of_vec(vec: Vec<u8>) -> Result<Buffer, (Vec<u8>, AllocError)> {
    if vec.is_empty() {
        return Ok(Buffer::new());
    }
    let mut vec = ManuallyDrop::new(vec);
    let length = vec.len();
    let header = heap::try_box(Owner {
        references: 1,
        release: Some(release_vec),
        base: vec.as_mut_ptr(),
        capacity_bytes: vec.capacity(),
        flags: ffi::AEGIS_BUFFER_WRITABLE,
    });
    let owner = match header {
        Ok(header) => Box::into_raw(header),
        Err(_) => {
            return Err((ManuallyDrop::into_inner(vec), AllocError::no_memory_for::<Owner>()))
        }
    };
    // SAFETY: the header is ours.
    let data = unsafe { (*owner).base };
    // SAFETY: the vector's bytes live until `release_vec`, and the one reference is the view's.
    Ok(unsafe { Buffer::from_raw(ffi::aegis_buffer { data, length, owner }) })
}

unsafe extern "C" fn release_vec(owner: *mut Owner) {
    // SAFETY: the box of `of_vec`; an owner is released once.
    let head = unsafe { Box::from_raw(owner) };
    // SAFETY: pointer and capacity are the vector's, which was not dropped.
    drop(unsafe { Vec::from_raw_parts(head.base, 0, head.capacity_bytes) });
}

/// A header and the value whose bytes are shown, in one box.
#[repr(C)]
struct Owned<T> {
    head: Owner,
    value: T,
}

/// In the flags of an owner: behind the header lies the [`MARK`] of the copy of this crate that made
/// it (buffer_internal.h keeps the bit free). Copies agree on that and on nothing behind it.
#[cfg(feature = "bytes")]
const MARKED: u32 = 1 << 29;

/// The address tells this copy of the crate from others in the process, other versions for one,
/// whose types are not ours.
#[cfg(feature = "bytes")]
static MARK: AtomicUsize = AtomicUsize::new(0);

/// A value that an owner of this copy can be asked for again.
#[cfg(feature = "bytes")]
#[repr(C)]
struct Marked<T> {
    mark: &'static AtomicUsize,
    value: T,
}

// So the mark lies right behind the header.
#[cfg(feature = "bytes")]
const _: () = assert!(align_of::<Marked<::bytes::Bytes>>() <= align_of::<Owner>());

#[cfg(feature = "bytes")]
impl<T: AsRef<[u8]>> AsRef<[u8]> for Marked<T> {
    fn as_ref(&self) -> &[u8] {
        self.value.as_ref()
    }
}

/// A view of a `Bytes`, which [`bytes_of`] finds again.
#[cfg(feature = "bytes")]
#[track_caller]
pub(super) fn of_bytes(value: ::bytes::Bytes) -> Buffer {
    let made = of_value(Marked { mark: &MARK, value });
    let buffer = expect(made.map_err(|(_, error)| error));
    // SAFETY: the header is ours alone as yet.
    unsafe { (*buffer.raw().owner).flags |= MARKED };
    buffer
}

/// The `Bytes` that a buffer is a view of, if this copy of the crate made its owner from one.
#[cfg(feature = "bytes")]
pub(super) fn bytes_of(buffer: &Buffer) -> Option<&::bytes::Bytes> {
    let owner = buffer.raw().owner;
    // SAFETY: alive, by the handle; the flags are not written while there are handles.
    if owner.is_null() || unsafe { (*owner).flags } & MARKED == 0 {
        return None;
    }
    // SAFETY: the address of a mark lies behind the header, whichever copy wrote it.
    let mark = unsafe { *owner.add(1).cast::<*const AtomicUsize>() };
    if !ptr::eq(mark, &MARK) {
        return None;
    }
    // SAFETY: the flag and this copy's mark are on what `of_bytes` makes, and on nothing else. It
    // stays as it is as long as there are handles.
    let owned = unsafe { &*owner.cast::<Owned<Marked<::bytes::Bytes>>>() };
    Some(&owned.value.value)
}

/// A view of what `value` derefs to once it is in its place. Without memory for that place the value
/// is returned, and why.
pub(super) fn of_value<T>(value: T) -> Result<Buffer, (T, AllocError)>
where
    T: AsRef<[u8]> + Send + Sync + 'static,
{
    let place = heap::try_box(Owned {
        head: Owner {
            references: 1,
            release: Some(release_value::<T>),
            base: ptr::null_mut(),
            capacity_bytes: 0,
            flags: 0,
        },
        value,
    });
    let owned = Box::into_raw(
        place.map_err(|owned| (owned.value, AllocError::no_memory_for::<Owned<T>>()))?,
    );
    let owner: *mut Owner = owned.cast();
    // From here on the box is the handle's, which frees it if `as_ref` panics.
    // SAFETY: the one reference is this handle's; it has no bytes yet.
    let mut buffer = unsafe { Buffer::from_raw(ffi::aegis_buffer { owner, ..EMPTY }) };
    // SAFETY: the value stays where it is, unchanged, until `release_value`, so what it shows now
    // may be looked at until then. It is not asked again.
    let bytes: &[u8] = unsafe { &(*owned).value }.as_ref();
    let (data, length) = (bytes.as_ptr(), bytes.len());
    // SAFETY: the header is ours alone as yet, and apart from the value.
    unsafe {
        (*owner).base = data.cast_mut();
        (*owner).capacity_bytes = length;
    }
    buffer.set(data, length);
    if length == 0 {
        buffer.clear();
    }
    Ok(buffer)
}

unsafe extern "C" fn release_value<T>(owner: *mut Owner) {
    // SAFETY: the box of `of_value`, whose first field the header is; an owner is released once.
    unwind::contain((), || drop(unsafe { Box::from_raw(owner.cast::<Owned<T>>()) }));
}

/// No bytes, for ever.
pub(super) const EMPTY: ffi::aegis_buffer = ffi::aegis_buffer {
    data: ptr::NonNull::dangling().as_ptr(),
    length: 0,
    owner: ptr::null_mut(),
};

/// What the C core fills in: no buffer yet.
pub(super) const NONE: ffi::aegis_buffer =
    ffi::aegis_buffer { data: ptr::null(), length: 0, owner: ptr::null_mut() };

/// What the C core fills in: no writer yet.
pub(super) const NO_WRITER: ffi::aegis_buffer_mut = ffi::aegis_buffer_mut {
    data: ptr::null_mut(),
    length: 0,
    capacity: 0,
    owner: ptr::null_mut(),
    initialized: 0,
};

impl Clone for Buffer {
    /// Another handle to the same bytes: one relaxed increment.
    #[inline]
    fn clone(&self) -> Self {
        let raw = *self.raw();
        // SAFETY: `self` is a handle.
        unsafe { retain(raw.owner) };
        // SAFETY: the same view, with the reference just counted.
        unsafe { Self::from_raw(raw) }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` is a handle, and not used again.
        unsafe { release_view(self.raw().owner) }
    }
}

/// Drops a view inside of `unwind::call`: a panic of the owner goes on when that is done, and so
/// does not cut short what is being done with several views.
pub(super) fn drop_inside(buffer: Buffer) {
    let mut raw = buffer.into_raw();
    // SAFETY: a handle, not used again.
    unsafe { ffi::aegis_buffer_release(&mut raw) };
}

impl Drop for BufferMut {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` is a handle, which has an owner, and not used again.
        unsafe { release_writer(self.raw().owner) }
    }
}
