// SPDX-License-Identifier: Apache-2.0
//! The allocator traits, for references to arenas and pools, so that collections can live in them.
//!
//! The standard library's trait and each line of `allocator-api2` are traits of their own with the
//! same functions. [`Memory`] has these functions once, and [`faces`] implements the traits with
//! them.
//!
//! Only shared references implement the traits. An owner that lends its arena as `&mut` could be
//! reset while the memory is in use.
//!
//! If a block source panics, the panic continues from the functions of `allocator-api2`. Those of
//! the standard library's trait must not unwind, so there it aborts the process.

use core::alloc::Layout;
use core::ptr::NonNull;

/// What an allocator does. `None` says that there is no memory.
///
/// # Safety
///
/// As the traits demand it of their implementors: memory that is handed out has the size and the
/// alignment asked for. It stays valid while the implementor is borrowed, or until it is given back
/// or resized into other memory.
pub(crate) unsafe trait Memory {
    /// Uninitialised memory.
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Zeroed memory.
    fn allocate_zeroed(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Gives memory back.
    ///
    /// # Safety
    ///
    /// - `p` is a live allocation with this layout. It is not used afterwards.
    unsafe fn deallocate(&self, p: NonNull<u8>, layout: Layout);

    /// Grows an allocation, as [`resize`](Self::resize) does.
    ///
    /// # Safety
    ///
    /// - As for [`resize`](Self::resize). `new` is not smaller than `old`.
    #[inline]
    unsafe fn grow(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller vouches for the allocation.
        unsafe { self.resize(p, old, new) }
    }

    /// Grows or shrinks an allocation, and moves it if it has to. The bytes behind the old ones are
    /// undefined. On failure the old allocation is as it was.
    ///
    /// # Safety
    ///
    /// - `p` is a live allocation with the layout `old`. If the call returns another pointer,
    ///   `p` is not used afterwards.
    unsafe fn resize(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>>;
}

/// Calls a function of [`Memory`] for a trait whose functions may unwind. The only trait may be the
/// one whose functions may not.
#[cfg_attr(aegis_std_allocator, allow(dead_code))]
#[inline(always)]
pub(crate) fn unwinding<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Implements one allocator trait, named by its module, for references to these types. `$call`
/// calls the functions of [`Memory`]. The pages of docs.rs name the feature that it needs. A type with
/// generics has them in braces before it.
macro_rules! face {
    ($feature:literal, $($module:ident)::+: $($types:tt)*) => {
        $crate::allocator::face!(
            $feature, $($module)::+, $crate::allocator::unwinding: $($types)*
        );
    };
    (
        $feature:literal, $($module:ident)::+, $call:path:
        $($({$($generics:tt)*})? $type:ty),* $(,)?
    ) => {
        const _: () = {
            use core::alloc::Layout;
            use core::ptr::NonNull;
            use $crate::allocator::Memory;
            use $($module)::+::{AllocError, Allocator};

            /// The memory that a function returns, with its number of bytes.
            #[inline(always)]
            fn sized(
                layout: Layout,
                f: impl FnOnce() -> Option<NonNull<u8>>,
            ) -> Result<NonNull<[u8]>, AllocError> {
                match $call(f) {
                    Some(p) => Ok(NonNull::slice_from_raw_parts(p, layout.size())),
                    None => Err(AllocError),
                }
            }

            $(
            #[cfg_attr(docsrs, doc(cfg(feature = $feature)))]
            // SAFETY: `Memory` demands the same. Memory stays valid while the arena or pool is
            // borrowed, wherever the reference is moved or copied to. What frees the memory takes
            // the arena or pool by `&mut`, or, for a handle, the arena that the handle belongs to.
            // Copies of the reference are the same allocator. If the reference can go to another
            // thread, the arena or pool serves several threads at the same time.
            unsafe impl $($($generics)*)? Allocator for &$type {
                #[inline]
                fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                    sized(layout, || Memory::allocate(*self, layout))
                }

                #[inline]
                fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                    sized(layout, || Memory::allocate_zeroed(*self, layout))
                }

                #[inline]
                unsafe fn deallocate(&self, p: NonNull<u8>, layout: Layout) {
                    // SAFETY: the caller keeps this function's contract, which is the same.
                    unsafe { Memory::deallocate(*self, p, layout) }
                }

                #[inline]
                unsafe fn grow(
                    &self,
                    p: NonNull<u8>,
                    old: Layout,
                    new: Layout,
                ) -> Result<NonNull<[u8]>, AllocError> {
                    // SAFETY: the caller keeps this function's contract, which is the same.
                    sized(new, || unsafe { Memory::grow(*self, p, old, new) })
                }

                #[inline]
                unsafe fn grow_zeroed(
                    &self,
                    p: NonNull<u8>,
                    old: Layout,
                    new: Layout,
                ) -> Result<NonNull<[u8]>, AllocError> {
                    // SAFETY: the caller keeps this function's contract, which is the same.
                    let memory = sized(new, || unsafe { Memory::grow(*self, p, old, new) })?;
                    // SAFETY: the bytes behind the old ones belong to the allocation too.
                    unsafe {
                        let end = memory.cast::<u8>().as_ptr().add(old.size());
                        end.write_bytes(0, new.size() - old.size());
                    }
                    Ok(memory)
                }

                #[inline]
                unsafe fn shrink(
                    &self,
                    p: NonNull<u8>,
                    old: Layout,
                    new: Layout,
                ) -> Result<NonNull<[u8]>, AllocError> {
                    // SAFETY: the caller keeps this function's contract, which is the same.
                    sized(new, || unsafe { self.resize(p, old, new) })
                }
            }
            )*
        };
    };
}

/// Implements every allocator trait that the features and the compiler offer for references to
/// these types, which implement [`Memory`].
macro_rules! faces {
    ($($types:tt)*) => {
        // With its feature `nightly` that line has the standard library's trait, not its own.
        #[cfg(all(feature = "allocator-api2", not(feature = "allocator-api2-nightly")))]
        $crate::allocator::face!("allocator-api2", allocator_api2::alloc: $($types)*);
        #[cfg(feature = "allocator-api2-03")]
        $crate::allocator::face!("allocator-api2-03", allocator_api2_03::alloc: $($types)*);
        #[cfg(feature = "allocator-api2-04")]
        $crate::allocator::face!("allocator-api2-04", allocator_api2_04::alloc: $($types)*);
        #[cfg(aegis_std_allocator)]
        $crate::allocator::face!("nightly", core::alloc, $crate::unwind::never: $($types)*);
        #[cfg(aegis_allocator_clone)]
        $crate::allocator::same_when_cloned!($($types)*);
    };
}

/// Promises that a clone of a reference to these types is the same allocator.
#[cfg(aegis_allocator_clone)]
macro_rules! same_when_cloned {
    ($($({$($generics:tt)*})? $type:ty),* $(,)?) => {
        $(
        // SAFETY: copies of a shared reference are the same allocator, and what is done to one of
        // them does not change the arena or pool.
        unsafe impl $($($generics)*)? core::alloc::AllocatorClone for &$type {}
        )*
    };
}

#[cfg(aegis_allocator_clone)]
pub(crate) use same_when_cloned;
pub(crate) use {face, faces};
