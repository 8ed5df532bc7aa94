// SPDX-License-Identifier: Apache-2.0
//! The only writer of its bytes: making, filling and freezing it. Making room is in
//! `writer_reserve.rs`, splitting in `writer_split.rs`, and what takes over other memory or moves
//! bytes in `writer_put.rs`.
//!
//! The file is longer than 500 lines, because each method has an example.

use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr;
use core::slice;

use super::ask::{raw_budget, NO_WRITER};
use super::owner;
use super::view::Buffer;
use crate::budget::MemoryBudget;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

/// The unique writer of a piece of memory. It derefs to the bytes written so far.
///
/// Its capacity is fixed: bytes that do not fit are an error, and only [`reserve`](Self::reserve)
/// moves the writer to more memory. A writer is made with a capacity, or it comes from a
/// [`BufferPool`](super::BufferPool). It can be frozen into a [`Buffer`]. It can also be split into
/// writers that each have bytes of their own.
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
    /// The pointers to data and owner are never null.
    raw: ffi::aegis_buffer_mut,
}

// SAFETY: no other handle has the range, counts are atomic, and the contract of owners says that
// any thread may free them.
unsafe impl Send for BufferMut {}
// SAFETY: `&BufferMut` only reads.
unsafe impl Sync for BufferMut {}

