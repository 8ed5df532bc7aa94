// SPDX-License-Identifier: Apache-2.0
//! A slice whose length is known only when its last item has come.
//!
//! The file is longer than 500 lines, because the guards of the loop and of the pieces hand the items on
//! to each other.
//!
//! An iterator that says exactly how many items it has gets room for these, and a loop fills it. All
//! other items, also those of an iterator that was wrong, are gathered in pieces:
//!
//! 1. The first items are on the stack, except when the caller knows that the slice will be larger.
//!    Most slices end there: they take their exact room from the arena once. When the stack is full,
//!    its items move to the first piece in the arena.
//! 2. A piece that is full grows in place if it is the latest allocation of its arena and its block
//!    has room.
//! 3. Otherwise the items that follow go into another piece, which has room for a quarter of all
//!    items so far. This happens when the iterator allocates from the same arena.
//!
//! At the end one piece is the slice. Several are copied into room for all items. So a slice of `n`
//! bytes takes at most about `2.25 * n` bytes of the arena. A slice that moves to twice its size
//! when it is full takes up to `4 * n`.

use core::alloc::Layout;
use core::fmt::{self, Write};
use core::marker::PhantomData;
use core::mem::{align_of, forget, needs_drop, size_of, MaybeUninit};
use core::ptr::{self, NonNull};

use super::forms::{array, copy, too_large, Allocate};
use crate::error::{AllocError, AllocOrInitError};

/// Collects the items of an iterator into a slice.
pub(super) fn collect<A: Allocate, T>(
    arena: &A,
    iter: impl IntoIterator<Item = T>,
) -> Result<NonNull<[T]>, AllocError> {
    let mut iter = iter.into_iter();
    match iter.size_hint() {
        (count, Some(most)) if count == most && size_of::<T>() != 0 => {
            collect_exact(arena, iter, count)
        }
        hint => {
            let mut stage = Stage::new();
            let mut list = Gather::of_hint(&mut stage, arena, hint)?;
            list.extend(&mut iter)?;
            list.finish()
        }
    }
}

/// Collects the items of an iterator that says it has `count`. If it has more or fewer, the slice
/// becomes as any other from there on.
#[inline]
fn collect_exact<A: Allocate, T>(
    arena: &A,
    mut iter: impl Iterator<Item = T>,
    count: usize,
) -> Result<NonNull<[T]>, AllocError> {
    let items = array::<A, T>(arena, count)?;
    let mut counted = Counted { arena, items, count, len: 0 };
    while counted.len < count {
        let Some(item) = iter.next() else { return finish_early(counted) };
        // SAFETY: there is room for `count` items.
        unsafe { items.as_ptr().add(counted.len).write(item) };
        counted.len += 1;
    }
    if let Some(item) = iter.next() {
        return append_more(counted, item, iter);
    }
    forget(counted);
    Ok(NonNull::slice_from_raw_parts(items, count))
}

#[cold]
fn finish_early<A: Allocate, T>(counted: Counted<'_, A, T>) -> Result<NonNull<[T]>, AllocError> {
    counted.into_gather().finish()
}

/// Appends an item that has no room, and those that follow.
#[cold]
fn append_more<A: Allocate, T>(
    counted: Counted<'_, A, T>,
    item: T,
    mut iter: impl Iterator<Item = T>,
) -> Result<NonNull<[T]>, AllocError> {
    let mut list = counted.into_gather();
    list.push(item, || iter.size_hint())?;
    list.extend(&mut iter)?;
    list.finish()
}

/// The slice of an iterator that has said how many items it has. Its drop is that of a [`Gather`].
/// It is smaller than one, so that a compiler has it in registers.
struct Counted<'a, A: Allocate, T> {
    arena: &'a A,
    items: NonNull<T>,
    count: usize,
    len: usize,
}

impl<'a, A: Allocate, T> Counted<'a, A, T> {
    fn gather(&self) -> Gather<'a, A, T> {
        let items = self.items.cast();
        let room = Some((items, self.count * size_of::<T>()));
        let piece = Piece { room, offset: 0, items, len: self.len };
        Gather { arena: self.arena, piece, capacity: self.count, before: 0, _stage: PhantomData }
    }

    fn into_gather(self) -> Gather<'a, A, T> {
        let list = self.gather();
        forget(self);
        list
    }
}

