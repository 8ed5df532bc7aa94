// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    arena.scope(|outer| {
        let text = outer.scope(|inner| inner.alloc_str("text"));
        text.make_ascii_uppercase();
    });
}
