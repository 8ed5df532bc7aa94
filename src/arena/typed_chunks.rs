// SPDX-License-Identifier: Apache-2.0
//! The chunks of a [`TypedArena`](super::TypedArena).
//!
//! A chunk is an allocation of an [`Arena`]: a record, and room for values. The open chunk, the last
//! one of the list, takes the next value. A full chunk grows in place if it is the latest allocation
//! of its block; otherwise another chunk is opened. So values never move.
//!
//! Each chunk of the list holds `len` values, in the order of their indices. For the open chunk the
//! field `len` of [`Chunks`] counts, for each other one the field of its record.
//!
//! The methods take the type of the values, which is the same for all calls on one list.

use core::alloc::Layout;
use core::cell::Cell;
use core::mem::{align_of, size_of};
use core::ptr::NonNull;

use super::forms::{too_large, Allocate};
use super::one_owner::Arena;
use crate::error::AllocError;

/// The record at the start of a chunk.
pub(super) struct Chunk {
    /// The next chunk of the list.
    pub(super) next: Cell<Option<NonNull<Chunk>>>,
    /// How many values it holds, unless it is the open chunk.
    pub(super) len: Cell<usize>,
}

/// The chunks, of whatever type their values are. Its drop drops the values and then the memory.
pub(super) struct Chunks {
    pub(super) arena: Arena,
    first: Cell<Option<NonNull<Chunk>>>,
    last: Cell<Option<NonNull<Chunk>>>,
    /// The values of the open chunk, how many they are, and for how many there is room. If no chunk
    /// is open, the last two are 0.
    items: Cell<NonNull<u8>>,
    len: Cell<usize>,
    capacity: Cell<usize>,
    /// Values in the other chunks.
    before: Cell<usize>,
    /// Drops the values of these chunks.
    drop_values: unsafe fn(Option<NonNull<Chunk>>),
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.drop_values();
    }
}

const fn offset_of_values<T>() -> usize {
    let (size, align) = (size_of::<Chunk>(), align_of::<T>());
    (size + align - 1) & !(align - 1)
}

/// The layout of a chunk with room for this number of values.
pub(super) fn layout_of<T>(capacity: usize) -> Result<Layout, AllocError> {
    let whole = Layout::array::<T>(capacity).and_then(|items| Layout::new::<Chunk>().extend(items));
    whole.map(|(layout, _)| layout).map_err(|_| too_large::<T>(capacity))
}

/// The values of a chunk.
pub(super) fn values_of<T>(chunk: NonNull<Chunk>) -> NonNull<T> {
    // SAFETY: the values follow the record, in the same allocation.
    unsafe { NonNull::new_unchecked(chunk.as_ptr().cast::<u8>().add(offset_of_values::<T>())) }
        .cast()
}

/// The chunk with these values.
fn chunk_of<T>(values: NonNull<T>) -> NonNull<Chunk> {
    // SAFETY: the record lies before the values, in the same allocation.
    unsafe { NonNull::new_unchecked(values.as_ptr().cast::<u8>().sub(offset_of_values::<T>())) }
        .cast()
}

/// The values that a chunk has room for, if no number is asked for.
pub(super) const fn few<T>() -> usize {
    const BYTES: usize = 256;
    match size_of::<T>() {
        0 => usize::MAX,
        size if size > BYTES => 1,
        size => BYTES / size,
    }
}

impl Chunks {
    /// An empty list, whose chunks will come from this arena.
    ///
    /// # Safety
    ///
    /// - `drop_values` drops values of the type that the other methods are called with.
    pub(super) unsafe fn new(arena: Arena, drop_values: unsafe fn(Option<NonNull<Chunk>>)) -> Self {
        Self {
            arena,
            first: Cell::new(None),
            last: Cell::new(None),
            items: Cell::new(NonNull::dangling()),
            len: Cell::new(0),
            capacity: Cell::new(0),
            before: Cell::new(0),
            drop_values,
        }
    }