impl BufferMut {
    /// Makes an empty writer on the C heap, 16-byte aligned.
    ///
    /// # Panics
    ///
    /// When [`try_with_capacity`](Self::try_with_capacity) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// writer.extend_from_slice(b"row");
    /// assert_eq!(writer.freeze(), "row");
    /// ```
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut error = MaybeUninit::uninit();
        // SAFETY: the call makes a writer of all memory of a new owner. It names no budget.
        unsafe {
            let made = Self::made(
                |writer, error| {
                    ffi::aegis_buffer_mut_alloc(writer, capacity, 0, ptr::null_mut(), error)
                },
                &mut error,
            );
            match made {
                Some(writer) => writer,
                None => AllocError::from_raw(error.assume_init_ref()).panic(),
            }
        }
    }

    /// Makes an empty writer on the C heap, 16-byte aligned.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidLayout`] for a capacity that no object can have,
    /// [`AllocError::OutOfMemory`] when the heap refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// assert!(BufferMut::try_with_capacity(100)?.capacity() >= 100);
    /// assert!(BufferMut::try_with_capacity(usize::MAX).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_with_capacity(capacity: usize) -> Result<Self, AllocError> {
        Self::make(capacity, 0, None)
    }

    /// Makes an empty writer on the C heap. Its first byte is aligned to `align` bytes, for example
    /// 4096 for direct I/O. 0 means 16.
    ///
    /// # Panics
    ///
    /// When [`try_with_capacity_aligned`](Self::try_with_capacity_aligned) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let writer = BufferMut::with_capacity_aligned(4096, 512);
    /// assert_eq!(writer.as_ptr() as usize % 512, 0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_capacity_aligned(capacity: usize, align: usize) -> Self {
        expect(Self::try_with_capacity_aligned(capacity, align))
    }

    /// Makes an empty writer on the C heap. Its first byte is aligned to `align` bytes, for example
    /// 4096 for direct I/O. 0 means 16.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity`](Self::try_with_capacity), and [`AllocError::InvalidLayout`] for an
    /// alignment that is no power of two.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// assert!(BufferMut::try_with_capacity_aligned(4096, 512).is_ok());
    /// assert!(BufferMut::try_with_capacity_aligned(4096, 3).is_err(), "3 is no power of two");
    /// ```
    pub fn try_with_capacity_aligned(capacity: usize, align: usize) -> Result<Self, AllocError> {
        Self::make(capacity, align, None)
    }

    /// Makes an empty writer on the C heap. Its memory and header are charged to a budget until the
    /// memory is freed. An alignment of 0 means 16.
    ///
    /// # Panics
    ///
    /// When [`try_with_capacity_in`](Self::try_with_capacity_in) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("frames", 1 << 20);
    /// let writer = BufferMut::with_capacity_in(1000, 0, &budget);
    /// assert!(budget.used() >= 1000);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_capacity_in(capacity: usize, align: usize, budget: &MemoryBudget) -> Self {
        expect(Self::try_with_capacity_in(capacity, align, budget))
    }

    /// Makes an empty writer on the C heap. Its memory and header are charged to a budget until the
    /// memory is freed. An alignment of 0 means 16.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_aligned`](Self::try_with_capacity_aligned), and
    /// [`AllocError::LimitExceeded`] when the budget refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("small", 100);
    /// assert!(BufferMut::try_with_capacity_in(1000, 0, &budget).is_err());
    /// ```
    pub fn try_with_capacity_in(
        capacity: usize,
        align: usize,
        budget: &MemoryBudget,
    ) -> Result<Self, AllocError> {
        Self::make(capacity, align, Some(budget))
    }

    #[inline]
    fn make(
        capacity: usize,
        align: usize,
        budget: Option<&MemoryBudget>,
    ) -> Result<Self, AllocError> {
        let budget = raw_budget(budget);
        // SAFETY: the call makes a writer of all memory of a new owner, and the budget is borrowed.
        unsafe {
            Self::try_made(|writer, error| {
                ffi::aegis_buffer_mut_alloc(writer, capacity, align, budget, error)
            })
        }
    }

    /// Calls the core for a writer.
    ///
    /// # Safety
    ///
    /// The function makes a writer as [`whole`](Self::whole) wants it, or writes the record. The
    /// budget in the record is alive during this call.
    #[inline(always)]
    pub(super) unsafe fn try_made(
        function: impl FnOnce(*mut ffi::aegis_buffer_mut, *mut ffi::aegis_error) -> ffi::aegis_status,
    ) -> Result<Self, AllocError> {
        let mut error = MaybeUninit::uninit();
        // SAFETY: the caller's contract is the same, and without a writer the record is written.
        unsafe {
            match Self::made(function, &mut error) {
                Some(writer) => Ok(writer),
                None => Err(AllocError::from_raw(error.assume_init_ref())),
            }
        }
    }

    /// Calls the core for a writer, or for the reason in the record why there is none. A writer that
    /// can be had stays in registers. In a `Result` it would be stored in parts and read as a whole,
    /// for which the processor waits (see [`whole`](Self::whole)).
    ///
    /// # Safety
    ///
    /// As for [`try_made`](Self::try_made).
    #[inline(always)]
    unsafe fn made(
        function: impl FnOnce(*mut ffi::aegis_buffer_mut, *mut ffi::aegis_error) -> ffi::aegis_status,
        error: &mut MaybeUninit<ffi::aegis_error>,
    ) -> Option<Self> {
        let mut raw = NO_WRITER;
        // A source may panic.
        let status = unwind::call_keeping(ffi::is_ok, || function(&mut raw, error.as_mut_ptr()));
        // SAFETY: the caller guarantees that the core has made the writer.
        ffi::is_ok(&status).then(|| unsafe { Self::whole(raw) })
    }

    /// Takes over a writer without bytes that has all of its owner's memory. Of the struct only the
    /// owner is read. The core has just stored the fields one by one, and a copy would read two at a
    /// time, for which the processor waits until both stores have reached the cache.
    ///
    /// # Safety
    ///
    /// As for [`from_raw`](Self::from_raw), and the writer is as described.
    #[inline(always)]
    pub(super) unsafe fn whole(raw: ffi::aegis_buffer_mut) -> Self {
        let owner = raw.owner;
        // SAFETY: the caller guarantees that the owner is alive, and no field but the count changes.
        let (data, capacity) = unsafe { ((*owner).base, (*owner).capacity_bytes) };
        debug_assert!(
            (data, 0, capacity, 0) == (raw.data, raw.length, raw.capacity, raw.initialized)
        );
        Self { raw: ffi::aegis_buffer_mut { data, length: 0, capacity, owner, initialized: 0 } }
    }

    /// Number of bytes written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// writer.extend_from_slice(b"row");
    /// assert_eq!(writer.len(), 3);
    /// ```
    #[inline]
    pub const fn len(&self) -> usize {
        self.raw.length
    }

    /// Whether no bytes are written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// assert!(BufferMut::with_capacity(100).is_empty());
    /// ```
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.raw.length == 0
    }

    /// Bytes that the writer has room for, the bytes written included.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// assert!(BufferMut::with_capacity(100).capacity() >= 100);
    /// ```
    #[inline]
    pub const fn capacity(&self) -> usize {
        self.raw.capacity
    }

    /// Bytes that can still be written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// let before = writer.remaining_capacity();
    /// writer.extend_from_slice(b"row");
    /// assert_eq!(writer.remaining_capacity(), before - 3);
    /// ```
    #[inline]
    pub const fn remaining_capacity(&self) -> usize {
        self.raw.capacity - self.raw.length
    }

    /// The address of the first byte, for the whole capacity: its provenance covers the bytes
    /// written and the room behind them. (The pointer that `writer.as_ref().as_ptr()` returns is
    /// good for the bytes written only.) See also [`as_mut_ptr`](Self::as_mut_ptr).
    ///
    /// # Examples
    ///
    /// ```
    /// let page = aegis_memory::buffer::BufferMut::with_capacity_aligned(100, 4096);
    /// assert_eq!(page.as_ptr() as usize % 4096, 0);
    /// ```
    #[inline]
    pub const fn as_ptr(&self) -> *const u8 {
        self.raw.data
    }

    /// The address of the first byte, to write through, for the whole capacity: its provenance
    /// covers the bytes written and the room behind them. After filling some of the room, call
    /// [`set_len`](Self::set_len).
    ///
    /// The pointer is good until the writer moves its bytes, is split, frozen or dropped. Bytes that
    /// are not initialised may be stored in the room, if no other method of the writer is called
    /// between this call and the store.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut page = aegis_memory::buffer::BufferMut::with_capacity(16);
    /// page.extend_from_slice(b"head");
    /// let data = page.as_mut_ptr();
    /// // SAFETY: the capacity is 16, and the eight bytes are initialised when they are counted.
    /// unsafe {
    ///     data.add(4).copy_from_nonoverlapping(b"body".as_ptr(), 4);
    ///     page.set_len(8);
    /// }
    /// assert_eq!(page, "headbody");
    /// ```
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        // The caller may store bytes that are not initialised.
        self.raw.initialized = self.raw.initialized.min(self.raw.length);
        self.raw.data
    }

    /// The room behind the bytes written. After filling some of it, call
    /// [`set_len`](Self::set_len).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// writer.spare_capacity_mut()[0].write(7);
    /// // SAFETY: the first byte was written.
    /// unsafe { writer.set_len(1) };
    /// assert_eq!(writer.freeze(), [7]);
    /// ```
    #[inline]
    pub fn spare_capacity_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        // The caller may store bytes that are not initialised.
        self.raw.initialized = self.raw.initialized.min(self.raw.length);
        self.room_mut()
    }

    /// The same room, for callers that store only initialised bytes.
    #[inline]
    pub(super) fn room_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let room = self.remaining_capacity();
        // SAFETY: the length is at most the capacity.
        let end = unsafe { self.raw.data.add(self.raw.length) };
        // SAFETY: no other handle has the range, and `MaybeUninit<u8>` need not be initialised.
        unsafe { slice::from_raw_parts_mut(end.cast(), room) }
    }

    /// Sets how many bytes count as written.
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
    /// When they do not fit. The message names the capacity and the bytes in use.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// writer.extend_from_slice(b"row");
    /// assert_eq!(writer, "row");
    /// ```
    #[inline]
    #[track_caller]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        expect(self.try_extend_from_slice(bytes));
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when they do not fit. Then nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(10);
    /// assert!(writer.try_extend_from_slice(&[7; 10_000]).is_err());
    /// assert!(writer.is_empty());
    /// ```
    #[inline]
    pub fn try_extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), AllocError> {
        self.room_for(bytes.len())?;
        // SAFETY: there is room behind the bytes written, and no slice of safe code overlaps the
        // room.
        unsafe {
            let end = self.raw.data.add(self.raw.length);
            ptr::copy_nonoverlapping(bytes.as_ptr(), end, bytes.len());
        }
        self.raw.length += bytes.len();
        Ok(())
    }

    /// Makes the writer `len` bytes long. Bytes behind `len` are dropped, and missing bytes are
    /// filled with `value`.
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

    /// Makes the writer `len` bytes long. Bytes behind `len` are dropped, and missing bytes are
    /// filled with `value`.
    ///
    /// # Errors
    ///
    /// [`AllocError::Exhausted`] when `len` is larger than the capacity. Then nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(10);
    /// writer.try_resize(10, 0)?;
    /// assert!(writer.try_resize(10_000, 0).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
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
    pub(super) fn room_for(&self, count: usize) -> Result<(), AllocError> {
        if count > self.remaining_capacity() {
            return Err(self.full(count));
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    pub(super) fn full(&self, requested: usize) -> AllocError {
        let (capacity, in_use) = (self.capacity(), self.len());
        let needed = requested;
        AllocError::Exhausted { requested, align: 0, needed, capacity, in_use, blocks: 0 }
    }

    /// Drops the bytes behind the first `len` bytes. A writer that has at most `len` bytes stays as
    /// it is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// writer.extend_from_slice(b"headbody");
    /// writer.truncate(4);
    /// assert_eq!(writer, "head");
    /// ```
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.raw.length = self.len().min(len);
    }

    /// Drops the bytes written. The capacity stays the same.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// writer.extend_from_slice(b"row");
    /// writer.clear();
    /// assert!(writer.is_empty() && writer.capacity() >= 100);
    /// ```
    #[inline]
    pub fn clear(&mut self) {
        self.raw.length = 0;
    }

    /// Turns the writer into a view of the bytes written. Nothing is copied or counted. A writer
    /// without bytes is dropped together with its room, and the view is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// writer.extend_from_slice(b"row");
    /// let row = writer.freeze();
    /// assert_eq!(row.clone(), row);
    /// ```
    #[inline]
    #[must_use]
    pub fn freeze(self) -> Buffer {
        if self.is_empty() {
            return Buffer::new();
        }
        let ffi::aegis_buffer_mut { data, length, owner, .. } = self.into_raw();
        // SAFETY: the view takes over the handle, and the bytes are not written any more.
        unsafe { Buffer::from_raw(ffi::aegis_buffer { data, length, owner }) }
    }

    /// The C struct, so that C code can append bytes. The pointer is valid until the writer is
    /// moved or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// // SAFETY: the writer is alive.
    /// let raw = unsafe { &*writer.as_raw() };
    /// assert_eq!(raw.length, 0);
    /// ```
    #[inline]
    pub fn as_raw(&mut self) -> *mut ffi::aegis_buffer_mut {
        &mut self.raw
    }

    /// Gives away the C struct. The receiver must freeze or release it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// use aegis_memory::ffi;
    /// let mut raw = BufferMut::with_capacity(100).into_raw();
    /// // SAFETY: this code owns the struct and releases it once.
    /// unsafe { ffi::aegis_buffer_mut_release(&mut raw) };
    /// ```
    #[inline]
    #[must_use = "the struct is a handle: give it to aegis_buffer_mut_release or from_raw"]
    pub fn into_raw(self) -> ffi::aegis_buffer_mut {
        ManuallyDrop::new(self).raw
    }

    /// Takes over a C writer.
    ///
    /// # Safety
    ///
    /// - `raw` was made by the C library or [`into_raw`](Self::into_raw). It is not all-zero and
    ///   not released.
    /// - No copy of the struct is used or released afterwards.
    /// - Its first `length` bytes and its first `initialized` bytes are initialised. No other code
    ///   uses the bytes up to its capacity.
    /// - Any thread may release its owner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let raw = BufferMut::with_capacity(100).into_raw();
    /// // SAFETY: the struct is used for this only.
    /// let writer = unsafe { BufferMut::from_raw(raw) };
    /// assert!(writer.capacity() >= 100);
    /// ```
    #[inline]
    pub const unsafe fn from_raw(raw: ffi::aegis_buffer_mut) -> Self {
        Self { raw }
    }

    /// Borrows a writer that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to a writer that is not all-zero. No other code uses or releases it while
    ///   `'a` lasts.
    /// - Its first `length` bytes and its first `initialized` bytes are initialised. No other code
    ///   uses the bytes up to its capacity.
    /// - Any thread may release its owner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(100);
    /// // SAFETY: `writer` is not used while `same` is.
    /// let same = unsafe { BufferMut::borrow_raw(writer.as_raw()) };
    /// same.extend_from_slice(b"row");
    /// assert_eq!(writer, "row");
    /// ```
    #[inline]
    pub unsafe fn borrow_raw<'a>(raw: *mut ffi::aegis_buffer_mut) -> &'a mut Self {
        // SAFETY: `BufferMut` is a transparent wrapper, and the caller guarantees the rest.
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
    /// Appends all of the text, or nothing if it does not fit.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_extend_from_slice(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Drop for BufferMut {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` is a handle with an owner, and nothing uses it again.
        unsafe { owner::release_writer(self.raw().owner) }
    }
}
