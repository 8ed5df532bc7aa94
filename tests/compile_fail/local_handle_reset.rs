// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::LockFreeArena;

fn main() {
    let arena = LockFreeArena::new(64);
    let mut local = arena.local();
    local.reset(); //~ E0596
}
