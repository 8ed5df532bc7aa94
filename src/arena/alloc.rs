// SPDX-License-Identifier: Apache-2.0
//! How an [`Arena`] allocates: the fast path that all its methods share, and the values that it
//! drops at its reset.
//!
//! The fast path is the one of `aegis_arena_alloc` in C. It is written again in Rust, over the same
//! two fields, so that it can be inlined. `tests/arena/fast_path.rs` checks that the two do the same. The
//! fast path calls C only to go to another block.

use core::alloc::Layout;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::{slice, str};

use super::boxed::ArenaBox;
use super::emplace;
use super::forms::{self, Allocate, Bytes, NoDrop, ALIGN};
use super::gather;
use super::methods::allocation_forms;
use super::one_owner::{error_of, Arena};
use crate::error::{expect, expect_alloc, AllocError, AllocOrInitError};
use crate::{ffi, unwind};

/// No block reaches into the last `HEADROOM` bytes of the address space, so the sum of this and an
/// address in a block cannot wrap.
const HEADROOM: usize = ffi::AEGIS_ARENA_HEADROOM as usize;

const fn round_up(size: usize) -> usize {
    (size + (ALIGN - 1)) & !(ALIGN - 1)
}

allocation_forms!({} Arena, '_);

impl Arena {
    /// The slow path, which goes to another block. A panic of the block source continues from here
    /// even if a second, smaller request to the source has succeeded. The arena keeps the bytes.
    #[cold]
    #[inline(never)]
    fn alloc_slow(&self, size: usize, align: usize, zeroed: bool) -> Bytes {
        let p = unwind::call(|| {
            // SAFETY: this thread owns the arena; the core checks size and alignment.
            unsafe { ffi::aegis_arena_alloc_slow(self.as_raw(), size, align, zeroed) }
        });
        NonNull::new(p.cast()).ok_or_else(|| self.refusal())
    }

    /// As [`alloc_slow`](Self::alloc_slow), for a caller that does not ask why. It has less code
    /// without an error.
    #[cold]
    #[inline(never)]
    fn alloc_slow_quietly(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        self.alloc_slow(size, align, false).ok()
    }

    /// As [`alloc_slow`](Self::alloc_slow), for memory that replaces a smaller allocation.
    #[cold]
    fn alloc_regrown(&self, size: usize, align: usize) -> Bytes {
        let p = unwind::call(|| {
            // SAFETY: this thread owns the arena; the core checks size and alignment.
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

    /// The window of the current block: where the next allocation goes, and where the block ends.
    #[inline(always)]
    fn window(&self) -> (*mut u8, *mut u8) {
        // SAFETY: the struct is initialised, and this thread owns it because `Arena` is not `Sync`.
        unsafe { ((*self.as_raw()).ptr, (*self.as_raw()).limit) }
    }

    /// The fast path for an alignment up to `ALIGN`. It moves the start of the window behind the
    /// bytes and returns where they begin, or `None` when the block has no room. The size is the
    /// size of a layout. The compiler evaluates what depends only on a constant size.
    ///
    /// On 64-bit targets no block lies in the upper half of the address space, and the size of a
    /// layout is at most `isize::MAX`. So the sum of address and size, which is the end of the
    /// allocation, cannot wrap and is compared with the limit. On other targets the sum cannot wrap
    /// if the size is at most `HEADROOM`. A larger size is compared with the room before it is
    /// rounded up.
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

    /// The fast path for an alignment above `ALIGN`. Size and alignment are those of a layout, so
    /// together they are at most `isize::MAX`.
    #[inline(always)]
    fn bump_aligned(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let (p, limit) = self.window();
        let start = (p as usize).wrapping_add(align - 1) & !(align - 1);
        // If `start` has wrapped or lies behind the limit, the room is negative.
        let fits = (limit as usize).wrapping_sub(start) as isize >= size as isize;
        fits.then(|| self.hand_out(start, start + round_up(size)))
    }

    /// Hands out the bytes at `start`, an address in the window with room up to `end`, and moves
    /// the start of the window to `end`. The limit is a multiple of `ALIGN`, so a rounded size fits
    /// if the size fits.
    #[inline(always)]
    fn hand_out(&self, start: usize, end: usize) -> NonNull<u8> {
        let (p, _) = self.window();
        // SAFETY: this thread owns the struct, and the end is derived from a pointer into the
        // block.
        unsafe { (*self.as_raw()).ptr = p.wrapping_add(end - p as usize) };
        // SAFETY: a pointer into a block is not null.
        unsafe { NonNull::new_unchecked(p.wrapping_add(start - p as usize)) }
    }

    /// Whether an allocation ends where the next one begins. In an arena with guards none does.
    #[inline(always)]
    fn is_latest(&self, p: NonNull<u8>, size: usize) -> bool {
        p.as_ptr() as usize + round_up(size) == self.window().0 as usize
    }

    /// Whether the core does nothing when it is given bytes that are not of the latest allocation:
    /// it wipes nothing, no checker watches, and no allocation has a block to itself. In a watched
    /// arena the window is empty.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        // SAFETY: the struct is initialised, and this thread owns it.
        let (flags, last, block) =
            unsafe { ((*self.as_raw()).flags, (*self.as_raw()).last, (*self.as_raw()).block) };
        let (start, limit) = self.window();
        flags & ffi::AEGIS_ARENA_WIPE == 0 && last == block && start != limit
    }

    /// Uninitialised bytes of a layout. Each of the two alignments has its own call of the slow
    /// path, because a shared call would make the fast path slower.
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
            // The slow path reports the reason.
            Err(_) => None,
        };
        let Some(p) = bumped else {
            return self.alloc_slow(size, align, true);
        };
        // SAFETY: this thread owns the struct. Bytes at or above `dirty_end` are zero already.
        let dirty_end = unsafe { (*self.as_raw()).dirty_end };
        if p.as_ptr() < dirty_end {
            let dirty = dirty_end as usize - p.as_ptr() as usize;
            let size = if size <= dirty { size } else { dirty };
            // SAFETY: the bytes were handed out above. A constant size stays a constant.
            unsafe { p.as_ptr().write_bytes(0, size) };
        }
        Ok(p)
    }

    /// Moves a value into the arena. The arena drops the value at its reset, clear or drop, or at
    /// the end of the scope that the value was allocated in. The newest values are dropped first.
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

    /// Moves a value into the arena. The arena drops the value at its reset, clear or drop, or at
    /// the end of the scope that the value was allocated in.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc). The value is dropped then.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::Arena::default();
    /// arena.try_alloc_static(vec!["dropped with the arena"])?.push("so is this");
    ///
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_alloc_static<T: Send + 'static>(&self, value: T) -> Result<&mut T, AllocError> {
        let place = forms::place_static(self, value, |function, context, error| {
            // SAFETY: this thread owns the arena, and the call only writes the record. The function
            // does not run before the value is in its place.
            unsafe {
                let status = ffi::aegis_arena_defer(self.as_raw(), function, context);
                if status != ffi::AEGIS_OK as ffi::aegis_status {
                    ffi::aegis_arena_last_error(self.as_raw(), error);
                }
                status
            }
        });
        // SAFETY: the value was placed above, and its memory is valid while `self` is borrowed.
        place.map(|mut p| unsafe { p.as_mut() })
    }
}

