// SPDX-License-Identifier: Apache-2.0
//! Tests pools of buffers: size classes, what an empty pool does (refuse, wait, use the heap),
//! growth, the numbers of blocks, and the statistics. A buffer must come back exactly once, and a
//! refusal must change nothing and say why.

use crate::support::{panic_of, Act, TestSource};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferMut, BufferPool, BufferPoolBuilder, WhenEmpty};
use aegis_memory::{ffi, AllocError, What};
use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

fn two_classes() -> BufferPoolBuilder {
    BufferPool::builder().class(4096, 2).class(512, 2)
}

/// How many buffers of each class are out.
fn in_use(pool: &BufferPool) -> Vec<usize> {
    pool.stats().classes.iter().map(|class| class.in_use).collect()
}

#[test]
fn get_gives_empty_page_aligned_disjoint_writers() {
    let pool = BufferPool::new(4096, 8);
    let mut writers: Vec<_> = (0..8).map(|_| pool.get(4096).unwrap()).collect();
    for (i, writer) in writers.iter_mut().enumerate() {
        assert_eq!(
            (writer.len(), writer.capacity(), writer.as_ptr() as usize % 4096),
            (0, 4096, 0)
        );
        writer.resize(4096, i as u8);
    }
    for (i, writer) in writers.iter().enumerate() {
        assert!(writer.iter().all(|&byte| byte == i as u8), "{i}");
    }
    assert_eq!(in_use(&pool), [8]);
    drop(writers);
    assert_eq!(in_use(&pool), [0]);
}

#[test]
fn get_with_none_left_fails_and_a_returned_buffer_can_be_had_again() {
    let pool = BufferPool::new(100, 2);
    let (mut first, _second) = (pool.get(1).unwrap(), pool.get(0).unwrap());
    first.extend_from_slice(b"1");
    let error = pool.get(1).unwrap_err();
    assert!(matches!(error, AllocError::Exhausted { capacity: 200, in_use: 200, .. }), "{error:?}");
    assert_eq!((in_use(&pool), pool.stats().refused_count), (vec![2], 1));
    let view = first.freeze();
    let other = view.clone();
    drop(view);
    assert!(pool.get(1).is_err(), "a view is left");
    drop(other);
    assert!(pool.get(1).is_ok());
}

#[test]
fn get_of_more_than_the_largest_class_names_its_size() {
    let pool = two_classes().build().unwrap();
    let error = pool.get(4097).unwrap_err();
    assert!(
        matches!(
            error,
            AllocError::Invalid { what: What::BufferBytes, requested: 4097, allowed: 4096, .. }
        ),
        "{error:?}"
    );
    assert!(pool.get(usize::MAX).is_err());
    assert_eq!(in_use(&pool), [0, 0]);
}

#[test]
fn get_takes_the_smallest_class_with_a_buffer_left() {
    let pool = two_classes().build().unwrap();
    let writers: Vec<_> = [1, 512, 512, 513].map(|bytes| pool.get(bytes).unwrap()).into();
    let capacities: Vec<_> = writers.iter().map(BufferMut::capacity).collect();
    assert_eq!(capacities, [512, 512, 4096, 4096]);
    assert!(pool.get(1).is_err());
    assert_eq!(in_use(&pool), [2, 2]);
}

#[test]
fn buffers_keep_their_pool_alive_and_its_source_is_closed_with_the_last() {
    let (source, log) = TestSource::new();
    let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
    let pool = BufferPool::builder().class(4096, 4).source(source).budget(&budget).build().unwrap();
    assert_eq!(budget.used(), pool.stats().reserved_bytes);
    assert!(budget.used() >= 4 * 4096);
    let mut writer = pool.get(1).unwrap();
    let other = pool.clone();
    drop(pool);
    assert_eq!(in_use(&other), [1]);
    drop(other);
    writer.extend_from_slice(b"the pool is still there");
    let view = writer.freeze();
    thread::spawn(move || assert_eq!(view.slice(4..8), "pool")).join().unwrap();
    log.assert_finished();
    assert_eq!(budget.used(), 0);
}

#[test]
fn split_buffer_comes_back_once_with_its_last_part() {
    let pool = BufferPool::new(64, 1);
    let mut writer = pool.get(64).unwrap();
    writer.extend_from_slice(b"first");
    let first = writer.split().freeze();
    writer.extend_from_slice(b"second");
    let second = writer.freeze();
    drop(first);
    assert!(pool.get(64).is_err());
    drop(second);
    let writer = pool.get(64).unwrap();
    assert_eq!((writer.len(), writer.capacity()), (0, 64), "whole and empty again");
}

