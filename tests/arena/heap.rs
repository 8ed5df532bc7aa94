// SPDX-License-Identifier: Apache-2.0
//! Tests heaps in arenas, of both forms: each call, what a refusal leaves, and random calls beside a
//! model that knows the bytes of each allocation.

use aegis_memory::arena::{ArenaHeap, HeapStats, LockedArenaHeap};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::source::{BlockSource, Heap, SourceBlock};
use aegis_memory::AllocError;
use std::alloc::Layout;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a possible layout")
}

fn fill(p: NonNull<u8>, value: u8, size: usize) {
    // SAFETY: the tests pass allocations of at least this size.
    unsafe { p.as_ptr().write_bytes(value, size) }
}

fn is_filled(p: NonNull<u8>, value: u8, size: usize) -> bool {
    // SAFETY: the tests pass allocations of at least this size, which they have written.
    unsafe { std::slice::from_raw_parts(p.as_ptr(), size) }.iter().all(|byte| *byte == value)
}

/// xorshift64*.
fn random(state: &mut u64) -> usize {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(2_685_821_657_736_338_717) >> 33) as usize
}

/// Writes a test once for both forms.
macro_rules! both {
    ($($name:ident / $locked:ident => |$heap:ident: $type:ident| $test:block)*) => {$(
        #[test]
        fn $name() {
            type $type = ArenaHeap;
            #[allow(unused_mut)]
            let mut $heap = $type::default();
            $test
        }

        #[test]
        fn $locked() {
            type $type = LockedArenaHeap;
            #[allow(unused_mut)]
            let mut $heap = $type::default();
            $test
        }
    )*};
}

both! {
    memory_is_as_asked_and_used_again / locked_memory_is_as_asked_and_used_again => |heap: Form| {
        for (size, align) in [(0, 1), (1, 1), (24, 8), (1000, 16), (5000, 64), (500_000, 4096)] {
            let layout = layout(size, align);
            let p = heap.alloc(layout);
            assert_eq!(p.as_ptr() as usize % align.max(16), 0);
            fill(p, 7, size);
            // SAFETY: it was allocated with this layout; only the new pointer is used.
            let q = unsafe { heap.realloc(p, layout, size * 2) };
            assert!(is_filled(q, 7, size) && q.as_ptr() as usize % align == 0);
            // SAFETY: as above.
            unsafe { heap.dealloc(q, Layout::from_size_align_unchecked(size * 2, align)) };
            assert_eq!(heap.used(), 0);
            let zeroed = heap.alloc_zeroed(layout);
            assert!(is_filled(zeroed, 0, size));
            // SAFETY: as above.
            unsafe { heap.dealloc(zeroed, layout) };
        }
        heap.trim(0);
        assert_eq!(heap.stats().reserved_bytes, 0);
    }

    reset_frees_all_and_keeps_blocks / locked_reset_frees_all_and_keeps_blocks => |heap: Form| {
        for _ in 0..5 {
            for i in 0..100 {
                fill(heap.alloc(layout(i * 37, 8)), 1, i * 37);
            }
            heap.alloc(layout(400_000, 8));
            heap.reset();
        }
        let HeapStats { used_bytes, released_count, reset_count, .. } = heap.stats();
        assert_eq!((used_bytes, released_count, reset_count), (0, 0, 5));
        heap.clear();
        assert_eq!(heap.stats().block_count, 0);
        assert!(format!("{heap:?}").contains("reserved: 0"));
    }

    refusals_say_why / locked_refusals_say_why => |heap: Form| {
        let p = heap.alloc(layout(10, 1));
        fill(p, 3, 10);
        let huge = layout(isize::MAX as usize - 15, 1);
        // What no object can have is refused before the source is asked.
        assert!(heap.try_alloc(huge).is_err() && heap.try_alloc_zeroed(huge).is_err());
        // SAFETY: it was allocated with this layout, and the call fails.
        let error = unsafe { heap.try_realloc(p, layout(10, 1), usize::MAX) };
        let error = error.expect_err("nothing is so large");
        assert!(matches!(error, AllocError::InvalidLayout { .. }), "{error:?}");
        assert!(is_filled(p, 3, 10));

        let budget = MemoryBudget::new("small", 10_000);
        let heap = Form::builder().budget(&budget).name("limited").build().expect("no block yet");
        let mut count = 0;
        let error = loop {
            match heap.try_alloc(layout(100, 8)) {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
        };
        assert!(count > 30, "{count}");
        let AllocError::LimitExceeded { limit, .. } = error else { panic!("{error:?}") };
        assert_eq!((limit, budget.used()), (10_000, heap.stats().reserved_bytes));
    }

    heap_moves_to_another_budget / locked_heap_moves_to_another_budget => |heap: Form| {
        let (one, other) = (MemoryBudget::new("one", 5000), MemoryBudget::new("other", 9000));
        heap.move_to(&one);
        heap.alloc(layout(1000, 8));
        assert!(one.used() > 1000);
        heap.move_to(&other);
        assert_eq!((one.used(), other.used()), (0, heap.stats().reserved_bytes));
        assert!(heap.try_move_to(&MemoryBudget::new("small", 10)).is_err());
        drop(heap);
        assert_eq!(other.used(), 0);
    }

    random_calls_agree_with_a_model / locked_random_calls_agree_with_a_model => |heap: Form| {
        let mut seed = 11_u64;
        let mut slots: Vec<Option<(NonNull<u8>, Layout, u8)>> = vec![None; 200];
        for step in 0..8000_u32 {
            let (index, choice) = (random(&mut seed) % slots.len(), random(&mut seed) % 100);
            let bound = [32, 300, 300, 3000, 150_000][[0, 1, 2, 3, 1, 0, 2, 3, 1, 4][random(&mut seed) % 10]];
            let size = random(&mut seed) % bound;
            slots[index] = match slots[index].take() {
                None => {
                    let layout = layout(size, 1 << (random(&mut seed) % 8));
                    let zeroed = choice % 3 == 0;
                    let p = if zeroed { heap.alloc_zeroed(layout) } else { heap.alloc(layout) };
                    assert!(!zeroed || is_filled(p, 0, size));
                    fill(p, step as u8, size);
                    Some((p, layout, step as u8))
                }
                Some((p, old, value)) => {
                    assert!(is_filled(p, value, old.size()));
                    if choice < 30 {
                        // SAFETY: a live allocation with this layout, of which only the new pointer
                        // is kept.
                        let p = unsafe { heap.realloc(p, old, size) };
                        assert!(is_filled(p, value, size.min(old.size())));
                        assert_eq!(p.as_ptr() as usize % old.align(), 0);
                        fill(p, value, size);
                        Some((p, layout(size, old.align()), value))
                    } else {
                        // SAFETY: a live allocation with this layout, which is forgotten.
                        unsafe { heap.dealloc(p, old) };
                        None
                    }
                }
            };
            if step % 2000 == 1999 {
                heap.reset();
                slots.fill(None);
            } else if step % 400 == 399 {
                heap.trim(0);
            }
        }
        assert_eq!(heap.used(), 0);
    }
}

/// A source that refuses from the n-th request on, or panics.
struct Limited(Arc<AtomicUsize>, bool);

// SAFETY: the heap keeps the contract.
unsafe impl BlockSource for Limited {
    fn acquire(&self, layout: Layout) -> Option<SourceBlock> {
        if self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Heap.acquire(layout);
        }
        assert!(!self.1, "the source panics");
        None
    }

    unsafe fn release(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: it came from the heap with this layout.
        unsafe { Heap.release(memory, layout) }
    }
}

