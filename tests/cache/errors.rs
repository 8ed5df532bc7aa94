// SPDX-License-Identifier: Apache-2.0
//! Errors: their kinds, texts, sources, and what they are as errors of input and output.

use crate::user_store::{failing, good, Call, UserStore};
use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::cache::{CacheError, CacheErrorKind, MemoryStore, PageCache};
use aegis_memory::AllocError;
use std::error::Error;
use std::io;
use std::sync::Arc;

#[test]
fn error_of_a_user_store_is_the_source() {
    let (store, _) = UserStore::new(8, failing(Call::Read, "bad sector"));
    let cache = PageCache::new(8);
    let file = cache.open(Arc::clone(&store)).unwrap();
    let error = cache.read(file, 3).unwrap_err();
    assert_eq!(
        (error.kind(), error.file(), error.page()),
        (CacheErrorKind::Read, Some(file), Some(3))
    );
    let source = error.source().expect("the store's error");
    assert_eq!(source.downcast_ref::<io::Error>().unwrap().to_string(), "bad sector");
    assert!(error.to_string().contains("page 3"), "{error}");
    assert!(format!("{error:?}").contains("kind: Read"), "{error:?}");
    let same = error.clone();
    drop(cache);
    assert_eq!(same.source().unwrap().to_string(), "bad sector", "it outlives the cache");
    let as_io = io::Error::from(error);
    assert!(as_io.get_ref().unwrap().is::<CacheError>());
}

#[test]
fn latest_error_of_a_store_is_the_source() {
    let (store, _) = UserStore::new(8, failing(Call::Read, "the first"));
    let cache = PageCache::new(8);
    let file = cache.open(Arc::clone(&store)).unwrap();
    cache.read(file, 0).unwrap_err();
    store.set(|_| Err(io::ErrorKind::TimedOut.into()));
    let error = cache.read(file, 0).unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "timed out");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
    store.set(crate::user_store::panicking(Call::Read, "no"));
    crate::support::panic_of(|| cache.read(file, 0).is_ok());
    store.set(good);
    assert_eq!(cache.read(file, 100).unwrap_err().source().map(ToString::to_string), None);
}

#[test]
fn read_whose_length_is_unknown_has_the_error_of_the_length() {
    let (store, _) = UserStore::new(2, failing(Call::Len, "no length"));
    let cache = PageCache::new(8);
    let file = cache.open(store).unwrap();
    let error = cache.read(file, 5).unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Read);
    assert_eq!(error.source().unwrap().to_string(), "no length");
}

#[test]
fn refusal_of_a_budget_is_the_source_and_outlives_the_budget() {
    let error = {
        let budget = MemoryBudget::new("small", 1 << 16);
        PageCache::builder().frames(100).budget(&budget).build().unwrap_err()
    };
    assert_eq!(error.kind(), CacheErrorKind::Memory);
    assert!(matches!(error.alloc_error(), Some(AllocError::LimitExceeded { .. })));
    assert!(error.to_string().contains("'small'"), "{error}");
    assert!(error.source().unwrap().is::<AllocError>());
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::OutOfMemory);
}

#[test]
fn settings_that_are_not_allowed_are_named() {
    let page_size = |bytes| PageCache::builder().frames(8).page_size(bytes).build().map(drop);
    for bytes in [1, 256, 513, 3 << 10, 2 << 20, usize::MAX] {
        let error = page_size(bytes).unwrap_err();
        assert_eq!(error.kind(), CacheErrorKind::Invalid);
        assert!(error.to_string().contains(&format!("{bytes} bytes requested")), "{error}");
    }
    for bytes in [512, 1 << 20] {
        page_size(bytes).unwrap();
    }
    let frames = |first, most| PageCache::builder().frames(first).max_frames(most).build();
    for (first, most) in [(0, 0), ((1 << 30) + 1, 0), (9, 8), (8, usize::MAX)] {
        let error = frames(first, most).map(drop).unwrap_err();
        assert_eq!(error.kind(), CacheErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("frames requested"), "{error}");
    }
    let message = crate::support::panic_of(|| PageCache::new(0));
    assert!(message.contains("0 frames requested"), "{message}");
}

#[test]
fn kinds_of_errors_as_errors_of_input_and_output() {
    let cache = PageCache::new(1);
    let file = cache.open(MemoryStore::new()).unwrap();
    let beyond = cache.read(file, 0).unwrap_err();
    let page = cache.fresh(file, 0).unwrap();
    let all_pinned = cache.fresh(file, 1).unwrap_err();
    let pinned = cache.try_read(file, 0).unwrap_err();
    drop(page);
    cache.close(file).unwrap();
    let no_file = cache.read(file, 0).unwrap_err();
    let invalid = cache.resize(0).unwrap_err();
    let of_memory = CacheError::from(Arena::default().try_alloc(usize::MAX).unwrap_err());
    for (error, kind) in [
        (beyond, io::ErrorKind::UnexpectedEof),
        (all_pinned, io::ErrorKind::WouldBlock),
        (pinned, io::ErrorKind::WouldBlock),
        (no_file, io::ErrorKind::NotFound),
        (invalid, io::ErrorKind::InvalidInput),
        (of_memory, io::ErrorKind::OutOfMemory),
    ] {
        let text = error.to_string();
        let error = io::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (kind, text));
    }
}
