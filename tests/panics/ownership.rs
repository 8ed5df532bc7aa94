// SPDX-License-Identifier: Apache-2.0
//! Tests a block source that panics at its n-th request, for every n until the work succeeds.
//! Afterwards no memory may have two owners, none may be lost, and what has succeeded must be
//! there.

#[cfg(feature = "allocator-api2")]
#[path = "../support/panics_allocators.rs"]
mod allocators;
use crate::support::panics::{bystanders, Switch, CLOSE, DROP, NOTHING, RELEASE};
use crate::support::{message_of, panic_of, Act, TestSource};
use aegis_memory::arena::{Arena, ArenaRecycler, LockFreeArena, LockedArena};
use aegis_memory::buffer::{Buffer, BufferChain, BufferMut, BufferPool, WhenEmpty};
use aegis_memory::pool::{LockFreePool, LockedPool, Pool, TypedPool};
use std::io::Read;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

/// Does the work with a source whose n-th request panics, for each n up to the first one that
/// causes no panic. Returns how many panics there were.
fn at_every_request(work: impl Fn(TestSource, &Attempts)) -> usize {
    for n in 0.. {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        let (source, log) = TestSource::with_plan(move |request| {
            counter.store(request + 1, SeqCst);
            if request == n {
                Act::Panic
            } else {
                Act::Give
            }
        });
        let attempts = Attempts::default();
        work(source, &attempts);
        log.assert_finished();
        bystanders();
        assert!(attempts.0.load(SeqCst) <= 1, "one panic comes out once at most");
        if asked.load(SeqCst) <= n {
            assert_eq!(attempts.0.load(SeqCst), 0);
            return n;
        }
    }
    unreachable!();
}

/// Counts the panics of a source.
#[derive(Default)]
struct Attempts(AtomicUsize);

impl Attempts {
    /// The result of a call, or `None` if the source's panic came out of it.
    fn of<R>(&self, call: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(call))
            .map_err(|payload| {
                assert_eq!(message_of(&*payload), "acquire panics");
                self.0.fetch_add(1, SeqCst);
            })
            .ok()
    }
}

/// Slices that are each filled with their own number, which they must keep.
#[derive(Default)]
struct Patterns<'a>(Vec<&'a mut [u64]>);

impl<'a> Patterns<'a> {
    fn add(&mut self, slice: &'a mut [u64]) {
        slice.fill(self.0.len() as u64);
        self.0.push(slice);
    }

    #[track_caller]
    fn check(&self) {
        for (number, slice) in self.0.iter().enumerate() {
            assert!(slice.iter().all(|&word| word == number as u64), "two owners of one memory");
        }
    }
}

