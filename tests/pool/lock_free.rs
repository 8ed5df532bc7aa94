// SPDX-License-Identifier: Apache-2.0
//! Tests what all pools do alike on one thread: blocks, statistics, growth, and limits. No block
//! may be out twice, a refusal must name what was asked and change nothing, and a block must return
//! to its own pool.

use crate::support::{panic_of, TestSource, DIRT};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::pool::{Block, LockFreePool, LockedPool, Pool, PoolBlock};
use aegis_memory::source::{Global, Heap, Pages};
use aegis_memory::{ffi, AllocError, What};
use std::collections::HashSet;
use std::mem;
use std::ptr::NonNull;

/// The tests of one kind of pool, in a module with the name of that kind.
macro_rules! of_pool {
    ($module:ident, $Pool:ident) => {
        mod $module {
            use super::*;
            type Block<'a> = PoolBlock<'a, $Pool>;

            fn take(pool: &$Pool, count: usize) -> Vec<Block<'_>> {
                (0..count).map(|_| pool.alloc().expect("a block is left")).collect()
            }

            #[test]
            fn blocks_are_zeroed_disjoint_and_numbered() {
                let pool = $Pool::new(100, 10);
                let mut blocks = take(&pool, 10);
                for (i, block) in blocks.iter_mut().enumerate() {
                    assert_eq!(block.len(), 100);
                    assert!(block.iter().all(|&byte| byte == 0));
                    block.fill(i as u8 + 1);
                }
                for (i, block) in blocks.iter().enumerate() {
                    assert!(block.iter().all(|&byte| byte == i as u8 + 1), "{i}");
                }
                let indices: HashSet<_> = blocks.iter().map(|block| block.index()).collect();
                assert_eq!(indices, (0..10).collect());
            }

            #[test]
            fn alloc_clears_what_the_last_owner_left() {
                let pool = $Pool::new(64, 1);
                pool.alloc().unwrap().fill(DIRT);
                assert_eq!(&*pool.alloc().unwrap(), [0; 64]);
            }

            #[test]
            fn uninit_block_is_used_after_every_byte_is_written() {
                let pool = $Pool::new(64, 1);
                let mut block = pool.alloc_uninit().unwrap();
                block.iter_mut().for_each(|byte| _ = byte.write(7));
                // SAFETY: every byte has been written.
                let block = unsafe { block.assume_init() };
                assert_eq!((block.as_ref(), pool.in_use()), (&[7_u8; 64][..], 1));
            }

            #[test]
            fn alloc_when_none_is_left_fails_and_changes_nothing() {
                let pool = $Pool::new(128, 3);
                let mut blocks = take(&pool, 3);
                let before = pool.stats();
                let error = pool.alloc().unwrap_err();
                assert!(
                    matches!(
                        error,
                        AllocError::Exhausted { requested: 128, capacity: 384, in_use: 384, .. }
                    ),
                    "{error:?}"
                );
                assert_eq!(pool.stats(), before);
                assert_eq!((pool.in_use(), pool.available()), (3, 0));
                blocks.pop();
                assert!(pool.alloc().is_ok(), "a block given back can be had again");
            }

            #[test]
            fn growth_goes_by_slabs_up_to_the_maximum_and_trim_gives_them_back() {
                let builder = $Pool::builder().block_size(64).blocks(4).max_blocks(10);
                #[allow(unused_mut)]
                let pool = builder.build().unwrap();
                assert_eq!((pool.capacity(), pool.stats().max_capacity), (4, 10));
                let blocks = take(&pool, 10);
                assert_eq!((pool.capacity(), pool.stats().slab_count), (10, 3));
                assert!(matches!(pool.alloc(), Err(AllocError::Exhausted { .. })));
                let indices: HashSet<_> = blocks.iter().map(|block| block.index()).collect();
                assert_eq!(indices, (0..10).collect());
                drop(blocks);
                pool.trim(5);
                assert_eq!((pool.capacity(), pool.stats().slab_count), (8, 2));
                pool.trim(0);
                assert_eq!((pool.capacity(), pool.available()), (4, 4));
                assert_eq!(take(&pool, 10).len(), 10);
                assert_eq!(pool.stats().peak_in_use, 10);
            }

            #[test]
            fn every_block_is_aligned_as_asked_up_to_2_mib() {
                for shift in 0..=21 {
                    let align = 1_usize << shift;
                    let builder = $Pool::builder().block_size(3).blocks(2).align(align);
                    let pool = builder.max_blocks(3).build().unwrap();
                    for block in take(&pool, 3) {
                        assert_eq!(block.as_ptr() as usize % align, 0);
                    }
                }
                let pool = $Pool::new(48, 1);
                assert_eq!(pool.alloc().unwrap().as_ptr() as usize % 4096, 0, "a slab's first");
            }

            #[test]
            fn bad_settings_are_refused_by_name() {
                let build = |size, blocks, align| {
                    $Pool::builder().block_size(size).blocks(blocks).align(align).build().map(drop)
                };
                let invalid = |result: Result<(), AllocError>| {
                    matches!(result, Err(AllocError::InvalidLayout { .. }))
                };
                assert!(invalid(build(64, 1, 3)));
                assert!(invalid(build(64, 1, usize::MAX)));
                assert!(invalid(build(usize::MAX, 1, 0)));
                assert!(invalid(build(isize::MAX as usize - 64, 2, 0)));
                let blocks = |result: Result<(), AllocError>| {
                    matches!(result, Err(AllocError::Invalid { what: What::Blocks, .. }))
                };
                assert!(blocks(build(1, usize::MAX, 0)));
                assert!(blocks(build(0, ffi::AEGIS_POOL_MAX_BLOCKS as usize + 1, 0)));
                assert!(blocks(build(64, 0, 0)));
                let message = panic_of(|| $Pool::new(usize::MAX, 1));
                let start = format!("invalid layout: size {}", usize::MAX);
                assert!(message.starts_with(&start), "{message}");
            }

            #[test]
            fn blocks_of_size_0_and_1_are_numbered_and_counted() {
                for size in [0, 1] {
                    let pool = $Pool::new(size, 5);
                    let blocks = take(&pool, 5);
                    let indices: HashSet<_> = blocks.iter().map(|block| block.index()).collect();
                    assert_eq!((indices.len(), blocks[0].len()), (5, size));
                }
            }

            #[test]
            fn each_source_serves() {
                let builder = || $Pool::builder().block_size(4096).blocks(4).align(4096);
                for pool in [
                    builder().source(Heap).build().unwrap(),
                    builder().source(Global).build().unwrap(),
                    builder().source(Pages::new().prefault()).build().unwrap(),
                ] {
                    assert!(take(&pool, 4).iter().all(|block| **block == [0; 4096]));
                }
            }

            #[test]
            fn budget_is_charged_for_all_that_is_reserved_and_named_when_it_refuses() {
                let database = MemoryBudget::new("database", 64 << 10);
                let budget = database.child("pool", MemoryBudget::UNLIMITED);
                let builder = || $Pool::builder().block_size(4096).blocks(4).max_blocks(64);
                let pool = builder().budget(&budget).build().unwrap();
                assert!(budget.used() >= 4 * 4096);
                assert_eq!(budget.used(), pool.stats().reserved_bytes);
                let mut blocks = Vec::new();
                let error = loop {
                    match pool.alloc() {
                        Ok(block) => blocks.push(block),
                        Err(error) => break error,
                    }
                };
                let AllocError::LimitExceeded { requested, needed, limit, in_use, refusal, .. } =
                    error
                else {
                    panic!("{error}");
                };
                let refusal = refusal.expect("memory for the record");
                let slab_bytes = 4 * pool.stats().stride_bytes;
                assert_eq!((requested, needed), (4096, slab_bytes));
                assert_eq!((limit, in_use), (64 << 10, database.used()));
                assert_eq!(refusal.budget.name, "database");
                assert_eq!(budget.used(), pool.stats().reserved_bytes);
                assert_eq!(blocks.len(), pool.capacity());
                drop(blocks);
                drop(pool);
                assert_eq!(budget.used(), 0);

                let error = builder().blocks(60).budget(&budget).build().unwrap_err();
                assert!(error.to_string().contains("budget 'database' refused"), "{error}");
                assert_eq!(budget.used(), 0);
            }

            #[test]
            fn forgotten_blocks_stay_out_and_their_memory_goes_with_the_pool() {
                let (source, log) = TestSource::new();
                let pool =
                    $Pool::builder().block_size(64).blocks(2).source(source).build().unwrap();
                mem::forget(pool.alloc().unwrap());
                pool.alloc().unwrap().leak()[0] = 1;
                assert_eq!(pool.in_use(), 2);
                assert!(pool.alloc().is_err());
                drop(pool);
                log.assert_finished();
            }

            #[test]
            fn raw_block_comes_back_through_from_raw() {
                let pool = $Pool::new(64, 1);
                let mut block = pool.alloc().unwrap();
                block[0] = 9;
                let memory: NonNull<[u8]> = block.into_raw();
                assert_eq!(pool.in_use(), 1);
                // SAFETY: from `into_raw` of this pool's block, which nobody else has.
                let block: Block<'_> = unsafe { super::Block::from_raw(&pool, memory.cast()) };
                assert_eq!((block[0], block.len()), (9, 64));
                drop(block);
                assert_eq!(pool.in_use(), 0);
            }

            #[test]
            fn pool_goes_to_c_and_comes_back() {
                let pool = $Pool::new(64, 2);
                mem::forget(pool.alloc().unwrap());
                // SAFETY: the struct was just given away.
                let pool = unsafe { $Pool::from_raw(pool.into_raw()) };
                assert_eq!(pool.in_use(), 1);
                // SAFETY: the pool is not moved meanwhile.
                let borrowed = unsafe { $Pool::borrow_raw(pool.as_raw()) };
                assert_eq!(borrowed.alloc().unwrap().len(), 64);
            }

            #[test]
            fn debug_shows_figures_and_index() {
                let pool = $Pool::new(64, 2);
                let block = pool.alloc().unwrap();
                assert_eq!(format!("{block:?}"), "PoolBlock { index: 0, len: 64 }");
                assert!(format!("{pool:?}").contains("in_use: 1"), "{pool:?}");
            }

            #[test]
            fn dropping_blocks_in_any_order_leaves_all_available() {
                let pool = $Pool::new(32, 100);
                let mut blocks = take(&pool, 100);
                while !blocks.is_empty() {
                    blocks.swap_remove(blocks.len() * 7 % 11 % blocks.len());
                }
                assert_eq!((pool.in_use(), pool.available()), (0, 100));
                assert_eq!(take(&pool, 100).len(), 100);
            }

            #[test]
            fn alloc_n_appends_zeroed_blocks_and_free_n_gives_them_back() {
                let pool = $Pool::builder().block_size(64).blocks(70).max_blocks(200);
                let pool = pool.build().unwrap();
                let mut blocks = Vec::with_capacity(200);
                let room = blocks.as_ptr();
                for _ in 0..2 {
                    pool.alloc_n(0, &mut blocks).unwrap();
                    pool.alloc_n(1, &mut blocks).unwrap();
                    pool.alloc_n(199, &mut blocks).unwrap();
                    assert!(blocks.iter().all(|block: &Block<'_>| **block == [0; 64]));
                    let indices: HashSet<_> = blocks.iter().map(|block| block.index()).collect();
                    assert_eq!((indices.len(), pool.in_use()), (200, 200));
                    blocks.iter_mut().for_each(|block| block.fill(DIRT));
                    pool.free_n(blocks.drain(1..));
                    assert_eq!((pool.in_use(), &*blocks[0]), (1, &[DIRT; 64][..]));
                    pool.free_n(blocks.pop());
                    assert_eq!(pool.in_use(), 0);
                }
                assert_eq!(blocks.as_ptr(), room, "nothing was allocated");
            }

            #[test]
            fn alloc_uninit_n_takes_blocks_to_be_written() {
                let pool = $Pool::new(64, 100);
                let mut blocks = Vec::new();
                pool.alloc_uninit_n(100, &mut blocks).unwrap();
                for (i, block) in blocks.iter_mut().enumerate() {
                    block.iter_mut().for_each(|byte| _ = byte.write(i as u8));
                }
                // SAFETY: every byte has been written.
                let blocks = blocks.into_iter().map(|block| unsafe { block.assume_init() });
                let blocks: Vec<Block<'_>> = blocks.collect();
                assert!((0..100_u8).all(|i| *blocks[usize::from(i)] == [i; 64]));
                pool.free_n(blocks);
                assert_eq!((pool.in_use(), pool.available()), (0, 100));
            }

            #[test]
            fn alloc_n_of_more_than_there_are_takes_none() {
                let pool = $Pool::new(64, 100);
                let mut blocks = take(&pool, 1);
                for count in [100, 128, 1000] {
                    let error = pool.alloc_n(count, &mut blocks).unwrap_err();
                    assert!(matches!(error, AllocError::Exhausted { .. }), "{error}");
                    assert_eq!((blocks.len(), pool.in_use(), pool.available()), (1, 1, 99));
                }
                let error = pool.alloc_n(usize::MAX, &mut blocks).unwrap_err();
                assert!(
                    matches!(error, AllocError::OutOfMemory { requested: usize::MAX, .. }),
                    "{error}"
                );
                pool.alloc_n(99, &mut blocks).unwrap();
                assert_eq!((blocks.len(), pool.available()), (100, 0));
            }

            #[test]
            fn free_n_sends_blocks_of_another_pool_home() {
                let (pool, other) = ($Pool::new(64, 4), $Pool::new(64, 4));
                pool.free_n([pool.alloc().unwrap(), other.alloc().unwrap(), pool.alloc().unwrap()]);
                assert_eq!((pool.in_use(), other.in_use()), (0, 0));
                assert_eq!((take(&pool, 4).len(), take(&other, 4).len()), (4, 4));
            }

            #[test]
            fn free_n_gives_back_what_comes_before_a_panic() {
                let pool = $Pool::new(64, 100);
                let blocks = take(&pool, 100).into_iter().enumerate();
                let message = panic_of(|| {
                    pool.free_n(blocks.map(|(i, block)| {
                        assert_ne!(i, 80, "here");
                        block
                    }));
                });
                assert!(message.contains("here"), "{message}");
                assert_eq!(pool.in_use(), 0, "the others were dropped");
            }

            #[test]
            fn slab_and_index_say_where_each_block_lies() {
                let builder = $Pool::builder().block_size(100).blocks(4).max_blocks(10).align(64);
                #[allow(unused_mut)]
                let pool = builder.build().unwrap();
                let first = pool.slab(0).expect("the first slab is held");
                assert_eq!((pool.slab(1), pool.slab(3), pool.slab(usize::MAX)), (None, None, None));
                let blocks = take(&pool, 10);
                let slabs = [0, 1, 2].map(|slab| pool.slab(slab).expect("it is held"));
                assert_eq!(slabs[0], first);
                assert_eq!(slabs.map(|slab| slab.first_index), [0, 4, 8]);
                assert_eq!(slabs.map(|slab| slab.block_count), [4, 4, 2]);
                for slab in slabs {
                    assert_eq!(slab.base.as_ptr() as usize % 4096, 0);
                    assert_eq!(slab.stride_bytes, pool.stats().stride_bytes);
                    assert_eq!(slab.size_bytes, slab.block_count * slab.stride_bytes);
                }
                for block in &blocks {
                    let slab = slabs[block.index() / 4];
                    let offset = (block.index() - slab.first_index) * slab.stride_bytes;
                    assert_eq!(block.as_ptr() as usize, slab.base.as_ptr() as usize + offset);
                }
                drop(blocks);
                pool.trim(0);
                assert_eq!((pool.slab(0), pool.slab(1)), (Some(first), None));
            }
        }
    };
}

of_pool!(one_owner, Pool);
of_pool!(lock_free, LockFreePool);
of_pool!(locked, LockedPool);