#[test]
fn empty_pool_falls_back_to_the_heap_within_its_budget() {
    let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
    let pool = two_classes().budget(&budget).when_empty(WhenEmpty::Heap).build().unwrap();
    let held: Vec<_> = (0..4).map(|_| pool.get(1).unwrap()).collect();
    let before = budget.used();
    let fallback = pool.get(1000).unwrap();
    assert!(fallback.capacity() >= 1000 && pool.id_of_mut(&fallback).is_none());
    let large = pool.get(100_000).unwrap();
    assert!(large.capacity() >= 100_000);
    let stats = pool.stats();
    assert_eq!((stats.heap_count, in_use(&pool)), (2, vec![2, 2]));
    assert!(stats.heap_bytes >= 101_000 && budget.used() >= before + 101_000);
    budget.set_limit(budget.used() + 1000);
    let error = pool.get(5000).unwrap_err();
    assert!(error.to_string().contains("budget 'pool' refused"), "{error}");
    drop((fallback, large));
    assert_eq!((pool.stats().heap_bytes, budget.used()), (0, before));
    drop(held);
    assert!(pool.get_timeout(100_000, Duration::ZERO).is_err(), "a wait never takes the heap");
}

#[test]
fn get_waits_for_a_buffer_when_that_is_the_policy() {
    let wait = WhenEmpty::Wait(Duration::MAX);
    let pool = BufferPool::builder().class(64, 1).when_empty(wait).build().unwrap();
    let held = pool.get(1).unwrap();
    thread::scope(|threads| {
        let waiter = threads.spawn(|| pool.get(1).unwrap().capacity());
        while pool.stats().wait_count == 0 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(waiter.join().unwrap(), 64);
    });
    assert_eq!((pool.stats().wait_count, pool.stats().timeout_count), (1, 0));
}

#[test]
fn wait_whose_time_is_up_fails_and_is_counted() {
    let short = Duration::from_millis(20);
    let pool =
        BufferPool::builder().class(64, 1).when_empty(WhenEmpty::Wait(short)).build().unwrap();
    let _held = pool.get(1).unwrap();
    let start = Instant::now();
    assert!(matches!(pool.get(1), Err(AllocError::Exhausted { .. })));
    assert!(start.elapsed() >= short, "it has waited");
    assert!(pool.get_timeout(1, short).is_err());
    let stats = pool.stats();
    assert_eq!((stats.wait_count, stats.timeout_count, stats.refused_count), (2, 2, 2));
}

#[test]
fn get_timeout_waits_whatever_the_policy_is() {
    let pool = BufferPool::new(64, 1);
    drop(pool.get_timeout(64, Duration::ZERO).unwrap());
    let held = pool.get(1).unwrap();
    assert!(pool.get_timeout(1, Duration::ZERO).is_err(), "a timeout of 0 does not wait");
    thread::scope(|threads| {
        let waiter = threads.spawn(|| pool.get_timeout(64, Duration::MAX).unwrap().capacity());
        while pool.stats().wait_count == 0 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(waiter.join().unwrap(), 64);
    });
}

#[test]
fn get_timeout_grows_the_pool_once_the_budget_has_room_again() {
    let budget = MemoryBudget::new("buffers", 1 << 20);
    let pool = BufferPool::builder().class_growing(4096, 1, 2).budget(&budget).build().unwrap();
    let first = pool.get(1).unwrap();
    let rest = budget.reserve((1 << 20) - budget.used());
    let error = pool.get_timeout(1, Duration::from_millis(15)).unwrap_err();
    assert!(matches!(error, AllocError::LimitExceeded { .. }), "{error:?}");
    thread::scope(|threads| {
        let waiting = threads.spawn(|| pool.get_timeout(1, Duration::MAX).map(drop));
        while pool.stats().wait_count < 2 {
            thread::yield_now();
        }
        drop(rest);
        assert_eq!(waiting.join().unwrap(), Ok(()));
    });
    drop(first);
    assert_eq!(pool.stats().classes[0].capacity, 2);
}

