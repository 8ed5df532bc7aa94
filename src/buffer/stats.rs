// SPDX-License-Identifier: Apache-2.0
//! The statistics of a pool of buffers.

use core::fmt;

use crate::ffi;
use crate::lines::{display_lines, write_lines, Line, Value};
use crate::short_list::ShortList;

/// The statistics of one size class of a [`BufferPool`](super::BufferPool). They count buffers,
/// unless a name says bytes.
///
/// # Examples
///
/// ```
/// let pool = aegis_memory::buffer::BufferPool::new(4096, 8);
/// let page = pool.get(100)?;
/// let class = pool.stats().classes[0];
/// assert_eq!((class.buffer_bytes, class.capacity, class.in_use), (4096, 8, 1));
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BufferClassStats {
    /// Capacity of each buffer.
    pub buffer_bytes: usize,
    /// Buffers that the pool has made.
    pub capacity: usize,
    /// Buffers that the class may grow to.
    pub max_capacity: usize,
    /// Buffers that are out: handed out and not given back.
    pub in_use: usize,
    /// Free buffers that are cached in stripes, the lists of free buffers of one or several
    /// threads.
    pub parked: usize,
}

/// The statistics of a [`BufferPool`](super::BufferPool).
///
/// # Examples
///
/// ```
/// let pool = aegis_memory::buffer::BufferPool::builder().class(4096, 1).class(8192, 1).build()?;
/// assert!(pool.get(10_000).is_err());
/// let stats = pool.stats();
/// assert_eq!(stats.classes.len(), 2);
/// assert!(stats.reserved_bytes >= 4096 + 8192);
///
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BufferPoolStats {
    /// One entry for each size class, the smallest class first.
    pub classes: ShortList<BufferClassStats, { ffi::AEGIS_BUFFER_MAX_CLASSES as usize }>,
    /// Requests that ever got memory of the C heap, because no buffer was left.
    pub heap_count: u64,
    /// Bytes of the C heap that requests got and that are not freed yet.
    pub heap_bytes: usize,
    /// Requests that ever waited.
    pub wait_count: u64,
    /// Requests whose time was over before they got a buffer.
    pub timeout_count: u64,
    /// Requests that were refused, at once or after a wait.
    pub refused_count: u64,
    /// Bytes acquired from the source and not released: buffers and everything beside them.
    pub reserved_bytes: usize,
}

display_lines!(BufferClassStats {
    buffer_bytes: Bytes,
    capacity: Count,
    max_capacity: Count,
    in_use: Count,
    parked: Count,
});

impl fmt::Display for BufferPoolStats {
    /// A line for each of the statistics, with its name: those of each size class, then those of the
    /// pool. Sizes have a unit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `..`, so that a field that is missing does not compile.
        let Self {
            classes,
            heap_count,
            heap_bytes,
            wait_count,
            timeout_count,
            refused_count,
            reserved_bytes,
        } = self;
        let of_classes = classes.iter().enumerate();
        let of_classes = of_classes.flat_map(|(index, class)| class.lines(Some(index)));
        let line = |name, value| Line { class: None, name, value };
        let of_pool = [
            line("heap_count", Value::Count(*heap_count)),
            line("heap_bytes", Value::Bytes(*heap_bytes)),
            line("wait_count", Value::Count(*wait_count)),
            line("timeout_count", Value::Count(*timeout_count)),
            line("refused_count", Value::Count(*refused_count)),
            line("reserved_bytes", Value::Bytes(*reserved_bytes)),
        ];
        write_lines(f, of_classes.chain(of_pool))
    }
}

impl BufferPoolStats {
    pub(super) fn from_raw(raw: &ffi::aegis_buffer_pool_stats) -> Self {
        let class = |raw: &ffi::aegis_buffer_class_stats| BufferClassStats {
            buffer_bytes: raw.buffer_bytes,
            capacity: raw.capacity,
            max_capacity: raw.max_capacity,
            in_use: raw.in_use,
            parked: raw.parked,
        };
        Self {
            classes: ShortList::of(raw.classes[..raw.class_count].iter().map(class)),
            heap_count: raw.heap_count,
            heap_bytes: raw.heap_bytes,
            wait_count: raw.wait_count,
            timeout_count: raw.timeout_count,
            refused_count: raw.refused_count,
            reserved_bytes: raw.reserved_bytes,
        }
    }
}
