// SPDX-License-Identifier: Apache-2.0
//! Tests values with drop glue: an `ArenaBox` must drop its value with its handle, and
//! `alloc_static` must drop it at the reset, each exactly once, also when another value's drop
//! panics.

use aegis_memory::arena::{Arena, ArenaBox};
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

type Journal = Arc<Mutex<Vec<u32>>>;

/// Writes its number into the journal when it is dropped, and then panics if told to.
struct Entry(Journal, u32, bool);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(self.1);
        assert!(!self.2, "drop panics");
    }
}

fn take(journal: &Journal) -> Vec<u32> {
    std::mem::take(&mut *journal.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

#[test]
fn box_drops_its_value_with_the_handle_and_only_once() {
    let journal = Journal::default();
    let mut arena = Arena::new(64);
    let a = arena.alloc_boxed(Entry(journal.clone(), 1, false));
    let b = arena.alloc_boxed(Entry(journal.clone(), 2, false));
    drop(a);
    assert_eq!(take(&journal), [1]);
    drop(b);
    assert_eq!(take(&journal), [2]);
    arena.reset();
    drop(arena);
    assert!(take(&journal).is_empty());
}

#[test]
fn box_gives_its_value_back_or_up() {
    let journal = Journal::default();
    let arena = Arena::new(64);
    let inner = ArenaBox::into_inner(arena.alloc_boxed(Entry(journal.clone(), 1, false)));
    assert!(take(&journal).is_empty());
    drop(inner);
    assert_eq!(take(&journal), [1]);

    let leaked = ArenaBox::leak(arena.alloc_boxed(Entry(journal.clone(), 2, false)));
    leaked.1 = 3;
    assert!(take(&journal).is_empty());
    // SAFETY: not used afterwards; nobody else drops it.
    unsafe { std::ptr::drop_in_place(leaked) };
    assert_eq!(take(&journal), [3]);
    let raw = ArenaBox::into_raw(arena.alloc_boxed(Entry(journal.clone(), 4, false)));
    assert!(take(&journal).is_empty());
    // SAFETY: of `into_raw`, used once.
    drop(unsafe { ArenaBox::from_raw(raw) });
    assert_eq!(take(&journal), [4]);
}

#[test]
fn box_unsizes_through_its_raw_pointer() {
    let journal = Journal::default();
    let arena = Arena::new(64);
    let raw = ArenaBox::into_raw(arena.alloc_boxed(Entry(journal.clone(), 1, false)));
    let unsized_raw: NonNull<dyn Send> = raw;
    // SAFETY: of `into_raw`, used once.
    drop(unsafe { ArenaBox::from_raw(unsized_raw) });
    assert_eq!(take(&journal), [1]);
}

#[test]
fn box_of_zero_sized_and_over_aligned_values() {
    thread_local!(static DROPS: Cell<u32> = const { Cell::new(0) });
    struct Nothing;
    impl Drop for Nothing {
        fn drop(&mut self) {
            DROPS.with(|drops| drops.set(drops.get() + 1));
        }
    }
    #[repr(align(1024))]
    struct Wide(Vec<u8>);
    let arena = Arena::default();
    drop([arena.alloc_boxed(Nothing), arena.alloc_boxed(Nothing)]);
    assert_eq!(DROPS.with(Cell::get), 2);
    let wide = arena.alloc_boxed(Wide(vec![1]));
    assert_eq!((&*wide as *const Wide as usize % 1024, wide.0.len()), (0, 1));
}

#[test]
fn box_borrows_and_formats_as_its_value() {
    let arena = Arena::new(64);
    let mut text = arena.alloc_boxed(String::from("a"));
    text.push('b');
    text.as_mut().push('c');
    assert_eq!((text.as_ref().as_str(), text.len()), ("abc", 3));
    assert_eq!((format!("{text}"), format!("{text:?}")), ("abc".into(), "\"abc\"".into()));
}

#[test]
fn static_values_drop_newest_first_at_reset_clear_and_drop() {
    let journal = Journal::default();
    let mut arena = Arena::new(64);
    let fill = |arena: &Arena| {
        for number in 0..3 {
            arena.alloc(1000);
            arena.alloc_static(Entry(journal.clone(), number, false));
        }
        assert!(take(&journal).is_empty());
    };
    fill(&arena);
    arena.reset();
    assert_eq!(take(&journal), [2, 1, 0]);
    arena.reset();
    assert!(take(&journal).is_empty());
    fill(&arena);
    arena.clear();
    assert_eq!(take(&journal), [2, 1, 0]);
    fill(&arena);
    arena.trim(0);
    assert!(take(&journal).is_empty());
    drop(arena);
    assert_eq!(take(&journal), [2, 1, 0]);
}

#[test]
fn static_values_of_a_scope_drop_at_its_end_and_outer_ones_stay() {
    let journal = Journal::default();
    let mut arena = Arena::new(64);
    arena.alloc_static(Entry(journal.clone(), 0, false));
    arena.scope(|scope| {
        scope.alloc_static(Entry(journal.clone(), 1, false));
        arena.alloc_static(Entry(journal.clone(), 2, false));
        scope.alloc_static(Entry(journal.clone(), 3, false));
        scope.scope(|inner| {
            inner.alloc_static(Entry(journal.clone(), 4, false));
            scope.alloc_static(Entry(journal.clone(), 5, false));
        });
        assert_eq!(take(&journal), [4]);
    });
    assert_eq!(take(&journal), [5, 3, 1]);
    arena.reset();
    assert_eq!(take(&journal), [2, 0]);
}

#[test]
fn static_plain_and_zero_sized_values_are_kept() {
    let mut arena = Arena::new(64);
    assert_eq!(*arena.alloc_static(5), 5);
    assert_eq!(*arena.alloc_static([1_u8; 4000]), [1; 4000]);
    arena.alloc_static(());
    arena.reset();
}

#[cfg(feature = "std")]
#[test]
fn static_values_drop_once_at_reset_even_if_one_panics() {
    use std::panic::{catch_unwind, AssertUnwindSafe};
    let journal = Journal::default();
    let mut arena = Arena::default();
    for number in 0..4 {
        arena.alloc_static(Entry(journal.clone(), number, number % 2 == 1));
    }
    assert!(catch_unwind(AssertUnwindSafe(|| arena.reset())).is_err());
    assert_eq!(take(&journal), [3, 2, 1, 0]);
    assert_eq!((arena.used(), arena.stats().reset_count), (0, 1));
    arena.alloc_static(Entry(journal.clone(), 9, true));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(arena))).is_err());
    assert_eq!(take(&journal), [9]);
}

#[cfg(feature = "std")]
#[test]
fn scope_whose_static_value_panics_in_drop_is_ended() {
    use std::panic::{catch_unwind, AssertUnwindSafe};
    let journal = Journal::default();
    let arena = Arena::new(100);
    let used = arena.used();
    let scoped = AssertUnwindSafe(|| {
        arena.scope(|scope| _ = scope.alloc_static(Entry(journal.clone(), 1, true)));
    });
    assert!(catch_unwind(scoped).is_err());
    assert_eq!((take(&journal), arena.used()), (vec![1], used));
}
