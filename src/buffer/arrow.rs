// SPDX-License-Identifier: Apache-2.0
//! Arrow's immutable buffers: ours become `arrow_buffer::Buffer` and the reverse without a copy.

use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;
use std::sync::Arc;

use super::lent::Lent;
use super::owned::{self, Foreign};
use super::view::Buffer;

impl From<Buffer> for arrow_buffer::Buffer {
    /// The same memory at the same address, without a copy, whatever its owner is. So the alignment
    /// is kept. It is that of the buffer's first byte: a page of a pool is aligned for every type,
    /// but a slice of it may not be, and then arrow's `ScalarBuffer` refuses it with a panic.
    ///
    /// Arrow allocates two small headers. A buffer that was made from an arrow buffer gives back
    /// that arrow buffer, or the part of it that it shows. So repeated conversions between the two
    /// add no further headers. A buffer of no bytes gives its memory up.
    ///
    /// Arrow takes the bytes for as many as the buffer shows (its `capacity`), and never writes or
    /// frees them itself. This copy of the crate remembers, as long as there is such an arrow
    /// buffer, which memory it is a part of, as for a `bytes::Bytes`.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferPool};
    /// use arrow_buffer::ScalarBuffer;
    ///
    /// let pool = BufferPool::new(4096, 1);
    /// let mut page = pool.get(4096)?;
    /// page.extend_from_slice(&7_i32.to_ne_bytes());
    /// page.extend_from_slice(&8_i32.to_ne_bytes());
    ///
    /// let numbers = ScalarBuffer::<i32>::from(arrow_buffer::Buffer::from(page.freeze()));
    /// assert_eq!(&*numbers, &[7, 8]);
    /// assert!(pool.get(4096).is_err(), "arrow has the page");
    /// drop(numbers);
    /// assert!(pool.get(4096).is_ok());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    fn from(buffer: Buffer) -> Self {
        if buffer.is_empty() {
            return Self::default();
        }
        if let Some(Held(whole)) = owned::foreign_of::<Held>(&buffer) {
            let offset = buffer.as_ptr() as usize - whole.as_ptr() as usize;
            return whole.slice_with_length(offset, buffer.len());
        }
        let (data, len) = (buffer.as_ptr().cast_mut(), buffer.len());
        // Static bytes have no owner, and are not entered in the table.
        let owner: Arc<dyn arrow_buffer::alloc::Allocation> = match buffer.raw().owner.is_null() {
            true => Arc::new(()),
            false => Arc::new(Lent::new(buffer)),
        };
        let data = NonNull::new(data).expect("a buffer's pointer is never null");
        // SAFETY: the bytes are initialised, and they stay unchanged at their place as long as
        // `owner` has the buffer. Static bytes stay for ever.
        unsafe { Self::from_custom_allocation(data, len, owner) }
    }
}

impl From<arrow_buffer::Buffer> for Buffer {
    /// The same memory, without a copy. A header is allocated, and the arrow buffer becomes the
    /// owner. An arrow buffer does not say what it was made from. So this is the case too if it was
    /// made from a buffer of ours, but then the view knows which memory it is a part of
    /// ([`retained_bytes`](Self::retained_bytes), [`same_memory`](Self::same_memory)). For any
    /// other arrow buffer it keeps arrow's `capacity`.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// let column = arrow_buffer::Buffer::from_vec(vec![1_u16, 2, 3]);
    /// let bytes = Buffer::from(column.clone());
    /// assert_eq!(bytes.as_ptr(), column.as_ptr());
    /// assert!(arrow_buffer::Buffer::from(bytes.slice(2..)).ptr_eq(&column.slice(2)));
    /// ```
    fn from(buffer: arrow_buffer::Buffer) -> Self {
        if buffer.is_empty() {
            return Self::new();
        }
        owned::of_foreign(Held(buffer))
    }
}

/// An arrow buffer as the owner of a buffer.
struct Held(arrow_buffer::Buffer);

static ARROW: AtomicUsize = AtomicUsize::new(0);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Foreign for Held {
    fn mark() -> &'static AtomicUsize {
        &ARROW
    }

    fn retained_bytes(&self) -> usize {
        self.0.capacity()
    }
}
