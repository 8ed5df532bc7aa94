// SPDX-License-Identifier: Apache-2.0
//! The pool whose values are found by keys. A key names one value for ever: when the value is
//! removed, the key is stale, and no later value gets it. `aegis_memory/keyed_pool.h` describes the
//! algorithm.
//!
//! The file is longer than 500 lines, because each method has an example.

use core::fmt;
use core::mem;
use core::ops::{Index, IndexMut};

use super::key::PoolKey;
use super::keyed_entry::VacantEntry;
use super::keyed_iter::{KeyedDrain, KeyedIntoIter, KeyedIter, KeyedIterMut};
use super::one_owner::Pool;
use super::slots::Slots;
use crate::error::{expect, AllocError};
use crate::ffi;

/// A pool of values of type `T` that are found by keys: a slab, or slot map, with one owner.
///
/// [`insert`](Self::insert) returns a [`PoolKey`], and [`get`](Self::get) and
/// [`remove`](Self::remove) find the value in constant time. A key holds a generation. So a key
/// whose value was removed is refused for ever, also when another value lies in the same block, and
/// after [`trim`](Self::trim). An index whose 2,147,483,648 generations are used up is not used
/// again.
///
/// The values lie in the blocks of a pool with one owner: they never move, a budget and
/// `max_blocks` bound them, and the memory comes from the pool's source. It is `Send` and `Sync` if
/// `T` is. Threads that share one put it in a lock: under an `RwLock` they can read at the same
/// time.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::KeyedPool;
///
/// let mut names = KeyedPool::new(100);
/// let ada = names.insert(String::from("Ada"));
/// names[ada].push('!');
/// assert_eq!(names.get(ada).map(String::as_str), Some("Ada!"));
/// assert_eq!(names.remove(ada), Some(String::from("Ada!")));
///
/// let grace = names.insert(String::from("Grace")); // in the same block
/// assert_eq!(names.get(ada), None);
/// assert!(names.contains(grace));
/// ```
///
/// A pool that grows, within a budget:
///
/// ```
/// use aegis_memory::budget::MemoryBudget;
/// use aegis_memory::pool::Pool;
///
/// let budget = MemoryBudget::new("sessions", 64 << 20);
/// let builder = Pool::builder().blocks(1024).max_blocks(100_000).budget(&budget);
/// let mut sessions = builder.build_keyed::<[u8; 256]>()?;
/// let key = sessions.try_insert([0; 256])?;
/// # let _ = key;
/// # Ok::<(), aegis_memory::AllocError>(())
/// ```
pub struct KeyedPool<T> {
    pub(super) slots: Slots<T>,
}

