// SPDX-License-Identifier: Apache-2.0
//! Tests arenas of values of one type. Every value must come out once, in the order in which it was
//! allocated, and be dropped once, whatever its size, whether iterators allocate from the arena, and
//! whatever panics or fails. Values must never move.

use crate::support::{panic_of, watched, Act, TestSource};
use aegis_memory::arena::{Arena, TypedArena};
use aegis_memory::budget::MemoryBudget;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// Notes its number when it is dropped.
struct Noted<'a>(u32, &'a RefCell<Vec<u32>>);

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
    }
}

#[test]
fn values_of_any_size_keep_their_place_and_their_order() {
    fn check<T: Clone + PartialEq + std::fmt::Debug>(of: impl Fn(u32) -> T, count: u32) {
        for mut arena in [TypedArena::new(), TypedArena::with_capacity(3)] {
            let expected: Vec<T> = (0..count).map(&of).collect();
            let places: Vec<&mut T> = (0..count).map(|i| arena.alloc(of(i))).collect();
            assert!(places.iter().zip(&expected).all(|(place, value)| **place == *value));
            let places: Vec<*const T> = places.into_iter().map(|place| place as *const T).collect();
            assert!(places.iter().all(|place| *place as usize % std::mem::align_of::<T>() == 0));
            assert_eq!((arena.len(), arena.is_empty()), (count as usize, count == 0));
            assert!(arena.iter().map(|value| value as *const T).eq(places));
            assert_eq!(arena.iter_mut().len(), count as usize);
            assert_eq!(arena.into_vec(), expected);
        }
    }
    check(|i| i as u8, 5000);
    check(u64::from, 0);
    check(u64::from, 5000);
    check(|i| [i; 1000], 50);
    check(|i| i.to_string(), 1000);
    check(|_| (), 5000);
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(64))]
    struct Wide(u32);
    check(Wide, 500);
}

#[test]
fn extended_slices_are_whole_and_in_order_with_single_values() {
    let mut arena = TypedArena::new();
    let mut expected = Vec::new();
    for round in 0..40_u32 {
        let len = (round * round * 7) % 501;
        let from = expected.len() as u32;
        let items = from..from + len;
        let slice: &[u32] = match round % 3 {
            0 => arena.alloc_extend(items.clone()),
            1 => arena.alloc_extend(items.clone().filter(|_| true)),
            _ => arena.alloc_extend(Vec::from_iter(items.clone())),
        };
        assert!(slice.iter().copied().eq(items.clone()));
        expected.extend(items);
        let one = expected.len() as u32;
        assert_eq!(*arena.alloc(one), one);
        expected.push(one);
    }
    assert!(arena.alloc_extend(None).is_empty());
    arena.extend([1, 2]);
    expected.extend([1, 2]);
    assert_eq!(arena.len(), expected.len());
    assert!(arena.iter().eq(&expected));
    assert_eq!(Vec::from_iter(arena), expected);
    assert_eq!(TypedArena::from_iter(0..9).into_vec(), Vec::from_iter(0..9));
}

#[test]
fn reserved_values_take_no_block() {
    let arena = TypedArena::<[u64; 3]>::with_capacity(1000);
    let blocks = arena.arena().stats().block_count;
    arena.alloc_extend((0..1000).map(|i| [i; 3]));
    if !watched() {
        assert_eq!((blocks, arena.arena().stats().block_count), (1, 1));
    }
    arena.reserve_extend(5000);
    let blocks = arena.arena().stats().block_count;
    let slice = arena.alloc_extend((0..5000).filter(|_| true).map(|i| [i; 3]));
    assert_eq!((slice.len(), arena.arena().stats().block_count), (5000, blocks));
    assert!(TypedArena::<u64>::try_with_capacity(usize::MAX).is_err());
    assert!(arena.try_reserve_extend(usize::MAX).is_err());
    assert_eq!(arena.len(), 6000);
}

#[test]
fn iterators_may_allocate_from_the_arena_they_fill() {
    for first in [0, 1, 5, 31, 200] {
        for inner in [1, 3, 40] {
            let mut arena = TypedArena::new();
            arena.alloc_extend((0..first).map(|i| i.to_string()));
            let items = (0..100).map(|i| {
                arena.alloc(format!("in {i}"));
                let slice = arena.alloc_extend((0..inner).map(|j| format!("in {i} {j}")));
                assert_eq!(slice[inner - 1], format!("in {i} {}", inner - 1));
                format!("out {i}")
            });
            let slice = arena.alloc_extend(items.filter(|_| true));
            assert!(slice.iter().enumerate().all(|(i, item)| *item == format!("out {i}")));
            let last = arena.alloc(String::from("last"));
            assert_eq!(last, "last");
            assert_eq!(arena.len(), first + 100 * (inner + 2) + 1);
            let all = BTreeSet::from_iter(arena.iter().cloned());
            assert_eq!(all.len(), arena.len(), "each comes once");
            let mut place = |text| arena.iter().position(|value| value == text);
            assert!(place("out 0") < place("out 99") && place("in 0") < place("in 99"));
        }
    }
}

