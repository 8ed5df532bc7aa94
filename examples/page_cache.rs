// SPDX-License-Identifier: Apache-2.0
//! A file of counters that is larger than the memory that caches it. Four threads count in it at the
//! same time, and after the cache is closed every count is in the file.
//!
//! ```text
//! cargo run --release --example page_cache [FILE]
//! ```
//!
//! A page has a checksum in its first 4 bytes, and a counter at byte 8.

use aegis_memory::cache::{CacheError, CacheErrorKind, Crc32c, FileId};
use aegis_memory::cache::{FileOptions, FileStore, PageCache};
use std::error::Error;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

const PAGES: u64 = 2_000;
const THREADS: u64 = 4;

fn count_of(page: &[u8]) -> u64 {
    u64::from_le_bytes(page[8..16].try_into().expect("8 bytes"))
}

/// Adds 1 to the counter of a page, which is made if the file is too short to have it.
fn count(cache: &PageCache, file: FileId, page: u64) -> Result<(), CacheError> {
    let mut page = match cache.write(file, page) {
        Err(error) if error.kind() == CacheErrorKind::BeyondEnd => cache.fresh(file, page)?,
        page => page?,
    };
    let next = count_of(&page) + 1;
    page[8..16].copy_from_slice(&next.to_le_bytes());
    Ok(())
}

/// The sum of all counters.
fn sum(cache: &PageCache, file: FileId) -> Result<u64, CacheError> {
    (0..PAGES).map(|page| Ok(count_of(&cache.read(file, page)?))).sum()
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let path = path.unwrap_or_else(|| std::env::temp_dir().join("aegis-page-cache.example"));
    let store = || FileStore::open(&path, FileOptions::new().create());

    // 256 frames of 4 KiB, and a thread that writes dirty pages every 10 ms.
    let cache = PageCache::builder().frames(256).cleaner(Duration::from_millis(10)).build()?;
    let file = cache.open_with(store()?, Crc32c::at(0))?;
    for page in 0..PAGES {
        count(&cache, file, page)?;
    }
    let count_all =
        |thread| (0..PAGES).try_for_each(|page| count(&cache, file, (page + 500 * thread) % PAGES));
    thread::scope(|threads| {
        let all: Vec<_> = (0..THREADS).map(|t| threads.spawn(move || count_all(t))).collect();
        all.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    println!("{}\n", cache.layout());
    println!("{}\n", cache.stats());

    // The file is written and synced. An error would leave the cache as it is.
    let expected = sum(&cache, file)?;
    cache.finish().map_err(|(_, error)| error)?;

    let cache = PageCache::new(64);
    let file = cache.open_with(store()?, Crc32c::at(0))?;
    assert_eq!(sum(&cache, file)?, expected);
    println!("{expected} counts are in {}", path.display());
    Ok(())
}
