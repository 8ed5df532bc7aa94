// SPDX-License-Identifier: Apache-2.0
//! Tests owners that own buffers. Turning a buffer into `Bytes` and back must not pile up wrappers.
//! Owners that the user nests must each be dropped exactly once, on a stack that recursion would
//! use up at once.
#![cfg(feature = "std")]

mod support;

use aegis_memory::arena::Arena;
use aegis_memory::buffer::{Buffer, BufferChain};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use support::panic_of;

/// Counts the live allocations of each thread.
struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(step: isize) {
    // A thread that ends may allocate after its variables are gone.
    let _ = LIVE.try_with(|live| live.set(live.get() + step));
}

// SAFETY: the system's allocator, and a counter beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1);
        // SAFETY: the contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-1);
        // SAFETY: the contract is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const LEVELS: usize = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };

/// Runs `f` in a thread whose stack has room for a few hundred levels at most.
fn on_a_small_stack<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|threads| {
        let thread = thread::Builder::new().stack_size(128 * 1024);
        let thread = thread.spawn_scoped(threads, f).unwrap();
        thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    })
}

/// An owner that owns a buffer and counts its drops. Its drop may panic.
struct Wrapper {
    inner: Buffer,
    drops: Arc<AtomicUsize>,
    panics: bool,
}

impl AsRef<[u8]> for Wrapper {
    fn as_ref(&self) -> &[u8] {
        &self.inner
    }
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Relaxed);
        assert!(!self.panics, "an owner panics");
    }
}

fn nested(levels: usize, drops: &Arc<AtomicUsize>, panics: impl Fn(usize) -> bool) -> Buffer {
    let inner = Buffer::from(b"bytes".to_vec());
    (0..levels).fold(inner, |inner, level| {
        Buffer::from_owner(Wrapper { inner, drops: drops.clone(), panics: panics(level) })
    })
}

#[test]
fn owners_nested_deep_are_each_dropped_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let buffer = nested(LEVELS, &drops, |_| false);
    let clone = buffer.slice(1..);
    on_a_small_stack(|| drop(buffer));
    assert_eq!((drops.load(Relaxed), &*clone), (0, &b"ytes"[..]));
    on_a_small_stack(|| drop(clone));
    assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (LEVELS, 1));
}

#[test]
fn chains_in_owners_and_owners_in_chains_are_each_dropped_once() {
    struct Chain(BufferChain, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Chain {
        fn as_ref(&self) -> &[u8] {
            self.0.iter().next().map_or(&[], |part| part)
        }
    }
    impl Drop for Chain {
        fn drop(&mut self) {
            self.1.fetch_add(1, Relaxed);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let levels = LEVELS / 4;
    let inner = (0..levels).fold(Buffer::from("innermost"), |inner, _| {
        let parts = [Buffer::from("head"), inner, nested(1, &drops, |_| false)];
        Buffer::from_owner(Chain(parts.into(), drops.clone()))
    });
    let chain: BufferChain = [inner, Buffer::from("tail")].into();
    on_a_small_stack(|| drop(chain));
    assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (2 * levels, 1));
}

#[test]
fn arenas_whose_values_are_buffers_of_arenas_are_each_dropped_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let levels = LEVELS / 4;
    let buffer = (0..levels).fold(Buffer::from("innermost"), |inner, _| {
        let arena = Arena::builder().capacity(256).no_debug().build().unwrap();
        arena.alloc_static(Wrapper { inner, drops: drops.clone(), panics: false });
        Buffer::from_arena(arena, |arena| arena.alloc_str("text").as_bytes())
    });
    on_a_small_stack(|| drop(buffer));
    assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (levels, 1));
}

