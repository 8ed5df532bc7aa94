// SPDX-License-Identifier: Apache-2.0
//! The tests of `tests/allocator.rs` for the collections that only the standard library has.

use crate::support::{Act, TestSource};
use aegis_memory::arena::Arena;
use aegis_memory::pool::{LockFreePool, Pool, TypedPool};
use std::collections::VecDeque;
use std::mem::size_of;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

#[test]
fn shared_values_live_in_pools_until_their_last_reference() {
    // The two counts of references lie before the value.
    let pool = Pool::new(2 * size_of::<usize>() + size_of::<u64>(), 2);
    let first = Rc::new_in(1_u64, &pool);
    let (again, weak) = (first.clone(), Rc::downgrade(&first));
    drop(first);
    assert_eq!((*again, pool.in_use()), (1, 1));
    assert!(Rc::try_new_in([0_u64; 2], &pool).is_err(), "larger than a block");
    drop(again);
    assert_eq!((weak.upgrade(), pool.in_use()), (None, 1));
    drop(weak);
    assert_eq!(pool.in_use(), 0);

    let pool = LockFreePool::new(64, 2);
    let first = Arc::new_in(AtomicText("shared"), &pool);
    thread::scope(|threads| {
        let copy = first.clone();
        threads.spawn(move || assert_eq!(copy.0, "shared"));
        drop(first);
    });
    assert_eq!(pool.in_use(), 0);
}

struct AtomicText(&'static str);

#[test]
fn box_in_a_typed_pool_is_one_of_its_values() {
    let pool = TypedPool::<[u64; 4]>::new(2);
    let first = Box::new_in([7_u64; 4], pool.pool());
    let second: Box<dyn Fn(u64) -> u64, _> = Box::new_in(move |x| x + first[0], pool.pool());
    assert_eq!((second(1), pool.in_use()), (8, 2));
    assert!(Box::try_new_in(0_u8, pool.pool()).is_err(), "both blocks are out");
    drop(second);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn deque_in_an_arena_turns_and_grows() {
    let arena = Arena::new(100);
    let mut deque = VecDeque::new_in(&arena);
    for i in 0..1000 {
        deque.push_back(i);
        if i % 3 == 0 {
            assert_eq!(deque.pop_front(), Some(i / 3));
        }
    }
    assert!(deque.iter().copied().eq(334..1000));
}

/// The functions of this trait must not unwind. The test starts itself to see the abort.
#[test]
fn panic_of_a_block_source_aborts() {
    const INSIDE: &str = "AEGIS_TEST_PANIC_OF_A_SOURCE";
    if std::env::var_os(INSIDE).is_some() {
        let (source, _) = TestSource::with_plan(|_| Act::Panic);
        let arena = Arena::builder().source(source).build().expect("no block yet");
        _ = catch_unwind(AssertUnwindSafe(|| Vec::<u8, _>::with_capacity_in(10, &arena)));
        return;
    }
    let mut test = Command::new(std::env::current_exe().expect("a test knows its own path"));
    test.args(["--exact", "allocator_std::panic_of_a_block_source_aborts", "--nocapture"])
        .env(INSIDE, "");
    let output = test.output().expect("the test starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("acquire panics"), "{text}");
}

/// Allocators for trees have a feature of the compiler for themselves.
#[cfg(aegis_unstable_allocator)]
mod tree {
    use super::*;
    use aegis_memory::arena::{LockFreeArena, LockedArena};
    use aegis_memory::pool::LockedPool;
    use std::alloc::Allocator;
    use std::collections::BTreeMap;

    /// What today's `BTreeMap<u64, String>` asks for: a node has 11 keys and values, the address of
    /// its parent, and two numbers of two bytes. An inner node has 12 addresses more.
    const NODE: usize =
        11 * (size_of::<u64>() + size_of::<String>()) + (1 + 12) * size_of::<usize>() + 8;

    fn grow_and_shrink_a_tree(allocator: &dyn Allocator) {
        let (mut ours, mut theirs) = (BTreeMap::new_in(allocator), BTreeMap::new());
        for i in 0..1000_u64 {
            let key = i * 7919 % 700;
            assert_eq!(ours.insert(key, i.to_string()), theirs.insert(key, i.to_string()));
        }
        for key in (0..800).step_by(3) {
            assert_eq!(ours.remove(&key), theirs.remove(&key));
        }
        assert!(ours.iter().eq(&theirs) && ours.range(100..200).eq(theirs.range(100..200)));
        let copy = ours.clone();
        ours.retain(|key, _| key % 5 == 0);
        theirs.retain(|key, _| key % 5 == 0);
        assert!(ours.iter().eq(&theirs) && copy.len() > ours.len());
    }

    #[test]
    fn tree_in_arenas_and_pools_equals_one_of_the_standard_allocator() {
        let (arena, shared, locked) = (Arena::new(0), LockFreeArena::new(0), LockedArena::new(0));
        grow_and_shrink_a_tree(&&arena);
        grow_and_shrink_a_tree(&&shared);
        grow_and_shrink_a_tree(&&shared.local());
        grow_and_shrink_a_tree(&&locked);
        let (pool, locked) = (Pool::new(NODE, 500), LockedPool::new(NODE, 500));
        let shared = LockFreePool::builder().block_size(NODE).blocks(500).caches(1).build();
        let shared = shared.expect("there is memory for a test");
        grow_and_shrink_a_tree(&&pool);
        grow_and_shrink_a_tree(&&shared);
        grow_and_shrink_a_tree(&&shared.cache());
        grow_and_shrink_a_tree(&&locked);
        assert_eq!([pool.in_use(), shared.in_use(), locked.in_use()], [0; 3]);
    }
}
