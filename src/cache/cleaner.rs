// SPDX-License-Identifier: Apache-2.0
//! The thread that writes dirty pages, if the builder asks for one.

use alloc::sync::Arc;
use core::ptr;
use core::time::Duration;
use std::io;
use std::process;
use std::string::ToString;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::ffi;

/// Pages that are written before the thread looks whether it is to stop.
const BATCH_PAGES: usize = 1024;

/// What the thread shares with the owner of the cache. The thread has the lock while it writes.
struct Shared {
    /// Whether the thread is to end.
    ending: Mutex<bool>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle that the thread works on.
struct Handle(ffi::aegis_page_cache);

// SAFETY: any thread may call the functions that the cleaner calls.
unsafe impl Send for Handle {}

/// A thread that runs until the drop.
pub(super) struct Cleaner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// A child process does not have the thread.
    process: u32,
}

/// The thread does nothing as long as this lives.
pub(super) struct Paused<'a>(MutexGuard<'a, bool>);

impl Paused<'_> {
    /// The thread does nothing afterwards either.
    pub(super) fn end(&mut self) {
        *self.0 = true;
    }
}

impl Cleaner {
    /// # Safety
    ///
    /// - The cache is not freed before the cleaner was dropped, and not ended while it is not
    ///   paused.
    pub(super) unsafe fn start(
        cache: ffi::aegis_page_cache,
        interval: Duration,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { ending: Mutex::new(false), changed: Condvar::new() });
        let (handle, of_thread) = (Handle(cache), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("aegis-cleaner".to_string())
            .spawn(move || run(&handle, &of_thread, interval))?;
        Ok(Self { shared, thread: Some(thread), process: process::id() })
    }

    /// Waits until the thread writes nothing, and keeps it so. `None` in a child process.
    pub(super) fn pause(&self) -> Option<Paused<'_>> {
        (self.process == process::id()).then(|| Paused(self.shared.lock()))
    }
}

/// Writes what is dirty, once in each interval.
fn run(handle: &Handle, shared: &Shared, interval: Duration) {
    let mut ending = shared.lock();
    while !*ending {
        let waited = shared.changed.wait_timeout_while(ending, interval, |ending| !*ending);
        ending = waited.unwrap_or_else(PoisonError::into_inner).0;
        let mut written = BATCH_PAGES;
        while !*ending && written >= BATCH_PAGES {
            // SAFETY: the cache is alive. A panic of a store ends in this call and is an error.
            // What fails stays dirty and is counted.
            unsafe {
                ffi::aegis_page_cache_clean(&handle.0, BATCH_PAGES, &mut written, ptr::null_mut());
            }
            drop(ending);
            ending = shared.lock();
        }
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        // The lock may be held by a thread that a child process does not have.
        if let (true, Some(thread)) = (self.process == process::id(), self.thread.take()) {
            *self.shared.lock() = true;
            self.shared.changed.notify_all();
            // The thread does not panic.
            _ = thread.join();
        }
    }
}
