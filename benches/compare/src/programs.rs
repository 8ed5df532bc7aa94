// SPDX-License-Identifier: Apache-2.0
//! Whole programs, each on this library and on its rivals. `src/bin/program.rs` runs one of them as
//! a process, and `src/bin/programs.rs` runs all in turns and compares what the processes say.
//!
//! A program is one generic function, so its algorithm is the same for each allocator. What it
//! computes is the same too, and the driver checks that. An allocator is made and dropped within
//! the time that is measured. What the program needs beside it, such as its input, is made before.

pub mod echo;
pub mod hash;
pub mod json;
pub mod pages;
pub mod places;
pub mod table;
pub mod tree;

/// The work that is timed. It returns a checksum of its results.
pub type Work = Box<dyn FnOnce() -> u64>;

/// A row of a program's table: an allocator at some settings.
pub struct Rival {
    /// What the table and the command line call it.
    pub name: &'static str,
    /// A variable of the environment that sets the allocator of the process, and its value.
    pub setting: Option<(&'static str, &'static str)>,
    /// Prepares the program, in full or with a small input.
    pub prepare: fn(small: bool) -> Work,
}

/// A program and its rows, of which the first is this library.
pub struct Program {
    /// What the command line calls it.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// The rows.
    pub rivals: Vec<Rival>,
}

/// The name of this library's row in each program.
pub const OURS: &str = "aegis-memory";
/// Lets glibc ask for huge pages, as this library's `Pages` source does. bumpalo and bump-scope
/// take their memory from glibc.
const GLIBC_HUGE: Option<(&str, &str)> = Some(("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"));
/// Lets mimalloc do so.
const MIMALLOC_HUGE: Option<(&str, &str)> = Some(("MIMALLOC_ALLOW_LARGE_OS_PAGES", "1"));

/// Every program.
pub fn programs() -> Vec<Program> {
    vec![json::program(), hash::aggregation(), hash::join(), tree::program(), echo::program()]
}

impl Rival {
    /// A row with the allocator's default settings.
    fn new(name: &'static str, prepare: fn(bool) -> Work) -> Self {
        Self { name, setting: None, prepare }
    }

    /// A row with a variable of the environment.
    fn set(
        name: &'static str,
        setting: Option<(&'static str, &'static str)>,
        prepare: fn(bool) -> Work,
    ) -> Self {
        Self { name, setting, prepare }
    }
}

/// The rows of a program that has one function for each allocator, with and without huge pages.
macro_rules! rivals {
    ($ours:expr, $bumpalo:expr, $bump_scope:expr, $mimalloc:expr, $glibc:expr) => {
        vec![
            Rival::new(OURS, $ours),
            Rival::set("bumpalo, huge pages", GLIBC_HUGE, $bumpalo),
            Rival::set("bump-scope, huge pages", GLIBC_HUGE, $bump_scope),
            Rival::new("mimalloc", $mimalloc),
            Rival::set("mimalloc, huge pages", MIMALLOC_HUGE, $mimalloc),
            Rival::new("glibc", $glibc),
            Rival::set("glibc, huge pages", GLIBC_HUGE, $glibc),
        ]
    };
}
use rivals;

/// A number that looks random: the output of splitmix64 for this input.
#[inline(always)]
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number below `end` that looks random and depends on `seed` alone.
#[inline(always)]
fn random_below(seed: u64, end: u64) -> u64 {
    ((u128::from(random(seed)) * u128::from(end)) >> 64) as u64
}

/// A hash of the bytes: a multiplication for each eight of them.
#[inline(always)]
fn hash_of(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut hash = bytes.len() as u64;
    for &word in words.iter().chain([&last]) {
        let word = u64::from_le_bytes(word) ^ 0x2545_f491_4f6c_dd1d;
        let product = u128::from(hash ^ word) * 0x9e37_79b9_7f4a_7c15;
        hash = product as u64 ^ (product >> 64) as u64;
    }
    hash
}
