// SPDX-License-Identifier: Apache-2.0
//! Splitting and joining writers, in constant time and inlined. The rules are those of
//! `aegis_memory/buffer.h`; a test holds both equal.

use super::writer::BufferMut;
use super::{owner, range};
use crate::error::expect;
use crate::{ffi, unwind};

impl BufferMut {
    /// Splits the writer: the bytes before `at` are returned, without room behind them; those from
    /// `at` on stay, and the room. Each of both holds the memory, even a writer without room, which may
    /// [have all of it again](Self::reserve) when the other is gone.
    ///
    /// # Panics
    ///
    /// When `at` is larger than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut rest = aegis_memory::buffer::BufferMut::with_capacity(32);
    /// rest.extend_from_slice(b"headbody");
    /// let head = rest.split_to(4).freeze();
    /// rest.extend_from_slice(b" and more");
    /// assert!(head == "head" && rest == "body and more");
    /// ```
    #[inline]
    #[must_use = "the bytes before are gone from the writer"]
    #[track_caller]
    pub fn split_to(&mut self, at: usize) -> Self {
        if at > self.len() {
            range::beyond("a split at", at, "a writer that has written", self.len());
        }
        let front = self.cut(0, at, at);
        let raw = self.raw_mut();
        // SAFETY: `at` is inside.
        raw.data = unsafe { raw.data.add(at) };
        raw.length -= at;
        raw.capacity -= at;
        raw.initialized = raw.initialized.saturating_sub(at);
        front
    }

    /// Splits the bytes written off, and keeps the room: `split_to(len())`.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{BufferMut, BufferPool};
    ///
    /// // Two messages share a page.
    /// let mut page = BufferPool::new(4096, 1).get(4096)?;
    /// page.extend_from_slice(b"first");
    /// let first = page.split().freeze();
    /// page.extend_from_slice(b"second");
    /// assert!(first == "first" && page == "second" && page.capacity() == 4096 - 5);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    #[must_use = "the bytes are gone from the writer: see clear"]
    pub fn split(&mut self) -> Self {
        self.split_to(self.len())
    }

    /// Splits the writer: what is from `at` on is returned, bytes and room; what is before stays.
    /// The room may be split too.
    ///
    /// # Panics
    ///
    /// When `at` is larger than the capacity.
    #[inline]
    #[must_use = "the bytes and the room behind are gone from the writer: see truncate"]
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        if at > self.capacity() {
            range::beyond("a split at", at, "a writer with a capacity of", self.capacity());
        }
        let length = self.len().saturating_sub(at);
        let back = self.cut(at, length, self.capacity() - at);
        let raw = self.raw_mut();
        raw.length -= length;
        raw.capacity = at;
        raw.initialized = raw.initialized.min(at);
        back
    }

    /// Joins a writer that begins in the same memory where this one's capacity ends. There must be
    /// no room between the bytes of both, but two rooms join. A writer without capacity always does.
    ///
    /// # Errors
    ///
    /// `back`, when the two do not meet; nothing changed.
    #[inline]
    pub fn try_unsplit(&mut self, back: Self) -> Result<(), Self> {
        let raw = self.raw();
        let meets = raw.owner == back.raw().owner
            && raw.data.wrapping_add(raw.capacity) == back.raw().data
            && (raw.length == raw.capacity || back.is_empty());
        if back.capacity() == 0 {
            return Ok(());
        }
        if !meets {
            return Err(back);
        }
        let back = *back.raw();
        let raw = self.raw_mut();
        if raw.length.max(raw.initialized) == raw.capacity {
            raw.initialized = raw.capacity + back.initialized;
        }
        raw.length += back.length;
        raw.capacity += back.capacity;
        Ok(())
    }

    /// Joins a writer: as [`try_unsplit`](Self::try_unsplit) if the two meet, else by appending a
    /// copy of its bytes, for which it [makes room](Self::reserve).
    ///
    /// # Panics
    ///
    /// When there is no memory for a copy.
    #[track_caller]
    pub fn unsplit(&mut self, back: Self) {
        if let Err(back) = self.try_unsplit(back) {
            // A panic in the drop of the old memory's owner goes on when the bytes are here.
            expect(unwind::call(|| {
                self.grow(back.len(), None)?;
                self.try_extend_from_slice(&back)
            }));
        }
    }

    /// Another writer for `capacity` bytes from `start` on, which this one gives up next.
    #[inline(always)]
    fn cut(&self, start: usize, length: usize, capacity: usize) -> Self {
        let raw = self.raw();
        debug_assert!(length <= capacity && start + capacity <= raw.capacity);
        // SAFETY: `self` is a handle.
        unsafe { owner::retain(raw.owner) };
        // SAFETY: `start` is inside.
        let data = unsafe { raw.data.add(start) };
        let initialized = raw.initialized.saturating_sub(start).min(capacity);
        let part = ffi::aegis_buffer_mut { data, length, capacity, owner: raw.owner, initialized };
        // SAFETY: a handle with the reference just counted; the caller sees to it that no other
        // writer has the range.
        unsafe { Self::from_raw(part) }
    }
}
