// SPDX-License-Identifier: Apache-2.0
//! An arena over memory that the caller supplies.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::Deref;
use core::ptr::{self, NonNull};

use super::forms::{self, allocate_from_inner, Allocate};
use super::one_owner::Arena;
use crate::error::expect;
use crate::ffi;

/// An arena over memory of the caller, such as a buffer on the stack, a static or a mapping. It
/// never grows and never calls the system. A request that does not fit fails with
/// [`AllocError::Exhausted`](crate::AllocError::Exhausted).
///
/// It derefs to [`Arena`] for allocation. A small part of the memory holds the block header.
///
/// # Examples
///
/// ```
/// use aegis_memory::arena::FixedArena;
/// use core::mem::MaybeUninit;
///
/// let mut memory = [MaybeUninit::<u8>::uninit(); 1024];
/// let mut arena = FixedArena::new(&mut memory);
/// arena.alloc_str("on the stack");
/// assert!(arena.try_alloc(2000).is_err());
/// arena.reset();
/// ```
pub struct FixedArena<'m> {
    // It is never lent as `&mut Arena`: after a swap with another arena it would outlive its
    // memory. The `drop` of this type drops it. This tells the compiler that the memory is used at
    // that moment. The `drop` of `Arena` cannot tell this, because `Arena` has no lifetime.
    arena: ManuallyDrop<Arena>,
    _memory: PhantomData<&'m mut [MaybeUninit<u8>]>,
}

impl<'m> FixedArena<'m> {
    /// Makes an arena over `memory`, which it uses up to the last whole 8 bytes. If the memory is
    /// too small for a block header, the arena has no capacity. 64 bytes are enough for a block
    /// header.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::FixedArena;
    /// use std::mem::MaybeUninit;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 1024];
    /// let arena = FixedArena::new(&mut memory);
    /// assert_eq!(arena.alloc_str("on the stack"), "on the stack");
    /// assert!(arena.try_alloc(1024).is_err());
    /// ```
    pub fn new(memory: &'m mut [MaybeUninit<u8>]) -> Self {
        let options = ffi::aegis_arena_options {
            capacity_bytes: 0,
            max_block_bytes: 0,
            source: ptr::null(),
            memory: memory.as_mut_ptr().cast(),
            memory_bytes: memory.len(),
            budget: ptr::null_mut(),
            name: ptr::null(),
            flags: 0,
            wait_ns: 0,
        };
        // SAFETY: the memory is borrowed for 'm, which the arena does not outlive. A slice is no
        // larger than `isize::MAX`, so this cannot fail.
        let arena = expect(unsafe { Arena::from_options(&options) });
        Self { arena: ManuallyDrop::new(arena), _memory: PhantomData }
    }

    /// As [`Arena::reset`].
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::arena::FixedArena;
    /// use std::mem::MaybeUninit;
    ///
    /// let mut memory = [MaybeUninit::uninit(); 1024];
    /// let mut arena = FixedArena::new(&mut memory);
    /// arena.alloc(100);
    /// arena.reset();
    /// assert_eq!(arena.used(), 0);
    ///
    /// ```
    pub fn reset(&mut self) {
        self.arena.reset();
    }
}

allocate_from_inner!(FixedArena<'_>);

impl Deref for FixedArena<'_> {
    type Target = Arena;

    fn deref(&self) -> &Arena {
        &self.arena
    }
}

impl Drop for FixedArena<'_> {
    fn drop(&mut self) {
        // This runs the finalizers, which are recorded in the memory, and writes block headers
        // there.
        // SAFETY: the arena is not used again.
        unsafe { ManuallyDrop::drop(&mut self.arena) }
    }
}

impl fmt::Debug for FixedArena<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arena.fmt(f)
    }
}
