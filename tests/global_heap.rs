// SPDX-License-Identifier: Apache-2.0
//! A heap in an arena as the global allocator of a program: this one, with its threads, its panics
//! and the harness of its tests.

use aegis_memory::arena::{ArenaHeap, LockedArenaHeap};
use std::collections::HashMap;
use std::panic::catch_unwind;

#[global_allocator]
static HEAP: LockedArenaHeap = LockedArenaHeap::lazy();

#[test]
fn program_lives_on_its_heap() {
    let bytes = vec![7_u8; 1_000_000];
    let stats = HEAP.stats();
    assert!(stats.large_bytes >= 1_000_000 && stats.peak_reserved_bytes >= stats.used_bytes);
    assert!(bytes.iter().all(|byte| *byte == 7));
    drop(bytes);
    // Other tests use the heap meanwhile.
    HEAP.trim(0);
    assert!(HEAP.stats().released_count > 0);
}

#[test]
fn collections_strings_and_threads_work() {
    let sums: Vec<usize> = std::thread::scope(|threads| {
        let work = |seed: usize| {
            let mut map = HashMap::new();
            for i in 0..20_000 {
                let key = format!("key {}", i * seed % 4999);
                map.entry(key).or_insert_with(Vec::new).push(i);
                if i % 7 == 0 {
                    map.remove(&format!("key {}", i % 4999));
                }
            }
            map.values().map(Vec::len).sum()
        };
        let threads: Vec<_> = (1..5).map(|seed| threads.spawn(move || work(seed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    assert!(sums.iter().all(|sum| *sum > 0));
}

#[test]
fn panics_and_refusals_do_not_lose_memory() {
    assert!(catch_unwind(|| panic!("{}", "a message on the heap".repeat(100))).is_err());
    let mut huge = Vec::<u8>::new();
    assert!(huge.try_reserve_exact(isize::MAX as usize - 4096).is_err());
    huge.extend([1; 100]);
    assert_eq!(huge.len(), 100);
}

/// Alignments above that of the heap, zeroed memory, and resizes in both directions.
#[test]
fn layouts_are_kept() {
    #[repr(align(1024))]
    struct Aligned([u8; 3000]);
    let boxes: Vec<_> = (0..50_u8).map(|i| Box::new(Aligned([i; 3000]))).collect();
    for (i, aligned) in boxes.iter().enumerate() {
        assert_eq!(&raw_address(&**aligned) % 1024, 0);
        assert!(aligned.0.iter().all(|byte| usize::from(*byte) == i));
    }
    let mut zeroed = vec![0_u64; 5000];
    assert!(zeroed.iter().all(|word| *word == 0));
    zeroed.truncate(10);
    zeroed.shrink_to_fit();
    zeroed.extend(0..100_000);
    assert_eq!(zeroed[10 + 99_999], 99_999);
}

fn raw_address<T>(value: &T) -> usize {
    (value as *const T).cast::<u8>() as usize
}

/// A heap whose blocks come from the C heap does not depend on the global one.
#[test]
fn other_heaps_work_beside_it() {
    let heap = ArenaHeap::new(1000);
    let layout = std::alloc::Layout::new::<[u8; 500]>();
    let p = heap.alloc(layout);
    // SAFETY: it was allocated with this layout, and is not used again.
    unsafe { heap.dealloc(p, layout) };
    assert_eq!(heap.used(), 0);
}
