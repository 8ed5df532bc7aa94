// SPDX-License-Identifier: Apache-2.0
//! Tests boxes of anything in an arena, pinned values, and what is built in place: trait objects,
//! closures, slices, futures, and closures and iterators that fail or panic. Each value must be
//! dropped exactly once, and the room of what was not built must come back.

#[macro_use]
#[path = "../support/every_arena.rs"]
mod every_arena;
#[path = "../support/boxes_in_place.rs"]
mod in_place;
use crate::executor::{block_on, run_tasks, yield_once};
use crate::support::panic_of;
#[cfg(feature = "std")]
use crate::support::runner::command_for;
use aegis_memory::arena::{
    Arena, ArenaBox, ArenaFnOnce, ArenaRc, ArenaRecycler, CallOnce, FixedArena, LockFreeArena,
    LockedArena,
};
use aegis_memory::unsize_box;
use every_arena::{Entry, Journal};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::{self, MaybeUninit};
use std::pin::Pin;

trait Shape {
    fn area(&self) -> u32;
    fn grow(&mut self);
}

struct Square<'a>(u32, #[allow(dead_code)] Entry<'a>);

impl Shape for Square<'_> {
    fn area(&self) -> u32 {
        self.0 * self.0
    }

    fn grow(&mut self) {
        self.0 += 1;
    }
}

#[test]
fn box_of_a_trait_object_calls_and_drops_the_value() {
    on_every_arena!(|arena| {
        let journal = Journal::default();
        {
            let mut shapes: [ArenaBox<'_, dyn Shape + '_>; 2] = [
                unsize_box!(arena.alloc_boxed(Square(2, Entry(&journal, 1)))),
                unsize_box!(arena.alloc_boxed(Square(3, Entry(&journal, 2)))),
            ];
            shapes.iter_mut().for_each(|shape| shape.grow());
            assert_eq!(shapes.iter().map(|shape| shape.area()).sum::<u32>(), 9 + 16);
            assert!(journal.borrow().is_empty());
        }
        assert_eq!(*journal.borrow(), [1, 2]);
    });
}

#[test]
fn box_of_a_trait_object_goes_through_its_raw_pointer_and_leaks() {
    let (arena, journal) = (Arena::default(), Journal::default());
    let shape = unsize_box!(arena.alloc_boxed(Square(2, Entry(&journal, 1))), dyn Shape);
    let raw = ArenaBox::into_raw(shape);
    // SAFETY: of `into_raw`, used once.
    let shape = unsafe { ArenaBox::from_raw(raw) };
    assert_eq!(shape.area(), 4);
    let leaked: &mut dyn Shape = ArenaBox::leak(shape);
    leaked.grow();
    assert_eq!((leaked.area(), journal.borrow().len()), (9, 0));
}

#[test]
fn box_of_a_slice_or_string_drops_converts_and_gives_its_values() {
    let (arena, journal) = (Arena::default(), Journal::default());
    let entries = |count| arena.alloc_boxed_slice_fill_with(count, |i| Entry(&journal, i as u32));
    drop(entries(3));
    assert_eq!(journal.take(), [0, 1, 2]);

    let array: ArenaBox<'_, [Entry<'_>; 3]> = entries(3).try_into().expect("three");
    let slice: ArenaBox<'_, [Entry<'_>]> = array.into();
    let slice = <ArenaBox<'_, [Entry<'_>; 2]>>::try_from(slice).expect_err("not two");
    let mut values = ArenaBox::into_values(slice);
    assert_eq!((values.len(), values.next().map(|entry| entry.1)), (3, Some(0)));
    assert_eq!(values.next_back().map(|entry| entry.1), Some(2));
    assert_eq!((journal.take(), values.as_slice().len()), (vec![0, 2], 1));
    drop(values);
    assert_eq!(journal.take(), [1]);
    let mut nothing = ArenaBox::into_values(arena.alloc_boxed_slice_from_iter([(); 3]));
    assert_eq!((nothing.nth(1), nothing.next_back(), nothing.next()), (Some(()), Some(()), None));

    let mut text = arena.alloc_boxed_str("text");
    text.make_ascii_uppercase();
    assert_eq!(*ArenaBox::<[u8]>::from(text), *b"TEXT");
    let copy = arena.alloc_boxed_slice_clone(&[String::from("a"), String::from("b")]);
    assert_eq!(copy.concat(), "ab");
}

