// SPDX-License-Identifier: Apache-2.0
//! Pins: to read, to write, of new pages, with hints, without waiting; what becomes of them.

use aegis_memory::cache::{
    CacheErrorKind, Hint, MemoryStore, PageCache, PageMut, PageRef, PageStore,
};
use std::mem;
use std::time::Duration;

/// A cache that does not wait long, and a file of so many zeroed pages.
fn cache_of(frames: usize, pages: u64) -> (PageCache, aegis_memory::cache::FileId) {
    let builder = PageCache::builder().frames(frames);
    let cache = builder.latch_timeout(Duration::from_millis(5)).build().expect("there is memory");
    let store = MemoryStore::new();
    store.truncate(pages, 4096).expect("there is memory");
    let file = cache.open(store).expect("there is memory");
    (cache, file)
}

fn is_send_and_sync<T: Send + Sync>() {}

#[test]
fn guards_and_caches_go_to_other_threads() {
    is_send_and_sync::<PageCache>();
    is_send_and_sync::<PageRef<'_>>();
    is_send_and_sync::<PageMut<'_>>();
    is_send_and_sync::<aegis_memory::cache::ReadToken<'_>>();
    is_send_and_sync::<aegis_memory::cache::CacheError>();
    is_send_and_sync::<aegis_memory::cache::Faults>();
    let (cache, file) = cache_of(8, 8);
    let mut page = cache.write(file, 3).unwrap();
    let page = std::thread::scope(|threads| {
        let writer = threads.spawn(move || {
            page[7] = 9;
            page.downgrade()
        });
        writer.join().unwrap()
    });
    assert_eq!((page[7], page.page(), page.file()), (9, 3, file));
    std::thread::scope(|threads| {
        threads.spawn(move || drop(page));
    });
    assert_eq!(cache.stats().pinned_count, 0);
    assert!(cache.try_write(file, 3).is_ok());
}

#[test]
fn page_that_is_written_to_is_dirty_and_one_that_is_looked_at_is_not() {
    let (cache, file) = cache_of(8, 8);
    let page = cache.write(file, 0).unwrap();
    assert_eq!(page[..], [0; 4096]);
    assert_eq!(page.as_ref().len(), 4096);
    drop(page);
    assert_eq!(cache.stats().dirty_count, 0, "it was only read");
    let mut page = cache.write(file, 0).unwrap();
    page.as_mut()[0] = 1;
    drop(page);
    assert_eq!(cache.stats().dirty_count, 1);
    drop(cache.fresh(file, 1).unwrap());
    assert_eq!(cache.stats().dirty_count, 2, "a new page is dirty");
    cache.flush(file).unwrap();
    let mut page = cache.write(file, 0).unwrap();
    page[0] = 2;
    let page = page.downgrade();
    assert_eq!(cache.stats().dirty_count, 1, "it is dirty from the downgrade on");
    assert_eq!(page[0], 2);
}

#[test]
fn fresh_page_that_is_resident_is_zeroed() {
    let (cache, file) = cache_of(8, 8);
    cache.write(file, 0).unwrap().fill(7);
    assert_eq!(cache.fresh(file, 0).unwrap()[..], [0; 4096]);
    assert_eq!(cache.read(file, 0).unwrap()[..], [0; 4096]);
}

#[test]
fn calls_that_do_not_wait_fail_where_others_would_wait() {
    let (cache, file) = cache_of(8, 8);
    let page = cache.write(file, 0).unwrap();
    for error in [
        cache.try_read(file, 0).map(drop).unwrap_err(),
        cache.try_write(file, 0).map(drop).unwrap_err(),
        cache.try_fresh(file, 0).map(drop).unwrap_err(),
        cache.read(file, 0).map(drop).unwrap_err(),
        cache.write_with(file, 0, Hint::Keep).map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.page()), (CacheErrorKind::Pinned, Some(0)), "{error}");
    }
    drop(page);
    let page = cache.try_read(file, 0).unwrap();
    assert!(cache.try_write(file, 0).is_err() && cache.try_read(file, 0).is_ok());
    drop(page);
    assert!(cache.try_write(file, 0).is_ok() && cache.try_fresh(file, 1).is_ok());
    assert!(cache.try_read(file, 5).is_ok(), "a page that is not resident is read");
}

#[test]
fn upgrade_waits_for_the_other_readers_and_fails_with_the_pin() {
    let (cache, file) = cache_of(8, 8);
    let (page, other) = (cache.read(file, 0).unwrap(), cache.read(file, 0).unwrap());
    let (page, error) = page.try_upgrade().unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Pinned);
    let (page, error) = page.upgrade().unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Pinned, "the wait was too long");
    assert_eq!(page[0], 0, "the pin came back");
    drop(other);
    let mut page = page.try_upgrade().unwrap();
    page[0] = 1;
    assert!(cache.try_read(file, 0).is_err());
    let page = page.downgrade();
    assert_eq!(page.upgrade().unwrap()[0], 1);
    assert_eq!(cache.stats().pinned_count, 0);
}

