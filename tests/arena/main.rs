// SPDX-License-Identifier: Apache-2.0
//! Tests arenas, what is made in them, and their collections.
//!
//! Its modules are one program, because each program of tests links the library once more.
#[path = "../support/executor.rs"]
mod executor;
#[path = "../support/mod.rs"]
mod support;

mod boxes;
#[cfg(feature = "collections")]
mod collections;
mod debug;
mod fast_path;
mod gather;
mod heap;
mod limits;
mod locked_calls;
mod model;
mod one_owner;
mod owned;
mod recycler;
mod scope;
mod shared;
mod slices;
mod typed;
