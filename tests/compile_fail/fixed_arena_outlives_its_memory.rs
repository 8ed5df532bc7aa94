// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::FixedArena;
use std::mem::MaybeUninit;

fn main() {
    let arena = {
        let mut memory = [MaybeUninit::uninit(); 1024];
        FixedArena::new(&mut memory) //~ E0597
    };
    arena.alloc(8);
}
