// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, ArenaBox};

fn text() -> &'static str {
    let arena = Arena::new(64);
    arena.alloc_str("text") //~ E0515
}

fn boxed() -> ArenaBox<'static, u8> {
    let arena = Arena::new(64);
    arena.alloc_boxed(1) //~ E0515
}

fn main() {
    text();
    boxed();
}
