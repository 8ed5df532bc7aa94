// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let mut arena = Arena::new(64);
    let text = arena.alloc_str("text");
    arena.clear(); //~ E0502
    text.make_ascii_uppercase();
}
