// SPDX-License-Identifier: Apache-2.0
//! Write-back: flush, clean, the thread that cleans, failed writes and syncs, and the end of a
//! cache.

use crate::user_store::{failing, good, Call, UserStore};
use aegis_memory::cache::{CacheErrorKind, MemoryStore, PageCache, PageStore};
use std::error::Error;
use std::mem;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::Arc;
use std::time::Duration;

fn first_byte(store: &impl PageStore, page: u64) -> u8 {
    let mut bytes = [0; 4096];
    store.read(page, &mut [&mut bytes]).unwrap();
    bytes[0]
}

#[test]
fn flush_writes_neighbours_in_one_batch_and_syncs() {
    let (store, _) = UserStore::new(0, good);
    let cache = PageCache::new(64);
    let file = cache.open(Arc::clone(&store)).unwrap();
    for page in [9, 2, 1, 8, 0] {
        cache.fresh(file, page).unwrap()[0] = 1;
    }
    cache.flush(file).unwrap();
    assert_eq!(store.batches.lock().unwrap().concat(), [0, 1, 2, 8, 9]);
    let stats = cache.stats();
    assert_eq!((stats.write_page_count, stats.sync_count, stats.dirty_count), (5, 1, 0));
    cache.flush(file).unwrap();
    assert_eq!(cache.stats().write_page_count, 5, "nothing is dirty");
}

#[test]
fn flush_all_flushes_the_other_files_after_an_error() {
    let (bad, _) = UserStore::new(0, failing(Call::Write, "the disk is full"));
    let (other, _) = UserStore::new(0, good);
    let cache = PageCache::new(64);
    let of_bad = cache.open(bad).unwrap();
    let of_other = cache.open(Arc::clone(&other)).unwrap();
    cache.fresh(of_bad, 0).unwrap();
    cache.fresh(of_other, 0).unwrap();
    let error = cache.flush_all().unwrap_err();
    assert_eq!((error.kind(), error.file()), (CacheErrorKind::Write, Some(of_bad)), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "the disk is full");
    assert_eq!(other.batches.lock().unwrap().len(), 1);
    cache.close_discarding(of_bad).unwrap();
}

#[test]
fn page_that_could_not_be_written_stays_dirty() {
    let (store, _) = UserStore::new(0, failing(Call::Write, "no"));
    let cache = PageCache::new(64);
    let file = cache.open(Arc::clone(&store)).unwrap();
    cache.fresh(file, 0).unwrap()[0] = 5;
    for error in [
        cache.flush(file).unwrap_err(),
        cache.flush_page(file, 0).unwrap_err(),
        cache.clean(10).map(drop).unwrap_err(),
        cache.close(file).unwrap_err(),
    ] {
        assert_eq!(error.kind(), CacheErrorKind::Write, "{error}");
        assert_eq!(error.source().unwrap().to_string(), "no");
    }
    let stats = cache.stats();
    assert_eq!((stats.dirty_count, stats.write_error_count), (1, 4));
    store.set(good);
    assert_eq!(cache.clean(10).unwrap(), 1);
    assert_eq!(first_byte(&*store, 0), 5);
}

#[test]
fn failed_sync_makes_the_pages_dirty_again() {
    let (store, _) = UserStore::new(0, failing(Call::Sync, "it is gone"));
    let cache = PageCache::new(64);
    let file = cache.open(Arc::clone(&store)).unwrap();
    for page in 0..5 {
        cache.fresh(file, page).unwrap()[0] = 5;
    }
    let error = cache.flush(file).unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Sync, "{error}");
    assert_eq!(error.source().unwrap().to_string(), "it is gone");
    assert_eq!(cache.stats().dirty_count, 5);
    assert_eq!(cache.file_stats(file).unwrap().sync_error_count, 1);
    store.set(good);
    cache.flush(file).unwrap();
    assert_eq!(cache.stats().write_page_count, 10, "all were written again");
}

