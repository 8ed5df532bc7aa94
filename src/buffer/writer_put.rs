// SPDX-License-Identifier: Apache-2.0
//! What a writer does with bytes besides copying them in: it drops bytes at its front, repeats its
//! own, and takes the memory of a view over instead of a copy.

use core::ops::RangeBounds;

use super::view::Buffer;
use super::writer::BufferMut;
use super::{owner, range};
use crate::error::{expect, AllocError};

impl BufferMut {
    /// Drops the first `count` bytes. The room behind the bytes stays the same. The place of the
    /// bytes is room again when [`reserve`](Self::reserve) or [`try_reclaim`](Self::try_reclaim)
    /// gives the writer all of its memory.
    ///
    /// # Panics
    ///
    /// When `count` is larger than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut input = aegis_memory::buffer::BufferMut::from("key=value");
    /// input.advance(4);
    /// assert_eq!(input, "value");
    /// ```
    #[inline]
    #[track_caller]
    pub fn advance(&mut self, count: usize) {
        if count > self.len() {
            range::beyond("an advance by", count, "a writer that has written", self.len());
        }
        let raw = self.raw_mut();
        // SAFETY: the writer has at least `count` bytes.
        raw.data = unsafe { raw.data.add(count) };
        raw.length -= count;
        raw.capacity -= count;
        raw.initialized = raw.initialized.saturating_sub(count);
    }

    /// Appends a copy of a part of the bytes written.
    ///
    /// # Panics
    ///
    /// When the range is not inside the bytes written, or the bytes do not fit.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut line = aegis_memory::buffer::BufferMut::with_capacity(16);
    /// line.extend_from_slice(b"na");
    /// line.extend_from_within(..);
    /// line.extend_from_within(1..3);
    /// assert_eq!(line, "nanaan");
    /// ```
    #[track_caller]
    pub fn extend_from_within(&mut self, range: impl RangeBounds<usize>) {
        expect(self.try_extend_from_within(range));
    }

    /// Appends a copy of a part of the bytes written.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when they do not fit. Then nothing is written.
    ///
    /// # Panics
    ///
    /// When the range is not inside the bytes written.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut line = aegis_memory::buffer::BufferMut::with_capacity(5);
    /// line.extend_from_slice(b"na");
    /// assert!(line.try_extend_from_within(..).is_ok() && line.try_extend_from_within(..).is_err());
    /// assert_eq!(line, "nana");
    /// ```
    #[track_caller]
    pub fn try_extend_from_within(
        &mut self,
        range: impl RangeBounds<usize>,
    ) -> Result<(), AllocError> {
        let Some((start, end)) = range::resolve(&range, self.len()) else {
            range::outside(range.start_bound(), range.end_bound(), self.len())
        };
        let count = end - start;
        self.room_for(count)?;
        let data = self.raw().data;
        // SAFETY: the range is inside the bytes written, and there is room behind these.
        unsafe { data.add(self.len()).copy_from_nonoverlapping(data.add(start), count) };
        self.raw_mut().length += count;
        Ok(())
    }

    /// Appends the bytes of a view, and takes its memory over instead of a copy if it can:
    ///
    /// - The view begins in the same memory where the bytes of this writer end, and no other handle
    ///   refers to this memory. So what was [split off](Self::split_off) and frozen is joined again.
    /// - This writer is empty and has no room for the bytes, and the view is the only handle to
    ///   writable memory. Then this writer gives its own memory up.
    ///
    /// # Panics
    ///
    /// When [`try_put_buffer`](Self::try_put_buffer) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferMut};
    ///
    /// let message = Buffer::from(b"a long message".to_vec());
    /// let data = message.as_ptr();
    /// let mut writer = BufferMut::with_capacity(0);
    /// writer.put_buffer(message);
    /// assert!(writer == "a long message" && writer.as_ptr() == data);
    /// ```
    #[track_caller]
    pub fn put_buffer(&mut self, source: Buffer) {
        expect(self.try_put_buffer(source).map_err(|(_, error)| error));
    }

    /// Appends the bytes of a view, and takes its memory over instead of a copy if it can: as
    /// [`put_buffer`](Self::put_buffer).
    ///
    /// If the bytes were copied, a panic in the drop of the view's owner continues here, and so does
    /// one in the drop of the memory that this writer gives up.
    ///
    /// # Errors
    ///
    /// The view and the reason: [`AllocError::Exhausted`] when its bytes do not fit and its memory
    /// cannot be taken over, [`AllocError::Truncated`] when they lie in a mapped file that was
    /// truncated. The writer is unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferMut};
    ///
    /// let mut writer = BufferMut::with_capacity(4);
    /// assert!(writer.try_put_buffer(Buffer::from("four")).is_ok());
    /// let (refused, _error) = writer.try_put_buffer(Buffer::from("more")).expect_err("it is full");
    /// assert!(writer == "four" && refused == "more");
    /// ```
    pub fn try_put_buffer(&mut self, source: Buffer) -> Result<(), (Buffer, AllocError)> {
        let Err(source) = self.absorb(source) else { return Ok(()) };
        let len = source.len();
        if self.is_empty() && len > self.remaining_capacity() {
            return match source.try_into_mut() {
                Ok(writer) => {
                    *self = writer;
                    Ok(())
                }
                Err(source) => Err((source, self.full(len))),
            };
        }
        if let Err(error) = self.room_for(len) {
            return Err((source, error));
        }
        if !source.is_whole(len) {
            return Err((source, AllocError::Truncated { requested: len }));
        }
        let appended = self.try_extend_from_slice(&source);
        debug_assert!(appended.is_ok());
        Ok(())
    }

    /// Makes the bytes of a view, and the room behind them, a part of this writer, if the view
    /// begins where the bytes of the writer end, and both together are all handles to the memory.
    fn absorb(&mut self, source: Buffer) -> Result<(), Buffer> {
        let (own, view) = (*self.raw(), *source.raw());
        let meets = own.owner == view.owner
            && own.data.wrapping_add(own.length).cast_const() == view.data
            // SAFETY: `self` is a handle.
            && unsafe { owner::is_shared_by_two(own.owner) };
        if !meets {
            return Err(source);
        }
        drop(source);
        // SAFETY: the handle keeps the owner, and these fields do not change while there are
        // handles.
        let (base, capacity) = unsafe { ((*own.owner).base, (*own.owner).capacity_bytes) };
        let raw = self.raw_mut();
        raw.length += view.length;
        raw.capacity = capacity - (own.data as usize - base as usize);
        Ok(())
    }
}

impl Extend<u8> for BufferMut {
    /// Appends the bytes. A writer does not grow by itself.
    ///
    /// # Panics
    ///
    /// When a byte does not fit. The bytes before it stay appended.
    fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
        bytes.into_iter().for_each(|byte| self.extend_from_slice(&[byte]));
    }
}

impl<'a> Extend<&'a u8> for BufferMut {
    /// Appends the bytes. A writer does not grow by itself.
    ///
    /// # Panics
    ///
    /// When a byte does not fit. The bytes before it stay appended.
    fn extend<I: IntoIterator<Item = &'a u8>>(&mut self, bytes: I) {
        self.extend(bytes.into_iter().copied());
    }
}
