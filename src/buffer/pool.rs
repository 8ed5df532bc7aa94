// SPDX-License-Identifier: Apache-2.0
//! The pool of buffers: a handle to the C pool. `aegis_memory/buffer_pool.h` describes its
//! algorithm.

use alloc::vec::Vec;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr;
use core::time::Duration;

use super::owner::Owner;
use super::pool_builder::BufferPoolBuilder;
use super::stats::BufferPoolStats;
use super::view::Buffer;
use super::writer::BufferMut;
use crate::budget::move_methods;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

/// A pool of buffers of one or several sizes. They are page-aligned by default.
///
/// It is a handle: each clone is a handle to the same pool. The pool is freed when its last handle
/// is dropped and no buffer is out any more.
///
/// A buffer returns to the pool when its last view or writer is dropped, on any thread. The pool's
/// policy says what happens when no buffer is left: see [`WhenEmpty`](super::WhenEmpty).
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::{BufferPool, WhenEmpty};
/// use std::time::Duration;
///
/// let pool = BufferPool::builder()
///     .class(4096, 64)
///     .class_growing(64 << 10, 4, 16)
///     .when_empty(WhenEmpty::Wait(Duration::from_secs(1)))
///     .build()?;
/// let mut page = pool.get(4096)?;
/// assert_eq!((page.capacity(), page.as_ptr() as usize % 4096), (4096, 0));
/// page.extend_from_slice(b"written once");
/// let page = page.freeze();
/// let reader = std::thread::spawn({
///     let page = page.clone();
///     move || page.len()
/// });
/// assert_eq!(reader.join().unwrap(), 12);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[repr(transparent)]
pub struct BufferPool {
    /// Never all-zero.
    raw: ffi::aegis_buffer_pool,
}

// SAFETY: any thread may call every function of the C pool. Sources are `Send + Sync`, and any
// thread may use a budget.
unsafe impl Send for BufferPool {}
// SAFETY: as above.
unsafe impl Sync for BufferPool {}

/// One block of a pool, for registration with the kernel. It has the layout of the system's
/// `struct iovec`, if the system has one.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::{BufferPool, IoBlock};
///
/// let pool = BufferPool::new(4096, 8);
/// let table: Vec<IoBlock> = pool.io_blocks();
/// assert_eq!((table.len(), table[0].len), (8, 4096));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct IoBlock {
    /// Address of the first byte; null for a block that is not made yet, or whose slab was given
    /// back.
    pub base: *mut u8,
    /// Size in bytes; 0 for such a block.
    pub len: usize,
}

// SAFETY: it is an address and a number. What is done with the address is the user's `unsafe` code.
unsafe impl Send for IoBlock {}
// SAFETY: as above.
unsafe impl Sync for IoBlock {}

