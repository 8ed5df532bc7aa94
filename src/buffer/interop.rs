// SPDX-License-Identifier: Apache-2.0
//! The `bytes` crate: buffers become `Bytes` and the reverse without a copy, and buffers implement
//! `Buf` and `BufMut`.

use core::any::TypeId;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop};
use core::sync::atomic::AtomicUsize;

use ::bytes::buf::UninitSlice;
use ::bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};

use super::chain::BufferChain;
use super::lent::Lent;
use super::owned::Foreign;
use super::traits::compares;
use super::view::Buffer;
use super::writer::BufferMut;
use super::{owned, range};
use crate::unwind;

/// The panic message for a mapped file that was truncated.
const TRUNCATED: &str = "the mapped file was truncated";

impl From<Buffer> for Bytes {
    /// The same memory, without a copy. `Bytes` allocates a small header, except for static bytes.
    /// A buffer that was made from a `Bytes` gives back that `Bytes`, or the part of it that the
    /// buffer shows. So repeated conversions between the two add no further headers. A buffer of no
    /// bytes gives its memory up.
    ///
    /// This copy of the crate remembers, as long as there is such a `Bytes`, which memory it is a
    /// part of. A buffer that is made of the `Bytes`, or of a part of it, says so
    /// ([`Buffer::retained_bytes`], [`Buffer::same_memory`]). The table for this has an entry of
    /// eight words for each range of bytes that is lent at a time; free entries are reused and not
    /// freed.
    fn from(buffer: Buffer) -> Self {
        let raw = buffer.raw();
        if buffer.is_empty() {
            return Self::new();
        }
        if raw.owner.is_null() {
            // SAFETY: bytes without an owner are static (buffer.h).
            return Self::from_static(unsafe { core::slice::from_raw_parts(raw.data, raw.length) });
        }
        match owned::foreign_of::<Self>(&buffer) {
            Some(bytes) => bytes.slice_ref(&buffer),
            None => Self::from_owner(Lent::new(buffer)),
        }
    }
}

impl From<Bytes> for Buffer {
    /// The same memory, without a copy. A header is allocated. A `Bytes` does not say what it was
    /// made from, so the `Bytes` becomes the owner even if it was made from a buffer. A `Bytes` of
    /// static bytes is taken to keep as many bytes as it has.
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::new();
        }
        owned::of_foreign(bytes)
    }
}

static BYTES: AtomicUsize = AtomicUsize::new(0);

impl Foreign for Bytes {
    fn mark() -> &'static AtomicUsize {
        &BYTES
    }

    fn retained_bytes(&self) -> usize {
        self.len()
    }
}

compares!([] Buffer, Bytes, |other| other);
compares!([] Buffer, BytesMut, |other| other);
compares!([] BufferMut, Bytes, |other| other);
compares!([] BufferMut, BytesMut, |other| other);

impl PartialEq<Bytes> for BufferChain {
    fn eq(&self, other: &Bytes) -> bool {
        *self == other[..]
    }
}

impl PartialEq<BufferChain> for Bytes {
    fn eq(&self, other: &BufferChain) -> bool {
        *other == self[..]
    }
}

/// `Ok` if at least as many bytes are available as are requested.
fn has(available: usize, requested: usize) -> Result<(), TryGetError> {
    if requested > available {
        return Err(TryGetError { requested, available });
    }
    Ok(())
}

impl Buf for Buffer {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        Buffer::advance(self, count);
    }

    /// Panics also if the bytes lie in a mapped file that was truncated.
    #[track_caller]
    fn copy_to_slice(&mut self, into: &mut [u8]) {
        if into.len() > self.len() {
            range::beyond("a copy of", into.len(), "a buffer of", self.len());
        }
        assert!(self.is_whole(into.len()), "{TRUNCATED}");
        into.copy_from_slice(&self[..into.len()]);
        Buffer::advance(self, into.len());
    }

    /// Panics if the bytes lie in a mapped file that was truncated.
    #[track_caller]
    fn try_copy_to_slice(&mut self, into: &mut [u8]) -> Result<(), TryGetError> {
        has(self.len(), into.len())?;
        Buf::copy_to_slice(self, into);
        Ok(())
    }

    /// Does not copy.
    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        self.split_to(len).into()
    }
}

impl Buf for BufferChain {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self.front()
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, table: &mut [std::io::IoSlice<'a>]) -> usize {
        self.fill_io_slices(table)
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        BufferChain::advance(self, count);
    }

