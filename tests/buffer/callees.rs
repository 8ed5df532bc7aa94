// SPDX-License-Identifier: Apache-2.0
//! Tests code of others that a call hands something to and gets something back from: readers,
//! writers, owners, ranges, iterators, `Display`s and `Buf`s. Nothing may be lost to one that is
//! correct but unusual, and one that lies must not make bytes count that are not there.

use crate::support::panic_of;
use aegis_memory::buffer::{self, Buffer, BufferChain, BufferMut};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::ops::{Bound, RangeBounds};
use std::ptr::addr_of_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

fn writers() -> [BufferMut; 3] {
    let mut writers = [4, 0, 8].map(BufferMut::with_capacity);
    writers[2].extend_from_slice(b"kept");
    writers
}

fn texts(writers: &[BufferMut; 3]) -> [&[u8]; 3] {
    [&writers[0], &writers[1], &writers[2]]
}

/// A vectored reader that is made of a function of the table.
struct Vectored<F>(F);

impl<F: FnMut(&mut [IoSliceMut<'_>]) -> io::Result<usize>> Read for Vectored<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (self.0)(&mut [IoSliceMut::new(into)])
    }

    fn read_vectored(&mut self, table: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (self.0)(table)
    }
}

#[test]
fn reader_that_advances_its_table_loses_nothing() {
    for step in 1..9 {
        let mut input = &b"headbody"[..];
        let mut reader = Vectored(|mut table: &mut [IoSliceMut<'_>]| {
            let mut total = 0;
            loop {
                IoSliceMut::advance_slices(&mut table, 0);
                if table.is_empty() || input.is_empty() {
                    return Ok(total);
                }
                let room = table[0].len().min(step);
                let count = input.read(&mut table[0][..room])?;
                IoSliceMut::advance_slices(&mut table, count);
                total += count;
            }
        });
        let mut writers = writers();
        assert_eq!(buffer::read_vectored(&mut reader, &mut writers).unwrap(), 8, "{step}");
        assert_eq!(texts(&writers), [&b"head"[..], b"", b"keptbody"], "{step}");
        assert_eq!(buffer::read_vectored(&mut reader, &mut writers).unwrap(), 0, "{step}");
    }
}

#[test]
fn reader_that_leaves_a_table_of_nothing_has_read_what_it_says() {
    let mut reader = Vectored(|table: &mut [IoSliceMut<'_>]| {
        table[0][..2].copy_from_slice(b"ab");
        table.iter_mut().for_each(|entry| *entry = IoSliceMut::new(&mut []));
        Ok(2)
    });
    let mut writers = writers();
    assert_eq!(buffer::read_vectored(&mut reader, &mut writers).unwrap(), 2);
    assert_eq!(texts(&writers), [&b"ab"[..], b"", b"kept"]);
}

