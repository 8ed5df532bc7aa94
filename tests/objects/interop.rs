// SPDX-License-Identifier: Apache-2.0
//! Tests arenas that both languages use: C functions on arenas that Rust has made, and Rust on
//! arenas that C has made. Both must see the same allocations, and finalizers of either language
//! must run exactly once.

use crate::support::{watched, TestSource};
use aegis_memory::arena::Arena;
use aegis_memory::ffi;
use std::ffi::{c_void, CStr};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

fn c_arena(capacity_bytes: usize) -> ffi::aegis_arena {
    let options = ffi::aegis_arena_options {
        capacity_bytes,
        // SAFETY: all-zero means all defaults.
        ..unsafe { MaybeUninit::zeroed().assume_init() }
    };
    let mut raw = MaybeUninit::uninit();
    // SAFETY: memory for the struct, and good options.
    assert_eq!(unsafe { ffi::aegis_arena_init(raw.as_mut_ptr(), &options) }, 0);
    // SAFETY: initialised.
    unsafe { raw.assume_init() }
}

unsafe extern "C" fn count(context: *mut c_void) {
    // SAFETY: registered with a pointer to a counter that lives.
    unsafe { &*context.cast::<AtomicU32>() }.fetch_add(1, SeqCst);
}

/// Registers `count` as C code does.
fn defer_count(arena: &Arena, counter: &AtomicU32) {
    let context = counter as *const AtomicU32 as *mut c_void;
    // SAFETY: the counter outlives the arena in these tests.
    assert_eq!(unsafe { ffi::aegis_arena_defer(arena.as_raw(), Some(count), context) }, 0);
}

#[test]
fn c_and_rust_allocate_from_one_rust_arena_in_turn() {
    let arena = Arena::new(256);
    let mut live = Vec::new();
    for i in 0..200_usize {
        let rust = arena.alloc_slice_fill(i % 50, 1_u8);
        // SAFETY: the arena is open; the bytes are written before they are read.
        let c = unsafe {
            let p = ffi::aegis_arena_alloc(arena.as_raw(), i % 50).cast::<u8>();
            p.write_bytes(2, i % 50);
            std::slice::from_raw_parts(p, i % 50)
        };
        live.push((rust, c));
    }
    assert!(live.iter().all(|(rust, c)| rust.iter().all(|&b| b == 1) && c.iter().all(|&b| b == 2)));
}

#[test]
fn c_sees_what_rust_allocated_as_the_latest_and_grows_it_in_place() {
    let arena = Arena::new(4096);
    let p = arena.alloc_slice_copy(&[5_u8; 24]).as_mut_ptr();
    // SAFETY: `p` is the arena's, of 24 bytes, and used under its new name only.
    let grown = unsafe { ffi::aegis_arena_realloc(arena.as_raw(), p.cast(), 24, 240) };
    assert_eq!(grown.cast(), p);
    // SAFETY: 24 bytes are initialised.
    assert_eq!(unsafe { std::slice::from_raw_parts(p, 24) }, [5; 24]);
    // SAFETY: not used afterwards.
    unsafe { ffi::aegis_arena_free_last(arena.as_raw(), grown, 240) };
    if !watched() {
        assert_eq!(arena.used(), 0);
    }
}

#[test]
fn c_strings_and_copies_live_in_a_rust_arena_until_its_reset() {
    let mut arena = Arena::default();
    let text = CStr::from_bytes_with_nul(b"from C\0").expect("terminated");
    // SAFETY: a terminated string, and readable bytes.
    let (string, bytes) = unsafe {
        let string = ffi::aegis_arena_strdup(arena.as_raw(), text.as_ptr());
        let bytes = ffi::aegis_arena_memdup(arena.as_raw(), [1_u8, 2, 3].as_ptr().cast(), 3);
        (CStr::from_ptr(string), std::slice::from_raw_parts(bytes.cast::<u8>(), 3))
    };
    assert_eq!((string, bytes), (text, &[1, 2, 3][..]));
    arena.reset();
    assert_eq!(arena.used(), 0);
}

#[test]
fn c_marks_and_rewinds_a_rust_arena() {
    let mut arena = Arena::new(64);
    let kept = arena.alloc_value(7_u64) as *const u64;
    // SAFETY: nothing that was allocated after the mark is used after the rewind.
    unsafe {
        let mark = ffi::aegis_arena_get_mark(arena.as_raw());
        let used = arena.used();
        arena.alloc(10_000);
        assert_eq!(ffi::aegis_arena_rewind(arena.as_raw(), &mark), 0);
        assert_eq!((arena.used(), *kept), (used, 7));
        arena.reset();
        let stale = ffi::aegis_arena_rewind(arena.as_raw(), &mark);
        assert_eq!(stale, ffi::AEGIS_E_INVALID);
    }
}

#[test]
fn functions_deferred_by_c_run_at_the_reset_of_rust_exactly_once() {
    let counter = AtomicU32::new(0);
    let mut arena = Arena::new(64);
    defer_count(&arena, &counter);
    arena.alloc_static(String::from("a Rust value between the two"));
    defer_count(&arena, &counter);
    arena.scope(|scope| {
        defer_count(scope, &counter);
        defer_count(&arena, &counter);
    });
    assert_eq!(counter.load(SeqCst), 1);
    arena.reset();
    assert_eq!(counter.load(SeqCst), 4);
    arena.reset();
    defer_count(&arena, &counter);
    drop(arena);
    assert_eq!(counter.load(SeqCst), 5);
}

