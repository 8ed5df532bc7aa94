// SPDX-License-Identifier: Apache-2.0
//! What a collection needs of its arena: room that can grow, and the reason when there is none.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::aligned::AlignedArena;
use super::allocator::resized;
use super::fixed::FixedArena;
use super::forms::Allocate;
#[cfg(aegis_threads)]
use super::local::LocalArena;
#[cfg(aegis_threads)]
use super::lock_free::LockFreeArena;
#[cfg(aegis_threads)]
use super::locked::LockedArena;
use super::one_owner::Arena;
use crate::error::AllocError;
use crate::sealed::Key;

/// An arena in which a [collection](crate::collections) can live: [`Arena`], [`FixedArena`],
/// [`LocalArena`], [`LockFreeArena`], [`LockedArena`], or an [`AlignedArena`] of one. This trait is
/// a bound for code that is generic over the arena of a collection. It has no methods to call, and
/// only this crate implements it.
///
/// A guard of a recycler is no arena itself. It derefs to one, so write `&*guard`.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{AnyArena, Arena, LockFreeArena};
/// use aegis_memory::collections::ArenaVec;
///
/// fn squares<A: AnyArena>(arena: &A) -> ArenaVec<'_, u32, A> {
///     ArenaVec::from_iter_in((1..4).map(|n| n * n), arena)
/// }
/// assert_eq!(squares(&Arena::default()), [1, 4, 9]);
/// assert_eq!(squares(&LockFreeArena::default()), [1, 4, 9]);
/// ```
#[cfg_attr(
    aegis_diagnostic,
    diagnostic::on_unimplemented(
        message = "`{Self}` is no arena for a collection",
        label = "not an `Arena`, `FixedArena`, `LocalArena`, `LockFreeArena` or `LockedArena`",
        note = "for a guard or a smart pointer of an arena, write `&*guard`"
    )
)]
pub trait AnyArena: Room {}

/// Memory of an arena that may grow. Code outside of this crate cannot name the trait, so it cannot
/// implement it. It cannot call the methods either, because each takes a [`Key`].
///
/// # Safety
///
/// - Memory that is handed out has the size and alignment asked for, and overlaps no other live
///   allocation.
/// - It stays valid while the arena is borrowed, or until it is given back or resized into other
///   memory.
pub unsafe trait Room {
    /// Uninitialised memory.
    fn allocate(&self, key: Key, layout: Layout) -> Result<NonNull<u8>, AllocError>;

    /// Uninitialised memory, if that is a matter of a few instructions.
    fn quick(&self, key: Key, layout: Layout) -> Option<NonNull<u8>>;

    /// Grows an allocation, in place or by a move, if that is a matter of a few instructions.
    /// Otherwise it is left as it is.
    ///
    /// # Safety
    ///
    /// - As [`resize`](Self::resize).
    unsafe fn grow_by_bump(
        &self,
        key: Key,
        p: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Option<NonNull<u8>>;

    /// Shrinks an allocation in place.
    ///
    /// # Safety
    ///
    /// - `p` is a live allocation of the size `old`, and `new` is not above it.
    unsafe fn shrink(&self, key: Key, p: NonNull<u8>, old: usize, new: usize);

    /// Resizes an allocation, and moves it if it has to. On failure the allocation is as it was.
    ///
    /// # Safety
    ///
    /// - `p` is a live allocation with the layout `old`. If the call returns another pointer, `p`
    ///   is not used afterwards.
    unsafe fn resize(
        &self,
        key: Key,
        p: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<u8>, AllocError>;

    /// Gives memory back.
    ///
    /// # Safety
    ///
    /// - `p` is a live allocation with this layout. It is not used afterwards.
    unsafe fn deallocate(&self, key: Key, p: NonNull<u8>, layout: Layout);
}

macro_rules! any_arena {
    ($({$($generics:tt)*} $arena:ty;)*) => {$(
        impl<$($generics)*> AnyArena for $arena {}

        // SAFETY: `Allocate` demands the same. The memory stays valid while the arena is borrowed,
        // because what frees it takes the arena by `&mut`, or, for a handle, the arena that the
        // handle belongs to.
        unsafe impl<$($generics)*> Room for $arena {
            #[inline]
            fn allocate(&self, _: Key, layout: Layout) -> Result<NonNull<u8>, AllocError> {
                self.take(layout)
            }

            #[inline(always)]
            fn quick(&self, _: Key, layout: Layout) -> Option<NonNull<u8>> {
                Allocate::quick(self, layout)
            }

            #[inline(always)]
            unsafe fn grow_by_bump(
                &self,
                _: Key,
                p: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Option<NonNull<u8>> {
                // SAFETY: the caller keeps this function's contract, which is the same.
                unsafe { Allocate::grow_by_bump(self, p, old, new) }
            }

            #[inline]
            unsafe fn shrink(&self, _: Key, p: NonNull<u8>, old: usize, new: usize) {
                // SAFETY: the caller vouches for the allocation.
                let shrunk = unsafe { self.resize_in_place(p, old, new) };
                debug_assert!(shrunk, "less memory is always there");
            }

            unsafe fn resize(
                &self,
                _: Key,
                p: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<u8>, AllocError> {
                // SAFETY: the caller keeps this function's contract, which is the same.
                unsafe { resized(self, p, old, new) }
            }

            #[inline]
            unsafe fn deallocate(&self, _: Key, p: NonNull<u8>, layout: Layout) {
                // SAFETY: the caller vouches for the allocation.
                unsafe { self.give_back(p, layout.size()) }
            }
        }
    )*};
}

any_arena! {
    {} Arena;
    {} FixedArena<'_>;
    {const N: usize, A: Allocate} AlignedArena<'_, N, A>;
}

#[cfg(aegis_threads)]
any_arena! {
    {} LocalArena<'_>;
    {} LockFreeArena;
    {} LockedArena;
}
