// SPDX-License-Identifier: Apache-2.0
//! Pages as buffers.

use crate::support::{Log, TestSource};
use aegis_memory::cache::{CacheErrorKind, MemoryStore, PageCache};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::Arc;
use std::thread;

#[test]
fn buffer_pins_its_page_as_long_as_a_view_lives() {
    let cache = PageCache::new(8);
    let file = cache.open(MemoryStore::new()).unwrap();
    for page in 0..8 {
        cache.fresh(file, page).unwrap().fill(page as u8);
    }
    let page = cache.read(file, 3).unwrap();
    let address = page.as_ptr();
    let buffer = page.into_buffer().unwrap();
    assert_eq!((buffer.as_ptr(), buffer.len()), (address, 4096), "no copy");
    let slice = thread::spawn(move || buffer.slice(10..20)).join().unwrap();
    assert!(cache.try_write(file, 3).is_err());
    assert!(cache.read(file, 3).is_ok(), "others may read it");
    assert_eq!(cache.stats().buffer_count, 1);
    for page in 8..50 {
        cache.fresh(file, page).unwrap();
    }
    assert_eq!(slice, [3; 10]);
    assert_eq!(cache.close(file).unwrap_err().kind(), CacheErrorKind::Pinned);
    drop(slice);
    assert!(cache.try_write(file, 3).is_ok());
    cache.close(file).unwrap();
    assert_eq!(cache.stats().buffer_count, 0);
}

#[test]
fn buffer_keeps_the_memory_of_a_cache_that_was_dropped() {
    let (source, log): (_, Arc<Log>) = TestSource::new();
    let cache = PageCache::builder().frames(8).source(source).build().unwrap();
    let file = cache.open(MemoryStore::new()).unwrap();
    cache.fresh(file, 0).unwrap().fill(7);
    let buffer = cache.read(file, 0).unwrap().into_buffer().unwrap();
    cache.finish().unwrap();
    assert_eq!((log.drops.load(SeqCst), &buffer[..3]), (0, &[7; 3][..]));
    drop(buffer);
    log.assert_finished();
}
