// SPDX-License-Identifier: Apache-2.0
//! The public methods that make boxes, other than `alloc_boxed`, for every form of arena: see
//! `methods.rs`.
//!
//! The file is longer than 500 lines, because each method has an example.

/// Writes the methods. The arguments are those of `allocation_forms`.
macro_rules! boxing_forms {
    ({$($generics:tt)*} $arena:ty, $out:lifetime) => {
        impl $($generics)* $arena {
            /// Moves the result of `f` into the arena. The compiler builds it in place where it
            /// can. The returned handle drops the value.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_boxed_with`](Self::try_alloc_boxed_with) fails, or `f` panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let words = arena.alloc_boxed_with(|| vec!["dropped", "with", "its", "handle"]);
            /// assert_eq!(words.len(), 4);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_boxed_with<T>(
                &self,
                f: impl FnOnce() -> T,
            ) -> ArenaBox<$out, T> {
                expect(self.try_alloc_boxed_with(f))
            }

            /// Moves the result of `f` into the arena. The returned handle drops the value.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). `f` is not called then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_boxed_with(|| vec![1, 2])?.len(), 2);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_boxed_with<T>(
                &self,
                f: impl FnOnce() -> T,
            ) -> Result<ArenaBox<$out, T>, AllocError> {
                let p = forms::place(self, f)?;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { ArenaBox::from_raw(p) })
            }

            /// Moves the value that `f` returns into the arena, or returns the error of `f`, as
            /// [`alloc_try_with`](Self::alloc_try_with) does. The returned handle drops the value.
            ///
            /// # Errors
            ///
            /// What `f` returns.
            ///
            /// # Panics
            ///
            /// When the arena has no room, or `f` panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let text = arena.alloc_boxed_try_with(|| String::from_utf8(vec![b'a', b'b']));
            /// assert_eq!(*text.expect("it is UTF-8"), "ab");
            /// assert!(arena.alloc_boxed_try_with(|| String::from_utf8(vec![0xFF])).is_err());
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_boxed_try_with<T, E>(
                &self,
                f: impl FnOnce() -> Result<T, E>,
            ) -> Result<ArenaBox<$out, T>, E> {
                expect_alloc(self.try_alloc_boxed_try_with(f))
            }

            /// Moves the value that `f` returns into the arena. The returned handle drops the
            /// value.
            ///
            /// # Errors
            ///
            /// As [`try_alloc_try_with`](Self::try_alloc_try_with).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let text = arena.try_alloc_boxed_try_with(|| String::from_utf8(vec![0xFF]));
            /// assert!(matches!(text, Err(aegis_memory::AllocOrInitError::Init(_))));
            /// ```
            #[inline]
            pub fn try_alloc_boxed_try_with<T, E>(
                &self,
                f: impl FnOnce() -> Result<T, E>,
            ) -> Result<ArenaBox<$out, T>, AllocOrInitError<E>> {
                let p = emplace::try_place(self, f)?;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { ArenaBox::from_raw(p) })
            }

            /// Allocates a place for a value that is written later, by
            /// [`ArenaBox::write`](crate::arena::ArenaBox::write) or, in place whatever the
            /// compiler does, by pointers and
            /// [`ArenaBox::assume_init`](crate::arena::ArenaBox::assume_init).
            ///
            /// # Panics
            ///
            /// When [`try_alloc_boxed_uninit`](Self::try_alloc_boxed_uninit) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let place = arena.alloc_boxed_uninit::<String>();
            /// let text = aegis_memory::arena::ArenaBox::write(place, String::from("later"));
            /// assert_eq!(*text, "later");
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_boxed_uninit<T>(
                &self,
            ) -> ArenaBox<$out, MaybeUninit<T>> {
                expect(self.try_alloc_boxed_uninit())
            }

            /// Allocates a place for a value that is written later.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// use aegis_memory::arena::ArenaBox;
            /// let place = arena.try_alloc_boxed_uninit()?;
            /// assert_eq!(*ArenaBox::write(place, String::from("later")), "later");
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_boxed_uninit<T>(
                &self,
            ) -> Result<ArenaBox<$out, MaybeUninit<T>>, AllocError> {
                let p = self.take(Layout::new::<T>())?.cast();
                // SAFETY: new room for a `T`, which need not be initialised, in memory that is valid
                // for the lifetime.
                Ok(unsafe { ArenaBox::from_raw(p) })
            }

            /// Copies a string into the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_boxed_str`](Self::try_alloc_boxed_str) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let mut name = arena.alloc_boxed_str("a name");
            /// name.make_ascii_uppercase();
            /// assert_eq!(&*name, "A NAME");
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_boxed_str(
                &self,
                text: &str,
            ) -> ArenaBox<$out, str> {
                expect(self.try_alloc_boxed_str(text))
            }

            /// Copies a string into the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(&*arena.try_alloc_boxed_str("a name")?, "a name");
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_boxed_str(
                &self,
                text: &str,
            ) -> Result<ArenaBox<$out, str>, AllocError> {
                let text = NonNull::from(self.try_alloc_str(text)?);
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { ArenaBox::from_raw(text) })
            }

            /// Clones a slice into the arena. The returned handle drops the clones. If a clone
            /// panics, those before it are dropped.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_boxed_slice_clone`](Self::try_alloc_boxed_slice_clone) fails, or a
            /// clone panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let words = [String::from("a"), String::from("b")];
            /// assert_eq!(*arena.alloc_boxed_slice_clone(&words), words);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_boxed_slice_clone<T: Clone>(
                &self,
                source: &[T],
            ) -> ArenaBox<$out, [T]> {
                expect(self.try_alloc_boxed_slice_clone(source))
            }

            /// Clones a slice into the arena. The returned handle drops the clones.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). Nothing is cloned then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let words = [String::from("a")];
            /// assert_eq!(*arena.try_alloc_boxed_slice_clone(&words)?, words);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_boxed_slice_clone<T: Clone>(
                &self,
                source: &[T],
            ) -> Result<ArenaBox<$out, [T]>, AllocError> {
                self.try_alloc_boxed_slice_fill_with(source.len(), |i| {
                    // SAFETY: every index that the element is asked for is below `source.len()`.
                    unsafe { source.get_unchecked(i) }.clone()
                })
            }

            /// Allocates a slice of `len` elements. Element `i` is the result of `f(i)`. The
            /// returned handle drops the elements. If `f` panics, those that it has made are
            /// dropped.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_boxed_slice_fill_with`](Self::try_alloc_boxed_slice_fill_with)
            /// fails, or `f` panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let lines = arena.alloc_boxed_slice_fill_with(3, |i| "-".repeat(i));
            /// assert_eq!(*lines, ["", "-", "--"]);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_boxed_slice_fill_with<T>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> T,
            ) -> ArenaBox<$out, [T]> {
                expect(self.try_alloc_boxed_slice_fill_with(len, f))
            }

            /// Allocates a slice of `len` elements. Element `i` is the result of `f(i)`. The
            /// returned handle drops the elements.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). `f` is not called then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let lines = arena.try_alloc_boxed_slice_fill_with(3, |i| "-".repeat(i))?;
            /// assert_eq!(*lines, ["", "-", "--"]);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_boxed_slice_fill_with<T>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> T,
            ) -> Result<ArenaBox<$out, [T]>, AllocError> {
                let p = emplace::fill_with(self, len, f)?;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { ArenaBox::from_raw(p) })
            }

            /// As [`alloc_boxed_slice_fill_with`](Self::alloc_boxed_slice_fill_with), up to the
            /// first error of `f`. Then the elements that it has made are dropped, and the arena
            /// gets the room back, if nothing else was allocated from it since.
            ///
            /// # Errors
            ///
            /// The first error of `f`.
            ///
            /// # Panics
            ///
            /// When the arena has no room, or `f` panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let parts = [vec![b'a'], vec![0xFF]];
            /// let text = |i| String::from_utf8(Vec::clone(&parts[i]));
            /// let texts = arena.alloc_boxed_slice_try_fill_with(2, text);
            /// assert!(texts.is_err());
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_boxed_slice_try_fill_with<T, E>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> Result<T, E>,
            ) -> Result<ArenaBox<$out, [T]>, E> {
                expect_alloc(self.try_alloc_boxed_slice_try_fill_with(len, f))
            }

            /// Allocates a slice of `len` elements. Element `i` is what `f(i)` returns. The
            /// returned handle drops the elements.
            ///
            /// # Errors
            ///
            /// As [`try_alloc_slice_try_fill_with`](Self::try_alloc_slice_try_fill_with). The
            /// elements that `f` has made are dropped then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let text = |byte| String::from_utf8(vec![b'a' + byte as u8]);
            /// assert_eq!(*arena.try_alloc_boxed_slice_try_fill_with(2, text)?, ["a", "b"]);
            /// # Ok::<(), aegis_memory::AllocOrInitError<std::string::FromUtf8Error>>(())
            /// ```
            #[inline]
            pub fn try_alloc_boxed_slice_try_fill_with<T, E>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> Result<T, E>,
            ) -> Result<ArenaBox<$out, [T]>, AllocOrInitError<E>> {
                let p = emplace::try_fill_with(self, len, f)?;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { ArenaBox::from_raw(p) })
            }

            /// Collects an iterator into a slice. The returned handle drops the items.
            /// [`alloc_slice_from_iter`](Self::alloc_slice_from_iter) says what it costs.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_boxed_slice_from_iter`](Self::try_alloc_boxed_slice_from_iter)
            /// fails, or the iterator panics. The items that it gave are dropped then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let words = arena.alloc_boxed_slice_from_iter("a b c".split(' ').map(String::from));
            /// assert_eq!(words.join(""), "abc");
            /// ```
            #[track_caller]
            pub fn alloc_boxed_slice_from_iter<T>(
                &self,
                iter: impl IntoIterator<Item = T>,
            ) -> ArenaBox<$out, [T]> {
                expect(self.try_alloc_boxed_slice_from_iter(iter))
            }

            /// Collects an iterator into a slice. The returned handle drops the items.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). The iterator may be partly consumed then, or
            /// completely, and the items that it gave are dropped.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let words = "a b".split(' ').map(String::from);
            /// assert_eq!(*arena.try_alloc_boxed_slice_from_iter(words)?, ["a", "b"]);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_alloc_boxed_slice_from_iter<T>(
                &self,
                iter: impl IntoIterator<Item = T>,
            ) -> Result<ArenaBox<$out, [T]>, AllocError> {
                let p = gather::collect(self, iter)?;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { ArenaBox::from_raw(p) })
            }

            /// As [`alloc_boxed_slice_from_iter`](Self::alloc_boxed_slice_from_iter), up to the
            /// first error of the iterator. Then the items that it gave are dropped, and the arena
            /// gets the room back, as far as nothing else was allocated from it since.
            ///
            /// # Errors
            ///
            /// The first error of the iterator.
            ///
            /// # Panics
            ///
            /// When the arena has no room, or the iterator panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let lines = std::io::BufRead::lines(&b"one\ntwo"[..]);
            /// let lines = arena.alloc_boxed_slice_try_from_iter(lines)?;
            /// assert_eq!(*lines, ["one", "two"]);
            /// # Ok::<(), std::io::Error>(())
            /// ```
            #[track_caller]
            pub fn alloc_boxed_slice_try_from_iter<T, E>(
                &self,
                iter: impl IntoIterator<Item = Result<T, E>>,
            ) -> Result<ArenaBox<$out, [T]>, E> {
                expect_alloc(self.try_alloc_boxed_slice_try_from_iter(iter))
            }

            /// Collects the values of an iterator of results into a slice. The returned handle
            /// drops the values.
            ///
            /// # Errors
            ///
            /// As [`try_alloc_slice_try_from_iter`](Self::try_alloc_slice_try_from_iter). The
            /// values that the iterator gave are dropped then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let lines = std::io::BufRead::lines(&b"one\ntwo"[..]);
            /// assert_eq!(*arena.try_alloc_boxed_slice_try_from_iter(lines)?, ["one", "two"]);
            /// # Ok::<(), aegis_memory::AllocOrInitError<std::io::Error>>(())
            /// ```
            pub fn try_alloc_boxed_slice_try_from_iter<T, E>(
                &self,
                iter: impl IntoIterator<Item = Result<T, E>>,
            ) -> Result<ArenaBox<$out, [T]>, AllocOrInitError<E>> {
                let p = gather::try_collect(self, iter)?;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { ArenaBox::from_raw(p) })
            }

            /// Allocates places for `len` elements that are written later. Then
            /// [`ArenaBox::assume_init_slice`](crate::arena::ArenaBox::assume_init_slice) makes a
            /// box of them.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_boxed_slice_uninit`](Self::try_alloc_boxed_slice_uninit) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let mut places = arena.alloc_boxed_slice_uninit::<String>(1);
            /// places[0].write(String::from("later"));
            /// // SAFETY: the only element was written above.
            /// let words = unsafe { aegis_memory::arena::ArenaBox::assume_init_slice(places) };
            /// assert_eq!(*words, ["later"]);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_boxed_slice_uninit<T>(
                &self,
                len: usize,
            ) -> ArenaBox<$out, [MaybeUninit<T>]> {
                expect(self.try_alloc_boxed_slice_uninit(len))
            }

            /// Allocates places for `len` elements that are written later.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_boxed_slice_uninit::<String>(2)?.len(), 2);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_boxed_slice_uninit<T>(
                &self,
                len: usize,
            ) -> Result<ArenaBox<$out, [MaybeUninit<T>]>, AllocError> {
                let places = NonNull::from(self.try_alloc_slice_uninit(len)?);
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { ArenaBox::from_raw(places) })
            }
        }
    };
}

pub(super) use boxing_forms;
