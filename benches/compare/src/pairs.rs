// SPDX-License-Identifier: Apache-2.0
//! What is taken and given back at once: blocks, writers, pooled buffers and views. Their
//! instructions are counted beside those of rivals ([`PROMISES`]).
//!
//! An operation takes one and gives it back. Of blocks 47 more are out, and each was taken once before.

use aegis_memory::buffer::{Buffer, BufferMut, BufferPool};
use aegis_memory::ffi;
use aegis_memory::pool::{LockFreePool, Pool, PoolCache};
use bytes::{Bytes, BytesMut};
use libmimalloc_sys::{mi_free, mi_malloc};
use slab::Slab;

use crate::{hide, keep, Case, Round};

/// A block from a pool, and back.
pub const BLOCK: &str = "block";
/// A writer of 64 bytes on the heap.
pub const WRITER: &str = "writer";
/// A buffer of 4 KiB from a pool, or from a heap.
pub const POOLED: &str = "pooled";
/// A view of bytes that others share.
pub const VIEW: &str = "view";

/// Every operation, in the order of the table.
pub const ALL: [&str; 4] = [BLOCK, WRITER, POOLED, VIEW];

/// The name of the empty loop.
pub const NOTHING: &str = "pair of nothing";

/// In each operation, whose count must not be above whose. A writer is not among them: it takes more
/// instructions than `BytesMut` and less time, because it does not wait for malloc's memory.
pub const PROMISES: [(&str, &str, &str); 4] = [
    (BLOCK, "Pool", "slab"),
    (BLOCK, "Pool", "PoolCache"),
    (POOLED, "BufferPool", "mimalloc"),
    (VIEW, "Buffer", "Bytes"),
];

/// How many more are out.
const OUT: usize = 47;
const BLOCK_BYTES: usize = 256;

/// Adds a case in which `$pair` is one operation on `$state`. What the macro takes must be owners:
/// the first ones are kept out.
macro_rules! pair {
    ($cases:ident, $operation:expr, $rival:expr, $state:expr, |$it:ident| $pair:expr) => {
        $cases.push(Case {
            rival: $rival,
            operation: $operation,
            make: Box::new(|| {
                let mut state = $state;
                Box::new(move |count: usize| {
                    let $it = &mut state;
                    for _ in 0..count {
                        $pair;
                    }
                }) as Round
            }),
        });
    };
}

/// A pool made for the life of the process, with its blocks in circulation and some of them out.
fn pool() -> &'static Pool {
    let pool: &Pool = Box::leak(Box::new(Pool::new(BLOCK_BYTES, 2 * OUT)));
    drop((0..2 * OUT).map(|_| pool.alloc()).collect::<Vec<_>>());
    (0..OUT).for_each(|_| drop(pool.alloc().map(|block| block.into_raw())));
    pool
}

extern "C" {
    /// Takes a block and gives it back, this many times.
    fn compare_pool_pairs(pool: *mut ffi::aegis_pool, count: usize);
}

/// A cache of such a pool.
fn cache() -> PoolCache<'static> {
    let pool = LockFreePool::builder().block_size(BLOCK_BYTES).blocks(2 * OUT).caches(1);
    let pool: &LockFreePool = Box::leak(Box::new(pool.build().expect("memory")));
    let cache = pool.cache();
    drop((0..OUT).map(|_| cache.alloc()).collect::<Vec<_>>());
    cache
}

fn slab() -> Slab<usize> {
    let mut slab = Slab::with_capacity(2 * OUT);
    (0..OUT).for_each(|i| _ = slab.insert(i));
    slab
}

/// Bytes that have been shared before.
fn bytes() -> Bytes {
    let bytes = Bytes::from(vec![0; 4096]);
    drop(bytes.clone());
    bytes
}

/// A free list whose links stand in the blocks themselves. Nothing is checked.
struct Intrusive(*mut u8);

impl Intrusive {
    fn new() -> Self {
        let mut list = Self(std::ptr::null_mut());
        for _ in 0..2 * OUT {
            let block: &mut [u64; BLOCK_BYTES / 8] = Box::leak(Box::default());
            // SAFETY: a block of its own, as large as the list wants it.
            unsafe { list.put(std::ptr::from_mut(block).cast()) };
        }
        list
    }

    /// Takes a block, which the list must have.
    ///
    /// # Safety
    ///
    /// - The list is not empty.
    #[inline(always)]
    unsafe fn take(&mut self) -> *mut u8 {
        let block = self.0;
        // SAFETY: a block on the list starts with the address of the next one.
        self.0 = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    /// Puts a block on the list.
    ///
    /// # Safety
    ///
    /// - The block is aligned to 8, has room for an address, and is used by nobody else.
    #[inline(always)]
    unsafe fn put(&mut self, block: *mut u8) {
        // SAFETY: the caller guarantees the room.
        unsafe { block.cast::<*mut u8>().write(self.0) };
        self.0 = block;
    }
}

fn blocks(cases: &mut Vec<Case>) {
    pair!(cases, BLOCK, NOTHING, (), |_it| hide(0));
    pair!(cases, BLOCK, "Pool", pool(), |pool| {
        let block = pool.alloc_uninit().expect("a block is left");
        keep(block.as_ptr());
    });
    cases.push(Case {
        rival: "aegis_pool in C",
        operation: BLOCK,
        make: Box::new(|| {
            let pool = pool().as_raw();
            // SAFETY: the pool has a free block, and is this thread's.
            Box::new(move |count| unsafe { compare_pool_pairs(pool, count) })
        }),
    });
    pair!(cases, BLOCK, "PoolCache", cache(), |cache| {
        let block = cache.alloc_uninit().expect("a block is left");
        keep(block.as_ptr());
    });
    pair!(cases, BLOCK, "slab", slab(), |slab| {
        keep(slab);
        let key = slab.insert(0);
        keep(&slab[key]);
        slab.remove(hide(key));
    });
    pair!(cases, BLOCK, "intrusive list, unchecked", Intrusive::new(), |list| {
        keep(list);
        // SAFETY: the list has all of its blocks, and this one goes back.
        unsafe {
            let block = list.take();
            keep(block);
            list.put(block);
        }
    });
}

fn buffers(cases: &mut Vec<Case>) {
    pair!(cases, WRITER, NOTHING, (), |_it| hide(0));
    pair!(cases, WRITER, "BufferMut", (), |_it| {
        let writer = BufferMut::with_capacity(hide(64));
        keep(&writer);
    });
    pair!(cases, WRITER, "BytesMut", (), |_it| {
        let writer = BytesMut::with_capacity(hide(64));
        keep(&writer);
    });
    pair!(cases, POOLED, NOTHING, (), |_it| hide(0));
    pair!(cases, POOLED, "BufferPool", BufferPool::new(4096, 64), |pool| {
        let writer = pool.get(hide(4096)).expect("a buffer is left");
        keep(&writer);
    });
    pair!(cases, POOLED, "mimalloc", (), |_it| {
        // SAFETY: any size; the memory is freed once.
        unsafe {
            let memory = mi_malloc(hide(4096));
            keep(memory);
            mi_free(memory);
        }
    });
    pair!(cases, VIEW, NOTHING, (), |_it| hide(0));
    pair!(cases, VIEW, "Buffer", Buffer::from(vec![0; 4096]), |buffer| {
        let view = buffer.clone();
        keep(&view);
    });
    pair!(cases, VIEW, "Bytes", bytes(), |bytes| {
        let view = bytes.clone();
        keep(&view);
    });
}

/// Every case.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    blocks(&mut cases);
    buffers(&mut cases);
    cases
}
