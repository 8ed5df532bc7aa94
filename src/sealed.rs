// SPDX-License-Identifier: Apache-2.0
//! Keeps the methods of sealed traits for this crate.
//!
//! Code outside of the crate uses some traits as bounds, but it can neither implement them nor call
//! their methods. What this crate needs of an implementor is in a supertrait that has no public
//! name, so code outside cannot implement it. A bound still gives access to the methods of its
//! supertraits. Each of these methods therefore takes a [`Key`], which only this crate can make.

/// An argument of every sealed method. It has no size, so it costs nothing.
#[derive(Clone, Copy)]
pub struct Key(());

/// The only key.
pub(crate) const KEY: Key = Key(());
