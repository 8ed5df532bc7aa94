// SPDX-License-Identifier: Apache-2.0
//! Compares the fast paths of the one-owner pool and of the caches, which are written in C and
//! again in Rust. The test drives both with the same random sequences, each on a pool of its own.
//! Both must give the same blocks, the same failures and the same statistics.

use crate::support::{TestSource, DIRT};
use aegis_memory::ffi;
use aegis_memory::pool::{LockFreePool, Pool, PoolBuilder, PoolKind, PoolStats};
use proptest::prelude::*;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// The calls of one side on its blocks, which are given by address.
trait Side {
    fn take(&self, zeroed: bool) -> Option<NonNull<u8>>;
    fn give_back(&self, block: NonNull<u8>);
    fn index_of(&self, block: NonNull<u8>) -> usize;
    fn figures(&self) -> PoolStats;
}

struct ByRust<'a, P>(&'a P);

macro_rules! rust_side {
    ($Pool:ty, |$this:ident| $figures:expr) => {
        impl Side for ByRust<'_, $Pool> {
            fn take(&self, zeroed: bool) -> Option<NonNull<u8>> {
                if zeroed {
                    self.0.alloc().ok().map(|block| block.into_raw().cast())
                } else {
                    self.0.alloc_uninit().ok().map(|block| block.into_raw().cast())
                }
            }
            fn give_back(&self, block: NonNull<u8>) {
                // SAFETY: from `into_raw` of a block of this pool, given back once.
                drop(unsafe {
                    aegis_memory::pool::Block::<_, MaybeUninit<u8>>::from_raw(self.0, block)
                });
            }
            fn index_of(&self, block: NonNull<u8>) -> usize {
                // SAFETY: as above; the handle is not dropped.
                let block = unsafe {
                    aegis_memory::pool::Block::<_, MaybeUninit<u8>>::from_raw(self.0, block)
                };
                let index = block.index();
                block.leak();
                index
            }
            fn figures(&self) -> PoolStats {
                let $this = self.0;
                $figures
            }
        }
    };
}

rust_side!(Pool, |pool| pool.stats());
rust_side!(aegis_memory::pool::PoolCache<'_>, |cache| cache.pool().stats());

struct ByC<'a>(&'a Pool);

impl Side for ByC<'_> {
    fn take(&self, zeroed: bool) -> Option<NonNull<u8>> {
        let raw = self.0.as_raw();
        // SAFETY: the pool is ours.
        NonNull::new(unsafe {
            if zeroed {
                ffi::aegis_pool_alloc_zeroed(raw)
            } else {
                ffi::aegis_pool_alloc(raw)
            }
        })
        .map(NonNull::cast)
    }
    fn give_back(&self, block: NonNull<u8>) {
        // SAFETY: the pool is ours, and the function checks the block.
        assert_eq!(unsafe { ffi::aegis_pool_free(self.0.as_raw(), block.as_ptr().cast()) }, 0);
    }
    fn index_of(&self, block: NonNull<u8>) -> usize {
        ByRust(self.0).index_of(block)
    }
    fn figures(&self) -> PoolStats {
        self.0.stats()
    }
}

/// Both languages in turn on one pool. Blocks that Rust has freed are freed again by C now and then,
/// which must refuse each.
struct Mixed<'a>(&'a Pool, Cell<u32>);

impl Mixed<'_> {
    fn turn(&self) -> u32 {
        self.1.set(self.1.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        self.1.get() >> 28
    }
}

impl Side for Mixed<'_> {
    fn take(&self, zeroed: bool) -> Option<NonNull<u8>> {
        if self.turn() % 2 == 0 {
            ByC(self.0).take(zeroed)
        } else {
            ByRust(self.0).take(zeroed)
        }
    }
    fn give_back(&self, block: NonNull<u8>) {
        let turn = self.turn();
        if turn % 4 == 0 {
            ByC(self.0).give_back(block);
        } else {
            ByRust(self.0).give_back(block);
        }
        if turn < 8 {
            // SAFETY: the pool is ours, and the function checks the block.
            let status = unsafe { ffi::aegis_pool_free(self.0.as_raw(), block.as_ptr().cast()) };
            assert_eq!(status, ffi::AEGIS_E_INVALID as ffi::aegis_status, "a double free");
        }
    }
    fn index_of(&self, block: NonNull<u8>) -> usize {
        ByRust(self.0).index_of(block)
    }
    fn figures(&self) -> PoolStats {
        self.0.stats()
    }
}

/// A trim after frees by Rust keeps the slabs with blocks that are out, and no others.
#[test]
fn a_trim_sees_what_rust_has_freed() {
    let pool = build(Pool::builder(), (16, 4, 12), true);
    let mut held: Vec<_> = (0..16).map(|_| pool.alloc().expect("a block is left")).collect();
    let last = held.pop().expect("16 blocks");
    held.clear();
    pool.trim(0);
    assert_eq!(pool.stats().slab_count, 2, "the first, and that of the block that is out");
    drop(last);
    pool.trim(0);
    assert_eq!((pool.stats().slab_count, pool.stats().available), (1, 4));
}

