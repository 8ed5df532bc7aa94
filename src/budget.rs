// SPDX-License-Identifier: Apache-2.0
//! Memory budgets: a tree of named limits, such as process, database, query, operator.
//!
//! A charge to a budget counts in it and in every ancestor; if one would exceed its limit, the
//! charge fails and says which, and who the largest consumers are. Arenas charge whole blocks, so
//! allocation itself pays nothing. The algorithm is described in `aegis_memory/budget.h`.
//!
//! ```
//! use aegis_memory::arena::Arena;
//! use aegis_memory::budget::MemoryBudget;
//!
//! let database = MemoryBudget::new("database", 1 << 20);
//! let query = database.child("query 1", 256 << 10);
//! let arena = Arena::builder().budget(&query).build()?;
//! arena.alloc(100 << 10);
//!
//! let error = arena.try_alloc(1 << 20).unwrap_err();
//! assert!(error.to_string().contains("budget 'query 1' refused"));
//! assert!(database.used() >= 100 << 10);
//! # Ok::<(), aegis_memory::AllocError>(())
//! ```

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{c_char, c_void, CStr};
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use crate::error::{expect, AllocError, What};
use crate::{ffi, unwind};

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

/// The figures of one budget, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BudgetStats {
    /// Its name, cut to 47 bytes.
    pub name: String,
    /// Charged now, to it and its descendants.
    pub used_bytes: usize,
    /// The largest use so far.
    pub peak_bytes: usize,
    /// [`MemoryBudget::UNLIMITED`] when there is none.
    pub limit_bytes: usize,
    /// 0 for the budget that was asked, 1 for its children, and so on.
    pub depth: u32,
    /// Its distance from the root, which has 0.
    pub level: u32,
}

/// Why a budget refused a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetRefusal {
    /// The budget that refused: the one charged or an ancestor of it.
    pub budget: BudgetStats,
    /// Bytes charged to it directly, not through a child.
    pub direct_bytes: usize,
    /// The up to three largest budgets beneath it, however deep, largest first. Their `used_bytes`
    /// is what is charged to them directly, not through a child.
    pub consumers: Vec<BudgetStats>,
    text: String,
}

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

/// A name as C takes it: cut at a NUL or to what the core would keep.
pub(crate) fn c_name(name: &str) -> [c_char; ffi::AEGIS_BUDGET_NAME_BYTES as usize] {
    let mut buffer = [0; ffi::AEGIS_BUDGET_NAME_BYTES as usize];
    let mut length = name.find('\0').unwrap_or(name.len()).min(buffer.len() - 1);
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    for (to, from) in buffer.iter_mut().zip(&name.as_bytes()[..length]) {
        *to = *from as c_char;
    }
    buffer
}

impl BudgetStats {
    fn from_raw(raw: &ffi::aegis_budget_figures) -> Self {
        // SAFETY: the core terminates every name.
        let name = unsafe { CStr::from_ptr(raw.name.as_ptr()) };
        Self {
            name: name.to_string_lossy().into_owned(),
            used_bytes: raw.used_bytes,
            peak_bytes: raw.peak_bytes,
            limit_bytes: raw.limit_bytes,
            depth: raw.depth,
            level: raw.level,
        }
    }
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
        self.stats().name
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
                Err(unsafe { limit_exceeded(refused, bytes) })
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
    /// When `percent` is not in 1 to 100, or memory for the entry cannot be had.
    pub fn on_pressure<F>(&self, percent: u32, callback: F)
    where
        F: Fn(Pressure) + Send + Sync + 'static,
    {
        assert!(
            (1..=100).contains(&percent),
            "a pressure threshold of {percent} % is not in 1..=100"
        );
        let context = Box::into_raw(Box::new(callback));
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
        if status != ffi::AEGIS_OK as ffi::aegis_status {
            // SAFETY: nothing was registered, so the box is still ours.
            drop(unsafe { Box::from_raw(context) });
            panic!("out of memory: a pressure callback could not be registered");
        }
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

/// The error for a charge that `budget` has just refused.
///
/// # Safety
///
/// `budget` is alive.
pub(crate) unsafe fn limit_exceeded(
    budget: NonNull<ffi::aegis_budget>,
    requested: usize,
) -> AllocError {
    let mut raw = MaybeUninit::uninit();
    // SAFETY: the caller vouches for the budget; the call writes the whole record.
    let raw: ffi::aegis_budget_refusal = unsafe {
        ffi::aegis_budget_get_refusal(budget.as_ptr(), requested, raw.as_mut_ptr());
        raw.assume_init()
    };
    let mut text = [0_u8; 640];
    // SAFETY: the buffer has room for as many bytes as are named.
    let length = unsafe { ffi::aegis_budget_explain(&raw, text.as_mut_ptr().cast(), text.len()) };
    let budget = BudgetStats::from_raw(&raw.budget);
    AllocError::LimitExceeded {
        requested,
        limit: budget.limit_bytes,
        in_use: budget.used_bytes,
        refusal: Box::new(BudgetRefusal {
            budget,
            direct_bytes: raw.direct_bytes,
            consumers: raw.consumers[..raw.consumer_count]
                .iter()
                .map(BudgetStats::from_raw)
                .collect(),
            text: String::from_utf8_lossy(&text[..length.min(text.len() - 1)]).into_owned(),
        }),
    }
}

impl fmt::Display for BudgetRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for MemoryBudget {
    /// The tree from this budget down, a line each: name, use as a bar and in figures, peak, limit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unsafe extern "C" fn push(lines: *mut c_void, line: *const c_char) {
            // SAFETY: the context is `lines` below, and the line is terminated.
            let (lines, line) = unsafe { (&mut *lines.cast::<String>(), CStr::from_ptr(line)) };
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(&line.to_string_lossy());
        }
        let mut lines = String::new();
        let context: *mut String = &mut lines;
        // SAFETY: the budget is alive, and `push` fits the context.
        let status = unsafe { ffi::aegis_budget_print(self.as_raw(), Some(push), context.cast()) };
        if status != ffi::AEGIS_OK as ffi::aegis_status {
            lines = "(no memory to draw the budget)".to_owned();
        }
        f.write_str(&lines)
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
