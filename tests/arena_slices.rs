// SPDX-License-Identifier: Apache-2.0
//! Tests slices and strings in an arena: their content, their sizes, callbacks that allocate or
//! panic, and iterators whose `size_hint` is wrong. The content must be whole, and an interrupted
//! call must leave the arena usable.

mod support;

use aegis_memory::arena::Arena;
use aegis_memory::AllocError;
use std::cell::Cell;
use std::fmt;
use support::panic_of;

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(128))]
struct Wide(u16);

#[test]
fn copies_and_clones_equal_their_source_and_are_apart_from_it() {
    let arena = Arena::new(64);
    for len in [0, 1, 7, 100, 5000] {
        let source: Vec<u32> = (0..len).collect();
        let copy = arena.alloc_slice_copy(&source);
        let clone = arena.alloc_slice_clone(&source);
        assert_eq!((&*copy, &*clone), (&*source, &*source));
        copy.fill(1);
        assert_eq!(clone, &*source);
    }
    let wide = [Wide(1), Wide(2), Wide(3)];
    for slice in [arena.alloc_slice_copy(&wide), arena.alloc_slice_clone(&wide)] {
        assert_eq!((&*slice, slice.as_ptr() as usize % 128), (&wide[..], 0));
    }
    assert_eq!(arena.alloc_slice_copy(&[(); 9]).len(), 9);
}

#[test]
fn fill_forms_fill_every_element() {
    let arena = Arena::new(64);
    assert_eq!(arena.alloc_slice_fill(1000, 7_u16), [7; 1000]);
    assert_eq!(arena.alloc_slice_fill(0, 7_u16), []);
    assert_eq!(arena.alloc_slice_fill(3, Wide(4)), [Wide(4); 3]);
    assert_eq!(arena.alloc_slice_fill_with(4, |i| i * i), [0, 1, 4, 9]);
    assert_eq!(arena.alloc_slice_uninit::<Wide>(3).as_ptr() as usize % 128, 0);
    assert_eq!(arena.alloc_slice_uninit::<()>(usize::MAX).len(), usize::MAX);
}

#[test]
fn fill_with_may_allocate_from_the_arena_it_fills() {
    let arena = Arena::new(64);
    let names = arena.alloc_slice_fill_with(500, |i| &*arena.alloc_fmt(format_args!("name {i}")));
    assert!(names.iter().enumerate().all(|(i, name)| *name == format!("name {i}")));
}

#[test]
fn panicking_clone_or_closure_leaves_the_arena_usable() {
    struct Panics(Cell<u32>);
    impl Clone for Panics {
        fn clone(&self) -> Self {
            self.0.set(self.0.get() + 1);
            assert!(self.0.get() < 3, "third clone");
            Self(Cell::new(0))
        }
    }
    let mut arena = Arena::new(64);
    assert_eq!(panic_of(|| arena.alloc_slice_fill(5, Panics(Cell::new(0)))), "third clone");
    let source = [Panics(Cell::new(0)), Panics(Cell::new(2))];
    assert_eq!(panic_of(|| arena.alloc_slice_clone(&source)), "third clone");
    assert_eq!(panic_of(|| arena.alloc_slice_fill_with::<u8>(5, |_| panic!("f"))), "f");
    let iter = (0..100).inspect(|i| assert!(*i < 50, "iterator"));
    assert_eq!(panic_of(|| arena.alloc_slice_from_iter(iter)), "iterator");
    assert_eq!(arena.alloc_slice_copy(&[1, 2, 3]), [1, 2, 3]);
    arena.reset();
    assert_eq!(arena.alloc(2000), [0; 2000]);
}

/// An iterator over `0..len` whose `size_hint` says whatever the test has set.
struct Lying {
    range: std::ops::Range<u32>,
    hint: (usize, Option<usize>),
}

impl Iterator for Lying {
    type Item = u32;
    fn next(&mut self) -> Option<u32> {
        self.range.next()
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.hint
    }
}

#[test]
fn from_iter_collects_whatever_the_size_hint_says() {
    let arena = Arena::new(64);
    for len in [0, 1, 5, 1000] {
        for lower in [0, 1, 4, 999, 1000, 5000] {
            for upper in [None, Some(0), Some(3)] {
                let iter = Lying { range: 0..len, hint: (lower, upper) };
                let slice = arena.alloc_slice_from_iter(iter);
                assert!(slice.iter().copied().eq(0..len), "{len} items, at least {lower} claimed");
            }
        }
    }
}

#[test]
fn from_iter_with_an_impossible_lower_bound_fails_and_changes_nothing() {
    let arena = Arena::new(64);
    let before = arena.stats();
    for lower in [usize::MAX, usize::MAX / 2, usize::MAX / 4, isize::MAX as usize / 4] {
        let iter = Lying { range: 0..3, hint: (lower, None) };
        assert!(arena.try_alloc_slice_from_iter(iter).is_err());
        assert_eq!(arena.stats(), before);
    }
}