#[test]
fn box_of_any_is_downcast_to_its_type_only() {
    let arena = Arena::default();
    let any = unsize_box!(arena.alloc_boxed(String::from("text")), dyn Any + Send);
    let any = any.downcast::<Vec<u8>>().expect_err("it is a String");
    assert_eq!(*any.downcast::<String>().expect("a String"), "text");
}

#[test]
fn box_behaves_as_its_value_in_every_trait() {
    let arena = Arena::default();
    let (a, b) = (arena.alloc_boxed_str("a"), arena.alloc_boxed_str("b"));
    let again = arena.alloc_boxed_str("a");
    assert!(a < b && a != b && a == again && *a.max(again) == *"a");
    let mut set = std::collections::BTreeSet::from([arena.alloc_boxed_str("key")]);
    assert!(set.contains("key") && set.take("other").is_none());
    let map = std::collections::HashMap::from([(arena.alloc_boxed_str("key"), 7)]);
    assert_eq!(map.get("key"), Some(&7), "hash and borrow agree");

    let mut count = unsize_box!(arena.alloc_boxed(0..9), dyn DoubleEndedIterator<Item = u32>);
    assert_eq!((count.next(), count.next_back(), count.nth(1), count.size_hint().0), {
        (Some(0), Some(8), Some(2), 5)
    });
    assert_eq!(count.by_ref().rev().sum::<u32>(), 3 + 4 + 5 + 6 + 7);
    assert_eq!(arena.alloc_boxed([1, 2].iter()).len(), 2);
    let at = arena.alloc_boxed(7_u8);
    assert_eq!(format!("{at:p}"), format!("{:p}", &*at));
    let ready = arena.alloc_boxed(std::future::ready(7));
    assert_eq!(block_on(ready), 7);
    #[cfg(feature = "std")]
    {
        use std::io::{BufRead, Read, Seek, SeekFrom, Write};
        let mut file = arena.alloc_boxed(std::io::Cursor::new(b"one\ntwo".to_vec()));
        let (mut line, mut rest) = (String::new(), String::new());
        file.read_line(&mut line).expect("in memory");
        file.read_to_string(&mut rest).expect("in memory");
        file.write_all(b"!").expect("in memory");
        assert_eq!((&*line, &*rest, file.seek(SeekFrom::End(0)).ok()), ("one\n", "two", Some(8)));
        let error = "x".parse::<u8>().expect_err("not a number");
        let error = unsize_box!(arena.alloc_boxed(error), dyn std::error::Error);
        fn text(error: impl std::error::Error) -> String {
            error.to_string()
        }
        assert_eq!(text(error), "invalid digit found in string");
    }
}

#[test]
fn closures_are_called_with_what_they_captured_and_drop_it_once() {
    let (arena, journal) = (Arena::default(), Journal::default());
    let entry = |number| Entry(&journal, number);
    let (first, unused) = (entry(1), entry(2));
    let called: ArenaFnOnce<'_, (u32,), u32> =
        unsize_box!(arena.alloc_boxed(move |n| n + mem::ManuallyDrop::new(&first).1));
    let never: ArenaFnOnce<'_, ()> = unsize_box!(arena.alloc_boxed(move || drop(unused)));
    assert_eq!((called.call_once((10,)), journal.take()), (11, vec![1]));
    drop(never);
    assert_eq!(journal.take(), [2]);

    let held = entry(3);
    let panics: ArenaFnOnce<'_, ()> = unsize_box!(arena.alloc_boxed(move || {
        let _held = &held;
        panic!("closure")
    }));
    assert_eq!(panic_of(|| panics.call_once(())), "closure");
    assert_eq!(journal.take(), [3]);

    // A closure of a size of its own, without a size, a function, and many arguments.
    assert_eq!(arena.alloc_boxed(|| 7).call_once(()), 7);
    assert_eq!(arena.alloc_boxed(u32::pow).call_once((2, 5)), 32);
    let long = arena.alloc_boxed(|a, b, c, d, e, f| a + b + c + d + e + f);
    assert_eq!(long.call_once((1, 2, 3, 4, 5, 6)), 21);
    let borrows: ArenaBox<'_, dyn for<'t> CallOnce<(&'t str,), Output = usize>> =
        unsize_box!(arena.alloc_boxed(|text: &str| text.len()));
    assert_eq!(borrows.call_once((&String::from("text"),)), 4);

    let add = unsize_box!(arena.alloc_boxed(|a: u32, b: u32| a + b), dyn Fn(u32, u32) -> u32);
    assert_eq!(add(add(1, 2), 3), 6);
    let mut sum = 0;
    let mut count = unsize_box!(arena.alloc_boxed(|n| sum += n), dyn FnMut(u32));
    [1, 2, 3].into_iter().for_each(&mut *count);
    count(4);
    drop(count);
    assert_eq!(sum, 10);
}

