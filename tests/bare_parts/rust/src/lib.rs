// SPDX-License-Identifier: Apache-2.0
//! Arenas, pools, budgets and collections where there is no `std`. `program` panics if any of them
//! does not do what it must.
#![no_std]

extern crate alloc;

use aegis_memory::arena::{Arena, ArenaHeap, FixedArena, TypedArena};
use aegis_memory::budget::{MemoryBudget, Reclaimer, Reservation};
use aegis_memory::collections::{ArenaString, ArenaVec};
use aegis_memory::pool::{KeyedPool, Pool, TypedPool};
use aegis_memory::AllocError;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::ToString;
use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod wasm;

/// Has one `is` for each type, and a second one for a type that is `Send`.
trait BoundToOneThread<Kind> {
    fn is() {}
}
impl<T> BoundToOneThread<()> for T {}
impl<T: Send> BoundToOneThread<u8> for T {}

// What charges a budget changes its counters, which are plain here. If one of these types is `Send`,
// the compiler does not know which `is` is meant.
const _: [fn(); 9] = [
    <MemoryBudget as BoundToOneThread<_>>::is,
    <Reservation as BoundToOneThread<_>>::is,
    <Reclaimer as BoundToOneThread<_>>::is,
    <Arena as BoundToOneThread<_>>::is,
    <ArenaHeap as BoundToOneThread<_>>::is,
    <FixedArena<'static> as BoundToOneThread<_>>::is,
    <TypedArena<u8> as BoundToOneThread<_>>::is,
    <Pool as BoundToOneThread<_>>::is,
    <KeyedPool<u8> as BoundToOneThread<_>>::is,
];

const HEAP_BYTES: usize = 512 * 1024;

#[repr(align(16))]
struct Heap(core::cell::UnsafeCell<[u8; HEAP_BYTES]>);

// SAFETY: each piece is handed out once.
unsafe impl Sync for Heap {}

static HEAP: Heap = Heap(core::cell::UnsafeCell::new([0; HEAP_BYTES]));
static USED: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// An allocator that counts what is out, and uses no piece twice.
struct Bump;

// SAFETY: pieces are disjoint and aligned.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = HEAP.0.get() as usize;
        let start = (base + USED.load(Ordering::Relaxed)).next_multiple_of(layout.align());
        let end = start - base + layout.size();
        if end > HEAP_BYTES {
            return ptr::null_mut();
        }
        USED.store(end, Ordering::Relaxed);
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        start as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
    }
}

#[global_allocator]
static BUMP: Bump = Bump;

fn live_bytes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

fn arenas() -> Result<(), AllocError> {
    let mut arena = Arena::builder().capacity(1000).build()?;
    let text = arena.alloc_str("kept");
    let squares = arena.alloc_slice_from_iter((0_u32..1000).map(|n| n * n));
    assert_eq!((&*text, squares[999]), ("kept", 998_001));
    arena.scope(|scope| {
        assert_eq!(scope.alloc(100).len(), 100);
    });
    arena.reset();
    let mut words = ArenaVec::new_in(&arena);
    for n in 0..100 {
        let mut word = ArenaString::new_in(&arena);
        word.push_str("word ");
        word.push_str(&n.to_string());
        words.push(word);
    }
    assert_eq!(words[99], "word 99");

    let mut memory = [MaybeUninit::<u8>::uninit(); 256];
    let fixed = FixedArena::new(&mut memory);
    fixed.try_alloc(64)?;
    let error = fixed.try_alloc(512).unwrap_err();
    assert!(error.to_string().starts_with("fixed memory exhausted: 512 bytes requested"));
    Ok(())
}

fn pools() -> Result<(), AllocError> {
    let pool = Pool::builder().block_size(48).blocks(8).max_blocks(16).build()?;
    let blocks: [_; 16] = core::array::from_fn(|_| pool.alloc().unwrap());
    assert!(matches!(pool.alloc(), Err(AllocError::Exhausted { .. })));
    drop(blocks);
    let names = TypedPool::<_, Pool>::new(4);
    assert_eq!(*names.alloc("a").unwrap(), "a");
    let mut values = KeyedPool::new(4);
    let key = values.insert("old");
    assert_eq!(values.remove(key), Some("old"));
    values.insert("new");
    assert_eq!(values.get(key), None);
    Ok(())
}

fn budgets() -> Result<(), AllocError> {
    let root = MemoryBudget::new("root", 64 * 1024);
    let leaf = root.child("leaf", usize::MAX);
    let reservation = leaf.try_reserve(60 * 1024)?;
    let arena = Arena::builder().budget(&leaf).build()?;
    let error = arena.try_alloc(8 * 1024).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("budget 'root' refused "), "{said}");
    drop(reservation);
    arena.try_alloc(8 * 1024)?;
    assert!(root.used() >= 8 * 1024 && root.peak() >= 60 * 1024);
    // No other thread could make room, so this does not wait.
    assert!(leaf.reserve_timeout(1 << 20, core::time::Duration::MAX).is_err());
    Ok(())
}

/// Panics if anything is wrong.
pub fn program() {
    let before = live_bytes();
    arenas().unwrap();
    pools().unwrap();
    budgets().unwrap();
    assert_eq!(live_bytes(), before);
}

/// A panic as a text that a machine can print.
pub fn said(info: &core::panic::PanicInfo<'_>) -> CString {
    CString::new(format!("failed: {info}\n")).unwrap_or_default()
}