#[test]
fn from_iter_gives_back_what_a_size_hint_claimed_too_much() {
    let arena = Arena::new(100_000);
    arena.alloc_slice_from_iter(Lying { range: 0..2, hint: (10_000, None) });
    // Two items, and a checker's gap if there is a checker.
    assert!(arena.used() <= 8 + 16);
    assert_eq!(arena.alloc_slice_from_iter(0..0_u64).len(), 0);
}

#[test]
fn from_iter_survives_an_iterator_that_allocates_from_the_arena() {
    let arena = Arena::new(64);
    let iter = (0..300).map(|i| {
        let inner = arena.alloc_slice_from_iter((0..i % 7).map(|j| *arena.alloc_value(j)));
        assert!(inner.iter().copied().eq(0..i % 7));
        &*arena.alloc_fmt(format_args!("{i}"))
    });
    let texts = arena.alloc_slice_from_iter(iter);
    assert!(texts.iter().enumerate().all(|(i, text)| *text == i.to_string()));
}

#[test]
fn from_iter_takes_zero_sized_and_over_aligned_items() {
    let arena = Arena::new(64);
    assert_eq!(arena.alloc_slice_from_iter((0..70_000).map(|_| ())).len(), 70_000);
    let wide = arena.alloc_slice_from_iter((0..100).filter(|i| i % 3 == 0).map(Wide));
    assert_eq!((wide.len(), wide[33], wide.as_ptr() as usize % 128), (34, Wide(99), 0));
}

#[test]
fn strings_are_copied_whole() {
    let arena = Arena::new(64);
    let long = "ä€𐍈".repeat(1000);
    for text in ["", "a", "zwölf", &long] {
        let copy = arena.alloc_str(text);
        assert_eq!(copy, text);
        copy.make_ascii_uppercase();
    }
}

#[test]
fn fmt_equals_format() {
    let arena = Arena::new(64);
    assert_eq!(arena.alloc_fmt(format_args!("")), "");
    assert_eq!(arena.alloc_fmt(format_args!("literal")), "literal");
    let long = "x".repeat(10_000);
    let text = arena.alloc_fmt(format_args!("{:>8}|{:?}|{long}", 3, "ä"));
    assert_eq!(*text, *format!("{:>8}|{:?}|{long}", 3, "ä"));
}

#[test]
fn fmt_survives_a_display_that_allocates_from_the_arena() {
    struct Nested<'a>(&'a Arena, u32);
    impl fmt::Display for Nested<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if self.1 > 0 {
                let inner = Nested(self.0, self.1 - 1);
                f.write_str(self.0.alloc_fmt(format_args!("({inner})")))?;
            }
            self.0.alloc(100).fill(0xFF);
            write!(f, "{}", self.1)
        }
    }
    let arena = Arena::new(64);
    assert_eq!(arena.alloc_fmt(format_args!("{} {}", Nested(&arena, 3), 'x')), "(((0)1)2)3 x");
}

#[test]
fn fmt_with_a_failing_or_panicking_display_leaves_the_arena_as_it_was() {
    struct Fails;
    impl fmt::Display for Fails {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in Display")
        }
    }
    let arena = Arena::new(1000);
    let message = panic_of(|| arena.try_alloc_fmt(format_args!("abc {Fails}")));
    assert_eq!(message, "a Display implementation returned an error");
    assert_eq!(panic_of(|| arena.alloc_fmt(format_args!("abc {Panics}"))), "in Display");
    assert_eq!(arena.used(), 0);
    assert_eq!(arena.alloc_str("still works"), "still works");
}

#[test]
fn interrupted_collecting_gives_its_room_back() {
    let mut memory = [std::mem::MaybeUninit::uninit(); 1000];
    let arena = aegis_memory::arena::FixedArena::new(&mut memory);
    arena.alloc(100);
    let used = arena.used();
    let error = arena.try_alloc_slice_from_iter((0_u64..).filter(|i| i % 2 == 0));
    assert!(matches!(error, Err(AllocError::Exhausted { .. })));
    assert_eq!(arena.used(), used);
    let error = arena.try_alloc_fmt(format_args!("{:>2000}{}", 1, 2));
    assert!(matches!(error, Err(AllocError::Exhausted { .. })));
    assert_eq!(arena.used(), used);
}

#[test]
fn plain_forms_panic_with_the_words_of_the_error() {
    let mut memory = [std::mem::MaybeUninit::uninit(); 100];
    let arena = aegis_memory::arena::FixedArena::new(&mut memory);
    let text = "x".repeat(2000);
    let says = arena.try_alloc_str(&text).expect_err("too large").to_string();
    assert!(
        says.starts_with("fixed memory exhausted: 2000 bytes requested at alignment 8, 0 of "),
        "{says}"
    );
    assert_eq!(panic_of(|| arena.alloc_str(&text)), says);
    assert_eq!(panic_of(|| arena.alloc_slice_copy(text.as_bytes())), says);
    assert_eq!(panic_of(|| arena.alloc_slice_clone(text.as_bytes())), says);
    assert_eq!(panic_of(|| arena.alloc_slice_from_iter(text.bytes())), says);
    assert!(panic_of(|| arena.alloc_fmt(format_args!("{text}{}", 1))).contains("exhausted"));
}