impl BufferPool {
    /// Makes a pool of `buffers` buffers with a capacity of `buffer_size` bytes each.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::new(4096, 8);
    /// assert_eq!(pool.stats().classes[0].capacity, 8);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(buffer_size: usize, buffers: usize) -> Self {
        expect(Self::try_new(buffer_size, buffers))
    }

    /// Makes a pool of `buffers` buffers with a capacity of `buffer_size` bytes each.
    ///
    /// # Errors
    ///
    /// As [`BufferPoolBuilder::build`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::try_new(4096, 8)?;
    /// assert_eq!(pool.get(4096)?.capacity(), 4096);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_new(buffer_size: usize, buffers: usize) -> Result<Self, AllocError> {
        Self::builder().class(buffer_size, buffers).build()
    }

    /// Starts to make a pool of several sizes, or with settings other than the defaults.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::builder().class(4096, 8).class(65536, 2).build()?;
    /// assert_eq!(pool.get(5000)?.capacity(), 65536);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn builder() -> BufferPoolBuilder {
        BufferPoolBuilder::new()
    }

    /// Takes an empty writer with a capacity of at least `min_capacity` bytes. It comes from the
    /// smallest class that is large enough and has a buffer left.
    ///
    /// # Errors
    ///
    /// - [`AllocError::Exhausted`] when all buffers that are large enough are out. If the policy is
    ///   to wait, the call has waited before.
    /// - [`AllocError::Invalid`] for more bytes than the buffers of the largest class have.
    /// - [`AllocError::OutOfMemory`] and [`AllocError::LimitExceeded`] when the pool tried to grow,
    ///   or to allocate on the heap, and the memory was refused.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::new(4096, 1);
    /// let mut page = pool.get(1000)?;
    /// page.extend_from_slice(b"row");
    /// assert!(pool.get(1000).is_err(), "the only buffer is out");
    /// assert_eq!(page.freeze(), "row");
    /// assert!(pool.get(1000).is_ok(), "it came home with its last view");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn get(&self, min_capacity: usize) -> Result<BufferMut, AllocError> {
        // SAFETY: any thread may call it. The writer has all memory of an owner of the pool or of the
        // heap, and the pool keeps the budget alive.
        unsafe {
            BufferMut::try_made(|writer, error| {
                ffi::aegis_buffer_pool_get(&self.raw, writer, min_capacity, error)
            })
        }
    }

    /// Takes an empty writer, and waits for one at most `timeout`, whatever the policy is. The
    /// writer never comes from the heap. With a timeout of 0 the call does not wait; with
    /// `Duration::MAX` it waits without a limit. While a class that is large enough may grow, the
    /// call tries to grow it every 10 ms.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). The error describes the state at the moment when the time is over.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// use std::time::Duration;
    /// let pool = BufferPool::new(4096, 1);
    /// let page = pool.get_timeout(4096, Duration::MAX)?;
    /// assert!(pool.get_timeout(4096, Duration::from_millis(1)).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn get_timeout(
        &self,
        min_capacity: usize,
        timeout: Duration,
    ) -> Result<BufferMut, AllocError> {
        let timeout_ns = ffi::nanoseconds(timeout);
        let pool = &self.raw;
        // SAFETY: as in `get`.
        unsafe {
            BufferMut::try_made(|writer, error| {
                ffi::aegis_buffer_pool_get_timeout(pool, writer, min_capacity, timeout_ns, error)
            })
        }
    }

    /// The number of the block that a buffer of this pool lies in: its index in the table of
    /// [`io_blocks`](Self::io_blocks). `None` for a buffer that lies in no block of this pool. A
    /// buffer of no bytes lies in no block.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::new(4096, 8);
    /// let mut page = pool.get(4096)?;
    /// page.extend_from_slice(b"row");
    /// let (id, row) = (pool.id_of_mut(&page), page.freeze());
    /// assert!(id.is_some() && pool.id_of(&row) == id);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn id_of(&self, buffer: &Buffer) -> Option<usize> {
        self.id_of_owner(buffer.raw().owner)
    }

    /// The number of the block that a writer of this pool lies in: see [`id_of`](Self::id_of).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::new(4096, 8);
    /// assert!(pool.id_of_mut(&pool.get(4096)?).expect("it is the pool's") < 8);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn id_of_mut(&self, writer: &BufferMut) -> Option<usize> {
        self.id_of_owner(writer.raw().owner)
    }

    fn id_of_owner(&self, owner: *const Owner) -> Option<usize> {
        let mut id = 0;
        // SAFETY: any thread may call it, with any pointer.
        let status = unsafe { ffi::aegis_buffer_pool_id_of(&self.raw, owner, &mut id) };
        (status == ffi::AEGIS_OK as ffi::aegis_status).then_some(id)
    }

    /// A table of the pool's blocks, whether they are out or not, for registration with the kernel.
    /// It has an entry for every block that the pool may grow to. The index of a block never
    /// changes. The entry of a block that is not made yet is null.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = aegis_memory::buffer::BufferPool::new(4096, 8);
    /// let table = pool.io_blocks();
    /// let page = pool.get(4096)?;
    /// let id = pool.id_of_mut(&page).expect("it is the pool's");
    /// assert_eq!(table[id].base.cast_const(), page.as_ptr());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn io_blocks(&self) -> Vec<IoBlock> {
        // SAFETY: any thread may call it, and this call writes nothing.
        let count = unsafe { ffi::aegis_buffer_pool_iovecs(&self.raw, ptr::null_mut(), 0) };
        let none = ffi::aegis_iovec { base: ptr::null_mut(), length: 0 };
        let mut table = alloc::vec![none; count];
        // SAFETY: there is room for `count` entries.
        unsafe { ffi::aegis_buffer_pool_iovecs(&self.raw, table.as_mut_ptr(), count) };
        table.iter().map(|raw| IoBlock { base: raw.base.cast(), len: raw.length }).collect()
    }

    /// Gives slabs of which no buffer is out back to the source, of each class the last slab first.
    /// Buffers that are cached in stripes do not keep their slabs. The first slab of each class stays,
    /// and so does every slab that the class needs to keep `keep_buffers` buffers. The budget is
    /// credited before the call returns.
    ///
    /// Other threads may take buffers and drop them meanwhile. The trim first sorts the free buffers.
    /// During that time a thread that finds no other buffer free waits. Of several trims at a time,
    /// those that find another one sorting do nothing. For a while after a trim, threads do without
    /// stripes of their own, so a pool should not be trimmed all the time.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::BufferPool;
    ///
    /// let pool = BufferPool::builder().class_growing(4096, 16, 256).build()?;
    /// let burst: Vec<_> = (0..256).map_while(|_| pool.get(4096).ok()).collect();
    /// drop(burst);
    /// pool.trim(64);
    /// assert_eq!(pool.stats().classes[0].capacity, 64);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn trim(&self, keep_buffers: usize) {
        // SAFETY: any thread may call it, and it leaves slabs with buffers out alone.
        unwind::call(|| unsafe { ffi::aegis_buffer_pool_trim(&self.raw, keep_buffers) });
    }

    /// Gives slabs back that were not used since the latest call, as [`trim`](Self::trim) does. A
    /// server that calls it every minute decays to what it needs. A slab was used if one of its
    /// buffers was out, or was moved to a thread's stripe.
    ///
    /// The buffers of slabs that are not used are set aside: they are taken only when the pool behind
    /// the stripes has no others. So a slab that is not needed stays idle, and the next call gives it
    /// back.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::builder().class_growing(4096, 16, 256).build()?;
    /// let burst: Vec<_> = (0..256).map_while(|_| pool.get(4096).ok()).collect();
    /// drop(burst);
    /// pool.trim_idle(); // all slabs were used since the beginning
    /// pool.trim_idle();
    /// assert_eq!(pool.stats().classes[0].capacity, 16);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn trim_idle(&self) {
        // SAFETY: as for `trim`.
        unwind::call(|| unsafe { ffi::aegis_buffer_pool_trim_idle(&self.raw) });
    }

    move_methods!(
        aegis_buffer_pool_move_budget,
        (&mut) self => &mut self.raw,
        "all memory of the pool, and later slabs,",
        "[`AllocError::Invalid`] with [`What::Out`](crate::What::Out) while there is another handle \
         of the pool, a buffer of it is out, another thread tells those that wait of a buffer that \
         it has dropped, or a budget asks a reclaimable pool for bytes on another thread. \
         A buffer that is out moves by itself: see [`Buffer::move_to`].",
        "",
        "[`AllocError::OutOfMemory`] when there is no memory to register a reclaimable pool with \
         the new budget."
    );

    /// The pool's statistics. They are exact while no other thread uses the pool. Else each buffer
    /// is counted as it was at some moment during the call. The call looks at every buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::new(4096, 8);
    /// let page = pool.get(4096)?;
    /// assert_eq!(pool.stats().classes[0].in_use, 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn stats(&self) -> BufferPoolStats {
        let mut raw = MaybeUninit::<ffi::aegis_buffer_pool_stats>::uninit();
        // SAFETY: any thread may call it, and it writes the whole struct.
        let raw = unsafe {
            ffi::aegis_buffer_pool_get_stats(&self.raw, raw.as_mut_ptr());
            raw.assume_init()
        };
        BufferPoolStats::from_raw(&raw)
    }

    /// The C struct, so that C code can take buffers from the pool, on any thread. The pointer is
    /// valid until this handle is moved or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// assert!(!BufferPool::new(4096, 8).as_raw().is_null());
    /// ```
    pub fn as_raw(&self) -> *const ffi::aegis_buffer_pool {
        &self.raw
    }

    /// Gives away the C struct. The receiver must release it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// use aegis_memory::ffi;
    /// let mut raw = BufferPool::new(4096, 8).into_raw();
    /// // SAFETY: this code owns the handle and releases it once.
    /// unsafe { ffi::aegis_buffer_pool_release(&mut raw) };
    /// ```
    #[must_use = "the struct is a handle: give it to aegis_buffer_pool_release or from_raw"]
    pub fn into_raw(self) -> ffi::aegis_buffer_pool {
        ManuallyDrop::new(self).raw
    }

    /// Takes over a handle that C code owns.
    ///
    /// # Safety
    ///
    /// - `raw` was made by `aegis_buffer_pool_init`, `aegis_buffer_pool_retain` or
    ///   [`into_raw`](Self::into_raw), and is not released.
    /// - No copy of the struct is used or released afterwards.
    /// - What the pool was made with, for example the source's context, is valid until the pool's
    ///   last handle and its last buffer are gone. The source may be used from any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let raw = BufferPool::new(4096, 8).into_raw();
    /// // SAFETY: the struct is used for this only.
    /// let pool = unsafe { BufferPool::from_raw(raw) };
    /// assert!(pool.get(4096).is_ok());
    /// ```
    pub unsafe fn from_raw(raw: ffi::aegis_buffer_pool) -> Self {
        Self { raw }
    }

    /// Borrows a handle that C owns.
    ///
    /// # Safety
    ///
    /// - `raw` points to a handle to a pool. The handle is not released while `'a` lasts, and the
    ///   pool's source may be used from any thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::new(4096, 8);
    /// // SAFETY: the handle is not released while `same` is used.
    /// let same = unsafe { BufferPool::borrow_raw(pool.as_raw()) };
    /// assert!(same.get(4096).is_ok());
    /// ```
    pub unsafe fn borrow_raw<'a>(raw: *const ffi::aegis_buffer_pool) -> &'a Self {
        // SAFETY: `BufferPool` is a transparent wrapper, and the caller guarantees the rest.
        unsafe { &*raw.cast::<Self>() }
    }
}

