// SPDX-License-Identifier: Apache-2.0
//! Reclaimers: closures that give memory back when a budget has no room. The core calls them
//! (`csrc/budget/reclaim.c`).
//!
//! The closure is in a box, which the core owns from the registration on. The core destroys it once,
//! when the reclaimer was removed or the budget freed, and no thread runs it any more. That may be
//! inside any call that charges or frees. So a panic of the closure, and one of its drop, is
//! contained, and continues from the call of this crate that led to it (`crate::unwind`).

use alloc::boxed::Box;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use super::tree::{MemoryBudget, HEAP_ALIGN};
use crate::error::{expect, AllocError};
use crate::{ffi, heap, unwind};

/// A reclaimer that is registered with a budget: see [`MemoryBudget::on_reclaim`]. It keeps the
/// budget alive. When it is dropped, the closure is unregistered.
///
/// A call of the closure that another thread has begun may still run after that. The closure is
/// dropped when the last call has returned, on the thread of that call. A reclaimer may be dropped
/// inside its own closure.
///
/// # Examples
///
/// ```
/// use aegis_memory::budget::{MemoryBudget, Reservation};
/// use std::sync::{Arc, Mutex};
///
/// let database = MemoryBudget::new("database", 100);
/// let cache = database.child("cache", 100);
/// let page = Arc::new(Mutex::new(Some(cache.reserve(80))));
/// let owner = page.clone();
/// let reclaimer = cache.on_reclaim(0, move |_| {
///     let page: Option<Reservation> = owner.try_lock().ok().and_then(|mut page| page.take());
///     page.map_or(0, |page| page.bytes())
/// });
/// assert_eq!(database.reserve(60).bytes(), 60);
/// assert_eq!(cache.used(), 0);
/// ```
#[derive(Debug)]
#[must_use = "dropping a reclaimer unregisters its closure"]
pub struct Reclaimer {
    raw: NonNull<ffi::aegis_budget_reclaimer>,
}

// SAFETY: any thread may give the handle up, and the closure is `Send` and `Sync`.
#[cfg(aegis_threads)]
unsafe impl Send for Reclaimer {}
// SAFETY: any thread may notify, also several at once.
#[cfg(aegis_threads)]
unsafe impl Sync for Reclaimer {}

impl Reclaimer {
    /// Says that the closure can free more than when it was last asked, for example because pages are
    /// no longer pinned. The request that is first in the queue of the budget, or of one above it,
    /// then asks the reclaimers again. Without this it waits until bytes are freed.
    ///
    /// It is cheap when no request waits: an atomic addition for each level of the tree.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let cache = MemoryBudget::new("cache", 100);
    /// let reclaimer = cache.on_reclaim(0, |_| 0);
    /// reclaimer.notify(); // "a page is no longer pinned"
    /// ```
    pub fn notify(&self) {
        // SAFETY: the handle is alive.
        unwind::call(|| unsafe { ffi::aegis_budget_reclaimer_notify(self.raw.as_ptr()) });
    }

    /// Leaves the closure registered for as long as the budget lives. The budget is then no longer
    /// kept alive by this reclaimer.
    ///
    /// The closure must not own a handle to this budget or to one beneath it. Otherwise both would
    /// stay alive for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let cache = MemoryBudget::new("cache", 100);
    /// cache.on_reclaim(0, |_| 0).keep();
    /// ```
    pub fn keep(self) {
        let raw = ManuallyDrop::new(self).raw;
        // SAFETY: the handle is given up here, and its drop does not run.
        unwind::call(|| unsafe { ffi::aegis_budget_reclaimer_keep(raw.as_ptr()) });
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        // SAFETY: the handle is given up once.
        unwind::call(|| unsafe { ffi::aegis_budget_reclaimer_remove(self.raw.as_ptr()) });
    }
}

