// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{LocalArena, LockFreeArena};

fn main() {
    let local: LocalArena<'_>;
    {
        let arena = LockFreeArena::new(64);
        local = arena.local(); //~ E0597
    }
    local.alloc(8);
}
