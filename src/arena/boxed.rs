// SPDX-License-Identifier: Apache-2.0
//! Handles that own a value in an arena: [`ArenaBox`] and what can be done with it.

mod arena_box;
mod call;
mod convert;
mod pinned;
#[cfg(feature = "serde")]
mod serial;
mod traits;
mod unsize;
mod values;

pub use arena_box::ArenaBox;
pub use call::{ArenaFnOnce, CallOnce};
pub(super) use pinned::is_armed;
pub use pinned::{Pinned, PinnedBox};
#[cfg(feature = "serde")]
pub use serial::BoxSeed;
#[doc(hidden)]
pub use unsize::{BoxParts, PinnedLife, PlainLife};
pub use values::IntoValues;
