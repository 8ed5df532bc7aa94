// SPDX-License-Identifier: Apache-2.0
//! Tests pools of every form.
//!
//! Its modules are one program, because each program of tests links the library once more.
#[path = "../support/executor.rs"]
mod executor;
#[path = "../support/mod.rs"]
mod support;

mod caches;
mod failing_source;
mod fast_path;
mod futures;
mod keyed;
mod lock_free;
mod model;
mod one_owner;
mod owned;
mod shared;
mod typed;
mod waiting;
