// SPDX-License-Identifier: Apache-2.0
//! Boxes with serde. A box is written as its value. To read one takes an arena, so what reads it is a
//! seed that has the arena.

use core::fmt;
use core::iter;
use core::marker::PhantomData;
use core::ptr::NonNull;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::super::forms::Allocate;
use super::super::{emplace, forms, gather};
use super::arena_box::ArenaBox;
use crate::AllocOrInitError;

impl<T: ?Sized + Serialize> Serialize for ArenaBox<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

/// Reads a value, a slice or a string into a box in an arena: what [`ArenaBox::seed`] returns.
///
/// ```
/// use aegis_memory::arena::{Arena, ArenaBox};
/// use serde::de::DeserializeSeed;
///
/// let arena = Arena::default();
/// let seed = ArenaBox::<str>::seed(&arena);
/// let text = seed.deserialize(&mut serde_json::Deserializer::from_str(r#""text""#))?;
/// assert_eq!(&*text, "text");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub struct BoxSeed<'a, A, T: ?Sized> {
    arena: &'a A,
    _makes: PhantomData<fn() -> ArenaBox<'a, T>>,
}

impl<A, T: ?Sized> Clone for BoxSeed<'_, A, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, T: ?Sized> Copy for BoxSeed<'_, A, T> {}

impl<A, T: ?Sized> fmt::Debug for BoxSeed<'_, A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxSeed").finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> ArenaBox<'a, T> {
    /// What reads a value of this type from a serde format into a box in an arena. The type is one
    /// that implements `Deserialize`, or `str`, or a slice `[U]` of such a type.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::{Arena, ArenaBox};
    /// use serde::de::DeserializeSeed;
    ///
    /// let arena = Arena::default();
    /// let mut json = serde_json::Deserializer::from_str(r#"["a", "b"]"#);
    /// let words = ArenaBox::<[String]>::seed(&arena).deserialize(&mut json)?;
    /// assert_eq!(*words, ["a", "b"]);
    /// assert_eq!(serde_json::to_string(&words)?, r#"["a","b"]"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn seed<A>(arena: &'a A) -> BoxSeed<'a, A, T> {
        BoxSeed { arena, _makes: PhantomData }
    }
}

/// The error of the format, or the text of the arena's error in it.
fn error_of<E: Error>(error: AllocOrInitError<E>) -> E {
    match error {
        AllocOrInitError::Alloc(error) => E::custom(error),
        AllocOrInitError::Init(error) => error,
    }
}

/// Reads the elements of a slice. What the input says of their number is not believed.
struct Elements<'a, A, T>(BoxSeed<'a, A, [T]>);

impl<'de, 'a, A: Allocate, T: Deserialize<'de>> Visitor<'de> for Elements<'a, A, T> {
    type Value = ArenaBox<'a, [T]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut elements: S) -> Result<Self::Value, S::Error> {
        let elements = iter::from_fn(|| elements.next_element().transpose());
        let p = gather::try_collect(self.0.arena, elements).map_err(error_of)?;
        // SAFETY: placed just now in memory that is valid for the lifetime.
        Ok(unsafe { ArenaBox::from_raw(p) })
    }
}

/// Reads a string.
struct Text<'a, A>(BoxSeed<'a, A, str>);

impl<'a, A: Allocate> Visitor<'_> for Text<'a, A> {
    type Value = ArenaBox<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let p = forms::copy(self.0.arena, text.as_bytes()).map_err(E::custom)?;
        // SAFETY: the pointer is not null.
        let text = unsafe { NonNull::new_unchecked(p.as_ptr() as *mut str) };
        // SAFETY: a copy of a `str`, placed just now in memory that is valid for the lifetime.
        Ok(unsafe { ArenaBox::from_raw(text) })
    }
}

impl<'de, 'a, A: Allocate, T: Deserialize<'de>> DeserializeSeed<'de> for BoxSeed<'a, A, T> {
    type Value = ArenaBox<'a, T>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        let p = emplace::try_place(self.arena, || T::deserialize(from)).map_err(error_of)?;
        // SAFETY: placed just now in memory that is valid for the lifetime.
        Ok(unsafe { ArenaBox::from_raw(p) })
    }
}

impl<'de, 'a, A: Allocate, T: Deserialize<'de>> DeserializeSeed<'de> for BoxSeed<'a, A, [T]> {
    type Value = ArenaBox<'a, [T]>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(Elements(self))
    }
}

impl<'de, 'a, A: Allocate> DeserializeSeed<'de> for BoxSeed<'a, A, str> {
    type Value = ArenaBox<'a, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(Text(self))
    }
}
