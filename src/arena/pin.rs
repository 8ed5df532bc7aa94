// SPDX-License-Identifier: Apache-2.0
//! The methods that pin a value in an arena, for every form. `src/arena/boxed/pinned.rs` has the
//! rules that make this sound.

use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::{needs_drop, size_of, MaybeUninit};
use core::pin::Pin;
use core::ptr::NonNull;

use super::boxed::{is_armed, ArenaBox, Pinned, PinnedBox};
use super::forms::Allocate;
#[cfg(aegis_threads)]
use super::local::LocalArena;
#[cfg(aegis_threads)]
use super::lock_free::LockFreeArena;
#[cfg(aegis_threads)]
use super::locked::LockedArena;
use super::one_owner::Arena;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

/// The deferred function of a pinned value.
unsafe extern "C" fn end_if_forgotten(pinned: *mut c_void) {
    // SAFETY: the function was registered with this pointer, and runs before the memory is freed.
    if unsafe { is_armed(pinned.cast()) } {
        #[cfg(feature = "std")]
        {
            use std::io::Write;
            // The process ends in any case.
            _ = std::io::stderr().write_all(
                b"aegis-memory: an arena frees the memory of a pinned value that was forgotten\n",
            );
        }
        unwind::abort();
    }
}

/// Places a value that must be dropped before its memory is freed. `defer` registers a function with
/// the core, as `aegis_locked_arena_defer` does.
fn place<A: Allocate, T>(
    arena: &A,
    value: T,
    defer: impl FnOnce(
        ffi::aegis_arena_defer_fn,
        *mut c_void,
        *mut ffi::aegis_error,
    ) -> ffi::aegis_status,
) -> Result<NonNull<Pinned<T>>, AllocError> {
    let p = arena.take(Layout::new::<Pinned<T>>())?.cast::<Pinned<T>>();
    if needs_drop::<T>() {
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        // A panic of the block source ends here if the function is registered: then the value must
        // get its handle.
        let status = unwind::call_keeping(ffi::is_ok, || {
            defer(Some(end_if_forgotten), p.as_ptr().cast(), error.as_mut_ptr())
        });
        if !ffi::is_ok(&status) {
            // SAFETY: the room was taken above, and is not used after this.
            unsafe { arena.give_back(p.cast(), size_of::<Pinned<T>>()) };
            // SAFETY: the core writes the record on failure, and the arena keeps the budget alive.
            return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
        }
    }
    // SAFETY: the room was taken above, is aligned and large enough, and no other code has a pointer
    // to it. The function does not run before the arena's borrow has ended.
    unsafe { p.as_ptr().write(Pinned::new(value)) };
    Ok(p)
}

