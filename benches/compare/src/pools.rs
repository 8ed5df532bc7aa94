// SPDX-License-Identifier: Apache-2.0
//! The pools and their rivals behind one interface: blocks of one size, each of which returns to
//! its pool when it is dropped.
//!
//! Every rival is made with [`BLOCKS`] blocks of [`BLOCK_BYTES`] bytes, and each block is taken
//! once before the timing. A thread works through a handle of its own. The handle is the rival
//! itself, unless a thread must ask the rival for a cache. Blocks are not cleared.

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use aegis_memory::pool::{LockFreePool, LockedPool, Pool, PoolBlock, PoolCache};
use crossbeam_queue::ArrayQueue;
use lockfree_object_pool::{LinearObjectPool, LinearOwnedReusable, LinearReusable};

/// Usable bytes of each block.
pub const BLOCK_BYTES: usize = 256;
/// How many blocks a rival with a fixed number has.
pub const BLOCKS: usize = 4096;

type Bytes = [u8; BLOCK_BYTES];
type Boxed = Box<Bytes>;
type Uninit = MaybeUninit<u8>;

/// A stock of blocks.
pub trait Rival: Sized {
    /// The handle through which a thread takes blocks.
    type Handle<'p>
    where
        Self: 'p;
    /// A block, which returns when dropped.
    type Block<'h>
    where
        Self: 'h;

    /// Makes the stock with all of its blocks.
    fn new() -> Self;
    /// Makes a handle for one thread.
    fn handle(&self) -> Self::Handle<'_>;
    /// Takes a block.
    fn take<'h>(handle: &'h Self::Handle<'_>) -> Self::Block<'h>;
}

/// A stock whose blocks may go from one thread to another.
pub trait Shared: Rival + Sync {
    /// A block on its way.
    type Sent<'p>: Send
    where
        Self: 'p;

    /// Takes a block to be sent.
    fn send<'p>(handle: &Self::Handle<'p>) -> Self::Sent<'p>
    where
        Self: 'p;
    /// Gives the block back, on the thread that has this handle.
    fn receive<'p>(handle: &Self::Handle<'p>, sent: Self::Sent<'p>)
    where
        Self: 'p,
    {
        let _ = handle;
        drop(sent);
    }
}

fn some<T, E: std::fmt::Debug>(block: Result<T, E>) -> T {
    block.expect("a block is left")
}

/// A rival whose handle is a reference to itself.
macro_rules! rival {
    ($Rival:ty, $Block:ty, $new:expr, |$this:ident| $take:expr) => {
        impl Rival for $Rival {
            type Handle<'p> = &'p Self;
            type Block<'h> = $Block;

            fn new() -> Self {
                $new
            }
            fn handle(&self) -> &Self {
                self
            }
            #[inline(always)]
            fn take<'h>($this: &'h &Self) -> Self::Block<'h> {
                $take
            }
        }
    };
}

/// The same, and its blocks can be sent as they are.
macro_rules! shared {
    ($Rival:ty, $Block:ty, |$this:ident| $take:expr) => {
        impl Shared for $Rival {
            type Sent<'p> = $Block;

            #[inline(always)]
            fn send<'p>($this: &&'p Self) -> Self::Sent<'p>
            where
                Self: 'p,
            {
                $take
            }
        }
    };
}

fn one_owner() -> Pool {
    let pool = Pool::new(BLOCK_BYTES, BLOCKS);
    drop((0..BLOCKS).map(|_| pool.alloc()).collect::<Vec<_>>());
    pool
}

fn lock_free() -> LockFreePool {
    let pool = LockFreePool::new(BLOCK_BYTES, BLOCKS);
    drop((0..BLOCKS).map(|_| pool.alloc()).collect::<Vec<_>>());
    pool
}

fn locked() -> LockedPool {
    let pool = LockedPool::new(BLOCK_BYTES, BLOCKS);
    drop((0..BLOCKS).map(|_| pool.alloc()).collect::<Vec<_>>());
    pool
}

rival!(Pool, PoolBlock<'h, Pool, Uninit>, one_owner(), |pool| some(pool.alloc_uninit()));
rival!(LockFreePool, PoolBlock<'h, Self, Uninit>, lock_free(), |pool| some(pool.alloc_uninit()));
shared!(LockFreePool, PoolBlock<'p, Self, Uninit>, |pool| some(pool.alloc_uninit()));
rival!(LockedPool, PoolBlock<'h, Self, Uninit>, locked(), |pool| some(pool.alloc_uninit()));
shared!(LockedPool, PoolBlock<'p, Self, Uninit>, |pool| some(pool.alloc_uninit()));

/// A lock-free pool that every thread uses through a cache.
pub struct Cached(LockFreePool);

impl Rival for Cached {
    type Handle<'p> = PoolCache<'p>;
    type Block<'h> = PoolBlock<'h, PoolCache<'h>, Uninit>;

    fn new() -> Self {
        Self(lock_free())
    }
    fn handle(&self) -> PoolCache<'_> {
        let cache = self.0.cache();
        assert!(cache.is_open());
        cache
    }
    #[inline(always)]
    fn take<'h>(cache: &'h PoolCache<'_>) -> Self::Block<'h> {
        some(cache.alloc_uninit())
    }
}

impl Shared for Cached {
    type Sent<'p> = PoolBlock<'p, LockFreePool, Uninit>;

    #[inline(always)]
    fn send<'p>(cache: &PoolCache<'p>) -> Self::Sent<'p>
    where
        Self: 'p,
    {
        some(cache.alloc_uninit()).detach()
    }
    #[inline(always)]
    fn receive<'p>(cache: &PoolCache<'p>, sent: Self::Sent<'p>)
    where
        Self: 'p,
    {
        cache.put(sent);
    }
}

/// A free list of boxes, whatever holds it.
pub trait List: Sync {
    /// Takes a box out.
    fn out(&self) -> Boxed;
    /// Puts one in.
    fn back(&self, block: Boxed);
}

/// A box that returns to its list.
pub struct Listed<'a, L: List>(&'a L, Option<Boxed>);

impl<L: List> Drop for Listed<'_, L> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(block) = self.1.take() {
            self.0.back(block);
        }
    }
}

