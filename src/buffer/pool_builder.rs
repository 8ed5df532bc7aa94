// SPDX-License-Identifier: Apache-2.0
//! Pools of buffers with several sizes or other than default settings.

use core::mem::{self, MaybeUninit};
use core::ptr;
use core::time::Duration;

use super::ask::raw_budget;
use crate::budget::MemoryBudget;
use crate::error::AllocError;
use crate::source::{raw_source, BlockSource, ChosenSource, OwnedSource};
use crate::{ffi, unwind};

/// What a request to a pool comes to when every buffer that would do is out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenEmpty {
    /// It fails.
    #[default]
    Fail,
    /// It gets memory of the C heap, charged to the pool's budget; also for more bytes than the
    /// largest class has.
    Heap,
    /// It waits at most so long for a buffer to come back; `Duration::MAX` for ever.
    Wait(Duration),
}

/// The most size classes of a pool.
const MOST_CLASSES: usize = ffi::AEGIS_BUFFER_MAX_CLASSES as usize;

/// Settings of a pool to be made. From
/// [`BufferPool::builder`](super::BufferPool::builder).
#[must_use = "build() makes the pool"]
pub struct BufferPoolBuilder {
    /// The first `class_count` are set, in ascending order.
    classes: [ffi::aegis_buffer_class; MOST_CLASSES],
    class_count: usize,
    align: usize,
    source: ChosenSource,
    budget: Option<MemoryBudget>,
    when_empty: WhenEmpty,
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
        }
    }

    /// Adds a size class: `buffers` buffers with a capacity of `buffer_size` bytes each. A capacity
    /// of 0 stands for 1.
    ///
    /// # Panics
    ///
    /// When there are 8 classes already, or one of that size.
    #[track_caller]
    pub fn class(self, buffer_size: usize, buffers: usize) -> Self {
        self.class_growing(buffer_size, buffers, buffers)
    }

    /// Adds a size class that grows up to `max_buffers` buffers, `buffers` at a time. With a
    /// maximum below `buffers` it never grows.
    ///
    /// # Panics
    ///
    /// As [`class`](Self::class).
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

    /// Alignment of every buffer: a power of two. 0, the default: 4096.
    pub fn align(self, bytes: usize) -> Self {
        Self { align: bytes, ..self }
    }

    /// Where memory comes from. The default is [`Pages`](crate::source::Pages). A source that there is
    /// no memory to keep is dropped, and [`build`](Self::build) fails.
    pub fn source<S: BlockSource + 'static>(self, source: S) -> Self {
        Self { source: OwnedSource::try_new(source).map(Some), ..self }
    }

    /// Charges a budget, which the pool keeps alive, for all of the pool's memory and for what
    /// requests get from the heap. See [`crate::budget`].
    pub fn budget(self, budget: &MemoryBudget) -> Self {
        Self { budget: Some(budget.clone()), ..self }
    }

    /// What a request comes to when every buffer that would do is out. The default is to fail.
    pub fn when_empty(self, policy: WhenEmpty) -> Self {
        Self { when_empty: policy, ..self }
    }

    /// Makes the pool of [`build`](Self::build): its first handle.
    pub(super) fn make(self) -> Result<ffi::aegis_buffer_pool, AllocError> {
        let (when_empty, timeout_ns) = match self.when_empty {
            WhenEmpty::Fail => (ffi::AEGIS_BUFFER_FAIL, 0),
            WhenEmpty::Heap => (ffi::AEGIS_BUFFER_HEAP, 0),
            WhenEmpty::Wait(timeout) => (ffi::AEGIS_BUFFER_WAIT, nanoseconds(timeout)),
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
            timeout_ns,
            error: error.as_mut_ptr(),
        };
        let mut raw = ffi::aegis_buffer_pool { shared: ptr::null_mut() };
        let status = unwind::call_keeping(ffi::is_ok, || {
            // SAFETY: the source, if any, is copied, and its context lives until it is closed;
            // classes and error are ours, and the budget is alive.
            unsafe { ffi::aegis_buffer_pool_init(&mut raw, &options) }
        });
        if !ffi::is_ok(&status) {
            // SAFETY: a core that makes no pool writes the record, and the budget is alive.
            return Err(unsafe { AllocError::from_raw(error.assume_init_ref()) });
        }
        // The pool closes the source now.
        mem::forget(source);
        Ok(raw)
    }
}

/// A time as C takes it: the largest value is AEGIS_WAIT_FOREVER.
pub(super) fn nanoseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
}
