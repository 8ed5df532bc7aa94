// SPDX-License-Identifier: Apache-2.0
//! Panics in stores and hooks: they continue from the call that led to them, after the cache is in
//! order.

use crate::support::panic_of;
use crate::user_store::{good, panicking, Call, UserStore};
use aegis_memory::cache::{FileId, PageCache, PageHooks, PageStore};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;

#[test]
fn panic_of_a_read_continues_from_the_pin_and_leaves_no_page_behind() {
    let (store, _) = UserStore::new(100, panicking(Call::Read, "bad sector"));
    let cache = PageCache::new(8);
    let file = cache.open(Arc::clone(&store)).unwrap();
    assert_eq!(panic_of(|| cache.read(file, 0).is_ok()), "bad sector");
    assert_eq!(panic_of(|| cache.write(file, 0).is_ok()), "bad sector");
    assert_eq!(panic_of(|| cache.prefetch(file, 0..4).is_ok()), "bad sector");
    let stats = cache.stats();
    assert_eq!((stats.resident_count, stats.pinned_count, stats.free_count), (0, 0, 8));
    store.set(good);
    assert_eq!(cache.read(file, 0).unwrap()[0], 0, "no panic is left");
}

#[test]
fn panic_of_a_write_continues_from_the_call_and_the_page_stays_dirty() {
    let (store, _) = UserStore::new(0, panicking(Call::Write, "head crash"));
    let cache = PageCache::new(8);
    let file = cache.open(Arc::clone(&store)).unwrap();
    cache.fresh(file, 0).unwrap()[0] = 1;
    assert_eq!(panic_of(|| cache.flush(file).is_ok()), "head crash");
    assert_eq!(panic_of(|| cache.flush_all().is_ok()), "head crash");
    assert_eq!(panic_of(|| cache.flush_page(file, 0).is_ok()), "head crash");
    assert_eq!(panic_of(|| cache.clean(8).is_ok()), "head crash");
    assert_eq!(panic_of(|| cache.close(file).is_ok()), "head crash");
    assert_eq!(cache.stats().dirty_count, 1);
    store.set(panicking(Call::Sync, "no sync"));
    assert_eq!(panic_of(|| cache.flush(file).is_ok()), "no sync");
    store.set(good);
    cache.close(file).unwrap();
    assert_eq!(store.len(4096).unwrap(), 1);
}

#[test]
fn panic_of_a_write_for_an_eviction_continues_from_the_pin() {
    let (store, _) = UserStore::new(0, panicking(Call::Write, "head crash"));
    let cache = PageCache::new(8);
    let file = cache.open(Arc::clone(&store)).unwrap();
    for page in 0..8 {
        cache.fresh(file, page).unwrap()[0] = 1;
    }
    assert_eq!(panic_of(|| cache.fresh(file, 8).is_ok()), "head crash");
    store.set(good);
    cache.fresh(file, 8).unwrap();
    assert_eq!(cache.read(file, 0).unwrap()[0], 1);
}

/// Panics in the hook that has this number.
struct Bomb(AtomicU32);

impl Bomb {
    fn go_off(&self, number: u32) -> io::Result<()> {
        if self.0.load(SeqCst) == number {
            panic!("hook {number}")
        } else {
            Ok(())
        }
    }
}

impl PageHooks for Bomb {
    fn before_write(&self, _: FileId, _: u64) -> io::Result<()> {
        self.go_off(1)
    }
    fn verify(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        self.go_off(2)
    }
    fn seal(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        self.go_off(3)
    }
}

#[test]
fn panics_of_hooks_continue_from_the_call() {
    let (store, _) = UserStore::new(8, good);
    let bomb = Arc::new(Bomb(AtomicU32::new(1)));
    let cache = PageCache::new(8);
    let file = cache.open_with(Arc::clone(&store), Arc::clone(&bomb)).unwrap();
    cache.write(file, 0).unwrap().set_lsn(1);
    cache.write(file, 0).unwrap()[0] = 1;
    assert_eq!(panic_of(|| cache.flush(file).is_ok()), "hook 1");
    bomb.0.store(3, SeqCst);
    assert_eq!(panic_of(|| cache.flush(file).is_ok()), "hook 3");
    assert!(store.batches.lock().unwrap().is_empty());
    bomb.0.store(2, SeqCst);
    assert_eq!(panic_of(|| cache.read(file, 1).is_ok()), "hook 2");
    cache.flush(file).unwrap();
    bomb.0.store(0, SeqCst);
    assert!(cache.read(file, 1).is_ok());
}

