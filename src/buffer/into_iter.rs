// SPDX-License-Identifier: Apache-2.0
//! Iterating over the bytes of views and writers.

use core::iter::FusedIterator;
use core::ops::Range;
use core::slice;

use super::view::Buffer;
use super::writer::BufferMut;

/// An iterator over the bytes of a [`Buffer`], which it keeps. It is dropped with the iterator, not
/// with its last byte.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::Buffer;
///
/// let digits = Buffer::from("12345").into_iter().map(|digit| u32::from(digit - b'0'));
/// assert_eq!(digits.sum::<u32>(), 15);
/// ```
#[derive(Clone, Debug)]
pub struct IntoIter {
    buffer: Buffer,
    /// The offsets of the bytes that are still to come. All are inside the buffer.
    left: Range<usize>,
}

impl IntoIter {
    /// The bytes that are still to come.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut bytes = aegis_memory::buffer::Buffer::from("abc").into_iter();
    /// bytes.next();
    /// assert_eq!(bytes.as_slice(), b"bc");
    /// ```
    pub fn as_slice(&self) -> &[u8] {
        &self.buffer[self.left.clone()]
    }

    /// The bytes that are still to come, as a view.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut bytes = aegis_memory::buffer::Buffer::from("abc").into_iter();
    /// bytes.next_back();
    /// assert_eq!(bytes.into_inner(), "ab");
    /// ```
    #[must_use]
    pub fn into_inner(mut self) -> Buffer {
        self.buffer.truncate(self.left.end);
        self.buffer.advance(self.left.start.min(self.buffer.len()));
        self.buffer
    }
}

impl Iterator for IntoIter {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        self.left.next().map(|at| self.buffer[at])
    }

    #[inline]
    fn nth(&mut self, count: usize) -> Option<u8> {
        self.left.nth(count).map(|at| self.buffer[at])
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }

    fn fold<B, F: FnMut(B, u8) -> B>(self, first: B, step: F) -> B {
        self.as_slice().iter().copied().fold(first, step)
    }
}

impl DoubleEndedIterator for IntoIter {
    #[inline]
    fn next_back(&mut self) -> Option<u8> {
        self.left.next_back().map(|at| self.buffer[at])
    }
}

impl ExactSizeIterator for IntoIter {}

impl FusedIterator for IntoIter {}

impl IntoIterator for Buffer {
    type Item = u8;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        let left = 0..self.len();
        IntoIter { buffer: self, left }
    }
}

impl<'a> IntoIterator for &'a Buffer {
    type Item = &'a u8;
    type IntoIter = slice::Iter<'a, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for BufferMut {
    type Item = u8;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        self.freeze().into_iter()
    }
}

impl<'a> IntoIterator for &'a BufferMut {
    type Item = &'a u8;
    type IntoIter = slice::Iter<'a, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut BufferMut {
    type Item = &'a mut u8;
    type IntoIter = slice::IterMut<'a, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}
