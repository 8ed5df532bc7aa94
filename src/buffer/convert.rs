// SPDX-License-Identifier: Apache-2.0
//! Vectors and other bytes become writers, and buffers become vectors: without a copy where one
//! memory can serve as the other.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::owned;
use super::view::{drop_inside, Buffer};
use super::writer::BufferMut;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

impl Buffer {
    /// The vector that the buffer was made of, without a copy, if this is the only handle to it. It
    /// has the bytes of this view, and all of its capacity. Bytes that are not at the vector's
    /// beginning move there.
    ///
    /// # Errors
    ///
    /// The buffer, unchanged, when there are other handles, or its memory is not that of a vector.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// let vec = b"key=value".to_vec();
    /// let data = vec.as_ptr();
    /// let buffer = Buffer::from(vec);
    /// let value = buffer.slice(4..);
    /// let buffer = buffer.try_into_vec().expect_err("there is another handle");
    /// drop(value);
    /// let vec = buffer.try_into_vec().expect("the only handle");
    /// assert!(vec == b"key=value" && vec.as_ptr() == data);
    /// ```
    pub fn try_into_vec(self) -> Result<Vec<u8>, Self> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        owned::into_vec(self)
    }

    /// The bytes as a vector: as [`try_into_vec`](Self::try_into_vec) if that succeeds, otherwise a
    /// copy.
    ///
    /// # Panics
    ///
    /// When [`try_into_vec_or_copy`](Self::try_into_vec_or_copy) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// let vec = Buffer::from(b"a vector".to_vec()).into_vec(); // no copy
    /// assert_eq!(vec, b"a vector");
    /// let copy: Vec<u8> = Buffer::from("static").into();
    /// assert_eq!(copy, b"static");
    /// ```
    #[must_use]
    #[track_caller]
    pub fn into_vec(self) -> Vec<u8> {
        expect(self.try_into_vec_or_copy().map_err(|(_, error)| error))
    }

    /// The bytes as a vector: as [`try_into_vec`](Self::try_into_vec) if that succeeds, otherwise a
    /// copy.
    ///
    /// A panic in the drop of the owner whose bytes were copied ends in this call, and the copy is
    /// returned.
    ///
    /// # Errors
    ///
    /// The buffer, unchanged, and the reason: [`AllocError::OutOfMemory`] when there is no memory
    /// for a copy, [`AllocError::Truncated`] when a mapped file was truncated.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// let vec = Buffer::from("static").try_into_vec_or_copy().map_err(|(_, error)| error)?;
    /// assert_eq!(vec, b"static");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_into_vec_or_copy(self) -> Result<Vec<u8>, (Self, AllocError)> {
        let buffer = match self.try_into_vec() {
            Ok(vec) => return Ok(vec),
            Err(buffer) => buffer,
        };
        let len = buffer.len();
        if !buffer.is_whole(len) {
            return Err((buffer, AllocError::Truncated { requested: len }));
        }
        let mut copy = Vec::new();
        if copy.try_reserve_exact(len).is_err() {
            return Err((buffer, AllocError::out_of_memory(len, 1, 0)));
        }
        copy.extend_from_slice(&buffer);
        // If the owner panics in its drop, the panic ends here: the copy is complete.
        unwind::call_keeping(|()| true, || drop_inside(buffer));
        Ok(copy)
    }
}

impl From<Buffer> for Vec<u8> {
    /// As [`Buffer::into_vec`]: without a copy if the buffer is the only handle to a vector.
    #[track_caller]
    fn from(buffer: Buffer) -> Self {
        buffer.into_vec()
    }
}

impl From<BufferMut> for Vec<u8> {
    /// As [`Buffer::into_vec`]: without a copy if the writer is the only handle to a vector. A writer
    /// without bytes gives the vector back too.
    #[track_caller]
    fn from(writer: BufferMut) -> Self {
        let ffi::aegis_buffer_mut { data, length, owner, .. } = writer.into_raw();
        // SAFETY: the view takes over the handle, and the bytes are not written any more. It may
        // have none: then it keeps its owner, as a view that C code has made.
        let buffer = unsafe { Buffer::from_raw(ffi::aegis_buffer { data, length, owner }) };
        owned::into_vec(buffer).unwrap_or_else(Buffer::into_vec)
    }
}

impl BufferMut {
    /// A writer of a vector's bytes and its spare capacity, without a copy. Only a header is
    /// allocated. `BufferMut::from` is the form that panics.
    ///
    /// # Errors
    ///
    /// The vector and [`AllocError::OutOfMemory`], when there is no memory for the header.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::BufferMut;
    ///
    /// let mut vec = Vec::with_capacity(64);
    /// vec.extend_from_slice(b"GET ");
    /// let mut request = BufferMut::try_from_vec(vec).expect("the header is small");
    /// request.extend_from_slice(b"/index.html");
    /// assert!(request == "GET /index.html" && request.capacity() == 64);
    /// ```
    pub fn try_from_vec(vec: Vec<u8>) -> Result<Self, (Vec<u8>, AllocError)> {
        let raw = owned::writer_of_vec(vec)?;
        // SAFETY: the struct is a new handle, and its range is that of the vector.
        Ok(unsafe { Self::from_raw(raw) })
    }
}

impl From<Vec<u8>> for BufferMut {
    /// The vector's bytes and its spare capacity, without a copy.
    ///
    /// # Panics
    ///
    /// When [`try_from_vec`](BufferMut::try_from_vec) fails.
    #[track_caller]
    fn from(vec: Vec<u8>) -> Self {
        expect(Self::try_from_vec(vec).map_err(|(_, error)| error))
    }
}

impl From<Box<[u8]>> for BufferMut {
    #[track_caller]
    fn from(bytes: Box<[u8]>) -> Self {
        bytes.into_vec().into()
    }
}

impl From<String> for BufferMut {
    #[track_caller]
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&[u8]> for BufferMut {
    /// A copy on the C heap.
    ///
    /// # Panics
    ///
    /// When the heap refuses.
    #[track_caller]
    fn from(bytes: &[u8]) -> Self {
        let mut writer = Self::with_capacity(bytes.len());
        writer.extend_from_slice(bytes);
        writer
    }
}

impl<const N: usize> From<&[u8; N]> for BufferMut {
    /// A copy on the C heap.
    #[track_caller]
    fn from(bytes: &[u8; N]) -> Self {
        bytes[..].into()
    }
}

impl From<&str> for BufferMut {
    /// A copy on the C heap.
    #[track_caller]
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Buffer> for BufferMut {
    /// As [`Buffer::into_mut`]: the same bytes if the buffer is the only handle to writable memory,
    /// otherwise a copy.
    #[track_caller]
    fn from(buffer: Buffer) -> Self {
        buffer.into_mut()
    }
}

impl FromIterator<u8> for BufferMut {
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        bytes.into_iter().collect::<Vec<u8>>().into()
    }
}
