// SPDX-License-Identifier: Apache-2.0
//! The tree of budgets: its nodes, the charges to them, and the callbacks that are told of
//! pressure.
//!
//! The file is longer than 500 lines, because each method has an example.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use super::peak::BudgetPeak;
use crate::error::{c_name, expect, AllocError, BudgetStats, What};
use crate::{ffi, heap, unwind};

/// A handle to a node in a tree of memory limits. It is cheap to clone, and any thread may use it.
///
/// The budget lives while there is a handle to it, a child of it, or an object that charges it.
///
/// # Examples
///
/// ```
/// use aegis_memory::{arena::Arena, budget::MemoryBudget};
///
/// let database = MemoryBudget::new("database", 10 << 20);
/// let query = database.child("query", 1 << 20);
/// let arena = Arena::builder().budget(&query).build()?;
/// arena.alloc(1000);
/// assert_eq!(database.used(), query.used());
/// let error = arena.try_alloc(2 << 20).unwrap_err();
/// assert!(error.to_string().contains("budget 'query' refused"));
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub struct MemoryBudget {
    pub(super) raw: NonNull<ffi::aegis_budget>,
}

// SAFETY: every function of the C budget may be called from any thread. Without threads its counters
// are plain, so neither a budget nor what charges one may go where code runs at the same time, such
// as into an interrupt handler.
#[cfg(aegis_threads)]
unsafe impl Send for MemoryBudget {}
// SAFETY: as above.
#[cfg(aegis_threads)]
unsafe impl Sync for MemoryBudget {}

/// What a callback of [`MemoryBudget::on_pressure`] is told when the use has risen to its
/// threshold.
///
/// # Examples
///
/// ```
/// use aegis_memory::budget::{MemoryBudget, Pressure};
///
/// let budget = MemoryBudget::new("cache", 1000);
/// budget.on_pressure(90, |Pressure { used_bytes, limit_bytes, .. }| {
///     println!("{used_bytes} of {limit_bytes} bytes");
/// });
/// drop(budget.reserve(950));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pressure {
    /// Bytes in use when the budget saw that the threshold was reached.
    pub used_bytes: usize,
    /// The limit at that moment.
    pub limit_bytes: usize,
}

impl MemoryBudget {
    /// The limit of a budget that never refuses.
    pub const UNLIMITED: usize = usize::MAX;

