// SPDX-License-Identifier: Apache-2.0
//! Several buffers as one logical value.
//!
//! 1. Every buffer in a chain has bytes: `try_push` drops an empty buffer.
//! 2. `len` is the sum of the lengths of all buffers.
//!
//! Shortening, splitting and joining chains is in `chain_split.rs`, vectored input and output in
//! `io.rs`.

use alloc::collections::{vec_deque, VecDeque};
use core::{fmt, mem, ptr};

use super::range;
use super::view::{drop_inside, Buffer};
use super::writer::BufferMut;
use crate::error::{expect, AllocError};
use crate::unwind;

/// Several buffers as one logical value, for example a message that consists of header and payload.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::{Buffer, BufferChain};
///
/// let mut message: BufferChain = [Buffer::from("head"), Buffer::from("body")].into();
/// assert_eq!(message, "headbody");
/// # #[cfg(feature = "std")] {
/// let mut sent = Vec::new();
/// message.write_vectored_to(&mut sent)?;
/// assert!(message.is_empty() && sent == b"headbody");
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct BufferChain {
    pub(super) parts: VecDeque<Buffer>,
    pub(super) len: usize,
}

impl BufferChain {
    /// An empty chain. It allocates nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// let mut chain = BufferChain::new();
    /// chain.push(Buffer::from("head"));
    /// ```
    pub const fn new() -> Self {
        Self { parts: VecDeque::new(), len: 0 }
    }

    /// Bytes of all buffers together.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// let chain = BufferChain::from([Buffer::from("head"), Buffer::from("body")]);
    /// assert_eq!(chain.len(), 8);
    /// ```
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the chain has no bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// assert!(BufferChain::new().is_empty());
    /// ```
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a buffer at the end. An empty one is dropped.
    ///
    /// # Panics
    ///
    /// As [`try_push`](Self::try_push), and when that fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// let mut chain = BufferChain::new();
    /// chain.push(Buffer::from("head"));
    /// chain.push(Buffer::from("body"));
    /// assert_eq!(chain, "headbody");
    /// ```
    #[track_caller]
    pub fn push(&mut self, buffer: Buffer) {
        expect(self.try_push(buffer).map_err(|(_, error)| error));
    }

    /// Adds a buffer at the end. An empty one is dropped.
    ///
    /// # Errors
    ///
    /// The buffer and [`AllocError::OutOfMemory`], when there is no memory for another entry.
    ///
    /// # Panics
    ///
    /// When the chain would have more than `usize::MAX` bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// let mut chain = BufferChain::new();
    /// assert!(chain.try_push(Buffer::from("head")).is_ok());
    /// ```
    #[track_caller]
    pub fn try_push(&mut self, buffer: Buffer) -> Result<(), (Buffer, AllocError)> {
        self.insert(buffer, VecDeque::push_back)
    }

    /// Adds a buffer at the beginning. An empty one is dropped.
    ///
    /// # Panics
    ///
    /// As [`try_push`](Self::try_push), and when [`try_push_front`](Self::try_push_front) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let mut message = BufferChain::from(Buffer::from("body"));
    /// message.push_front(Buffer::from("head"));
    /// assert_eq!(message, "headbody");
    /// ```
    #[track_caller]
    pub fn push_front(&mut self, buffer: Buffer) {
        expect(self.try_push_front(buffer).map_err(|(_, error)| error));
    }

