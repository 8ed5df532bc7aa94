// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::LockFreeArena;
use std::rc::Rc;

fn main() {
    let arena = LockFreeArena::new(64);
    let counted = arena.alloc_boxed(Rc::new(1));
    std::thread::scope(|threads| {
        threads.spawn(move || drop(counted)); //~ E0277
    });
}
