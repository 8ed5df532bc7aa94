// SPDX-License-Identifier: Apache-2.0
//! Allocating bytes and values, and the fast path that every allocation shares.
//!
//! The fast path is that of `aegis_arena_alloc` in C, written again over the same two fields so
//! that it inlines; `tests/fast_path.rs` holds the two equal. It calls C only to change blocks.

use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::{align_of, needs_drop, size_of, MaybeUninit};
use core::ptr::{self, NonNull};
use core::slice;

use super::{error_of, Arena, ArenaBox};
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

/// Every allocation starts at a multiple of this.
pub(super) const ALIGN: usize = ffi::AEGIS_ARENA_ALIGN as usize;
/// No block reaches into the last bytes of the address space, so adding this cannot wrap.
const HEADROOM: usize = ffi::AEGIS_ARENA_HEADROOM as usize;

type Bytes = Result<NonNull<u8>, AllocError>;

/// Refuses, when compiled, a type whose drop the arena would forget.
pub(super) struct NoDrop<T>(T);

impl<T> NoDrop<T> {
    pub(super) const CHECK: () = assert!(
        !needs_drop::<T>(),
        "the arena never drops this type: use alloc_boxed or alloc_static"
    );
}

const fn round_up(size: usize) -> usize {
    (size + (ALIGN - 1)) & !(ALIGN - 1)
}

impl Arena {
    /// The cold half: another block. Lets a panic of the block source go on.
    #[cold]
    #[inline(never)]
    fn alloc_slow(&self, size: usize, align: usize, zeroed: bool) -> Bytes {
        // SAFETY: the arena is ours; the core checks size and alignment.
        self.settle(unsafe { ffi::aegis_arena_alloc_slow(self.as_raw(), size, align, zeroed) })
    }

    /// Takes what the core has returned. A panic of the block source goes on even if a second,
    /// smaller request to it succeeded.
    #[inline]
    pub(super) fn settle<T>(&self, p: *mut c_void) -> Result<NonNull<T>, AllocError> {
        unwind::resume();
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
        fits.then(|| self.take(p as usize, p as usize + round_up(size)))
    }

    /// The fast path for an alignment above `ALIGN`; size and alignment are a layout's, so together
    /// at most `isize::MAX`.
    #[inline(always)]
    fn bump_aligned(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let (p, limit) = self.window();
        let start = (p as usize).wrapping_add(align - 1) & !(align - 1);
        // A `start` that has wrapped or is too far makes the room negative.
        let fits = (limit as usize).wrapping_sub(start) as isize >= size as isize;
        fits.then(|| self.take(start, start + round_up(size)))
    }

    /// Gives out the bytes at `start`, an address in the window with room up to `end`. The limit is
    /// a multiple of `ALIGN`, so a rounded size fits where the size does.
    #[inline(always)]
    fn take(&self, start: usize, end: usize) -> NonNull<u8> {
        let (p, _) = self.window();
        // SAFETY: the struct is ours; the end is derived from a pointer into the block.
        unsafe { (*self.as_raw()).ptr = p.wrapping_add(end - p as usize) };
        // SAFETY: not null: a pointer into a block.
        unsafe { NonNull::new_unchecked(p.wrapping_add(start - p as usize)) }
    }