#[test]
fn rust_values_drop_when_c_finishes_the_arena() {
    let value = std::sync::Arc::new(());
    let arena = Arena::new(64);
    arena.alloc_static(value.clone());
    let mut raw = arena.into_raw();
    assert_eq!(std::sync::Arc::strong_count(&value), 2);
    // SAFETY: given away by `into_raw`, so ours to finish.
    unsafe { ffi::aegis_arena_fini(&mut raw) };
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn arena_goes_to_raw_and_back_with_everything_in_it() {
    let (source, log) = TestSource::new();
    let arena = Arena::builder().source(source).build().expect("no block yet");
    let text: *const str = arena.alloc_str("still here");
    let stats = arena.stats();
    // moved by memcpy, as C would do it
    let boxed = Box::new(arena.into_raw());
    // SAFETY: made by `into_raw`, and not used again under that name.
    let arena = unsafe { Arena::from_raw(*boxed) };
    // SAFETY: allocated from this arena, which was not reset.
    assert_eq!((unsafe { &*text }, arena.stats()), ("still here", stats));
    arena.alloc(10_000);
    drop(arena);
    log.assert_finished();
}

#[test]
fn c_arena_taken_over_by_rust_is_finished_by_it() {
    let counter = AtomicU32::new(0);
    let mut raw = c_arena(1000);
    // SAFETY: the arena is open, and the counter outlives it.
    unsafe {
        let context = &counter as *const AtomicU32 as *mut c_void;
        ffi::aegis_arena_alloc(&mut raw, 100);
        ffi::aegis_arena_defer(&mut raw, Some(count), context);
    }
    // SAFETY: made by `aegis_arena_init`, and not used again under that name.
    let arena = unsafe { Arena::from_raw(raw) };
    assert!(arena.capacity() >= 1000 && arena.used() >= 104);
    drop(arena);
    assert_eq!(counter.load(SeqCst), 1);
}

#[test]
fn c_arena_borrowed_by_rust_stays_the_property_of_c() {
    let mut raw = ManuallyDrop::new(c_arena(0));
    let in_c: *mut ffi::aegis_arena = &mut *raw;
    {
        // SAFETY: the arena is open, and stays where it is and as it is while borrowed.
        let arena = unsafe { Arena::borrow_raw(in_c) };
        let text = arena.alloc_str("by Rust");
        arena.scope(|scope| _ = scope.alloc(10_000));
        // SAFETY: as above; the bytes are not read.
        unsafe { ffi::aegis_arena_alloc(in_c, 5000) };
        assert_eq!((&*text, arena.stats().released_count), ("by Rust", 0));
    }
    // SAFETY: no longer borrowed.
    unsafe {
        ffi::aegis_arena_reset(in_c);
        ffi::aegis_arena_fini(in_c);
    }
    assert!(raw.ptr.is_null() && raw.first.is_null(), "all-zero once finished");
}

#[test]
fn hooks_of_c_libraries_allocate_from_a_rust_arena() {
    let arena = Arena::new(128);
    let raw = arena.as_raw().cast::<c_void>();
    // SAFETY: memory is used within its sizes, and within its family.
    unsafe {
        let p = ffi::aegis_arena_hook_calloc(raw, 10, 4).cast::<u8>();
        assert_eq!(std::slice::from_raw_parts(p, 40), [0; 40]);
        p.write_bytes(3, 40);
        arena.alloc_str("in between");
        let p = ffi::aegis_arena_hook_realloc(raw, p.cast(), 4000).cast::<u8>();
        assert_eq!(std::slice::from_raw_parts(p, 40), [3; 40]);
        assert_eq!(ffi::aegis_arena_hook_usable_size(raw, p.cast()), 4000);
        ffi::aegis_arena_hook_free(raw, p.cast());
        assert!(ffi::aegis_arena_hook_calloc(raw, usize::MAX, 2).is_null());
        let q = ffi::aegis_arena_hook_resize_sized(raw, std::ptr::null_mut(), 0, 100);
        assert_eq!(q as usize % 16, 0);
        assert!(ffi::aegis_arena_hook_resize_sized(raw, q, 100, 0).is_null());
    }
}

#[test]
fn linked_library_is_of_the_version_of_the_crate() {
    // SAFETY: reads a constant.
    let version = unsafe { ffi::aegis_version() };
    let (major, minor, patch) = (version / 10_000, version / 100 % 100, version % 100);
    assert_eq!(format!("{major}.{minor}.{patch}"), env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_status_has_a_text_of_its_own() {
    let text = |status| {
        // SAFETY: static strings.
        unsafe { CStr::from_ptr(ffi::aegis_status_message(status)) }.to_bytes()
    };
    for status in -5..=0 {
        assert!(!text(status).is_empty() && text(status) != text(i32::MAX), "status {status}");
        assert!((-5..status).all(|other| text(other) != text(status)));
    }
    assert_eq!(text(i32::MIN), text(i32::MAX));
}
