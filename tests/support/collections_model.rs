// SPDX-License-Identifier: Apache-2.0
//! The model of vectors in `tests/arena/collections.rs`: what can be done with one, and the function that
//! does the same with a vector in an arena and with one of the standard library.

use aegis_memory::collections::ArenaVec;
use proptest::prelude::*;
use std::ops::Range;

/// What is done with a vector. Positions are taken modulo what is there.
#[derive(Clone, Debug)]
pub enum Op {
    Push(u8),
    Pop,
    Insert(usize, u8),
    Remove(usize),
    SwapRemove(usize),
    Truncate(usize),
    Retain(u8),
    Extract(usize, usize, u8),
    Dedup,
    Drain(usize, usize, usize),
    Splice(usize, usize, Vec<u8>, usize, bool),
    Extend(Vec<u8>),
    ExtendFromSlice(Vec<u8>),
    ExtendWithin(usize, usize),
    Append(Vec<u8>),
    SplitOff(usize),
    Resize(usize, u8),
    Reserve(usize),
    Shrink(usize),
    CloneFrom(Vec<u8>),
    /// Another allocation, so that the vector is not the latest one.
    Between(usize),
    Clear,
}

pub fn op() -> impl Strategy<Value = Op> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let at = || 0_usize..64;
    prop_oneof![
        4 => any::<u8>().prop_map(Op::Push),
        1 => Just(Op::Pop),
        2 => (at(), any::<u8>()).prop_map(|(i, b)| Op::Insert(i, b)),
        1 => at().prop_map(Op::Remove),
        1 => at().prop_map(Op::SwapRemove),
        1 => at().prop_map(Op::Truncate),
        1 => any::<u8>().prop_map(Op::Retain),
        2 => (at(), at(), any::<u8>()).prop_map(|(i, j, b)| Op::Extract(i, j, b)),
        1 => Just(Op::Dedup),
        2 => (at(), at(), at()).prop_map(|(i, j, n)| Op::Drain(i, j, n)),
        3 => (at(), at(), bytes(), 0_usize..5, any::<bool>())
            .prop_map(|(i, j, b, n, hint)| Op::Splice(i, j, b, n, hint)),
        2 => bytes().prop_map(Op::Extend),
        2 => bytes().prop_map(Op::ExtendFromSlice),
        1 => (at(), at()).prop_map(|(i, j)| Op::ExtendWithin(i, j)),
        1 => bytes().prop_map(Op::Append),
        1 => at().prop_map(Op::SplitOff),
        1 => (at(), any::<u8>()).prop_map(|(n, b)| Op::Resize(n, b)),
        1 => at().prop_map(Op::Reserve),
        1 => at().prop_map(Op::Shrink),
        1 => bytes().prop_map(Op::CloneFrom),
        2 => (1_usize..100).prop_map(Op::Between),
        1 => Just(Op::Clear),
    ]
}

fn range(i: usize, j: usize, len: usize) -> Range<usize> {
    let (i, j) = (i % (len + 1), j % (len + 1));
    i.min(j)..i.max(j)
}

/// An iterator that does not say how many items it has, if `knows` is false.
fn hinted<T>(items: Vec<T>, knows: bool) -> impl Iterator<Item = T> {
    items.into_iter().filter(move |_| true).chain(None).take(if knows { 1000 } else { usize::MAX })
}

/// Does the same with both vectors. `T` is made of a byte.
pub fn apply<T: Clone + PartialEq + std::fmt::Debug>(
    op: Op,
    ours: &mut ArenaVec<'_, T>,
    std: &mut Vec<T>,
    of: impl Fn(u8) -> T,
    number: impl Fn(&T) -> u8,
) {
    let all = |bytes: Vec<u8>| bytes.into_iter().map(&of).collect::<Vec<T>>();
    let len = std.len();
    match op {
        Op::Push(b) => {
            ours.push(of(b));
            std.push(of(b));
        }
        Op::Pop => assert_eq!(ours.pop(), std.pop()),
        Op::Insert(i, b) => {
            ours.insert(i % (len + 1), of(b));
            std.insert(i % (len + 1), of(b));
        }
        Op::Remove(i) if len > 0 => assert_eq!(ours.remove(i % len), std.remove(i % len)),
        Op::SwapRemove(i) if len > 0 => {
            assert_eq!(ours.swap_remove(i % len), std.swap_remove(i % len));
        }
        Op::Remove(_) | Op::SwapRemove(_) => {}
        Op::Truncate(n) => {
            ours.truncate(n);
            std.truncate(n);
        }
        Op::Retain(b) => {
            ours.retain(|item| number(item) % 8 != b % 8);
            std.retain(|item| number(item) % 8 != b % 8);
        }
        Op::Extract(i, j, b) => {
            let range = range(i, j, len);
            let is_taken = |item: &T| number(item) % 2 == b % 2;
            let taken: Vec<T> = ours.extract_if(range.clone(), |item| is_taken(item)).collect();
            let (inside, behind) = (std.split_off(range.start), range.len());
            let (mut expected, mut at) = (Vec::new(), 0);
            for item in inside {
                let target = if at < behind && is_taken(&item) { &mut expected } else { &mut *std };
                target.push(item);
                at += 1;
            }
            assert_eq!(taken, expected);
        }
        Op::Dedup => {
            ours.dedup();
            std.dedup();
        }
        Op::Drain(i, j, n) => {
            let range = range(i, j, len);
            let front = |iter: &mut dyn Iterator<Item = T>| iter.take(n).collect::<Vec<T>>();
            assert_eq!(front(&mut ours.drain(range.clone())), front(&mut std.drain(range.clone())));
        }
        Op::Splice(i, j, bytes, n, knows) => {
            let range = range(i, j, len);
            let mut removed = ours.splice(range.clone(), hinted(all(bytes.clone()), knows));
            let mut expected = std.splice(range, hinted(all(bytes), knows));
            for _ in 0..n {
                assert_eq!(removed.next(), expected.next());
                assert_eq!(removed.next_back(), expected.next_back());
            }
        }
        Op::Extend(bytes) => {
            ours.extend(hinted(all(bytes.clone()), bytes.len() % 2 == 0));
            std.extend(all(bytes));
        }
        Op::ExtendFromSlice(bytes) => {
            ours.extend_from_slice(&all(bytes.clone()));
            std.extend_from_slice(&all(bytes));
        }
        Op::ExtendWithin(i, j) => {
            ours.extend_from_within(range(i, j, len));
            std.extend_from_within(range(i, j, len));
        }
        Op::Append(bytes) => {
            let mut other = ArenaVec::from_slice_in(&all(bytes.clone()), ours.arena());
            ours.append(&mut other);
            assert!(other.is_empty());
            std.append(&mut all(bytes));
        }
        Op::SplitOff(i) => {
            let at = i % (len + 1);
            assert_eq!(ours.split_off(at), std.split_off(at));
        }
        Op::Resize(n, b) => {
            ours.resize(n, of(b));
            std.resize(n, of(b));
        }
        Op::Reserve(n) => {
            ours.reserve(n);
            assert!(ours.capacity() >= len + n);
        }
        Op::Shrink(n) => {
            ours.shrink_to(n);
            assert!(ours.capacity() >= len);
        }
        Op::CloneFrom(bytes) => {
            ours.clone_from(&ArenaVec::from_slice_in(&all(bytes.clone()), ours.arena()));
            *std = all(bytes);
        }
        Op::Between(n) => ours.arena().alloc(n).fill(0xEE),
        Op::Clear => {
            ours.clear();
            std.clear();
        }
    }
    assert_eq!(ours, std);
}
