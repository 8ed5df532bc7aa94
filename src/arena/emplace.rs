// SPDX-License-Identifier: Apache-2.0
//! Values and slices that are built where they stay, by closures and iterators that may fail.
//!
//! The room is taken first, and given back when the closure returns an error or panics: [`Room`].
//! The arena can reuse it then if nothing was allocated after it. A slice under construction drops
//! the elements that it has: [`Filling`].
//!
//! The compiler builds a value in its place if it sees the closure's code: the value goes straight
//! from the `Ok` to the write ([`write_value`]). If the arena had room for the whole `Result`, with
//! the value in it, the compiler would build fewer values in place.

use core::alloc::Layout;
use core::convert::Infallible;
use core::marker::PhantomData;
use core::mem::{forget, needs_drop, size_of, MaybeUninit};
use core::ptr::{self, NonNull};

use super::forms::{too_large, Allocate};
use crate::error::{AllocError, AllocOrInitError};

/// A value with more bytes is built in a function of its own.
const LARGE: usize = 1024;

/// Room that goes back to its arena unless it is kept.
struct Room<'a, A: Allocate> {
    arena: &'a A,
    start: NonNull<u8>,
    bytes: usize,
}

impl<'a, A: Allocate> Room<'a, A> {
    #[inline(always)]
    fn take(arena: &'a A, layout: Layout) -> Result<Self, AllocError> {
        Ok(Self { arena, start: arena.take(layout)?, bytes: layout.size() })
    }

    #[inline(always)]
    fn keep(self) {
        forget(self);
    }
}

impl<A: Allocate> Drop for Room<'_, A> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: the room is an allocation of this arena with this size, and not used afterwards.
        unsafe { self.arena.give_back(self.start, self.bytes) };
    }
}

/// Writes the value that `f` returns to its place.
#[inline(always)]
fn write_value<T, E>(
    place: &mut MaybeUninit<T>,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<(), E> {
    match f() {
        Ok(value) => {
            place.write(value);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// As [`write_value`], in a function of its own, so that nothing around it keeps the compiler from
/// building the value in its place.
#[inline(never)]
fn write_large<T, E>(
    place: &mut MaybeUninit<T>,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<(), E> {
    write_value(place, f)
}

/// Places the value that `f` returns. `f` is called after the arena has found room for the value.
#[inline(always)]
pub(super) fn try_place<A: Allocate, T, E>(
    arena: &A,
    f: impl FnOnce() -> Result<T, E>,
) -> Result<NonNull<T>, AllocOrInitError<E>> {
    let room = Room::take(arena, Layout::new::<T>())?;
    // SAFETY: the room was taken above, is aligned and large enough, and no other code has a pointer
    // to it. It need not be initialised.
    let place = unsafe { room.start.cast::<MaybeUninit<T>>().as_mut() };
    let written =
        if size_of::<T>() > LARGE { write_large(place, f) } else { write_value(place, f) };
    written.map_err(AllocOrInitError::Init)?;
    let value = room.start.cast();
    room.keep();
    Ok(value)
}

/// A slice under construction, which drops its elements and gives its room back if it is dropped.
struct Filling<'a, A: Allocate, T> {
    room: Room<'a, A>,
    /// Elements that are built.
    len: usize,
    _owns: PhantomData<T>,
}

impl<A: Allocate, T> Drop for Filling<'_, A, T> {
    fn drop(&mut self) {
        if needs_drop::<T>() {
            let elements = self.room.start.cast::<T>().as_ptr();
            // SAFETY: these elements are initialised, and not used afterwards. The room is dropped
            // after them, also if one of them panics.
            unsafe { ptr::slice_from_raw_parts_mut(elements, self.len).drop_in_place() };
        }
    }
}

/// Places `len` elements, up to the first error. Element `i` is the result of `f(i)`.
#[inline(always)]
pub(super) fn try_fill_with<A: Allocate, T, E>(
    arena: &A,
    len: usize,
    mut f: impl FnMut(usize) -> Result<T, E>,
) -> Result<NonNull<[T]>, AllocOrInitError<E>> {
    let layout = Layout::array::<T>(len).map_err(|_| too_large::<T>(len))?;
    let room = Room::take(arena, layout)?;
    let start = room.start.cast::<T>();
    let mut filling = Filling::<A, T> { room, len: 0, _owns: PhantomData };
    while filling.len < len {
        let element = f(filling.len).map_err(AllocOrInitError::Init)?;
        // SAFETY: the room is large enough for `len` elements, and only this code uses it.
        unsafe { start.as_ptr().add(filling.len).write(element) };
        filling.len += 1;
    }
    forget(filling);
    Ok(NonNull::slice_from_raw_parts(start, len))
}

/// Places `len` elements of any type. Element `i` is the result of `f(i)`.
#[inline(always)]
pub(super) fn fill_with<A: Allocate, T>(
    arena: &A,
    len: usize,
    mut f: impl FnMut(usize) -> T,
) -> Result<NonNull<[T]>, AllocError> {
    try_fill_with(arena, len, |i| Ok::<T, Infallible>(f(i))).map_err(AllocOrInitError::into_alloc)
}
