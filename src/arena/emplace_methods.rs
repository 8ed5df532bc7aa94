// SPDX-License-Identifier: Apache-2.0
//! The public methods that build values and slices with closures and iterators that may fail, for
//! every form of arena: see `methods.rs`.

/// Writes the methods. The arguments are those of `allocation_forms`.
macro_rules! emplacing_forms {
    ({$($generics:tt)*} $arena:ty, $out:lifetime) => {
        impl $($generics)* $arena {
            /// Moves the value that `f` returns, of a type without [drop
            /// glue](crate::arena#drop-glue), into the arena, or returns the error of `f`. The
            /// arena gets the room of the value back then, if nothing else was allocated from it
            /// since. What `f` itself has allocated stays. A `LockFreeArena` keeps room that it had
            /// to acquire for this value alone until its reset.
            ///
            /// The compiler builds the value in place where it can: with optimisation, if it
            /// inlines `f`.
            ///
            /// # Errors
            ///
            /// What `f` returns.
            ///
            /// # Panics
            ///
            /// When the arena has no room: see [`try_alloc_try_with`](Self::try_alloc_try_with).
            /// When `f` panics; the arena gets the room back as after an error.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let parse = |text: &str| arena.alloc_try_with(|| text.parse::<u64>()).copied();
            /// assert_eq!(parse("12"), Ok(12));
            /// assert!(parse("x").is_err());
            /// assert_eq!(arena.used(), 8);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_try_with<T, E>(
                &self,
                f: impl FnOnce() -> Result<T, E>,
            ) -> Result<&$out mut T, E> {
                let () = NoDrop::<T>::CHECK;
                expect_alloc(self.try_alloc_try_with(f))
            }

            /// Moves the value that `f` returns, of a type without [drop
            /// glue](crate::arena#drop-glue), into the arena.
            ///
            /// # Errors
            ///
            /// [`AllocOrInitError::Alloc`](crate::AllocOrInitError::Alloc) as
            /// [`try_alloc`](Self::try_alloc), and
            /// [`AllocOrInitError::Init`](crate::AllocOrInitError::Init) with the error of `f`. `f`
            /// is not called if there is no room.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(*arena.try_alloc_try_with(|| "12".parse::<u64>())?, 12);
            /// # Ok::<(), aegis_memory::AllocOrInitError<std::num::ParseIntError>>(())
            /// ```
            #[inline]
            pub fn try_alloc_try_with<T, E>(
                &self,
                f: impl FnOnce() -> Result<T, E>,
            ) -> Result<&$out mut T, AllocOrInitError<E>> {
                let () = NoDrop::<T>::CHECK;
                let mut p = emplace::try_place(self, f)?;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { p.as_mut() })
            }

            /// Allocates a slice of `len` elements without [drop glue](crate::arena#drop-glue).
            /// Element `i` is what `f(i)` returns. At the first error the arena gets the room of
            /// the slice back, if nothing else was allocated from it since.
            ///
            /// # Errors
            ///
            /// The first error of `f`.
            ///
            /// # Panics
            ///
            /// When the arena has no room: see
            /// [`try_alloc_slice_try_fill_with`](Self::try_alloc_slice_try_fill_with). When `f`
            /// panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let texts = ["1", "2", "x", "4"];
            /// let parsed = arena.alloc_slice_try_fill_with(2, |i| texts[i].parse::<u32>());
            /// assert_eq!(parsed.expect("numbers"), [1, 2]);
            /// assert!(arena.alloc_slice_try_fill_with(4, |i| texts[i].parse::<u32>()).is_err());
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_slice_try_fill_with<T, E>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> Result<T, E>,
            ) -> Result<&$out mut [T], E> {
                let () = NoDrop::<T>::CHECK;
                expect_alloc(self.try_alloc_slice_try_fill_with(len, f))
            }

            /// Allocates a slice of `len` elements without [drop glue](crate::arena#drop-glue).
            /// Element `i` is what `f(i)` returns.
            ///
            /// # Errors
            ///
            /// [`AllocOrInitError::Alloc`](crate::AllocOrInitError::Alloc) as
            /// [`try_alloc`](Self::try_alloc), and
            /// [`AllocOrInitError::Init`](crate::AllocOrInitError::Init) with the first error of
            /// `f`. `f` is not called if there is no room.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let checked = |i: usize| u8::try_from(100 * i);
            /// assert_eq!(arena.try_alloc_slice_try_fill_with(3, checked)?, [0, 100, 200]);
            /// assert!(arena.try_alloc_slice_try_fill_with(4, checked).is_err());
            /// # Ok::<(), aegis_memory::AllocOrInitError<std::num::TryFromIntError>>(())
            /// ```
            #[inline]
            pub fn try_alloc_slice_try_fill_with<T, E>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> Result<T, E>,
            ) -> Result<&$out mut [T], AllocOrInitError<E>> {
                let () = NoDrop::<T>::CHECK;
                let mut p = emplace::try_fill_with(self, len, f)?;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { p.as_mut() })
            }

            /// Collects the values of an iterator of results, without [drop
            /// glue](crate::arena#drop-glue), into a slice. At the first error it stops, and the
            /// arena gets the room of the slice back, as far as nothing else was allocated from it
            /// since. [`alloc_slice_from_iter`](Self::alloc_slice_from_iter) says what it costs.
            ///
            /// # Errors
            ///
            /// The first error of the iterator.
            ///
            /// # Panics
            ///
            /// When the arena has no room: see
            /// [`try_alloc_slice_try_from_iter`](Self::try_alloc_slice_try_from_iter). When the
            /// iterator panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let sum = |text: &str| -> Result<u32, std::num::ParseIntError> {
            ///     let numbers = text.split(' ').map(str::parse);
            ///     Ok(arena.alloc_slice_try_from_iter(numbers)?.iter().sum())
            /// };
            /// assert_eq!(sum("1 2 3"), Ok(6));
            /// assert!(sum("1 x 3").is_err());
            /// ```
            #[track_caller]
            pub fn alloc_slice_try_from_iter<T, E>(
                &self,
                iter: impl IntoIterator<Item = Result<T, E>>,
            ) -> Result<&$out mut [T], E> {
                let () = NoDrop::<T>::CHECK;
                expect_alloc(self.try_alloc_slice_try_from_iter(iter))
            }

            /// Collects the values of an iterator of results, without [drop
            /// glue](crate::arena#drop-glue), into a slice.
            ///
            /// # Errors
            ///
            /// [`AllocOrInitError::Alloc`](crate::AllocOrInitError::Alloc) as
            /// [`try_alloc`](Self::try_alloc), and
            /// [`AllocOrInitError::Init`](crate::AllocOrInitError::Init) with the first error of
            /// the iterator, which is not asked for more items.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let numbers = "1 2".split(' ').map(str::parse::<u8>);
            /// assert_eq!(arena.try_alloc_slice_try_from_iter(numbers)?, [1, 2]);
            /// # Ok::<(), aegis_memory::AllocOrInitError<std::num::ParseIntError>>(())
            /// ```
            pub fn try_alloc_slice_try_from_iter<T, E>(
                &self,
                iter: impl IntoIterator<Item = Result<T, E>>,
            ) -> Result<&$out mut [T], AllocOrInitError<E>> {
                let () = NoDrop::<T>::CHECK;
                let mut p = gather::try_collect(self, iter)?;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                Ok(unsafe { p.as_mut() })
            }
        }
    };
}

pub(super) use emplacing_forms;
