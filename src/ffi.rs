// SPDX-License-Identifier: Apache-2.0
//! The raw C interface: every type and function of `aegis_memory.h`, under its C name.
//!
//! This module is for programs that share an arena between Rust and C. The rest of the crate is the
//! safe interface. The C headers document the contracts. Bindgen generates the items, which are
//! checked in, so that a build needs no libclang. With feature `bindgen` they are generated at
//! build time.
//!
//! A raw call may lead to a panic in Rust code, such as a block source or a finalizer. The panic
//! ends in that call, because a panic must not unwind through C. It counts as a refusal, and only
//! the panic hook reports it. A panic that a call of a safe function leads to continues from that
//! call.
#![allow(missing_docs, non_camel_case_types)]

#[cfg(not(feature = "bindgen"))]
include!("bindings.rs");
#[cfg(feature = "bindgen")]
include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

mod sized;
pub use sized::*;

/// Whether a call has succeeded.
#[inline(always)]
pub(crate) fn is_ok(status: &aegis_status) -> bool {
    *status == AEGIS_OK as aegis_status
}

/// The error record of a call that has not failed.
pub(crate) const NO_ERROR: aegis_error = aegis_error {
    status: AEGIS_OK as aegis_status,
    requested_bytes: 0,
    align_bytes: 0,
    limit_bytes: 0,
    in_use_bytes: 0,
    needed_bytes: 0,
    refused: core::ptr::null(),
    refusal: AEGIS_REFUSED_LIMIT,
    asked: 0,
    allowed: 0,
    what: AEGIS_WHAT_BYTES,
};

/// Whether a call has returned memory.
#[inline(always)]
pub(crate) fn is_some(memory: &*mut core::ffi::c_void) -> bool {
    !memory.is_null()
}

/// A time as C expects it. The largest value is AEGIS_WAIT_FOREVER.
pub(crate) fn nanoseconds(timeout: core::time::Duration) -> u64 {
    u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)
}

extern "C" {
    /// The bytes of the C heap that a budget takes.
    pub(crate) fn aegis_i_budget_bytes() -> usize;
    /// The bytes of the C heap that the entry of a pressure callback takes.
    pub(crate) fn aegis_i_budget_watcher_bytes() -> usize;
    /// The bytes of the C heap that the entry of a reclaimer takes.
    pub(crate) fn aegis_i_budget_reclaimer_bytes() -> usize;
    /// Allocates memory that replaces a smaller allocation, with room behind it for growth.
    pub(crate) fn aegis_i_arena_alloc_regrown(
        arena: *mut aegis_arena,
        size_bytes: usize,
        align_bytes: usize,
    ) -> *mut core::ffi::c_void;
    /// The same for a locked arena.
    pub(crate) fn aegis_i_locked_alloc_regrown(
        arena: *const aegis_locked_arena,
        size_bytes: usize,
        align_bytes: usize,
        error: *mut aegis_error,
    ) -> *mut core::ffi::c_void;
    /// The same for a lock-free arena.
    pub(crate) fn aegis_i_lock_free_alloc_regrown(
        arena: *const aegis_lock_free_arena,
        size_bytes: usize,
        align_bytes: usize,
        error: *mut aegis_error,
    ) -> *mut core::ffi::c_void;
    /// Whether the memory of an arena is used again only after its deferred functions have run.
    pub(crate) fn aegis_i_arena_always_defers(arena: *const aegis_arena) -> bool;
    /// Whether this process has lost the children of a budget by a fork.
    pub(crate) fn aegis_i_budget_is_lost(budget: *mut aegis_budget) -> bool;
    /// Gives a text to the report function of the process.
    #[cfg(all(feature = "std", aegis_threads))]
    pub(crate) fn aegis_i_report(format: *const core::ffi::c_char, ...);
}
