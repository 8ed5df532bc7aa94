// SPDX-License-Identifier: Apache-2.0
//! The key of a value in a keyed pool.

use core::fmt;
use core::num::NonZeroU64;

/// A key of a [`KeyedPool`](super::KeyedPool): the index of a block, and a generation.
///
/// A key is one number of 64 bits, so it fits where the kernel, C code or a file gives a program one
/// number to remember, for example the user data of epoll and io_uring. `Option<PoolKey>` has the
/// same size. Every key has bit 32 set and bit 31 clear, so 0 and [`u64::MAX`] are never keys, and a
/// program can give a meaning of its own to such numbers.
///
/// A key of one pool means nothing in another pool, which may have a value under the same number.
///
/// # Examples
///
/// ```
/// use aegis_memory::pool::{KeyedPool, PoolKey};
///
/// let mut connections = KeyedPool::new(1000);
/// let key = connections.insert("a connection");
/// let user_data: u64 = key.into(); // with this the kernel is asked
/// let found = PoolKey::from_u64(user_data).and_then(|key| connections.get(key));
/// assert_eq!(found, Some(&"a connection"));
/// assert_eq!(PoolKey::from_u64(u64::MAX), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey(NonZeroU64);

impl PoolKey {
    /// The lowest bit of a generation, which is set in every key.
    const VALID: u64 = 1 << 32;
    /// The highest bit of an index, which is clear in every key.
    const NO_INDEX: u64 = 1 << 31;

    /// The key that the core gave out.
    ///
    /// # Safety
    ///
    /// - `key` is a key of a keyed pool.
    #[inline(always)]
    pub(super) unsafe fn of_core(key: u64) -> Self {
        debug_assert!(Self::from_u64(key).is_some(), "no key: {key:#x}");
        // SAFETY: the caller guarantees that it is a key, and 0 is none.
        Self(unsafe { NonZeroU64::new_unchecked(key) })
    }

    /// The key as a number, which is not 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let key = pool.insert("value");
    /// assert_eq!(key.as_u64(), 1 << 32); // the first generation of index 0
    /// ```
    #[inline]
    pub const fn as_u64(self) -> u64 {
        self.0.get()
    }

    /// The key of a number that [`as_u64`](Self::as_u64) returned, or `None` for a number that is
    /// never a key. Any number is safe: a pool refuses a key that it did not make.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::PoolKey;
    ///
    /// assert_eq!(PoolKey::from_u64(1 << 32 | 7).map(PoolKey::index), Some(7));
    /// assert_eq!(PoolKey::from_u64(7), None);
    /// ```
    #[inline]
    pub const fn from_u64(number: u64) -> Option<Self> {
        if number & (Self::VALID | Self::NO_INDEX) != Self::VALID {
            return None;
        }
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The index of the block: the index of [`PoolSlab`](super::PoolSlab). Two values of a pool that
    /// live at the same time have different indices. An index is used again, so it alone does not
    /// tell a value from an earlier one.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let keys = [pool.insert("a"), pool.insert("b")];
    /// assert_eq!(keys.map(|key| key.index()), [0, 1]);
    /// ```
    #[inline]
    pub const fn index(self) -> usize {
        (self.0.get() & 0xFFFF_FFFF) as usize
    }

    /// The generation: it tells the values apart that have had the same index. It is odd.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::pool::KeyedPool;
    ///
    /// let mut pool = KeyedPool::new(10);
    /// let first = pool.insert("a");
    /// pool.remove(first);
    /// let second = pool.insert("b");
    /// assert_eq!(first.index(), second.index());
    /// assert_eq!((first.generation(), second.generation()), (1, 3));
    /// ```
    #[inline]
    pub const fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

impl From<PoolKey> for u64 {
    #[inline]
    fn from(key: PoolKey) -> Self {
        key.as_u64()
    }
}

/// Shows index and generation, as `7v3`.
impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.index(), self.generation())
    }
}

/// Shows index and generation, as `PoolKey(7v3)`.
impl fmt::Debug for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolKey({self})")
    }
}
