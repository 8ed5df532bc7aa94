// SPDX-License-Identifier: Apache-2.0
//! Tests views: where their bytes come from, how they are narrowed, split and joined, and their
//! limits. A view must show exactly its bytes, and an owner must be dropped exactly once, with its
//! last handle.

use crate::support::runner::command_for;
use crate::support::{panic_of, TestSource};
use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferMut};
use aegis_memory::{ffi, AllocError};
use std::mem::size_of;
use std::ops::Bound;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// An owner of bytes that counts its drops and can panic.
struct Counted {
    bytes: Vec<u8>,
    drops: Arc<AtomicUsize>,
    panics_in_as_ref: bool,
    panics_in_drop: bool,
}

impl Counted {
    fn new(bytes: &[u8]) -> (Self, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        let counted = Self {
            bytes: bytes.to_vec(),
            drops: drops.clone(),
            panics_in_as_ref: false,
            panics_in_drop: false,
        };
        (counted, drops)
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        assert!(!self.panics_in_as_ref, "as_ref panics");
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
        assert!(!self.panics_in_drop, "drop panics");
    }
}

/// One view of each kind, all with the same bytes.
fn one_of_each(bytes: &'static [u8]) -> Vec<(&'static str, Buffer)> {
    let mut writer = BufferMut::with_capacity(bytes.len() + 10);
    writer.extend_from_slice(bytes);
    vec![
        ("static", Buffer::from_static(bytes)),
        ("copy", Buffer::copy_from_slice(bytes)),
        ("vec", Buffer::from(bytes.to_vec())),
        ("box", Buffer::from(bytes.to_vec().into_boxed_slice())),
        ("iterator", bytes.iter().copied().collect()),
        ("owner", Buffer::from_owner(Counted::new(bytes).0)),
        ("arena", Buffer::from_arena(Arena::new(256), |arena| arena.alloc_slice_copy(bytes))),
        ("writer", writer.into()),
    ]
}

#[test]
fn handle_is_three_words_and_writer_five() {
    assert_eq!(size_of::<Buffer>(), 3 * size_of::<usize>());
    assert_eq!(size_of::<BufferMut>(), 5 * size_of::<usize>());
}

#[test]
fn every_kind_shows_its_bytes_and_its_views_outlive_it() {
    for (kind, buffer) in one_of_each(b"0123456789") {
        assert_eq!(buffer, b"0123456789", "{kind}");
        let data = buffer.as_ptr();
        let (clone, mut rest) = (buffer.clone(), buffer.slice(2..));
        drop(buffer);
        assert_eq!(clone.as_ptr(), data, "{kind}: a clone is no copy");
        assert_eq!(rest.as_ptr() as usize, data as usize + 2, "{kind}: a part is no copy");
        drop(clone);
        let head = rest.split_to(3);
        assert!(head == b"234" && rest == b"56789", "{kind}");
        let tail = rest.split_off(4);
        assert!(rest == b"5678" && tail == b"9", "{kind}");
    }
}

#[test]
fn vec_string_and_box_are_not_copied_and_empty_ones_need_nothing() {
    let vec = Vec::from(*b"vector");
    let data = vec.as_ptr();
    assert_eq!(Buffer::from(vec).as_ptr(), data);
    let text = String::from("string");
    let data = text.as_ptr();
    assert_eq!(Buffer::from(text).as_ptr(), data);
    for empty in [Buffer::from(Vec::new()), Buffer::from(String::new()), Buffer::default()] {
        assert!(empty.is_empty() && !empty.is_unique());
    }
    let mut vec = Vec::with_capacity(100);
    vec.push(b'1');
    assert_eq!(Buffer::from(vec).try_into_mut().unwrap().capacity(), 100);
}

