// SPDX-License-Identifier: Apache-2.0
//! Tests keyed pools: that a key finds its value until it is removed and nothing after that, whatever
//! happens to its block; that each value is dropped exactly once, also when user code panics; and
//! that the fast paths, which are written in C and again in Rust, do the same.

use crate::support::{panic_of, TestSource};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::{KeyedPool, Pool, PoolKey};
use aegis_memory::{ffi, AllocError};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::mem;
use std::rc::Rc;
use std::sync::RwLock;

fn growing<T>(blocks: usize, max_blocks: usize) -> KeyedPool<T> {
    Pool::builder().blocks(blocks).max_blocks(max_blocks).build_keyed().expect("there is memory")
}

/// A value that counts its drops, and panics in its drop if `fails` says so.
struct Counted<'a> {
    drops: &'a Cell<usize>,
    fails: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        if self.fails {
            panic!("drop {}", self.drops.get());
        }
    }
}

fn counted(drops: &Cell<usize>) -> Counted<'_> {
    Counted { drops, fails: false }
}

#[test]
fn key_finds_its_value_until_it_is_removed() {
    let mut pool = KeyedPool::new(2);
    let (a, b) = (pool.insert(String::from("a")), pool.insert(String::from("b")));
    assert_eq!((pool.len(), pool.capacity(), pool.is_empty()), (2, 2, false));
    pool[a].push('!');
    pool.get_mut(b).unwrap().push('?');
    assert_eq!((&*pool[a], &*pool[b]), ("a!", "b?"));
    assert_eq!(pool.key_of(&pool[b]), Some(b));
    assert_eq!(pool.remove(a).as_deref(), Some("a!"));
    assert!(!pool.contains(a) && pool.get(a).is_none() && pool.get_mut(a).is_none());
    assert_eq!(pool.remove(a), None);
    let c = pool.insert(String::from("c"));
    assert_eq!((c.index(), c.generation()), (a.index(), a.generation() + 2));
    assert_eq!((pool.get(a), &*pool[c]), (None, "c"));
    let error = pool.try_insert(String::new()).unwrap_err();
    assert!(matches!(error, AllocError::Exhausted { .. }), "{error}");
    assert!(panic_of(|| pool.insert(String::new())).contains("exhausted"));
    assert_eq!(format!("{pool:?}"), format!(r#"{{{c:?}: "c", {b:?}: "b?"}}"#));
}

#[test]
fn index_with_a_stale_key_names_the_key() {
    let mut pool = KeyedPool::new(2);
    let key = pool.insert(1);
    pool.remove(key);
    let text = "the pool has no value under key 0v1: it was removed, or another pool made the key";
    assert_eq!(panic_of(|| pool[key]), text);
    assert_eq!(panic_of(|| pool[key] = 2), text);
}

#[test]
fn key_is_a_number_and_few_numbers_are_keys() {
    let mut pool = growing(1, 1000);
    let keys: Vec<_> = (0..1000).map(|i| pool.insert(i)).collect();
    for key in &keys {
        assert_eq!(PoolKey::from_u64((*key).into()), Some(*key));
        assert_eq!(key.as_u64(), u64::from(key.generation()) << 32 | key.index() as u64);
    }
    for number in [0, 1, u64::MAX, 2 << 32, 1 << 31, 3 << 31, u64::from(u32::MAX)] {
        assert_eq!(PoolKey::from_u64(number), None, "{number:#x}");
    }
    // Keys that no pool of this size makes.
    for number in [1 << 32 | 1000, 1 << 32 | 0x7FFF_FFFF, 3 << 32, u64::MAX ^ 1 << 31] {
        assert!(!pool.contains(PoolKey::from_u64(number).unwrap()), "{number:#x}");
    }
    assert_eq!(mem::size_of::<Option<PoolKey>>(), 8);
    assert_eq!(format!("{} {:?}", keys[7], keys[7]), "7v1 PoolKey(7v1)");
}

#[test]
fn values_do_not_move_and_have_their_alignment_in_every_slab() {
    #[repr(align(128))]
    struct Wide(usize);
    let mut pool = growing(3, 100);
    let keys: Vec<_> = (0..100).map(|i| pool.insert(Wide(i))).collect();
    let places: Vec<_> = keys.iter().map(|key| &pool[*key] as *const Wide as usize).collect();
    assert!(places.iter().all(|place| place % 128 == 0));
    assert_eq!(pool.stats().slab_count, 25);
    for key in &keys[..50] {
        pool.remove(*key);
    }
    for (i, key) in keys.iter().enumerate().skip(50) {
        assert_eq!((pool[*key].0, &pool[*key] as *const Wide as usize), (i, places[i]));
    }
    assert_eq!(pool.slab(0).unwrap().block_count, 4);
}

#[test]
fn values_without_bytes_have_keys_too() {
    let mut pool = KeyedPool::new(2);
    let keys = [pool.insert(()), pool.insert(())];
    assert!(keys[0] != keys[1] && pool.key_of(&pool[keys[1]]) == Some(keys[1]));
    assert_eq!(pool.drain().map(|(key, ())| key).collect::<Vec<_>>(), keys);
}

#[test]
fn stale_key_stays_stale_when_its_slab_goes_and_comes_back() {
    let mut pool = growing(4, 16);
    let keys: Vec<_> = (0..16).map(|i| pool.insert(i)).collect();
    for key in &keys[4..] {
        pool.remove(*key);
    }
    pool.shrink_to_fit();
    assert_eq!((pool.capacity(), pool.len()), (4, 4));
    assert!(keys[4..].iter().all(|key| pool.get(*key).is_none()));
    let again: Vec<_> = (4..16).map(|i| pool.insert(i)).collect();
    assert!(keys[4..].iter().all(|key| pool.get(*key).is_none() && !again.contains(key)));
    assert_eq!(pool.iter().map(|(_, value)| *value).sum::<i32>(), (0..16).sum());
}

#[test]
fn generations_that_are_used_up_retire_the_index() {
    let drops = Cell::new(0);
    let mut pool = KeyedPool::new(2);
    let key = pool.insert(counted(&drops));
    pool.remove(key);
    // SAFETY: index 0 was handed out and is free, and this is a generation of a free index.
    unsafe { *(*pool.as_raw()).generations = u32::MAX - 1 };
    let last = pool.insert(counted(&drops));
    assert_eq!((last.index(), last.generation()), (0, u32::MAX));
    assert_eq!(PoolKey::from_u64(last.as_u64()), Some(last));
    drop(pool.remove(last).expect("it was there"));
    assert!(!pool.contains(last) && !pool.contains(key) && pool.remove(last).is_none());
    assert_eq!((pool.len(), pool.capacity(), drops.get()), (0, 1, 2));
    assert_eq!(pool.insert(counted(&drops)).index(), 1);
    assert!(pool.try_insert(counted(&drops)).is_err());
    assert_eq!(pool.iter().count(), 1);
    drop(pool);
    assert_eq!(drops.get(), 4);
}

#[test]
fn vacant_entry_knows_its_key_and_changes_nothing_if_it_is_dropped() {
    let mut pool = growing(1, 3);
    for round in 0..3 {
        let key = pool.vacant_entry().key();
        let entry = pool.vacant_entry();
        assert_eq!(format!("{entry:?}"), format!("VacantEntry {{ key: {key:?} }}"));
        assert!(!pool.contains(key) && pool.len() == round);
        *pool.vacant_entry().insert(round) += 10;
        assert_eq!(pool[key], round + 10);
    }
    assert!(matches!(pool.try_vacant_entry(), Err(AllocError::Exhausted { .. })));
    assert!(pool.try_insert_with_key(|_| unreachable!()).is_err());
    let (first, _) = pool.iter().next().unwrap();
    pool.remove(first);
    assert_eq!(panic_of(|| pool.insert_with_key(|_| panic!("made"))), "made");
    assert_eq!(pool.len(), 2);
    let key = pool.insert_with_key(|key| key.index());
    assert_eq!((pool[key], key.index()), (0, 0));
}

#[test]
fn several_values_are_lent_if_all_keys_are_good_and_different() {
    let mut pool = growing(2, 8);
    let keys: Vec<_> = (0..8).map(|i| pool.insert(i)).collect();
    let [a, b, c] = pool.get_disjoint_mut([keys[7], keys[0], keys[3]]).expect("they are good");
    mem::swap(a, b);
    *c += 100;
    assert_eq!((pool[keys[7]], pool[keys[0]], pool[keys[3]]), (0, 7, 103));
    assert!(pool.get_disjoint_mut([keys[1], keys[2], keys[1]]).is_none());
    pool.remove(keys[2]);
    assert!(pool.get_disjoint_mut([keys[1], keys[2]]).is_none());
    assert!(pool.get_disjoint_mut([]).is_some());
}

#[test]
fn iterators_go_through_all_values_from_both_ends() {
    let mut pool = growing(2, 9);
    let keys: Vec<_> = (0..9).map(|i| pool.insert(Box::new(i))).collect();
    for i in [0, 4, 8] {
        pool.remove(keys[i]);
    }
    let left = [1, 2, 3, 5, 6, 7].map(|i| (keys[i], i));
    assert_eq!(pool.iter().map(|(key, value)| (key, **value)).collect::<Vec<_>>(), left);
    assert_eq!(pool.iter().rev().map(|(_, value)| **value).collect::<Vec<_>>(), [7, 6, 5, 3, 2, 1]);
    let mut both = pool.iter();
    assert_eq!(
        (both.len(), both.next().unwrap().0, both.next_back().unwrap().0),
        (6, keys[1], keys[7])
    );
    assert_eq!((both.clone().count(), format!("{both:?}")), (4, "KeyedIter { left: 4 }".into()));
    for (_, value) in &mut pool {
        **value *= 2;
    }
    assert_eq!((&pool).into_iter().map(|(_, value)| **value).sum::<usize>(), 48);
    pool.retain(|key, value| key != keys[3] && **value > 4);
    assert_eq!(pool.len(), 3);
    let mut drain = pool.drain();
    assert_eq!(drain.next_back(), Some((keys[7], Box::new(14))));
    assert_eq!(drain.next(), Some((keys[5], Box::new(10))));
    drop(drain);
    assert!(pool.is_empty() && pool.iter().next().is_none());
    let key = pool.insert(Box::new(3));
    mem::forget(pool.drain());
    assert_eq!(*pool[key], 3);
    let mut owned = pool.into_iter();
    assert_eq!((owned.len(), owned.next(), owned.next()), (1, Some((key, Box::new(3))), None));
}

#[test]
fn every_value_is_dropped_once() {
    let drops = Cell::new(0);
    let fill = |pool: &mut KeyedPool<_>| (0..6).map(|_| pool.insert(counted(&drops))).collect();
    let mut pool = growing(2, 6);
    let keys: Vec<PoolKey> = fill(&mut pool);
    drop(pool.remove(keys[3]));
    assert!(pool.remove(keys[3]).is_none() && drops.get() == 1);
    pool.clear();
    assert_eq!((drops.get(), pool.len()), (6, 0));
    let keys = fill(&mut pool);
    pool.retain(|key, _| key == keys[0]);
    assert_eq!(drops.get(), 11);
    drop(pool);
    assert_eq!(drops.get(), 12);
    let mut pool = growing(2, 6);
    let _: Vec<_> = fill(&mut pool);
    let mut owned = pool.into_iter();
    drop(owned.next());
    assert_eq!(drops.get(), 13);
    drop(owned);
    assert_eq!(drops.get(), 18);
    let mut full = KeyedPool::new(1);
    full.insert(counted(&drops));
    drop(full.try_insert(counted(&drops)));
    assert_eq!(drops.get(), 19);
}

#[test]
fn panics_of_user_code_leave_the_pool_whole() {
    let drops = Cell::new(0);
    let (source, log) = TestSource::new();
    let builder = Pool::builder().blocks(2).max_blocks(8).source(source);
    let mut pool = builder.build_keyed().unwrap();
    let fill = |pool: &mut KeyedPool<_>| {
        drops.set(0);
        let value = |fails| Counted { drops: &drops, fails };
        [false, true, false, false].map(|fails| pool.insert(value(fails)))
    };
    fill(&mut pool);
    assert!(panic_of(|| pool.clear()).starts_with("drop "));
    assert_eq!((drops.get(), pool.len()), (4, 0));
    fill(&mut pool);
    assert!(panic_of(|| drop(pool.drain())).starts_with("drop "));
    assert_eq!((drops.get(), pool.len()), (4, 0));
    let keys = fill(&mut pool);
    assert_eq!(panic_of(|| drop(pool.remove(keys[1]))), "drop 1");
    assert!(!pool.contains(keys[1]) && pool.len() == 3);
    assert_eq!(panic_of(|| pool.retain(|key, _| key != keys[2] || panic!("no"))), "no");
    assert_eq!(pool.len(), 3);
    pool.clear();
    let keys = fill(&mut pool);
    assert_eq!(panic_of(|| pool.retain(|key, _| key != keys[1])), "drop 1");
    assert_eq!((drops.get(), pool.len()), (1, 3));
    pool.clear();
    fill(&mut pool);
    assert!(panic_of(|| drop(pool)).starts_with("drop "));
    assert_eq!(drops.get(), 4);
    log.assert_finished();
}

/// Without `std` a panic of a source ends the process.
#[cfg(feature = "std")]
#[test]
fn pool_stays_whole_when_its_source_panics_or_refuses() {
    use crate::support::Act;

    let drops = Cell::new(0);
    // The side arrays and the first slab, then a panic and a refusal for each later slab.
    let (source, log) = TestSource::with_plan(|call| match call {
        0 | 1 => Act::Give,
        call if call % 3 == 2 => Act::Panic,
        call if call % 3 == 0 => Act::Refuse,
        _ => Act::Give,
    });
    let builder = Pool::builder().blocks(1).max_blocks(3).source(source);
    let mut pool = builder.build_keyed().unwrap();
    let first = pool.insert(counted(&drops));
    panic_of(|| pool.insert(counted(&drops)));
    assert_eq!((drops.get(), pool.len(), pool.capacity()), (1, 1, 1));
    assert!(pool.try_vacant_entry().is_err());
    let second = pool.insert(counted(&drops));
    panic_of(|| pool.reserve(1));
    assert!(matches!(pool.try_reserve(1), Err(AllocError::OutOfMemory { .. })));
    pool.reserve(1);
    assert_eq!((drops.get(), pool.len(), pool.capacity()), (1, 2, 3));
    assert!(pool.contains(first) && pool.contains(second));
    drop(pool);
    assert_eq!(drops.get(), 3);
    log.assert_finished();
}

#[test]
fn reserve_takes_slabs_ahead_and_budgets_bound_them() {
    let budget = MemoryBudget::new("keyed", MemoryBudget::UNLIMITED);
    let builder = Pool::builder().blocks(1000).max_blocks(8000).budget(&budget);
    let mut pool = builder.build_keyed::<[u64; 8]>().unwrap();
    assert_eq!(pool.capacity(), 1024);
    pool.reserve(3000);
    let (capacity, used) = (pool.capacity(), budget.used());
    assert_eq!((capacity, used), (3072, pool.stats().reserved_bytes));
    let keys: HashSet<_> = (0..3072).map(|i| pool.insert([i; 8])).collect();
    assert_eq!((keys.len(), pool.capacity(), budget.used()), (3072, capacity, used));
    assert!(matches!(pool.try_reserve(5000), Err(AllocError::Exhausted { .. })));
    budget.set_limit(used);
    assert!(matches!(pool.try_reserve(1), Err(AllocError::LimitExceeded { .. })));
    assert!(matches!(pool.try_insert([0; 8]), Err(AllocError::LimitExceeded { .. })));
    assert!(panic_of(|| pool.reserve(1)).contains("keyed"));
    let other = MemoryBudget::new("other", MemoryBudget::UNLIMITED);
    pool.move_to(&other);
    assert_eq!((budget.used(), other.used()), (0, used));
    pool.clear();
    pool.trim(1025);
    assert_eq!((pool.capacity(), other.used()), (2048, pool.stats().reserved_bytes));
}

#[test]
fn threads_read_one_pool_at_the_same_time() {
    let mut pool = growing(8, 64);
    let keys: Vec<_> = (0..64).map(|i| pool.insert(format!("{i}"))).collect();
    let lock = RwLock::new(pool);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                let pool = lock.read().unwrap();
                assert!(keys.iter().enumerate().all(|(i, key)| pool[*key] == i.to_string()));
            });
        }
    });
    let mut pool = lock.into_inner().unwrap();
    std::thread::spawn(move || assert_eq!(pool.drain().count(), 64)).join().unwrap();
}

