// SPDX-License-Identifier: Apache-2.0
//! Tests the traits of views and writers: comparing, hashing, ordering, formatting, reading and
//! iterating must do what the same trait does with the bytes. Also what takes memory over: vectors
//! become buffers and come back, and a writer becomes what is put into it.

use crate::support::{panic_of, writer};
use aegis_memory::buffer::{Buffer, BufferMut, BufferPool, IntoIter};
use aegis_memory::AllocError;
use static_assertions::assert_eq_size;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, Read};

// There is room in a view for `None`.
assert_eq_size!(Buffer, Option<Buffer>, [usize; 3]);
assert_eq_size!(Result<Buffer, ()>, [usize; 3]);

#[test]
fn comparison_hash_and_order_are_those_of_the_bytes() {
    let buffer = Buffer::from("abc");
    let (array, vec, string) = (*b"abc", Vec::from(*b"abc"), String::from("abc"));
    let (slice, text) = (&array[..], &*string);
    assert_eq!([buffer == *text, *text == buffer, buffer == text, text == buffer], [true; 4]);
    assert_eq!([buffer == *slice, *slice == buffer, buffer == slice, slice == buffer], [true; 4]);
    let by_reference = &array;
    assert_eq!([buffer == array, array == buffer], [true; 2]);
    assert_eq!([buffer == by_reference, by_reference == buffer], [true; 2]);
    assert_eq!([buffer == vec, vec == buffer, buffer == string, string == buffer], [true; 4]);
    let same = Buffer::from(vec);
    assert!(buffer == same && buffer != "abd" && buffer != "ab");
    let words = ["b", "abc", "", "ab"];
    let sorted: BTreeSet<_> = words.into_iter().map(Buffer::from).collect();
    assert!(sorted.iter().eq(["", "ab", "abc", "b"]));
    let mut map = HashMap::new();
    map.insert(buffer.clone(), 1);
    assert_eq!(map.get(&b"abc"[..]), Some(&1), "it hashes as the slice that it borrows as");
    let state = RandomState::new();
    let bytes: &[u8] = buffer.borrow();
    assert_eq!(state.hash_one(&buffer), state.hash_one(bytes));
    assert_eq!((&buffer).into_iter().copied().max(), Some(b'c'));
}

