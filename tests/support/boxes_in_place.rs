// SPDX-License-Identifier: Apache-2.0
//! The tests of `tests/arena/boxes.rs` for what closures and iterators build in its place, and fail or
//! panic meanwhile.

use super::every_arena::{Entry, Journal};
use crate::support::panic_of;
use aegis_memory::arena::{Arena, ArenaBox, FixedArena, LockFreeArena, LockedArena};
use aegis_memory::AllocOrInitError;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// What a closure that fails or panics has built nothing for.
#[derive(Debug, PartialEq)]
struct Refused(u32);

#[test]
fn room_of_a_value_comes_back_after_an_error_or_a_panic() {
    on_every_arena!(|arena| {
        let empty = arena.used();
        arena.alloc(8);
        let before = arena.used();
        // A checker leaves a gap behind each allocation.
        let gap = before - empty - 8;
        // A small value, a large one, and one that is smaller than its error.
        assert_eq!(arena.alloc_try_with(|| Err::<u32, _>(Refused(1))), Err(Refused(1)));
        assert!(arena.alloc_try_with(|| Err::<[u64; 100], _>([1_u8; 9])).is_err());
        assert!(arena.alloc_try_with(|| Err::<[u64; 10], _>([1_u8; 120])).is_err());
        assert!(arena.alloc_boxed_try_with(|| Err::<String, _>(String::from("text"))).is_err());
        let panics = || panic_of(|| arena.alloc_try_with(|| -> Result<u8, ()> { panic!("f") }));
        assert_eq!((panics(), arena.used()), (String::from("f"), before));

        assert_eq!(arena.alloc_try_with(|| Ok::<_, Refused>(7)), Ok(&mut 7));
        assert_eq!(arena.used(), before + 8 + gap);
        let smaller = arena.alloc_try_with(|| Ok::<_, [u8; 120]>([7_u64; 10])).expect("built");
        assert_eq!((smaller, arena.used()), (&mut [7; 10], before + 8 + 80 + 2 * gap));
        let large = arena.alloc_try_with(|| Ok::<_, Refused>([7_u64; 10])).expect("built");
        assert_eq!((large, arena.used()), (&mut [7; 10], before + 8 + 80 + 80 + 3 * gap));
        arena.alloc_try_with(|| Ok::<_, ()>(())).expect("of no size");
        #[repr(align(256))]
        #[derive(Debug)]
        struct Wide([u8; 256]);
        let wide = arena.alloc_try_with(|| Ok::<_, Refused>(Wide([7; 256]))).expect("built");
        assert_eq!((wide as *const Wide as usize % 256, wide.0), (0, [7; 256]));
    });
}

#[test]
fn what_a_failed_closure_has_allocated_itself_stays() {
    on_every_arena!(|arena| {
        let (before, mut kept) = (arena.used(), None);
        let result = arena.alloc_try_with(|| {
            kept = Some(arena.alloc_str("kept by the caller"));
            Err::<[u64; 100], _>(Refused(1))
        });
        assert_eq!(result, Err(Refused(1)));
        // The room lies before the text, so it stays used too.
        assert!(arena.used() > before + 800);
        let again = arena.alloc_try_with(|| {
            arena.alloc_try_with(|| Err::<u64, _>(Refused(2)))?;
            Ok::<_, Refused>(1)
        });
        assert_eq!(again, Err(Refused(2)));
        arena.alloc(1000).fill(1);
        assert_eq!(kept.as_deref(), Some("kept by the caller"));
    });
}

#[test]
fn slice_stops_at_the_first_error_and_drops_what_it_has() {
    on_every_arena!(|arena| {
        arena.alloc(8);
        let (before, journal) = (arena.used(), Journal::default());
        for (len, fails_at) in [(5, 0), (5, 3), (30, 29), (0, 0), (3, 3)] {
            let make = |i: usize| match i == fails_at {
                true => Err(Refused(i as u32)),
                false => Ok(Entry(&journal, i as u32)),
            };
            let filled = arena.alloc_boxed_slice_try_fill_with(len, make).map(|_| ()).err();
            let gathered = arena.alloc_boxed_slice_try_from_iter((0..len).map(make)).err();
            if fails_at < len {
                assert_eq!(arena.used(), before, "{len}");
            }
            // The iterator's length is not known.
            let unknown = (0..len).filter(|_| true).map(make);
            let pieces = arena.alloc_boxed_slice_try_from_iter(unknown).map(|_| ()).err();
            let built: Vec<u32> = (0..fails_at.min(len) as u32).collect();
            assert_eq!(journal.take(), [&built[..], &built, &built].concat(), "{len}");
            let error = (fails_at < len).then_some(Refused(fails_at as u32));
            assert!(filled == error && gathered == error && pieces == error, "{len}");
        }
        let plain = |end: u32| move |i: usize| if i < 3 { Ok(i) } else { Err(Refused(end)) };
        assert_eq!(arena.alloc_slice_try_fill_with(3, plain(1)).ok(), Some(&mut [0, 1, 2][..]));
        assert_eq!(arena.alloc_slice_try_fill_with(4, plain(1)), Err(Refused(1)));
        let iter = (0..3).map(plain(2));
        assert_eq!(arena.alloc_slice_try_from_iter(iter).ok(), Some(&mut [0, 1, 2][..]));
        assert_eq!(arena.alloc_slice_try_from_iter((0..9).map(plain(2))), Err(Refused(2)));
        assert!(arena.alloc_slice_try_from_iter([Err::<(), _>(()), Ok(())]).is_err());
    });
}

