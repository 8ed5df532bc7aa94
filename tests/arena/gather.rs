// SPDX-License-Identifier: Apache-2.0
//! Slices and texts of unknown length, built while something else allocates from the same arena:
//! what they contain and what they cost.

use crate::support::panic_of;
use aegis_memory::arena::{Arena, ArenaStats, FixedArena, LockFreeArena, LockedArena};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::build_flags;
use std::fmt::{self, Display};
use std::mem::MaybeUninit;

/// An arena whose statistics are those of a release build.
fn plain() -> Arena {
    Arena::builder().no_debug().build().expect("no block yet")
}

/// Whether a checker puts gaps between allocations, which then take more room.
fn has_gaps() -> bool {
    build_flags().asan || build_flags().valgrind
}

/// Lines of three fields.
fn csv(lines: usize) -> String {
    (0..lines).map(|i| format!("{i},name {i},{}\n", i * 7)).collect()
}

/// The fields of a text, each copied as it comes.
fn read_nested(text: &str) -> ArenaStats {
    let arena = plain();
    let rows = arena.alloc_slice_from_iter(text.lines().map(|line| {
        &*arena.alloc_slice_from_iter(line.split(',').map(|field| &*arena.alloc_str(field)))
    }));
    assert!(rows.iter().zip(text.lines()).all(|(row, line)| row.join(",") == line));
    assert_eq!(rows.len(), text.lines().count());
    arena.stats()
}

/// The fields of a text, which is copied once, with each slice counted before it is made.
fn read_counted(text: &str) -> ArenaStats {
    let arena = plain();
    let mut lines = arena.alloc_str(text).lines();
    arena.alloc_slice_fill_with(text.lines().count(), |_| {
        let line = lines.next().unwrap_or_default();
        let mut fields = line.split(',');
        &*arena
            .alloc_slice_fill_with(line.split(',').count(), |_| fields.next().unwrap_or_default())
    });
    arena.stats()
}

#[test]
fn nested_slices_take_little_more_than_counted_ones() {
    if has_gaps() {
        return;
    }
    for lines in [1, 10, 31, 32, 33, 64, 65, 100, 300, 1000, 1500, 3000, 10_000] {
        let text = csv(lines);
        let (nested, counted) = (read_nested(&text), read_counted(&text));
        assert!(
            nested.used_bytes <= counted.used_bytes * 3 / 2,
            "{lines} lines: {nested:?}, counted {counted:?}"
        );
    }
}

/// The numbers of `docs/choosing.md`.
#[test]
fn csv_of_1000_lines_reserves_what_the_page_says() {
    if has_gaps() || cfg!(target_pointer_width = "32") {
        return;
    }
    let text = csv(1000);
    let (nested, counted) = (read_nested(&text), read_counted(&text));
    println!("{} bytes of text", text.len());
    println!("nested: {} bytes reserved", nested.reserved_bytes);
    println!("counted: {} bytes reserved", counted.reserved_bytes);
    assert!(nested.reserved_bytes <= 8 * text.len(), "{} bytes: {nested:?}", text.len());
    assert!(nested.reserved_bytes <= counted.reserved_bytes * 3 / 2, "{nested:?}, {counted:?}");
}

/// An iterator over `0..len` with any size hint, which allocates a block of eight bytes from the
/// arena before every `every`-th item.
struct Nested<'a> {
    arena: &'a Arena,
    range: std::ops::Range<u64>,
    every: u64,
    hint: (usize, Option<usize>),
    /// The first of its blocks.
    first: Option<*const u8>,
}

impl Nested<'_> {
    fn new(arena: &Arena, len: usize, every: u64, hint: (usize, Option<usize>)) -> Nested<'_> {
        Nested { arena, range: 0..len as u64, every, hint, first: None }
    }
}

impl Iterator for Nested<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let item = self.range.next()?;
        if item % self.every == 0 {
            let block = self.arena.alloc(8);
            block.fill(0xA5);
            self.first.get_or_insert(block.as_ptr());
        }
        // The bounds are of what follows, like those of an honest iterator.
        self.hint.0 = self.hint.0.saturating_sub(1);
        self.hint.1 = self.hint.1.map(|most| most.saturating_sub(1));
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.hint
    }
}

/// Collects `len` items and returns what the arena uses in the end. The slice must lie before the
/// first block that the iterator has allocated: it has never moved.
fn used_by_unmoved(len: usize, hint: (usize, Option<usize>)) -> usize {
    let arena = Arena::builder().no_debug().capacity(1 << 20).build().expect("memory");
    let mut iter = Nested::new(&arena, len, 1, hint);
    let slice = arena.alloc_slice_from_iter(&mut iter);
    assert!(slice.iter().copied().eq(0..len as u64));
    let first = iter.first.expect("it has allocated");
    assert!((slice.as_ptr() as usize) < first as usize, "{len} items moved, with hint {hint:?}");
    arena.used()
}

