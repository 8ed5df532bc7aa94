// SPDX-License-Identifier: Apache-2.0
//! The tables of hashbrown, in an arena. They are hashbrown's own types, so this file has names and
//! [`collect_in`](super::CollectIn::collect_in) only.

use core::hash::{BuildHasher, Hash};

use allocator_api2::alloc::Allocator;
use hashbrown::{DefaultHashBuilder, HashMap, HashSet, TryReserveError};

use super::collect::FromIteratorIn;
use crate::arena::Arena;
use crate::error::{expect, AllocError};

/// A hash map in an arena: hashbrown's `HashMap`, with all its methods. `new_in(&arena)` and
/// `with_capacity_in(n, &arena)` make one.
///
/// A table that grows moves its entries into new memory, and the arena gets the old memory back
/// only if it is the latest allocation. So a map whose size is known is made with that capacity.
/// hashbrown ends the process when there is no memory for a growth; call `try_reserve` first where
/// an arena has a limit.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
/// use aegis_memory::collections::ArenaHashMap;
///
/// let arena = Arena::default();
/// let mut ages = ArenaHashMap::new_in(&arena);
/// ages.insert("Ada", 36);
/// assert_eq!(ages.get("Ada"), Some(&36));
///
/// struct Index<'a> {
///     by_name: ArenaHashMap<'a, &'a str, u32>,
/// }
/// assert_eq!(Index { by_name: ages }.by_name.len(), 1);
/// ```
pub type ArenaHashMap<'a, K, V, S = DefaultHashBuilder, A = Arena> = HashMap<K, V, S, &'a A>;

/// A hash set in an arena: hashbrown's `HashSet`, with all its methods. As with [`ArenaHashMap`],
/// `new_in` and `with_capacity_in` make one.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
/// use aegis_memory::collections::{ArenaHashSet, CollectIn};
///
/// let arena = Arena::default();
/// let words: ArenaHashSet<&str> = "a b a".split(' ').collect_in(&arena);
/// assert_eq!(words.len(), 2);
/// ```
pub type ArenaHashSet<'a, T, S = DefaultHashBuilder, A = Arena> = HashSet<T, S, &'a A>;

/// What a table's error says, as an error of this crate.
#[cold]
pub(super) fn no_room(error: TryReserveError) -> AllocError {
    match error {
        TryReserveError::AllocError { layout } => {
            AllocError::out_of_memory(layout.size(), layout.align(), 0)
        }
        TryReserveError::CapacityOverflow => AllocError::invalid(usize::MAX, 1),
    }
}

impl<'a, K, V, S, A> FromIteratorIn<(K, V)> for HashMap<K, V, S, &'a A>
where
    &'a A: Allocator,
    K: Eq + Hash,
    S: BuildHasher + Default,
{
    type Alloc = &'a A;

    #[track_caller]
    fn from_iter_in<I: IntoIterator<Item = (K, V)>>(iter: I, arena: &'a A) -> Self {
        let iter = iter.into_iter();
        let mut map = Self::with_hasher_in(S::default(), arena);
        expect(map.try_reserve(iter.size_hint().0).map_err(no_room));
        for (key, value) in iter {
            expect(map.try_reserve(1).map_err(no_room));
            map.insert(key, value);
        }
        map
    }
}

impl<'a, T, S, A> FromIteratorIn<T> for HashSet<T, S, &'a A>
where
    &'a A: Allocator,
    T: Eq + Hash,
    S: BuildHasher + Default,
{
    type Alloc = &'a A;

    #[track_caller]
    fn from_iter_in<I: IntoIterator<Item = T>>(iter: I, arena: &'a A) -> Self {
        let iter = iter.into_iter();
        let mut set = Self::with_hasher_in(S::default(), arena);
        expect(set.try_reserve(iter.size_hint().0).map_err(no_room));
        for item in iter {
            expect(set.try_reserve(1).map_err(no_room));
            set.insert(item);
        }
        set
    }
}
