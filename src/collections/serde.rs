// SPDX-License-Identifier: Apache-2.0
//! Collections in and out of serde's formats. What is read needs an arena, which `Deserialize` has
//! no place for. So there is [`DeserializeIn`], which has one, and [`seed`], which makes of it the
//! `DeserializeSeed` that a format takes.

use core::fmt;
use core::marker::PhantomData;
use core::mem::size_of;

use ::serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use ::serde::ser::{Serialize, Serializer};

use super::string::ArenaString;
use super::vec::ArenaVec;
use crate::arena::{AnyArena, Arena};
use crate::error::AllocError;

impl<T: Serialize, A: AnyArena> Serialize for ArenaVec<'_, T, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<A: AnyArena> Serialize for ArenaString<'_, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

/// What can be read from one of serde's formats into an arena. [`seed`] starts it.
///
/// The collections are such types, `&str` and `&[T]` in the arena, options and pairs of them, and
/// the plain types of Rust, which need no arena. When the arena has no memory, reading ends with an
/// error that says so.
///
/// # Examples
///
/// A type of one's own that needs no arena, and one that does:
///
/// ```
/// use aegis_memory::arena::Arena;
/// use aegis_memory::collections::{seed, ArenaString, ArenaVec, DeserializeIn};
/// use serde::de::{Deserialize, DeserializeSeed, Deserializer};
///
/// #[derive(serde::Deserialize)]
/// struct Point {
///     x: f64,
/// }
///
/// impl<'de, 'a> DeserializeIn<'de, 'a, Arena> for Point {
///     fn deserialize_in<D: Deserializer<'de>>(from: D, _: &'a Arena) -> Result<Self, D::Error> {
///         Point::deserialize(from)
///     }
/// }
///
/// struct Name<'a>(ArenaString<'a>);
///
/// impl<'de, 'a> DeserializeIn<'de, 'a, Arena> for Name<'a> {
///     fn deserialize_in<D: Deserializer<'de>>(from: D, to: &'a Arena) -> Result<Self, D::Error> {
///         seed(to).deserialize(from).map(Name)
///     }
/// }
///
/// let arena = Arena::default();
/// let mut json = serde_json::Deserializer::from_str(r#"[["a", {"x": 1.5}]]"#);
/// let points: ArenaVec<(Name, Point)> = seed(&arena).deserialize(&mut json)?;
/// assert_eq!((points[0].0 .0.as_str(), points[0].1.x), ("a", 1.5));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub trait DeserializeIn<'de, 'a, A: AnyArena = Arena>: Sized {
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// What the format says, and when the arena has no memory.
    fn deserialize_in<D: Deserializer<'de>>(from: D, arena: &'a A) -> Result<Self, D::Error>;
}

/// A `DeserializeSeed` for a value in an arena. From [`seed`].
///
/// ```
/// use aegis_memory::collections::{seed, ArenaVec, Seed};
/// use serde::de::DeserializeSeed;
/// # let arena = aegis_memory::arena::Arena::default();
/// let bytes: Seed<ArenaVec<u8>> = seed(&arena);
/// let read = bytes.deserialize(&mut serde_json::Deserializer::from_str("[1, 2]"))?;
/// assert_eq!(read, [1, 2]);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub struct Seed<'a, T, A = Arena> {
    arena: &'a A,
    value: PhantomData<fn() -> T>,
}

/// Starts to read a value into an arena.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::Arena;
/// use aegis_memory::collections::{seed, ArenaString, ArenaVec};
/// use serde::de::DeserializeSeed;
///
/// let arena = Arena::default();
/// let mut json = serde_json::Deserializer::from_str(r#"["one", "two"]"#);
/// let words: ArenaVec<ArenaString> = seed(&arena).deserialize(&mut json)?;
/// assert_eq!(words, ["one", "two"]);
/// assert_eq!(serde_json::to_string(&words)?, r#"["one","two"]"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn seed<T, A>(arena: &A) -> Seed<'_, T, A> {
    Seed { arena, value: PhantomData }
}

impl<T, A> Clone for Seed<'_, T, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, A> Copy for Seed<'_, T, A> {}

