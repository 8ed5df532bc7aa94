// SPDX-License-Identifier: Apache-2.0
//! A value that several owners share, as in an `Arc`, made by a call that can fail for want of
//! memory.

use alloc::boxed::Box;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::{heap, unwind};

struct Inner<T> {
    owners: AtomicUsize,
    value: T,
}

/// One of the owners. The value is dropped with the last one.
pub(super) struct Shared<T>(NonNull<Inner<T>>);

// SAFETY: as for `Arc`: the owners give out shared references on any thread, and the last one drops
// the value on its own thread.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// `None`: there was no memory, and the value is dropped.
    pub(super) fn try_new(value: T) -> Option<Self> {
        let inner = heap::try_box(Inner { owners: AtomicUsize::new(1), value }).ok()?;
        Some(Self(NonNull::from(Box::leak(inner))))
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: it lives as long as one of its owners.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // Relaxed: the owner that is cloned keeps the value.
        if self.inner().owners.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            unwind::abort();
        }
        Self(self.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Acquire and release pair with each other: what each owner did comes before the end.
        if self.inner().owners.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: it came from a box, and this was the last owner.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}
