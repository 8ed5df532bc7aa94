// SPDX-License-Identifier: Apache-2.0
//! How a pool of buffers is made: its size classes and its other settings.

use core::mem::{self, MaybeUninit};
use core::ptr;
use core::time::Duration;

use super::ask::raw_budget;
use crate::budget::MemoryBudget;
use crate::error::AllocError;
use crate::source::{raw_source, BlockSource, ChosenSource, OwnedSource};
use crate::{ffi, unwind};

/// What happens to a request when every buffer that is large enough is out.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::{BufferPool, WhenEmpty};
///
/// let pool = BufferPool::builder().class(4096, 1).when_empty(WhenEmpty::Heap).build()?;
/// let (page, another) = (pool.get(4096)?, pool.get(4096)?);
/// assert_eq!(pool.stats().heap_count, 1);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenEmpty {
    /// The request fails.
    #[default]
    Fail,
    /// The request gets memory of the C heap, which is charged to the pool's budget. So does a
    /// request for more bytes than the buffers of the largest class have.
    Heap,
    /// The request waits at most this time for a buffer to come back. `Duration::MAX` means no
    /// limit.
    Wait(Duration),
}

/// The most size classes of a pool.
const MOST_CLASSES: usize = ffi::AEGIS_BUFFER_MAX_CLASSES as usize;

/// The settings of a pool that is to be made. [`BufferPool::builder`](super::BufferPool::builder)
/// makes one.
///
/// # Examples
///
/// ```
/// use aegis_memory::buffer::BufferPool;
///
/// let pool = BufferPool::builder().class(4096, 64).class_growing(1 << 20, 1, 8).build()?;
/// assert_eq!(pool.get(10_000)?.capacity(), 1 << 20);
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[must_use = "build() makes the pool"]
pub struct BufferPoolBuilder {
    /// The first `class_count` are set, in ascending order.
    classes: [ffi::aegis_buffer_class; MOST_CLASSES],
    class_count: usize,
    align: usize,
    source: ChosenSource,
    budget: Option<MemoryBudget>,
    when_empty: WhenEmpty,
    reclaim_priority: Option<i32>,
    wait_ns: u64,
}

impl BufferPoolBuilder {
    pub(super) fn new() -> Self {
        let none =
            ffi::aegis_buffer_class { buffer_bytes: 0, buffer_count: 0, max_buffer_count: 0 };
        Self {
            classes: [none; MOST_CLASSES],
            class_count: 0,
            align: 0,
            source: Ok(None),
            budget: None,
            when_empty: WhenEmpty::Fail,
            reclaim_priority: None,
            wait_ns: 0,
        }
    }

