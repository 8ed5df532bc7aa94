// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::LockFreeArena;

fn main() {
    let mut arena = LockFreeArena::new(64);
    let local = arena.local();
    arena.reset(); //~ E0502
    local.alloc(8);
}