impl<A: Allocate, T> Drop for Counted<'_, A, T> {
    #[cold]
    fn drop(&mut self) {
        drop(self.gather());
    }
}

/// Collects the items of an iterator into a slice, up to the first error.
pub(super) fn try_collect<A: Allocate, T, E>(
    arena: &A,
    iter: impl IntoIterator<Item = Result<T, E>>,
) -> Result<NonNull<[T]>, AllocOrInitError<E>> {
    let mut iter = iter.into_iter();
    let mut stage = Stage::new();
    let mut list = Gather::of_hint(&mut stage, arena, iter.size_hint())?;
    while let Some(item) = iter.next() {
        list.push(item.map_err(AllocOrInitError::Init)?, || iter.size_hint())?;
    }
    Ok(list.finish()?)
}

/// Formats a text, which is UTF-8.
///
/// # Panics
///
/// When a `Display` in `text` returns an error that is not a failed allocation of this arena.
pub(super) fn format<A: Allocate>(
    arena: &A,
    text: fmt::Arguments<'_>,
) -> Result<NonNull<[u8]>, AllocError> {
    struct Writer<'a, A: Allocate> {
        bytes: Gather<'a, A, u8>,
        refusal: Option<AllocError>,
    }
    impl<A: Allocate> Write for Writer<'_, A> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            if self.refusal.is_some() {
                return Err(fmt::Error);
            }
            self.bytes.extend_from_slice(text.as_bytes()).map_err(|refusal| {
                self.refusal = Some(refusal);
                fmt::Error
            })
        }
    }
    if let Some(text) = text.as_str() {
        return copy(arena, text.as_bytes());
    }
    let mut stage = Stage::new();
    let mut writer = Writer { bytes: Gather::on(&mut stage, arena), refusal: None };
    let result = writer.write_fmt(text);
    // A `Display` may have ignored the error. Then a piece of the text is missing.
    if let Some(refusal) = writer.refusal {
        return Err(refusal);
    }
    assert!(result.is_ok(), "a Display implementation returned an error");
    writer.bytes.finish()
}

/// Room on the stack for the first items.
#[repr(align(16))]
struct Stage(MaybeUninit<[u8; Self::BYTES]>);

impl Stage {
    const BYTES: usize = 512;

    const fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Items of type `T` that fit.
    const fn room_for<T>() -> usize {
        match size_of::<T>() {
            0 => usize::MAX,
            _ if align_of::<T>() > align_of::<Self>() => 0,
            size => Self::BYTES / size,
        }
    }

    fn start(&mut self) -> NonNull<u8> {
        NonNull::from(&mut self.0).cast()
    }
}

/// How many items follow: at least, and at most if that is known, as `Iterator::size_hint` says.
type Hint = (usize, Option<usize>);

/// A piece. If it is not the first one in the arena, its room begins with the record of the piece
/// before it.
#[derive(Clone, Copy)]
struct Piece {
    /// Its room in the arena. `None` for the stage.
    room: Option<(NonNull<u8>, usize)>,
    /// Bytes of the room before the first item: 0 if no piece is before it.
    offset: usize,
    items: NonNull<u8>,
    len: usize,
}

/// A slice under construction. When it is dropped before it is finished, it drops its items and gives
/// its room back.
struct Gather<'a, A: Allocate, T> {
    arena: &'a A,
    /// The piece that the next item goes into.
    piece: Piece,
    /// Items that the piece has room for.
    capacity: usize,
    /// Items in the pieces before it.
    before: usize,
    _stage: PhantomData<(&'a mut Stage, T)>,
}

impl<'a, A: Allocate, T> Gather<'a, A, T> {
    /// A slice whose first items go to the stage.
    fn on(stage: &'a mut Stage, arena: &'a A) -> Self {
        let capacity = Stage::room_for::<T>();
        let is_stage = size_of::<T>() != 0 && capacity != 0;
        let items = if is_stage { stage.start() } else { NonNull::<T>::dangling().cast() };
        let piece = Piece { room: None, offset: 0, items, len: 0 };
        Self { arena, piece, capacity, before: 0, _stage: PhantomData }
    }

