// SPDX-License-Identifier: Apache-2.0
//! Tests the recycler, a stock of arenas. A guard must give its arena back however it ends (by a
//! drop, a panic, an early return, on another thread), and the arena must come back reset and
//! trimmed. The stock must be bounded. The same is asked of pools of objects.

use crate::support::{panic_of, TestSource};
use aegis_memory::arena::{ArenaRecycler, OwnedRecycledArena};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::{ffi, AllocError, What};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

#[test]
fn arena_comes_back_reset_and_trimmed() {
    let (source, log) = TestSource::new();
    let recycler = ArenaRecycler::builder().max_idle(2).keep_bytes(8192).source(source).build();
    let recycler = recycler.expect("built");
    {
        let mut arena = recycler.get();
        arena.alloc(100_000).fill(0xEE);
        arena.reset();
        arena.alloc(50).fill(0xEE);
        assert_eq!(recycler.stats().out_count, 1);
    }
    assert!(log.live_bytes.load(SeqCst) <= 8192);
    let arena = recycler.get();
    assert_eq!(arena.used(), 0);
    assert_eq!(arena.alloc(100), [0; 100]);
    assert_eq!((recycler.stats().made_count, recycler.stats().reused_count), (1, 1));
    drop(arena);
    drop(recycler);
    log.assert_finished();
}

#[test]
fn panic_and_early_return_give_the_arena_back() {
    fn early(recycler: &ArenaRecycler) -> Result<(), AllocError> {
        let arena = recycler.get();
        arena.alloc_static(vec![1]);
        arena.try_alloc(usize::MAX)?;
        unreachable!("the size is invalid")
    }
    let recycler = ArenaRecycler::new(4, 4096);
    assert!(early(&recycler).is_err());
    let message = panic_of(|| {
        let arena = recycler.get();
        arena.alloc(10);
        panic!("request failed");
    });
    assert_eq!(message, "request failed");
    let stats = recycler.stats();
    assert_eq!((stats.out_count, stats.idle_count, stats.made_count), (0, 1, 1));
}

// Without `std`, a panic in a finalizer or a source aborts the process.
#[cfg(feature = "std")]
#[test]
fn finalizer_that_panics_does_not_lose_the_arena() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let recycler = ArenaRecycler::new(1, 4096);
    let arena = recycler.get();
    arena.alloc_static(PanicsOnDrop);
    assert_eq!(panic_of(|| drop(arena)), "in drop");
    assert_eq!((recycler.stats().out_count, recycler.stats().idle_count), (0, 1));
    // While another panic unwinds, the finalizer's panic must not abort the process.
    let message = panic_of(|| {
        let arena = recycler.get();
        arena.alloc_static(PanicsOnDrop);
        panic!("first");
    });
    assert_eq!(message, "first");
    assert_eq!(recycler.stats().idle_count, 1);
}

#[test]
fn stock_is_bounded_and_can_be_given_up() {
    let recycler = ArenaRecycler::new(2, usize::MAX);
    let guards: Vec<_> = (0..5).map(|_| recycler.get()).collect();
    drop(guards);
    assert_eq!(recycler.stats().idle_count, 2);
    recycler.trim(0);
    assert_eq!(recycler.stats().idle_count, 0);
    let impossible = ArenaRecycler::builder().max_idle(usize::MAX).build();
    let named = |error: &AllocError| {
        matches!(error, AllocError::Invalid { what: What::IdleArenas, requested: usize::MAX, .. })
    };
    assert!(impossible.is_err_and(|error| named(&error)));
}

#[test]
fn refusals_of_the_budget_count_no_arena() {
    let budget = MemoryBudget::new("requests", 5000);
    let recycler = ArenaRecycler::builder().capacity(4000).max_idle(1).keep_bytes(5000);
    let recycler = recycler.budget(&budget).build().expect("built");
    let first = recycler.get();
    let refusal = recycler.try_get().map(drop).expect_err("over the limit");
    assert!(refusal.to_string().contains("requests"));
    assert_eq!(recycler.stats().out_count, 1);
    drop(first);
    drop(recycler.get());
    drop(recycler);
    assert_eq!(budget.used(), 0);
}