#[test]
fn class_grows_up_to_its_maximum() {
    let pool = BufferPool::builder().class_growing(512, 2, 5).class(4096, 1).build().unwrap();
    let class = pool.stats().classes[0];
    assert_eq!((class.buffer_bytes, class.capacity, class.max_capacity), (512, 2, 5));
    let held: Vec<_> = (0..5).map(|_| pool.get(512).unwrap()).collect();
    assert!(held.iter().all(|writer| writer.capacity() == 512));
    assert_eq!(pool.stats().classes[0].capacity, 5);
    assert_eq!(pool.get(512).unwrap().capacity(), 4096);
    let fixed = BufferPool::builder().class_growing(512, 2, 0).build().unwrap();
    assert_eq!(fixed.stats().classes[0].max_capacity, 2, "a maximum below the count is none");
}

#[test]
fn growth_that_is_refused_says_why() {
    let (source, log) = TestSource::with_plan(|n| if n < 8 { Act::Give } else { Act::Refuse });
    let pool = BufferPool::builder().class_growing(512, 1, 1000).source(source).build().unwrap();
    let mut held = Vec::new();
    let error = loop {
        match pool.get(512) {
            Ok(writer) => held.push(writer),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AllocError::OutOfMemory { .. }), "{error:?}");
    assert_eq!(in_use(&pool), [held.len()]);
    held.pop();
    assert!(pool.get(512).is_ok());
    drop((held, pool));
    log.assert_finished();
}

#[test]
fn source_that_refuses_at_every_step_leaves_nothing_behind() {
    let build = |source| two_classes().source(source).build();
    for n in 0.. {
        let (source, log) =
            TestSource::with_plan(move |i| if i == n { Act::Refuse } else { Act::Give });
        match build(source) {
            Ok(pool) => {
                assert!(n > 1, "more than one piece of memory is acquired");
                assert!(pool.get(4096).is_ok());
                drop(pool);
                log.assert_finished();
                break;
            }
            Err(error) => {
                assert!(matches!(error, AllocError::OutOfMemory { .. }), "{error:?}");
                log.assert_finished();
            }
        }
    }
}

// Without `std`, the panic ends the process.
#[cfg(feature = "std")]
#[test]
fn panic_of_a_source_goes_on_from_the_call_that_led_to_it() {
    let (source, log) = TestSource::with_plan(|n| if n == 1 { Act::Panic } else { Act::Give });
    let message = panic_of(|| two_classes().source(source).build());
    assert_eq!(message, "acquire panics");
    log.assert_finished();

    let (source, log) = TestSource::new();
    let source = source.releasing(|n| if n == 0 { Act::Panic } else { Act::Give });
    let pool = two_classes().source(source).build().unwrap();
    let last = pool.get(1).unwrap();
    drop(pool);
    assert_eq!(panic_of(|| drop(last)), "release panics");
    log.assert_finished();
}

#[test]
fn bad_settings_are_refused_by_name() {
    let build = |size, count, align| {
        BufferPool::builder().class(size, count).align(align).build().map(drop)
    };
    let invalid =
        |result: Result<(), AllocError>| matches!(result, Err(AllocError::InvalidLayout { .. }));
    assert!(invalid(build(64, 1, 3)));
    assert!(invalid(build(usize::MAX, 1, 0)));
    assert!(invalid(build(isize::MAX as usize - 64, 2, 0)));
    let wrong = |result: Result<(), AllocError>, about| matches!(result, Err(AllocError::Invalid { what, .. }) if what == about);
    assert!(wrong(build(1, usize::MAX, 0), What::Blocks));
    assert!(wrong(build(64, 0, 0), What::Blocks));
    assert!(wrong(BufferPool::builder().build().map(drop), What::Classes));
    assert!(wrong(BufferPool::try_new(64, 0).map(drop), What::Blocks));
    assert!(panic_of(|| BufferPool::new(64, 0)).starts_with("invalid argument: 0 blocks"));
    let budget = MemoryBudget::new("small", 100);
    let error = two_classes().budget(&budget).build().unwrap_err();
    assert!(error.to_string().contains("budget 'small' refused"), "{error}");
    assert_eq!(budget.used(), 0);
    let many = || (1..=9).fold(BufferPool::builder(), |builder, size| builder.class(size, 1));
    assert_eq!(panic_of(many), "a pool has at most 8 size classes");
    assert!(panic_of(|| two_classes().class(512, 1)).contains("one size class for each size"));
}

