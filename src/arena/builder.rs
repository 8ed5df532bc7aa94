// SPDX-License-Identifier: Apache-2.0
//! How arenas are made: by `new` with default settings, or by a builder with other settings.

use core::ffi::c_char;
use core::marker::PhantomData;
use core::ptr;
use core::time::Duration;

use super::one_owner::Arena;
use crate::budget::MemoryBudget;
use crate::error::{c_name, expect, AllocError};
use crate::sealed::{Key, KEY};
use crate::source::{raw_source, BlockSource, ChosenSource, OwnedSource};
use crate::{ffi, unwind};

/// What a builder makes: [`Arena`], [`LockFreeArena`](super::LockFreeArena),
/// [`LockedArena`](super::LockedArena), [`ArenaRecycler`](super::ArenaRecycler),
/// [`ArenaHeap`](super::ArenaHeap) or [`LockedArenaHeap`](super::LockedArenaHeap). This trait is a
/// bound for code that takes an [`ArenaBuilder`] of any of them. It has no methods to call, and
/// only this crate implements it.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{Arena, ArenaBuilder, ArenaKind, LockedArena};
/// use aegis_memory::budget::MemoryBudget;
///
/// // The same settings for any form of arena.
/// fn build<A: ArenaKind>(budget: &MemoryBudget) -> Result<A, aegis_memory::AllocError> {
///     ArenaBuilder::default().budget(budget).build()
/// }
/// let budget = MemoryBudget::new("query", 1 << 20);
/// let (mine, shared): (Arena, LockedArena) = (build(&budget)?, build(&budget)?);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub trait ArenaKind: Make {}

impl<A: Make> ArenaKind for A {}

/// How each kind is made. Code outside of this crate cannot name the trait, so it cannot implement
/// it. The method takes a [`Key`], so only this crate can call it.
pub trait Make: Sized {
    /// Makes an object of this kind.
    ///
    /// # Safety
    ///
    /// - The pointers in `options` are as `aegis_arena_init` requires them.
    unsafe fn make(
        key: Key,
        options: &ffi::aegis_arena_options,
        stock: Stock,
    ) -> Result<Self, AllocError>;
}

/// A kind whose arenas can fill, guard and wipe their memory.
pub trait Hardened: Make {}

impl Hardened for Arena {}

/// How much an [`ArenaRecycler`](super::ArenaRecycler) keeps.
#[derive(Clone, Copy)]
pub struct Stock {
    pub(super) max_idle: usize,
    pub(super) keep_bytes: usize,
}

/// Settings of an arena that is to be made. `builder()` of each kind returns one.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
///
/// let arena = Arena::builder().capacity(64 * 1024).name("parser").build()?;
/// assert!(arena.capacity() >= 64 * 1024);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[must_use = "build() makes the arena"]
pub struct ArenaBuilder<A = Arena> {
    capacity: usize,
    max_block: usize,
    source: ChosenSource,
    budget: Option<MemoryBudget>,
    name: Option<[c_char; ffi::AEGIS_BUDGET_NAME_BYTES as usize]>,
    flags: u32,
    wait_ns: u64,
    pub(super) stock: Stock,
    makes: PhantomData<fn() -> A>,
}

impl<A: ArenaKind> Default for ArenaBuilder<A> {
    fn default() -> Self {
        Self {
            capacity: 0,
            max_block: 0,
            source: Ok(None),
            budget: None,
            name: None,
            flags: 0,
            wait_ns: 0,
            stock: Stock { max_idle: 0, keep_bytes: 0 },
            makes: PhantomData,
        }
    }
}

