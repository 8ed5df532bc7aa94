// SPDX-License-Identifier: Apache-2.0
//! The items of an iterator on their way into a [`TypedArena`](super::TypedArena), one behind the
//! other.
//!
//! Until the last item has come they are a [`Run`] and belong to no chunk of the list. A run begins
//! behind the values of the open chunk, which it takes, so that the values that the iterator itself
//! allocates go to another chunk. If that chunk cannot grow, the run moves to a chunk of its own. If
//! the iterator panics, or there is no memory, the run drops its items.

use core::mem::forget;
use core::ptr::{self, NonNull};

use super::forms::Allocate;
use super::typed_chunks::{few, layout_of, values_of, Chunk, Chunks};
use crate::error::AllocError;

pub(super) struct Run<'a, T> {
    chunks: &'a Chunks,
    place: Place,
    items: NonNull<T>,
    len: usize,
    capacity: usize,
}

/// Where the items of a run are.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    /// Behind this number of values of a chunk that was taken from the list.
    Behind(usize),
    /// In a chunk that is in no list.
    Own(NonNull<Chunk>),
}

impl<'a, T> Run<'a, T> {
    /// # Safety
    ///
    /// - The values of the chunks are of this type.
    #[inline]
    pub(super) unsafe fn begin(chunks: &'a Chunks) -> Self {
        let (place, items, capacity) = match chunks.take_open::<T>() {
            None => (Place::Nowhere, NonNull::dangling(), 0),
            Some((items, len, capacity)) => {
                // SAFETY: the place behind the values is in the room of the chunk, or its end.
                let items = unsafe { NonNull::new_unchecked(items.as_ptr().add(len)) };
                (Place::Behind(len), items, capacity - len)
            }
        };
        Self { chunks, place, items, len: 0, capacity }
    }

    /// Appends an item. `more` says how many follow at least.
    #[inline]
    pub(super) fn push(&mut self, item: T, more: impl FnOnce() -> usize) -> Result<(), AllocError> {
        if self.len == self.capacity {
            self.reserve(more().saturating_add(1))?;
        }
        // SAFETY: there is room for the item, and no other code has a pointer to it.
        unsafe { self.items.as_ptr().add(self.len).write(item) };
        self.len += 1;
        Ok(())
    }

    /// Makes room for `more` items behind those that are here.
    #[inline]
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), AllocError> {
        if more <= self.capacity - self.len {
            return Ok(());
        }
        self.make_room(more)
    }

    #[cold]
    fn make_room(&mut self, more: usize) -> Result<(), AllocError> {
        if let Some((items, before)) = self.chunk() {
            let (len, capacity) = (before + self.len, before + self.capacity);
            // SAFETY: the chunk that the run is in.
            let grown = unsafe { self.chunks.grow_in_place(items, len, capacity, more) };
            if let Some(capacity) = grown {
                self.capacity = capacity - before;
                return Ok(());
            }
        }
        let wanted = self.len.saturating_add(more).max(self.len.saturating_mul(2)).max(few::<T>());
        let chunk = self.chunks.new_chunk::<T>(wanted)?;
        let items = values_of::<T>(chunk);
        // SAFETY: new room for more than the items, which are not used where they were.
        unsafe { ptr::copy_nonoverlapping(self.items.as_ptr(), items.as_ptr(), self.len) };
        self.leave();
        (self.place, self.items, self.capacity) = (Place::Own(chunk), items, wanted);
        Ok(())
    }

    /// Puts the items into the list.
    #[inline]
    pub(super) fn finish(self) -> NonNull<[T]> {
        let items = NonNull::slice_from_raw_parts(self.items, self.len);
        match self.place {
            Place::Nowhere => {}
            Place::Behind(before) => self.put_back(before, before + self.len),
            // SAFETY: the chunk of the run, which has this number of values and this room.
            Place::Own(chunk) => unsafe {
                self.chunks.open::<T>(chunk, self.len, self.capacity);
            },
        }
        forget(self);
        items
    }

    /// The values of the chunk that the run is in, and how many are before the run.
    #[inline]
    fn chunk(&self) -> Option<(NonNull<T>, usize)> {
        let before = match self.place {
            Place::Nowhere => return None,
            Place::Behind(before) => before,
            Place::Own(_) => 0,
        };
        // SAFETY: this number of values of the same chunk lie before the run.
        let items = unsafe { NonNull::new_unchecked(self.items.as_ptr().sub(before)) };
        Some((items, before))
    }

    #[inline]
    fn put_back(&self, before: usize, len: usize) {
        if let Some((items, _)) = self.chunk() {
            // SAFETY: the chunk that `begin` has taken. The run has not left it yet.
            unsafe { self.chunks.put_back(items, before, len, before + self.capacity) };
        }
    }

    /// Gives back the room that the run is in. The items have been moved or dropped.
    #[inline]
    fn leave(&mut self) {
        match self.place {
            Place::Nowhere => {}
            Place::Behind(before) => self.put_back(before, before),
            Place::Own(chunk) => {
                if let Ok(layout) = layout_of::<T>(self.capacity) {
                    // SAFETY: an allocation of this arena with this size, which is in no list.
                    unsafe { self.chunks.arena.give_back(chunk.cast(), layout.size()) };
                }
            }
        }
        self.place = Place::Nowhere;
    }
}

impl<T> Drop for Run<'_, T> {
    /// What is not finished is dropped. A drop of an item may allocate from the arena, so the room
    /// is given back last.
    fn drop(&mut self) {
        let items = ptr::slice_from_raw_parts_mut(self.items.as_ptr(), self.len);
        self.len = 0;
        // SAFETY: the run owns the items.
        unsafe { ptr::drop_in_place(items) };
        self.leave();
    }
}
