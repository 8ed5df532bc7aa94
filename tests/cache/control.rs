// SPDX-License-Identifier: Apache-2.0
//! Prefetch, discard, resize, statistics, the picture, slabs, and the budget.

use crate::user_store::{good, UserStore};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::cache::{CacheErrorKind, Hint, MemoryStore, PageCache};
use std::ops::Bound;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::Arc;

#[test]
fn prefetch_reads_neighbours_in_one_call_up_to_the_end() {
    let (store, _) = UserStore::new(20, good);
    let cache = PageCache::new(64);
    let file = cache.open(Arc::clone(&store)).unwrap();
    assert_eq!(cache.prefetch(file, 4..8).unwrap(), 4);
    assert_eq!(store.reads.load(SeqCst), 1);
    assert_eq!(cache.prefetch(file, 4..=8).unwrap(), 1, "the others are there");
    assert_eq!(cache.prefetch(file, (Bound::Excluded(8), Bound::Included(9))).unwrap(), 1);
    assert_eq!(cache.prefetch_with(file, .., Hint::Once).unwrap(), 14);
    assert_eq!((cache.prefetch(file, 8..8).unwrap(), cache.prefetch(file, 30..).unwrap()), (0, 0));
    assert_eq!(cache.prefetch(file, u64::MAX..).unwrap(), 0);
    let stats = cache.stats();
    assert_eq!((stats.resident_count, stats.prefetch_count >= 20), (20, true));
    store.set(crate::user_store::failing(crate::user_store::Call::Read, "no"));
    cache.discard(file, ..).unwrap();
    assert_eq!(cache.prefetch(file, ..).unwrap_err().kind(), CacheErrorKind::Read);
}

#[test]
fn pages_that_are_discarded_are_not_written() {
    let (store, _) = UserStore::new(20, good);
    let cache = PageCache::new(64);
    let file = cache.open(Arc::clone(&store)).unwrap();
    for page in 0..10 {
        cache.write(file, page).unwrap()[0] = 1;
    }
    let page = cache.read(file, 9).unwrap();
    let error = cache.discard(file, 8..).unwrap_err();
    assert_eq!((error.kind(), error.page()), (CacheErrorKind::Pinned, Some(9)), "{error}");
    drop(page);
    assert!(cache.contains(file, 7), "it lies before the range");
    assert_eq!(cache.discard(file, 2..=3).unwrap(), 2);
    assert!(cache.discard(file, ..).unwrap() >= 7);
    cache.flush(file).unwrap();
    assert!(store.batches.lock().unwrap().is_empty());
    assert_eq!(cache.read(file, 0).unwrap()[0], 0);
}

#[test]
fn resize_keeps_every_page() {
    let (store, _) = UserStore::new(0, good);
    let cache = PageCache::builder().frames(16).max_frames(256).build().unwrap();
    let file = cache.open(store).unwrap();
    let mut made = 0;
    for (frames, pages) in [(256, 250), (16, 300), (100, 350), (1, 400)] {
        for page in made..pages {
            cache.fresh(file, page).unwrap();
        }
        made = pages;
        for page in 0..pages {
            cache.write(file, page).unwrap()[..8].copy_from_slice(&(page + pages).to_le_bytes());
        }
        cache.resize(frames).unwrap();
        for page in 0..pages {
            assert_eq!(cache.read(file, page).unwrap()[..8], (page + pages).to_le_bytes());
        }
    }
    let page = cache.read(file, 0).unwrap();
    assert_eq!(cache.resize(257).unwrap_err().kind(), CacheErrorKind::Invalid);
    assert_eq!(cache.resize(0).unwrap_err().kind(), CacheErrorKind::Invalid);
    drop(page);
}

