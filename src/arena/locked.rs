// SPDX-License-Identifier: Apache-2.0
//! [`LockedArena`]: an arena behind a mutex, for any number of threads.

use core::alloc::Layout;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};
use core::{slice, str};

use super::boxed::ArenaBox;
use super::builder::{constructors, ArenaBuilder, Hardened, Make, Stock};
use super::emplace;
use super::forms::{self, Allocate, Bytes, NoDrop, ALIGN};
use super::gather;
use super::methods::allocation_forms;
use super::shared::{call, shared_methods};
use super::stats::ArenaStats;
use crate::budget::move_methods;
use crate::error::{expect, expect_alloc, AllocError, AllocOrInitError};
use crate::sealed::Key;
use crate::{ffi, unwind};

/// An [`Arena`](super::Arena) behind a mutex, for any number of threads: it is `Send`
/// and `Sync`. It packs as densely as an `Arena`, resizes in place, and has all methods that
/// allocate.
///
/// An allocation holds the lock while it finds room, and not while it fills the room: closures run
/// without the lock. Block sources and the pressure callbacks of budgets run without the lock too,
/// so they may use the arena themselves. When threads compete for the lock, a
/// [`LockFreeArena`](super::LockFreeArena) is faster.
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

// SAFETY: any thread may call the functions of the core behind the methods with `&self`. The other
// methods take `&mut self`. Sources are `Send + Sync`, and any thread may use a budget. A value in
// the arena is reached only through the reference that was handed out, which goes to another thread
// only if its type can. The values that the arena drops, on any thread, are `Send`.
unsafe impl Send for LockedArena {}
// SAFETY: as above.
unsafe impl Sync for LockedArena {}

constructors!(LockedArena);
allocation_forms!({} LockedArena, '_);
shared_methods! {
    ///
    /// # Examples
    ///
    /// ```
    /// let mut arena = aegis_memory::arena::LockedArena::default();
    /// arena.alloc_static(vec!["dropped at reset"]).push("so is this");
    /// arena.reset();
    /// ```
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
        move_budget: aegis_locked_arena_move_budget,
        fini: aegis_locked_arena_fini,
    }
}

impl LockedArena {
    /// Bytes handed out since the last reset, alignment padding included.
    ///
    /// # Examples
    ///
    /// ```
    /// # let arena = aegis_memory::arena::LockedArena::default();
    /// arena.alloc(1000);
    /// assert_eq!(arena.used(), 1000);
    /// ```
    pub fn used(&self) -> usize {
        self.stats().used_bytes
    }

    /// The statistics of the arena, all read at the same moment.
    ///
    /// # Examples
    ///
    /// ```
    /// # let arena = aegis_memory::arena::LockedArena::default();
    /// arena.alloc(1000);
    /// assert_eq!(arena.stats().block_count, 1);
    ///
    /// ```
    pub fn stats(&self) -> ArenaStats {
        let mut raw = MaybeUninit::<ffi::aegis_arena_stats>::uninit();
        // SAFETY: any thread may call this; the call writes the whole struct.
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
        // SAFETY: the core writes the record on failure, and the builder keeps the budget alive.
        Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
    }
}
