// SPDX-License-Identifier: Apache-2.0
//! A bounded stock of arenas, for one arena a request.

use alloc::sync::Arc;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::Deref;
use core::ptr;

use super::builder::{ArenaBuilder, Hardened, Make, Stock};
use super::one_owner::Arena;
use crate::error::{expect, AllocError};
use crate::sealed::Key;
use crate::{ffi, unwind};

/// A bounded stock of arenas for servers with one arena a request: `Send` and `Sync`.
///
/// [`get`](Self::get) hands out an arena whose memory is warm from the request before. It comes
/// back, reset and trimmed, when its guard is dropped: at the end, on an early return, or when the
/// request panics.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::ArenaRecycler;
///
/// // At most 16 arenas are kept, each with at most 1 MiB.
/// let recycler = ArenaRecycler::new(16, 1024 * 1024);
/// std::thread::scope(|threads| {
///     for _ in 0..4 {
///         threads.spawn(|| {
///             for request in 0..100 {
///                 let arena = recycler.get();
///                 arena.alloc_fmt(format_args!("request {request}"));
///             }
///         });
///     }
/// });
/// assert!(recycler.stats().made_count <= 4);
/// ```
pub struct ArenaRecycler {
    raw: ffi::aegis_arena_recycler,
}

// SAFETY: every function of the core that takes `&self` may be called from any thread; arenas are
// `Send`, sources are `Send + Sync`, and budgets any thread's.
unsafe impl Send for ArenaRecycler {}
// SAFETY: as above.
unsafe impl Sync for ArenaRecycler {}

/// The figures of a recycler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RecyclerStats {
    /// Arenas in stock now.
    pub idle_count: usize,
    /// Arenas out now.
    pub out_count: usize,
    /// Arenas ever made.
    pub made_count: u64,
    /// Arenas ever handed out from stock.
    pub reused_count: u64,
}

impl ArenaRecycler {
    /// Makes a recycler that keeps at most `max_idle` arenas, each trimmed to `keep_bytes`.
    ///
    /// # Panics
    ///
    /// When there is no memory for the stock.
    #[must_use]
    #[track_caller]
    pub fn new(max_idle: usize, keep_bytes: usize) -> Self {
        expect(Self::builder().max_idle(max_idle).keep_bytes(keep_bytes).build())
    }

    /// Starts a recycler with other than default settings, which are those of its arenas.
    pub fn builder() -> ArenaBuilder<Self> {
        ArenaBuilder::default()
    }

    /// Hands out an arena: from stock, else a new one.
    ///
    /// # Panics
    ///
    /// When [`try_get`](Self::try_get) fails.
    #[track_caller]
    pub fn get(&self) -> RecycledArena<'_> {
        expect(self.try_get())
    }

    /// Hands out an arena: from stock, else a new one.
    ///
    /// # Errors
    ///
    /// As [`ArenaBuilder::build`] for an [`Arena`].
    pub fn try_get(&self) -> Result<RecycledArena<'_>, AllocError> {
        self.take().map(|arena| Recycled { arena, recycler: self })
    }

    /// Hands out an arena whose guard keeps the recycler alive instead of borrowing it: for a
    /// request that is handled by a spawned thread or task.
    ///
    /// # Panics
    ///
    /// When [`try_get_owned`](Self::try_get_owned) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::ArenaRecycler;
    /// use std::sync::Arc;
    ///
    /// let recycler = Arc::new(ArenaRecycler::new(16, 1024 * 1024));
    /// let arena = recycler.get_owned();
    /// let handler = std::thread::spawn(move || arena.alloc_str("the request").len());
    /// drop(recycler);
    /// assert_eq!(handler.join().expect("no panic"), 11);
    /// ```
    #[track_caller]
    pub fn get_owned(self: &Arc<Self>) -> OwnedRecycledArena {
        expect(self.try_get_owned())
    }

    /// Hands out an arena whose guard keeps the recycler alive instead of borrowing it.
    ///
    /// # Errors
    ///
    /// As [`try_get`](Self::try_get).
    pub fn try_get_owned(self: &Arc<Self>) -> Result<OwnedRecycledArena, AllocError> {
        self.take().map(|arena| Recycled { arena, recycler: Arc::clone(self) })
    }

    /// An arena for a guard to put back.
    fn take(&self) -> Result<ManuallyDrop<Arena>, AllocError> {
        let mut raw = MaybeUninit::<ffi::aegis_arena>::uninit();
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        let status = unwind::call_keeping(ffi::is_ok, || {
            // SAFETY: any thread may ask; struct and record are only written.
            unsafe {
                let error = error.as_mut_ptr();
                ffi::aegis_arena_recycler_get(&self.raw, raw.as_mut_ptr(), error)
            }
        });
        if !ffi::is_ok(&status) {
            // SAFETY: the record is written on failure, and the recycler holds the budget.
            return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
        }
        // SAFETY: the call has written the struct, and the arena is ours until the guard puts it
        // back.
        Ok(ManuallyDrop::new(unsafe { Arena::from_raw(raw.assume_init()) }))
    }

    /// Gives arenas in stock up until at most `keep` are left.
    pub fn trim(&self, keep: usize) {
        // SAFETY: any thread may ask.
        unwind::call(|| unsafe { ffi::aegis_arena_recycler_trim(&self.raw, keep) });
    }

    /// The recycler's figures, all of one moment.
    pub fn stats(&self) -> RecyclerStats {
        let mut raw = MaybeUninit::<ffi::aegis_arena_recycler_stats>::uninit();
        // SAFETY: any thread may ask; the call writes the whole struct.
        let raw = unsafe {
            ffi::aegis_arena_recycler_get_stats(&self.raw, raw.as_mut_ptr());
            raw.assume_init()
        };
        RecyclerStats {
            idle_count: raw.idle_count,
            out_count: raw.out_count,
            made_count: raw.made_count,
            reused_count: raw.reused_count,
        }
    }

    /// The C struct, for C code to get arenas from, on any thread. The pointer is good while the
    /// recycler is neither moved nor dropped. What C gets it puts back before the drop.
    pub fn as_raw(&self) -> *const ffi::aegis_arena_recycler {
        &self.raw
    }
}

