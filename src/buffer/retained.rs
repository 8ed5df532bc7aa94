// SPDX-License-Identifier: Apache-2.0
//! What a handle keeps alive: how much memory, and whether two handles keep the same. The owner of
//! the memory says it, as `aegis_memory/buffer.h` describes.

use super::chain::BufferChain;
use super::owner::Owner;
use super::view::Buffer;
use super::writer::BufferMut;
use crate::ffi;

impl Buffer {
    /// How many bytes of memory live at least as long as this view, because it keeps them. 0 for
    /// static bytes and for a view of no bytes.
    ///
    /// | memory | what counts |
    /// | --- | --- |
    /// | the C heap | the allocation with its header, which is what a budget is charged |
    /// | a [`BufferPool`](super::BufferPool) | the block, with the padding up to the next one |
    /// | an arena | all of its blocks, with their headers |
    /// | a mapped file | the mapping, up to the end of the piece that was mapped |
    /// | a `Vec` | its capacity |
    /// | an owner | its bytes, or what [`from_owner_sized`](Self::from_owner_sized) was told |
    /// | a `Bytes` | its bytes; if it was made of a buffer, all that the buffer keeps |
    /// | an arrow buffer | its capacity; if it was made of a buffer, all that the buffer keeps |
    ///
    /// A header in an allocation of its own does not count. Nor does the rest of a buffer pool,
    /// which is not freed as long as one of its blocks is out.
    ///
    /// All views of the same memory say the same number: see [`same_memory`](Self::same_memory).
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferPool};
    ///
    /// let mut page = BufferPool::new(4096, 1).get(4096)?;
    /// page.extend_from_slice(b"key and a long value");
    /// let mut key = page.freeze().slice(..3);
    /// assert!(key.len() == 3 && key.retained_bytes() >= 4096);
    /// key.compact();
    /// assert!(key == "key" && key.retained_bytes() < 100);
    /// assert_eq!(key.slice(1..1).retained_bytes(), 0);
    /// assert_eq!(Buffer::from("static").retained_bytes(), 0);
    /// # Ok::<(), aegis_memory::AllocError>(())
    /// ```
    pub fn retained_bytes(&self) -> usize {
        // SAFETY: `self` is a handle.
        unsafe { ffi::aegis_buffer_retained_bytes(self.as_raw()) }
    }

    /// Whether two views keep the same memory, so that dropping one of them frees nothing while the
    /// other is there. This is so if they have the same owner, or if the memory of their owners
    /// overlaps. So it is true also for a view whose owner is a handle to the other's bytes
    /// ([`from_owner`](Self::from_owner)), and for one that was a `bytes::Bytes` meanwhile.
    ///
    /// It is false for a view that keeps no memory. It is also false for two owners that have
    /// separate parts of one piece of memory, because the library does not know that.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::Buffer;
    ///
    /// let line = Buffer::from(b"key=value".to_vec());
    /// let (key, value) = (line.slice(..3), line.slice(4..));
    /// assert!(key.same_memory(&value));
    /// assert!(!key.same_memory(&Buffer::copy_from_slice(&key)));
    /// assert!(!key.same_memory(&line.slice(2..2)));
    /// ```
    pub fn same_memory(&self, other: &Self) -> bool {
        // SAFETY: both are handles.
        unsafe { ffi::aegis_buffer_same_memory(self.as_raw(), other.as_raw()) }
    }
}

impl BufferMut {
    /// How many bytes of memory live at least as long as this writer, because it keeps them: as
    /// [`Buffer::retained_bytes`]. A writer without room keeps its memory too.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::{budget::MemoryBudget, buffer::BufferMut};
    ///
    /// let budget = MemoryBudget::new("frames", 1 << 20);
    /// let writer = BufferMut::with_capacity_in(1000, 0, &budget);
    /// assert_eq!(writer.retained_bytes(), budget.used());
    /// ```
    pub fn retained_bytes(&self) -> usize {
        // SAFETY: `self` is a handle.
        unsafe { ffi::aegis_buffer_mut_retained_bytes(self.raw()) }
    }

    /// Whether two writers keep the same memory: as [`Buffer::same_memory`]. Writers that were
    /// [split](Self::split_off) from one another do.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::BufferMut;
    ///
    /// let mut head = BufferMut::with_capacity(100);
    /// let tail = head.split_off(50);
    /// assert!(head.same_memory(&tail));
    /// assert!(!head.same_memory(&BufferMut::with_capacity(100)));
    ///
    /// ```
    pub fn same_memory(&self, other: &Self) -> bool {
        // SAFETY: both are handles.
        unsafe { ffi::aegis_buffer_mut_same_memory(self.raw(), other.raw()) }
    }
}

impl BufferChain {
    /// How many bytes of memory live at least as long as this chain. Memory that several buffers of
    /// the chain share counts once. The call looks at all buffers twice for each piece of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use aegis_memory::buffer::{Buffer, BufferChain};
    ///
    /// let frame = Buffer::from(vec![7; 1000]);
    /// let chain = BufferChain::from([frame.slice(..10), Buffer::from("x"), frame.slice(90..)]);
    /// assert_eq!(chain.retained_bytes(), 1000);
    /// ```
    pub fn retained_bytes(&self) -> usize {
        let mut sum: usize = 0;
        // The pieces are taken in the order of their addresses. What overlaps a piece is a part of
        // it: its base lies in that piece.
        let mut begin = 0;
        while let Some(piece) = self.owners().filter(|owner| owner.base >= begin).min() {
            begin = piece.base.saturating_add(piece.capacity.max(1));
            let inside = self.owners().filter(|owner| (piece.base..begin).contains(&owner.base));
            sum = sum.saturating_add(inside.map(|owner| owner.retained).max().unwrap_or(0));
        }
        sum
    }

    /// The memory of each buffer that has an owner.
    fn owners(&self) -> impl Iterator<Item = Piece> + '_ {
        self.iter().filter(|part| !part.raw().owner.is_null()).map(|part| {
            let owner: *const Owner = part.raw().owner;
            // SAFETY: the handle keeps the owner, and these fields do not change while there are
            // handles.
            let (base, capacity) = unsafe { ((*owner).base as usize, (*owner).capacity_bytes) };
            Piece { base, capacity, retained: part.retained_bytes() }
        })
    }
}

/// The memory of an owner, in the order of addresses.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    base: usize,
    capacity: usize,
    retained: usize,
}
