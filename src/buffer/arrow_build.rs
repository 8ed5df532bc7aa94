// SPDX-License-Identifier: Apache-2.0
//! Builders of arrow's typed buffers and bitmaps in the memory of a writer. Arrow's own builders
//! and its `MutableBuffer` write memory of Rust's heap only. These write a page of a pool, memory
//! that is charged to a budget, or any other writer, and what they build is not copied.
//!
//! Invariant: the writer's first byte is aligned for a `T`, and the bytes written are whole values
//! of type `T`.
//!
//! The file is longer than 500 lines, because each method has an example.

use std::fmt;
use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::ops::{Deref, DerefMut};
use std::slice;

use arrow_buffer::{ArrowNativeType, BooleanBuffer, ScalarBuffer, ToByteSlice};

use super::writer::BufferMut;
use crate::error::{expect, AllocError};

/// Builds a `ScalarBuffer` of arrow in the memory of a [`BufferMut`]. It derefs to the values
/// written so far. Its methods have the names of arrow's `BufferBuilder`, but its capacity is fixed,
/// as that of the writer.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::{BufferPool, ScalarBuilder};
///
/// let pool = BufferPool::new(4096, 1);
/// let mut prices = ScalarBuilder::<f64>::new(pool.get(4096)?);
/// prices.append(1.5);
/// prices.append_slice(&[2.5, 3.5]);
/// prices[0] = 0.5;
/// let prices = prices.finish();
/// assert_eq!(&*prices, &[0.5, 2.5, 3.5]);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub struct ScalarBuilder<T> {
    writer: BufferMut,
    values: PhantomData<T>,
}

impl<T: ArrowNativeType> ScalarBuilder<T> {
    /// A builder in the memory of a writer. Bytes that the writer has already are its first values.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    ///
    /// let values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// assert!(values.is_empty());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(writer: BufferMut) -> Self {
        Self::try_new(writer).unwrap_or_else(|writer| {
            panic!(
                "a writer of {} bytes at {:p} has no whole values of {} bytes, aligned to {}",
                writer.len(),
                writer.as_ptr(),
                size_of::<T>(),
                align_of::<T>()
            )
        })
    }

    /// A builder in the memory of a writer. Bytes that the writer has already are its first values.
    ///
    /// # Errors
    ///
    /// The writer, if its first byte is not aligned for a `T`, or if the bytes that it has are not
    /// whole values.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    ///
    /// let mut writer = BufferMut::with_capacity_aligned(64, 64);
    /// writer.extend_from_slice(b"abc");
    /// assert!(ScalarBuilder::<u32>::try_new(writer).is_err(), "three bytes are no whole value");
    /// ```
    pub fn try_new(writer: BufferMut) -> Result<Self, BufferMut> {
        let aligned = writer.as_ptr() as usize % align_of::<T>() == 0;
        if !aligned || writer.len() % size_of::<T>() != 0 {
            return Err(writer);
        }
        Ok(Self { writer, values: PhantomData })
    }

    /// Values that the builder has room for, those written included.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// assert!(values.capacity() >= 16);
    /// ```
    #[inline]
    pub fn capacity(&self) -> usize {
        self.writer.capacity() / size_of::<T>()
    }

    /// Appends a value.
    ///
    /// # Panics
    ///
    /// When it does not fit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// values.append(7);
    /// assert_eq!(*values, [7]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn append(&mut self, value: T) {
        expect(self.try_append(value));
    }

    /// Appends a value.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when it does not fit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// while values.try_append(7).is_ok() {}
    /// assert_eq!(values.len(), values.capacity());
    /// ```
    #[inline]
    pub fn try_append(&mut self, value: T) -> Result<(), AllocError> {
        self.writer.try_extend_from_slice(value.to_byte_slice())
    }

    /// Appends `count` copies of a value.
    ///
    /// # Panics
    ///
    /// When they do not fit. Then nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// values.append_n(3, 7);
    /// assert_eq!(*values, [7, 7, 7]);
    /// ```
    #[track_caller]
    pub fn append_n(&mut self, count: usize, value: T) {
        expect(self.try_append_n(count, value));
    }

    /// Appends `count` copies of a value.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when they do not fit. Then nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// values.try_append_n(3, 7)?;
    /// assert!(values.try_append_n(1_000_000, 7).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_append_n(&mut self, count: usize, value: T) -> Result<(), AllocError> {
        let begin = self.len();
        // One call makes sure of the room. A count whose bytes cannot be counted does not fit.
        let more_bytes = count.saturating_mul(size_of::<T>());
        let len_bytes = self.writer.len().saturating_add(more_bytes);
        self.writer.try_resize(len_bytes, 0)?;
        self[begin..].fill(value);
        Ok(())
    }

    /// Appends values.
    ///
    /// # Panics
    ///
    /// When they do not fit. Then nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// values.append_slice(&[1, 2, 3]);
    /// assert_eq!(*values, [1, 2, 3]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn append_slice(&mut self, values: &[T]) {
        expect(self.try_append_slice(values));
    }

    /// Appends values.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when they do not fit. Then nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// values.try_append_slice(&[1, 2, 3])?;
    /// assert!(values.try_append_slice(&[7; 10_000]).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_append_slice(&mut self, values: &[T]) -> Result<(), AllocError> {
        self.writer.try_extend_from_slice(values.to_byte_slice())
    }

    /// Drops the values behind the first `len`. A builder that has at most `len` stays as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// values.append_slice(&[1, 2, 3]);
    /// values.truncate(1);
    /// assert_eq!(*values, [1]);
    /// ```
    pub fn truncate(&mut self, len: usize) {
        self.writer.truncate(len.saturating_mul(size_of::<T>()));
    }

    /// Arrow's buffer of the values. Nothing is copied. It keeps the writer's memory, the room
    /// behind the values too.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// values.append_slice(&[1, 2, 3]);
    /// assert_eq!(values.finish().slice(1, 2).as_ref(), [2, 3]);
    /// ```
    #[must_use]
    pub fn finish(self) -> ScalarBuffer<T> {
        let len = self.len();
        ScalarBuffer::new(self.writer.freeze().into(), 0, len)
    }

    /// The writer, with the bytes of the values.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BufferMut, ScalarBuilder};
    /// # let mut values = ScalarBuilder::<u32>::new(BufferMut::with_capacity_aligned(64, 64));
    /// values.append(7);
    /// assert_eq!(values.into_inner().len(), 4);
    /// ```
    pub fn into_inner(self) -> BufferMut {
        self.writer
    }
}

