// SPDX-License-Identifier: Apache-2.0
//! Tests every kind of object in a thread-local variable. The object is used, and is dropped at the
//! end of the thread, also from the destructors of other such variables. A mistake there would end
//! the process.
#![cfg(feature = "std")]

mod support;

use aegis_memory::arena::{
    Arena, ArenaRecycler, FixedArena, LocalArena, LockFreeArena, LockedArena, OwnedRecycledArena,
};
use aegis_memory::budget::{MemoryBudget, Reservation};
use aegis_memory::buffer::{Buffer, BufferChain, BufferMut, BufferPool};
use aegis_memory::pool::{
    LockFreePool, LockedPool, OwnedPoolBlock, Pool, PoolCache, PoolKind, TypedPool,
};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use support::{panic_of, Act, Log, TestSource};

/// A value that lives as long as the process. A checker of leaks can still find it.
fn forever<T: 'static>(value: T) -> &'static mut T {
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let value = Box::leak(Box::new(value));
    KEPT.lock().unwrap().push(value as *mut T as usize);
    value
}

/// A source that panics at its first acquire, so that the panic is contained and resumed.
fn panicking() -> TestSource {
    TestSource::with_plan(|n| if n == 0 { Act::Panic } else { Act::Give }).0
}

/// Lets panics be contained and resumed, with objects of all kinds that live as long as this call.
fn work_elsewhere() {
    let arena = Arena::builder().source(panicking()).build().unwrap();
    assert_eq!(panic_of(|| arena.alloc(100)), "acquire panics");
    arena.alloc(100);
    let pool = LockFreePool::new(64, 256);
    drop(pool.cache().alloc().unwrap());
    let source = panicking();
    assert_eq!(
        panic_of(|| Pool::builder().block_size(8).blocks(8).source(source).build()),
        "acquire panics"
    );
    let pool = BufferPool::new(64, 2);
    let buffer = pool.get(10).unwrap().freeze();
    drop((pool, buffer));
}

/// Runs a function when it is dropped.
struct AtEnd(fn());

impl Drop for AtEnd {
    fn drop(&mut self) {
        (self.0)();
        work_elsewhere();
        DROPPED.fetch_add(1, SeqCst);
    }
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);
static TESTS: Mutex<()> = Mutex::new(());

/// The test of a kind of object: how it is made, and how it is used. Its thread uses it, and so
/// does the destructor of another variable, which one thread makes after it and another thread
/// before it.
macro_rules! thread_local_of {
    ($name:ident, $Type:ty, $make:expr, |$object:ident| $work:expr) => {
        #[test]
        fn $name() {
            thread_local! {
                static OBJECT: $Type = $make;
                static OTHER: AtEnd = const { AtEnd(touch) };
            }
            fn work($object: &$Type) {
                $work
            }
            fn touch() {
                // The variable may be gone already.
                _ = OBJECT.try_with(work);
            }
            let _alone = TESTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let before = DROPPED.load(SeqCst);
            let only = || OBJECT.with(work);
            let object_first = || {
                OBJECT.with(work);
                OTHER.with(|_| ());
            };
            let object_last = || {
                OTHER.with(|_| ());
                OBJECT.with(work);
            };
            thread::spawn(only).join().unwrap();
            thread::spawn(object_first).join().unwrap();
            thread::spawn(object_last).join().unwrap();
            // The destructor itself makes it.
            thread::spawn(|| OTHER.with(|_| ())).join().unwrap();
            assert_eq!(DROPPED.load(SeqCst), before + 3);
        }
    };
}

/// A value whose drop uses an arena of its own.
struct Thorough(String);

impl Drop for Thorough {
    fn drop(&mut self) {
        let mut arena = Arena::new(64);
        assert_eq!(arena.alloc_static(self.0.clone()), "value");
        arena.reset();
    }
}

fn thorough() -> Thorough {
    Thorough(String::from("value"))
}

