// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use allocator_api2::vec::Vec;

fn main() {
    let mut arena = Arena::new(64);
    let mut numbers = Vec::new_in(&arena);
    arena.reset(); //~ E0502
    numbers.push(1);
}
