// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::LockFreeArena;
use allocator_api2::vec::Vec;

fn main() {
    let arena = LockFreeArena::new(64);
    let local = arena.local();
    let mut numbers = Vec::new_in(&local);
    std::thread::scope(|threads| {
        threads.spawn(move || numbers.push(1)); //~ E0277
    });
}
