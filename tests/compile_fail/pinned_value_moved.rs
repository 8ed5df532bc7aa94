// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::Arena;
use std::pin::Pin;

async fn task() {}

fn main() {
    let arena = Arena::new(64);
    let _ = Pin::new(arena.alloc_boxed(task())); //~ E0277
    // What is pinned does not come out again, not even if it could be moved.
    let _ = Pin::into_inner(arena.alloc_pinned(7)); //~ E0277
}
