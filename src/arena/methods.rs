// SPDX-License-Identifier: Apache-2.0
//! The public methods that allocate, written once for every form of arena: all that one adds is the
//! four primitives of [`Allocate`](super::forms::Allocate).

/// Writes the public forms of an arena that implements [`Allocate`]: its generics, its type, and the
/// lifetime of what is handed out, which no reset, clear or drop of the memory's owner can cut short:
/// `'_` for that of `&self`.
macro_rules! allocation_forms {
    ({$($generics:tt)*} $arena:ty, $out:lifetime) => {
        impl $($generics)* $arena {
            /// Allocates `size` zeroed bytes. On memory fresh from the source nothing is cleared.
            ///
            /// # Panics
            ///
            /// When [`try_alloc`](Self::try_alloc) fails.
            #[inline]
            #[track_caller]
            pub fn alloc(&self, size: usize) -> &$out mut [u8] {
                expect(self.try_alloc(size))
            }

            /// Allocates `size` zeroed bytes.
            ///
            /// # Errors
            ///
            /// [`AllocError`]: no block can be had, or the size is above `isize::MAX`. The `try_`
            /// forms below fail for the same reasons.
            #[inline]
            pub fn try_alloc(
                &self,
                size: usize,
            ) -> Result<&$out mut [u8], AllocError> {
                // SAFETY: fresh memory, zeroed, that is valid for the lifetime.
                forms::zeroed(self, size, ALIGN).map(|mut p| unsafe { p.as_mut() })
            }

            /// Allocates `size` bytes without initialising them.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_uninit`](Self::try_alloc_uninit) fails.
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
            #[inline]
            pub fn try_alloc_aligned(
                &self,
                size: usize,
                align: usize,
            ) -> Result<&$out mut [u8], AllocError> {
                // SAFETY: fresh memory, zeroed, that is valid for the lifetime.
                forms::zeroed(self, size, align).map(|mut p| unsafe { p.as_mut() })
            }

            /// Allocates memory of a layout, uninitialised. It is good until the memory's owner is
            /// reset, cleared or dropped, or the scope that it came from ends.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_layout`](Self::try_alloc_layout) fails.
            #[inline]
            #[track_caller]
            pub fn alloc_layout(&self, layout: Layout) -> NonNull<u8> {
                expect(self.try_alloc_layout(layout))
            }

            /// Allocates memory of a layout, uninitialised.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            #[inline]
            pub fn try_alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
                self.take(layout)
            }

            /// Moves a value into the arena. It is never dropped, so a type with drop glue is
            /// refused when compiled.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_value`](Self::try_alloc_value) fails.
            #[inline]
            #[track_caller]
            pub fn alloc_value<T>(&self, value: T) -> &$out mut T {
                expect(self.try_alloc_value(value))
            }

            /// Moves a value without drop glue into the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            #[inline]
            pub fn try_alloc_value<T>(
                &self,
                value: T,
            ) -> Result<&$out mut T, AllocError> {
                self.try_alloc_with(|| value)
            }

            /// Moves the result of `f` into the arena, built in place where the compiler can. `f`
            /// may allocate from the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_with`](Self::try_alloc_with) fails.
            #[inline]
            #[track_caller]
            pub fn alloc_with<T>(&self, f: impl FnOnce() -> T) -> &$out mut T {
                expect(self.try_alloc_with(f))
            }

            /// Moves the result of `f`, a type without drop glue, into the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc); `f` is not called then.
            #[inline]
            pub fn try_alloc_with<T>(
                &self,
                f: impl FnOnce() -> T,
            ) -> Result<&$out mut T, AllocError> {
                let () = NoDrop::<T>::CHECK;
                // SAFETY: freshly placed in memory that is valid for the lifetime.
                forms::place(self, f).map(|mut p| unsafe { p.as_mut() })
            }

            /// Moves a value into the arena; the returned handle drops it.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_boxed`](Self::try_alloc_boxed) fails.
            #[inline]
            #[track_caller]
            pub fn alloc_boxed<T>(&self, value: T) -> ArenaBox<$out, T> {
                expect(self.try_alloc_boxed(value))
            }

            /// Moves a value into the arena; the returned handle drops it.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc); the value is dropped then.
            #[inline]
            pub fn try_alloc_boxed<T>(
                &self,
                value: T,
            ) -> Result<ArenaBox<$out, T>, AllocError> {
                // SAFETY: freshly placed in memory that is valid for the lifetime.
                forms::place(self, || value).map(|p| unsafe { ArenaBox::from_raw(p) })
            }

            /// Copies a slice into the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_copy`](Self::try_alloc_slice_copy) fails.
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
            #[inline]
            pub fn try_alloc_slice_copy<T: Copy>(
                &self,
                source: &[T],
            ) -> Result<&$out mut [T], AllocError> {
                // SAFETY: freshly placed in memory that is valid for the lifetime.
                forms::copy(self, source).map(|mut p| unsafe { p.as_mut() })
            }

            /// Clones a slice of a type without drop glue into the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_clone`](Self::try_alloc_slice_clone) fails, or a clone panics.
            #[inline]
            #[track_caller]
            pub fn alloc_slice_clone<T: Clone>(
                &self,
                source: &[T],
            ) -> &$out mut [T] {
                expect(self.try_alloc_slice_clone(source))
            }

            /// Clones a slice of a type without drop glue into the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc); nothing is cloned then.
            #[inline]
            pub fn try_alloc_slice_clone<T: Clone>(
                &self,
                source: &[T],
            ) -> Result<&$out mut [T], AllocError> {
                // SAFETY: `fill_with` asks for `source.len()` elements.
                let element = |i| unsafe { source.get_unchecked(i) };
                self.try_alloc_slice_fill_with(source.len(), |i| element(i).clone())
            }

            /// Allocates a slice of `len` clones of a value without drop glue.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_fill`](Self::try_alloc_slice_fill) fails, or a clone panics.
            #[inline]
            #[track_caller]
            pub fn alloc_slice_fill<T: Clone>(
                &self,
                len: usize,
                value: T,
            ) -> &$out mut [T] {
                expect(self.try_alloc_slice_fill(len, value))
            }

            /// Allocates a slice of `len` clones of a value without drop glue.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc); nothing is cloned then.
            #[inline]
            pub fn try_alloc_slice_fill<T: Clone>(
                &self,
                len: usize,
                value: T,
            ) -> Result<&$out mut [T], AllocError> {
                self.try_alloc_slice_fill_with(len, |_| value.clone())
            }

            /// Allocates a slice of `len` elements without drop glue, the i-th being `f(i)`.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_fill_with`](Self::try_alloc_slice_fill_with) fails, or `f`
            /// panics.
            #[inline]
            #[track_caller]
            pub fn alloc_slice_fill_with<T>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> T,
            ) -> &$out mut [T] {
                expect(self.try_alloc_slice_fill_with(len, f))
            }

            /// Allocates a slice of `len` elements without drop glue, the i-th being `f(i)`. `f`
            /// may allocate from the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc); `f` is not called then.
            #[inline]
            pub fn try_alloc_slice_fill_with<T>(
                &self,
                len: usize,
                f: impl FnMut(usize) -> T,
            ) -> Result<&$out mut [T], AllocError> {
                // SAFETY: freshly placed in memory that is valid for the lifetime.
                forms::fill_with(self, len, f).map(|mut p| unsafe { p.as_mut() })
            }

            /// Collects an iterator of items without drop glue into a slice.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_from_iter`](Self::try_alloc_slice_from_iter) fails, or the
            /// iterator panics.
            #[track_caller]
            pub fn alloc_slice_from_iter<T>(
                &self,
                iter: impl IntoIterator<Item = T>,
            ) -> &$out mut [T] {
                expect(self.try_alloc_slice_from_iter(iter))
            }

            /// Collects an iterator of items without drop glue into a slice, which grows in place
            /// while it is the latest allocation. The iterator may allocate from the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc); the iterator may be partly consumed then.
            pub fn try_alloc_slice_from_iter<T>(
                &self,
                iter: impl IntoIterator<Item = T>,
            ) -> Result<&$out mut [T], AllocError> {
                // SAFETY: freshly placed in memory that is valid for the lifetime.
                forms::collect(self, iter).map(|mut p| unsafe { p.as_mut() })
            }

            /// Allocates a slice of `len` elements without initialising them.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_slice_uninit`](Self::try_alloc_slice_uninit) fails.
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
            #[inline]
            pub fn try_alloc_slice_uninit<T>(
                &self,
                len: usize,
            ) -> Result<&$out mut [MaybeUninit<T>], AllocError> {
                let p = forms::array::<_, MaybeUninit<T>>(self, len)?;
                // SAFETY: fresh room for `len` elements, which need not be initialised, in memory
                // that is valid for the lifetime.
                Ok(unsafe { slice::from_raw_parts_mut(p.as_ptr(), len) })
            }

            /// Copies a string into the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_str`](Self::try_alloc_str) fails.
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
            #[inline]
            pub fn try_alloc_str(
                &self,
                text: &str,
            ) -> Result<&$out mut str, AllocError> {
                let bytes = self.try_alloc_slice_copy(text.as_bytes())?;
                // SAFETY: a copy of a `str`.
                Ok(unsafe { str::from_utf8_unchecked_mut(bytes) })
            }

            /// Formats into the arena.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_fmt`](Self::try_alloc_fmt) fails, or a `Display` in it returns an
            /// error.
            #[track_caller]
            pub fn alloc_fmt(&self, text: fmt::Arguments<'_>) -> &$out mut str {
                expect(self.try_alloc_fmt(text))
            }

            /// Formats into the arena. A `Display` in it may allocate from the arena.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc).
            ///
            /// # Panics
            ///
            /// When a `Display` in `text` returns an error of its own.
            pub fn try_alloc_fmt(
                &self,
                text: fmt::Arguments<'_>,
            ) -> Result<&$out mut str, AllocError> {
                let mut bytes = forms::format(self, text)?;
                // SAFETY: whole strings, freshly placed in memory that is valid for the lifetime.
                Ok(unsafe { str::from_utf8_unchecked_mut(bytes.as_mut()) })
            }
        }
    };
}

pub(super) use allocation_forms;