macro_rules! arena {
    ($module:ident, $Arena:ident, [$($deref:tt)?], |$arena:ident| $handle:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn slices_that_grow_while_the_source_panics_share_no_memory() {
                let panics = at_every_request(|source, attempts| {
                    let builder = $Arena::builder().capacity(64).max_block(2048).source(source);
                    let Some(arena) = attempts.of(|| builder.build().unwrap()) else {
                        return;
                    };
                    let mut patterns = Patterns::default();
                    for len in 1..60 {
                        if let Some(slice) = attempts.of(|| {
                            // The lower bound is 0, so the slice grows while it is filled.
                            arena.alloc_slice_from_iter((0..2 * len).filter(|i| i % 2 == 0))
                        }) {
                            assert!(slice.iter().copied().eq((0..2 * len).filter(|i| i % 2 == 0)));
                            patterns.add(slice);
                        }
                        let text =
                            attempts.of(|| arena.alloc_fmt(format_args!("{len:>70}{}", 1)));
                        attempts
                            .of(|| arena.alloc_slice_fill(3, 0))
                            .map(|slice| patterns.add(slice));
                        patterns.check();
                        let expected = format!("{len:>70}{}", 1);
                        assert!(text.map_or(true, |text| *text == expected));
                    }
                });
                assert!(panics > 5);
            }

            #[test]
            fn static_values_are_dropped_once_each() {
                let panics = at_every_request(|source, attempts| {
                    let builder = $Arena::builder().max_block(1024).source(source);
                    let arena = builder.build().unwrap();
                    let value = Arc::new(());
                    for _ in 0..100 {
                        attempts.of(|| _ = arena.alloc_static(value.clone()));
                    }
                    assert!(Arc::strong_count(&value) >= 100);
                    drop(arena);
                    assert_eq!(Arc::strong_count(&value), 1);
                });
                assert!(panics > 2);
            }

            #[cfg(feature = "allocator-api2")]
            #[test]
            fn vecs_that_grow_while_the_source_panics_share_no_memory() {
                use allocator_api2::vec::Vec as VecIn;

                let panics = at_every_request(|source, attempts| {
                    let builder = $Arena::builder().capacity(64).max_block(2048).source(source);
                    let Some($arena) = attempts.of(|| builder.build().unwrap()) else {
                        return;
                    };
                    let handle = $handle;
                    let allocator = &$($deref)? handle;
                    let mut patterns = Patterns::default();
                    let (mut numbers, mut bytes) =
                        (VecIn::new_in(allocator), VecIn::new_in(allocator));
                    let (mut pushed, mut written) = (Vec::new(), Vec::new());
                    for i in 0..400_u64 {
                        if attempts.of(|| numbers.push(i)).is_some() {
                            pushed.push(i);
                        }
                        if i % 3 == 0 && attempts.of(|| bytes.extend([i as u8; 9])).is_some() {
                            written.extend([i as u8; 9]);
                        }
                        if i % 50 == 49 {
                            attempts.of(|| numbers.shrink_to_fit());
                            attempts.of(|| bytes.resize(written.len() + 90, 0));
                            bytes.truncate(written.len());
                        }
                        if i % 7 == 0 {
                            let slice = attempts.of(|| $arena.alloc_slice_fill(4, 0));
                            slice.map(|slice| patterns.add(slice));
                        }
                        assert!(
                            *numbers == *pushed && *bytes == *written,
                            "two owners of one memory"
                        );
                        patterns.check();
                    }
                });
                assert!(panics > 5);
            }

            #[cfg(feature = "allocator-api2")]
            #[test]
            fn resizing_that_panics_leaves_the_old_memory_whole() {
                use allocator_api2::alloc::Allocator;
                use std::alloc::Layout;

                let layout = |size, align| Layout::from_size_align(size, align).unwrap();
                for (new_size, align, zeroed) in [
                    (5000, 8, false),
                    (5000, 8, true),
                    (5000, 512, false),
                    (64, 4096, false),
                    (32, 4096, true),
                ] {
                    at_every_request(|source, attempts| {
                        let builder =
                            $Arena::builder().capacity(100).max_block(2048).source(source);
                        let Some($arena) = attempts.of(|| builder.build().unwrap()) else {
                            return;
                        };
                        let handle = $handle;
                    let allocator = &$($deref)? handle;
                        let old = layout(64, 8);
                        let Some(memory) = attempts.of(|| allocator.allocate(old).unwrap()) else {
                            return;
                        };
                        let p = memory.cast::<u8>();
                        // SAFETY: 64 bytes are ours.
                        unsafe { p.as_ptr().write_bytes(0xC3, 64) };
                        let new = layout(new_size, align);
                        // SAFETY: a live allocation of this layout, and the sizes are in order.
                        let resized = attempts.of(|| unsafe {
                            match new_size {
                                0..=63 => allocator.shrink(p, old, new),
                                _ if zeroed => allocator.grow_zeroed(p, old, new),
                                _ => allocator.grow(p, old, new),
                            }
                            .unwrap()
                        });
                        let (p, len) = match resized {
                            Some(memory) => (memory.cast::<u8>(), new_size),
                            None => (p, 64),
                        };
                        for _ in 0..40 {
                            attempts.of(|| $arena.alloc_slice_fill(9, u64::MAX));
                        }
                        // SAFETY: whichever is live, of this size; what was there before was copied.
                        let bytes = unsafe { std::slice::from_raw_parts(p.as_ptr(), len.min(64)) };
                        assert!(bytes.iter().all(|&byte| byte == 0xC3), "two owners of one memory");
                    });
                }
            }
        }
    };
}

