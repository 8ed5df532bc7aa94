// SPDX-License-Identifier: Apache-2.0
//! Charging the memory of a buffer to another budget, from any handle of it.

use super::view::Buffer;
use super::writer::BufferMut;
use crate::budget::move_methods;

impl Buffer {
    move_methods!(
        aegis_buffer_move_budget,
        (&) self => self.raw(),
        "the whole memory of the buffer, which other handles may share,",
        "[`AllocError::Invalid`](crate::AllocError::Invalid) with \
         [`What::Moving`](crate::What::Moving) while another thread moves the same memory, and in \
         a callback that the move itself calls.",
        "",
        "# Which memory moves",
        "",
        "All that the buffer keeps: [`Buffer::retained_bytes`].",
        "",
        "- Memory on the C heap, with its header.",
        "- The arena behind a buffer that was made of one, with all its blocks.",
        "- A buffer of a [`BufferPool`](crate::buffer::BufferPool). While it is out, the pool's \
         budget does not count it. When the last handle is dropped, the pool's budget takes it \
         back, even above its limit, and no reclaimer and no pressure callback runs for that.",
        "",
        "Other memory, such as that of a `Vec`, a `Bytes` or a mapped file, is charged to no \
         budget. Then the call changes nothing."
    );
}

impl BufferMut {
    move_methods!(
        aegis_buffer_mut_move_budget,
        (&) self => self.raw(),
        "the whole memory of the writer, as [`Buffer::move_to`] does,",
        "As [`Buffer::try_move_to`]."
    );
}
