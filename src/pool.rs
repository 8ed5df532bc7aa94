// SPDX-License-Identifier: Apache-2.0
//! Pools of blocks of one size. Blocks are taken and given back in any order.
//!
//! | pool | threads | cost of taking a block, and of giving it back |
//! | --- | --- | --- |
//! | [`Pool`] | one owner | a few inlined instructions |
//! | [`LockFreePool`] | any | one compare-and-swap; with a [`PoolCache`], one for every 32 blocks |
//! | [`LockedPool`] | any | one lock; a thread can wait for a block |
//!
//! A pool carves its blocks from slabs. A slab is one contiguous, page-aligned piece of memory. The
//! first one holds the first `blocks` blocks. A pool that may grow adds slabs of the same size
//! until it has `max_blocks` blocks.
//!
//! A block is lent as a [`PoolBlock`], a `&mut [u8]` that returns itself when it is dropped. An
//! [`OwnedPoolBlock`] keeps an `Arc` of its pool instead of a borrow, and a [`TypedPool`] lends
//! values. A pool keeps no data of its own in its blocks. A program can ask where a slab lies and
//! which numbers its blocks have ([`PoolSlab`]), for example to register the slab with `io_uring`.
//!
//! An [`ObjectPool`] keeps objects of Rust, with what they have allocated, from one use to the next.
//!
//! The borrow of a block that is forgotten ([`core::mem::forget`]) ends, but the block never comes
//! back to the pool. Its memory is freed with the pool.
//!
//! A reference to a pool or a cache is an allocator for collections, of each allocator trait whose
//! feature is on: each allocation is a block, and what is larger than a block is refused.
//!
//! ```
//! # #[cfg(feature = "allocator-api2")] {
//! use aegis_memory::pool::Pool;
//! use allocator_api2::boxed::Box;
//!
//! let pool = Pool::new(64, 100);
//! let number = Box::new_in(7, &pool);
//! assert_eq!((*number, pool.in_use()), (7, 1));
//! assert!(Box::try_new_in([0_u8; 65], &pool).is_err());
//! # }
//! ```
//!
//! The structs are those of C, so C code can use the same pools: see [`Pool::as_raw`]. The
//! algorithms are described in `aegis_memory/pool.h`, `lock_free_pool.h` and `locked_pool.h`.
//!
//! ```
//! use aegis_memory::pool::Pool;
//!
//! let pool = Pool::new(4096, 100);
//! let mut page = pool.alloc()?;
//! page[0] = 42;
//! assert_eq!((page.len(), pool.in_use()), (4096, 1));
//! drop(page);
//! assert_eq!(pool.available(), 100);
//! # Ok::<(), aegis_memory::AllocError>(())
//! ```

// From the bottom up: each file uses only files in the groups above its own group.
mod block;
mod key;
mod slab;
mod slots;
mod stats;

mod builder;
mod bulk;
mod keyed_entry;
mod keyed_iter;
mod methods;

mod one_owner;
#[cfg(aegis_threads)]
mod shared;

mod boxed;
#[cfg(aegis_threads)]
mod lock_free;
#[cfg(aegis_threads)]
mod locked;

#[cfg(aegis_allocator)]
mod allocator;
#[cfg(aegis_threads)]
mod cache;
mod keyed;
#[cfg(aegis_threads)]
mod locked_async;
#[cfg(feature = "std")]
mod objects;
mod typed;

mod keyed_memory;
#[cfg(aegis_threads)]
mod typed_cache;
#[cfg(aegis_threads)]
mod typed_locked;

pub use block::{Block, BlockByte, BlockPool, OwnedPoolBlock};
pub use boxed::{Boxed, OwnedPoolBox, PoolBox};
pub use builder::{PoolBuilder, PoolKind};
#[cfg(aegis_threads)]
pub use cache::{Cache, OwnedPoolCache, PoolCache};
pub use key::PoolKey;
pub use keyed::KeyedPool;
pub use keyed_entry::VacantEntry;
pub use keyed_iter::{KeyedDrain, KeyedIntoIter, KeyedIter, KeyedIterMut};
#[cfg(aegis_threads)]
pub use lock_free::LockFreePool;
#[cfg(aegis_threads)]
pub use locked::LockedPool;
#[cfg(aegis_threads)]
pub use locked_async::AllocBlock;
#[cfg(feature = "std")]
pub use objects::{ObjectPool, OwnedReusable, Reusable, Reused};
pub use one_owner::{Pool, PoolBlock};
pub use slab::PoolSlab;
pub use stats::PoolStats;
pub use typed::TypedPool;
#[cfg(aegis_threads)]
pub use typed_cache::{OwnedTypedCache, TypedCache};
#[cfg(aegis_threads)]
pub use typed_locked::AllocValue;