#[test]
fn upgrade_gets_the_page_when_the_other_reader_leaves() {
    let cache = PageCache::new(8);
    let file = cache.open(MemoryStore::new()).unwrap();
    cache.fresh(file, 0).unwrap();
    let (page, other) = (cache.read(file, 0).unwrap(), cache.read(file, 0).unwrap());
    std::thread::scope(|threads| {
        let writer = threads.spawn(move || page.upgrade().map(|mut page| page[0] = 1).is_ok());
        while cache.stats().latch_wait_count == 0 {
            std::thread::yield_now();
        }
        drop(other);
        assert!(writer.join().unwrap());
    });
    assert_eq!(cache.read(file, 0).unwrap()[0], 1);
}

#[test]
fn page_that_is_pinned_is_not_evicted_and_pins_of_all_frames_are_named() {
    let (cache, file) = cache_of(8, 100);
    let held: Vec<_> = (0..8).map(|page| cache.read(file, page).unwrap()).collect();
    let error = cache.read(file, 50).unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::AllPinned);
    assert!(error.to_string().contains("8 of 8"), "{error}");
    drop(held);
    for page in 0..100 {
        assert_eq!(cache.read(file, page).unwrap().page(), page);
    }
    let stats = cache.stats();
    assert_eq!((stats.resident_count, stats.evicted_clean_count), (8, 92));
}

#[test]
fn page_that_is_used_once_is_evicted_before_one_that_is_kept() {
    let (cache, file) = cache_of(64, 10_000);
    for page in 0..32 {
        drop(cache.read_with(file, page, Hint::Keep).unwrap());
        drop(cache.read(file, page).unwrap());
    }
    for page in 100..10_000 {
        drop(cache.read_with(file, page, Hint::Once).unwrap());
    }
    let kept = (0..32).filter(|&page| cache.contains(file, page)).count();
    assert_eq!(kept, 32);
}

#[test]
fn pin_that_is_forgotten_costs_one_frame() {
    let (cache, file) = cache_of(8, 100);
    mem::forget(cache.read(file, 0).unwrap());
    mem::forget(cache.write(file, 1).unwrap());
    for page in 2..100 {
        cache.write(file, page).unwrap()[0] = page as u8;
    }
    let stats = cache.stats();
    assert_eq!((stats.resident_count, stats.pinned_count), (8, 2));
    assert_eq!(cache.read(file, 0).unwrap()[0], 0, "it can still be read");
    let (cache, error) = cache.finish().unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Pinned, "{error}");
    assert!(cache.read(file, 99).is_ok(), "the cache is as good as before");
}

#[test]
fn lsn_stays_with_the_page_until_it_is_durable() {
    let (cache, file) = cache_of(8, 8);
    for (page, lsn) in [(0, 20), (1, 10), (2, 30)] {
        let mut pin = cache.write(file, page).unwrap();
        pin[0] = 1;
        pin.set_lsn(lsn);
    }
    assert_eq!(cache.stats().oldest_dirty_lsn, 10);
    cache.flush_page(file, 1).unwrap();
    // It was written, but not synced.
    assert_eq!(cache.stats().oldest_dirty_lsn, 10);
    cache.flush(file).unwrap();
    assert_eq!(cache.stats().oldest_dirty_lsn, 0);
    let message = crate::support::panic_of(|| cache.write(file, 0).unwrap().set_lsn(0));
    assert_eq!(message, "an LSN is above 0");
    assert_eq!(cache.stats().pinned_count, 0, "the guard was dropped");
}

#[test]
fn page_gets_another_number_unless_that_is_pinned() {
    let (cache, file) = cache_of(8, 8);
    let held = cache.read(file, 3).unwrap();
    let mut page = cache.write(file, 2).unwrap();
    page[0] = 99;
    let error = page.rekey(3).unwrap_err();
    assert_eq!((error.kind(), page.page()), (CacheErrorKind::Pinned, 2), "{error}");
    drop(held);
    page.rekey(3).unwrap();
    assert_eq!(page.page(), 3);
    drop(page);
    assert_eq!(cache.read_resident(file, 3).unwrap().expect("it is resident")[0], 99);
    assert!(cache.read_resident(file, 2).unwrap().is_none());
    assert_eq!(cache.resident_count(file), 1);
    cache.close(file).unwrap();
    assert_eq!(cache.resident_count(file), 0);
    let error = cache.read_resident(file, 3).unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::NoFile, "{error}");
}

#[test]
fn half_a_million_pins_of_one_page_are_refused() {
    let (cache, file) = cache_of(8, 8);
    let mut held = Vec::new();
    let error = loop {
        match cache.read(file, 0) {
            Ok(page) => held.push(page),
            Err(error) => break error,
        }
    };
    assert_eq!((held.len(), error.kind()), (1 << 19, CacheErrorKind::TooMany), "{error}");
    drop(held);
    assert!(cache.try_write(file, 0).is_ok());
}
