// SPDX-License-Identifier: Apache-2.0
//! Tests what only a pool of one owner does: its owned blocks keep it alive, it can be trimmed
//! while blocks are out, and its source may use it.

use aegis_memory::pool::Pool;
use aegis_memory::source::{BlockSource, Heap, SourceBlock};
use std::alloc::Layout;
use std::cell::RefCell;
use std::collections::HashSet;
use std::mem;
use std::ptr::NonNull;
use std::rc::Rc;

#[test]
fn owned_block_of_a_one_owner_pool_keeps_it_alive() {
    let pool = Rc::new(Pool::new(64, 1));
    let mut block = pool.alloc_owned().unwrap();
    assert!(pool.alloc_owned().is_err());
    let weak = Rc::downgrade(&pool);
    drop(pool);
    block.fill(1);
    assert_eq!(*block, [1; 64]);
    drop(block);
    assert!(weak.upgrade().is_none());
}

#[test]
fn one_owner_trim_leaves_slabs_with_blocks_out() {
    let pool = Pool::builder().block_size(64).blocks(2).max_blocks(8).build().unwrap();
    let mut blocks: Vec<_> = (0..8).map(|_| pool.alloc().unwrap()).collect();
    let mut kept = blocks.remove(5);
    kept.fill(5);
    drop(blocks);
    pool.trim(0);
    assert_eq!((pool.capacity(), pool.stats().slab_count, kept.index()), (4, 2, 5));
    assert_eq!(*kept, [5; 64]);
    let more: Vec<_> = std::iter::from_fn(|| pool.alloc().ok()).collect();
    let indices: HashSet<_> = more.iter().map(|block| block.index()).collect();
    assert_eq!((more.len(), indices.len(), indices.contains(&5)), (7, 7, false));
}

thread_local! {
    static SHARED: RefCell<Option<Rc<Pool>>> = const { RefCell::new(None) };
}

/// A source that uses its pool each time the pool calls it.
struct Reentrant;

// SAFETY: passes requests on.
unsafe impl BlockSource for Reentrant {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        let block = Heap.acquire(layout);
        let pool = SHARED.with(|shared| shared.borrow_mut().take());
        if let Some(pool) = pool {
            mem::forget(pool.alloc().unwrap());
            drop((pool.alloc().unwrap(), pool.alloc().unwrap()));
        }
        block
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller keeps this function's contract, which is the same.
        unsafe { Heap.release(memory, layout) };
        if let Some(pool) = SHARED.with(|shared| shared.borrow().clone()) {
            let held: Vec<_> = (0..7).map(|_| pool.alloc().unwrap()).collect();
            pool.trim(0);
            drop(held);
        }
    }
}

#[test]
fn source_that_uses_the_pool_meanwhile_finds_it_whole() {
    let builder = Pool::builder().block_size(64).blocks(2).max_blocks(40);
    let pool = Rc::new(builder.source(Reentrant).build().unwrap());
    let first: Vec<_> = (0..2).map(|_| pool.alloc().unwrap()).collect();
    SHARED.with(|shared| *shared.borrow_mut() = Some(pool.clone()));
    let third = pool.alloc().unwrap();
    assert_eq!((first.len(), third.len(), pool.in_use()), (2, 64, 4));
    let many: Vec<_> = (0..20).map(|_| pool.alloc().unwrap()).collect();
    assert_eq!(pool.in_use(), 24);
    let indices: HashSet<_> = many.iter().map(|block| block.index()).collect();
    assert_eq!(indices.len(), 20);
    drop(many);
    SHARED.with(|shared| *shared.borrow_mut() = Some(pool.clone()));
    pool.trim(0);
    SHARED.with(|shared| *shared.borrow_mut() = None);
    // The source took blocks while slabs were given back, so the pool grew again, and for that the
    // source was called and kept one more block.
    assert_eq!(pool.in_use(), 5);
    assert_eq!(pool.available() + 5, pool.capacity());
    assert_eq!(std::iter::from_fn(|| pool.alloc().ok().map(mem::forget)).count(), 35);
}
