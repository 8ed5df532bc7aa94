// SPDX-License-Identifier: Apache-2.0
//! A value in an arena that is dropped with its handle.

use core::fmt;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

/// A value that lives in an arena and is dropped with this handle, as by a `Box`. Its memory is the
/// arena's and comes back at the arena's reset.
///
/// # Examples
///
/// ```
/// let arena = aegis_memory::arena::Arena::default();
/// let mut name = arena.alloc_boxed(String::from("dropped with its handle"));
/// name.push('!');
/// ```
pub struct ArenaBox<'a, T: ?Sized> {
    value: NonNull<T>,
    _owns: PhantomData<(&'a (), T)>,
}

// SAFETY: an owner of a `T` and nothing else: dropping it does not touch the arena.
unsafe impl<T: ?Sized + Send> Send for ArenaBox<'_, T> {}
// SAFETY: `&ArenaBox` gives `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for ArenaBox<'_, T> {}

impl<'a, T: ?Sized> ArenaBox<'a, T> {
    /// Gives the handle up without dropping the value.
    ///
    /// An associated function, so that it hides no method of `T`.
    pub fn leak(this: Self) -> &'a mut T {
        // SAFETY: the value lives in an arena borrowed for 'a, and its only owner is forgotten.
        unsafe { &mut *Self::into_raw(this).as_ptr() }
    }

    /// Gives the handle up without dropping the value. [`from_raw`](Self::from_raw) restores it.
    pub fn into_raw(this: Self) -> NonNull<T> {
        let value = this.value;
        mem::forget(this);
        value
    }

    /// Makes a handle again, possibly after an unsizing cast of the pointer.
    ///
    /// # Safety
    ///
    /// - `value` came from [`into_raw`](Self::into_raw) of a handle with this `'a`, as a pointer to the
    ///   same value, of the same type or one that it unsizes to, and is used once;
    /// - or it points to an initialised `T`, aligned as such, in memory of an arena borrowed for
    ///   `'a`, which is not given back or resized meanwhile and which nobody else uses or drops.
    pub unsafe fn from_raw(value: NonNull<T>) -> Self {
        Self { value, _owns: PhantomData }
    }
}

impl<T> ArenaBox<'_, T> {
    /// Moves the value out.
    pub fn into_inner(this: Self) -> T {
        let this = ManuallyDrop::new(this);
        // SAFETY: the value is initialised, and its owner is not used or dropped again.
        unsafe { ptr::read(this.value.as_ptr()) }
    }
}

impl<T: ?Sized> Drop for ArenaBox<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the handle owns the value and is not used again.
        unsafe { ptr::drop_in_place(self.value.as_ptr()) }
    }
}

impl<T: ?Sized> Deref for ArenaBox<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value is initialised and ours, and borrowed with the handle.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for ArenaBox<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized> AsRef<T> for ArenaBox<'_, T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized> AsMut<T> for ArenaBox<'_, T> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ArenaBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ArenaBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