impl<'de, 'a, T: DeserializeIn<'de, 'a, A>, A: AnyArena> DeserializeSeed<'de> for Seed<'a, T, A> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        T::deserialize_in(from, self.arena)
    }
}

macro_rules! plain {
    ($($type:ty),* $(,)?) => {$(
        impl<'de, 'a, A: AnyArena> DeserializeIn<'de, 'a, A> for $type {
            #[inline]
            fn deserialize_in<D: Deserializer<'de>>(from: D, _: &'a A) -> Result<Self, D::Error> {
                Self::deserialize(from)
            }
        }
    )*};
}

plain!(
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    u128,
    usize,
    i8,
    i16,
    i32,
    i64,
    i128,
    isize,
    f32,
    f64,
    (),
    alloc::string::String,
);

/// Asks a format for a value, and gives what it finds to `T`.
struct In<'a, T, A>(&'a A, PhantomData<T>);

impl<'a, T, A> In<'a, T, A> {
    fn of(arena: &'a A) -> Self {
        Self(arena, PhantomData)
    }
}

/// The error of a format for that of an arena.
fn no_room<E: Error>(error: AllocError) -> E {
    E::custom(error)
}

/// How many items room is taken for at once, if a format says how many follow. It may be wrong, so
/// that this is at most 4 KiB of items.
fn cautious<T>(hint: Option<usize>) -> usize {
    hint.unwrap_or(0).min(4096 / size_of::<T>().max(1))
}

impl<'de, 'a, T, A> DeserializeIn<'de, 'a, A> for ArenaVec<'a, T, A>
where
    T: DeserializeIn<'de, 'a, A>,
    A: AnyArena,
{
    fn deserialize_in<D: Deserializer<'de>>(from: D, arena: &'a A) -> Result<Self, D::Error> {
        from.deserialize_seq(In::<Self, A>::of(arena))
    }
}

impl<'de, 'a, T, A> Visitor<'de> for In<'a, ArenaVec<'a, T, A>, A>
where
    T: DeserializeIn<'de, 'a, A>,
    A: AnyArena,
{
    type Value = ArenaVec<'a, T, A>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Self::Value, S::Error> {
        let capacity = cautious::<T>(items.size_hint());
        let mut vec = ArenaVec::try_with_capacity_in(capacity, self.0).map_err(no_room)?;
        while let Some(item) = items.next_element_seed(seed(self.0))? {
            vec.try_push(item).map_err(no_room)?;
        }
        Ok(vec)
    }
}

impl<'de, 'a, A: AnyArena> DeserializeIn<'de, 'a, A> for ArenaString<'a, A> {
    fn deserialize_in<D: Deserializer<'de>>(from: D, arena: &'a A) -> Result<Self, D::Error> {
        from.deserialize_str(In::<Self, A>::of(arena))
    }
}

impl<'de, 'a, A: AnyArena> Visitor<'de> for In<'a, ArenaString<'a, A>, A> {
    type Value = ArenaString<'a, A>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        ArenaString::try_from_str_in(text, self.0).map_err(no_room)
    }
}

impl<'de, 'a, A: AnyArena> DeserializeIn<'de, 'a, A> for &'a str {
    fn deserialize_in<D: Deserializer<'de>>(from: D, arena: &'a A) -> Result<Self, D::Error> {
        Ok(ArenaString::deserialize_in(from, arena)?.into_str())
    }
}

impl<'de, 'a, T, A> DeserializeIn<'de, 'a, A> for &'a [T]
where
    T: DeserializeIn<'de, 'a, A>,
    A: AnyArena,
{
    fn deserialize_in<D: Deserializer<'de>>(from: D, arena: &'a A) -> Result<Self, D::Error> {
        Ok(ArenaVec::deserialize_in(from, arena)?.into_slice())
    }
}

impl<'de, 'a, T, A> DeserializeIn<'de, 'a, A> for Option<T>
where
    T: DeserializeIn<'de, 'a, A>,
    A: AnyArena,
{
    fn deserialize_in<D: Deserializer<'de>>(from: D, arena: &'a A) -> Result<Self, D::Error> {
        from.deserialize_option(In::<Self, A>::of(arena))
    }
}

