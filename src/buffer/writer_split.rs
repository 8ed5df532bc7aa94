// SPDX-License-Identifier: Apache-2.0
//! Splitting and joining writers, in constant time and inlined. The rules are those of
//! `aegis_memory/buffer.h`. A test checks that both do the same.

use super::writer::BufferMut;
use super::{owner, range};
use crate::error::expect;
use crate::{ffi, unwind};

impl BufferMut {
    /// Splits the writer. It returns a writer of the bytes before `at`, without room behind them.
    /// The bytes from `at` on and the room stay in this writer. Both writers keep the memory. When
    /// one of them is gone, [`reserve`](Self::reserve) can give all of the memory to the other,
    /// also to a writer without room.
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

    /// Splits off the bytes written and keeps the room: `split_to(len())`.
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

    /// Splits the writer. It returns a writer of the bytes and the room from `at` on. The bytes and
    /// the room before `at` stay in this writer. So `at` may lie in the room too.
    ///
    /// # Panics
    ///
    /// When `at` is larger than the capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut head = aegis_memory::buffer::BufferMut::with_capacity(100);
    /// head.extend_from_slice(b"headbody");
    /// let body = head.split_off(4);
    /// assert!(head == "head" && head.remaining_capacity() == 0 && body == "body");
    /// ```
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

    /// Joins `back` to this writer, if `back` begins in the same memory where the capacity of this
    /// writer ends. If `back` has bytes, this writer must have no room. If `back` has no bytes, its
    /// room is joined to the room of this writer. A `back` without capacity can always be joined.
    ///
    /// # Errors
    ///
    /// `back`, when the two do not meet. Nothing is changed.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut head = aegis_memory::buffer::BufferMut::with_capacity(100);
    /// head.extend_from_slice(b"headbody");
    /// let body = head.split_off(4);
    /// assert!(head.try_unsplit(body).is_ok());
    /// assert_eq!(head, "headbody");
    /// ```
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

    /// Joins `back` to this writer: as [`try_unsplit`](Self::try_unsplit) if the two meet. If this
    /// writer is empty and has no room for the bytes, it gives its memory up and becomes `back`.
    /// Otherwise it [makes room](Self::reserve) and appends a copy of the bytes of `back`.
    ///
    /// # Panics
    ///
    /// When there is no memory for a copy.
    ///
    /// # Examples
    ///
    /// ```
    /// # let mut head = aegis_memory::buffer::BufferMut::with_capacity(100);
    /// head.extend_from_slice(b"headbody");
    /// let body = head.split_off(4);
    /// head.unsplit(body);
    /// assert_eq!(head, "headbody");
    ///
    /// ```
    #[track_caller]
    pub fn unsplit(&mut self, back: Self) {
        if let Err(back) = self.try_unsplit(back) {
            if self.is_empty() && back.len() > self.capacity() {
                *self = back;
                return;
            }
            // A panic in the drop of the old memory's owner continues when the bytes are appended.
            expect(unwind::call(|| {
                self.grow(back.len(), None)?;
                self.try_extend_from_slice(&back)
            }));
        }
    }

    /// Another writer for `capacity` bytes from `start` on. The caller takes these bytes from this
    /// writer next.
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
        // SAFETY: it is a handle with the reference that was just counted. The caller makes sure
        // that no other writer has the range.
        unsafe { Self::from_raw(part) }
    }
}
