// SPDX-License-Identifier: Apache-2.0
//! What all pools that threads share do in the same way: they take every block from the core and
//! give every block back to it. The core has the same functions for each of these pools, under
//! different names.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::error::AllocError;
use crate::{ffi, unwind};

/// Calls the core for a block, with a record for the reason of a failure.
///
/// # Safety
///
/// - `function` returns a block or null. When it returns null, it has written the record, and the
///   budget in the record is null or alive.
#[inline]
pub(super) unsafe fn call(
    function: impl FnOnce(*mut ffi::aegis_error) -> *mut c_void,
) -> Result<NonNull<u8>, AllocError> {
    let mut error = MaybeUninit::<ffi::aegis_error>::uninit();
    let memory = unwind::call_keeping(ffi::is_some, || function(error.as_mut_ptr()));
    match NonNull::new(memory.cast()) {
        Some(memory) => Ok(memory),
        // SAFETY: the record is written on failure, and the caller guarantees that the budget is
        // alive.
        None => Err(unsafe { AllocError::from_raw(error.assume_init_ref()) }),
    }
}

/// Implements `Source` for such a pool with the functions that the core has for it. Any thread may
/// call these functions. The pool's struct has the fields `block_bytes` and `align_bytes`.
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
                // SAFETY: any thread may call it. It writes the record on failure, and the pool
                // keeps the budget alive.
                unsafe { super::shared::call(|error| function(&self.raw, error)) }
            }

            #[inline]
            unsafe fn give_back(&self, _: Key, memory: NonNull<u8>) {
                // SAFETY: any thread may call it, and the core checks the block.
                let status = unsafe { ffi::$free(&self.raw, memory.as_ptr().cast()) };
                // A locked pool that was lost in a forked child process keeps its blocks.
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
                    // SAFETY: any thread may call it. The array has room for `count` addresses, and
                    // the call only writes the record.
                    unsafe { ffi::$alloc_n(&self.raw, room, count, error) }
                };
                let each = |memory: NonNull<u8>| {
                    if zeroed {
                        // SAFETY: the block is ours, and has that many bytes.
                        unsafe { memory.as_ptr().write_bytes(0, self.block_bytes(key)) };
                    }
                    each(memory);
                };
                // SAFETY: the core's function does what is required, and the pool keeps the budget
                // alive.
                unsafe { super::bulk::take_by_batch(count, take, each) }
            }

            unsafe fn give_back_n(&self, _: Key, blocks: impl Iterator<Item = NonNull<u8>>) {
                let free = |room, count| {
                    // SAFETY: any thread may call it, and the caller guarantees that the blocks are
                    // out.
                    unsafe { ffi::$free_n(&self.raw, room, count) }
                };
                // SAFETY: the caller guarantees that the blocks are out and not used again.
                unsafe { super::bulk::give_back_by_batch(blocks, free) };
            }

            fn index_of(&self, _: Key, memory: NonNull<u8>) -> usize {
                let mut index = usize::MAX;
                let memory = memory.as_ptr().cast();
                // SAFETY: the call compares the address. It writes the index if the address is that
                // of a block.
                unsafe { ffi::$index_of(&self.raw, memory, &mut index) };
                index
            }

            #[inline(always)]
            fn block_bytes(&self, _: Key) -> usize {
                self.raw.block_bytes
            }

            #[inline(always)]
            fn block_align(&self, _: Key) -> usize {
                self.raw.align_bytes
            }
        }
    };
}

pub(super) use shared_source;
