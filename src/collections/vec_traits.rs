// SPDX-License-Identifier: Apache-2.0
//! The traits of [`ArenaVec`]: those of the standard library's `Vec`, as far as they need no arena.

use alloc::vec::Vec;
use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, DerefMut, Index, IndexMut};
use core::slice::{self, SliceIndex};

use super::iter::IntoIter;
use super::vec::ArenaVec;
use crate::arena::{AnyArena, ArenaBox};
use crate::error::expect;

impl<T, A: AnyArena> Deref for ArenaVec<'_, T, A> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T, A: AnyArena> DerefMut for ArenaVec<'_, T, A> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}

impl<T, A: AnyArena, I: SliceIndex<[T]>> Index<I> for ArenaVec<'_, T, A> {
    type Output = I::Output;

    #[inline]
    fn index(&self, index: I) -> &I::Output {
        &self.as_slice()[index]
    }
}

impl<T, A: AnyArena, I: SliceIndex<[T]>> IndexMut<I> for ArenaVec<'_, T, A> {
    #[inline]
    fn index_mut(&mut self, index: I) -> &mut I::Output {
        &mut self.as_mut_slice()[index]
    }
}

impl<T: Clone, A: AnyArena> Clone for ArenaVec<'_, T, A> {
    /// Clones the items into a new vector of the same arena.
    #[track_caller]
    fn clone(&self) -> Self {
        Self::from_slice_in(self, self.arena())
    }

    /// As `clone`, into the room that there is. The items that it had are dropped, not changed.
    #[track_caller]
    fn clone_from(&mut self, other: &Self) {
        self.clear();
        self.extend_from_slice(other);
    }
}

impl<T, A: AnyArena> Extend<T> for ArenaVec<'_, T, A> {
    /// Appends the items.
    ///
    /// # Panics
    ///
    /// When [`try_extend`](ArenaVec::try_extend) fails.
    #[inline]
    #[track_caller]
    fn extend<I: IntoIterator<Item = T>>(&mut self, iter: I) {
        expect(self.try_extend(iter));
    }
}

impl<'i, T: Copy, A: AnyArena> Extend<&'i T> for ArenaVec<'_, T, A> {
    #[inline]
    #[track_caller]
    fn extend<I: IntoIterator<Item = &'i T>>(&mut self, iter: I) {
        expect(self.try_extend(iter.into_iter().copied()));
    }
}

impl<'a, T, A: AnyArena> IntoIterator for ArenaVec<'a, T, A> {
    type Item = T;
    type IntoIter = IntoIter<'a, T, A>;

    #[inline]
    fn into_iter(self) -> IntoIter<'a, T, A> {
        IntoIter::of(self)
    }
}

impl<'v, T, A: AnyArena> IntoIterator for &'v ArenaVec<'_, T, A> {
    type Item = &'v T;
    type IntoIter = slice::Iter<'v, T>;

    #[inline]
    fn into_iter(self) -> slice::Iter<'v, T> {
        self.iter()
    }
}

impl<'v, T, A: AnyArena> IntoIterator for &'v mut ArenaVec<'_, T, A> {
    type Item = &'v mut T;
    type IntoIter = slice::IterMut<'v, T>;

    #[inline]
    fn into_iter(self) -> slice::IterMut<'v, T> {
        self.iter_mut()
    }
}

impl<T, A: AnyArena> AsRef<[T]> for ArenaVec<'_, T, A> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T, A: AnyArena> AsMut<[T]> for ArenaVec<'_, T, A> {
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T, A: AnyArena> AsRef<Self> for ArenaVec<'_, T, A> {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl<T, A: AnyArena> AsMut<Self> for ArenaVec<'_, T, A> {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl<T, A: AnyArena> Borrow<[T]> for ArenaVec<'_, T, A> {
    fn borrow(&self) -> &[T] {
        self
    }
}

impl<T, A: AnyArena> BorrowMut<[T]> for ArenaVec<'_, T, A> {
    fn borrow_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T: fmt::Debug, A: AnyArena> fmt::Debug for ArenaVec<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

impl<T: Hash, A: AnyArena> Hash for ArenaVec<'_, T, A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl<T: Eq, A: AnyArena> Eq for ArenaVec<'_, T, A> {}

impl<T: PartialOrd, A: AnyArena, B: AnyArena> PartialOrd<ArenaVec<'_, T, B>>
    for ArenaVec<'_, T, A>
{
    fn partial_cmp(&self, other: &ArenaVec<'_, T, B>) -> Option<Ordering> {
        self.as_slice().partial_cmp(other.as_slice())
    }
}

impl<T: Ord, A: AnyArena> Ord for ArenaVec<'_, T, A> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

macro_rules! equal {
    ($({$($generics:tt)*} $a:ty, $b:ty;)*) => {$(
        impl<T: PartialEq<U>, U, $($generics)*> PartialEq<$b> for $a {
            #[inline]
            fn eq(&self, other: &$b) -> bool {
                self[..] == other[..]
            }
        }
    )*};
}

equal! {
    {A: AnyArena, B: AnyArena} ArenaVec<'_, T, A>, ArenaVec<'_, U, B>;
    {A: AnyArena} ArenaVec<'_, T, A>, [U];
    {A: AnyArena} ArenaVec<'_, T, A>, &[U];
    {A: AnyArena} ArenaVec<'_, T, A>, &mut [U];
    {A: AnyArena, const N: usize} ArenaVec<'_, T, A>, [U; N];
    {A: AnyArena, const N: usize} ArenaVec<'_, T, A>, &[U; N];
    {A: AnyArena} ArenaVec<'_, T, A>, Vec<U>;
    {A: AnyArena} [T], ArenaVec<'_, U, A>;
    {A: AnyArena} &[T], ArenaVec<'_, U, A>;
    {A: AnyArena} &mut [T], ArenaVec<'_, U, A>;
    {A: AnyArena, const N: usize} [T; N], ArenaVec<'_, U, A>;
    {A: AnyArena} Vec<T>, ArenaVec<'_, U, A>;
}

impl<'a, T, A: AnyArena> From<ArenaVec<'a, T, A>> for ArenaBox<'a, [T]> {
    /// As [`ArenaVec::into_boxed_slice`].
    fn from(vec: ArenaVec<'a, T, A>) -> Self {
        vec.into_boxed_slice()
    }
}

impl<T, A: AnyArena> From<ArenaVec<'_, T, A>> for Vec<T> {
    /// Moves the items to Rust's heap.
    fn from(vec: ArenaVec<'_, T, A>) -> Self {
        vec.into_iter().collect()
    }
}

impl<'a, T, A: AnyArena, const N: usize> TryFrom<ArenaVec<'a, T, A>> for [T; N] {
    type Error = ArenaVec<'a, T, A>;

    /// Moves the items into an array, or gives the vector back if it has another number of items.
    fn try_from(mut vec: ArenaVec<'a, T, A>) -> Result<Self, ArenaVec<'a, T, A>> {
        if vec.len() != N {
            return Err(vec);
        }
        // SAFETY: fewer items. The array owns them.
        unsafe { vec.set_len(0) };
        // SAFETY: there are `N` items, which the vector no longer has.
        Ok(unsafe { vec.as_ptr().cast::<[T; N]>().read() })
    }
}

#[cfg(feature = "std")]
impl<A: AnyArena> std::io::Write for ArenaVec<'_, u8, A> {
    /// Appends the bytes. Fails with `OutOfMemory` when the arena has no memory.
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.try_extend_from_slice_copy(bytes).map_err(|_| std::io::ErrorKind::OutOfMemory.into())
    }

    #[inline]
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
