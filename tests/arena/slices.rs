// SPDX-License-Identifier: Apache-2.0
//! Tests slices and strings in an arena: their content, their sizes, callbacks that allocate or
//! panic, and iterators whose `size_hint` is wrong. The content must be whole, and an interrupted
//! call must leave the arena usable.

use crate::support::panic_of;
use aegis_memory::arena::{Arena, CStrError, LockFreeArena, LockedArena};
use aegis_memory::AllocError;
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::fmt;
use std::rc::Rc;

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
    assert!(arena.alloc_slice_fill(0, 7_u16).is_empty());
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

#[test]
fn c_strings_end_with_the_only_zero_byte() {
    fn check<'a>(
        copy: impl Fn(&CStr) -> &'a CStr,
        from_str: impl Fn(&str) -> Result<&'a CStr, CStrError>,
        from_fmt: impl Fn(fmt::Arguments<'_>) -> Result<&'a CStr, CStrError>,
    ) {
        for len in [0, 1, 7, 8, 511, 512, 513, 9000] {
            let text = "x".repeat(len);
            let string = CString::new(&*text).expect("no zero byte");
            assert_eq!(copy(&string), &*string);
            assert_eq!(from_str(&text), Ok(&*string));
            assert_eq!(from_fmt(format_args!("{text}")), Ok(&*string));
            let bad = format!("{text}\0{text}\0");
            let error = Err(len);
            let position = |result: Result<&CStr, CStrError>| match result {
                Err(CStrError::InteriorNul { position, .. }) => Err(position),
                other => Ok(format!("{other:?}")),
            };
            assert_eq!(position(from_str(&bad)), error);
            assert_eq!(position(from_fmt(format_args!("{bad}"))), error);
        }
        assert_eq!(from_fmt(format_args!("literal")).map(CStr::to_bytes), Ok(&b"literal"[..]));
        assert!(from_fmt(format_args!("lit\0eral")).is_err());
    }
    let (arena, free, locked) = (Arena::new(64), LockFreeArena::new(64), LockedArena::new(64));
    let (local, wide) = (free.local(), arena.with_min_align::<64>());
    macro_rules! check {
        ($($arena:expr),*) => {$(
            check(
                |text| $arena.alloc_cstr(text),
                |text| $arena.try_alloc_cstr_from_str(text),
                |text| $arena.try_alloc_cstr_fmt(text),
            );
        )*};
    }
    check!(arena, free, locked, local, wide);
    assert_eq!(wide.alloc_cstr_from_str("a").as_ptr() as usize % 64, 0);
}

#[test]
fn refused_c_strings_take_no_room_and_plain_forms_panic() {
    let arena = Arena::new(64 * 1024);
    let used = arena.used();
    assert!(arena.try_alloc_cstr_from_str("a\0").is_err());
    assert!(arena.try_alloc_cstr_fmt(format_args!("{:9000}\0", 1)).is_err());
    assert_eq!(arena.used(), used);
    let text = "a C string cannot have a zero byte inside: byte 2 is zero";
    assert_eq!(panic_of(|| _ = arena.alloc_cstr_from_str("ab\0")), text);
    assert_eq!(panic_of(|| _ = arena.alloc_cstr_fmt(format_args!("{}\0", "ab"))), text);
}

/// An iterator that says this `size_hint`, whatever it has.
struct Says<I>(I, usize, Option<usize>);

impl<I: Iterator> Iterator for Says<I> {
    type Item = I::Item;
    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.1, self.2)
    }
}

#[test]
fn slice_of_known_length_drops_each_item_once_if_the_iterator_lies_or_panics() {
    let arena = Arena::builder().no_debug().build().expect("no block yet");
    let item = Rc::new(());
    for (len, says) in [(3, 3), (3, 9), (9, 3), (0, 4), (100, 99), (200, 3)] {
        let items = |panics_at| {
            let item = &item;
            let items = (0..len).map(move |i| {
                assert_ne!(i, panics_at);
                item.clone()
            });
            Says(items, says, Some(says))
        };
        let slice = arena.alloc_boxed_slice_from_iter(items(len));
        assert_eq!((slice.len(), Rc::strong_count(&item)), (len, 1 + len), "{says} said");
        drop(slice);
        assert_eq!(Rc::strong_count(&item), 1, "{len} items, {says} said");
        let used = arena.used();
        for at in 0..len {
            panic_of(|| drop(arena.alloc_boxed_slice_from_iter(items(at))));
            let left = (Rc::strong_count(&item), arena.used());
            assert_eq!(left, (1, used), "{len} items, {says} said, a panic at {at}");
        }
    }
}

#[test]
fn reverse_slices_have_the_last_item_first_whatever_the_iterator_says() {
    let (arena, free, locked) = (Arena::new(64), LockFreeArena::new(64), LockedArena::new(64));
    let (local, wide) = (free.local(), arena.with_min_align::<32>());
    for len in [0, 1, 2, 9, 300, 3000_u32] {
        let expected = Vec::from_iter((0..len).rev());
        for says in [0, 1, 5, 300, 5000] {
            for most in [None, Some(says), Some(says * 2)] {
                let items = || Says(0..len, says, most);
                assert_eq!(arena.alloc_slice_from_iter_rev(items()), expected);
                assert_eq!(free.alloc_slice_from_iter_rev(items()), expected);
                assert_eq!(locked.alloc_slice_from_iter_rev(items()), expected);
                assert_eq!(local.alloc_slice_from_iter_rev(items()), expected);
                let slice = wide.alloc_slice_from_iter_rev(items());
                assert_eq!((&*slice, slice.as_ptr() as usize % 32), (&*expected, 0));
            }
        }
    }
    assert_eq!(arena.alloc_slice_from_iter_rev([Wide(1), Wide(2)]), [Wide(2), Wide(1)]);
    assert_eq!(arena.alloc_slice_from_iter_rev([(); 9]).len(), 9);
    assert!(arena.try_alloc_slice_from_iter_rev(Says(0..1, usize::MAX, Some(usize::MAX))).is_err());
}

#[test]
fn reverse_slice_of_known_length_takes_its_room_once() {
    let arena = Arena::new(64 * 1024);
    let names =
        arena.alloc_slice_from_iter_rev((0..9).map(|i| &*arena.alloc_fmt(format_args!("{i}"))));
    assert!(names.iter().enumerate().all(|(i, name)| *name == (8 - i).to_string()));
    let used = arena.used();
    arena.alloc_slice_from_iter_rev(0..1000_u64);
    assert_eq!(arena.used(), used + 8000);
    let says_more = Says(0..10_u64, 1000, Some(1000));
    arena.alloc_slice_from_iter_rev(says_more);
    assert_eq!(arena.used(), used + 8080, "what is left over is given back");
}
