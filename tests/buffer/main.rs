// SPDX-License-Identifier: Apache-2.0
//! Tests buffers, writers and pools of buffers.
//!
//! Its modules are one program, because each program of tests links the library once more.
#[path = "../support/executor.rs"]
mod executor;
#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "bytes")]
mod bytes;
#[cfg(feature = "std")]
mod callees;
#[cfg(feature = "std")]
mod chain;
#[cfg(feature = "std")]
mod empty;
#[cfg(feature = "std")]
#[cfg(any(unix, windows))]
mod file;
#[cfg(all(feature = "std", feature = "bytes"))]
mod lent;
mod model;
mod pool;
mod pool_futures;
mod pool_reclaim;
mod pool_trim;
#[cfg(feature = "std")]
mod read;
#[cfg(feature = "std")]
mod retained;
mod threads;
#[cfg(feature = "std")]
mod traits;
#[cfg(feature = "std")]
mod view;
#[cfg(feature = "std")]
mod writer;