impl BufferPoolBuilder {
    /// Makes the pool.
    ///
    /// # Errors
    ///
    /// - [`AllocError::Invalid`] for a pool without classes, a class without buffers, and more
    ///   buffers than a class can have.
    /// - [`AllocError::InvalidLayout`] for an alignment that is no power of two, and for more bytes
    ///   than a buffer can have.
    /// - [`AllocError::OutOfMemory`] when the source refuses, or when there is no memory to register
    ///   a [reclaimable](Self::reclaimable) pool.
    /// - [`AllocError::LimitExceeded`] when the budget refuses.
    /// - [`AllocError::Forked`] for a reclaimable pool in a child process, if another thread was
    ///   changing the tree of budgets while the process forked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// assert!(BufferPool::builder().class(4096, 8).build().is_ok());
    /// assert!(BufferPool::builder().build().is_err(), "it has no class");
    ///
    /// ```
    pub fn build(self) -> Result<BufferPool, AllocError> {
        // SAFETY: the core has made the pool, and this is its first handle.
        Ok(unsafe { BufferPool::from_raw(self.make()?) })
    }
}

impl Clone for BufferPool {
    /// Another handle to the same pool. If there are more handles than half of the largest `usize`,
    /// the process ends, as for an `Arc`.
    fn clone(&self) -> Self {
        let mut raw = ffi::aegis_buffer_pool { shared: ptr::null_mut() };
        // SAFETY: `self` is a handle.
        let status = unsafe { ffi::aegis_buffer_pool_retain(&self.raw, &mut raw) };
        if status != ffi::AEGIS_OK as ffi::aegis_status {
            unwind::abort();
        }
        Self { raw }
    }
}

impl Drop for BufferPool {
    fn drop(&mut self) {
        // SAFETY: `self` is a handle, and nothing uses it again.
        unwind::call(|| unsafe { ffi::aegis_buffer_pool_release(&mut self.raw) });
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("stats", &self.stats()).finish()
    }
}