    /// Adds a size class: `buffers` buffers with a capacity of `buffer_size` bytes each. A capacity
    /// of 0 means 1.
    ///
    /// # Panics
    ///
    /// When there are 8 classes already, or a class of this size.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::builder().class(4096, 8).class(65536, 2).build()?;
    /// assert_eq!(pool.stats().classes.len(), 2);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn class(self, buffer_size: usize, buffers: usize) -> Self {
        self.class_growing(buffer_size, buffers, buffers)
    }

    /// Adds a size class that grows up to `max_buffers` buffers, by `buffers` buffers at a time. If
    /// `max_buffers` is below `buffers`, the class never grows.
    ///
    /// # Panics
    ///
    /// As [`class`](Self::class).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::builder().class_growing(4096, 8, 64).build()?;
    /// let class = pool.stats().classes[0];
    /// assert_eq!((class.capacity, class.max_capacity), (8, 64));
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[track_caller]
    pub fn class_growing(mut self, buffer_size: usize, buffers: usize, max_buffers: usize) -> Self {
        let count = self.class_count;
        assert!(count < MOST_CLASSES, "a pool has at most {MOST_CLASSES} size classes");
        let buffer_bytes = buffer_size.max(1);
        let set = &self.classes[..count];
        let at = set.partition_point(|class| class.buffer_bytes < buffer_bytes);
        let next = set.get(at).map(|class| class.buffer_bytes);
        assert!(
            next != Some(buffer_bytes),
            "a pool has one size class for each size, and one of {buffer_bytes} bytes already"
        );
        self.classes.copy_within(at..count, at + 1);
        self.classes[at] = ffi::aegis_buffer_class {
            buffer_bytes,
            buffer_count: buffers,
            max_buffer_count: max_buffers.max(buffers),
        };
        self.class_count += 1;
        self
    }

    /// Alignment of every buffer: a power of two. The default, 0, means 4096.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// let pool = BufferPool::builder().class(4096, 8).align(512).build()?;
    /// assert_eq!(pool.get(4096)?.as_ptr() as usize % 512, 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn align(self, bytes: usize) -> Self {
        Self { align: bytes, ..self }
    }

    /// The source that memory is acquired from. The default is [`Pages`](crate::source::Pages). If
    /// there is no memory to store the source, it is dropped, and [`build`](Self::build) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// use aegis_memory::source::Pages;
    /// let pool = BufferPool::builder().class(4096, 8).source(Pages::new().prefault()).build()?;
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn source<S: BlockSource + 'static>(self, source: S) -> Self {
        Self { source: OwnedSource::try_new(source).map(Some), ..self }
    }

    /// Charges a budget for all of the pool's memory, and for memory of the heap that requests get.
    /// The pool keeps the budget alive. See [`crate::budget`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("buffers", 1 << 20);
    /// let pool = BufferPool::builder().class(4096, 8).budget(&budget).build()?;
    /// assert!(budget.used() >= 8 * 4096);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn budget(self, budget: &MemoryBudget) -> Self {
        Self { budget: Some(budget.clone()), ..self }
    }

    /// What happens to a request when every buffer that is large enough is out. By default it
    /// fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// use aegis_memory::buffer::WhenEmpty;
    /// use std::time::Duration;
    /// let policy = WhenEmpty::Wait(Duration::from_millis(1));
    /// let pool = BufferPool::builder().class(4096, 1).when_empty(policy).build()?;
    /// let page = pool.get(4096)?;
    /// assert!(pool.get(4096).is_err());
    /// assert_eq!(pool.stats().timeout_count, 1);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn when_empty(self, policy: WhenEmpty) -> Self {
        Self { when_empty: policy, ..self }
    }

    /// Registers the pool as a reclaimer of its budget. Before the budget or one above it refuses a
    /// charge, it asks the pool to give back slabs of which no buffer is out. It asks reclaimers
    /// with a low `priority` first: see [`MemoryBudget::on_reclaim`]. A growth of the pool itself
    /// asks the pool too, after all others. So a class can grow by what another class does not use.
    /// Without a budget this has no effect.
    ///
    /// The pool works on the thread that charges, and calls its source there. So the source must not
    /// take a lock that a thread may hold while it charges a budget of the same tree. If the last
    /// handle is dropped meanwhile, the pool, and its source, may be dropped on that thread too.
    ///
    /// The registration does not keep the pool alive, and ends with the last handle. If buffers are
    /// out at that time, the slabs of which no buffer is out go back at once.
    ///
    /// ```
    /// use aegis_memory::budget::MemoryBudget;
    /// use aegis_memory::buffer::BufferPool;
    ///
    /// let server = MemoryBudget::new("server", 4 << 20);
    /// let buffers = server.child("buffers", MemoryBudget::UNLIMITED);
    /// let builder = BufferPool::builder().class_growing(64 << 10, 1, 1000).budget(&buffers);
    /// let pool = builder.reclaimable(0).build()?;
    /// drop((0..40).map(|_| pool.get(64 << 10)).collect::<Result<Vec<_>, _>>()?);
    /// assert!(buffers.used() > 2 << 20);
    /// // The pool gives back what it does not use.
    /// let query = server.try_reserve(3 << 20)?;
    /// assert!(buffers.used() < 1 << 20);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn reclaimable(self, priority: i32) -> Self {
        Self { reclaim_priority: Some(priority), ..self }
    }

    /// The longest wait of a request for room in the budget. The default does not wait;
    /// [`Duration::MAX`] has no end. Requests get room in the order of their arrival at the budget.
    /// [`build`](Self::build) waits too.
    ///
    /// A request that waits for the budget takes a buffer that comes back meanwhile. With
    /// [`WhenEmpty::Wait`] it waits no longer than for a buffer, both together. With
    /// [`WhenEmpty::Heap`] the pool does not wait to grow, but waits to charge the memory of the
    /// heap.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferPool;
    /// use aegis_memory::budget::MemoryBudget;
    /// use std::time::Duration;
    /// let budget = MemoryBudget::new("buffers", 1 << 20);
    /// let held = budget.reserve(1 << 20);
    /// let pool = BufferPool::builder().class(4096, 8).budget(&budget);
    /// assert!(pool.wait(Duration::from_millis(1)).build().is_err(), "nobody gives memory back");
    ///
    /// ```
    pub fn wait(self, longest: Duration) -> Self {
        Self { wait_ns: ffi::nanoseconds(longest), ..self }
    }

    /// Makes the pool for [`build`](Self::build), and returns its first handle.
    pub(super) fn make(self) -> Result<ffi::aegis_buffer_pool, AllocError> {
        let (when_empty, timeout_ns) = match self.when_empty {
            WhenEmpty::Fail => (ffi::AEGIS_BUFFER_FAIL, 0),
            WhenEmpty::Heap => (ffi::AEGIS_BUFFER_HEAP, 0),
            WhenEmpty::Wait(timeout) => (ffi::AEGIS_BUFFER_WAIT, ffi::nanoseconds(timeout)),
        };
        let source = self.source?;
        let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
        let options = ffi::aegis_buffer_pool_options {
            classes: self.classes.as_ptr(),
            class_count: self.class_count,
            align_bytes: self.align,
            source: raw_source(&source),
            budget: raw_budget(self.budget.as_ref()),
            when_empty,
            flags: if self.reclaim_priority.is_some() { ffi::AEGIS_BUFFER_RECLAIMABLE } else { 0 },
            reclaim_priority: self.reclaim_priority.unwrap_or(0),
            timeout_ns,
            error: error.as_mut_ptr(),
            wait_ns: self.wait_ns,
        };
        let mut raw = ffi::aegis_buffer_pool { shared: ptr::null_mut() };
        let status = unwind::call_keeping(ffi::is_ok, || {
            // SAFETY: the pool copies the source, if there is one, and the source's context lives
            // until the pool closes the source. Classes and error are ours, and the budget is
            // alive.
            unsafe { ffi::aegis_buffer_pool_init(&mut raw, &options) }
        });
        if !ffi::is_ok(&status) {
            // SAFETY: the core writes the record when it makes no pool, and the budget is alive.
            return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
        }
        // The pool owns the source now and closes it.
        mem::forget(source);
        Ok(raw)
    }
}
