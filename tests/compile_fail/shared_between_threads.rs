// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    std::thread::scope(|threads| {
        threads.spawn(|| _ = arena.alloc(8)); //~ E0277
        threads.spawn(|| _ = arena.alloc(8));
    });
}
