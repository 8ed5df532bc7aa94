// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, ArenaBox};
use aegis_memory::unsize_box;
use std::rc::Rc;

fn main() {
    let arena = Arena::new(64);
    let _: ArenaBox<'_, dyn Fn()> = unsize_box!(arena.alloc_boxed(1)); //~ E0277
    let _: ArenaBox<'_, dyn Send> = unsize_box!(arena.alloc_boxed(Rc::new(1))); //~ E0277
    let _: ArenaBox<'_, [u8]> = unsize_box!(arena.alloc_boxed([1_u16])); //~ E0308
}
