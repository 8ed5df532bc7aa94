// SPDX-License-Identifier: Apache-2.0
//! Tests what keeps its pool alive instead of borrowing it: caches of a worker, blocks and boxes; and
//! caches and waiting of typed pools. Threads use them at the same time, and each block must come
//! home. At the end: code that is generic over the form of the pool.

use crate::executor::{poll_once, Calls};
use crate::support::{panic_of, TestSource};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::{
    Block, BlockPool, Boxed, LockFreePool, LockedPool, OwnedPoolBlock, OwnedPoolBox,
    OwnedPoolCache, OwnedTypedCache, Pool, PoolBuilder, PoolKind, PoolStats, TypedPool,
};
use aegis_memory::AllocError;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{mpsc, Arc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

/// A pool with `caches` caches, whose memory is logged.
fn pool(blocks: usize, caches: usize) -> (Arc<LockFreePool>, Arc<crate::support::Log>) {
    let (source, log) = TestSource::new();
    let builder = LockFreePool::builder().block_size(64).blocks(blocks).caches(caches);
    (Arc::new(builder.source(source).build().expect("there is memory")), log)
}

/// A value that counts its drops, and panics in its drop if `fails` says so.
struct Counted {
    drops: Arc<AtomicUsize>,
    fails: bool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
        assert!(!self.fails, "bomb");
    }
}

#[test]
fn owned_cache_keeps_its_pool_until_it_and_its_blocks_are_gone() {
    let (pool, log) = pool(8, 1);
    let cache = pool.cache_owned();
    assert!(cache.is_open() && Arc::ptr_eq(cache.pool(), &pool));
    drop(pool);
    let (kept, lent) = (cache.alloc_owned().unwrap(), cache.alloc().unwrap());
    assert_eq!((kept.len(), lent.len(), cache.pool().in_use()), (64, 64, 2));
    let detached: OwnedPoolBlock<LockFreePool> = lent.detach();
    drop(cache.alloc_uninit().unwrap());
    assert!(!cache.is_empty());
    assert!(format!("{cache:?}").starts_with("PoolCache { is_open: true"));
    drop(cache);
    assert_eq!(kept[63], 0);
    drop((kept, detached));
    log.assert_finished();
}

#[test]
fn owned_blocks_come_home_through_any_cache_in_bulk() {
    let (pool, log) = pool(100, 2);
    let (first, second) = (pool.cache_owned(), pool.cache());
    let mut blocks = Vec::new();
    first.alloc_owned_n(40, &mut blocks).unwrap();
    blocks.iter_mut().for_each(|block| block.fill(7));
    assert_eq!(pool.in_use(), 40);
    second.flush();
    second.put_n(blocks.drain(..30));
    assert_eq!((pool.in_use(), second.len()), (10, 30));
    first.put_n(blocks.drain(..));
    assert_eq!(pool.in_use(), 0);
    first.alloc_owned_n(100, &mut blocks).unwrap();
    assert!(blocks.iter().all(|block| block.iter().all(|&byte| byte == 0)));
    let error = first.alloc_owned_n(1000, &mut blocks).unwrap_err();
    assert!(matches!(error, AllocError::Exhausted { .. }), "{error}");
    assert_eq!((blocks.len(), pool.in_use()), (100, 100));
    drop(blocks);
    // Of another pool.
    let other = Arc::new(LockFreePool::new(64, 1));
    first.put(other.alloc_owned().unwrap());
    assert_eq!(other.available(), 1);
    let mut lent = Vec::new();
    first.alloc_n(3, &mut lent).unwrap();
    first.free_n(lent.drain(..));
    drop(lent);
    drop(second);
    drop((first, pool));
    log.assert_finished();
}