#[test]
fn panics_of_nested_owners_leave_none_behind() {
    for panics in [0, 3, 50, 84, 99] {
        let drops = Arc::new(AtomicUsize::new(0));
        let buffer = nested(100, &drops, |level| level == panics);
        assert_eq!(panic_of(|| drop(buffer)), "an owner panics", "{panics}");
        assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (100, 1), "{panics}");
        // No wrapper of it may be left for the next round.
        drop(nested(100, &drops, |_| false));
        assert_eq!(drops.load(Relaxed), 200);
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let buffer = nested(100, &drops, |_| true);
    assert_eq!(panic_of(|| on_a_small_stack(|| drop(buffer))), "an owner panics");
    assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (100, 1));
}

#[test]
fn sixteen_levels_are_dropped_at_once_and_the_rest_in_the_outermost_drop() {
    /// Notes when its drop begins, and when the drop of what it owns has returned.
    struct Noting(Option<Buffer>, usize, Arc<Mutex<Vec<(usize, bool)>>>);
    impl AsRef<[u8]> for Noting {
        fn as_ref(&self) -> &[u8] {
            b"noted"
        }
    }
    impl Drop for Noting {
        fn drop(&mut self) {
            self.2.lock().unwrap().push((self.1, false));
            drop(self.0.take());
            self.2.lock().unwrap().push((self.1, true));
        }
    }
    let notes = Arc::new(Mutex::new(Vec::new()));
    let buffer = (0..20)
        .rev()
        .fold(None, |inner, level| Some(Buffer::from_owner(Noting(inner, level, notes.clone()))));
    drop(buffer);
    let down = (0..16).map(|level| (level, false));
    let up = (0..16).rev().map(|level| (level, true));
    let rest =
        (16..20).map(|level| (level, false)).chain((16..20).rev().map(|level| (level, true)));
    assert_eq!(*notes.lock().unwrap(), down.chain(up).chain(rest).collect::<Vec<_>>());
}

#[test]
fn nested_owners_of_a_thread_that_ends_are_dropped_with_its_variables() {
    thread_local! {
        static KEPT: RefCell<Option<Buffer>> = const { RefCell::new(None) };
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let buffer = nested(LEVELS / 10, &drops, |_| false);
    on_a_small_stack(|| KEPT.with(|kept| *kept.borrow_mut() = Some(buffer)));
    // The thread's variables may be dropped after its result has arrived.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while drops.load(Relaxed) < LEVELS / 10 && std::time::Instant::now() < until {
        thread::yield_now();
    }
    assert_eq!(drops.load(Relaxed), LEVELS / 10);
}

#[cfg(feature = "bytes")]
mod bytes {
    use super::*;
    use ::bytes::{Buf, Bytes};

    fn live() -> isize {
        LIVE.with(Cell::get)
    }

    /// Turns the buffer into `Bytes` and back many times. Returns how many allocations piled up at
    /// most.
    fn hop(mut buffer: Buffer, hops: usize) -> (Buffer, isize) {
        let before = live();
        let mut most = 0;
        for _ in 0..hops {
            let bytes = Bytes::from(buffer);
            buffer = Buffer::from(bytes);
            most = most.max(live() - before);
        }
        (buffer, most)
    }

    #[test]
    fn million_hops_keep_a_bounded_number_of_allocations() {
        let hops = 1_000_000;
        on_a_small_stack(|| {
            let drops = Arc::new(AtomicUsize::new(0));
            let starts = [
                Buffer::copy_from_slice(b"01234567"),
                Buffer::from(b"01234567".to_vec()),
                nested(1, &drops, |_| false),
                Bytes::from(b"01234567".to_vec()).into(),
                Bytes::from_static(b"01234567").into(),
            ];
            for (start, hops) in starts.into_iter().zip([hops, 1000, 1000, 1000, 1000]) {
                let data = start.as_ptr();
                let (mut end, most) = hop(start, hops);
                assert!(most <= 4, "{most} allocations");
                assert_eq!(end.as_ptr(), data, "nothing was copied");
                end.advance(1);
                assert!(hop(end, 1000).1 <= 4);
            }
            assert_eq!(drops.load(Relaxed), 1);
        });
    }

