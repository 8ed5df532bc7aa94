// SPDX-License-Identifier: Apache-2.0
//! The ways to allocate that every arena has, built on the five functions of [`Allocate`].

use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::{needs_drop, size_of, MaybeUninit};
use core::ptr::{self, NonNull};

use crate::error::AllocError;
use crate::{ffi, unwind};

/// Every allocation starts at a multiple of this.
pub(super) const ALIGN: usize = ffi::AEGIS_ARENA_ALIGN as usize;

pub type Bytes = Result<NonNull<u8>, AllocError>;

/// Refuses, when code is made, a type whose drop the arena would never run. Each public method asks
/// for the check itself, so that the compiler names the line that calls it.
pub(super) struct NoDrop<T>(T);

impl<T> NoDrop<T> {
    pub(super) const CHECK: () = assert!(
        !needs_drop::<T>(),
        "the arena never drops this type: use alloc_boxed or alloc_static"
    );
}

/// What every way to allocate is built on. It is public because it is a bound of methods that are
/// public; code outside of this crate cannot name it.
///
/// # Safety
///
/// - Memory that is handed out has the size and alignment asked for, and overlaps no other live
///   allocation.
/// - It stays valid until the arena is reset, cleared or finished, or until it is given back.
pub unsafe trait Allocate {
    /// What each allocation is aligned to, if that is more than the arena aligns to in any case.
    const LEAST_ALIGN: usize = 1;

    /// Uninitialised memory.
    fn take(&self, layout: Layout) -> Bytes;

    /// As [`take`](Self::take), without the reason of a failure.
    #[inline]
    fn take_quietly(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.take(layout).ok()
    }

    /// Grows an allocation, in place or by a move, if the arena can do this in a few inlined steps.
    /// Otherwise nothing has changed.
    ///
    /// # Safety
    ///
    /// - `p` is a live allocation of this arena with the layout `old`. If the call returns another
    ///   pointer, `p` is not used afterwards.
    #[inline(always)]
    unsafe fn grow_by_bump(&self, _: NonNull<u8>, _: Layout, _: Layout) -> Option<NonNull<u8>> {
        None
    }

    /// Uninitialised memory that may grow: it replaces a smaller allocation or continues a slice. If
    /// it needs a new block, the block has room behind it for growth.
    fn take_regrown(&self, layout: Layout) -> Bytes;

    /// Zeroed memory. The arena checks size and alignment.
    fn take_zeroed(&self, size: usize, align: usize) -> Bytes;

    /// Uninitialised memory, if a few instructions are enough to take it.
    #[inline(always)]
    fn quick(&self, layout: Layout) -> Option<NonNull<u8>> {
        let _ = layout;
        None
    }

    /// Resizes an allocation in place and returns `true`, or leaves it as it is. Runs no user code.
    ///
    /// # Safety
    ///
    /// - `p` is a live allocation of this arena with this size.
    unsafe fn resize_in_place(&self, p: NonNull<u8>, old: usize, new: usize) -> bool;

    /// Gives an allocation back early. If it is the latest one, the arena reuses its bytes.
    ///
    /// # Safety
    ///
    /// - `p` is a live allocation of this arena with this size. It is not used afterwards.
    unsafe fn give_back(&self, p: NonNull<u8>, size: usize);
}

