// SPDX-License-Identifier: Apache-2.0
//! Hooks: the write-ahead rule, checksums, encryption, and what happens when one fails.

use aegis_memory::cache::{
    crc32c, CacheErrorKind, Crc32c, FileId, MemoryStore, PageCache, PageHooks, PageStore, PageWrite,
};
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// A log that knows up to where it is durable, and can fail.
#[derive(Default)]
pub struct Log {
    pub durable: AtomicU64,
    pub fails: AtomicBool,
    pub calls: Mutex<Vec<(FileId, u64)>>,
}

impl PageHooks for Log {
    fn before_write(&self, file: FileId, max_lsn: u64) -> io::Result<()> {
        if self.fails.load(SeqCst) {
            return Err(io::Error::other("the log is full"));
        }
        self.calls.lock().unwrap().push((file, max_lsn));
        self.durable.fetch_max(max_lsn, SeqCst);
        Ok(())
    }
}

#[test]
fn log_is_durable_before_a_page_is_written() {
    let log = Arc::new(Log::default());
    let store = Arc::new(MemoryStore::new());
    let cache = PageCache::new(64);
    let file = cache.open_with(Arc::clone(&store), Arc::clone(&log)).unwrap();
    for page in 0..10 {
        let mut pin = cache.fresh(file, page).unwrap();
        if page != 9 {
            pin.set_lsn(100 + page);
        }
    }
    log.fails.store(true, SeqCst);
    let error = cache.flush(file).unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Log, "{error}");
    assert_eq!(error.source().unwrap().to_string(), "the log is full");
    assert!(error.to_string().ends_with("(the log is full)"), "{error}");
    assert_eq!(store.len(4096).unwrap(), 0, "nothing was written");
    assert_eq!((cache.stats().dirty_count, cache.stats().oldest_dirty_lsn), (10, 100));
    log.fails.store(false, SeqCst);
    cache.flush(file).unwrap();
    assert_eq!(log.durable.load(SeqCst), 108);
    assert!(log.calls.lock().unwrap().iter().all(|call| call.0 == file));
    let calls = log.calls.lock().unwrap().len();
    cache.write(file, 9).unwrap()[0] = 1;
    cache.flush(file).unwrap();
    assert_eq!(log.calls.lock().unwrap().len(), calls, "no page of the batch has an LSN");
}

/// Encrypts by adding 1 to each byte, and can refuse.
struct Cipher {
    refuses: AtomicBool,
}

impl PageHooks for Cipher {
    fn verify(&self, _: u64, bytes: &mut [u8]) -> io::Result<()> {
        if self.refuses.load(SeqCst) {
            return Err(io::Error::other("no key"));
        }
        bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_sub(1));
        Ok(())
    }

    fn seal(&self, _: u64, bytes: &mut [u8]) -> io::Result<()> {
        if self.refuses.load(SeqCst) {
            return Err(io::Error::other("no key"));
        }
        bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
        Ok(())
    }
}

#[test]
fn hooks_change_the_copy_that_is_written_and_the_page_that_is_read() {
    let cipher = Arc::new(Cipher { refuses: AtomicBool::new(false) });
    let store = Arc::new(MemoryStore::new());
    let cache = PageCache::new(8);
    let file = cache.open_with(Arc::clone(&store), Arc::clone(&cipher)).unwrap();
    cache.fresh(file, 0).unwrap().fill(7);
    cipher.refuses.store(true, SeqCst);
    let error = cache.flush(file).unwrap_err();
    assert_eq!((error.kind(), error.page()), (CacheErrorKind::Seal, Some(0)), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "no key");
    cipher.refuses.store(false, SeqCst);
    cache.flush(file).unwrap();
    assert_eq!(cache.read(file, 0).unwrap()[..], [7; 4096], "the page is as it was");
    let mut bytes = [0; 4096];
    store.read(0, &mut [&mut bytes]).unwrap();
    assert_eq!(bytes, [8; 4096]);
    cache.discard(file, ..).unwrap();
    cipher.refuses.store(true, SeqCst);
    let error = cache.read(file, 0).unwrap_err();
    assert_eq!((error.kind(), error.page()), (CacheErrorKind::Verify, Some(0)), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "no key");
    cipher.refuses.store(false, SeqCst);
    assert_eq!(cache.read(file, 0).unwrap()[..], [7; 4096]);
}

#[test]
fn checksum_finds_each_wrong_bit_and_a_page_at_the_wrong_place() {
    let store = Arc::new(MemoryStore::new());
    let cache = PageCache::builder().frames(8).page_size(512).build().unwrap();
    let file = cache.open_with(Arc::clone(&store), Crc32c::at(508)).unwrap();
    cache.fresh(file, 1).unwrap()[0] = 1;
    cache.fresh(file, 2).unwrap()[0] = 1;
    cache.flush(file).unwrap();
    let mut good = [0; 512];
    store.read(1, &mut [&mut good]).unwrap();
    let check = |page, bytes: &[u8]| {
        store.write_batch(&[PageWrite { page, bytes }]).unwrap();
        cache.discard(file, ..).unwrap();
        cache.read(file, page).map(drop).map_err(|error| error.kind())
    };
    for bit in 0..512 * 8 {
        let mut bytes = good;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(check(1, &bytes), Err(CacheErrorKind::Verify), "bit {bit}");
    }
    assert_eq!(check(1, &good), Ok(()));
    assert_eq!(check(2, &good), Err(CacheErrorKind::Verify), "it is page 1");
    assert_eq!(check(2, &[0; 512]), Ok(()), "a hole");
    let mut page = [1; 512];
    let error = Crc32c::at(509).seal(0, &mut page).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn crc32c_of_known_bytes() {
    assert_eq!(crc32c(0, b""), 0);
    assert_eq!(crc32c(0, &[0; 32]), 0x8A91_36AA);
    assert_eq!(crc32c(0, &[0xFF; 32]), 0x62A8_AB43);
}
