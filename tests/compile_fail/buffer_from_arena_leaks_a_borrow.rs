// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use aegis_memory::buffer::Buffer;

fn main() {
    let mut kept: &mut [u8] = &mut [];
    let buffer = Buffer::from_arena(Arena::new(64), |arena| {
        kept = arena.alloc(8); //~ E0521
        arena.alloc(8)
    });
    kept[0] = 1;
    drop(buffer);
}
