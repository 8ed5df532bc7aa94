// SPDX-License-Identifier: Apache-2.0
//! What an arena allocates by: the fast path that every form of allocation shares, and values that
//! it drops at its reset.
//!
//! The fast path is that of `aegis_arena_alloc` in C, written again over the same two fields so
//! that it inlines; `tests/fast_path.rs` holds the two equal. It calls C only to change blocks.

use core::alloc::Layout;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::{slice, str};

use super::boxed::ArenaBox;
use super::forms::{self, Allocate, Bytes, NoDrop, ALIGN};
use super::methods::allocation_forms;
use super::one_owner::{error_of, Arena};
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

/// No block reaches into the last bytes of the address space, so adding this cannot wrap.
const HEADROOM: usize = ffi::AEGIS_ARENA_HEADROOM as usize;

const fn round_up(size: usize) -> usize {
    (size + (ALIGN - 1)) & !(ALIGN - 1)
}

allocation_forms!({} Arena, '_);

impl Arena {
    /// The cold half: another block. A panic of the block source goes on even if a second, smaller
    /// request to it succeeded: the bytes are the arena's.
    #[cold]
    #[inline(never)]
    fn alloc_slow(&self, size: usize, align: usize, zeroed: bool) -> Bytes {
        let p = unwind::call(|| {
            // SAFETY: the arena is ours; the core checks size and alignment.
            unsafe { ffi::aegis_arena_alloc_slow(self.as_raw(), size, align, zeroed) }
        });
        NonNull::new(p.cast()).ok_or_else(|| self.refusal())
    }

    /// As [`alloc_slow`](Self::alloc_slow), for what takes the place of a smaller allocation.
    #[cold]
    fn alloc_regrown(&self, size: usize, align: usize) -> Bytes {
        let p = unwind::call(|| {
            // SAFETY: the arena is ours; the core checks size and alignment.
            unsafe { ffi::aegis_i_arena_alloc_regrown(self.as_raw(), size, align) }
        });
        NonNull::new(p.cast()).ok_or_else(|| self.refusal())
    }

    /// Why the core has just returned NULL.
    #[cold]
    fn refusal(&self) -> AllocError {
        // SAFETY: the arena is not mutated while the reference lasts.
        error_of(unsafe { &*self.as_raw() })
    }

    /// Where the next allocation goes, and where the block ends.
    #[inline(always)]
    fn window(&self) -> (*mut u8, *mut u8) {
        // SAFETY: the struct is initialised and, `Arena` not being `Sync`, ours.
        unsafe { ((*self.as_raw()).ptr, (*self.as_raw()).limit) }
    }

    /// The fast path, for an alignment up to `ALIGN`: moves the window's start behind the bytes and
    /// says where they begin; `None` when the block has no room. The size is a layout's. What is
    /// known of it when compiled is folded.
    ///
    /// On 64-bit targets no block lies in the upper half of the address space, and a layout's size
    /// is at most `isize::MAX`, so the end of the allocation is summed up and compared: the sum
    /// cannot wrap. Elsewhere that holds of small sizes; others are compared with the room before
    /// they are rounded.
    #[inline(always)]
    fn bump(&self, size: usize) -> Option<NonNull<u8>> {
        let (p, limit) = self.window();
        let fits = if usize::BITS >= 64 || size <= HEADROOM {
            p as usize + round_up(size) <= limit as usize
        } else {
            limit as usize - p as usize >= size
        };
        fits.then(|| self.hand_out(p as usize, p as usize + round_up(size)))
    }

    /// The fast path for an alignment above `ALIGN`; size and alignment are a layout's, so together
    /// at most `isize::MAX`.
    #[inline(always)]
    fn bump_aligned(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let (p, limit) = self.window();
        let start = (p as usize).wrapping_add(align - 1) & !(align - 1);
        // A `start` that has wrapped or is too far makes the room negative.
        let fits = (limit as usize).wrapping_sub(start) as isize >= size as isize;
        fits.then(|| self.hand_out(start, start + round_up(size)))
    }

    /// Gives out the bytes at `start`, an address in the window with room up to `end`. The limit is
    /// a multiple of `ALIGN`, so a rounded size fits where the size does.
    #[inline(always)]
    fn hand_out(&self, start: usize, end: usize) -> NonNull<u8> {
        let (p, _) = self.window();
        // SAFETY: the struct is ours; the end is derived from a pointer into the block.
        unsafe { (*self.as_raw()).ptr = p.wrapping_add(end - p as usize) };
        // SAFETY: not null: a pointer into a block.
        unsafe { NonNull::new_unchecked(p.wrapping_add(start - p as usize)) }
    }

    /// Bytes of a layout. Each alignment has its own slow path: shared, it costs the fast one.
    #[inline(always)]
    fn bump_layout(&self, layout: Layout) -> Bytes {
        let (size, align) = (layout.size(), layout.align());
        if align > ALIGN {
            return match self.bump_aligned(size, align) {
                Some(p) => Ok(p),
                None => self.alloc_slow(size, align, false),
            };
        }
        match self.bump(size) {
            Some(p) => Ok(p),
            None => self.alloc_slow(size, ALIGN, false),
        }
    }

    /// Zeroed bytes.
    #[inline(always)]
    fn bump_zeroed(&self, size: usize, align: usize) -> Bytes {
        let bumped = match Layout::from_size_align(size, align) {
            Ok(_) if align > ALIGN => self.bump_aligned(size, align),
            Ok(_) => self.bump(size),
            // The slow path says why.
            Err(_) => None,
        };
        let Some(p) = bumped else {
            return self.alloc_slow(size, align, true);
        };
        // SAFETY: the struct is ours. Bytes at or above `dirty_end` are zero already.
        let dirty_end = unsafe { (*self.as_raw()).dirty_end };
        if p.as_ptr() < dirty_end {
            let dirty = dirty_end as usize - p.as_ptr() as usize;
            let size = if size <= dirty { size } else { dirty };
            // SAFETY: the bytes are ours. A size known when compiled stays so.
            unsafe { p.as_ptr().write_bytes(0, size) };
        }
        Ok(p)
    }

    /// Moves a value into the arena, which drops it at its reset, clear or drop, or at the end of
    /// the scope it came from. Newest values are dropped first.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_static`](Self::try_alloc_static) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut arena = aegis_memory::arena::Arena::default();
    /// let names = arena.alloc_static(vec![String::from("dropped at reset")]);
    /// names.push(String::from("so is this"));
    /// arena.reset();
    /// ```
    #[track_caller]
    pub fn alloc_static<T: Send + 'static>(&self, value: T) -> &mut T {
        expect(self.try_alloc_static(value))
    }

    /// Moves a value into the arena, which drops it at its reset, clear or drop, or at the end of
    /// the scope it came from.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc); the value is dropped then.
    pub fn try_alloc_static<T: Send + 'static>(&self, value: T) -> Result<&mut T, AllocError> {
        let place = forms::place_static(self, value, |function, context, error| {
            // SAFETY: the arena is ours, and the record is only written. Nothing runs the function
            // before the value is there.
            unsafe {
                let status = ffi::aegis_arena_defer(self.as_raw(), function, context);
                if status != ffi::AEGIS_OK as ffi::aegis_status {
                    ffi::aegis_arena_last_error(self.as_raw(), error);
                }
                status
            }
        });
        // SAFETY: freshly placed, and ours for as long as `self` is borrowed.
        place.map(|mut p| unsafe { p.as_mut() })
    }
}

// SAFETY: the arena hands out each byte once, and keeps it until it is reset or rewound.
unsafe impl Allocate for Arena {
    #[inline(always)]
    fn take(&self, layout: Layout) -> Bytes {
        self.bump_layout(layout)
    }

    fn take_regrown(&self, layout: Layout) -> Bytes {
        self.alloc_regrown(layout.size(), layout.align())
    }

    #[inline(always)]
    fn take_zeroed(&self, size: usize, align: usize) -> Bytes {
        self.bump_zeroed(size, align)
    }

    unsafe fn resize_in_place(&self, p: NonNull<u8>, old: usize, new: usize) -> bool {
        // SAFETY: the caller vouches for the allocation.
        unsafe { ffi::aegis_arena_resize_in_place(self.as_raw(), p.as_ptr().cast(), old, new) }
    }

    unsafe fn give_back(&self, p: NonNull<u8>, size: usize) {
        // SAFETY: the caller vouches for the allocation.
        unsafe { ffi::aegis_arena_free_last(self.as_raw(), p.as_ptr().cast(), size) }
    }
}
