// SPDX-License-Identifier: Apache-2.0
//! Tests the work with the `bytes` crate: conversions without a copy, `BufMut`, and what the
//! crate's generic functions do with this crate's `Buf`s. Each check of a `Buf` also runs for
//! `Bytes`, which shows that the check itself is right.

use crate::support::panic_of;
use ::bytes::{Buf, BufMut, Bytes, BytesMut};
use aegis_memory::buffer::{Buffer, BufferChain, BufferMut, BufferPool};
use std::io::{IoSlice, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// 40 bytes. They begin with a float in either byte order; some have their high bits set, so that
/// sign extension shows.
const INPUT: &[u8] = b"\xc0\x49\x0f\xdb\x54\x44\x2d\x18\x80\xff\x01\x7f\xfe\x00\x10\x20\
    the quick brown fox jump";

fn joined(table: &[IoSlice<'_>]) -> Vec<u8> {
    table.iter().flat_map(|slice| slice.iter().copied()).collect()
}

/// The checks of one kind of `Buf`, in a module with the name of that kind.
macro_rules! of_buf {
    ($module:ident, $make:expr) => {
        mod $module {
            use super::*;

            fn make(bytes: &'static [u8]) -> impl Buf {
                let make: fn(&'static [u8]) -> _ = $make;
                make(bytes)
            }

            #[test]
            fn empty_has_nothing() {
                let mut buf = make(b"");
                assert!(buf.remaining() == 0 && !buf.has_remaining() && buf.chunk().is_empty());
                let mut table = [IoSlice::new(b"x"); 4];
                assert_eq!(buf.chunks_vectored(&mut table), 0);
                assert_eq!(&*table[0], b"x");
                buf.advance(0);
                buf.copy_to_slice(&mut []);
                assert!(buf.copy_to_bytes(0).is_empty());
            }

            #[test]
            fn chunk_is_a_beginning_and_advance_goes_on() {
                for at in 0..=INPUT.len() {
                    let mut buf = make(INPUT);
                    buf.advance(at);
                    assert_eq!(buf.remaining(), INPUT.len() - at);
                    assert_eq!(buf.has_remaining(), at < INPUT.len());
                    assert_eq!(buf.chunk().is_empty(), at == INPUT.len());
                    assert!(INPUT[at..].starts_with(buf.chunk()));
                }
                let mut buf = make(INPUT);
                for at in 0..INPUT.len() {
                    assert_eq!(buf.chunk()[0], INPUT[at]);
                    buf.advance(1);
                }
                assert_eq!(buf.remaining(), 0);
            }

            #[test]
            fn advance_past_the_end_panics() {
                panic_of(|| make(INPUT).advance(INPUT.len() + 1));
                panic_of(|| make(INPUT).advance(usize::MAX));
                panic_of(|| make(b"").advance(1));
            }

            #[test]
            fn chunks_vectored_has_all_if_there_is_room() {
                let mut buf = make(INPUT);
                buf.advance(3);
                let mut table = [IoSlice::new(b""); 16];
                let count = buf.chunks_vectored(&mut table);
                assert_eq!(joined(&table[..count]), &INPUT[3..]);
                let mut table = [IoSlice::new(b""); 1];
                assert_eq!(buf.chunks_vectored(&mut table), 1);
                assert_eq!(&*table[0], buf.chunk());
                assert_eq!(buf.chunks_vectored(&mut []), 0);
            }

            #[test]
            fn copies_are_the_bytes() {
                for len in 0..=INPUT.len() {
                    let mut buf = make(INPUT);
                    let mut copy = vec![0; len];
                    buf.copy_to_slice(&mut copy);
                    assert_eq!((&*copy, buf.remaining()), (&INPUT[..len], INPUT.len() - len));
                    assert!(INPUT[len..].starts_with(buf.chunk()));
                    let mut buf = make(INPUT);
                    let copy = buf.copy_to_bytes(len);
                    assert_eq!((&*copy, buf.remaining()), (&INPUT[..len], INPUT.len() - len));
                    assert!(INPUT[len..].starts_with(buf.chunk()));
                }
                panic_of(|| make(INPUT).copy_to_slice(&mut [0; 41]));
                panic_of(|| make(INPUT).copy_to_bytes(41));
                let mut buf = make(INPUT);
                assert!(buf.try_copy_to_slice(&mut [0; 41]).is_err());
                assert_eq!(buf.remaining(), INPUT.len(), "a failure takes nothing");
            }

            /// Reads a number of each type and byte order, at several places, and where too few
            /// bytes are left.
            macro_rules! numbers {
                ($test:ident, $number:ident, $big:ident, $little:ident, $native:ident, $try:ident) => {
                    #[test]
                    fn $test() {
                        const SIZE: usize = std::mem::size_of::<$number>();
                        for at in [0, 1, 8, INPUT.len() - SIZE] {
                            let bytes = INPUT[at..at + SIZE].try_into().unwrap();
                            let started = || {
                                let mut buf = make(INPUT);
                                buf.advance(at);
                                buf
                            };
                            let bits = |number: $number| number.to_ne_bytes();
                            let mut buf = started();
                            assert_eq!(bits(buf.$big()), bits($number::from_be_bytes(bytes)));
                            assert_eq!(buf.remaining(), INPUT.len() - at - SIZE);
                            assert_eq!(bits(started().$little()), bits($number::from_le_bytes(bytes)));
                            assert_eq!(bits(started().$native()), bits($number::from_ne_bytes(bytes)));
                            assert_eq!(bits(started().$try().unwrap()), bits($number::from_be_bytes(bytes)));
                        }
                        let short = || {
                            let mut buf = make(INPUT);
                            buf.advance(INPUT.len() - SIZE + 1);
                            buf
                        };
                        panic_of(|| short().$big());
                        panic_of(|| short().$little());
                        let mut buf = short();
                        let error = buf.$try().unwrap_err();
                        assert_eq!((error.requested, error.available), (SIZE, SIZE - 1));
                        assert_eq!(buf.remaining(), SIZE - 1, "a failure takes nothing");
                    }
                };
            }

            numbers!(u16, u16, get_u16, get_u16_le, get_u16_ne, try_get_u16);
            numbers!(i16, i16, get_i16, get_i16_le, get_i16_ne, try_get_i16);
            numbers!(u32, u32, get_u32, get_u32_le, get_u32_ne, try_get_u32);
            numbers!(i32, i32, get_i32, get_i32_le, get_i32_ne, try_get_i32);
            numbers!(u64, u64, get_u64, get_u64_le, get_u64_ne, try_get_u64);
            numbers!(i64, i64, get_i64, get_i64_le, get_i64_ne, try_get_i64);
            numbers!(u128, u128, get_u128, get_u128_le, get_u128_ne, try_get_u128);
            numbers!(i128, i128, get_i128, get_i128_le, get_i128_ne, try_get_i128);
            numbers!(f32, f32, get_f32, get_f32_le, get_f32_ne, try_get_f32);
            numbers!(f64, f64, get_f64, get_f64_le, get_f64_ne, try_get_f64);

            #[test]
            fn single_bytes_are_those_of_the_input() {
                let mut buf = make(INPUT);
                let bytes: Vec<_> = (0..INPUT.len()).map(|_| buf.get_u8()).collect();
                assert_eq!(bytes, INPUT);
                assert!(buf.try_get_u8().is_err() && buf.try_get_i8().is_err());
                panic_of(|| make(b"").get_u8());
                panic_of(|| make(b"").get_i8());
                assert_eq!(make(INPUT).get_i8(), 0xc0_u8 as i8);
            }

            #[test]
            fn numbers_of_some_bytes_are_extended() {
                for size in 1..=8 {
                    let (mut big, mut little) = ([0; 8], [0; 8]);
                    big[8 - size..].copy_from_slice(&INPUT[..size]);
                    little[..size].copy_from_slice(&INPUT[..size]);
                    let unsigned = [u64::from_be_bytes(big), u64::from_le_bytes(little)];
                    let shift = 64 - 8 * size as u32;
                    let signed = unsigned.map(|number| (number << shift) as i64 >> shift);
                    let got = [make(INPUT).get_uint(size), make(INPUT).get_uint_le(size)];
                    assert_eq!(got, unsigned, "{size}");
                    let got = [make(INPUT).get_int(size), make(INPUT).get_int_le(size)];
                    assert_eq!(got, signed, "{size}");
                }
                panic_of(|| make(INPUT).get_uint(9));
                panic_of(|| make(b"\x01").get_int(2));
            }

            #[test]
            fn take_chain_and_reader_compose() {
                let mut taken = make(INPUT).take(5);
                assert_eq!((taken.remaining(), taken.get_u8()), (5, INPUT[0]));
                assert_eq!(taken.copy_to_bytes(4), INPUT[1..5]);
                assert_eq!((taken.remaining(), taken.into_inner().remaining()), (0, 35));
                panic_of(|| make(INPUT).take(5).advance(6));
                let mut both = make(INPUT).chain(make(b"tail"));
                both.advance(38);
                assert_eq!((both.remaining(), both.get_u32()), (6, u32::from_be_bytes(*b"mpta")));
                let mut table = [IoSlice::new(b""); 16];
                let two = make(b"abc").chain(make(b"def"));
                let count = two.chunks_vectored(&mut table);
                assert_eq!(joined(&table[..count]), b"abcdef");
                let mut text = Vec::new();
                assert_eq!(make(INPUT).reader().read_to_end(&mut text).unwrap(), INPUT.len());
                assert_eq!(text, INPUT);
            }

            #[test]
            fn works_behind_a_reference_a_box_and_dyn() {
                fn first(mut buf: impl Buf) -> u8 {
                    buf.get_u8()
                }
                let mut buf = make(INPUT);
                assert_eq!((first(&mut buf), first(&mut buf)), (INPUT[0], INPUT[1]));
                let mut buf: Box<dyn Buf> = Box::new(buf);
                assert_eq!((buf.get_u8(), buf.remaining()), (INPUT[2], 37));
                let mut out = Vec::new();
                out.put(buf);
                assert_eq!(out, &INPUT[3..]);
            }
        }
    };
}

of_buf!(bytes_reference, Bytes::from_static);
of_buf!(buffer_static, Buffer::from_static);
of_buf!(buffer_heap, |bytes| Buffer::copy_from_slice(bytes));
of_buf!(buffer_middle, |bytes| {
    let mut writer = BufferPool::new(100, 1).get(0).unwrap();
    writer.put_slice(b"before");
    writer.put_slice(bytes);
    writer.put_slice(b"behind");
    writer.freeze().slice(6..6 + bytes.len())
});
of_buf!(writer_of_all, |bytes| BufferMut::from(bytes));
of_buf!(writer_in_the_middle, |bytes| {
    let mut writer = BufferPool::new(100, 1).get(0).unwrap();
    writer.put_slice(b"before");
    writer.put_slice(bytes);
    writer.advance(6);
    writer
});
of_buf!(chain_of_one, |bytes| BufferChain::from(Buffer::from(bytes)));
of_buf!(chain_of_many, |bytes| {
    let parts = bytes.chunks(1.max(bytes.len().div_ceil(14)));
    parts.map(Buffer::from).collect::<BufferChain>()
});
of_buf!(chain_of_uneven, |bytes| {
    let (front, back) = bytes.split_at(bytes.len() / 3);
    [Buffer::from(front), Buffer::new(), Buffer::copy_from_slice(back)]
        .into_iter()
        .collect::<BufferChain>()
});

#[test]
fn buffer_becomes_bytes_without_a_copy_and_is_released_with_them() {
    struct Counted(Arc<AtomicUsize>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            b"counted"
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let buffer = Buffer::from_owner(Counted(drops.clone()));
    let (data, part) = (buffer.as_ptr(), buffer.slice(2..));
    let bytes = Bytes::from(buffer);
    assert_eq!((bytes.as_ptr(), &*bytes), (data, &b"counted"[..]));
    drop(part);
    let tail = bytes.slice(5..);
    drop(bytes);
    assert_eq!((&*tail, drops.load(SeqCst)), (&b"ed"[..], 0));
    drop(tail);
    assert_eq!(drops.load(SeqCst), 1);
    let fixed = Bytes::from(Buffer::from("static"));
    assert!(fixed == "static" && !fixed.is_unique());
    assert!(Bytes::from(Buffer::new()).is_empty());
}

#[test]
fn bytes_become_a_buffer_without_a_copy_and_are_released_with_it() {
    let bytes = Bytes::from(vec![1, 2, 3]);
    let other = bytes.clone();
    let buffer = Buffer::from(bytes);
    assert_eq!((buffer.as_ptr(), &*buffer), (other.as_ptr(), &[1, 2, 3][..]));
    assert!(!other.is_unique());
    let buffer = buffer.try_into_mut().expect_err("not ours to write");
    drop(buffer);
    assert!(other.is_unique());
    let there_and_back = Bytes::from(Buffer::from(other.clone()));
    assert_eq!(there_and_back.as_ptr(), other.as_ptr());
    assert!(!Buffer::from(Bytes::new()).is_unique());
}

#[test]
fn copy_to_bytes_copies_only_across_parts() {
    let whole = Buffer::from(b"0123456789".to_vec());
    let data = whole.as_ptr();
    let mut buf = whole.clone();
    assert_eq!(buf.copy_to_bytes(4).as_ptr(), data);
    let mut chain = BufferChain::from([whole.slice(..5), whole.slice(5..)]);
    assert_eq!(chain.copy_to_bytes(3).as_ptr(), data);
    assert_eq!(chain.copy_to_bytes(2), "34");
    assert_eq!((chain.iter().count(), chain.len()), (1, 5));
    let mut chain = BufferChain::from([whole.slice(..5), whole.slice(5..)]);
    let across = chain.copy_to_bytes(7);
    assert_eq!((&*across, &chain), (&b"0123456"[..], &BufferChain::from(whole.slice(7..))));
}

#[test]
fn buf_mut_writes_into_the_room_and_refuses_more() {
    let mut writer = BufferMut::with_capacity(24);
    writer.put_u8(1);
    writer.put_u16(0x0203);
    writer.put_u32_le(0x0706_0504);
    writer.put_slice(b"slice");
    writer.put(BufferChain::from([Buffer::from("ch"), Buffer::from("ain")]));
    writer.put_bytes(9, 3);
    assert_eq!(writer, b"\x01\x02\x03\x04\x05\x06\x07slicechain\x09\x09\x09");
    assert_eq!((writer.remaining_mut(), writer.has_remaining_mut()), (4, true));
    panic_of(|| writer.put_u64(1));
    panic_of(|| writer.put_slice(b"12345"));
    // SAFETY: it panics before it counts what is not initialised.
    panic_of(|| unsafe { writer.advance_mut(5) });
    assert_eq!((writer.len(), writer.chunk_mut().len()), (20, 4));
    writer.chunk_mut().copy_from_slice(b"full");
    // SAFETY: four bytes have just been written.
    unsafe { writer.advance_mut(4) };
    assert!(!writer.has_remaining_mut() && writer.chunk_mut().len() == 0);
    assert!(writer.ends_with(b"full"));
    let mut limited = BufferMut::with_capacity(8).limit(3);
    limited.put_slice(b"abc");
    assert!(!limited.has_remaining_mut());
    assert_eq!(limited.into_inner(), "abc");
}

#[test]
fn bytes_compare_with_buffers_in_both_directions() {
    let (bytes, bytes_mut) = (Bytes::from_static(b"same"), BytesMut::from("same"));
    let (buffer, writer) = (Buffer::from("same"), BufferMut::from("same"));
    assert_eq!([buffer == bytes, bytes == buffer, buffer == bytes_mut], [true; 3]);
    assert_eq!([writer == bytes, bytes == writer, bytes_mut == writer], [true; 3]);
    let chain = BufferChain::from([buffer.slice(..2), buffer.slice(2..)]);
    assert_eq!([chain == bytes, bytes == chain, chain == bytes.slice(1..)], [true, true, false]);
    let (less, more) = (Bytes::from_static(b"sa"), Bytes::from_static(b"t"));
    assert_eq!([buffer < more, more > buffer, writer > less, less < writer], [true; 4]);
}

#[test]
fn writer_gives_bytes_its_memory_and_goes_on_behind_them() {
    let pool = BufferPool::new(64, 1);
    let mut page = pool.get(64).unwrap();
    page.put_slice(b"framerest");
    let data = page.as_ptr();
    let frame = page.copy_to_bytes(5);
    assert_eq!((frame.as_ptr(), &*frame, &*page), (data, &b"frame"[..], &b"rest"[..]));
    page.put_slice(b" and more");
    drop(page);
    assert!(pool.get(64).is_err(), "the frame keeps the page");
    let again = Buffer::from(frame);
    assert_eq!((again.as_ptr(), again.retained_bytes() >= 64), (data, true));
    drop(again);
    assert!(pool.get(64).is_ok());
}

#[test]
fn put_of_a_buffer_takes_its_memory_over_where_put_buffer_does() {
    let source = Buffer::from(b"of a vector".to_vec());
    let data = source.as_ptr();
    let mut writer = BufferMut::with_capacity(0);
    writer.put(source);
    assert_eq!((writer.as_ptr(), &*writer), (data, &b"of a vector"[..]));
    let mut other = BufferMut::with_capacity(2);
    other.put(writer);
    assert_eq!((other.as_ptr(), &*other), (data, &b"of a vector"[..]));
    let mut full = BufferMut::from("full");
    let back = full.split_off(2);
    full.put(back.freeze());
    assert_eq!(full, "full");
    // Everything else is copied, also what borrows a buffer.
    let (mut copy, mut source) = (BufferMut::with_capacity(16), Buffer::from("borrowed"));
    copy.put(&mut source);
    copy.put(Buffer::from("!"));
    assert!(copy == "borrowed!" && copy.capacity() == 16 && source.is_empty());
    let message = panic_of(|| copy.put(Buffer::from("too long")));
    assert_eq!(message, "fixed memory exhausted: 8 bytes requested, 9 of 16 bytes in use");
}

/// With `Read`, `Write`, `Buf` and `BufMut` all in scope, as at the top of this file.
#[test]
fn methods_that_read_and_buf_both_have_can_be_called() {
    let message = Buffer::from("\0\x05hello and more");
    let mut number = message.clone().take(2);
    assert_eq!((number.get_u16(), number.remaining()), (5, 0));
    let mut text = String::new();
    message.slice(2..).take(5).read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    assert_eq!(message.clone().take(usize::MAX), message);
    let both = Buffer::from("head").chain(Buffer::from("body"));
    assert_eq!(both.clone().reader().bytes().count(), 8);
    let mut both = both.chain(message.slice(7..)).take(12);
    both.advance(8);
    assert_eq!((both.remaining(), both.chunk()), (4, &b" and"[..]));
    text.clear();
    both.by_ref().read_to_string(&mut text).unwrap();
    assert_eq!(text, " and");
    let mut writer = BufferMut::with_capacity(16);
    writer.write_all(b"abcdef").unwrap();
    assert_eq!(writer.by_ref().write(b"gh").unwrap(), 2);
    writer.advance(2);
    let mut rest = writer.take(4).chain(&b"!"[..]);
    assert_eq!(rest.copy_to_bytes(5), "cdef!");
}
