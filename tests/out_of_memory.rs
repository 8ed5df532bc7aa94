// SPDX-License-Identifier: Apache-2.0
//! Tests the crate when Rust's heap is exhausted. Each allocation of every public call that returns
//! a `Result` or an `Option` fails in turn. No call may end the process, each must say what it
//! asked for, and nothing may be lost or leaked. C's heap is a separate one:
//! `tests/objects/failing_source.rs` and the C tests make it refuse.
//!
//! The tables name the public functions, and a test finds each function of the source that is in no
//! table. A call that is `quiet` in a table must allocate nothing on Rust's heap at all.

#[path = "support/executor.rs"]
mod executor;
#[path = "support/failing_heap.rs"]
mod failing_heap;
#[path = "support/fallible_calls.rs"]
mod fallible_calls;
#[path = "support/out_of_memory_arenas.rs"]
mod out_of_memory_arenas;
#[path = "support/out_of_memory_buffers.rs"]
mod out_of_memory_buffers;
#[cfg(all(feature = "std", aegis_threads))]
#[path = "support/out_of_memory_caches.rs"]
mod out_of_memory_caches;
#[cfg(feature = "collections")]
#[path = "support/out_of_memory_collections.rs"]
mod out_of_memory_collections;
#[path = "support/out_of_memory_pools.rs"]
mod out_of_memory_pools;

use aegis_memory::budget::{BudgetPolicy, MemoryBudget, Reservation};
use aegis_memory::source::{BlockSource, Global, Heap, Pages, SourceBlock};
use aegis_memory::AllocError;
use executor::{poll_once, Calls};
use failing_heap::{Row, Text};
use std::alloc::Layout;
use std::collections::BTreeSet;
use std::fmt;
use std::mem::size_of;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// A value that counts its drops. As a source it gives memory of Rust's heap.
pub(crate) struct Counted(Arc<AtomicUsize>, [u8; 24]);

impl Counted {
    pub(crate) fn new() -> (Self, Arc<AtomicUsize>) {
        let drops = Arc::default();
        (Self::with(&drops), drops)
    }

    pub(crate) fn with(drops: &Arc<AtomicUsize>) -> Self {
        Self(Arc::clone(drops), [7; 24])
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.1
    }
}

// SAFETY: the global allocator's blocks.
unsafe impl BlockSource for Counted {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        Global.acquire(layout)
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { Global.release(memory, layout) }
    }
}

/// A budget that refuses every charge, the parent whose limit is reached, and the reservation that
/// fills the parent.
pub(crate) fn full() -> (MemoryBudget, MemoryBudget, Reservation) {
    let root = MemoryBudget::new("root", 100);
    let full = root.child("full", MemoryBudget::UNLIMITED);
    let held = full.reserve(100);
    (full, root, held)
}

