// SPDX-License-Identifier: Apache-2.0
//! Tests pools whose source refuses or panics: the n-th request fails, for every n until the work
//! succeeds. Each failure must be reported, must change nothing and must leak nothing.

#[cfg(feature = "std")]
use crate::support::panic_of;
use crate::support::{message_of, Act, TestSource};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::{LockFreePool, LockedPool, Pool};
use aegis_memory::AllocError;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// Without feature `std`, a panic in a source aborts the process.
const ACTS: &[Act] =
    if cfg!(feature = "std") { &[Act::Refuse, Act::Panic] } else { &[Act::Refuse] };

/// The tests of one kind of pool, or of a cache in front of it, in a module with its name.
macro_rules! of_pool {
    ($module:ident, $Pool:ident, [$($caches:tt)*], $count:literal, |$pool:ident| $front:expr) => {
        mod $module {
            use super::*;

            /// Makes a pool over a source with this plan. Twice, takes all of the pool's blocks,
            /// gives them back and trims the pool. Returns how many steps failed or panicked.
            fn work(plan: impl Fn(usize) -> Act + Send + Sync + 'static) -> usize {
                let (source, log) = TestSource::with_plan(plan);
                let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
                let mut failed = 0;
                let build = || {
                    let builder = $Pool::builder().block_size(100).blocks(3).max_blocks(11);
                    builder.budget(&budget)$($caches)*.source(source).build()
                };
                match catch_unwind(AssertUnwindSafe(build)) {
                    #[allow(unused_mut)]
                    Ok(Ok(mut $pool)) => {
                        for _ in 0..2 {
                            {
                            let front = $front;
                            let (mut blocks, mut attempts) = (Vec::new(), 0);
                            while blocks.len() < $count && attempts < $count + 20 {
                                attempts += 1;
                                let before = $pool.stats();
                                match catch_unwind(AssertUnwindSafe(|| front.alloc())) {
                                    Ok(Ok(mut block)) => {
                                        assert!(block.iter().all(|&byte| byte == 0));
                                        block.fill(1);
                                        blocks.push(block);
                                    }
                                    Ok(Err(error)) => {
                                        let named = matches!(error, AllocError::OutOfMemory { .. });
                                        assert!(named, "{error}");
                                        failed += 1;
                                        assert_eq!($pool.stats(), before);
                                    }
                                    Err(payload) => {
                                        assert_eq!(message_of(&*payload), "acquire panics");
                                        failed += 1;
                                        assert_eq!($pool.in_use(), before.in_use);
                                    }
                                }
                                let stats = $pool.stats();
                                assert_eq!(stats.in_use, blocks.len());
                                assert_eq!(stats.slab_count + 1, log.live_blocks.load(SeqCst));
                                assert_eq!(stats.reserved_bytes, log.live_bytes.load(SeqCst));
                                assert_eq!(stats.reserved_bytes, budget.used());
                            }
                            assert!(blocks.iter().all(|block| **block == [1; 100]));
                            drop(blocks);
                            }
                            $pool.trim(0);
                            assert_eq!($pool.in_use(), 0);
                        }
                    }
                    Ok(Err(error)) => {
                        assert!(matches!(error, AllocError::OutOfMemory { .. }), "{error}");
                        failed += 1;
                    }
                    Err(payload) => {
                        assert_eq!(message_of(&*payload), "acquire panics");
                        failed += 1;
                    }
                }
                log.assert_finished();
                assert_eq!(budget.used(), 0);
                failed
            }

            #[test]
            fn one_failure_at_every_request_leaks_nothing() {
                for &act in ACTS {
                    for n in 0.. {
                        let asked = Arc::new(AtomicUsize::new(0));
                        let counter = asked.clone();
                        let failed = work(move |request| {
                            counter.fetch_max(request + 1, SeqCst);
                            if request == n { act } else { Act::Give }
                        });
                        if asked.load(SeqCst) <= n {
                            assert_eq!(failed, 0);
                            assert!(n >= 8, "{n} requests in all");
                            break;
                        }
                        assert_eq!(failed, 1, "request {n}");
                    }
                }
            }

            #[test]
            fn every_failure_from_every_request_on_leaks_nothing() {
                for &act in ACTS {
                    for n in 0..8 {
                        assert_ne!(work(move |r| if r < n { Act::Give } else { act }), 0);
                    }
                }
            }
        }
    };
}

of_pool!(one_owner, Pool, [], 11, |pool| &pool);
of_pool!(lock_free, LockFreePool, [], 11, |pool| &pool);
of_pool!(locked, LockedPool, [], 11, |pool| &pool);
of_pool!(uncached, LockFreePool, [], 11, |pool| pool.cache());
of_pool!(cached, LockFreePool, [.caches(1)], 75, |pool| pool.cache());

#[test]
fn alloc_n_whose_growth_fails_takes_none_and_whose_growth_panics_loses_none() {
    fn at_third_slab(act: Act) -> TestSource {
        // The requests for the side arrays and for two slabs come before.
        TestSource::with_plan(move |n| if n == 3 { act } else { Act::Give }).0
    }
    macro_rules! check {
        ($Pool:ident) => {
            for &act in ACTS {
                let builder = $Pool::builder().block_size(64).blocks(3).max_blocks(9);
                let pool = builder.source(at_third_slab(act)).build().unwrap();
                let mut blocks = Vec::new();
                let result = catch_unwind(AssertUnwindSafe(|| pool.alloc_n(8, &mut blocks)));
                match result {
                    Ok(taken) => {
                        assert!(matches!(taken, Err(AllocError::OutOfMemory { .. })), "{taken:?}");
                        assert_eq!((blocks.len(), pool.available()), (0, 6));
                    }
                    Err(payload) => assert_eq!(message_of(&*payload), "acquire panics"),
                }
                assert_eq!(pool.in_use(), blocks.len());
                pool.alloc_n(9 - blocks.len(), &mut blocks).unwrap();
                assert_eq!(pool.available(), 0);
            }
        };
    }
    check!(Pool);
    check!(LockFreePool);
    check!(LockedPool);
}

#[cfg(feature = "std")]
#[test]
fn panic_in_a_release_goes_on_when_the_pool_is_done() {
    let pool = |plan: fn(usize) -> Act| {
        let (source, log) = TestSource::new();
        let builder = Pool::builder().block_size(64).blocks(2).max_blocks(8);
        (builder.source(source.releasing(plan)).build().unwrap(), log)
    };
    let (first, log) = pool(|n| if n == 0 { Act::Panic } else { Act::Give });
    drop((0..8).map(|_| first.alloc().unwrap()).collect::<Vec<_>>());
    assert_eq!(panic_of(|| first.trim(0)), "release panics");
    assert_eq!((first.capacity(), first.available(), log.live_blocks.load(SeqCst)), (2, 2, 2));
    drop(first);
    log.assert_finished();

    let (last, log) = pool(|n| if n == 1 { Act::Panic } else { Act::Give });
    assert_eq!(panic_of(|| drop(last)), "release panics");
    log.assert_finished();
}