both! {
    source_that_refuses_or_panics / locked_source_that_refuses_or_panics => |_unused: Form| {
        // Without `std` a panic of a source ends the process.
        for (allowed, panics) in (0..6).flat_map(|n| [(n, false), (n, cfg!(feature = "std"))]) {
            let left = Arc::new(AtomicUsize::new(allowed));
            let source = Limited(left.clone(), panics);
            let heap = Form::builder().source(source).build().expect("no block yet");
            let mut taken = Vec::new();
            loop {
                let layout = layout(700 + taken.len(), 8);
                let result = catch_unwind(AssertUnwindSafe(|| heap.try_alloc(layout)));
                match result {
                    Ok(Ok(p)) => {
                        fill(p, taken.len() as u8, layout.size());
                        taken.push((p, layout));
                    }
                    Ok(Err(error)) => {
                        assert!(!panics, "the panic continues");
                        assert!(matches!(error, AllocError::OutOfMemory { .. }), "{error:?}");
                        break;
                    }
                    Err(_) => break assert!(panics, "only the source panics"),
                }
            }
            assert!(taken.len() >= allowed);
            for (i, (p, layout)) in taken.into_iter().enumerate() {
                assert!(is_filled(p, i as u8, layout.size()));
                // SAFETY: a live allocation with this layout, which is not used again.
                unsafe { heap.dealloc(p, layout) };
            }
            assert_eq!(heap.used(), 0);
        }
    }
}

#[test]
fn threads_share_a_lazy_heap_and_free_what_others_allocated() {
    static HEAP: LockedArenaHeap = LockedArenaHeap::lazy();
    assert_eq!(HEAP.stats(), HeapStats::default());
    HEAP.trim(0);
    let (sender, receiver) = std::sync::mpsc::sync_channel::<(usize, Layout)>(50);
    let receiver = std::sync::Mutex::new(receiver);
    std::thread::scope(|threads| {
        for worker in 0..3_u64 {
            let sender = sender.clone();
            threads.spawn(move || {
                let mut seed = worker + 1;
                for _ in 0..2000 {
                    let layout = layout(1 + random(&mut seed) % 600, 8);
                    let p = HEAP.alloc(layout);
                    fill(p, layout.size() as u8, layout.size());
                    sender.send((p.as_ptr() as usize, layout)).expect("the others receive");
                }
            });
            threads.spawn(|| loop {
                let received = receiver.lock().expect("no thread panics").recv();
                let Ok((address, layout)) = received else { break };
                let p = NonNull::new(address as *mut u8).expect("an allocation");
                assert!(is_filled(p, layout.size() as u8, layout.size()));
                // SAFETY: a live allocation with this layout, which the sender does not use.
                unsafe { HEAP.dealloc(p, layout) };
            });
        }
        drop(sender);
    });
    assert_eq!(HEAP.used(), 0);
}