#[test]
fn statistics_are_shown_with_a_line_each_and_over_a_window() {
    let cache = PageCache::new(64);
    let file = cache.open(MemoryStore::new()).unwrap();
    cache.fresh(file, 0).unwrap()[0] = 1;
    assert_eq!(cache.stats().hit_ratio(), 1.0, "nobody has missed");
    for _ in 0..3 {
        cache.read(file, 0).unwrap();
    }
    let before = cache.stats();
    cache.flush(file).unwrap();
    cache.discard(file, ..).unwrap();
    cache.read(file, 0).unwrap();
    cache.read_with(file, 0, Hint::Once).unwrap();
    let stats = cache.stats();
    let window = stats.since(&before);
    assert_eq!((window.hit_count, window.miss_count, window.hit_ratio()), (1, 1, 0.5));
    assert_eq!((window.fresh_count, window.sync_count, window.resident_count), (0, 1, 1));
    assert_eq!((stats.hit_count, stats.miss_count, stats.hit_ratio()), (4, 1, 0.8));
    let text = stats.to_string();
    assert_eq!(text.lines().count(), 31, "{text}");
    assert!(text.starts_with("page_bytes") && text.contains("4.0 KiB"), "{text}");
    let picture = cache.layout().to_string();
    assert!(picture.starts_with("page cache: 64 frames of 4096 bytes, 1 resident"), "{picture}");
    assert!(picture.contains(&format!("file {}", file.number())), "{picture}");
    assert_eq!(format!("{:?}", cache.layout()), picture);
    assert!(format!("{cache:?}").contains("resident_count: 1"));
    let of_file = cache.file_stats(file).unwrap();
    assert_eq!((of_file.resident_count, of_file.temperature_counts.iter().sum()), (1, 1_usize));
}

#[test]
fn pages_lie_in_the_slabs() {
    let cache = PageCache::builder().frames(64).max_frames(128).build().unwrap();
    let file = cache.open(MemoryStore::new()).unwrap();
    let slabs: Vec<_> = cache.slabs().collect();
    assert_eq!(slabs.iter().map(|slab| slab.frame_count).sum::<usize>(), 64);
    assert!(slabs.iter().all(|slab| slab.base.as_ptr() as usize % 4096 == 0));
    for page in 0..64 {
        let pin = cache.fresh(file, page).unwrap();
        let at = pin.as_ptr() as usize;
        let holds = |slab: &aegis_memory::cache::PageSlab| {
            let base = slab.base.as_ptr() as usize;
            (base..base + slab.size_bytes).contains(&at)
        };
        assert!(slabs.iter().any(holds) && at % 4096 == 0);
    }
    cache.resize(8).unwrap();
    assert_eq!(cache.slabs().map(|slab| slab.frame_count).sum::<usize>(), 8);
}

#[test]
fn cache_gives_frames_to_its_budget_and_takes_them_back() {
    let server = MemoryBudget::new("server", MemoryBudget::UNLIMITED);
    let pages = server.child("pages", MemoryBudget::UNLIMITED);
    let builder = PageCache::builder().frames(512).min_frames(64).budget(&pages);
    let cache = builder.reclaimable(true).reclaim_priority(3).build().unwrap();
    let file = cache.open(MemoryStore::new()).unwrap();
    for page in 0..512 {
        cache.fresh(file, page).unwrap()[..8].copy_from_slice(&page.to_le_bytes());
    }
    // Where a checker watches, a frame takes more than its page.
    let used = server.used();
    server.set_limit(used + (1 << 20));
    let query = server.reserve((1 << 20) + used / 2);
    let stats = cache.stats();
    assert!((64..512).contains(&stats.frame_count) && stats.reclaimed_frame_count > 0);
    for page in 0..512_u64 {
        assert_eq!(cache.read(file, page).unwrap()[..8], page.to_le_bytes());
    }
    drop(query);
    for page in 0..5000 {
        drop(cache.read(file, page % 512).unwrap());
    }
    assert!(cache.stats().frame_count > stats.frame_count);
    drop(cache);
    assert_eq!(pages.used(), 0);
}