/// What does not fit into the current block has a block to itself, and is the latest all the same.
#[test]
fn room_in_a_block_of_its_own_comes_back_too() {
    fn check(arena: &Arena) {
        arena.alloc(8);
        let before = arena.used();
        for size in [1_000, 10_000, 1_000_000] {
            let filled =
                arena.alloc_slice_try_fill_with(size, |i| if i < 9 { Ok(1_u8) } else { Err(()) });
            let iter = (0..size).map(|i| if i < 9 { Ok(1_u8) } else { Err(()) });
            assert!(filled.is_err() && arena.alloc_slice_try_from_iter(iter).is_err());
            assert!(arena.alloc_try_with(|| Err::<[u8; 100_000], _>(())).is_err());
            assert_eq!(arena.used(), before, "{size}");
        }
    }
    check(&Arena::default());
    Arena::default().scope(check);
    check(&LockFreeArena::default().local());
    let locked = LockedArena::default();
    locked.alloc(8);
    assert!(locked.alloc_slice_try_fill_with(100_000, |_| Err::<u8, _>(())).is_err());
    assert_eq!(locked.used(), 8);
}

#[test]
fn slice_in_pieces_drops_each_item_once_after_an_error_a_panic_or_success() {
    #[derive(Clone, Copy, PartialEq)]
    enum End {
        Error,
        Panic,
        Full,
        Items,
    }
    on_every_arena!(|arena| {
        for (len, end) in [40, 300, 3000]
            .into_iter()
            .flat_map(|len| [End::Error, End::Panic, End::Full, End::Items].map(|end| (len, end)))
        {
            let (journal, mut number) = (Journal::default(), 0);
            // The iterator allocates, so that the items are in several pieces.
            let iter = std::iter::from_fn(|| {
                arena.alloc(16);
                number += 1;
                match end {
                    _ if number <= len => Some(Ok(Entry(&journal, number))),
                    End::Error => Some(Err(Refused(number))),
                    End::Panic => panic!("iterator"),
                    End::Full => None,
                    End::Items => (number == len + 1).then(|| Ok(Entry(&journal, 0))),
                }
            });
            let collect = AssertUnwindSafe(|| arena.alloc_boxed_slice_try_from_iter(iter));
            let result = catch_unwind(collect);
            match result {
                Err(_) => assert!(end == End::Panic),
                Ok(Err(refused)) => assert!(end == End::Error && refused == Refused(len + 1)),
                Ok(Ok(slice)) => {
                    assert_eq!(journal.borrow().len(), 0);
                    assert!(slice.iter().map(|entry| entry.1).take(len as usize).eq(1..=len));
                }
            }
            let last = (end == End::Items).then_some(0);
            assert!(journal.take().into_iter().eq((1..=len).chain(last)), "{len}");
        }
    });
}

#[test]
fn slice_whose_items_panic_when_dropped_drops_the_others_and_gives_the_room_back() {
    struct Bomb<'a>(#[allow(dead_code)] Entry<'a>);
    impl Drop for Bomb<'_> {
        fn drop(&mut self) {
            assert!(self.0 .1 != 2, "second");
        }
    }
    let (arena, journal) = (Arena::default(), Journal::default());
    let make = |i: usize| match i {
        4 => Err(Refused(4)),
        _ => Ok(Bomb(Entry(&journal, i as u32))),
    };
    let filled = panic_of(|| arena.alloc_boxed_slice_try_fill_with(9, make).map(|_| ()));
    assert_eq!((filled.as_str(), journal.take(), arena.used()), ("second", vec![0, 1, 2, 3], 0));
    let items = || (0..9).map(make);
    let known = panic_of(|| arena.alloc_boxed_slice_try_from_iter(items()).map(|_| ()));
    assert_eq!((known.as_str(), journal.take(), arena.used()), ("second", vec![0, 1, 2, 3], 0));
    let unknown = items().filter(|_| true);
    let gathered = panic_of(|| arena.alloc_boxed_slice_try_from_iter(unknown).map(|_| ()));
    assert_eq!((gathered.as_str(), journal.take(), arena.used()), ("second", vec![0, 1, 2, 3], 0));
    let cloned = panic_of(|| {
        struct Third<'a>(Entry<'a>);
        impl Clone for Third<'_> {
            fn clone(&self) -> Self {
                assert!(self.0 .1 != 12, "clone");
                Self(Entry(self.0 .0, self.0 .1 + 100))
            }
        }
        let source = [10, 11, 12].map(|number| Third(Entry(&journal, number)));
        arena.alloc_boxed_slice_clone(&source);
    });
    assert_eq!((cloned.as_str(), journal.take()), ("clone", vec![110, 111, 10, 11, 12]));
}

