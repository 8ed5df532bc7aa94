// SPDX-License-Identifier: Apache-2.0
//! Asserts which types may cross threads and which must not. Each type has an assertion for what it
//! is and one for what it is not.

use aegis_memory::arena::{
    AlignedArena, Arena, ArenaBox, ArenaBuilder, ArenaFnOnce, ArenaHeap, ArenaLayout, ArenaMark,
    ArenaRc, ArenaRecycler, ArenaStats, CStrError, CallOnce, ChunkIter, ChunkRawIter, FixedArena,
    HeapStats, IntoValues, LocalArena, LockFreeArena, LockedArena, LockedArenaHeap,
    OwnedRecycledArena, Pinned, PinnedBox, RecycledArena, RecyclerStats, StaleMark, TypedArena,
    TypedIntoIter, TypedIterMut,
};
use aegis_memory::budget;
use aegis_memory::buffer::{
    Buffer, BufferChain, BufferMut, BufferPool, BufferPoolBuilder, BufferPoolStats, GetBuffer,
    IoBlock, WhenEmpty,
};
use aegis_memory::pool::{
    AllocBlock, AllocValue, Block, Boxed, KeyedDrain, KeyedIntoIter, KeyedIter, KeyedIterMut,
    KeyedPool, LockFreePool, LockedPool, OwnedPoolBlock, OwnedPoolBox, OwnedPoolCache,
    OwnedTypedCache, Pool, PoolBlock, PoolBox, PoolBuilder, PoolCache, PoolKey, PoolSlab,
    PoolStats, TypedCache, TypedPool, VacantEntry,
};
use aegis_memory::source::{Global, Heap, Pages, SourceBlock};
use aegis_memory::{ffi, AllocError, AllocOrInitError};
use static_assertions::{assert_impl_all, assert_not_impl_any};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::{Arc, MutexGuard};

