// SPDX-License-Identifier: Apache-2.0
//! Iterating over the bytes that an arena has handed out, block by block.

use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::{fmt, ptr, slice};

use super::fixed::FixedArena;
use super::one_owner::Arena;
#[cfg(aegis_threads)]
use super::recycler::{ArenaRecycler, Recycled};
use crate::ffi;

/// The blocks of an arena: those in use, in the order of their first use, then the idle ones.
pub(super) struct Blocks<'a> {
    arena: &'a Arena,
    latest: *const ffi::aegis_arena_block,
    info: ffi::aegis_arena_block_info,
}

impl<'a> Blocks<'a> {
    /// The walk is right as long as the arena does not change.
    pub(super) fn of(arena: &'a Arena) -> Self {
        let info = ffi::aegis_arena_block_info {
            capacity_bytes: 0,
            used_bytes: 0,
            state: 0,
            start: ptr::null(),
        };
        Self { arena, latest: ptr::null(), info }
    }

    /// Goes to the next block and describes it. After the last block the walk is not continued.
    pub(super) fn next(&mut self) -> Option<&ffi::aegis_arena_block_info> {
        // SAFETY: the call reads the arena, which has not changed since the latest call.
        self.latest = unsafe {
            ffi::aegis_arena_next_block(self.arena.as_raw(), self.latest, &mut self.info)
        };
        (!self.latest.is_null()).then_some(&self.info)
    }
}

/// An iterator over the bytes that an arena has handed out, from [`Arena::iter_allocated_chunks`].
///
/// # Examples
///
/// ```
/// let mut arena = aegis_memory::arena::Arena::default();
/// arena.alloc(100);
/// let mut chunks: aegis_memory::arena::ChunkIter<'_> = arena.iter_allocated_chunks();
/// assert!(chunks.next().is_some_and(|bytes| bytes.len() >= 100));
/// ```
pub struct ChunkIter<'a> {
    raw: ChunkRawIter<'a>,
    // While it is borrowed so, the arena does not change, and nothing in it is borrowed.
    _arena: PhantomData<&'a mut Arena>,
}

/// An iterator over the bytes that an arena has handed out, as pointers and lengths, from
/// [`Arena::iter_allocated_chunks_raw`].
///
/// # Examples
///
/// ```
/// let arena = aegis_memory::arena::Arena::default();
/// let first = arena.alloc(100).as_mut_ptr();
/// // SAFETY: the arena does not change meanwhile.
/// let mut chunks = unsafe { arena.iter_allocated_chunks_raw() };
/// assert_eq!(chunks.next().map(|(start, _)| start), Some(first));
/// ```
pub struct ChunkRawIter<'a> {
    blocks: Option<Blocks<'a>>,
}

