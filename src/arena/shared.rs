// SPDX-License-Identifier: Apache-2.0
//! What the two arenas that threads share have alike, written once: all that one adds is its C
//! functions, its statistics, and how it is made.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::forms::Bytes;
use crate::error::AllocError;
use crate::{ffi, unwind};

/// Calls a C function for memory, with room for the reason of a failure.
///
/// # Safety
///
/// The function returns memory, or NULL with the reason written. The budget that the reason names
/// is alive.
#[inline(always)]
pub(super) unsafe fn call(function: impl FnOnce(*mut ffi::aegis_error) -> *mut c_void) -> Bytes {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    let p = unwind::call(|| function(error.as_mut_ptr()));
    match NonNull::new(p.cast()) {
        Some(p) => Ok(p),
        // SAFETY: the caller vouches for the record, written on failure, and its budget.
        None => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
    }
}

/// Writes the methods of a shared arena `$arena`, whose one field `raw` is the C struct `$raw`, and
/// its [`Allocate`](super::forms::Allocate), `Drop` and `Debug`. Attributes before its name go to
/// `alloc_static`.
macro_rules! shared_methods {
    (
        $(#[$more:meta])*
        $arena:ident, $raw:ident {
            alloc: $alloc:ident,
            alloc_aligned: $alloc_aligned:ident,
            alloc_regrown: $alloc_regrown:ident,
            alloc_zeroed: $alloc_zeroed:ident,
            alloc_aligned_zeroed: $alloc_aligned_zeroed:ident,
            resize_in_place: $resize_in_place:ident,
            free_last: $free_last:ident,
            defer: $defer:ident,
            reset: $reset:ident,
            trim: $trim:ident,
            clear: $clear:ident,
            fini: $fini:ident,
        }
    ) => {
        impl $arena {
            /// Frees everything that was allocated and keeps every block for reuse. Values of
            /// [`alloc_static`](Self::alloc_static) are dropped first, newest first.
            ///
            /// # Panics
            ///
            /// When the drop of such a value panicked; the reset is complete nevertheless.
            pub fn reset(&mut self) {
                // SAFETY: `&mut self`: no other thread, no handle and no reference uses the arena.
                unwind::call(|| unsafe { ffi::$reset(&mut self.raw) });
            }

            /// Gives blocks that nothing is allocated in back to the source until at most
            /// `keep_bytes` are reserved or none is left.
            pub fn trim(&mut self, keep_bytes: usize) {
                // SAFETY: as in `reset`.
                unwind::call(|| unsafe { ffi::$trim(&mut self.raw, keep_bytes) });
            }

            /// Resets and gives every block back to the source.
            ///
            /// # Panics
            ///
            /// As [`reset`](Self::reset).
            pub fn clear(&mut self) {
                // SAFETY: as in `reset`.
                unwind::call(|| unsafe { ffi::$clear(&mut self.raw) });
            }

            /// Moves a value into the arena, which drops it at its reset, clear or drop, on the
            /// thread that does so. Newest values are dropped first.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_static`](Self::try_alloc_static) fails.
            $(#[$more])*
            #[track_caller]
            pub fn alloc_static<T: Send + 'static>(&self, value: T) -> &mut T {
                expect(self.try_alloc_static(value))
            }

            /// Moves a value into the arena, which drops it at its reset, clear or drop.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc); the value is dropped then.
            pub fn try_alloc_static<T: Send + 'static>(
                &self,
                value: T,
            ) -> Result<&mut T, AllocError> {
                let place = forms::place_static(self, value, |function, context, error| {
                    // SAFETY: any thread may register. Nothing runs the function before
                    // `&mut self`, and the record is only written.
                    unsafe { ffi::$defer(&self.raw, function, context, error) }
                });
                // SAFETY: freshly placed, and ours for as long as `self` is borrowed.
                place.map(|mut p| unsafe { p.as_mut() })
            }

            /// Usable bytes in all blocks.
            pub fn capacity(&self) -> usize {
                self.stats().capacity_bytes
            }

            /// The C struct, for C code to allocate from, on any thread. The pointer is good while
            /// the arena is neither moved nor dropped.
            pub fn as_raw(&self) -> *const ffi::$raw {
                &self.raw
            }

            /// Gives the C struct away. It is the receiver's to finish with the C function `_fini`
            /// of its type.
            #[must_use = "the struct owns blocks: finish it in C or take it back with from_raw"]
            pub fn into_raw(self) -> ffi::$raw {
                let this = ManuallyDrop::new(self);
                // SAFETY: `this` is not used or dropped afterwards, so the struct has one owner.
                unsafe { ptr::read(&this.raw) }
            }

            /// Takes a C arena over.
            ///
            /// # Safety
            ///
            /// - `raw` was made by the C function `_init` of its type or
            ///   [`into_raw`](Self::into_raw), and is not finished.
            /// - Nobody else resets, trims or finishes this arena afterwards. C uses it, handles of
            ///   it and what it has allocated not during a call that takes this one by `&mut`, and
            ///   not after such a reset or the drop; it neither frees nor resizes what Rust has
            ///   allocated.
            /// - What it was made with, the source's context for one, is good until this arena is
            ///   dropped. The source keeps the contract of
            ///   [`BlockSource`](crate::source::BlockSource).
            /// - Its source may be used from any thread, and its deferred functions may run on any.
            pub unsafe fn from_raw(raw: ffi::$raw) -> Self {
                Self { raw }
            }

            /// Borrows an arena that C owns.
            ///
            /// # Safety
            ///
            /// - `raw` points to an arena made by the C function `_init` of its type that is
            ///   neither moved, nor reset, trimmed, cleared or finished while `'a` lasts, and C
            ///   neither frees nor resizes what Rust has allocated.
            /// - Its source may be used from any thread, and its deferred functions may run on any.
            pub unsafe fn borrow_raw<'a>(raw: *const ffi::$raw) -> &'a Self {
                // SAFETY: a transparent wrapper, and the caller vouches for the rest.
                unsafe { &*raw.cast::<Self>() }
            }
        }

        // SAFETY: the core hands out each byte once, and keeps it until it is reset.
        unsafe impl Allocate for $arena {
            #[inline(always)]
            fn take(&self, layout: Layout) -> Bytes {
                let (size, align) = (layout.size(), layout.align());
                // SAFETY: any thread may ask; the record is only written, and the arena holds the
                // budget.
                unsafe {
                    call(|error| {
                        if align <= ALIGN {
                            ffi::$alloc(&self.raw, size, error)
                        } else {
                            ffi::$alloc_aligned(&self.raw, size, align, error)
                        }
                    })
                }
            }

            fn take_regrown(&self, layout: Layout) -> Bytes {
                let (size, align) = (layout.size(), layout.align());
                // SAFETY: as in `take`.
                unsafe { call(|error| ffi::$alloc_regrown(&self.raw, size, align, error)) }
            }

            #[inline(always)]
            fn take_zeroed(&self, size: usize, align: usize) -> Bytes {
                // SAFETY: as in `take`; the core checks the alignment.
                unsafe {
                    call(|error| {
                        if align == ALIGN {
                            ffi::$alloc_zeroed(&self.raw, size, error)
                        } else {
                            ffi::$alloc_aligned_zeroed(&self.raw, size, align, error)
                        }
                    })
                }
            }

            unsafe fn resize_in_place(&self, p: NonNull<u8>, old: usize, new: usize) -> bool {
                // SAFETY: the caller vouches for the allocation.
                unsafe { ffi::$resize_in_place(&self.raw, p.as_ptr().cast(), old, new) }
            }

            unsafe fn give_back(&self, p: NonNull<u8>, size: usize) {
                // SAFETY: the caller vouches for the allocation.
                unsafe { ffi::$free_last(&self.raw, p.as_ptr().cast(), size) }
            }
        }

        impl Drop for $arena {
            fn drop(&mut self) {
                // SAFETY: the arena is ours and not used again.
                unwind::call(|| unsafe { ffi::$fini(&mut self.raw) });
            }
        }

        impl fmt::Debug for $arena {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($arena)).field("stats", &self.stats()).finish()
            }
        }
    };
}

pub(super) use shared_methods;