impl<T: ArrowNativeType> Deref for ScalarBuilder<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        let (data, len) = (self.writer.as_ptr(), self.writer.len() / size_of::<T>());
        // SAFETY: by the invariant the bytes are aligned whole values, and any bytes are a value of
        // an `ArrowNativeType` (its contract).
        unsafe { slice::from_raw_parts(data.cast(), len) }
    }
}

impl<T: ArrowNativeType> DerefMut for ScalarBuilder<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        let (data, len) = (self.writer.as_mut_ptr(), self.writer.len() / size_of::<T>());
        // SAFETY: as in `deref`. `ArrowNativeType` has no padding (it is transmutable), so all bytes
        // stay initialised.
        unsafe { slice::from_raw_parts_mut(data.cast(), len) }
    }
}

impl<T: ArrowNativeType> Extend<T> for ScalarBuilder<T> {
    /// Appends the values one after the other.
    ///
    /// # Panics
    ///
    /// At the first one that does not fit. Those before it stay.
    #[track_caller]
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        for value in values {
            self.append(value);
        }
    }
}

impl<T: ArrowNativeType> fmt::Debug for ScalarBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Builds a bitmap of arrow in the memory of a [`BufferMut`]: a `BooleanBuffer`, which becomes a
/// `NullBuffer` by `from`. A set bit is `true`, or a value that is not null. Its capacity is fixed,
/// as that of the writer.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::{BitmapBuilder, BufferMut};
/// use arrow_buffer::NullBuffer;
///
/// let mut valid = BitmapBuilder::new(BufferMut::with_capacity(16));
/// valid.append_n(9, true);
/// valid.append(false);
/// let nulls = NullBuffer::from(valid.finish());
/// assert!(nulls.len() == 10 && nulls.null_count() == 1 && nulls.is_null(9));
/// ```
pub struct BitmapBuilder {
    writer: BufferMut,
    /// The number of bits. The bits behind them, in the last byte, are 0.
    len: usize,
}

impl BitmapBuilder {
    /// A builder in the memory of a writer. Bytes that the writer has already are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{BitmapBuilder, BufferMut};
    ///
    /// let bits = BitmapBuilder::new(BufferMut::with_capacity_aligned(64, 64));
    /// assert!(bits.capacity() >= 512);
    /// ```
    #[must_use]
    pub fn new(mut writer: BufferMut) -> Self {
        writer.clear();
        Self { writer, len: 0 }
    }

