// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, LockFreeArena, LockedArena};
use allocator_api2::{boxed::Box, vec::Vec};

// What is declared first is dropped last: each collection would be dropped after its arena.

fn vec() {
    let mut numbers;
    let arena = Arena::new(64);
    numbers = Vec::new_in(&arena); //~ E0597
    numbers.push(1);
}

fn boxed() {
    let number;
    let arena = LockedArena::new(64);
    number = Box::new_in(1, &arena); //~ E0597
    assert_eq!(*number, 1);
}

fn vec_in_a_local_handle() {
    let mut numbers;
    let arena = LockFreeArena::new(64);
    let local = arena.local(); //~ E0597
    numbers = Vec::new_in(&local); //~ E0597
    numbers.push(1);
}

fn main() {
    vec();
    boxed();
    vec_in_a_local_handle();
}
