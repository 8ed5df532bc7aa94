// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::TypedArena;

fn short<'a>(arena: &TypedArena<&'a str>, text: &'a str) {
    arena.alloc(text);
}

fn main() {
    let mut arena: TypedArena<&'static str> = TypedArena::new();
    {
        let text = String::from("gone");
        short(&arena, &text); //~ E0597
    }
    arena.iter().count();
}
