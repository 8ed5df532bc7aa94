// SPDX-License-Identifier: Apache-2.0
//! Tests typed pools over each kind of pool. A value is moved in, must be dropped exactly once, and
//! may be sent between threads where its pool allows that.

use crate::support::{panic_of, TestSource};
use aegis_memory::arena::{Arena, ArenaBuilder, ArenaKind, LockedArena};
use aegis_memory::pool::{
    Block, BlockByte, BlockPool, LockFreePool, LockedPool, Pool, PoolBox, PoolBuilder, PoolKind,
    TypedPool,
};
use aegis_memory::AllocError;
use std::cell::Cell;
use std::mem::{self, MaybeUninit};
use std::ops::Deref;
use std::thread;

/// A value that counts its drops.
struct Counted<'a>(&'a Cell<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// The tests of one kind of pool, in a module with the name of that kind.
macro_rules! of_pool {
    ($module:ident, $Pool:ident) => {
        mod $module {
            use super::*;

            #[test]
            fn value_is_dropped_once_when_its_box_is() {
                let drops = Cell::new(0);
                let pool = TypedPool::<Counted<'_>, $Pool>::new(2);
                let value = pool.alloc(Counted(&drops)).unwrap();
                let other = pool.alloc_with(|| Counted(&drops)).unwrap();
                assert_eq!((drops.get(), pool.in_use(), pool.available()), (0, 2, 0));
                drop(value);
                assert_eq!((drops.get(), pool.in_use()), (1, 1));
                drop(other);
                assert_eq!(drops.get(), 2);
            }

            #[test]
            fn value_is_dropped_when_no_block_is_left_and_the_function_not_called() {
                let drops = Cell::new(0);
                let pool = TypedPool::<Counted<'_>, $Pool>::new(1);
                let _kept = pool.alloc(Counted(&drops)).unwrap();
                let error = pool.alloc(Counted(&drops)).map(drop).unwrap_err();
                assert!(matches!(error, AllocError::Exhausted { .. }));
                assert_eq!(drops.get(), 1);
                assert!(pool.alloc_with(|| unreachable!()).is_err());
            }

            #[test]
            fn into_inner_and_leak_do_not_drop() {
                let drops = Cell::new(0);
                let pool = TypedPool::<Counted<'_>, $Pool>::new(2);
                let value = PoolBox::into_inner(pool.alloc(Counted(&drops)).unwrap());
                assert_eq!((drops.get(), pool.in_use()), (0, 0));
                drop(value);
                PoolBox::leak(pool.alloc(Counted(&drops)).unwrap()).0.set(10);
                mem::forget(pool.alloc(Counted(&drops)).unwrap());
                assert_eq!((pool.in_use(), pool.capacity()), (2, 2));
                drop(pool);
                assert_eq!(drops.get(), 10);
            }

            #[test]
            fn block_comes_back_when_a_drop_or_a_function_panics() {
                struct Bomb;
                impl Drop for Bomb {
                    fn drop(&mut self) {
                        panic!("bomb");
                    }
                }
                let pool = TypedPool::<Bomb, $Pool>::new(1);
                let bomb = pool.alloc(Bomb).unwrap();
                assert_eq!(panic_of(|| drop(bomb)), "bomb");
                assert_eq!(pool.in_use(), 0);
                assert_eq!(panic_of(|| pool.alloc_with(|| panic!("made"))), "made");
                assert_eq!(pool.in_use(), 0);
            }

            #[test]
            fn values_of_any_alignment_and_size_0_fit() {
                #[repr(align(8192))]
                struct Page(u8);
                let pool = TypedPool::<Page, $Pool>::new(3);
                let pages = [1, 2, 3].map(|value| pool.alloc(Page(value)).unwrap());
                for (page, value) in pages.iter().zip(1..) {
                    assert_eq!((page.0, &**page as *const Page as usize % 8192), (value, 0));
                }
                let pool = TypedPool::<(), $Pool>::new(2);
                let units = [pool.alloc(()).unwrap(), pool.alloc(()).unwrap()];
                assert_eq!((*units[0], pool.available()), ((), 0));
            }

            #[test]
            fn builder_settings_hold_but_for_the_layout_of_the_blocks() {
                let (source, log) = TestSource::new();
                let builder = $Pool::builder().block_size(1).align(1).blocks(2).max_blocks(6);
                let pool = builder.source(source).build_typed::<[u64; 5]>().unwrap();
                let stats = pool.stats();
                assert_eq!((stats.block_bytes, stats.align_bytes), (40, mem::align_of::<u64>()));
                let mut values: Vec<_> = (0..6).map(|i| pool.alloc([i; 5]).unwrap()).collect();
                values.iter_mut().for_each(|value| value[4] += 1);
                assert!(values.iter().zip(0..).all(|(v, i)| **v == [i, i, i, i, i + 1]));
                assert_eq!(pool.capacity(), 6);
                drop(values);
                pool.trim(0);
                assert_eq!((pool.capacity(), pool.pool().block_size()), (2, 40));
                assert!(format!("{pool:?}").starts_with("TypedPool { stats:"));
                drop(pool);
                log.assert_finished();
            }

            #[test]
            fn box_shows_and_lends_its_value() {
                let pool = TypedPool::<String, $Pool>::new(1);
                let mut text = pool.alloc(String::from("text")).unwrap();
                text.as_mut().push('!');
                assert_eq!(format!("{text} {text:?} {}", text.as_ref()), "text! \"text!\" text!");
            }
        }
    };
}

