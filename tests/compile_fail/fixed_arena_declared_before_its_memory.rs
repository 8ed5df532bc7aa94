// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::FixedArena;
use std::mem::MaybeUninit;

fn main() {
    let arena;
    let mut memory = vec![MaybeUninit::<u8>::uninit(); 1024].into_boxed_slice();
    arena = FixedArena::new(&mut memory); //~ E0597
    // The arena keeps its finalizer's record in the memory, which would be freed before the arena.
    arena.alloc_static(String::from("dropped with the arena"));
}
