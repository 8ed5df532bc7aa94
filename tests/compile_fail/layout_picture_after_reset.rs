// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let mut arena = Arena::new(64);
    let picture = arena.layout();
    arena.reset(); //~ E0502
    println!("{picture}");
}
