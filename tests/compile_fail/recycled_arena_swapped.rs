// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, ArenaRecycler};

fn main() {
    let recycler = ArenaRecycler::new(1, 4096);
    let mut guard = recycler.get();
    std::mem::swap(&mut *guard, &mut Arena::new(64)); //~ E0596
}
