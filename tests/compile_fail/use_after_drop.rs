// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    let slice = arena.alloc_slice_copy(&[1, 2]);
    drop(arena); //~ E0505
    slice[0] = 1;
}
