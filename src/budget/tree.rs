// SPDX-License-Identifier: Apache-2.0
//! A tree of budgets: its nodes, what is charged to them, and who is told of pressure.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{c_char, c_void, CStr};
use core::fmt::{self, Write};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use crate::error::{c_name, expect, write_lossy, AllocError, BudgetStats, What};
use crate::{ffi, heap, unwind};

/// A node in a tree of memory limits; a handle, cheap to clone, usable from any thread.
///
/// The budget lives as long as a handle, a child, or an object that charges it.
pub struct MemoryBudget {
    raw: NonNull<ffi::aegis_budget>,
}

// SAFETY: every function of the C budget may be called from any thread.
unsafe impl Send for MemoryBudget {}
// SAFETY: as above.
unsafe impl Sync for MemoryBudget {}

/// Use has risen to a threshold: what a callback of [`MemoryBudget::on_pressure`] is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pressure {
    /// Bytes in use when the threshold was found reached.
    pub used_bytes: usize,
    /// The limit then.
    pub limit_bytes: usize,
}

/// Bytes charged to a budget for memory that is not ours; released when dropped.
#[derive(Debug)]
#[must_use = "dropping a reservation releases it"]
pub struct Reservation {
    budget: MemoryBudget,
    bytes: usize,
}

impl MemoryBudget {
    /// A limit that never refuses.
    pub const UNLIMITED: usize = usize::MAX;

    /// Makes a budget without a parent. The name is cut to 47 bytes.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    #[must_use]
    #[track_caller]
    pub fn new(name: &str, limit: usize) -> Self {
        expect(Self::try_new(name, limit))
    }

    /// Makes a budget without a parent.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when the heap refuses the node.
    pub fn try_new(name: &str, limit: usize) -> Result<Self, AllocError> {
        Self::make(name, limit, ptr::null_mut())
    }

    /// Makes a budget under this one.
    ///
    /// # Panics
    ///
    /// When [`try_child`](Self::try_child) fails.
    #[must_use]
    #[track_caller]
    pub fn child(&self, name: &str, limit: usize) -> Self {
        expect(self.try_child(name, limit))
    }

    /// Makes a budget under this one.
    ///
    /// # Errors
    ///
    /// [`AllocError::OutOfMemory`] when the heap refuses the node; [`AllocError::Invalid`] when the
    /// tree would be more than 16 levels deep; [`AllocError::Forked`] in a child process when another
    /// thread was looking at or changing this budget's children as the process forked.
    pub fn try_child(&self, name: &str, limit: usize) -> Result<Self, AllocError> {
        const LEVELS: usize = ffi::AEGIS_BUDGET_MAX_DEPTH as usize;
        // The root has level 0, so the child's is one more and its depth two more.
        let levels = self.figures().level as usize + 2;
        if levels > LEVELS {
            let (what, requested, allowed) = (What::Levels, levels, LEVELS);
            return Err(AllocError::Invalid { what, requested, allowed });
        }
        Self::make(name, limit, self.raw.as_ptr())
    }

    fn make(name: &str, limit: usize, parent: *mut ffi::aegis_budget) -> Result<Self, AllocError> {
        // SAFETY: a terminated name; the parent is null or alive.
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

    /// The C budget, for C code to charge. It is good while a handle is.
    pub fn as_raw(&self) -> *mut ffi::aegis_budget {
        self.raw.as_ptr()
    }

    /// A handle to a budget that C has made; takes a reference of its own.
    ///
    /// # Safety
    ///
    /// - `raw` is a live budget of `aegis_budget_new`.
    /// - What C has had it call, and its ancestors, may be called on any thread while there are
    ///   handles to it, and does not unwind.
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

    /// The budget's figures, each read atomically.
    pub fn stats(&self) -> BudgetStats {
        BudgetStats::from_raw(&self.figures())
    }

    /// Its name, cut to 47 bytes.
    pub fn name(&self) -> String {
        self.stats().name.into()
    }

    /// Bytes charged now, to it and its descendants.
    pub fn used(&self) -> usize {
        self.figures().used_bytes
    }

    /// The largest use so far, in bytes.
    pub fn peak(&self) -> usize {
        self.figures().peak_bytes
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.figures().limit_bytes
    }

    /// Changes the limit. One below the present use refuses charges until use has fallen.
    pub fn set_limit(&self, limit: usize) {
        // SAFETY: the budget is alive.
        unsafe { ffi::aegis_budget_set_limit(self.as_raw(), limit) }
    }

    /// Charges memory that is not ours, until the reservation is dropped.
    ///
    /// # Panics
    ///
    /// When [`try_reserve`](Self::try_reserve) fails.
    #[track_caller]
    pub fn reserve(&self, bytes: usize) -> Reservation {
        expect(self.try_reserve(bytes))
    }

    /// Charges memory that is not ours, until the reservation is dropped.
    ///
    /// # Errors
    ///
    /// [`AllocError::LimitExceeded`] when this budget or an ancestor refuses.
    pub fn try_reserve(&self, bytes: usize) -> Result<Reservation, AllocError> {
        let mut refused = ptr::null();
        // SAFETY: the budget is alive.
        let status = unsafe { ffi::aegis_budget_charge(self.as_raw(), bytes, &mut refused) };
        match NonNull::new(refused.cast_mut()) {
            Some(refused) if status == ffi::AEGIS_E_LIMIT_EXCEEDED => {
                // SAFETY: an ancestor of ours, so it is alive.
                Err(unsafe { AllocError::limit_exceeded(refused, bytes) })
            }
            _ => Ok(Reservation { budget: self.clone(), bytes }),
        }
    }

    /// Calls `callback` when use rises to `percent` of the limit: once per rise, and again only
    /// after use has been below. It stays for the budget's life, so a handle that it owns to this
    /// budget or to one beneath would keep both alive for ever.
    ///
    /// It runs on the thread whose charge, or [`set_limit`](Self::set_limit), crossed the
    /// threshold, with no lock held: it may charge, release and allocate. A panic in it is caught, reported by the panic hook, and goes no
    /// further (without feature `std` it aborts).
    ///
    /// # Panics
    ///
    /// When `percent` is not in 1 to 100, or [`try_on_pressure`](Self::try_on_pressure) fails.
    #[track_caller]
    pub fn on_pressure<F>(&self, percent: u32, callback: F)
    where
        F: Fn(Pressure) + Send + Sync + 'static,
    {
        expect(self.try_on_pressure(percent, callback).map_err(|(_, error)| error));
    }

    /// Calls `callback` when use rises to `percent` of the limit, as
    /// [`on_pressure`](Self::on_pressure) says.
    ///
    /// # Errors
    ///
    /// The callback, and [`AllocError::OutOfMemory`] when there is no memory for it or its entry.
    ///
    /// # Panics
    ///
    /// When `percent` is not in 1 to 100.
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
        // SAFETY: `tell` and `forget` fit the context, which the budget frees once.
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
        // SAFETY: nothing was registered, so the box is still ours.
        let callback = *unsafe { Box::from_raw(context) };
        // SAFETY: the call only returns a constant.
        let requested = unsafe { ffi::aegis_i_budget_watcher_bytes() };
        Err((callback, AllocError::out_of_memory(requested, HEAP_ALIGN, 0)))
    }

