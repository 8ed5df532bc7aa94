// SPDX-License-Identifier: Apache-2.0
//! The ways to allocate that every arena has, built on the five functions of [`Allocate`].

use core::alloc::Layout;
use core::ffi::c_void;
use core::fmt::{self, Write};
use core::mem::{align_of, needs_drop, size_of, ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};
use core::slice;

use crate::error::AllocError;
use crate::{ffi, unwind};

/// Every allocation starts at a multiple of this.
pub(super) const ALIGN: usize = ffi::AEGIS_ARENA_ALIGN as usize;

pub(super) type Bytes = Result<NonNull<u8>, AllocError>;

/// Refuses at compile time a type whose drop the arena would never run.
pub(super) struct NoDrop<T>(T);

impl<T> NoDrop<T> {
    pub(super) const CHECK: () = assert!(
        !needs_drop::<T>(),
        "the arena never drops this type: use alloc_boxed or alloc_static"
    );
}

/// What every way to allocate is built on.
///
/// # Safety
///
/// - Memory that is handed out has the size and alignment asked for, and overlaps no other live
///   allocation.
/// - It stays valid until the arena is reset, cleared or finished, or until it is given back.
pub(super) unsafe trait Allocate {
    /// Uninitialised memory.
    fn take(&self, layout: Layout) -> Bytes;

    /// Uninitialised memory that replaces a smaller allocation. If it needs a new block, the block
    /// has room behind it for growth.
    fn take_regrown(&self, layout: Layout) -> Bytes;

    /// Zeroed memory. The arena checks size and alignment.
    fn take_zeroed(&self, size: usize, align: usize) -> Bytes;

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

    /// Resizes an allocation, in place if the arena can, else by a move into new memory. The new
    /// memory is taken before the old memory is changed. So the old allocation is intact if the
    /// block source panics and the panic continues.
    ///
    /// # Safety
    ///
    /// - `p` is a live allocation of this arena with this size. If the call returns another
    ///   pointer, `p` is not used afterwards.
    #[inline]
    unsafe fn resize(&self, p: NonNull<u8>, old: usize, new: Layout) -> Bytes {
        let aligned = p.as_ptr() as usize % new.align() == 0;
        // SAFETY: the caller vouches for the allocation.
        if aligned && unsafe { self.resize_in_place(p, old, new.size()) } {
            return Ok(p);
        }
        let moved = if new.size() > old { self.take_regrown(new) } else { self.take(new) }?;
        // SAFETY: two live allocations of at least this many bytes.
        unsafe { ptr::copy_nonoverlapping(p.as_ptr(), moved.as_ptr(), old.min(new.size())) };
        // SAFETY: the caller vouches for the allocation, which is not used again.
        unsafe { self.give_back(p, old) };
        Ok(moved)
    }
}

/// Room for `len` elements of type `T`.
#[inline(always)]
pub(super) fn array<A: Allocate, T>(arena: &A, len: usize) -> Result<NonNull<T>, AllocError> {
    match Layout::array::<T>(len) {
        Ok(layout) => Ok(arena.take(layout)?.cast()),
        Err(_) => {
            let size = len.saturating_mul(size_of::<T>());
            Err(AllocError::invalid(size, align_of::<T>().max(ALIGN)))
        }
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

/// Places `len` elements. Element `i` is the result of `f(i)`.
#[inline(always)]
pub(super) fn fill_with<A: Allocate, T>(
    arena: &A,
    len: usize,
    mut f: impl FnMut(usize) -> T,
) -> Result<NonNull<[T]>, AllocError> {
    let () = NoDrop::<T>::CHECK;
    let p = array::<A, T>(arena, len)?;
    for i in 0..len {
        // SAFETY: the room is large enough for `len` elements. If `f` panics, the elements written
        // so far need no drop.
        unsafe { p.as_ptr().add(i).write(f(i)) };
    }
    Ok(NonNull::slice_from_raw_parts(p, len))
}

/// Collects the items of an iterator into a slice.
pub(super) fn collect<A: Allocate, T>(
    arena: &A,
    iter: impl IntoIterator<Item = T>,
) -> Result<NonNull<[T]>, AllocError> {
    let () = NoDrop::<T>::CHECK;
    let iter = iter.into_iter();
    let mut list = Growing::with_capacity(arena, iter.size_hint().0)?;
    for item in iter {
        list.extend_from_slice(&[MaybeUninit::new(item)])?;
    }
    let items = list.finish();
    Ok(NonNull::slice_from_raw_parts(items.cast(), items.len()))
}

/// Formats a text, which is UTF-8.
///
/// # Panics
///
/// When a `Display` in `text` returns an error that is not a failed allocation of this arena.
pub(super) fn format<A: Allocate>(
    arena: &A,
    text: fmt::Arguments<'_>,
) -> Result<NonNull<[u8]>, AllocError> {
    struct Writer<'a, A: Allocate> {
        bytes: Growing<'a, A, u8>,
        refusal: Option<AllocError>,
    }
    impl<A: Allocate> Write for Writer<'_, A> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            if self.refusal.is_some() {
                return Err(fmt::Error);
            }
            // SAFETY: initialised bytes are also valid as bytes that may be uninitialised.
            let bytes = unsafe { slice::from_raw_parts(text.as_ptr().cast(), text.len()) };
            self.bytes.extend_from_slice(bytes).map_err(|refusal| {
                self.refusal = Some(refusal);
                fmt::Error
            })
        }
    }
    if let Some(text) = text.as_str() {
        return copy(arena, text.as_bytes());
    }
    let mut writer = Writer { bytes: Growing::with_capacity(arena, 0)?, refusal: None };
    let result = writer.write_fmt(text);
    // A `Display` may have ignored the error. Then a piece of the text is missing.
    if let Some(refusal) = writer.refusal {
        return Err(refusal);
    }
    assert!(result.is_ok(), "a Display implementation returned an error");
    let bytes = writer.bytes.finish();
    Ok(NonNull::slice_from_raw_parts(bytes.cast(), bytes.len()))
}

