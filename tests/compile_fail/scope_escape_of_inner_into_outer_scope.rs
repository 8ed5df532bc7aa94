// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    arena.scope(|outer| {
        #[cfg(not(corrected))]
        let text = outer.scope(|inner| inner.alloc_str("text")); //~ ERROR
        #[cfg(corrected)]
        let text = outer.alloc_str("text");
        text.make_ascii_uppercase();
    });
}
