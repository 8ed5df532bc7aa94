// SPDX-License-Identifier: Apache-2.0
//! Calls a closure that a box owns, also when the closure can be called only once.
//!
//! Stable Rust can neither implement `FnOnce` for a type nor move a closure out of a `dyn FnOnce`.
//! [`CallOnce`] is a trait of which each closure has an implementation that knows its size: it reads
//! the closure out of the memory of the box.

use core::ptr;

use super::arena_box::ArenaBox;

/// A closure that is called at most once, for `dyn CallOnce`. `Args` is the tuple of its arguments.
/// Every closure and function with up to six arguments implements it.
///
/// On stable Rust a `dyn FnOnce` can be called only in a `Box`. In an [`ArenaBox`] this trait takes
/// its place: see [`ArenaBox::call_once`]. The trait cannot be called or usefully implemented
/// otherwise.
///
/// ```
/// use aegis_memory::arena::{Arena, ArenaBox, CallOnce};
/// use aegis_memory::unsize_box;
///
/// let arena = Arena::default();
/// let name = String::from("moved in");
/// // `Send`, so that another thread may call it.
/// let job: ArenaBox<'_, dyn CallOnce<(usize,), Output = String> + Send> =
///     unsize_box!(arena.alloc_boxed(move |n: usize| name.repeat(n)));
/// assert_eq!(job.call_once((2,)), "moved inmoved in");
/// ```
pub trait CallOnce<Args> {
    /// What the closure returns.
    type Output;

    /// Moves the closure out of its place and calls it.
    ///
    /// # Safety
    ///
    /// - The closure is not used or dropped afterwards.
    #[doc(hidden)]
    unsafe fn call_in_place(&mut self, args: Args) -> Self::Output;
}

macro_rules! call_once {
    ($($arg:ident: $Arg:ident),*) => {
        impl<F: FnOnce($($Arg),*) -> R, R, $($Arg),*> CallOnce<($($Arg,)*)> for F {
            type Output = R;

            #[inline]
            unsafe fn call_in_place(&mut self, ($($arg,)*): ($($Arg,)*)) -> R {
                // SAFETY: the caller does not use or drop the closure afterwards.
                let function = unsafe { ptr::read(self) };
                function($($arg),*)
            }
        }
    };
}

call_once!();
call_once!(a: A);
call_once!(a: A, b: B);
call_once!(a: A, b: B, c: C);
call_once!(a: A, b: B, c: C, d: D);
call_once!(a: A, b: B, c: C, d: D, e: E);
call_once!(a: A, b: B, c: C, d: D, e: E, f: G);

/// A box of any closure that is called at most once, with the tuple `Args` of its arguments.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{Arena, ArenaFnOnce};
/// use aegis_memory::unsize_box;
/// use std::cell::RefCell;
///
/// let arena = Arena::default();
/// let log = RefCell::new(Vec::new());
/// let (line, other) = (String::from("first"), String::from("second"));
/// let log_to = &log;
/// let jobs: [ArenaFnOnce<'_, ()>; 2] = [
///     unsize_box!(arena.alloc_boxed(move || log_to.borrow_mut().push(line))),
///     unsize_box!(arena.alloc_boxed(move || log_to.borrow_mut().push(other))),
/// ];
/// jobs.into_iter().for_each(|job| job.call_once(()));
/// assert_eq!(*log.borrow(), ["first", "second"]);
/// ```
pub type ArenaFnOnce<'a, Args, R = ()> = ArenaBox<'a, dyn CallOnce<Args, Output = R> + 'a>;

impl<F: ?Sized> ArenaBox<'_, F> {
    /// Calls a closure, which the call consumes, with the tuple of its arguments. `F` is the type of
    /// the closure or a `dyn` [`CallOnce`], as in [`ArenaFnOnce`].
    ///
    /// A box of an `Fn` or `FnMut`, also of `dyn Fn` or `dyn FnMut`, is called without this method,
    /// as a function.
    ///
    /// # Panics
    ///
    /// When the closure panics. What it has captured is dropped then.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::{Arena, ArenaFnOnce};
    /// use aegis_memory::unsize_box;
    ///
    /// let arena = Arena::default();
    /// let parts = vec!["a", "b"];
    /// let join: ArenaFnOnce<'_, (&str,), String> =
    ///     unsize_box!(arena.alloc_boxed(move |with: &'static str| parts.join(with)));
    /// assert_eq!(join.call_once(("-",)), "a-b");
    ///
    /// let mut calls = 0;
    /// let mut count = unsize_box!(arena.alloc_boxed(|| calls += 1), dyn FnMut());
    /// (count(), count());
    /// drop(count);
    /// assert_eq!(calls, 2);
    /// ```
    #[inline]
    pub fn call_once<Args>(self, args: Args) -> F::Output
    where
        F: CallOnce<Args>,
    {
        let closure = Self::into_raw(self);
        // SAFETY: the closure is initialised, and its only owner is forgotten: no other code uses or
        // drops it.
        unsafe { (*closure.as_ptr()).call_in_place(args) }
    }
}
