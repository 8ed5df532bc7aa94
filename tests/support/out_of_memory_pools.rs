// SPDX-License-Identifier: Apache-2.0
//! The table of `tests/out_of_memory.rs` for pools.

use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::{
    KeyedPool, LockFreePool, LockedPool, Pool, PoolBuilder, PoolKey, PoolKind, TypedPool,
};
use aegis_memory::source::Global;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::executor::{poll_once, Calls};
use crate::failing_heap::{Probe, Row, Text};
use crate::{full, Counted};

fn build_pool<P: PoolKind>(probe: &Probe, builder: impl Fn() -> PoolBuilder<P>) {
    let (source, drops) = Counted::new();
    drop(probe.fails(|| builder().block_size(64).blocks(4).source(source).build()));
    assert_eq!(drops.load(SeqCst), 1, "the source is dropped once");
    let (full, _root, _held) = full();
    let refused = probe.fails(|| builder().block_size(64).blocks(4).budget(&full).build());
    assert!(refused.is_err());
    drop(probe.fails(|| builder().blocks(4).source(Global).build_typed::<u64>()));
    drop(probe.fails(|| builder().blocks(4).budget(&full).build_typed::<u64>()));
}

/// A pool whose budget is used up, so that it cannot grow by another block.
fn used_up<P: PoolKind>(builder: PoolBuilder<P>, budget: &MemoryBudget) -> P {
    let builder = builder.block_size(64).blocks(1).max_blocks(8).budget(budget);
    let pool = builder.build().expect("the first slab");
    budget.set_limit(budget.used());
    pool
}

macro_rules! on_every_pool {
    ($probe:ident, |$pool:ident| $call:expr) => {
        on_every_pool!(of $probe, Pool, |$pool| $call);
        on_every_pool!(of $probe, LockFreePool, |$pool| $call);
        on_every_pool!(of $probe, LockedPool, |$pool| $call);
    };
    (of $probe:ident, $Pool:ident, |$pool:ident| $call:expr) => {
        let builder = || $Pool::builder().block_size(64).blocks(1).max_blocks(8);
        let $pool = builder().source(Global).build().expect("the first slab");
        let held = $pool.alloc().expect("the first block");
        _ = $probe.may_fail(|| $call.map(drop));
        drop(held);
        let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
        let $pool = used_up($Pool::builder(), &budget);
        let held = $pool.alloc().expect("the first block");
        _ = $probe.fails(|| $call.map(drop)).expect_err("the budget refuses");
        drop(held);
    };
}

