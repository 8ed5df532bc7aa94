// SPDX-License-Identifier: Apache-2.0
//! What the programs need of a home beyond `homes`: slices of the exact length.

use std::ops::Deref;

use aegis_memory::arena::Arena;
use allocator_api2::boxed::Box as BoxIn;
use bumpalo::Bump;

use crate::homes::{BumpScope, Home, Mimalloc, Std};

/// A home for slices. Those of a heap are freed one by one, those of an arena by its reset.
pub trait Slices: Home {
    /// A slice.
    type Slice<'a, T: 'a>: Deref<Target = [T]>;

    /// Moves the items into a slice. They may need no drop in an arena.
    fn slice<'a, T>(&'a self, items: impl ExactSizeIterator<Item = T>) -> Self::Slice<'a, T>;
}

impl Slices for Arena {
    type Slice<'a, T: 'a> = &'a [T];

    #[inline]
    fn slice<T>(&self, items: impl ExactSizeIterator<Item = T>) -> &[T] {
        self.alloc_slice_from_iter(items)
    }
}

impl Slices for Bump {
    type Slice<'a, T: 'a> = &'a [T];

    #[inline]
    fn slice<T>(&self, items: impl ExactSizeIterator<Item = T>) -> &[T] {
        self.alloc_slice_fill_iter(items)
    }
}

impl Slices for BumpScope<true> {
    type Slice<'a, T: 'a> = &'a [T];

    #[inline]
    fn slice<T>(&self, items: impl ExactSizeIterator<Item = T>) -> &[T] {
        bump_scope::BumpBox::leak(self.alloc_iter_exact(items))
    }
}

impl Slices for Std {
    type Slice<'a, T: 'a> = Box<[T]>;

    #[inline]
    fn slice<T>(&self, items: impl ExactSizeIterator<Item = T>) -> Box<[T]> {
        items.collect()
    }
}

impl Slices for Mimalloc {
    type Slice<'a, T: 'a> = BoxIn<[T], Mimalloc>;

    #[inline]
    fn slice<T>(&self, items: impl ExactSizeIterator<Item = T>) -> BoxIn<[T], Mimalloc> {
        let mut slice = BoxIn::new_uninit_slice_in(items.len(), Mimalloc);
        slice.iter_mut().zip(items).for_each(|(place, item)| {
            place.write(item);
        });
        // SAFETY: an iterator of this length has filled it.
        unsafe { slice.assume_init() }
    }
}
