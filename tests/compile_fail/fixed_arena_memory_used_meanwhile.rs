// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::FixedArena;
use std::mem::MaybeUninit;

fn main() {
    let mut memory = [MaybeUninit::uninit(); 1024];
    let arena = FixedArena::new(&mut memory);
    memory.fill(MaybeUninit::zeroed()); //~ E0499
    arena.alloc(8);
}
