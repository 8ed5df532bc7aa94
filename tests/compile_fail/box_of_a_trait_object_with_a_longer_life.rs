// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, ArenaBox};
use aegis_memory::unsize_box;
use std::fmt::Display;

#[cfg(not(corrected))]
fn lengthen<'a>(boxed: ArenaBox<'a, dyn Display + 'a>) -> ArenaBox<'a, dyn Display> {
    unsize_box!(boxed) //~ ERROR
}

#[cfg(not(corrected))]
fn outlive<'a>(boxed: ArenaBox<'a, u8>) -> ArenaBox<'static, dyn Display> {
    unsize_box!(boxed) //~ ERROR
}

#[cfg(corrected)]
fn lengthen<'a>(boxed: ArenaBox<'a, dyn Display + 'a>) -> ArenaBox<'a, dyn Display + 'a> {
    unsize_box!(boxed)
}

#[cfg(corrected)]
fn outlive<'a>(boxed: ArenaBox<'a, u8>) -> ArenaBox<'a, dyn Display> {
    unsize_box!(boxed)
}

fn main() {
    let arena = Arena::new(64);
    let text = arena.alloc_boxed(String::from("text"));
    lengthen(unsize_box!(text));
    outlive(arena.alloc_boxed(7));
}