impl<T> KeyedPool<T> {
    /// Makes a pool with room for `blocks` values, in pages of the system.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = aegis_memory::pool::KeyedPool::<String>::new(1000);
    /// assert_eq!(pool.capacity(), 1000);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(blocks: usize) -> Self {
        expect(Self::try_new(blocks))
    }

    /// Makes a pool with room for `blocks` values, in pages of the system. For other settings use
    /// [`PoolBuilder::build_keyed`](super::PoolBuilder::build_keyed).
    ///
    /// # Errors
    ///
    /// As [`PoolBuilder::build`](super::PoolBuilder::build).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let pool = KeyedPool::<String>::try_new(1000)?;
    /// assert!(KeyedPool::<String>::try_new(0).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_new(blocks: usize) -> Result<Self, AllocError> {
        Pool::builder().blocks(blocks).build_keyed()
    }

    /// Moves a value into the pool and returns its key.
    ///
    /// # Panics
    ///
    /// When [`try_insert`](Self::try_insert) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert("value");
    /// assert_eq!(pool[key], "value");
    /// ```
    #[inline]
    #[track_caller]
    pub fn insert(&mut self, value: T) -> PoolKey {
        expect(self.try_insert(value))
    }

    /// Moves a value into the pool and returns its key.
    ///
    /// # Errors
    ///
    /// As [`Pool::alloc`]. The value is dropped; [`try_vacant_entry`](Self::try_vacant_entry) asks
    /// for room first.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut pool = aegis_memory::pool::KeyedPool::new(1);
    /// let key = pool.try_insert(1)?;
    /// assert!(pool.try_insert(2).is_err()); // it is full
    /// # let _ = key;
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_insert(&mut self, value: T) -> Result<PoolKey, AllocError> {
        let (block, key) = self.slots.take()?;
        // SAFETY: the block has just been taken, and has the size and alignment of a `T`.
        unsafe { block.as_ptr().write(value) };
        Ok(key)
    }

    /// Calls a function with the key of the value to be, and moves the value that it returns into
    /// the pool.
    ///
    /// # Panics
    ///
    /// When [`try_insert_with_key`](Self::try_insert_with_key) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut nodes = aegis_memory::pool::KeyedPool::new(10);
    /// let key = nodes.insert_with_key(|key| (key, "a node that knows its key"));
    /// assert_eq!(nodes[key].0, key);
    /// ```
    #[track_caller]
    pub fn insert_with_key(&mut self, f: impl FnOnce(PoolKey) -> T) -> PoolKey {
        expect(self.try_insert_with_key(f))
    }

    /// Calls a function with the key of the value to be, and moves the value that it returns into
    /// the pool.
    ///
    /// # Errors
    ///
    /// As [`Pool::alloc`]. `f` is not called.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.try_insert_with_key(|key| key.index())?;
    /// assert_eq!(pool[key], key.index());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_insert_with_key(
        &mut self,
        f: impl FnOnce(PoolKey) -> T,
    ) -> Result<PoolKey, AllocError> {
        let entry = self.try_vacant_entry()?;
        let key = entry.key();
        entry.insert(f(key));
        Ok(key)
    }

    /// Room for one value, whose key is known before the value.
    ///
    /// # Panics
    ///
    /// When [`try_vacant_entry`](Self::try_vacant_entry) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let entry = pool.vacant_entry();
    /// let key = entry.key();
    /// entry.insert(format!("my key is {key}"));
    /// assert_eq!(pool[key], "my key is 0v1");
    /// ```
    #[track_caller]
    pub fn vacant_entry(&mut self) -> VacantEntry<'_, T> {
        expect(self.try_vacant_entry())
    }

    /// Room for one value, whose key is known before the value. Nothing changes if the entry is
    /// dropped, except that the pool may have grown.
    ///
    /// # Errors
    ///
    /// As [`Pool::alloc`].
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// // The value is still ours if there is no room.
    /// let value = vec![1, 2, 3];
    /// if let Ok(entry) = pool.try_vacant_entry() {
    ///     entry.insert(value);
    /// }
    /// assert_eq!(pool.len(), 1);
    /// ```
    pub fn try_vacant_entry(&mut self) -> Result<VacantEntry<'_, T>, AllocError> {
        VacantEntry::new(&mut self.slots)
    }

    /// The value of a key, or `None` if the key is stale.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(1);
    /// assert_eq!(pool.get(key), Some(&1));
    /// pool.remove(key);
    /// assert_eq!(pool.get(key), None);
    /// ```
    #[inline]
    pub fn get(&self, key: PoolKey) -> Option<&T> {
        // SAFETY: the block has a value, and the pool is borrowed.
        self.slots.find(key).map(|value| unsafe { value.as_ref() })
    }

    /// The value of a key, or `None` if the key is stale.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(1);
    /// if let Some(value) = pool.get_mut(key) {
    ///     *value += 1;
    /// }
    /// assert_eq!(pool[key], 2);
    /// ```
    #[inline]
    pub fn get_mut(&mut self, key: PoolKey) -> Option<&mut T> {
        // SAFETY: the block has a value, and the pool is borrowed exclusively.
        self.slots.find(key).map(|mut value| unsafe { value.as_mut() })
    }

    /// The values of several keys at the same time, or `None` if a key is stale or two of them are
    /// the same. It compares each key with each other one.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut accounts = aegis_memory::pool::KeyedPool::new(10);
    /// let (a, b) = (accounts.insert(10), accounts.insert(20));
    /// if let Some([from, to]) = accounts.get_disjoint_mut([a, b]) {
    ///     std::mem::swap(from, to);
    /// }
    /// assert_eq!((accounts[a], accounts[b]), (20, 10));
    /// assert!(accounts.get_disjoint_mut([a, a]).is_none());
    /// ```
    pub fn get_disjoint_mut<const N: usize>(&mut self, keys: [PoolKey; N]) -> Option<[&mut T; N]> {
        let is_good = |(i, key): (usize, &PoolKey)| {
            self.slots.find(*key).is_some() && !keys[..i].contains(key)
        };
        if !keys.iter().enumerate().all(is_good) {
            return None;
        }
        Some(keys.map(|key| match self.slots.find(key) {
            // SAFETY: no other of the keys has the same value. The pool is borrowed exclusively.
            Some(value) => unsafe { &mut *value.as_ptr() },
            None => unreachable!("it was found above"),
        }))
    }

    /// Whether the key has a value.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(1);
    /// assert!(pool.contains(key));
    /// pool.clear();
    /// assert!(!pool.contains(key));
    /// ```
    #[inline]
    pub fn contains(&self, key: PoolKey) -> bool {
        self.slots.find(key).is_some()
    }

    /// Moves the value of a key out, or returns `None` if the key is stale. The key is stale from
    /// then on.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(1);
    /// assert_eq!(pool.remove(key), Some(1));
    /// assert_eq!(pool.remove(key), None);
    /// ```
    #[inline]
    pub fn remove(&mut self, key: PoolKey) -> Option<T> {
        self.slots.remove(key)
    }

    /// The key of a value, or `None` if the reference is to none of this pool's values.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut pool = aegis_memory::pool::KeyedPool::new(10);
    /// let key = pool.insert(7);
    /// assert_eq!(pool.key_of(&pool[key]), Some(key));
    /// assert_eq!(pool.key_of(&7), None);
    /// ```
    pub fn key_of(&self, value: &T) -> Option<PoolKey> {
        let block = (value as *const T).cast();
        // SAFETY: the call reads the pool and compares the address.
        PoolKey::from_u64(unsafe { ffi::aegis_keyed_pool_key_of(self.slots.raw(), block) })
    }

    /// The keys and values, in the order of the keys' indices.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let (a, b) = (pool.insert("a"), pool.insert("b"));
    /// assert_eq!(pool.iter().collect::<Vec<_>>(), [(a, &"a"), (b, &"b")]);
    /// ```
    pub fn iter(&self) -> KeyedIter<'_, T> {
        KeyedIter::new(&self.slots)
    }

    /// The keys and values, in the order of the keys' indices, with values that can be changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(1);
    /// for (_, value) in pool.iter_mut() {
    ///     *value += 1;
    /// }
    /// assert_eq!(pool[key], 2);
    /// ```
    pub fn iter_mut(&mut self) -> KeyedIterMut<'_, T> {
        KeyedIterMut::new(&mut self.slots)
    }

    /// Removes all values and returns them with their keys, which are stale then. What the iterator
    /// has not returned when it is dropped is dropped with it. If the iterator is forgotten, those
    /// values stay in the pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(1);
    /// assert_eq!(pool.drain().collect::<Vec<_>>(), [(key, 1)]);
    /// assert!(pool.is_empty());
    /// ```
    pub fn drain(&mut self) -> KeyedDrain<'_, T> {
        KeyedDrain::new(&mut self.slots)
    }

    /// Keeps the values for which a function returns `true`, and drops all others.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let keys = [1, 2, 3].map(|value| pool.insert(value));
    /// pool.retain(|_, value| *value != 2);
    /// assert_eq!(keys.map(|key| pool.contains(key)), [true, false, true]);
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(PoolKey, &mut T) -> bool) {
        let mut walk = self.slots.walk();
        while let Some((key, mut value)) = walk.next(&self.slots) {
            // SAFETY: the block has a value, and the pool is borrowed exclusively.
            if !keep(key, unsafe { value.as_mut() }) {
                self.slots.remove(key);
            }
        }
    }

    /// Drops all values. All keys are stale afterwards. If a drop panics, the others still run.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert(1);
    /// pool.clear();
    /// assert!(pool.is_empty() && !pool.contains(key));
    /// ```
    pub fn clear(&mut self) {
        if mem::needs_drop::<T>() {
            drop(self.drain());
        } else {
            // SAFETY: the pool is ours, and its values need no drop.
            unsafe { ffi::aegis_keyed_pool_clear(self.slots.raw_mut()) };
        }
    }

    /// How many values the pool has.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// pool.insert(1);
    /// assert_eq!(pool.len(), 1);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the pool has no value.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// assert!(pool.is_empty());
    /// pool.insert(1);
    /// assert!(!pool.is_empty());
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> IntoIterator for KeyedPool<T> {
    type Item = (PoolKey, T);
    type IntoIter = KeyedIntoIter<T>;

    fn into_iter(self) -> KeyedIntoIter<T> {
        KeyedIntoIter::new(self.slots)
    }
}