#[test]
fn shared_value_is_dropped_with_the_last_handle_in_every_form() {
    on_every_arena!(|arena| {
        let journal = Journal::default();
        let first = arena.alloc_rc(Square(2, Entry(&journal, 1)));
        let shape = unsize_box!(first.clone(), dyn Shape);
        let mut both = [shape.clone(), shape];
        assert_eq!((both[0].area(), ArenaRc::strong_count(&both[1])), (4, 3));
        assert!(ArenaRc::get_mut(&mut both[0]).is_none());
        assert!(ArenaRc::into_inner(first).is_none() && journal.borrow().is_empty());
        let [last, _] = &mut both;
        assert_eq!(ArenaRc::strong_count(last), 2);
        let [mut last, other] = both;
        drop(other);
        ArenaRc::get_mut(&mut last).expect("the only handle").grow();
        assert_eq!((last.area(), journal.take()), (9, vec![]));
        drop(last);
        assert_eq!(journal.take(), [1]);
    });
}

#[test]
fn shared_value_of_any_size_and_alignment_lies_behind_its_count() {
    #[repr(align(256))]
    struct Wide(u8);
    let arena = Arena::default();
    let (byte, wide, nothing) = (arena.alloc_rc(7_u8), arena.alloc_rc(Wide(8)), arena.alloc_rc(()));
    assert_eq!((&*wide as *const Wide as usize % 256, wide.0, *byte), (0, 8, 7));
    let lines = arena.with_min_align::<64>();
    let (thin, line) = (lines.alloc_rc(7_u8), lines.alloc_rc(Wide(8)));
    assert_eq!((&*thin as *const u8 as usize % 64, *thin), (0, 7));
    assert_eq!((&*line as *const Wide as usize % 256, line.0), (0, 8));
    let slice: ArenaRc<'_, [u16]> = unsize_box!(arena.alloc_rc([1, 2, 3]));
    assert_eq!((slice[2], ArenaRc::strong_count(&slice.clone())), (3, 2));
    assert_eq!(ArenaRc::into_inner(nothing), Some(()));
    // A circle is never dropped, and its memory goes with the arena.
    struct Node<'a>(RefCell<Option<ArenaRc<'a, Node<'a>>>>);
    let node = arena.alloc_rc(Node(RefCell::new(None)));
    *node.0.borrow_mut() = Some(node.clone());
    assert_eq!(ArenaRc::strong_count(&node), 2);
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("drop")
        }
    }
    let (panics, other) = (arena.alloc_rc(Panics), arena.alloc_rc(1));
    let also = panics.clone();
    drop(panics);
    assert_eq!((panic_of(|| drop(also)).as_str(), *other), ("drop", 1));
}

