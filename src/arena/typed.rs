// SPDX-License-Identifier: Apache-2.0
//! An arena of values of one type, which knows its values: it can iterate over them, give them all
//! back, and drops them.
//!
//! [`Chunks`] drops the values by a function that it got with the type, and [`TypedArena`] has no
//! `Drop` of its own. So values may refer to each other as long as their drop does not look, as in a
//! `Vec`: `PhantomData` tells the compiler that values of the type are dropped.

use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr;

use super::one_owner::Arena;
use super::typed_chunks::{layout_of, Chunks};
use super::typed_iter::{drop_all, TypedIntoIter, TypedIterMut};
use super::typed_run::Run;
use crate::error::{expect, AllocError};

/// An arena of values of one type. It drops its values when it is reset or dropped, the oldest
/// first, and can iterate over them or give them all back.
///
/// A value can be of any type, with drop glue or not, and may borrow. Values may refer to each other
/// in cycles. One thread at a time owns the arena.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::TypedArena;
///
/// let mut names = TypedArena::new();
/// let first = names.alloc(String::from("first"));
/// names.alloc(String::from("second"));
/// first.push('!');
/// assert_eq!(names.len(), 2);
/// assert!(names.iter().eq(["first!", "second"]));
/// assert_eq!(names.into_vec(), ["first!", "second"]);
/// ```
///
/// Nodes that refer to each other:
///
/// ```
/// use aegis_memory::arena::TypedArena;
/// use std::cell::RefCell;
///
/// struct Node<'a> {
///     name: String,
///     others: RefCell<Vec<&'a Node<'a>>>,
/// }
///
/// let arena = TypedArena::new();
/// let node = |name: &str| &*arena.alloc(Node { name: name.into(), others: RefCell::default() });
/// let (a, b) = (node("a"), node("b"));
/// a.others.borrow_mut().push(b);
/// b.others.borrow_mut().push(a);
/// assert_eq!(a.others.borrow()[0].others.borrow()[0].name, "a");
/// ```
pub struct TypedArena<T> {
    chunks: Chunks,
    // The chunks own values of the type, and no other type can stand for it.
    _values: PhantomData<Cell<T>>,
}

// SAFETY: the arena owns its values and its memory, and is not `Sync`, because allocation through
// `&self` is not synchronised.
#[cfg(aegis_threads)]
unsafe impl<T: Send> Send for TypedArena<T> {}

