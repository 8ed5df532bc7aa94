// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let mut arena = Arena::new(64);
    let shared = arena.alloc_rc(String::new());
    arena.reset(); //~ E0502
    drop(shared);
    let one = arena.alloc_rc(1);
    *one = 2; //~ E0594
}
