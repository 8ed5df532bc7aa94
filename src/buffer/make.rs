// SPDX-License-Identifier: Apache-2.0
//! Buffers from copies, from owners and from arenas, and views that become writers again.
//!
//! The file is longer than 500 lines, because each method has an example.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::ptr;

use super::ask::{ask, ask_keeping, raw_budget, NONE, NO_WRITER};
use super::owned;
use super::view::Buffer;
use super::writer::BufferMut;
use crate::arena::Arena;
use crate::budget::MemoryBudget;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

impl Buffer {
    /// A view of a copy of `bytes`, on the C heap.
    ///
    /// # Panics
    ///
    /// When [`try_copy_from_slice`](Self::try_copy_from_slice) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let copy = Buffer::copy_from_slice(&[1, 2, 3]);
    /// assert_eq!(copy, [1, 2, 3]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn copy_from_slice(bytes: &[u8]) -> Self {
        expect(Self::try_copy_from_slice(bytes))
    }

    /// A view of a copy of `bytes`, on the C heap.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when the heap refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// assert_eq!(Buffer::try_copy_from_slice(&[1, 2, 3])?, [1, 2, 3]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_copy_from_slice(bytes: &[u8]) -> Result<Self, AllocError> {
        Self::copied(bytes, None)
    }

    /// A view of a copy of `bytes`, on the C heap and charged to a budget until it is freed.
    ///
    /// # Panics
    ///
    /// When [`try_copy_from_slice_in`](Self::try_copy_from_slice_in) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("results", 1 << 20);
    /// let copy = Buffer::copy_from_slice_in(&[7; 1000], &budget);
    /// assert!(budget.used() >= 1000);
    /// drop(copy);
    /// assert_eq!(budget.used(), 0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn copy_from_slice_in(bytes: &[u8], budget: &MemoryBudget) -> Self {
        expect(Self::try_copy_from_slice_in(bytes, budget))
    }

    /// A view of a copy of `bytes`, on the C heap and charged to a budget until it is freed.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when the heap refuses, [`AllocError::LimitExceeded`] when the
    /// budget refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("small", 10);
    /// assert!(Buffer::try_copy_from_slice_in(&[7; 1000], &budget).is_err());
    /// ```
    pub fn try_copy_from_slice_in(bytes: &[u8], budget: &MemoryBudget) -> Result<Self, AllocError> {
        Self::copied(bytes, Some(budget))
    }

    fn copied(bytes: &[u8], budget: Option<&MemoryBudget>) -> Result<Self, AllocError> {
        let mut raw = NONE;
        let (data, budget) = (bytes.as_ptr().cast(), raw_budget(budget));
        // SAFETY: the call writes `raw` and reads `bytes`, and the budget is borrowed.
        unsafe {
            ask_keeping(|error| ffi::aegis_buffer_copy(&mut raw, data, bytes.len(), budget, error))
        }?;
        // SAFETY: the core has made the buffer, and any thread may free memory of the heap.
        Ok(unsafe { Self::from_raw(raw) })
    }

    /// A view of the bytes that `owner` has, without a copy. The owner is dropped with the last
    /// handle, on the thread that drops this handle. An owner that has no bytes is dropped at once.
    ///
    /// `as_ref` is called once, when the owner is in its final place. So an array can be an owner.
    /// After that nothing borrows the owner, so it need not be `Sync`.
    /// If the owner's bytes are a part of more memory, use
    /// [`from_owner_sized`](Self::from_owner_sized).
    ///
    /// An owner may own buffers with owners of their own, at any depth. When the drop of one owner
    /// drops another owner, and so on, the first 16 are dropped at once. Owners at a greater depth
    /// are put in a queue, in the order in which they were given up. The outermost drop drops them
    /// in this order before it returns.
    ///
    /// # Panics
    ///
    /// When [`try_from_owner`](Self::try_from_owner) fails, or `as_ref` panics. Then the owner is
    /// dropped. A panic in the owner's drop continues in the drop of the last handle. Without
    /// feature `std` it aborts the process.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    /// use std::sync::Arc;
    ///
    /// let shared: Arc<[u8]> = Arc::from(&b"shared elsewhere too"[..]);
    /// let buffer = Buffer::from_owner(shared.clone());
    /// assert_eq!(buffer.as_ptr(), shared.as_ptr());
    /// ```
    #[track_caller]
    pub fn from_owner<T>(owner: T) -> Self
    where
        T: AsRef<[u8]> + Send + 'static,
    {
        expect(Self::try_from_owner(owner).map_err(|(_, error)| error))
    }

    /// A view of the bytes that `owner` has, as [`from_owner`](Self::from_owner) makes it.
    ///
    /// # Errors
    ///
    /// The owner and [`AllocError::OutOfMemory`], when there is no memory to keep the owner in.
    ///
    /// # Panics
    ///
    /// When `as_ref` panics. Then the owner is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let owner: Box<[u8]> = Box::new([1, 2, 3]);
    /// let buffer = Buffer::try_from_owner(owner).map_err(|(_, error)| error)?;
    /// assert_eq!(buffer, [1, 2, 3]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_from_owner<T>(owner: T) -> Result<Self, (T, AllocError)>
    where
        T: AsRef<[u8]> + Send + 'static,
    {
        owned::of_value(owner, 0)
    }

    /// A view of the bytes that `owner` has, as [`from_owner`](Self::from_owner) makes it. The
    /// owner says how many bytes of memory it keeps in all, because its bytes are a part of more
    /// memory. [`retained_bytes`](Self::retained_bytes) returns that number, and
    /// [`compact`](Self::compact) goes by it. A number below the owner's bytes counts as those.
    ///
    /// # Panics
    ///
    /// As [`from_owner`](Self::from_owner).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// /// One column of a batch that was decoded into one piece of memory.
    /// struct Column(std::sync::Arc<Vec<u8>>);
    /// impl AsRef<[u8]> for Column {
    ///     fn as_ref(&self) -> &[u8] {
    ///         &self.0[..8]
    ///     }
    /// }
    /// let batch = std::sync::Arc::new(vec![7; 1 << 20]);
    /// let mut column = Buffer::from_owner_sized(Column(batch.clone()), batch.capacity());
    /// assert_eq!((column.len(), column.retained_bytes()), (8, 1 << 20));
    /// column.compact();
    /// assert!(column.retained_bytes() < 200 && std::sync::Arc::strong_count(&batch) == 1);
    /// ```
    #[track_caller]
    pub fn from_owner_sized<T>(owner: T, retained_bytes: usize) -> Self
    where
        T: AsRef<[u8]> + Send + 'static,
    {
        expect(Self::try_from_owner_sized(owner, retained_bytes).map_err(|(_, error)| error))
    }

    /// A view of the bytes that `owner` has, as [`from_owner_sized`](Self::from_owner_sized) makes
    /// it.
    ///
    /// # Errors
    ///
    /// The owner and [`AllocError::OutOfMemory`], when there is no memory to keep the owner in.
    ///
    /// # Panics
    ///
    /// When `as_ref` panics. Then the owner is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let text = String::with_capacity(1000) + "text";
    /// let capacity = text.capacity();
    /// let buffer = Buffer::try_from_owner_sized(text, capacity).map_err(|(_, error)| error)?;
    /// assert_eq!((buffer.len(), buffer.retained_bytes()), (4, 1000));
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_from_owner_sized<T>(owner: T, retained_bytes: usize) -> Result<Self, (T, AllocError)>
    where
        T: AsRef<[u8]> + Send + 'static,
    {
        owned::of_value(owner, retained_bytes)
    }

    /// A view of a vector's bytes, without a copy. The vector's spare capacity is kept for
    /// [`try_into_mut`](Self::try_into_mut). A vector without bytes is dropped. `Buffer::from` is
    /// the form that panics.
    ///
    /// # Errors
    ///
    /// The vector and [`AllocError::OutOfMemory`], when there is no memory for the header.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let buffer = Buffer::try_from_vec(vec![1, 2, 3]).map_err(|(_, error)| error)?;
    /// assert_eq!(buffer, [1, 2, 3]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_from_vec(vec: Vec<u8>) -> Result<Self, (Vec<u8>, AllocError)> {
        owned::of_vec(vec)
    }

    /// A view of bytes in an arena. The buffer takes over the arena and drops it with the last
    /// handle, or at once if there are no bytes. The header is allocated in the arena too.
    ///
    /// # Panics
    ///
    /// When [`try_from_arena`](Self::try_from_arena) fails, or `make` panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::Arena;
    /// use aegis_memory::buffer::Buffer;
    ///
    /// let report = Buffer::from_arena(Arena::new(4096), |arena| {
    ///     let count = arena.alloc_value(3);
    ///     arena.alloc_fmt(format_args!("{count} rows")).as_bytes()
    /// });
    /// assert_eq!(report, "3 rows");
    /// ```
    #[must_use]
    #[track_caller]
    pub fn from_arena(arena: Arena, make: impl for<'a> FnOnce(&'a Arena) -> &'a [u8]) -> Self {
        expect(Self::try_from_arena(arena, make))
    }

    /// A view of bytes in an arena. The buffer takes over the arena and drops it with the last
    /// handle, or at once if there are no bytes. The header is allocated in the arena too.
    ///
    /// # Errors
    ///
    /// The reason why the arena had no room for the header. The arena is dropped.
    ///
    /// # Panics
    ///
    /// - When `make` panics. Then the arena is dropped.
    /// - When C code has left a scope open on the arena.
    ///
    /// A panic in the drop of one of the arena's values continues in the drop of the last handle.
    /// If there are no bytes, such a panic ends in this call.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// use aegis_memory::arena::Arena;
    /// let buffer = Buffer::try_from_arena(Arena::new(4096), |arena| arena.alloc_str("rows").as_bytes())?;
    /// assert_eq!(buffer, "rows");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_from_arena(
        arena: Arena,
        make: impl for<'a> FnOnce(&'a Arena) -> &'a [u8],
    ) -> Result<Self, AllocError> {
        let (data, length) = {
            let bytes = make(&arena);
            (bytes.as_ptr().cast(), bytes.len())
        };
        let mut raw = NONE;
        let from = arena.as_raw();
        // SAFETY: the arena is ours alone, because the borrow that `make` got has ended. `make` can
        // only have returned bytes of the arena, which do not move, or static bytes.
        unsafe {
            ask_keeping(|error| ffi::aegis_buffer_from_arena(&mut raw, from, data, length, error))
        }?;
        // The buffer owns the arena now.
        mem::forget(arena);
        // SAFETY: the core has made the buffer. Any thread may drop an `Arena`, because it is
        // `Send`.
        Ok(unsafe { Self::from_raw(raw) })
    }

    /// Turns the only view of writable memory into a writer of the same bytes. The writer's
    /// capacity goes to the end of the memory. Memory is writable if a writer used it before, or if
    /// it is that of a `Vec`.
    ///
    /// # Errors
    ///
    /// The buffer, unchanged, when there are other handles or its memory is not writable.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// let text = Buffer::from(b"once".to_vec());
    /// let mut writer = text.try_into_mut().expect("the only handle");
    /// writer[0] = b'O';
    /// assert_eq!(writer.freeze(), "Once");
    /// ```
    pub fn try_into_mut(self) -> Result<BufferMut, Self> {
        let (mut raw, mut writer) = (self.into_raw(), NO_WRITER);
        // SAFETY: `raw` is a handle.
        match unsafe { ffi::aegis_buffer_try_into_mut(&mut raw, &mut writer) } {
            // SAFETY: the core has made the writer, which has taken the handle over.
            0 => Ok(unsafe { BufferMut::from_raw(writer) }),
            // SAFETY: the core has left the handle as it was.
            _ => Err(unsafe { Self::from_raw(raw) }),
        }
    }

    /// Turns a view into a writer. The writer has the same bytes if the view is the only handle to
    /// writable memory. Otherwise it has a copy on the C heap.
    ///
    /// # Panics
    ///
    /// When [`try_into_mut_or_copy`](Self::try_into_mut_or_copy) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let mut writer = Buffer::from(vec![1, 2, 3]).into_mut();
    /// writer[0] = 7;
    /// assert_eq!(writer.freeze(), [7, 2, 3]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn into_mut(self) -> BufferMut {
        expect(self.try_into_mut_or_copy().map_err(|(_, error)| error))
    }

    /// Turns a view into a writer. The writer has the same bytes if the view is the only handle to
    /// writable memory. Otherwise it has a copy on the C heap.
    ///
    /// A panic in the drop of the owner whose bytes were copied ends in this call, and the copy is
    /// returned.
    ///
    /// # Errors
    ///
    /// The buffer, unchanged, and the reason: why there was no memory for a copy, or
    /// [`AllocError::Truncated`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let shared = Buffer::from(vec![1, 2, 3]);
    /// let writer = shared.clone().try_into_mut_or_copy().map_err(|(_, error)| error)?;
    /// assert_ne!(writer.as_ptr(), shared.as_ptr(), "a copy, because there are two handles");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_into_mut_or_copy(self) -> Result<BufferMut, (Self, AllocError)> {
        let (mut raw, mut writer) = (self.into_raw(), NO_WRITER);
        // If the owner of the copied bytes panics in its drop, the panic ends here: the copy is
        // complete.
        let result = unwind::call_keeping(Result::is_ok, || {
            let none = ptr::null_mut();
            // SAFETY: `raw` is a handle. If the call succeeds, it has given the handle up.
            unsafe { ask(|error| ffi::aegis_buffer_into_mut(&mut raw, &mut writer, none, error)) }?;
            // SAFETY: the core has made the writer.
            Ok(unsafe { BufferMut::from_raw(writer) })
        });
        // SAFETY: a call that fails leaves the handle as it was.
        result.map_err(|error| (unsafe { Self::from_raw(raw) }, error))
    }

    /// Replaces a view of less than half of the bytes that it keeps
    /// ([`retained_bytes`](Self::retained_bytes)) by a copy on the C heap, so that a small view no
    /// longer keeps a large piece of memory. A view of all of its memory stays as it is, and so
    /// does a copy that this call made before, although its header counts as kept. A view of static
    /// bytes stays too.
    ///
    /// # Panics
    ///
    /// When [`try_compact`](Self::try_compact) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::BufferPool;
    ///
    /// let pool = BufferPool::new(4096, 1);
    /// let mut page = pool.get(4096)?;
    /// page.extend_from_slice(b"key and a long value");
    /// let mut key = page.freeze().slice(..3);
    /// assert!(pool.get(4096).is_err(), "three bytes keep the page");
    /// key.compact();
    /// assert!(key == "key" && pool.get(4096).is_ok());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn compact(&mut self) {
        expect(self.try_compact());
    }

    /// Replaces a view of less than half of the bytes that it keeps
    /// ([`retained_bytes`](Self::retained_bytes)) by a copy on the C heap, so that a small view no
    /// longer keeps a large piece of memory. A view of all of its memory stays as it is, and so
    /// does a copy that this call made before, although its header counts as kept. A view of static
    /// bytes stays too.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when the heap refuses, [`AllocError::Truncated`] when a mapped
    /// file was truncated. The buffer is unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::Buffer;
    /// let mut key = Buffer::from(vec![7; 4096]).slice(..3);
    /// key.try_compact()?;
    /// assert!(key.retained_bytes() < 200);
    ///
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_compact(&mut self) -> Result<(), AllocError> {
        let raw = self.raw_mut();
        // The owner of the copied bytes may panic in its drop.
        unwind::call(|| {
            // SAFETY: `self` is a handle, and is still one after the call, also when the call
            // fails.
            unsafe { ask(|error| ffi::aegis_buffer_compact(raw, ptr::null_mut(), error)) }
        })
    }
}

