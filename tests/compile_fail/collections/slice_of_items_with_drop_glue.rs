// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use aegis_memory::collections::arena_vec;

fn main() {
    let arena = Arena::new(64);
    let names = arena_vec![in &arena; String::from("never dropped")];
    #[cfg(not(corrected))]
    names.into_slice(); //~? E0080 src/collections/room.rs
    #[cfg(corrected)]
    names.into_boxed_slice();
}