// SAFETY: the arena hands out each byte once, and keeps it valid until it is reset or rewound.
unsafe impl Allocate for Arena {
    #[inline(always)]
    fn take(&self, layout: Layout) -> Bytes {
        self.bump_layout(layout)
    }

    #[inline]
    fn take_quietly(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.quick(layout).or_else(|| self.alloc_slow_quietly(layout.size(), layout.align()))
    }

    /// What is allocated next lies right behind the latest allocation, so this one grows by an
    /// allocation of the bytes that it lacks. Another one moves. In a watched arena the window is
    /// empty, so nothing fits that needs more room, and the slow path sees each call.
    #[inline]
    unsafe fn grow_by_bump(&self, p: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        let more = new.size().checked_sub(round_up(old.size())).filter(|&more| more != 0)?;
        if self.is_latest(p, old.size()) {
            let aligned = new.align() <= ALIGN || p.as_ptr() as usize & (new.align() - 1) == 0;
            return (aligned && self.bump(more).is_some()).then_some(p);
        }
        if new.align() > ALIGN || !self.is_plain() {
            return None;
        }
        // The core would take the new bytes from the same place, and do nothing with the old ones.
        let moved = self.bump(new.size())?;
        // SAFETY: two live allocations of at least this many bytes.
        unsafe { ptr::copy_nonoverlapping(p.as_ptr(), moved.as_ptr(), old.size()) };
        Some(moved)
    }

    fn take_regrown(&self, layout: Layout) -> Bytes {
        self.alloc_regrown(layout.size(), layout.align())
    }

    #[inline(always)]
    fn take_zeroed(&self, size: usize, align: usize) -> Bytes {
        self.bump_zeroed(size, align)
    }

    #[inline(always)]
    fn quick(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.align() > ALIGN {
            self.bump_aligned(layout.size(), layout.align())
        } else {
            self.bump(layout.size())
        }
    }

    unsafe fn resize_in_place(&self, p: NonNull<u8>, old: usize, new: usize) -> bool {
        // SAFETY: the caller vouches for the allocation.
        unsafe { ffi::aegis_arena_resize_in_place(self.as_raw(), p.as_ptr().cast(), old, new) }
    }

    #[inline]
    unsafe fn give_back(&self, p: NonNull<u8>, size: usize) {
        if !self.is_latest(p, size) && self.is_plain() {
            return;
        }
        // SAFETY: the caller vouches for the allocation.
        unsafe { ffi::aegis_arena_free_last(self.as_raw(), p.as_ptr().cast(), size) }
    }
}
