// SPDX-License-Identifier: Apache-2.0
//! The immutable view: making it narrower, splitting and joining, all in constant time and inlined.
//! The rules are those of `aegis_memory/buffer.h`. A test checks that both do the same.
//!
//! The file is longer than 500 lines, because each method has an example.

use core::mem::{self, align_of, size_of, ManuallyDrop};
use core::ops::RangeBounds;
use core::ptr::{self, NonNull};

use super::owner::{self, Owner};
use super::range;
use crate::ffi;

/// A cheap, shared, immutable view of bytes.
///
/// It derefs to `[u8]`. A clone costs one relaxed increment, a view of a part costs the same, and
/// no bytes are copied. The memory is freed on the thread that drops the last handle to it. So a
/// small view keeps all of the memory: see [`compact`](Self::compact). A view of no bytes keeps no
/// memory.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::Buffer;
///
/// let line = Buffer::from(vec![b'a', b'=', b'1']);
/// let value = line.slice(2..);
/// std::thread::spawn(move || assert_eq!(value, "1")).join().unwrap();
/// assert!(line.is_unique());
/// assert_eq!(format!("{line:?}"), r#"b"a=1""#);
/// ```
///
/// `Option<Buffer>` is as large as `Buffer`: three words.
#[repr(C)]
pub struct Buffer {
    /// Valid as long as the handle.
    data: NonNull<u8>,
    length: usize,
    owner: *mut Owner,
}

// The fields are those of the C struct. They are written again because a pointer of C may be null,
// and so leaves no room for `None`.
const _: () = {
    assert!(size_of::<Buffer>() == size_of::<ffi::aegis_buffer>());
    assert!(align_of::<Buffer>() == align_of::<ffi::aegis_buffer>());
};