    /// Bytes of a layout. Each alignment has its own slow path: shared, it costs the fast one.
    #[inline(always)]
    pub(super) fn bump_layout(&self, layout: Layout) -> Bytes {
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

    /// Room for `len` of `T`.
    #[inline(always)]
    pub(super) fn bump_array<T>(&self, len: usize) -> Result<NonNull<T>, AllocError> {
        match Layout::array::<T>(len) {
            Ok(layout) => Ok(self.bump_layout(layout)?.cast()),
            Err(_) => {
                let size = len.saturating_mul(size_of::<T>());
                Err(AllocError::invalid(size, align_of::<T>().max(ALIGN)))
            }
        }
    }

    /// Zeroed bytes.
    #[inline(always)]
    fn bump_zeroed(&self, size: usize, align: usize) -> Result<&mut [u8], AllocError> {
        let bumped = match Layout::from_size_align(size, align) {
            Ok(_) if align > ALIGN => self.bump_aligned(size, align),
            Ok(_) => self.bump(size),
            // The slow path says why.
            Err(_) => None,
        };
        let p = match bumped {
            None => self.alloc_slow(size, align, true)?.as_ptr(),
            Some(p) => {
                let p = p.as_ptr();
                // SAFETY: the struct is ours. Bytes at or above `dirty_end` are zero already.
                let dirty_end = unsafe { (*self.as_raw()).dirty_end };
                if p < dirty_end {
                    let dirty = dirty_end as usize - p as usize;
                    // SAFETY: the bytes are ours. A size known when compiled stays so.
                    unsafe { ptr::write_bytes(p, 0, if size <= dirty { size } else { dirty }) };
                }
                p
            }
        };
        // SAFETY: `size` bytes at `p` are ours for as long as `self` is borrowed, and zero.
        Ok(unsafe { slice::from_raw_parts_mut(p, size) })
    }

    /// Allocates `size` zeroed bytes. On memory fresh from the source nothing is cleared.
    ///
    /// # Panics
    ///
    /// When [`try_alloc`](Self::try_alloc) fails.
    #[inline]
    #[track_caller]
    pub fn alloc(&self, size: usize) -> &mut [u8] {
        expect(self.try_alloc(size))
    }

    /// Allocates `size` zeroed bytes.
    ///
    /// # Errors
    ///
    /// [`AllocError`]: no block can be had, or the size is above `isize::MAX`. The `try_` forms
    /// below fail for the same reasons.
    #[inline]
    pub fn try_alloc(&self, size: usize) -> Result<&mut [u8], AllocError> {
        self.bump_zeroed(size, ALIGN)
    }

    /// Allocates `size` bytes without initialising them.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_uninit`](Self::try_alloc_uninit) fails.
    #[inline]
    #[track_caller]
    pub fn alloc_uninit(&self, size: usize) -> &mut [MaybeUninit<u8>] {
        expect(self.try_alloc_uninit(size))
    }

    /// Allocates `size` bytes without initialising them.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc).
    #[inline]
    pub fn try_alloc_uninit(&self, size: usize) -> Result<&mut [MaybeUninit<u8>], AllocError> {
        self.try_alloc_slice_uninit(size)
    }

    /// Allocates `size` zeroed bytes at a multiple of `align`, a power of two.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_aligned`](Self::try_alloc_aligned) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::Arena::new(64 * 1024);
    /// let page = arena.alloc_aligned(4096, 4096);
    /// assert_eq!(page.as_ptr() as usize % 4096, 0);
    /// ```
    #[inline]
    #[track_caller]
    pub fn alloc_aligned(&self, size: usize, align: usize) -> &mut [u8] {
        expect(self.try_alloc_aligned(size, align))
    }

    /// Allocates `size` zeroed bytes at a multiple of `align`, a power of two.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc), and [`AllocError::InvalidLayout`] when `align` is not a
    /// power of two.
    #[inline]
    pub fn try_alloc_aligned(&self, size: usize, align: usize) -> Result<&mut [u8], AllocError> {
        self.bump_zeroed(size, align)
    }

    /// Allocates memory of a layout, uninitialised. It is good until the arena is reset, cleared or
    /// dropped, or the scope it came from ends.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_layout`](Self::try_alloc_layout) fails.
    #[inline]
    #[track_caller]
    pub fn alloc_layout(&self, layout: Layout) -> NonNull<u8> {
        expect(self.try_alloc_layout(layout))
    }

    /// Allocates memory of a layout, uninitialised.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc).
    #[inline]
    pub fn try_alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.bump_layout(layout)
    }