#[test]
fn slice_with_an_exact_hint_is_allocated_once_and_never_moves() {
    for len in [1, 3, 63, 64, 65, 1000, 20_000] {
        let used = used_by_unmoved(len, (len, Some(len)));
        if !has_gaps() {
            assert_eq!(used, 2 * 8 * len, "{len} items");
        }
    }
}

#[test]
fn slice_whose_bounds_are_near_never_moves() {
    for len in [200, 1000, 20_000] {
        for most in [len + 1, 2 * len - 100, 2 * len] {
            used_by_unmoved(len, (len.min(most), Some(most)));
            used_by_unmoved(len, (most / 2, Some(most)));
        }
    }
}

#[test]
fn small_slice_of_unknown_length_takes_its_exact_room() {
    if has_gaps() {
        return;
    }
    for len in [0, 1, 3, 31, 64] {
        let arena = Arena::builder().no_debug().capacity(10_000).build().expect("memory");
        let slice = arena.alloc_slice_from_iter(Nested::new(&arena, len, 1, (0, None)));
        assert!(slice.iter().copied().eq(0..len as u64));
        assert_eq!(arena.used(), 2 * 8 * len, "{len} items");
    }
}

#[test]
fn large_slice_of_unknown_length_takes_at_most_two_and_a_quarter_times_its_size() {
    if has_gaps() {
        return;
    }
    for len in [100, 127, 128, 129, 1000, 1025, 5000, 100_000] {
        let arena = Arena::builder().no_debug().capacity(1 << 22).build().expect("memory");
        let slice = arena.alloc_slice_from_iter(Nested::new(&arena, len, 1, (0, None)));
        let slice_bytes = std::mem::size_of_val(slice);
        let others = len * 8;
        let most = slice_bytes * 9 / 4 + 1024;
        assert!(arena.used() - others <= most, "{len} items take {}", arena.used() - others);
    }
}

#[test]
fn slice_that_is_the_latest_allocation_takes_its_exact_room() {
    for len in [1_u64, 64, 65, 128, 129, 1000, 5000] {
        let arena = Arena::builder().no_debug().capacity(100_000).build().expect("memory");
        let slice = arena.alloc_slice_from_iter((0..2 * len).filter(|i| i % 2 == 0));
        assert!(slice.iter().copied().eq((0..len).map(|i| 2 * i)));
        // A checker's gap may lie behind it.
        assert!(arena.used() <= 8 * len as usize + 16, "{len} items take {}", arena.used());
    }
}

/// Whatever fits if it is counted before fits also if it is not.
#[test]
fn slice_may_take_the_last_byte_of_fixed_memory() {
    let mut memory = [MaybeUninit::uninit(); 1600];
    let mut refused = 0;
    for len in 1..=200_u64 {
        let mut arena = FixedArena::new(&mut memory);
        let fits = arena.try_alloc_slice_fill(len as usize, 0_u64).is_ok();
        arena.reset();
        let slice = arena.try_alloc_slice_from_iter((0..2 * len).filter(|i| i % 2 == 0));
        assert_eq!(slice.is_ok(), fits, "{len} items");
        refused += u32::from(!fits);
    }
    assert!(refused > 0);
}

/// Items of one type, in an arena of any form, with a block of its own before every `every`-th.
macro_rules! check_items {
    ($arena:expr, $len:expr, $every:expr, $item:expr) => {{
        let (arena, len, item) = (&$arena, $len, $item);
        let mut blocks = Vec::new();
        let slice = arena.alloc_slice_from_iter((0..2 * len).filter(|i| i % 2 == 0).map(|i| {
            if i / 2 % $every == 0 {
                let block = arena.alloc(24);
                block.fill(0xA5);
                blocks.push(block);
            }
            item(i / 2)
        }));
        assert!(slice.iter().copied().eq((0..len).map(item)), "{len} items");
        assert_eq!(slice.as_ptr() as usize % std::mem::align_of_val(slice), 0);
        slice.reverse();
        assert!(blocks.iter().all(|block| **block == [0xA5; 24]), "{len} items");
    }};
}

macro_rules! check_types {
    ($arena:expr, $len:expr, $every:expr) => {
        check_items!($arena, $len, $every, |i| i as u8);
        check_items!($arena, $len, $every, |i| i as u64);
        check_items!($arena, $len, $every, |i| [i as u32; 5]);
        check_items!($arena, $len, $every, |i| [i as u16; 300]);
        check_items!($arena, $len, $every, |i| Wide(i as u16));
        check_items!($arena, $len, $every, |_| ());
    };
}

