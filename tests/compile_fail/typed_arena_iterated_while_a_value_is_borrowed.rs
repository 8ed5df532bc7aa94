// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::TypedArena;

fn main() {
    let mut arena = TypedArena::new();
    let value = arena.alloc(1);
    arena.iter().count(); //~ E0502
    *value = 2;
    let value = arena.alloc(1);
    arena.into_vec(); //~ E0505
    *value = 2;
}
