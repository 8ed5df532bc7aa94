// SPDX-License-Identifier: Apache-2.0
//! The arena and its rivals behind one interface, and the loops that are measured.
//!
//! A round is `count` operations and one reset. The loop is one generic function, into which the
//! operation of every rival is inlined in the same way. The rival `nothing` shows what the loop
//! itself costs. Inputs and results pass through [`hide`] and [`keep`]. These are black boxes that
//! stay in registers; `std::hint::black_box` would add a store and a load to each operation.

pub mod c;
pub mod collections;
pub mod homes;
pub mod json;
pub mod operations;
pub mod page;
pub mod pairs;
pub mod pools;
pub mod programs;
pub mod quiet;
pub mod rivals;
#[path = "../../support/turns.rs"]
pub mod turns;
#[path = "../../support/work.rs"]
pub mod work;

use std::arch::asm;

/// What a case runs: this many operations, then a reset.
pub type Round = Box<dyn FnMut(usize)>;

/// A rival and one of its operations, ready to run.
pub struct Case {
    /// The rival's name, a row of the table.
    pub rival: &'static str,
    /// The operation's name, a column of the table.
    pub operation: &'static str,
    /// Makes the rival and its round.
    pub make: Box<dyn Fn() -> Round>,
}

/// Every case, Rust first.
pub fn cases() -> Vec<Case> {
    let mut cases = rivals::cases();
    cases.extend(c::cases());
    cases
}

/// Returns the value; afterwards the compiler knows nothing of it any more.
#[inline(always)]
pub fn hide(mut value: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Uses a result: for the compiler, all memory, and what the result points to, may have been read
/// or written.
#[inline(always)]
pub fn keep<T>(result: *const T) {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", in(reg) result, options(nostack, preserves_flags)) };
}
