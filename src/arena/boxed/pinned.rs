// SPDX-License-Identifier: Apache-2.0
//! [`Pinned`]: a value in an arena whose memory is not used again before the value is dropped.
//!
//! `Pin` promises of a pinned value that its memory is used for something else only after the value
//! was dropped. A handle that is forgotten drops nothing, and ends the borrow of its arena. Then a
//! reset of the arena would break the promise. The arena cannot drop the value by itself at that
//! moment, because what the value borrows may be gone.
//!
//! So these rules hold, and `src/arena/pin.rs` keeps the second and third:
//!
//! 1. A `Pinned` knows whether its drop has begun: `armed` is true before, and false afterwards.
//! 2. The arena has a deferred function for each `Pinned` whose type has drop glue. It runs before
//!    the memory is freed, and ends the process if the value is still armed.
//! 3. An arena whose memory can be used again without its deferred functions pins no such value.
//! 4. A `Pinned` stays where it is: it is not `Unpin`, and is handed out in a `Pin` only.
//!
//! A type without drop glue needs none of this: its drop does nothing, so it makes no difference
//! whether it has happened.

use core::future::Future;
use core::marker::PhantomPinned;
use core::ops::Deref;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::task::{Context, Poll};
use core::{fmt, mem};

use super::arena_box::ArenaBox;

/// A box of a pinned value: what [`alloc_pinned`](crate::arena::Arena::alloc_pinned) returns.
///
/// ```
/// use aegis_memory::arena::{Arena, PinnedBox};
///
/// fn task<'a, 't>(arena: &'a Arena, text: &'t str) -> PinnedBox<'a, impl Future<Output = usize> + 't> {
///     arena.alloc_pinned(async move { text.len() })
/// }
/// # use std::future::Future;
/// let arena = Arena::default();
/// let task = task(&arena, "text");
/// ```
pub type PinnedBox<'a, T> = Pin<ArenaBox<'a, Pinned<T>>>;

/// A value that is pinned in an arena, from [`alloc_pinned`](crate::arena::Arena::alloc_pinned). It
/// derefs to the value, and is a future if the value is one.
///
/// ```
/// let arena = aegis_memory::arena::Arena::default();
/// let text = arena.alloc_pinned(String::from("stays where it is"));
/// assert_eq!(text.len(), 17);
/// ```
#[repr(C)]
pub struct Pinned<T: ?Sized> {
    /// Whether the arena must not free the memory yet. This is the first field, so that the address
    /// of the struct is its address.
    armed: AtomicBool,
    _stays: PhantomPinned,
    value: T,
}

impl<T> Pinned<T> {
    /// A value that ends the process if its memory is freed before its drop.
    pub(in crate::arena) fn new(value: T) -> Self {
        Self { armed: AtomicBool::new(mem::needs_drop::<T>()), _stays: PhantomPinned, value }
    }
}

/// Whether a value's drop has not begun.
///
/// # Safety
///
/// - `pinned` points to a [`Pinned`] that was placed there. It may have been dropped since.
pub(in crate::arena) unsafe fn is_armed(pinned: *const u8) -> bool {
    // SAFETY: the field is the first one. The drop of the struct leaves its bytes as they are.
    unsafe { (*pinned.cast::<AtomicBool>()).load(Relaxed) }
}

impl<T: ?Sized> Pinned<T> {
    /// The pinned value.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::Arena;
    /// use std::marker::PhantomPinned;
    /// use std::pin::Pin;
    ///
    /// struct Node {
    ///     number: u32,
    ///     _stays: PhantomPinned,
    /// }
    /// impl Node {
    ///     fn number(self: Pin<&mut Self>) -> u32 {
    ///         self.number
    ///     }
    /// }
    ///
    /// let arena = Arena::default();
    /// let mut node = arena.alloc_pinned(Node { number: 7, _stays: PhantomPinned });
    /// assert_eq!(node.number, 7);
    /// assert_eq!(node.as_mut().as_pin_mut().number(), 7);
    /// ```
    pub fn as_pin_mut(self: Pin<&mut Self>) -> Pin<&mut T> {
        // SAFETY: the value is pinned as long as the struct is: no method moves it out, and the
        // struct is not `Unpin`.
        unsafe { self.map_unchecked_mut(|this| &mut this.value) }
    }
}

impl<T: ?Sized> Drop for Pinned<T> {
    fn drop(&mut self) {
        // The drop of the value follows. The arena is borrowed until it has ended.
        self.armed.store(false, Relaxed);
    }
}

impl<T: ?Sized> Deref for Pinned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<F: ?Sized + Future> Future for Pinned<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.as_pin_mut().poll(context)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Pinned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for Pinned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