    /// Adds a buffer at the beginning. An empty one is dropped.
    ///
    /// # Errors
    ///
    /// The buffer and [`AllocError::OutOfMemory`], when there is no memory for another entry.
    ///
    /// # Panics
    ///
    /// When the chain would have more than `usize::MAX` bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let mut message = BufferChain::from(Buffer::from("body"));
    /// message.try_push_front(Buffer::from("head")).map_err(|(_, error)| error)?;
    /// assert_eq!(message, "headbody");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn try_push_front(&mut self, buffer: Buffer) -> Result<(), (Buffer, AllocError)> {
        self.insert(buffer, VecDeque::push_front)
    }

    #[track_caller]
    fn insert(
        &mut self,
        buffer: Buffer,
        push: fn(&mut VecDeque<Buffer>, Buffer),
    ) -> Result<(), (Buffer, AllocError)> {
        let len = self.len.checked_add(buffer.len());
        let len = len.expect("a chain has at most usize::MAX bytes");
        if !buffer.is_empty() {
            if let Err(error) = reserve(&mut self.parts, 1) {
                return Err((buffer, error));
            }
            push(&mut self.parts, buffer);
        }
        self.len = len;
        Ok(())
    }

    /// The buffers, none of which is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// let chain = BufferChain::from([Buffer::from("head"), Buffer::from("body")]);
    /// assert_eq!(chain.iter().map(Buffer::len).sum::<usize>(), 8);
    /// ```
    pub fn iter(&self) -> vec_deque::Iter<'_, Buffer> {
        self.parts.iter()
    }

    /// The bytes of the first buffer, or none if the chain is empty.
    #[cfg(any(feature = "std", feature = "bytes"))]
    #[inline]
    pub(super) fn front(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    /// Drops the first `count` bytes, and every buffer that has none left.
    ///
    /// # Panics
    ///
    /// When `count` is larger than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// let mut chain = BufferChain::from([Buffer::from("head"), Buffer::from("body")]);
    /// chain.advance(6);
    /// assert_eq!(chain, "dy");
    /// ```
    #[track_caller]
    pub fn advance(&mut self, count: usize) {
        if count > self.len {
            range::beyond("an advance by", count, "a chain of", self.len);
        }
        unwind::call(|| self.skip(count));
    }

    /// Drops the first `count` bytes. The chain has at least as many. Callers are inside
    /// `unwind::call`, because the drop of a buffer's owner may panic.
    pub(super) fn skip(&mut self, mut count: usize) {
        while let Some(front) = self.parts.front_mut().filter(|_| count != 0) {
            let step = count.min(front.len());
            count -= step;
            self.len -= step;
            if step < front.len() {
                front.advance(step);
            } else if let Some(used_up) = self.parts.pop_front() {
                drop_inside(used_up);
            }
        }
    }

    /// Whether the first `len` bytes can be read: none of them lies in a mapped file that was
    /// truncated. Adjacent parts of one file are checked once.
    pub(super) fn is_whole(&self, len: usize) -> bool {
        let (mut left, mut asked) = (len, ptr::null_mut());
        self.iter().all(|part| {
            let owner = part.raw().owner;
            let whole = owner == asked || part.is_whole(left);
            left = left.saturating_sub(part.len());
            asked = owner;
            whole
        })
    }

    /// The first `len` bytes, one slice for each buffer.
    #[cfg(feature = "bytes")]
    pub(super) fn pieces(&self, len: usize) -> impl Iterator<Item = &[u8]> {
        let mut left = len;
        self.iter().map_while(move |part| {
            let piece = &part[..left.min(part.len())];
            left -= piece.len();
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// Takes the first `len` bytes without a copy, if the first buffer has that many.
    #[cfg(feature = "bytes")]
    pub(super) fn split_front(&mut self, len: usize) -> Option<Buffer> {
        let front = self.parts.front_mut().filter(|front| len <= front.len())?;
        let part = front.split_to(len);
        if front.is_empty() {
            self.parts.pop_front();
        }
        self.len -= len;
        Some(part)
    }

    /// All bytes as one buffer. Nothing is copied if the chain has one buffer, or if all buffers
    /// lie side by side in the same memory.
    ///
    /// # Panics
    ///
    /// When [`try_into_buffer`](Self::try_into_buffer) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let mut front = Buffer::from(vec![1, 2, 3, 4]);
    /// let data = front.as_ptr();
    /// let back = front.split_off(2);
    /// let whole = BufferChain::from([front, back]).into_buffer();
    /// assert!(whole == [1, 2, 3, 4] && whole.as_ptr() == data);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn into_buffer(self) -> Buffer {
        expect(self.try_into_buffer().map_err(|(_, error)| error))
    }

    /// All bytes as one buffer. Nothing is copied if the chain has one buffer, or if all buffers
    /// lie side by side in the same memory.
    ///
    /// # Errors
    ///
    /// The chain, with the same bytes, and the reason: why there was no memory for a copy, or
    /// [`AllocError::Truncated`] if a mapped file was truncated.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{Buffer, BufferChain};
    /// let chain = BufferChain::from([Buffer::from("head"), Buffer::from("body")]);
    /// assert_eq!(chain.try_into_buffer().map_err(|(_, error)| error)?, "headbody");
    ///
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_into_buffer(mut self) -> Result<Buffer, (Self, AllocError)> {
        let mut whole = self.parts.pop_front().unwrap_or_default();
        while let Some(part) = self.parts.pop_front() {
            if let Err(part) = whole.try_unsplit(part) {
                self.parts.push_front(part);
                break;
            }
        }
        if self.parts.is_empty() {
            return Ok(whole);
        }
        self.parts.push_front(whole);
        if !self.is_whole(self.len) {
            let truncated = AllocError::Truncated { requested: self.len };
            return Err((self, truncated));
        }
        match BufferMut::try_with_capacity(self.len) {
            Ok(mut copy) => {
                self.iter().for_each(|part| copy.extend_from_slice(part));
                let parts = mem::take(&mut self.parts);
                // If an owner panics in its drop, the panic ends here: the copy is complete.
                unwind::call_keeping(|()| true, || parts.into_iter().for_each(drop_inside));
                Ok(copy.freeze())
            }
            Err(error) => Err((self, error)),
        }
    }

    /// Whether the bytes are those of `other`.
    fn equals(&self, mut other: &[u8]) -> bool {
        self.len == other.len()
            && self.iter().all(|part| {
                let (same, rest) = other.split_at(part.len());
                other = rest;
                *part == *same
            })
    }
}

/// Room for more buffers in a table.
pub(super) fn reserve(parts: &mut VecDeque<Buffer>, count: usize) -> Result<(), AllocError> {
    if parts.try_reserve(count).is_err() {
        let size = mem::size_of::<Buffer>();
        let (requested, in_use) = (count.saturating_mul(size), parts.len() * size);
        return Err(AllocError::out_of_memory(requested, mem::align_of::<Buffer>(), in_use));
    }
    Ok(())
}

impl From<Buffer> for BufferChain {
    fn from(buffer: Buffer) -> Self {
        [buffer].into()
    }
}

impl<const N: usize> From<[Buffer; N]> for BufferChain {
    fn from(buffers: [Buffer; N]) -> Self {
        buffers.into_iter().collect()
    }
}

impl Extend<Buffer> for BufferChain {
    fn extend<I: IntoIterator<Item = Buffer>>(&mut self, buffers: I) {
        buffers.into_iter().for_each(|buffer| self.push(buffer));
    }
}

impl FromIterator<Buffer> for BufferChain {
    fn from_iter<I: IntoIterator<Item = Buffer>>(buffers: I) -> Self {
        let mut chain = Self::new();
        chain.extend(buffers);
        chain
    }
}

impl IntoIterator for BufferChain {
    type Item = Buffer;
    type IntoIter = vec_deque::IntoIter<Buffer>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter()
    }
}

impl<'a> IntoIterator for &'a BufferChain {
    type Item = &'a Buffer;
    type IntoIter = vec_deque::Iter<'a, Buffer>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for BufferChain {
    /// Compares the bytes, however they are divided into buffers.
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().flatten().eq(other.iter().flatten())
    }
}

impl Eq for BufferChain {}

impl PartialEq<[u8]> for BufferChain {
    fn eq(&self, other: &[u8]) -> bool {
        self.equals(other)
    }
}

impl PartialEq<&[u8]> for BufferChain {
    fn eq(&self, other: &&[u8]) -> bool {
        self.equals(other)
    }
}

impl PartialEq<str> for BufferChain {
    fn eq(&self, other: &str) -> bool {
        self.equals(other.as_bytes())
    }
}

impl PartialEq<&str> for BufferChain {
    fn eq(&self, other: &&str) -> bool {
        self.equals(other.as_bytes())
    }
}

impl PartialEq<Buffer> for BufferChain {
    fn eq(&self, other: &Buffer) -> bool {
        self.equals(other)
    }
}

impl PartialEq<BufferChain> for Buffer {
    fn eq(&self, other: &BufferChain) -> bool {
        other.equals(self)
    }
}

/// Shows each buffer as a byte string.
impl fmt::Debug for BufferChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}
