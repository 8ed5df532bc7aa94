// SPDX-License-Identifier: Apache-2.0
//! What is done with collections in each home. Every operation is one generic function.
//!
//! An operation starts with an empty home and ends with its reset, so a heap frees what an arena
//! gives up. From the second round on an arena has memory enough.

use std::hash::{BuildHasherDefault, Hasher};
use std::mem;

use aegis_memory::arena::Arena;
use allocator_api2::vec::Vec as VecIn;
use hashbrown::HashMap;

use crate::homes::{BumpScope, Home, Mimalloc, Std};
use crate::json;
use crate::{hide, keep, Case, Round};

/// Insertions into a table that grows from empty.
pub const GROW: &str = "map grown";
/// Insertions into a table that was made large enough.
pub const INSERT: &str = "map sized";
/// Look-ups of keys in another order than they were inserted in.
pub const FIND: &str = "map found";
/// Pushes of numbers to the home's own vector, from empty.
pub const PUSH: &str = "Vec push";
/// The same with the vector of `allocator-api2` in each home.
pub const PUSH_API2: &str = "api2 push";
/// Pushes of characters to the home's own string, from empty.
pub const TEXT: &str = "text push";
/// Boxed nodes of eight children each, built and walked.
pub const TREE: &str = "tree";
/// Bytes of JSON, parsed into a tree of values.
pub const JSON: &str = "JSON";

/// Every operation, and how many a timed round has.
pub const ALL: [(&str, usize); 8] = [
    (GROW, 1_000_000),
    (INSERT, 1_000_000),
    (FIND, 1_000_000),
    (PUSH, 10_000_000),
    (PUSH_API2, 10_000_000),
    (TEXT, 1_000_000),
    (TREE, 1_000_000),
    (JSON, 10_000_000),
];

/// The name of this library's row.
pub const OURS: &str = "aegis-memory";
/// The rivals that free everything with one call.
pub const BUMPS: [&str; 3] = ["bumpalo", "bump-scope up", "bump-scope down"];

/// Every case.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    add::<Arena>(&mut cases, OURS);
    add::<bumpalo::Bump>(&mut cases, BUMPS[0]);
    add::<BumpScope<true>>(&mut cases, BUMPS[1]);
    add::<BumpScope<false>>(&mut cases, BUMPS[2]);
    add::<Mimalloc>(&mut cases, "mimalloc");
    add::<Std>(&mut cases, "std");
    cases
}

fn add<H: Home>(cases: &mut Vec<Case>, rival: &'static str) {
    for (operation, _) in ALL {
        let make = Box::new(move || match operation {
            FIND => found::<H>(),
            JSON => parsed::<H>(),
            _ => round_of::<H>(match operation {
                GROW => |home, count| {
                    inserted(home, HashMap::with_hasher_in(Mix::default(), home.allocator()), count)
                },
                INSERT => |home, count| {
                    let (hasher, allocator) = (Mix::default(), home.allocator());
                    let map = HashMap::with_capacity_and_hasher_in(count, hasher, allocator);
                    inserted(home, map, count);
                },
                PUSH => H::push_numbers,
                PUSH_API2 => pushed,
                TEXT => H::push_characters,
                TREE => grown,
                _ => unreachable!("an operation"),
            }),
        });
        cases.push(Case { rival, operation, make });
    }
}

fn round_of<H: Home>(work: fn(&H, usize)) -> Round {
    let mut home = H::new();
    Box::new(move |count| {
        work(&home, count);
        home.reset();
    })
}

/// Drops what a heap must free. An arena is reset instead.
fn give_up<H: Home, T>(value: T) {
    if H::IS_HEAP {
        drop(value);
    } else {
        mem::forget(value);
    }
}

/// A hasher whose result is the same in each run: a multiplication and a shift.
#[derive(Default)]
pub struct Mixer(u64);

type Mix = BuildHasherDefault<Mixer>;
type Map<A> = HashMap<u64, u64, Mix, A>;

impl Hasher for Mixer {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers");
    }
    #[inline(always)]
    fn write_u64(&mut self, key: u64) {
        let product = u128::from(key ^ 0x2545_f491_4f6c_dd1d) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Key `i` of a table. All are different.
#[inline(always)]
fn key(i: usize) -> u64 {
    (i as u64).wrapping_mul(0xd134_2543_de82_ef95)
}

fn inserted<H: Home>(_: &H, mut map: Map<H::In<'_>>, count: usize) {
    for i in 0..count {
        map.insert(key(i), hide(i) as u64);
    }
    assert_eq!(map.len(), count);
    keep(&map);
    give_up::<H, _>(map);
}

/// The table is made by the first round, and is found in by each.
fn found<H: Home>() -> Round {
    let home: &'static H = Box::leak(Box::new(H::new()));
    let mut map = Map::with_hasher_in(Mix::default(), home.allocator());
    Box::new(move |count| {
        if map.len() != count {
            map.clear();
            map.extend((0..count).map(|i| (key(i), i as u64)));
        }
        let mut sum = 0_u64;
        let mut i = 0;
        for _ in 0..count {
            // Steps of a number that has no divisor in common with the count reach every key.
            i = (i + 617_327) % count;
            sum = sum.wrapping_add(map[&key(i)]);
        }
        assert_eq!(sum, (count as u64 * (count as u64 - 1)) / 2);
    })
}

fn pushed<H: Home>(home: &H, count: usize) {
    let mut vec = VecIn::new_in(home.allocator());
    let mut i = 0;
    while i < count {
        vec.push(i as u64);
        i = hide(i) + 1;
    }
    keep(vec.as_ptr());
    give_up::<H, _>(vec);
}

const CHILDREN: usize = 8;

/// A node with as many keys as a node of the standard library's `BTreeMap` has at the least.
struct Node<'a, H: Home> {
    keys: [u64; CHILDREN - 1],
    children: [Option<H::Boxed<'a, Node<'a, H>>>; CHILDREN],
}

/// A tree of `count` nodes. Each is made after its children.
fn built<'a, H: Home>(home: &'a H, count: usize) -> Option<H::Boxed<'a, Node<'a, H>>> {
    if count == 0 {
        return None;
    }
    let below = count - 1;
    let children = std::array::from_fn(|i| {
        let share = below / CHILDREN + usize::from(i < below % CHILDREN);
        built(home, share)
    });
    Some(home.boxed(Node { keys: [count as u64; CHILDREN - 1], children }))
}

fn sum_of<H: Home>(node: &Node<'_, H>) -> u64 {
    let keys: u64 = node.keys.iter().sum();
    keys + node.children.iter().flatten().map(|child| sum_of::<H>(child)).sum::<u64>()
}

fn grown<H: Home>(home: &H, count: usize) {
    let root = built(home, count).expect("some nodes");
    assert!(hide(sum_of::<H>(&root) as usize) >= count);
    give_up::<H, _>(root);
}

/// The text is made by the first round.
fn parsed<H: Home>() -> Round {
    let mut home = H::new();
    let mut text = String::new();
    Box::new(move |count| {
        if text.len() != count {
            text = json::text_of(count);
        }
        let value = json::parse::<H>(&home, &text).expect("it is valid");
        assert!(hide(value.count()) > 0);
        give_up::<H, _>(value);
        home.reset();
    })
}
