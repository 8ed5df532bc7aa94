// SPDX-License-Identifier: Apache-2.0
//! The public methods that allocate, written once for every form of arena. A form itself has only
//! the five functions of [`Allocate`](super::forms::Allocate).
//!
//! The file is longer than 500 lines, because each method has an example.

/// Writes the public methods that allocate for an arena that implements `Allocate`. The arguments
/// are its generics, its type, and the lifetime of the references that the methods return. During
/// this lifetime the owner of the memory cannot be reset, cleared or dropped. `'_` is the lifetime
/// of `&self`.
macro_rules! allocation_forms {
    ({$($generics:tt)*} $arena:ty, $out:lifetime) => {
        $crate::arena::emplace_methods::emplacing_forms!({$($generics)*} $arena, $out);
        $crate::arena::box_methods::boxing_forms!({$($generics)*} $arena, $out);

        impl $($generics)* $arena {
            /// Allocates `size` zeroed bytes. Memory that comes zeroed from the source is not
            /// cleared again.
            ///
            /// # Panics
            ///
            /// When [`try_alloc`](Self::try_alloc) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.alloc(3), [0, 0, 0]);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc(&self, size: usize) -> &$out mut [u8] {
                expect(self.try_alloc(size))
            }

            /// Allocates `size` zeroed bytes.
            ///
            /// # Errors
            ///
            /// [`AllocError`] when the arena can get no block, or when the size is above
            /// `isize::MAX`. The `try_` forms below fail for the same reasons.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// arena.try_alloc(3)?.fill(7);
            /// assert!(arena.try_alloc(usize::MAX).is_err());
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc(
                &self,
                size: usize,
            ) -> Result<&$out mut [u8], AllocError> {
                // SAFETY: new zeroed memory that is valid for the lifetime.
                forms::zeroed(self, size, ALIGN).map(|mut p| unsafe { p.as_mut() })
            }

            /// Allocates `size` bytes without initialising them.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_uninit`](Self::try_alloc_uninit) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let bytes = arena.alloc_uninit(2);
            /// assert_eq!(bytes[0].write(7), &7);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_uninit(
                &self,
                size: usize,
            ) -> &$out mut [MaybeUninit<u8>] {
                expect(self.try_alloc_uninit(size))
            }

            /// Allocates `size` bytes without initialising them.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_uninit(2)?.len(), 2);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_uninit(
                &self,
                size: usize,
            ) -> Result<&$out mut [MaybeUninit<u8>], AllocError> {
                self.try_alloc_slice_uninit(size)
            }

            /// Allocates `size` zeroed bytes at a multiple of `align`, a power of two.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_aligned`](Self::try_alloc_aligned) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let line = arena.alloc_aligned(100, 64);
            /// assert_eq!(line.as_ptr() as usize % 64, 0);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_aligned(
                &self,
                size: usize,
                align: usize,
            ) -> &$out mut [u8] {
                expect(self.try_alloc_aligned(size, align))
            }

            /// Allocates `size` zeroed bytes at a multiple of `align`, a power of two.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc), and [`AllocError::InvalidLayout`] when `align` is
            /// not a power of two.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_aligned(100, 64)?, [0; 100]);
            /// assert!(arena.try_alloc_aligned(100, 3).is_err(), "3 is no power of two");
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_aligned(
                &self,
                size: usize,
                align: usize,
            ) -> Result<&$out mut [u8], AllocError> {
                // SAFETY: new zeroed memory that is valid for the lifetime.
                forms::zeroed(self, size, align).map(|mut p| unsafe { p.as_mut() })
            }

            /// Allocates uninitialised memory of a layout. The memory is valid until its owner is
            /// reset, cleared or dropped, or until the scope that it was allocated in ends.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_layout`](Self::try_alloc_layout) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let place = arena.alloc_layout(std::alloc::Layout::new::<u64>()).cast::<u64>();
            /// // SAFETY: new memory of this layout.
            /// unsafe { place.as_ptr().write(7) };
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_layout(&self, layout: Layout) -> NonNull<u8> {
                expect(self.try_alloc_layout(layout))
            }

            /// Allocates uninitialised memory of a layout.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let place = arena.try_alloc_layout(std::alloc::Layout::new::<[u64; 4]>())?;
            /// assert_eq!(place.as_ptr() as usize % 8, 0);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
                self.take(layout)
            }

            /// Moves a value into the arena. The value is never dropped, so a type with drop glue
            /// is refused by `cargo build`, and not by `cargo check`: see
            /// [drop glue](crate::arena#drop-glue).
            ///
            /// # Panics
            ///
            /// When [`try_alloc_value`](Self::try_alloc_value) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let point = arena.alloc_value((1, 2));
            /// point.0 = 3;
            /// assert_eq!(*point, (3, 2));
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_value<T>(&self, value: T) -> &$out mut T {
                let () = NoDrop::<T>::CHECK;
                expect(self.try_alloc_value(value))
            }

            /// Moves a value without [drop glue](crate::arena#drop-glue) into the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(*arena.try_alloc_value(7)?, 7);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_value<T>(
                &self,
                value: T,
            ) -> Result<&$out mut T, AllocError> {
                let () = NoDrop::<T>::CHECK;
                self.try_alloc_with(|| value)
            }

            /// Moves the result of `f`, a type without [drop glue](crate::arena#drop-glue), into the
            /// arena. The compiler builds the result in place where it can. `f` may allocate from
            /// the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_with`](Self::try_alloc_with) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let table = arena.alloc_with(|| [0_u8; 4096]);
            /// table[17] = 1;
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_with<T>(&self, f: impl FnOnce() -> T) -> &$out mut T {
                let () = NoDrop::<T>::CHECK;
                expect(self.try_alloc_with(f))
            }

            /// Moves the result of `f`, a type without [drop glue](crate::arena#drop-glue), into the
            /// arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). `f` is not called then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_with(|| [7_u8; 4096])?[17], 7);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_with<T>(
                &self,
                f: impl FnOnce() -> T,
            ) -> Result<&$out mut T, AllocError> {
                let () = NoDrop::<T>::CHECK;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                forms::place(self, f).map(|mut p| unsafe { p.as_mut() })
            }

            /// Moves a value into the arena. The returned handle drops the value.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_boxed`](Self::try_alloc_boxed) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let mut words = arena.alloc_boxed(vec!["dropped", "with"]);
            /// words.extend(["its", "handle"]);
            /// assert_eq!(words.len(), 4);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_boxed<T>(&self, value: T) -> ArenaBox<$out, T> {
                expect(self.try_alloc_boxed(value))
            }

            /// Moves a value into the arena. The returned handle drops the value.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). The value is dropped then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_boxed(vec![1, 2])?.len(), 2);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_boxed<T>(
                &self,
                value: T,
            ) -> Result<ArenaBox<$out, T>, AllocError> {
                // SAFETY: placed just now in memory that is valid for the lifetime.
                forms::place(self, || value).map(|p| unsafe { ArenaBox::from_raw(p) })
            }

            /// Copies a slice into the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_copy`](Self::try_alloc_slice_copy) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.alloc_slice_copy(&[1, 2, 3]), [1, 2, 3]);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_slice_copy<T: Copy>(
                &self,
                source: &[T],
            ) -> &$out mut [T] {
                expect(self.try_alloc_slice_copy(source))
            }

            /// Copies a slice into the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_slice_copy(&[1, 2, 3])?, [1, 2, 3]);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_slice_copy<T: Copy>(
                &self,
                source: &[T],
            ) -> Result<&$out mut [T], AllocError> {
                // SAFETY: placed just now in memory that is valid for the lifetime.
                forms::copy(self, source).map(|mut p| unsafe { p.as_mut() })
            }

            /// Clones a slice of a type without [drop glue](crate::arena#drop-glue) into the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_clone`](Self::try_alloc_slice_clone) fails, or a clone panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let ranges = [0..3, 5..9]; // of a type that is not `Copy`
            /// assert_eq!(arena.alloc_slice_clone(&ranges), [0..3, 5..9]);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_slice_clone<T: Clone>(
                &self,
                source: &[T],
            ) -> &$out mut [T] {
                let () = NoDrop::<T>::CHECK;
                expect(self.try_alloc_slice_clone(source))
            }

            /// Clones a slice of a type without [drop glue](crate::arena#drop-glue) into the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). Nothing is cloned then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_slice_clone(&[0..3])?, [0..3]);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_slice_clone<T: Clone>(
                &self,
                source: &[T],
            ) -> Result<&$out mut [T], AllocError> {
                let () = NoDrop::<T>::CHECK;
                // SAFETY: every index that the element is asked for is below `source.len()`.
                let element = |i| unsafe { source.get_unchecked(i) };
                self.try_alloc_slice_fill_with(source.len(), |i| element(i).clone())
            }

            /// Allocates a slice of `len` clones of a value without
            /// [drop glue](crate::arena#drop-glue).
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_fill`](Self::try_alloc_slice_fill) fails, or a clone panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.alloc_slice_fill(3, 'a'), ['a', 'a', 'a']);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_slice_fill<T: Clone>(
                &self,
                len: usize,
                value: T,
            ) -> &$out mut [T] {
                let () = NoDrop::<T>::CHECK;
                expect(self.try_alloc_slice_fill(len, value))
            }

            /// Allocates a slice of `len` clones of a value without
            /// [drop glue](crate::arena#drop-glue).
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). Nothing is cloned then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_slice_fill(2, 'a')?, ['a', 'a']);
            /// assert!(arena.try_alloc_slice_fill(usize::MAX, 'a').is_err());
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_slice_fill<T: Clone>(
                &self,
                len: usize,
                value: T,
            ) -> Result<&$out mut [T], AllocError> {
                let () = NoDrop::<T>::CHECK;
                self.try_alloc_slice_fill_with(len, |_| value.clone())
            }

            /// Allocates a slice of `len` elements without [drop glue](crate::arena#drop-glue).
            /// Element `i` is the result of `f(i)`.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_fill_with`](Self::try_alloc_slice_fill_with) fails, or `f`
            /// panics.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.alloc_slice_fill_with(4, |i| i * i), [0, 1, 4, 9]);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_slice_fill_with<T>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> T,
            ) -> &$out mut [T] {
                let () = NoDrop::<T>::CHECK;
                expect(self.try_alloc_slice_fill_with(len, f))
            }

            /// Allocates a slice of `len` elements without [drop glue](crate::arena#drop-glue).
            /// Element `i` is the result of `f(i)`. `f` may allocate from the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). `f` is not called then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_slice_fill_with(4, |i| i * i)?, [0, 1, 4, 9]);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_slice_fill_with<T>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> T,
            ) -> Result<&$out mut [T], AllocError> {
                let () = NoDrop::<T>::CHECK;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                forms::fill_with(self, len, f).map(|mut p| unsafe { p.as_mut() })
            }

            /// Collects an iterator of items without [drop glue](crate::arena#drop-glue) into a
            /// slice.
            ///
            /// The iterator may allocate from the arena. What the slice costs depends on its
            /// `size_hint`:
            ///
            /// - If the number of items is known (both bounds are equal), the slice is allocated
            ///   once, before the first item, and never moves.
            /// - Otherwise the first 512 bytes are gathered on the stack. A slice that ends there
            ///   takes its exact room, after the last item.
            /// - A larger slice grows in place as long as it is the latest allocation. It takes
            ///   its exact room too, unless it outgrows its block.
            /// - If the iterator allocates from the same arena, or the block ends, the items that
            ///   follow go into further pieces. At the end all pieces are copied into one slice.
            ///   They stay used until the reset, so a slice of `n` bytes takes about `2 * n` bytes,
            ///   at most `2.25 * n` and 1 KiB.
            ///
            /// So an iterator that allocates from the arena is cheap if its slice has at most 512
            /// bytes or if its bounds are equal, as those of ranges and slices are. Where you can
            /// count the items first, [`alloc_slice_fill_with`](Self::alloc_slice_fill_with)
            /// allocates the slice once.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_from_iter`](Self::try_alloc_slice_from_iter) fails, or the
            /// iterator panics.
            ///
            /// # Examples
            ///
            /// The methods that allocate return `&mut`. Where the items are `&`, write `&*`:
            ///
            /// ```
            /// let arena = aegis_memory::arena::Arena::default();
            /// let words = "a b c".split(' ').map(|word| &*arena.alloc_str(word));
            /// let words: &[&str] = arena.alloc_slice_from_iter(words);
            /// assert_eq!(words, ["a", "b", "c"]);
            /// ```
            #[track_caller]
            pub fn alloc_slice_from_iter<T>(
                &self,
                iter: impl IntoIterator<Item = T>,
            ) -> &$out mut [T] {
                let () = NoDrop::<T>::CHECK;
                expect(self.try_alloc_slice_from_iter(iter))
            }

            /// Collects an iterator of items without [drop glue](crate::arena#drop-glue) into a
            /// slice. [`alloc_slice_from_iter`](Self::alloc_slice_from_iter) says what it costs.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). The iterator may be partly consumed then, or
            /// completely.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let odd = (0..10).filter(|i| i % 2 == 1);
            /// assert_eq!(arena.try_alloc_slice_from_iter(odd)?, [1, 3, 5, 7, 9]);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_alloc_slice_from_iter<T>(
                &self,
                iter: impl IntoIterator<Item = T>,
            ) -> Result<&$out mut [T], AllocError> {
                let () = NoDrop::<T>::CHECK;
                // SAFETY: placed just now in memory that is valid for the lifetime.
                gather::collect(self, iter).map(|mut p| unsafe { p.as_mut() })
            }

            /// Allocates a slice of `len` elements without initialising them.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_uninit`](Self::try_alloc_slice_uninit) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let numbers = arena.alloc_slice_uninit::<u32>(2);
            /// assert_eq!(numbers[1].write(7), &7);
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_slice_uninit<T>(
                &self,
                len: usize,
            ) -> &$out mut [MaybeUninit<T>] {
                expect(self.try_alloc_slice_uninit(len))
            }

            /// Allocates a slice of `len` elements without initialising them.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_slice_uninit::<u32>(2)?.len(), 2);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_slice_uninit<T>(
                &self,
                len: usize,
            ) -> Result<&$out mut [MaybeUninit<T>], AllocError> {
                let p = forms::array::<_, MaybeUninit<T>>(self, len)?;
                // SAFETY: new room for `len` elements, which need not be initialised, in memory
                // that is valid for the lifetime.
                Ok(unsafe { slice::from_raw_parts_mut(p.as_ptr(), len) })
            }

            /// Copies a string into the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_str`](Self::try_alloc_str) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let name = arena.alloc_str("arena");
            /// name.make_ascii_uppercase();
            /// assert_eq!(name, "ARENA");
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_str(&self, text: &str) -> &$out mut str {
                expect(self.try_alloc_str(text))
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
            /// assert_eq!(arena.try_alloc_str("arena")?, "arena");
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_str(
                &self,
                text: &str,
            ) -> Result<&$out mut str, AllocError> {
                let bytes = self.try_alloc_slice_copy(text.as_bytes())?;
                // SAFETY: the bytes are a copy of a `str`.
                Ok(unsafe { str::from_utf8_unchecked_mut(bytes) })
            }

            /// Formats a text into the arena. The room that it takes is that of a slice of bytes from
            /// [`alloc_slice_from_iter`](Self::alloc_slice_from_iter).
            ///
            /// # Panics
            ///
            /// When [`try_alloc_fmt`](Self::try_alloc_fmt) fails, or a `Display` in `text` returns
            /// an error.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.alloc_fmt(format_args!("{} + {}", 1, 2)), "1 + 2");
            /// ```
            #[track_caller]
            pub fn alloc_fmt(&self, text: fmt::Arguments<'_>) -> &$out mut str {
                expect(self.try_alloc_fmt(text))
            }

            /// Formats a text into the arena. A `Display` in `text` may allocate from the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Panics
            ///
            /// When a `Display` in `text` returns an error that is not a failed allocation of this
            /// arena.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(arena.try_alloc_fmt(format_args!("{} + {}", 1, 2))?, "1 + 2");
            ///
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            pub fn try_alloc_fmt(
                &self,
                text: fmt::Arguments<'_>,
            ) -> Result<&$out mut str, AllocError> {
                let mut bytes = gather::format(self, text)?;
                // SAFETY: the bytes are whole strings, placed just now in memory that is valid for
                // the lifetime.
                Ok(unsafe { str::from_utf8_unchecked_mut(bytes.as_mut()) })
            }
        }
    };
}

pub(super) use allocation_forms;
