// SPDX-License-Identifier: Apache-2.0
//! The stores that are built in, behind a cache and called directly.

use crate::support::panic_of;
use crate::user_store::{failing, Call, UserStore};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::cache::{
    CacheErrorKind, Fault, FaultOptions, FaultStore, FileOptions, FileStore, LostPages,
    MemoryStore, PageCache, PageStore, PageWrite,
};
use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A file that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("aegis-cache-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

/// What each store must do.
fn keeps_the_contract(store: &dyn PageStore) {
    assert_eq!(store.len(512).unwrap(), 0);
    let pages = [[1; 512], [2; 512], [3; 512]];
    let at = |page: u64, bytes| PageWrite { page, bytes };
    store.write_batch(&[at(1, &pages[0]), at(2, &pages[1]), at(9, &pages[2])]).unwrap();
    store.write_batch(&[]).unwrap();
    store.sync().unwrap();
    assert_eq!(store.len(512).unwrap(), 10);
    let (mut one, mut two, mut three) = ([9; 512], [9; 512], [9; 512]);
    let read = store.read(0, &mut [&mut one, &mut two, &mut three]).unwrap();
    assert_eq!((read, one, two, three), (1536, [0; 512], [1; 512], [2; 512]));
    assert_eq!(store.read(9, &mut [&mut one, &mut two]).unwrap(), 512, "the end");
    assert_eq!((one, store.read(0, &mut []).unwrap()), ([3; 512], 0));
    store.truncate(2, 512).unwrap();
    assert_eq!(store.len(512).unwrap(), 2);
    store.truncate(4, 512).unwrap();
    assert_eq!(store.read(2, &mut [&mut one, &mut two]).unwrap(), 1024);
    assert_eq!((one, two), ([0; 512], [0; 512]));
    panic_of(|| store.read(0, &mut [&mut one, &mut [0; 100]]));
    panic_of(|| store.write_batch(&[at(1, &pages[0]), at(2, &[0; 100])]));
    panic_of(|| store.write_batch(&[at(2, &pages[0]), at(1, &pages[0])]));
}

#[test]
fn stores_keep_the_contract() {
    let scratch = Scratch::new("contract");
    keeps_the_contract(&FileStore::open(&scratch.0, FileOptions::new().create()).unwrap());
    keeps_the_contract(&MemoryStore::new());
    let faults = FaultOptions::default();
    keeps_the_contract(&FaultStore::new(MemoryStore::new(), faults).unwrap());
    let (user, _) = UserStore::new(0, crate::user_store::good);
    keeps_the_contract(&FaultStore::new(user, faults).unwrap());
}

#[test]
fn pages_of_a_file_are_there_when_it_is_opened_again() {
    let scratch = Scratch::new("again");
    let cache = PageCache::new(8);
    let file =
        cache.open(FileStore::open(&scratch.0, FileOptions::new().create()).unwrap()).unwrap();
    for page in 0..100 {
        cache.fresh(file, page).unwrap().fill(page as u8);
    }
    cache.close(file).unwrap();
    let opened = File::open(&scratch.0).unwrap();
    let store = FileStore::from_file(&opened, FileOptions::new().read_only()).unwrap();
    drop(opened);
    let file = cache.open(store).unwrap();
    for page in 0..100 {
        assert_eq!(cache.read(file, page).unwrap()[..], [page as u8; 4096]);
    }
    cache.write(file, 0).unwrap()[0] = 1;
    let error = cache.flush(file).unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Write, "{error}");
    cache.close_discarding(file).unwrap();
}

#[test]
fn file_of_direct_transfers_works_or_says_that_the_file_system_has_none() {
    let scratch = Scratch::new("direct");
    let options = FileOptions::new().create().direct();
    let store = match FileStore::open(&scratch.0, options) {
        Ok(store) => store,
        Err(error) => return assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}"),
    };
    let cache = PageCache::new(64);
    let file = cache.open(store).unwrap();
    for page in 0..100 {
        cache.fresh(file, page).unwrap()[4095] = page as u8;
    }
    for page in 0..100 {
        assert_eq!(cache.read(file, page).unwrap()[4095], page as u8);
    }
    cache.finish().unwrap();
}

