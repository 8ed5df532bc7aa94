// SPDX-License-Identifier: Apache-2.0
//! Where collections live: this library's arena, its rivals, and heaps, behind one interface.
//!
//! Each has the traits of `allocator-api2` 0.2, for which hashbrown asks, boxes, and a vector and a
//! string of its own. The boxes and texts of a heap are freed one by one; those of an arena by its
//! reset, as one uses an arena.

use std::alloc::Layout;
use std::ops::DerefMut;
use std::ptr::NonNull;

use aegis_memory::arena::{Arena, ArenaBox};
use aegis_memory::collections::{ArenaString, ArenaVec};
use allocator_api2::alloc::{AllocError, Allocator, Global};
use allocator_api2::boxed::Box as BoxIn;
use allocator_api2::vec::Vec as VecIn;
use bump_scope::settings::BumpSettings;
use bump_scope::{BumpBox, BumpString, BumpVec};
use bumpalo::Bump;
use libmimalloc_sys::{mi_free, mi_malloc_aligned, mi_realloc_aligned, mi_zalloc_aligned};

use crate::{hide, keep};

/// A place for collections.
pub trait Home: 'static {
    /// The allocator of collections.
    type In<'a>: Allocator + Copy;
    /// A box of the home's own.
    type Boxed<'a, T: 'a>: DerefMut<Target = T>;
    /// A copy of a text.
    type Text<'a>: AsRef<str>;
    /// Whether values are freed one by one. An arena frees them at its reset.
    const IS_HEAP: bool;

    /// A new one without memory.
    fn new() -> Self;
    /// Its allocator.
    fn allocator(&self) -> Self::In<'_>;
    /// Moves a value into a box.
    fn boxed<T>(&self, value: T) -> Self::Boxed<'_, T>;
    /// Copies a text.
    fn text<'a>(&'a self, text: &str) -> Self::Text<'a>;
    /// Pushes numbers to a vector of the home's own.
    fn push_numbers(&self, count: usize);
    /// Pushes characters to a string of the home's own.
    fn push_characters(&self, count: usize);
    /// Frees everything that it does not free one by one.
    fn reset(&mut self);
}

/// Pushes to a vector or a string, and keeps it from being left out.
macro_rules! push {
    ($count:ident, $collection:expr, $item:expr) => {{
        let mut collection = $collection;
        let mut i = 0;
        while i < $count {
            collection.push($item(i));
            // A compiler that finds the length in it has one variable less for some of the rivals.
            i = hide(i) + 1;
        }
        keep(collection.as_ptr());
        assert_eq!(collection.len(), $count);
        if Self::IS_HEAP {
            drop(collection);
        } else {
            std::mem::forget(collection);
        }
    }};
}

/// A number of a vector.
#[inline(always)]
fn number(i: usize) -> u64 {
    i as u64
}

/// A character of a string.
#[inline(always)]
fn character(i: usize) -> char {
    (b'a' + (i & 15) as u8).into()
}

impl Home for Arena {
    type In<'a> = &'a Arena;
    type Boxed<'a, T: 'a> = ArenaBox<'a, T>;
    type Text<'a> = &'a str;
    const IS_HEAP: bool = false;

    fn new() -> Self {
        Arena::default()
    }
    #[inline(always)]
    fn allocator(&self) -> &Arena {
        self
    }
    #[inline(always)]
    fn boxed<T>(&self, value: T) -> ArenaBox<'_, T> {
        self.alloc_boxed(value)
    }
    #[inline(always)]
    fn text(&self, text: &str) -> &str {
        self.alloc_str(text)
    }
    fn push_numbers(&self, count: usize) {
        push!(count, ArenaVec::new_in(self), number);
    }
    fn push_characters(&self, count: usize) {
        push!(count, ArenaString::new_in(self), character);
    }
    fn reset(&mut self) {
        Arena::reset(self);
    }
}

impl Home for Bump {
    type In<'a> = &'a Bump;
    type Boxed<'a, T: 'a> = bumpalo::boxed::Box<'a, T>;
    type Text<'a> = &'a str;
    const IS_HEAP: bool = false;

    fn new() -> Self {
        Bump::new()
    }
    #[inline(always)]
    fn allocator(&self) -> &Bump {
        self
    }
    #[inline(always)]
    fn boxed<T>(&self, value: T) -> bumpalo::boxed::Box<'_, T> {
        bumpalo::boxed::Box::new_in(value, self)
    }
    #[inline(always)]
    fn text(&self, text: &str) -> &str {
        self.alloc_str(text)
    }
    fn push_numbers(&self, count: usize) {
        push!(count, bumpalo::collections::Vec::new_in(self), number);
    }
    fn push_characters(&self, count: usize) {
        push!(count, bumpalo::collections::String::new_in(self), character);
    }
    fn reset(&mut self) {
        Bump::reset(self);
    }
}

