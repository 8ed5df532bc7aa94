// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    let mut boxes = Vec::new();
    arena.scope(|scope| boxes.push(scope.alloc_boxed(String::new()))); //~ E0521
}
