// SPDX-License-Identifier: Apache-2.0
//! Tests what a handle keeps alive: the bytes of memory, and whether two handles keep the same. For
//! each kind of memory, each part of it must say the number that is charged, acquired, mapped or
//! said. `compact` must go by that number. `tests/c/buffer_retained_test.c` tests the same in C.

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferChain, BufferMut, BufferPool, WhenEmpty};
use aegis_memory::ffi;
use std::fs::File;
use std::sync::Arc;

/// An owner whose bytes are the middle of more memory.
struct Part(Arc<Vec<u8>>);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.0[100..120]
    }
}

/// The header of memory on the C heap, with the padding up to the bytes.
fn header_bytes() -> usize {
    Buffer::copy_from_slice(b"x").retained_bytes() - 1
}

/// The view and each part of it keep so many bytes, which are the same memory; a part of no bytes
/// keeps nothing.
fn check_parts(kind: &str, whole: Buffer, retained: usize) {
    let (front, back) = (whole.slice(..1), whole.slice(whole.len() - 1..));
    let (nothing, other) = (whole.slice(1..1), Buffer::copy_from_slice(&whole));
    for view in [&whole, &front, &back, &whole.clone()] {
        assert_eq!(view.retained_bytes(), retained, "{kind}");
        assert!(view.same_memory(&whole) && whole.same_memory(view), "{kind}");
        assert!(front.same_memory(view) && back.same_memory(view), "{kind}");
        assert!(!view.same_memory(&nothing) && !nothing.same_memory(view), "{kind}");
        assert!(!view.same_memory(&other) && !other.same_memory(view), "{kind}");
        assert!(!view.same_memory(&Buffer::from("static")), "{kind}");
    }
    assert_eq!(nothing.retained_bytes(), 0, "{kind}");
    assert!(!nothing.same_memory(&nothing), "{kind}");
}

#[test]
fn each_kind_of_memory_says_what_it_takes() {
    let budget = MemoryBudget::new("all", MemoryBudget::UNLIMITED);
    let heap = Buffer::copy_from_slice_in(&[7; 500], &budget);
    check_parts("heap", heap, budget.used());
    assert_eq!(budget.used(), 0);
    let mut aligned = BufferMut::with_capacity_in(500, 4096, &budget);
    aligned.resize(500, 7);
    check_parts("aligned", aligned.freeze(), budget.used());
    let arena = Arena::builder().budget(&budget).build().unwrap();
    arena.alloc(100_000);
    let in_arena = Buffer::from_arena(arena, |arena| arena.alloc(50));
    assert!(budget.used() > 100_000);
    check_parts("arena", in_arena, budget.used());
    let mut vec = Vec::with_capacity(1000);
    vec.extend_from_slice(b"vector");
    let capacity = vec.capacity();
    check_parts("vector", Buffer::from(vec), capacity);
    check_parts("owner", Buffer::from_owner([7_u8; 99]), 99);
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    // SAFETY: nobody changes the program that runs.
    check_parts("file", unsafe { Buffer::map(&file, ..) }.unwrap(), length);
    for fixed in [Buffer::new(), Buffer::from("static"), Buffer::from(vec![])] {
        assert_eq!(fixed.retained_bytes(), 0);
        assert!(!fixed.same_memory(&fixed));
    }
}

#[test]
fn memory_of_a_pool_is_its_block_or_the_heap() {
    let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
    let builder = BufferPool::builder().class(4096, 2).budget(&budget);
    let pool = builder.when_empty(WhenEmpty::Heap).build().unwrap();
    let pool_bytes = budget.used();
    let mut pages: Vec<_> = (0..3).map(|_| pool.get(4096).unwrap()).collect();
    pages.iter_mut().for_each(|page| page.extend_from_slice(b"page"));
    let [first, second, heap] = [0, 1, 2].map(|i| pages[i].retained_bytes());
    // A checker's gap takes at most one more page.
    assert!(first == second && (4096..=8192).contains(&first));
    assert_eq!(heap, budget.used() - pool_bytes);
    assert!(!pages[0].same_memory(&pages[1]) && !pages[1].same_memory(&pages[2]));
    for (page, retained) in pages.into_iter().zip([first, second, heap]) {
        check_parts("page", page.freeze(), retained);
    }
}

#[test]
fn writers_keep_their_memory_whatever_part_they_have() {
    let mut writer = BufferMut::with_capacity(100);
    let retained = writer.retained_bytes();
    assert_eq!(retained, 100 + header_bytes());
    writer.extend_from_slice(b"some bytes");
    let (back, front) = (writer.split_off(50), writer.split_to(0));
    for part in [&writer, &back, &front] {
        assert_eq!(part.retained_bytes(), retained);
        assert!(part.same_memory(&writer) && writer.same_memory(part));
        assert!(!part.same_memory(&BufferMut::with_capacity(0)));
    }
    let view = front.freeze();
    assert_eq!(view.retained_bytes(), 0, "a view of no bytes keeps nothing");
    let view = writer.freeze();
    let other = view.clone().try_into_mut().expect_err("there is a part");
    assert!(view.same_memory(&other) && view.retained_bytes() == retained);
}

