// SPDX-License-Identifier: Apache-2.0
//! Tests that the statistics of every object are the same with each debug option and in every
//! build, except for what [`ArenaStats`] says that an option adds. `tests/c/statistics_test.c` and
//! `tests/c/statistics_forms_test.c` test the same in C, with marks and resizing.

use aegis_memory::arena::{
    Arena, ArenaBuilder, ArenaRecycler, ArenaStats, FixedArena, LockFreeArena, LockedArena,
};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::BufferPool;
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, PoolStats};
use std::mem::MaybeUninit;

/// An arena of some form, and what was seen of it after each operation. Each request is larger by
/// `extra` bytes.
struct Run<A> {
    arena: A,
    budget: MemoryBudget,
    extra: usize,
    seen: Vec<ArenaStats>,
}

trait Form: Sized {
    fn take(&self, size: usize) -> bool;
    fn reset(&mut self);
    fn trim(&mut self, keep: usize);
    fn clear(&mut self);
    fn stats(&self) -> ArenaStats;
    /// Allocates in a scope, and beside it. Returns the statistics of both arenas.
    fn nest(&self, _: &dyn Fn(usize) -> usize) -> Vec<ArenaStats> {
        Vec::new()
    }
}

macro_rules! form {
    ($arena:ty $(, $nest:item)?) => {
        impl Form for $arena {
            fn take(&self, size: usize) -> bool {
                self.try_alloc(size).is_ok()
            }
            fn reset(&mut self) {
                <$arena>::reset(self);
            }
            fn trim(&mut self, keep: usize) {
                <$arena>::trim(self, keep);
            }
            fn clear(&mut self) {
                <$arena>::clear(self);
            }
            fn stats(&self) -> ArenaStats {
                <$arena>::stats(self)
            }
            $($nest)?
        }
    };
}

form!(
    Arena,
    fn nest(&self, size: &dyn Fn(usize) -> usize) -> Vec<ArenaStats> {
        let mut seen = Vec::new();
        for round in 0..3 {
            self.scope(|inner| {
                for n in 1..10 {
                    inner.alloc(size(n * 16));
                    self.alloc(size(24 * round + 8));
                    seen.extend([inner.stats(), self.stats()]);
                }
            });
            seen.push(self.stats());
        }
        seen
    }
);
form!(LockedArena);

impl<A: Form> Run<A> {
    fn note(&mut self) {
        let stats = self.arena.stats();
        assert_eq!(self.budget.stats().used_bytes, stats.reserved_bytes);
        self.seen.push(stats);
    }

    fn take(&mut self, size: usize) {
        assert!(self.arena.take(size + self.extra));
        self.note();
    }

    fn fill(&mut self) {
        for i in 0..40 {
            self.take([16, 200, 8, 1000, 40, 504, 24, 2000][i % 8]);
            if i == 20 {
                self.take(90_000);
            }
        }
        assert!(!self.arena.take(usize::MAX));
        self.note();
    }

    fn work(mut self) -> Vec<ArenaStats> {
        self.note();
        self.fill();
        self.arena.reset();
        self.note();
        let acquired = self.arena.stats().acquired_count;
        self.fill();
        let own_blocks = self.seen[1].block_count != self.seen[2].block_count;
        assert!(own_blocks || self.arena.stats().acquired_count == acquired);
        let extra = self.extra;
        let nested = self.arena.nest(&|size| size + extra);
        self.seen.extend(nested);
        self.arena.trim(5000);
        self.note();
        self.arena.reset();
        self.note();
        self.arena.trim(5000);
        self.note();
        self.take(16);
        self.arena.clear();
        self.note();
        self.take(16);
        self.seen
    }
}

/// The statistics of a run with these options.
macro_rules! work {
    ($arena:ident, $extra:expr, $set:expr) => {{
        let budget = MemoryBudget::new("run", usize::MAX);
        let set: fn(ArenaBuilder<$arena>) -> ArenaBuilder<$arena> = $set;
        let arena = set($arena::builder().budget(&budget)).build().unwrap();
        Run { arena, budget, extra: $extra, seen: Vec::new() }.work()
    }};
}

/// The bytes that guards take behind each allocation of such an arena.
fn added_by(set: fn(ArenaBuilder) -> ArenaBuilder) -> usize {
    let remaining = |set: fn(ArenaBuilder) -> ArenaBuilder| {
        let arena = set(Arena::builder().capacity(1000)).build().unwrap();
        arena.alloc(8);
        arena.stats().remaining_bytes
    };
    remaining(|arena| arena.no_debug()) - remaining(set)
}

/// Demands that what guards do not count in is as in a plain run, and everything else as in a plain
/// run whose requests are larger by a guard.
fn compare(with: &[ArenaStats], plain: &[ArenaStats], larger: &[ArenaStats]) {
    assert!(with.len() == plain.len() && with.len() == larger.len());
    for (at, ((with, plain), larger)) in with.iter().zip(plain).zip(larger).enumerate() {
        let mut expected = *larger;
        expected.used_bytes = plain.used_bytes;
        expected.peak_used_bytes = plain.peak_used_bytes;
        assert_eq!(*with, expected, "sample {at}");
    }
}

macro_rules! each_option {
    ($arena:ident, $($set:expr),* $(,)?) => {{
        let plain = work!($arena, 0, |arena| arena.no_debug());
        $(
            let larger = work!($arena, added_by($set), |arena| arena.no_debug());
            compare(&work!($arena, 0, $set), &plain, &larger);
        )*
    }};
}