fn budgets_and_sources() -> Vec<Row> {
    macro_rules! row {
        ($($covers:literal),+; $run:expr) => { Row { covers: &[$($covers),+], run: $run } };
    }
    vec![
        row!("budget/tree.rs try_new", "budget/tree.rs try_child"; |probe| {
            let root = probe.quiet(|| MemoryBudget::try_new("root", 10)).expect("C's heap");
            drop(probe.quiet(|| root.try_child("child", 10)));
        }),
        row!("budget/system.rs of_system"; |probe| {
            assert!(probe.quiet(|| MemoryBudget::of_system(0.5)).is_ok());
            assert!(probe.quiet(|| MemoryBudget::of_system(1.5)).is_err());
        }),
        row!("budget/reservation.rs try_reserve", "budget/reservation.rs try_grow",
             "budget/reservation.rs try_resize", "budget/reservation.rs try_move_to",
             "budget/reservation.rs try_merge"; |probe| {
            let (full, _root, held) = full();
            assert!(probe.fails(|| full.try_reserve(1)).is_err());
            let mut none = full.reserve(0);
            full.set_limit(50);
            assert!(probe.fails(|| full.try_reserve(1)).is_err());
            assert!(probe.fails(|| none.try_grow(1)).is_err());
            assert!(probe.fails(|| none.try_resize(1)).is_err());
            let other = MemoryBudget::new("other", 10);
            let mut some = other.reserve(5);
            assert!(probe.fails(|| some.try_move_to(&full)).is_err());
            let (some, _) = probe.fails(|| none.try_merge(some)).expect_err("it is full");
            assert_eq!((some.bytes(), other.used(), held.bytes()), (5, 5, full.used()));
        }),
        row!("budget/wait.rs reserve_timeout"; |probe| {
            let (full, _root, held) = full();
            assert!(probe.fails(|| full.reserve_timeout(1, Duration::from_nanos(9))).is_err());
            drop(held);
            drop(probe.quiet(|| full.reserve_timeout(1, Duration::ZERO)).expect("there is room"));
        }),
        row!("budget/reserve_async.rs poll", "budget/reserve_async.rs fmt"; |probe| {
            let budget = MemoryBudget::new("b", 100);
            let (_calls, waker) = Calls::new();
            let mut held = probe.quiet(|| poll_once(&mut budget.reserve_async(90), &waker));
            assert!(matches!(&held, Poll::Ready(Ok(_))));
            let mut future = budget.reserve_async(50);
            let result = probe.fails(|| match poll_once(&mut future, &waker) {
                Poll::Pending => Ok(()),
                Poll::Ready(result) => result.map(|_| panic!("there is no room")),
            });
            assert_eq!(budget.stats().waiting_count, usize::from(result.is_ok()));
            probe.quiet(|| Text::of(format_args!("{future:?}")));
            if result.is_ok() {
                assert!(probe.quiet(|| poll_once(&mut future, &waker)).is_pending());
                probe.quiet(|| held = Poll::Pending);
                assert!(matches!(probe.quiet(|| poll_once(&mut future, &waker)), Poll::Ready(Ok(_))));
            }
            drop(held);
        }),
        row!("budget/terms.rs try_set_guaranteed", "budget/terms.rs try_set_weight",
             "budget/terms.rs try_set_policy"; |probe| {
            let (full, root, _held) = full();
            assert!(probe.fails(|| full.try_set_guaranteed(101)).is_err());
            assert!(probe.quiet(|| full.try_set_guaranteed(9)).is_ok());
            assert!(probe.quiet(|| root.try_set_guaranteed(101)).is_err());
            assert!(probe.quiet(|| root.try_set_weight(u32::MAX)).is_err());
            assert!(probe.quiet(|| root.try_set_policy(BudgetPolicy::Fair)).is_err());
        }),
        row!("budget/reclaim.rs try_on_reclaim",
             "budget/reclaim.rs try_on_reclaim_own_last"; |probe| {
            let (counted, drops) = Counted::new();
            let (root, budget) = (MemoryBudget::new("root", 10), MemoryBudget::new("budget", 10));
            let reclaim = move |_| counted.0.load(SeqCst);
            let last = match probe.fails(|| budget.try_on_reclaim(0, reclaim)) {
                Ok(registered) => Ok(registered),
                Err((reclaim, _)) => probe.fails(|| root.try_on_reclaim_own_last(0, reclaim)),
            };
            assert_eq!(drops.load(SeqCst), 0, "it is the budget's, or given back");
            drop(last.map_err(|(reclaim, _)| reclaim));
            assert_eq!(drops.load(SeqCst), 1);
        }),
        row!("budget/tree.rs try_on_pressure"; |probe| {
            let (counted, drops) = Counted::new();
            let budget = MemoryBudget::new("budget", 10);
            let callback = move |_| assert!(counted.0.load(SeqCst) == 0);
            let refused = probe.fails(|| budget.try_on_pressure(50, callback));
            drop(budget.reserve(9));
            assert_eq!(drops.load(SeqCst), 0, "it is the budget's, or given back");
            if let Err((callback, _)) = refused {
                budget.on_pressure(50, callback);
            }
            drop(budget);
            assert_eq!(drops.load(SeqCst), 1);
        }),
        row!("budget/tree.rs fmt", "error/alloc_error.rs fmt", "error/budget_name.rs fmt",
             "error/refusal.rs fmt", "short_list.rs fmt"; |probe| {
            let (full, root, _held) = full();
            let error = full.try_reserve(7).expect_err("it is full");
            let AllocError::LimitExceeded { refusal: Some(refusal), .. } = &error else {
                panic!("{error:?}");
            };
            let [name, consumers] = [refusal.budget.name, refusal.consumers[0].name];
            assert!(name == "root" && consumers == "full");
            let says = probe.quiet(|| Text::of(format_args!("{error}")));
            assert!(says.as_str().contains("budget 'root' refused 7 bytes"));
            probe.quiet(|| Text::of(format_args!("{refusal}{refusal:?}{name}{name:?}{error:?}")));
            probe.quiet(|| Text::of(format_args!("{root:?}{:?}", refusal.consumers)));
        }),
        row!("budget/peak.rs fmt"; |probe| {
            let (_full, root, _held) = full();
            let peak = probe.quiet(|| root.peak_report());
            let says = probe.quiet(|| Text::of(format_args!("{peak}")));
            assert!(says.as_str().contains("budget 'root' peaked at"));
            probe.quiet(|| Text::of(format_args!("{peak:?}")));
        }),
        row!("budget/draw.rs fmt"; |probe| {
            // A picture says so when there is no memory for it.
            let (_full, root, _held) = full();
            let drawn = probe.may_fail(|| Ok::<_, fmt::Error>(Text::of(format_args!("{root}"))));
            let drawn = drawn.expect("it says so");
            let no_memory = drawn.as_str() == "(no memory for the picture)";
            assert!(no_memory || (drawn.as_str().contains("full") && drawn.as_str().len() > 100));
        }),
        row!("source.rs acquire"; |probe| {
            let layout = Layout::new::<[u64; 9]>();
            let take = |source: &dyn BlockSource| source.acquire(layout).ok_or(fmt::Error);
            let give = |source: &dyn BlockSource, block: SourceBlock| {
                // SAFETY: taken from this source with this layout, and not used again.
                unsafe { source.release(block.memory, layout) }
            };
            let counted = Arc::new(Counted::new().0);
            let own: [&dyn BlockSource; 3] = [&Global, &&Global, &counted];
            for source in own {
                if let Ok(block) = probe.fails(|| take(source)) {
                    give(source, block);
                }
            }
            let others: [&dyn BlockSource; 2] = [&Heap, &Pages::new()];
            for source in others {
                give(source, probe.quiet(|| take(source)).expect("C's heap or a page"));
            }
            #[cfg(feature = "allocator-api2")]
            {
                let source = aegis_memory::source::FromAllocator(allocator_api2::alloc::Global);
                if let Ok(block) = probe.fails(|| take(&source)) {
                    give(&source, block);
                }
            }
        }),
    ]
}

