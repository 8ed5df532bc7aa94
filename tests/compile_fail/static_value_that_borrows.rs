// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    let text = String::from("gone before the arena");
    arena.alloc_static(text.as_str()); //~ E0597
    drop(text); //~ E0505
}