#[test]
fn reader_that_claims_more_than_the_room_appends_nothing() {
    static mut LONGER: [u8; 100] = [0; 100];
    for claim in [9, usize::MAX] {
        let mut reader = Vectored(|table: &mut [IoSliceMut<'_>]| {
            table[0].fill(b'!');
            // The table must not make the claim true by being longer than before.
            // SAFETY: there is one thread, and it uses one table at a time.
            table[1] = IoSliceMut::new(unsafe { &mut *addr_of_mut!(LONGER) });
            Ok(claim)
        });
        let mut writers = writers();
        let message = panic_of(|| buffer::read_vectored(&mut reader, &mut writers));
        assert!(message.ends_with("out of bounds of a room of 8 bytes"), "{message}");
        assert_eq!(texts(&writers), [&b""[..], b"", b"kept"]);
        let mut single = Vectored(|_: &mut [IoSliceMut<'_>]| Ok(claim));
        let message = panic_of(|| writers[2].read_from(&mut single));
        assert!(message.ends_with("out of bounds of a room of 4 bytes"), "{message}");
        assert_eq!(writers[2], "kept");
    }
}

#[test]
fn reader_that_fails_after_it_has_read_keeps_what_there_was() {
    let mut reader = Vectored(|table: &mut [IoSliceMut<'_>]| {
        table[0].fill(b'!');
        Err(io::ErrorKind::TimedOut.into())
    });
    let mut writers = writers();
    buffer::read_vectored(&mut reader, &mut writers).unwrap_err();
    panic_of(|| {
        buffer::read_vectored(&mut Vectored(|_: &mut [IoSliceMut<'_>]| panic!("no")), &mut writers)
    });
    assert_eq!(texts(&writers), [&b""[..], b"", b"kept"]);
}

/// A writer that is made of a function of the table.
struct Sink<F>(F);

impl<F: FnMut(&[IoSlice<'_>]) -> usize> Write for Sink<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok((self.0)(&[IoSlice::new(bytes)]))
    }

    fn write_vectored(&mut self, table: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok((self.0)(table))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn writer_that_claims_more_than_it_was_given_leaves_the_chain_whole() {
    let parts: BufferChain = (0..100).map(|_| Buffer::from("ab")).collect();
    for excess in [1, 10, usize::MAX / 2] {
        let mut chain = parts.clone();
        let mut calls = 0;
        let mut sink = Sink(|table: &[IoSlice<'_>]| {
            calls += 1;
            let given: usize = table.iter().map(|part| part.len()).sum();
            assert!(given < 200, "the test wants a chain of more than one table");
            if calls == 1 {
                3
            } else {
                given + excess
            }
        });
        let message = panic_of(|| chain.write_vectored_to(&mut sink));
        assert!(message.contains("a writer's claim of"), "{message}");
        assert_eq!((chain.len(), chain == b"ab".repeat(100)[3..]), (197, true), "{excess}");
    }
}

#[test]
fn writer_that_advances_a_table_of_its_own_gets_all() {
    let mut chain: BufferChain = (0..100).map(|_| Buffer::from("abc")).collect();
    let mut written = Vec::new();
    let mut sink = Sink(|table: &[IoSlice<'_>]| {
        let mut own = table.to_vec();
        let mut rest = &mut own[..];
        IoSlice::advance_slices(&mut rest, 0);
        let count = rest[0].len().min(2);
        written.extend_from_slice(&rest[0][..count]);
        IoSlice::advance_slices(&mut rest, count);
        count
    });
    chain.write_vectored_to(&mut sink).unwrap();
    assert_eq!((chain.len(), written), (0, b"abc".repeat(100)));
}

#[test]
fn owner_is_asked_for_its_bytes_once() {
    struct Changing(AtomicUsize, [u8; 4]);
    impl AsRef<[u8]> for Changing {
        fn as_ref(&self) -> &[u8] {
            &self.1[self.0.fetch_add(1, Ordering::Relaxed)..]
        }
    }
    let buffer = Buffer::from_owner(Changing(AtomicUsize::new(1), *b"0123"));
    assert_eq!(
        (&*buffer, &*buffer.clone(), &*buffer.slice(1..)),
        (&b"123"[..], &b"123"[..], &b"23"[..])
    );
}

#[test]
fn range_that_changes_is_inside_or_refused() {
    /// Each call that asks for a bound gets the next of these.
    struct Changing(AtomicUsize, [usize; 4]);
    impl Changing {
        fn next(&self) -> Bound<&usize> {
            Bound::Included(&self.1[self.0.fetch_add(1, Ordering::Relaxed).min(3)])
        }
    }
    impl RangeBounds<usize> for Changing {
        fn start_bound(&self) -> Bound<&usize> {
            self.next()
        }
        fn end_bound(&self) -> Bound<&usize> {
            self.next()
        }
    }
    let buffer = Buffer::from("01234567");
    let changing = |values| Changing(AtomicUsize::new(0), values);
    assert_eq!(buffer.slice(changing([1, 2, 100, 200])), "12");
    panic_of(|| buffer.slice(changing([5, 2, 0, 1])));
    panic_of(|| buffer.slice(changing([0, 8, 0, 1])));
    assert!(buffer.try_slice(changing([9, 0, 0, 1])).is_none());
}

/// An iterator whose hint is what the test has set.
struct Hinting(std::ops::Range<u8>, (usize, Option<usize>));

impl Iterator for Hinting {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.1
    }
}

impl ExactSizeIterator for Hinting {}

#[test]
fn iterator_with_a_wrong_hint_gives_its_items() {
    let arena = aegis_memory::arena::Arena::new(64);
    let expected: Vec<u8> = (0..200).collect();
    for hint in [(0, None), (0, Some(0)), (3, Some(3)), (1000, Some(1000)), (1000, Some(0))] {
        assert_eq!(Buffer::from_iter(Hinting(0..200, hint)), expected, "{hint:?}");
        assert_eq!(arena.alloc_slice_from_iter(Hinting(0..200, hint)), expected, "{hint:?}");
        let chain: BufferChain =
            Hinting(0..200, hint).map(|byte| Buffer::from(vec![byte])).collect();
        assert_eq!(chain, expected[..], "{hint:?}");
    }
    let impossible = || Hinting(0..200, (usize::MAX, None));
    assert!(arena.try_alloc_slice_from_iter(impossible()).is_err());
    panic_of(|| Buffer::from_iter(impossible()));
}

#[test]
fn display_that_ignores_a_refusal_gives_no_text_with_a_gap() {
    struct Careless;
    impl std::fmt::Display for Careless {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            for text in ["head", &"x".repeat(5000), "tail"] {
                // An error that the writer has reported must stay an error, although this code
                // ignores it.
                let _ = f.write_str(text);
            }
            Ok(())
        }
    }
    let mut memory = [std::mem::MaybeUninit::uninit(); 1024];
    let arena = aegis_memory::arena::FixedArena::new(&mut memory);
    assert!(arena.try_alloc_fmt(format_args!("{Careless}")).is_err());
    assert_eq!(arena.alloc_fmt(format_args!("{}", 12)), "12");
}

#[cfg(feature = "bytes")]
mod bytes {
    use super::*;
    use ::bytes::{Buf, BufMut};

    /// A source that says and shows what the test has set, and advances or does not.
    struct Telling {
        says: usize,
        shows: &'static [u8],
        advances: bool,
    }

    impl Buf for Telling {
        fn remaining(&self) -> usize {
            self.says
        }

        fn chunk(&self) -> &[u8] {
            self.shows
        }

        fn advance(&mut self, count: usize) {
            if self.advances {
                self.says = self.says.saturating_sub(count);
                self.shows = &self.shows[count..];
            }
        }
    }

    fn put(says: usize, shows: &'static [u8], advances: bool) -> (String, Vec<u8>) {
        let mut writer = BufferMut::with_capacity(8);
        writer.extend_from_slice(b"kept");
        let message = panic_of(|| writer.put(Telling { says, shows, advances }));
        (message, writer.to_vec())
    }

    #[test]
    fn source_that_shows_less_than_it_says_is_no_endless_loop() {
        let (message, text) = put(4, b"ab", true);
        assert!(message.contains("than it says"), "{message}");
        assert_eq!(text, b"keptab", "what was there");
    }

    #[test]
    fn source_that_says_more_than_the_room_writes_nothing() {
        let (message, text) = put(5, b"abcde", true);
        assert_eq!(message, "a put of 5 is out of bounds of a room of 4 bytes");
        assert_eq!(text, b"kept");
    }

    #[test]
    fn source_that_never_advances_stops_at_the_end_of_the_room() {
        let (message, text) = put(4, b"abc", false);
        assert!(message.contains("more bytes than it said"), "{message}");
        assert_eq!(text, b"keptabca");
    }

    #[test]
    fn source_that_shows_more_than_it_says_fills_no_more_than_the_room() {
        let mut writer = BufferMut::with_capacity(4);
        writer.put(Telling { says: 1, shows: b"abcdef", advances: true });
        assert_eq!(writer, "abcd");
    }

    #[test]
    fn source_of_many_chunks_is_appended_whole() {
        let chain: BufferChain = ["a", "bc", "def"].map(Buffer::from).into();
        let mut writer = BufferMut::with_capacity(8);
        writer.put(Buf::chain(chain.clone(), &b"gh"[..]));
        assert_eq!((&*writer, writer.remaining_mut()), (&b"abcdefgh"[..], 0));
        writer.put(&b""[..]);
        assert_eq!(chain.clone().copy_to_bytes(5), "abcde");
    }
}
