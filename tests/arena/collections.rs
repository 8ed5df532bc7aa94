// SPDX-License-Identifier: Apache-2.0
//! Tests the collections in an arena: that they do what the standard library's do, what they do
//! when the arena is full, and (`support/collections_panics.rs`) what stays of them when a user's
//! code panics.

#[path = "../support/collections_model.rs"]
mod collections_model;
#[path = "../support/collections_panics.rs"]
mod collections_panics;
use aegis_memory::arena::{Arena, FixedArena, LockFreeArena, LockedArena};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::collections::{arena_format, arena_vec, ArenaString, ArenaVec, CollectIn};
use aegis_memory::AllocError;
use collections_model::{apply, op};
use proptest::prelude::*;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write;
use std::mem::MaybeUninit;
use std::rc::Rc;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn vector_does_what_the_vector_of_std_does(ops in prop::collection::vec(op(), 0..60)) {
        let arena = Arena::new(256);
        let (mut bytes, mut std_bytes) = (ArenaVec::new_in(&arena), Vec::new());
        // With a drop that the counts of `Rc` show.
        let token = Rc::new(());
        let (mut shared, mut std_shared) = (ArenaVec::new_in(&arena), Vec::new());
        // Without a size.
        let (mut units, mut std_units) = (ArenaVec::new_in(&arena), Vec::new());
        for op in ops {
            apply(op.clone(), &mut bytes, &mut std_bytes, |b| b, |b| *b);
            let of = |b| (b, Rc::clone(&token));
            apply(op.clone(), &mut shared, &mut std_shared, of, |item| item.0);
            apply(op, &mut units, &mut std_units, |_| (), |_| 1);
            assert_eq!(Rc::strong_count(&token), 1 + shared.len() + std_shared.len());
        }
        let rest: Vec<_> = shared.into_iter().skip(1).collect();
        assert_eq!(rest.len(), std_shared.len().saturating_sub(1));
        drop((rest, std_shared));
        assert_eq!(Rc::strong_count(&token), 1);
    }

    #[test]
    fn text_does_what_the_string_of_std_does(
        ops in prop::collection::vec((0_u8..14, 0_usize..40, 0_usize..40, "[a-cé漢🦀]{0,6}"), 0..40)
    ) {
        let arena = Arena::new(256);
        let (mut ours, mut std) = (ArenaString::new_in(&arena), String::new());
        for (op, i, j, text) in ops {
            let positions: Vec<usize> =
                (0..=std.len()).filter(|&i| std.is_char_boundary(i)).collect();
            let (i, j) = (positions[i % positions.len()], positions[j % positions.len()]);
            let range = i.min(j)..i.max(j);
            let first = text.chars().next().unwrap_or('x');
            match op {
                0 => assert_eq!(ours.pop(), std.pop()),
                1 => (ours.insert(i, first), std.insert(i, first)).0,
                2 => (ours.insert_str(i, &text), std.insert_str(i, &text)).0,
                3 if i < std.len() => assert_eq!(ours.remove(i), std.remove(i)),
                4 => (ours.truncate(i), std.truncate(i)).0,
                5 => (ours.retain(|c| c != first), std.retain(|c| c != first)).0,
                6 => assert!(ours.drain(range.clone()).rev().eq(std.drain(range).rev())),
                7 => {
                    assert_eq!(ours.drain(range.clone()).nth(1), std.drain(range).nth(1));
                }
                8 => (ours.replace_range(range.clone(), &text), std.replace_range(range, &text)).0,
                9 => assert_eq!(ours.split_off(i), std.split_off(i)),
                10 => {
                    let again = std[range.clone()].to_owned();
                    ours.extend_from_within(range);
                    std.push_str(&again);
                }
                11 => (ours.extend(text.chars()), std.push_str(&text)).0,
                12 => (ours.push(first), std.push(first)).0,
                _ => (ours.push_str(&text), std.push_str(&text)).0,
            }
            assert_eq!(ours, std);
        }
        assert_eq!(&*ours.into_str(), std);
    }

    #[test]
    fn lossy_text_is_that_of_std(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let arena = Arena::default();
        let text = ArenaString::from_utf8_lossy_in(&bytes, &arena);
        assert_eq!(text, String::from_utf8_lossy(&bytes));
        let units: Vec<u16> = bytes.iter().map(|&b| 0xD700 + u16::from(b) * 16).collect();
        let text = ArenaString::from_utf16_lossy_in(&units, &arena);
        assert_eq!(text, String::from_utf16_lossy(&units));
        let text = ArenaString::from_utf16_in(&units, &arena);
        assert_eq!(text.ok().map(String::from), String::from_utf16(&units).ok());
    }
}