// An arena has one owner at a time: it moves between threads, but references to it do not.
assert_impl_all!(Arena: Send);
assert_not_impl_any!(Arena: Sync, Clone);
assert_not_impl_any!(&'static Arena: Send, Sync);
assert_impl_all!(FixedArena<'static>: Send);
assert_not_impl_any!(FixedArena<'static>: Sync, Clone);
assert_not_impl_any!(ArenaLayout<'static>: Send, Sync);

// Shared arenas and recyclers move between threads and can be used from all of them. A handle and a
// guard belong to one thread at a time.
assert_impl_all!(LockFreeArena: Send, Sync);
assert_impl_all!(LockedArena: Send, Sync);
assert_impl_all!(ArenaRecycler: Send, Sync);
assert_impl_all!(ArenaHeap: Send);
assert_not_impl_any!(ArenaHeap: Sync, Clone);
assert_impl_all!(LockedArenaHeap: Send, Sync, std::alloc::GlobalAlloc);
assert_not_impl_any!(LockedArenaHeap: Clone);
assert_impl_all!(HeapStats: Send, Sync, Copy);
assert_not_impl_any!(LockFreeArena: Clone);
assert_impl_all!(LocalArena<'static>: Send);
assert_not_impl_any!(LocalArena<'static>: Sync, Clone, std::ops::DerefMut);
assert_impl_all!(RecycledArena<'static>: Send);
assert_not_impl_any!(RecycledArena<'static>: Sync, Clone, std::ops::DerefMut);
assert_impl_all!(OwnedRecycledArena: Send);
assert_not_impl_any!(OwnedRecycledArena: Sync, Clone, std::ops::DerefMut);
assert_impl_all!(RecyclerStats: Send, Sync, Copy);

// A box may do what its value may do.
assert_impl_all!(ArenaBox<'static, u8>: Send, Sync);
assert_impl_all!(ArenaBox<'static, dyn Send>: Send);
assert_impl_all!(ArenaBox<'static, Cell<u8>>: Send);
assert_not_impl_any!(ArenaBox<'static, Cell<u8>>: Sync);
assert_impl_all!(ArenaBox<'static, MutexGuard<'static, u8>>: Sync);
assert_not_impl_any!(ArenaBox<'static, MutexGuard<'static, u8>>: Send);
assert_not_impl_any!(ArenaBox<'static, Rc<u8>>: Send, Sync);
assert_not_impl_any!(ArenaBox<'static, u8>: Clone);
assert_impl_all!(ArenaBox<'static, dyn std::future::Future<Output = Rc<u8>>>: Unpin);
assert_not_impl_any!(ArenaBox<'static, dyn std::future::Future<Output = u8>>: Send, Sync);
assert_impl_all!(ArenaFnOnce<'static, (u8,), u8>: Unpin);
assert_not_impl_any!(ArenaFnOnce<'static, (u8,), u8>: Send, Sync);
assert_impl_all!(ArenaBox<'static, dyn CallOnce<(), Output = u8> + Send>: Send);
assert_impl_all!(PinnedBox<'static, u8>: Send, Sync, Unpin);
assert_impl_all!(PinnedBox<'static, Cell<u8>>: Send);
assert_not_impl_any!(PinnedBox<'static, Cell<u8>>: Sync);
assert_not_impl_any!(PinnedBox<'static, Rc<u8>>: Send, Sync);
assert_not_impl_any!(Pinned<u8>: Unpin, Clone);
assert_not_impl_any!(PinnedBox<'static, u8>: std::ops::DerefMut, Clone);
assert_impl_all!(ArenaRc<'static, dyn std::future::Future<Output = u8>>: Unpin, Clone);
assert_not_impl_any!(ArenaRc<'static, u8>: Send, Sync, std::ops::DerefMut);
assert_impl_all!(IntoValues<'static, u8>: Send, Sync);
assert_impl_all!(IntoValues<'static, Cell<u8>>: Send);
assert_not_impl_any!(IntoValues<'static, Cell<u8>>: Sync);
assert_not_impl_any!(IntoValues<'static, Rc<u8>>: Send, Sync);
assert_impl_all!(AllocOrInitError<u8>: Send, Sync, Clone);
assert_not_impl_any!(AllocOrInitError<Rc<u8>>: Send, Sync);

// A view is a reference to its arena. A mark is plain data. Who walks an arena has it alone.
assert_not_impl_any!(AlignedArena<'static, 64>: Send, Sync);
assert_impl_all!(AlignedArena<'static, 64, LockFreeArena>: Send, Sync, Copy);
assert_not_impl_any!(AlignedArena<'static, 64, LocalArena<'static>>: Send, Sync);
assert_impl_all!(ArenaMark: Send, Sync, Copy);
assert_impl_all!(StaleMark: Send, Sync, Copy);
assert_impl_all!(CStrError: Send, Sync, Clone);
assert_not_impl_any!(ChunkIter<'static>: Send, Sync);
assert_not_impl_any!(ChunkRawIter<'static>: Send, Sync);

// An arena of values moves between threads if its values do. So do its iterators.
assert_impl_all!(TypedArena<Cell<u8>>: Send);
assert_not_impl_any!(TypedArena<u8>: Sync, Clone);
assert_not_impl_any!(TypedArena<Rc<u8>>: Send, Sync);
assert_impl_all!(TypedIntoIter<Cell<u8>>: Send);
assert_not_impl_any!(TypedIntoIter<Rc<u8>>: Send, Sync);
assert_impl_all!(TypedIterMut<'static, Cell<u8>>: Send);
assert_not_impl_any!(TypedIterMut<'static, Rc<u8>>: Send, Sync);

// A pool with one owner moves between threads. Its blocks do not, because they return to it.
assert_impl_all!(Pool: Send);
assert_not_impl_any!(Pool: Sync, Clone);
assert_not_impl_any!(PoolBlock<'static>: Send, Sync, Clone);
assert_not_impl_any!(PoolBlock<'static, Pool, MaybeUninit<u8>>: Send, Sync);
assert_not_impl_any!(Block<Rc<Pool>>: Send, Sync);
assert_not_impl_any!(OwnedPoolBlock<Pool>: Send, Sync);
assert_impl_all!(TypedPool<u8>: Send);
assert_not_impl_any!(TypedPool<u8>: Sync);
assert_not_impl_any!(PoolBox<'static, u8>: Send, Sync);

// A keyed pool may do what its values may do. It is read by `&self`, and changed by `&mut self`.
assert_impl_all!(KeyedPool<u8>: Send, Sync);
assert_impl_all!(KeyedPool<Cell<u8>>: Send);
assert_not_impl_any!(KeyedPool<Cell<u8>>: Sync, Clone);
assert_not_impl_any!(KeyedPool<Rc<u8>>: Send, Sync);
assert_impl_all!(KeyedPool<MutexGuard<'static, u8>>: Sync);
assert_not_impl_any!(KeyedPool<MutexGuard<'static, u8>>: Send);
assert_impl_all!(PoolKey: Send, Sync, Copy, Ord, std::hash::Hash);
assert_impl_all!(KeyedIter<'static, u8>: Send, Sync, Clone);
assert_not_impl_any!(KeyedIter<'static, Cell<u8>>: Send, Sync);
assert_impl_all!(KeyedIterMut<'static, Cell<u8>>: Send);
assert_not_impl_any!(KeyedIterMut<'static, Rc<u8>>: Send, Sync);
assert_not_impl_any!(KeyedIterMut<'static, u8>: Clone);
assert_impl_all!(KeyedDrain<'static, Cell<u8>>: Send);
assert_not_impl_any!(KeyedDrain<'static, Rc<u8>>: Send, Sync);
assert_impl_all!(KeyedIntoIter<Cell<u8>>: Send);
assert_impl_all!(VacantEntry<'static, Cell<u8>>: Send);
assert_not_impl_any!(VacantEntry<'static, Rc<u8>>: Send, Sync);

// Blocks of shared pools cross threads. Each has one owner.
assert_impl_all!(LockFreePool: Send, Sync);
assert_impl_all!(LockedPool: Send, Sync);
assert_not_impl_any!(LockFreePool: Clone);
assert_impl_all!(PoolBlock<'static, LockFreePool>: Send, Sync);
assert_impl_all!(PoolBlock<'static, LockedPool>: Send, Sync);
assert_impl_all!(PoolBlock<'static, LockFreePool, MaybeUninit<u8>>: Send, Sync);
assert_not_impl_any!(PoolBlock<'static, LockFreePool>: Clone);
assert_impl_all!(OwnedPoolBlock<LockFreePool>: Send, Sync);
assert_impl_all!(OwnedPoolBlock<LockedPool>: Send, Sync);
assert_impl_all!(PoolSlab: Send, Sync, Copy);

// A future that waits for a block may move to another thread, as a runtime wants it.
assert_impl_all!(budget::ReserveAsync: Send, Sync, Unpin);
assert_not_impl_any!(budget::ReserveAsync: Clone);
assert_impl_all!(AllocBlock<&'static LockedPool>: Send, Sync, Unpin);
assert_impl_all!(AllocBlock<Arc<LockedPool>, MaybeUninit<u8>>: Send, Sync, Unpin);
assert_not_impl_any!(AllocBlock<&'static LockedPool>: Clone);
assert_not_impl_any!(AllocBlock<Rc<LockedPool>>: Send, Sync);

// A cache belongs to one thread at a time, and so do its blocks.
assert_impl_all!(PoolCache<'static>: Send);
assert_not_impl_any!(PoolCache<'static>: Sync, Clone);
assert_not_impl_any!(PoolBlock<'static, PoolCache<'static>>: Send, Sync);

// A cache that keeps its pool alive goes with a worker to its thread.
assert_impl_all!(OwnedPoolCache: Send);
assert_not_impl_any!(OwnedPoolCache: Sync, Clone);
assert_not_impl_any!(PoolBlock<'static, OwnedPoolCache>: Send, Sync);
assert_impl_all!(TypedCache<'static, Rc<u8>>: Send);
assert_not_impl_any!(TypedCache<'static, u8>: Sync, Clone);
assert_impl_all!(OwnedTypedCache<Rc<u8>>: Send);
assert_not_impl_any!(OwnedTypedCache<u8>: Sync, Clone);
assert_not_impl_any!(PoolBox<'static, u8, OwnedPoolCache>: Send, Sync);
assert_impl_all!(OwnedPoolBox<u8, LockFreePool>: Send, Sync);
assert_impl_all!(OwnedPoolBox<Cell<u8>, LockedPool>: Send);
assert_not_impl_any!(OwnedPoolBox<Cell<u8>, LockedPool>: Sync);
assert_not_impl_any!(OwnedPoolBox<Rc<u8>, LockFreePool>: Send, Sync);
assert_not_impl_any!(Boxed<Rc<Pool>, u8>: Send, Sync);
assert_impl_all!(AllocValue<Arc<LockedPool>, Cell<u8>>: Send, Unpin);
assert_not_impl_any!(AllocValue<Arc<LockedPool>, Rc<u8>>: Send, Sync);
assert_impl_all!(AllocValue<&'static LockedPool, u8>: Send, Sync);

// A typed pool holds no value itself, and a box may do what its value may do.
assert_impl_all!(TypedPool<Rc<u8>, LockFreePool>: Send, Sync);
assert_impl_all!(PoolBox<'static, u8, LockFreePool>: Send, Sync);
assert_impl_all!(PoolBox<'static, Cell<u8>, LockedPool>: Send);
assert_not_impl_any!(PoolBox<'static, Cell<u8>, LockFreePool>: Sync);
assert_not_impl_any!(PoolBox<'static, Rc<u8>, LockFreePool>: Send, Sync);
assert_impl_all!(PoolBox<'static, MutexGuard<'static, u8>, LockFreePool>: Sync);
assert_not_impl_any!(PoolBox<'static, MutexGuard<'static, u8>, LockFreePool>: Send);

// A pool of objects is shared if its objects can be sent. An object that is out belongs to one thread.
#[cfg(feature = "std")]
mod objects {
    use super::*;
    use aegis_memory::pool::{ObjectPool, OwnedReusable, Reusable};

    assert_impl_all!(ObjectPool<Cell<u8>>: Send, Sync);
    assert_not_impl_any!(ObjectPool<Rc<u8>>: Send, Sync);
    assert_not_impl_any!(ObjectPool<u8>: Clone);
    assert_impl_all!(Reusable<'static, Cell<u8>>: Send);
    assert_not_impl_any!(Reusable<'static, Cell<u8>>: Sync);
    assert_impl_all!(OwnedReusable<Cell<u8>>: Send);
    assert_not_impl_any!(OwnedReusable<MutexGuard<'static, u8>>: Send);
}

// Views and pools can be used from all threads. A writer can be sent, and has one handle.
assert_impl_all!(Buffer: Send, Sync, Clone, std::panic::UnwindSafe);
assert_not_impl_any!(Buffer: Copy, std::ops::DerefMut);
assert_impl_all!(BufferMut: Send, Sync, std::ops::DerefMut);
assert_not_impl_any!(BufferMut: Clone);
assert_impl_all!(BufferChain: Send, Sync, Clone);
assert_impl_all!(BufferPool: Send, Sync, Clone);
assert_impl_all!(GetBuffer<'static>: Send, Sync, Unpin);
assert_not_impl_any!(GetBuffer<'static>: Clone);
assert_impl_all!(BufferPoolStats: Send, Sync, Clone);
assert_impl_all!(IoBlock: Send, Sync, Copy);
assert_impl_all!(WhenEmpty: Send, Sync, Copy);

// Plain data.
assert_impl_all!(PoolStats: Send, Sync, Copy);
assert_impl_all!(ArenaStats: Send, Sync, Copy);
assert_impl_all!(AllocError: Send, Sync, Clone);
#[cfg(feature = "std")]
assert_impl_all!(AllocError: std::error::Error);
assert_impl_all!(Heap: Send, Sync, Copy);
assert_impl_all!(Pages: Send, Sync, Copy);
assert_impl_all!(Global: Send, Sync, Copy);

// Raw pointers: code that sends one to another thread must guarantee by itself that this is sound.
assert_not_impl_any!(ArenaBuilder: Send, Sync);
assert_not_impl_any!(PoolBuilder<LockFreePool>: Send, Sync);
assert_not_impl_any!(SourceBlock: Send, Sync);
assert_not_impl_any!(BufferPoolBuilder: Send, Sync);
assert_not_impl_any!(ffi::aegis_buffer: Send, Sync);
assert_not_impl_any!(ffi::aegis_arena: Send, Sync);
assert_not_impl_any!(ffi::aegis_lock_free_arena: Send, Sync);
assert_not_impl_any!(ArenaBuilder<LockFreeArena>: Send, Sync);

#[cfg(feature = "allocator-api2")]
mod allocator {
    use super::*;
    use aegis_memory::source::FromAllocator;
    use allocator_api2::alloc::{Allocator, Global};
    use allocator_api2::vec::Vec;

    assert_impl_all!(FromAllocator<Global>: Send, Sync);
    assert_impl_all!(&'static Arena: Allocator);
    // With a `&mut Arena` inside, an owner could be reset while its memory is in use.
    assert_not_impl_any!(Arena: Allocator);
    assert_not_impl_any!(&'static mut Arena: Allocator);
    assert_not_impl_any!(Vec<u8, &'static Arena>: Send, Sync);
    assert_impl_all!(&'static LockFreeArena: Allocator);
    assert_impl_all!(&'static LockedArena: Allocator);
    assert_impl_all!(&'static LocalArena<'static>: Allocator);
    assert_not_impl_any!(LockFreeArena: Allocator);
    assert_not_impl_any!(LockedArena: Allocator);
    assert_not_impl_any!(LocalArena<'static>: Allocator);
    assert_not_impl_any!(&'static mut LockFreeArena: Allocator);
    // A shared arena may free its memory on any thread; a handle frees its memory on its own
    // thread.
    assert_impl_all!(Vec<u8, &'static LockFreeArena>: Send, Sync);
    assert_not_impl_any!(Vec<u8, &'static LocalArena<'static>>: Send, Sync);
    assert_impl_all!(&'static FixedArena<'static>: Allocator);
    assert_not_impl_any!(FixedArena<'static>: Allocator);
    assert_not_impl_any!(Vec<u8, &'static FixedArena<'static>>: Send, Sync);
    assert_impl_all!(&'static Pool: Allocator);
    assert_impl_all!(&'static PoolCache<'static>: Allocator);
    assert_not_impl_any!(Pool: Allocator);
    assert_not_impl_any!(LockFreePool: Allocator);
    assert_not_impl_any!(LockedPool: Allocator);
    assert_not_impl_any!(PoolCache<'static>: Allocator);
    // As with arenas.
    assert_not_impl_any!(Vec<u8, &'static Pool>: Send, Sync);
    assert_not_impl_any!(Vec<u8, &'static PoolCache<'static>>: Send, Sync);
    assert_impl_all!(Vec<u8, &'static LockFreePool>: Send, Sync);
    assert_impl_all!(Vec<u8, &'static LockedPool>: Send, Sync);
}

#[cfg(feature = "collections")]
mod collections {
    use super::*;
    use aegis_memory::collections::{ArenaString, ArenaVec, Drain, ExtractIf, IntoIter, Splice};

    // A collection is a reference to its arena and owns its items.
    assert_not_impl_any!(ArenaVec<'static, u8>: Send, Sync);
    assert_not_impl_any!(ArenaString<'static>: Send, Sync);
    assert_not_impl_any!(ArenaVec<'static, u8, LocalArena<'static>>: Send, Sync);
    assert_not_impl_any!(IntoIter<'static, u8>: Send, Sync);
    assert_impl_all!(ArenaVec<'static, u8, LockFreeArena>: Send, Sync);
    assert_impl_all!(ArenaString<'static, LockedArena>: Send, Sync);
    assert_not_impl_any!(ArenaVec<'static, Rc<u8>, LockFreeArena>: Send, Sync);
    assert_impl_all!(ArenaVec<'static, Cell<u8>, LockFreeArena>: Send);
    assert_not_impl_any!(ArenaVec<'static, Cell<u8>, LockFreeArena>: Sync);
    // Its iterators are as itself.
    type Shared<T> = ArenaVec<'static, T, LockFreeArena>;
    assert_impl_all!(IntoIter<'static, u8, LockFreeArena>: Send, Sync);
    assert_impl_all!(Drain<'static, 'static, u8, LockFreeArena>: Send, Sync);
    assert_not_impl_any!(Drain<'static, 'static, Rc<u8>, LockFreeArena>: Send, Sync);
    assert_not_impl_any!(ExtractIf<'static, 'static, u8, fn(&mut u8) -> bool>: Send, Sync);
    assert_impl_all!(ExtractIf<'static, 'static, u8, fn(&mut u8) -> bool, LockFreeArena>: Send);
    assert_not_impl_any!(Splice<'static, 'static, std::vec::IntoIter<u8>>: Send, Sync);
    assert_impl_all!(Splice<'static, 'static, std::vec::IntoIter<u8>, LockFreeArena>: Send);
    assert_impl_all!(Shared<u8>: Unpin, std::panic::RefUnwindSafe);

    /// Compiles only if a collection can live shorter than what it was made with.
    fn _is_covariant<'a, 'b: 'a>(vec: Shared<&'b str>) -> ArenaVec<'a, &'a str, LockFreeArena> {
        vec
    }
}

#[test]
fn arena_filled_on_one_thread_is_used_and_dropped_on_another() {
    let arena = Arena::new(64);
    let list = arena.alloc_static(vec![1, 2, 3]);
    list.push(4);
    let sum = std::thread::spawn(move || {
        let text = arena.alloc_str("from the other thread");
        text.len()
    });
    assert_eq!(sum.join().expect("the thread does not panic"), 21);
}

#[test]
fn box_and_value_borrowed_from_an_arena_are_used_on_another_thread() {
    let arena = Arena::new(64);
    let mut name = arena.alloc_boxed(String::from("sent"));
    let value = arena.alloc_value(1_u64);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            name.push('!');
            *value += 1;
        });
    });
    assert_eq!((name.as_str(), *value), ("sent!", 2));
}

#[test]
fn owner_that_is_not_sync_lends_its_bytes_to_many_threads_and_is_dropped_on_one() {
    /// Counts how often it is asked, without a lock.
    struct Counting(Cell<usize>, [u8; 3], Arc<std::sync::Mutex<Vec<usize>>>);
    impl AsRef<[u8]> for Counting {
        fn as_ref(&self) -> &[u8] {
            self.0.set(self.0.get() + 1);
            &self.1
        }
    }
    impl Drop for Counting {
        fn drop(&mut self) {
            self.2.lock().unwrap().push(self.0.get());
        }
    }
    let drops = Arc::default();
    let buffer = Buffer::from_owner(Counting(Cell::new(0), *b"abc", Arc::clone(&drops)));
    std::thread::scope(|threads| {
        for _ in 0..4 {
            let view = buffer.clone();
            threads.spawn(move || assert_eq!(view.slice(1..), "bc"));
        }
    });
    std::thread::spawn(move || drop(buffer)).join().unwrap();
    assert_eq!(*drops.lock().unwrap(), [1], "asked once, dropped once");
}