/// A slice under construction. It grows in place as long as it is the latest allocation.
struct Growing<'a, A: Allocate, T> {
    arena: &'a A,
    start: NonNull<MaybeUninit<T>>,
    len: usize,
    capacity: usize,
}

impl<'a, A: Allocate, T> Growing<'a, A, T> {
    fn with_capacity(arena: &'a A, capacity: usize) -> Result<Self, AllocError> {
        let capacity = if size_of::<T>() == 0 { usize::MAX } else { capacity };
        let room = if size_of::<T>() == 0 { 0 } else { capacity };
        Ok(Self { arena, start: array::<A, MaybeUninit<T>>(arena, room)?, len: 0, capacity })
    }

    fn extend_from_slice(&mut self, items: &[MaybeUninit<T>]) -> Result<(), AllocError> {
        if items.len() > self.capacity - self.len {
            self.grow(items.len())?;
        }
        // SAFETY: there is room for the items, and no other code has a pointer to it.
        unsafe {
            let end = self.start.as_ptr().add(self.len);
            ptr::copy_nonoverlapping(items.as_ptr(), end, items.len());
        }
        self.len += items.len();
        Ok(())
    }

    #[cold]
    fn grow(&mut self, more: usize) -> Result<(), AllocError> {
        let least = self.len.saturating_add(more).max(32 / size_of::<T>().max(1));
        let capacity = self.capacity.saturating_mul(2).max(least);
        self.start = self.resize(capacity)?;
        self.capacity = capacity;
        Ok(())
    }

    fn resize(&self, capacity: usize) -> Result<NonNull<MaybeUninit<T>>, AllocError> {
        let size = size_of::<T>();
        let new = Layout::array::<T>(capacity).map_err(|_| {
            AllocError::invalid(capacity.saturating_mul(size), align_of::<T>().max(ALIGN))
        })?;
        // SAFETY: `start` came from this arena with this capacity.
        let p = unsafe { self.arena.resize(self.start.cast(), self.capacity * size, new) }?;
        Ok(p.cast())
    }

    /// Gives the unused end back, if the slice is the latest allocation of the arena, and returns
    /// the items.
    fn finish(self) -> NonNull<[MaybeUninit<T>]> {
        let this = ManuallyDrop::new(self);
        let fits = size_of::<T>() == 0 || this.len == this.capacity;
        let start = if fits { this.start } else { this.resize(this.len).unwrap_or(this.start) };
        NonNull::slice_from_raw_parts(start, this.len)
    }
}

impl<A: Allocate, T> Drop for Growing<'_, A, T> {
    /// A slice that was not finished gives its room back, if it is the latest allocation of the
    /// arena.
    fn drop(&mut self) {
        let size = self.capacity * size_of::<T>();
        // SAFETY: `start` came from this arena with this size, and no other code has a pointer to
        // it.
        unsafe { self.arena.give_back(self.start.cast(), size) }
    }
}
