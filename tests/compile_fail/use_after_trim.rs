// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let mut arena = Arena::new(64);
    let value = arena.alloc_value(1);
    arena.trim(0); //~ E0502
    *value += 1;
}
