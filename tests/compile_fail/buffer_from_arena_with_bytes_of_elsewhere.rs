// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use aegis_memory::buffer::Buffer;

fn main() {
    let local = vec![1, 2, 3];
    let _ = Buffer::from_arena(Arena::new(64), |_| &local); //~ E0597
    let other = Arena::new(64);
    let _ = Buffer::from_arena(Arena::new(64), |_| other.alloc_str("other").as_bytes()); //~ E0597
}
