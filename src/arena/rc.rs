// SPDX-License-Identifier: Apache-2.0
//! [`ArenaRc`]: a value in an arena that is dropped with the last of its handles.
//!
//! The count of the handles lies before the value, in the `COUNT_BYTES` that end where the value
//! begins. So a handle is a pointer to the value, which the compiler can coerce to one of a trait
//! object. There are no weak handles: what must not keep the value alive is a `&T`, which borrows a
//! handle, or an index.

use core::alloc::Layout;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem;
use core::ops::Deref;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::{self, NonNull};
use core::{borrow, cmp, fmt, hash};

use super::aligned::AlignedArena;
use super::boxed::BoxParts;
use super::forms::Allocate;
#[cfg(aegis_threads)]
use super::local::LocalArena;
#[cfg(aegis_threads)]
use super::lock_free::LockFreeArena;
#[cfg(aegis_threads)]
use super::locked::LockedArena;
use super::one_owner::Arena;
use crate::error::{expect, AllocError};
use crate::unwind;

/// The bytes of the count.
const COUNT_BYTES: usize = mem::size_of::<Cell<usize>>();

/// A value in an arena that several handles share. The last handle that is dropped drops the value.
/// The memory belongs to the arena, which frees it at its reset.
///
/// It is an `Rc` without `malloc` and `free`: making a handle moves the pointer of the arena, and the
/// count costs what the count of an `Rc` costs. A value that need not be dropped before the reset is
/// shared for nothing: a `&T` of [`alloc_value`](Arena::alloc_value) or
/// [`alloc_static`](Arena::alloc_static) can be copied as often as one likes. Values that refer to
/// each other in a circle of handles are never dropped. Handles do not go to other threads; those
/// share a `&T`.
///
/// [`unsize_box!`](crate::unsize_box) makes a handle of a trait object of it.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::{Arena, ArenaRc};
///
/// struct Session {
///     user: String,
/// }
///
/// let arena = Arena::default();
/// let session = arena.alloc_rc(Session { user: String::from("ada") });
/// let requests: Vec<ArenaRc<'_, Session>> = (0..3).map(|_| session.clone()).collect();
/// assert_eq!(ArenaRc::strong_count(&session), 4);
/// assert_eq!(requests[2].user, "ada");
/// drop(requests);
/// assert!(ArenaRc::into_inner(session).is_some(), "the last handle");
/// ```
pub struct ArenaRc<'a, T: ?Sized> {
    value: NonNull<T>,
    _owns: PhantomData<(&'a (), T)>,
}

/// A handle that is moved does not move its value.
impl<T: ?Sized> Unpin for ArenaRc<'_, T> {}

impl<T: ?Sized + RefUnwindSafe> UnwindSafe for ArenaRc<'_, T> {}

impl<T: ?Sized> ArenaRc<'_, T> {
    /// The number of handles.
    #[inline]
    fn count(&self) -> &Cell<usize> {
        // SAFETY: the count was placed before the value, in the same allocation, and lives as long as
        // a handle. Only handles use it, all on one thread.
        unsafe { &*self.value.cast::<Cell<usize>>().as_ptr().sub(1) }
    }

    /// How many handles there are of this value.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::{Arena, ArenaRc};
    /// # let arena = Arena::default();
    /// let (a, b) = (arena.alloc_rc(1), arena.alloc_rc(1));
    /// let c = a.clone();
    /// assert_eq!((ArenaRc::strong_count(&c), ArenaRc::strong_count(&b)), (2, 1));
    /// ```
    pub fn strong_count(this: &Self) -> usize {
        this.count().get()
    }

    /// Whether two handles are of the same value.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::{Arena, ArenaRc};
    /// # let arena = Arena::default();
    /// let (a, b) = (arena.alloc_rc(1), arena.alloc_rc(1));
    /// assert!(a == b && !ArenaRc::ptr_eq(&a, &b) && ArenaRc::ptr_eq(&a, &a.clone()));
    /// ```
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        ptr::eq(this.value.as_ptr().cast::<u8>(), other.value.as_ptr().cast::<u8>())
    }

    /// The value, if this is its only handle.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::{Arena, ArenaRc};
    /// # let arena = Arena::default();
    /// let mut list = arena.alloc_rc(vec![1]);
    /// ArenaRc::get_mut(&mut list).expect("the only handle").push(2);
    /// let other = list.clone();
    /// assert!(ArenaRc::get_mut(&mut list).is_none());
    /// ```
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        if Self::strong_count(this) != 1 {
            return None;
        }
        // SAFETY: there is one handle, which is borrowed exclusively.
        Some(unsafe { this.value.as_mut() })
    }
}

impl<T> ArenaRc<'_, T> {
    /// Moves the value out, if this is its last handle. Otherwise there is one handle less.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::arena::{Arena, ArenaRc};
    /// # let arena = Arena::default();
    /// let text = arena.alloc_rc(String::from("moved out"));
    /// let other = text.clone();
    /// assert_eq!(ArenaRc::into_inner(text), None);
    /// assert_eq!(ArenaRc::into_inner(other).as_deref(), Some("moved out"));
    /// ```
    pub fn into_inner(this: Self) -> Option<T> {
        if Self::strong_count(&this) != 1 {
            return None;
        }
        let this = mem::ManuallyDrop::new(this);
        // SAFETY: the value is initialised, and its only handle is not used or dropped again.
        Some(unsafe { ptr::read(this.value.as_ptr()) })
    }
}

