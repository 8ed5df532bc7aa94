// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let mut arena = Arena::new(64);
    let aligned = arena.with_min_align::<64>();
    arena.reset(); //~ E0502
    aligned.alloc(8);
    let text = arena.alloc_cstr_from_str("a");
    arena.reset(); //~ E0502
    text.to_bytes();
    let adopted = arena.adopt(vec![1]);
    arena.reset(); //~ E0502
    adopted[0] = 2;
    let local = vec![1];
    arena.adopt(Box::new(&local)); //~ E0597
}
