// SPDX-License-Identifier: Apache-2.0
//! [`unsize_box!`](crate::unsize_box): a box of a value becomes a box of a trait object or slice.
//!
//! Stable Rust has no `CoerceUnsized` for types of other crates than its own. It coerces
//! `NonNull<T>`, so the macro takes the pointer out of the box, lets the compiler coerce it, and
//! makes a box of the result. Only the compiler chooses what the pointer becomes: it accepts the
//! same conversions as for a `Box`. What the caller writes is evaluated outside of the unsafe block.

use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::NonNull;

use super::arena_box::ArenaBox;

/// Turns an [`ArenaBox`](crate::arena::ArenaBox) of a value into one of a trait object, and a box of
/// an array into one of a slice. A `Pin` of a box becomes a `Pin` of a box, and an
/// [`ArenaRc`](crate::arena::ArenaRc) becomes an `ArenaRc`.
///
/// The target is the type that is expected, or the second argument. It is what a `Box` would turn
/// into by itself. Stable Rust does not do so for the types of a crate.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{Arena, ArenaBox};
/// use aegis_memory::unsize_box;
/// use std::any::Any;
///
/// let arena = Arena::default();
/// let slice: ArenaBox<'_, [u32]> = unsize_box!(arena.alloc_boxed([1, 2, 3]));
/// assert_eq!(slice.len(), 3);
/// let any: ArenaBox<'_, dyn Any> = unsize_box!(arena.alloc_boxed(String::from("dropped")));
/// assert!(any.is::<String>());
///
/// let offset = 10;
/// let add = unsize_box!(arena.alloc_boxed(|n| n + offset), dyn Fn(u32) -> u32);
/// assert_eq!(add(5), 15);
/// ```
///
/// ```compile_fail,E0277
/// # use aegis_memory::{arena::{Arena, ArenaBox}, unsize_box};
/// let arena = Arena::default();
/// let wrong: ArenaBox<'_, dyn Fn()> = unsize_box!(arena.alloc_boxed(1));
/// ```
#[macro_export]
macro_rules! unsize_box {
    ($boxed:expr $(,)?) => {
        match $crate::arena::BoxParts::into_parts($boxed) {
            // SAFETY: the pointer came from the box, and the compiler has coerced it.
            (value, life) => unsafe { life.box_of(value) },
        }
    };
    ($boxed:expr, $target:ty $(,)?) => {
        match $crate::arena::BoxParts::into_parts($boxed) {
            (value, life) => {
                let value: ::core::ptr::NonNull<$target> = value;
                // SAFETY: the pointer came from the box, and the compiler has coerced it.
                unsafe { life.box_of(value) }
            }
        }
    };
}

/// The box taken apart into a pointer and the rest, which makes a box again.
///
/// # Safety
///
/// - `into_parts` returns the pointer of a box, which is forgotten, and the lifetime of that box.
///   [`unsize_box!`](crate::unsize_box) relies on it.
#[doc(hidden)]
pub unsafe trait BoxParts {
    type Value: ?Sized;
    type Life;

    fn into_parts(self) -> (NonNull<Self::Value>, Self::Life);
}

/// The rest of an `ArenaBox`.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct PlainLife<'a>(PhantomData<&'a ()>);

/// The rest of a `Pin` of an `ArenaBox`.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct PinnedLife<'a>(PlainLife<'a>);

// SAFETY: the pointer and the lifetime are those of the box.
unsafe impl<'a, T: ?Sized> BoxParts for ArenaBox<'a, T> {
    type Value = T;
    type Life = PlainLife<'a>;

    #[inline]
    fn into_parts(self) -> (NonNull<T>, PlainLife<'a>) {
        (Self::into_raw(self), PlainLife(PhantomData))
    }
}

// SAFETY: the pointer and the lifetime are those of the box.
unsafe impl<'a, T: ?Sized> BoxParts for Pin<ArenaBox<'a, T>> {
    type Value = T;
    type Life = PinnedLife<'a>;

    #[inline]
    fn into_parts(self) -> (NonNull<T>, PinnedLife<'a>) {
        // SAFETY: the value is not moved: only a pinned box is made of the pointer again.
        let (value, life) = unsafe { Pin::into_inner_unchecked(self) }.into_parts();
        (value, PinnedLife(life))
    }
}

impl<'a> PlainLife<'a> {
    /// Makes the box again.
    ///
    /// # Safety
    ///
    /// - The pointer came from the same call of `into_parts`, and was coerced at most.
    #[doc(hidden)]
    #[inline]
    pub unsafe fn box_of<T: ?Sized>(self, value: NonNull<T>) -> ArenaBox<'a, T> {
        // SAFETY: the caller vouches for the pointer, and the lifetime is that of its box.
        unsafe { ArenaBox::from_raw(value) }
    }
}

impl<'a> PinnedLife<'a> {
    /// Makes the pinned box again.
    ///
    /// # Safety
    ///
    /// - As for [`PlainLife::box_of`].
    #[doc(hidden)]
    #[inline]
    pub unsafe fn box_of<T: ?Sized>(self, value: NonNull<T>) -> Pin<ArenaBox<'a, T>> {
        // SAFETY: the caller vouches for the pointer. The value was pinned before, and the box does
        // not move it.
        unsafe { Pin::new_unchecked(self.0.box_of(value)) }
    }
}
