// SPDX-License-Identifier: Apache-2.0
//! Shared bytes without copying: many views of one piece of memory, freed with the last of them.
//!
//! A [`Buffer`] is an immutable view that is cheap to clone, slice, split and send to other
//! threads. A [`BufferMut`] is the one writer of its bytes: it is frozen into a `Buffer`, and a
//! `Buffer` without a second handle becomes writable again. A [`BufferPool`] hands out writers,
//! page-aligned, whose memory comes back when the last view of it is dropped. A [`BufferChain`] is
//! several buffers as one logical value, for vectored input and output.
//!
//! The bytes of a buffer are the C heap's, a pool's, a `Vec`'s, those of an arena that the buffer
//! has taken over, a mapped file's, or those of any owner.
//!
//! The structs are those of C, which can use the same buffers: see [`Buffer::as_raw`]. How
//! references are counted is described in `aegis_memory/buffer.h`, and the algorithm of pools in
//! `aegis_memory/buffer_pool.h`.
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

// From the bottom up: a file uses files of the groups above its own.
mod ask;
mod owner;
mod range;
mod stats;

mod view;

mod owned;
mod writer;

mod traits;
mod writer_split;

mod chain;
mod make;
#[cfg(all(feature = "std", any(unix, windows)))]
mod map_error;
mod pool_builder;

#[cfg(feature = "std")]
mod io;
mod pool;

#[cfg(all(feature = "std", any(unix, windows)))]
mod file;
#[cfg(feature = "bytes")]
mod interop;

pub use chain::BufferChain;
#[cfg(feature = "std")]
pub use io::read_vectored;
#[cfg(all(feature = "std", any(unix, windows)))]
pub use map_error::MapError;
pub use pool::{BufferPool, IoBlock};
pub use pool_builder::{BufferPoolBuilder, WhenEmpty};
pub use stats::{BufferClassStats, BufferPoolStats};
pub use view::Buffer;
pub use writer::BufferMut;
