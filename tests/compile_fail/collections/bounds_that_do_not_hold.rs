// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{AnyArena, Arena, ArenaRecycler};
use aegis_memory::collections::arena_vec;

struct Mine;

// The trait is sealed.
impl AnyArena for Mine {} //~ E0277

fn sent_to_another_thread(arena: &Arena) {
    let mut numbers = arena_vec![in arena; 1];
    std::thread::scope(|threads| {
        threads.spawn(move || numbers.push(1)); //~ E0277
    });
}

fn is_arena<A: AnyArena>(_: &A) {}

fn guard_of_a_recycler(recycler: &ArenaRecycler) {
    let guard = recycler.get();
    is_arena(&guard); //~ E0277
    is_arena(&*guard);
}

fn main() {
    sent_to_another_thread(&Arena::new(64));
    guard_of_a_recycler(&ArenaRecycler::builder().build().unwrap());
}