#[test]
fn latest_vector_grows_where_it_is_and_gives_its_room_back() {
    let arena = Arena::new(64 * 1024);
    let mut vec = arena_vec![in &arena; 0_u64];
    let start = vec.as_ptr();
    vec.extend(1..4000);
    assert_eq!((vec.as_ptr(), arena.stats().block_count), (start, 1));
    let slice = vec.into_slice();
    assert_eq!((slice.as_ptr(), arena.used()), (start, 32_000), "no room is left over behind it");
    let used = arena.used();
    drop(ArenaVec::from_iter_in(0..100, &arena));
    drop(arena_format!(in &arena; "{:100}", 1));
    let mut boxed = arena_vec![in &arena; 1_u8, 2, 3];
    boxed.reserve(1000);
    assert_eq!(boxed.into_boxed_slice().len(), 3);
    assert_eq!(arena.used(), used + 8);
}

#[test]
fn vector_that_is_not_the_latest_moves_and_keeps_its_items() {
    let arena = Arena::default();
    let mut vecs: Vec<_> = (0..8).map(|_| ArenaVec::new_in(&arena)).collect();
    for i in 0..8000_u32 {
        vecs[i as usize % 8].push(i);
    }
    for (first, vec) in vecs.iter().enumerate() {
        assert!(vec.iter().copied().eq((first as u32..8000).step_by(8)));
    }
}

#[test]
fn full_arena_gives_what_is_left_and_then_refuses() {
    let mut memory = [MaybeUninit::uninit(); 1064];
    let arena = FixedArena::new(&mut memory);
    let room = arena.remaining();
    let mut bytes = ArenaVec::<u8, _>::new_in(&arena);
    while bytes.try_push(7).is_ok() {}
    assert!(bytes.len() >= room - 64, "all but what a debug build guards, not the half of it");
    let error = bytes.try_push(7).unwrap_err();
    assert!(matches!(error, AllocError::Exhausted { .. }), "{error}");
    assert!(bytes.iter().all(|&b| b == 7));
    let message = crate::support::panic_of(|| bytes.push(7));
    assert!(message.contains(&(bytes.len() + 1).to_string()), "{message}");
}

#[test]
fn budget_that_refuses_says_so_and_leaves_the_vector() {
    let budget = MemoryBudget::new("request", 4096);
    let arena = Arena::builder().budget(&budget).build().unwrap();
    let mut text = ArenaString::from_str_in("kept", &arena);
    let error = text.try_reserve(10_000).unwrap_err();
    assert!(error.to_string().contains("request"), "{error}");
    assert_eq!(text, "kept");
    assert!(write!(text, "{:10000}", 1).is_err());
    assert!(ArenaString::try_from_fmt_in(format_args!("{:10000}", 1), &arena).is_err());
}

#[test]
fn sizes_that_no_memory_has_are_refused() {
    let arena = Arena::default();
    let mut vec = arena_vec![in &arena; 1_u64];
    for additional in [usize::MAX, usize::MAX / 8, isize::MAX as usize / 8] {
        assert!(matches!(vec.try_reserve(additional), Err(AllocError::InvalidLayout { .. })));
        assert!(vec.try_reserve_exact(additional).is_err());
    }
    let mut units = ArenaVec::new_in(&arena);
    // SAFETY: there is room for as many, and they have no bytes.
    unsafe { units.set_len(usize::MAX) };
    assert!(units.try_push(()).is_err());
    assert_eq!((units.pop(), units.len()), (Some(()), usize::MAX - 1));
    assert_eq!(vec, [1]);
}