impl<'a, T> IntoIterator for &'a KeyedPool<T> {
    type Item = (PoolKey, &'a T);
    type IntoIter = KeyedIter<'a, T>;

    fn into_iter(self) -> KeyedIter<'a, T> {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut KeyedPool<T> {
    type Item = (PoolKey, &'a mut T);
    type IntoIter = KeyedIterMut<'a, T>;

    fn into_iter(self) -> KeyedIterMut<'a, T> {
        self.iter_mut()
    }
}

impl<T> Index<PoolKey> for KeyedPool<T> {
    type Output = T;

    /// # Panics
    ///
    /// When the key is stale.
    #[inline]
    #[track_caller]
    fn index(&self, key: PoolKey) -> &T {
        match self.get(key) {
            Some(value) => value,
            None => no_value(key),
        }
    }
}

impl<T> IndexMut<PoolKey> for KeyedPool<T> {
    /// # Panics
    ///
    /// When the key is stale.
    #[inline]
    #[track_caller]
    fn index_mut(&mut self, key: PoolKey) -> &mut T {
        match self.get_mut(key) {
            Some(value) => value,
            None => no_value(key),
        }
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn no_value(key: PoolKey) -> ! {
    panic!("the pool has no value under key {key}: it was removed, or another pool made the key")
}

impl<T: fmt::Debug> fmt::Debug for KeyedPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