/// A pool of which each call is made by Rust or by C in turn.
struct Both {
    pool: KeyedPool<u64>,
    turn: bool,
}

impl Both {
    fn by_c(&mut self) -> Option<*mut ffi::aegis_keyed_pool> {
        self.turn = !self.turn;
        self.turn.then(|| self.pool.as_raw())
    }

    fn insert(&mut self, value: u64) -> Option<PoolKey> {
        let Some(raw) = self.by_c() else { return self.pool.try_insert(value).ok() };
        let mut key = 0;
        // SAFETY: the pool is ours, and its blocks have the layout of a `u64`.
        let block = unsafe { ffi::aegis_keyed_pool_alloc(raw, &mut key) }.cast::<u64>();
        if block.is_null() {
            assert_eq!(key, 0);
            return None;
        }
        // SAFETY: as above.
        unsafe { block.write(value) };
        PoolKey::from_u64(key)
    }

    fn get(&mut self, key: PoolKey) -> Option<u64> {
        let Some(raw) = self.by_c() else { return self.pool.get(key).copied() };
        // SAFETY: the pool is ours, and each valid key has a `u64`.
        unsafe { ffi::aegis_keyed_pool_get(raw, key.into()).cast::<u64>().as_ref().copied() }
    }

    fn remove(&mut self, key: PoolKey) -> bool {
        let Some(raw) = self.by_c() else { return self.pool.remove(key).is_some() };
        // SAFETY: the pool is ours, and a `u64` needs no drop.
        unsafe { ffi::aegis_keyed_pool_free(raw, key.into()) == ffi::AEGIS_OK as _ }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_work_agrees_with_a_map(
        ops in prop::collection::vec(any::<u32>(), 0..400),
        blocks in 1_usize..20,
        more in 0_usize..60,
        clean: bool,
        turn: bool,
    ) {
        let max = blocks + more;
        let builder = Pool::builder().blocks(blocks).max_blocks(max);
        let builder = if clean { builder } else { builder.source(TestSource::new().0) };
        let mut both = Both { pool: builder.build_keyed().unwrap(), turn };
        let mut model: HashMap<PoolKey, u64> = HashMap::new();
        let mut stale: Vec<PoolKey> = Vec::new();
        for op in ops {
            let pick = (op >> 8) as usize;
            match op % 16 {
                0..=7 => match both.insert(u64::from(op)) {
                    Some(key) => assert_eq!(model.insert(key, u64::from(op)), None),
                    None => assert_eq!(model.len(), max),
                },
                8..=12 if !model.is_empty() => {
                    let key = *model.keys().nth(pick % model.len()).unwrap();
                    assert!(both.remove(key));
                    model.remove(&key);
                    stale.push(key);
                }
                13 => {
                    let keep = |key: &PoolKey| key.index() % 3 != pick % 3;
                    both.pool.retain(|key, _| keep(&key));
                    stale.extend(model.keys().filter(|key| !keep(key)));
                    model.retain(|key, _| keep(key));
                }
                14 => both.pool.trim(pick % (max + 1)),
                _ => {
                    let room = (pick % 8).min(max - model.len());
                    both.pool.reserve(room);
                    assert!(both.pool.capacity() - both.pool.len() >= room);
                    if pick % 8 == 7 {
                        stale.extend(model.keys());
                        let drained: HashMap<_, _> = both.pool.drain().collect();
                        assert_eq!(drained, mem::take(&mut model));
                    }
                }
            }
            assert_eq!(both.pool.len(), model.len());
            assert_eq!(both.pool.stats().in_use, model.len());
            for key in stale.iter().rev().take(20) {
                assert!(both.get(*key).is_none() && !both.remove(*key));
            }
            for (key, value) in model.iter().take(10) {
                assert_eq!(both.get(*key), Some(*value));
            }
        }
        let all: HashMap<_, _> = both.pool.iter().map(|(key, value)| (key, *value)).collect();
        assert_eq!(all, model);
        assert!(stale.iter().all(|key| !both.pool.contains(*key)));
    }
}

#[test]
fn pool_of_values_of_one_thread_stays_on_it() {
    // What may cross threads is asserted in `tests/objects/send_sync.rs`.
    let mut pool = KeyedPool::new(1);
    let value = Rc::new(1);
    let key = pool.insert(Rc::clone(&value));
    assert_eq!(Rc::strong_count(&pool[key]), 2);
    drop(pool);
    assert_eq!(Rc::strong_count(&value), 1);
}