#[test]
fn over_aligned_items_stay_aligned_as_they_grow() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(align(256))]
    struct Line(u8);
    let arena = LockedArena::default();
    let mut vec = ArenaVec::new_in(&arena);
    for i in 0..50 {
        vec.push(Line(i));
        arena.alloc(9);
        assert_eq!(vec.as_ptr() as usize % 256, 0);
    }
    assert!(vec.iter().enumerate().all(|(i, line)| line.0 as usize == i));
}

#[test]
fn every_form_of_arena_has_collections() {
    fn check<A: aegis_memory::arena::AnyArena>(arena: &A) {
        let mut vec: ArenaVec<String, A> =
            ["a", "b"].map(String::from).into_iter().collect_in(arena);
        vec.resize(40, String::from("c"));
        let mut text = ArenaString::new_in(arena);
        text.extend(vec.iter().map(String::as_str));
        assert_eq!(text.len(), 40);
        let mut tail = vec.split_off(30);
        vec.append(&mut tail);
        vec.shrink_to_fit();
        assert_eq!((vec.capacity(), vec.len()), (40, 40));
        assert_eq!(vec.into_iter().rev().nth(39).as_deref(), Some("a"));
        assert_eq!(text.into_str().len(), 40);
    }
    let mut memory = [MaybeUninit::uninit(); 8192];
    check(&Arena::default());
    check(&FixedArena::new(&mut memory));
    check(&LockFreeArena::default());
    check(&LockFreeArena::default().local());
    check(&LockedArena::default());
    Arena::default().scope(check);
}

#[test]
fn vectors_in_a_shared_arena_grow_on_several_threads() {
    let arena = LockFreeArena::default();
    std::thread::scope(|threads| {
        for first in 0..4_u32 {
            let arena = &arena;
            threads.spawn(move || {
                let mut vec = ArenaVec::new_in(arena);
                (0..2000).for_each(|i| vec.push(first + i * 4));
                assert!(vec.iter().copied().eq((first..8000).step_by(4)));
            });
        }
    });
}

#[test]
fn items_without_a_size_come_out_once_and_where_they_are_aligned() {
    thread_local!(static DROPS: Cell<usize> = const { Cell::new(0) });
    #[repr(align(64))]
    struct Token;
    impl Drop for Token {
        fn drop(&mut self) {
            assert_eq!(std::hint::black_box(self as *const Self as usize) % 64, 0);
            DROPS.set(DROPS.get() + 1);
        }
    }
    let arena = Arena::default();
    let tokens = || ArenaVec::from_iter_in((0..5).map(|_| Token), &arena).into_iter();
    assert_eq!(tokens().rev().take(9).count(), 5);
    assert_eq!(DROPS.get(), 5);
    let mut left = tokens();
    drop((left.next(), left.next_back()));
    assert_eq!((left.len(), left.as_slice().len()), (3, 3));
    assert_eq!(left.as_mut_slice().as_ptr() as usize % 64, 0);
    drop(left);
    assert_eq!(DROPS.get(), 10);
}

#[test]
fn splice_into_room_that_is_there_moves_no_room() {
    let arena = Arena::default();
    for hidden in [false, true] {
        let mut vec = ArenaVec::with_capacity_in(6, &arena);
        vec.extend(0..5);
        arena.alloc_str("the vector is not the latest allocation");
        let place = vec.as_ptr();
        drop(
            vec.splice(1..2, [7, 8].into_iter().filter(|_| true).take(if hidden { 9 } else { 2 })),
        );
        assert_eq!((&vec[..], vec.capacity()), (&[0, 7, 8, 2, 3, 4][..], 6));
        drop(vec.splice(0..2, [1, 2]));
        assert_eq!((&vec[..], vec.as_ptr()), (&[1, 2, 8, 2, 3, 4][..], place));
    }
}