impl<T> TypedArena<T> {
    /// Makes an arena without blocks: the first value acquires one.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::<String>::new();
    /// assert_eq!(arena.arena().stats().block_count, 0);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::from(Arena::default())
    }

    /// Makes an arena with room for this number of values.
    ///
    /// # Panics
    ///
    /// When [`try_with_capacity`](Self::try_with_capacity) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::with_capacity(100);
    /// arena.alloc(1_u64);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_capacity(values: usize) -> Self {
        expect(Self::try_with_capacity(values))
    }

    /// Makes an arena with room for this number of values.
    ///
    /// # Errors
    ///
    /// [`AllocError::InvalidLayout`] for a number that no object can have,
    /// [`AllocError::OutOfMemory`] when the heap refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::try_with_capacity(100)?;
    /// arena.alloc(1_u64);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_with_capacity(values: usize) -> Result<Self, AllocError> {
        if values == 0 {
            return Ok(Self::from(Arena::try_new(0)?));
        }
        let layout = layout_of::<T>(values)?;
        let this = Self::from(Arena::try_new(layout.size().saturating_add(layout.align()))?);
        let chunk = this.chunks.new_chunk::<T>(values)?;
        // SAFETY: a new chunk with this capacity.
        unsafe { this.chunks.open::<T>(chunk, 0, values) };
        Ok(this)
    }

    /// The number of values in the arena.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::new();
    /// arena.alloc_extend(0..10);
    /// assert_eq!(arena.len(), 10);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether the arena has no value.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(aegis_memory::arena::TypedArena::<u8>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The arena that the values lie in, for its statistics, and for what belongs to the values,
    /// such as their texts. What is allocated from it lives as long as the values.
    ///
    /// # Examples
    ///
    /// ```
    /// let words = aegis_memory::arena::TypedArena::<&str>::new();
    /// for word in ["a", "b"] {
    ///     words.alloc(words.arena().alloc_str(word));
    /// }
    /// assert!(words.arena().stats().used_bytes > 0);
    /// ```
    pub fn arena(&self) -> &Arena {
        &self.chunks.arena
    }

    /// Moves a value into the arena.
    ///
    /// # Panics
    ///
    /// When [`try_alloc`](Self::try_alloc) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::new();
    /// let (one, two) = (arena.alloc(1), arena.alloc(2));
    /// std::mem::swap(one, two);
    /// assert_eq!((*one, *two), (2, 1));
    /// ```
    #[inline]
    #[track_caller]
    pub fn alloc(&self, value: T) -> &mut T {
        expect(self.try_alloc(value))
    }

    /// Moves a value into the arena.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when the arena can get no block. The value is dropped then.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::new();
    /// assert_eq!(arena.try_alloc(String::from("a"))?, "a");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    #[inline]
    pub fn try_alloc(&self, value: T) -> Result<&mut T, AllocError> {
        let mut place = self.chunks.place::<T>()?;
        // SAFETY: a place that no other code has a pointer to. The value stays there while `self` is
        // borrowed.
        unsafe {
            place.as_ptr().write(value);
            Ok(place.as_mut())
        }
    }

    /// Moves the items of an iterator into the arena, one behind the other. The iterator may
    /// allocate from the arena. If it does, its own values lie elsewhere.
    ///
    /// # Panics
    ///
    /// When [`try_alloc_extend`](Self::try_alloc_extend) fails, or the iterator panics. The items so
    /// far are dropped then.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::new();
    /// let abc = arena.alloc_extend("abcdefg".chars().take(3));
    /// assert_eq!(abc, ['a', 'b', 'c']);
    /// ```
    #[track_caller]
    pub fn alloc_extend(&self, items: impl IntoIterator<Item = T>) -> &mut [T] {
        expect(self.try_alloc_extend(items))
    }

    /// Moves the items of an iterator into the arena, one behind the other.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc). The iterator may be partly consumed then, or completely,
    /// and its items are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::new();
    /// assert_eq!(arena.try_alloc_extend([1, 2, 3])?, [1, 2, 3]);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_alloc_extend(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> Result<&mut [T], AllocError> {
        let mut items = items.into_iter();
        // SAFETY: the values are of this type.
        let mut run = unsafe { Run::begin(&self.chunks) };
        run.reserve(items.size_hint().0)?;
        while let Some(item) = items.next() {
            run.push(item, || items.size_hint().0)?;
        }
        // SAFETY: the values stay where they are while `self` is borrowed, and no other code has a
        // pointer to them.
        Ok(unsafe { run.finish().as_mut() })
    }

    /// Makes room for this number of values, one behind the other. So they can be allocated without
    /// a block.
    ///
    /// # Panics
    ///
    /// When [`try_reserve_extend`](Self::try_reserve_extend) fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::new();
    /// arena.reserve_extend(1000);
    /// let blocks = arena.arena().stats().block_count;
    /// arena.alloc_extend(0..1000);
    /// assert_eq!(arena.arena().stats().block_count, blocks);
    /// ```
    #[track_caller]
    pub fn reserve_extend(&self, values: usize) {
        expect(self.try_reserve_extend(values));
    }

    /// Makes room for this number of values, one behind the other.
    ///
    /// # Errors
    ///
    /// As [`try_alloc`](Self::try_alloc).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::<u64>::new();
    /// arena.try_reserve_extend(100)?;
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_reserve_extend(&self, values: usize) -> Result<(), AllocError> {
        self.chunks.reserve::<T>(values)
    }

    /// Drops all values, the oldest first, and keeps the memory for other values.
    ///
    /// # Panics
    ///
    /// When the drop of a value panics. The other values are dropped all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut lines = aegis_memory::arena::TypedArena::new();
    /// for request in ["a\nb", "c"] {
    ///     lines.alloc_extend(request.lines().map(String::from));
    ///     lines.reset();
    /// }
    /// assert!(lines.is_empty());
    /// ```
    pub fn reset(&mut self) {
        struct Free<'a>(&'a mut Chunks);
        impl Drop for Free<'_> {
            fn drop(&mut self) {
                self.0.arena.reset();
            }
        }
        Free(&mut self.chunks).0.drop_values();
    }

    /// Iterates over the values, in the order in which they were allocated. Values that were
    /// allocated by an iterator of [`alloc_extend`](Self::alloc_extend) come after its items or
    /// before them.
    ///
    /// It takes the arena by `&mut`, because the references that the arena has handed out are
    /// `&mut` too.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut arena = aegis_memory::arena::TypedArena::new();
    /// arena.alloc_extend([1, 2, 3]);
    /// assert_eq!(arena.iter().sum::<i32>(), 6);
    /// ```
    pub fn iter(&mut self) -> impl ExactSizeIterator<Item = &T> {
        self.iter_mut().map(|value| &*value)
    }

    /// Iterates over the values, in the order of [`iter`](Self::iter).
    ///
    /// # Examples
    ///
    /// ```
    /// let mut arena = aegis_memory::arena::TypedArena::new();
    /// arena.alloc_extend([1, 2, 3]);
    /// for number in &mut arena {
    ///     *number *= 10;
    /// }
    /// assert!(arena.iter().eq(&[10, 20, 30]));
    /// ```
    pub fn iter_mut(&mut self) -> TypedIterMut<'_, T> {
        // SAFETY: the values are borrowed exclusively as long as the iterator.
        unsafe { TypedIterMut::new(self.chunks.first(), self.len()) }
    }

    /// Moves the values into a vector, in the order of [`iter`](Self::iter).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = aegis_memory::arena::TypedArena::new();
    /// arena.alloc(String::from("a"));
    /// assert_eq!(arena.into_vec(), ["a"]);
    /// ```
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        let mut values = Vec::with_capacity(self.len());
        values.extend(self);
        values
    }
}

