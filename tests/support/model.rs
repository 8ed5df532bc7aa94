// SPDX-License-Identifier: Apache-2.0
//! A model of the memory of an arena: every live allocation with its alignment and its content.
//!
//! Each allocation is filled with a byte of its own, as far as there are enough different bytes.
//! `check` finds an allocation that was overwritten; `add` finds one that overlaps another one or
//! is misaligned.

use std::ptr::NonNull;

/// One live allocation.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    pub at: NonNull<u8>,
    pub len: usize,
    pub align: usize,
    /// The scope that it came from. 0 is the arena itself.
    pub depth: usize,
    seed: u8,
}

impl Live {
    fn bytes(&self) -> &[u8] {
        // SAFETY: live, and written by `add` or `resized`; the arena is not reset meanwhile.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }

    fn fill(&self, from: usize) {
        // SAFETY: the allocation is live and ours.
        unsafe { self.at.as_ptr().add(from).write_bytes(self.seed, self.len - from) };
    }

    #[track_caller]
    fn check(&self, len: usize) {
        let changed = self.bytes()[..len].iter().position(|&byte| byte != self.seed);
        assert_eq!(changed, None, "this byte of {self:?} was overwritten");
    }
}

/// All live allocations of an arena.
#[derive(Default)]
pub struct Model {
    pub live: Vec<Live>,
    seed: u8,
}

impl Model {
    /// Adds a new allocation to the model and fills it.
    #[track_caller]
    pub fn add(&mut self, at: NonNull<u8>, len: usize, align: usize, depth: usize) {
        self.seed = self.seed.wrapping_add(31);
        let new = Live { at, len, align, depth, seed: self.seed };
        self.assert_sound(&new);
        new.fill(0);
        self.live.push(new);
    }

    /// Records that allocation `index` was resized and perhaps moved. The part that both sizes have
    /// must be unchanged; the rest is filled.
    #[track_caller]
    pub fn resized(&mut self, index: usize, at: NonNull<u8>, len: usize, align: usize) {
        let old = self.live.swap_remove(index);
        let new = Live { at, len, align, ..old };
        self.assert_sound(&new);
        new.check(old.len.min(len));
        new.fill(old.len.min(len));
        self.live.push(new);
    }

    /// At the end of a scope: checks the content of all allocations, and then forgets those from
    /// scopes at `depth` and deeper.
    #[track_caller]
    pub fn end_scope(&mut self, depth: usize) {
        self.check();
        self.live.retain(|live| live.depth < depth);
    }

    #[track_caller]
    pub fn check(&self) {
        for live in &self.live {
            live.check(live.len);
        }
    }

    #[track_caller]
    fn assert_sound(&self, new: &Live) {
        let start = new.at.as_ptr() as usize;
        assert_eq!(start % new.align, 0, "{new:?} is misaligned");
        for old in &self.live {
            let old_start = old.at.as_ptr() as usize;
            let apart = start + new.len <= old_start || old_start + old.len <= start;
            assert!(apart || new.len == 0 || old.len == 0, "{new:?} overlaps {old:?}");
        }
    }
}

/// Demands that the bytes are all zero, and dirties them, so that a later claim of zeroes means
/// something.
#[track_caller]
pub fn assert_zero_and_dirty(bytes: &mut [u8]) {
    assert!(bytes.iter().all(|&byte| byte == 0), "memory that was promised zero is not");
    bytes.fill(super::DIRT);
}
