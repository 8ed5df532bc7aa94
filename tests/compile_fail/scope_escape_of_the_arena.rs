// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    let inner: &Arena = arena.scope(|scope| scope);
    inner.alloc(8);
}
