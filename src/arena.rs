// SPDX-License-Identifier: Apache-2.0
//! The bump arena: allocate by moving a pointer, free everything at once.
//!
//! An [`Arena`] is a chain of blocks. Allocation moves a pointer up; [`Arena::reset`] rewinds to
//! the first block in constant time and keeps every block, so a loop that does the same work again
//! asks the system for nothing. Every allocation is at least 8-byte aligned.
//!
//! The memory is a C struct, `aegis_arena`, which C code can allocate from too: see
//! [`Arena::as_raw`]. The block policy is described in `aegis_memory/arena.h`.

mod alloc;
#[cfg(feature = "allocator-api2")]
mod allocator;
mod boxed;
mod builder;
mod fixed;
mod forms;
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
