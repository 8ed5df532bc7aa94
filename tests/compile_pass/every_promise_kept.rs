// SPDX-License-Identifier: Apache-2.0
//! Does correctly what the refused programs do wrong. It must compile and run.
use aegis_memory::arena::{
    Arena, ArenaBox, ArenaRc, ArenaRecycler, FixedArena, LockFreeArena, LockedArena, PinnedBox,
};
use std::mem::MaybeUninit;

fn longest<'a>(arena: &'a Arena, words: &[&str]) -> &'a str {
    let longest = words.iter().max_by_key(|word| word.len());
    arena.alloc_str(longest.copied().unwrap_or_default())
}

/// A box can be used where one with shorter lives is expected.
fn shorter<'s>(boxed: ArenaBox<'static, &'static str>, _: &'s str) -> ArenaBox<'s, &'s str> {
    boxed
}

fn rc_shorter<'s>(shared: ArenaRc<'static, &'static str>) -> ArenaRc<'s, &'s str> {
    shared
}

fn pinned_shorter<'s>(boxed: PinnedBox<'static, &'static str>) -> PinnedBox<'s, &'s str> {
    boxed
}

pub fn main() {
    let mut arena = Arena::new(64);
    let total = arena.alloc_value(0);
    let kept = arena.scope(|scope| {
        *total += scope.alloc_slice_copy(&[1, 2, 3]).iter().sum::<i32>();
        longest(&arena, &["a", "abc"])
    });
    assert_eq!((*total, kept), (6, "abc"));
    let boxed: ArenaBox<'_, String> = arena.alloc_boxed(String::from("dropped"));
    drop(boxed);
    arena.alloc_static(vec![1]);
    arena.reset();
    std::thread::spawn(move || arena.clear()).join().unwrap();

    let mut memory = [MaybeUninit::uninit(); 256];
    let mut fixed = FixedArena::new(&mut memory);
    fixed.alloc(8);
    fixed.reset();
    drop(fixed);
    memory[0].write(1);

    let mut shared = LockFreeArena::new(64);
    let local = shared.local();
    let mut counted = std::thread::scope(|threads| {
        threads.spawn(|| shared.alloc_boxed(String::from("sent"))).join().unwrap()
    });
    let text = local.alloc_str(&counted);
    drop(local);
    counted.push_str(text);
    drop(counted);
    shared.alloc_static(vec![1]);
    shared.reset();

    LockedArena::new(64).alloc_static(vec![1]);
    let for_ever: &'static LockedArena = Box::leak(Box::new(LockedArena::new(64)));
    assert_eq!(*shorter(for_ever.alloc_boxed("lives long"), ""), "lives long");
    assert_eq!(*rc_shorter(for_ever.alloc_rc("shared")), "shared");
    assert_eq!(**pinned_shorter(for_ever.alloc_pinned("stays")), "stays");
    let recycler = ArenaRecycler::new(1, 4096);
    let mut guard = recycler.get();
    guard.alloc_str("until the guard is dropped");
    guard.reset();
}