#[derive(Clone, Copy, PartialEq)]
#[repr(align(128))]
struct Wide(u16);

#[test]
fn items_of_every_size_and_alignment_arrive_in_every_arena() {
    for len in [0, 1, 25, 26, 64, 65, 129, 513, 1100] {
        for every in [1, 7, 100, usize::MAX] {
            check_types!(Arena::new(64), len, every);
            check_types!(Arena::builder().no_debug().build().expect("empty"), len, every);
            check_types!(LockedArena::new(64), len, every);
            let shared = LockFreeArena::new(64);
            check_types!(shared, len, every);
            check_types!(shared.local(), len, every);
            Arena::new(64).scope(|scope| {
                check_types!(scope, len, every);
            });
        }
    }
}

#[test]
fn items_arrive_whatever_the_size_hint_says_meanwhile() {
    for len in [0, 1, 5, 64, 65, 200, 1000] {
        for least in [0, 1, 4, 65, 999, 1000, 5000] {
            for most in [None, Some(0), Some(3), Some(least), Some(least + 1), Some(2 * least)] {
                for every in [1, 50, u64::MAX] {
                    let arena = Arena::new(64);
                    let iter = Nested::new(&arena, len, every, (least, most));
                    let slice = arena.alloc_slice_from_iter(iter);
                    assert!(
                        slice.iter().copied().eq(0..len as u64),
                        "{len} items, {least} to {most:?}"
                    );
                }
            }
        }
    }
}

/// Says that no item follows, and then more than there can be.
#[test]
fn impossible_bound_that_comes_late_is_not_believed() {
    struct Late(usize);
    impl Iterator for Late {
        type Item = usize;
        fn next(&mut self) -> Option<usize> {
            self.0 += 1;
            (self.0 <= 1000).then_some(self.0)
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (if self.0 == 0 { 0 } else { usize::MAX }, None)
        }
    }
    let arena = Arena::new(64);
    assert!(arena.alloc_slice_from_iter(Late(0)).iter().copied().eq(1..=1000));
}

#[test]
fn iterator_that_panics_between_pieces_leaves_the_arena_usable() {
    for at in [10, 64, 65, 200, 777] {
        let mut arena = Arena::new(64);
        let iter = Nested::new(&arena, 1000, 1, (0, None));
        let message = panic_of(|| {
            arena.alloc_slice_from_iter(iter.inspect(|i| assert!(*i != at, "item {at}")))
        });
        assert_eq!(message, format!("item {at}"));
        let again = Nested::new(&arena, 1000, 3, (0, None));
        assert!(arena.alloc_slice_from_iter(again).iter().copied().eq(0..1000));
        arena.reset();
        assert_eq!(arena.alloc(5000), [0; 5000]);
    }
}

/// A text whose `Display` allocates from the arena in which it is formatted.
struct Parts<'a>(&'a Arena, usize);

impl Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in 0..self.1 {
            self.0.alloc(8).fill(0xA5);
            write!(f, "{i},")?;
        }
        Ok(())
    }
}

#[test]
fn text_that_allocates_while_it_is_formatted_takes_little_more_than_its_size() {
    for parts in [0, 1, 100, 150, 200, 1000, 5000] {
        let arena = Arena::builder().no_debug().capacity(1 << 20).build().expect("memory");
        let text = arena.alloc_fmt(format_args!("<{}>", Parts(&arena, parts)));
        let expected: String = (0..parts).map(|i| format!("{i},")).collect();
        assert_eq!(*text, *format!("<{expected}>"));
        let own = arena.used() - 8 * parts;
        let most = if text.len() <= 512 { text.len() + 7 } else { text.len() * 9 / 4 + 1024 };
        assert!(own <= most || has_gaps(), "{} bytes of text take {own}", text.len());
    }
}

/// A slice whose exact room is within the limit is not refused because its growth is not.
#[test]
fn slice_that_just_fits_below_a_limit_is_served() {
    for limit in (800..4000).step_by(16) {
        let budget = MemoryBudget::new("slices", limit);
        let arena = Arena::builder().no_debug().budget(&budget).build().expect("no block yet");
        // 560 bytes, of which 512 are gathered on the stack. There is no upper bound.
        let mut items = 0..70_u64;
        let slice = arena.try_alloc_slice_from_iter(std::iter::from_fn(|| items.next()));
        assert!(slice.is_ok_and(|slice| slice.len() == 70), "with a limit of {limit} bytes");
    }
}
