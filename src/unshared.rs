// SPDX-License-Identifier: Apache-2.0
//! The cell of an object with one owner, which threads do not share. It is an `UnsafeCell`, except
//! for what the compiler says when a program shares the object.

use core::cell::UnsafeCell;

/// A value that one thread at a time uses through shared references.
#[repr(transparent)]
pub(crate) struct Unshared<T>(UnsafeCell<T>);

/// What threads may share. It is implemented for no type. The compiler looks for it when a program
/// shares an [`Unshared`] between threads, and says the following.
///
/// # Safety
///
/// - Threads may use the value at the same time through shared references.
#[cfg_attr(
    aegis_diagnostic,
    diagnostic::on_unimplemented(
        message = "threads cannot share an object with one owner",
        label = "this is or has a reference to an object with one owner",
        note = "threads can share a `LockFreePool` or a `LockedPool` instead of a `Pool`, and each \
                thread can have its own `PoolCache`",
        note = "threads can share a `LockFreeArena` or a `LockedArena` instead of an `Arena`, and \
                each thread can have its own `LocalArena`",
    )
)]
pub(crate) unsafe trait SharedByThreads {}

// SAFETY: the bound says it.
unsafe impl<T: SharedByThreads> Sync for Unshared<T> {}

impl<T> Unshared<T> {
    #[inline(always)]
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) const fn get(&self) -> *mut T {
        self.0.get()
    }
}
