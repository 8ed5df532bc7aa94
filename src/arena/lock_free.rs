// SPDX-License-Identifier: Apache-2.0
//! [`LockFreeArena`]: any number of threads allocate from it at the same time, without a lock.
//! `aegis_memory/lock_free_arena.h` describes the algorithm, and what may block.

use core::alloc::Layout;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};
use core::{slice, str};

use super::boxed::ArenaBox;
use super::builder::{constructors, ArenaBuilder, Make, Stock};
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

/// A bump arena for any number of threads, without a lock: `Send` and `Sync`.
///
/// An allocation is one atomic addition. Whatever other threads do, and wherever they are stopped,
/// some thread that allocates makes progress. Only the block source may lock: the arena calls it
/// when a block is full, and several threads may call it at the same time. A thread that
/// allocates often takes a [`local`](Self::local) handle, which needs no atomic operation for each
/// allocation.
///
/// A reference to what is allocated borrows the arena and is not bound to a thread. It can go to
/// another thread if its type can, and it cannot outlive a [`reset`](Self::reset).
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::LockFreeArena;
///
/// let mut arena = LockFreeArena::new(1024 * 1024);
/// let total: usize = std::thread::scope(|threads| {
///     let workers: Vec<_> = (0..4)
///         .map(|number| {
///             let arena = &arena;
///             threads.spawn(move || arena.alloc_fmt(format_args!("written by {number}")))
///         })
///         .collect();
///     workers.into_iter().map(|worker| worker.join().expect("no panic").len()).sum()
/// });
/// assert_eq!(total, 4 * "written by 0".len());
/// arena.reset();
/// ```
#[repr(transparent)]
pub struct LockFreeArena {
    raw: ffi::aegis_lock_free_arena,
}

// SAFETY: any thread may call the functions of the core behind the methods with `&self`. The other
// methods take `&mut self`. Sources are `Send + Sync`, and any thread may use a budget. A value in
// the arena is reached only through the reference that was handed out, which goes to another thread
// only if its type can. The values that the arena drops, on any thread, are `Send`.
unsafe impl Send for LockFreeArena {}
// SAFETY: as above.
unsafe impl Sync for LockFreeArena {}

constructors!(LockFreeArena);
allocation_forms!({} LockFreeArena, '_);
shared_methods! {
    ///
    /// # Examples
    ///
    /// ```
    /// let mut arena = aegis_memory::arena::LockFreeArena::default();
    /// std::thread::scope(|threads| {
    ///     threads.spawn(|| arena.alloc_static(vec![String::from("dropped at reset")]));
    /// });
    /// arena.reset();
    /// ```
    LockFreeArena, aegis_lock_free_arena {
        alloc: aegis_lock_free_arena_alloc,
        alloc_aligned: aegis_lock_free_arena_alloc_aligned,
        alloc_regrown: aegis_i_lock_free_alloc_regrown,
        alloc_zeroed: aegis_lock_free_arena_alloc_zeroed,
        alloc_aligned_zeroed: aegis_lock_free_arena_alloc_aligned_zeroed,
        resize_in_place: aegis_lock_free_arena_resize_in_place,
        free_last: aegis_lock_free_arena_free_last,
        defer: aegis_lock_free_arena_defer,
        reset: aegis_lock_free_arena_reset,
        trim: aegis_lock_free_arena_trim,
        clear: aegis_lock_free_arena_clear,
        move_budget: aegis_lock_free_arena_move_budget,
        fini: aegis_lock_free_arena_fini,
    }
}

impl LockFreeArena {
    /// Bytes handed out since the last reset, including alignment padding and the shards of local
    /// handles.
    ///
    /// # Examples
    ///
    /// ```
    /// # let arena = aegis_memory::arena::LockFreeArena::default();
    /// arena.alloc(1000);
    /// assert!(arena.used() >= 1000);
    /// ```
    pub fn used(&self) -> usize {
        self.stats().used_bytes
    }

    /// The statistics of the arena. They are exact while no other thread allocates. The time that
    /// this takes grows with the number of blocks.
    ///
    /// # Examples
    ///
    /// ```
    /// # let arena = aegis_memory::arena::LockFreeArena::default();
    /// arena.alloc(1000);
    /// assert_eq!(arena.stats().block_count, 1);
    /// ```
    pub fn stats(&self) -> ArenaStats {
        let mut raw = MaybeUninit::<ffi::aegis_arena_stats>::uninit();
        // SAFETY: any thread may call this; the call writes the whole struct.
        let raw = unsafe {
            ffi::aegis_lock_free_arena_get_stats(&self.raw, raw.as_mut_ptr());
            raw.assume_init()
        };
        ArenaStats::from_raw(&raw)
    }
}

impl Make for LockFreeArena {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_arena_options,
        _: Stock,
    ) -> Result<Self, AllocError> {
        let options = ffi::aegis_lock_free_arena_options {
            capacity_bytes: options.capacity_bytes,
            max_block_bytes: options.max_block_bytes,
            source: options.source,
            budget: options.budget,
            name: options.name,
            wait_ns: options.wait_ns,
        };
        let mut raw = ffi::aegis_lock_free_arena { shared: ptr::null_mut() };
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        // SAFETY: the caller vouches for the options.
        let status =
            unsafe { ffi::aegis_lock_free_arena_init(&mut raw, &options, error.as_mut_ptr()) };
        if status == ffi::AEGIS_OK as ffi::aegis_status {
            return Ok(Self { raw });
        }
        // SAFETY: the core writes the record on failure, and the builder keeps the budget alive.
        Err(unsafe { AllocError::from_raw(error.assume_init_ref()) })
    }
}