/// A request handler whose futures live in the arena of the request.
async fn handle(arena: &Arena, journal: &Journal, request: u32) -> usize {
    type Part<'a> = Pin<ArenaBox<'a, dyn Future<Output = &'a str> + 'a>>;
    let read = async move {
        let _entry = Entry(journal, request);
        yield_once().await;
        &*arena.alloc_fmt(format_args!("request {request}"))
    };
    let check = async move {
        yield_once().await;
        yield_once().await;
        "checked"
    };
    let parts: [Part<'_>; 2] =
        [unsize_box!(arena.alloc_pinned(read)), unsize_box!(arena.alloc_pinned(check))];
    let mut bytes = 0;
    for part in parts {
        bytes += part.await.len();
    }
    bytes
}

#[test]
fn futures_of_requests_live_in_their_arenas() {
    let (journal, recycler) = (Journal::default(), ArenaRecycler::new(4, 1 << 16));
    let total = Cell::new(0);
    let request = |number| {
        let (journal, recycler, total) = (&journal, &recycler, &total);
        async move {
            let arena = recycler.get();
            let bytes = handle(&arena, journal, number).await;
            total.set(total.get() + bytes);
        }
    };
    run_tasks((0..8).map(|number| Box::pin(request(number)) as _).collect());
    assert_eq!((total.get(), journal.take().len()), (8 * "request nchecked".len(), 8));

    // The tasks themselves in an arena too, under a loop that polls until all are done.
    let mut arena = Arena::default();
    for round in 0..3 {
        let mut tasks = Vec::new();
        for number in 0..4 {
            let task = arena.alloc_pinned(request(4 * round + number));
            tasks.push(unsize_box!(task, dyn Future<Output = ()> + '_));
        }
        let (_, waker) = crate::executor::Calls::new();
        let mut context = std::task::Context::from_waker(&waker);
        while !tasks.is_empty() {
            tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
        }
        drop(tasks);
        arena.reset();
    }
    assert_eq!(journal.take().len(), 12);
}

#[test]
fn pinned_values_are_dropped_with_their_handles_in_every_form() {
    on_every_arena!(|arena| {
        let journal = Journal::default();
        let pinned = arena.alloc_pinned(Entry(&journal, 1));
        assert_eq!(pinned.1, 1);
        let other = arena.try_alloc_pinned(Entry(&journal, 2)).expect("memory");
        drop((other, pinned));
        assert_eq!(journal.take(), [2, 1]);
    });
    // The handle of a value stays usable after the local handle.
    let (mut shared, journal) = (LockFreeArena::default(), Journal::default());
    let local = shared.local();
    let pinned = local.alloc_pinned(Entry(&journal, 3));
    drop(local);
    drop(pinned);
    shared.reset();
    assert_eq!(journal.take(), [3]);
}

#[test]
fn pinned_value_whose_drop_panics_leaves_the_arena_usable() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("drop")
        }
    }
    let mut arena = Arena::default();
    let pinned = arena.alloc_pinned(Panics);
    assert_eq!(panic_of(|| drop(pinned)), "drop");
    arena.reset();
}

#[test]
fn pinned_value_without_drop_glue_can_be_forgotten() {
    let mut memory = [MaybeUninit::uninit(); 1024];
    let mut arena = FixedArena::new(&mut memory);
    let used = arena.used();
    mem::forget(arena.alloc_pinned(std::future::ready(7_u64)));
    let bytes = mem::size_of::<std::future::Ready<u64>>() + mem::size_of::<usize>();
    assert_eq!(arena.used() - used, bytes, "no record of it is kept");
    arena.reset();
    mem::forget(LockFreeArena::default().local().alloc_pinned(std::future::ready(7)));
}

#[test]
fn arena_that_can_be_forgotten_with_its_memory_pins_only_in_scopes() {
    let journal = Journal::default();
    let pin = |arena: &Arena| _ = arena.alloc_pinned(Entry(&journal, 1));
    let refused = "this arena pins no value with drop glue: use a scope of it";
    let mut memory = [MaybeUninit::uninit(); 1024];
    let fixed = FixedArena::new(&mut memory);
    assert_eq!(panic_of(|| pin(&fixed)), refused);
    fixed.scope(pin);
    let shared = LockFreeArena::default();
    let local = shared.local();
    assert_eq!(panic_of(|| pin(&local)), refused);
    local.scope(|outer| outer.scope(pin));
    assert_eq!(journal.take(), [1, 1, 1, 1], "also those that were refused are dropped");
}

