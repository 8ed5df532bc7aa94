// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::ArenaRecycler;

fn main() {
    let recycler = ArenaRecycler::new(1, 4096);
    let text = recycler.get().alloc_str("gone with the guard"); //~ E0716
    println!("{text}");
}
