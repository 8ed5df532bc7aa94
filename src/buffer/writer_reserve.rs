// SPDX-License-Identifier: Apache-2.0
//! Room behind the bytes of a writer: in the same memory if that is possible, otherwise in new
//! memory. The core does the work (`csrc/buffer/heap.c`).

use super::ask::{ask, raw_budget};
use super::writer::BufferMut;
use crate::budget::MemoryBudget;
use crate::error::{expect, AllocError};
use crate::{ffi, unwind};

impl BufferMut {
    /// Makes room for `additional` bytes behind the bytes written, as
    /// [`try_reserve`](Self::try_reserve) does.
    ///
    /// # Panics
    ///
    /// When `try_reserve` fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(10);
    /// writer.reserve(10_000);
    /// writer.extend_from_slice(&[7; 10_000]);
    /// ```
    #[track_caller]
    pub fn reserve(&mut self, additional: usize) {
        expect(self.try_reserve(additional));
    }

    /// Makes room for `additional` bytes behind the bytes written.
    ///
    /// The room is in the same memory if this writer is the only handle to it and one of these
    /// holds:
    ///
    /// - There is enough room behind the bytes.
    /// - There is enough room before and behind the bytes together, and moving the bytes to the
    ///   front gains at least as much room as there are bytes to move.
    ///
    /// Otherwise the bytes move to new memory on the C heap. Its size is the largest of these:
    /// twice the capacity; the size of the old memory, but at most 64 KiB; the size that is needed.
    /// If that is refused, it is the size that is needed.
    ///
    /// Two bounds follow, as long as the larger sizes are not refused:
    ///
    /// - A program fills a writer at its end, [splits](Self::split_to) it at its front and drops
    ///   the front parts. Then the writer moves, in all, at most twice as many bytes as were
    ///   written to it.
    /// - A codec keeps the frames that it splits off. Then it takes new memory once for each 64
    ///   KiB, or once for each old capacity.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity`](Self::try_with_capacity). The writer is unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// let mut writer = BufferMut::with_capacity(10);
    /// writer.try_reserve(10_000)?;
    /// assert!(writer.try_reserve(usize::MAX).is_err());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), AllocError> {
        unwind::call(|| self.grow(additional, None))
    }

    /// As [`try_reserve`](Self::try_reserve), but new memory is charged to a budget.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in). The writer is unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// # use aegis_memory::buffer::BufferMut;
    /// use aegis_memory::budget::MemoryBudget;
    /// let budget = MemoryBudget::new("small", 100);
    /// let mut writer = BufferMut::with_capacity(10);
    /// assert!(writer.try_reserve_in(10_000, &budget).is_err());
    /// ```
    pub fn try_reserve_in(
        &mut self,
        additional: usize,
        budget: &MemoryBudget,
    ) -> Result<(), AllocError> {
        unwind::call(|| self.grow(additional, Some(budget)))
    }

    /// Makes room. Callers are inside `unwind::call`, because the owner of the old memory may panic
    /// in its drop.
    pub(super) fn grow(
        &mut self,
        additional: usize,
        budget: Option<&MemoryBudget>,
    ) -> Result<(), AllocError> {
        if additional <= self.remaining_capacity() {
            return Ok(());
        }
        let (raw, budget): (*mut _, _) = (self.raw_mut(), raw_budget(budget));
        // SAFETY: `self` is a handle, and is still one after the call; the budget is borrowed.
        unsafe { ask(|error| ffi::aegis_buffer_mut_reserve(raw, additional, budget, error)) }
    }

    /// Makes room for `additional` bytes, and aligns the first byte, as
    /// [`try_reserve_aligned`](Self::try_reserve_aligned) does.
    ///
    /// # Panics
    ///
    /// When `try_reserve_aligned` fails.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut block = aegis_memory::buffer::BufferMut::with_capacity(100);
    /// block.extend_from_slice(b"for direct I/O");
    /// block.reserve_aligned(4096 - block.len(), 4096);
    /// block.resize(4096, 0);
    /// assert!(block.as_ptr() as usize % 4096 == 0 && block.starts_with(b"for direct I/O"));
    /// ```
    #[track_caller]
    pub fn reserve_aligned(&mut self, additional: usize, align: usize) {
        expect(self.try_reserve_aligned(additional, align));
    }

    /// Makes room for `additional` bytes behind the bytes written, as
    /// [`try_reserve`](Self::try_reserve) does, and makes the first byte aligned to `align` bytes.
    /// 0 means 16.
    ///
    /// A writer that is aligned and has the room stays where it is. Otherwise its bytes move to the
    /// first aligned address of the same memory, under the conditions of `try_reserve`, or to new
    /// memory. If only the alignment is missing, new memory is not made larger for it. A writer
    /// without bytes may move inside its memory whatever it wins. Only this call aligns: a later
    /// `reserve` may move the bytes to the beginning of the same memory, or to new memory, which is
    /// aligned to 16.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_aligned`](Self::try_with_capacity_aligned). The writer is unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut block = aegis_memory::buffer::BufferMut::from("for direct I/O");
    /// block.try_reserve_aligned(4096, 512)?;
    /// assert!(block.as_ptr() as usize % 512 == 0 && block == "for direct I/O");
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_reserve_aligned(
        &mut self,
        additional: usize,
        align: usize,
    ) -> Result<(), AllocError> {
        self.grow_aligned(additional, align, None)
    }

    /// As [`try_reserve_aligned`](Self::try_reserve_aligned), but new memory is charged to a budget.
    ///
    /// # Errors
    ///
    /// As [`try_with_capacity_in`](Self::try_with_capacity_in). The writer is unchanged.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::{budget::MemoryBudget, buffer::BufferMut};
    ///
    /// let budget = MemoryBudget::new("blocks", 64 << 10);
    /// let mut block = BufferMut::from("for direct I/O");
    /// block.try_reserve_aligned_in(4096, 4096, &budget)?;
    /// assert_eq!(block.retained_bytes(), budget.used());
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn try_reserve_aligned_in(
        &mut self,
        additional: usize,
        align: usize,
        budget: &MemoryBudget,
    ) -> Result<(), AllocError> {
        self.grow_aligned(additional, align, Some(budget))
    }

    fn grow_aligned(
        &mut self,
        additional: usize,
        align: usize,
        budget: Option<&MemoryBudget>,
    ) -> Result<(), AllocError> {
        let (raw, budget): (*mut _, _) = (self.raw_mut(), raw_budget(budget));
        // The owner of the old memory may panic in its drop.
        unwind::call(|| {
            // SAFETY: `self` is a handle, and is still one after the call; the budget is borrowed.
            unsafe {
                ask(|error| {
                    ffi::aegis_buffer_mut_reserve_aligned(raw, additional, align, budget, error)
                })
            }
        })
    }

    /// Makes room for `additional` bytes behind the bytes written if that needs no new memory, and
    /// returns whether it did. If not, the writer is unchanged. The rules are those of
    /// [`try_reserve`](Self::try_reserve). So a writer whose other parts are gone gets all of its
    /// memory back, if it is empty or if moving its bytes gains enough.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut input = aegis_memory::buffer::BufferMut::with_capacity(64);
    /// input.extend_from_slice(b"frame");
    /// let frame = input.split().freeze();
    /// assert!(!input.try_reclaim(64), "the frame is there");
    /// drop(frame);
    /// assert!(input.try_reclaim(64) && input.capacity() == 64);
    /// ```
    #[inline]
    #[must_use = "if it returns false, there is no more room than before"]
    pub fn try_reclaim(&mut self, additional: usize) -> bool {
        if additional <= self.remaining_capacity() {
            return true;
        }
        // SAFETY: `self` is a handle, and is still one after the call, which runs no user code.
        unsafe { ffi::aegis_buffer_mut_try_reclaim(self.raw_mut(), additional) }
    }
}
