// SPDX-License-Identifier: Apache-2.0
//! The traits of [`ArenaString`]: those of the standard library's `String`, as far as they need no
//! arena.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Add, AddAssign, Deref, DerefMut, Index, IndexMut};
use core::slice::SliceIndex;

use super::string::ArenaString;
use crate::arena::{AnyArena, ArenaBox};

impl<A: AnyArena> Deref for ArenaString<'_, A> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<A: AnyArena> DerefMut for ArenaString<'_, A> {
    #[inline]
    fn deref_mut(&mut self) -> &mut str {
        self.as_mut_str()
    }
}

impl<A: AnyArena, I: SliceIndex<str>> Index<I> for ArenaString<'_, A> {
    type Output = I::Output;

    #[inline]
    fn index(&self, index: I) -> &I::Output {
        &self.as_str()[index]
    }
}

impl<A: AnyArena, I: SliceIndex<str>> IndexMut<I> for ArenaString<'_, A> {
    #[inline]
    fn index_mut(&mut self, index: I) -> &mut I::Output {
        &mut self.as_mut_str()[index]
    }
}

impl<A: AnyArena> Clone for ArenaString<'_, A> {
    /// Copies the text into the same arena.
    #[track_caller]
    fn clone(&self) -> Self {
        Self::from_str_in(self, self.arena())
    }

    /// As `clone`, into the room that there is.
    #[track_caller]
    fn clone_from(&mut self, other: &Self) {
        self.clear();
        self.push_str(other);
    }
}

impl<A: AnyArena> fmt::Write for ArenaString<'_, A> {
    /// Appends the text. Fails when the arena has no memory.
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_push_str(text).map_err(|_| fmt::Error)
    }

    #[inline]
    fn write_char(&mut self, character: char) -> fmt::Result {
        self.try_push(character).map_err(|_| fmt::Error)
    }
}

impl<A: AnyArena> Extend<char> for ArenaString<'_, A> {
    #[inline]
    #[track_caller]
    fn extend<I: IntoIterator<Item = char>>(&mut self, iter: I) {
        let iter = iter.into_iter();
        self.reserve(iter.size_hint().0);
        iter.for_each(|character| self.push(character));
    }
}

impl<'c, A: AnyArena> Extend<&'c char> for ArenaString<'_, A> {
    #[inline]
    #[track_caller]
    fn extend<I: IntoIterator<Item = &'c char>>(&mut self, iter: I) {
        self.extend(iter.into_iter().copied());
    }
}

macro_rules! extend_by_texts {
    ($({$($generics:tt)*} $text:ty;)*) => {$(
        impl<$($generics)* A: AnyArena> Extend<$text> for ArenaString<'_, A> {
            #[inline]
            #[track_caller]
            fn extend<I: IntoIterator<Item = $text>>(&mut self, iter: I) {
                iter.into_iter().for_each(|text| self.push_str(&text));
            }
        }
    )*};
}

extend_by_texts! {
    {'s,} &'s str;
    {} String;
    {} Box<str>;
    {'s,} Cow<'s, str>;
    {'s, B: AnyArena,} ArenaString<'s, B>;
}

impl<A: AnyArena> Add<&str> for ArenaString<'_, A> {
    type Output = Self;

    #[inline]
    #[track_caller]
    fn add(mut self, text: &str) -> Self {
        self.push_str(text);
        self
    }
}

impl<A: AnyArena> AddAssign<&str> for ArenaString<'_, A> {
    #[inline]
    #[track_caller]
    fn add_assign(&mut self, text: &str) {
        self.push_str(text);
    }
}

macro_rules! as_ref {
    ($($target:ty),*) => {$(
        impl<A: AnyArena> AsRef<$target> for ArenaString<'_, A> {
            fn as_ref(&self) -> &$target {
                self.as_str().as_ref()
            }
        }
    )*};
}

as_ref!(str, [u8]);
#[cfg(feature = "std")]
as_ref!(std::ffi::OsStr, std::path::Path);

impl<A: AnyArena> AsMut<str> for ArenaString<'_, A> {
    fn as_mut(&mut self) -> &mut str {
        self
    }
}

impl<A: AnyArena> Borrow<str> for ArenaString<'_, A> {
    fn borrow(&self) -> &str {
        self
    }
}

impl<A: AnyArena> BorrowMut<str> for ArenaString<'_, A> {
    fn borrow_mut(&mut self) -> &mut str {
        self
    }
}

impl<A: AnyArena> fmt::Display for ArenaString<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl<A: AnyArena> fmt::Debug for ArenaString<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<A: AnyArena> Hash for ArenaString<'_, A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl<A: AnyArena> Eq for ArenaString<'_, A> {}

impl<A: AnyArena, B: AnyArena> PartialOrd<ArenaString<'_, B>> for ArenaString<'_, A> {
    fn partial_cmp(&self, other: &ArenaString<'_, B>) -> Option<Ordering> {
        Some(self.as_str().cmp(other.as_str()))
    }
}

impl<A: AnyArena> Ord for ArenaString<'_, A> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

macro_rules! equal {
    ($({$($generics:tt)*} $a:ty, $b:ty;)*) => {$(
        impl<A: AnyArena, $($generics)*> PartialEq<$b> for $a {
            #[inline]
            fn eq(&self, other: &$b) -> bool {
                self[..] == other[..]
            }
        }
    )*};
}

equal! {
    {B: AnyArena} ArenaString<'_, A>, ArenaString<'_, B>;
    {} ArenaString<'_, A>, str;
    {} ArenaString<'_, A>, &str;
    {} ArenaString<'_, A>, &mut str;
    {} ArenaString<'_, A>, String;
    {} ArenaString<'_, A>, Cow<'_, str>;
    {} str, ArenaString<'_, A>;
    {} &str, ArenaString<'_, A>;
    {} &mut str, ArenaString<'_, A>;
    {} String, ArenaString<'_, A>;
    {} Cow<'_, str>, ArenaString<'_, A>;
}

impl<A: AnyArena> From<ArenaString<'_, A>> for String {
    /// Copies the text to Rust's heap.
    fn from(text: ArenaString<'_, A>) -> Self {
        Self::from(text.as_str())
    }
}

impl<'a, A: AnyArena> From<ArenaString<'a, A>> for ArenaBox<'a, str> {
    /// As [`ArenaString::into_boxed_str`].
    fn from(text: ArenaString<'a, A>) -> Self {
        text.into_boxed_str()
    }
}
