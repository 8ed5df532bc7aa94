// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let mut arena = Arena::new(64);
    let buffer = arena.alloc(8);
    arena.reset(); //~ E0502
    buffer[0] = 1;
}
