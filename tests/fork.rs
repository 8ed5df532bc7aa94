// SPDX-License-Identifier: Apache-2.0
//! Tests objects in a child process that was forked while another thread used them. Each object
//! must either work there or fail with an error that says it is lost.
#![cfg(all(feature = "std", unix))]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use aegis_memory::arena::LockedArena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::LockedPool;
use aegis_memory::AllocError;

/// What a child process has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Found {
    Works = 10,
    Lost,
    Wrong,
}

fn look<T>(result: Result<T, AllocError>) -> Found {
    match result {
        Ok(_) => Found::Works,
        Err(error @ AllocError::Forked { .. }) => {
            let says = error.to_string();
            let names = says.contains("when the process forked: ") && says.contains("requested");
            if names && !says.contains(" 0 bytes") && !says.contains("in use,") {
                Found::Lost
            } else {
                Found::Wrong
            }
        }
        Err(_) => Found::Wrong,
    }
}

/// Forks and runs `look` in the child. The child ends at once after it and runs nothing else of the
/// parent's.
fn fork_and(look: impl Fn() -> Found) -> Found {
    // SAFETY: the child allocates, which the C library allows after a fork, and ends at once.
    unsafe {
        match libc::fork() {
            0 => {
                libc::alarm(60); // against a hang
                libc::_exit(look() as i32)
            }
            child => {
                assert!(child > 0);
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &mut status, 0), child);
                assert!(libc::WIFEXITED(status), "the child was killed: status {status}");
                [Found::Works, Found::Lost, Found::Wrong]
                    .into_iter()
                    .find(|&found| found as i32 == libc::WEXITSTATUS(status))
                    .expect("the child says what it found")
            }
        }
    }
}

/// Without this, a debug build would report each lost object.
fn silence_reports() {
    // SAFETY: no function is as good as any.
    unsafe { aegis_memory::ffi::aegis_set_report(None) };
}

/// Forks again and again while another thread does `work`, until a child has found the object lost.
fn fork_until_lost(work: impl Fn() + Sync, look: impl Fn() -> Found) {
    silence_reports();
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Relaxed) {
                work();
            }
        });
        let found = (0..1000).map(|_| fork_and(&look)).find(|&found| found != Found::Works);
        done.store(true, Relaxed);
        assert_eq!(found, Some(Found::Lost));
    });
}

#[test]
fn budget_whose_children_are_lost_after_a_fork_says_so() {
    let root = MemoryBudget::new("root", usize::MAX);
    let _children: Vec<_> = (0..1000).map(|_| root.child("child", 1)).collect();
    // The snapshot holds the lock for as long as it reads the children.
    let work = || drop(root.snapshot());
    fork_until_lost(work, || {
        let charged = root.try_reserve(10).is_ok();
        let other = MemoryBudget::new("other", 1).try_child("child", 1).is_ok();
        if charged && other {
            look(root.try_child("one more", 1))
        } else {
            Found::Wrong
        }
    });
}

#[test]
fn locked_pool_that_was_in_use_at_a_fork_says_so() {
    let pool = LockedPool::new(64, 1 << 16);
    let work = || {
        let mut blocks = Vec::new();
        pool.alloc_n(1 << 15, &mut blocks).expect("half of the blocks");
    };
    fork_until_lost(work, || look(pool.alloc().map(std::mem::forget)));
}

#[test]
fn locked_arena_that_was_in_use_at_a_fork_says_so() {
    let arena = LockedArena::new(1 << 16);
    let work = || assert_ne!(arena.stats().reserved_bytes, 0);
    fork_until_lost(work, || look(arena.try_alloc_uninit(8)));
}
