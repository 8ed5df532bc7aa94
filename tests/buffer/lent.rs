// SPDX-License-Identifier: Apache-2.0
//! Tests what a buffer says of its memory that was a `bytes::Bytes` meanwhile: as much as before it
//! became one, whichever part of the `Bytes` it was made of, and from whichever thread. A `Bytes`
//! that is not ours says its own bytes.

use ::bytes::{Buf, Bytes};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferChain, BufferMut, BufferPool};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread;

/// A page of which the view has the bytes `10..10 + length`.
fn page_of(length: usize) -> Buffer {
    let mut page = BufferMut::with_capacity(length + 100);
    page.resize(length + 20, 7);
    page.freeze().slice(10..10 + length)
}

/// The buffer says of its memory what `original` says.
fn check(view: &Buffer, original: &Buffer) {
    assert_eq!(view.retained_bytes(), original.retained_bytes());
    assert!(view.same_memory(original) && original.same_memory(view));
}

#[test]
fn buffer_that_was_bytes_says_what_it_said_before() {
    for length in (0..=20).map(|shift| 1 << shift).chain([2, 63, 65, 1000, 4097, 70_000]) {
        let (original, other) = (page_of(length), page_of(length));
        let (bytes, others) = (Bytes::from(original.clone()), Bytes::from(other.clone()));
        let again = Buffer::from(bytes.clone());
        check(&again, &original);
        assert!(again == original && !again.same_memory(&other));
        check(&Buffer::from(others), &other);
        // Disjoint parts of the `Bytes`, and one byte at each end.
        let half = length / 2;
        for part in [bytes.slice(..half), bytes.slice(half..), bytes.slice(length - 1..)] {
            let view = Buffer::from(part);
            if view.is_empty() {
                assert_eq!(view.retained_bytes(), 0);
                continue;
            }
            check(&view, &original);
            check(&view.slice(view.len() - 1..), &original);
            assert!(view.same_memory(&again) && !view.same_memory(&other));
        }
        // Back and forth, and from a part of a part.
        let view = Buffer::from(Bytes::from(Buffer::from(bytes.slice(half..)).slice(..1)));
        check(&view, &original);
        drop((original, again, bytes));
        assert_eq!(view.retained_bytes(), view.slice(..1).retained_bytes());
        assert!(view.retained_bytes() >= length + 100);
    }
}