// Without `std`, a panic in a finalizer or a source aborts the process.
#[cfg(feature = "std")]
#[test]
fn panics_of_the_source_count_no_arena() {
    let (source, log) = TestSource::with_plan(|n| {
        if n == 0 {
            crate::support::Act::Panic
        } else {
            crate::support::Act::Give
        }
    });
    let recycler = ArenaRecycler::builder().capacity(100).source(source).build().expect("built");
    assert_eq!(panic_of(|| recycler.get()), "acquire panics");
    assert_eq!(recycler.stats().out_count, 0);
    drop(recycler.get());
    drop(recycler);
    log.assert_finished();
}

#[test]
fn recycler_dropped_with_a_guard_forgotten_keeps_the_source() {
    let (source, log) = TestSource::new();
    let recycler = ArenaRecycler::builder().capacity(100).max_idle(1).source(source).build();
    let recycler = recycler.expect("built");
    let guard = ManuallyDrop::new(recycler.get());
    // SAFETY: copies of two structs, which C allows. The guard is not used again.
    let (mut arena, mut raw) = unsafe { (guard.as_raw().read(), recycler.as_raw().read()) };
    drop(recycler);
    // The source of the forgotten arena must not be dropped while the arena may still use it.
    assert_eq!((log.drops.load(SeqCst), log.live_blocks.load(SeqCst)), (0, 1));
    // SAFETY: with an arena out the recycler has not been finished; now it is put back.
    unsafe {
        ffi::aegis_arena_recycler_put(&raw, &mut arena);
        assert_eq!(ffi::aegis_arena_recycler_fini(&mut raw), 0);
    }
    log.assert_finished();
}

#[test]
fn threads_get_an_arena_each_and_guards_cross_threads() {
    let recycler = ArenaRecycler::new(3, 4096);
    thread::scope(|threads| {
        for number in 0..6_u8 {
            let recycler = &recycler;
            threads.spawn(move || {
                for _ in 0..300 {
                    let arena = recycler.get();
                    let bytes = arena.alloc(700);
                    assert!(bytes.iter().all(|&byte| byte == 0));
                    bytes.fill(number);
                    assert!(bytes.iter().all(|&byte| byte == number));
                }
            });
        }
        let guard = recycler.get();
        threads.spawn(move || drop(guard));
    });
    assert_eq!(recycler.stats().out_count, 0);
    assert!(recycler.stats().idle_count <= 3);
}

#[test]
fn owned_guard_keeps_the_recycler_until_it_is_dropped_on_another_thread() {
    let (source, log) = TestSource::new();
    let recycler = ArenaRecycler::builder().max_idle(4).keep_bytes(8192).source(source).build();
    let recycler = Arc::new(recycler.expect("built"));
    let guards: Vec<_> = (0..4).map(|_| recycler.get_owned()).collect();
    let handle = |mut arena: OwnedRecycledArena| {
        thread::spawn(move || {
            arena.alloc(20_000).fill(0xEE);
            arena.reset();
            arena.alloc_static(vec![1]);
            assert_eq!(arena.alloc(100), [0; 100]);
        })
    };
    let last = recycler.get_owned();
    last.alloc(10);
    for handler in guards.into_iter().map(handle).collect::<Vec<_>>() {
        handler.join().expect("no panic");
    }
    assert_eq!((recycler.stats().out_count, recycler.stats().idle_count), (1, 4));
    drop(recycler);
    assert_eq!(log.drops.load(SeqCst), 0);
    last.alloc(10_000).fill(1);
    drop(last);
    log.assert_finished();
}

#[test]
fn owned_guard_of_a_handler_that_panics_gives_the_arena_back() {
    let recycler = Arc::new(ArenaRecycler::new(4, 4096));
    let arena = recycler.get_owned();
    let handler = thread::spawn(move || {
        arena.alloc(10);
        panic!("request failed");
    });
    assert!(handler.join().is_err());
    assert_eq!((recycler.stats().out_count, recycler.stats().idle_count), (0, 1));
    assert_eq!(Arc::strong_count(&recycler), 1);
}

#[test]
fn refused_owned_guard_keeps_nothing_alive() {
    let budget = MemoryBudget::new("requests", 5000);
    let recycler = ArenaRecycler::builder().capacity(4000).budget(&budget).build();
    let recycler = Arc::new(recycler.expect("built"));
    let first = recycler.get_owned();
    let refusal = recycler.try_get_owned().map(drop).expect_err("over the limit");
    assert!(refusal.to_string().contains("requests"));
    assert_eq!((recycler.stats().out_count, Arc::strong_count(&recycler)), (1, 2));
    drop(first);
}

