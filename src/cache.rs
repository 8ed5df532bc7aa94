// SPDX-License-Identifier: Apache-2.0
//! A page cache: a fixed amount of memory that holds pages of files. Database books call it the
//! buffer pool.
//!
//! A [`PageCache`] has frames, which hold one page each. A page is pinned while it is used: a
//! [`PageRef`] is a pin to read, which several threads may have, and a [`PageMut`] a pin to write,
//! which excludes all others. A pin of a page that is resident takes no lock. Other pages are read
//! from the [`PageStore`] of their file into the frame of a page that was not used for some time.
//! Pages that were written to are dirty, and are written back in batches in page order.
//!
//! `aegis_memory/page_cache.h` describes the protocol, what a failed sync means, and what waits for
//! what. The structs are those of C, so C code can use the same cache.
//!
//! ```
//! use aegis_memory::cache::{MemoryStore, PageCache};
//!
//! let cache = PageCache::new(64);
//! let file = cache.open(MemoryStore::new())?;
//! cache.fresh(file, 0)?[..5].copy_from_slice(b"hello");
//! assert_eq!(&cache.read(file, 0)?[..5], b"hello");
//! cache.flush(file)?;
//! # Ok::<(), aegis_memory::cache::CacheError>(())
//! ```
//!
//! # Panics of stores and hooks
//!
//! A panic in a [`PageStore`] or in [`PageHooks`] counts as an error. The call that led to it first
//! finishes its work. If it fails, the panic continues from it; if it has succeeded all the same,
//! the panic ends there. Other threads that wanted the same page get an error. This is the rule of
//! [`BlockSource`](crate::source::BlockSource).

// From the bottom up: each file uses only files in the groups above its own group.
mod cleaner;
mod hit;
mod shared;
mod stats;

mod error;

mod builder;
mod store;

mod files;
mod hooks;
mod stores;

mod faults;
mod page_cache;

mod page;
mod picture;

mod pins;

mod control;
mod read;

pub use builder::PageCacheBuilder;
pub use error::{CacheError, CacheErrorKind, FileId};
pub use faults::{Fault, FaultCounts, FaultOptions, FaultStore, Faults, LostPages};
pub use hooks::{crc32c, Crc32c, PageHooks};
pub use page::{PageMut, PageRef};
pub use page_cache::PageCache;
pub use picture::{CacheLayout, PageSlab};
pub use pins::Hint;
pub use read::{BeginRead, ReadToken};
pub use stats::{CacheStats, FileStats};
pub use store::{PageStore, PageWrite};
pub use stores::{FileOptions, FileStore, MemoryStore};