pub fn rows() -> Vec<Row> {
    macro_rules! row {
        ($($covers:literal),+; $run:expr) => { Row { covers: &[$($covers),+], run: $run } };
    }
    vec![
        row!("pool/methods.rs try_new", "pool/typed.rs try_new", "pool/methods.rs slab"; |probe| {
            let pool = probe.quiet(|| Pool::try_new(64, 4)).expect("pages");
            assert!(probe.quiet(|| pool.slab(0)).is_some());
            drop(probe.quiet(|| (LockFreePool::try_new(64, 4), LockedPool::try_new(64, 4))));
            drop(probe.quiet(|| TypedPool::<u64>::try_new(4)));
        }),
        row!("pool/builder.rs build", "pool/typed.rs build_typed"; |probe| {
            build_pool(probe, Pool::builder);
            build_pool(probe, LockFreePool::builder);
            build_pool(probe, LockedPool::builder);
        }),
        row!("pool/methods.rs alloc"; |probe| {
            on_every_pool!(probe, |pool| pool.alloc());
        }),
        row!("pool/methods.rs alloc_uninit"; |probe| {
            on_every_pool!(probe, |pool| pool.alloc_uninit());
        }),
        row!("pool/bulk.rs alloc_n"; |probe| {
            on_every_pool!(probe, |pool| {
                let mut blocks = Vec::new();
                pool.alloc_n(7, &mut blocks).map(|()| blocks)
            });
        }),
        row!("pool/bulk.rs alloc_uninit_n"; |probe| {
            on_every_pool!(probe, |pool| {
                let mut blocks = Vec::new();
                pool.alloc_uninit_n(7, &mut blocks).map(|()| blocks)
            });
        }),
        row!("pool/one_owner.rs alloc_owned", "pool/lock_free.rs alloc_owned",
             "pool/locked.rs alloc_owned", "pool/locked.rs alloc_owned_timeout",
             "pool/locked.rs alloc_timeout", "pool/locked.rs alloc_uninit_timeout"; |probe| {
            let budget = || MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
            let budgets = [budget(), budget(), budget()];
            let pool = Rc::new(used_up(Pool::builder(), &budgets[0]));
            let held = pool.alloc();
            assert!(probe.fails(|| pool.alloc_owned()).is_err() && held.is_ok());
            let pool = Arc::new(used_up(LockFreePool::builder(), &budgets[1]));
            let held = pool.alloc();
            assert!(probe.fails(|| pool.alloc_owned()).is_err() && held.is_ok());
            let pool = Arc::new(used_up(LockedPool::builder(), &budgets[2]));
            let held = pool.alloc();
            let soon = Duration::from_micros(1);
            assert!(probe.fails(|| pool.alloc_owned()).is_err() && held.is_ok());
            assert!(probe.fails(|| pool.alloc_owned_timeout(soon)).is_err());
            assert!(probe.fails(|| pool.alloc_timeout(soon)).is_err());
            assert!(probe.fails(|| pool.alloc_uninit_timeout(soon)).is_err());
        }),
        row!("pool/locked_async.rs poll", "pool/locked_async.rs fmt"; |probe| {
            let pool = LockedPool::new(64, 1);
            let (_calls, waker) = Calls::new();
            let mut held = probe.quiet(|| poll_once(&mut pool.alloc_async(), &waker));
            assert!(matches!(&held, Poll::Ready(Ok(_))));
            let mut future = pool.alloc_async();
            let result = probe.fails(|| match poll_once(&mut future, &waker) {
                Poll::Pending => Ok(()),
                Poll::Ready(result) => result.map(|_| panic!("no block is free")),
            });
            assert_eq!(pool.waiting(), usize::from(result.is_ok()));
            probe.quiet(|| Text::of(format_args!("{future:?}")));
            if result.is_ok() {
                assert!(probe.quiet(|| poll_once(&mut future, &waker)).is_pending());
                probe.quiet(|| held = Poll::Pending);
                assert!(matches!(probe.quiet(|| poll_once(&mut future, &waker)), Poll::Ready(Ok(_))));
            }
        }),
        #[cfg(feature = "allocator-api2")]
        row!("pool/allocator.rs allocate", "pool/allocator.rs allocate_zeroed",
             "pool/allocator.rs resize"; |probe| {
            use allocator_api2::{alloc::Allocator, boxed::Box, vec::Vec};
            use std::alloc::Layout;
            on_every_pool!(probe, |pool| Box::try_new_in(7_u64, &pool));
            on_every_pool!(probe, |pool| Box::<u64, _>::try_new_zeroed_in(&pool));
            on_every_pool!(probe, |pool| Box::try_new_in([0_u64; 9], &pool));
            let pool = Pool::new(64, 1);
            let mut numbers = Vec::new_in(&pool);
            numbers.push(7_u8);
            assert!(probe.quiet(|| numbers.try_reserve_exact(63)).is_ok());
            assert!(probe.quiet(|| numbers.try_reserve_exact(64)).is_err());
            assert!(probe.quiet(|| (&pool).allocate(Layout::new::<()>())).is_ok());
        }),
        row!("pool/cache.rs alloc", "pool/cache.rs alloc_uninit"; |probe| {
            let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
            let pool = used_up(LockFreePool::builder().caches(1), &budget);
            let cache = pool.cache();
            // The pool sets blocks aside for the cache first.
            let held: Vec<_> = std::iter::from_fn(|| cache.alloc().ok()).collect();
            assert!(probe.fails(|| cache.alloc()).is_err());
            assert!(probe.fails(|| cache.alloc_uninit()).is_err());
            drop(held);
        }),
        row!("pool/cache.rs alloc_owned", "pool/cache.rs alloc_owned_n", "pool/typed_cache.rs alloc_owned",
             "pool/typed_cache.rs fmt"; |probe| {
            let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
            let pool = Arc::new(used_up(LockFreePool::builder().caches(1), &budget));
            let cache = pool.cache_owned();
            // The pool sets blocks aside for the cache first.
            let held: Vec<_> = std::iter::from_fn(|| cache.alloc().ok()).collect();
            assert!(probe.fails(|| cache.alloc_owned()).is_err());
            let mut blocks = Vec::new();
            assert!(probe.fails(|| cache.alloc_owned_n(7, &mut blocks)).is_err());
            drop(held);
            let other = MemoryBudget::new("typed", MemoryBudget::UNLIMITED);
            let builder = LockFreePool::builder().blocks(1).max_blocks(8).caches(1).budget(&other);
            let pool = Arc::new(builder.build_typed::<u64>().expect("the first slab"));
            other.set_limit(other.used());
            let cache = pool.cache_owned();
            probe.quiet(|| Text::of(format_args!("{cache:?}")));
            let held: Vec<_> = std::iter::from_fn(|| cache.alloc(7).ok()).collect();
            assert!(probe.fails(|| cache.alloc_owned(7)).is_err());
            drop(held);
        }),
        row!("pool/typed.rs alloc_owned", "pool/typed_locked.rs alloc_owned",
             "pool/typed_locked.rs alloc_timeout", "pool/typed_locked.rs alloc_with_timeout",
             "pool/typed_locked.rs alloc_owned_timeout", "pool/typed_locked.rs poll",
             "pool/typed_locked.rs fmt"; |probe| {
            fn typed<P: PoolKind>(budget: &MemoryBudget) -> TypedPool<u64, P> {
                let builder = P::builder().blocks(1).max_blocks(8).budget(budget);
                let pool = builder.build_typed().expect("the first slab");
                budget.set_limit(budget.used());
                pool
            }
            let budget = || MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
            let budgets = [budget(), budget(), budget()];
            let pool = Rc::new(typed::<Pool>(&budgets[0]));
            let held = pool.alloc(7);
            assert!(probe.fails(|| pool.alloc_owned(7)).is_err() && held.is_ok());
            let pool = Arc::new(typed::<LockFreePool>(&budgets[1]));
            let held = pool.alloc(7);
            assert!(probe.fails(|| pool.alloc_owned(7)).is_err() && held.is_ok());
            let pool = Arc::new(typed::<LockedPool>(&budgets[2]));
            let held = pool.alloc(7);
            let soon = Duration::from_micros(1);
            assert!(probe.fails(|| pool.alloc_owned(7)).is_err() && held.is_ok());
            assert!(probe.fails(|| pool.alloc_timeout(7, soon)).is_err());
            assert!(probe.fails(|| pool.alloc_with_timeout(|| 7, soon)).is_err());
            assert!(probe.fails(|| pool.alloc_owned_timeout(7, soon)).is_err());
            let (_calls, waker) = Calls::new();
            let mut future = pool.alloc_owned_async(7);
            let result = probe.fails(|| match poll_once(&mut future, &waker) {
                Poll::Pending => Ok(()),
                Poll::Ready(result) => result.map(|_| panic!("no block is free")),
            });
            assert_eq!(pool.pool().waiting(), usize::from(result.is_ok()));
            probe.quiet(|| Text::of(format_args!("{future:?}")));
        }),
        row!("pool/typed.rs alloc", "pool/typed.rs alloc_with"; |probe| {
            let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
            let builder = Pool::builder().blocks(1).max_blocks(8).budget(&budget);
            let pool = builder.build_typed::<Counted>().expect("the first slab");
            budget.set_limit(budget.used());
            let drops = Arc::new(AtomicUsize::new(0));
            let value = || Counted::with(&drops);
            let held = pool.alloc(value()).expect("the first block");
            assert!(probe.fails(|| pool.alloc(value())).is_err());
            assert!(probe.fails(|| pool.alloc_with(value)).is_err());
            drop(held);
            assert_eq!(drops.load(SeqCst), 2, "one that was placed, and one that was not");
        }),
        row!("pool/keyed.rs try_new", "pool/keyed_memory.rs build_keyed",
             "pool/keyed_memory.rs slab", "pool/keyed_entry.rs fmt",
             "pool/keyed.rs fmt", "pool/key.rs from_u64", "pool/key.rs fmt"; |probe| {
            let mut pool = probe.quiet(|| KeyedPool::<u64>::try_new(4)).expect("pages");
            assert!(probe.quiet(|| pool.slab(0)).is_some());
            let key = pool.insert(7);
            assert_eq!(probe.quiet(|| PoolKey::from_u64(key.as_u64())), Some(key));
            probe.quiet(|| Text::of(format_args!("{pool:?}{key}{key:?}")));
            probe.quiet(|| Text::of(format_args!("{:?}", pool.vacant_entry())));
            drop(probe.fails(|| Pool::builder().blocks(4).source(Global).build_keyed::<u64>()));
        }),
        row!("pool/keyed.rs try_insert", "pool/keyed.rs try_insert_with_key",
             "pool/keyed.rs try_vacant_entry", "pool/keyed_memory.rs try_reserve", "pool/keyed.rs get",
             "pool/keyed.rs get_mut", "pool/keyed.rs remove",
             "pool/keyed.rs key_of", "pool/keyed_iter.rs next", "pool/keyed_iter.rs next_back",
             "pool/keyed_iter.rs size_hint", "pool/keyed_iter.rs fmt"; |probe| {
            let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
            let builder = Pool::builder().blocks(1).max_blocks(8).budget(&budget);
            let mut pool = builder.build_keyed::<Counted>().expect("the first slab");
            budget.set_limit(budget.used());
            let drops = Arc::new(AtomicUsize::new(0));
            let value = || Counted::with(&drops);
            let key = pool.try_insert(value()).expect("the first block");
            assert!(probe.fails(|| pool.try_insert(value())).is_err());
            assert!(probe.fails(|| pool.try_insert_with_key(|_| value())).is_err());
            assert!(probe.fails(|| pool.try_vacant_entry().map(drop)).is_err());
            assert!(probe.fails(|| pool.try_reserve(1)).is_err());
            assert_eq!(drops.load(SeqCst), 1, "one was not placed");
            assert!(probe.quiet(|| pool.get(key).is_some() && pool.get_mut(key).is_some()));
            assert!(probe.quiet(|| pool.get_disjoint_mut([key])).is_some());
            assert_eq!(probe.quiet(|| pool.key_of(&pool[key])), Some(key));
            assert!(probe.quiet(|| pool.iter().next().is_some() && pool.iter().next_back().is_some()));
            assert_eq!(probe.quiet(|| pool.iter().size_hint()), (1, Some(1)));
            probe.quiet(|| Text::of(format_args!("{:?}", pool.iter())));
            assert!(probe.quiet(|| pool.remove(key)).is_some());
        }),
        #[cfg(feature = "std")]
        row!("pool/objects.rs try_new", "pool/objects.rs try_with_budget",
             "pool/objects.rs get_idle", "pool/objects.rs fmt"; |probe| {
            use aegis_memory::pool::ObjectPool;
            let drops = Arc::new(AtomicUsize::new(0));
            let made = drops.clone();
            let make = move || Counted::with(&made);
            let by = 7_usize;
            let new = || ObjectPool::try_new(4, make.clone(), move |_| assert_eq!(by, 7));
            drop(probe.fails(new));
            let budget = MemoryBudget::new("idle", 10);
            drop(probe.fails(|| new()?.try_with_budget(&budget, move |_| by)));
            let pool = new().and_then(|pool| pool.try_with_budget(&budget, move |_| by));
            if let Ok(pool) = pool {
                let objects = (probe.quiet(|| pool.get()), pool.get());
                // One is kept, and the budget has no room for the other.
                let put = probe.may_fail(|| {
                    drop(objects);
                    Ok::<_, std::fmt::Error>(())
                });
                put.expect("it returns nothing");
                assert_eq!((drops.load(SeqCst), pool.idle(), budget.used()), (1, 1, 7));
                probe.quiet(|| Text::of(format_args!("{pool:?}{:?}", pool.get_idle().is_some())));
                probe.quiet(|| drop((pool.get(), pool.get_idle().is_none())));
                drop(pool);
                assert_eq!(drops.load(SeqCst), 2);
            }
        }),
        row!("pool/block.rs fmt", "pool/cache.rs fmt", "pool/methods.rs fmt",
             "pool/typed.rs fmt", "pool/boxed.rs fmt"; |probe| {
            let (pool, typed) = (LockFreePool::new(64, 4), TypedPool::<u64>::new(4));
            let (block, boxed) = (pool.alloc().unwrap(), typed.alloc(7).unwrap());
            let cache = pool.cache();
            probe.quiet(|| Text::of(format_args!("{pool:?}{typed:?}{block:?}{boxed:?}{boxed}")));
            probe.quiet(|| Text::of(format_args!("{cache:?}")));
        }),
    ]
}
