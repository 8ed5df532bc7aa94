// SPDX-License-Identifier: Apache-2.0
//! A list of a few items without an allocation, for statistics and refusals.

use core::fmt;
use core::ops::Deref;

/// A list of at most `N` items, which are stored in the list itself. It derefs to a slice.
///
/// # Examples
///
/// ```
/// use aegis_memory::budget::{BudgetConsumer, MemoryBudget};
/// use aegis_memory::ShortList;
///
/// let server = MemoryBudget::new("server", 1000);
/// let held = server.child("sort", 1000).reserve(600);
/// let consumers: ShortList<BudgetConsumer, 3> = server.peak_report().consumers;
/// assert_eq!(consumers.len(), 1);
/// ```
#[derive(Clone, Copy)]
pub struct ShortList<T, const N: usize> {
    /// Only the first `len` elements are items of the list.
    items: [T; N],
    len: usize,
}

impl<T: Copy + Default, const N: usize> ShortList<T, N> {
    /// The first `N` of `items`.
    pub(crate) fn of(items: impl IntoIterator<Item = T>) -> Self {
        let mut list = Self { items: [T::default(); N], len: 0 };
        for (place, item) in list.items.iter_mut().zip(items) {
            *place = item;
            list.len += 1;
        }
        list
    }
}

impl<T, const N: usize> Deref for ShortList<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

impl<T: Copy + Default, const N: usize> Default for ShortList<T, N> {
    fn default() -> Self {
        Self::of([])
    }
}

impl<T: PartialEq, const N: usize> PartialEq for ShortList<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq, const N: usize> Eq for ShortList<T, N> {}

impl<T, const N: usize> IntoIterator for ShortList<T, N> {
    type Item = T;
    type IntoIter = core::iter::Take<core::array::IntoIter<T, N>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter().take(self.len)
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a ShortList<T, N> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for ShortList<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(feature = "serde")]
impl<T: serde::Serialize, const N: usize> serde::Serialize for ShortList<T, N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&**self)
    }
}
