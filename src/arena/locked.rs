// SPDX-License-Identifier: Apache-2.0
//! The arena behind the platform's lock, for any number of threads.

use core::alloc::Layout;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};
use core::{slice, str};

use super::boxed::ArenaBox;
use super::builder::{constructors, ArenaBuilder, Hardened, Make, Stock};
use super::forms::{self, Allocate, Bytes, NoDrop, ALIGN};
use super::methods::allocation_forms;
use super::shared::{call, shared_methods};
use super::stats::ArenaStats;
use crate::error::{expect, AllocError};
use crate::sealed::Key;
use crate::{ffi, unwind};

/// An [`Arena`](super::Arena) behind the platform's lock, for any number of threads: `Send` and
/// `Sync`. It packs as densely as one, resizes in place, and has every form of allocation.
///
/// Each allocation takes the lock to find room, not to fill it: closures run outside of it. So do
/// block sources and budgets' pressure callbacks, which may use the arena themselves. Under
/// contention a [`LockFreeArena`](super::LockFreeArena) is faster.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::LockedArena;
///
/// let arena = LockedArena::new(4096);
/// std::thread::scope(|threads| {
///     threads.spawn(|| arena.alloc_str("one"));
///     threads.spawn(|| arena.alloc_static(vec![1, 2, 3]).push(4));
/// });
/// assert!(arena.used() > 0);
/// ```
#[repr(transparent)]
pub struct LockedArena {
    raw: ffi::aegis_locked_arena,
}

// SAFETY: what `&self` leads to in the core may be called from any thread, the rest takes
// `&mut self`; sources are `Send + Sync`, and budgets any thread's. Values in the arena are reached
// only through the references it has handed out, which cross threads if their types do.
unsafe impl Send for LockedArena {}
// SAFETY: as above.
unsafe impl Sync for LockedArena {}

constructors!(LockedArena);
allocation_forms!({} LockedArena, '_);
shared_methods! {
    LockedArena, aegis_locked_arena {
        alloc: aegis_locked_arena_alloc,
        alloc_aligned: aegis_locked_arena_alloc_aligned,
        alloc_regrown: aegis_i_locked_alloc_regrown,
        alloc_zeroed: aegis_locked_arena_alloc_zeroed,
        alloc_aligned_zeroed: aegis_locked_arena_alloc_aligned_zeroed,
        resize_in_place: aegis_locked_arena_resize_in_place,
        free_last: aegis_locked_arena_free_last,
        defer: aegis_locked_arena_defer,
        reset: aegis_locked_arena_reset,
        trim: aegis_locked_arena_trim,
        clear: aegis_locked_arena_clear,
        fini: aegis_locked_arena_fini,
    }
}

impl LockedArena {
    /// Bytes handed out since the last reset, alignment padding included.
    pub fn used(&self) -> usize {
        self.stats().used_bytes
    }

    /// The arena's figures, all of one moment.
    pub fn stats(&self) -> ArenaStats {
        let mut raw = MaybeUninit::<ffi::aegis_arena_stats>::uninit();
        // SAFETY: any thread may ask; the call writes the whole struct.
        let raw = unsafe {
            ffi::aegis_locked_arena_get_stats(&self.raw, raw.as_mut_ptr());
            raw.assume_init()
        };
        ArenaStats::from_raw(&raw)
    }
}

impl Hardened for LockedArena {}

impl Make for LockedArena {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_arena_options,
        _: Stock,
    ) -> Result<Self, AllocError> {
        let mut raw = ffi::aegis_locked_arena { shared: ptr::null_mut() };
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        // SAFETY: the caller vouches for the options.
        let status = unsafe { ffi::aegis_locked_arena_init(&mut raw, options, error.as_mut_ptr()) };
        if status == ffi::AEGIS_OK as ffi::aegis_status {
            return Ok(Self { raw });
        }
        // SAFETY: the record is written on failure, and the builder holds the budget.
        Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
    }
}