    /// A slice of the items that follow. If they are known to be more than the stage has room for,
    /// or their number is known, they have room in the arena from the start. So a slice never moves
    /// if its hint is exact, or if its upper bound is at most twice a lower bound above the stage.
    fn of_hint(
        stage: &'a mut Stage,
        arena: &'a A,
        (least, most): Hint,
    ) -> Result<Self, AllocError> {
        let mut list = Self::on(stage, arena);
        let is_exact = most == Some(least);
        if size_of::<T>() == 0 || !is_exact && least <= list.capacity {
            return Ok(list);
        }
        // What stays unused then is at most as much as the copy of two pieces would take.
        let roomy = most.filter(|most| *most > least && most / 2 <= least).unwrap_or(least);
        or_less(roomy, least, |capacity| list.begin(capacity))?;
        Ok(list)
    }

    /// Takes the room of the first piece in the arena.
    fn begin(&mut self, capacity: usize) -> Result<(), AllocError> {
        let items = array::<A, T>(self.arena, capacity)?.cast();
        let bytes = capacity * size_of::<T>();
        self.piece = Piece { room: Some((items, bytes)), offset: 0, items, len: 0 };
        self.capacity = capacity;
        Ok(())
    }

    /// Appends an item. `hint` says how many follow it.
    #[inline(always)]
    fn push(&mut self, item: T, hint: impl FnOnce() -> Hint) -> Result<(), AllocError> {
        if self.piece.len == self.capacity {
            let (least, most) = hint();
            let plus_this = |count: usize| count.saturating_add(1);
            self.make_room(1, (plus_this(least), most.map(plus_this)))?;
        }
        // SAFETY: the piece has room for the item, and no other code has a pointer to it.
        unsafe { self.piece.items.cast::<T>().as_ptr().add(self.piece.len).write(item) };
        self.piece.len += 1;
        Ok(())
    }

    /// Appends the items of an iterator.
    #[inline]
    fn extend(&mut self, iter: &mut impl Iterator<Item = T>) -> Result<(), AllocError> {
        while let Some(item) = iter.next() {
            self.push(item, || iter.size_hint())?;
        }
        Ok(())
    }

    /// Appends copies of items that need not be initialised.
    fn extend_from_slice(&mut self, items: &[T]) -> Result<(), AllocError>
    where
        T: Copy,
    {
        if items.len() > self.capacity - self.piece.len {
            self.make_room(items.len(), (items.len(), None))?;
        }
        // SAFETY: as in `push`.
        unsafe {
            let end = self.piece.items.cast::<T>().as_ptr().add(self.piece.len);
            ptr::copy_nonoverlapping(items.as_ptr(), end, items.len());
        }
        self.piece.len += items.len();
        Ok(())
    }

    /// Makes room for `more` items at once, and for those that follow as the hint says.
    #[cold]
    fn make_room(&mut self, more: usize, (least, most): Hint) -> Result<(), AllocError> {
        let most = most.unwrap_or(usize::MAX).max(least);
        let step = |grown: usize| grown.max(least).min(most).max(more);
        let total = self.before + self.piece.len;
        if self.piece.room.is_none() {
            let leave = |step: usize| self.leave_stage(total.saturating_add(step));
            return or_less(step(total), more, leave);
        }
        if self.grow_in_place(more, step(self.capacity)) {
            return Ok(());
        }
        let few = Stage::BYTES / size_of::<T>().max(1);
        or_less(step((total / 4).max(few)), more, |step| self.begin_another(step))
    }

    /// Moves the items of the stage to the first piece in the arena.
    fn leave_stage(&mut self, capacity: usize) -> Result<(), AllocError> {
        let Piece { items, len, .. } = self.piece;
        self.begin(capacity)?;
        // SAFETY: the stage holds the items, and the new room is larger.
        unsafe {
            ptr::copy_nonoverlapping(
                items.as_ptr(),
                self.piece.items.as_ptr(),
                len * size_of::<T>(),
            )
        };
        self.piece.len = len;
        Ok(())
    }

