// SPDX-License-Identifier: Apache-2.0
//! A thread's own handle to a [`LockFreeArena`].

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::Deref;
use core::ptr::NonNull;
use core::{slice, str};

use super::boxed::ArenaBox;
use super::emplace;
use super::forms::{self, allocate_from_inner, Allocate, NoDrop, ALIGN};
use super::gather;
use super::lock_free::LockFreeArena;
use super::methods::allocation_forms;
use super::one_owner::Arena;
use crate::error::{expect, expect_alloc, AllocError, AllocOrInitError};
use crate::{ffi, unwind};

/// A thread's own handle to a [`LockFreeArena`], from [`LockFreeArena::local`]. It takes shards of
/// up to 512 KiB from the shared arena. It allocates from its shard as fast as an [`Arena`], with
/// the same inlined code.
///
/// What the handle's own methods allocate borrows the shared arena, so it may outlive the handle.
/// The handle also derefs to [`Arena`], for scopes, `alloc_static` and collections that live in an
/// `&Arena`. What is allocated in this way borrows the handle. The handle is `Send` but not `Sync`:
/// each thread has its own.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::LockFreeArena;
///
/// let arena = LockFreeArena::default();
/// let local = arena.local();
/// let name = local.alloc_str("outlives the handle");
/// local.scope(|scratch| scratch.alloc(100_000).fill(1));
/// drop(local);
/// assert_eq!(name, "outlives the handle");
/// ```
pub struct LocalArena<'a> {
    // It is never lent as `&mut Arena` and never dropped as an `Arena`: each of the two would free
    // what was allocated for `'a`.
    arena: ManuallyDrop<Arena>,
    shared: PhantomData<&'a LockFreeArena>,
}

allocation_forms!({<'a>} LocalArena<'a>, 'a);

impl LockFreeArena {
    /// A handle for one thread. It takes shards from this arena and allocates from them. What it
    /// allocates borrows this arena and not the handle.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::LockFreeArena;
    ///
    /// let arena = LockFreeArena::default();
    /// std::thread::scope(|threads| {
    ///     for _ in 0..2 {
    ///         threads.spawn(|| {
    ///             let local = arena.local(); // one for each thread
    ///             local.alloc_value(7);
    ///         });
    ///     }
    /// });
    ///
    /// ```
    pub fn local(&self) -> LocalArena<'_> {
        let mut raw = MaybeUninit::<ffi::aegis_arena_local>::uninit();
        // SAFETY: `raw` is memory for the struct. The call fails only for unknown flags, and it
        // writes the whole struct.
        let raw = unsafe {
            ffi::aegis_arena_local_init(raw.as_mut_ptr(), self.as_raw(), 0);
            raw.assume_init()
        };
        // SAFETY: the struct was made above, and the `drop` below finishes it. The shared arena
        // outlives it.
        let arena = unsafe { Arena::from_raw(raw.arena) };
        LocalArena { arena: ManuallyDrop::new(arena), shared: PhantomData }
    }
}

impl LocalArena<'_> {
    /// The C struct of the shared arena.
    pub(super) fn shared(&self) -> ffi::aegis_lock_free_arena {
        // SAFETY: this thread owns the struct.
        let source = unsafe { (*self.arena.as_raw()).source };
        // The context of a local arena's source is what the shared arena consists of.
        ffi::aegis_lock_free_arena { shared: source.context.cast() }
    }
}

// It is never reset, so what it hands out stays valid until the shared arena is reset.
allocate_from_inner!(LocalArena<'_>);

impl Deref for LocalArena<'_> {
    type Target = Arena;

    fn deref(&self) -> &Arena {
        &self.arena
    }
}

impl Drop for LocalArena<'_> {
    fn drop(&mut self) {
        // SAFETY: the C struct of a local arena is the arena and nothing else. `self` owns it, and
        // it is not used again. What it has allocated stays valid.
        unwind::call(|| unsafe { ffi::aegis_arena_local_fini(self.arena.as_raw().cast()) });
    }
}

impl fmt::Debug for LocalArena<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalArena").field("stats", &self.arena.stats()).finish()
    }
}
