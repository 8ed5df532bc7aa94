// SPDX-License-Identifier: Apache-2.0
//! How caches are made: the source, the budget, and what happens when either refuses.

use crate::support::{Act, TestSource};
use crate::user_store::{good, UserStore};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::cache::{CacheErrorKind, PageCache};
use std::time::Duration;

#[test]
fn source_that_refuses_at_any_step_leaves_nothing_behind() {
    let mut failures = 0;
    loop {
        let (source, log) =
            TestSource::with_plan(move |at| if at < failures { Act::Give } else { Act::Refuse });
        let cache = PageCache::builder().frames(64).source(source).build();
        match cache {
            Ok(cache) => {
                drop(cache);
                log.assert_finished();
                break;
            }
            Err(error) => {
                assert_eq!(error.kind(), CacheErrorKind::Memory, "{error}");
                assert!(error.alloc_error().is_some());
                log.assert_finished();
            }
        }
        failures += 1;
    }
    assert!(failures > 2);
}

#[test]
fn source_that_panics_continues_from_the_build_or_from_the_resize() {
    let (source, log) = TestSource::with_plan(|_| Act::Panic);
    let message =
        crate::support::panic_of(|| PageCache::builder().frames(64).source(source).build().is_ok());
    assert!(!message.is_empty());
    log.assert_finished();
}

/// The memory of this source is full of dirt, and a store that is written in Rust must not see it
/// as bytes without a value. It sees zeros.
#[test]
fn frames_are_zeroed_when_the_source_does_not_zero() {
    let (source, _log) = TestSource::new();
    let (store, _) = UserStore::new(8, good);
    let cache = PageCache::builder().frames(8).source(source).build().unwrap();
    let file = cache.open(store).unwrap();
    let aegis_memory::cache::BeginRead::Pending(read) = cache.begin_read(file, 0).unwrap() else {
        panic!("it is not there");
    };
    assert_eq!(read[..], [0; 4096]);
}

#[test]
fn budget_is_charged_for_the_whole_cache() {
    let budget = MemoryBudget::new("cache", 16 << 20);
    let builder = PageCache::builder().frames(1024).max_frames(2048).budget(&budget);
    let cache = builder.frame_timeout(Duration::from_millis(1)).build().unwrap();
    let stats = cache.stats();
    assert_eq!(budget.used(), stats.reserved_bytes);
    assert!(stats.overhead_bytes <= 64 * 2048 + 8192, "{}", stats.overhead_bytes);
    drop(cache);
    assert_eq!(budget.used(), 0);
}
