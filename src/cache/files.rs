// SPDX-License-Identifier: Apache-2.0
//! The files that are open in a cache, as far as Rust keeps something for them: what their stores
//! need, and the latest errors of their stores and hooks.

use alloc::vec::Vec;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::CacheError;
use super::shared::Shared;
use super::store::{os_error, Errors, Kept};
use crate::ffi;

struct OpenFile {
    number: u32,
    /// A copy, to ask for the error of the system. It is good while the entry is here and `closing`
    /// is 0.
    raw: ffi::aegis_page_store,
    kept: Kept,
    /// So many calls are about to close the file.
    closing: usize,
}

// SAFETY: any thread may ask a store for its error.
unsafe impl Send for OpenFile {}

/// The table of files. It is looked at when a file is opened or closed, and after an error.
#[derive(Default)]
pub(super) struct OpenFiles(Mutex<Vec<OpenFile>>);

impl OpenFiles {
    fn lock(&self) -> MutexGuard<'_, Vec<OpenFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a file, opens it by `open`, and enters it.
    pub(super) fn open(
        &self,
        raw: ffi::aegis_page_store,
        open: impl FnOnce() -> Result<(u32, Kept), CacheError>,
    ) -> Result<u32, CacheError> {
        let mut all = self.lock();
        all.try_reserve(1).map_err(|_| CacheError::NO_MEMORY)?;
        let (number, kept) = open()?;
        all.push(OpenFile { number, raw, kept, closing: 0 });
        Ok(number)
    }

    /// Closes a file by `close`, which sets whether that has succeeded. A panic may continue from
    /// it.
    pub(super) fn close(&self, number: u32, close: impl FnOnce(&mut bool)) {
        /// What is done at the end, with a panic or without.
        struct Closing<'a>(&'a OpenFiles, u32, bool);

        impl Drop for Closing<'_> {
            fn drop(&mut self) {
                let mut all = self.0.lock();
                if let Some(at) = all.iter().position(|file| file.number == self.1) {
                    all[at].closing -= 1;
                    if self.2 {
                        let closed = all.swap_remove(at);
                        drop(all);
                        drop(closed);
                    }
                }
            }
        }

        let known = self.lock().iter_mut().find(|file| file.number == number).map(|file| {
            file.closing += 1;
        });
        match known.map(|()| Closing(self, number, false)) {
            Some(mut closing) => close(&mut closing.2),
            None => close(&mut false),
        }
    }

    /// Keeps an error that is not one of the store.
    pub(super) fn set_error(&self, number: u32, reason: u32, error: io::Error) {
        let all = self.lock();
        let file = all.iter().find(|file| file.number == number);
        let old = file.and_then(|file| file.kept.errors.replace(reason, Some(error)));
        // It may be a type of the user's, whose drop may use the cache.
        drop(all);
        drop(old);
    }

    /// The error of the store or hook behind an error of the core.
    pub(super) fn cause(
        &self,
        status: ffi::aegis_status,
        raw: &ffi::aegis_page_error,
    ) -> Option<Shared<io::Error>> {
        // In a child process another thread may have the lock for ever.
        if !Errors::has(raw.reason) {
            return None;
        }
        let all = self.lock();
        let file = all.iter().find(|file| file.number == raw.file)?;
        // The hooks of a file of the system are not the system.
        let of_store = matches!(
            raw.reason,
            ffi::AEGIS_PAGE_READ | ffi::AEGIS_PAGE_WRITE | ffi::AEGIS_PAGE_SYNC
        );
        let of_system = || {
            let known = of_store && file.closing == 0;
            known.then(|| os_error(&file.raw, status).and_then(Shared::try_new)).flatten()
        };
        file.kept.errors.get(raw.reason).or_else(of_system)
    }
}
