// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let mut arena = Arena::new(64);
    arena.scope(|_| arena.reset()); //~ E0502
    arena.scope(|scope| scope.reset()); //~ E0596
}
