// SPDX-License-Identifier: Apache-2.0
//! Reads in two steps.

use aegis_memory::cache::{
    BeginRead, CacheErrorKind, Crc32c, FileId, MemoryStore, PageCache, PageStore, ReadToken,
};
use std::error::Error;
use std::io;
use std::mem;
use std::thread;

fn cache_of(frames: usize) -> (PageCache, FileId) {
    let store = MemoryStore::new();
    store.truncate(100, 4096).unwrap();
    let cache = PageCache::new(frames);
    let file = cache.open(store).unwrap();
    (cache, file)
}

fn begun(cache: &PageCache, file: FileId, page: u64) -> ReadToken<'_> {
    match cache.begin_read(file, page).unwrap() {
        BeginRead::Pending(read) => read,
        BeginRead::Ready(_) => panic!("it is resident"),
    }
}

#[test]
fn page_that_was_read_is_published_to_all_who_wait() {
    let (cache, file) = cache_of(8);
    let mut read = begun(&cache, file, 3);
    assert_eq!((read.page(), read.file(), read.len()), (3, file, 4096));
    assert_eq!(cache.begin_read(file, 3).unwrap_err().kind(), CacheErrorKind::Pinned);
    thread::scope(|threads| {
        let other = threads.spawn(|| cache.read(file, 3).map(|page| page[0]).unwrap());
        while cache.stats().join_count == 0 {
            thread::yield_now();
        }
        read[0] = 7;
        // Another thread may complete it.
        let page = threads.spawn(move || read.complete(Ok(())).unwrap()).join().unwrap();
        assert_eq!((page[0], other.join().unwrap()), (7, 7));
    });
    assert!(matches!(cache.begin_read(file, 3).unwrap(), BeginRead::Ready(page) if page[0] == 7));
    assert_eq!(cache.stats().pinned_count, 0);
}

#[test]
fn error_of_a_read_is_told_to_all_who_wait() {
    let (cache, file) = cache_of(8);
    let read = begun(&cache, file, 3);
    thread::scope(|threads| {
        let other = threads.spawn(|| cache.read(file, 3).map(drop).unwrap_err());
        while cache.stats().join_count == 0 {
            thread::yield_now();
        }
        let error = read.complete(Err(io::Error::other("no power"))).unwrap_err();
        for error in [error, other.join().unwrap()] {
            assert_eq!((error.kind(), error.page()), (CacheErrorKind::Read, Some(3)));
            assert_eq!(error.source().unwrap().to_string(), "no power");
        }
    });
    assert!(cache.read(file, 3).is_ok());
}

#[test]
fn token_that_is_dropped_ends_the_read_with_an_error() {
    let (cache, file) = cache_of(8);
    let read = begun(&cache, file, 3);
    thread::scope(|threads| {
        let other = threads.spawn(|| cache.read(file, 3).map(drop).unwrap_err());
        while cache.stats().join_count == 0 {
            thread::yield_now();
        }
        drop(read);
        assert_eq!(other.join().unwrap().kind(), CacheErrorKind::Read);
    });
    let stats = cache.stats();
    assert_eq!((stats.free_count, stats.resident_count), (8, 0));
}

#[test]
fn read_is_verified_when_it_is_completed() {
    let cache = PageCache::new(8);
    let file = cache.open_with(MemoryStore::new(), Crc32c::at(0)).unwrap();
    let mut read = begun(&cache, file, 3);
    read.fill(7);
    assert_eq!(read.complete(Ok(())).unwrap_err().kind(), CacheErrorKind::Verify);
    let mut read = begun(&cache, file, 3);
    read.fill(0);
    assert!(read.complete(Ok(())).is_ok(), "a hole");
}

#[test]
fn read_does_not_begin_without_a_frame_that_is_free_and_clean() {
    let (cache, file) = cache_of(8);
    let held: Vec<_> = (0..8).map(|page| cache.read(file, page).unwrap()).collect();
    assert_eq!(cache.begin_read(file, 50).unwrap_err().kind(), CacheErrorKind::AllPinned);
    drop(held);
    for page in 0..8 {
        cache.write(file, page).unwrap()[0] = 1;
    }
    assert_eq!(cache.begin_read(file, 50).unwrap_err().kind(), CacheErrorKind::AllDirty);
    cache.clean(1).unwrap();
    assert!(begun(&cache, file, 50).complete(Ok(())).is_ok());
}

#[test]
fn token_that_is_forgotten_costs_one_frame() {
    let (cache, file) = cache_of(8);
    mem::forget(begun(&cache, file, 3));
    for page in 10..100 {
        cache.read(file, page).unwrap();
    }
    assert_eq!(cache.finish().unwrap_err().1.kind(), CacheErrorKind::Pinned);
}
