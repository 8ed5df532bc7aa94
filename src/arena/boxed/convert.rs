// SPDX-License-Identifier: Apache-2.0
//! What a box turns into: arrays and slices, strings and bytes, `dyn Any` and its type, memory and
//! its value, and a pinned box.

use core::any::Any;
use core::mem::MaybeUninit;
use core::pin::Pin;
use core::ptr::NonNull;

use super::arena_box::ArenaBox;

/// Turns the pointer of a box into that of another type, which the box then owns.
///
/// # Safety
///
/// - The result of `cast` points to the same memory, and its value is initialised.
unsafe fn cast<'a, T: ?Sized, U: ?Sized>(
    boxed: ArenaBox<'a, T>,
    cast: impl FnOnce(*mut T) -> *mut U,
) -> ArenaBox<'a, U> {
    let value = cast(ArenaBox::into_raw(boxed).as_ptr());
    // SAFETY: the caller vouches for the pointer, which comes from a box with this lifetime.
    unsafe { ArenaBox::from_raw(NonNull::new_unchecked(value)) }
}

impl<'a, T, const N: usize> From<ArenaBox<'a, [T; N]>> for ArenaBox<'a, [T]> {
    fn from(array: ArenaBox<'a, [T; N]>) -> Self {
        // SAFETY: the slice is the array.
        unsafe { cast(array, |array| array as *mut [T]) }
    }
}

impl<'a, T, const N: usize> TryFrom<ArenaBox<'a, [T]>> for ArenaBox<'a, [T; N]> {
    type Error = ArenaBox<'a, [T]>;

    /// Makes a box of an array of a slice of this length. A slice of another length is returned.
    fn try_from(slice: ArenaBox<'a, [T]>) -> Result<Self, ArenaBox<'a, [T]>> {
        if slice.len() != N {
            return Err(slice);
        }
        // SAFETY: the slice has the length of the array.
        Ok(unsafe { cast(slice, <*mut [T]>::cast) })
    }
}

impl<'a> From<ArenaBox<'a, str>> for ArenaBox<'a, [u8]> {
    fn from(text: ArenaBox<'a, str>) -> Self {
        // SAFETY: a string is a slice of bytes.
        unsafe { cast(text, |text| text as *mut [u8]) }
    }
}

macro_rules! downcast {
    ($($any:ty),*) => {$(
        impl<'a> ArenaBox<'a, $any> {
            /// Makes a box of the type `T` if the value is of this type. Otherwise the box is
            /// returned.
            ///
            /// # Examples
            ///
            /// ```
            /// # use aegis_memory::arena::Arena;
            /// # use aegis_memory::unsize_box;
            /// # use std::any::Any;
            /// let arena = Arena::default();
            #[doc = concat!("let any = unsize_box!(arena.alloc_boxed(7_u32), ", stringify!($any), ");")]
            /// let any = any.downcast::<String>().expect_err("it is a number");
            /// assert_eq!(*any.downcast::<u32>().expect("it is a number"), 7);
            /// ```
            pub fn downcast<T: Any>(self) -> Result<ArenaBox<'a, T>, Self> {
                if !(*self).is::<T>() {
                    return Err(self);
                }
                // SAFETY: the value is of this type.
                Ok(unsafe { cast(self, <*mut $any>::cast) })
            }
        }
    )*};
}

downcast!(dyn Any, dyn Any + Send, dyn Any + Send + Sync);

impl<'a, T> ArenaBox<'a, MaybeUninit<T>> {
    /// Moves a value into the memory of the box.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::{Arena, ArenaBox};
    ///
    /// let arena = Arena::default();
    /// let place = arena.alloc_boxed_uninit::<String>();
    /// let text = ArenaBox::write(place, String::from("written later"));
    /// assert_eq!(*text, "written later");
    /// ```
    #[inline]
    pub fn write(mut this: Self, value: T) -> ArenaBox<'a, T> {
        (*this).write(value);
        // SAFETY: the value was written above.
        unsafe { Self::assume_init(this) }
    }

    /// Makes a box of the value, which was written in its place.
    ///
    /// # Safety
    ///
    /// - The value is initialised.
    ///
    /// # Examples
    ///
    /// Something large, built in its place whatever the compiler does:
    ///
    /// ```
    /// use aegis_memory::arena::{Arena, ArenaBox};
    ///
    /// let arena = Arena::default();
    /// let mut page = arena.alloc_boxed_uninit::<[u64; 8192]>();
    /// let first = page.as_mut_ptr().cast::<u64>();
    /// for i in 0..8192 {
    ///     // SAFETY: the index is below the length of the array.
    ///     unsafe { first.add(i).write(i as u64) };
    /// }
    /// // SAFETY: the loop has written each element.
    /// let page = unsafe { ArenaBox::<[u64; 8192]>::from(ArenaBox::assume_init(page)) };
    /// assert_eq!(page[8191], 8191);
    /// ```
    #[inline]
    pub unsafe fn assume_init(this: Self) -> ArenaBox<'a, T> {
        // SAFETY: the caller vouches for the value.
        unsafe { cast(this, <*mut MaybeUninit<T>>::cast) }
    }
}

impl<'a, T> ArenaBox<'a, [MaybeUninit<T>]> {
    /// Makes a box of the slice, whose elements were written in their places.
    ///
    /// # Safety
    ///
    /// - Each element is initialised.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::{Arena, ArenaBox};
    ///
    /// let arena = Arena::default();
    /// let mut places = arena.alloc_boxed_slice_uninit::<String>(2);
    /// places[0].write(String::from("a"));
    /// places[1].write(String::from("b"));
    /// // SAFETY: both elements were written above.
    /// let words = unsafe { ArenaBox::assume_init_slice(places) };
    /// assert_eq!(*words, ["a", "b"]);
    /// ```
    #[inline]
    pub unsafe fn assume_init_slice(this: Self) -> ArenaBox<'a, [T]> {
        // SAFETY: the caller vouches for the elements.
        unsafe { cast(this, |slice| slice as *mut [T]) }
    }
}

impl<T: ?Sized> ArenaBox<'static, T> {
    /// Pins a value whose arena is borrowed for ever, as an arena in a `static` is. Then no reset
    /// can come, so the memory is never used for something else.
    ///
    /// For other arenas there is [`alloc_pinned`](crate::arena::Arena::alloc_pinned). A value that
    /// is `Unpin` needs neither: `Pin::new` pins it.
    ///
    /// ```
    /// use aegis_memory::arena::{ArenaBox, LockedArena};
    /// use std::pin::Pin;
    ///
    /// let arena: &'static LockedArena = Box::leak(Box::default());
    /// let ready = ArenaBox::into_pin(arena.alloc_boxed(async { 7 }));
    /// ```
    ///
    /// ```compile_fail,E0597
    /// use aegis_memory::arena::{Arena, ArenaBox};
    /// let arena = Arena::default();
    /// let ready = ArenaBox::into_pin(arena.alloc_boxed(async { 7 }));
    /// ```
    pub fn into_pin(this: Self) -> Pin<Self> {
        // SAFETY: the handle does not move the value, and gives it to nobody who could. The value is dropped with the handle. If the handle is forgotten, the memory is
        // not used again, because the arena is borrowed for ever.
        unsafe { Pin::new_unchecked(this) }
    }
}

impl<T: ?Sized> From<ArenaBox<'static, T>> for Pin<ArenaBox<'static, T>> {
    fn from(boxed: ArenaBox<'static, T>) -> Self {
        ArenaBox::into_pin(boxed)
    }
}