#[test]
fn splice_that_finds_no_memory_keeps_what_had_room() {
    let mut memory = [MaybeUninit::uninit(); 256];
    let arena = FixedArena::new(&mut memory);
    let mut vec = ArenaVec::from_iter_in(0..10_u64, &arena);
    let call = std::panic::AssertUnwindSafe(|| drop(vec.splice(2..8, std::iter::repeat(77))));
    assert!(crate::support::panic_of(call).contains("bytes"));
    assert_eq!((&vec[..2], &vec[vec.len() - 2..]), (&[0, 1][..], &[8, 9][..]));
    assert!(vec.len() > 14 && vec[2..vec.len() - 2].iter().all(|&n| n == 77));
}

#[test]
fn positions_that_are_none_panic_and_change_nothing() {
    let arena = Arena::default();
    let mut vec = arena_vec![in &arena; 1, 2, 3];
    let mut text = ArenaString::from_str_in("aé", &arena);
    macro_rules! panics {
        ($($call:expr),* $(,)?) => {$(
            crate::support::panic_of(std::panic::AssertUnwindSafe(|| _ = $call));
        )*};
    }
    panics!(
        vec.insert(4, 0),
        vec.remove(3),
        vec.swap_remove(3),
        vec.split_off(4),
        vec.drain(2..5),
        vec.splice(4.., None),
        vec.extract_if(..=3, |_| true),
        vec.extend_from_within(3..5),
        vec.drain((std::ops::Bound::Excluded(usize::MAX), std::ops::Bound::Unbounded)),
        text.insert(2, 'x'),
        text.remove(3),
        text.remove(2),
        text.split_off(2),
        text.drain(2..),
        text.replace_range(..2, ""),
        text.truncate(2),
        text.extend_from_within(2..),
    );
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = 2..1;
    panics!(vec.drain(reversed.clone()), text.drain(reversed));
    assert_eq!((&vec[..], &text[..]), (&[1, 2, 3][..], "aé"));
}

#[test]
#[allow(clippy::mutable_key_type)] // The arena in a key is no part of its hash.
fn traits_are_those_of_std() {
    use std::collections::{BTreeMap, HashMap};
    let arena = Arena::default();
    let vec = arena_vec![in &arena; 1, 2];
    assert_eq!(vec, [1, 2]);
    assert_eq!(vec, &[1, 2]);
    assert_eq!(vec, vec![1, 2]);
    assert_eq!([1, 2], vec);
    assert!(vec < arena_vec![in &arena; 1, 3] && format!("{vec:?}") == "[1, 2]");
    assert_eq!(<[i32; 2]>::try_from(vec.clone()).unwrap(), [1, 2]);
    assert_eq!(<[i32; 3]>::try_from(vec.clone()).unwrap_err(), [1, 2]);
    assert_eq!(Vec::from(vec.clone()), [1, 2]);
    assert_eq!(vec[1..], [2]);
    let text = ArenaString::from_str_in("aé", &arena);
    assert_eq!(text, "aé");
    assert_eq!("aé", text);
    assert_eq!(text, String::from("aé"));
    assert_eq!(text, Cow::from("aé"));
    assert_eq!((format!("{text:>3}|{text:?}"), &text[1..]), (String::from(" aé|\"aé\""), "é"));
    assert_eq!(String::from(text.clone() + "b"), "aéb");
    // By the same hash and order as `str` and slices.
    let by_text = HashMap::from([(text.clone(), 1)]);
    assert_eq!(by_text.get("aé"), Some(&1));
    let by_slice = BTreeMap::from([(vec, 1)]);
    assert_eq!(by_slice.get(&[1, 2][..]), Some(&1));
    let words = ["b", "a"].iter().map(|word| ArenaString::from_str_in(word, &arena));
    let mut words: ArenaVec<ArenaString> = words.collect_in(&arena);
    words.sort();
    assert_eq!(words, ["a", "b"]);
    let joined: ArenaString = words.into_iter().collect_in(&arena);
    assert_eq!(joined, "ab");
    let all: Option<ArenaVec<u8>> = [Some(1), None].into_iter().collect_in(&arena);
    assert_eq!(all, None);
}

