// SPDX-License-Identifier: Apache-2.0
//! Tests panics of user code that the core has called.
//!
//! Its modules are one program, because each program of tests links the library once more.
#[cfg(feature = "std")]
#[path = "../support/executor.rs"]
mod executor;
#[cfg(feature = "std")]
#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "std")]
mod every_call;
#[cfg(feature = "std")]
mod nested;
#[cfg(feature = "std")]
mod ownership;
#[cfg(feature = "std")]
mod reclaim;
