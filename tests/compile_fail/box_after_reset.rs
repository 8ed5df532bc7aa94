// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let mut arena = Arena::new(64);
    let _boxed = arena.alloc_boxed(String::new());
    arena.reset(); //~ E0502
}
