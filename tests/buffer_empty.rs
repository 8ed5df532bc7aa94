// SPDX-License-Identifier: Apache-2.0
//! A view of no bytes must hold nothing, neither memory nor an owner, in whatever way it became
//! empty.
#![cfg(feature = "std")]

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferChain, BufferPool};
use std::fs::File;
use std::sync::Arc;

/// An owner without bytes that counts its drops.
struct Nothing {
    _alive: Arc<()>,
}

impl AsRef<[u8]> for Nothing {
    fn as_ref(&self) -> &[u8] {
        &[]
    }
}

/// Whether a buffer has neither bytes nor an owner.
fn holds_nothing(buffer: &Buffer) -> bool {
    // SAFETY: reads a field of a live buffer.
    let owner = unsafe { (*buffer.as_raw()).owner };
    buffer.is_empty() && owner.is_null() && !buffer.is_unique()
}

#[test]
fn view_of_no_bytes_holds_nothing() {
    type Way = fn(Buffer) -> Buffer;
    let ways: [(&str, Way); 13] = [
        ("split_to(len), the rest", |mut all| {
            drop(all.split_to(all.len()));
            all
        }),
        ("split_to(0), the front", |mut all| all.split_to(0)),
        ("split_off(len), the back", |mut all| all.split_off(all.len())),
        ("split_off(0), the rest", |mut all| {
            drop(all.split_off(0));
            all
        }),
        ("advance(len)", |mut all| {
            all.advance(all.len());
            all
        }),
        ("truncate(0)", |mut all| {
            all.truncate(0);
            all
        }),
        ("clear()", |mut all| {
            all.clear();
            all
        }),
        ("slice(3..3)", |all| all.slice(3..3)),
        ("slice_ref of nothing", |all| all.slice_ref(&all[3..3])),
        ("clone of an empty one", |all| all.slice(9..).clone()),
        ("unsplit of two empty ones", |all| {
            let mut front = all.slice(..0);
            front.try_unsplit(all.slice(0..0)).unwrap();
            front
        }),
        ("read to the end", |mut all| {
            std::io::copy(&mut all, &mut std::io::sink()).unwrap();
            all
        }),
        ("chain of empty parts", |all| {
            BufferChain::from([all.slice(..0), all.slice(2..2)]).into_buffer()
        }),
    ];
    for (name, way) in ways {
        let pool = BufferPool::new(64, 1);
        let mut page = pool.get(64).unwrap();
        page.extend_from_slice(b"frame one");
        let rest = way(page.freeze());
        assert!(holds_nothing(&rest), "{name}");
        assert!(pool.get(64).is_ok(), "{name}");
    }
}

#[test]
fn what_is_made_without_bytes_holds_nothing() {
    let pool = BufferPool::new(64, 1);
    let mut page = pool.get(64).unwrap();
    assert!(holds_nothing(&page.split().freeze()));
    assert!(holds_nothing(&page.freeze()) && pool.get(64).is_ok());
    assert!(holds_nothing(&Buffer::from(Vec::with_capacity(100))));
    let alive = Arc::new(());
    assert!(holds_nothing(&Buffer::from_owner(Nothing { _alive: alive.clone() })));
    assert_eq!(Arc::strong_count(&alive), 1);
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    // SAFETY: nobody changes the program that runs.
    assert!(holds_nothing(&unsafe { Buffer::map(&file, 1..1) }.unwrap()));
    let budget = MemoryBudget::new("none", 0);
    assert!(holds_nothing(&Buffer::copy_from_slice_in(b"", &budget)));
    let budget = MemoryBudget::new("arena", 4096);
    let arena = Arena::builder().budget(&budget).build().unwrap();
    arena.alloc_static(alive.clone());
    assert!(holds_nothing(&Buffer::from_arena(arena, |_| b"")));
    assert_eq!((Arc::strong_count(&alive), budget.used()), (1, 0));
}