#[test]
fn no_option_changes_a_statistic_except_by_its_rule() {
    macro_rules! options_of {
        ($arena:ident) => {
            each_option!(
                $arena,
                |arena| arena,
                |arena| arena.debug_fill(true),
                |arena| arena.debug_guard(true),
                |arena| arena.wipe_on_reset(true).no_debug(),
                |arena| arena.debug_guard(true).no_debug(),
                |arena| arena.debug_guard(true).debug_fill(true).wipe_on_reset(true),
            )
        };
    }
    options_of!(Arena);
    options_of!(LockedArena);
}

#[test]
fn own_blocks_change_blocks_and_nothing_else() {
    let plain = work!(Arena, 0, |arena| arena.no_debug());
    let own = work!(Arena, 0, |arena| arena.no_debug().debug_own_blocks(true));
    let guarded = work!(Arena, 0, |arena| arena.debug_own_blocks(true).debug_guard(true));
    let guard = added_by(|arena| arena.debug_guard(true));
    assert_eq!(plain.len(), own.len());
    for ((plain, own), guarded) in plain.iter().zip(&own).zip(&guarded) {
        assert_eq!(own.used_bytes, plain.used_bytes);
        assert_eq!(own.peak_used_bytes, plain.peak_used_bytes);
        assert_eq!((own.wasted_bytes, own.reset_count), (0, plain.reset_count));
        assert_eq!(own.block_count as u64, own.acquired_count - own.released_count);
        let mut expected = *own;
        expected.capacity_bytes += own.block_count * guard;
        expected.reserved_bytes += own.block_count * guard;
        assert_eq!(*guarded, expected);
    }
}

/// Each test of a form below uses 100 times 16 bytes, twice.
fn use_twice(mut take: impl FnMut() -> ArenaStats, expected: usize) {
    for round in 1..=100 {
        let stats = take();
        assert_eq!(stats.used_bytes, 16 * round);
        assert_eq!(stats.peak_used_bytes, expected.max(16 * round));
    }
}

#[test]
fn forms_without_options_count_the_same_in_every_build() {
    let mut memory = [MaybeUninit::<u8>::uninit(); 20_000];
    let mut fixed = FixedArena::new(&mut memory);
    let recycler = ArenaRecycler::new(2, 100_000);
    let shared = LockFreeArena::new(0);
    let local = shared.local();
    for peak in [0, 1600] {
        use_twice(|| (fixed.alloc(16), fixed.stats()).1, peak);
        fixed.reset();
        assert_eq!(fixed.stats().peak_used_bytes, 1600);
        let arena = recycler.get();
        use_twice(|| (arena.alloc(16), arena.stats()).1, peak);
    }
    use_twice(|| (local.alloc(16), local.stats()).1, 0);
    assert_eq!((recycler.stats().made_count, recycler.stats().reused_count), (1, 1));
    assert_eq!((recycler.stats().idle_count, recycler.stats().out_count), (1, 0));
}

#[test]
fn a_reset_does_not_raise_the_peak_of_a_lock_free_arena() {
    let mut shared = LockFreeArena::new(0);
    for _ in 0..3 {
        for _ in 0..100 {
            shared.alloc(16);
        }
        let before = shared.stats();
        shared.reset();
        let after = shared.stats();
        assert_eq!((before.peak_used_bytes, after.used_bytes), (before.used_bytes, 0));
        assert_eq!(after.peak_used_bytes, before.peak_used_bytes);
    }
}

/// The numbers of a pool of 10 blocks that may grow to 25 and has 12 out.
fn check_pool(stats: PoolStats, budget: &MemoryBudget) {
    assert_eq!((stats.block_bytes, stats.align_bytes), (48, 16));
    assert_eq!((stats.capacity, stats.max_capacity, stats.slab_count), (20, 25, 2));
    assert_eq!((stats.in_use, stats.available, stats.peak_in_use), (12, 8, 12));
    assert_eq!((stats.parked, stats.acquired_count, stats.released_count), (0, 3, 0));
    assert!(stats.reserved_bytes > 20 * stats.stride_bytes);
    assert_eq!(budget.stats().used_bytes, stats.reserved_bytes);
}

#[test]
fn pools_count_the_same_in_every_build() {
    macro_rules! check {
        ($pool:ident) => {{
            let budget = MemoryBudget::new("pool", usize::MAX);
            let pool = $pool::builder().block_size(48).blocks(10).max_blocks(25).budget(&budget);
            let pool = pool.build().unwrap();
            let _out: Vec<_> = (0..12).map(|_| pool.alloc().unwrap()).collect();
            check_pool(pool.stats(), &budget);
        }};
    }
    check!(Pool);
    check!(LockedPool);
    check!(LockFreePool);
    let budget = MemoryBudget::new("buffers", usize::MAX);
    let pool = BufferPool::builder().class_growing(4096, 4, 8).budget(&budget).build().unwrap();
    let _out: Vec<_> = (0..5).map(|_| pool.get(10).unwrap()).collect();
    let stats = pool.stats();
    assert_eq!((stats.classes[0].capacity, stats.classes[0].max_capacity), (8, 8));
    assert_eq!((stats.classes[0].in_use, stats.heap_count, stats.refused_count), (5, 0, 0));
    assert_eq!(budget.stats().used_bytes, stats.reserved_bytes);
}
