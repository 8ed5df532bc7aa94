// SPDX-License-Identifier: Apache-2.0
//! Tests budgets.
//!
//! Its modules are one program, because each program of tests links the library once more.
#[path = "../support/arbitration.rs"]
mod arbitration;
#[path = "../support/executor.rs"]
mod executor;

mod before_refusal;
mod buffers;
mod datafusion;
mod futures;
mod limits;
mod objects;
mod peak;
mod reservation;
mod shares;
mod system;
