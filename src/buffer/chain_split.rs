// SPDX-License-Identifier: Apache-2.0
//! Shortening, splitting and joining chains. The two rules of `chain.rs` hold after each call, also
//! if the drop of an owner panics.

use core::mem;

use super::chain::{reserve, BufferChain};
use super::range;
use super::view::{drop_inside, Buffer};
use crate::error::{expect, AllocError};
use crate::unwind;

impl BufferChain {
    /// Drops all buffers. The memory of the table of the buffers is kept.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let mut message = BufferChain::from([Buffer::from("head"), Buffer::from("body")]);
    /// message.clear();
    /// assert!(message.is_empty());
    /// ```
    pub fn clear(&mut self) {
        unwind::call(|| self.skip(self.len));
    }

    /// Drops the bytes behind the first `len` bytes. A chain that has at most `len` bytes stays as
    /// it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let mut message = BufferChain::from([Buffer::from("head"), Buffer::from("body")]);
    /// message.truncate(6);
    /// assert_eq!(message, "headbo");
    /// ```
    pub fn truncate(&mut self, len: usize) {
        unwind::call(|| {
            while self.len > len {
                let Some(last) = self.parts.back_mut() else { break };
                let excess = self.len - len;
                if excess < last.len() {
                    last.truncate(last.len() - excess);
                    self.len = len;
                } else if let Some(last) = self.parts.pop_back() {
                    self.len -= last.len();
                    drop_inside(last);
                }
            }
        });
    }

    /// The first `len` bytes, or all if there are fewer: as [`truncate`](Self::truncate). As
    /// [`Buffer::take`], it is there also to be called where both `std::io::Read` and `bytes::Buf`
    /// are imported.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let message = BufferChain::from([Buffer::from("head"), Buffer::from("body")]);
    /// assert_eq!(message.take(6), "headbo");
    /// ```
    #[must_use]
    pub fn take(mut self, len: usize) -> Self {
        self.truncate(len);
        self
    }

    /// This chain and another one behind it, which may be a single buffer. It is there also to be
    /// called where both `std::io::Read` and `bytes::Buf` are imported, which have a method of this
    /// name each.
    ///
    /// # Panics
    ///
    /// As [`push`](Self::push).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let message = BufferChain::from(Buffer::from("head")).chain(Buffer::from("body"));
    /// assert_eq!(message.chain([Buffer::from("ta"), Buffer::from("il")]), "headbodytail");
    /// ```
    #[must_use]
    #[track_caller]
    pub fn chain(mut self, next: impl Into<Self>) -> Self {
        self.extend(next.into());
        self
    }

    /// Splits the chain. It returns the bytes before `at`; the bytes from `at` on stay.
    ///
    /// # Panics
    ///
    /// When `at` is larger than the length, or [`try_split_to`](Self::try_split_to) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let mut rest = BufferChain::from([Buffer::from("he"), Buffer::from("adbody")]);
    /// let head = rest.split_to(4);
    /// assert!(head == "head" && rest == "body");
    /// ```
    #[must_use = "the bytes before are gone from the chain: see advance"]
    #[track_caller]
    pub fn split_to(&mut self, at: usize) -> Self {
        expect(self.try_split_to(at))
    }

    /// Splits the chain. It returns the bytes before `at`; the bytes from `at` on stay. The buffers
    /// move from one chain to the other, and one of them may be split.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when there is no memory for the table of the new chain. Then this
    /// chain is unchanged.
    ///
    /// # Panics
    ///
    /// When `at` is larger than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let mut rest = BufferChain::from([Buffer::from("he"), Buffer::from("adbody")]);
    /// let head = rest.try_split_to(4)?;
    /// assert!(head == "head" && rest == "body");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn try_split_to(&mut self, at: usize) -> Result<Self, AllocError> {
        if at > self.len {
            range::beyond("a split at", at, "a chain of", self.len);
        }
        if at == self.len {
            return Ok(mem::take(self));
        }
        let mut front = Self::new();
        let mut left = at;
        let whole = self.iter().take_while(|part| {
            let fits = part.len() <= left;
            left -= if fits { part.len() } else { 0 };
            fits
        });
        let whole = whole.count();
        reserve(&mut front.parts, whole + usize::from(left != 0))?;
        front.parts.extend(self.parts.drain(..whole));
        if left != 0 {
            front.parts.extend(self.parts.front_mut().map(|part| part.split_to(left)));
        }
        front.len = at;
        self.len -= at;
        Ok(front)
    }
}

impl Buffer {
    /// A chain of this buffer and what comes behind it: another buffer, several, or a chain.
    ///
    /// It is there also to be called where both `std::io::Read` and `bytes::Buf` are imported, which
    /// have a method of this name each. To chain something that is no buffer, name the trait:
    /// `Read::chain(buffer, file)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// assert_eq!(Buffer::from("head").chain(Buffer::from("body")), "headbody");
    /// ```
    #[must_use]
    #[track_caller]
    pub fn chain(self, next: impl Into<BufferChain>) -> BufferChain {
        BufferChain::from(self).chain(next)
    }
}