    /// Gives the piece room for up to `step` more items, and at least for `more`, where it is.
    fn grow_in_place(&mut self, more: usize, mut step: usize) -> bool {
        if self.extend_by(step) {
            return true;
        }
        if step <= more || !self.extend_by(more) {
            return false;
        }
        // The block ends within `step`: the piece takes most of what is left.
        while step > 1 {
            step /= 2;
            self.extend_by(step);
        }
        true
    }

    /// Gives the piece room for exactly this number of items more, or returns `false`.
    fn extend_by(&mut self, more: usize) -> bool {
        let Some((room, bytes)) = self.piece.room else { return false };
        let capacity = self.capacity.saturating_add(more);
        let Some(grown) = bytes_of::<T>(self.piece.offset, capacity) else { return false };
        // SAFETY: the room is an allocation of this arena with this size.
        let extended = unsafe { self.arena.resize_in_place(room, bytes, grown) };
        if extended {
            self.piece.room = Some((room, grown));
            self.capacity = capacity;
        }
        extended
    }

    /// Begins another piece, with room for `capacity` items.
    fn begin_another(&mut self, capacity: usize) -> Result<(), AllocError> {
        let (layout, offset) = Layout::array::<T>(capacity)
            .and_then(|items| Layout::new::<Piece>().extend(items))
            .map_err(|_| too_large::<T>(capacity))?;
        let room = self.arena.take_regrown(layout)?;
        // SAFETY: the room begins with a place for a record, at which it is aligned.
        unsafe { room.cast::<Piece>().as_ptr().write(self.piece) };
        // SAFETY: the items begin within the room.
        let items = unsafe { NonNull::new_unchecked(room.as_ptr().add(offset)) };
        self.before += self.piece.len;
        self.piece = Piece { room: Some((room, layout.size())), offset, items, len: 0 };
        self.capacity = capacity;
        Ok(())
    }

    /// The slice of all items. Room that is left over behind it is given back, if the slice is the
    /// latest allocation of the arena.
    fn finish(self) -> Result<NonNull<[T]>, AllocError> {
        let len = self.before + self.piece.len;
        let start = match self.piece.room {
            Some((room, bytes)) if self.before == 0 && self.piece.offset == 0 => {
                let used = len * size_of::<T>();
                if used != bytes {
                    // SAFETY: the room is an allocation of this arena with this size.
                    unsafe { self.arena.resize_in_place(room, bytes, used) };
                }
                forget(self);
                room.cast()
            }
            _ => self.unite(len)?,
        };
        Ok(NonNull::slice_from_raw_parts(start, len))
    }

    /// Copies all `len` items into one place, and gives back the room of the pieces.
    #[cold]
    fn unite(self, len: usize) -> Result<NonNull<T>, AllocError> {
        if let Some(start) = self.unite_in_latest(len * size_of::<T>()) {
            forget(self);
            return Ok(start);
        }
        let start = array::<A, T>(self.arena, len)?;
        // SAFETY: new room for the items of all pieces.
        unsafe { self.copy_pieces(Some(self.piece), start.as_ptr(), len) };
        self.give_back(Some(self.piece));
        // The items have moved.
        forget(self);
        Ok(start)
    }

    /// As [`unite`](Self::unite), in the room of the latest piece, if this room is large enough or
    /// can grow so far in place. `bytes` is the size of all items.
    fn unite_in_latest(&self, bytes: usize) -> Option<NonNull<T>> {
        let (room, room_bytes) = self.piece.room?;
        // SAFETY: the room is an allocation of this arena with this size.
        let resize = |old, new| unsafe { self.arena.resize_in_place(room, old, new) };
        if bytes > room_bytes && !resize(room_bytes, bytes) {
            return None;
        }
        let start = room.cast::<T>();
        // The items that move may lie over the record, so it is read before.
        let previous = self.piece.previous();
        // SAFETY: the room is large enough for all items: those of the other pieces come before
        // those of this one.
        unsafe {
            let items = self.piece.items.cast::<T>().as_ptr();
            ptr::copy(items, start.as_ptr().add(self.before), self.piece.len);
            self.copy_pieces(previous, start.as_ptr(), self.before);
        }
        self.give_back(previous);
        if bytes < room_bytes {
            resize(room_bytes, bytes);
        }
        Some(start)
    }