#[test]
fn parts_of_a_split_at_either_end_join_again() {
    for at in [0, 9] {
        let mut front = Buffer::from(b"frame one".to_vec());
        let back = front.split_off(at);
        front.try_unsplit(back).unwrap();
        assert!(front == "frame one" && front.is_unique());
        let mut back = front;
        let mut front = back.split_to(at);
        front.try_unsplit(back).unwrap();
        assert!(front == "frame one" && front.is_unique());
    }
}

#[test]
fn from_converts_static_bytes_without_an_owner() {
    const MAGIC: Buffer = Buffer::from_static(b"magic");
    static EMPTY: Buffer = Buffer::new();
    assert!(MAGIC == "magic" && EMPTY.is_empty());
    assert_eq!(Buffer::from("text"), "text");
    assert_eq!(Buffer::from(b"array"), "array");
    assert_eq!(Buffer::from(&b"slice"[..]), "slice");
    assert!(!Buffer::from("text").is_unique());
}

#[test]
fn copy_is_charged_to_its_budget_until_the_last_view_is_gone() {
    let budget = MemoryBudget::new("copies", 4096);
    let copy = Buffer::copy_from_slice_in(&[7; 1000], &budget);
    assert!((1000..=1200).contains(&budget.used()), "{}", budget.used());
    let part = copy.slice(..1);
    drop(copy);
    assert!(budget.used() >= 1000);
    drop(part);
    assert_eq!(budget.used(), 0);
    let error = Buffer::try_copy_from_slice_in(&[7; 5000], &budget).unwrap_err();
    assert!(error.to_string().contains("budget 'copies' refused"), "{error}");
    assert!(panic_of(|| Buffer::copy_from_slice_in(&[7; 5000], &budget)).contains("copies"));
    assert_eq!(budget.used(), 0);
}