arena!(one_owner, Arena, [*], |arena| &arena);
arena!(lock_free, LockFreeArena, [*], |arena| &arena);
arena!(locked, LockedArena, [*], |arena| &arena);
arena!(local_handle, LockFreeArena, [], |arena| arena.local());

macro_rules! pool {
    ($name:ident, $Pool:ident, [$($caches:tt)*], |$pool:ident| $front:expr) => {
        #[test]
        fn $name() {
            let panics = at_every_request(|source, attempts| {
                let builder = $Pool::builder().block_size(64).blocks(3).max_blocks(90)$($caches)*;
                let Some($pool) = attempts.of(|| builder.source(source).build().unwrap()) else {
                    return;
                };
                let front = $front;
                let mut blocks = Vec::new();
                for i in 0..40 {
                    if let Some(Ok(block)) = attempts.of(|| front.alloc()) {
                        blocks.push(block);
                    }
                    let before = blocks.len();
                    let several = attempts.of(|| front.alloc_n(i % 3, &mut blocks));
                    let taken = if matches!(several, Some(Ok(()))) { i % 3 } else { 0 };
                    assert_eq!(blocks.len(), before + taken);
                    assert_eq!($pool.in_use(), blocks.len(), "a block is lost");
                    for (i, block) in blocks.iter_mut().enumerate().skip(before.saturating_sub(1)) {
                        block.fill(i as u8);
                    }
                    let whole = |(i, block): (usize, &_)| block_is_full_of(block, i as u8);
                    assert!(blocks.iter().enumerate().all(whole), "two owners of one memory");
                }
                drop(blocks);
                assert_eq!($pool.in_use(), 0);
            });
            assert!(panics > 5);
        }
    };
}

fn block_is_full_of(block: &impl std::ops::Deref<Target = [u8]>, value: u8) -> bool {
    block.iter().all(|&byte| byte == value)
}

pool!(blocks_of_a_pool, Pool, [], |pool| &pool);
pool!(blocks_of_a_lock_free_pool, LockFreePool, [], |pool| &pool);
pool!(blocks_of_a_locked_pool, LockedPool, [], |pool| &pool);
pool!(blocks_of_a_cache, LockFreePool, [.caches(1)], |pool| pool.cache());

#[test]
fn values_of_a_typed_pool_are_dropped_once_each() {
    let panics = at_every_request(|source, attempts| {
        let value = Arc::new(());
        {
            let builder = LockFreePool::builder().blocks(1).max_blocks(9).source(source);
            let build = || builder.build_typed().unwrap();
            let Some(pool): Option<TypedPool<Arc<()>, _>> = attempts.of(build) else {
                return;
            };
            let values: Vec<_> =
                (0..12).filter_map(|_| attempts.of(|| pool.alloc(value.clone()))?.ok()).collect();
            assert_eq!((values.len(), pool.in_use()), (9, 9));
        }
        assert_eq!(Arc::strong_count(&value), 1);
    });
    assert!(panics > 5);
}

#[test]
fn arenas_of_a_recycler_are_all_counted() {
    let panics = at_every_request(|source, attempts| {
        let builder = ArenaRecycler::builder().max_idle(1).capacity(100).source(source);
        let recycler = Arc::new(builder.build().unwrap());
        for _ in 0..5 {
            let first = attempts.of(|| recycler.get());
            let second = attempts.of(|| recycler.get_owned());
            let out = usize::from(first.is_some()) + usize::from(second.is_some());
            assert_eq!(recycler.stats().out_count, out);
        }
        assert_eq!(recycler.stats().out_count, 0);
    });
    assert!(panics > 3);
}

