// SPDX-License-Identifier: Apache-2.0
//! Tests the page cache.
//!
//! Its modules are one program, because each program of tests links the library once more.
#![cfg(all(feature = "std", aegis_threads))]

#[path = "../support/mod.rs"]
mod support;

mod buffers;
mod builder;
mod control;
mod errors;
mod fast_path;
mod files;
mod hooks;
mod panics;
mod pins;
mod reads;
mod stores;
mod threads;
mod user_store;
mod write_back;
