// SPDX-License-Identifier: Apache-2.0
//! Tests that block sources and pressure callbacks may use the locked arena that calls them. They
//! run without the arena's lock, so no call may hang; each test has a minute.

use crate::support::TestSource;
use aegis_memory::arena::LockedArena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::source::{BlockSource, SourceBlock};
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

/// An arena that its own source or budget uses once it is there.
type Held = Arc<OnceLock<LockedArena>>;

/// Runs `f` in a thread of its own and fails if `f` takes longer than a minute.
#[track_caller]
fn within_a_minute(f: impl FnOnce() + Send + 'static) {
    let (done, finished) = std::sync::mpsc::channel();
    let worker = thread::spawn(move || {
        f();
        _ = done.send(());
    });
    let result = finished.recv_timeout(Duration::from_secs(60));
    assert!(!matches!(result, Err(RecvTimeoutError::Timeout)), "it hangs");
    worker.join().expect("no panic");
}

#[test]
fn pressure_callback_allocates_from_the_locked_arena_that_grows() {
    within_a_minute(|| {
        let held = Held::default();
        let told = Arc::new(AtomicUsize::new(0));
        let budget = MemoryBudget::new("q", 1 << 20);
        // The reference is weak: otherwise the arena would keep itself alive through its budget.
        let (in_callback, count) = (Arc::downgrade(&held), told.clone());
        budget.on_pressure(1, move |_| {
            let held = in_callback.upgrade().expect("in use");
            let arena = held.get().expect("built without a block");
            arena.alloc_str("told").make_ascii_uppercase();
            *arena.alloc_static(vec![1]) = vec![2];
            assert!(arena.alloc(50_000).iter().all(|&byte| byte == 0));
            count.fetch_add(1, SeqCst);
        });
        let arena = held
            .get_or_init(|| LockedArena::builder().budget(&budget).build().expect("no block yet"));
        assert!(arena.alloc(100_000).iter().all(|&byte| byte == 0));
        assert_eq!(told.load(SeqCst), 1);
        assert_eq!(budget.used(), arena.stats().reserved_bytes);
    });
}

/// A source that allocates from its own arena and lets another thread do so at the same time.
struct UsesItsArena {
    inner: TestSource,
    held: Weak<OnceLock<LockedArena>>,
    used: Arc<AtomicUsize>,
}

std::thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: the inner source keeps the contract.
unsafe impl BlockSource for UsesItsArena {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        if let (false, Some(held)) = (INSIDE.get(), self.held.upgrade()) {
            INSIDE.set(true);
            let arena = held.get().expect("built without a block");
            arena.alloc(700).fill(1);
            thread::scope(|threads| {
                threads.spawn(|| {
                    INSIDE.set(true);
                    arena.alloc_slice_from_iter((0..2000).filter(|n| n % 3 == 0));
                });
            });
            self.used.fetch_add(1, SeqCst);
            INSIDE.set(false);
        }
        self.inner.acquire(layout)
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller vouches for both.
        unsafe { self.inner.release(memory, layout) }
    }
}

#[test]
fn source_allocates_from_its_locked_arena_while_threads_do() {
    within_a_minute(|| {
        let held = Held::default();
        let used = Arc::new(AtomicUsize::new(0));
        let (inner, log) = TestSource::new();
        let source = UsesItsArena { inner, held: Arc::downgrade(&held), used: used.clone() };
        held.get_or_init(|| LockedArena::builder().source(source).build().expect("no block yet"));
        thread::scope(|threads| {
            for mark in 1..=3_u8 {
                let arena = held.get().expect("set above");
                threads.spawn(move || {
                    let mut kept = Vec::new();
                    for size in 0..300 {
                        let bytes = arena.alloc(size * 5);
                        assert!(bytes.iter().all(|&byte| byte == 0));
                        bytes.fill(mark);
                        kept.push(bytes);
                    }
                    assert!(kept.iter().all(|bytes| bytes.iter().all(|&byte| byte == mark)));
                });
            }
        });
        assert!(used.load(SeqCst) > 0);
        drop(held);
        log.assert_finished();
    });
}
