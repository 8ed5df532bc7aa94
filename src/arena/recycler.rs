// SPDX-License-Identifier: Apache-2.0
//! A bounded stock of arenas, for servers that use one arena for each request.
//!
//! The file is longer than 500 lines, because each method has an example.

use alloc::sync::Arc;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::Deref;
use core::ptr;

use super::builder::{ArenaBuilder, Hardened, Make, Stock};
use super::one_owner::Arena;
use crate::budget::{move_methods, MemoryBudget};
use crate::error::{expect, AllocError};
use crate::lines::display_lines;
use crate::sealed::Key;
use crate::{ffi, unwind};

/// A bounded stock of arenas for servers that use one arena for each request. It is `Send` and
/// `Sync`.
///
/// [`get`](Self::get) hands out an arena whose memory is warm from an earlier request. When its
/// guard is dropped, the arena is reset and trimmed and goes back to the stock. This happens at the
/// end of the request, on an early return, or when the request panics.
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

// SAFETY: any thread may call the functions of the core behind the methods with `&self`. Arenas are
// `Send`, sources are `Send + Sync`, and any thread may use a budget.
unsafe impl Send for ArenaRecycler {}
// SAFETY: as above.
unsafe impl Sync for ArenaRecycler {}

/// The statistics of a recycler.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::ArenaRecycler;
///
/// let recycler = ArenaRecycler::new(4, 1 << 20);
/// drop((recycler.get(), recycler.get()));
/// drop(recycler.get());
/// let stats = recycler.stats();
/// assert_eq!((stats.made_count, stats.reused_count, stats.idle_count), (2, 1, 2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RecyclerStats {
    /// Arenas in stock now.
    pub idle_count: usize,
    /// Arenas that are handed out now.
    pub out_count: usize,
    /// Arenas ever made.
    pub made_count: u64,
    /// Arenas ever handed out from stock.
    pub reused_count: u64,
}

display_lines!(RecyclerStats {
    idle_count: Count,
    out_count: Count,
    made_count: Count,
    reused_count: Count,
});