#[cfg(feature = "std")]
#[test]
fn bytes_are_written_until_the_arena_is_full() {
    use std::io::{ErrorKind, Write};
    let mut memory = [MaybeUninit::uninit(); 128];
    let arena = FixedArena::new(&mut memory);
    let mut out = ArenaVec::new_in(&arena);
    write!(out, "{}", 17).unwrap();
    assert_eq!((out.write(b"xyz").unwrap(), &out[..]), (3, &b"17xyz"[..]));
    assert_eq!(out.write_all(&[0; 500]).unwrap_err().kind(), ErrorKind::OutOfMemory);
    assert_eq!(out, b"17xyz");
}

#[cfg(feature = "hashbrown")]
#[test]
fn tables_live_in_an_arena() {
    use aegis_memory::collections::{ArenaHashMap, ArenaHashSet};
    let arena = Arena::default();
    let mut map: ArenaHashMap<ArenaString, ArenaVec<u32>> = ArenaHashMap::new_in(&arena);
    for n in 0..1000_u32 {
        let key = arena_format!(in &arena; "{}", n % 10);
        map.entry(key).or_insert_with(|| ArenaVec::new_in(&arena)).push(n);
    }
    assert_eq!((map.len(), map.get("7").map(|list| list.len())), (10, Some(100)));
    let shared = LockFreeArena::default();
    let lengths: ArenaHashMap<_, _, aegis_memory::collections::hashbrown::DefaultHashBuilder, _> =
        ["a", "bb"].into_iter().map(|word| (word, word.len())).collect_in(&shared);
    assert_eq!(lengths["bb"], 2);
    let set: ArenaHashSet<u32> = (0..10).map(|n| n % 3).collect_in(&arena);
    assert_eq!(set.len(), 3);
}

#[cfg(feature = "serde")]
#[test]
fn collections_are_read_into_an_arena_and_written() {
    use aegis_memory::collections::{seed, DeserializeIn};
    use serde::de::DeserializeSeed;

    fn read<'a, T: DeserializeIn<'a, 'a, Arena>>(json: &'a str, arena: &'a Arena) -> T {
        seed(arena).deserialize(&mut serde_json::Deserializer::from_str(json)).expect("it is right")
    }
    let arena = Arena::default();
    let json = r#"[["a\n",null],["b",[1,2]]]"#;
    let pairs: ArenaVec<(ArenaString, Option<ArenaVec<u8>>)> = read(json, &arena);
    assert_eq!(pairs[1].1.as_deref(), Some(&[1, 2][..]));
    assert_eq!(serde_json::to_string(&pairs).unwrap(), json);
    let words: &[&str] = read(r#"["a", "b"]"#, &arena);
    assert_eq!(words, ["a", "b"]);
    let error = seed::<ArenaVec<u8>, _>(&arena)
        .deserialize(&mut serde_json::Deserializer::from_str("[1, 300]"))
        .unwrap_err();
    assert!(error.to_string().contains("300"), "{error}");
    #[cfg(feature = "hashbrown")]
    {
        use aegis_memory::collections::{ArenaHashMap, ArenaHashSet};
        let map: ArenaHashMap<&str, ArenaHashSet<u8>> = read(r#"{"a": [1, 1], "b": []}"#, &arena);
        assert_eq!((map.len(), map["a"].len()), (2, 1));
    }
    let mut memory = [MaybeUninit::uninit(); 256];
    let full = FixedArena::new(&mut memory);
    let json = format!("[{}1]", "1,".repeat(500));
    let result = seed::<ArenaVec<u64, _>, _>(&full)
        .deserialize(&mut serde_json::Deserializer::from_str(&json));
    assert!(result.unwrap_err().to_string().contains("bytes"));
}