#[test]
fn arenas_fail_without_memory_and_lose_nothing() {
    out_of_memory_arenas::rows().iter().for_each(Row::run);
}

#[test]
fn budgets_and_sources_fail_without_memory_and_lose_nothing() {
    budgets_and_sources().iter().for_each(Row::run);
}

#[test]
fn pools_fail_without_memory_and_lose_nothing() {
    out_of_memory_pools::rows().iter().for_each(Row::run);
}

#[test]
fn buffers_fail_without_memory_and_lose_nothing() {
    out_of_memory_buffers::rows().iter().for_each(Row::run);
}

#[cfg(all(feature = "std", aegis_threads))]
#[test]
fn page_caches_fail_without_memory_and_lose_nothing() {
    out_of_memory_caches::rows().iter().for_each(Row::run);
}

#[cfg(feature = "collections")]
#[test]
fn collections_fail_without_memory_and_lose_nothing() {
    out_of_memory_collections::rows().iter().for_each(Row::run);
}

#[test]
fn an_error_is_five_sizes_and_what_it_is() {
    assert!(size_of::<AllocError>() <= 5 * size_of::<usize>() + 2 * size_of::<u32>());
}

/// The functions that are in no table, and the reason for each group.
const EXEMPT: &[(&str, &[&str])] = &[
    (
        "of a sealed trait: nobody outside calls it, and the tables go through it",
        &[
            "arena/aligned.rs grow_by_bump",
            "arena/aligned.rs quick",
            "arena/alloc.rs grow_by_bump",
            "arena/alloc.rs quick",
            "arena/alloc.rs take_quietly",
            "arena/any.rs allocate",
            "arena/any.rs grow_by_bump",
            "arena/any.rs quick",
            "arena/any.rs resize",
            "arena/builder.rs make",
            "arena/forms.rs grow_by_bump",
            "arena/forms.rs quick",
            "arena/forms.rs take",
            "arena/forms.rs take_quietly",
            "arena/forms.rs take_regrown",
            "arena/forms.rs take_zeroed",
            "arena/heap.rs make",
            "arena/heap_methods.rs allocate",
            "arena/heap_methods.rs allocate_zeroed",
            "arena/heap_methods.rs resize",
            "arena/lock_free.rs make",
            "arena/locked.rs make",
            "arena/locked_heap.rs make",
            "arena/recycler.rs make",
            "pool/cache.rs take",
            "pool/lock_free.rs make",
            "pool/locked.rs make",
            "pool/one_owner.rs make",
            "pool/one_owner.rs take",
            "pool/shared.rs take",
            "pool/shared.rs take_n",
        ],
    ),
    (
        "calls the serializer and nothing else",
        &[
            "arena/boxed/serial.rs serialize",
            "error/budget_name.rs serialize",
            "short_list.rs serialize",
        ],
    ),
    (
        "calls the deserializer, and allocates as functions in the tables do",
        &[
            "arena/boxed/serial.rs deserialize",
            "arena/boxed/serial.rs expecting",
            "arena/boxed/serial.rs visit_seq",
            "arena/boxed/serial.rs visit_str",
        ],
    ),
    (
        "calls the same function of the value, or allocates nothing",
        &[
            "arena/boxed/convert.rs downcast",
            "arena/boxed/pinned.rs fmt",
            "arena/boxed/serial.rs fmt",
            "arena/boxed/traits.rs fill_buf",
            "arena/boxed/traits.rs flush",
            "arena/boxed/traits.rs next",
            "arena/boxed/traits.rs next_back",
            "arena/boxed/traits.rs nth",
            "arena/boxed/traits.rs nth_back",
            "arena/boxed/traits.rs partial_cmp",
            "arena/boxed/traits.rs read",
            "arena/boxed/traits.rs read_exact",
            "arena/boxed/traits.rs read_to_end",
            "arena/boxed/traits.rs read_to_string",
            "arena/boxed/traits.rs read_vectored",
            "arena/boxed/traits.rs seek",
            "arena/boxed/traits.rs size_hint",
            "arena/boxed/traits.rs source",
            "arena/boxed/traits.rs write",
            "arena/boxed/traits.rs write_all",
            "arena/boxed/traits.rs write_vectored",
            "arena/boxed/values.rs fmt",
            "arena/boxed/values.rs next",
            "arena/boxed/values.rs next_back",
            "arena/boxed/values.rs size_hint",
            "arena/rc.rs fmt",
            "arena/rc.rs get_mut",
            "arena/rc.rs into_inner",
            "arena/rc.rs partial_cmp",
            "error/alloc_or_init.rs fmt",
            "error/alloc_or_init.rs source",
        ],
    ),
    (
        "only the crate can call it, and the tables go through it",
        &["cache/stores.rs into_owned"],
    ),
    ("of a type that is private; the text of `MapError` goes through it", &["buffer/range.rs fmt"]),
    ("of a type that is private; what collections take goes by it", &["collections/room.rs allocate"]),
    (
        "moves, compares or shows what is there",
        &[
            "collections/edit.rs pop",
            "collections/edit.rs pop_if",
            "collections/iter.rs fmt",
            "collections/iter.rs next",
            "collections/iter.rs next_back",
            "collections/iter.rs size_hint",
            "collections/splice.rs fmt",
            "collections/splice.rs next",
            "collections/splice.rs next_back",
            "collections/splice.rs size_hint",
            "collections/string_drain.rs fmt",
            "collections/string_drain.rs next",
            "collections/string_drain.rs next_back",
            "collections/string_edit.rs pop",
            "collections/string_drain.rs size_hint",
            "collections/string_from.rs fmt",
            "collections/string_from.rs from_utf8",
            "collections/string_traits.rs fmt",
            "collections/string_traits.rs partial_cmp",
            "collections/vec_traits.rs fmt",
            "collections/vec_traits.rs partial_cmp",
        ],
    ),
    (
        "its error is about the text, and it panics without memory",
        &["collections/string_from.rs from_utf16_in"],
    ),
    (
        "calls the format, whose errors take memory; `tests/arena/collections.rs` has an arena that is full",
        &[
            "collections/serde.rs deserialize",
            "collections/serde.rs deserialize_in",
            "collections/serde.rs expecting",
            "collections/serde.rs serialize",
            "collections/serde.rs visit_none",
            "collections/serde.rs visit_seq",
            "collections/serde.rs visit_some",
            "collections/serde.rs visit_str",
            "collections/serde.rs visit_unit",
        ],
    ),
];

