// SPDX-License-Identifier: Apache-2.0
//! The only writer of its bytes: making, filling, freezing. Splitting is in `writer_split.rs`.

use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr;
use core::slice;

use super::ask::{ask, raw_budget, NO_WRITER};
use super::owner;
use super::view::Buffer;
use crate::budget::MemoryBudget;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

/// The unique writer of a piece of memory; it derefs to the bytes written so far.
///
/// Its capacity is fixed: what does not fit is an error, and only [`reserve`](Self::reserve) moves
/// it to more memory. It is made with a capacity, or comes from a [`BufferPool`](super::BufferPool),
/// and is frozen into a [`Buffer`]. It can be split into writers that each have bytes of their own.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::BufferMut;
///
/// let mut frame = BufferMut::with_capacity(64);
/// frame.extend_from_slice(&[0; 4]);
/// frame.extend_from_slice(b"payload");
/// let length = frame.len() as u32 - 4;
/// frame[..4].copy_from_slice(&length.to_be_bytes());
/// assert_eq!(frame.freeze(), b"\0\0\0\x07payload");
/// ```
#[repr(transparent)]
pub struct BufferMut {
    /// Never without data or owner.
    raw: ffi::aegis_buffer_mut,
}

// SAFETY: the range is this writer's alone, counts are atomic, and owners are freed on any thread
// by their contract.
unsafe impl Send for BufferMut {}
// SAFETY: `&BufferMut` only reads.
unsafe impl Sync for BufferMut {}

impl BufferMut {
    /// Makes an empty writer on the C heap, 16-byte aligned.
    ///
    /// # Panics
    ///
    /// When [`try_with_capacity`](Self::try_with_capacity) fails.
    #[must_use]
    #[track_caller]
    pub fn with_capacity(capacity: usize) -> Self {
        expect(Self::try_with_capacity(capacity))
    }

    /// Makes an empty writer on the C heap, 16-byte aligned.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidLayout`] for a capacity that no object can have,
    /// [`AllocError::OutOfMemory`] when the heap refuses.
    pub fn try_with_capacity(capacity: usize) -> Result<Self, AllocError> {
        Self::make(capacity, 0, None)
    }

    /// Makes an empty writer on the C heap, whose first byte is aligned to `align` bytes: 4096 for
    /// direct I/O. 0 stands for 16.
    ///
    /// # Panics
    ///
    /// When [`try_with_capacity_aligned`](Self::try_with_capacity_aligned) fails.
    #[must_use]
    #[track_caller]
    pub fn with_capacity_aligned(capacity: usize, align: usize) -> Self {
        expect(Self::try_with_capacity_aligned(capacity, align))
    }

    /// Makes an empty writer on the C heap, whose first byte is aligned to `align` bytes: 4096 for
    /// direct I/O. 0 stands for 16.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity`](Self::try_with_capacity), and [`AllocError::InvalidLayout`] for an
    /// alignment that is no power of two.
    pub fn try_with_capacity_aligned(capacity: usize, align: usize) -> Result<Self, AllocError> {
        Self::make(capacity, align, None)
    }

    /// Makes an empty writer on the C heap that is charged, with its header, to a budget until the
    /// memory is freed. An alignment of 0 stands for 16.
    ///
    /// # Panics
    ///
    /// When [`try_with_capacity_in`](Self::try_with_capacity_in) fails.
    #[must_use]
    #[track_caller]
    pub fn with_capacity_in(capacity: usize, align: usize, budget: &MemoryBudget) -> Self {
        expect(Self::try_with_capacity_in(capacity, align, budget))
    }

    /// Makes an empty writer on the C heap that is charged, with its header, to a budget until the
    /// memory is freed. An alignment of 0 stands for 16.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_aligned`](Self::try_with_capacity_aligned), and
    /// [`AllocError::LimitExceeded`] when the budget refuses.
    pub fn try_with_capacity_in(
        capacity: usize,
        align: usize,
        budget: &MemoryBudget,
    ) -> Result<Self, AllocError> {
        Self::make(capacity, align, Some(budget))
    }

    fn make(
        capacity: usize,
        align: usize,
        budget: Option<&MemoryBudget>,
    ) -> Result<Self, AllocError> {
        let mut raw = NO_WRITER;
        let budget = raw_budget(budget);
        unwind::call_keeping(Result::is_ok, || {
            // SAFETY: `raw` is written, and the budget is borrowed.
            unsafe {
                ask(|error| ffi::aegis_buffer_mut_alloc(&mut raw, capacity, align, budget, error))
            }
        })?;
        // SAFETY: the core has made the writer.
        Ok(unsafe { Self::from_raw(raw) })
    }

