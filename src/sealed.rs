// SPDX-License-Identifier: Apache-2.0
//! Keeps the methods of sealed traits for this crate.
//!
//! Code outside uses some traits as bounds, which it can neither implement nor call: what this crate
//! needs of an implementor stands in a supertrait that has no public name. A bound brings the methods
//! of its supertraits with it, name or not, so each of them takes a [`Key`] besides, which nobody
//! outside can make.

/// Comes with every call of a sealed method. It has no size, so that it costs nothing.
#[derive(Clone, Copy)]
pub struct Key(());

/// The only key.
pub(crate) const KEY: Key = Key(());
