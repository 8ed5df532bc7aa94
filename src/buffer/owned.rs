// SPDX-License-Identifier: Apache-2.0
//! The owners that Rust supplies: a `Vec`, and any other value that has bytes.

use alloc::boxed::Box;
use alloc::vec::Vec;
#[cfg(any(feature = "arrow", feature = "bytes"))]
use core::mem::align_of;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
#[cfg(any(feature = "arrow", feature = "bytes"))]
use core::sync::atomic::AtomicUsize;

#[cfg(any(feature = "arrow", feature = "bytes"))]
use super::lent;
use super::owner::{self, Owner, OwnerKind, PlainOwner, PLAIN};
use super::view::Buffer;
#[cfg(any(feature = "arrow", feature = "bytes"))]
use crate::error::expect;
use crate::error::AllocError;
use crate::{ffi, heap, unwind};

/// The kind of a vector's memory. Its address also tells that the memory is that of a vector, and
/// that this copy of the crate made the owner.
static VECTOR: OwnerKind = OwnerKind { move_charge: is_not_charged };

/// Memory of Rust's heap is charged to no budget, so there is nothing to move.
unsafe extern "C" fn is_not_charged(
    _: *mut Owner,
    _: *mut ffi::aegis_budget,
    _: *mut ffi::aegis_error,
) -> ffi::aegis_status {
    ffi::AEGIS_OK as ffi::aegis_status
}

/// The owner of a vector's memory, with one reference. Only the header is allocated. If there is no
/// memory for it, the vector and the reason are returned.
fn owner_of_vec(vec: Vec<u8>) -> Result<*mut Owner, (Vec<u8>, AllocError)> {
    let mut vec = ManuallyDrop::new(vec);
    let header = heap::try_box(PlainOwner {
        head: Owner {
            references: 1,
            release: Some(release_vec),
            base: vec.as_mut_ptr(),
            capacity_bytes: vec.capacity(),
            flags: PLAIN,
            retained_bytes: 0,
        },
        kind: &VECTOR,
    });
    match header {
        Ok(header) => Ok(Box::into_raw(header).cast()),
        Err(_) => Err((ManuallyDrop::into_inner(vec), AllocError::no_memory_for::<PlainOwner>())),
    }
}

/// A view of a vector's bytes, without a copy. If there is no memory for the header, the vector and
/// the reason are returned.
pub(super) fn of_vec(vec: Vec<u8>) -> Result<Buffer, (Vec<u8>, AllocError)> {
    let length = vec.len();
    if length == 0 {
        return Ok(Buffer::new());
    }
    let owner = owner_of_vec(vec)?;
    // SAFETY: the header is ours.
    let data = unsafe { (*owner).base };
    // SAFETY: the vector's bytes live until `release_vec`, and the view holds the one reference.
    Ok(unsafe { Buffer::from_raw(ffi::aegis_buffer { data, length, owner }) })
}

/// A writer of a vector's bytes and spare capacity, without a copy: as [`of_vec`].
pub(super) fn writer_of_vec(vec: Vec<u8>) -> Result<ffi::aegis_buffer_mut, (Vec<u8>, AllocError)> {
    let length = vec.len();
    let owner = owner_of_vec(vec)?;
    // SAFETY: the header is ours.
    let (data, capacity) = unsafe { ((*owner).base, (*owner).capacity_bytes) };
    Ok(ffi::aegis_buffer_mut { data, length, capacity, owner, initialized: length })
}

/// The vector that a view was made of, with the bytes of the view, if the view is the only handle.
/// The bytes move to the beginning of the vector if they are not there. Otherwise the view is
/// returned.
pub(super) fn into_vec(buffer: Buffer) -> Result<Vec<u8>, Buffer> {
    let owner = buffer.raw().owner;
    // SAFETY: `buffer` is a handle, which keeps the owner alive. No flag is written while there are
    // handles. Behind the header of plain memory is its kind.
    let is_vector = unsafe {
        owner::is_unique(owner)
            && (*owner).flags == PLAIN
            && ptr::eq((*owner.cast::<PlainOwner>()).kind, &VECTOR)
    };
    if !is_vector {
        return Err(buffer);
    }
    let ffi::aegis_buffer { data, length, .. } = buffer.into_raw();
    // SAFETY: it is the box of `owner_of_vec`. There is no other handle, and this one is given up.
    let head = unsafe { Box::from_raw(owner.cast::<PlainOwner>()) }.head;
    // SAFETY: the view's bytes are in the vector's memory, which is ours alone.
    unsafe { ptr::copy(data, head.base, length) };
    // SAFETY: pointer and capacity are those of the vector, which was not dropped. Its first
    // `length` bytes have just been written.
    Ok(unsafe { Vec::from_raw_parts(head.base, length, head.capacity_bytes) })
}

unsafe extern "C" fn release_vec(owner: *mut Owner) {
    // SAFETY: it is the box of `owner_of_vec`, and an owner is released once.
    let head = unsafe { Box::from_raw(owner.cast::<PlainOwner>()) }.head;
    // SAFETY: pointer and capacity are those of the vector, which was not dropped.
    drop(unsafe { Vec::from_raw_parts(head.base, 0, head.capacity_bytes) });
}

/// The header, and the value whose bytes the buffer shows, in one box.
#[repr(C)]
struct Owned<T> {
    head: Owner,
    value: T,
}

/// A flag of an owner. It says that behind the header lies the address of the mark
/// ([`Foreign::mark`]) of the copy of this crate that made the owner. All copies of the crate agree
/// on this, but not on what lies behind the address. (The core keeps the bit free.)
#[cfg(any(feature = "arrow", feature = "bytes"))]
const MARKED: u32 = 1 << 29;