impl Hardened for ArenaRecycler {}

impl ArenaBuilder<ArenaRecycler> {
    /// Arenas that the recycler keeps at most. 0, the default, keeps none.
    pub fn max_idle(mut self, count: usize) -> Self {
        self.stock.max_idle = count;
        self
    }

    /// What an arena that is kept is trimmed to: bytes of blocks, their heads included.
    pub fn keep_bytes(mut self, bytes: usize) -> Self {
        self.stock.keep_bytes = bytes;
        self
    }
}

impl Make for ArenaRecycler {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_arena_options,
        stock: Stock,
    ) -> Result<Self, AllocError> {
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        let options = ffi::aegis_arena_recycler_options {
            arena: *options,
            max_idle_count: stock.max_idle,
            keep_bytes: stock.keep_bytes,
            error: error.as_mut_ptr(),
        };
        let mut raw = ffi::aegis_arena_recycler { shared: ptr::null_mut() };
        // SAFETY: the caller vouches for the options.
        match unsafe { ffi::aegis_arena_recycler_init(&mut raw, &options) } {
            0 => Ok(Self { raw }),
            // SAFETY: a core that makes no recycler writes the record.
            _ => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
        }
    }
}

impl Drop for ArenaRecycler {
    fn drop(&mut self) {
        // With a guard forgotten the core refuses, and stock and source are forgotten too.
        // SAFETY: the recycler is ours and not used again.
        unwind::call(|| unsafe { ffi::aegis_arena_recycler_fini(&mut self.raw) });
    }
}

impl fmt::Debug for ArenaRecycler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaRecycler").field("stats", &self.stats()).finish()
    }
}

/// An arena out of an [`ArenaRecycler`] that it borrows.
///
/// ```compile_fail,E0505
/// let recycler = aegis_memory::arena::ArenaRecycler::new(1, 4096);
/// let arena = recycler.get();
/// let text = arena.alloc_str("gone with the guard");
/// drop(arena);
/// println!("{text}");
/// ```
pub type RecycledArena<'r> = Recycled<&'r ArenaRecycler>;

/// An arena that keeps its [`ArenaRecycler`] alive.
pub type OwnedRecycledArena = Recycled<Arc<ArenaRecycler>>;

/// An arena out of an [`ArenaRecycler`] that `H`, a reference or a counted one, leads to. It derefs
/// to [`Arena`], and goes back when it is dropped. Named through [`RecycledArena`] and
/// [`OwnedRecycledArena`].
///
/// It can be sent to another thread, also while the arena is in use: values allocated from it borrow
/// the guard, so a future that owns both is `Send` if the values are.
pub struct Recycled<H: Deref<Target = ArenaRecycler>> {
    // Never handed out as `&mut Arena`: swapped with another, it would outlive the source that the
    // recycler closes.
    arena: ManuallyDrop<Arena>,
    // Dropped after the arena has gone back.
    recycler: H,
}

impl<H: Deref<Target = ArenaRecycler>> Recycled<H> {
    /// As [`Arena::reset`].
    pub fn reset(&mut self) {
        self.arena.reset();
    }

    /// As [`Arena::trim`].
    pub fn trim(&mut self, keep_bytes: usize) {
        self.arena.trim(keep_bytes);
    }
}

impl<H: Deref<Target = ArenaRecycler>> Deref for Recycled<H> {
    type Target = Arena;

    fn deref(&self) -> &Arena {
        &self.arena
    }
}

impl<H: Deref<Target = ArenaRecycler>> Drop for Recycled<H> {
    fn drop(&mut self) {
        let (recycler, arena) = (&self.recycler.raw, self.arena.as_raw());
        // SAFETY: only a recycler makes a guard, with an `H` that leads to itself; so the arena came
        // from this recycler. It is not used again.
        unwind::call(|| unsafe { ffi::aegis_arena_recycler_put(recycler, arena) });
    }
}

impl<H: Deref<Target = ArenaRecycler>> fmt::Debug for Recycled<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
