// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, ArenaRecycler, LockFreeArena, LockedArena};

// What is declared first is dropped last: each handle here would be dropped after its owner.

fn local() {
    let handle;
    let arena = LockFreeArena::new(64);
    handle = arena.local(); //~ E0597
    handle.alloc(8);
}

fn recycled() {
    let handle;
    let recycler = ArenaRecycler::new(1, 4096);
    handle = recycler.get(); //~ E0597
    handle.alloc(8);
}

fn boxed() {
    let handle;
    let arena = Arena::new(64);
    handle = arena.alloc_boxed(String::from("boxed")); //~ E0597
    assert_eq!(handle.len(), 5);
}

fn boxed_in_a_shared_arena() {
    let handle;
    let arena = LockedArena::new(64);
    handle = arena.alloc_boxed(String::from("boxed")); //~ E0597
    assert_eq!(handle.len(), 5);
}

fn boxed_through_a_local_handle() {
    let handle;
    let arena = LockFreeArena::new(64);
    handle = arena.local().alloc_boxed(String::from("boxed")); //~ E0597
    assert_eq!(handle.len(), 5);
}

fn boxed_without_drop_glue() {
    let handle;
    let recycler = ArenaRecycler::new(1, 4096);
    let arena = recycler.get(); //~ E0597
    handle = arena.alloc_boxed(1_u8); //~ E0597
    assert_eq!(*handle, 1);
}

fn main() {
    local();
    recycled();
    boxed();
    boxed_in_a_shared_arena();
    boxed_through_a_local_handle();
    boxed_without_drop_glue();
}
