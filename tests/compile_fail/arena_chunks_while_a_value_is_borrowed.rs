// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let mut arena = Arena::new(64);
    let value = arena.alloc_value(1_u64);
    let chunks = arena.iter_allocated_chunks(); //~ E0502
    *value = 2;
    let chunk = arena.iter_allocated_chunks().next();
    arena.alloc(8); //~ E0502
    drop(chunk);
}
