// SPDX-License-Identifier: Apache-2.0
//! What the two arenas that threads share have in common, written once. A form itself names its C
//! functions, and has its statistics and how it is made.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use super::forms::Bytes;
use crate::error::AllocError;
use crate::{ffi, unwind};

/// Calls a C function that returns memory, with room for the error of a failure.
///
/// # Safety
///
/// - The function returns memory, or NULL after it has written the error.
/// - The budget in the error is null or alive.
#[inline(always)]
pub(super) unsafe fn call(function: impl FnOnce(*mut ffi::aegis_error) -> *mut c_void) -> Bytes {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    let p = unwind::call(|| function(error.as_mut_ptr()));
    match NonNull::new(p.cast()) {
        Some(p) => Ok(p),
        // SAFETY: the caller vouches for the error, which is written on failure, and for its
        // budget.
        None => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
    }
}

/// Writes the methods of a shared arena and its implementations of
/// [`Allocate`](super::forms::Allocate), `Drop` and `Debug`. The only field of `$arena` is `raw`,
/// the C struct `$raw`. Attributes before the name are added to `alloc_static`.
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
            move_budget: $move_budget:ident,
            fini: $fini:ident,
        }
    ) => {
        impl $arena {
            /// Frees everything that was allocated and keeps every block for reuse. Values of
            /// [`alloc_static`](Self::alloc_static) are dropped before that, the newest first.
            ///
            /// # Panics
            ///
            /// When the drop of such a value panics. The reset is complete all the same.
            ///
            /// # Examples
            ///
            /// ```
            /// # let mut arena = aegis_memory::arena::LockFreeArena::default();
            /// arena.alloc(100);
            /// arena.reset();
            /// assert_eq!(arena.used(), 0);
            /// ```
            pub fn reset(&mut self) {
                // SAFETY: `&mut self`: no other thread, no handle and no reference uses the arena.
                unwind::call(|| unsafe { ffi::$reset(&mut self.raw) });
            }

            /// Releases idle blocks, in which nothing is allocated, to the source until at most
            /// `keep_bytes` are reserved or no block is idle.
            ///
            /// # Examples
            ///
            /// ```
            /// # let mut arena = aegis_memory::arena::LockFreeArena::default();
            /// arena.alloc(100_000);
            /// arena.reset();
            /// arena.trim(0);
            /// assert_eq!(arena.capacity(), 0);
            /// ```
            pub fn trim(&mut self, keep_bytes: usize) {
                // SAFETY: as in `reset`.
                unwind::call(|| unsafe { ffi::$trim(&mut self.raw, keep_bytes) });
            }

            /// Resets the arena and releases every block to the source.
            ///
            /// # Panics
            ///
            /// As [`reset`](Self::reset).
            ///
            /// # Examples
            ///
            /// ```
            /// # let mut arena = aegis_memory::arena::LockFreeArena::default();
            /// arena.alloc(100);
            /// arena.clear();
            /// assert_eq!(arena.capacity(), 0);
            /// ```
            pub fn clear(&mut self) {
                // SAFETY: as in `reset`.
                unwind::call(|| unsafe { ffi::$clear(&mut self.raw) });
            }

            move_methods!(
                $move_budget,
                (&mut) self => &mut self.raw,
                "all blocks of the arena, and later ones,"
            );

            /// Moves a value into the arena. The arena drops the value at its reset, clear or drop,
            /// on the thread that does this. The newest values are dropped first.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_static`](Self::try_alloc_static) fails.
            $(#[$more])*
            #[track_caller]
            pub fn alloc_static<T: Send + 'static>(&self, value: T) -> &mut T {
                expect(self.try_alloc_static(value))
            }

            /// Moves a value into the arena. The arena drops the value at its reset, clear or drop.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). The value is dropped then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let mut arena = aegis_memory::arena::LockFreeArena::default();
            /// arena.try_alloc_static(vec!["dropped at reset"])?.push("so is this");
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_alloc_static<T: Send + 'static>(
                &self,
                value: T,
            ) -> Result<&mut T, AllocError> {
                let place = forms::place_static(self, value, |function, context, error| {
                    // SAFETY: any thread may register a function. The function runs only in a
                    // method that takes `&mut self`, and the call only writes the record.
                    unsafe { ffi::$defer(&self.raw, function, context, error) }
                });
                // SAFETY: the value was placed above, and its memory is valid while `self` is
                // borrowed.
                place.map(|mut p| unsafe { p.as_mut() })
            }

            /// Usable bytes in all blocks.
            ///
            /// # Examples
            ///
            /// ```
            /// # let mut arena = aegis_memory::arena::LockFreeArena::default();
            /// arena.alloc(100);
            /// assert!(arena.capacity() >= 100);
            /// ```
            pub fn capacity(&self) -> usize {
                self.stats().capacity_bytes
            }

            /// The C struct, from which C code can allocate on any thread. The pointer is valid
            /// until the arena is moved or dropped.
            ///
            /// # Examples
            ///
            /// ```
            /// # let mut arena = aegis_memory::arena::LockFreeArena::default();
            /// let raw = arena.as_raw();
            /// // SAFETY: the arena is alive, and any thread may call this.
            /// let memory = unsafe {
            ///     aegis_memory::ffi::aegis_lock_free_arena_alloc(raw, 100, std::ptr::null_mut())
            /// };
            /// assert!(!memory.is_null());
            /// ```
            pub fn as_raw(&self) -> *const ffi::$raw {
                &self.raw
            }

            /// Gives the C struct to the caller, who finishes it with the C function `_fini` of its
            /// type.
            ///
            /// # Examples
            ///
            /// ```
            /// # let mut arena = aegis_memory::arena::LockFreeArena::default();
            /// let mut raw = arena.into_raw();
            /// // SAFETY: this code owns the arena and finishes it once.
            /// unsafe { aegis_memory::ffi::aegis_lock_free_arena_fini(&mut raw) };
            /// ```
            #[must_use = "the struct owns blocks: finish it in C or take it back with from_raw"]
            pub fn into_raw(self) -> ffi::$raw {
                let this = ManuallyDrop::new(self);
                // SAFETY: `this` is not used or dropped afterwards, so the struct has one owner.
                unsafe { ptr::read(&this.raw) }
            }

            /// Takes ownership of a C arena.
            ///
            /// # Safety
            ///
            /// - `raw` was made by the C function `_init` of its type or by
            ///   [`into_raw`](Self::into_raw), and it is not finished.
            /// - No other code resets, trims or finishes this arena afterwards.
            /// - C does not use the arena, its handles or what C has allocated from it while a
            ///   method that takes this arena by `&mut` runs. After a reset, a clear or the drop, C
            ///   does not use the handles and allocations from before it. After the drop, C does
            ///   not use the arena.
            /// - C does not free or resize what Rust has allocated.
            /// - What the arena was made with, such as the context of its source, stays valid until
            ///   this arena is dropped. The source keeps the contract of
            ///   [`BlockSource`](crate::source::BlockSource).
            /// - Any thread may use the source of the arena, and its deferred functions may run on
            ///   any thread.
            ///
            /// # Examples
            ///
            /// ```
            /// # let mut arena = aegis_memory::arena::LockFreeArena::default();
            /// use aegis_memory::arena::LockFreeArena;
            /// let raw = arena.into_raw();
            /// // SAFETY: the struct is used for this only.
            /// let arena = unsafe { LockFreeArena::from_raw(raw) };
            /// arena.alloc(100);
            /// ```
            pub unsafe fn from_raw(raw: ffi::$raw) -> Self {
                Self { raw }
            }

            /// Borrows an arena that C owns.
            ///
            /// # Safety
            ///
            /// - `raw` points to an arena made by the C function `_init` of its type. While `'a`
            ///   lasts, the arena is not moved, reset, trimmed, cleared or finished.
            /// - C does not free or resize what Rust has allocated.
            /// - Any thread may use the source of the arena, and its deferred functions may run on
            ///   any thread.
            ///
            /// # Examples
            ///
            /// ```
            /// # let mut arena = aegis_memory::arena::LockFreeArena::default();
            /// use aegis_memory::arena::LockFreeArena;
            /// // SAFETY: the arena is not moved or finished while `same` is used.
            /// let same = unsafe { LockFreeArena::borrow_raw(arena.as_raw()) };
            /// assert_eq!(same.alloc(2), [0, 0]);
            ///
            /// ```
            pub unsafe fn borrow_raw<'a>(raw: *const ffi::$raw) -> &'a Self {
                // SAFETY: the type is a transparent wrapper, and the caller vouches for the rest.
                unsafe { &*raw.cast::<Self>() }
            }
        }

        // SAFETY: the core hands out each byte once, and keeps it valid until it is reset.
        unsafe impl Allocate for $arena {
            #[inline(always)]
            fn take(&self, layout: Layout) -> Bytes {
                let (size, align) = (layout.size(), layout.align());
                // SAFETY: any thread may call this; the call only writes the error, and the arena
                // keeps the budget alive.
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
                // SAFETY: `self` owns the arena, which is not used again.
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