#[test]
fn buffer_of_a_larger_class_or_of_the_heap_makes_a_panic_good() {
    let panics_at =
        |n| TestSource::with_plan(move |i| if i >= n { Act::Panic } else { Act::Give }).0;
    // The requests for the side arrays and first slabs of both classes.
    let builder = || BufferPool::builder().class_growing(64, 1, 2).class(4096, 1);
    let made = (0..).find(|&n| {
        catch_unwind(AssertUnwindSafe(|| builder().source(panics_at(n)).build())).is_ok()
    });
    let pool = builder().source(panics_at(made.unwrap())).build().unwrap();
    let first = pool.get(1).unwrap();
    let second = pool.get(1).unwrap();
    assert_eq!((first.capacity(), second.capacity()), (64, 4096));
    assert_eq!(panic_of(|| pool.get(1)), "acquire panics");
    let in_use: Vec<_> = pool.stats().classes.iter().map(|class| class.in_use).collect();
    assert_eq!(in_use, [1, 1]);
    drop((first, second));

    let builder = || BufferPool::builder().class_growing(64, 1, 2).when_empty(WhenEmpty::Heap);
    let made = (0..).find(|&n| {
        catch_unwind(AssertUnwindSafe(|| builder().source(panics_at(n)).build())).is_ok()
    });
    let pool = builder().source(panics_at(made.unwrap())).build().unwrap();
    let _first = pool.get(1).unwrap();
    let mut second = pool.get(1).expect("the heap has memory");
    second.extend_from_slice(b"bytes");
    bystanders();
}

#[test]
fn buffers_of_a_pool_are_all_counted() {
    let panics = at_every_request(|source, attempts| {
        let builder = BufferPool::builder().class_growing(64, 1, 9).class_growing(512, 1, 3);
        let Some(pool) = attempts.of(|| builder.source(source).build().unwrap()) else {
            return;
        };
        let mut writers = Vec::new();
        for i in 0..14 {
            if let Some(Ok(mut writer)) = attempts.of(|| pool.get(8)) {
                writer.resize(8, i);
                writers.push((i, writer));
            }
            let in_use: usize = pool.stats().classes.iter().map(|class| class.in_use).sum();
            assert_eq!(in_use, writers.len(), "a buffer is lost");
            assert!(writers.iter().all(|(i, writer)| block_is_full_of(writer, *i)));
        }
        assert_eq!(writers.len(), 12);
    });
    assert!(panics > 5);
}

#[test]
fn arena_that_has_become_a_buffer_is_kept_though_its_source_has_panicked() {
    fn fill_the_block(arena: &Arena) -> &[u8] {
        let text = arena.alloc_str("in the arena");
        // For AddressSanitizer and Valgrind there is a gap behind each allocation.
        let flags = aegis_memory::build_flags();
        let gap = if flags.asan || flags.valgrind { 16 } else { 0 };
        arena.alloc_uninit(arena.remaining() - gap);
        text.as_bytes()
    }
    let arena = |source| Arena::builder().capacity(64).no_debug().source(source).build().unwrap();
    // The source panics at the growth step for the header, but gives a smaller block.
    let (source, log) = TestSource::with_plan(|n| if n == 1 { Act::Panic } else { Act::Give });
    let buffer = Buffer::from_arena(arena(source), fill_the_block);
    assert_eq!(buffer, "in the arena");
    assert_eq!(log.live_blocks.load(SeqCst), 2);
    drop(buffer);
    log.assert_finished();
    bystanders();

    // It panics at both requests: there is no buffer, and the arena is dropped.
    let (source, log) = TestSource::with_plan(|n| if n >= 1 { Act::Panic } else { Act::Give });
    let arena = arena(source);
    let message = panic_of(|| Buffer::try_from_arena(arena, fill_the_block));
    assert_eq!(message, "acquire panics");
    log.assert_finished();
    bystanders();
}

