// SPDX-License-Identifier: Apache-2.0
//! A store that makes calls of another one fail, for tests.

use core::cell::UnsafeCell;
use core::fmt;
use core::ptr;
use core::time::Duration;
use std::io;

use super::error::CacheError;
use super::shared::Shared;
use super::store::{FaultRecord, OwnedStore, PageStore, PageWrite, NO_STORE};
use super::stores::core_store;
use crate::ffi;
use crate::sealed::{Key, KEY};

/// A fault that a [`FaultStore`] injects.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{Fault, FaultOptions, FaultStore, MemoryStore, PageStore};
///
/// let store = FaultStore::new(MemoryStore::new(), FaultOptions::default())?;
/// store.faults().set(Fault::Sync, 1, 0);
/// assert!(store.sync().is_err() && store.sync().is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A read fails, and has read nothing.
    Read,
    /// A read succeeds, and has fewer bytes than asked for.
    ShortRead,
    /// A read fails after it has read a part of the bytes. The others are random.
    TornRead,
    /// A write fails, and has written nothing.
    Write,
    /// A write fails after it has written a part of the pages, and a part of the last of them.
    TornWrite,
    /// A sync fails, and has not been made.
    Sync,
    /// A sync fails, and the pages that it should have made durable are lost as
    /// [`FaultOptions::lost_pages`] says.
    LostSync,
    /// The length cannot be found out.
    Len,
    /// A truncation fails, and has changed nothing.
    Truncate,
}

/// What becomes of the pages that were written since the last good sync when a sync is lost.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{FaultOptions, LostPages};
///
/// assert_eq!(FaultOptions::default().lost_pages, LostPages::Stay);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostPages {
    /// They stay as they are.
    #[default]
    Stay = ffi::AEGIS_LOST_NONE as isize,
    /// They get the content back that they had before.
    Restored = ffi::AEGIS_LOST_RESTORED as isize,
    /// They get a random content.
    Garbled = ffi::AEGIS_LOST_GARBLED as isize,
}

/// What a [`FaultStore`] does from its beginning to its end.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{FaultOptions, LostPages};
///
/// let options = FaultOptions { seed: 7, lost_pages: LostPages::Restored, ..Default::default() };
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultOptions {
    /// What is random follows from this number, and from the order of the calls.
    pub seed: u64,
    /// How long each read takes at least.
    pub read_delay: Duration,
    /// How long each write takes at least.
    pub write_delay: Duration,
    /// How long each sync takes at least.
    pub sync_delay: Duration,
    /// What becomes of pages when a sync is lost.
    pub lost_pages: LostPages,
}

/// What a [`FaultStore`] has done.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{FaultOptions, FaultStore, MemoryStore, PageStore};
///
/// let store = FaultStore::new(MemoryStore::new(), FaultOptions::default())?;
/// store.sync()?;
/// assert_eq!(store.faults().counts().sync_count, 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Reads.
    pub read_count: usize,
    /// Pages that those of them read that succeeded.
    pub read_page_count: usize,
    /// Batches that were written.
    pub write_count: usize,
    /// Pages in those of them that succeeded.
    pub written_page_count: usize,
    /// Syncs.
    pub sync_count: usize,
    /// Faults that were injected.
    pub fault_count: usize,
}

/// Says which faults a [`FaultStore`] injects, also while a cache uses the store.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{CacheErrorKind, Fault, FaultOptions, FaultStore, MemoryStore};
/// use aegis_memory::cache::{PageCache, PageStore};
///
/// let store = FaultStore::new(MemoryStore::new(), FaultOptions::default())?;
/// store.truncate(8, 4096)?;
/// let faults = store.faults();
/// let cache = PageCache::new(8);
/// let file = cache.open(store)?;
/// faults.set(Fault::TornRead, 1, 0);
/// assert_eq!(cache.read(file, 0).unwrap_err().kind(), CacheErrorKind::Read);
/// assert!(cache.read(file, 0).is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Faults(Shared<FaultRecord>);

