// SPDX-License-Identifier: Apache-2.0
//! The traits of the standard library that a box passes on to its value, as `Box` does.

use core::borrow::{Borrow, BorrowMut};
use core::cmp::Ordering;
use core::fmt;
use core::future::Future;
use core::hash::{Hash, Hasher};
use core::iter::FusedIterator;
use core::panic::UnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::arena_box::ArenaBox;

/// A box that is moved does not move its value.
impl<T: ?Sized> Unpin for ArenaBox<'_, T> {}

impl<T: ?Sized + UnwindSafe> UnwindSafe for ArenaBox<'_, T> {}

impl<T: ?Sized> AsRef<T> for ArenaBox<'_, T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized> AsMut<T> for ArenaBox<'_, T> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized> Borrow<T> for ArenaBox<'_, T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized> BorrowMut<T> for ArenaBox<'_, T> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ArenaBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ArenaBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> fmt::Pointer for ArenaBox<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value: *const T = &**self;
        fmt::Pointer::fmt(&value, f)
    }
}

impl<T: ?Sized + PartialEq> PartialEq for ArenaBox<'_, T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for ArenaBox<'_, T> {}

impl<T: ?Sized + PartialOrd> PartialOrd for ArenaBox<'_, T> {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord> Ord for ArenaBox<'_, T> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized + Hash> Hash for ArenaBox<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

macro_rules! write_integers {
    ($($write:ident: $Int:ty),*) => {$(
        fn $write(&mut self, i: $Int) {
            (**self).$write(i);
        }
    )*};
}

impl<T: ?Sized + Hasher> Hasher for ArenaBox<'_, T> {
    fn finish(&self) -> u64 {
        (**self).finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        (**self).write(bytes);
    }

    // A hasher may treat each of them in a way of its own.
    write_integers!(
        write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128,
        write_usize: usize, write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64,
        write_i128: i128, write_isize: isize
    );
}

impl<I: ?Sized + Iterator> Iterator for ArenaBox<'_, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        (**self).next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (**self).size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<I::Item> {
        (**self).nth(n)
    }
}

impl<I: ?Sized + DoubleEndedIterator> DoubleEndedIterator for ArenaBox<'_, I> {
    fn next_back(&mut self) -> Option<I::Item> {
        (**self).next_back()
    }

    fn nth_back(&mut self, n: usize) -> Option<I::Item> {
        (**self).nth_back(n)
    }
}

impl<I: ?Sized + ExactSizeIterator> ExactSizeIterator for ArenaBox<'_, I> {
    fn len(&self) -> usize {
        (**self).len()
    }
}

impl<I: ?Sized + FusedIterator> FusedIterator for ArenaBox<'_, I> {}

impl<F: ?Sized + Future + Unpin> Future for ArenaBox<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut **self).poll(context)
    }
}

#[cfg(feature = "std")]
mod with_std {
    use std::error::Error;
    use std::io::{self, BufRead, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
    use std::string::String;
    use std::vec::Vec;

    use super::super::arena_box::ArenaBox;

    impl<E: ?Sized + Error> Error for ArenaBox<'_, E> {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            (**self).source()
        }
    }

    impl<R: ?Sized + Read> Read for ArenaBox<'_, R> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            (**self).read(bytes)
        }

        fn read_vectored(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
            (**self).read_vectored(parts)
        }

        fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
            (**self).read_to_end(bytes)
        }

        fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
            (**self).read_to_string(text)
        }

        fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
            (**self).read_exact(bytes)
        }
    }

    impl<W: ?Sized + Write> Write for ArenaBox<'_, W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            (**self).write(bytes)
        }

        fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
            (**self).write_vectored(parts)
        }

        fn flush(&mut self) -> io::Result<()> {
            (**self).flush()
        }

        fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
            (**self).write_all(bytes)
        }
    }

    impl<B: ?Sized + BufRead> BufRead for ArenaBox<'_, B> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            (**self).fill_buf()
        }

        fn consume(&mut self, count: usize) {
            (**self).consume(count);
        }
    }

    impl<S: ?Sized + Seek> Seek for ArenaBox<'_, S> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            (**self).seek(to)
        }
    }
}
