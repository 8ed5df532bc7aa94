// SPDX-License-Identifier: Apache-2.0
//! Tests what holds for every kind of object.
//!
//! Its modules are one program, because each program of tests links the library once more.
#[path = "../support/mod.rs"]
mod support;

mod error_texts;
mod failing_source;
mod interop;
mod refusals;
mod send_sync;
mod statistics;
mod stats_text;
mod waiting;