impl ArenaRecycler {
    /// Makes a recycler that keeps at most `max_idle` arenas, each trimmed to `keep_bytes`.
    ///
    /// # Panics
    ///
    /// When there is no memory for the stock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// assert_eq!(recycler.get().alloc(2), [0, 0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(max_idle: usize, keep_bytes: usize) -> Self {
        expect(Self::builder().max_idle(max_idle).keep_bytes(keep_bytes).build())
    }

    /// Returns a builder, for a recycler with other settings than the defaults. The settings are
    /// also those of its arenas.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::builder().max_idle(4).keep_bytes(1 << 20).build()?;
    /// recycler.get().alloc(100);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn builder() -> ArenaBuilder<Self> {
        ArenaBuilder::default()
    }

    /// Hands out an arena from the stock, or a new one if the stock is empty.
    ///
    /// # Panics
    ///
    /// When [`try_get`](Self::try_get) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// let arena = recycler.get();
    /// assert_eq!(arena.alloc_str("a request"), "a request");
    /// ```
    #[track_caller]
    pub fn get(&self) -> RecycledArena<'_> {
        expect(self.try_get())
    }

    /// Hands out an arena from the stock, or a new one if the stock is empty.
    ///
    /// # Errors
    ///
    /// As [`ArenaBuilder::build`] for an [`Arena`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// recycler.try_get()?.try_alloc(100)?;
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_get(&self) -> Result<RecycledArena<'_>, AllocError> {
        self.take().map(|arena| Recycled { arena, recycler: self })
    }

    /// Hands out an arena whose guard keeps the recycler alive instead of borrowing it. It is for a
    /// request that a spawned thread or task handles.
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
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// use std::sync::Arc;
    /// let recycler = Arc::new(ArenaRecycler::new(4, 1 << 20));
    /// let arena = recycler.try_get_owned()?;
    /// drop(recycler);
    /// arena.alloc(100);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_get_owned(self: &Arc<Self>) -> Result<OwnedRecycledArena, AllocError> {
        self.take().map(|arena| Recycled { arena, recycler: Arc::clone(self) })
    }

    /// Gets an arena, which a guard will put back.
    fn take(&self) -> Result<ManuallyDrop<Arena>, AllocError> {
        let mut raw = MaybeUninit::<ffi::aegis_arena>::uninit();
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        let status = unwind::call_keeping(ffi::is_ok, || {
            // SAFETY: any thread may call this; the call only writes the struct and the record.
            unsafe {
                let error = error.as_mut_ptr();
                ffi::aegis_arena_recycler_get(&self.raw, raw.as_mut_ptr(), error)
            }
        });
        if !ffi::is_ok(&status) {
            // SAFETY: the core writes the record on failure, and the recycler keeps the budget
            // alive.
            return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
        }
        // SAFETY: the call has written the struct, and no other code uses the arena until the guard
        // puts it back.
        Ok(ManuallyDrop::new(unsafe { Arena::from_raw(raw.assume_init()) }))
    }

    /// Finishes arenas in the stock until at most `keep` are left.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// drop(recycler.get());
    /// recycler.trim(0);
    /// assert_eq!(recycler.stats().idle_count, 0);
    /// ```
    pub fn trim(&self, keep: usize) {
        // SAFETY: any thread may call this.
        unwind::call(|| unsafe { ffi::aegis_arena_recycler_trim(&self.raw, keep) });
    }

    move_methods!(
        aegis_arena_recycler_move_budget,
        (&) self => &self.raw,
        "the arenas in stock, and those that are made later,",
        "[`AllocError::OutOfMemory`] when there is no memory for a record of the new budget: the \
         recycler keeps alive each budget that it was charged to. Arenas that are out stay charged \
         as they are, and move when they come back."
    );
    /// Finishes the arenas in the stock that were not handed out since the latest call. A server that
    /// calls it every minute decays to the arenas that it needs. The budget is credited before the
    /// call returns.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// drop((recycler.get(), recycler.get()));
    /// recycler.trim_idle(); // both were handed out since the beginning
    /// drop(recycler.get());
    /// recycler.trim_idle();
    /// assert_eq!(recycler.stats().idle_count, 1);
    /// ```
    pub fn trim_idle(&self) {
        // SAFETY: any thread may call this.
        unwind::call(|| unsafe { ffi::aegis_arena_recycler_trim_idle(&self.raw) });
    }

    /// The statistics of the recycler, all read at the same moment.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// let arena = recycler.get();
    /// assert_eq!(recycler.stats().out_count, 1);
    /// ```
    pub fn stats(&self) -> RecyclerStats {
        let mut raw = MaybeUninit::<ffi::aegis_arena_recycler_stats>::uninit();
        // SAFETY: any thread may call this; the call writes the whole struct.
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

    /// The C struct, from which C code can get arenas on any thread. The pointer is valid until the
    /// recycler is moved or dropped. C puts back every arena that it gets before the recycler is
    /// dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// assert!(!recycler.as_raw().is_null());
    /// ```
    pub fn as_raw(&self) -> *const ffi::aegis_arena_recycler {
        &self.raw
    }
}

impl Hardened for ArenaRecycler {}

impl ArenaBuilder<ArenaRecycler> {
    /// The largest number of arenas that the recycler keeps. With 0, the default, it keeps none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::builder().max_idle(1).build()?;
    /// drop((recycler.get(), recycler.get()));
    /// assert_eq!(recycler.stats().idle_count, 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn max_idle(mut self, count: usize) -> Self {
        self.stock.max_idle = count;
        self
    }

    /// The bytes to which the recycler trims an arena that it keeps. They are bytes of blocks,
    /// block headers included.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::builder().max_idle(1).keep_bytes(1 << 20).build()?;
    /// recycler.get().alloc(8 << 20);
    /// assert!(recycler.get().stats().reserved_bytes <= 1 << 20);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
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
            // SAFETY: the core writes the record when it makes no recycler.
            _ => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
        }
    }
}

impl Drop for ArenaRecycler {
    fn drop(&mut self) {
        // If a guard was forgotten, the core refuses to finish the recycler, so the stock and the
        // source are never freed.
        // SAFETY: `self` owns the recycler, which is not used again.
        unwind::call(|| unsafe { ffi::aegis_arena_recycler_fini(&mut self.raw) });
    }
}

impl fmt::Debug for ArenaRecycler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaRecycler").field("stats", &self.stats()).finish()
    }
}

/// The guard of an arena from an [`ArenaRecycler`]. It borrows the recycler.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{ArenaRecycler, RecycledArena};
///
/// let recycler = ArenaRecycler::new(4, 1 << 20);
/// let arena: RecycledArena<'_> = recycler.get();
/// assert_eq!(arena.alloc_str("a request"), "a request");
/// ```
///
/// What is allocated cannot outlive the guard:
///
/// ```compile_fail,E0505
/// let recycler = aegis_memory::arena::ArenaRecycler::new(1, 4096);
/// let arena = recycler.get();
/// let text = arena.alloc_str("gone with the guard");
/// drop(arena);
/// println!("{text}");
/// ```
pub type RecycledArena<'r> = Recycled<&'r ArenaRecycler>;

