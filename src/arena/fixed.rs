// SPDX-License-Identifier: Apache-2.0
//! An arena over memory that the caller supplies.

use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::Deref;
use core::ptr;

use super::one_owner::Arena;
use crate::error::expect;
use crate::ffi;

/// An arena over the caller's memory: a stack buffer, a static, a mapping. It never grows and never
/// calls the system; what does not fit fails with
/// [`AllocError::Exhausted`](crate::AllocError::Exhausted).
///
/// It derefs to [`Arena`] for allocation. A little of the memory is taken for a block head.
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
    // Never handed out as `&mut Arena`: swapped with another, it would outlive its memory. Dropped
    // by our own `drop`, which tells the compiler that the memory is used then: an `Arena` has no
    // lifetime that could.
    arena: ManuallyDrop<Arena>,
    _memory: PhantomData<&'m mut [MaybeUninit<u8>]>,
}

impl<'m> FixedArena<'m> {
    /// Makes an arena over `memory`, which it uses up to its last whole 8 bytes. Memory too small
    /// for a block head (64 bytes are enough for one) makes an arena without capacity.
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
        };
        // SAFETY: the memory is borrowed for 'm, which the arena does not outlive. A slice is no
        // larger than `isize::MAX`, so this cannot fail.
        let arena = expect(unsafe { Arena::from_options(&options) });
        Self { arena: ManuallyDrop::new(arena), _memory: PhantomData }
    }

    /// As [`Arena::reset`].
    pub fn reset(&mut self) {
        self.arena.reset();
    }
}

impl Deref for FixedArena<'_> {
    type Target = Arena;

    fn deref(&self) -> &Arena {
        &self.arena
    }
}

impl Drop for FixedArena<'_> {
    fn drop(&mut self) {
        // Runs the finalizers, whose records lie in the memory, and writes block heads there.
        // SAFETY: the arena is not used again.
        unsafe { ManuallyDrop::drop(&mut self.arena) }
    }
}

impl fmt::Debug for FixedArena<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arena.fmt(f)
    }
}
