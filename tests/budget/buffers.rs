// SPDX-License-Identifier: Apache-2.0
//! Tests that buffers which are out can be charged to another budget, from any handle and any
//! thread, and that a buffer of a pool is charged to the pool's budget again when it comes home.

use std::sync::{Arc, Mutex};
use std::thread;

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferMut, BufferPool};
use aegis_memory::{AllocError, What};

fn two_sides() -> [MemoryBudget; 3] {
    let root = MemoryBudget::new("root", 1 << 20);
    [root.child("query", 1 << 20), root.child("cache", 1 << 20), root]
}

#[test]
fn memory_on_the_heap_moves_with_all_its_handles() {
    let [query, cache, root] = two_sides();
    let mut writer = BufferMut::try_with_capacity_in(1000, 8, &query).unwrap();
    writer.extend_from_slice(b"result");
    let charged = query.used();
    writer.move_to(&cache);
    assert_eq!((query.used(), cache.used()), (0, charged));
    let whole = writer.freeze();
    let part = whole.slice(2..4);
    drop(whole);
    root.set_limit(root.used());
    part.move_to(&query);
    assert_eq!((query.used(), cache.used(), root.used()), (charged, 0, charged));
    query.set_limit(0);
    cache.set_limit(charged - 1);
    let AllocError::LimitExceeded { needed, limit, .. } = part.try_move_to(&cache).unwrap_err()
    else {
        panic!("no refusal");
    };
    assert_eq!((needed, limit), (charged, charged - 1));
    part.move_to(None);
    assert_eq!(root.used(), 0);
    drop(query);
    root.set_limit(1 << 20);
    part.move_to(&root);
    assert_eq!((root.used(), root.snapshot().len()), (charged, 2));
    thread::spawn(move || drop(part)).join().unwrap();
    assert_eq!((root.used(), root.peak()), (0, charged));
}

#[test]
fn buffer_of_a_pool_comes_home_to_the_budget_of_the_pool() {
    let [query, cache, root] = two_sides();
    let pool = BufferPool::builder().class(4096, 2).budget(&query).build().unwrap();
    let reserved = query.used();
    let mut writer = pool.get(1).unwrap();
    writer.extend_from_slice(b"page");
    let page = writer.freeze();
    let kept = page.retained_bytes();
    page.move_to(&cache);
    assert_eq!((query.used(), cache.used(), root.used()), (reserved - kept, kept, reserved));
    // The pool's own budget has become full meanwhile. The buffer comes home all the same.
    let held = query.reserve(kept);
    query.set_limit(reserved);
    assert!(page.try_move_to(&query).is_err());
    let copy = page.clone();
    drop(page);
    assert_eq!((query.used(), cache.used()), (reserved, kept));
    drop(copy);
    assert_eq!((query.used(), cache.used()), (reserved + kept, 0));
    drop(held);
    // It is as before, and can outlive the handle of the pool.
    let again = pool.get(1).unwrap();
    again.move_to(&cache);
    drop(pool);
    assert_eq!((query.used(), cache.used()), (reserved - kept, kept));
    drop(again);
    assert_eq!((root.used(), root.peak()), (0, reserved + kept));
}

#[test]
fn pool_moves_when_it_has_one_handle_and_no_buffer_out() {
    let [query, cache, root] = two_sides();
    let mut pool = BufferPool::builder().class(4096, 2).budget(&query).build().unwrap();
    let reserved = query.used();
    let other = pool.clone();
    let error = pool.try_move_to(&cache).unwrap_err();
    assert!(matches!(error, AllocError::Invalid { what: What::Out, .. }));
    let text = "still in use: the pool has other handles, or buffers that are out";
    assert_eq!(error.to_string(), text);
    drop(other);
    let writer = pool.get(1).unwrap();
    assert!(pool.try_move_to(&cache).is_err());
    thread::spawn(move || drop(writer)).join().unwrap();
    pool.move_to(&cache);
    assert_eq!((query.used(), cache.used(), root.peak()), (0, reserved, reserved));
    drop(pool);
    assert_eq!(root.used(), 0);
}

#[test]
fn arena_behind_a_buffer_moves_and_other_memory_is_not_charged() {
    let [query, cache, _root] = two_sides();
    let arena = Arena::builder().budget(&query).build().unwrap();
    let view = Buffer::try_from_arena(arena, |arena| arena.alloc_str("in an arena").as_bytes())
        .unwrap_or_else(|_| panic!("there is memory"));
    let charged = query.used();
    view.move_to(&cache);
    assert_eq!((query.used(), cache.used()), (0, charged));
    for other in [Buffer::from_static(b"static"), Buffer::from(vec![1, 2]), Buffer::default()] {
        other.move_to(&query);
        assert_eq!(query.used(), 0);
    }
    drop(view);
    assert_eq!(cache.used(), 0);
}

#[test]
fn callback_of_the_move_cannot_move_the_same_buffer() {
    let [query, cache, _root] = two_sides();
    let shared = Arc::new(Mutex::new(None::<Buffer>));
    let errors = Arc::new(Mutex::new(Vec::new()));
    let (inner, noted) = (Arc::clone(&shared), Arc::clone(&errors));
    cache.on_pressure(1, move |_| {
        let buffer = inner.lock().unwrap().clone().expect("a buffer");
        noted.lock().unwrap().push(buffer.try_move_to(None).unwrap_err());
    });
    let mut writer = BufferMut::try_with_capacity_in(20_000, 8, &query).unwrap();
    writer.extend_from_slice(b"text");
    let buffer = writer.freeze();
    *shared.lock().unwrap() = Some(buffer.clone());
    buffer.move_to(&cache);
    // The budget owns the callback, and a buffer that is charged to it keeps the budget.
    *shared.lock().unwrap() = None;
    let errors = errors.lock().unwrap();
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    assert!(matches!(error, AllocError::Invalid { what: What::Moving, .. }));
    assert_eq!(error.to_string(), "still in use: another call moves the memory to another budget");
    assert_eq!(query.used(), 0);
}

#[test]
fn threads_move_one_buffer_and_drop_their_handles() {
    let [query, cache, root] = two_sides();
    let pool = BufferPool::builder().class(4096, 1).budget(&query).build().unwrap();
    let reserved = query.used();
    for round in 0..200 {
        let mut writer = pool.get(1).unwrap();
        writer.extend_from_slice(b"page");
        let page = writer.freeze();
        thread::scope(|scope| {
            for number in 0..3 {
                let (page, query, cache, root) = (page.clone(), &query, &cache, &root);
                scope.spawn(move || {
                    let to = [query, cache, root][(number + round) % 3];
                    if let Err(error) = page.try_move_to(to) {
                        assert!(matches!(error, AllocError::Invalid { what: What::Moving, .. }));
                    }
                    assert_eq!(root.used(), reserved);
                });
            }
            drop(page);
        });
        assert_eq!((query.used(), cache.used(), root.used()), (reserved, 0, reserved));
    }
}
