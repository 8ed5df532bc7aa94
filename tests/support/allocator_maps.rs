// SPDX-License-Identifier: Apache-2.0
//! The tests of `tests/allocator.rs` for the hash tables of hashbrown, in each version that uses
//! `allocator-api2` 0.2.

use aegis_memory::arena::{Arena, ArenaRecycler, FixedArena, LockFreeArena, LockedArena};
use allocator_api2::alloc::Allocator;
use std::collections::HashMap as StdMap;
use std::mem::MaybeUninit;

macro_rules! maps {
    ($version:ident: $krate:ident) => {
        mod $version {
            use super::*;
            use $krate::{DefaultHashBuilder, HashMap};

            type Map<'a> = HashMap<u64, String, DefaultHashBuilder, &'a dyn Allocator>;

            fn is_equal(ours: &Map<'_>, theirs: &StdMap<u64, String>) -> bool {
                let found = |(key, value): (_, _)| ours.get(key) == Some(value);
                ours.len() == theirs.len() && theirs.iter().all(found)
            }

            /// Grows a map from nothing, and compares it with one of the standard library.
            fn fill_and_empty(arena: &dyn Allocator) {
                let (mut ours, mut theirs) = (Map::new_in(arena), StdMap::new());
                for i in 0..1000_u64 {
                    let key = i * 7919 % 700;
                    assert_eq!(ours.insert(key, i.to_string()), theirs.insert(key, i.to_string()));
                }
                for key in (0..800).step_by(3) {
                    assert_eq!(ours.remove(&key), theirs.remove(&key));
                }
                assert!(is_equal(&ours, &theirs));
                let mut copy = ours.clone();
                let drained: StdMap<_, _> = ours.drain().collect();
                assert!(drained == theirs && ours.is_empty());
                ours.shrink_to_fit();
                ours.extend(drained);
                copy.retain(|key, _| key % 2 == 0);
                assert!(is_equal(&ours, &theirs));
                theirs.retain(|key, _| key % 2 == 0);
                assert!(is_equal(&copy, &theirs));
                assert!(ours.try_reserve(usize::MAX / 100).is_err());
            }

            #[test]
            fn map_in_every_form_of_arena_equals_one_of_the_standard_library() {
                let mut memory = vec![MaybeUninit::uninit(); 500_000];
                let (arena, fixed) = (Arena::new(0), FixedArena::new(&mut memory));
                let (shared, locked) = (LockFreeArena::new(0), LockedArena::new(0));
                let (local, recycler) = (shared.local(), ArenaRecycler::new(1, 0));
                let recycled = recycler.get();
                fill_and_empty(&&arena);
                fill_and_empty(&&fixed);
                fill_and_empty(&&shared);
                fill_and_empty(&&local);
                fill_and_empty(&&locked);
                fill_and_empty(&&*recycled);
                arena.scope(|scope| fill_and_empty(&scope));
            }

            #[test]
            fn maps_of_a_loop_use_the_memory_of_the_first_turn() {
                let mut arena = Arena::new(0);
                let mut first = 0;
                for turn in 0..3 {
                    let mut map = HashMap::new_in(&arena);
                    map.extend((0..5000_u64).map(|i| (i, i)));
                    assert_eq!(map[&4999], 4999);
                    drop(map);
                    arena.reset();
                    let acquired = arena.stats().acquired_count;
                    if turn == 0 {
                        first = acquired;
                    }
                    assert_eq!(acquired, first);
                }
            }
        }
    };
}

maps!(version_015: hashbrown_015);
#[cfg(feature = "hashbrown")]
maps!(version_017: hashbrown);