#[test]
fn each_kind_of_memory_is_known_again() {
    let budget = MemoryBudget::new("arena", MemoryBudget::UNLIMITED);
    let arena = aegis_memory::arena::Arena::builder().budget(&budget).build().unwrap();
    arena.alloc(10_000);
    let in_arena = Buffer::from_arena(arena, |arena| arena.alloc(50));
    let mut page = BufferPool::new(4096, 1).get(4096).unwrap();
    page.extend_from_slice(b"page");
    let said = Buffer::from_owner_sized([7_u8; 10], 1 << 20);
    for original in [in_arena, page.freeze(), said, Buffer::from(vec![7; 300])] {
        let bytes = Bytes::from(original.clone());
        let mut view = Buffer::from(bytes.slice(2..4));
        drop(bytes);
        check(&view, &original);
        drop(original);
        view.compact();
        assert!(view.retained_bytes() < 100, "a copy of the two bytes");
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn what_buf_returns_is_known_again() {
    let original = page_of(1000);
    let mut buf = original.clone();
    check(&Buffer::from(buf.copy_to_bytes(10)), &original);
    let mut chain = BufferChain::from([original.slice(..5), original.slice(5..)]);
    check(&Buffer::from(chain.copy_to_bytes(3)), &original);
    let across = Buffer::from(chain.copy_to_bytes(7));
    assert!(!across.same_memory(&original), "bytes of two buffers are copied");
}

#[test]
fn bytes_of_another_maker_say_their_own() {
    let bytes = Bytes::from(vec![7; 100]);
    let (low, high) = (Buffer::from(bytes.slice(..10)), Buffer::from(bytes.slice(50..)));
    assert_eq!((low.retained_bytes(), high.retained_bytes()), (10, 50));
    assert!(!low.same_memory(&high) && low.same_memory(&Buffer::from(bytes)));
    let fixed = Buffer::from(Bytes::from_static(b"static"));
    assert_eq!(fixed.retained_bytes(), 6);
    assert_eq!(Buffer::from(Bytes::from(Buffer::from("static"))).len(), 6);
}

#[test]
fn memory_that_was_lent_before_is_not_known_again() {
    // The same addresses are lent, given back, and then belong to a `Bytes` of another maker.
    struct Place(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Place {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let memory = Arc::new(vec![7; 100]);
    let lent = Bytes::from(Buffer::from_owner_sized(Place(memory.clone()), 5000));
    let second = Bytes::from(Buffer::from_owner_sized(Place(memory.clone()), 5000));
    assert_eq!(Buffer::from(lent.slice(50..)).retained_bytes(), 5000);
    drop(lent);
    assert_eq!(Buffer::from(second.slice(50..)).retained_bytes(), 5000);
    drop(second);
    let foreign = Bytes::from_owner(Place(memory.clone()));
    assert_eq!(Buffer::from(foreign.slice(50..)).retained_bytes(), 50);
    assert_eq!(Arc::strong_count(&memory), 2);
}

#[test]
fn empty_buffer_becomes_bytes_that_keep_nothing() {
    let pool = BufferPool::new(64, 1);
    let mut page = pool.get(64).unwrap();
    page.extend_from_slice(b"frame");
    let frame = page.freeze();
    let rest = Bytes::from(frame.slice(2..2));
    let mut whole = frame;
    assert_eq!(whole.copy_to_bytes(5), "frame");
    assert!(rest.is_empty() && whole.is_empty() && pool.get(64).is_ok());
}

/// Threads turn parts of pages into `Bytes` and back, and pass `Bytes` to one another. Each page
/// says a number of its own, so a wrong entry of the table shows.
#[test]
fn threads_that_lend_and_return_always_find_their_own_memory() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 3000;
    struct Numbered {
        bytes: [u8; 64],
    }
    impl AsRef<[u8]> for Numbered {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    // Shared pages give the same entries to all threads; those of a round come and go.
    let shared: Vec<_> = (0..4)
        .map(|n| Buffer::from_owner_sized(Numbered { bytes: [n as u8; 64] }, 10_000 + n))
        .collect();
    let shared = &shared;
    thread::scope(|scope| {
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for _ in 0..THREADS {
            let (sender, receiver) = channel::<(Bytes, usize)>();
            senders.push(sender);
            receivers.push(receiver);
        }
        for (t, receiver) in receivers.into_iter().enumerate() {
            let next = senders[(t + 1) % THREADS].clone();
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let page = &shared[round % shared.len()];
                    let bytes = Bytes::from(page.slice(round % 8..));
                    check(&Buffer::from(bytes.slice(7..)), page);
                    let number = 1000 * t + round % 1000 + 100;
                    let own = Buffer::from_owner_sized(Numbered { bytes: [t as u8; 64] }, number);
                    let bytes = Bytes::from(own.slice(round % 32..));
                    // The receiver may have ended.
                    let _ = next.send((bytes.slice(8..), number));
                    check(&Buffer::from(bytes.slice(20..)), &own);
                    drop(own);
                    while let Ok((bytes, number)) = receiver.try_recv() {
                        assert_eq!(Buffer::from(bytes.slice(4..)).retained_bytes(), number);
                    }
                }
            });
        }
    });
}

/// Two ranges of bytes have the same list of the table, and their entries are written again and
/// again for one or the other. A range that is read half before and half after such a change would
/// have a number of the other one.
#[test]
fn entry_that_changes_while_it_is_read_is_not_used() {
    const ROUNDS: usize = 100_000;
    #[repr(align(64))]
    struct Line([u8; 64]);
    static LINE: Line = Line([7; 64]);
    struct Half(usize);
    impl AsRef<[u8]> for Half {
        fn as_ref(&self) -> &[u8] {
            &LINE.0[32 * self.0..][..32]
        }
    }
    thread::scope(|scope| {
        for t in 0..4 {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let half = (round + t) % 2;
                    let number = 1000 * (half + 1) + round % 100;
                    let bytes = Bytes::from(Buffer::from_owner_sized(Half(half), number));
                    // The entry of another thread with the same bytes may be found.
                    let retained = Buffer::from(bytes.slice(5..9)).retained_bytes();
                    assert_eq!(retained / 1000, half + 1, "{retained}");
                }
            });
        }
    });
}