/// Implements [`Allocate`] for a type that allocates from its field `arena`.
macro_rules! allocate_from_inner {
    ($type:ty) => {
        // SAFETY: the inner arena hands out each byte once. The bytes stay valid until it is reset.
        unsafe impl Allocate for $type {
            #[inline(always)]
            fn take(&self, layout: Layout) -> forms::Bytes {
                self.arena.take(layout)
            }

            #[inline(always)]
            fn take_quietly(&self, layout: Layout) -> Option<NonNull<u8>> {
                self.arena.take_quietly(layout)
            }

            #[inline(always)]
            unsafe fn grow_by_bump(
                &self,
                p: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Option<NonNull<u8>> {
                // SAFETY: the caller vouches for the allocation.
                unsafe { self.arena.grow_by_bump(p, old, new) }
            }

            fn take_regrown(&self, layout: Layout) -> forms::Bytes {
                self.arena.take_regrown(layout)
            }

            #[inline(always)]
            fn take_zeroed(&self, size: usize, align: usize) -> forms::Bytes {
                self.arena.take_zeroed(size, align)
            }

            #[inline(always)]
            fn quick(&self, layout: Layout) -> Option<NonNull<u8>> {
                self.arena.quick(layout)
            }

            unsafe fn resize_in_place(&self, p: NonNull<u8>, old: usize, new: usize) -> bool {
                // SAFETY: the caller vouches for the allocation.
                unsafe { self.arena.resize_in_place(p, old, new) }
            }

            #[inline]
            unsafe fn give_back(&self, p: NonNull<u8>, size: usize) {
                // SAFETY: the caller vouches for the allocation.
                unsafe { self.arena.give_back(p, size) }
            }
        }
    };
}

pub(super) use allocate_from_inner;

/// Room for `len` elements of type `T`.
#[inline(always)]
pub(super) fn array<A: Allocate, T>(arena: &A, len: usize) -> Result<NonNull<T>, AllocError> {
    match Layout::array::<T>(len) {
        Ok(layout) => Ok(arena.take(layout)?.cast()),
        Err(_) => Err(too_large::<T>(len)),
    }
}

/// Zeroed bytes.
#[inline(always)]
pub(super) fn zeroed<A: Allocate>(
    arena: &A,
    size: usize,
    align: usize,
) -> Result<NonNull<[u8]>, AllocError> {
    Ok(NonNull::slice_from_raw_parts(arena.take_zeroed(size, align)?, size))
}

/// Places a value of any type. `f` is called after the arena has found room for its result.
#[inline(always)]
pub(super) fn place<A: Allocate, T>(
    arena: &A,
    f: impl FnOnce() -> T,
) -> Result<NonNull<T>, AllocError> {
    let p = arena.take(Layout::new::<T>())?.cast::<T>();
    // SAFETY: the room was taken above, is aligned and large enough, and no other code has a
    // pointer to it.
    unsafe { p.as_ptr().write(f()) };
    Ok(p)
}

/// Places a value that the arena drops before it frees the memory. `defer` registers a function
/// with the core, as `aegis_locked_arena_defer` does. If the block source panics, the panic
/// continues only after the value that the function will drop is in its place.
pub(super) fn place_static<A: Allocate, T: Send + 'static>(
    arena: &A,
    value: T,
    defer: impl FnOnce(
        ffi::aegis_arena_defer_fn,
        *mut c_void,
        *mut ffi::aegis_error,
    ) -> ffi::aegis_status,
) -> Result<NonNull<T>, AllocError> {
    unsafe extern "C" fn finalize<T>(value: *mut c_void) {
        // SAFETY: the core runs each finalizer once, with the value for which it was registered.
        unwind::contain((), || unsafe { ptr::drop_in_place(value.cast::<T>()) });
    }
    let p = arena.take(Layout::new::<T>())?.cast::<T>();
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    // On failure the value is dropped here, outside of the call.
    let mut value = Some(value);
    unwind::call(|| {
        let context = p.as_ptr().cast();
        if needs_drop::<T>()
            && !ffi::is_ok(&defer(Some(finalize::<T>), context, error.as_mut_ptr()))
        {
            // SAFETY: the room was taken above, and is not used after this.
            unsafe { arena.give_back(p.cast(), size_of::<T>()) };
            // SAFETY: the core writes the record on failure, and the arena keeps the budget alive.
            return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
        }
        if let Some(value) = value.take() {
            // SAFETY: the room was taken above, is aligned and large enough, and no other code has
            // a pointer to it.
            unsafe { p.as_ptr().write(value) };
        }
        Ok(p)
    })
}

/// A copy of a slice.
#[inline(always)]
pub(super) fn copy<A: Allocate, T: Copy>(
    arena: &A,
    source: &[T],
) -> Result<NonNull<[T]>, AllocError> {
    let p = arena.take(Layout::for_value(source))?.cast::<T>();
    // SAFETY: new room for the same number of elements, which does not overlap the source.
    unsafe { ptr::copy_nonoverlapping(source.as_ptr(), p.as_ptr(), source.len()) };
    Ok(NonNull::slice_from_raw_parts(p, source.len()))
}

/// Places `len` elements. Element `i` is the result of `f(i)`. The caller has checked that `T` has no
/// drop glue: what is placed before a panic of `f` is not dropped.
#[inline(always)]
pub(super) fn fill_with<A: Allocate, T>(
    arena: &A,
    len: usize,
    mut f: impl FnMut(usize) -> T,
) -> Result<NonNull<[T]>, AllocError> {
    let p = array::<A, T>(arena, len)?;
    for i in 0..len {
        // SAFETY: the room is large enough for `len` elements. If `f` panics, the elements written
        // so far need no drop.
        unsafe { p.as_ptr().add(i).write(f(i)) };
    }
    Ok(NonNull::slice_from_raw_parts(p, len))
}

/// The error for a number of items that no layout can have.
#[cold]
pub(super) fn too_large<T>(len: usize) -> AllocError {
    AllocError::invalid(len.saturating_mul(size_of::<T>()), align_of::<T>().max(ALIGN))
}
