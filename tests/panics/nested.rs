// SPDX-License-Identifier: Apache-2.0
//! Tests user code that the core calls and that itself uses objects whose user code panics. The
//! inner panic and the outer one must not mix: each comes out of its own call. A panic in a raw
//! call must end in that call.

use crate::support::panic_of;
use crate::support::panics::*;
use aegis_memory::arena::{Arena, ArenaRecycler, LockFreeArena, LockedArena};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::Buffer;
use aegis_memory::ffi;
use aegis_memory::pool::Pool;
use aegis_memory::source::{BlockSource, Global, SourceBlock};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// A value whose drop panics with its number.
struct Numbered(usize);

impl Drop for Numbered {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// A value whose drop uses other objects, in which panics are contained and resumed, and then
/// counts that it has come to its end.
struct Thorough(Arc<AtomicUsize>);

impl Drop for Thorough {
    fn drop(&mut self) {
        bystanders();
        let mut arena = Arena::default();
        arena.alloc_static(Numbered(77));
        assert_eq!(panic_of(|| arena.reset()), "77");
        bystanders();
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn finalizer_that_uses_objects_of_its_own_is_not_cut_short_by_the_panic_before_it() {
    let done = Arc::<AtomicUsize>::default();
    macro_rules! check {
        ($arena:expr) => {
            let mut arena = $arena;
            done.store(0, SeqCst);
            arena.alloc_static(Thorough(done.clone()));
            arena.alloc_static(Numbered(2));
            arena.alloc_static(Thorough(done.clone()));
            arena.alloc_static(Numbered(1));
            assert_eq!(panic_of(|| arena.reset()), "1");
            assert_eq!(done.load(SeqCst), 2);
            bystanders();
        };
    }
    check!(Arena::default());
    check!(LockFreeArena::default());
    check!(LockedArena::default());
    let recycler = ArenaRecycler::new(0, 0);
    check!(recycler.get());
}

/// A source that uses other objects and then panics when a block comes back.
struct BusySource(Arc<AtomicUsize>);

// SAFETY: the global allocator's blocks.
unsafe impl BlockSource for BusySource {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        bystanders();
        Global.acquire(layout)
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { Global.release(memory, layout) };
        bystanders();
        panic!("release {}", self.0.fetch_add(1, SeqCst));
    }
}

impl Drop for BusySource {
    fn drop(&mut self) {
        bystanders();
        panic!("close {}", self.0.load(SeqCst));
    }
}

#[test]
fn source_that_uses_objects_of_its_own_is_not_cut_short_and_the_first_panic_goes_on() {
    let count = Arc::<AtomicUsize>::default();
    let arena = Arena::builder().source(BusySource(count.clone())).build().unwrap();
    (0..4).for_each(|_| _ = arena.alloc(100_000));
    let blocks = arena.stats().block_count;
    assert_eq!(panic_of(|| drop(arena)), "release 0");
    assert_eq!(count.load(SeqCst), blocks);
    bystanders();
}

#[test]
fn pressure_callback_panics_alone_and_leaves_the_panic_of_the_call_around_it() {
    let budget = MemoryBudget::new("budget", 1 << 20);
    let called = Arc::<AtomicUsize>::default();
    let counter = called.clone();
    budget.on_pressure(1, move |_| {
        bystanders();
        counter.fetch_add(1, SeqCst);
        panic!("pressure");
    });
    drop(budget.reserve(1 << 19));
    assert_eq!(called.load(SeqCst), 1);
    bystanders();
    // The source panics at the growth step, which refuses that step. The charge of the second
    // request then calls the callback.
    let switch = Switch::default();
    let arena = Arena::builder().budget(&budget).source(switch.source()).build().unwrap();
    switch.set(ACQUIRE);
    assert_eq!(panic_of(|| arena.try_alloc(20_000)), "acquire");
    switch.set(NOTHING);
    assert!(called.load(SeqCst) >= 2);
    arena.alloc(10);
    bystanders();
}

#[test]
fn panic_in_a_raw_call_ends_there() {
    let switch = Switch::default();
    let mut arena = Arena::builder().source(switch.source()).build().unwrap();
    arena.alloc_static(Numbered(1));
    // SAFETY: no reference into the arena is live.
    unsafe { ffi::aegis_arena_reset(arena.as_raw()) };
    arena.alloc(10);
    bystanders();

    switch.set(RELEASE);
    // SAFETY: as above.
    unsafe { ffi::aegis_arena_clear(arena.as_raw()) };
    switch.set(ACQUIRE);
    // SAFETY: the arena is ours.
    let p = unsafe { ffi::aegis_arena_alloc_slow(arena.as_raw(), 10, 8, false) };
    assert!(p.is_null());
    switch.set(NOTHING);
    arena.alloc(10);
    bystanders();

    // That panic must not replace a panic of the next safe call, nor come out of that call.
    arena.alloc_static(Numbered(2));
    assert_eq!(panic_of(|| arena.reset()), "2");
    arena.alloc(10);

    let mut raw = Buffer::from_owner(Numbered(3)).into_raw();
    // SAFETY: the only handle, which is not used again.
    unsafe { ffi::aegis_buffer_release(&mut raw) };
    let pool = small(Pool::builder(), &switch);
    let all = [pool.alloc().unwrap(), pool.alloc().unwrap()];
    switch.set(ACQUIRE);
    // SAFETY: the pool is ours.
    assert!(unsafe { ffi::aegis_pool_alloc_slow(pool.as_raw(), false) }.is_null());
    switch.set(NOTHING);
    drop((all, pool.alloc().unwrap()));
    bystanders();
}

impl AsRef<[u8]> for Numbered {
    fn as_ref(&self) -> &[u8] {
        b"number"
    }
}

#[test]
fn raw_call_in_a_finalizer_leaves_the_panic_of_the_call_around_it() {
    struct CallsRaw(Arena);
    impl Drop for CallsRaw {
        fn drop(&mut self) {
            self.0.alloc_static(Numbered(5));
            // SAFETY: no reference into the arena is live.
            unsafe { ffi::aegis_arena_reset(self.0.as_raw()) };
            self.0.alloc(10);
        }
    }
    let mut arena = Arena::default();
    arena.alloc_static(CallsRaw(Arena::default()));
    arena.reset();
    arena.alloc_static(CallsRaw(Arena::default()));
    arena.alloc_static(Numbered(6));
    assert_eq!(panic_of(|| arena.reset()), "6");
    bystanders();
}

#[test]
fn callback_in_c_style_that_uses_safe_objects_leaves_the_panic_of_the_call_around_it() {
    unsafe extern "C" fn busy(count: *mut std::ffi::c_void) {
        bystanders();
        let mut arena = Arena::default();
        arena.alloc_static(Numbered(8));
        assert_eq!(panic_of(|| arena.reset()), "8");
        // SAFETY: the counter below.
        unsafe { &*count.cast::<AtomicUsize>() }.fetch_add(1, SeqCst);
    }
    let count = AtomicUsize::new(0);
    let context = std::ptr::addr_of!(count).cast_mut().cast();
    let mut arena = Arena::default();
    // SAFETY: the counter outlives the arena's reset.
    unsafe { ffi::aegis_arena_defer(arena.as_raw(), Some(busy), context) };
    arena.alloc_static(Numbered(7));
    assert_eq!(panic_of(|| arena.reset()), "7");
    assert_eq!(count.load(SeqCst), 1);
    bystanders();
}

#[test]
fn panic_contained_while_another_unwinds_is_dropped_there() {
    let message = panic_of(|| {
        let mut arena = Arena::default();
        arena.alloc_static(Numbered(9));
        let _guard = arena.alloc(1);
        arena.reset();
        unreachable!();
    });
    assert_eq!(message, "9");
    let message = panic_of(|| {
        let arena = Arena::default();
        arena.alloc_static(Numbered(10));
        panic!("the first");
    });
    assert_eq!(message, "the first");
    bystanders();
}

#[test]
fn payload_whose_drop_panics_is_left_alone() {
    struct Nasty;
    impl Drop for Nasty {
        fn drop(&mut self) {
            // The library forgets the payload of this panic. This one takes no memory.
            std::panic::resume_unwind(Box::new(()));
        }
    }
    struct PanicsWithIt;
    impl Drop for PanicsWithIt {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(Nasty));
        }
    }
    let mut arena = Arena::default();
    arena.alloc_static(PanicsWithIt);
    arena.alloc_static(Numbered(11));
    assert_eq!(panic_of(|| arena.reset()), "11");
    bystanders();
}