#[test]
fn every_public_fallible_function_is_in_a_table() {
    let rows = [
        out_of_memory_arenas::rows(),
        #[cfg(feature = "collections")]
        out_of_memory_collections::rows(),
        budgets_and_sources(),
        out_of_memory_pools::rows(),
        out_of_memory_buffers::rows(),
        #[cfg(all(feature = "std", aegis_threads))]
        out_of_memory_caches::rows(),
    ];
    let tables = rows.iter().flatten().flat_map(|row| row.covers).copied();
    let exempt = EXEMPT.iter().flat_map(|(_, names)| *names).copied();
    let listed: BTreeSet<String> = tables.chain(exempt).map(String::from).collect();
    let found = fallible_calls::fallible_calls();
    let missing: Vec<_> = found.difference(&listed).collect();
    // The functions of a feature that is off are in no table.
    let off = |name: &&String| {
        (!cfg!(feature = "std")
            && ["buffer/", "cache/", "pool/objects.rs"].iter().any(|part| name.starts_with(part)))
            || (!cfg!(feature = "allocator-api2") && name.contains("allocator.rs "))
            || (!cfg!(feature = "arrow") && name.starts_with("buffer/arrow"))
            || (!cfg!(feature = "collections") && name.starts_with("collections/"))
            || (!cfg!(feature = "std") && name.starts_with("collections/vec_traits.rs"))
            || (!cfg!(feature = "bytes") && name.starts_with("buffer/interop.rs"))
    };
    let missing: Vec<_> = missing.into_iter().filter(|name| !off(name)).collect();
    assert!(missing.is_empty(), "in no table: {missing:#?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(gone.is_empty(), "in a table and not in the source: {gone:#?}");
}

#[test]
fn reader_of_the_source_finds_public_and_trait_functions_only() {
    let calls = fallible_calls::calls_of(
        r#"
        type Memory = Result<u8, ()>;
        pub fn plain() -> Result<u8, ()> { let x = "}"; }
        pub unsafe fn long<T>(
            with: impl Fn(&'static str) -> u8, // -> {
        ) -> io::Result<()>
        where
            T: Fn(u8) -> u8,
        { '{' }
        pub const fn maybe() -> Option<u8> { '\'' }
        pub(crate) fn inner() -> Option<u8> {}
        fn private() -> Option<u8> { pub fn nested() -> Option<u8> {} }
        pub fn callback(f: impl Fn() -> Option<u8>) {}
        pub fn callback_where<F>(f: F) where F: Fn() -> Option<u8> {}
        impl<A> Trait for &A { fn method(&self) -> Memory {} unsafe fn none(&self) -> u8 {} }
        impl<A> Type<A> { fn own(&self) -> Memory {} pub fn open(&self) -> Memory {} }
        "#,
    );
    assert_eq!(Vec::from_iter(calls), ["long", "maybe", "method", "open", "plain"]);
}