impl Faults {
    /// Sets when a fault happens: with the `countdown`-th call from now on, once, and with each
    /// call with a probability of `per_million` millionths. 0 means never.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{Fault, FaultOptions, FaultStore, MemoryStore, PageStore};
    /// let store = FaultStore::new(MemoryStore::new(), FaultOptions::default())?;
    /// store.faults().set(Fault::Len, 0, 1_000_000);
    /// assert!(store.len(4096).is_err() && store.len(4096).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set(&self, fault: Fault, countdown: usize, per_million: usize) {
        let raw = self.0.raw.get();
        // SAFETY: the pointers lead to fields of a record that is alive, and the core changes them
        // atomically.
        unsafe {
            let fault = match fault {
                Fault::Read => ptr::addr_of_mut!((*raw).read),
                Fault::ShortRead => ptr::addr_of_mut!((*raw).short_read),
                Fault::TornRead => ptr::addr_of_mut!((*raw).torn_read),
                Fault::Write => ptr::addr_of_mut!((*raw).write),
                Fault::TornWrite => ptr::addr_of_mut!((*raw).torn_write),
                Fault::Sync => ptr::addr_of_mut!((*raw).sync),
                Fault::LostSync => ptr::addr_of_mut!((*raw).lost_sync),
                Fault::Len => ptr::addr_of_mut!((*raw).len),
                Fault::Truncate => ptr::addr_of_mut!((*raw).truncate),
            };
            ffi::aegis_page_fault_set(fault, countdown, per_million);
        }
    }

    /// What the store has done so far.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{FaultOptions, FaultStore, MemoryStore};
    /// let store = FaultStore::new(MemoryStore::new(), FaultOptions::default())?;
    /// assert_eq!(store.faults().counts().fault_count, 0);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn counts(&self) -> FaultCounts {
        let mut raw = core::mem::MaybeUninit::<ffi::aegis_page_fault_counts>::uninit();
        // SAFETY: any thread may call it, and it writes the whole struct.
        let raw = unsafe {
            ffi::aegis_page_faults_counts(self.0.raw.get(), raw.as_mut_ptr());
            raw.assume_init()
        };
        FaultCounts {
            read_count: raw.read_count,
            read_page_count: raw.read_page_count,
            write_count: raw.write_count,
            written_page_count: raw.written_page_count,
            sync_count: raw.sync_count,
            fault_count: raw.fault_count,
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// A store that passes all calls on to another one, and makes some fail. An injected error is an
/// error of input and output without a source.
///
/// # Examples
///
/// ```
/// use aegis_memory::cache::{Fault, FaultOptions, FaultStore, MemoryStore, PageCache};
///
/// let store = FaultStore::new(MemoryStore::new(), FaultOptions::default())?;
/// let faults = store.faults();
/// let cache = PageCache::new(8);
/// let file = cache.open(store)?;
/// cache.fresh(file, 0)?[0] = 1;
/// faults.set(Fault::Write, 1, 0);
/// assert!(cache.flush(file).is_err());
/// assert_eq!(cache.stats().dirty_count, 1, "nothing is lost");
/// cache.flush(file)?;
/// # Ok::<(), aegis_memory::cache::CacheError>(())
/// ```
pub struct FaultStore(OwnedStore);

impl FaultStore {
    /// Makes a store that injects no faults yet: [`faults`](Self::faults) changes that.
    ///
    /// # Errors
    ///
    /// When there is no memory.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{FaultOptions, FaultStore, MemoryStore};
    /// let store = FaultStore::new(MemoryStore::new(), FaultOptions { seed: 1, ..Default::default()
    /// })?;
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn new(inner: impl PageStore + 'static, options: FaultOptions) -> Result<Self, CacheError> {
        let inner = inner.into_owned(KEY)?;
        let never = ffi::aegis_page_fault { countdown: 0, per_million: 0 };
        let raw = ffi::aegis_page_faults {
            seed: options.seed,
            read_delay_ns: ffi::nanoseconds(options.read_delay),
            write_delay_ns: ffi::nanoseconds(options.write_delay),
            sync_delay_ns: ffi::nanoseconds(options.sync_delay),
            lost_pages: options.lost_pages as u32,
            read: never,
            short_read: never,
            torn_read: never,
            write: never,
            torn_write: never,
            sync: never,
            lost_sync: never,
            len: never,
            truncate: never,
            counts: ffi::aegis_page_fault_counts {
                read_count: 0,
                read_page_count: 0,
                write_count: 0,
                written_page_count: 0,
                sync_count: 0,
                fault_count: 0,
            },
            drawn_count: 0,
        };
        let within = inner.kept().and_then(|kept| kept.faults.clone());
        let record = FaultRecord { raw: UnsafeCell::new(raw), _within: within };
        let record = Shared::try_new(record).ok_or(CacheError::NO_MEMORY)?;
        let mut store = NO_STORE;
        // SAFETY: the inner store is open, and the record stays as long as the new one.
        let status =
            unsafe { ffi::aegis_page_store_faults(&mut store, &inner.raw, record.raw.get()) };
        if !ffi::is_ok(&status) {
            return Err(CacheError::of_status(status));
        }
        // SAFETY: the core has made the store, which closes the inner one.
        Ok(Self(unsafe { inner.around(store, record) }))
    }

    /// What says which faults are injected. It can be used as long as it lives.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::cache::{FaultOptions, FaultStore, MemoryStore};
    /// let store = FaultStore::new(MemoryStore::new(), FaultOptions::default())?;
    /// assert_eq!(store.faults().counts().read_count, 0);
    /// # Ok::<(), aegis_memory::cache::CacheError>(())
    /// ```
    pub fn faults(&self) -> Faults {
        let record = self.0.kept().and_then(|kept| kept.faults.clone());
        Faults(record.expect("a store that injects faults has a record of them"))
    }
}

core_store!(FaultStore);

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStore").field("faults", &self.faults()).finish()
    }
}