    /// Makes a budget without a parent. The name is cut to 47 bytes.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("process", 64 << 20);
    /// assert_eq!(budget.limit(), 64 << 20);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(name: &str, limit: usize) -> Self {
        expect(Self::try_new(name, limit))
    }

    /// Makes a budget without a parent.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when the C heap has no memory for the node.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::try_new("process", MemoryBudget::UNLIMITED)?;
    /// assert_eq!(budget.used(), 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_new(name: &str, limit: usize) -> Result<Self, AllocError> {
        Self::make(name, limit, ptr::null_mut())
    }

    /// Makes a child of this budget.
    ///
    /// # Panics
    ///
    /// When [`try_child`](Self::try_child) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let process = MemoryBudget::new("process", 1000);
    /// let held = process.child("query", 600).reserve(500);
    /// assert_eq!(process.used(), 500);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn child(&self, name: &str, limit: usize) -> Self {
        expect(self.try_child(name, limit))
    }

    /// Makes a child of this budget.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when the C heap has no memory for the node.
    /// [`AllocError::Invalid`] when the tree would be more than 16 levels deep.
    /// [`AllocError::Forked`] in a child process, if another thread was reading or changing the
    /// children of this budget while the process forked.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let mut budget = MemoryBudget::new("level 0", 1000);
    /// for _ in 1..16 {
    ///     budget = budget.try_child("deeper", 1000)?;
    /// }
    /// assert!(budget.try_child("too deep", 1000).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_child(&self, name: &str, limit: usize) -> Result<Self, AllocError> {
        const LEVELS: usize = ffi::AEGIS_BUDGET_MAX_DEPTH as usize;
        // The root has level 0. The level of the child is one more than the level of this budget,
        // and the number of levels is one more than that.
        let levels = self.figures().level as usize + 2;
        if levels > LEVELS {
            let (what, requested, allowed) = (What::Levels, levels, LEVELS);
            return Err(AllocError::Invalid { what, requested, allowed });
        }
        Self::make(name, limit, self.raw.as_ptr())
    }

    fn make(name: &str, limit: usize, parent: *mut ffi::aegis_budget) -> Result<Self, AllocError> {
        // SAFETY: the name is terminated, and the parent is null or alive.
        let raw = unsafe { ffi::aegis_budget_new(c_name(name).as_ptr(), limit, parent) };
        NonNull::new(raw).map(|raw| Self { raw }).ok_or_else(|| {
            // SAFETY: the call only returns a constant.
            let requested = unsafe { ffi::aegis_i_budget_bytes() };
            // SAFETY: the parent is alive, if there is one.
            if !parent.is_null() && unsafe { ffi::aegis_i_budget_is_lost(parent) } {
                return AllocError::Forked { requested };
            }
            AllocError::out_of_memory(requested, HEAP_ALIGN, 0)
        })
    }

    /// The C budget, which C code can charge. The pointer is valid while there is a handle to the
    /// budget.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("query", 1000);
    /// // SAFETY: the budget is alive, and what is charged is uncharged.
    /// unsafe {
    ///     let status = aegis_memory::ffi::aegis_budget_charge(budget.as_raw(), 100, std::ptr::null_mut());
    ///     assert_eq!((status, budget.used()), (0, 100));
    ///     aegis_memory::ffi::aegis_budget_uncharge(budget.as_raw(), 100);
    /// }
    /// ```
    pub fn as_raw(&self) -> *mut ffi::aegis_budget {
        self.raw.as_ptr()
    }

    /// Makes a handle to a budget that C has made. The handle takes a reference of its own.
    ///
    /// # Safety
    ///
    /// - `raw` is a live budget that `aegis_budget_new` has made.
    /// - While there are handles to the budget, any thread may call the functions that C has
    ///   registered with it and with its ancestors. These functions do not unwind.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// use std::ptr::NonNull;
    /// let budget = MemoryBudget::new("query", 1000);
    /// let raw = NonNull::new(budget.as_raw()).expect("it is not null");
    /// // SAFETY: the budget is alive, and C has registered nothing with it.
    /// let same = unsafe { MemoryBudget::from_raw(raw) };
    /// drop(budget);
    /// assert_eq!(same.name(), "query");
    /// ```
    pub unsafe fn from_raw(raw: NonNull<ffi::aegis_budget>) -> Self {
        // SAFETY: the caller vouches for `raw`.
        unsafe { ffi::aegis_budget_retain(raw.as_ptr()) };
        Self { raw }
    }

    fn figures(&self) -> ffi::aegis_budget_figures {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: the budget is alive; the call writes the whole struct.
        unsafe {
            ffi::aegis_budget_get_figures(self.as_raw(), raw.as_mut_ptr());
            raw.assume_init()
        }
    }

    /// The statistics of the budget. Each of them is read atomically.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("query", 1000);
    /// assert!(budget.try_reserve(2000).is_err());
    /// assert_eq!(budget.stats().refused_count, 1);
    /// ```
    pub fn stats(&self) -> BudgetStats {
        BudgetStats::from_raw(&self.figures())
    }

    /// Its name, cut to 47 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// assert_eq!(MemoryBudget::new("query", 1000).name(), "query");
    /// ```
    pub fn name(&self) -> String {
        self.stats().name.into()
    }

    /// Bytes charged now, to it and its descendants.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("query", 1000);
    /// let held = budget.reserve(100);
    /// assert_eq!(budget.used(), 100);
    /// ```
    pub fn used(&self) -> usize {
        self.figures().used_bytes
    }

    /// The largest use since the budget was made, or since [`take_peak`](Self::take_peak), in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("query", 1000);
    /// drop(budget.reserve(100));
    /// assert_eq!((budget.used(), budget.peak()), (0, 100));
    /// ```
    pub fn peak(&self) -> usize {
        self.figures().peak_bytes
    }

    /// Reads the peak in bytes and begins a new one in the same step. The new peak starts at the
    /// present use. The peaks of other budgets of the tree stay as they are.
    ///
    /// A charge that another thread is making meanwhile counts in the peak that is returned, or in
    /// the new one.
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let server = MemoryBudget::new("server", 1 << 20);
    /// let held = server.reserve(1000);
    /// drop(server.reserve(5000));
    /// assert_eq!(server.take_peak(), 6000); // of the first minute
    /// drop(server.reserve(500));
    /// assert_eq!(server.take_peak(), 1500); // of the second one
    /// # drop(held);
    /// ```
    pub fn take_peak(&self) -> usize {
        // SAFETY: the budget is alive.
        unsafe { ffi::aegis_budget_take_peak(self.as_raw()) }
    }

    /// The peak, and what the largest consumers beneath the budget held at that time.
    /// [`BudgetPeak`] says how exact this is. [`take_peak`](Self::take_peak) begins a new record of
    /// what is held then.
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let server = MemoryBudget::new("server", 1 << 20);
    /// let (sort, cache) = (server.child("sort", 1 << 20), server.child("cache", 1 << 20));
    /// let held = (cache.reserve(2000), sort.reserve(6000));
    /// drop(held);
    /// assert_eq!(
    ///     server.peak_report().to_string(),
    ///     "budget 'server' peaked at 8000 bytes; \
    ///      largest at 8000 bytes: 'sort' 6000 bytes, 'cache' 2000 bytes"
    /// );
    /// ```
    pub fn peak_report(&self) -> BudgetPeak {
        // SAFETY: the budget is alive.
        unsafe { BudgetPeak::read(self.as_raw()) }
    }

    /// The limit in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// assert_eq!(MemoryBudget::new("query", 1000).limit(), 1000);
    /// ```
    pub fn limit(&self) -> usize {
        self.figures().limit_bytes
    }

    /// Calls `callback` when the use rises to `percent` of the limit. It is called once for each
    /// rise, and again only after the use has been below the threshold. The callback stays for the
    /// life of the budget. If it owned a handle to this budget or to one beneath it, both would
    /// stay alive for ever.
    ///
    /// It also runs for each charge that this budget would refuse, which is then tried once more.
    /// The callback runs on the thread that charges or that calls [`set_limit`](Self::set_limit).
    /// No lock is held, so it may charge, uncharge and allocate. A panic in it is caught and ends there, after the panic hook has reported it.
    /// Without feature `std` the panic aborts the process.
    ///
    /// # Panics
    ///
    /// When `percent` is not in 1 to 100, or [`try_on_pressure`](Self::try_on_pressure) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    /// use std::sync::Arc;
    /// let (budget, warned) = (MemoryBudget::new("query", 1000), Arc::new(AtomicUsize::new(0)));
    /// let seen = warned.clone();
    /// budget.on_pressure(80, move |pressure| seen.store(pressure.used_bytes, Relaxed));
    /// let held = budget.reserve(850);
    /// assert_eq!(warned.load(Relaxed), 850);
    /// ```
    #[track_caller]
    pub fn on_pressure<F>(&self, percent: u32, callback: F)
    where
        F: Fn(Pressure) + Send + Sync + 'static,
    {
        expect(self.try_on_pressure(percent, callback).map_err(|(_, error)| error));
    }

    /// Calls `callback` when the use rises to `percent` of the limit, as
    /// [`on_pressure`](Self::on_pressure) says.
    ///
    /// # Errors
    ///
    /// The callback and [`AllocError::OutOfMemory`], when there is no memory for the callback or
    /// for its entry.
    ///
    /// # Panics
    ///
    /// When `percent` is not in 1 to 100.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("query", 1000);
    /// assert!(budget.try_on_pressure(80, |_| println!("nearly full")).is_ok());
    /// ```
    #[track_caller]
    pub fn try_on_pressure<F>(&self, percent: u32, callback: F) -> Result<(), (F, AllocError)>
    where
        F: Fn(Pressure) + Send + Sync + 'static,
    {
        assert!(
            (1..=100).contains(&percent),
            "a pressure threshold of {percent} % is not in 1..=100"
        );
        let context = Box::into_raw(
            heap::try_box(callback)
                .map_err(|callback| (callback, AllocError::no_memory_for::<F>()))?,
        );
        // SAFETY: `tell` and `forget` match the type of the context, which the budget frees once.
        let status = unsafe {
            ffi::aegis_budget_on_pressure(
                self.as_raw(),
                percent,
                Some(tell::<F>),
                Some(forget::<F>),
                context.cast(),
            )
        };
        if status == ffi::AEGIS_OK as ffi::aegis_status {
            return Ok(());
        }
        // SAFETY: nothing was registered, so this function still owns the box.
        let callback = *unsafe { Box::from_raw(context) };
        // SAFETY: the call only returns a constant.
        let requested = unsafe { ffi::aegis_i_budget_watcher_bytes() };
        Err((callback, AllocError::out_of_memory(requested, HEAP_ALIGN, 0)))
    }

    /// The statistics of this budget and its descendants, each parent before its children.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::budget::MemoryBudget;
    /// let process = MemoryBudget::new("process", 1000);
    /// let query = process.child("query", 500);
    /// let names: Vec<_> = process.snapshot().iter().map(|stats| stats.name).collect();
    /// assert_eq!((names[0].as_str(), names[1].as_str()), ("process", "query"));
    ///
    /// ```
    pub fn snapshot(&self) -> Vec<BudgetStats> {
        let mut figures: Vec<ffi::aegis_budget_figures> = Vec::new();
        loop {
            let capacity = figures.capacity();
            // SAFETY: there is room for `capacity` entries. The call writes an entry for each
            // budget, and at most `capacity` of them.
            let count = unsafe {
                ffi::aegis_budget_snapshot(self.as_raw(), figures.as_mut_ptr(), capacity)
            };
            if count <= capacity {
                // SAFETY: `count` entries were written.
                unsafe { figures.set_len(count) };
                return figures.iter().map(BudgetStats::from_raw).collect();
            }
            figures.reserve(count);
        }
    }
}