impl MemoryBudget {
    /// Registers a closure that gives memory back. When this budget or an ancestor would refuse a
    /// charge, the closure is called with the bytes that are wanted. It frees memory that is charged
    /// to this budget or beneath it, as much as is wanted or as it can spare, and returns how many
    /// bytes it has freed. The charge is refused only if all reclaimers together have not made room.
    ///
    /// Reclaimers with a low `priority` are asked first. Of equal ones, those whose budget uses most
    /// are asked first. A charge to this budget itself does not ask the closure: see
    /// [`on_reclaim_own_last`](Self::on_reclaim_own_last).
    ///
    /// The closure runs on the thread that charges, and several threads may run it at once. No lock
    /// of the budget is held, so it may free, charge and allocate. A charge that it makes itself is
    /// refused at once if there is no room ([`RefusalReason::Nested`](super::RefusalReason)). The
    /// thread that charges may hold a lock of its own, for instance the one of the cache that the
    /// closure is to empty. So the closure should take such a lock by `try_lock`, and return 0 if it
    /// is taken.
    ///
    /// A panic in the closure counts as 0 bytes. It continues from the call of this crate that has
    /// charged. If the result of that call would be lost (a reservation, a block of a pool, a
    /// buffer), the panic continues only if the call fails. Otherwise it ends after the panic hook
    /// has reported it. Without feature `std` the panic aborts the process.
    ///
    /// # How to avoid a circle
    ///
    /// The reclaimer keeps the budget alive, and is usually a field of the cache that it empties. If
    /// the closure owned the cache, neither would ever be dropped. So give it a
    /// [`Weak`](alloc::sync::Weak):
    ///
    /// ```
    /// use aegis_memory::budget::{MemoryBudget, Reclaimer, Reservation};
    /// use std::sync::{Arc, Mutex};
    ///
    /// struct Cache {
    ///     pages: Mutex<Vec<Reservation>>,
    ///     _reclaimer: Reclaimer,
    /// }
    ///
    /// impl Cache {
    ///     fn new(budget: &MemoryBudget) -> Arc<Self> {
    ///         Arc::new_cyclic(|cache: &std::sync::Weak<Self>| {
    ///             let cache = cache.clone();
    ///             let evict = move |wanted| cache.upgrade().map_or(0, |cache| cache.evict(wanted));
    ///             Self { pages: Mutex::default(), _reclaimer: budget.on_reclaim(0, evict) }
    ///         })
    ///     }
    ///
    ///     fn evict(&self, wanted: usize) -> usize {
    ///         let Ok(mut pages) = self.pages.try_lock() else { return 0 };
    ///         let mut freed = 0;
    ///         while freed < wanted {
    ///             let Some(page) = pages.pop() else { break };
    ///             freed += page.bytes();
    ///         }
    ///         freed
    ///     }
    /// }
    ///
    /// let database = MemoryBudget::new("database", 100);
    /// let pages = database.child("pages", 100);
    /// let cache = Cache::new(&pages);
    /// cache.pages.lock().unwrap().extend((0..10).map(|_| pages.reserve(10)));
    ///
    /// let query = database.child("query", 100).reserve(25);
    /// assert_eq!((query.bytes(), pages.used()), (25, 70));
    /// ```
    ///
    /// # Panics
    ///
    /// When [`try_on_reclaim`](Self::try_on_reclaim) fails.
    #[track_caller]
    pub fn on_reclaim<F>(&self, priority: i32, reclaim: F) -> Reclaimer
    where
        F: Fn(usize) -> usize + Send + Sync + 'static,
    {
        expect(self.try_on_reclaim(priority, reclaim).map_err(|(_, error)| error))
    }

    /// Registers a closure that gives memory back, as [`on_reclaim`](Self::on_reclaim) says.
    ///
    /// # Errors
    ///
    /// The closure, and one of these errors: [`AllocError::OutOfMemory`] when there is no memory for
    /// the closure or for its entry. [`AllocError::Forked`] in a child process, if another thread
    /// was changing the tree while the process forked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let cache = MemoryBudget::new("cache", 100);
    /// let reclaimer = cache.try_on_reclaim(0, |_| 0);
    /// assert!(reclaimer.is_ok());
    /// ```
    pub fn try_on_reclaim<F>(&self, priority: i32, reclaim: F) -> Result<Reclaimer, (F, AllocError)>
    where
        F: Fn(usize) -> usize + Send + Sync + 'static,
    {
        self.register(priority, 0, reclaim)
    }

