// SPDX-License-Identifier: Apache-2.0
//! Tests pools that threads share: caches, and blocks that go from one thread to another. In the
//! stress tests the one owner of a block stamps it. No block may have two owners or be lost.

use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::{
    Block, BlockPool, LockFreePool, LockedPool, OwnedPoolBlock, Pool, PoolBlock,
};
use aegis_memory::AllocError;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// More threads than there are cores, so that the system stops threads in the middle of a call.
const THREADS: usize = 8;
/// How many operations each thread does in a stress test.
const ROUNDS: usize = if cfg!(debug_assertions) { 4_000 } else { 20_000 };

/// Writes the owner's number all over the block, and later checks that no other thread has written
/// to it.
fn stamp(block: &mut [u8], owner: usize) {
    assert!(block.iter().all(|&byte| byte == 0), "not zero");
    block.fill(owner as u8 + 1);
}

#[track_caller]
fn check(block: &[u8], owner: usize) {
    assert!(block.iter().all(|&byte| byte == owner as u8 + 1), "another thread wrote here");
}

/// Takes up to 8 blocks at a time and gives them back in mixed order. Counts the blocks that it
/// got.
fn churn<B: DerefMut<Target = [u8]>>(
    owner: usize,
    mut alloc: impl FnMut() -> Result<B, AllocError>,
) -> usize {
    let (mut held, mut got) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        if held.len() < 1 + (round / 16) % 8 {
            if let Ok(mut block) = alloc() {
                stamp(&mut block, owner);
                held.push(block);
                got += 1;
                continue;
            }
            thread::yield_now();
        }
        if !held.is_empty() {
            let block = held.swap_remove(round % held.len());
            check(&block, owner);
        }
    }
    got
}

#[test]
fn more_threads_than_blocks_share_a_lock_free_pool() {
    let pool = LockFreePool::builder().block_size(64).blocks(5).max_blocks(20).build().unwrap();
    let got = AtomicUsize::new(0);
    thread::scope(|threads| {
        for owner in 0..THREADS {
            let (pool, got) = (&pool, &got);
            threads.spawn(move || got.fetch_add(churn(owner, || pool.alloc()), SeqCst));
        }
    });
    assert!(got.load(SeqCst) > THREADS);
    assert_eq!((pool.in_use(), pool.available()), (0, pool.capacity()));
}

#[test]
fn more_threads_than_blocks_share_a_locked_pool_and_trim_it() {
    let pool = LockedPool::builder().block_size(64).blocks(5).max_blocks(20).build().unwrap();
    thread::scope(|threads| {
        for owner in 0..THREADS {
            let pool = &pool;
            threads.spawn(move || {
                churn(owner, || {
                    if owner == 0 {
                        pool.trim(0);
                    }
                    pool.alloc_timeout(Duration::from_micros(owner as u64))
                })
            });
        }
    });
    assert_eq!((pool.in_use(), pool.available(), pool.waiting()), (0, pool.capacity(), 0));
}

/// Threads stamp their blocks, so a block whose slab went while it was out is found out. The limit of
/// the pool is what all threads hold at most, so no request is refused because of a trim.
#[test]
fn trims_of_a_lock_free_pool_take_nothing_from_other_threads() {
    let budget = MemoryBudget::new("pool", usize::MAX);
    let most = THREADS * 9;
    let builder = LockFreePool::builder().block_size(64).blocks(3).max_blocks(most);
    let pool = builder.caches(0).budget(&budget).build().unwrap();
    thread::scope(|threads| {
        for owner in 0..THREADS {
            let pool = &pool;
            threads.spawn(move || {
                churn(owner, || {
                    match owner {
                        0 => pool.trim(0),
                        1 => pool.trim_idle(),
                        _ => {}
                    }
                    let block = pool.alloc();
                    assert!(block.is_ok(), "{block:?}");
                    block
                })
            });
        }
    });
    pool.trim(0);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.slab_count, pool.capacity()), (0, 1, 3));
    assert_eq!(budget.used(), stats.reserved_bytes);
    assert_eq!((0..=most).map_while(|_| pool.alloc().ok()).collect::<Vec<_>>().len(), most);
}