#[test]
fn file_that_cannot_be_opened_says_why() {
    let missing = FileStore::open("/no such folder/file", FileOptions::new().create()).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let scratch = Scratch::new("none");
    let missing = FileStore::open(&scratch.0, FileOptions::new()).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let folder = FileStore::open(std::env::temp_dir(), FileOptions::new().read_only());
    assert!(folder.is_err());
    let with_zero = FileStore::open("a\0b", FileOptions::new()).unwrap_err();
    assert_eq!(with_zero.kind(), io::ErrorKind::InvalidInput);
    let both = FileOptions::new().create().read_only();
    assert_eq!(FileStore::open(&scratch.0, both).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

/// Writes to the device that is always full, which is a regular way to get an error of the system.
#[cfg(target_os = "linux")]
#[test]
fn error_of_the_system_is_the_source() {
    use std::os::fd::AsRawFd;
    // A file of memory with a seal against growth refuses to be written beyond its end.
    extern "C" {
        fn memfd_create(name: *const std::ffi::c_char, flags: u32) -> i32;
        fn fcntl(file: i32, command: i32, value: i32) -> i32;
    }
    // SAFETY: the name ends with a zero byte.
    let raw = unsafe { memfd_create(b"sealed\0".as_ptr().cast(), 2) };
    assert!(raw >= 0);
    // SAFETY: the descriptor is new, and nobody else closes it.
    let sealed = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(raw) };
    // SAFETY: F_ADD_SEALS with F_SEAL_GROW.
    assert_eq!(unsafe { fcntl(sealed.as_raw_fd(), 1033, 4) }, 0);
    let store = FileStore::from_file(&sealed, FileOptions::new()).unwrap();
    let direct = store.write_batch(&[PageWrite { page: 0, bytes: &[0; 4096] }]).unwrap_err();
    assert_eq!(direct.raw_os_error(), Some(1), "EPERM: {direct}");
    let cache = PageCache::new(8);
    let file = cache.open(store).unwrap();
    cache.fresh(file, 0).unwrap();
    let error = cache.flush(file).unwrap_err();
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.raw_os_error(), Some(1), "{error}");
    assert_eq!(cache.close(file).unwrap_err().source().unwrap().to_string(), direct.to_string());
    cache.close_discarding(file).unwrap();
}

#[test]
fn memory_store_is_charged_to_its_budget_until_the_file_is_closed() {
    let budget = MemoryBudget::new("store", 64 << 10);
    let store = MemoryStore::try_new(Some(&budget)).unwrap();
    let cache = PageCache::new(64);
    let file = cache.open(store).unwrap();
    for page in 0..30 {
        cache.fresh(file, page).unwrap()[0] = 1;
    }
    let error = cache.flush(file).unwrap_err();
    assert_eq!(error.kind(), CacheErrorKind::Write, "it is too small: {error}");
    assert!(budget.used() > 0);
    cache.close_discarding(file).unwrap();
    assert_eq!(budget.used(), 0);
    let none = MemoryBudget::new("none", 0);
    assert_eq!(
        MemoryStore::try_new(Some(&none)).map(drop).unwrap_err().kind(),
        CacheErrorKind::Memory
    );
}

