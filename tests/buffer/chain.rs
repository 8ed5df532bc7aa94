// SPDX-License-Identifier: Apache-2.0
//! Tests chains of buffers: their parts, advancing, reading, and vectored writes to writers that
//! take little, or fail. A chain must show its bytes in order, and a write must go on exactly where
//! the last one ended.

use crate::support::panic_of;
use aegis_memory::buffer::{Buffer, BufferChain};
use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

fn chain(parts: &[&'static str]) -> BufferChain {
    parts.iter().map(|&part| Buffer::from(part)).collect()
}

/// An owner of bytes whose drop panics.
#[derive(Default)]
struct Panics {
    _alive: Arc<()>,
}

impl AsRef<[u8]> for Panics {
    fn as_ref(&self) -> &[u8] {
        b"abc"
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("drop panics");
    }
}

#[test]
fn chain_is_one_value_without_its_empty_parts() {
    let mut all = chain(&["ab", "", "cde"]);
    all.push(Buffer::new());
    all.extend([Buffer::from("f"), Buffer::from("")]);
    assert_eq!((all.len(), all.is_empty(), all.iter().count()), (6, false, 3));
    let slice = &b"abcdef"[..];
    assert!(all == "abcdef" && all == *"abcdef" && all == *slice && all == slice);
    assert!(all != "abcdeX" && all != "abcde" && all != "abcdefg");
    assert_eq!(all, chain(&["abc", "def"]));
    assert_ne!(all, chain(&["abc", "deg"]));
    assert_ne!(all, chain(&["abc"]));
    assert_eq!(format!("{all:?}"), r#"[b"ab", b"cde", b"f"]"#);
    assert_eq!((&all).into_iter().map(|part| part.len()).sum::<usize>(), 6);
    assert_eq!(all.into_iter().last().unwrap(), "f");
    let empty = BufferChain::new();
    assert!(empty.is_empty() && empty == *b"".as_slice() && BufferChain::default() == empty);
    assert_eq!(BufferChain::from(Buffer::from("one")), *"one");
}

#[test]
fn chain_of_more_bytes_than_can_be_counted_is_refused() {
    let large = Buffer::from(vec![0_u8; 1 << 20]);
    // Such a length can come from C. The test never reads the bytes.
    let mut huge = large.clone().into_raw();
    huge.length = usize::MAX / 2 + 1;
    // SAFETY: never read, and shortened again before it is dropped.
    let huge = unsafe { Buffer::from_raw(huge) };
    let mut all = BufferChain::from(huge.clone());
    let message = panic_of(|| all.push(huge));
    assert_eq!(message, "a chain has at most usize::MAX bytes");
    assert_eq!(all.len(), usize::MAX / 2 + 1);
    drop(all);
    assert!(large.is_unique());
}

#[test]
fn advance_drops_parts_that_are_used_up() {
    let first = Buffer::from(b"abc".to_vec());
    let mut all = BufferChain::from([first.clone(), Buffer::from("de"), Buffer::from("fgh")]);
    all.advance(0);
    all.advance(2);
    assert!(all == "cdefgh" && !first.is_unique());
    all.advance(1);
    assert!(all == "defgh" && first.is_unique(), "its part is used up");
    let message = panic_of(|| all.advance(6));
    assert_eq!(message, "an advance by 6 is out of bounds of a chain of 5 bytes");
    all.advance(3);
    assert_eq!(all, "gh");
    all.advance(2);
    assert!(all.is_empty() && all.iter().next().is_none());
    all.advance(0);
}

#[test]
fn advance_over_an_owner_that_panics_goes_all_the_way() {
    let mut all = BufferChain::from([Buffer::from_owner(Panics::default()), Buffer::from("defg")]);
    assert_eq!(panic_of(|| all.advance(5)), "drop panics");
    assert!(all == "fg" && all.len() == 2, "the panic goes on when that is done");
}

#[test]
fn into_buffer_copies_only_what_is_apart() {
    let one = Buffer::from(b"one piece".to_vec());
    let data = one.as_ptr();
    assert_eq!(BufferChain::from(one.clone()).into_buffer().as_ptr(), data);
    let parts = BufferChain::from([one.slice(..3), one.slice(3..5), one.slice(5..)]);
    let whole = parts.into_buffer();
    assert_eq!((whole.as_ptr(), &*whole), (data, &b"one piece"[..]));
    let apart = BufferChain::from([one.slice(..3), one.slice(4..), Buffer::from("!")]);
    assert_eq!(apart.into_buffer(), "onepiece!");
    assert_eq!(BufferChain::new().into_buffer(), "");
}

#[test]
fn into_buffer_without_memory_gives_the_chain_back() {
    let bytes = Buffer::from(vec![7_u8; 100]);
    let mut huge = bytes.clone().into_raw();
    huge.length = isize::MAX as usize;
    // SAFETY: never read.
    let huge = unsafe { Buffer::from_raw(huge) };
    let all = BufferChain::from([bytes.slice(1..2), bytes.slice(2..3), huge]);
    let (mut all, error) = all.try_into_buffer().unwrap_err();
    assert!(matches!(error, aegis_memory::AllocError::InvalidLayout { .. }), "{error:?}");
    assert_eq!(all.len(), 2 + isize::MAX as usize);
    assert_eq!(*all.iter().next().unwrap(), [7, 7]);
    assert!(panic_of(|| all.clone().into_buffer()).starts_with("invalid layout"));
    all.advance(all.len());
    assert!(bytes.is_unique());
}

#[test]
fn reading_goes_across_parts() {
    let mut all = chain(&["one\ntw", "o\nthr", "ee"]);
    let mut lines = String::new();
    all.read_line(&mut lines).unwrap();
    all.read_line(&mut lines).unwrap();
    assert_eq!((lines.as_str(), all.len()), ("one\ntwo\n", 5));
    let mut four = [0; 4];
    assert_eq!(all.read(&mut four).unwrap(), 4);
    assert_eq!((&four, &all), (b"thre", &chain(&["e"])));
    assert_eq!(all.read(&mut four).unwrap(), 1);
    assert_eq!(all.read(&mut four).unwrap(), 0);
    assert!(all.fill_buf().unwrap().is_empty());
}

#[test]
fn io_slices_are_the_parts_or_as_many_as_there_is_room_for() {
    let all = chain(&["ab", "c", "def"]);
    let texts: Vec<_> = all.as_io_slices().iter().map(|slice| slice.to_vec()).collect();
    assert_eq!(texts, [&b"ab"[..], b"c", b"def"]);
    let mut table = [IoSlice::new(b"untouched"); 5];
    assert_eq!(all.fill_io_slices(&mut table), 3);
    assert_eq!((&*table[2], &*table[3]), (&b"def"[..], &b"untouched"[..]));
    assert_eq!(all.fill_io_slices(&mut table[..2]), 2);
    assert_eq!(all.fill_io_slices(&mut []), 0);
    assert!(BufferChain::new().as_io_slices().is_empty());
}

/// A writer that takes at most `step` bytes at each call. It fails or lies when its plan says so.
#[derive(Default)]
struct Slow {
    taken: Vec<u8>,
    step: usize,
    calls: usize,
    most_slices: usize,
    plan: Vec<Option<io::Result<usize>>>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        self.most_slices = self.most_slices.max(slices.len());
        if let Some(result) = self.plan.pop().flatten() {
            return result;
        }
        let before = self.taken.len();
        let bytes = slices.iter().flat_map(|slice| slice.iter());
        self.taken.extend(bytes.take(self.step));
        Ok(self.taken.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn write_goes_on_after_partial_writes() {
    for step in 1..10 {
        let mut writer = Slow { step, ..Slow::default() };
        let mut all = chain(&["ab", "cde", "f", "ghi"]);
        all.write_vectored_to(&mut writer).unwrap();
        assert!(all.is_empty() && writer.taken == b"abcdefghi", "{step}");
        assert_eq!(writer.calls, 9_usize.div_ceil(step), "{step}");
    }
    let mut writer = Slow::default();
    BufferChain::new().write_vectored_to(&mut writer).unwrap();
    assert_eq!(writer.calls, 0);
}

#[test]
fn write_of_more_parts_than_a_system_takes_goes_in_batches() {
    let bytes = Buffer::from((0..=255).cycle().take(3000).collect::<Vec<u8>>());
    let mut all: BufferChain = (0..3000).map(|i| bytes.slice(i..=i)).collect();
    let mut writer = Slow { step: usize::MAX, ..Slow::default() };
    all.write_vectored_to(&mut writer).unwrap();
    assert_eq!(bytes, writer.taken);
    assert!((2..=1024).contains(&writer.most_slices), "{}", writer.most_slices);
    assert!(writer.calls < 3000 / 10);
}

#[test]
fn write_is_tried_again_when_interrupted_and_stops_at_other_errors() {
    let interrupted = || Some(Err(ErrorKind::Interrupted.into()));
    let plan = vec![Some(Err(ErrorKind::WouldBlock.into())), None, interrupted(), interrupted()];
    let mut writer = Slow { step: 4, plan, ..Slow::default() };
    let mut all = chain(&["ab", "cde", "f"]);
    let error = all.write_vectored_to(&mut writer).unwrap_err();
    assert_eq!((error.kind(), &all), (ErrorKind::WouldBlock, &chain(&["ef"])));
    all.write_vectored_to(&mut writer).unwrap();
    assert_eq!(writer.taken, b"abcdef");

    let mut all = chain(&["ab", "cde"]);
    let error = all.write_vectored_to(&mut Slow { step: 0, ..Slow::default() }).unwrap_err();
    assert_eq!((error.kind(), all.len()), (ErrorKind::WriteZero, 5));
    let mut liar = Slow { plan: vec![Some(Ok(6))], ..Slow::default() };
    let message = panic_of(|| all.write_vectored_to(&mut liar));
    assert_eq!(message, "a writer's claim of 6 is out of bounds of a table of 5 bytes");
}

#[test]
fn chain_is_written_to_a_file_and_read_back() {
    let path = std::env::temp_dir().join(format!("aegis-chain-{}", std::process::id()));
    let all: BufferChain = (0..2000).map(|i| Buffer::from(format!("line {i}\n"))).collect();
    let mut file = std::fs::File::create(&path).unwrap();
    all.clone().write_vectored_to(&mut file).unwrap();
    let read = std::fs::read(&path);
    std::fs::remove_file(&path).unwrap();
    assert!(all == read.unwrap()[..]);
}

#[test]
fn chain_is_lengthened_at_the_front_and_shortened_at_both_ends() {
    let shared = Buffer::from(b"cd".to_vec());
    let mut all = BufferChain::from([shared.clone(), Buffer::from("efg")]);
    all.push_front(Buffer::from("ab"));
    all.push_front(Buffer::new());
    assert_eq!((all.iter().count(), all.len()), (3, 7));
    let (whole, part) = (Buffer::from("abcdefg"), Buffer::from("ab"));
    assert_eq!([all == whole, whole == all, all == part, part == all], [true, true, false, false]);
    all.truncate(7);
    all.truncate(usize::MAX);
    assert_eq!(all.len(), 7);
    all.truncate(5);
    assert!(all == "abcde" && !shared.is_unique());
    all.truncate(4);
    assert_eq!((all.iter().count(), all.len()), (2, 4));
    all.truncate(3);
    assert!(all == "abc" && !shared.is_unique());
    all.truncate(2);
    assert!(all == "ab" && shared.is_unique());
    all.push(shared.clone());
    all.clear();
    assert!(all.is_empty() && all.iter().len() == 0 && shared.is_unique());
    all.clear();
    all.truncate(0);
    all.push(Buffer::from("again"));
    let both = all.take(2).chain(Buffer::from("e")).chain([Buffer::from("b"), Buffer::from("c")]);
    assert_eq!((both.iter().count(), both), (4, chain(&["agebc"])));
}

#[test]
fn split_to_cuts_at_every_byte() {
    let parts = || [Buffer::from(b"ab".to_vec()), Buffer::from("cde"), Buffer::from("f")];
    for at in 0..=6 {
        let mut rest = BufferChain::from(parts());
        let front = rest.split_to(at);
        assert_eq!((front.len(), rest.len()), (at, 6 - at));
        assert!(front == b"abcdef"[..at] && rest == b"abcdef"[at..], "{at}: {front:?} {rest:?}");
        assert!(front.iter().chain(&rest).all(|part| !part.is_empty()), "{at}");
        assert_eq!(front.chain(rest).into_buffer(), "abcdef");
    }
    let mut all = BufferChain::from(parts());
    let message = panic_of(|| all.split_to(7));
    assert_eq!(message, "a split at 7 is out of bounds of a chain of 6 bytes");
    assert_eq!(all, "abcdef");
}

#[test]
fn chain_drops_every_buffer_although_an_owner_panics() {
    let alive: Arc<()> = Arc::default();
    let shorten: [fn(&mut BufferChain); 3] =
        [BufferChain::clear, |all| all.truncate(1), |all| drop(all.split_to(6))];
    for (at, shorten) in shorten.into_iter().enumerate() {
        let panics = || Buffer::from_owner(Panics { _alive: alive.clone() });
        let mut all = match at {
            2 => BufferChain::from([panics(), Buffer::from("xyz"), Buffer::from("left")]),
            _ => BufferChain::from([Buffer::from("xyz"), panics(), panics()]),
        };
        assert_eq!(panic_of(|| shorten(&mut all)), "drop panics");
        let left: usize = all.iter().map(|part| part.len()).sum();
        assert_eq!((all.len(), left), ([0, 1, 4][at], [0, 1, 4][at]));
        drop(all);
        assert_eq!(Arc::strong_count(&alive), 1, "all owners are dropped");
    }
}
