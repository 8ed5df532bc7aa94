// SPDX-License-Identifier: Apache-2.0
//! Several threads on one cache: each change of a page is seen, and nothing is lost, while pages
//! are evicted, written by a cleaner, and read again.

use crate::user_store::{good, UserStore};
use aegis_memory::cache::{Hint, MemoryStore, PageCache, PageStore};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const PAGES: u64 = 64;
const ROUNDS: u64 = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn count_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

#[test]
fn no_increment_is_lost() {
    let store = Arc::new(MemoryStore::new());
    store.truncate(PAGES, 4096).unwrap();
    let builder = PageCache::builder().frames(24).max_frames(48).cleaner(Duration::from_millis(1));
    let cache = builder.frame_timeout(Duration::from_secs(10)).build().unwrap();
    let file = cache.open(Arc::clone(&store)).unwrap();
    let made: Vec<AtomicU64> = (0..PAGES).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|threads| {
        for seed in 1..=4_u64 {
            let (cache, made) = (&cache, &made);
            threads.spawn(move || {
                let mut state = seed;
                for _ in 0..ROUNDS {
                    let page = random(&mut state) % PAGES;
                    let increment = |bytes: &mut [u8]| {
                        let next = count_of(bytes) + 1;
                        bytes[..8].copy_from_slice(&next.to_le_bytes());
                        bytes[4088..].copy_from_slice(&next.to_le_bytes());
                        made[page as usize].fetch_add(1, SeqCst);
                    };
                    match random(&mut state) % 8 {
                        0..=1 => increment(&mut cache.write(file, page).unwrap()),
                        2 => {
                            let pin = cache.read_with(file, page, Hint::Once).unwrap();
                            if let Ok(mut pin) = pin.upgrade() {
                                increment(&mut pin);
                                let pin = pin.downgrade();
                                assert_eq!(pin[..8], pin[4088..]);
                            }
                        }
                        3 => drop(cache.try_write(file, page).map(|mut pin| increment(&mut pin))),
                        4 => {
                            let buffer = cache.read(file, page).unwrap().into_buffer().unwrap();
                            assert_eq!(buffer[..8], buffer[4088..]);
                        }
                        _ => {
                            let pin = cache.read(file, page).unwrap();
                            assert_eq!(pin[..8], pin[4088..], "nobody writes meanwhile");
                            assert!(count_of(&pin) <= made[page as usize].load(SeqCst) + 4);
                        }
                    }
                }
            });
        }
        let cache = &cache;
        threads.spawn(move || {
            for round in 0..20 {
                // A slab may be pinned at the moment.
                _ = cache.resize(if round % 2 == 0 { 48 } else { 24 });
                cache.flush(file).unwrap();
            }
        });
    });
    for page in 0..PAGES {
        assert_eq!(count_of(&cache.read(file, page).unwrap()), made[page as usize].load(SeqCst));
    }
    assert_eq!(cache.stats().pinned_count, 0);
    cache.finish().unwrap();
    for page in 0..PAGES {
        let mut bytes = [0; 4096];
        store.read(page, &mut [&mut bytes]).unwrap();
        assert_eq!(count_of(&bytes), made[page as usize].load(SeqCst));
    }
}

#[test]
fn threads_that_miss_the_same_page_read_it_once() {
    let (store, _) = UserStore::new(PAGES, |_| {
        thread::sleep(Duration::from_millis(1));
        Ok(())
    });
    let cache = PageCache::new(128);
    let file = cache.open(Arc::clone(&store)).unwrap();
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| (0..PAGES).for_each(|page| drop(cache.read(file, page).unwrap())));
        }
    });
    let stats = cache.stats();
    assert_eq!((store.reads.load(SeqCst) as u64, stats.read_error_count), (PAGES, 0));
    store.set(good);
}

#[test]
fn thread_waits_for_a_frame_that_another_one_gives_up() {
    let cache = PageCache::builder().frames(1).frame_timeout(Duration::MAX).build().unwrap();
    let file = cache.open(MemoryStore::new()).unwrap();
    let page = cache.fresh(file, 0).unwrap().downgrade();
    thread::scope(|threads| {
        let other = threads.spawn(|| cache.fresh(file, 1).map(drop).is_ok());
        while cache.stats().frame_wait_count == 0 {
            thread::yield_now();
        }
        drop(page);
        assert!(other.join().unwrap());
    });
}