#[test]
fn eight_classes_of_any_order_and_a_size_of_0_serve() {
    let sizes = [64, 1, 4096, 100, 2, 8, 32, 16];
    let builder = sizes.iter().fold(BufferPool::builder(), |builder, &size| builder.class(size, 1));
    let pool = builder.align(1).build().unwrap();
    let made: Vec<_> = pool.stats().classes.iter().map(|class| class.buffer_bytes).collect();
    assert_eq!(made, [1, 2, 8, 16, 32, 64, 100, 4096]);
    assert_eq!(pool.get(33).unwrap().capacity(), 64);
    assert_eq!(BufferPool::new(0, 1).get(0).unwrap().capacity(), 1);
}

#[test]
fn every_buffer_is_aligned_as_asked() {
    for shift in [0, 3, 6, 12, 16, 21] {
        let align = 1 << shift;
        let pool = BufferPool::builder().class_growing(3, 2, 4).align(align).build().unwrap();
        let held: Vec<_> = (0..4).map(|_| pool.get(1).unwrap()).collect();
        assert!(held.iter().all(|writer| writer.as_ptr() as usize % align == 0), "{align}");
    }
}

#[test]
fn ids_are_places_in_the_table_of_blocks() {
    let pool = BufferPool::builder().class_growing(4096, 2, 4).class(512, 3).build().unwrap();
    let table = pool.io_blocks();
    assert_eq!(table.len(), 7, "a place for every block that may be made");
    let made = table.iter().filter(|block| !block.base.is_null());
    assert!(made.clone().all(|block| block.len != 0) && made.count() >= 5);
    let mut held: Vec<_> =
        [512, 512, 512, 4096, 4096, 4096, 4096].map(|bytes| pool.get(bytes).unwrap()).into();
    let table = pool.io_blocks();
    let ids: HashSet<_> = held
        .iter()
        .map(|writer| {
            let id = pool.id_of_mut(writer).unwrap();
            assert_eq!(
                (table[id].base.cast_const(), table[id].len),
                (writer.as_ptr(), writer.capacity())
            );
            id
        })
        .collect();
    assert_eq!(ids, (0..7).collect());
    let mut last = held.pop().unwrap();
    last.extend_from_slice(b"last");
    let id = pool.id_of_mut(&last);
    let view = last.freeze();
    assert_eq!((pool.id_of(&view.slice(3..)), pool.id_of(&view.slice(4..))), (id, None));
    let other = BufferPool::new(4096, 1);
    assert_eq!(other.id_of(&view), None);
    assert_eq!(pool.id_of(&Buffer::from("static")), None);
    assert_eq!(pool.id_of_mut(&BufferMut::with_capacity(64)), None);
}

#[test]
fn pool_goes_to_c_and_comes_back() {
    let pool = BufferPool::new(64, 2);
    let mut raw = aegis_writer();
    let none = std::ptr::null_mut();
    // SAFETY: a live pool, and room for a writer.
    let status = unsafe { ffi::aegis_buffer_pool_get(pool.as_raw(), &mut raw, 64, none) };
    assert_eq!(status, 0);
    // SAFETY: C has just taken it.
    let mut writer = unsafe { BufferMut::from_raw(raw) };
    writer.extend_from_slice(b"taken in C");
    let raw = pool.into_raw();
    // SAFETY: a live handle that is not moved meanwhile.
    assert_eq!(in_use(unsafe { BufferPool::borrow_raw(&raw) }), [1]);
    // SAFETY: the handle was just given away to us.
    let pool = unsafe { BufferPool::from_raw(raw) };
    let mut raw = writer.into_raw();
    // SAFETY: the handle was just given away to us.
    assert_eq!(unsafe { ffi::aegis_buffer_mut_release(&mut raw) }, 0);
    assert_eq!(in_use(&pool), [0]);
    assert!(format!("{pool:?}").contains("in_use: 0"), "{pool:?}");
}

fn aegis_writer() -> ffi::aegis_buffer_mut {
    let (data, owner) = (std::ptr::null_mut(), std::ptr::null_mut());
    ffi::aegis_buffer_mut { data, length: 0, capacity: 0, owner, initialized: 0 }
}

#[cfg(feature = "serde")]
#[test]
fn figures_are_serialised_by_name() {
    let pool = BufferPool::new(64, 2);
    let _held = pool.get(1).unwrap();
    let json = serde_json::to_value(pool.stats()).unwrap();
    assert_eq!(json["classes"][0]["buffer_bytes"], 64);
    assert_eq!(json["classes"][0]["in_use"], 1);
    assert_eq!(json["heap_count"], 0);
}
