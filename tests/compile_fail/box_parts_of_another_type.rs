// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, BoxParts, PlainLife};
use std::ptr::NonNull;

/// Would make a box of a pointer that is none of a box.
struct Forged<'a>(PlainLife<'a>);

impl<'a> BoxParts for Forged<'a> { //~ E0200
    type Value = String;
    type Life = PlainLife<'a>;

    fn into_parts(self) -> (NonNull<String>, PlainLife<'a>) {
        (NonNull::dangling(), self.0)
    }
}

fn main() {
    let arena = Arena::new(64);
    let (_, life) = arena.alloc_boxed(1).into_parts();
    drop(aegis_memory::unsize_box!(Forged(life), String));
}