/// A future that is pending once, so that the task that awaits it is suspended.
struct Once(bool);

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

struct NoWake;

impl Wake for NoWake {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn future_that_owns_a_guard_and_its_values_moves_between_threads_when_suspended() {
    async fn handle(recycler: Arc<ArenaRecycler>) -> usize {
        let arena = recycler.get_owned();
        drop(recycler);
        let text = arena.alloc_str("allocated before");
        Once(false).await;
        text.len() + arena.alloc(10).len()
    }
    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::new(NoWake));
        future.poll(&mut Context::from_waker(&waker))
    }
    let recycler = Arc::new(ArenaRecycler::new(4, 4096));
    let mut future = Box::pin(handle(recycler.clone()));
    assert!(poll(future.as_mut()).is_pending());
    assert_eq!(recycler.stats().out_count, 1);
    let done = thread::spawn(move || poll(future.as_mut())).join().expect("no panic");
    assert_eq!((done, recycler.stats().out_count), (Poll::Ready(26), 0));

    // A request that is cancelled gives its arena back too.
    let mut cancelled = Box::pin(handle(recycler.clone()));
    assert!(poll(cancelled.as_mut()).is_pending());
    drop(cancelled);
    assert_eq!((recycler.stats().out_count, recycler.stats().idle_count), (0, 1));
}

#[test]
fn stock_decays_to_what_is_needed() {
    let budget = MemoryBudget::new("requests", usize::MAX);
    let builder = ArenaRecycler::builder().capacity(1024).max_idle(32).keep_bytes(4096);
    let recycler = builder.budget(&budget).build().unwrap();
    let mut used = usize::MAX;
    for (load, left) in [(32, 32), (32, 32), (10, 10), (10, 10), (1, 1), (0, 0)] {
        for _ in 0..3 {
            let arenas: Vec<_> = (0..load).map(|_| recycler.get()).collect();
            arenas.iter().for_each(|arena| arena.alloc(100)[0] = 1);
        }
        recycler.trim_idle();
        let stats = recycler.stats();
        assert_eq!((stats.idle_count, stats.out_count), (left, 0));
        assert!(budget.used() <= used);
        used = budget.used();
    }
    assert_eq!((budget.used(), recycler.stats().made_count), (0, 32));
}

/// Pools of objects, which keep what they have allocated.
#[cfg(feature = "std")]
mod objects {
    use aegis_memory::budget::MemoryBudget;
    use aegis_memory::pool::{ObjectPool, OwnedReusable, Reused};
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::Arc;

    use crate::support::panic_of;

    /// An object that counts how many of its kind live.
    struct Counted(Arc<AtomicUsize>, Vec<u8>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }

    /// A pool, and how many objects live.
    fn pool(max_idle: usize) -> (ObjectPool<Counted>, Arc<AtomicUsize>) {
        let live = Arc::new(AtomicUsize::new(0));
        let counter = live.clone();
        let make = move || {
            counter.fetch_add(1, SeqCst);
            Counted(counter.clone(), Vec::new())
        };
        (ObjectPool::new(max_idle, make, |object| object.1.clear()), live)
    }

    #[test]
    fn object_comes_back_reset_with_what_it_has_allocated() {
        let (pool, live) = pool(4);
        for round in 0..10 {
            let mut object = pool.get();
            assert!(object.1.is_empty() && (round == 0 || object.1.capacity() >= 1000));
            object.1.extend([7; 1000]);
        }
        assert_eq!((live.load(SeqCst), pool.idle()), (1, 1));
        drop(pool);
        assert_eq!(live.load(SeqCst), 0);
    }

    #[test]
    fn stock_keeps_no_more_than_its_bound_and_the_latest_comes_first() {
        let (pool, live) = pool(3);
        let mut objects: Vec<_> = (0..8).map(|_| pool.get()).collect();
        objects[2].1.reserve(100);
        assert_eq!((live.load(SeqCst), pool.idle()), (8, 0));
        drop(objects);
        assert_eq!((live.load(SeqCst), pool.idle(), pool.max_idle()), (3, 3, 3));
        let latest = pool.get_idle().expect("three are idle");
        assert!(latest.1.capacity() >= 100);
        let latest = Reused::into_inner(latest);
        pool.trim(1);
        assert_eq!((live.load(SeqCst), pool.idle()), (2, 1));
        pool.put(latest);
        pool.trim(0);
        assert_eq!((live.load(SeqCst), pool.idle(), pool.get_idle().is_none()), (0, 0, true));
        let none = ObjectPool::new(0, String::new, String::clear);
        drop(none.get());
        assert_eq!(none.idle(), 0);
    }