impl<A: ArenaKind> ArenaBuilder<A> {
    /// Usable bytes of the first block, which [`build`](Self::build) acquires. With 0, the default,
    /// the first allocation acquires it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// let arena = Arena::builder().capacity(10_000).build()?;
    /// assert!(arena.capacity() >= 10_000);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn capacity(self, bytes: usize) -> Self {
        Self { capacity: bytes, ..self }
    }

    /// The largest growth step in bytes. 0 means the default, 4 MiB. The growth step is the size of
    /// the next block, and it doubles up to this maximum.
    ///
    /// A request that finds no room gets a block of the growth step, or of a part of it, only if
    /// several such requests fit into this block. If the request is above 64 KiB, the block must
    /// also add at most a tenth to what is reserved. Any other request gets a block of its own. So
    /// large requests together reserve at most 1.1 times their sizes, plus 1 KiB for each, plus its
    /// alignment if that is above 16. A new block for a collection that grows has room for at least
    /// half as much again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// let arena = Arena::builder().max_block(64 * 1024).build()?;
    /// for _ in 0..1000 {
    ///     arena.alloc(1000);
    /// }
    /// assert!(arena.stats().block_count >= 15);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn max_block(self, bytes: usize) -> Self {
        Self { max_block: bytes, ..self }
    }

    /// Where blocks come from. The default is [`Heap`](crate::source::Heap). If there is no memory
    /// to keep the source, it is dropped and [`build`](Self::build) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// use aegis_memory::source::Pages;
    /// let arena = Arena::builder().source(Pages::new()).build()?;
    /// assert_eq!(arena.alloc(2), [0, 0]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn source<S: BlockSource + 'static>(self, source: S) -> Self {
        Self { source: OwnedSource::try_new(source).map(Some), ..self }
    }

    /// Charges every block to a budget, which the arena keeps alive. If the budget has no room for
    /// a block of the growth step, the arena takes what is left below the limit in one block, if
    /// that is enough for the request. See [`crate::budget`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("query", 100_000);
    /// let arena = Arena::builder().budget(&budget).build()?;
    /// arena.alloc(1000);
    /// assert!(budget.used() >= 1000);
    /// assert!(arena.try_alloc(200_000).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn budget(self, budget: &MemoryBudget) -> Self {
        Self { budget: Some(budget.clone()), ..self }
    }

    /// The longest wait of an allocation for room in the budget. The default does not wait;
    /// [`Duration::MAX`] has no end.
    ///
    /// An allocation that needs a new block first tries a block for several allocations. If a
    /// budget refuses that, the allocation waits for a block of its own size. Requests get room in
    /// the order of their arrival at the budget. [`build`](Self::build) waits for its first block
    /// too.
    ///
    /// A thread that waits in a shared arena holds up no other thread of it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// use aegis_memory::budget::MemoryBudget;
    /// use std::time::Duration;
    /// let budget = MemoryBudget::new("query", 100_000);
    /// let arena = Arena::builder().budget(&budget).wait(Duration::from_millis(1)).build()?;
    /// let held = budget.reserve(90_000);
    /// assert!(arena.try_alloc(20_000).is_err(), "nobody gives memory back in time");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn wait(self, longest: Duration) -> Self {
        Self { wait_ns: ffi::nanoseconds(longest), ..self }
    }

    /// A name for reports, cut to 23 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// let arena = Arena::builder().name("parser").build()?;
    /// assert!(!arena.as_raw().is_null());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn name(self, name: &str) -> Self {
        Self { name: Some(c_name(name)), ..self }
    }

    /// Makes the arena.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidLayout`] for a capacity that no object can have,
    /// [`AllocError::OutOfMemory`] when the source refuses, [`AllocError::LimitExceeded`] when the
    /// budget refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// assert!(Arena::builder().capacity(100).build()?.capacity() >= 100);
    /// assert!(Arena::builder().capacity(usize::MAX).build().is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn build(self) -> Result<A, AllocError> {
        let source = self.source?;
        let options = ffi::aegis_arena_options {
            capacity_bytes: self.capacity,
            max_block_bytes: self.max_block,
            source: raw_source(&source),
            memory: ptr::null_mut(),
            memory_bytes: 0,
            budget: self.budget.as_ref().map_or(ptr::null_mut(), MemoryBudget::as_raw),
            name: self.name.as_ref().map_or(ptr::null(), |name| name.as_ptr()),
            flags: self.flags,
            wait_ns: self.wait_ns,
        };
        // SAFETY: the core copies the source, if there is one, and the context lives until the
        // source is closed.
        let arena =
            unwind::call_keeping(Result::is_ok, || unsafe { A::make(KEY, &options, self.stock) })?;
        // From now on the arena closes the source.
        core::mem::forget(source);
        Ok(arena)
    }
}

impl<A: Hardened> ArenaBuilder<A> {
    /// Clears memory when it is freed, so that no secret stays in it. The compiler cannot leave the
    /// clearing out. The time of a reset then grows with the bytes in use.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// let mut arena = Arena::builder().wipe_on_reset(true).build()?;
    /// arena.alloc_str("a password");
    /// arena.reset(); // there are zeroes now
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn wipe_on_reset(self, on: bool) -> Self {
        self.flag(ffi::AEGIS_ARENA_WIPE, on)
    }