#[test]
fn each_fault_strikes_the_call_that_it_is_set_for() {
    let store = FaultStore::new(MemoryStore::new(), FaultOptions::default()).unwrap();
    store.truncate(8, 4096).unwrap();
    let faults = store.faults();
    let page = [1; 4096];
    let write = || store.write_batch(&[PageWrite { page: 0, bytes: &page }]).is_ok();
    let read = || store.read(0, &mut [&mut [0; 4096]]);
    for fault in [Fault::Read, Fault::TornRead] {
        faults.set(fault, 2, 0);
        assert!(read().is_ok() && read().is_err() && read().is_ok(), "{fault:?}");
    }
    faults.set(Fault::ShortRead, 1, 0);
    assert!(read().unwrap() < 4096);
    for fault in [Fault::Write, Fault::TornWrite] {
        faults.set(fault, 1, 0);
        assert!(!write() && write(), "{fault:?}");
    }
    for fault in [Fault::Sync, Fault::LostSync] {
        faults.set(fault, 1, 0);
        assert!(store.sync().is_err() && store.sync().is_ok(), "{fault:?}");
    }
    faults.set(Fault::Len, 1, 0);
    assert!(store.len(4096).is_err() && store.len(4096).is_ok());
    faults.set(Fault::Truncate, 1, 0);
    assert!(store.truncate(1, 4096).is_err() && store.truncate(1, 4096).is_ok());
    assert_eq!(faults.counts().fault_count, 9);
    faults.set(Fault::Read, 0, 1_000_000);
    assert!(read().is_err() && read().is_err());
    faults.set(Fault::Read, 0, 0);
    assert!(read().is_ok());
}

#[test]
fn sync_that_loses_pages_restores_or_garbles_them() {
    for lost_pages in [LostPages::Stay, LostPages::Restored, LostPages::Garbled] {
        let options = FaultOptions { seed: 3, lost_pages, ..Default::default() };
        let store = FaultStore::new(MemoryStore::new(), options).unwrap();
        store.write_batch(&[PageWrite { page: 0, bytes: &[1; 512] }]).unwrap();
        store.sync().unwrap();
        store.write_batch(&[PageWrite { page: 0, bytes: &[2; 512] }]).unwrap();
        store.faults().set(Fault::LostSync, 1, 0);
        store.sync().unwrap_err();
        let mut bytes = [0; 512];
        store.read(0, &mut [&mut bytes]).unwrap();
        match lost_pages {
            LostPages::Stay => assert_eq!(bytes, [2; 512]),
            LostPages::Restored => assert_eq!(bytes, [1; 512]),
            _ => assert!(bytes != [1; 512] && bytes != [2; 512]),
        }
    }
}

#[test]
fn faults_outlive_the_store_and_faults_of_faults_add_up() {
    let options = FaultOptions { read_delay: Duration::from_millis(2), ..Default::default() };
    let inner = FaultStore::new(MemoryStore::new(), options).unwrap();
    let of_inner = inner.faults();
    let outer = FaultStore::new(inner, FaultOptions::default()).unwrap();
    let of_outer = outer.faults();
    outer.truncate(8, 4096).unwrap();
    let cache = PageCache::new(8);
    let file = cache.open(outer).unwrap();
    let begin = Instant::now();
    cache.read(file, 0).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(2));
    of_inner.set(Fault::Read, 1, 0);
    let error = cache.read(file, 1).unwrap_err();
    assert!(error.kind() == CacheErrorKind::Read && error.source().is_none(), "{error}");
    of_outer.set(Fault::Read, 1, 0);
    assert!(cache.read(file, 1).is_err() && cache.read(file, 1).is_ok());
    cache.close(file).unwrap();
    drop(cache);
    of_outer.set(Fault::Read, 1, 0);
    assert_eq!((of_outer.counts().read_count, of_inner.counts().read_count), (4, 3));
}

#[test]
fn error_of_a_user_store_inside_of_faults_is_the_source() {
    let (user, _) = UserStore::new(8, failing(Call::Read, "bad sector"));
    let store = FaultStore::new(user, FaultOptions::default()).unwrap();
    assert!(store.read(0, &mut [&mut [0; 4096]]).is_err());
    let cache = PageCache::new(8);
    let file = cache.open(store).unwrap();
    assert_eq!(cache.read(file, 0).unwrap_err().source().unwrap().to_string(), "bad sector");
}