    /// The figures of this budget and its descendants, parents first.
    pub fn snapshot(&self) -> Vec<BudgetStats> {
        let mut figures: Vec<ffi::aegis_budget_figures> = Vec::new();
        loop {
            let capacity = figures.capacity();
            // SAFETY: there is room for `capacity` entries, of which the call writes as many as
            // there are budgets.
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

/// What the C heap aligns to.
const HEAP_ALIGN: usize = 2 * core::mem::size_of::<usize>();

unsafe extern "C" fn tell<F: Fn(Pressure)>(context: *mut c_void, used: usize, limit: usize) {
    // SAFETY: the context is the callback's box, alive while the budget is.
    let callback = unsafe { &*context.cast::<F>() };
    unwind::swallow(|| callback(Pressure { used_bytes: used, limit_bytes: limit }));
}

unsafe extern "C" fn forget<F>(context: *mut c_void) {
    // SAFETY: the core destroys each context once.
    unwind::swallow(|| drop(unsafe { Box::from_raw(context.cast::<F>()) }));
}

impl fmt::Display for MemoryBudget {
    /// The tree from this budget down, a line each: name, use as a bar and in figures, peak, limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The text so far, or `None` when there was no memory for it.
        struct Lines(Option<String>);
        impl Write for Lines {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let lines = self.0.as_mut().ok_or(fmt::Error)?;
                if lines.try_reserve(text.len()).is_err() {
                    self.0 = None;
                    return Err(fmt::Error);
                }
                lines.push_str(text);
                Ok(())
            }
        }
        unsafe extern "C" fn push(lines: *mut c_void, line: *const c_char) {
            // SAFETY: the context is `lines` below, and the line is terminated.
            let (lines, line) = unsafe { (&mut *lines.cast::<Lines>(), CStr::from_ptr(line)) };
            let is_first = lines.0.as_ref().is_some_and(String::is_empty);
            let separator = if is_first { "" } else { "\n" };
            // What fails is kept in `lines`.
            _ = lines.write_str(separator).and_then(|()| write_lossy(lines, line.to_bytes()));
        }
        let mut lines = Lines(Some(String::new()));
        let context: *mut Lines = &mut lines;
        // SAFETY: the budget is alive, and `push` fits the context.
        let status = unsafe { ffi::aegis_budget_print(self.as_raw(), Some(push), context.cast()) };
        match lines.0 {
            Some(lines) if status == ffi::AEGIS_OK as ffi::aegis_status => f.write_str(&lines),
            _ => f.write_str("(no memory to draw the budget)"),
        }
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget").field("stats", &self.stats()).finish()
    }
}

impl Clone for MemoryBudget {
    /// Another handle to the same budget. After `usize::MAX / 2` handles that were never dropped the
    /// budget stays for ever.
    fn clone(&self) -> Self {
        // SAFETY: the budget is alive.
        unsafe { Self::from_raw(self.raw) }
    }
}

impl Drop for MemoryBudget {
    fn drop(&mut self) {
        // SAFETY: gives up the reference that this handle holds.
        unsafe { ffi::aegis_budget_destroy(self.as_raw()) }
    }
}

impl Reservation {
    /// The bytes reserved.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the budget is alive, and was charged as much by `try_reserve`.
        unsafe { ffi::aegis_budget_uncharge(self.budget.as_raw(), self.bytes) };
    }
}
