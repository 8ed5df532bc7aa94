// SPDX-License-Identifier: Apache-2.0
//! Tests what an arena's builder offers against mistakes and secrets: guards, fill patterns,
//! wiping, own blocks. No secret may be left in memory that a wiped arena gives back, and an
//! overrun must be reported by name. An overrun happens in a child process, which is this program
//! again.

use crate::support::runner::command_for;
use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use aegis_memory::arena::{Arena, ArenaBuilder};
use aegis_memory::source::{BlockSource, SourceBlock};

const CRIME: &str = "AEGIS_TEST_CRIME";
const SECRET: u8 = 0x5E;

/// A source that searches the memory it gets back. Four bytes of the secret in a row count as a
/// leak; fewer may be part of an address.
#[derive(Default)]
struct Inspector {
    released: AtomicUsize,
    leaking: AtomicUsize,
}

// SAFETY: the system's allocator gives disjoint, aligned blocks, zeroed as asked.
unsafe impl BlockSource for Inspector {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        // SAFETY: the size is not 0.
        let memory = unsafe { System.alloc_zeroed(layout) };
        NonNull::new(memory).map(|memory| SourceBlock { memory, zeroed: true })
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the block is valid for its size, and was zeroed when it was handed out.
        let bytes = unsafe { slice::from_raw_parts(memory.as_ptr(), layout.size()) };
        let leaks = bytes.windows(4).any(|w| w == [SECRET; 4]);
        self.released.fetch_add(1, Ordering::Relaxed);
        self.leaking.fetch_add(usize::from(leaks), Ordering::Relaxed);
        // SAFETY: came from `acquire` with the same layout.
        unsafe { System.dealloc(memory.as_ptr(), layout) }
    }
}

/// Puts secrets in an arena and frees them in every way. Returns how many blocks the arena gave
/// back, and how many of these still had a secret.
fn spill_secrets(settings: impl FnOnce(ArenaBuilder) -> ArenaBuilder) -> (usize, usize) {
    let source = Arc::new(Inspector::default());
    let mut arena = settings(Arena::builder().source(Arc::clone(&source))).build().unwrap();
    let secrets = |arena: &Arena| {
        for size in [1, 100, 3000, 40_000, 70] {
            arena.alloc(size).fill(SECRET);
        }
    };
    for _ in 0..3 {
        secrets(&arena);
        arena.reset();
    }
    arena.scope(|s| secrets(s));
    arena.trim(0);
    secrets(&arena);
    arena.clear();
    secrets(&arena);
    drop(arena);
    (source.released.load(Ordering::Relaxed), source.leaking.load(Ordering::Relaxed))
}

#[test]
fn wipe_on_reset_leaves_no_secret_in_what_is_given_back() {
    let (released, leaking) = spill_secrets(|b| b.wipe_on_reset(true));
    assert!(released > 2);
    assert_eq!(leaking, 0);
    assert_eq!(spill_secrets(|b| b.wipe_on_reset(true).no_debug()).1, 0);
    assert_eq!(spill_secrets(|b| b.wipe_on_reset(true).debug_own_blocks(true)).1, 0);
}

#[test]
fn without_wipe_secrets_are_given_back() {
    let (_, leaking) = spill_secrets(|b| b.wipe_on_reset(true).wipe_on_reset(false).no_debug());
    assert!(leaking > 0);
}

#[test]
fn fill_shows_in_fresh_memory_and_not_in_zeroed() {
    let mut arena = Arena::builder().no_debug().debug_fill(true).build().unwrap();
    for _ in 0..2 {
        assert!(arena.alloc(100).iter().all(|&byte| byte == 0));
        let fresh = arena.alloc_uninit(100);
        // SAFETY: the fill has initialised the bytes.
        let filled = fresh.iter().all(|byte| unsafe { byte.assume_init() } == 0xA5);
        assert!(filled || cfg!(feature = "valgrind"));
        arena.reset();
    }
}

#[test]
fn own_blocks_are_one_per_allocation_and_go_at_reset() {
    let mut arena = Arena::builder().debug_own_blocks(true).build().unwrap();
    for count in 1..5 {
        arena.alloc(10);
        assert_eq!(arena.stats().block_count, count);
    }
    arena.reset();
    assert_eq!(arena.stats().block_count, 0);
    assert_eq!(arena.alloc(10), [0; 10]);
}

/// Writes one byte behind an allocation.
fn overrun(settings: impl FnOnce(ArenaBuilder) -> ArenaBuilder) {
    let mut arena = settings(Arena::builder().name("victim")).build().unwrap();
    arena.alloc(100);
    let bytes = arena.alloc_uninit(24).as_mut_ptr();
    // SAFETY: none: this is the crime. The byte is in the arena's block.
    unsafe { bytes.add(24).cast::<u8>().write_volatile(1) };
    arena.reset();
}

fn overrun_with_guard() {
    overrun(|b| b.no_debug().debug_guard(true));
}

fn overrun_without_guard() {
    overrun(ArenaBuilder::no_debug);
}

fn overrun_by_default() {
    overrun(|b| b);
}

const CRIMES: [(&str, fn()); 3] = [
    ("overrun_with_guard", overrun_with_guard),
    ("overrun_without_guard", overrun_without_guard),
    ("overrun_by_default", overrun_by_default),
];

/// Runs the overrun that the environment names.
#[test]
#[ignore = "no test of its own: the child process of the others"]
fn commit_crime() {
    let name = env::var(CRIME).unwrap_or_default();
    if let Some((_, crime)) = CRIMES.iter().find(|(known, _)| *known == name) {
        crime();
    }
}

/// What the child prints to stderr when it runs this overrun.
fn report_of(crime: &str) -> String {
    let mut child = command_for(&env::current_exe().expect("the test program has a path"));
    child.args(["--exact", "debug::commit_crime", "--ignored", "--nocapture"]).env(CRIME, crime);
    let output = child.output().expect("the test program can be run");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const OVERRUN: &str = "aegis-memory: arena 'victim': allocation 2, of 24 bytes, was overrun";

/// Whether a checker is compiled into the core. The core then has no guards.
fn is_checked() -> bool {
    let arena = Arena::builder().capacity(100).no_debug().build().unwrap();
    // SAFETY: reads a field of an arena that is alive.
    unsafe { (*arena.as_raw()).guard_bytes != 0 }
}

#[test]
fn overrun_of_a_guarded_arena_is_reported_by_name() {
    let report = report_of("overrun_with_guard");
    assert!(is_checked() || report.contains(OVERRUN), "{report}");
}

#[test]
fn debug_is_on_in_the_dev_profile_and_with_the_feature_only() {
    let expected = cfg!(feature = "debug") || env!("AEGIS_PROFILE") == "debug";
    let flags = aegis_memory::build_flags();
    assert_eq!((flags.debug, aegis_memory::is_debug()), (expected, expected), "{flags:?}");
    assert_eq!(flags.asan || flags.valgrind, is_checked(), "{flags:?}");
    let arena = Arena::new(100);
    let (first, second) = (arena.alloc(8).as_ptr() as usize, arena.alloc(8).as_ptr() as usize);
    assert_eq!(second - first == 8, !expected && !is_checked());
}

#[test]
fn overrun_is_reported_by_default_in_debug_builds_only() {
    let report = report_of("overrun_by_default");
    assert!(is_checked() || report.contains(OVERRUN) == aegis_memory::is_debug(), "{report}");
    let report = report_of("overrun_without_guard");
    assert!(is_checked() || report.is_empty(), "{report}");
}
