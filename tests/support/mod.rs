// SPDX-License-Identifier: Apache-2.0
//! What several test files need: block sources that a test controls, a model of memory, and a few
//! helpers.
#![allow(dead_code)]

pub mod model;
#[cfg(feature = "std")]
pub mod panics;
pub mod runner;

use aegis_memory::arena::Arena;
use aegis_memory::buffer::BufferMut;
use aegis_memory::source::{BlockSource, SourceBlock};
use std::alloc::{alloc, alloc_zeroed, dealloc, Layout};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// The fresh memory of a [`TestSource`] is full of this byte, so that missing zeroing shows.
pub const DIRT: u8 = 0xA5;

/// What a [`TestSource`] does at a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Give,
    Refuse,
    Panic,
}

/// What has happened to a [`TestSource`].
#[derive(Default)]
pub struct Log {
    pub requests: AtomicUsize,
    pub releases: AtomicUsize,
    pub live_blocks: AtomicUsize,
    pub live_bytes: AtomicUsize,
    pub drops: AtomicUsize,
}

impl Log {
    /// Demands that everything was given back and that the source was dropped once.
    #[track_caller]
    pub fn assert_finished(&self) {
        assert_eq!(self.live_blocks.load(SeqCst), 0, "blocks leaked");
        assert_eq!(self.live_bytes.load(SeqCst), 0, "blocks released with another size");
        assert_eq!(self.drops.load(SeqCst), 1, "the source is dropped exactly once");
    }
}

type Plan = Box<dyn Fn(usize) -> Act + Send + Sync>;

/// A source that logs its requests. A plan says what the n-th acquire or release does.
pub struct TestSource {
    pub log: Arc<Log>,
    acquire: Plan,
    release: Plan,
}

impl TestSource {
    pub fn new() -> (Self, Arc<Log>) {
        Self::with_plan(|_| Act::Give)
    }

    pub fn with_plan(plan: impl Fn(usize) -> Act + Send + Sync + 'static) -> (Self, Arc<Log>) {
        let log = Arc::new(Log::default());
        let release = Box::new(|_| Act::Give);
        (Self { log: log.clone(), acquire: Box::new(plan), release }, log)
    }

    pub fn releasing(mut self, plan: impl Fn(usize) -> Act + Send + Sync + 'static) -> Self {
        self.release = Box::new(plan);
        self
    }
}

// SAFETY: blocks are the global allocator's, which are never said to be zeroed.
unsafe impl BlockSource for TestSource {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        assert_ne!(layout.size(), 0, "a source is never asked for nothing");
        match (self.acquire)(self.log.requests.fetch_add(1, SeqCst)) {
            // Refuses what no machine has, because sanitizers end the process at such a request.
            Act::Give if layout.size() > isize::MAX as usize / 4 => return None,
            Act::Give => {}
            Act::Refuse => return None,
            Act::Panic => panic!("acquire panics"),
        }
        // SAFETY: the size is not 0.
        let memory = NonNull::new(unsafe { alloc(layout) })?;
        // SAFETY: the block is ours and that large.
        unsafe { memory.as_ptr().write_bytes(DIRT, layout.size()) };
        self.log.live_blocks.fetch_add(1, SeqCst);
        self.log.live_bytes.fetch_add(layout.size(), SeqCst);
        Some(SourceBlock { memory, zeroed: false })
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        self.log.live_blocks.fetch_sub(1, SeqCst);
        self.log.live_bytes.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller vouches for memory and layout.
        unsafe { dealloc(memory.as_ptr(), layout) };
        let number = self.log.releases.fetch_add(1, SeqCst);
        assert!((self.release)(number) == Act::Give, "release panics");
    }
}

impl Drop for TestSource {
    fn drop(&mut self) {
        self.log.drops.fetch_add(1, SeqCst);
    }
}

/// A region of memory from which blocks are cut in order. No part of it is used twice, so a test
/// can compare by offset what two arenas do, each over its own region.
pub struct Region {
    base: NonNull<u8>,
    cut_bytes: AtomicUsize,
    zeroed: bool,
}

impl Region {
    pub const BYTES: usize = 8 << 20;
    const LAYOUT: Layout = match Layout::from_size_align(Self::BYTES, 2 << 20) {
        Ok(layout) => layout,
        Err(_) => panic!(),
    };

    /// If `zeroed`, the blocks are zero and are said to be zero; otherwise they are dirty.
    pub fn new(zeroed: bool) -> Arc<Self> {
        // SAFETY: the size is not 0.
        let base = NonNull::new(unsafe { alloc_zeroed(Self::LAYOUT) }).expect("memory for a test");
        Arc::new(Self { base, cut_bytes: AtomicUsize::new(0), zeroed })
    }

    pub fn offset_of(&self, p: NonNull<u8>) -> usize {
        p.as_ptr() as usize - self.base.as_ptr() as usize
    }
}

// SAFETY: the region's memory is its own, and the only state is atomic.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

// SAFETY: successive pieces of one region are disjoint; it lives as long as the source.
unsafe impl BlockSource for Region {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        let start = self.cut_bytes.load(SeqCst).next_multiple_of(layout.align());
        let end = start.checked_add(layout.size()).filter(|&end| end <= Self::BYTES)?;
        self.cut_bytes.store(end, SeqCst);
        // SAFETY: `start` lies in the region.
        let memory = unsafe { NonNull::new_unchecked(self.base.as_ptr().add(start)) };
        if !self.zeroed {
            // SAFETY: the piece is ours and that large.
            unsafe { memory.as_ptr().write_bytes(DIRT, layout.size()) };
        }
        Some(SourceBlock { memory, zeroed: self.zeroed })
    }

    unsafe fn release(&self, _memory: NonNull<u8>, _layout: Layout) {}
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.base.as_ptr(), Self::LAYOUT) }
    }
}

/// Whether a memory checker is compiled into the core. Then every allocation takes the slow path
/// and has a guard behind it, so a test must not assume that allocations are adjacent.
pub fn watched() -> bool {
    let arena = Arena::new(64);
    // SAFETY: reads two fields of an arena that is ours.
    unsafe { (*arena.as_raw()).ptr == (*arena.as_raw()).limit }
}

/// The message of a caught panic.
pub fn message_of(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// A writer on the heap with this capacity and these bytes written.
pub fn writer(capacity: usize, bytes: &[u8]) -> BufferMut {
    let mut writer = BufferMut::with_capacity(capacity);
    writer.extend_from_slice(bytes);
    writer
}

/// Runs `f`, which must panic, and returns the panic's message.
#[track_caller]
pub fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(_) => panic!("a panic was expected"),
        Err(payload) => message_of(&*payload),
    }
}
