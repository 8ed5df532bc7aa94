// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, ArenaBox};
use std::pin::Pin;

async fn task() {}

fn main() {
    // A box that can be forgotten is not a place to pin to.
    let short = Arena::new(64);
    let _: Pin<ArenaBox<'_, _>> = short.alloc_boxed(task()).into(); //~ E0597
    let mut arena = Arena::new(64);
    let pinned = arena.alloc_pinned(task());
    arena.reset(); //~ E0502
    drop(pinned);
    let _: &mut u8 = &mut arena.alloc_pinned(7); //~ E0596
}
