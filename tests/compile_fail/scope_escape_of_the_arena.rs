// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;

fn main() {
    let arena = Arena::new(64);
    #[cfg(not(corrected))]
    let inner: &Arena = arena.scope(|scope| scope); //~ ERROR
    #[cfg(corrected)]
    let inner: &Arena = &arena;
    inner.alloc(8);
}
