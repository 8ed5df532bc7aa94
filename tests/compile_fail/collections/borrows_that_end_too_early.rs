// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use aegis_memory::collections::{arena_format, arena_vec, ArenaVec};

fn used_after_reset() {
    let mut arena = Arena::new(64);
    let mut numbers = arena_vec![in &arena; 1];
    arena.reset(); //~ E0502
    numbers.push(1);
    let text = arena_format!(in &arena; "{}", 1).into_str();
    arena.clear(); //~ E0502
    text.make_ascii_uppercase();
}

fn escapes_from_a_scope(arena: &Arena) {
    let mut kept: &[i32] = &[];
    arena.scope(|scope| kept = arena_vec![in scope; 1].into_slice()); //~ E0521
    let _ = kept;
}

fn declared_before_its_arena() {
    let mut numbers: ArenaVec<i32>;
    let arena = Arena::new(64);
    numbers = ArenaVec::new_in(&arena); //~ E0597
    numbers.push(1);
}

fn iterator_of_a_vector_that_changes(mut numbers: ArenaVec<i32>) {
    let drain = numbers.drain(..);
    numbers.push(1); //~ E0499
    drop(drain);
}

fn main() {
    used_after_reset();
    escapes_from_a_scope(&Arena::new(64));
    declared_before_its_arena();
    iterator_of_a_vector_that_changes(arena_vec![in &Arena::new(64); 1]);
}