/// Writes the methods that pin a value. The arguments are as for `allocation_forms`, and then whether
/// the arena always runs its deferred functions, and what registers one.
macro_rules! pinning_forms {
    (
        $(#[$more:meta])*
        {$($generics:tt)*} $arena:ty, $out:lifetime,
        |$this:ident| $always:expr,
        |$function:ident, $context:ident, $error:ident| $defer:expr
    ) => {
        impl $($generics)* $arena {
            /// Moves a value into the arena and pins it there. The returned handle drops the value.
            /// It is made for futures: the handle of a future is a future, and
            /// [`unsize_box!`](crate::unsize_box) turns it into a `Pin<ArenaBox<'_, dyn Future>>`.
            ///
            /// `Pin` promises that the memory of a pinned value is not used for something else before
            /// the value is dropped. A handle that is forgotten, as by `mem::forget` or in a circle
            /// of `Rc`, drops nothing. If its arena then frees the memory, by a reset, its drop or
            /// the end of a scope, the process ends with a message. The arena cannot drop the value
            /// itself, because what the value borrows may be gone by then. For a type with drop glue
            /// this takes the room of a small record in the arena. A type without drop glue can be
            /// forgotten.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_pinned`](Self::try_alloc_pinned) fails or panics.
            ///
            /// # Examples
            ///
            /// ```
            /// use aegis_memory::arena::{ArenaBox, LockedArena};
            /// use aegis_memory::unsize_box;
            /// use std::future::Future;
            /// use std::pin::Pin;
            ///
            /// async fn size(text: &str) -> usize {
            ///     text.len()
            /// }
            ///
            /// let arena = LockedArena::default();
            /// let parts = ["one", "three"];
            /// // Tasks of different types in one array, in the memory of the request.
            /// let tasks: [Pin<ArenaBox<'_, dyn Future<Output = usize> + '_>>; 2] = [
            ///     unsize_box!(arena.alloc_pinned(size(parts[0]))),
            ///     unsize_box!(arena.alloc_pinned(async { size(parts[1]).await + 1 })),
            /// ];
            /// let total = async {
            ///     let mut total = 0;
            ///     for task in tasks {
            ///         total += task.await;
            ///     }
            ///     total
            /// };
            /// # let mut total = std::pin::pin!(total);
            /// # struct Still;
            /// # impl std::task::Wake for Still { fn wake(self: std::sync::Arc<Self>) {} }
            /// # let waker = std::task::Waker::from(std::sync::Arc::new(Still));
            /// # let poll = total.as_mut().poll(&mut std::task::Context::from_waker(&waker));
            /// # assert_eq!(poll, std::task::Poll::Ready(9));
            /// ```
            #[track_caller]
            pub fn alloc_pinned<T>(&self, value: T) -> PinnedBox<$out, T> {
                expect(self.try_alloc_pinned(value))
            }

            /// Moves a value into the arena and pins it there. The returned handle drops the value.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). The value is dropped then.
            $(#[$more])*
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let mut task = arena.try_alloc_pinned(async { 7 })?;
            /// let future: std::pin::Pin<&mut dyn std::future::Future<Output = u32>> = task.as_mut();
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[track_caller]
            pub fn try_alloc_pinned<T>(&self, value: T) -> Result<PinnedBox<$out, T>, AllocError> {
                let $this = self;
                if needs_drop::<T>() {
                    assert!($always, "this arena pins no value with drop glue: use a scope of it");
                }
                let p = place(self, value, |$function, $context, $error| $defer)?;
                // SAFETY: placed just now in memory that is valid for the lifetime. Its owner does
                // not free it before the value is dropped, and no other code moves the value.
                Ok(unsafe { Pin::new_unchecked(ArenaBox::from_raw(p)) })
            }
        }
    };
}

pinning_forms! {
    ///
    /// # Panics
    ///
    /// When the type has drop glue, and the arena is the one inside of a
    /// [`FixedArena`](super::FixedArena) or a [`LocalArena`]. They can be forgotten, and their memory
    /// used again without a reset. A scope of them can pin every value, and the handle of a
    /// `LocalArena` has this method too.
    {} Arena, '_, |arena| {
        // SAFETY: the call reads the arena.
        unsafe { ffi::aegis_i_arena_always_defers(arena.as_raw()) }
    }, |function, context, error| {
        // SAFETY: this thread owns the arena, and the call only writes the record.
        unsafe {
            let status = ffi::aegis_arena_defer(arena.as_raw(), function, context);
            if !ffi::is_ok(&status) {
                ffi::aegis_arena_last_error(arena.as_raw(), error);
            }
            status
        }
    }
}

#[cfg(aegis_threads)]
pinning_forms! {
    {} LockFreeArena, '_, |arena| true, |function, context, error| {
        // SAFETY: any thread may register a function. The function runs only in a method that takes
        // `&mut self`, and the call only writes the record.
        unsafe { ffi::aegis_lock_free_arena_defer(arena.as_raw(), function, context, error) }
    }
}

#[cfg(aegis_threads)]
pinning_forms! {
    {} LockedArena, '_, |arena| true, |function, context, error| {
        // SAFETY: as for a lock-free arena.
        unsafe { ffi::aegis_locked_arena_defer(arena.as_raw(), function, context, error) }
    }
}

#[cfg(aegis_threads)]
pinning_forms! {
    {<'a>} LocalArena<'a>, 'a, |arena| true, |function, context, error| {
        // The memory belongs to the shared arena, so that one runs the function.
        let shared = arena.shared();
        // SAFETY: as for a lock-free arena.
        unsafe { ffi::aegis_lock_free_arena_defer(&shared, function, context, error) }
    }
}