#[test]
fn debug_is_the_byte_string_as_rust_writes_it() {
    let shown = |bytes: &'static [u8]| format!("{:?}", Buffer::from(bytes));
    assert_eq!(shown(b""), r#"b"""#);
    assert_eq!(shown(b"a'b\"c\\"), r#"b"a'b\"c\\""#);
    assert_eq!(shown(b"\0\n\r\t\x01\x7f\xff"), r#"b"\0\n\r\t\x01\x7f\xff""#);
    let mut writer = BufferMut::with_capacity(4);
    writer.extend_from_slice(b"w\n");
    assert_eq!(format!("{writer:?}"), r#"b"w\n""#);
}

#[test]
fn reading_takes_bytes_from_the_front() {
    let mut buffer = Buffer::from("one\ntwo\nthree");
    let mut line = String::new();
    buffer.read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), &*buffer), ("one\n", &b"two\nthree"[..]));
    let mut four = [0; 4];
    buffer.read_exact(&mut four).unwrap();
    assert_eq!(&four, b"two\n");
    let mut rest = Vec::new();
    assert_eq!(buffer.read_to_end(&mut rest).unwrap(), 5);
    assert_eq!(buffer.read(&mut four).unwrap(), 0);
    assert!(buffer.read_exact(&mut four).is_err());
}

#[test]
fn option_of_a_buffer_is_some_for_every_buffer() {
    let made = [Buffer::new(), Buffer::from("static"), Buffer::from(vec![1]), Buffer::default()];
    for buffer in made {
        let copy = buffer.clone();
        let mut some = Some(buffer);
        assert_eq!(some.as_ref(), Some(&copy));
        some.as_mut().expect("it is there").clear();
        assert!(some.take().is_some_and(|buffer| buffer.is_empty()) && some.is_none());
    }
    let shared = Buffer::from(vec![1]);
    let refused = [shared.clone().try_into_mut().err(), Buffer::from("x").try_into_mut().err()];
    assert!(refused.iter().all(Option::is_some));
}

#[test]
fn order_is_that_of_the_bytes_in_both_directions() {
    let (buffer, writer) = (Buffer::from("bb"), BufferMut::from("bb"));
    for (text, order) in [("ba", Ordering::Greater), ("bb", Ordering::Equal), ("c", Ordering::Less)]
    {
        let (bytes, vec, string) = (text.as_bytes(), Vec::from(text), String::from(text));
        let got = [
            buffer.partial_cmp(bytes),
            buffer.partial_cmp(&bytes),
            buffer.partial_cmp(text),
            buffer.partial_cmp(&text),
            buffer.partial_cmp(&vec),
            buffer.partial_cmp(&string),
            writer.partial_cmp(bytes),
            writer.partial_cmp(&text),
            buffer.partial_cmp(&BufferMut::from(text)),
        ];
        assert_eq!(got, [Some(order); 9], "{text}");
        let got = [
            bytes.partial_cmp(&buffer),
            text.partial_cmp(&buffer),
            vec.partial_cmp(&buffer),
            string.partial_cmp(&writer),
            BufferMut::from(text).partial_cmp(&buffer),
        ];
        assert_eq!(got, [Some(order.reverse()); 5], "{text}");
    }
    assert!(buffer < *"c" && *b"a".as_slice() < buffer && buffer >= [b'b', b'a'] && buffer <= "bb");
}

#[test]
fn bytes_are_iterated_by_value_from_both_ends() {
    let buffer = Buffer::from(b"0123456789".to_vec());
    let mut bytes = buffer.slice(2..8).into_iter();
    assert_eq!((bytes.len(), bytes.next(), bytes.next_back()), (6, Some(b'2'), Some(b'7')));
    assert_eq!((bytes.nth(1), bytes.as_slice()), (Some(b'4'), &b"56"[..]));
    assert_eq!(bytes.clone().collect::<Vec<_>>(), b"56");
    let rest = bytes.into_inner();
    assert!(rest == "56" && rest.same_memory(&buffer) && !buffer.is_unique());
    drop(rest);
    assert!(buffer.is_unique());
    let mut bytes: IntoIter = buffer.into_iter();
    assert_eq!((bytes.nth(10), bytes.next(), bytes.next_back()), (None, None, None));
    assert!(bytes.as_slice().is_empty() && bytes.into_inner().is_empty());
    let mut writer = BufferMut::from("abc");
    for byte in &mut writer {
        *byte -= b' ';
    }
    assert_eq!((&writer).into_iter().rev().copied().collect::<BufferMut>(), "CBA");
    assert!(writer.into_iter().eq(*b"ABC"));
}

#[test]
fn vector_comes_back_without_a_copy_if_the_buffer_is_its_only_handle() {
    let mut vec = Vec::with_capacity(100);
    vec.extend_from_slice(b"0123456789");
    let data = vec.as_ptr();
    let buffer = Buffer::from(vec);
    let part = buffer.slice(3..8);
    let buffer = buffer.try_into_vec().expect_err("there is a part");
    assert_eq!(Vec::from(buffer), b"0123456789", "a copy");
    let vec = part.try_into_vec().expect("the only handle");
    assert_eq!((&*vec, vec.as_ptr(), vec.capacity()), (&b"34567"[..], data, 100));
    // A writer of the same memory, and back.
    let mut writer = BufferMut::from(vec);
    assert_eq!((writer.capacity(), writer.as_ptr()), (100, data));
    writer.extend_from_slice(b"!");
    writer.advance(4);
    let vec = Vec::from(writer);
    assert_eq!((&*vec, vec.as_ptr(), vec.capacity()), (&b"7!"[..], data, 100));
    let text = String::from("of a string").into_bytes();
    let data = text.as_ptr();
    let boxed = Buffer::from(text.into_boxed_slice()).into_vec();
    assert_eq!((&*boxed, boxed.as_ptr()), (&b"of a string"[..], data));
}

#[test]
fn other_memory_becomes_a_vector_by_a_copy() {
    let pool = BufferPool::new(64, 1);
    let mut page = pool.get(64).unwrap();
    page.extend_from_slice(b"page");
    let page = page.freeze().try_into_vec().expect_err("a pool's");
    assert_eq!(page.into_vec(), b"page");
    assert_eq!(pool.stats().classes[0].in_use, 0, "the page has gone home");
    assert_eq!(Vec::from(Buffer::from("static")), b"static");
    assert_eq!(Vec::from(BufferMut::from("heap")), b"heap");
    assert_eq!(Vec::from(Buffer::from_owner(*b"owner")), b"owner");
    assert!(Buffer::new().into_vec().is_empty());
    // With 32-bit addresses so much may be had.
    if cfg!(target_pointer_width = "32") {
        return;
    }
    let mut huge = Buffer::from(vec![7; 10]).into_raw();
    huge.length = isize::MAX as usize;
    // SAFETY: never read.
    let huge = unsafe { Buffer::from_raw(huge) }.clone();
    let (mut huge, error) = huge.clone().try_into_vec_or_copy().expect_err("that is too much");
    assert!(matches!(error, aegis_memory::AllocError::OutOfMemory { .. }), "{error}");
    huge.truncate(10);
    assert_eq!(huge, [7; 10]);
}

#[test]
fn owner_that_panics_in_its_drop_costs_no_bytes_of_a_copy() {
    struct Panics;
    impl AsRef<[u8]> for Panics {
        fn as_ref(&self) -> &[u8] {
            b"bytes"
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("drop panics");
        }
    }
    assert_eq!(Buffer::from_owner(Panics).into_vec(), b"bytes");
    assert_eq!(BufferMut::from(Buffer::from_owner(Panics)), "bytes");
    let mut bytes = Buffer::from_owner(Panics).into_iter();
    assert_eq!(bytes.by_ref().count(), 5, "the owner is dropped with the iterator");
    assert_eq!(panic_of(|| drop(bytes)), "drop panics");
    let mut writer = BufferMut::with_capacity(8);
    assert_eq!(panic_of(|| writer.put_buffer(Buffer::from_owner(Panics))), "drop panics");
    assert_eq!(writer, "bytes");
    assert_eq!(panic_of(|| Buffer::from_owner(Panics).take(0)), "drop panics");
}

#[test]
fn writer_is_made_of_a_vector_with_its_room_and_of_copies() {
    let mut vec = Vec::with_capacity(32);
    vec.extend_from_slice(b"vec");
    let data = vec.as_ptr();
    let mut writer = BufferMut::from(vec);
    assert_eq!((writer.as_ptr(), writer.capacity(), writer.retained_bytes()), (data, 32, 32));
    writer.extend_from_slice(b"tor");
    assert_eq!(writer.freeze(), "vector");
    let empty = BufferMut::from(Vec::with_capacity(8));
    assert_eq!((empty.len(), empty.capacity()), (0, 8));
    let mut none = BufferMut::from(Vec::new());
    assert_eq!((none.len(), none.capacity(), none.try_reclaim(1)), (0, 0, false));
    none.reserve(4);
    none.extend_from_slice(b"more");
    assert_eq!(none, "more");
    assert_eq!(BufferMut::from(&b"slice"[..]), "slice");
    assert_eq!(BufferMut::from(b"array"), "array");
    assert_eq!(BufferMut::from("text"), "text");
    assert_eq!(BufferMut::from(String::from("string")), "string");
    assert_eq!(BufferMut::from(Box::from(*b"boxed") as Box<[u8]>), "boxed");
    assert_eq!((b'a'..=b'e').collect::<BufferMut>(), "abcde");
}

#[test]
fn empty_writer_of_a_vector_gives_the_vector_back() {
    let mut vec = Vec::with_capacity(64);
    vec.extend_from_slice(b"used up");
    let data = vec.as_ptr();
    let mut writer = BufferMut::from(vec);
    writer.advance(7);
    let vec = Vec::from(writer);
    assert_eq!((vec.len(), vec.capacity(), vec.as_ptr()), (0, 64, data));
    let mut writer = BufferMut::from(vec);
    writer.extend_from_slice(b"frame");
    let frame = writer.split();
    assert!(Vec::from(writer).is_empty(), "the frame keeps the memory");
    let frame = Vec::from(frame);
    assert_eq!(frame.as_ptr(), data);
    assert!(Vec::from(BufferMut::with_capacity(8)).is_empty());
}

#[test]
fn iterators_are_appended_up_to_the_capacity() {
    let mut writer = BufferMut::with_capacity(6);
    writer.extend(*b"ab");
    writer.extend(b"cd".iter());
    writer.extend(std::iter::empty::<u8>());
    assert_eq!(writer, "abcd");
    let message = panic_of(|| writer.extend(*b"efg"));
    assert!(message.starts_with("fixed memory exhausted"), "{message}");
    assert_eq!(writer, "abcdef", "what fits stays");
    let mut writer = BufferMut::with_capacity(6);
    let bytes = (0..9).map(|n| if n == 3 { panic!("no more") } else { n });
    assert_eq!(panic_of(|| writer.extend(bytes)), "no more");
    assert_eq!(writer, [0, 1, 2]);
}

#[test]
fn put_buffer_takes_memory_over_where_it_can() {
    let view = || Buffer::from(b"of a vector".to_vec());
    let mut writer = BufferMut::with_capacity(4);
    let source = view();
    let data = source.as_ptr();
    writer.put_buffer(source);
    assert_eq!((writer.as_ptr(), &*writer), (data, &b"of a vector"[..]));
    // What was split off comes back, with the room that was behind it.
    let mut joined = crate::support::writer(32, b"headbody");
    let data = joined.as_ptr();
    let body = joined.split_off(4).freeze();
    let shared = body.clone();
    let (body, error) = joined.try_put_buffer(body).unwrap_err();
    assert!(matches!(error, AllocError::Exhausted { requested: 4, .. }), "{error:?}");
    drop(shared);
    joined.put_buffer(body);
    assert_eq!((joined.as_ptr(), &*joined, joined.capacity()), (data, &b"headbody"[..], 32));
    // A writer with room for the bytes keeps its own memory.
    let mut page = aegis_memory::buffer::BufferPool::new(64, 1).get(64).unwrap();
    let data = page.as_ptr();
    page.put_buffer(view());
    page.put_buffer(Buffer::new());
    assert_eq!((page.as_ptr(), &*page), (data, &b"of a vector"[..]));
    let message = panic_of(|| page.put_buffer(Buffer::from(vec![0; 64])));
    assert!(message.starts_with("fixed memory exhausted"), "{message}");
    // Memory that cannot be written is not taken over.
    let (fixed, _) = BufferMut::with_capacity(0).try_put_buffer(Buffer::from("x")).unwrap_err();
    assert_eq!(fixed, "x");
}

#[test]
fn empty_writer_without_room_becomes_what_is_joined_to_it() {
    let back = writer(100, b"more than four");
    let data = back.as_ptr();
    let mut front = BufferMut::with_capacity(4);
    front.unsplit(back);
    assert_eq!((front.as_ptr(), &*front, front.capacity()), (data, &b"more than four"[..], 100));
    let mut roomy = BufferMut::with_capacity(100);
    let data = roomy.as_ptr();
    roomy.unsplit(writer(8, b"few"));
    assert_eq!((roomy.as_ptr(), &*roomy, roomy.capacity()), (data, &b"few"[..], 100));
}
