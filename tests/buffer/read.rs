// SPDX-License-Identifier: Apache-2.0
//! Tests writers that are filled by readers and from descriptors. Only the bytes that a reader has
//! stored may count, and a reader must never see uninitialised memory or the bytes of the memory's
//! last use.

use crate::support::{panic_of, writer};
use aegis_memory::buffer::{read_vectored, BufferMut, BufferPool};
use std::io::{self, ErrorKind, Read};

/// A reader that claims a number of bytes, or an error, as the test has set.
struct Claims(Result<usize, ErrorKind>);

impl Read for Claims {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        assert!(into.iter().all(|&byte| byte == 0), "the room is cleared");
        Ok(self.0?)
    }
}

#[test]
fn read_from_appends_one_read() {
    let mut input = &b"123456789"[..];
    let mut writer = writer(8, b"head");
    assert_eq!(writer.read_from(&mut input).unwrap(), 4);
    assert_eq!((&*writer, input), (&b"head1234"[..], &b"56789"[..]));
    assert_eq!(writer.read_from(&mut input).unwrap(), 0, "without room");
    writer.clear();
    assert_eq!(writer.read_from(&mut input).unwrap(), 5);
    assert_eq!(writer.read_from(&mut input).unwrap(), 0, "at the end");
    assert_eq!(writer, "56789");
}

#[test]
fn read_from_a_reader_that_fails_or_lies_appends_nothing() {
    let mut writer = writer(8, b"head");
    writer.spare_capacity_mut().iter_mut().for_each(|byte| _ = byte.write(9));
    let error = writer.read_from(&mut Claims(Err(ErrorKind::TimedOut))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let message = panic_of(|| writer.read_from(&mut Claims(Ok(5))));
    assert_eq!(message, "a reader's claim of 5 is out of bounds of a room of 4 bytes");
    assert_eq!(writer, "head");
    writer.read_from(&mut Claims(Ok(2))).unwrap();
    assert_eq!(writer, b"head\0\0", "what the reader did not write is no old byte");
}

#[test]
fn read_vectored_fills_one_after_the_other() {
    let mut input = &b"0123456789abcdef"[..];
    let mut writers = [writer(4, b"x"), writer(2, b"yz"), writer(8, b""), writer(8, b"w")];
    assert_eq!(read_vectored(&mut input, &mut writers).unwrap(), 16);
    let texts: Vec<_> = writers.iter().map(|writer| &**writer).collect();
    assert_eq!(texts, [&b"x012"[..], b"yz", b"3456789a", b"wbcdef"]);
    assert_eq!(read_vectored(&mut input, &mut writers).unwrap(), 0);
    assert_eq!(read_vectored(&mut &b"x"[..], &mut [] as &mut [BufferMut; 0]).unwrap(), 0);
    let message = panic_of(|| read_vectored(&mut Claims(Ok(3)), &mut writers));
    assert_eq!(message, "a reader's claim of 3 is out of bounds of a room of 2 bytes");
    assert!(read_vectored(&mut Claims(Err(ErrorKind::TimedOut)), &mut writers).is_err());
    assert_eq!(writers[3], "wbcdef");
}

#[test]
fn read_vectored_fills_writers_that_are_borrowed() {
    let (mut head, mut body) = (writer(8, b"h:"), writer(8, b""));
    let mut rest = BufferPool::new(64, 1).get(64).unwrap();
    let count =
        read_vectored(&mut &b"0123456789abcdef"[..], &mut [&mut body, &mut rest, &mut head]);
    assert_eq!(count.unwrap(), 16);
    assert!(body == "01234567" && rest == "89abcdef" && head == "h:");
}

#[test]
fn writer_that_is_another_one_after_the_read_gets_no_bytes_that_are_not_there() {
    struct Two(BufferMut, BufferMut, bool);
    impl std::borrow::Borrow<BufferMut> for Two {
        fn borrow(&self) -> &BufferMut {
            &self.0
        }
    }
    impl std::borrow::BorrowMut<BufferMut> for Two {
        fn borrow_mut(&mut self) -> &mut BufferMut {
            self.2 = !self.2;
            if self.2 {
                &mut self.0
            } else {
                &mut self.1
            }
        }
    }
    let mut two = [Two(writer(8, b""), writer(8, b"1"), false)];
    let message = panic_of(|| read_vectored(&mut &b"0123"[..], &mut two));
    assert_eq!(message, "another writer than before the read");
    assert!(two[0].0.is_empty() && two[0].1 == "1");
}

/// Fills the room with a byte, claims a few bytes, and keeps what was in the room before.
struct Marks {
    byte: u8,
    claim: usize,
    seen: Vec<u8>,
}

impl Read for Marks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.seen = into.to_vec();
        into.fill(self.byte);
        Ok(self.claim.min(into.len()))
    }
}