    /// Copies the items of a piece and of those before it. They are `len` in all.
    ///
    /// # Safety
    ///
    /// - `to` has room for `len` items, and overlaps none of these pieces.
    unsafe fn copy_pieces(&self, mut piece: Option<Piece>, to: *mut T, len: usize) {
        let mut end = len;
        while let Some(latest) = piece {
            end -= latest.len;
            // SAFETY: the caller vouches for the room, and the piece holds this number of items.
            unsafe {
                ptr::copy_nonoverlapping(latest.items.cast().as_ptr(), to.add(end), latest.len);
            }
            piece = latest.previous();
        }
    }

    /// Gives back the room of a piece and of those before it, the newest first.
    fn give_back(&self, mut piece: Option<Piece>) {
        while let Some(latest) = piece {
            // The record is in the room that is given back.
            piece = latest.previous();
            if let Some((room, bytes)) = latest.room {
                // SAFETY: the room is an allocation of this arena with this size, and is not used
                // afterwards.
                unsafe { self.arena.give_back(room, bytes) };
            }
        }
    }
}

impl<A: Allocate, T> Drop for Gather<'_, A, T> {
    fn drop(&mut self) {
        struct GiveBack<'a, 'b, A: Allocate, T>(&'a Gather<'b, A, T>);
        impl<A: Allocate, T> Drop for GiveBack<'_, '_, A, T> {
            fn drop(&mut self) {
                self.0.give_back(Some(self.0.piece));
            }
        }
        // The room is given back even if the drop of an item panics.
        let room = GiveBack(self);
        if needs_drop::<T>() {
            drop(Items::<T>(Some(room.0.piece), PhantomData));
        }
    }
}

/// The items of a piece and of those before it. The drop drops them, the oldest first, and goes on
/// if the drop of one panics. Each piece adds a quarter to the items, so there are few pieces.
struct Items<T>(Option<Piece>, PhantomData<T>);

impl<T> Drop for Items<T> {
    fn drop(&mut self) {
        struct These<T>(*mut [T]);
        impl<T> Drop for These<T> {
            fn drop(&mut self) {
                // SAFETY: the piece holds these items, which are not used again.
                unsafe { self.0.drop_in_place() }
            }
        }
        let Some(piece) = self.0 else { return };
        let items = piece.items.cast::<T>().as_ptr();
        let _after = These(ptr::slice_from_raw_parts_mut(items, piece.len));
        drop(Self(piece.previous(), PhantomData));
    }
}

impl Piece {
    /// The record of the piece before this one.
    fn previous(&self) -> Option<Self> {
        let (room, _) = self.room.filter(|_| self.offset != 0)?;
        // SAFETY: `begin_another` has written the record. It stays there while this piece is the
        // latest one or the record of this piece is.
        Some(unsafe { room.cast::<Self>().as_ptr().read() })
    }
}

/// Takes room for `wanted` items or, if there is not so much, for `least`. It does not ask again if
/// the heap had no memory for the record of the first error: that error says so.
fn or_less(
    wanted: usize,
    least: usize,
    mut take: impl FnMut(usize) -> Result<(), AllocError>,
) -> Result<(), AllocError> {
    match take(wanted) {
        Err(error @ AllocError::LimitExceeded { refusal: None, .. }) => Err(error),
        Err(_) if wanted > least => take(least),
        result => result,
    }
}

/// The bytes of a room for this number of items behind `offset`, if they are not too many.
fn bytes_of<T>(offset: usize, capacity: usize) -> Option<usize> {
    let bytes = capacity.checked_mul(size_of::<T>())?.checked_add(offset)?;
    (bytes <= isize::MAX as usize).then_some(bytes)
}