/// Forgets a pinned value and frees its memory, which must end the process. Each number is a way to
/// do so.
#[cfg(feature = "std")]
fn forget_and_free(way: &str) {
    let journal = Journal::default();
    let (mut arena, mut shared) = (Arena::default(), LockFreeArena::default());
    match way {
        "reset" => {
            mem::forget(arena.alloc_pinned(Entry(&journal, 1)));
            arena.reset();
        }
        "clear" => {
            mem::forget(arena.alloc_pinned(Entry(&journal, 1)));
            arena.clear();
        }
        "drop" => {
            mem::forget(arena.alloc_pinned(Entry(&journal, 1)));
            drop(arena);
        }
        "scope" => arena.scope(|scope| mem::forget(scope.alloc_pinned(Entry(&journal, 1)))),
        "recycled" => {
            let recycler = ArenaRecycler::new(1, 4096);
            mem::forget(recycler.get().alloc_pinned(Entry(&journal, 1)));
        }
        "local" => {
            let local = shared.local();
            mem::forget(local.alloc_pinned(Entry(&journal, 1)));
            mem::forget(local);
            shared.reset();
        }
        "locked" => {
            let mut locked = LockedArena::default();
            let task = async {
                let _entry = Entry(&journal, 1);
                std::future::pending::<()>().await
            };
            mem::forget(unsize_box!(locked.alloc_pinned(task), dyn Future<Output = ()>));
            locked.reset();
        }
        _ => unreachable!("{way}"),
    }
}

#[test]
#[cfg(feature = "std")]
fn memory_of_a_forgotten_pinned_value_ends_the_process_before_it_is_reused() {
    const WAY: &str = "AEGIS_FORGET_AND_FREE";
    if let Ok(way) = std::env::var(WAY) {
        forget_and_free(&way);
        return;
    }
    let ways = ["reset", "clear", "drop", "scope", "recycled", "local", "locked"];
    let start = |way| {
        let mut child = command_for(&std::env::current_exe().expect("this test"));
        let name = "memory_of_a_forgotten_pinned_value_ends_the_process_before_it_is_reused";
        let name = format!("boxes::{name}");
        child.args([name.as_str(), "--exact", "--nocapture"]).env(WAY, way);
        child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
        (way, child.spawn().expect("it starts"))
    };
    for (way, child) in ways.map(start) {
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let says = text.contains("frees the memory of a pinned value that was forgotten");
        assert!(says && !output.status.success(), "{way}: {}: {text}", output.status);
    }
}

#[test]
fn box_of_an_arena_that_lives_for_ever_is_pinned_as_it_is() {
    static ARENA: std::sync::OnceLock<LockedArena> = std::sync::OnceLock::new();
    let arena = ARENA.get_or_init(LockedArena::default);
    let task = ArenaBox::into_pin(arena.alloc_boxed(async { 7 }));
    let task: Pin<ArenaBox<'_, dyn Future<Output = u32> + Send>> = unsize_box!(task);
    assert_eq!(block_on(task), 7);
    // What is `Unpin` can be pinned in any arena.
    let arena = Arena::default();
    assert_eq!(block_on(Pin::new(arena.alloc_boxed(std::future::ready(8)))), 8);
}

#[test]
#[cfg(feature = "serde")]
fn boxes_are_written_as_their_values_and_read_by_seeds() {
    use serde::de::DeserializeSeed;
    on_every_arena!(|arena| {
        let words = arena.alloc_boxed_slice_from_iter(["a", "b"].map(String::from));
        let json = serde_json::to_string(&(words, arena.alloc_boxed_str("c"))).expect("text");
        assert_eq!(json, r#"[["a","b"],"c"]"#);
        let mut from =
            serde_json::Deserializer::from_str(r#" [1, 2, 3] "text\n" {"x": [7]} [1, "x"]"#);
        let numbers = ArenaBox::<[u64]>::seed(arena).deserialize(&mut from).expect("numbers");
        let text = ArenaBox::<str>::seed(arena).deserialize(&mut from).expect("text");
        type Map = std::collections::BTreeMap<String, Vec<u8>>;
        let map = ArenaBox::<Map>::seed(arena).deserialize(&mut from).expect("a map");
        assert_eq!((&*numbers, &*text, &map["x"]), (&[1, 2, 3][..], "text\n", &vec![7]));
        let before = arena.used();
        ArenaBox::<[u64]>::seed(arena).deserialize(&mut from).expect_err("not a number");
        assert_eq!(arena.used(), before);
        let mut from = serde_json::Deserializer::from_str("7");
        let error = ArenaBox::<str>::seed(arena).deserialize(&mut from).expect_err("no text");
        assert!(error.to_string().contains("expected a string"), "{error}");
    });
}