#[test]
fn owner_says_its_size_which_is_at_least_its_bytes() {
    let memory = Arc::new(vec![7; 1 << 20]);
    for (said, retained) in [(1 << 20, 1 << 20), (usize::MAX, usize::MAX), (19, 20), (0, 20)] {
        let view = Buffer::from_owner_sized(Part(memory.clone()), said);
        assert_eq!(view, [7; 20]);
        check_parts("said", view, retained);
    }
    let view = Buffer::try_from_owner_sized(Part(memory.clone()), 21).map_err(|_| ()).unwrap();
    check_parts("said", view, 21);
    let empty = Buffer::from_owner_sized([0_u8; 0], 1000);
    assert_eq!(empty.retained_bytes(), 0, "an owner without bytes is dropped");
    assert_eq!(Arc::strong_count(&memory), 1);
}

#[test]
fn owners_of_the_same_bytes_keep_the_same_memory() {
    struct Inner(Buffer);
    impl AsRef<[u8]> for Inner {
        fn as_ref(&self) -> &[u8] {
            &self.0[5..]
        }
    }
    let page = Buffer::from(vec![7; 100]);
    let around = Buffer::from_owner_sized(Inner(page.clone()), page.retained_bytes());
    assert!(around.same_memory(&page) && page.same_memory(&around));
    assert!(around.same_memory(&page.slice(..1)), "the memory, not the bytes of the view");
    assert_eq!((around.len(), around.retained_bytes()), (95, 100));
    let memory = Arc::new(vec![7; 200]);
    let [a, b] = [0, 1].map(|_| Buffer::from_owner(Part(memory.clone())));
    assert!(a.same_memory(&b) && !a.same_memory(&page));
}

#[test]
fn chain_counts_each_memory_once() {
    assert_eq!(BufferChain::new().retained_bytes(), 0);
    let pages: Vec<_> = (1..=5).map(|n| Buffer::from(vec![7; 1000 * n])).collect();
    let mut chain = BufferChain::new();
    for round in 0..4 {
        for (n, page) in pages.iter().enumerate() {
            chain.push(page.slice(10 * round..10 * round + 10));
            let all = if round == 0 { (1..=n + 1).sum() } else { 15 };
            assert_eq!(chain.retained_bytes(), 1000 * all);
            chain.push(Buffer::from("static"));
        }
    }
    // An owner around the same bytes is not counted again, but for what it says to keep.
    chain.push(Buffer::from_owner(Around(pages[4].clone())));
    assert_eq!(chain.retained_bytes(), 15_000);
    chain.push(Buffer::from_owner_sized(Around(pages[4].clone()), 7000));
    assert_eq!(chain.retained_bytes(), 17_000);
    chain.push(Buffer::from_owner_sized([0_u8; 8], usize::MAX));
    assert_eq!(chain.retained_bytes(), usize::MAX);
    chain.advance(chain.len());
    assert_eq!(chain.retained_bytes(), 0);
}

struct Around(Buffer);

impl AsRef<[u8]> for Around {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Compacts a view and tells whether it was copied. Compacting once more never copies.
fn compacts(view: &mut Buffer) -> bool {
    let (before, bytes) = (view.as_ptr(), view.to_vec());
    view.compact();
    let after = view.as_ptr();
    view.compact();
    assert!(view.as_ptr() == after && *view == *bytes);
    after != before
}

#[test]
fn compact_goes_by_what_the_view_keeps() {
    for length in 1..200 {
        assert!(!compacts(&mut Buffer::copy_from_slice(&vec![7; length])), "{length}");
        assert!(!compacts(&mut Buffer::from(vec![7; length])), "{length}");
        assert!(!compacts(&mut Buffer::from_owner(vec![7; length])), "{length}");
    }
    let memory = Arc::new(vec![7; 1 << 20]);
    let sized = |retained| Buffer::from_owner_sized(Part(memory.clone()), retained);
    assert!(!compacts(&mut sized(40 + header_bytes())));
    assert!(compacts(&mut sized(41 + header_bytes())) && compacts(&mut sized(usize::MAX)));
    assert_eq!(Arc::strong_count(&memory), 1);
    let budget = MemoryBudget::new("arena", MemoryBudget::UNLIMITED);
    let arena = Arena::builder().budget(&budget).build().unwrap();
    arena.alloc(100_000);
    let mut in_arena = Buffer::from_arena(arena, |arena| arena.alloc_str("small").as_bytes());
    assert!(compacts(&mut in_arena) && in_arena == "small" && budget.used() == 0);
    let mut spare = Vec::with_capacity(1000);
    spare.extend_from_slice(b"vector");
    assert!(compacts(&mut Buffer::from(spare)));
}

#[test]
fn compact_of_no_bytes_gives_the_owner_up() {
    unsafe extern "C" fn released(context: *mut std::ffi::c_void) {
        // SAFETY: the count below outlives the buffer.
        unsafe { *context.cast::<usize>() += 1 };
    }
    let mut releases = 0_usize;
    let mut raw = Buffer::new().into_raw();
    let (context, none) = (std::ptr::addr_of_mut!(releases).cast(), std::ptr::null_mut());
    // SAFETY: no bytes are lent, and the count outlives the buffer.
    let status = unsafe {
        let data = std::ptr::null();
        ffi::aegis_buffer_wrap_sized(&mut raw, data, 0, 1000, Some(released), context, none)
    };
    assert_eq!(status, 0);
    // SAFETY: the core has just made it, and its release may run anywhere.
    let mut view = unsafe { Buffer::from_raw(raw) };
    assert_eq!(view.retained_bytes(), 1000, "C keeps the owner of no bytes until it is narrowed");
    view.compact();
    assert_eq!((view.retained_bytes(), view.len()), (0, 0));
    // SAFETY: the release function has written it through the pointer.
    assert_eq!(unsafe { std::ptr::read_volatile(&releases) }, 1);
}