    /// The number of values.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.before.get() + self.len.get()
    }

    /// A place for the next value. It counts as a value from now on, so the caller writes it at once.
    #[inline(always)]
    pub(super) fn place<T>(&self) -> Result<NonNull<T>, AllocError> {
        if self.len.get() == self.capacity.get() {
            self.make_room::<T>(1)?;
        }
        let len = self.len.get();
        self.len.set(len + 1);
        // SAFETY: the open chunk has room behind its values.
        Ok(unsafe { NonNull::new_unchecked(self.items.get().cast::<T>().as_ptr().add(len)) })
    }

    /// Makes room for this number of values in one chunk.
    #[inline]
    pub(super) fn reserve<T>(&self, values: usize) -> Result<(), AllocError> {
        if values > self.capacity.get() - self.len.get() {
            self.make_room::<T>(values)?;
        }
        Ok(())
    }

    /// Makes room in the open chunk for `more` values, or opens a chunk that has it.
    #[cold]
    #[inline(never)]
    fn make_room<T>(&self, more: usize) -> Result<(), AllocError> {
        let (items, len) = (self.items.get().cast::<T>(), self.len.get());
        if self.capacity.get() != 0 {
            // SAFETY: the open chunk has room for this number of values.
            let grown = unsafe { self.grow_in_place(items, len, self.capacity.get(), more) };
            if let Some(capacity) = grown {
                self.capacity.set(capacity);
                return Ok(());
            }
        }
        let capacity = more.max(few::<T>());
        let chunk = self.new_chunk::<T>(capacity)?;
        // SAFETY: a new chunk with this capacity.
        unsafe { self.open::<T>(chunk, 0, capacity) };
        Ok(())
    }

    /// Makes room for `more` values behind the `len` values of a chunk, where it is. Returns how many
    /// values it has room for then.
    ///
    /// # Safety
    ///
    /// - A chunk of this arena has its values at `items`, and has room for `capacity` values.
    pub(super) unsafe fn grow_in_place<T>(
        &self,
        items: NonNull<T>,
        len: usize,
        capacity: usize,
        more: usize,
    ) -> Option<usize> {
        let old = layout_of::<T>(capacity).ok()?;
        let least = len.checked_add(more)?;
        let mut wanted = least.max(capacity.saturating_mul(2));
        loop {
            if let Ok(new) = layout_of::<T>(wanted) {
                let room = chunk_of(items).cast();
                // SAFETY: the chunk is an allocation of the arena with this size.
                if unsafe { self.arena.resize_in_place(room, old.size(), new.size()) } {
                    return Some(wanted);
                }
            }
            if wanted == least {
                return None;
            }
            // The block ends before: the chunk takes most of what is left.
            wanted = least.max(capacity + (wanted - capacity) / 2);
        }
    }

    /// A chunk that is in no list yet.
    pub(super) fn new_chunk<T>(&self, capacity: usize) -> Result<NonNull<Chunk>, AllocError> {
        let chunk = self.arena.take_regrown(layout_of::<T>(capacity)?)?.cast::<Chunk>();
        // SAFETY: new room, which begins with a place for a record.
        unsafe { chunk.as_ptr().write(Chunk { next: Cell::new(None), len: Cell::new(0) }) };
        Ok(chunk)
    }

    /// Puts a chunk at the end of the list and opens it.
    ///
    /// # Safety
    ///
    /// - It is a chunk of this arena with `len` values and room for `capacity`, and in no list.
    pub(super) unsafe fn open<T>(&self, chunk: NonNull<Chunk>, len: usize, capacity: usize) {
        self.close();
        match self.last.get() {
            // SAFETY: a chunk of the list.
            Some(last) => unsafe { last.as_ref() }.next.set(Some(chunk)),
            None => self.first.set(Some(chunk)),
        }
        self.last.set(Some(chunk));
        self.set_open(values_of::<T>(chunk).cast(), len, capacity);
    }

    /// Closes the open chunk, and returns its values, how many they are, and for how many there is
    /// room. Then the next value opens another chunk, unless this one is [put
    /// back](Self::put_back).
    #[inline]
    pub(super) fn take_open<T>(&self) -> Option<(NonNull<T>, usize, usize)> {
        let taken = (self.items.get().cast(), self.len.get(), self.capacity.get());
        self.close();
        (taken.2 != 0).then_some(taken)
    }

    /// Counts `len - before` more values in a chunk that was taken with `before` values. Opens it
    /// again, unless another one was opened since.
    ///
    /// # Safety
    ///
    /// - The chunk was taken by `take_open` and is not put back yet. It holds `len` values now, and
    ///   has room for `capacity`.
    #[inline]
    pub(super) unsafe fn put_back<T>(
        &self,
        items: NonNull<T>,
        before: usize,
        len: usize,
        capacity: usize,
    ) {
        let chunk = chunk_of(items);
        if self.last.get() == Some(chunk) {
            self.before.set(self.before.get() - before);
            self.set_open(items.cast(), len, capacity);
        } else {
            self.before.set(self.before.get() + (len - before));
            // SAFETY: a chunk of the list.
            unsafe { chunk.as_ref() }.len.set(len);
        }
    }

    /// The first chunk of the list. The records of all chunks are good until a value is added.
    #[inline]
    pub(super) fn first(&self) -> Option<NonNull<Chunk>> {
        self.note_len();
        self.first.get()
    }

    /// Takes all chunks out of the list. Returns the first one, and the number of values.
    pub(super) fn take_all(&self) -> (Option<NonNull<Chunk>>, usize) {
        self.close();
        self.last.set(None);
        (self.first.take(), self.before.take())
    }

    /// Takes all chunks out of the list and drops their values.
    pub(super) fn drop_values(&mut self) {
        let (first, _) = self.take_all();
        // SAFETY: the function is the one for the type of the values, which are in no list any more.
        unsafe { (self.drop_values)(first) };
    }

    /// Writes the number of values of the open chunk to its record.
    #[inline]
    fn note_len(&self) {
        if let Some(last) = self.last.get().filter(|_| self.capacity.get() != 0) {
            // SAFETY: a chunk of the list.
            unsafe { last.as_ref() }.len.set(self.len.get());
        }
    }

    #[inline]
    fn close(&self) {
        self.note_len();
        self.before.set(self.before.get() + self.len.get());
        self.set_open(self.items.get(), 0, 0);
    }

    #[inline]
    fn set_open(&self, items: NonNull<u8>, len: usize, capacity: usize) {
        self.items.set(items);
        self.len.set(len);
        self.capacity.set(capacity);
    }
}