#[test]
fn builders_close_their_source_once() {
    at_every_request(|source, attempts| {
        attempts.of(|| drop(LockedArena::builder().capacity(10).source(source).build()));
    });
    at_every_request(|source, attempts| {
        let builder = LockFreePool::builder().block_size(8).blocks(99).caches(2);
        attempts.of(|| drop(builder.source(source).build()));
    });
}

/// The only handle to a pool. Giving its memory back, or dropping its source, panics if the switch
/// says so.
fn last_page(switch: &Switch) -> BufferMut {
    let pool = BufferPool::builder().class(64, 1).source(switch.source()).build().unwrap();
    let mut writer = pool.get(1).unwrap();
    writer.extend_from_slice(b"front");
    writer
}

#[test]
fn writer_that_has_moved_has_its_bytes_when_the_panic_of_its_old_memory_goes_on() {
    for (what, message) in [(RELEASE, "release"), (CLOSE, "close")] {
        let switch = Switch::default();
        let mut writer = last_page(&switch);
        switch.set(what);
        assert_eq!(panic_of(|| writer.reserve(1000)), message);
        switch.set(NOTHING);
        assert!(writer == "front" && writer.remaining_capacity() >= 1000);

        let mut writer = last_page(&switch);
        let mut back = BufferMut::with_capacity(100);
        back.resize(100, b'b');
        switch.set(what);
        assert_eq!(panic_of(|| writer.unsplit(back)), message);
        switch.set(NOTHING);
        assert!(writer.starts_with(b"frontb") && writer.len() == 105);
        bystanders();
    }
}

/// A chain of "ab", "cd" and "ef". The first `panicking` owners panic when they are dropped.
fn chain(switch: &Switch, panicking: usize) -> BufferChain {
    struct Owner(Switch, &'static [u8], bool);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.1
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            drop(self.2.then(|| self.0.value()));
        }
    }
    let parts = [&b"ab"[..], b"cd", b"ef"].into_iter().enumerate();
    let owner = |(i, bytes)| Owner(switch.clone(), bytes, i < panicking);
    parts.map(|part| Buffer::from_owner(owner(part))).collect()
}

#[test]
fn chain_loses_nothing_to_the_panics_of_the_owners_of_its_buffers() {
    for panicking in [1, 2] {
        let switch = Switch::default();
        let chain = || {
            switch.set(NOTHING);
            let chain = chain(&switch, panicking);
            switch.set(DROP);
            chain
        };
        assert_eq!(chain().into_buffer(), "abcdef");

        let mut front = chain();
        assert_eq!(panic_of(|| front.advance(5)), "drop");
        assert_eq!((front.len(), front), (1, BufferChain::from(Buffer::from("f"))));

        let (mut read, mut into) = (chain(), [0; 5]);
        assert_eq!((read.read(&mut into).unwrap(), &into), (5, b"abcde"));
        assert_eq!(read, "f");
        let mut all = String::new();
        assert_eq!((chain().read_to_string(&mut all).unwrap(), &*all), (6, "abcdef"));

        let (mut written, mut out) = (chain(), Vec::new());
        assert_eq!(panic_of(|| written.write_vectored_to(&mut out).is_ok()), "drop");
        assert!(written.is_empty() && out == b"abcdef");
        switch.set(NOTHING);
        bystanders();
    }
}

#[cfg(feature = "bytes")]
#[test]
fn bytes_taken_from_a_chain_are_not_lost_to_the_panics_of_the_owners_of_its_buffers() {
    use bytes::Buf;
    for panicking in [1, 2] {
        let switch = Switch::default();
        let (mut copied, mut sliced) = (chain(&switch, panicking), chain(&switch, panicking));
        let mut into = [0; 5];
        switch.set(DROP);
        assert_eq!(copied.copy_to_bytes(5), &b"abcde"[..]);
        assert_eq!(panic_of(|| Buf::copy_to_slice(&mut sliced, &mut into)), "drop");
        switch.set(NOTHING);
        assert!(into == *b"abcde" && copied == "f" && sliced == "f");
        bystanders();
    }
}
