// SPDX-License-Identifier: Apache-2.0
//! Pools of blocks of one size, taken and given back in any order.
//!
//! | | threads | to take and give back a block |
//! | --- | --- | --- |
//! | [`Pool`] | one owner | a few inlined instructions |
//! | [`LockFreePool`] | any | one compare-and-swap each; through a [`PoolCache`], amortised over 32 |
//! | [`LockedPool`] | any | a lock each; can wait for a block |
//!
//! Blocks are carved from slabs: one contiguous, page-aligned piece for the first `blocks` blocks,
//! and, up to `max_blocks`, further ones of the same size. A block is lent as a [`PoolBlock`], a
//! `&mut [u8]` that returns itself when dropped; [`OwnedPoolBlock`] keeps an `Arc` of its pool
//! instead of a borrow, and a [`TypedPool`] lends values. Nothing is ever written into a block. A slab
//! and the numbers of its blocks are known ([`PoolSlab`]), to be registered with `io_uring`, say.
//!
//! A block that is forgotten ([`core::mem::forget`]) is not in use any more as far as Rust is
//! concerned, but never comes back: its memory is freed with the pool.
//!
//! The structs are those of C, which can use the same pools: see [`Pool::as_raw`]. The algorithms
//! are described in `aegis_memory/pool.h`, `lock_free_pool.h` and `locked_pool.h`.
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

// From the bottom up: a file uses files of the groups above its own.
mod block;
mod slab;
mod stats;

mod builder;
mod bulk;
mod methods;

mod one_owner;
mod shared;

mod lock_free;
mod locked;

mod cache;
mod typed;

pub use block::{Block, BlockByte, BlockPool, OwnedPoolBlock};
pub use builder::{PoolBuilder, PoolKind};
pub use cache::PoolCache;
pub use lock_free::LockFreePool;
pub use locked::LockedPool;
pub use one_owner::{Pool, PoolBlock};
pub use slab::PoolSlab;
pub use stats::PoolStats;
pub use typed::{PoolBox, TypedPool};
