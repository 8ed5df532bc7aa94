// SPDX-License-Identifier: Apache-2.0
//! Room for one value in a keyed pool, whose key is known before the value.

use core::fmt;

use super::key::PoolKey;
use super::slots::Slots;
use crate::error::AllocError;

/// Room for one value in a [`KeyedPool`](super::KeyedPool), whose key is known. From
/// [`vacant_entry`](super::KeyedPool::vacant_entry).
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::KeyedPool;
///
/// let mut pool = KeyedPool::new(10);
/// let entry = pool.vacant_entry();
/// let key = entry.key();
/// entry.insert(1);
/// assert_eq!(pool[key], 1);
/// ```
#[must_use = "insert() puts a value in"]
pub struct VacantEntry<'a, T> {
    slots: &'a mut Slots<T>,
    key: PoolKey,
}

impl<'a, T> VacantEntry<'a, T> {
    pub(super) fn new(slots: &'a mut Slots<T>) -> Result<Self, AllocError> {
        let key = slots.next_key()?;
        Ok(Self { slots, key })
    }

    /// The key that the value will have.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let entry = pool.vacant_entry();
    /// let key = entry.key();
    /// entry.insert(key);
    /// assert_eq!(pool[key], key);
    /// ```
    #[inline]
    pub fn key(&self) -> PoolKey {
        self.key
    }

    /// Moves a value in.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let entry = pool.vacant_entry();
    /// let key = entry.key();
    /// entry.insert(String::from("text")).push('!');
    /// assert_eq!(pool[key], "text!");
    /// ```
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
