// SPDX-License-Identifier: Apache-2.0
//! The bump arena: an allocation moves a pointer, and one call frees everything.
//!
//! An [`Arena`] is a chain of blocks. An allocation moves a pointer up in the current block.
//! [`Arena::reset`] rewinds to the first block in constant time and keeps every block, so a loop
//! that does the same work again acquires no memory. Every allocation is aligned to at least 8
//! bytes.
//!
//! An arena is a C struct, `aegis_arena`, so C code can allocate from it too: see
//! [`Arena::as_raw`]. `aegis_memory/arena.h` describes when an arena acquires a block, and of which
//! size.
//!
//! # Drop glue
//!
//! A type has drop glue if something runs when a value of it is dropped, as with `String`, `Vec` and
//! `Box`. A plain allocation never drops its value. So `alloc_value`, `alloc_with`,
//! `alloc_try_with`, `alloc_slice_clone`, `_fill`, `_fill_with`, `_from_iter`, `_try_fill_with` and
//! `_try_from_iter`, and their `try_` forms, refuse such a type. [`alloc_boxed`](Arena::alloc_boxed)
//! and the other methods for boxes take it, and the handle drops the value;
//! [`alloc_static`](Arena::alloc_static) takes it, and the reset drops the value.
//!
//! No bound of Rust says "without drop glue", so the type is checked when code is made for the call:
//! `cargo build`, `cargo test` and `cargo run` fail, and `cargo check` passes. The same is true of a
//! generic function, which compiles until it is called with such a type. The error E0080 shows a line
//! of this crate, and its text names the methods to use. The note below it, "while instantiating",
//! shows the line of the call, at least in builds without optimisation.
//!
//! # `&mut` and `&`
//!
//! The methods that allocate return `&mut`, because the caller is the only owner of the memory. Where
//! a `&` is wanted, such as in a slice of `&str`, write `&*`: `&*arena.alloc_str("text")`.
//!
//! # Examples
//!
//! ```
//! use aegis_memory::arena::Arena;
//!
//! let mut arena = Arena::default();
//! for request in 0..3 {
//!     let name = arena.alloc_fmt(format_args!("request {request}"));
//!     let values = arena.alloc_slice_fill(100, request);
//!     assert_eq!((name.len(), values.len()), (9, 100));
//!     arena.reset(); // frees all of it and keeps the memory
//! }
//! ```
//!
//! # Allocators
//!
//! A reference to an arena is an allocator for collections, of each allocator trait whose feature is
//! on. The latest allocation grows and shrinks in place. The arena cannot be reset while a collection
//! borrows it. If the arena has no memory, `try_reserve` returns an error and `push` ends the process.
//!
//! ```
//! # #[cfg(feature = "allocator-api2")] {
//! use aegis_memory::arena::Arena;
//! use allocator_api2::vec::Vec;
//!
//! let mut arena = Arena::default();
//! let mut numbers = Vec::new_in(&arena);
//! numbers.extend(0..100);
//! assert_eq!(numbers.len(), 100);
//! drop(numbers);
//! arena.reset();
//! # }
//! ```

mod adopt;
mod aligned;
mod alloc;
#[cfg(aegis_allocator)]
mod allocator;
#[cfg(feature = "collections")]
mod any;
mod box_methods;
mod boxed;
mod builder;
mod c_strings;
mod chunks;
mod emplace;
mod emplace_methods;
mod fixed;
mod forms;
mod gather;
mod heap;
mod heap_methods;
mod heap_stats;
mod layout;
#[cfg(aegis_threads)]
mod local;
#[cfg(aegis_threads)]
mod lock_free;
#[cfg(aegis_threads)]
mod locked;
#[cfg(aegis_threads)]
mod locked_heap;
mod mark;
mod methods;
mod one_owner;
mod pin;
mod rc;
#[cfg(aegis_threads)]
mod recycler;
mod reverse;
#[cfg(aegis_threads)]
mod shared;
mod stats;
mod typed;
mod typed_chunks;
mod typed_iter;
mod typed_run;

pub use aligned::AlignedArena;
#[cfg(feature = "collections")]
pub use any::AnyArena;
#[cfg(feature = "serde")]
pub use boxed::BoxSeed;
pub use boxed::{ArenaBox, ArenaFnOnce, CallOnce, IntoValues, Pinned, PinnedBox};
#[doc(hidden)]
pub use boxed::{BoxParts, PinnedLife, PlainLife};
pub use builder::{ArenaBuilder, ArenaKind};
pub use c_strings::CStrError;
pub use chunks::{ChunkIter, ChunkRawIter};
pub use fixed::FixedArena;
pub use heap::ArenaHeap;
pub use heap_stats::HeapStats;
pub use layout::ArenaLayout;
#[cfg(aegis_threads)]
pub use local::LocalArena;
#[cfg(aegis_threads)]
pub use lock_free::LockFreeArena;
#[cfg(aegis_threads)]
pub use locked::LockedArena;
#[cfg(aegis_threads)]
pub use locked_heap::LockedArenaHeap;
pub use mark::{ArenaMark, StaleMark};
pub use one_owner::Arena;
pub use rc::ArenaRc;
#[doc(hidden)]
pub use rc::RcLife;
#[cfg(aegis_threads)]
pub use recycler::{ArenaRecycler, OwnedRecycledArena, Recycled, RecycledArena, RecyclerStats};
pub use stats::ArenaStats;
pub use typed::TypedArena;
pub use typed_iter::{TypedIntoIter, TypedIterMut};