of_pool!(one_owner, Pool);
of_pool!(lock_free, LockFreePool);
of_pool!(locked, LockedPool);

#[test]
fn values_of_a_shared_pool_cross_threads() {
    let pool = TypedPool::<String, LockFreePool>::new(100);
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::scope(|threads| {
        for number in 0..4 {
            let (pool, sender) = (&pool, sender.clone());
            threads.spawn(move || {
                for round in 0..20 {
                    sender.send(pool.alloc(format!("{number} {round}")).unwrap()).unwrap();
                }
            });
        }
        drop(sender);
        threads.spawn(|| assert_eq!(receiver.into_iter().map(PoolBox::into_inner).count(), 80));
    });
    assert_eq!(pool.in_use(), 0);
}

/// Code over any kind of pool, which uses only the public bounds.
fn length<H: Deref, T: BlockByte>(block: Block<H, T>) -> usize
where
    H::Target: BlockPool,
{
    assert_eq!(mem::size_of::<T>(), 1);
    block.len()
}

fn sum<P: PoolKind>(builder: PoolBuilder<P>) -> u32 {
    let pool: TypedPool<u32, P> = builder.blocks(2).build_typed().unwrap();
    let values: [PoolBox<'_, u32, P>; 2] = [pool.alloc(1).unwrap(), pool.alloc(2).unwrap()];
    let sum = values.iter().map(|value| **value).sum();
    drop(values);
    pool.trim(0);
    sum
}

fn make<A: ArenaKind>(builder: ArenaBuilder<A>) -> A {
    builder.capacity(64).build().unwrap()
}

#[test]
fn public_bounds_are_enough_for_generic_code() {
    let (pool, shared) = (Pool::new(24, 2), LockFreePool::new(40, 2));
    let cache = shared.cache();
    assert_eq!(length(pool.alloc().unwrap()), 24);
    assert_eq!(length::<_, MaybeUninit<u8>>(cache.alloc_uninit().unwrap()), 40);
    assert_eq!(sum(Pool::builder()) + sum(LockFreePool::builder()) + sum(LockedPool::builder()), 9);
    assert!(
        make(Arena::builder()).capacity() >= 64 && make(LockedArena::builder()).capacity() >= 64
    );
}
