// SPDX-License-Identifier: Apache-2.0
//! The pool whose values are found by keys. A key names one value for ever: when the value is
//! removed, the key is stale, and no later value gets it. `aegis_memory/keyed_pool.h` describes the
//! algorithm.

use core::alloc::Layout;
use core::fmt;
use core::mem;
use core::ops::{Index, IndexMut};
use core::ptr;

use super::builder::{made, PoolBuilder};
use super::key::PoolKey;
use super::keyed_iter::{KeyedDrain, KeyedIntoIter, KeyedIter, KeyedIterMut};
use super::one_owner::Pool;
use super::slab::PoolSlab;
use super::slots::Slots;
use super::stats::PoolStats;
use crate::budget::move_methods;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

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
    slots: Slots<T>,
}

impl<T> KeyedPool<T> {
    /// Makes a pool with room for `blocks` values, in pages of the system.
    ///
    /// # Panics
    ///
    /// When [`try_new`](Self::try_new) fails.
    #[must_use]
    #[track_caller]
    pub fn new(blocks: usize) -> Self {
        expect(Self::try_new(blocks))
    }

    /// Makes a pool with room for `blocks` values, in pages of the system. For other settings use
    /// [`PoolBuilder::build_keyed`].
    ///
    /// # Errors
    ///
    /// As [`PoolBuilder::build`].
    pub fn try_new(blocks: usize) -> Result<Self, AllocError> {
        Pool::builder().blocks(blocks).build_keyed()
    }

    /// Moves a value into the pool and returns its key.
    ///
    /// # Panics
    ///
    /// When [`try_insert`](Self::try_insert) fails.
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
    pub fn try_vacant_entry(&mut self) -> Result<VacantEntry<'_, T>, AllocError> {
        let key = self.slots.next_key()?;
        Ok(VacantEntry { slots: &mut self.slots, key })
    }

    /// The value of a key, or `None` if the key is stale.
    #[inline]
    pub fn get(&self, key: PoolKey) -> Option<&T> {
        // SAFETY: the block has a value, and the pool is borrowed.
        self.slots.find(key).map(|value| unsafe { value.as_ref() })
    }

    /// The value of a key, or `None` if the key is stale.
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
        Some(keys.map(|key| {
            let value = self.slots.find(key).map(|value| value.as_ptr());
            // SAFETY: the key is valid, and no other key has the same value. The pool is borrowed
            // exclusively.
            unsafe { &mut *value.unwrap_or(ptr::null_mut()) }
        }))
    }

    /// Whether the key has a value.
    #[inline]
    pub fn contains(&self, key: PoolKey) -> bool {
        self.slots.find(key).is_some()
    }

    /// Moves the value of a key out, or returns `None` if the key is stale. The key is stale from
    /// then on.
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
    pub fn iter(&self) -> KeyedIter<'_, T> {
        KeyedIter::new(&self.slots)
    }

    /// The keys and values, in the order of the keys' indices, with values that can be changed.
    pub fn iter_mut(&mut self) -> KeyedIterMut<'_, T> {
        KeyedIterMut::new(&mut self.slots)
    }

    /// Removes all values and returns them with their keys, which are stale then. What the iterator
    /// has not returned when it is dropped is dropped with it. If the iterator is forgotten, those
    /// values stay in the pool.
    pub fn drain(&mut self) -> KeyedDrain<'_, T> {
        KeyedDrain::new(&mut self.slots)
    }

    /// Keeps the values for which a function returns `true`, and drops all others.
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
    pub fn clear(&mut self) {
        if mem::needs_drop::<T>() {
            drop(self.drain());
        } else {
            // SAFETY: the pool is ours, and its values need no drop.
            unsafe { ffi::aegis_keyed_pool_clear(self.slots.raw_mut()) };
        }
    }

    /// How many values the pool has.
    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether the pool has no value.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values the slabs that the pool holds now have room for.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.raw().pool.capacity - self.slots.raw().retired_count
    }

    /// Makes the pool grow until `additional` more values need no further growth.
    ///
    /// # Panics
    ///
    /// When [`try_reserve`](Self::try_reserve) fails.
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        expect(self.try_reserve(additional));
    }

    /// Makes the pool grow until `additional` more values need no further growth.
    ///
    /// # Errors
    ///
    /// As [`Pool::alloc`]. Slabs that were added stay.
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), AllocError> {
        let status = unwind::call_keeping(ffi::is_ok, || {
            // SAFETY: the pool is ours.
            unsafe { ffi::aegis_keyed_pool_reserve(self.slots.raw_mut(), additional) }
        });
        if status == ffi::AEGIS_OK as ffi::aegis_status {
            return Ok(());
        }
        Err(self.slots.refusal())
    }

    /// Releases slabs without values to the source. The first slab stays.
    pub fn shrink_to_fit(&mut self) {
        self.trim(0);
    }

    /// Releases slabs without values to the source, the last slab first. The first slab stays, and so
    /// does every slab that is needed to keep `keep_blocks` blocks in all. No value moves, and stale
    /// keys stay stale.
    pub fn trim(&mut self, keep_blocks: usize) {
        let raw = self.slots.raw_mut();
        // SAFETY: the pool is ours, and the call leaves slabs with blocks out alone.
        unwind::call(|| unsafe { ffi::aegis_keyed_pool_trim(raw, keep_blocks) });
    }

    /// The statistics of the pool of blocks. A block that is not used again, because its generations
    /// are used up, is left out of all counts but the peak. The peak may be too high by up to 31
    /// blocks, or by those of a reserve, after slabs were released and came back.
    pub fn stats(&self) -> PoolStats {
        let raw = self.slots.raw();
        // SAFETY: the call reads the pool, and writes the whole struct.
        unsafe { PoolStats::read(|stats| ffi::aegis_keyed_pool_get_stats(raw, stats)) }
    }

    /// Slab number `slab`, counted from 0, or `None` if the pool does not hold it now. See
    /// [`Pool::slab`].
    pub fn slab(&self, slab: usize) -> Option<PoolSlab> {
        let pool = &self.slots.raw().pool;
        // SAFETY: the call reads the pool, and writes the whole record or fails.
        unsafe { PoolSlab::read(|info| ffi::aegis_pool_get_slab(pool, slab, info)) }
    }

    move_methods!(
        aegis_pool_move_budget,
        (&mut) self => ptr::addr_of_mut!(self.slots.raw_mut().pool),
        "all memory of the pool, and later slabs,"
    );

    /// The C struct, so that C code can find values by their keys. The pointer is valid until the
    /// pool is used otherwise, moved or dropped. Each block of a valid key has a `T`.
    pub fn as_raw(&mut self) -> *mut ffi::aegis_keyed_pool {
        self.slots.raw_mut()
    }
}