impl From<Vec<u8>> for Buffer {
    /// The vector's bytes, without a copy. The vector's spare capacity is kept for
    /// [`try_into_mut`](Buffer::try_into_mut). A vector without bytes is dropped.
    ///
    /// # Panics
    ///
    /// When [`try_from_vec`](Buffer::try_from_vec) fails.
    #[track_caller]
    fn from(vec: Vec<u8>) -> Self {
        expect(Self::try_from_vec(vec).map_err(|(_, error)| error))
    }
}

impl From<Box<[u8]>> for Buffer {
    fn from(bytes: Box<[u8]>) -> Self {
        bytes.into_vec().into()
    }
}

impl From<String> for Buffer {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&'static [u8]> for Buffer {
    fn from(bytes: &'static [u8]) -> Self {
        Self::from_static(bytes)
    }
}

impl<const N: usize> From<&'static [u8; N]> for Buffer {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from_static(bytes)
    }
}

impl From<&'static str> for Buffer {
    fn from(text: &'static str) -> Self {
        Self::from_static(text.as_bytes())
    }
}

impl From<BufferMut> for Buffer {
    fn from(writer: BufferMut) -> Self {
        writer.freeze()
    }
}

impl FromIterator<u8> for Buffer {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        bytes.into_iter().collect::<Vec<u8>>().into()
    }
}
