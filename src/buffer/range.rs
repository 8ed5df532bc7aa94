// SPDX-License-Identifier: Apache-2.0
//! Ranges of bytes: from a Rust range to two offsets, and the panics for a range that is not
//! inside.

use core::fmt;
use core::ops::{Bound, RangeBounds};

/// The offsets `start <= end <= len` of a range, or `None` if the range is not inside `len` bytes.
#[inline(always)]
pub(super) fn resolve(range: &impl RangeBounds<usize>, len: usize) -> Option<(usize, usize)> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.checked_add(1)?,
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    (start <= end && end <= len).then_some((start, end))
}

/// A range that is shown as it is written in Rust.
#[derive(Debug)]
pub(super) struct Written(pub(super) Bound<u64>, pub(super) Bound<u64>);

impl Written {
    /// Why it is no range of `len` bytes, or `None` if it is one.
    pub(super) fn fault(&self, len: u64) -> Option<&'static str> {
        let start = match self.0 {
            Bound::Included(start) => u128::from(start),
            Bound::Excluded(before) => u128::from(before) + 1,
            Bound::Unbounded => 0,
        };
        let end = match self.1 {
            Bound::Included(last) => u128::from(last) + 1,
            Bound::Excluded(end) => u128::from(end),
            Bound::Unbounded => start.max(len.into()),
        };
        if end < start {
            return Some("ends before it starts, in");
        }
        (end > u128::from(len)).then_some("is out of bounds of")
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Bound::Included(start) => write!(f, "{start}..")?,
            Bound::Excluded(before) => write!(f, "{before}<..")?,
            Bound::Unbounded => f.write_str("..")?,
        }
        match self.1 {
            Bound::Included(last) => write!(f, "={last}"),
            Bound::Excluded(end) => write!(f, "{end}"),
            Bound::Unbounded => Ok(()),
        }
    }
}

/// The panic for a range that is not inside a buffer.
#[cold]
#[inline(never)]
#[track_caller]
pub(super) fn outside(start: Bound<&usize>, end: Bound<&usize>, len: usize) -> ! {
    let wide = |bound: Bound<&usize>| match bound {
        Bound::Included(&at) => Bound::Included(at as u64),
        Bound::Excluded(&at) => Bound::Excluded(at as u64),
        Bound::Unbounded => Bound::Unbounded,
    };
    let range = Written(wide(start), wide(end));
    let fault = range.fault(len as u64).unwrap_or("is not inside");
    panic!("range {range} {fault} a buffer of {len} bytes")
}

/// The panic for a position or a number of bytes that is too large.
#[cold]
#[inline(never)]
#[track_caller]
pub(super) fn beyond(what: &str, at: usize, of: &str, len: usize) -> ! {
    panic!("{what} {at} is out of bounds of {of} {len} bytes")
}
