// SPDX-License-Identifier: Apache-2.0
//! The table of `tests/out_of_memory.rs` for page caches and their stores.

use aegis_memory::cache::{
    BeginRead, CacheError, Crc32c, FaultOptions, FaultStore, FileId, FileOptions, FileStore, Hint,
    MemoryStore, PageCache, PageHooks, PageStore, PageWrite,
};
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::Arc;

use crate::failing_heap::{Row, Text};
use crate::{full, Counted};

/// A store of the user, which the core calls by way of Rust.
struct User(MemoryStore, #[allow(dead_code)] Counted);

impl PageStore for User {
    fn read(&self, first_page: u64, pages: &mut [&mut [u8]]) -> io::Result<usize> {
        if first_page == 50 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.0.read(first_page, pages)
    }
    fn write_batch(&self, pages: &[PageWrite<'_>]) -> io::Result<()> {
        self.0.write_batch(pages)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn len(&self, page_size: usize) -> io::Result<u64> {
        self.0.len(page_size)
    }
    fn truncate(&self, pages: u64, page_size: usize) -> io::Result<()> {
        self.0.truncate(pages, page_size)
    }
}

fn pages(count: u64) -> MemoryStore {
    let store = MemoryStore::new();
    store.truncate(count, 4096).expect("C's heap");
    store
}

/// A cache of 8 frames with a file of 100 pages, whose store is the user's.
fn cache_of_user() -> (PageCache, FileId) {
    let cache = PageCache::new(8);
    let file = cache.open(User(pages(100), Counted::new().0)).expect("there is memory");
    (cache, file)
}

/// The result of a call that fails for another reason in any case.
fn of_any_kind<T>(result: Result<T, CacheError>) -> Result<(), fmt::Error> {
    result.map(drop).map_err(|_| fmt::Error)
}

pub fn rows() -> Vec<Row> {
    macro_rules! row {
        ($($covers:literal),+; $run:expr) => { Row { covers: &[$($covers),+], run: $run } };
    }
    vec![
        row!("cache/page_cache.rs try_new"; |probe| {
            drop(probe.quiet(|| PageCache::try_new(8)).expect("pages"));
            assert!(probe.fails(|| PageCache::try_new(0).map(drop)).is_err());
        }),
        row!("cache/page_cache.rs build"; |probe| {
            let (source, drops) = Counted::new();
            drop(probe.fails(|| PageCache::builder().frames(8).source(source).build()));
            assert_eq!(drops.load(SeqCst), 1, "the source is dropped once");
            let (full, _root, _held) = full();
            let refused = probe.fails(|| PageCache::builder().frames(8).budget(&full).build());
            assert!(refused.is_err());
        }),
        row!(
            "cache/page_cache.rs open", "cache/page_cache.rs open_with",
            "cache/page_cache.rs close",
            "cache/page_cache.rs close_discarding"; |probe| {
            let cache = PageCache::new(8);
            drop(probe.fails(|| cache.open(MemoryStore::try_new(None)?)));
            let (counted, drops) = Counted::new();
            let store = User(pages(100), counted);
            if let Ok(file) = probe.fails(|| cache.open_with(store, Crc32c::at(0))) {
                assert!(cache.read(file, 0).is_ok() && drops.load(SeqCst) == 0);
                probe.quiet(|| cache.close(file)).expect("nothing is pinned");
                drop(probe.fails(|| cache.close_discarding(file)).expect_err("it is closed"));
            }
            assert_eq!(drops.load(SeqCst), 1, "the store is dropped once");
        }),
        row!("cache/page_cache.rs finish"; |probe| {
            let (cache, file) = cache_of_user();
            std::mem::forget(cache.read(file, 0).expect("memory"));
            let (cache, _) = probe.fails(|| cache.finish()).expect_err("a pin was forgotten");
            drop(cache);
            let cache = PageCache::new(8);
            assert!(probe.quiet(|| cache.finish()).is_ok());
        }),
        row!(
            "cache/pins.rs read", "cache/pins.rs write", "cache/pins.rs fresh",
            "cache/pins.rs try_read", "cache/pins.rs try_write", "cache/pins.rs try_fresh",
            "cache/pins.rs read_with", "cache/pins.rs write_with",
            "cache/pins.rs read_resident"; |probe| {
            let cache = PageCache::new(8);
            let file = cache.open(pages(8)).expect("there is memory");
            probe.quiet(|| {
                drop((cache.read(file, 0), cache.try_read(file, 1), cache.write(file, 2)));
                drop((cache.try_write(file, 3), cache.fresh(file, 4), cache.try_fresh(file, 5)));
                drop(cache.read_with(file, 6, Hint::Once));
                drop(cache.write_with(file, 7, Hint::Keep));
                drop(cache.read_resident(file, 0));
            });
            let (cache, file) = cache_of_user();
            // An eviction writes a batch of dirty pages.
            for page in 0..8 {
                cache.write(file, page).expect("it is there")[0] = 1;
            }
            // It may find another page to evict.
            drop(probe.may_fail(|| cache.read(file, 20).map(drop)));
            _ = probe.fails(|| of_any_kind(cache.read(file, 50)));
            drop(probe.fails(|| cache.read(file, 200).map(drop)).expect_err("beyond the end"));
            let page = cache.write(file, 0).expect("it is there");
            drop(probe.fails(|| cache.try_read(file, 0).map(drop)).expect_err("it is pinned"));
            drop(probe.fails(|| cache.try_write(file, 0).map(drop)).expect_err("it is pinned"));
            drop(probe.fails(|| cache.try_fresh(file, 0).map(drop)).expect_err("it is pinned"));
            drop(page);
        }),
        row!(
            "cache/page.rs upgrade", "cache/page.rs try_upgrade",
            "cache/page.rs into_buffer", "cache/page.rs rekey"; |probe| {
            let (cache, file) = cache_of_user();
            let (page, other) = (cache.read(file, 0), cache.read(file, 0).expect("it is there"));
            let page = page.expect("it is there");
            let (page, _) = probe.fails(|| page.try_upgrade()).expect_err("another reader");
            drop(other);
            let mut page = probe.quiet(|| page.upgrade()).expect("nobody else");
            let pinned = cache.read(file, 1).expect("it is there");
            drop(probe.fails(|| page.rekey(1)).expect_err("it is pinned"));
            drop(pinned);
            probe.quiet(|| page.rekey(1)).expect("nobody else");
            let page = page.downgrade();
            drop(probe.quiet(|| page.into_buffer()).expect("C's heap"));
        }),
        row!("cache/read.rs begin_read", "cache/read.rs complete"; |probe| {
            let (cache, file) = cache_of_user();
            let begun = probe.quiet(|| cache.begin_read(file, 0)).expect("a frame is free");
            drop(probe.fails(|| cache.begin_read(file, 0).map(drop)).expect_err("it is read"));
            let BeginRead::Pending(read) = begun else { panic!("it is not there") };
            drop(probe.quiet(|| read.complete(Ok(()))).expect("no hooks"));
            let BeginRead::Pending(read) = cache.begin_read(file, 1).expect("a frame") else {
                panic!("it is not there")
            };
            let failed = || of_any_kind(read.complete(Err(io::ErrorKind::TimedOut.into())));
            _ = probe.fails(failed);
            let begun = cache.begin_read(file, 1).expect("a frame");
            _ = probe.fails(|| {
                drop(begun);
                Err::<(), _>(fmt::Error)
            });
        }),
        row!(
            "cache/control.rs prefetch", "cache/control.rs prefetch_with", "cache/control.rs clean",
            "cache/control.rs flush", "cache/control.rs flush_all", "cache/control.rs flush_page",
            "cache/control.rs discard", "cache/control.rs resize",
            "cache/control.rs file_stats"; |probe| {
            let (cache, file) = cache_of_user();
            _ = probe.fails(|| cache.prefetch(file, 0..4));
            _ = probe.fails(|| cache.prefetch_with(file, 4..8, Hint::Keep));
            let dirty = || {
                for page in 0..4 {
                    cache.write(file, page).expect("it is there")[0] += 1;
                }
            };
            dirty();
            _ = probe.fails(|| cache.clean(10));
            dirty();
            _ = probe.fails(|| cache.flush(file));
            dirty();
            _ = probe.fails(|| cache.flush_all());
            dirty();
            _ = probe.fails(|| cache.flush_page(file, 0));
            assert_eq!(probe.quiet(|| cache.discard(file, 0..1)).expect("nothing is pinned"), 1);
            let pinned = cache.read(file, 1).expect("it is there");
            drop(probe.fails(|| cache.discard(file, 0..4)).expect_err("one is pinned"));
            drop(pinned);
            drop(probe.fails(|| cache.resize(0)).expect_err("too few"));
            assert!(probe.quiet(|| cache.file_stats(file)).is_ok());
            cache.close_discarding(file).expect("nothing is pinned");
            drop(probe.fails(|| cache.file_stats(file)).expect_err("it is closed"));
        }),
        row!(
            "cache/error.rs file", "cache/error.rs page", "cache/error.rs alloc_error",
            "cache/error.rs source", "cache/error.rs fmt", "cache/page.rs fmt",
            "cache/read.rs fmt"; |probe| {
            let (cache, file) = cache_of_user();
            let error = cache.read(file, 50).map(drop).expect_err("the store fails");
            let (read, begun) = (cache.read(file, 0), cache.begin_read(file, 1));
            let written = cache.write(file, 2);
            probe.quiet(|| {
                assert_eq!((error.file(), error.page()), (Some(file), Some(50)));
                assert!(error.alloc_error().is_none() && error.source().is_some());
                Text::of(format_args!("{error} {error:?}"));
                Text::of(format_args!("{read:?} {begun:?} {written:?}"));
            });
        }),
        row!("cache/picture.rs fmt", "cache/page_cache.rs fmt"; |probe| {
            let (cache, _) = cache_of_user();
            probe.quiet(|| Text::of(format_args!("{cache:?}")));
            let draw = || Ok::<_, CacheError>(Text::of(format_args!("{}", cache.layout())));
            let drawn = probe.may_fail(draw);
            let drawn = drawn.expect("it says so");
            let no_memory = drawn.as_str() == "(no memory for the picture)";
            assert!(no_memory || drawn.as_str().starts_with("page cache: 8 frames"));
        }),
        row!(
            "cache/stores.rs open", "cache/stores.rs from_file", "cache/stores.rs fmt",
            "cache/stores.rs try_new"; |probe| {
            let path = std::env::temp_dir().join(format!("aegis-memory-{}", std::process::id()));
            drop(std::fs::File::create(&path).expect("a folder for files"));
            drop(probe.fails(|| FileStore::open(&path, FileOptions::new())));
            let file = std::fs::File::open(&path).expect("it was made");
            let store = probe.fails(|| FileStore::from_file(&file, FileOptions::new().read_only()));
            if let Ok(store) = store {
                probe.quiet(|| Text::of(format_args!("{store:?}")));
            }
            std::fs::remove_file(&path).expect("it was made");
            if let Ok(store) = probe.fails(|| MemoryStore::try_new(None)) {
                probe.quiet(|| Text::of(format_args!("{store:?}")));
            }
            let (full, _root, _held) = full();
            drop(probe.fails(|| MemoryStore::try_new(Some(&full))).expect_err("it refuses"));
        }),
        row!(
            "cache/stores.rs read", "cache/stores.rs write_batch", "cache/stores.rs sync",
            "cache/stores.rs len", "cache/stores.rs truncate", "cache/store.rs read",
            "cache/store.rs write_batch", "cache/store.rs sync", "cache/store.rs len",
            "cache/store.rs truncate"; |probe| {
            let store = Arc::new(pages(4));
            let mut bytes = [0; 4096];
            _ = probe.fails(|| store.read(0, &mut [&mut bytes]));
            _ = probe.fails(|| store.write_batch(&[PageWrite { page: 0, bytes: &bytes }]));
            probe.quiet(|| {
                store.truncate(5, 4096).and(store.sync()).expect("memory");
                assert_eq!(store.len(4096).expect("memory"), 5);
            });
        }),
        row!("cache/faults.rs new", "cache/faults.rs fmt"; |probe| {
            let user = User(pages(1), Counted::new().0);
            let store = probe.fails(|| FaultStore::new(user, FaultOptions::default()));
            if let Ok(store) = store {
                probe.quiet(|| Text::of(format_args!("{store:?}")));
            }
        }),
        row!("cache/hooks.rs before_write", "cache/hooks.rs verify",
        "cache/hooks.rs seal"; |probe| {
            let cache = PageCache::new(8);
            let file = cache.open(MemoryStore::new()).expect("there is memory");
            let hooks = Arc::new(Crc32c::at(0));
            let mut page = [1; 512];
            probe.quiet(|| hooks.seal(0, &mut page).and(hooks.verify(0, &mut page))).expect("sums");
            probe.quiet(|| hooks.before_write(file, 1)).expect("it does nothing");
        }),
    ]
}
