// SPDX-License-Identifier: Apache-2.0
//! Shared bytes without copying: many views share one piece of memory, and the last view that is
//! dropped frees it.
//!
//! A [`Buffer`] is an immutable view that is cheap to clone, slice, split and send to other
//! threads. A [`BufferMut`] is the only writer of its bytes. It can be frozen into a `Buffer`, and
//! a `Buffer` that is the only handle to its memory can become a writer again. A [`BufferPool`]
//! hands out page-aligned writers. Their memory returns to the pool when its last view is dropped.
//! A [`BufferChain`] is several buffers as one logical value, for vectored input and output.
//!
//! Views and writers are the handles to a piece of memory. Its owner counts them.
//!
//! The bytes of a buffer lie on the C heap, in a pool, in a `Vec`, in an arena that the buffer has
//! taken over, in a mapped file, or in any other owner.
//!
//! The structs are those of C, so C code can use the same buffers: see [`Buffer::as_raw`].
//! `aegis_memory/buffer.h` describes how references are counted, and `aegis_memory/buffer_pool.h`
//! describes the algorithm of pools.
//!
//! ```
//! use aegis_memory::buffer::{Buffer, BufferPool};
//!
//! let pool = BufferPool::new(4096, 16);
//! let mut page = pool.get(4096)?;
//! page.extend_from_slice(b"key=value");
//! let page: Buffer = page.freeze();
//!
//! let (key, value) = (page.slice(..3), page.slice(4..));
//! drop(page);
//! let lookup = std::thread::spawn(move || value == "value");
//! assert!(key == "key" && lookup.join().unwrap());
//! drop(key);
//! assert_eq!(pool.stats().classes[0].in_use, 0);
//! # Ok::<(), aegis_memory::AllocError>(())
//! ```

// From the bottom up: each file uses only files in the groups above its own group.
mod ask;
mod owner;
mod range;
mod stats;

mod view;

#[cfg(any(feature = "arrow", feature = "bytes"))]
mod lent;

mod moving;
mod owned;
mod writer;

mod traits;
mod writer_reserve;

mod chain;
mod into_iter;
mod make;
#[cfg(all(feature = "std", any(unix, windows)))]
mod map_error;
mod pool_builder;
mod retained;

mod chain_split;
mod convert;
#[cfg(feature = "std")]
mod io;
mod pool;
mod writer_put;

#[cfg(feature = "arrow")]
mod arrow;
#[cfg(feature = "arrow")]
mod arrow_build;
#[cfg(all(feature = "std", any(unix, windows)))]
mod file;
#[cfg(feature = "bytes")]
mod interop;
mod pool_async;
mod writer_split;

#[cfg(feature = "arrow")]
pub use arrow_build::{BitmapBuilder, ScalarBuilder};
pub use chain::BufferChain;
pub use into_iter::IntoIter;
#[cfg(feature = "std")]
pub use io::read_vectored;
#[cfg(all(feature = "std", any(unix, windows)))]
pub use map_error::MapError;
pub use pool::{BufferPool, IoBlock};
pub use pool_async::GetBuffer;
pub use pool_builder::{BufferPoolBuilder, WhenEmpty};
pub use stats::{BufferClassStats, BufferPoolStats};
pub use view::Buffer;
pub use writer::BufferMut;