// SAFETY: the bytes are immutable while there are views, and counts are atomic. Any thread may free
// an owner: `from_owner` wants `Send`, and `from_raw` requires it of its caller.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// An empty buffer. It allocates nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// const NOTHING: Buffer = Buffer::new();
    /// assert!(NOTHING.is_empty());
    /// ```
    #[inline]
    pub const fn new() -> Self {
        Self { data: NonNull::dangling(), length: 0, owner: ptr::null_mut() }
    }

    /// A view of static bytes. Nothing is allocated or counted.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// const MAGIC: Buffer = Buffer::from_static(b"AEGS");
    /// assert_eq!(MAGIC, "AEGS");
    /// ```
    #[inline]
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        // SAFETY: a reference is not null.
        let data = unsafe { NonNull::new_unchecked(bytes.as_ptr().cast_mut()) };
        Self { data, length: bytes.len(), owner: ptr::null_mut() }
    }

    /// Number of bytes of the view.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// assert_eq!(Buffer::from("four").len(), 4);
    /// ```
    #[inline]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether the view has no bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// assert!(Buffer::from("").is_empty());
    /// ```
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether this is the only handle to its memory. Never true for static bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let buffer = Buffer::from(vec![1, 2, 3]);
    /// assert!(buffer.is_unique());
    /// let part = buffer.slice(1..);
    /// assert!(!buffer.is_unique());
    /// ```
    #[inline]
    pub fn is_unique(&self) -> bool {
        // SAFETY: `self` is a handle.
        unsafe { owner::is_unique(self.owner) }
    }

    /// A view of a part of the bytes.
    ///
    /// # Panics
    ///
    /// When the range is not inside the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// let buffer = aegis_memory::buffer::Buffer::from("hello world");
    /// assert_eq!(buffer.slice(6..), "world");
    /// ```
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        match range::resolve(&range, self.len()) {
            Some((start, end)) => self.part(start, end),
            None => range::outside(range.start_bound(), range.end_bound(), self.len()),
        }
    }

    /// A view of a part of the bytes; `None` when the range is not inside the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let buffer = Buffer::from("hello");
    /// assert_eq!(buffer.try_slice(..4).expect("it has four bytes"), "hell");
    /// assert!(buffer.try_slice(..6).is_none());
    /// ```
    #[inline]
    pub fn try_slice(&self, range: impl RangeBounds<usize>) -> Option<Self> {
        let (start, end) = range::resolve(&range, self.len())?;
        Some(self.part(start, end))
    }

    /// The view of a slice of this buffer's bytes, for example of a slice that a parser returned.
    /// An empty slice may be from anywhere.
    ///
    /// # Panics
    ///
    /// When the slice is not inside the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// let line = aegis_memory::buffer::Buffer::from("  padded ");
    /// let word = line.slice_ref(&line[2..8]);
    /// assert_eq!(word, "padded");
    /// ```
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn slice_ref(&self, part: &[u8]) -> Self {
        match self.try_slice_ref(part) {
            Some(buffer) => buffer,
            None => panic!(
                "a slice of {} bytes at {:p} is not inside the buffer of {} bytes at {:p}",
                part.len(),
                part,
                self.len(),
                self.data
            ),
        }
    }

    /// The view of a slice of this buffer's bytes; `None` when the slice is not inside the buffer.
    /// An empty slice may be from anywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let line = Buffer::from("  padded ");
    /// assert_eq!(line.try_slice_ref(&line[2..8]).expect("it is a part"), "padded");
    /// assert!(line.try_slice_ref(b"elsewhere").is_none());
    /// ```
    #[inline]
    pub fn try_slice_ref(&self, part: &[u8]) -> Option<Self> {
        if part.is_empty() {
            return Some(Self::new());
        }
        let start = (part.as_ptr() as usize).checked_sub(self.data.as_ptr() as usize)?;
        self.try_slice(start..start.checked_add(part.len())?)
    }

    /// Splits the view. It returns the bytes before `at`; the bytes from `at` on stay.
    ///
    /// # Panics
    ///
    /// When `at` is larger than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut rest = aegis_memory::buffer::Buffer::from("headbody");
    /// let head = rest.split_to(4);
    /// assert!(head == "head" && rest == "body");
    /// ```
    #[inline]
    #[must_use = "the bytes before are gone from the buffer: see advance"]
    #[track_caller]
    pub fn split_to(&mut self, at: usize) -> Self {
        self.check("a split at", at);
        if at == self.len() {
            return mem::take(self).unless_empty();
        }
        let front = self.part(0, at);
        self.skip(at);
        front
    }

    /// Splits the view. It returns the bytes from `at` on; the bytes before `at` stay.
    ///
    /// # Panics
    ///
    /// When `at` is larger than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let mut head = Buffer::from("headbody");
    /// let body = head.split_off(4);
    /// assert!(head == "head" && body == "body");
    /// ```
    #[inline]
    #[must_use = "the bytes behind are gone from the buffer: see truncate"]
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        self.check("a split at", at);
        if at == 0 {
            return mem::take(self).unless_empty();
        }
        let back = self.part(at, self.len());
        self.length = at;
        back
    }

    /// Drops the bytes behind the first `len` bytes. A buffer that has at most `len` bytes stays as
    /// it is. A buffer that has no bytes left gives up its memory, and a panic in the owner's drop
    /// continues here.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let mut buffer = Buffer::from("headbody");
    /// buffer.truncate(4);
    /// assert_eq!(buffer, "head");
    /// ```
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len == 0 {
            return self.clear();
        }
        self.length = self.len().min(len);
    }

    /// The first `len` bytes, or all if there are fewer: as [`truncate`](Self::truncate).
    ///
    /// It is there also to be called where both `std::io::Read` and `bytes::Buf` are imported, which
    /// have a method of this name each. The view that it returns can be read as either.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(all(feature = "std", feature = "bytes"))] {
    /// use aegis_memory::buffer::Buffer;
    /// use bytes::Buf;
    /// use std::io::Read;
    ///
    /// let frame = Buffer::from("\0\x05hello and more");
    /// let mut number = frame.clone().take(2);
    /// let len = number.get_u16();
    /// let mut text = String::new();
    /// frame.slice(2..).take(len.into()).read_to_string(&mut text)?;
    /// assert_eq!(text, "hello");
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn take(mut self, len: usize) -> Self {
        self.truncate(len);
        self
    }

    /// Drops the first `count` bytes. A buffer that has no bytes left gives up its memory, and a
    /// panic in the owner's drop continues here.
    ///
    /// # Panics
    ///
    /// When `count` is larger than the length.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let mut buffer = Buffer::from("headbody");
    /// buffer.advance(4);
    /// assert_eq!(buffer, "body");
    /// ```
    #[inline]
    #[track_caller]
    pub fn advance(&mut self, count: usize) {
        self.check("an advance by", count);
        if count == self.len() {
            return self.clear();
        }
        self.skip(count);
    }

    /// Gives up all bytes and the handle to their memory.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let mut buffer = Buffer::from("headbody");
    /// buffer.clear();
    /// assert!(buffer.is_empty());
    /// ```
    #[inline]
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Joins `back` to this view, if `back` begins in the same memory where this view ends. If one
    /// of the two is empty, they can always be joined. Two views of static bytes that are not empty
    /// cannot be joined.
    ///
    /// # Errors
    ///
    /// `back`, when the two do not meet. Nothing is changed.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut head = aegis_memory::buffer::Buffer::from(b"headbody".to_vec());
    /// let body = head.split_off(4);
    /// head.try_unsplit(body).expect("they were split");
    /// assert_eq!(head, "headbody");
    /// ```
    #[inline]
    pub fn try_unsplit(&mut self, back: Self) -> Result<(), Self> {
        if self.is_empty() {
            *self = back;
            return Ok(());
        }
        let meets = self.owner == back.owner
            && self.data.as_ptr().wrapping_add(self.len()) == back.data.as_ptr()
            // Two views of static bytes may lie side by side by chance, but they are not one
            // object.
            && !self.owner.is_null();
        if !meets && !back.is_empty() {
            return Err(back);
        }
        self.length += back.len();
        Ok(())
    }

    /// The C struct, so that C code can read, retain or slice it. The pointer is valid until the
    /// buffer is moved or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let buffer = Buffer::from("four");
    /// // SAFETY: the buffer is alive.
    /// let raw = unsafe { &*buffer.as_raw() };
    /// assert_eq!(raw.length, 4);
    /// ```
    #[inline]
    pub fn as_raw(&self) -> *const ffi::aegis_buffer {
        (self as *const Self).cast()
    }

    /// Gives away the C struct. The receiver must release it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// use aegis_memory::ffi;
    /// let mut raw = Buffer::from(vec![1, 2, 3]).into_raw();
    /// // SAFETY: this code owns the struct and releases it once.
    /// unsafe { ffi::aegis_buffer_release(&mut raw) };
    /// ```
    #[inline]
    #[must_use = "the struct is a handle: give it to aegis_buffer_release or Buffer::from_raw"]
    pub fn into_raw(self) -> ffi::aegis_buffer {
        *ManuallyDrop::new(self).raw()
    }

    /// Takes over a C buffer.
    ///
    /// # Safety
    ///
    /// - `raw` was made by the C library or [`into_raw`](Self::into_raw). It is not all-zero and
    ///   not released.
    /// - No copy of the struct is used or released afterwards.
    /// - Its bytes are initialised. While there are handles to them, no code writes them or makes a
    ///   writer of them. If the buffer has no owner, no code ever does.
    /// - Any thread may release its owner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let raw = Buffer::from(vec![1, 2, 3]).into_raw();
    /// // SAFETY: the struct is used for this only.
    /// let buffer = unsafe { Buffer::from_raw(raw) };
    /// assert_eq!(buffer, [1, 2, 3]);
    /// ```
    #[inline]
    pub const unsafe fn from_raw(raw: ffi::aegis_buffer) -> Self {
        // SAFETY: the data pointer of a buffer is not null (buffer.h).
        let data = unsafe { NonNull::new_unchecked(raw.data.cast_mut()) };
        Self { data, length: raw.length, owner: raw.owner }
    }

    /// Borrows a buffer that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to a buffer that is not all-zero, and that is not changed or released while
    ///   `'a` lasts.
    /// - Its bytes are initialised. While there are handles to them, no code writes them or makes a
    ///   writer of them. If the buffer has no owner, no code ever does.
    /// - Any thread may release its owner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let buffer = Buffer::from(vec![1, 2, 3]);
    /// // SAFETY: the buffer is not changed or released while `same` is used.
    /// let same = unsafe { Buffer::borrow_raw(buffer.as_raw()) };
    /// assert_eq!(*same, [1, 2, 3]);
    ///
    /// ```
    #[inline]
    pub unsafe fn borrow_raw<'a>(raw: *const ffi::aegis_buffer) -> &'a Self {
        // SAFETY: `Buffer` is laid out as the C struct, whose data pointer is not null in a buffer.
        // The caller guarantees the rest.
        unsafe { &*raw.cast::<Self>() }
    }

    /// Whether `len` of the bytes can be read. Bytes of a mapped file that was truncated cannot.
    /// For `len` 0 it is always true.
    pub(super) fn is_whole(&self, len: usize) -> bool {
        let owner = self.owner;
        // SAFETY: `self` is a handle.
        if len == 0 || owner.is_null() || unsafe { owner::is_writable(owner) } {
            return true;
        }
        // SAFETY: `self` is a handle.
        unsafe { ffi::aegis_buffer_check_file(self.as_raw()) != ffi::AEGIS_E_IO }
    }

    #[inline(always)]
    pub(super) fn raw(&self) -> &ffi::aegis_buffer {
        // SAFETY: `Buffer` is laid out as the C struct.
        unsafe { &*self.as_raw() }
    }

    /// The C struct, for calls of the core that change the handle and do not empty it.
    #[inline(always)]
    pub(super) fn raw_mut(&mut self) -> *mut ffi::aegis_buffer {
        (self as *mut Self).cast()
    }

    /// Makes this a view of other bytes of the same owner.
    #[inline(always)]
    pub(super) fn set(&mut self, bytes: NonNull<u8>, length: usize) {
        self.data = bytes;
        self.length = length;
    }

    /// A view of `start..end`, which is inside. A view of no bytes needs no reference.
    #[inline(always)]
    fn part(&self, start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= self.len());
        if start == end {
            return Self::new();
        }
        // SAFETY: `self` is a handle.
        unsafe { owner::retain(self.owner) };
        // SAFETY: `start` is inside.
        let data = unsafe { self.at(start) };
        Self { data, length: end - start, owner: self.owner }
    }

    /// The buffer itself, but without its owner if it has no bytes. C code may have made a buffer
    /// of no bytes with an owner.
    #[inline(always)]
    fn unless_empty(mut self) -> Self {
        self.truncate(self.len());
        self
    }

    /// Drops the first `count` bytes. The buffer has at least that many.
    #[inline(always)]
    fn skip(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        // SAFETY: the buffer has at least `count` bytes.
        self.data = unsafe { self.at(count) };
        self.length -= count;
    }

    /// The address `offset` bytes behind the beginning.
    ///
    /// # Safety
    ///
    /// The view has at least that many bytes.
    #[inline(always)]
    unsafe fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: the caller guarantees that it is inside.
        let data = unsafe { self.data.as_ptr().add(offset) };
        // SAFETY: no object of bytes reaches the null address.
        unsafe { NonNull::new_unchecked(data) }
    }

    #[inline(always)]
    #[track_caller]
    fn check(&self, what: &str, at: usize) {
        if at > self.len() {
            range::beyond(what, at, "a buffer of", self.len());
        }
    }
}

impl Default for Buffer {
    /// An empty buffer. It allocates nothing.
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Buffer {
    /// Another handle to the same bytes. It costs one relaxed increment.
    #[inline]
    fn clone(&self) -> Self {
        let raw = *self.raw();
        // SAFETY: `self` is a handle.
        unsafe { owner::retain(raw.owner) };
        // SAFETY: it is the same view, with the reference that was just counted.
        unsafe { Self::from_raw(raw) }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` is a handle, and nothing uses it again.
        unsafe { owner::release_view(self.raw().owner) }
    }
}

/// Drops a view in code that runs inside `unwind::call`. A panic of the owner continues only when
/// `unwind::call` ends. So it does not interrupt a loop over several views.
pub(super) fn drop_inside(buffer: Buffer) {
    let mut raw = buffer.into_raw();
    // SAFETY: it is a handle, and nothing uses it again.
    unsafe { ffi::aegis_buffer_release(&mut raw) };
}