impl<T: ?Sized> Clone for ArenaRc<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        let count = self.count();
        count.set(count.get().wrapping_add(1));
        // Handles that are forgotten could count up to this on a small machine.
        if count.get() == 0 {
            unwind::abort();
        }
        Self { value: self.value, _owns: PhantomData }
    }
}

impl<T: ?Sized> Drop for ArenaRc<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let count = self.count();
        count.set(count.get() - 1);
        if count.get() == 0 {
            // SAFETY: this was the last handle, and it is not used again.
            unsafe { ptr::drop_in_place(self.value.as_ptr()) }
        }
    }
}

impl<T: ?Sized> Deref for ArenaRc<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the value is initialised while there is a handle. Only `get_mut` gives it as
        // `&mut`, for which no other handle may exist.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> AsRef<T> for ArenaRc<'_, T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized> borrow::Borrow<T> for ArenaRc<'_, T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ArenaRc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ArenaRc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + PartialEq> PartialEq for ArenaRc<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for ArenaRc<'_, T> {}

impl<T: ?Sized + PartialOrd> PartialOrd for ArenaRc<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord> Ord for ArenaRc<'_, T> {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized + hash::Hash> hash::Hash for ArenaRc<'_, T> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

/// The rest of an `ArenaRc` that [`unsize_box!`](crate::unsize_box) has taken apart.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct RcLife<'a>(PhantomData<(&'a (), *const ())>);

// SAFETY: the pointer and the lifetime are those of the handle, which is forgotten.
unsafe impl<'a, T: ?Sized> BoxParts for ArenaRc<'a, T> {
    type Value = T;
    type Life = RcLife<'a>;

    #[inline]
    fn into_parts(self) -> (NonNull<T>, RcLife<'a>) {
        let value = self.value;
        mem::forget(self);
        (value, RcLife(PhantomData))
    }
}

impl<'a> RcLife<'a> {
    /// Makes the handle again.
    ///
    /// # Safety
    ///
    /// - The pointer came from the same call of `into_parts`, and was coerced at most.
    #[doc(hidden)]
    #[inline]
    pub unsafe fn box_of<T: ?Sized>(self, value: NonNull<T>) -> ArenaRc<'a, T> {
        ArenaRc { value, _owns: PhantomData }
    }
}

/// Places a value behind a count of one handle.
#[inline]
fn place<A: Allocate, T>(arena: &A, value: T) -> Result<NonNull<T>, AllocError> {
    let count = Layout::new::<Cell<usize>>();
    // The value is what has the least alignment of the arena, not its count.
    let whole = Layout::new::<T>().align_to(A::LEAST_ALIGN).and_then(|value| count.extend(value));
    let (layout, offset) = whole.map_err(|_| {
        let align = mem::align_of::<T>().max(count.align()).max(A::LEAST_ALIGN);
        AllocError::invalid(mem::size_of::<T>(), align)
    })?;
    let room = arena.take(layout)?;
    // SAFETY: the room was taken above and is large enough for the count and the value behind it, at
    // an offset that is a multiple of both alignments and at least `COUNT_BYTES`.
    unsafe {
        let value_place = room.as_ptr().add(offset);
        value_place.sub(COUNT_BYTES).cast::<Cell<usize>>().write(Cell::new(1));
        value_place.cast::<T>().write(value);
        Ok(NonNull::new_unchecked(value_place.cast()))
    }
}

/// Writes the methods that make a handle. The arguments are as for `allocation_forms`.
macro_rules! rc_forms {
    ({$($generics:tt)*} $arena:ty, $out:lifetime) => {
        impl $($generics)* $arena {
            /// Moves a value into the arena. The last of its handles drops it.
            ///
            /// # Panics
            ///
            /// When [`try_alloc_rc`](Self::try_alloc_rc) fails.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// let name = arena.alloc_rc(String::from("shared"));
            /// let other = name.clone();
            /// drop(name);
            /// assert_eq!(*other, "shared");
            /// ```
            #[inline]
            #[track_caller]
            pub fn alloc_rc<T>(&self, value: T) -> ArenaRc<$out, T> {
                expect(self.try_alloc_rc(value))
            }

            /// Moves a value into the arena. The last of its handles drops it.
            ///
            /// # Errors
            ///
            /// As [`try_alloc`](Self::try_alloc). The value is dropped then.
            ///
            /// # Examples
            ///
            /// ```
            /// # let arena = aegis_memory::arena::Arena::default();
            /// assert_eq!(*arena.try_alloc_rc(7)?, 7);
            /// # Ok::<(), aegis_memory::AllocError>(())
            /// ```
            #[inline]
            pub fn try_alloc_rc<T>(&self, value: T) -> Result<ArenaRc<$out, T>, AllocError> {
                let value = place(self, value)?;
                Ok(ArenaRc { value, _owns: PhantomData })
            }
        }
    };
}

rc_forms!({} Arena, '_);
#[cfg(aegis_threads)]
rc_forms!({} LockFreeArena, '_);
#[cfg(aegis_threads)]
rc_forms!({} LockedArena, '_);
#[cfg(aegis_threads)]
rc_forms!({<'a>} LocalArena<'a>, 'a);
rc_forms!({<'a, const N: usize, A: Allocate>} AlignedArena<'a, N, A>, 'a);
