// SPDX-License-Identifier: Apache-2.0
//! Runs a test on every form of arena, and values that note their drops.
#![allow(dead_code)]

use std::cell::RefCell;

/// Writes its number into a journal when it is dropped.
#[derive(Debug)]
pub struct Entry<'a>(pub &'a Journal, pub u32);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

pub type Journal = RefCell<Vec<u32>>;

/// Runs a test on every form of arena.
macro_rules! on_every_arena {
    (|$arena:ident| $test:expr) => {{
        let $arena = &Arena::default();
        $test;
        $arena.scope(|$arena| $test);
        let $arena = &LockFreeArena::default();
        $test;
        let $arena = &$arena.local();
        $test;
        let $arena = &LockedArena::default();
        $test;
    }};
}