impl<T> From<Arena> for TypedArena<T> {
    /// An arena of values whose blocks come from this arena, for instance one with a budget. A reset
    /// of the arena of values also frees what was allocated from this arena before.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::{Arena, TypedArena};
    /// use aegis_memory::budget::MemoryBudget;
    ///
    /// let budget = MemoryBudget::new("names", 1024 * 1024);
    /// let names = TypedArena::from(Arena::builder().budget(&budget).build()?);
    /// names.alloc(String::from("charged with its block"));
    /// assert!(budget.used() > 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    fn from(arena: Arena) -> Self {
        // SAFETY: the chunks are used for values of this type only.
        let chunks = unsafe { Chunks::new(arena, drop_all::<T>) };
        Self { chunks, _values: PhantomData }
    }
}

impl<T> Default for TypedArena<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Extend<T> for TypedArena<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.alloc_extend(items);
    }
}

impl<T> FromIterator<T> for TypedArena<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let arena = Self::new();
        arena.alloc_extend(items);
        arena
    }
}

impl<T> IntoIterator for TypedArena<T> {
    type Item = T;
    type IntoIter = TypedIntoIter<T>;

    fn into_iter(self) -> TypedIntoIter<T> {
        let (first, len) = self.chunks.take_all();
        let chunks = ManuallyDrop::new(self.chunks);
        // SAFETY: the chunks are not used or dropped afterwards.
        let memory = unsafe { ptr::read(&chunks.arena) };
        // SAFETY: all chunks of the list, which nothing else uses any more.
        unsafe { TypedIntoIter::new(first, len, memory) }
    }
}

impl<'a, T> IntoIterator for &'a mut TypedArena<T> {
    type Item = &'a mut T;
    type IntoIter = TypedIterMut<'a, T>;

    fn into_iter(self) -> TypedIterMut<'a, T> {
        self.iter_mut()
    }
}

impl<T> fmt::Debug for TypedArena<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedArena").field("len", &self.len()).finish_non_exhaustive()
    }
}
