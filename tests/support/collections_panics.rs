// SPDX-License-Identifier: Apache-2.0
//! What stays of a collection when a user's code panics, or forgets an iterator.

use crate::support::panic_of;
use aegis_memory::arena::Arena;
use aegis_memory::collections::{ArenaString, ArenaVec};
use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;

/// A value that counts its drops, and panics in the drop or the clone that it is told to.
struct Fragile<'c> {
    drops: &'c Cell<usize>,
    panics: bool,
}

impl Drop for Fragile<'_> {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
        if self.panics && !std::thread::panicking() {
            panic!("drop");
        }
    }
}

impl Clone for Fragile<'_> {
    fn clone(&self) -> Self {
        assert!(!self.panics, "clone");
        Fragile { drops: self.drops, panics: false }
    }
}

/// Makes a vector of five values, of which number `at` panics, and calls. Afterwards each value
/// that was made was dropped once.
fn with_panic(
    at: usize,
    message: &str,
    made: usize,
    call: impl FnOnce(&mut ArenaVec<'_, Fragile<'_>>),
) {
    let (arena, drops) = (Arena::default(), Cell::new(0));
    let value = |i| Fragile { drops: &drops, panics: i == at };
    let mut vec = ArenaVec::from_iter_in((0..5).map(value), &arena);
    vec.reserve(64);
    let said = panic_of(AssertUnwindSafe(|| call(&mut vec)));
    assert_eq!(said, message);
    // A value whose drop has panicked does not panic again.
    vec.iter_mut().for_each(|value| value.panics = false);
    drop(vec);
    assert_eq!(drops.get(), made);
}

#[test]
fn panics_of_drops_and_clones_lose_no_value_and_drop_none_twice() {
    with_panic(2, "drop", 5, |vec| vec.truncate(1));
    with_panic(2, "drop", 5, |vec| vec.clear());
    with_panic(2, "drop", 5, |vec| drop(vec.drain(1..4)));
    with_panic(2, "drop", 5, |vec| {
        let empty = ArenaVec::new_in(vec.arena());
        drop(std::mem::replace(vec, empty).into_iter());
    });
    with_panic(2, "drop", 5, |vec| vec.retain(|value| !value.panics));
    with_panic(2, "drop", 5, |vec| vec.dedup_by_key(|_| 1));
    with_panic(1, "drop", 5, |vec| drop(vec.splice(1..4, None)));
    with_panic(1, "drop", 5, |vec| vec.extract_if(.., |value| value.panics).for_each(drop));
    with_panic(2, "clone", 7, |vec| vec.extend_from_within(..));
    with_panic(2, "clone", 7, |vec| drop(vec.clone()));
    with_panic(2, "clone", 6, |vec| {
        let value = Fragile { drops: vec[0].drops, panics: true };
        vec.resize(9, value);
    });
}

#[test]
fn panics_of_closures_and_iterators_lose_no_value_and_drop_none_twice() {
    let nothing = usize::MAX;
    let third = |seen: &Cell<usize>| {
        seen.set(seen.get() + 1);
        assert!(seen.get() < 3, "closure");
        false
    };
    let seen = Cell::new(0);
    with_panic(nothing, "closure", 5, |vec| vec.retain(|_| third(&seen)));
    seen.set(0);
    with_panic(nothing, "closure", 5, |vec| {
        vec.extract_if(.., |_| !third(&seen)).for_each(drop);
    });
    seen.set(0);
    with_panic(nothing, "closure", 5, |vec| vec.dedup_by(|_, _| third(&seen)));
    seen.set(0);
    with_panic(nothing, "closure", 5, |vec| _ = vec.pop_if(|_| panic!("closure")));
    fn make<'c>(drops: &'c Cell<usize>, seen: &Cell<usize>) -> Fragile<'c> {
        seen.set(seen.get() + 1);
        assert!(seen.get() < 3, "closure");
        Fragile { drops, panics: false }
    }
    seen.set(0);
    with_panic(nothing, "closure", 7, |vec| {
        let drops = vec[0].drops;
        vec.resize_with(20, || make(drops, &seen));
    });
    seen.set(0);
    with_panic(nothing, "closure", 7, |vec| {
        let drops = vec[0].drops;
        vec.extend((0..9).map(|_| make(drops, &seen)));
    });
    seen.set(0);
    with_panic(nothing, "closure", 7, |vec| {
        let drops = vec[0].drops;
        vec.splice(1..2, (0..9).map(|_| make(drops, &seen)));
    });
    let arena = Arena::default();
    let mut text = ArenaString::from_str_in("aébcd", &arena);
    seen.set(0);
    let call = AssertUnwindSafe(|| text.retain(|_| third(&seen)));
    assert_eq!(panic_of(call), "closure");
    assert_eq!(text, "bcd");
}

#[test]
fn forgotten_iterators_leave_a_vector_that_can_be_used() {
    struct Name<'a>(char, &'a RefCell<String>);
    impl Drop for Name<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }
    let dropped = RefCell::new(String::new());
    let names = |text: &'static str| text.chars().map(|name| Name(name, &dropped));
    let arena = Arena::default();
    let mut vec = ArenaVec::from_iter_in(names("12345"), &arena);
    std::mem::forget(vec.drain(1..3));
    assert!(vec.len() <= 5);
    vec.truncate(0);
    vec.extend(names("abc"));
    std::mem::forget(vec.extract_if(1.., |_| true));
    assert!(vec.is_empty());
    vec.extend(names("def"));
    std::mem::forget(vec.splice(1..2, None));
    vec.push(Name('g', &dropped));
    assert_eq!(vec.iter().map(|name| name.0).collect::<String>(), "dg");
    drop(vec);
    let dropped = dropped.into_inner();
    assert!(dropped.ends_with("dg"));
    assert!(dropped.chars().all(|name| dropped.matches(name).count() == 1), "{dropped}");
}