#[test]
fn a_pool_whose_load_shrinks_decays_to_what_it_needs() {
    let budget = MemoryBudget::new("pool", usize::MAX);
    let builder = LockFreePool::builder().block_size(64).blocks(8).max_blocks(80);
    let pool = builder.caches(0).budget(&budget).build().unwrap();
    let hold = |blocks| drop((0..blocks).map(|_| pool.alloc().unwrap()).collect::<Vec<_>>());
    hold(80);
    pool.trim_idle();
    assert_eq!(pool.stats().slab_count, 10, "each was used since the pool was made");
    for (blocks, slabs) in [(33, 5), (33, 5), (9, 2), (1, 1)] {
        hold(blocks);
        let kept = pool.alloc().unwrap();
        pool.trim_idle();
        assert_eq!((pool.stats().slab_count, pool.capacity()), (slabs, slabs * 8));
        assert_eq!(budget.used(), pool.stats().reserved_bytes);
        drop(kept);
    }
}

#[test]
fn a_trim_leaves_slabs_with_blocks_out_or_in_a_cache() {
    let builder = LockFreePool::builder().block_size(64).blocks(8).max_blocks(160);
    let pool = builder.caches(1).build().unwrap();
    let cache = pool.cache();
    let mut blocks: Vec<_> = (0..160).map(|_| cache.alloc().unwrap()).collect();
    let mut kept = blocks.swap_remove(77);
    stamp(&mut kept, 3);
    drop(blocks);
    pool.trim(0);
    let slabs = pool.stats().slab_count;
    assert!(slabs > 1 && slabs < 20, "{slabs}");
    assert!(!cache.is_empty());
    check(&kept, 3);
    drop(kept);
    drop(cache);
    pool.trim(0);
    assert_eq!(pool.stats().slab_count, 1);
}