    /// Moves a value into the arena. It is never dropped, so a type with drop glue is refused:
    ///
    /// ```compile_fail
    /// let arena = aegis_memory::arena::Arena::new(1024);
    /// arena.alloc_value(String::from("leaked"));
    /// ```
    ///
    /// # Panics
    ///
    /// When [`try_alloc_value`](Self::try_alloc_value) fails.
    #[inline]
    #[track_caller]
    pub fn alloc_value<T>(&self, value: T) -> &mut T {
        expect(self.try_alloc_value(value))
    }

    /// Moves a value without drop glue into the arena.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc).
    #[inline]
    pub fn try_alloc_value<T>(&self, value: T) -> Result<&mut T, AllocError> {
        self.try_alloc_with(|| value)
    }

    /// Moves the result of `f` into the arena, built in place where the compiler can. `f` may
    /// allocate from the arena.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_with`](Self::try_alloc_with) fails.
    #[inline]
    #[track_caller]
    pub fn alloc_with<T>(&self, f: impl FnOnce() -> T) -> &mut T {
        expect(self.try_alloc_with(f))
    }

    /// Moves the result of `f`, a type without drop glue, into the arena.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc); `f` is not called then.
    #[inline]
    pub fn try_alloc_with<T>(&self, f: impl FnOnce() -> T) -> Result<&mut T, AllocError> {
        let () = NoDrop::<T>::CHECK;
        // SAFETY: freshly placed, and ours for as long as `self` is borrowed.
        self.place(f).map(|mut p| unsafe { p.as_mut() })
    }

    /// Moves the result of `f` into the arena, whatever its type.
    #[inline(always)]
    fn place<T>(&self, f: impl FnOnce() -> T) -> Result<NonNull<T>, AllocError> {
        let p = self.bump_layout(Layout::new::<T>())?.cast::<T>();
        // SAFETY: the room is ours, aligned, and big enough; nobody else knows of it.
        unsafe { p.as_ptr().write(f()) };
        Ok(p)
    }

    /// Moves a value into the arena; the returned handle drops it.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_boxed`](Self::try_alloc_boxed) fails.
    #[inline]
    #[track_caller]
    pub fn alloc_boxed<T>(&self, value: T) -> ArenaBox<'_, T> {
        expect(self.try_alloc_boxed(value))
    }

    /// Moves a value into the arena; the returned handle drops it.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc); the value is dropped then.
    #[inline]
    pub fn try_alloc_boxed<T>(&self, value: T) -> Result<ArenaBox<'_, T>, AllocError> {
        // SAFETY: freshly placed, in memory that is ours for as long as `self` is borrowed.
        self.place(|| value).map(|p| unsafe { ArenaBox::from_raw(p) })
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
        unsafe extern "C" fn finalize<T>(value: *mut c_void) {
            // SAFETY: the core runs each finalizer once, with the value it was registered for.
            unwind::contain((), || unsafe { ptr::drop_in_place(value.cast::<T>()) });
        }
        let mut p = self.bump_layout(Layout::new::<T>())?.cast::<T>();
        if needs_drop::<T>() {
            // SAFETY: the arena is ours. The value is written before anything can run the
            // finalizer.
            let status = unsafe {
                ffi::aegis_arena_defer(self.as_raw(), Some(finalize::<T>), p.as_ptr().cast())
            };
            if status != ffi::AEGIS_OK as ffi::aegis_status {
                // SAFETY: the room is ours, and not used after this.
                unsafe {
                    ffi::aegis_arena_free_last(self.as_raw(), p.as_ptr().cast(), size_of::<T>());
                }
                unwind::resume();
                return Err(self.refusal());
            }
        }
        // SAFETY: the room is ours, aligned, and big enough; nobody else knows of it.
        unsafe { p.as_ptr().write(value) };
        unwind::resume();
        // SAFETY: just written, and ours for as long as `self` is borrowed.
        Ok(unsafe { p.as_mut() })
    }
}