fn use_arena(arena: &Arena) {
    arena.alloc(1000).fill(1);
    arena.alloc_static(thorough());
    let kept = arena.alloc_boxed(String::from("boxed"));
    arena.scope(|scratch| {
        scratch.alloc_static(thorough());
        scratch.alloc_fmt(format_args!("{kept}{}", 1)).len()
    });
}

thread_local_of!(arena, Arena, Arena::new(64), |arena| use_arena(arena));
thread_local_of!(arena_over_a_source_in_rust, Arena, arena_over(TestSource::new().0), |arena| {
    use_arena(arena);
});
thread_local_of!(
    arena_with_own_blocks,
    Arena,
    Arena::builder().debug_own_blocks(true).source(TestSource::new().0).build().unwrap(),
    |arena| use_arena(arena)
);
thread_local_of!(
    fixed_arena,
    FixedArena<'static>,
    FixedArena::new(forever([MaybeUninit::uninit(); 16 << 10])),
    |arena| use_arena(arena)
);
thread_local_of!(lock_free_arena, LockFreeArena, LockFreeArena::new(64), |arena| {
    arena.alloc(1000).fill(1);
    arena.alloc_static(thorough());
    use_arena(&arena.local());
});
thread_local_of!(
    local_handle,
    LocalArena<'static>,
    forever(LockFreeArena::builder().source(TestSource::new().0).build().unwrap()).local(),
    |arena| use_arena(arena)
);
thread_local_of!(locked_arena, LockedArena, LockedArena::new(64), |arena| {
    arena.alloc(1000).fill(1);
    arena.alloc_static(thorough());
});
thread_local_of!(recycler, ArenaRecycler, ArenaRecycler::new(2, 4096), |recycler| {
    use_arena(&recycler.get());
    recycler.trim(0);
});
thread_local_of!(
    recycled_arena,
    OwnedRecycledArena,
    Arc::new(ArenaRecycler::new(1, 4096)).get_owned(),
    |arena| use_arena(arena)
);

fn arena_over(source: TestSource) -> Arena {
    Arena::builder().source(source).build().unwrap()
}

thread_local_of!(pool, Pool, Pool::new(64, 4), |pool| drop(pool.alloc().unwrap()));
thread_local_of!(pool_that_grows, Pool, growing(Pool::builder()), |pool| {
    let blocks: Vec<_> = (0..8).map(|_| pool.alloc().unwrap()).collect();
    drop(blocks);
    pool.trim(0);
});
thread_local_of!(lock_free_pool, LockFreePool, LockFreePool::new(64, 256), |pool| {
    let mut blocks = Vec::new();
    pool.alloc_n(8, &mut blocks).unwrap();
    drop(pool.cache().alloc().unwrap());
});
thread_local_of!(
    pool_cache,
    PoolCache<'static>,
    forever(LockFreePool::new(64, 4096)).cache(),
    |cache| drop(cache.alloc().unwrap())
);
thread_local_of!(locked_pool, LockedPool, growing(LockedPool::builder()), |pool| {
    let first = pool.alloc().unwrap();
    drop(pool.alloc_timeout(std::time::Duration::MAX).unwrap());
    drop(first);
    pool.trim(0);
});
thread_local_of!(typed_pool, TypedPool<Thorough>, TypedPool::new(4), |pool| {
    drop(pool.alloc(thorough()).unwrap());
});
thread_local_of!(
    last_block_of_a_pool,
    OwnedPoolBlock<LockedPool>,
    Arc::new(LockedPool::new(64, 1)).alloc_owned().unwrap(),
    |block| assert_eq!(block[0], 0)
);

fn growing<P: PoolKind>(builder: aegis_memory::pool::PoolBuilder<P>) -> P {
    builder.block_size(64).blocks(2).max_blocks(64).source(TestSource::new().0).build().unwrap()
}

