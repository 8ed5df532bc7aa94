// SPDX-License-Identifier: Apache-2.0
//! Marks: positions in an arena to go back to. `csrc/arena/mark.c` knows which marks are good.

use core::fmt;

use super::one_owner::Arena;
use crate::{ffi, unwind};

/// A position in an [`Arena`], from [`Arena::mark`].
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{Arena, ArenaMark};
///
/// /// A parser that can go back to an earlier place in its text, and in its arena.
/// struct Place {
///     offset: usize,
///     mark: ArenaMark,
/// }
///
/// let arena = Arena::default();
/// let place = Place { offset: 0, mark: arena.mark() };
/// arena.alloc_str("a node");
/// // SAFETY: the mark is of this arena, and the node is not used again.
/// unsafe { arena.rewind(&place.mark)? };
/// assert_eq!((place.offset, arena.used()), (0, 0));
/// # Ok::<(), aegis_memory::arena::StaleMark>(())
/// ```
#[derive(Clone, Copy)]
pub struct ArenaMark {
    raw: ffi::aegis_arena_mark,
}

// SAFETY: a mark is plain data. Only `rewind` uses the addresses in it, and its caller has the
// arena.
unsafe impl Send for ArenaMark {}
// SAFETY: as above.
unsafe impl Sync for ArenaMark {}

impl fmt::Debug for ArenaMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaMark").finish_non_exhaustive()
    }
}

/// The error of [`Arena::rewind`] for a mark that a later call has made unusable.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{Arena, StaleMark};
///
/// let mut arena = Arena::default();
/// let mark = arena.mark();
/// arena.reset();
/// // SAFETY: the mark is of this arena, and nothing was allocated since.
/// assert_eq!(unsafe { arena.rewind(&mark) }, Err(StaleMark));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleMark;

impl fmt::Display for StaleMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mark is stale: the arena has freed what was in use when it was taken")
    }
}

#[cfg(feature = "std")]
impl std::error::Error for StaleMark {}

impl Arena {
    /// Makes a mark of the present position, for [`rewind`](Self::rewind).
    ///
    /// The safe way to free a part of an arena is a [`scope`](Self::scope). Marks are for code
    /// whose parts do not nest as closures do, such as a parser that goes back to where it was. A
    /// safe form of `rewind` would take the arena by `&mut`. So no reference to what was allocated
    /// before the mark could be kept, and a reset would do the same.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::Arena::default();
    /// let mark = arena.mark();
    /// arena.alloc(100);
    /// // SAFETY: the mark is of this arena, and what came after it is not used again.
    /// unsafe { arena.rewind(&mark)? };
    /// assert_eq!(arena.used(), 0);
    /// # Ok::<(), aegis_memory::arena::StaleMark>(())
    /// ```
    pub fn mark(&self) -> ArenaMark {
        // SAFETY: this thread owns the arena.
        ArenaMark { raw: unsafe { ffi::aegis_arena_get_mark(self.as_raw()) } }
    }

    /// Frees everything that was allocated since the mark, and keeps the blocks for reuse. Values of
    /// [`alloc_static`](Self::alloc_static) since then are dropped, the newest first. The mark stays
    /// good, so the arena can be rewound to it again.
    ///
    /// # Errors
    ///
    /// [`StaleMark`] when the mark is no longer good. Nothing has changed then. A reset, a clear, a
    /// trim of an arena in which nothing is allocated, and a rewind to an earlier mark make marks
    /// stale. While a scope is open on the arena, marks from before the scope are refused. More than
    /// [eight](ffi::AEGIS_ARENA_STALE_SPANS) good marks with stale marks between them may cost a
    /// good mark, if the arena is out of room.
    ///
    /// # Panics
    ///
    /// When the drop of a value panics. The memory is freed all the same.
    ///
    /// # Safety
    ///
    /// - The mark came from this arena.
    /// - Nothing that was allocated since the mark is used afterwards: no reference, no
    ///   [`ArenaBox`](super::ArenaBox), not even by its drop, and no collection. For the arena that a
    ///   [`LocalArena`](super::LocalArena) derefs to, this includes what the handle has allocated.
    /// - What was pinned since the mark is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::Arena;
    ///
    /// let arena = Arena::new(1024);
    /// let kept = arena.alloc_str("kept");
    /// let mark = arena.mark();
    /// for attempt in 0..100 {
    ///     let scratch = arena.alloc_slice_fill(100, attempt);
    ///     assert_eq!(scratch.len(), 100);
    ///     // SAFETY: the mark is of this arena, and `scratch` is not used again.
    ///     unsafe { arena.rewind(&mark)? };
    /// }
    /// assert_eq!((&*kept, arena.used()), ("kept", 8));
    /// # Ok::<(), aegis_memory::arena::StaleMark>(())
    /// ```
    pub unsafe fn rewind(&self, mark: &ArenaMark) -> Result<(), StaleMark> {
        // SAFETY: this thread owns the arena, and the caller vouches for the mark and for what was
        // allocated since.
        let status = unwind::call(|| unsafe { ffi::aegis_arena_rewind(self.as_raw(), &mark.raw) });
        if ffi::is_ok(&status) {
            Ok(())
        } else {
            Err(StaleMark)
        }
    }
}