/// bump-scope, upwards or downwards, at the settings that are its fastest here.
pub type BumpScope<const UP: bool> =
    bump_scope::Bump<bump_scope::alloc::Global, BumpSettings<8, UP, true, false, true, true>>;

macro_rules! bump_scope_home {
    ($up:literal) => {
        impl Home for BumpScope<$up> {
            type In<'a> = &'a Self;
            type Boxed<'a, T: 'a> = BumpBox<'a, T>;
            type Text<'a> = &'a str;
            const IS_HEAP: bool = false;

            fn new() -> Self {
                Self::new()
            }
            #[inline(always)]
            fn allocator(&self) -> &Self {
                self
            }
            #[inline(always)]
            fn boxed<T>(&self, value: T) -> BumpBox<'_, T> {
                self.alloc(value)
            }
            #[inline(always)]
            fn text(&self, text: &str) -> &str {
                self.alloc_str(text).into_ref()
            }
            fn push_numbers(&self, count: usize) {
                push!(count, BumpVec::new_in(self), number);
            }
            fn push_characters(&self, count: usize) {
                push!(count, BumpString::new_in(self), character);
            }
            fn reset(&mut self) {
                self.reset_to_start();
            }
        }
    };
}

bump_scope_home!(true);
bump_scope_home!(false);

/// The heap of the standard library's collections.
pub struct Std;

impl Home for Std {
    type In<'a> = Global;
    type Boxed<'a, T: 'a> = Box<T>;
    type Text<'a> = Box<str>;
    const IS_HEAP: bool = true;

    fn new() -> Self {
        Self
    }
    #[inline(always)]
    fn allocator(&self) -> Global {
        Global
    }
    #[inline(always)]
    fn boxed<T>(&self, value: T) -> Box<T> {
        Box::new(value)
    }
    #[inline(always)]
    fn text(&self, text: &str) -> Box<str> {
        text.into()
    }
    fn push_numbers(&self, count: usize) {
        push!(count, Vec::new(), number);
    }
    fn push_characters(&self, count: usize) {
        push!(count, String::new(), character);
    }
    fn reset(&mut self) {}
}

/// mimalloc, as an allocator.
#[derive(Clone, Copy)]
pub struct Mimalloc;

fn slice(memory: *mut std::ffi::c_void, size: usize) -> Result<NonNull<[u8]>, AllocError> {
    let memory = NonNull::new(memory.cast()).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(memory, size))
}

// SAFETY: mimalloc keeps the contract, for any size and alignment, from any copy of the allocator.
unsafe impl Allocator for Mimalloc {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: a layout's alignment is a power of two.
        slice(unsafe { mi_malloc_aligned(layout.size(), layout.align()) }, layout.size())
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: as above.
        slice(unsafe { mi_zalloc_aligned(layout.size(), layout.align()) }, layout.size())
    }

    #[inline]
    unsafe fn deallocate(&self, memory: NonNull<u8>, _: Layout) {
        // SAFETY: the caller vouches for the memory.
        unsafe { mi_free(memory.as_ptr().cast()) }
    }

    #[inline]
    unsafe fn grow(
        &self,
        memory: NonNull<u8>,
        _: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller vouches for the memory.
        let memory = unsafe { mi_realloc_aligned(memory.as_ptr().cast(), new.size(), new.align()) };
        slice(memory, new.size())
    }
}

impl Home for Mimalloc {
    type In<'a> = Mimalloc;
    type Boxed<'a, T: 'a> = BoxIn<T, Mimalloc>;
    type Text<'a> = MimallocText;
    const IS_HEAP: bool = true;

    fn new() -> Self {
        Self
    }
    #[inline(always)]
    fn allocator(&self) -> Mimalloc {
        Mimalloc
    }
    #[inline(always)]
    fn boxed<T>(&self, value: T) -> BoxIn<T, Mimalloc> {
        BoxIn::new_in(value, Mimalloc)
    }
    #[inline(always)]
    fn text(&self, text: &str) -> MimallocText {
        let mut bytes = BoxIn::new_uninit_slice_in(text.len(), Mimalloc);
        // SAFETY: room for the bytes of the text, which are all written.
        MimallocText(unsafe {
            let to = bytes.as_mut_ptr().cast::<u8>();
            to.copy_from_nonoverlapping(text.as_ptr(), text.len());
            bytes.assume_init()
        })
    }
    fn push_numbers(&self, count: usize) {
        push!(count, VecIn::new_in(Mimalloc), number);
    }
    fn push_characters(&self, count: usize) {
        push!(count, VecIn::new_in(Mimalloc), |i| character(i) as u8);
    }
    fn reset(&mut self) {}
}

/// A text on mimalloc's heap.
pub struct MimallocText(BoxIn<[u8], Mimalloc>);

impl AsRef<str> for MimallocText {
    #[inline]
    fn as_ref(&self) -> &str {
        // SAFETY: a copy of a `str`.
        unsafe { std::str::from_utf8_unchecked(&self.0) }
    }
}