    #[test]
    fn idle_objects_are_charged_and_dropped_where_the_budget_refuses() {
        let budget = MemoryBudget::new("idle", 1000);
        let (pool, live) = pool(10);
        let pool = pool.with_budget(&budget, |object| object.1.capacity());
        let objects: Vec<_> = [400, 500, 300, 100]
            .map(|bytes| {
                let mut object = pool.get();
                object.1.reserve_exact(bytes);
                object
            })
            .into();
        assert_eq!(budget.used(), 0);
        drop(objects);
        assert_eq!((budget.used(), pool.idle(), live.load(SeqCst)), (1000, 3, 3));
        let object = pool.get();
        assert_eq!((budget.used(), object.1.capacity()), (900, 100));
        drop(object);
        pool.trim(1);
        assert_eq!(budget.used(), 400);
        drop(pool);
        assert_eq!((budget.used(), live.load(SeqCst)), (0, 0));
    }

    #[test]
    fn functions_of_the_user_may_use_the_pool() {
        thread_local!(static POOL: Arc<ObjectPool<Nested>> = {
            Arc::new(ObjectPool::new(2, || Nested(0), |object| {
                object.0 = 0;
                POOL.with(|pool| assert!(pool.idle() <= 2));
            }))
        });
        struct Nested(u32);
        impl Drop for Nested {
            fn drop(&mut self) {
                let _ = POOL.try_with(|pool| assert!(pool.idle() <= 2));
            }
        }
        POOL.with(|pool| {
            drop([pool.get(), pool.get(), pool.get()]);
            assert_eq!(pool.idle(), 2);
            pool.trim(0);
        });
    }

    #[test]
    fn panic_of_a_reset_drops_the_object_and_leaves_the_pool_usable() {
        let live = Arc::new(AtomicUsize::new(0));
        let counter = live.clone();
        let make = move || {
            counter.fetch_add(1, SeqCst);
            Counted(counter.clone(), Vec::new())
        };
        let pool = ObjectPool::new(4, make, |object: &mut Counted| {
            assert!(object.1.is_empty(), "not empty");
        });
        drop(pool.get());
        let mut object = pool.get();
        object.1.push(1);
        assert_eq!(panic_of(|| drop(object)), "not empty");
        assert_eq!((live.load(SeqCst), pool.idle()), (0, 0));
        drop(pool.get());
        assert_eq!((live.load(SeqCst), pool.idle()), (1, 1));
        // A guard that is dropped by a panic puts its object back too.
        assert_eq!(
            panic_of(|| {
                let _object = pool.get();
                panic!("in a request");
            }),
            "in a request"
        );
        assert_eq!((live.load(SeqCst), pool.idle()), (1, 1));
        let makes = ObjectPool::new(1, || -> u8 { panic!("no object") }, |_| ());
        assert_eq!(panic_of(|| _ = makes.get()), "no object");
    }

    #[test]
    fn threads_share_a_pool_and_no_object() {
        let (pool, live) = pool(4);
        let pool = Arc::new(pool);
        let threads: Vec<_> = (0..4_u8)
            .map(|number| {
                let pool = pool.clone();
                std::thread::spawn(move || {
                    for _ in 0..500 {
                        let mut object: OwnedReusable<Counted> = pool.get_owned();
                        assert!(object.1.is_empty());
                        object.1.extend([number; 100]);
                        assert!(object.1.iter().all(|&byte| byte == number));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert!(live.load(SeqCst) <= 4 && live.load(SeqCst) == pool.idle());
        // Objects that cannot be shared may be in a pool that is shared.
        let cells = ObjectPool::new(4, || Cell::new(0), |cell| cell.set(0));
        std::thread::scope(|threads| {
            threads.spawn(|| cells.get().set(1));
        });
        assert_eq!(cells.get().get(), 0);
    }
}
