// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, FixedArena};
use std::mem::MaybeUninit;

fn main() {
    let mut longer = Arena::new(64);
    let mut memory = [MaybeUninit::uninit(); 1024];
    let mut arena = FixedArena::new(&mut memory);
    std::mem::swap(&mut longer, &mut *arena); //~ E0596
}