impl PoolBuilder<Pool> {
    /// Makes a pool whose values of type `T` are found by keys. Each block has the size of `T` and at
    /// least its alignment. If the pool can grow, [`blocks`](Self::blocks) is rounded up to a power
    /// of two, or to [`max_blocks`](Self::max_blocks) if that is less.
    ///
    /// Beside each of `max_blocks` blocks there are 12 bytes of side arrays, which are charged to the
    /// budget at once.
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build).
    pub fn build_keyed<T>(self) -> Result<KeyedPool<T>, AllocError> {
        let raw = self.of_values(Layout::new::<T>()).make(|options, _| {
            // SAFETY: the call writes the whole struct, and the builder's options are valid.
            unsafe { made(|raw| ffi::aegis_keyed_pool_init(raw, options)) }
        })?;
        // SAFETY: the pool is new, and its blocks have the layout of `T`.
        Ok(KeyedPool { slots: unsafe { Slots::new(raw) } })
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

/// Room for one value in a [`KeyedPool`], whose key is known. From
/// [`vacant_entry`](KeyedPool::vacant_entry).
#[must_use = "insert() puts a value in"]
pub struct VacantEntry<'a, T> {
    slots: &'a mut Slots<T>,
    key: PoolKey,
}

impl<'a, T> VacantEntry<'a, T> {
    /// The key that the value will have.
    #[inline]
    pub fn key(&self) -> PoolKey {
        self.key
    }

    /// Moves a value in.
    #[inline]
    pub fn insert(self, value: T) -> &'a mut T {
        let Ok((mut block, key)) = self.slots.take() else {
            unreachable!("a block was free, and the pool has been borrowed since");
        };
        // SAFETY: the block has just been taken, and has the size and alignment of a `T`.
        unsafe { block.as_ptr().write(value) };
        debug_assert_eq!(key, self.key);
        // SAFETY: the value is initialised, and the pool is borrowed for 'a.
        unsafe { block.as_mut() }
    }
}

impl<T> fmt::Debug for VacantEntry<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VacantEntry").field("key", &self.key).finish()
    }
}
