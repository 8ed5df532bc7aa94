// SPDX-License-Identifier: Apache-2.0
//! User code that panics when a test says so, and calls that must not notice such a panic.

use aegis_memory::arena::{Arena, ArenaRecycler, LockFreeArena, LockedArena};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferPool};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, PoolBuilder, PoolKind};
use aegis_memory::source::{BlockSource, Global, SourceBlock};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;

pub const NOTHING: u8 = 0;
pub const ACQUIRE: u8 = 1;
pub const RELEASE: u8 = 2;
pub const CLOSE: u8 = 3;
/// The drop of a [`Value`], as a finalizer or as an owner.
pub const DROP: u8 = 4;

/// What is to panic now.
#[derive(Clone, Default)]
pub struct Switch(Arc<AtomicU8>);

impl Switch {
    pub fn set(&self, what: u8) {
        self.0.store(what, SeqCst);
    }

    fn check(&self, what: u8, message: &str) {
        // A second panic while one unwinds would abort the process.
        assert!(self.0.load(SeqCst) != what || std::thread::panicking(), "{message}");
    }

    pub fn source(&self) -> Source {
        Source(self.clone())
    }

    pub fn value(&self) -> Value {
        Value(self.clone(), *b"bytes")
    }
}

/// A source that panics when the switch says so: at an acquire, after it has taken a block back, or
/// when it is dropped.
pub struct Source(Switch);

// SAFETY: the global allocator's blocks.
unsafe impl BlockSource for Source {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        self.0.check(ACQUIRE, "acquire");
        Global.acquire(layout)
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { Global.release(memory, layout) };
        self.0.check(RELEASE, "release");
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.0.check(CLOSE, "close");
    }
}

/// A value whose drop panics when the switch says so.
pub struct Value(Switch, [u8; 5]);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.check(DROP, "drop");
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

/// Calls on objects that have nothing to do with any panic. None of them may panic.
pub fn bystanders() {
    let mut arena = Arena::new(0);
    arena.alloc(10_000);
    arena.alloc_static(String::from("dropped"));
    arena.scope(|scratch| _ = scratch.alloc_static(String::new()));
    arena.reset();
    arena.trim(0);
    arena.clear();
    let mut shared = LockFreeArena::new(0);
    shared.alloc(10);
    shared.local().alloc(10);
    shared.reset();
    let mut locked = LockedArena::new(0);
    locked.alloc(10);
    locked.reset();
    let recycler = ArenaRecycler::new(1, 4096);
    recycler.get().alloc(10);
    let pool = LockFreePool::new(64, 256);
    drop((pool.alloc().unwrap(), pool.cache().alloc().unwrap()));
    let pool = LockedPool::new(64, 4);
    drop((pool.alloc().unwrap(), pool.alloc_timeout(Duration::MAX).unwrap()));
    drop(Pool::new(64, 4).alloc().unwrap());
    let pool = BufferPool::new(64, 2);
    let mut writer = pool.get(1).unwrap();
    writer.reserve(1000);
    drop(pool.get(1).unwrap().freeze());
    drop(Buffer::from_owner([1, 2]).into_mut());
    drop(MemoryBudget::new("budget", 10).reserve(5));
}

/// A pool that has a slab of two blocks and may grow.
pub fn small<P: PoolKind>(builder: PoolBuilder<P>, switch: &Switch) -> P {
    builder.block_size(64).blocks(2).max_blocks(8).source(switch.source()).build().unwrap()
}
