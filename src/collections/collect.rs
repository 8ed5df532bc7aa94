// SPDX-License-Identifier: Apache-2.0
//! Iterators that are collected into an arena.

use super::string::ArenaString;
use super::vec::ArenaVec;
use crate::arena::{AnyArena, Arena, ArenaBox};

/// What an iterator can be [collected into](CollectIn::collect_in), if it is given an arena.
///
/// `Option<C>` and `Result<C, E>` are collected from iterators of such, up to the first `None` or
/// `Err`.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
/// use aegis_memory::collections::{CollectIn, FromIteratorIn};
///
/// /// The arena's part of a document.
/// struct Lines<'a>(&'a mut [&'a str]);
///
/// impl<'a> FromIteratorIn<&'a str> for Lines<'a> {
///     type Alloc = &'a Arena;
///
///     fn from_iter_in<I: IntoIterator<Item = &'a str>>(iter: I, arena: &'a Arena) -> Self {
///         Self(arena.alloc_slice_from_iter(iter))
///     }
/// }
///
/// let arena = Arena::default();
/// let lines: Lines = "one\ntwo".lines().collect_in(&arena);
/// assert_eq!(lines.0.len(), 2);
/// ```
pub trait FromIteratorIn<T> {
    /// A reference to the arena.
    type Alloc;

    /// Makes the collection.
    ///
    /// # Panics
    ///
    /// When the arena has no memory.
    fn from_iter_in<I: IntoIterator<Item = T>>(iter: I, arena: Self::Alloc) -> Self;
}

/// [`collect_in`](Self::collect_in) for every iterator.
///
/// ```
/// # use aegis_memory::collections::ArenaVec;
/// # let arena = aegis_memory::arena::Arena::default();
/// # use aegis_memory::collections::CollectIn;
/// let doubled: ArenaVec<u32> = [1, 2].iter().map(|n| n * 2).collect_in(&arena);
/// assert_eq!(doubled, [2, 4]);
/// ```
pub trait CollectIn: Iterator + Sized {
    /// Collects the items into a collection in an arena, as [`Iterator::collect`] does on the heap.
    ///
    /// # Panics
    ///
    /// When the arena has no memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::collections::{ArenaString, ArenaVec, CollectIn};
    /// # let arena = aegis_memory::arena::Arena::default();
    ///
    /// let even: ArenaVec<u32> = (0..6).filter(|n| n % 2 == 0).collect_in(&arena);
    /// assert_eq!(even, [0, 2, 4]);
    /// let text: ArenaString = "abc".chars().rev().collect_in(&arena);
    /// assert_eq!(text, "cba");
    /// let fields = "1 2 x".split(' ');
    /// let numbers: Result<ArenaVec<u32>, _> = fields.map(str::parse).collect_in(&arena);
    /// assert!(numbers.is_err());
    /// ```
    #[inline]
    #[track_caller]
    fn collect_in<C: FromIteratorIn<Self::Item>>(self, arena: C::Alloc) -> C {
        C::from_iter_in(self, arena)
    }
}

impl<I: Iterator> CollectIn for I {}

impl<'a, T, A: AnyArena> FromIteratorIn<T> for ArenaVec<'a, T, A> {
    type Alloc = &'a A;

    #[inline]
    #[track_caller]
    fn from_iter_in<I: IntoIterator<Item = T>>(iter: I, arena: &'a A) -> Self {
        ArenaVec::from_iter_in(iter, arena)
    }
}

impl<'a, T> FromIteratorIn<T> for ArenaBox<'a, [T]> {
    type Alloc = &'a Arena;

    #[inline]
    #[track_caller]
    fn from_iter_in<I: IntoIterator<Item = T>>(iter: I, arena: &'a Arena) -> Self {
        ArenaVec::from_iter_in(iter, arena).into_boxed_slice()
    }
}

impl<'a, T, A: AnyArena> FromIteratorIn<T> for ArenaString<'a, A>
where
    Self: Extend<T>,
{
    type Alloc = &'a A;

    #[inline]
    #[track_caller]
    fn from_iter_in<I: IntoIterator<Item = T>>(iter: I, arena: &'a A) -> Self {
        let mut text = Self::new_in(arena);
        text.extend(iter);
        text
    }
}

impl<T, C: FromIteratorIn<T>> FromIteratorIn<Option<T>> for Option<C> {
    type Alloc = C::Alloc;

    #[inline]
    #[track_caller]
    fn from_iter_in<I: IntoIterator<Item = Option<T>>>(iter: I, arena: C::Alloc) -> Self {
        let results = iter.into_iter().map(|item| item.ok_or(()));
        results.collect_in::<Result<C, ()>>(arena).ok()
    }
}

impl<T, E, C: FromIteratorIn<T>> FromIteratorIn<Result<T, E>> for Result<C, E> {
    type Alloc = C::Alloc;

    #[inline]
    #[track_caller]
    fn from_iter_in<I: IntoIterator<Item = Result<T, E>>>(iter: I, arena: C::Alloc) -> Self {
        let mut error = None;
        let mut iter = iter.into_iter();
        let good = core::iter::from_fn(|| match iter.next()? {
            Ok(item) => Some(item),
            Err(first) => {
                error = Some(first);
                None
            }
        });
        let collected = good.fuse().collect_in(arena);
        match error {
            Some(error) => Err(error),
            None => Ok(collected),
        }
    }
}