    #[test]
    fn bytes_come_back_as_what_they_were() {
        let bytes = Bytes::from(b"header|payload".to_vec());
        let buffer = Buffer::from(bytes.clone());
        let payload = buffer.slice(7..);
        let back = Bytes::from(payload.clone());
        assert!(back == "payload" && back.as_ptr() == bytes[7..].as_ptr());
        drop((bytes, buffer, payload));
        assert_eq!(
            back.try_into_mut().unwrap(),
            "payload",
            "the last handle to a Bytes of its own"
        );
        let empty = Buffer::from(Bytes::from(vec![1, 2])).slice(2..);
        assert!(Bytes::from(empty).is_empty());
        let mut chain: BufferChain = [Buffer::from(Bytes::from(vec![1, 2, 3]))].into();
        assert_eq!(chain.copy_to_bytes(2), [1, 2][..]);
    }

    #[test]
    fn owner_of_a_bytes_is_released_once_however_it_travels() {
        let drops = Arc::new(AtomicUsize::new(0));
        let inner = Buffer::from(b"bytes".to_vec());
        let bytes = Bytes::from_owner(Wrapper { inner, drops: drops.clone(), panics: false });
        let buffer = Buffer::from(bytes);
        let other = thread::spawn(move || Bytes::from(buffer.clone())).join().unwrap();
        assert_eq!((&*other, drops.load(Relaxed)), (&b"bytes"[..], 0));
        drop(Buffer::from(other));
        assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (1, 1));
    }

    /// A second copy of the crate sets the same flag, but writes its own mark behind the header.
    #[test]
    fn owner_of_another_copy_is_wrapped_once_more() {
        use aegis_memory::ffi;
        static OTHER: AtomicUsize = AtomicUsize::new(0);
        static BYTES: [u8; 4] = *b"abcd";
        #[repr(C)]
        struct Foreign(ffi::aegis_buffer_owner, &'static AtomicUsize, [usize; 4]);
        unsafe extern "C" fn release(owner: *mut ffi::aegis_buffer_owner) {
            OTHER.fetch_add(1, Relaxed);
            // SAFETY: the box below; called once.
            drop(unsafe { Box::from_raw(owner.cast::<Foreign>()) });
        }
        let flags = {
            let ours = Buffer::from(Bytes::from(vec![1]));
            // SAFETY: a handle has an owner.
            unsafe { (*(*ours.as_raw()).owner).flags }
        };
        assert_ne!(flags, 0, "a buffer of a Bytes is marked");
        let owner = Box::into_raw(Box::new(Foreign(
            ffi::aegis_buffer_owner {
                references: 1,
                release: Some(release),
                base: BYTES.as_ptr().cast_mut(),
                capacity_bytes: 4,
                flags,
                retained_bytes: 0,
            },
            &OTHER,
            [usize::MAX; 4],
        )));
        let raw = ffi::aegis_buffer { data: BYTES.as_ptr(), length: 4, owner: owner.cast() };
        // SAFETY: as the copy would make it; released on any thread.
        let bytes = Bytes::from(unsafe { Buffer::from_raw(raw) });
        assert_eq!((&*bytes, OTHER.load(Relaxed)), (&b"abcd"[..], 0));
        drop(bytes);
        assert_eq!(OTHER.load(Relaxed), 1);
    }

    #[test]
    fn bytes_and_buffers_nested_by_the_user_are_each_dropped_once() {
        let drops = Arc::new(AtomicUsize::new(0));
        let levels = LEVELS / 4;
        let buffer = (0..levels).fold(Buffer::from(vec![1, 2]), |inner, _| {
            let inner = Wrapper { inner, drops: drops.clone(), panics: false };
            Bytes::from_owner(inner).into()
        });
        let bytes = Bytes::from(buffer);
        on_a_small_stack(|| drop(bytes));
        assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (levels, 1));
    }
}
