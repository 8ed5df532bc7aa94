// SPDX-License-Identifier: Apache-2.0
//! The tests of `tests/allocator.rs` that each allocator trait has for itself, with the collections
//! that come with it.

use std::alloc::Layout;
use std::ptr::NonNull;

/// The functions of an allocator trait, so that one test serves every trait.
pub trait Face {
    fn allocate(&self, layout: Layout, zeroed: bool) -> Option<NonNull<[u8]>>;

    /// # Safety
    ///
    /// As `deallocate` of the traits.
    unsafe fn deallocate(&self, at: NonNull<u8>, layout: Layout);

    /// Grows or shrinks.
    ///
    /// # Safety
    ///
    /// As `grow` of the traits.
    unsafe fn resize(
        &self,
        at: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Option<NonNull<[u8]>>;
}

/// Makes the tests of the trait of this crate, with the block source that is made of an allocator.
macro_rules! line {
    ($line:ident: $krate:ident, $FromAllocator:ident) => {
        mod $line {
            use super::*;
            use aegis_memory::source::$FromAllocator;
            use std::ptr::NonNull;
            use std::sync::Arc;
            use std::thread;
            use $krate::alloc::{Allocator, Global};
            use $krate::boxed::Box as BoxIn;
            use $krate::vec::Vec as VecIn;

            pub struct Of<A>(pub A);

            impl<A: Allocator> Face for Of<A> {
                fn allocate(&self, layout: Layout, zeroed: bool) -> Option<NonNull<[u8]>> {
                    match zeroed {
                        true => self.0.allocate_zeroed(layout).ok(),
                        false => self.0.allocate(layout).ok(),
                    }
                }

                unsafe fn deallocate(&self, at: NonNull<u8>, layout: Layout) {
                    // SAFETY: the caller keeps the trait's contract.
                    unsafe { self.0.deallocate(at, layout) }
                }

                unsafe fn resize(
                    &self,
                    at: NonNull<u8>,
                    old: Layout,
                    new: Layout,
                    zeroed: bool,
                ) -> Option<NonNull<[u8]>> {
                    // SAFETY: the caller keeps the trait's contract, and the sizes are in order.
                    unsafe {
                        if new.size() < old.size() {
                            self.0.shrink(at, old, new).ok()
                        } else if zeroed {
                            self.0.grow_zeroed(at, old, new).ok()
                        } else {
                            self.0.grow(at, old, new).ok()
                        }
                    }
                }
            }

            /// Fills a vector that has its arena for itself, so that it grows in place, and drops
            /// it.
            fn fill_in_place(arena: &dyn Allocator) {
                let mut numbers = VecIn::new_in(arena);
                numbers.push(0_u64);
                let place = numbers.as_ptr();
                numbers.extend(1..10_000);
                assert_eq!(numbers.as_ptr(), place);
                numbers.truncate(5000);
                numbers.shrink_to_fit();
                assert_eq!((numbers.as_ptr(), numbers.capacity()), (place, 5000));
                numbers.extend(5000..10_000);
                assert_eq!(numbers.as_ptr(), place);
                assert!(numbers.iter().copied().eq(0..10_000));
            }

            #[test]
            fn vec_alone_in_an_arena_grows_in_place_and_gives_its_room_back() {
                let mut memory = vec![MaybeUninit::uninit(); 200_000];
                let fixed = FixedArena::new(&mut memory);
                let (arena, shared) = (Arena::new(100_000), LockFreeArena::new(100_000));
                let locked = LockedArena::new(100_000);
                fill_in_place(&&arena);
                fill_in_place(&&fixed);
                fill_in_place(&&shared);
                fill_in_place(&&locked);
                assert_eq!((shared.used(), locked.used()), (0, 0));
                if !watched() {
                    assert_eq!((arena.used(), fixed.used()), (0, 0));
                }
            }

            #[test]
            fn vec_in_a_pool_grows_up_to_the_size_of_a_block() {
                let pool = LockFreePool::new(256, 2);
                let cache = pool.cache();
                for allocator in [&&pool as &dyn Allocator, &&cache] {
                    let mut numbers = VecIn::new_in(allocator);
                    assert_eq!(pool.in_use(), 0);
                    numbers.push(0_u64);
                    let place = numbers.as_ptr();
                    while numbers.try_reserve_exact(1).is_ok() {
                        numbers.push(numbers.len() as u64);
                    }
                    assert!(numbers.iter().copied().eq(0..32));
                    assert_eq!((numbers.as_ptr(), pool.in_use()), (place, 1));
                    drop(numbers);
                    assert_eq!(pool.in_use(), 0);
                }
            }

            #[test]
            fn box_drops_its_value_and_gives_its_memory_back() {
                let value = Arc::new(());
                let arena = Arena::new(100);
                let (pool, locked) = (Pool::new(64, 1), LockedPool::new(64, 1));
                for allocator in [&&arena as &dyn Allocator, &&pool, &&locked] {
                    let boxed = BoxIn::new_in(value.clone(), allocator);
                    assert_eq!(Arc::strong_count(&value), 2);
                    drop(boxed);
                    assert_eq!(Arc::strong_count(&value), 1);
                }
                assert_eq!((pool.in_use(), locked.in_use()), (0, 0));
                let first = BoxIn::try_new_in(1, &pool).expect("a block is free");
                assert!(BoxIn::try_new_in(2, &pool).is_err(), "the only block is out");
                assert!(BoxIn::try_new_in([0_u8; 65], &locked).is_err(), "larger than a block");
                let none = BoxIn::try_new_in([0_u64; 0], &pool).expect("it has no bytes");
                assert_eq!((*first, none.len(), pool.in_use()), (1, 0, 1));
            }

            #[test]
            fn vec_in_a_fixed_arena_reports_that_it_is_full_and_keeps_its_items() {
                let mut memory = [MaybeUninit::uninit(); 1024];
                let arena = FixedArena::new(&mut memory);
                let mut numbers = VecIn::new_in(&arena);
                while numbers.try_reserve(1).is_ok() {
                    numbers.push(numbers.len());
                }
                assert!(numbers.len() > 50 && numbers.iter().copied().eq(0..numbers.len()));
            }

            #[test]
            fn refusal_of_a_shared_arena_leaves_a_vec_as_it_was() {
                let budget = aegis_memory::budget::MemoryBudget::new("rows", 20_000);
                let arena = LockFreeArena::builder().budget(&budget).build().expect("built");
                let local = arena.local();
                let mut direct = VecIn::new_in(&arena);
                let mut by_handle = VecIn::new_in(&local);
                while direct.try_reserve(1).is_ok() && by_handle.try_reserve(1).is_ok() {
                    direct.push(direct.len());
                    by_handle.push(by_handle.len());
                }
                assert!(direct.iter().copied().eq(0..direct.len()) && direct.len() > 100);
                assert!(by_handle.iter().copied().eq(0..by_handle.len()));
            }

            #[test]
            fn collections_in_a_shared_arena_are_filled_sent_and_dropped_by_threads() {
                let mut arena = LockFreeArena::builder().max_block(4096).build().expect("built");
                let pool = LockFreePool::new(8, 8000);
                thread::scope(|threads| {
                    let fill = |number: usize| {
                        let mut names = VecIn::new_in(&arena);
                        for i in 0..2000 {
                            names.push(BoxIn::new_in(number * 10_000 + i, &pool));
                            if i % 7 == 0 {
                                names.shrink_to_fit();
                            }
                        }
                        names
                    };
                    let workers = [0, 1, 2, 3].map(|number| threads.spawn(move || fill(number)));
                    for (number, worker) in workers.into_iter().enumerate() {
                        let names = worker.join().expect("no panic");
                        // The vector is dropped on another thread than the one that filled it,
                        // while other threads allocate.
                        threads.spawn(move || {
                            let expected = (0..2000).map(|i| number * 10_000 + i);
                            assert!(names.iter().map(|name| **name).eq(expected));
                        });
                    }
                });
                arena.reset();
                assert_eq!((arena.used(), pool.in_use()), (0, 0));
            }

            #[test]
            fn arena_takes_its_blocks_from_an_allocator() {
                let builder = Arena::builder().source($FromAllocator(Global));
                let arena = builder.build().expect("there is memory for a test");
                assert!(arena.alloc(10_000).iter().all(|&byte| byte == 0));
            }

            proptest! {
                #![proptest_config(config(4))]

                #[test]
                fn vec_in_an_arena_equals_vec(
                    ops in prop::collection::vec((0_u8..7, any::<u16>()), 0..200)
                ) {
                    let arena = Arena::new(100);
                    let mut ours = VecIn::new_in(&arena);
                    let mut theirs = Vec::new();
                    for (op, value) in ops {
                        let index = usize::from(value) % (theirs.len() + 1);
                        match op {
                            0..=2 => {
                                ours.push(value.to_string());
                                theirs.push(value.to_string());
                            }
                            3 => {
                                ours.insert(index, value.to_string());
                                theirs.insert(index, value.to_string());
                            }
                            4 => {
                                ours.truncate(index);
                                theirs.truncate(index);
                            }
                            5 => {
                                ours.shrink_to_fit();
                                arena.alloc(index);
                            }
                            _ => {
                                ours.reserve(index);
                                ours.extend((0..index).map(|i| i.to_string()));
                                theirs.extend((0..index).map(|i| i.to_string()));
                                ours.truncate(300);
                                theirs.truncate(300);
                            }
                        }
                        prop_assert_eq!(&*ours, &*theirs);
                    }
                }
            }
        }
    };
}
