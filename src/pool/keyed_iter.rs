// SPDX-License-Identifier: Apache-2.0
//! The iterators of a keyed pool. Each goes through the values in the order of their indices.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::key::PoolKey;
use super::slots::{Slots, Walk};

/// An iterator over the keys and values of a [`KeyedPool`](super::KeyedPool). From
/// [`iter`](super::KeyedPool::iter).
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::KeyedPool;
///
/// let mut pool = KeyedPool::new(10);
/// pool.insert(1);
/// let mut values = pool.iter().map(|(_, value)| *value);
/// assert_eq!(values.next(), Some(1));
/// ```
pub struct KeyedIter<'a, T> {
    slots: &'a Slots<T>,
    walk: Walk,
}

/// An iterator over the keys and values of a [`KeyedPool`](super::KeyedPool), which lends the values
/// for changes. From [`iter_mut`](super::KeyedPool::iter_mut).
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::KeyedPool;
///
/// let mut pool = KeyedPool::new(10);
/// let key = pool.insert(1);
/// pool.iter_mut().for_each(|(_, value)| *value += 1);
/// assert_eq!(pool[key], 2);
/// ```
pub struct KeyedIterMut<'a, T> {
    slots: &'a Slots<T>,
    walk: Walk,
    lends: PhantomData<&'a mut T>,
}

// SAFETY: the iterator has the values for itself, as a `&mut [T]` has. It reads the pool, which
// nothing changes meanwhile.
unsafe impl<T: Send> Send for KeyedIterMut<'_, T> {}

/// An iterator that empties a [`KeyedPool`](super::KeyedPool). Its drop removes and drops the values
/// that are left. From [`drain`](super::KeyedPool::drain).
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::KeyedPool;
///
/// let mut pool = KeyedPool::new(10);
/// pool.insert(1);
/// pool.insert(2);
/// assert_eq!(pool.drain().map(|(_, value)| value).sum::<i32>(), 3);
/// ```
pub struct KeyedDrain<'a, T> {
    slots: &'a mut Slots<T>,
    walk: Walk,
}

/// An iterator that owns the values of a [`KeyedPool`](super::KeyedPool). It keeps the pool's memory
/// until it is dropped.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::KeyedPool;
///
/// let mut pool = KeyedPool::new(10);
/// let key = pool.insert(1);
/// assert_eq!(pool.into_iter().collect::<Vec<_>>(), [(key, 1)]);
/// ```
pub struct KeyedIntoIter<T> {
    // Its drop drops the values that are left.
    slots: Slots<T>,
    walk: Walk,
}

impl<'a, T> KeyedIter<'a, T> {
    pub(super) fn new(slots: &'a Slots<T>) -> Self {
        Self { slots, walk: slots.walk() }
    }

    #[inline(always)]
    fn item(&self, _: PoolKey, value: NonNull<T>) -> &'a T {
        // SAFETY: the block has a value, and the pool is borrowed for 'a.
        unsafe { value.as_ref() }
    }
}

impl<'a, T> KeyedIterMut<'a, T> {
    pub(super) fn new(slots: &'a mut Slots<T>) -> Self {
        Self { walk: slots.walk(), slots, lends: PhantomData }
    }

    #[inline(always)]
    fn item(&self, _: PoolKey, mut value: NonNull<T>) -> &'a mut T {
        // SAFETY: the block has a value, which the walk passes once, and the pool is borrowed
        // exclusively for 'a.
        unsafe { value.as_mut() }
    }
}

impl<'a, T> KeyedDrain<'a, T> {
    pub(super) fn new(slots: &'a mut Slots<T>) -> Self {
        let walk = slots.walk();
        Self { slots, walk }
    }

    #[inline(always)]
    fn item(&mut self, key: PoolKey, value: NonNull<T>) -> T {
        // SAFETY: the walk has found the value, which is not used again.
        unsafe { self.slots.take_out(key, value) }
    }
}

impl<T> Drop for KeyedDrain<'_, T> {
    fn drop(&mut self) {
        self.slots.drop_rest(&mut self.walk);
    }
}

impl<T> KeyedIntoIter<T> {
    pub(super) fn new(slots: Slots<T>) -> Self {
        let walk = slots.walk();
        Self { slots, walk }
    }

    #[inline(always)]
    fn item(&mut self, key: PoolKey, value: NonNull<T>) -> T {
        // SAFETY: the walk has found the value, which is not used again.
        unsafe { self.slots.take_out(key, value) }
    }
}

impl<T> Clone for KeyedIter<'_, T> {
    fn clone(&self) -> Self {
        Self { slots: self.slots, walk: self.walk.clone() }
    }
}

/// Implements the traits of an iterator with the functions that make an item of what the walk finds.
macro_rules! iterator {
    ([$($life:lifetime)?] $Iter:ty, $name:literal => $Item:ty) => {
        impl<$($life,)? T> Iterator for $Iter {
            type Item = (PoolKey, $Item);

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                let (key, value) = self.walk.next(&self.slots)?;
                Some((key, self.item(key, value)))
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.walk.left, Some(self.walk.left))
            }
        }

        impl<$($life,)? T> DoubleEndedIterator for $Iter {
            #[inline]
            fn next_back(&mut self) -> Option<Self::Item> {
                let (key, value) = self.walk.next_back(&self.slots)?;
                Some((key, self.item(key, value)))
            }
        }

        impl<$($life,)? T> ExactSizeIterator for $Iter {}
        impl<$($life,)? T> FusedIterator for $Iter {}

        impl<$($life,)? T> fmt::Debug for $Iter {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).field("left", &self.walk.left).finish()
            }
        }
    };
}

iterator!(['a] KeyedIter<'a, T>, "KeyedIter" => &'a T);
iterator!(['a] KeyedIterMut<'a, T>, "KeyedIterMut" => &'a mut T);
iterator!(['a] KeyedDrain<'a, T>, "KeyedDrain" => T);
iterator!([] KeyedIntoIter<T>, "KeyedIntoIter" => T);
