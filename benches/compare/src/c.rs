// SPDX-License-Identifier: Apache-2.0
//! The C rivals of `c/rivals.c`.

use std::ffi::{c_char, c_void, CStr};

use crate::operations::{COPY_16, RECORD, SIZE, VALUE, ZEROED};
use crate::{Case, Round};

/// The name of this library's row.
pub const OURS: &str = "C aegis_arena";
/// The name of the row of the smallest bump that C can inline.
pub const BUMP: &str = "C inline bump";
/// The name of the row that shows what the loop itself costs.
pub const NOTHING: &str = "C nothing";

/// The operations of the C rivals, in the order of their table.
const OPERATIONS: [&str; 5] = [VALUE, RECORD, SIZE, COPY_16, ZEROED];

#[repr(C)]
struct Rival {
    name: *const c_char,
    make: unsafe extern "C" fn() -> *mut c_void,
    rounds: [unsafe extern "C" fn(*mut c_void, usize); OPERATIONS.len()],
}

extern "C" {
    /// NULL behind the last rival.
    fn compare_rival(index: usize) -> *const Rival;
}

/// Every C case.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // SAFETY: any index will do, and the rivals are static constants.
    let rivals = (0..).map_while(|index| unsafe { compare_rival(index).as_ref() });
    for rival in rivals {
        // SAFETY: a static string.
        let name = unsafe { CStr::from_ptr(rival.name) }.to_str().expect("an ASCII name");
        for (operation, &round) in OPERATIONS.into_iter().zip(&rival.rounds) {
            let make = Box::new(move || {
                // SAFETY: takes nothing; the state lives as long as the process.
                let state = unsafe { (rival.make)() };
                // SAFETY: the state is this rival's, and used by one round at a time.
                Box::new(move |count| unsafe { round(state, count) }) as Round
            });
            cases.push(Case { rival: name, operation, make });
        }
    }
    cases
}