#[test]
fn caches_of_many_threads_share_a_pool_and_give_all_back() {
    // The pool has no cache left for half of the threads; they use the pool directly.
    let builder = LockFreePool::builder().block_size(64).blocks(16).max_blocks(64);
    let pool = builder.caches(THREADS / 2).build().unwrap();
    thread::scope(|threads| {
        for owner in 0..THREADS {
            let pool = &pool;
            threads.spawn(move || {
                let cache = pool.cache();
                churn(owner, || cache.alloc());
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.parked), (0, 0));
    assert!(pool.cache().is_open(), "caches of threads that have ended are free");
}

#[test]
fn capacity_can_be_had_whatever_caches_hold() {
    let pool = LockFreePool::builder().block_size(8).blocks(100).caches(3).build().unwrap();
    let caches: Vec<_> = (0..3).map(|_| pool.cache()).collect();
    for cache in &caches {
        drop((0..64).map_while(|_| cache.alloc().ok()).collect::<Vec<_>>());
        assert!(cache.len() >= 32);
    }
    let blocks: Vec<_> = (0..100).map(|_| pool.alloc().unwrap()).collect();
    assert_eq!((blocks.len(), pool.capacity()), (100, 100));
}

#[test]
fn cache_beyond_the_limit_passes_calls_on_and_holds_nothing() {
    let pool = LockFreePool::builder().block_size(8).blocks(4).caches(0).build().unwrap();
    let cache = pool.cache();
    assert!(!cache.is_open());
    let blocks: Vec<_> = (0..4).map(|_| cache.alloc().unwrap()).collect();
    assert!(matches!(cache.alloc(), Err(AllocError::Exhausted { .. })));
    assert_eq!(blocks[3].index(), 3);
    drop(blocks);
    cache.put(pool.alloc().unwrap());
    cache.flush();
    assert_eq!((cache.len(), cache.is_empty(), pool.available()), (0, true, 4));
}

#[test]
fn cache_put_takes_blocks_of_its_pool_and_sends_others_home() {
    let (pool, other) = (Arc::new(LockFreePool::new(64, 512)), LockFreePool::new(64, 512));
    let cache = pool.cache();
    assert!(cache.is_open());
    cache.put(pool.alloc().unwrap());
    cache.put(pool.alloc_owned().unwrap());
    cache.put(cache.alloc().unwrap().detach());
    assert_eq!(pool.in_use(), 0);
    let parked = cache.len();
    cache.put(other.alloc().unwrap());
    assert_eq!((cache.len(), other.in_use()), (parked, 0));
    assert_eq!(Arc::strong_count(&pool), 1);
}

#[test]
fn cache_takes_and_gives_back_several_blocks_at_once() {
    let pool = LockFreePool::builder().block_size(64).blocks(200).caches(1).build().unwrap();
    for cache in [pool.cache(), pool.cache()] {
        let mut blocks = Vec::new();
        cache.alloc_n(200, &mut blocks).unwrap();
        assert!(blocks.iter().all(|block| **block == [0; 64]));
        assert_eq!(pool.in_use(), 200);
        let error = cache.alloc_n(100, &mut blocks).unwrap_err();
        assert!(matches!(error, AllocError::Exhausted { .. }), "{error}");
        assert_eq!((blocks.len(), pool.in_use()), (200, 200));
        blocks.iter_mut().for_each(|block| block.fill(0xFF));
        cache.free_n(blocks);
        assert_eq!((pool.in_use(), cache.is_empty()), (0, !cache.is_open()));
        let mut blocks = Vec::new();
        cache.alloc_uninit_n(8, &mut blocks).unwrap();
        pool.free_n(blocks.drain(..).map(Block::detach));
        assert_eq!(pool.in_use(), 0);
    }
    let slab = pool.slab(0).unwrap();
    assert_eq!(slab.block_count, 264, "200 and the cache's reserve");
}

/// Takes 1 to 80 blocks at a time and gives them back together.
fn churn_in_bulk<B: DerefMut<Target = [u8]>>(
    owner: usize,
    mut alloc_n: impl FnMut(usize, &mut Vec<B>) -> Result<(), AllocError>,
    mut free_n: impl FnMut(&mut Vec<B>),
) -> usize {
    let (mut blocks, mut got) = (Vec::new(), 0);
    for round in 0..ROUNDS / 40 {
        let count = 1 + (round * 7 + owner) % 80;
        if alloc_n(count, &mut blocks).is_err() {
            assert!(blocks.is_empty());
            thread::yield_now();
            continue;
        }
        assert_eq!(blocks.len(), count);
        blocks.iter_mut().for_each(|block| stamp(block, owner));
        blocks.iter().for_each(|block| check(block, owner));
        got += count;
        free_n(&mut blocks);
    }
    got
}

#[test]
fn more_threads_than_blocks_take_and_give_back_several_at_once() {
    macro_rules! churn {
        ($pool:ident, |$shared:ident| $front:expr) => {
            let got = AtomicUsize::new(0);
            thread::scope(|threads| {
                for owner in 0..THREADS {
                    let ($shared, got) = (&$pool, &got);
                    threads.spawn(move || {
                        let front = $front;
                        let alloc_n = |count, blocks: &mut Vec<_>| front.alloc_n(count, blocks);
                        let free_n = |blocks: &mut Vec<_>| front.free_n(blocks.drain(..));
                        got.fetch_add(churn_in_bulk(owner, alloc_n, free_n), SeqCst);
                    });
                }
            });
            assert!(got.load(SeqCst) > THREADS);
            assert_eq!(($pool.in_use(), $pool.available()), (0, $pool.capacity()));
        };
    }
    let builder = || LockFreePool::builder().block_size(64).blocks(40).max_blocks(100);
    let pool = builder().build().unwrap();
    churn!(pool, |pool| pool);
    let pool = builder().caches(THREADS / 2).build().unwrap();
    churn!(pool, |pool| pool.cache());
    let pool = LockedPool::builder().block_size(64).blocks(40).max_blocks(100).build().unwrap();
    churn!(pool, |pool| pool);
}

#[test]
fn cache_moves_to_another_thread_and_may_be_forgotten() {
    let pool = LockFreePool::new(64, 1024);
    let cache = pool.cache();
    drop(cache.alloc().unwrap());
    thread::scope(|threads| {
        threads.spawn(move || {
            let block = cache.alloc().unwrap();
            assert_eq!(cache.pool().in_use(), 1);
            drop(block);
            std::mem::forget(cache);
        });
    });
    assert_eq!((pool.in_use(), pool.cache().is_open()), (0, true));
    assert!(pool.stats().parked > 0);
}

/// Threads take blocks and send them through a channel to threads that give them back, some through
/// a cache, some by dropping them.
fn hand_over<'p>(pool: &'p LockFreePool) {
    let (sender, receiver) = sync_channel::<(usize, PoolBlock<'p, LockFreePool>)>(64);
    let receiver = std::sync::Mutex::new(receiver);
    thread::scope(|threads| {
        for owner in 0..THREADS / 2 {
            let sender = sender.clone();
            threads.spawn(move || {
                let cache = pool.cache();
                for _ in 0..ROUNDS {
                    let mut block = loop {
                        match cache.alloc() {
                            Ok(block) => break block.detach(),
                            Err(_) => thread::yield_now(),
                        }
                    };
                    stamp(&mut block, owner);
                    sender.send((owner, block)).unwrap();
                }
            });
        }
        drop(sender);
        let receiver = &receiver;
        for receiver_number in 0..THREADS / 2 {
            threads.spawn(move || {
                let cache = pool.cache();
                loop {
                    let Ok((owner, block)) = receiver.lock().unwrap().recv() else { break };
                    check(&block, owner);
                    if receiver_number % 2 == 0 {
                        cache.put(block);
                    }
                }
            });
        }
    });
}

#[test]
fn blocks_handed_from_thread_to_thread_all_come_back() {
    let pool = LockFreePool::builder().block_size(64).blocks(32).caches(THREADS).build().unwrap();
    hand_over(&pool);
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.parked), (0, 0));
}

/// An owned block outlives every other handle to its pool, on another thread.
fn outlive<P>(pool: Arc<P>, alloc: impl Fn(&Arc<P>) -> Result<OwnedPoolBlock<P>, AllocError>)
where
    Block<Arc<P>>: DerefMut + Deref<Target = [u8]> + Send,
    P: BlockPool + Send + Sync + 'static,
{
    let (sender, receiver) = channel::<OwnedPoolBlock<P>>();
    let weak = Arc::downgrade(&pool);
    let reader = thread::spawn(move || {
        receiver.into_iter().map(|block| block.iter().map(|&byte| usize::from(byte)).sum::<usize>())
    });
    for value in 1..=3 {
        let mut block = alloc(&pool).unwrap();
        block.fill(value);
        sender.send(block).unwrap();
    }
    assert!(alloc(&pool).is_err());
    drop((pool, sender));
    let sums: Vec<_> = reader.join().unwrap().collect();
    assert_eq!(sums, [64, 128, 192]);
    assert!(weak.upgrade().is_none());
}

#[test]
fn owned_blocks_keep_their_pool_alive_on_other_threads() {
    outlive(Arc::new(LockFreePool::new(64, 3)), |pool| pool.alloc_owned());
    outlive(Arc::new(LockedPool::new(64, 3)), |pool| pool.alloc_owned());
    outlive(Arc::new(LockedPool::new(64, 3)), |pool| pool.alloc_owned_timeout(Duration::ZERO));
}

/// A block that goes out and comes back must leave the pool's number of owners as it was.
macro_rules! into_raw_gives_the_pool_up {
    ($($name:ident: $Counted:ident<$Pool:ident>;)+) => {
        $(#[test]
        fn $name() {
            let pool = $Counted::new($Pool::new(64, 2));
            let mut block = pool.alloc_owned().unwrap();
            block[0] = 9;
            let memory: NonNull<[u8]> = block.into_raw();
            assert_eq!(($Counted::strong_count(&pool), pool.in_use()), (1, 1));
            // SAFETY: from `into_raw` of this pool's block, which nobody else has.
            let block = unsafe { Block::<_, u8>::from_raw(pool.clone(), memory.cast()) };
            assert_eq!((block[0], $Counted::strong_count(&pool)), (9, 2));
            drop(block);
            assert_eq!(pool.in_use(), 0);
            assert!($Counted::try_unwrap(pool).is_ok());
        })+
    };
}

into_raw_gives_the_pool_up! {
    into_raw_of_a_pool_block_gives_the_pool_up: Rc<Pool>;
    into_raw_of_a_lock_free_block_gives_the_pool_up: Arc<LockFreePool>;
    into_raw_of_a_locked_block_gives_the_pool_up: Arc<LockedPool>;
}