#[test]
fn sync_that_failed_after_an_eviction_is_never_forgotten() {
    let (store, _) = UserStore::new(0, failing(Call::Sync, "it is gone"));
    let cache = PageCache::new(8);
    let file = cache.open(Arc::clone(&store)).unwrap();
    for page in 0..100 {
        cache.fresh(file, page).unwrap()[0] = 5;
    }
    assert_eq!(cache.flush(file).unwrap_err().kind(), CacheErrorKind::Sync);
    store.set(good);
    for _ in 0..2 {
        assert_eq!(cache.flush(file).unwrap_err().kind(), CacheErrorKind::Lost);
    }
    assert!(cache.file_stats(file).unwrap().lost);
    assert_eq!(cache.close(file).unwrap_err().kind(), CacheErrorKind::Lost);
    cache.close_discarding(file).unwrap();
}

#[test]
fn cleaner_writes_what_is_dirty_and_ends_with_the_cache() {
    let (store, drops) = UserStore::new(0, failing(Call::Write, "not yet"));
    let cache = PageCache::builder().frames(64).cleaner(Duration::from_millis(1)).build().unwrap();
    let file = cache.open(Arc::clone(&store)).unwrap();
    for page in 0..50 {
        cache.fresh(file, page).unwrap()[0] = 5;
    }
    while cache.stats().write_error_count < 3 {
        std::thread::yield_now();
    }
    assert_eq!(cache.stats().dirty_count, 50, "nothing is lost, and it goes on");
    store.set(crate::user_store::panicking(Call::Write, "the cleaner lives on"));
    let errors = cache.stats().write_error_count;
    while cache.stats().write_error_count < errors + 3 {
        std::thread::yield_now();
    }
    store.set(good);
    while cache.stats().dirty_count != 0 {
        std::thread::yield_now();
    }
    assert_eq!(first_byte(&*store, 49), 5);
    store.set(failing(Call::Sync, "no"));
    let (cache, error) = cache.finish().unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Sync);
    store.set(good);
    cache.fresh(file, 0).unwrap()[0] = 6;
    while cache.stats().dirty_count != 0 {
        std::thread::yield_now();
    }
    cache.finish().unwrap();
    drop(store);
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn drop_writes_and_syncs_all_files() {
    let (store, _) = UserStore::new(0, good);
    let cache = PageCache::new(64);
    let file = cache.open(Arc::clone(&store)).unwrap();
    cache.fresh(file, 3).unwrap()[0] = 5;
    drop(cache);
    assert_eq!(first_byte(&*store, 3), 5);
}

#[test]
fn drop_writes_the_other_pages_when_a_pin_was_forgotten() {
    let (store, drops) = UserStore::new(0, good);
    let builder = PageCache::builder().frames(64).latch_timeout(Duration::from_millis(5));
    let cache = builder.build().unwrap();
    let file = cache.open(Arc::clone(&store)).unwrap();
    mem::forget(cache.fresh(file, 0).unwrap());
    mem::forget(cache.fresh(file, 1).unwrap().downgrade());
    cache.fresh(file, 3).unwrap()[0] = 5;
    drop(cache);
    assert_eq!(first_byte(&*store, 3), 5);
    drop(store);
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn drop_ends_the_cache_though_its_pages_cannot_be_written() {
    let (store, drops) = UserStore::new(0, failing(Call::Write, "no"));
    let cache = PageCache::builder().frames(64).cleaner(Duration::from_millis(1)).build().unwrap();
    let file = cache.open(store).unwrap();
    cache.fresh(file, 3).unwrap()[0] = 5;
    drop(cache);
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn finish_says_what_could_not_be_written_and_loses_nothing() {
    let (store, drops) = UserStore::new(0, failing(Call::Write, "no"));
    let cache = PageCache::new(64);
    let file = cache.open(Arc::clone(&store)).unwrap();
    let other = cache.open(MemoryStore::new()).unwrap();
    cache.fresh(file, 3).unwrap()[0] = 5;
    cache.fresh(other, 3).unwrap()[0] = 5;
    let (cache, error) = cache.finish().unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Write);
    assert_eq!(cache.read(file, 3).unwrap()[0], 5);
    store.set(good);
    cache.finish().unwrap();
    assert_eq!(first_byte(&*store, 3), 5);
    drop(store);
    assert_eq!(drops.load(SeqCst), 1);
}