#[test]
fn owner_is_dropped_once_with_the_last_handle() {
    let (owner, drops) = Counted::new(b"owned");
    let buffer = Buffer::from_owner(owner);
    let views: Vec<_> = (0..5).map(|i| buffer.slice(i..)).collect();
    drop(buffer);
    assert_eq!((drops.load(SeqCst), &*views[4]), (0, &b"d"[..]));
    drop(views);
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn owner_with_its_bytes_inside_is_asked_where_it_stays() {
    let array = Buffer::from_owner([1_u8, 2, 3]);
    let other = array.clone();
    let moved = Box::new(array);
    assert!(*moved == [1, 2, 3] && other == [1, 2, 3]);
    assert!(Buffer::from_owner([]).is_empty());
}

#[test]
fn owner_whose_as_ref_panics_is_dropped() {
    let (mut owner, drops) = Counted::new(b"never seen");
    owner.panics_in_as_ref = true;
    assert_eq!(panic_of(|| Buffer::from_owner(owner)), "as_ref panics");
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn panic_in_the_owners_drop_goes_on_in_the_drop_of_the_last_handle() {
    let owner = || {
        let (mut owner, drops) = Counted::new(b"panics");
        owner.panics_in_drop = true;
        (Buffer::from_owner(owner), drops)
    };
    let (buffer, drops) = owner();
    drop(buffer.clone());
    assert_eq!(panic_of(|| drop(buffer)), "drop panics");
    assert_eq!(drops.load(SeqCst), 1);

    // Here C releases the last handle. The panic must not lose the copy.
    let (buffer, drops) = owner();
    assert_eq!(buffer.into_mut(), b"panics");
    assert_eq!(drops.load(SeqCst), 1);
    let (buffer, drops) = owner();
    let mut part = buffer.slice(..1);
    drop(buffer);
    assert_eq!(panic_of(|| part.compact()), "drop panics");
    assert_eq!((drops.load(SeqCst), part), (1, Buffer::from("p")));
}

#[test]
fn arena_is_dropped_with_the_last_handle_and_its_values_on_that_thread() {
    struct Value(Arc<AtomicUsize>);
    impl Drop for Value {
        fn drop(&mut self) {
            assert_eq!(std::thread::current().name(), Some("last"));
            self.0.fetch_add(1, SeqCst);
        }
    }
    let (source, log) = TestSource::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let arena = Arena::builder().source(source).capacity(512).build().unwrap();
    arena.alloc_static(Value(drops.clone()));
    let buffer = Buffer::from_arena(arena, |arena| {
        (0..100).for_each(|i| _ = arena.alloc(i));
        arena.alloc_str("in the arena").as_bytes()
    });
    let part = buffer.slice(7..);
    assert_eq!((part.as_ref(), drops.load(SeqCst)), (&b"arena"[..], 0));
    drop(buffer);
    let last = std::thread::Builder::new().name("last".into());
    last.spawn(move || drop(part)).unwrap().join().unwrap();
    assert_eq!(drops.load(SeqCst), 1);
    log.assert_finished();
}

#[test]
fn from_arena_that_fails_or_panics_drops_the_arena() {
    let (source, log) = TestSource::new();
    let arena = Arena::builder().source(source).build().unwrap();
    let message = panic_of(|| Buffer::from_arena(arena, |_| panic!("in the middle")));
    assert_eq!(message, "in the middle");
    log.assert_finished();

    let budget = MemoryBudget::new("small", 1024);
    let arena = Arena::builder().budget(&budget).build().unwrap();
    let result = Buffer::try_from_arena(arena, |arena| {
        while arena.try_alloc(8).is_ok() {}
        b"no room is left for the header"
    });
    assert!(matches!(result, Err(AllocError::LimitExceeded { .. })), "{result:?}");
    assert_eq!(budget.used(), 0);
}

#[test]
fn from_arena_takes_static_and_empty_bytes() {
    assert_eq!(Buffer::from_arena(Arena::new(64), |_| b"static"), "static");
    assert_eq!(Buffer::from_arena(Arena::default(), |_| &[]), "");
}

#[test]
fn slice_takes_every_kind_of_range() {
    let buffer = Buffer::from("0123456789");
    assert_eq!(buffer.slice(..), "0123456789");
    assert_eq!(buffer.slice(3..), "3456789");
    assert_eq!(buffer.slice(..3), "012");
    assert_eq!(buffer.slice(3..=5), "345");
    assert_eq!(buffer.slice(..=9), "0123456789");
    assert_eq!(buffer.slice((Bound::Excluded(3), Bound::Included(4))), "4");
    assert_eq!(buffer.slice(10..), "");
    assert_eq!(buffer.try_slice(5..5).unwrap(), "");
}

#[test]
#[allow(clippy::reversed_empty_ranges)]
fn slice_outside_names_range_and_length() {
    let buffer = Buffer::from("12345");
    let refused = |message: String, range: &str| {
        assert_eq!(message, format!("range {range} is out of bounds of a buffer of 5 bytes"));
    };
    refused(panic_of(|| buffer.slice(2..6)), "2..6");
    refused(panic_of(|| buffer.slice(6..)), "6..");
    let backward = panic_of(|| buffer.slice(4..2));
    assert_eq!(backward, "range 4..2 ends before it starts, in a buffer of 5 bytes");
    refused(panic_of(|| buffer.slice(..=5)), "..=5");
    let max = usize::MAX;
    refused(panic_of(|| buffer.slice(..=max)), &format!("..={max}"));
    let after_max = (Bound::Excluded(max), Bound::Unbounded);
    refused(panic_of(|| buffer.slice(after_max)), &format!("{max}<.."));
    assert!(buffer.try_slice(2..6).is_none());
    assert!(buffer.try_slice(4..2).is_none());
    assert!(buffer.try_slice(..=max).is_none());
    assert!(buffer.try_slice(after_max).is_none());
}

#[test]
fn slice_ref_finds_what_is_inside() {
    let buffer = Buffer::from(b"key=value".to_vec()).slice(1..8);
    let word = &buffer[3..];
    let part = buffer.slice_ref(word);
    assert_eq!((part.as_ptr(), &*part), (word.as_ptr(), &b"valu"[..]));
    assert_eq!(buffer.slice_ref(&buffer), buffer);
    assert_eq!(buffer.slice_ref(b""), "");
}

#[test]
fn slice_ref_refuses_what_is_outside() {
    let whole = Buffer::from(b"key=value".to_vec());
    let part = whole.slice(1..8);
    for outside in [&whole[..1], &whole[..], &whole[7..], &whole[8..], b"elsewhere"] {
        assert!(part.try_slice_ref(outside).is_none(), "{outside:?}");
    }
    let message = panic_of(|| part.slice_ref(&whole));
    assert!(message.starts_with("a slice of 9 bytes"), "{message}");
    assert!(message.contains("is not inside the buffer of 7 bytes"), "{message}");
}

#[test]
fn splits_and_advances_beyond_the_end_panic_and_change_nothing() {
    let mut buffer = Buffer::from("12345");
    let refused = |message: String, what: &str| {
        assert_eq!(message, format!("{what} 6 is out of bounds of a buffer of 5 bytes"));
    };
    refused(panic_of(|| buffer.split_to(6)), "a split at");
    refused(panic_of(|| buffer.split_off(6)), "a split at");
    refused(panic_of(|| buffer.advance(6)), "an advance by");
    assert_eq!(buffer, "12345");
    assert!(buffer.split_off(5).is_empty() && buffer.split_to(0).is_empty());
    assert_eq!(buffer.split_to(5), "12345");
    assert!(buffer.is_empty());
}

#[test]
fn truncate_advance_and_clear_narrow() {
    let mut buffer = Buffer::from(b"0123456789".to_vec());
    buffer.truncate(20);
    assert_eq!(buffer.len(), 10);
    buffer.truncate(8);
    buffer.advance(3);
    assert_eq!(buffer, "34567");
    let (owner, drops) = Counted::new(b"owned");
    let mut buffer = Buffer::from_owner(owner);
    buffer.truncate(1);
    assert_eq!(drops.load(SeqCst), 0, "the handle is kept");
    buffer.truncate(0);
    assert_eq!((drops.load(SeqCst), buffer.is_empty()), (1, true));
}

#[test]
fn unsplit_joins_neighbours_of_one_memory_only() {
    let mut front = Buffer::from(b"0123456789".to_vec());
    let mut middle = front.split_off(3);
    let back = middle.split_off(3);
    let back = front.try_unsplit(back).unwrap_err();
    assert_eq!((&*front, &*back), (&b"012"[..], &b"6789"[..]));
    middle.try_unsplit(back).unwrap();
    let front = middle.try_unsplit(front).unwrap_err();
    let mut front = front;
    front.try_unsplit(middle).unwrap();
    assert_eq!(front, "0123456789");
    assert!(front.is_unique(), "each join gives a handle up");
    front.try_unsplit(Buffer::new()).unwrap();
    front.try_unsplit(front.slice(4..4)).unwrap();
    assert!(front.is_unique() && front.len() == 10);
    let mut fixed = Buffer::from("static");
    let rest = fixed.split_off(3);
    assert!(fixed.try_unsplit(rest).is_err(), "the two might not be one object");
}

#[test]
fn unique_is_who_has_no_other_handle() {
    let mut buffer = Buffer::copy_from_slice(b"bytes");
    assert!(buffer.is_unique());
    let part = buffer.split_off(2);
    assert!(!buffer.is_unique() && !part.is_unique());
    drop(buffer);
    assert!(part.is_unique());
    assert!(!Buffer::from("lives for ever").is_unique());
}

#[test]
fn try_into_mut_gives_the_memory_back_to_its_only_handle() {
    for (kind, buffer) in one_of_each(b"bytes") {
        let writable = !["static", "owner", "arena"].contains(&kind);
        let (data, other) = (buffer.as_ptr(), buffer.clone());
        let buffer = buffer.try_into_mut().expect_err("there is another handle");
        drop(other);
        match buffer.slice(1..).try_into_mut() {
            Ok(_) => panic!("{kind}: the slice is the second handle"),
            Err(part) => assert_eq!(part, "ytes"),
        }
        match buffer.try_into_mut() {
            Ok(mut writer) if writable => {
                assert_eq!(writer.as_ptr(), data, "{kind}");
                writer[0] = b'B';
                assert!(writer.capacity() >= 5 && writer == "Bytes", "{kind}");
            }
            Err(buffer) if !writable => assert_eq!(buffer, "bytes"),
            other => panic!("{kind}: {other:?}"),
        }
    }
}

#[test]
fn into_mut_copies_what_is_shared_or_not_writable() {
    for (kind, buffer) in one_of_each(b"bytes") {
        let other = buffer.clone();
        let mut writer = buffer.into_mut();
        writer[0] = b'B';
        assert!(writer == "Bytes" && other == "bytes", "{kind}");
        let data = other.as_ptr();
        let moved = !["static", "owner", "arena"].contains(&kind);
        assert_eq!(other.into_mut().as_ptr() == data, moved, "{kind}");
    }
    assert_eq!(Buffer::new().into_mut().len(), 0);
}

#[test]
fn compact_copies_a_small_part_and_frees_the_large_piece() {
    let (owner, drops) = Counted::new(&[7; 1000]);
    let mut part = Buffer::from_owner(owner).slice(10..20);
    part.compact();
    assert_eq!((part, drops.load(SeqCst)), (Buffer::from(&[7; 10]), 1));
    let mut half = Buffer::from(vec![7; 1000]).slice(500..);
    let data = half.as_ptr();
    half.compact();
    assert_eq!(half.as_ptr(), data, "half of the memory or more stays");
    let mut fixed = Buffer::from("static").slice(..1);
    let data = fixed.as_ptr();
    fixed.try_compact().unwrap();
    assert_eq!(fixed.as_ptr(), data);
}

#[test]
fn raw_buffer_comes_back_and_c_can_use_it_meanwhile() {
    let buffer = Buffer::from(b"shared with C".to_vec());
    let mut part =
        ffi::aegis_buffer { data: std::ptr::null(), length: 0, owner: std::ptr::null_mut() };
    // SAFETY: a live buffer, and room for the other.
    assert_eq!(unsafe { ffi::aegis_buffer_slice(buffer.as_raw(), 7, 13, &mut part) }, 0);
    assert!(!buffer.is_unique());
    // SAFETY: `part` is a live buffer of C's, and the borrow ends before it is released.
    assert_eq!(unsafe { Buffer::borrow_raw(&part) }, "with C");
    // SAFETY: the handle is given over.
    let part = unsafe { Buffer::from_raw(part) };
    let mut raw = buffer.into_raw();
    assert!(part == "with C" && !part.is_unique());
    // SAFETY: the handle was just given away to us.
    assert_eq!(unsafe { ffi::aegis_buffer_release(&mut raw) }, 0);
    assert!(part.is_unique());
}

#[test]
fn count_that_overflows_ends_the_process() {
    const CHILD: &str = "AEGIS_TEST_OVERFLOW";
    if std::env::var_os(CHILD).is_some() {
        let buffer = Buffer::copy_from_slice(b"x");
        // SAFETY: this process ends before the count is of use again.
        unsafe { (*(*buffer.as_raw()).owner).references = usize::MAX / 2 + 1 };
        let result = catch_unwind(AssertUnwindSafe(|| buffer.clone()));
        println!("the process went on: {}", result.is_ok());
        std::process::exit(0);
    }
    let child = command_for(&std::env::current_exe().unwrap())
        .args(["--exact", "view::count_that_overflows_ends_the_process", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(!child.status.success(), "{child:?}");
    assert!(!String::from_utf8_lossy(&child.stdout).contains("went on"), "{child:?}");
}