    /// Panics also if the bytes lie in a mapped file that was truncated. Then nothing is taken.
    #[track_caller]
    fn copy_to_slice(&mut self, into: &mut [u8]) {
        if into.len() > self.len() {
            range::beyond("a copy of", into.len(), "a chain of", self.len());
        }
        assert!(self.is_whole(into.len()), "{TRUNCATED}");
        let mut done = 0;
        for piece in self.pieces(into.len()) {
            into[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        }
        BufferChain::advance(self, done);
    }

    /// Panics if the bytes lie in a mapped file that was truncated. Then nothing is taken.
    #[track_caller]
    fn try_copy_to_slice(&mut self, into: &mut [u8]) -> Result<(), TryGetError> {
        has(self.len(), into.len())?;
        Buf::copy_to_slice(self, into);
        Ok(())
    }

    /// Copies only if the bytes lie in more than one buffer. Then it panics also if they lie in a
    /// mapped file that was truncated, and nothing is taken.
    #[track_caller]
    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        if len > self.len() {
            range::beyond("a copy of", len, "a chain of", self.len());
        }
        if let Some(part) = self.split_front(len) {
            return part.into();
        }
        let mut copy = BufferMut::with_capacity(len);
        assert!(self.is_whole(len), "{TRUNCATED}");
        self.pieces(len).for_each(|piece| copy.extend_from_slice(piece));
        // If an owner of the copied bytes panics in its drop, the panic ends here: the copy is
        // complete.
        unwind::call_keeping(|()| true, || self.skip(len));
        copy.freeze().into()
    }
}

/// A writer is read from its front as [`BufferMut::advance`] does it.
impl Buf for BufferMut {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        BufferMut::advance(self, count);
    }

    /// Does not copy. The `Bytes` keeps the writer's memory, so that [`BufferMut::reserve`] leaves
    /// it.
    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        self.split_to(len).freeze().into()
    }
}

/// The number of a type that may borrow, as if its lifetimes were `'static`.
fn type_id<T: ?Sized>() -> TypeId {
    trait Numbered {
        fn number(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T: ?Sized> Numbered for PhantomData<T> {
        fn number(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let phantom = PhantomData::<T>;
    let numbered: &dyn Numbered = &phantom;
    // SAFETY: only a lifetime changes, and the method uses nothing of the value.
    unsafe { mem::transmute::<&dyn Numbered, &(dyn Numbered + 'static)>(numbered) }.number()
}

/// The value, if it is of the type `U`, which has no lifetimes. (The method is that of the crate
/// `typeid`.)
fn downcast<T, U: 'static>(value: T) -> Result<U, T> {
    if type_id::<T>() != TypeId::of::<U>() {
        return Err(value);
    }
    let value = ManuallyDrop::new(value);
    // SAFETY: the two are the same type, because two types that differ in lifetimes only are equal
    // if one of them has none. The value is not used again.
    Ok(unsafe { mem::transmute_copy::<T, U>(&value) })
}

// SAFETY: `chunk_mut` is the room behind the bytes written, and `advance_mut` counts the first
// bytes of the same room as written. `remaining_mut` is the length of this room.
unsafe impl BufMut for BufferMut {
    /// The room that the writer has. A writer does not grow by itself.
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.remaining_capacity()
    }

    #[inline]
    unsafe fn advance_mut(&mut self, count: usize) {
        if count > self.remaining_capacity() {
            range::beyond("an advance by", count, "a room of", self.remaining_capacity());
        }
        // SAFETY: the writer has that much room, and the caller has initialised it.
        unsafe { self.set_len(self.len() + count) };
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        // Through this slice, safe code cannot store bytes that are not initialised.
        UninitSlice::uninit(self.room_mut())
    }

    /// Appends all bytes of another `Buf`. It differs from the default method in two cases:
    ///
    /// - A `source` that is itself a [`Buffer`] or a [`BufferMut`] is put as
    ///   [`BufferMut::put_buffer`] does it, which takes memory over where it can.
    /// - If `source` claims to have bytes and shows none, this method panics, where the default
    ///   would loop for ever. The bytes that were shown before stay appended.
    #[track_caller]
    fn put<T: Buf>(&mut self, source: T) {
        let source = match downcast::<T, Buffer>(source) {
            Ok(buffer) => return self.put_buffer(buffer),
            Err(source) => source,
        };
        let mut source = match downcast::<T, BufferMut>(source) {
            Ok(writer) => return self.put_buffer(writer.freeze()),
            Err(source) => source,
        };
        if source.remaining() > self.remaining_capacity() {
            let room = self.remaining_capacity();
            range::beyond("a put of", source.remaining(), "a room of", room);
        }
        while source.has_remaining() {
            let chunk = source.chunk();
            let count = chunk.len().min(self.remaining_capacity());
            assert!(count != 0, "a source has more bytes than it said, or fewer than it says");
            self.extend_from_slice(&chunk[..count]);
            source.advance(count);
        }
    }
}