thread_local_of!(buffer_pool, BufferPool, BufferPool::new(64, 2), |pool| {
    let mut writer = pool.get(5).unwrap();
    writer.extend_from_slice(b"bytes");
    drop(writer.freeze());
});
thread_local_of!(buffer_of_a_pool, Buffer, filled().freeze(), |buffer| {
    assert_eq!(buffer.slice(1..), "ytes");
});
thread_local_of!(buffer_of_an_owner, Buffer, Buffer::from_owner(*b"bytes"), |buffer| {
    drop(buffer.slice(1..).into_mut());
});
thread_local_of!(buffer_of_an_arena, Buffer, in_arena(), |buffer| {
    let mut part = buffer.slice(..1);
    part.compact();
});
thread_local_of!(buffer_chain, BufferChain, [in_arena(), filled().freeze()].into(), |chain| {
    assert_eq!(chain.clone().into_buffer(), "bytesbytes");
});
thread_local_of!(writer, std::cell::RefCell<BufferMut>, filled().into(), |writer| {
    let mut writer = writer.borrow_mut();
    writer.reserve(5000);
    drop(writer.split());
});

fn filled() -> BufferMut {
    let mut writer = BufferPool::new(64, 1).get(5).unwrap();
    writer.extend_from_slice(b"bytes");
    writer
}

fn in_arena() -> Buffer {
    let arena = Arena::new(64);
    arena.alloc_static(thorough());
    Buffer::from_arena(arena, |arena| arena.alloc_str("bytes").as_bytes())
}

thread_local_of!(budget, MemoryBudget, under_pressure(), |budget| {
    drop(budget.try_reserve(900));
    let arena = Arena::builder().budget(&budget.child("arena", 10_000)).build().unwrap();
    _ = arena.try_alloc(100);
});
thread_local_of!(
    reservation,
    Reservation,
    under_pressure().reserve(900),
    |reservation| assert_eq!(reservation.bytes(), 900)
);

fn under_pressure() -> MemoryBudget {
    let budget = MemoryBudget::new("thread", 1000);
    let value = thorough();
    budget.on_pressure(50, move |_| {
        assert_eq!(value.0, "value");
        work_elsewhere();
    });
    budget
}

/// An arena over a source that panics each time a block comes back.
fn panics_in_release() -> (Arena, Arc<Log>) {
    let (source, log) = TestSource::new();
    let arena = arena_over(source.releasing(|_| Act::Panic));
    arena.alloc(10);
    (arena, log)
}

#[test]
fn panic_contained_in_a_destructor_at_the_threads_end_goes_on_and_can_be_caught_there() {
    struct Catches(Option<Arena>, Arc<AtomicUsize>);
    impl Drop for Catches {
        fn drop(&mut self) {
            let arena = self.0.take();
            assert_eq!(panic_of(|| drop(arena)), "release panics");
            let mut arena = panics_in_release().0;
            assert_eq!(panic_of(|| arena.clear()), "release panics");
            drop(arena);
            self.1.fetch_add(1, SeqCst);
        }
    }
    thread_local!(static OBJECT: std::cell::RefCell<Option<Catches>> = const {
        std::cell::RefCell::new(None)
    });
    let caught = Arc::default();
    let (arena, log) = panics_in_release();
    let catches = Catches(Some(arena), Arc::clone(&caught));
    thread::spawn(|| OBJECT.with(|object| *object.borrow_mut() = Some(catches))).join().unwrap();
    assert_eq!(caught.load(SeqCst), 1);
    log.assert_finished();
}

#[test]
fn panic_that_a_raw_call_has_contained_is_dropped_at_the_threads_end() {
    struct Payload(Arc<AtomicUsize>);
    impl Drop for Payload {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    struct Panics(Arc<AtomicUsize>);
    impl Drop for Panics {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(Payload(self.0.clone())));
        }
    }
    let dropped = Arc::<AtomicUsize>::default();
    let value = Panics(dropped.clone());
    thread::spawn(move || {
        let arena = Arena::default();
        arena.alloc_static(value);
        // SAFETY: no reference into the arena is live.
        unsafe { aegis_memory::ffi::aegis_arena_reset(arena.as_raw()) };
        arena.alloc(10);
    })
    .join()
    .unwrap();
    assert_eq!(dropped.load(SeqCst), 1);
}