impl<'de, 'a, T, A> Visitor<'de> for In<'a, Option<T>, A>
where
    T: DeserializeIn<'de, 'a, A>,
    A: AnyArena,
{
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an option")
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
        T::deserialize_in(from, self.0).map(Some)
    }
}

impl<'de, 'a, T, U, A> DeserializeIn<'de, 'a, A> for (T, U)
where
    T: DeserializeIn<'de, 'a, A>,
    U: DeserializeIn<'de, 'a, A>,
    A: AnyArena,
{
    fn deserialize_in<D: Deserializer<'de>>(from: D, arena: &'a A) -> Result<Self, D::Error> {
        from.deserialize_tuple(2, In::<Self, A>::of(arena))
    }
}

impl<'de, 'a, T, U, A> Visitor<'de> for In<'a, (T, U), A>
where
    T: DeserializeIn<'de, 'a, A>,
    U: DeserializeIn<'de, 'a, A>,
    A: AnyArena,
{
    type Value = (T, U);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pair")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<(T, U), S::Error> {
        let missing = |index| move || S::Error::invalid_length(index, &"a pair");
        let first = items.next_element_seed(seed(self.0))?.ok_or_else(missing(0))?;
        let second = items.next_element_seed(seed(self.0))?.ok_or_else(missing(1))?;
        Ok((first, second))
    }
}

#[cfg(feature = "hashbrown")]
mod tables {
    use core::hash::{BuildHasher, Hash};

    use ::serde::de::MapAccess;
    use allocator_api2::alloc::Allocator;
    use hashbrown::{HashMap, HashSet};

    use super::super::map::no_room as table_error;
    use super::*;

    macro_rules! table {
        (
            $table:ty, {$($generics:tt)*}, {$($bounds:tt)*}, $expects:literal, $ask:ident,
            $visit:ident($access:ident), |$items:ident, $arena:ident, $to:ident| $insert:block
        ) => {
            impl<'de, 'a, $($generics)*, S, A> DeserializeIn<'de, 'a, A> for $table
            where
                $($bounds)*
                S: BuildHasher + Default,
                A: AnyArena,
                &'a A: Allocator,
            {
                fn deserialize_in<D: Deserializer<'de>>(
                    from: D,
                    arena: &'a A,
                ) -> Result<Self, D::Error> {
                    from.$ask(In::<Self, A>::of(arena))
                }
            }

            impl<'de, 'a, $($generics)*, S, A> Visitor<'de> for In<'a, $table, A>
            where
                $($bounds)*
                S: BuildHasher + Default,
                A: AnyArena,
                &'a A: Allocator,
            {
                type Value = $table;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str($expects)
                }

                fn $visit<X: $access<'de>>(self, mut $items: X) -> Result<$table, X::Error> {
                    let $arena = self.0;
                    let mut $to = <$table>::with_hasher_in(S::default(), $arena);
                    let capacity = cautious::<($($generics)*,)>($items.size_hint());
                    $to.try_reserve(capacity).map_err(table_error).map_err(no_room)?;
                    $insert
                    Ok($to)
                }
            }
        };
    }

    table!(
        HashMap<K, V, S, &'a A>, {K, V},
        { K: DeserializeIn<'de, 'a, A> + Eq + Hash, V: DeserializeIn<'de, 'a, A>, },
        "a map", deserialize_map, visit_map(MapAccess), |items, arena, map| {
            while let Some((key, value)) = items.next_entry_seed(seed(arena), seed(arena))? {
                map.try_reserve(1).map_err(table_error).map_err(no_room)?;
                map.insert(key, value);
            }
        }
    );
    table!(
        HashSet<T, S, &'a A>, {T}, { T: DeserializeIn<'de, 'a, A> + Eq + Hash, },
        "a sequence", deserialize_seq, visit_seq(SeqAccess), |items, arena, set| {
            while let Some(item) = items.next_element_seed(seed(arena))? {
                set.try_reserve(1).map_err(table_error).map_err(no_room)?;
                set.insert(item);
            }
        }
    );
}