/// A cache that C has made, in front of a pool that Rust has made.
struct CacheByC<'a> {
    pool: &'a LockFreePool,
    raw: std::cell::UnsafeCell<ffi::aegis_pool_cache>,
}

impl<'a> CacheByC<'a> {
    fn new(pool: &'a LockFreePool) -> Self {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: memory for the struct; the pool outlives the cache.
        assert_eq!(unsafe { ffi::aegis_pool_cache_init(raw.as_mut_ptr(), pool.as_raw()) }, 0);
        // SAFETY: written by the call.
        Self { pool, raw: std::cell::UnsafeCell::new(unsafe { raw.assume_init() }) }
    }
}

impl Drop for CacheByC<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { ffi::aegis_pool_cache_fini(self.raw.get()) }
    }
}

impl Side for CacheByC<'_> {
    fn take(&self, zeroed: bool) -> Option<NonNull<u8>> {
        let raw = self.raw.get();
        // SAFETY: the cache is ours.
        NonNull::new(unsafe {
            if zeroed {
                ffi::aegis_pool_cache_alloc_zeroed(raw)
            } else {
                ffi::aegis_pool_cache_alloc(raw)
            }
        })
        .map(NonNull::cast)
    }
    fn give_back(&self, block: NonNull<u8>) {
        // SAFETY: the cache is ours, and the function checks the block.
        assert_eq!(unsafe { ffi::aegis_pool_cache_free(self.raw.get(), block.as_ptr().cast()) }, 0);
    }
    fn index_of(&self, block: NonNull<u8>) -> usize {
        let mut index = usize::MAX;
        let (pool, block) = (self.pool.as_raw(), block.as_ptr().cast());
        // SAFETY: writes the index if the address is a block's.
        unsafe { ffi::aegis_lock_free_pool_index_of(pool, block, &mut index) };
        index
    }
    fn figures(&self) -> PoolStats {
        self.pool.stats()
    }
}

/// Applies each operation to both sides.
fn drive(c: &dyn Side, rust: &dyn Side, ops: &[u16]) {
    let mut held: Vec<(NonNull<u8>, NonNull<u8>)> = Vec::new();
    for &op in ops {
        match op % 5 {
            0..=2 => {
                let zeroed = op % 2 == 0;
                match (c.take(zeroed), rust.take(zeroed)) {
                    (Some(by_c), Some(by_rust)) => {
                        assert_eq!(c.index_of(by_c), rust.index_of(by_rust), "C, Rust");
                        held.push((by_c, by_rust));
                        let size = rust.figures().block_bytes;
                        for block in [by_c, by_rust] {
                            for i in 0..size {
                                // SAFETY: the block is out and that large.
                                let byte = unsafe { block.as_ptr().add(i) };
                                // SAFETY: as above, and initialised if it was asked for zeroed.
                                assert!(!zeroed || unsafe { *byte } == 0, "not zero");
                                // SAFETY: as above.
                                unsafe { *byte = DIRT };
                            }
                        }
                    }
                    (None, None) => {}
                    outcome => panic!("C, Rust: {outcome:?}"),
                }
            }
            _ if held.is_empty() => {}
            _ => {
                let (by_c, by_rust) = held.swap_remove(usize::from(op) / 5 % held.len());
                c.give_back(by_c);
                rust.give_back(by_rust);
            }
        }
        assert_eq!(c.figures(), rust.figures(), "C, Rust");
    }
    for (by_c, by_rust) in held {
        c.give_back(by_c);
        rust.give_back(by_rust);
    }
    assert_eq!(c.figures(), rust.figures(), "C, Rust");
    assert_eq!(c.figures().in_use, 0);
}

fn build<P: PoolKind>(builder: PoolBuilder<P>, sizes: (usize, usize, usize), clean: bool) -> P {
    let (size, blocks, more) = sizes;
    let builder = builder.block_size(size).blocks(blocks).max_blocks(blocks + more);
    let builder = if clean { builder } else { builder.source(TestSource::new().0) };
    builder.build().expect("memory for a test")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn c_and_rust_give_equal_blocks_zeroes_failures_and_figures(
        ops in prop::collection::vec(any::<u16>(), 0..400),
        sizes in (0_usize..100, 1_usize..50, 0_usize..100),
        clean: bool,
    ) {
        let [c, rust] = [(); 2].map(|()| build(Pool::builder(), sizes, clean));
        drive(&ByC(&c), &ByRust(&rust), &ops);
        let [c, mixed] = [(); 2].map(|()| build(Pool::builder(), sizes, clean));
        drive(&ByC(&c), &Mixed(&mixed, Cell::new(ops.len() as u32)), &ops);
        let [c, rust] = [(); 2].map(|()| build(LockFreePool::builder().caches(1), sizes, clean));
        drive(&CacheByC::new(&c), &ByRust(&rust.cache()), &ops);
    }
}
