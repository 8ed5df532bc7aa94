// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    let mut kept: &[u8] = &[];
    arena.scope(|scope| kept = scope.alloc(8)); //~ E0521
    assert_eq!(kept.len(), 8);
}