    /// As [`on_reclaim`](Self::on_reclaim), and a charge to this budget itself asks the closure too,
    /// after all others.
    ///
    /// # Panics
    ///
    /// When [`try_on_reclaim_own_last`](Self::try_on_reclaim_own_last) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// use std::sync::Mutex;
    /// let cache = MemoryBudget::new("cache", 100);
    /// let page = Mutex::new(Some(cache.reserve(80)));
    /// let _reclaimer = cache.on_reclaim_own_last(0, move |_| {
    ///     page.lock().unwrap().take().map_or(0, |page| page.bytes())
    /// });
    /// assert_eq!(cache.reserve(60).bytes(), 60, "its own charge asks too");
    /// ```
    #[track_caller]
    pub fn on_reclaim_own_last<F>(&self, priority: i32, reclaim: F) -> Reclaimer
    where
        F: Fn(usize) -> usize + Send + Sync + 'static,
    {
        expect(self.try_on_reclaim_own_last(priority, reclaim).map_err(|(_, error)| error))
    }

    /// As [`try_on_reclaim`](Self::try_on_reclaim), and a charge to this budget itself asks the
    /// closure too, after all others.
    ///
    /// # Errors
    ///
    /// Those of [`try_on_reclaim`](Self::try_on_reclaim).
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let cache = MemoryBudget::new("cache", 100);
    /// assert!(cache.try_on_reclaim_own_last(0, |_| 0).is_ok());
    ///
    /// ```
    pub fn try_on_reclaim_own_last<F>(
        &self,
        priority: i32,
        reclaim: F,
    ) -> Result<Reclaimer, (F, AllocError)>
    where
        F: Fn(usize) -> usize + Send + Sync + 'static,
    {
        self.register(priority, ffi::AEGIS_RECLAIM_OWN_LAST, reclaim)
    }

    fn register<F>(
        &self,
        priority: i32,
        flags: u32,
        reclaim: F,
    ) -> Result<Reclaimer, (F, AllocError)>
    where
        F: Fn(usize) -> usize + Send + Sync + 'static,
    {
        let context = Box::into_raw(
            heap::try_box(reclaim)
                .map_err(|reclaim| (reclaim, AllocError::no_memory_for::<F>()))?,
        );
        let mut raw = ptr::null_mut();
        // SAFETY: the budget is alive. `ask` and `forget` match the type of the context, which the
        // core destroys once.
        let status = unsafe {
            ffi::aegis_budget_on_reclaim(
                self.as_raw(),
                priority,
                flags,
                Some(ask::<F>),
                Some(forget::<F>),
                context.cast(),
                &mut raw,
            )
        };
        if let (true, Some(raw)) = (ffi::is_ok(&status), NonNull::new(raw)) {
            return Ok(Reclaimer { raw });
        }
        // SAFETY: nothing was registered, so this function still owns the box.
        let reclaim = *unsafe { Box::from_raw(context) };
        // SAFETY: the call only returns a constant.
        let requested = unsafe { ffi::aegis_i_budget_reclaimer_bytes() };
        Err((
            reclaim,
            match status {
                ffi::AEGIS_E_FORKED => AllocError::Forked { requested },
                _ => AllocError::out_of_memory(requested, HEAP_ALIGN, 0),
            },
        ))
    }
}

unsafe extern "C" fn ask<F: Fn(usize) -> usize>(context: *mut c_void, wanted: usize) -> usize {
    // SAFETY: the context is the box of the closure. The core does not destroy it during a call, and
    // the closure is `Sync`.
    let reclaim = unsafe { &*context.cast::<F>() };
    unwind::contain(0, || reclaim(wanted))
}

unsafe extern "C" fn forget<F>(context: *mut c_void) {
    // SAFETY: the core destroys each context once, after the last call. The closure is `Send`.
    unwind::contain((), || drop(unsafe { Box::from_raw(context.cast::<F>()) }));
}
