// SPDX-License-Identifier: Apache-2.0
//! A view of an arena that raises the alignment of what is allocated through it.
//!
//! The least alignment is a constant of the view's type and not a field of the arena. So the arena's
//! own fast path does not look for it, and the compiler chooses the path of the view when it is
//! compiled.

use core::alloc::Layout;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::{slice, str};

use super::boxed::ArenaBox;
use super::emplace;
use super::forms::{self, Allocate, Bytes, NoDrop, ALIGN};
use super::gather;
#[cfg(aegis_threads)]
use super::local::LocalArena;
#[cfg(aegis_threads)]
use super::lock_free::LockFreeArena;
#[cfg(aegis_threads)]
use super::locked::LockedArena;
use super::methods::allocation_forms;
use super::one_owner::Arena;
use crate::error::{expect, expect_alloc, AllocError, AllocOrInitError};

/// A view of an arena through which each allocation starts at a multiple of `N`, or of its own
/// alignment if that is larger. `with_min_align` of an arena makes it. It is as small as a reference
/// to the arena and has the same methods that allocate.
///
/// The size of an allocation is not raised. So what the arena allocates next, other than through
/// such a view, may lie in the same `N` bytes.
///
/// `&AlignedArena` is an allocator, as a reference to an arena is. So a vector in it is aligned
/// too, however it grows.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
///
/// let arena = Arena::default();
/// let lines = arena.with_min_align::<64>(); // cache lines, or the vectors of AVX-512
/// for len in 1..10 {
///     let samples = lines.alloc_slice_fill(len, 0.0_f32);
///     assert_eq!(samples.as_ptr() as usize % 64, 0);
/// }
/// ```
///
/// `N` is a power of two. The following is refused by `cargo build`, and not by `cargo check`:
///
/// ```compile_fail
/// aegis_memory::arena::Arena::default().with_min_align::<24>();
/// ```
pub struct AlignedArena<'a, const N: usize, A = Arena> {
    arena: &'a A,
}

/// Refuses, when code is made, an alignment that no memory can have.
struct PowerOfTwo<const N: usize>;

impl<const N: usize> PowerOfTwo<N> {
    const CHECK: () = assert!(N.is_power_of_two(), "the least alignment is not a power of two");
}

/// Writes the method that makes the view.
macro_rules! with_min_align {
    ($arena:ty) => {
        impl $arena {
            /// A view of the arena through which each allocation is aligned to at least `N` bytes, a
            /// power of two. An arena itself aligns to at least 8 bytes.
            ///
            /// # Examples
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::default();
            /// let byte = arena.with_min_align::<16>().alloc_value(7_u8);
            /// assert_eq!(byte as *const u8 as usize % 16, 0);
            /// ```
            #[inline]
            pub fn with_min_align<const N: usize>(&self) -> AlignedArena<'_, N, Self> {
                let () = PowerOfTwo::<N>::CHECK;
                AlignedArena { arena: self }
            }
        }
    };
}

with_min_align!(Arena);
#[cfg(aegis_threads)]
with_min_align!(LockFreeArena);
#[cfg(aegis_threads)]
with_min_align!(LockedArena);
#[cfg(aegis_threads)]
with_min_align!(LocalArena<'_>);

allocation_forms!({<'a, const N: usize, A: Allocate>} AlignedArena<'a, N, A>, 'a);

impl<'a, const N: usize, A> AlignedArena<'a, N, A> {
    /// The arena that the view allocates from.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::Arena::default();
    /// let view = arena.with_min_align::<64>();
    /// view.arena().scope(|scratch| scratch.with_min_align::<64>().alloc(100).fill(1));
    /// ```
    #[inline]
    pub fn arena(&self) -> &'a A {
        self.arena
    }
}

/// A layout with an alignment of at least `N`. A size that is then too large for a layout has to be
/// refused, which the arena does.
#[inline(always)]
fn raised<const N: usize>(layout: Layout) -> Result<Layout, AllocError> {
    layout.align_to(N).map_err(|_| AllocError::invalid(layout.size(), N.max(layout.align())))
}

// SAFETY: the arena hands out each byte once, at least as aligned as it is asked for. The bytes stay
// valid until the arena is reset.
unsafe impl<const N: usize, A: Allocate> Allocate for AlignedArena<'_, N, A> {
    const LEAST_ALIGN: usize = N;

    #[inline(always)]
    fn take(&self, layout: Layout) -> Bytes {
        self.arena.take(raised::<N>(layout)?)
    }

    #[inline(always)]
    unsafe fn grow_by_bump(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the caller vouches for the allocation.
        unsafe { self.arena.grow_by_bump(p, old, raised::<N>(new).ok()?) }
    }

    fn take_regrown(&self, layout: Layout) -> Bytes {
        self.arena.take_regrown(raised::<N>(layout)?)
    }

    #[inline(always)]
    fn take_zeroed(&self, size: usize, align: usize) -> Bytes {
        // The arena refuses an `align` that is not a power of two.
        let raised = if align.is_power_of_two() && align < N { N } else { align };
        self.arena.take_zeroed(size, raised)
    }

    #[inline(always)]
    fn quick(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.arena.quick(raised::<N>(layout).ok()?)
    }

    unsafe fn resize_in_place(&self, p: NonNull<u8>, old: usize, new: usize) -> bool {
        // SAFETY: the caller vouches for the allocation.
        unsafe { self.arena.resize_in_place(p, old, new) }
    }

    unsafe fn give_back(&self, p: NonNull<u8>, size: usize) {
        // SAFETY: the caller vouches for the allocation.
        unsafe { self.arena.give_back(p, size) }
    }
}

impl<const N: usize, A> Clone for AlignedArena<'_, N, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<const N: usize, A> Copy for AlignedArena<'_, N, A> {}

impl<const N: usize, A: fmt::Debug> fmt::Debug for AlignedArena<'_, N, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedArena").field("min_align", &N).field("arena", self.arena).finish()
    }
}