fn boxes() -> impl Iterator<Item = Boxed> {
    (0..BLOCKS).map(|_| Box::new([0; BLOCK_BYTES]))
}

/// `Mutex<Vec<_>>`.
pub struct MutexVec(Mutex<Vec<Boxed>>);

impl List for MutexVec {
    #[inline(always)]
    fn out(&self) -> Boxed {
        self.0.lock().expect("no panic").pop().expect("a block is left")
    }
    #[inline(always)]
    fn back(&self, block: Boxed) {
        self.0.lock().expect("no panic").push(block);
    }
}

rival!(MutexVec, Listed<'h, Self>, Self(Mutex::new(boxes().collect())), |list| {
    Listed(list, Some(list.out()))
});
shared!(MutexVec, Listed<'p, Self>, |list| Listed(list, Some(list.out())));

/// crossbeam's bounded queue as a free list.
pub struct Queue(ArrayQueue<Boxed>);

impl List for Queue {
    #[inline(always)]
    fn out(&self) -> Boxed {
        self.0.pop().expect("a block is left")
    }
    #[inline(always)]
    fn back(&self, block: Boxed) {
        self.0.push(block).expect("room for every block");
    }
}

fn queue() -> Queue {
    let queue = Queue(ArrayQueue::new(BLOCKS));
    boxes().for_each(|block| queue.back(block));
    queue
}

rival!(Queue, Listed<'h, Self>, queue(), |queue| Listed(queue, Some(queue.out())));
shared!(Queue, Listed<'p, Self>, |queue| Listed(queue, Some(queue.out())));

/// The pool of lockfree-object-pool.
pub struct Linear(Arc<LinearObjectPool<Bytes>>);

fn linear() -> Linear {
    let pool = LinearObjectPool::new(|| [0; BLOCK_BYTES], |_| {});
    drop((0..BLOCKS).map(|_| pool.pull()).collect::<Vec<_>>());
    Linear(Arc::new(pool))
}

rival!(Linear, LinearReusable<'h, Bytes>, linear(), |pool| pool.0.pull());
shared!(Linear, LinearOwnedReusable<Bytes>, |pool| pool.0.pull_owned());

/// The pool of sharded-slab.
pub struct Sharded(sharded_slab::Pool<Slot>);

/// What sharded-slab keeps in each of its slots.
pub struct Slot(#[allow(dead_code)] Bytes);

impl Default for Slot {
    fn default() -> Self {
        Self([0; BLOCK_BYTES])
    }
}

impl sharded_slab::Clear for Slot {
    fn clear(&mut self) {}
}

/// A slot of sharded-slab that is cleared when this is dropped.
pub struct ShardedBlock<'a>(&'a Sharded, usize);

impl Drop for ShardedBlock<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0 .0.clear(self.1);
    }
}

#[inline(always)]
fn create(pool: &Sharded) -> ShardedBlock<'_> {
    ShardedBlock(pool, pool.0.create_with(|_| {}).expect("a slot is left"))
}

rival!(Sharded, ShardedBlock<'h>, Self(sharded_slab::Pool::new()), |pool| create(pool));
shared!(Sharded, ShardedBlock<'p>, |pool| create(pool));

macro_rules! heap {
    ($Heap:ident, $HeapBlock:ident, $docs:literal, $malloc:path, $free:path) => {
        #[doc = $docs]
        pub struct $Heap;

        #[doc = $docs]
        pub struct $HeapBlock(NonNull<u8>);

        // SAFETY: an owner of its memory.
        unsafe impl Send for $HeapBlock {}

        impl $HeapBlock {
            #[inline(always)]
            fn take() -> Self {
                // SAFETY: any size.
                Self(NonNull::new(unsafe { $malloc(BLOCK_BYTES) }.cast()).expect("memory"))
            }
        }

        impl Drop for $HeapBlock {
            #[inline(always)]
            fn drop(&mut self) {
                // SAFETY: allocated in `take`, and freed once.
                unsafe { $free(self.0.as_ptr().cast()) }
            }
        }

        rival!($Heap, $HeapBlock, Self, |_heap| $HeapBlock::take());
        shared!($Heap, $HeapBlock, |_heap| $HeapBlock::take());
    };
}

/// The C library's heap.
mod libc {
    use std::ffi::c_void;

    extern "C" {
        pub fn malloc(size: usize) -> *mut c_void;
        pub fn free(memory: *mut c_void);
    }
}

heap!(Malloc, MallocBlock, "The C library's heap.", libc::malloc, libc::free);
heap!(Mimalloc, MimallocBlock, "mimalloc.", libmimalloc_sys::mi_malloc, libmimalloc_sys::mi_free);

/// Hands out the same address again and again: what everything around the blocks costs.
pub struct Constant;

/// Such an address.
pub struct ConstantBlock(#[allow(dead_code)] NonNull<u8>);

// SAFETY: nothing is ever read or written there.
unsafe impl Send for ConstantBlock {}

rival!(Constant, ConstantBlock, Self, |_constant| ConstantBlock(NonNull::dangling()));
shared!(Constant, ConstantBlock, |_constant| ConstantBlock(NonNull::dangling()));