    /// Number of bits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BitmapBuilder, BufferMut};
    /// # let mut bits = BitmapBuilder::new(BufferMut::with_capacity_aligned(64, 64));
    /// bits.append(true);
    /// assert_eq!(bits.len(), 1);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BitmapBuilder, BufferMut};
    /// # let mut bits = BitmapBuilder::new(BufferMut::with_capacity_aligned(64, 64));
    /// assert!(bits.is_empty());
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bits that the builder has room for, those written included.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BitmapBuilder, BufferMut};
    /// # let mut bits = BitmapBuilder::new(BufferMut::with_capacity_aligned(64, 64));
    /// assert!(bits.capacity() >= 512);
    /// ```
    #[inline]
    pub fn capacity(&self) -> usize {
        self.writer.capacity().saturating_mul(8)
    }

    /// Appends a bit.
    ///
    /// # Panics
    ///
    /// When it does not fit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BitmapBuilder, BufferMut};
    /// # let mut bits = BitmapBuilder::new(BufferMut::with_capacity_aligned(64, 64));
    /// bits.append(true);
    /// bits.append(false);
    /// assert_eq!(bits.finish().count_set_bits(), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn append(&mut self, bit: bool) {
        expect(self.try_append(bit));
    }

    /// Appends a bit.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when it does not fit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BitmapBuilder, BufferMut};
    /// # let mut bits = BitmapBuilder::new(BufferMut::with_capacity_aligned(64, 64));
    /// while bits.try_append(true).is_ok() {}
    /// assert_eq!(bits.len(), bits.capacity());
    /// ```
    #[inline]
    pub fn try_append(&mut self, bit: bool) -> Result<(), AllocError> {
        let Some(len) = self.len.checked_add(1) else { return Err(self.writer.full(1)) };
        if self.len % 8 == 0 {
            self.writer.try_extend_from_slice(&[0])?;
        }
        self.writer[self.len / 8] |= u8::from(bit) << (self.len % 8);
        self.len = len;
        Ok(())
    }

    /// Appends `count` times the same bit.
    ///
    /// # Panics
    ///
    /// When they do not fit. Then nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BitmapBuilder, BufferMut};
    /// # let mut bits = BitmapBuilder::new(BufferMut::with_capacity_aligned(64, 64));
    /// bits.append_n(100, true);
    /// assert_eq!(bits.len(), 100);
    /// ```
    #[track_caller]
    pub fn append_n(&mut self, count: usize, bit: bool) {
        expect(self.try_append_n(count, bit));
    }

    /// Appends `count` times the same bit.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when they do not fit. Then nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BitmapBuilder, BufferMut};
    /// # let mut bits = BitmapBuilder::new(BufferMut::with_capacity_aligned(64, 64));
    /// bits.try_append_n(100, true)?;
    /// assert!(bits.try_append_n(1_000_000, true).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_append_n(&mut self, count: usize, bit: bool) -> Result<(), AllocError> {
        let Some(len) = self.len.checked_add(count) else {
            return Err(self.writer.full(count.div_ceil(8)));
        };
        let fill = if bit { 0xFF } else { 0 };
        let begin = self.writer.len();
        self.writer.try_resize(len.div_ceil(8), fill)?;
        if bit {
            let in_last = self.len % 8;
            if in_last != 0 {
                self.writer[begin - 1] |= 0xFF << in_last;
            }
            if len % 8 != 0 {
                self.writer[len / 8] &= !(0xFF << (len % 8));
            }
        }
        self.len = len;
        Ok(())
    }

    /// Arrow's buffer of the bits. Nothing is copied.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::{BitmapBuilder, BufferMut};
    /// # let mut bits = BitmapBuilder::new(BufferMut::with_capacity_aligned(64, 64));
    /// bits.append_n(10, true);
    /// bits.append(false);
    /// let bits = bits.finish();
    /// assert_eq!((bits.len(), bits.value(10)), (11, false));
    /// ```
    #[must_use]
    pub fn finish(self) -> BooleanBuffer {
        BooleanBuffer::new(self.writer.freeze().into(), 0, self.len)
    }
}

impl Extend<bool> for BitmapBuilder {
    /// Appends the bits one after the other.
    ///
    /// # Panics
    ///
    /// At the first one that does not fit. Those before it stay.
    #[track_caller]
    fn extend<I: IntoIterator<Item = bool>>(&mut self, bits: I) {
        for bit in bits {
            self.append(bit);
        }
    }
}

impl fmt::Debug for BitmapBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = (0..self.len).map(|i| self.writer[i / 8] >> (i % 8) & 1);
        f.debug_list().entries(bits).finish()
    }
}
