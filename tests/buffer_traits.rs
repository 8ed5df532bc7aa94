// SPDX-License-Identifier: Apache-2.0
//! Tests the traits of views: comparing, hashing, ordering, formatting and reading must do what the
//! same trait does with the bytes.
#![cfg(feature = "std")]

use aegis_memory::buffer::{Buffer, BufferMut};
use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, Read};

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