/// The guard of an arena from an [`ArenaRecycler`]. It keeps the recycler alive.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{ArenaRecycler, OwnedRecycledArena};
/// use std::sync::Arc;
///
/// struct Request {
///     arena: OwnedRecycledArena,
/// }
/// let recycler = Arc::new(ArenaRecycler::new(4, 1 << 20));
/// let request = Request { arena: recycler.get_owned() };
/// request.arena.alloc(100);
/// ```
pub type OwnedRecycledArena = Recycled<Arc<ArenaRecycler>>;

/// The guard of an arena from an [`ArenaRecycler`]. `H` is a reference or an `Arc` to the recycler.
/// The guard derefs to [`Arena`], and its drop puts the arena back. Its usual names are
/// [`RecycledArena`] and [`OwnedRecycledArena`].
///
/// The guard can be sent to another thread, also while the arena is in use. Values allocated from
/// the arena borrow the guard, so a future that owns both is `Send` if the values are.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{ArenaRecycler, Recycled};
/// use std::ops::Deref;
///
/// // Serves both kinds of guard.
/// fn answer<H: Deref<Target = ArenaRecycler>>(arena: &Recycled<H>) -> &str {
///     arena.alloc_str("answer")
/// }
/// let recycler = ArenaRecycler::new(4, 1 << 20);
/// assert_eq!(answer(&recycler.get()), "answer");
/// ```
pub struct Recycled<H: Deref<Target = ArenaRecycler>> {
    // It is never lent as `&mut Arena`: after a swap with another arena it would outlive the
    // source, which the recycler closes.
    arena: ManuallyDrop<Arena>,
    // It is dropped after the arena has gone back.
    recycler: H,
}

impl<H: Deref<Target = ArenaRecycler>> Recycled<H> {
    /// As [`Arena::reset`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// let mut arena = recycler.get();
    /// arena.alloc(100);
    /// arena.reset();
    /// assert_eq!(arena.used(), 0);
    /// ```
    pub fn reset(&mut self) {
        self.arena.reset();
    }

    /// As [`Arena::trim`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// let mut arena = recycler.get();
    /// arena.alloc(100_000);
    /// arena.reset();
    /// arena.trim(0);
    /// assert_eq!(arena.capacity(), 0);
    /// ```
    pub fn trim(&mut self, keep_bytes: usize) {
        self.arena.trim(keep_bytes);
    }

    /// As [`Arena::move_to`]. When the guard is dropped, the arena moves back to the budget of the
    /// recycler. If that refuses, the recycler does not keep the arena.
    ///
    /// # Panics
    ///
    /// When [`try_move_to`](Self::try_move_to) fails. Nothing has changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// use aegis_memory::budget::MemoryBudget;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// let query = MemoryBudget::new("query", 1 << 20);
    /// let mut arena = recycler.get();
    /// arena.alloc(1000);
    /// arena.move_to(&query);
    /// assert!(query.used() >= 1000);
    /// ```
    #[track_caller]
    pub fn move_to<'b>(&mut self, budget: impl Into<Option<&'b MemoryBudget>>) {
        expect(self.try_move_to(budget));
    }

    /// As [`Arena::try_move_to`]. When the guard is dropped, the arena moves back to the budget of
    /// the recycler. If that refuses, the recycler does not keep the arena.
    ///
    /// # Errors
    ///
    /// As [`Arena::try_move_to`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::ArenaRecycler;
    /// use aegis_memory::budget::MemoryBudget;
    /// let recycler = ArenaRecycler::new(4, 1 << 20);
    /// let small = MemoryBudget::new("small", 10);
    /// let mut arena = recycler.get();
    /// arena.alloc(1000);
    /// assert!(arena.try_move_to(&small).is_err());
    ///
    /// ```
    pub fn try_move_to<'b>(
        &mut self,
        budget: impl Into<Option<&'b MemoryBudget>>,
    ) -> Result<(), AllocError> {
        self.arena.try_move_to(budget)
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
        // SAFETY: only a recycler makes a guard, and it gives the guard an `H` that refers to
        // itself. So the arena came from this recycler. It is not used again.
        unwind::call(|| unsafe { ffi::aegis_arena_recycler_put(recycler, arena) });
    }
}

impl<H: Deref<Target = ArenaRecycler>> fmt::Debug for Recycled<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
