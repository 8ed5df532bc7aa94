// SPDX-License-Identifier: Apache-2.0
//! Collections that live in an arena: [`ArenaVec`], [`ArenaString`] and, with feature `hashbrown`,
//! `ArenaHashMap` and `ArenaHashSet`.
//!
//! They have the methods of the standard library's types. The functions that make one take a
//! reference to the arena as their last argument, and their names end in `_in`. An iterator is
//! collected by [`collect_in`](CollectIn::collect_in), and [`arena_vec!`] and [`arena_format!`] are
//! `vec!` and `format!`.
//!
//! The arena is any [`AnyArena`](crate::arena::AnyArena), an [`Arena`](crate::arena::Arena) if no
//! other is named. A collection borrows it, so the arena cannot be reset meanwhile. The latest
//! allocation of an arena grows where it is. A collection that grows while others allocate moves,
//! and leaves its old room to the reset.
//!
//! A collection drops its items when it is dropped. So it has drop glue, and a value that contains
//! one cannot be placed by `alloc_value`. Turn the collection into a slice or text first, which
//! [`into_slice`](ArenaVec::into_slice) and [`into_str`](ArenaString::into_str) do without a copy,
//! or use `alloc_boxed`.
//!
//! # Examples
//!
//! ```
//! use aegis_memory::arena::Arena;
//! use aegis_memory::collections::{arena_format, ArenaString, ArenaVec};
//!
//! struct Row<'a> {
//!     name: &'a str,
//!     values: &'a [u32],
//! }
//!
//! let arena = Arena::default();
//! let mut values = ArenaVec::new_in(&arena);
//! for field in "3 1 2".split(' ').filter_map(|field| field.parse().ok()) {
//!     values.push(field);
//! }
//! values.sort();
//! let name = arena_format!(in &arena; "row of {}", values.len());
//! let row: &Row = arena.alloc_value(Row { name: name.into_str(), values: values.into_slice() });
//! assert_eq!((row.name, row.values), ("row of 3", &[1, 2, 3][..]));
//! ```

mod collect;
mod edit;
mod extend;
mod grow;
mod iter;
#[cfg(feature = "hashbrown")]
mod map;
mod room;
#[cfg(feature = "serde")]
mod serde;
mod splice;
mod string;
mod string_drain;
mod string_edit;
mod string_from;
mod string_traits;
mod vec;
mod vec_from;
mod vec_traits;

#[cfg(feature = "hashbrown")]
#[doc(no_inline)]
pub use ::hashbrown;

pub use collect::{CollectIn, FromIteratorIn};
pub use iter::{Drain, ExtractIf, IntoIter};
#[cfg(feature = "hashbrown")]
pub use map::{ArenaHashMap, ArenaHashSet};
#[cfg(feature = "serde")]
pub use serde::{seed, DeserializeIn, Seed};
pub use splice::Splice;
pub use string::ArenaString;
pub use string_drain::StringDrain;
pub use string_from::FromUtf8Error;
pub use vec::ArenaVec;

/// Makes an [`ArenaVec`](crate::collections::ArenaVec) of the items, or of a number of clones of
/// one, as `vec!` does.
///
/// # Panics
///
/// When the arena has no memory.
///
/// # Examples
///
/// ```
/// use aegis_memory::collections::arena_vec;
///
/// let arena = aegis_memory::arena::Arena::default();
/// assert_eq!(arena_vec![in &arena; 1, 2, 3], [1, 2, 3]);
/// assert_eq!(arena_vec![in &arena; 0; 2], [0, 0]);
/// ```
#[macro_export]
macro_rules! arena_vec {
    (in $arena:expr $(;)?) => {
        $crate::collections::ArenaVec::new_in($arena)
    };
    (in $arena:expr; $item:expr; $count:expr) => {
        $crate::collections::ArenaVec::from_elem_in($item, $count, $arena)
    };
    (in $arena:expr; $($item:expr),+ $(,)?) => {
        $crate::collections::ArenaVec::from_iter_in([$($item),+], $arena)
    };
}

/// Formats into an [`ArenaString`](crate::collections::ArenaString), as `format!` does into a
/// `String`.
///
/// # Panics
///
/// When the arena has no memory, and when a `Display` returns an error.
/// [`try_from_fmt_in`](crate::collections::ArenaString::try_from_fmt_in) returns an error for the
/// former.
///
/// # Examples
///
/// ```
/// use aegis_memory::collections::arena_format;
///
/// let arena = aegis_memory::arena::Arena::default();
/// let mut text = arena_format!(in &arena; "{}-{}", 1, 2);
/// text.push('!');
/// assert_eq!(text, "1-2!");
/// ```
#[macro_export]
macro_rules! arena_format {
    (in $arena:expr; $($format:tt)+) => {
        $crate::collections::ArenaString::from_fmt_in(::core::format_args!($($format)+), $arena)
    };
}

#[doc(inline)]
pub use {arena_format, arena_vec};
