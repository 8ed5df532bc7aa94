// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::LockFreeArena;

fn main() {
    let arena = LockFreeArena::new(64);
    let local = arena.local();
    std::thread::scope(|threads| {
        threads.spawn(|| _ = local.alloc(8)); //~ E0277
        threads.spawn(|| _ = local.alloc(8));
    });
}