#[test]
fn try_forms_say_whether_the_memory_or_the_closure_failed() {
    let mut memory = [MaybeUninit::uninit(); 512];
    let arena = FixedArena::new(&mut memory);
    let calls = Cell::new(0);
    let build = || {
        calls.set(calls.get() + 1);
        Ok::<_, Refused>([0_u64; 100])
    };
    let full = arena.try_alloc_try_with(build).expect_err("no room");
    assert!(matches!(&full, AllocOrInitError::Alloc(_)), "{full:?}");
    assert!(panic_of(|| arena.alloc_try_with(build).is_ok()).contains("exhausted"));
    let slice = arena.try_alloc_slice_try_fill_with(1000, |_| build().map(|_| 1_u8));
    assert!(matches!(slice, Err(AllocOrInitError::Alloc(_))));
    assert_eq!(calls.get(), 0, "no room, no call");
    let refused = arena.try_alloc_try_with(|| Err::<u8, _>(Refused(1)));
    assert_eq!(refused, Err(AllocOrInitError::Init(Refused(1))));
    let iter = [Ok(1_u8), Err(Refused(2))];
    assert_eq!(arena.try_alloc_slice_try_from_iter(iter), Err(AllocOrInitError::Init(Refused(2))));
    let number = arena.try_alloc_try_with(|| "x".parse::<u8>()).expect_err("not a number");
    assert_eq!(number.to_string(), "invalid digit found in string");
}

/// The bytes of the stack of the threads below, and of the value that they build.
const STACK: usize = 128 * 1024;
const LARGE: usize = 64 << 20;

fn on_a_small_stack<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|threads| {
        let builder = std::thread::Builder::new().stack_size(STACK);
        builder.spawn_scoped(threads, run).expect("a thread").join().expect("no panic")
    })
}

#[test]
fn large_value_is_built_in_place_through_its_pointer_in_every_build() {
    let sum = on_a_small_stack(|| {
        let arena = Arena::default();
        let mut page = arena.alloc_boxed_uninit::<[u8; LARGE]>();
        // SAFETY: the bytes are those of the array.
        unsafe { page.as_mut_ptr().cast::<u8>().write_bytes(7, LARGE) };
        // SAFETY: each byte was written.
        let page = unsafe { ArenaBox::assume_init(page) };
        let slice = arena.alloc_slice_fill_with(LARGE / 8, |i| i as u64);
        let array: &mut [u64; LARGE / 8] = slice.try_into().expect("its length");
        u64::from(page[LARGE - 1]) + array[LARGE / 8 - 1]
    });
    assert_eq!(sum, 7 + (LARGE / 8 - 1) as u64);
}

/// With optimisation these closures write to the arena: a copy through the stack would overflow it.
#[test]
#[cfg_attr(debug_assertions, ignore = "the compiler builds in place only with optimisation")]
fn large_value_of_a_closure_is_built_in_place_with_optimisation() {
    struct Page {
        number: u64,
        bytes: [u8; LARGE],
    }
    fn bytes(first: u8) -> Result<[u8; LARGE], Refused> {
        if first == 0 {
            return Err(Refused(0));
        }
        let mut bytes = [first; LARGE];
        bytes[LARGE - 1] = 1;
        Ok(bytes)
    }
    let seven = std::hint::black_box(7);
    let ends = |bytes: &[u8; LARGE]| (bytes[0], bytes[LARGE - 1]);
    macro_rules! check {
        ($arena:ty) => {
            assert_eq!(
                on_a_small_stack(|| ends(<$arena>::default().alloc_with(|| [seven; LARGE]))),
                (7, 7)
            );
            let boxed = || ends(&<$arena>::default().alloc_boxed_with(|| [seven; LARGE]));
            assert_eq!(on_a_small_stack(boxed), (7, 7));
            let tried =
                || <$arena>::default().alloc_try_with(|| bytes(seven)).map(|bytes| ends(bytes));
            assert_eq!(on_a_small_stack(tried), Ok((7, 1)));
            let boxed = || {
                <$arena>::default().alloc_boxed_try_with(|| bytes(seven)).map(|bytes| ends(&bytes))
            };
            assert_eq!(on_a_small_stack(boxed), Ok((7, 1)));
            let refused = || <$arena>::default().alloc_try_with(|| bytes(seven - 7)).err();
            assert_eq!(on_a_small_stack(refused), Some(Refused(0)));
            let page = |number| match number {
                0 => Err(Refused(0)),
                _ => Ok(Page { number, bytes: [seven; LARGE] }),
            };
            let page = || {
                let arena = <$arena>::default();
                let page = arena.alloc_try_with(|| page(u64::from(seven)));
                page.map(|page| (page.number, ends(&page.bytes)))
            };
            assert_eq!(on_a_small_stack(page), Ok((7, (7, 7))));
        };
    }
    check!(Arena);
    check!(LockFreeArena);
    check!(LockedArena);
}
