// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    #[cfg(not(corrected))]
    let text = arena.scope(|scope| scope.alloc_str("text")); //~ ERROR
    #[cfg(corrected)]
    let text = arena.alloc_str("text");
    text.make_ascii_uppercase();
}
