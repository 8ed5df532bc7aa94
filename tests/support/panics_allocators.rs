// SPDX-License-Identifier: Apache-2.0
//! The tests of `tests/panics/ownership.rs` for hash tables in arenas and boxes in pools.

use super::{at_every_request, Attempts};
use aegis_memory::arena::{Arena, LockFreeArena, LockedArena};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool};
use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box as BoxIn;

fn fill_map(attempts: &Attempts, arena: &dyn Allocator) {
    let (mut map, mut inserted) = (hashbrown_015::HashMap::new_in(arena), Vec::new());
    for i in 0..300_u64 {
        if attempts.of(|| map.insert(i, !i)).is_some() {
            inserted.push(i);
        }
    }
    assert!(inserted.len() >= 299 && map.len() == inserted.len());
    assert!(inserted.iter().all(|i| map[i] == !i));
}

/// Takes boxes, checks them, and drops them.
fn fill_boxes(attempts: &Attempts, pool: &dyn Allocator, in_use: impl Fn() -> usize) {
    let boxes = (0..20).map(|i: u64| attempts.of(|| BoxIn::try_new_in(i, pool).unwrap()));
    let boxes: Vec<_> = boxes.flatten().collect();
    assert!(boxes.len() >= 19 && in_use() == boxes.len());
    assert!(boxes.windows(2).all(|pair| *pair[0] < *pair[1]), "two owners of one memory");
    drop(boxes);
    assert_eq!(in_use(), 0);
}

#[test]
fn map_that_grows_while_the_source_panics_keeps_its_entries() {
    macro_rules! arena {
        ($Arena:ident, |$arena:ident| $front:expr) => {
            let panics = at_every_request(|source, attempts| {
                let builder = $Arena::builder().capacity(64).max_block(2048).source(source);
                let Some($arena) = attempts.of(|| builder.build().unwrap()) else {
                    return;
                };
                fill_map(attempts, &&$front);
            });
            assert!(panics > 3);
        };
    }

    arena!(Arena, |arena| arena);
    arena!(LockFreeArena, |arena| arena);
    arena!(LockFreeArena, |arena| arena.local());
    arena!(LockedArena, |arena| arena);
}

#[test]
fn boxes_in_pools_are_all_counted() {
    macro_rules! pool {
        ($Pool:ident, |$pool:ident| $front:expr) => {
            let panics = at_every_request(|source, attempts| {
                let builder = $Pool::builder().block_size(8).blocks(2).max_blocks(90);
                let Some($pool) = attempts.of(|| builder.source(source).build().unwrap()) else {
                    return;
                };
                fill_boxes(attempts, &&$front, || $pool.in_use());
            });
            assert!(panics > 5);
        };
    }

    pool!(Pool, |pool| pool);
    pool!(LockFreePool, |pool| pool);
    pool!(LockFreePool, |pool| pool.cache());
    pool!(LockedPool, |pool| pool);
}
