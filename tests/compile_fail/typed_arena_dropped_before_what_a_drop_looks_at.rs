// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::TypedArena;

struct Looks<'a>(&'a String);

impl Drop for Looks<'_> {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}

fn main() {
    let arena = TypedArena::new();
    let text = String::from("dropped before the arena");
    arena.alloc(Looks(&text)); //~ E0597
}
