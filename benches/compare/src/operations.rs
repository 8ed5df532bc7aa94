// SPDX-License-Identifier: Apache-2.0
//! The operations that are compared, and the loop around them.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::slice;
use std::str;

use crate::{hide, keep};

/// An allocator that can free everything with one call.
pub trait Rival: 'static {
    /// A new one. If it takes a capacity, it has room for a round of the largest operation.
    fn new() -> Self;
    /// Moves a value into the allocator's memory.
    fn value<T: Copy>(&self, value: T) -> &T;
    /// Returns uninitialised memory.
    fn layout(&self, layout: Layout) -> NonNull<u8>;
    /// Copies bytes into the allocator's memory.
    fn slice(&self, source: &[u8]) -> &[u8];
    /// Copies a string into the allocator's memory.
    fn text(&self, source: &str) -> &str;
    /// Returns zeroed bytes.
    fn zeroed(&self, size: usize) -> &[u8];
    /// Frees everything.
    fn reset(&mut self);
}

/// The record of three words.
#[derive(Clone, Copy)]
#[allow(dead_code)] // Nothing reads it.
struct Record {
    key: u64,
    offset: u64,
    length: u64,
}

/// A `u64`.
pub const VALUE: &str = "u64";
/// A struct of three words.
pub const RECORD: &str = "3 words";
/// Memory of a size known at run time, with alignment 8 known when compiled.
pub const SIZE: &str = "size";
/// Memory of a size and an alignment known at run time; the alignment is 8.
pub const LAYOUT: &str = "layout";
/// The same with alignment 32.
pub const LAYOUT_32: &str = "layout 32";
/// A copy of 16 bytes; the length is known when compiled.
pub const COPY_16: &str = "copy 16";
/// A copy of 16 bytes; the length is known at run time.
pub const COPY: &str = "copy n";
/// A copy of a string of 16 bytes.
pub const TEXT: &str = "str 16";
/// 1 KiB of zeroed memory, recycled except in the first round.
pub const ZEROED: &str = "zeroed";

/// Every operation, in the order of the table's columns.
pub const ALL: [&str; 9] = [VALUE, RECORD, SIZE, LAYOUT, LAYOUT_32, COPY_16, COPY, TEXT, ZEROED];

/// Memory of these sizes, known at run time, with alignment 8. Timed only: the instructions are those
/// of [`SIZE`].
pub const BY_SIZE: [(&str, usize); 4] =
    [("8 bytes", 8), ("64 bytes", 64), ("512 bytes", 512), ("4 KiB", 4096)];

/// How many operations a timed round has: few if many of them would fill the processor's cache.
pub fn timed_count(operation: &str) -> usize {
    match operation {
        ZEROED => 32,
        "4 KiB" => 500,
        _ => 1000,
    }
}

static SOURCE: [u8; 16] = *b"Europe/Amsterdam";

/// The bytes to copy; the compiler does not know their address.
#[inline(always)]
fn source() -> &'static [u8; 16] {
    // SAFETY: `hide` returns what it was given, the address of a static.
    unsafe { &*(hide(SOURCE.as_ptr() as usize) as *const [u8; 16]) }
}

/// The bytes to copy; the compiler does not know their length either.
#[inline(always)]
fn source_of_some_length() -> &'static [u8] {
    // SAFETY: `hide` returns what it was given.
    unsafe { slice::from_raw_parts(source().as_ptr(), hide(16)) }
}

/// The measured loop. The counter is hidden, so that the compiler unrolls no loop.
#[inline(never)]
fn repeat<R: Rival>(rival: &mut R, count: usize, operation: impl Fn(&R, usize)) {
    // SAFETY: `hide` returns what it was given. The compiler cannot tell that `rival` is not
    // aliased any more, so it keeps nothing of it in registers from one operation to the next.
    let rival = unsafe { &mut *(hide(rival as *mut R as usize) as *mut R) };
    let mut i = 0;
    while i < count {
        operation(rival, i);
        i = hide(i) + 1;
    }
    rival.reset();
}

/// Runs one round of the operation with that name.
///
/// # Panics
///
/// If there is no such operation.
pub fn round<R: Rival>(rival: &mut R, operation: &str, count: usize) {
    match operation {
        VALUE => repeat(rival, count, |rival, i| keep(rival.value(hide(i) as u64))),
        RECORD => repeat(rival, count, |rival, i| {
            let (key, offset, length) = (hide(i) as u64, hide(i) as u64, hide(i) as u64);
            keep(rival.value(Record { key, offset, length }));
        }),
        SIZE => repeat(rival, count, |rival, _| {
            // SAFETY: 24 bytes aligned to 8 are a valid layout.
            keep(rival.layout(unsafe { Layout::from_size_align_unchecked(hide(24), 8) }).as_ptr());
        }),
        LAYOUT => repeat(rival, count, |rival, _| {
            // SAFETY: as above.
            let layout = unsafe { Layout::from_size_align_unchecked(hide(24), hide(8)) };
            keep(rival.layout(layout).as_ptr());
        }),
        LAYOUT_32 => repeat(rival, count, |rival, _| {
            // SAFETY: 24 bytes aligned to 32 are a valid layout.
            let layout = unsafe { Layout::from_size_align_unchecked(hide(24), hide(32)) };
            keep(rival.layout(layout).as_ptr());
        }),
        COPY_16 => repeat(rival, count, |rival, _| keep(rival.slice(source()).as_ptr())),
        COPY => repeat(rival, count, |rival, _| {
            keep(rival.slice(source_of_some_length()).as_ptr());
        }),
        TEXT => repeat(rival, count, |rival, _| {
            // SAFETY: the source is ASCII.
            let text = unsafe { str::from_utf8_unchecked(source_of_some_length()) };
            keep(rival.text(text).as_ptr());
        }),
        ZEROED => repeat(rival, count, |rival, _| keep(rival.zeroed(hide(1024)).as_ptr())),
        _ => {
            let size = BY_SIZE.iter().find(|(name, _)| *name == operation);
            let size = size.unwrap_or_else(|| panic!("no operation {operation}")).1;
            repeat(rival, count, |rival, _| {
                // SAFETY: a few bytes aligned to 8 are a valid layout.
                let layout = unsafe { Layout::from_size_align_unchecked(hide(size), 8) };
                keep(rival.layout(layout).as_ptr());
            });
        }
    }
}