/// What was in the room before a reader filled it with `byte` and claimed `claim` bytes.
fn seen(writer: &mut BufferMut, byte: u8, claim: usize) -> Vec<u8> {
    let mut reader = Marks { byte, claim, seen: Vec::new() };
    writer.read_from(&mut reader).unwrap();
    reader.seen
}

#[test]
fn room_is_cleared_once_for_many_reads() {
    let mut writer = writer(8, b"h");
    assert_eq!(seen(&mut writer, 1, 2), [0; 7]);
    assert_eq!(seen(&mut writer, 2, 2), [1; 5]);
    writer.clear();
    assert_eq!(seen(&mut writer, 3, 0), [b'h', 1, 1, 2, 2, 2, 2, 2]);
    read_vectored(
        &mut Marks { byte: 4, claim: 0, seen: vec![] },
        std::slice::from_mut(&mut writer),
    )
    .unwrap();
    assert_eq!(seen(&mut writer, 5, 0), [4, 4, 4, 4, 4, 4, 4, 4]);
}

#[test]
fn parts_of_a_writer_know_what_was_cleared() {
    let mut writer = writer(16, b"");
    let mut back = writer.split_off(12);
    assert_eq!(seen(&mut writer, 1, 8), [0; 12]);
    assert_eq!(seen(&mut back, 2, 0), [0; 4]);
    let head = writer.split_to(6);
    assert_eq!((&*head, seen(&mut writer, 3, 0)), (&[1; 6][..], vec![1; 4]));
    let mut middle = writer.split_off(4);
    assert_eq!(seen(&mut middle, 4, 2), [3, 3]);
    assert_eq!(seen(&mut writer, 5, 2), [3, 3]);
    writer.unsplit(middle);
    writer.unsplit(back);
    assert_eq!((writer.len(), seen(&mut writer, 6, 0)), (6, vec![2; 4]));
}

#[test]
fn new_room_is_cleared_before_a_reader_sees_it() {
    let mut page = BufferPool::new(8, 1).get(8).unwrap();
    assert_eq!(seen(&mut page, 1, 4), [0; 8]);
    page.reserve(8);
    let room = page.remaining_capacity();
    assert_eq!(seen(&mut page, 2, 4), vec![0; room], "moved to more memory");
    let page = page.freeze();
    let mut page = page.try_into_mut().unwrap();
    let room = page.remaining_capacity();
    assert_eq!(seen(&mut page, 3, 0), vec![0; room], "a view says nothing of the room");
    page.spare_capacity_mut();
    assert_eq!(seen(&mut page, 4, 0), vec![0; room], "others may have stored anything");
    drop(page.split_to(7));
    page.truncate(1);
    page.reserve(page.capacity() + 7);
    let room = page.remaining_capacity();
    assert_eq!(seen(&mut page, 5, 0), vec![0; room], "moved to the front");
}

#[test]
fn pool_shows_a_reader_nothing_of_the_last_use() {
    let pool = BufferPool::new(8, 1);
    pool.get(8).unwrap().read_from(&mut &b"password"[..]).unwrap();
    assert_eq!(seen(&mut pool.get(8).unwrap(), 1, 0), [0; 8]);
}

#[cfg(unix)]
mod descriptors {
    use super::{seen, writer};
    use std::fs::File;
    use std::io::{ErrorKind, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn read_from_fd_appends_what_the_system_has_and_clears_nothing() {
        let (mut sender, receiver) = UnixStream::pair().unwrap();
        sender.write_all(b"123456789").unwrap();
        let mut writer = writer(8, b"head");
        assert_eq!(seen(&mut writer, b'x', 0), [0; 4]);
        assert_eq!(writer.read_from_fd(&receiver).unwrap(), 4);
        assert_eq!(writer.read_from_fd(&receiver).unwrap(), 0, "without room");
        assert_eq!(writer, "head1234");
        writer.clear();
        assert_eq!(writer.read_from_fd(&receiver).unwrap(), 5);
        assert_eq!(writer, "56789");
        assert_eq!(seen(&mut writer, b'y', 0), b"234", "nothing was cleared");
        drop(sender);
        assert_eq!((writer.read_from_fd(receiver).unwrap(), &*writer), (0, &b"56789"[..]));
    }

    #[test]
    fn read_from_fd_that_fails_appends_nothing_and_says_why() {
        let (_sender, receiver) = UnixStream::pair().unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut writer = writer(8, b"head");
        let error = writer.read_from_fd(&receiver).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let directory = File::open(".").unwrap();
        let error = writer.read_from_fd(&directory).unwrap_err();
        assert_eq!((error.raw_os_error(), &*writer), (Some(libc::EISDIR), &b"head"[..]));
    }
}