#[test]
fn workers_with_owned_caches_send_each_other_blocks() {
    struct Worker {
        cache: OwnedPoolCache,
        blocks: mpsc::Receiver<OwnedPoolBlock<LockFreePool>>,
        next: mpsc::Sender<OwnedPoolBlock<LockFreePool>>,
    }
    let (pool, log) = pool(256, 2);
    let (to_first, first) = mpsc::channel();
    let (to_second, second) = mpsc::channel();
    let workers = [(first, to_second), (second, to_first)].map(|(blocks, next)| Worker {
        cache: pool.cache_owned(),
        blocks,
        next,
    });
    let threads = workers.map(|worker| {
        thread::spawn(move || {
            for round in 0..200_u8 {
                let mut block = worker.cache.alloc_owned().expect("256 blocks are enough");
                block.fill(round);
                // The other one may have ended.
                let _ = worker.next.send(block);
                while let Ok(block) = worker.blocks.try_recv() {
                    assert!(block.iter().all(|&byte| byte == block[0]));
                    worker.cache.put(block);
                }
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(pool.in_use(), 0);
    drop(pool);
    log.assert_finished();
}

#[test]
fn typed_caches_drop_values_once_and_give_blocks_back() {
    let drops = Arc::new(AtomicUsize::new(0));
    let value = |fails| Counted { drops: drops.clone(), fails };
    let pool = Arc::new(
        LockFreePool::builder().blocks(8).caches(2).build_typed::<Counted>().expect("memory"),
    );
    let cache = pool.cache();
    let first = cache.alloc(value(false)).unwrap();
    let second = cache.alloc_with(|| value(false)).unwrap();
    assert_eq!((pool.in_use(), drops.load(SeqCst)), (2, 0));
    drop(first);
    assert_eq!((pool.in_use(), drops.load(SeqCst)), (1, 1));
    let detached = Boxed::detach(second);
    let cached = cache.pool().len();
    cache.put(detached);
    assert_eq!((pool.in_use(), drops.load(SeqCst), cache.pool().len()), (0, 2, cached + 1));
    cache.put(pool.alloc(value(false)).unwrap());
    assert_eq!(panic_of(|| cache.put(pool.alloc(value(true)).unwrap())), "bomb");
    assert_eq!(panic_of(|| drop(cache.alloc(value(true)).unwrap())), "bomb");
    assert_eq!(panic_of(|| drop(cache.alloc_with(|| panic!("made")))), "made");
    assert_eq!((pool.in_use(), drops.load(SeqCst)), (0, 5));
    assert!(format!("{cache:?}").starts_with("TypedPool { cache: PoolCache {"));
    drop(cache);

    let cache: OwnedTypedCache<Counted> = pool.cache_owned();
    let weak = Arc::downgrade(cache.pool().pool());
    drop(pool);
    let owned: OwnedPoolBox<Counted, LockFreePool> = cache.alloc_owned(value(false)).unwrap();
    let lent = cache.alloc(value(false)).unwrap();
    assert_eq!(weak.upgrade().unwrap().in_use(), 2);
    let values: Vec<_> = (0..6).map(|_| cache.alloc_owned(value(false)).unwrap()).collect();
    drop(lent);
    drop((cache, values));
    assert_eq!(drops.load(SeqCst), 12);
    assert!(weak.upgrade().is_some() && !owned.fails);
    drop(Boxed::into_inner(owned));
    assert!(weak.upgrade().is_none());
    assert_eq!(drops.load(SeqCst), 13);
}

#[test]
fn workers_with_owned_typed_caches_send_each_other_values() {
    let pool = Arc::new(TypedPool::<String, LockFreePool>::new(1024));
    let (sender, receiver) = mpsc::channel::<OwnedPoolBox<String, LockFreePool>>();
    let makers = [0, 1].map(|maker| {
        let (cache, sender) = (pool.cache_owned(), sender.clone());
        thread::spawn(move || {
            for round in 0..100 {
                let mut name = cache.alloc_owned(format!("{maker}")).expect("there are enough");
                name.push_str(&format!(" {round}"));
                drop(cache.alloc(String::from("for a moment")));
                sender.send(name).expect("the receiver waits");
            }
        })
    });
    drop(sender);
    let cache = pool.cache_owned();
    let mut count = 0;
    for name in receiver {
        assert!(name.contains(' '));
        cache.put(name);
        count += 1;
    }
    makers.into_iter().for_each(|maker| maker.join().expect("no panic"));
    drop(cache);
    assert_eq!((count, pool.in_use()), (200, 0));
}

#[test]
fn owned_boxes_keep_pools_of_each_form() {
    let single = Rc::new(TypedPool::<String>::new(1));
    let name = single.alloc_owned(String::from("one owner")).unwrap();
    assert!(single.alloc_owned(String::new()).is_err());
    drop(single);
    assert_eq!(*name, "one owner");
    let free = Arc::new(TypedPool::<String, LockFreePool>::new(1));
    let locked = Arc::new(TypedPool::<String, LockedPool>::new(1));
    let (mut a, b) = (
        free.alloc_owned(String::from("lock-free")).unwrap(),
        locked.alloc_owned(String::from("locked")).unwrap(),
    );
    assert!(free.alloc_owned(String::new()).is_err() && locked.alloc_owned(String::new()).is_err());
    assert_eq!((free.in_use(), Arc::strong_count(&free)), (1, 2));
    drop((free, locked));
    a.push('!');
    let text = thread::spawn(move || format!("{a} {b}")).join().unwrap();
    assert_eq!(text, "lock-free! locked");
}

#[test]
fn value_waits_for_a_block_in_threads_and_futures() {
    let drops = Arc::new(AtomicUsize::new(0));
    let value = || Counted { drops: drops.clone(), fails: false };
    let pool = Arc::new(TypedPool::<Counted, LockedPool>::new(1));
    let held = pool.alloc_timeout(value(), Duration::ZERO).unwrap();
    let soon = Duration::from_micros(1);
    assert!(pool.alloc_timeout(value(), soon).is_err());
    assert!(pool.alloc_owned_timeout(value(), soon).is_err());
    assert!(pool.alloc_with_timeout(|| unreachable!(), soon).is_err());
    assert_eq!(drops.load(SeqCst), 2);
    thread::scope(|threads| {
        let waiting = threads.spawn(|| {
            let owned = pool.alloc_owned_timeout(value(), Duration::MAX).map(Boxed::into_inner);
            owned.expect("it is given back")
        });
        drop(held);
        drop(waiting.join().unwrap());
    });
    assert_eq!((drops.load(SeqCst), pool.in_use()), (4, 0));

    let (calls, waker) = Calls::new();
    let Poll::Ready(Ok(held)) = poll_once(&mut pool.alloc_async(value()), &waker) else {
        panic!("a block is free")
    };
    let (mut second, mut given_up) = (pool.alloc_owned_async(value()), pool.alloc_async(value()));
    assert!(poll_once(&mut second, &waker).is_pending());
    assert!(poll_once(&mut given_up, &waker).is_pending());
    assert_eq!((pool.pool().waiting(), format!("{second:?}").as_str()), (2, "AllocValue { .. }"));
    drop(given_up);
    assert_eq!((drops.load(SeqCst), calls.count()), (5, 0));
    drop(held);
    assert_eq!((drops.load(SeqCst), calls.count()), (6, 1));
    let Poll::Ready(Ok(owned)) = poll_once(&mut second, &waker) else { panic!("it has a block") };
    assert!(panic_of(|| poll_once(&mut second, &waker).is_ready()).contains("polled after"));
    drop((second, pool));
    assert_eq!(drops.load(SeqCst), 6);
    drop(owned);
    assert_eq!(drops.load(SeqCst), 7);
}

/// A pool of pages of any form, made from a builder that was made without naming the form.
fn pages<P: PoolKind>(budget: &MemoryBudget) -> (P, PoolStats) {
    let mut pool = P::builder().block_size(4096).blocks(2).max_blocks(4).build().unwrap();
    pool.try_move_to(Some(budget)).unwrap();
    assert_eq!(budget.used(), pool.stats().reserved_bytes);
    let blocks: Vec<_> = (0..4).map(|_| pool.alloc().unwrap()).collect();
    assert!(blocks.iter().all(|block| block.len() == pool.block_size()));
    assert!(matches!(pool.alloc_uninit(), Err(AllocError::Exhausted { .. })));
    drop(blocks);
    pool.trim(0);
    let stats = pool.stats();
    (pool, stats)
}

/// Takes a block of any pool or cache.
fn filled<P: BlockPool>(pool: &P) -> Block<&P> {
    let mut block: Block<&P, MaybeUninit<u8>> = pool.alloc_uninit().unwrap();
    block.fill(MaybeUninit::new(7));
    // SAFETY: every byte was written.
    unsafe { block.assume_init() }
}

#[test]
fn generic_code_makes_and_uses_a_pool_of_any_form() {
    fn one<P: PoolKind>() {
        let budget = MemoryBudget::new("pages", MemoryBudget::UNLIMITED);
        let (pool, stats) = pages::<P>(&budget);
        assert_eq!((stats.capacity, stats.in_use, stats.block_bytes), (2, 0, 4096));
        assert_eq!(filled(&pool)[4095], 7);
        let typed = PoolBuilder::<P>::default().blocks(1).build_typed::<u64>().unwrap();
        assert_eq!(*typed.alloc(7).unwrap(), 7);
    }
    one::<Pool>();
    one::<LockFreePool>();
    one::<LockedPool>();
    let shared = LockFreePool::new(64, 1024);
    assert_eq!(filled(&shared.cache())[0] + filled(&shared)[0], 14);
    // The same settings for several forms.
    let settings = || Pool::builder().block_size(100).blocks(3).align(4);
    let stats = [
        settings().build().unwrap().stats(),
        settings().form::<LockFreePool>().build().unwrap().stats(),
        settings().form::<LockedPool>().build().unwrap().stats(),
    ];
    assert!(stats.iter().all(|stats| stats.capacity == 3));
    assert!(stats.iter().all(|stats| (stats.block_bytes, stats.align_bytes) == (100, 4)));
}
