// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use std::cell::Cell;

fn main() {
    let arena = Arena::new(64);
    let kept = arena.alloc_value(Cell::new(""));
    arena.scope(|scope| kept.set(scope.alloc_str("text"))); //~ E0521
    assert_eq!(kept.get(), "text");
}
