// SPDX-License-Identifier: Apache-2.0
//! Files: opening, closing, their numbers, and the ends of their stores.

use crate::user_store::{good, UserStore};
use aegis_memory::cache::{CacheErrorKind, MemoryStore, PageCache, PageStore};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::Arc;

#[test]
fn files_do_not_see_each_other() {
    let cache = PageCache::new(64);
    let files: Vec<_> = (0..20).map(|_| cache.open(MemoryStore::new()).unwrap()).collect();
    for (at, &file) in files.iter().enumerate() {
        cache.fresh(file, 1 << 40).unwrap()[0] = at as u8;
    }
    for (at, &file) in files.iter().enumerate() {
        assert_eq!(cache.read(file, 1 << 40).unwrap()[0], at as u8);
        assert_eq!(cache.file_stats(file).unwrap().resident_count, 1);
    }
}

#[test]
fn closed_file_has_written_its_pages_and_its_number_is_no_file() {
    let (store, drops) = UserStore::new(0, good);
    let cache = PageCache::new(64);
    let file = cache.open(Arc::clone(&store)).unwrap();
    for page in [5, 3, 4] {
        cache.fresh(file, page).unwrap()[0] = page as u8;
    }
    cache.close(file).unwrap();
    assert_eq!(*store.batches.lock().unwrap(), [[3, 4, 5]], "one batch, in page order");
    let error = cache.read(file, 3).unwrap_err();
    assert_eq!((error.kind(), error.file()), (CacheErrorKind::NoFile, Some(file)));
    assert_eq!(cache.close(file).unwrap_err().kind(), CacheErrorKind::NoFile);
    assert_eq!(cache.flush(file).unwrap_err().kind(), CacheErrorKind::NoFile);
    assert_eq!(cache.file_stats(file).unwrap_err().kind(), CacheErrorKind::NoFile);
    let again = cache.open(MemoryStore::new()).unwrap();
    assert_ne!(again, file, "the place is used again with another number");
    assert_eq!(drops.load(SeqCst), 0, "the test has it");
    drop(store);
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn file_with_a_pinned_page_is_not_closed() {
    let (store, drops) = UserStore::new(8, good);
    let cache = PageCache::new(64);
    let file = cache.open(store).unwrap();
    let page = cache.read(file, 3).unwrap();
    for error in [cache.close(file).unwrap_err(), cache.close_discarding(file).unwrap_err()] {
        assert_eq!((error.kind(), error.page()), (CacheErrorKind::Pinned, Some(3)), "{error}");
    }
    drop(page);
    assert!(cache.read(file, 3).is_ok(), "the file is open as before");
    cache.close(file).unwrap();
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn pages_of_a_file_that_is_closed_discarding_are_not_written() {
    let (store, _) = UserStore::new(0, good);
    let cache = PageCache::new(64);
    let file = cache.open(Arc::clone(&store)).unwrap();
    cache.fresh(file, 0).unwrap();
    cache.close_discarding(file).unwrap();
    assert_eq!((store.batches.lock().unwrap().len(), store.len(4096).unwrap()), (0, 0));
    assert_eq!(cache.stats().dirty_count, 0);
}

#[test]
fn store_is_dropped_once_with_the_cache_or_with_a_failure() {
    let (store, drops) = UserStore::new(8, good);
    let cache = PageCache::new(8);
    let file = cache.open_with(store, crate::hooks::Log::default()).unwrap();
    cache.write(file, 0).unwrap()[0] = 1;
    drop(cache);
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn number_of_another_cache_is_no_file_or_another_one() {
    let (one, two) = (PageCache::new(8), PageCache::new(8));
    let file = one.open(MemoryStore::new()).unwrap();
    assert_eq!(two.fresh(file, 0).unwrap_err().kind(), CacheErrorKind::NoFile);
    assert!(!two.contains(file, 0));
}
