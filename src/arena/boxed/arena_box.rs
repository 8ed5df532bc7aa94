// SPDX-License-Identifier: Apache-2.0
//! [`ArenaBox`]: a value in an arena that is dropped together with its handle.

use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

/// A value that lives in an arena. The drop of this handle drops the value, as a `Box` does. The
/// memory belongs to the arena, which frees it at its reset.
///
/// The handle implements what a `Box` implements, except what needs an allocator, such as `Clone`.
/// The value can be of any type:
///
/// - A slice or a string comes from methods such as
///   [`alloc_boxed_slice_from_iter`](crate::arena::Arena::alloc_boxed_slice_from_iter) and
///   [`alloc_boxed_str`](crate::arena::Arena::alloc_boxed_str).
/// - [`unsize_box!`](crate::unsize_box) turns a box of a value into a box of a trait object.
/// - A box of a closure is called by [`call_once`](Self::call_once), and a box of an `Fn` or `FnMut`
///   as a function.
/// - A future that is not `Unpin` is pinned by [`alloc_pinned`](crate::arena::Arena::alloc_pinned). A box
///   from `alloc_boxed` cannot be pinned, because it can be forgotten and its memory reused.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{Arena, ArenaBox};
/// use aegis_memory::unsize_box;
/// use std::fmt::Display;
///
/// let arena = Arena::default();
/// let mut name = arena.alloc_boxed(String::from("dropped with its handle"));
/// name.push('!');
///
/// let shown: [ArenaBox<'_, dyn Display>; 2] =
///     [unsize_box!(name), unsize_box!(arena.alloc_boxed(1.5))];
/// assert_eq!(format!("{} {}", shown[0], shown[1]), "dropped with its handle! 1.5");
/// ```
pub struct ArenaBox<'a, T: ?Sized> {
    value: NonNull<T>,
    _owns: PhantomData<(&'a (), T)>,
}

// SAFETY: the handle owns a `T` and nothing else, and its drop does not use the arena.
unsafe impl<T: ?Sized + Send> Send for ArenaBox<'_, T> {}
// SAFETY: `&ArenaBox` gives `&T` only.
unsafe impl<T: ?Sized + Sync> Sync for ArenaBox<'_, T> {}

impl<'a, T: ?Sized> ArenaBox<'a, T> {
    /// Gives up the handle without dropping the value.
    ///
    /// This is an associated function, so that it hides no method of `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::{Arena, ArenaBox};
    /// # let arena = Arena::default();
    /// let number: &mut u32 = ArenaBox::leak(arena.alloc_boxed(7));
    /// *number += 1;
    /// ```
    pub fn leak(this: Self) -> &'a mut T {
        // SAFETY: the value lives in an arena borrowed for 'a, and its only owner is forgotten.
        unsafe { &mut *Self::into_raw(this).as_ptr() }
    }

    /// Gives up the handle without dropping the value. [`from_raw`](Self::from_raw) restores it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::{Arena, ArenaBox};
    /// # let arena = Arena::default();
    /// let raw = ArenaBox::into_raw(arena.alloc_boxed(vec![1, 2]));
    /// // SAFETY: the pointer is used once, while the arena is borrowed.
    /// let again = unsafe { ArenaBox::from_raw(raw) };
    /// assert_eq!(again.len(), 2);
    /// ```
    pub fn into_raw(this: Self) -> NonNull<T> {
        let value = this.value;
        mem::forget(this);
        value
    }

    /// Makes a handle again, possibly after an unsizing cast of the pointer.
    ///
    /// # Safety
    ///
    /// One of the two is true:
    /// - `value` came from [`into_raw`](Self::into_raw) of a handle with this `'a`. It points to
    ///   the same value, of the same type or of a type that this type unsizes to. No other handle
    ///   is made from it.
    /// - `value` points to an initialised and aligned `T` in memory of an arena that is borrowed
    ///   for `'a`. While the handle exists, this memory is not given back or resized, and no other
    ///   code uses or drops the value.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::{Arena, ArenaBox};
    /// # let arena = Arena::default();
    /// let raw = ArenaBox::into_raw(arena.alloc_boxed([1, 2, 3]));
    /// // SAFETY: the pointer is used once; the array unsizes to a slice.
    /// let slice: ArenaBox<'_, [i32]> = unsafe { ArenaBox::from_raw(raw) };
    /// assert_eq!(slice.len(), 3);
    /// ```
    pub unsafe fn from_raw(value: NonNull<T>) -> Self {
        Self { value, _owns: PhantomData }
    }
}

impl<T> ArenaBox<'_, T> {
    /// Moves the value out.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::{Arena, ArenaBox};
    /// # let arena = Arena::default();
    /// let boxed = arena.alloc_boxed(String::from("moved out"));
    /// assert_eq!(ArenaBox::into_inner(boxed), "moved out");
    /// ```
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
        // SAFETY: the value is initialised, and the handle, which is borrowed, owns it.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for ArenaBox<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the handle is borrowed exclusively.
        unsafe { self.value.as_mut() }
    }
}