/// The alignment of memory from the C heap.
pub(super) const HEAP_ALIGN: usize = 2 * core::mem::size_of::<usize>();

unsafe extern "C" fn tell<F: Fn(Pressure)>(context: *mut c_void, used: usize, limit: usize) {
    // SAFETY: the context is the box of the callback, which lives as long as the budget.
    let callback = unsafe { &*context.cast::<F>() };
    unwind::swallow(|| callback(Pressure { used_bytes: used, limit_bytes: limit }));
}

unsafe extern "C" fn forget<F>(context: *mut c_void) {
    // SAFETY: the core destroys each context once.
    unwind::swallow(|| drop(unsafe { Box::from_raw(context.cast::<F>()) }));
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget").field("stats", &self.stats()).finish()
    }
}

impl Clone for MemoryBudget {
    /// Makes another handle to the same budget. After `usize::MAX / 2` handles that were never
    /// dropped, the budget is never freed.
    fn clone(&self) -> Self {
        // SAFETY: the budget is alive.
        unsafe { Self::from_raw(self.raw) }
    }
}

impl Drop for MemoryBudget {
    fn drop(&mut self) {
        // SAFETY: gives up the reference that this handle holds.
        unwind::call(|| unsafe { ffi::aegis_budget_destroy(self.as_raw()) });
    }
}
