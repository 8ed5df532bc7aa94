// SPDX-License-Identifier: Apache-2.0
//! The figures of a pool of buffers.

use crate::ffi;
use crate::short_list::ShortList;

/// The figures of one size class of a [`BufferPool`](super::BufferPool), in buffers unless a name
/// says bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BufferClassStats {
    /// Capacity of each buffer.
    pub buffer_bytes: usize,
    /// Buffers made so far.
    pub capacity: usize,
    /// Buffers that the class may grow to.
    pub max_capacity: usize,
    /// Buffers out.
    pub in_use: usize,
    /// Free buffers that lie in the stripes' magazines.
    pub parked: usize,
}

/// The figures of a [`BufferPool`](super::BufferPool).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BufferPoolStats {
    /// One entry a size class, smallest first.
    pub classes: ShortList<BufferClassStats, { ffi::AEGIS_BUFFER_MAX_CLASSES as usize }>,
    /// Requests that ever got memory of the C heap instead.
    pub heap_count: u64,
    /// Bytes of the C heap that are out now.
    pub heap_bytes: usize,
    /// Requests that ever waited.
    pub wait_count: u64,
    /// Requests whose time was up before there was a buffer.
    pub timeout_count: u64,
    /// Requests that were refused, at once or after waiting.
    pub refused_count: u64,
    /// Bytes taken from the source: buffers and all beside them.
    pub reserved_bytes: usize,
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