    /// Bytes written.
    #[inline]
    pub const fn len(&self) -> usize {
        self.raw.length
    }

    /// Whether nothing is written.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.raw.length == 0
    }

    /// Bytes that can be written in all, those written included.
    #[inline]
    pub const fn capacity(&self) -> usize {
        self.raw.capacity
    }

    /// Bytes that can still be written.
    #[inline]
    pub const fn remaining_capacity(&self) -> usize {
        self.raw.capacity - self.raw.length
    }

    /// The room behind the bytes written. After filling some of it, call
    /// [`set_len`](Self::set_len).
    #[inline]
    pub fn spare_capacity_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        // The caller may store bytes that are not initialised.
        self.raw.initialized = self.raw.initialized.min(self.raw.length);
        self.room_mut()
    }

    /// The same, for what stores no bytes that are not initialised.
    #[inline]
    pub(super) fn room_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let room = self.remaining_capacity();
        // SAFETY: the length is at most the capacity.
        let end = unsafe { self.raw.data.add(self.raw.length) };
        // SAFETY: the range is this writer's alone; uninitialised bytes are no claim.
        unsafe { slice::from_raw_parts_mut(end.cast(), room) }
    }

    /// Says how many bytes are written.
    ///
    /// # Safety
    ///
    /// - `len` is at most the capacity.
    /// - The first `len` bytes are initialised.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut writer = aegis_memory::buffer::BufferMut::with_capacity(8);
    /// writer.spare_capacity_mut()[0].write(b'x');
    /// // SAFETY: one byte has been written, and there is room for eight.
    /// unsafe { writer.set_len(1) };
    /// assert_eq!(writer, "x");
    /// ```
    #[inline]
    pub unsafe fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        self.raw.length = len;
    }

    /// Appends bytes.
    ///
    /// # Panics
    ///
    /// When they do not fit; the message names the capacity and what is in use.
    #[inline]
    #[track_caller]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        expect(self.try_extend_from_slice(bytes));
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when they do not fit; nothing is written.
    #[inline]
    pub fn try_extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), AllocError> {
        self.room_for(bytes.len())?;
        // SAFETY: there is room behind the bytes written, which no slice of safe code overlaps.
        unsafe {
            let end = self.raw.data.add(self.raw.length);
            ptr::copy_nonoverlapping(bytes.as_ptr(), end, bytes.len());
        }
        self.raw.length += bytes.len();
        Ok(())
    }

    /// Makes the writer `len` bytes long: bytes behind are dropped, missing ones are `value`.
    ///
    /// # Panics
    ///
    /// When `len` is larger than the capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut page = aegis_memory::buffer::BufferMut::with_capacity_aligned(4096, 4096);
    /// page.extend_from_slice(b"content");
    /// page.resize(page.capacity(), 0);
    /// assert_eq!(page.len(), 4096);
    /// ```
    #[track_caller]
    pub fn resize(&mut self, len: usize, value: u8) {
        expect(self.try_resize(len, value));
    }

    /// Makes the writer `len` bytes long: bytes behind are dropped, missing ones are `value`.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when `len` is larger than the capacity; nothing is written.
    pub fn try_resize(&mut self, len: usize, value: u8) -> Result<(), AllocError> {
        if let Some(missing) = len.checked_sub(self.len()) {
            self.room_for(missing)?;
            // SAFETY: there is room behind the bytes written.
            unsafe { self.raw.data.add(self.raw.length).write_bytes(value, missing) };
        }
        self.raw.length = len;
        Ok(())
    }

    #[inline(always)]
    fn room_for(&self, count: usize) -> Result<(), AllocError> {
        if count > self.remaining_capacity() {
            return Err(self.full(count));
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn full(&self, requested: usize) -> AllocError {
        let (capacity, in_use) = (self.capacity(), self.len());
        AllocError::Exhausted { requested, align: 0, capacity, in_use, blocks: 0 }
    }

    /// Drops the bytes behind the first `len`. A writer that has no more is left as it is.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.raw.length = self.len().min(len);
    }

    /// Drops the bytes written and keeps the room.
    #[inline]
    pub fn clear(&mut self) {
        self.raw.length = 0;
    }

    /// Makes room for `additional` bytes behind those written, as [`try_reserve`](Self::try_reserve).
    ///
    /// # Panics
    ///
    /// When `try_reserve` fails.
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        expect(self.try_reserve(additional));
    }

    /// Makes room for `additional` bytes behind those written.
    ///
    /// That is in the same memory if nobody else has a part of it and it has as much room: behind the
    /// bytes, or, with what is before them, by moving them when that wins at least as much room as
    /// there are bytes to move. Else it is in new memory on the C heap: of twice the capacity, or of
    /// as much as the old memory has in all up to 64 KiB, or of what is needed, whichever is most; of
    /// just what is needed if more is refused.
    ///
    /// So a writer that is filled at its end and [split](Self::split_to) at its front, whose front parts
    /// are dropped, moves in all at most twice as many bytes as were written to it. A codec whose
    /// frames are kept takes new memory once for each 64 KiB, or for each old capacity. (Both are so as
    /// long as more than what is needed is not refused.)
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity`](Self::try_with_capacity); the writer is unchanged.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), AllocError> {
        unwind::call(|| self.grow(additional, None))
    }

    /// As [`try_reserve`](Self::try_reserve), with new memory charged to a budget.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in); the writer is unchanged.
    pub fn try_reserve_in(
        &mut self,
        additional: usize,
        budget: &MemoryBudget,
    ) -> Result<(), AllocError> {
        unwind::call(|| self.grow(additional, Some(budget)))
    }

    /// Makes room. Inside `unwind::call`: the owner of the old memory may panic.
    pub(super) fn grow(
        &mut self,
        additional: usize,
        budget: Option<&MemoryBudget>,
    ) -> Result<(), AllocError> {
        if additional <= self.remaining_capacity() {
            return Ok(());
        }
        let (raw, budget): (*mut _, _) = (&mut self.raw, raw_budget(budget));
        // SAFETY: `self` is a handle and still one afterwards; the budget is borrowed.
        unsafe { ask(|error| ffi::aegis_buffer_mut_reserve(raw, additional, budget, error)) }
    }

    /// Turns the writer into a view of the bytes written. Nothing is copied or counted. A writer
    /// without bytes is dropped, room and all.
    #[inline]
    #[must_use]
    pub fn freeze(self) -> Buffer {
        if self.is_empty() {
            return Buffer::new();
        }
        let ffi::aegis_buffer_mut { data, length, owner, .. } = self.into_raw();
        // SAFETY: the handle is passed on, and the bytes are not written any more.
        unsafe { Buffer::from_raw(ffi::aegis_buffer { data, length, owner }) }
    }

    /// The C struct, for C code to append to. The pointer is good while the writer is neither moved
    /// nor dropped.
    #[inline]
    pub fn as_raw(&mut self) -> *mut ffi::aegis_buffer_mut {
        &mut self.raw
    }

    /// Gives the C struct away. It is the receiver's to freeze or release.
    #[inline]
    #[must_use = "the struct is a handle: give it to aegis_buffer_mut_release or from_raw"]
    pub fn into_raw(self) -> ffi::aegis_buffer_mut {
        ManuallyDrop::new(self).raw
    }

    /// Takes a C writer over.
    ///
    /// # Safety
    ///
    /// - `raw` was made by the C library or [`into_raw`](Self::into_raw), is not all-zero and not
    ///   released.
    /// - No copy of the struct is used or released afterwards.
    /// - Its first `length` and its first `initialized` bytes are initialised, and nobody else uses
    ///   those up to its capacity.
    /// - Its owner may be released on any thread.
    #[inline]
    pub const unsafe fn from_raw(raw: ffi::aegis_buffer_mut) -> Self {
        Self { raw }
    }

    /// Borrows a writer that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to a writer that is not all-zero, and is neither used nor released by anyone
    ///   else while `'a` lasts.
    /// - Its first `length` and its first `initialized` bytes are initialised, and nobody else uses
    ///   those up to its capacity.
    /// - Its owner may be released on any thread.
    #[inline]
    pub unsafe fn borrow_raw<'a>(raw: *mut ffi::aegis_buffer_mut) -> &'a mut Self {
        // SAFETY: `BufferMut` is a transparent wrapper, and the caller vouches for the rest.
        unsafe { &mut *raw.cast::<Self>() }
    }

    #[inline(always)]
    pub(super) fn raw(&self) -> &ffi::aegis_buffer_mut {
        &self.raw
    }

    #[inline(always)]
    pub(super) fn raw_mut(&mut self) -> &mut ffi::aegis_buffer_mut {
        &mut self.raw
    }
}

impl fmt::Write for BufferMut {
    /// Appends the text, all of it or, when it does not fit, nothing.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_extend_from_slice(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Drop for BufferMut {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` is a handle, which has an owner, and not used again.
        unsafe { owner::release_writer(self.raw().owner) }
    }
}
