// SPDX-License-Identifier: Apache-2.0
//! What the pools that threads share do alike: they ask the core for every block, and give every
//! block back to it. The core has the same functions for each of these pools, under other names.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::error::AllocError;
use crate::{ffi, unwind};

/// Calls the core for a block, with room for the reason of a failure.
///
/// # Safety
///
/// - `function` returns a block or null, and writes the record when it is null. The budget in the
///   record is null or alive.
#[inline]
pub(super) unsafe fn call(
    function: impl FnOnce(*mut ffi::aegis_error) -> *mut c_void,
) -> Result<NonNull<u8>, AllocError> {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    let memory = unwind::call_keeping(ffi::is_some, || function(error.as_mut_ptr()));
    match NonNull::new(memory.cast()) {
        Some(memory) => Ok(memory),
        // SAFETY: the record is written on failure, and the caller vouches for the budget.
        None => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
    }
}

/// How such a pool takes blocks and gives them back: with the functions that the core has for it,
/// which any thread may call. The pool's struct has a field `block_bytes`.
macro_rules! shared_source {
    ($pool:ident {
        alloc: $alloc:ident,
        alloc_zeroed: $alloc_zeroed:ident,
        alloc_n: $alloc_n:ident,
        free: $free:ident,
        free_n: $free_n:ident,
        index_of: $index_of:ident,
    }) => {
        impl Source for $pool {
            #[inline]
            fn take(&self, _: Key, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
                let function = if zeroed { ffi::$alloc_zeroed } else { ffi::$alloc };
                // SAFETY: any thread may ask; the record is written on failure, and the pool holds
                // the budget.
                unsafe { super::shared::call(|error| function(&self.raw, error)) }
            }

            #[inline]
            unsafe fn give_back(&self, _: Key, memory: NonNull<u8>) {
                // SAFETY: any thread may give back; the core checks the block.
                let status = unsafe { ffi::$free(&self.raw, memory.as_ptr().cast()) };
                // A locked pool that is lost in a child process keeps its blocks.
                debug_assert!(
                    status == ffi::AEGIS_OK as ffi::aegis_status || status == ffi::AEGIS_E_FORKED,
                    "a block that was not out"
                );
            }

            fn take_n(
                &self,
                key: Key,
                count: usize,
                zeroed: bool,
                mut each: impl FnMut(NonNull<u8>),
            ) -> Result<(), AllocError> {
                let take = |room, count, error| {
                    // SAFETY: any thread may ask; there is room for so many, and the record is
                    // only written.
                    unsafe { ffi::$alloc_n(&self.raw, room, count, error) }
                };
                let each = |memory: NonNull<u8>| {
                    if zeroed {
                        // SAFETY: the block is ours and that large.
                        unsafe { memory.as_ptr().write_bytes(0, self.block_bytes(key)) };
                    }
                    each(memory);
                };
                // SAFETY: the function is the core's, and the pool holds the budget.
                unsafe { super::bulk::take_by_batch(count, take, each) }
            }

            unsafe fn give_back_n(&self, _: Key, blocks: impl Iterator<Item = NonNull<u8>>) {
                let free = |room, count| {
                    // SAFETY: any thread may give back; the caller vouches for the blocks.
                    unsafe { ffi::$free_n(&self.raw, room, count) }
                };
                // SAFETY: as above.
                unsafe { super::bulk::give_back_by_batch(blocks, free) };
            }

            fn index_of(&self, _: Key, memory: NonNull<u8>) -> usize {
                let mut index = usize::MAX;
                let memory = memory.as_ptr().cast();
                // SAFETY: compares the address, and writes the index if it is one.
                unsafe { ffi::$index_of(&self.raw, memory, &mut index) };
                index
            }

            #[inline(always)]
            fn block_bytes(&self, _: Key) -> usize {
                self.raw.block_bytes
            }
        }
    };
}

pub(super) use shared_source;