    /// Fills uninitialised memory with 0xA5 when it is handed out and with 0xDF when it is freed.
    /// On in [debug builds](crate::is_debug). Every allocation takes the slow path.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// let arena = Arena::builder().debug_fill(true).build()?;
    /// let fresh = arena.alloc_uninit(1)[0];
    /// // SAFETY: it was filled.
    /// assert_eq!(unsafe { fresh.assume_init() }, 0xA5);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn debug_fill(self, on: bool) -> Self {
        self.flag(ffi::AEGIS_ARENA_FILL, on)
    }

    /// Puts guard bytes behind each allocation, and reports at a reset which guards have changed.
    /// On in [debug builds](crate::is_debug). Every allocation takes the slow path.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// let arena = Arena::builder().debug_guard(true).build()?;
    /// arena.alloc(10);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn debug_guard(self, on: bool) -> Self {
        self.flag(ffi::AEGIS_ARENA_GUARD, on)
    }

    /// Acquires a block of its own for each allocation and releases it at a reset, so that a
    /// checker of the heap sees each allocation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// let arena = Arena::builder().debug_own_blocks(true).build()?;
    /// arena.alloc(10);
    /// arena.alloc(10);
    /// assert_eq!(arena.stats().block_count, 2);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn debug_own_blocks(self, on: bool) -> Self {
        self.flag(ffi::AEGIS_ARENA_OWN_BLOCKS, on)
    }

    /// Turns off what a [debug build](crate::is_debug) turns on by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::Arena;
    /// let arena = Arena::builder().no_debug().build()?;
    /// arena.alloc(10);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn no_debug(self) -> Self {
        self.flag(ffi::AEGIS_ARENA_NO_DEBUG, true)
    }

    fn flag(self, flag: u32, on: bool) -> Self {
        Self { flags: if on { self.flags | flag } else { self.flags & !flag }, ..self }
    }
}

impl Make for Arena {
    unsafe fn make(
        _: Key,
        options: &ffi::aegis_arena_options,
        _: Stock,
    ) -> Result<Self, AllocError> {
        // SAFETY: the caller vouches for the options.
        unsafe { Arena::from_options(options) }
    }
}

/// Writes the constructors of a form of arena. Attributes before its name are added to `new`.
macro_rules! constructors {
    ($(#[$more:meta])* $arena:ident) => {
        impl $arena {
            /// Makes an arena whose first block holds `capacity` bytes.
            ///
            /// The block is acquired at once, from the C heap. With a capacity of 0, the first
            /// allocation acquires it.
            ///
            /// # Panics
            ///
            /// When [`try_new`](Self::try_new) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::new(64 * 1024);
            /// assert!(arena.capacity() >= 64 * 1024);
            /// ```
            $(#[$more])*
            #[must_use]
            #[track_caller]
            pub fn new(capacity: usize) -> Self {
                expect(Self::try_new(capacity))
            }

            /// Makes an arena whose first block holds `capacity` bytes.
            ///
            /// # Errors
            ///
            /// [`AllocError::InvalidLayout`] for a capacity that no object can have,
            /// [`AllocError::OutOfMemory`] when the heap refuses.
            ///
            /// # Examples
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::try_new(64 * 1024)?;
            /// assert!(arena.capacity() >= 64 * 1024);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_new(capacity: usize) -> Result<Self, AllocError> {
                Self::builder().capacity(capacity).build()
            }

            /// Returns a builder, for an arena with other settings than the defaults.
            ///
            /// # Examples
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::builder().name("parser").build()?;
            /// arena.alloc(10);
            ///
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn builder() -> ArenaBuilder<Self> {
                ArenaBuilder::default()
            }
        }

        impl Default for $arena {
            /// An arena without blocks: the first allocation acquires one.
            fn default() -> Self {
                Self::new(0)
            }
        }
    };
}

#[cfg(aegis_threads)]
pub(super) use constructors;

constructors! {
    ///
    /// # Examples
    ///
    /// ```
    /// let mut arena = aegis_memory::arena::Arena::new(1024 * 1024);
    /// let buffer = arena.alloc(1024);
    /// buffer[0] = 42;
    /// arena.reset();
    /// ```
    Arena
}