#[test]
fn thread_that_waits_for_a_read_that_panics_gets_an_error() {
    let (store, _) = UserStore::new(8, good);
    let cache = PageCache::new(8);
    let file = cache.open(Arc::clone(&store)).unwrap();
    let (entered, leave) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    store.set(move |call| {
        if call != Call::Read {
            return Ok(());
        }
        entered.0.send(()).unwrap();
        leave.1.recv().unwrap();
        panic!("bad sector")
    });
    thread::scope(|threads| {
        let first = threads.spawn(|| panic_of(|| cache.read(file, 3).is_ok()));
        entered.1.recv().unwrap();
        let second = threads.spawn(|| cache.read(file, 3).map(drop).unwrap_err());
        while cache.stats().join_count == 0 {
            thread::yield_now();
        }
        leave.0.send(()).unwrap();
        assert_eq!(first.join().unwrap(), "bad sector");
        let error = second.join().expect("the panic is the other thread's");
        assert_eq!(error.page(), Some(3), "{error}");
    });
    assert_eq!(cache.stats().free_count, 8);
}

/// A store whose drop panics.
struct DropBomb(Arc<UserStore>);

impl PageStore for DropBomb {
    fn read(&self, first_page: u64, pages: &mut [&mut [u8]]) -> io::Result<usize> {
        self.0.read(first_page, pages)
    }
    fn write_batch(&self, pages: &[aegis_memory::cache::PageWrite<'_>]) -> io::Result<()> {
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

impl Drop for DropBomb {
    fn drop(&mut self) {
        panic!("the store is dropped");
    }
}

#[test]
fn panic_of_a_drop_of_a_store_continues_and_the_file_is_closed() {
    let (store, drops) = UserStore::new(8, good);
    let cache = PageCache::new(8);
    let file = cache.open(DropBomb(Arc::clone(&store))).unwrap();
    assert_eq!(panic_of(|| cache.close(file).is_ok()), "the store is dropped");
    assert!(cache.read(file, 0).is_err(), "it is closed");
    let second = cache.open(DropBomb(Arc::clone(&store))).unwrap();
    cache.write(second, 0).unwrap()[0] = 1;
    assert_eq!(panic_of(|| drop(cache)), "the store is dropped");
    assert_eq!(store.batches.lock().unwrap().len(), 1);
    drop(store);
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn panic_of_a_write_continues_from_the_drop_of_the_cache_which_ends() {
    let (store, drops) = UserStore::new(0, panicking(Call::Write, "head crash"));
    let cache = PageCache::new(8);
    let file = cache.open(store).unwrap();
    cache.fresh(file, 0).unwrap()[0] = 1;
    assert_eq!(panic_of(|| drop(cache)), "head crash");
    assert_eq!(drops.load(SeqCst), 1);
    let (store, drops) = UserStore::new(0, panicking(Call::Write, "head crash"));
    let cache = PageCache::new(8);
    let file = cache.open(store).unwrap();
    cache.fresh(file, 0).unwrap()[0] = 1;
    assert_eq!(panic_of(|| cache.finish().is_ok()), "head crash");
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn panic_of_a_store_while_a_thread_panics_ends_in_the_call() {
    let (store, drops) = UserStore::new(0, panicking(Call::Write, "head crash"));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let cache = PageCache::new(8);
        let file = cache.open(store).unwrap();
        cache.fresh(file, 0).unwrap()[0] = 1;
        panic!("the first");
    }));
    assert_eq!(crate::support::message_of(&*caught.unwrap_err()), "the first");
    assert_eq!(drops.load(SeqCst), 1);
}
