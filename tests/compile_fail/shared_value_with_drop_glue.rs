// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::LockFreeArena;

fn main() {
    #[cfg(not(corrected))]
    LockFreeArena::new(64).alloc_value(String::from("leaked")); //~? E0080 src/arena/forms.rs
    #[cfg(corrected)]
    LockFreeArena::new(64).alloc_boxed(String::from("dropped"));
}
