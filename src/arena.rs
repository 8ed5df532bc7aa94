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

mod alloc;
#[cfg(feature = "allocator-api2")]
mod allocator;
mod boxed;
mod builder;
mod fixed;
mod forms;
mod gather;
mod layout;
mod local;
mod lock_free;
mod locked;
mod methods;
mod one_owner;
mod recycler;
mod shared;
mod stats;

pub use boxed::ArenaBox;
pub use builder::{ArenaBuilder, ArenaKind};
pub use fixed::FixedArena;
pub use layout::ArenaLayout;
pub use local::LocalArena;
pub use lock_free::LockFreeArena;
pub use locked::LockedArena;
pub use one_owner::Arena;
pub use recycler::{ArenaRecycler, OwnedRecycledArena, Recycled, RecycledArena, RecyclerStats};
pub use stats::ArenaStats;