/// A handle of another crate, which has bytes and counts who shares them. A buffer that was made of
/// it can give it back.
#[cfg(any(feature = "arrow", feature = "bytes"))]
pub(super) trait Foreign: AsRef<[u8]> + Send + Sync + 'static {
    /// A static of this type alone. Its address also distinguishes this copy of the crate from
    /// other copies in the process. Another copy, for example another version, has different types.
    fn mark() -> &'static AtomicUsize;

    /// The bytes of memory that it keeps.
    fn retained_bytes(&self) -> usize;
}

/// A value that this copy of the crate can get back from its owner.
#[cfg(any(feature = "arrow", feature = "bytes"))]
#[repr(C)]
struct Marked<T> {
    mark: &'static AtomicUsize,
    value: T,
}

#[cfg(any(feature = "arrow", feature = "bytes"))]
impl<T> Marked<T> {
    /// Because of this the mark lies directly behind the header.
    const LIES_BEHIND: () = assert!(align_of::<Self>() <= align_of::<Owner>());
}

#[cfg(any(feature = "arrow", feature = "bytes"))]
impl<T: AsRef<[u8]>> AsRef<[u8]> for Marked<T> {
    fn as_ref(&self) -> &[u8] {
        self.value.as_ref()
    }
}

/// A view of a foreign handle's bytes, of which there are some. [`foreign_of`] gets the handle
/// back. If the handle was made of a buffer, the owner describes the memory of that buffer.
#[cfg(any(feature = "arrow", feature = "bytes"))]
#[track_caller]
pub(super) fn of_foreign<T: Foreign>(value: T) -> Buffer {
    let () = Marked::<T>::LIES_BEHIND;
    let memory = lent::memory_of(value.as_ref());
    let retained = value.retained_bytes();
    let made = of_value(Marked { mark: T::mark(), value }, retained);
    let buffer = expect(made.map_err(|(_, error)| error));
    let owner = buffer.raw().owner;
    // SAFETY: no other code has the header yet.
    unsafe { (*owner).flags |= MARKED };
    if let Some(memory) = memory {
        // SAFETY: as above. The memory is not writable, so these only describe it. The bytes lie in
        // it, and the handle keeps it.
        unsafe {
            (*owner).base = memory.base;
            (*owner).capacity_bytes = memory.capacity;
            (*owner).retained_bytes = memory.retained;
        }
    }
    buffer
}

/// The handle that a buffer is a view of, if this copy of the crate made the buffer's owner from a
/// `T`.
#[cfg(any(feature = "arrow", feature = "bytes"))]
pub(super) fn foreign_of<T: Foreign>(buffer: &Buffer) -> Option<&T> {
    let owner = buffer.raw().owner;
    // SAFETY: the handle keeps the owner alive, and the flags are not written while there are
    // handles.
    if owner.is_null() || unsafe { (*owner).flags } & MARKED == 0 {
        return None;
    }
    // SAFETY: the address of a mark lies behind the header, whichever copy of the crate wrote it.
    let mark = unsafe { *owner.add(1).cast::<*const AtomicUsize>() };
    if !ptr::eq(mark, T::mark()) {
        return None;
    }
    // SAFETY: only an owner that `of_foreign` makes of a `T` has both the flag and the mark of `T`
    // of this copy. It does not change while there are handles.
    let owned = unsafe { &*owner.cast::<Owned<Marked<T>>>() };
    Some(&owned.value.value)
}

/// A view of the bytes that `as_ref` of the value returns when the value is in its final place. If
/// there is no memory for that place, the value and the reason are returned. The value says that it
/// keeps `retained_bytes`; if these are fewer than its bytes, its bytes count.
///
/// The value need not be `Sync`, although threads share its bytes. Only this call borrows it, for
/// `as_ref`. After that the value is only dropped, when no handle to the bytes is left, and for this
/// it is enough that it is `Send`. (A [`Foreign`] is borrowed again by [`foreign_of`]. So it is `Sync`.)
pub(super) fn of_value<T>(value: T, retained_bytes: usize) -> Result<Buffer, (T, AllocError)>
where
    T: AsRef<[u8]> + Send + 'static,
{
    let place = heap::try_box(Owned {
        head: Owner {
            references: 1,
            release: Some(release_value::<T>),
            base: ptr::null_mut(),
            capacity_bytes: 0,
            flags: 0,
            retained_bytes,
        },
        value,
    });
    let owned = Box::into_raw(
        place.map_err(|owned| (owned.value, AllocError::no_memory_for::<Owned<T>>()))?,
    );
    let owner: *mut Owner = owned.cast();
    // From here on the handle owns the box, and frees it if `as_ref` panics.
    let nothing = NonNull::dangling().as_ptr();
    // SAFETY: this handle holds the one reference. It has no bytes yet.
    let mut buffer =
        unsafe { Buffer::from_raw(ffi::aegis_buffer { data: nothing, length: 0, owner }) };
    // SAFETY: the value does not move or change until `release_value`. So the bytes that `as_ref`
    // returns now are valid until then. `as_ref` is not called again.
    let bytes: &[u8] = unsafe { &(*owned).value }.as_ref();
    let (data, length) = (NonNull::from(bytes).cast::<u8>(), bytes.len());
    // SAFETY: no other code has the header yet, and the header does not overlap the value.
    unsafe {
        (*owner).base = data.as_ptr();
        (*owner).capacity_bytes = length;
    }
    buffer.set(data, length);
    if length == 0 {
        buffer.clear();
    }
    Ok(buffer)
}

unsafe extern "C" fn release_value<T>(owner: *mut Owner) {
    // SAFETY: it is the box of `of_value`, whose first field is the header, and an owner is
    // released once.
    unwind::contain((), || drop(unsafe { Box::from_raw(owner.cast::<Owned<T>>()) }));
}
