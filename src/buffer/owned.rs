// SPDX-License-Identifier: Apache-2.0
//! The owners that Rust supplies: a `Vec`, and any other value that has bytes.

use alloc::boxed::Box;
use alloc::vec::Vec;
#[cfg(feature = "bytes")]
use core::mem::align_of;
use core::mem::ManuallyDrop;
use core::ptr;
#[cfg(feature = "bytes")]
use core::sync::atomic::AtomicUsize;

use super::owner::Owner;
use super::view::{Buffer, EMPTY};
#[cfg(feature = "bytes")]
use crate::error::expect;
use crate::error::AllocError;
use crate::{ffi, heap, unwind};

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