#[test]
fn values_are_dropped_once_and_the_oldest_first() {
    let dropped = RefCell::new(Vec::new());
    let take = || std::mem::take(&mut *dropped.borrow_mut());
    let in_order = |count: u32| Vec::from_iter(0..count);
    let mut arena = TypedArena::new();
    for round in 0..3 {
        for i in 0..300 {
            arena.alloc(Noted(i, &dropped));
        }
        arena.alloc_extend((300..1000).map(|i| Noted(i, &dropped)));
        let blocks = arena.arena().stats().acquired_count;
        arena.reset();
        assert_eq!((take(), arena.len(), arena.iter().len()), (in_order(1000), 0, 0));
        assert!(round == 0 || arena.arena().stats().acquired_count == blocks, "no new block");
    }
    arena.alloc_extend((0..500).map(|i| Noted(i, &dropped)));
    drop(arena);
    assert_eq!(take(), in_order(500));

    let arena = TypedArena::from_iter((0..500).map(|i| Noted(i, &dropped)));
    let mut values = arena.into_iter();
    for i in 0..200 {
        assert_eq!((values.next().map(|value| value.0), values.len()), (Some(i), 499 - i as usize));
    }
    assert_eq!(take(), in_order(200));
    drop(values);
    assert_eq!(take(), Vec::from_iter(200..500));

    let vector = TypedArena::from_iter((0..500).map(|i| Noted(i, &dropped))).into_vec();
    assert!(take().is_empty());
    drop(vector);
    assert_eq!(take(), in_order(500));
}

#[test]
fn items_of_an_iterator_that_panics_are_dropped_and_the_arena_goes_on() {
    let dropped = RefCell::new(Vec::new());
    for before in [0, 3, 100] {
        for panics_at in [0, 1, 20, 700] {
            let mut arena = TypedArena::new();
            arena.alloc_extend((0..before).map(|i| Noted(i, &dropped)));
            let text = panic_of(|| {
                arena.alloc_extend((1000..2000).map(|i| {
                    assert!(i < 1000 + panics_at, "no more items");
                    Noted(i, &dropped)
                }));
            });
            assert_eq!(text, "no more items");
            assert_eq!(dropped.take(), Vec::from_iter(1000..1000 + panics_at));
            for i in before..before + 50 {
                arena.alloc(Noted(i, &dropped));
            }
            assert!(arena.iter().map(|value| value.0).eq(0..before + 50));
            drop(arena);
            assert_eq!(dropped.take(), Vec::from_iter(0..before + 50));
        }
    }
}

#[test]
#[cfg(feature = "std")]
fn drops_that_panic_leave_no_value_behind() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Panics(u32);
    impl Drop for Panics {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
            assert!(self.0 != 7, "drop of the seventh");
        }
    }
    let fill = || TypedArena::from_iter((0..1000).map(Panics));
    let mut arena = fill();
    assert_eq!(panic_of(|| arena.reset()), "drop of the seventh");
    assert_eq!((DROPPED.swap(0, SeqCst), arena.len(), arena.arena().used()), (1000, 0, 0));
    arena.alloc_extend((0..1000).map(Panics));
    assert_eq!(panic_of(|| drop(arena)), "drop of the seventh");
    assert_eq!(DROPPED.swap(0, SeqCst), 1000);
    let mut values = fill().into_iter();
    values.next();
    assert_eq!(panic_of(|| drop(values)), "drop of the seventh");
    assert_eq!(DROPPED.swap(0, SeqCst), 1000);
}

#[test]
fn refused_block_drops_what_was_to_come_and_loses_nothing() {
    let dropped = RefCell::new(Vec::new());
    for given in 0..6 {
        let (source, log) =
            TestSource::with_plan(
                move |request| {
                    if request < given {
                        Act::Give
                    } else {
                        Act::Refuse
                    }
                },
            );
        let arena = Arena::builder().source(source).max_block(2048).build().expect("no block yet");
        let mut arena = TypedArena::from(arena);
        let mut count = 0;
        while arena.try_alloc(Noted(count, &dropped)).is_ok() {
            count += 1;
        }
        assert_eq!(dropped.take(), [count], "the one that was refused");
        let error = arena.try_alloc_extend((0..100_000).map(|i| Noted(i, &dropped)));
        assert!(error.is_err());
        dropped.take();
        let unknown = (0..100_000).map(|i| Noted(i, &dropped)).filter(|_| true);
        assert!(arena.try_alloc_extend(unknown).is_err());
        let items = dropped.take();
        assert!(items.iter().copied().rev().min() == Some(0) && items.len() < 2000);
        assert!(arena.iter().map(|value| value.0).eq(0..count));
        drop(arena);
        assert_eq!(dropped.take(), Vec::from_iter(0..count));
        log.assert_finished();
    }
}

#[test]
fn values_may_refer_to_each_other_and_to_the_arena_beneath() {
    struct Node<'a> {
        name: &'a str,
        next: Cell<Option<&'a Node<'a>>>,
        owned: Vec<u8>,
    }
    let arena = TypedArena::new();
    let node = |name: &str| {
        let name = arena.arena().alloc_str(name);
        &*arena.alloc(Node { name, next: Cell::new(None), owned: vec![1] })
    };
    let (first, second) = (node("first"), node("second"));
    first.next.set(Some(second));
    second.next.set(Some(first));
    let third = first.next.get().and_then(|node| node.next.get()).expect("a cycle");
    assert_eq!((third.name, third.owned.len()), ("first", 1));
}

#[test]
fn blocks_are_charged_to_the_budget_of_the_arena_beneath() {
    let budget = MemoryBudget::new("values", 64 * 1024);
    let arena = Arena::builder().budget(&budget).build().expect("no block yet");
    let arena = TypedArena::from(arena);
    let mut count = 0;
    while arena.try_alloc([0_u64; 4]).is_ok() {
        count += 1;
    }
    assert!(watched() || count * 32 > 64 * 1024 * 3 / 4, "{count}");
    assert_eq!(arena.len(), count);
    drop(arena);
    assert_eq!(budget.used(), 0);
}

#[test]
fn values_go_to_another_thread_with_their_arena() {
    let mut arena = TypedArena::from_iter((0..100).map(|i| i.to_string()));
    let sum = std::thread::spawn(move || arena.iter().map(String::len).sum::<usize>());
    assert_eq!(sum.join().expect("no panic"), 190);
}