impl Arena {
    /// The bytes that the arena has handed out, a slice for each block in which something is
    /// allocated.
    ///
    /// The blocks come in the order of their first use. The bytes of a block lie in the order in
    /// which they were allocated. (Both are the other way round in `bumpalo`.) A large allocation
    /// has a block of its own, and what is allocated after it may lie in a block before it.
    ///
    /// Bytes are part of a slice even if they were never written, as padding between allocations is
    /// not. Each allocation starts at a multiple of 8, so there is no padding between values whose
    /// size is a multiple of 8 and whose alignment is at most 8. The arena itself writes between
    /// the allocations: a record for each value of [`alloc_static`](Self::alloc_static) or
    /// [`alloc_pinned`](Self::alloc_pinned) with a destructor, records for marks, and guards in
    /// [debug builds](crate::is_debug). So only a program that knows what it has allocated can tell
    /// what the bytes are.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::Arena;
    ///
    /// let mut arena = Arena::builder().no_debug().build()?;
    /// for number in 0..10_000_u64 {
    ///     arena.alloc_value(number);
    /// }
    /// let mut sum = 0;
    /// for chunk in arena.iter_allocated_chunks() {
    ///     for number in chunk.chunks_exact(size_of::<u64>()) {
    ///         // SAFETY: the arena holds nothing but values of `u64`, which leave no padding.
    ///         sum += unsafe { number.as_ptr().cast::<u64>().read() };
    ///     }
    /// }
    /// assert_eq!(sum, 49_995_000);
    /// # use std::mem::size_of;
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn iter_allocated_chunks(&mut self) -> ChunkIter<'_> {
        // SAFETY: `&mut self`: while the iterator exists, no other code uses the arena.
        ChunkIter { raw: unsafe { self.iter_allocated_chunks_raw() }, _arena: PhantomData }
    }

    /// The same bytes as those of [`iter_allocated_chunks`](Self::iter_allocated_chunks), as
    /// pointers and lengths, of an arena that is borrowed.
    ///
    /// # Safety
    ///
    /// - While the iterator is used, the arena does not change: nothing is allocated, resized, given
    ///   back or rewound, and no scope begins or ends.
    ///
    /// The pointers may be read as long as no `&mut` to what is allocated there is in use.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::Arena::builder().no_debug().build()?;
    /// arena.alloc_slice_copy(&[7_u64; 5]);
    /// // SAFETY: the arena does not change meanwhile.
    /// let bytes: usize = unsafe { arena.iter_allocated_chunks_raw() }.map(|(_, len)| len).sum();
    /// assert_eq!(bytes, 40);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub unsafe fn iter_allocated_chunks_raw(&self) -> ChunkRawIter<'_> {
        ChunkRawIter { blocks: Some(Blocks::of(self)) }
    }
}

impl FixedArena<'_> {
    /// As [`Arena::iter_allocated_chunks`].
    ///
    /// # Examples
    ///
    /// ```
    /// let mut memory = [std::mem::MaybeUninit::uninit(); 1024];
    /// let mut arena = aegis_memory::arena::FixedArena::new(&mut memory);
    /// arena.alloc(8).fill(1);
    /// assert_eq!(arena.iter_allocated_chunks().count(), 1);
    /// ```
    pub fn iter_allocated_chunks(&mut self) -> ChunkIter<'_> {
        // SAFETY: `&mut self`: while the iterator exists, no other code uses the arena.
        ChunkIter { raw: unsafe { self.iter_allocated_chunks_raw() }, _arena: PhantomData }
    }
}

#[cfg(aegis_threads)]
impl<H: core::ops::Deref<Target = ArenaRecycler>> Recycled<H> {
    /// As [`Arena::iter_allocated_chunks`].
    ///
    /// # Examples
    ///
    /// ```
    /// let recycler = aegis_memory::arena::ArenaRecycler::new(1, 4096);
    /// let mut arena = recycler.get();
    /// arena.alloc(8).fill(1);
    /// assert_eq!(arena.iter_allocated_chunks().count(), 1);
    /// ```
    pub fn iter_allocated_chunks(&mut self) -> ChunkIter<'_> {
        // SAFETY: `&mut self`: while the iterator exists, no other code uses the arena.
        ChunkIter { raw: unsafe { self.iter_allocated_chunks_raw() }, _arena: PhantomData }
    }
}

impl Iterator for ChunkRawIter<'_> {
    type Item = (*mut u8, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let blocks = self.blocks.as_mut()?;
        while let Some(block) = blocks.next() {
            if block.used_bytes != 0 {
                return Some((block.start.cast_mut().cast(), block.used_bytes));
            }
        }
        self.blocks = None;
        None
    }
}

impl FusedIterator for ChunkRawIter<'_> {}

impl<'a> Iterator for ChunkIter<'a> {
    type Item = &'a [MaybeUninit<u8>];

    fn next(&mut self) -> Option<Self::Item> {
        let (start, len) = self.raw.next()?;
        // SAFETY: bytes of a block of the arena. They stay valid and unchanged, because the arena is
        // borrowed exclusively for 'a.
        Some(unsafe { slice::from_raw_parts(start.cast(), len) })
    }
}

impl FusedIterator for ChunkIter<'_> {}

impl fmt::Debug for ChunkIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkIter").finish_non_exhaustive()
    }
}

impl fmt::Debug for ChunkRawIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkRawIter").finish_non_exhaustive()
    }
}
