// SPDX-License-Identifier: Apache-2.0
//! Tests writers: capacity and alignment, filling, splitting, growing, freezing, `io::Write` and
//! `fmt::Write`. A writer must keep its bytes and must move no more of them than go through it. A
//! refused call must change nothing.

use crate::support::{panic_of, writer};
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferMut};
use aegis_memory::{ffi, AllocError};
use std::fmt;
use std::io::{ErrorKind, IoSlice, Write};
use std::ptr;

#[test]
fn with_capacity_is_empty_aligned_and_has_room_for_all() {
    for capacity in [0, 1, 16, 4096, 100_000] {
        let mut writer = BufferMut::with_capacity(capacity);
        assert!(writer.is_empty() && writer.capacity() >= capacity);
        assert_eq!(writer.as_ptr() as usize % 16, 0);
        writer.resize(capacity, 7);
        assert!(writer.len() == capacity && writer.iter().all(|&byte| byte == 7));
    }
    for shift in 0..=21 {
        let align = 1 << shift;
        let writer = BufferMut::with_capacity_aligned(3, align);
        assert_eq!(writer.as_ptr() as usize % align, 0);
    }
}

#[test]
fn impossible_capacities_and_alignments_are_refused() {
    let invalid = |result: Result<BufferMut, AllocError>| {
        assert!(matches!(result, Err(AllocError::InvalidLayout { .. })), "{result:?}");
    };
    invalid(BufferMut::try_with_capacity(usize::MAX));
    invalid(BufferMut::try_with_capacity(isize::MAX as usize));
    invalid(BufferMut::try_with_capacity_aligned(1, 3));
    invalid(BufferMut::try_with_capacity_aligned(1, usize::MAX));
    let message = panic_of(|| BufferMut::with_capacity(usize::MAX));
    assert!(message.starts_with("invalid layout"), "{message}");
    assert!(panic_of(|| BufferMut::with_capacity_aligned(1, 3)).starts_with("invalid layout"));
}

#[test]
fn budget_is_charged_until_the_last_handle_is_gone_and_can_refuse() {
    let budget = MemoryBudget::new("writers", 10_000);
    let mut writer = BufferMut::with_capacity_in(4096, 4096, &budget);
    assert!(budget.used() >= 4096);
    writer.extend_from_slice(b"bytes");
    let view = writer.freeze().slice(1..);
    assert!(budget.used() >= 4096);
    let error = BufferMut::try_with_capacity_in(9000, 0, &budget).unwrap_err();
    assert!(error.to_string().contains("budget 'writers' refused"), "{error}");
    assert!(panic_of(|| BufferMut::with_capacity_in(9000, 0, &budget)).contains("writers"));
    drop(view);
    assert_eq!(budget.used(), 0);
}

#[test]
fn extend_that_does_not_fit_names_the_room_and_writes_nothing() {
    let mut writer = writer(8, b"12345");
    let error = writer.try_extend_from_slice(b"1234").unwrap_err();
    assert!(
        matches!(error, AllocError::Exhausted { requested: 4, capacity: 8, in_use: 5, .. }),
        "{error:?}"
    );
    let message = panic_of(|| writer.extend_from_slice(b"1234"));
    assert_eq!(message, "fixed memory exhausted: 4 bytes requested, 5 of 8 bytes in use");
    assert_eq!(writer, "12345");
    writer.extend_from_slice(b"678");
    writer.extend_from_slice(b"");
    assert_eq!((writer.remaining_capacity(), &*writer), (0, &b"12345678"[..]));
}

#[test]
fn resize_fills_drops_and_refuses() {
    let mut writer = writer(8, b"12");
    writer.resize(5, b'x');
    assert_eq!(writer, "12xxx");
    writer.resize(1, b'y');
    assert_eq!(writer, "1");
    writer.try_resize(8, b'z').unwrap();
    assert!(matches!(writer.try_resize(9, 0), Err(AllocError::Exhausted { requested: 1, .. })));
    assert!(panic_of(|| writer.resize(9, 0)).contains("1 bytes requested"));
    assert_eq!(writer, "1zzzzzzz");
}

#[test]
fn written_bytes_can_be_changed_and_the_room_filled_by_hand() {
    let mut writer = writer(8, b"12345");
    writer[1..3].copy_from_slice(b"xy");
    writer.as_mut().reverse();
    assert_eq!(writer, "54yx1");
    let room = writer.spare_capacity_mut();
    assert_eq!(room.len(), 3);
    room[0].write(b'6');
    // SAFETY: the sixth byte has just been written.
    unsafe { writer.set_len(6) };
    assert_eq!(writer, "54yx16");
    writer.truncate(9);
    writer.truncate(2);
    assert_eq!((&*writer, writer.capacity()), (&b"54"[..], 8));
    writer.clear();
    assert_eq!((writer.len(), writer.capacity()), (0, 8));
}

#[test]
fn freeze_keeps_the_bytes_where_they_are_and_the_way_back_the_room() {
    let writer = writer(100, b"bytes");
    let data = writer.as_ptr();
    let view = writer.freeze();
    assert!(view.as_ptr() == data && view == "bytes" && view.is_unique());
    let writer = view.slice(1..).into_mut();
    assert_ne!(writer.as_ptr() as usize, data as usize + 1, "there was another handle");
    let writer = view.try_into_mut().unwrap();
    assert_eq!((writer.as_ptr(), writer.capacity()), (data, 100));
    let mut view = Buffer::from(writer);
    view.advance(2);
    let writer = view.try_into_mut().unwrap();
    assert_eq!((writer.capacity(), &*writer), (98, &b"tes"[..]));
}

#[test]
fn split_to_gives_bytes_and_keeps_the_room() {
    let mut rest = writer(16, b"headbody");
    let mut head = rest.split_to(4);
    assert_eq!((head.capacity(), rest.capacity()), (4, 12));
    assert!(head.try_extend_from_slice(b"x").is_err(), "the room is another's");
    head[0] = b'H';
    rest.extend_from_slice(b"more");
    assert!(head == "Head" && rest == "bodymore");
    let all = rest.split();
    assert_eq!((&*all, rest.len(), rest.capacity()), (&b"bodymore"[..], 0, 4));
    rest.extend_from_slice(b"last");
    assert!(all.freeze() == "bodymore" && rest.freeze() == "last");
}

#[test]
fn split_off_gives_bytes_and_room_even_of_the_room() {
    let mut front = writer(16, b"headbody");
    let back = front.split_off(4);
    assert_eq!((front.capacity(), back.capacity()), (4, 12));
    assert!(front == "head" && back == "body");
    let mut front = writer(16, b"head");
    let mut back = front.split_off(10);
    assert_eq!((front.capacity(), back.len(), back.capacity()), (10, 0, 6));
    back.extend_from_slice(b"back");
    front.extend_from_slice(b"123456");
    assert!(front == "head123456" && back == "back");
}

#[test]
fn splits_beyond_the_end_panic_and_change_nothing() {
    let mut writer = writer(8, b"12345");
    let message = panic_of(|| writer.split_to(6));
    assert_eq!(message, "a split at 6 is out of bounds of a writer that has written 5 bytes");
    let message = panic_of(|| writer.split_off(9));
    assert_eq!(message, "a split at 9 is out of bounds of a writer with a capacity of 8 bytes");
    assert_eq!((&*writer, writer.capacity()), (&b"12345"[..], 8));
    assert_eq!(writer.split_off(8).capacity(), 0);
    assert_eq!(writer.split_to(5), "12345");
}

#[test]
fn unsplit_joins_neighbours_with_no_room_between() {
    let mut front = writer(16, b"headbody");
    let back = front.split_off(4);
    front.try_unsplit(back).unwrap();
    assert_eq!((&*front, front.capacity()), (&b"headbody"[..], 16));
    front.extend_from_slice(b"12345678");

    let mut front = writer(16, b"head");
    let back = front.split_off(10);
    front.try_unsplit(back).unwrap();
    assert_eq!((&*front, front.capacity()), (&b"head"[..], 16), "rooms join");
    let mut back = front.split_off(10);
    back.extend_from_slice(b"!");
    let mut back = front.try_unsplit(back).expect_err("six bytes between are not written");
    assert_eq!((front.capacity(), back.capacity()), (10, 6));
    back.clear();
    front.resize(10, b'.');
    front.try_unsplit(back).unwrap();
    assert_eq!((&*front, front.capacity()), (&b"head......"[..], 16));

    let other = front.try_unsplit(writer(4, b"else")).unwrap_err();
    assert_eq!(other, "else");
    let nothing = front.split_off(16);
    front.try_unsplit(nothing).unwrap();
}

#[test]
fn unsplit_copies_what_does_not_meet() {
    let mut front = writer(4, b"head");
    front.unsplit(writer(4, b"body"));
    assert_eq!(front, "headbody");
    let back = front.split_off(4);
    let data = back.as_ptr();
    front.unsplit(back);
    assert_eq!((front.as_ptr() as usize + 4, &*front), (data as usize, &b"headbody"[..]));
}

#[test]
fn reserve_stays_where_there_is_room_and_moves_where_not() {
    let mut front = writer(100, b"head");
    let data = front.as_ptr();
    front.reserve(96);
    assert_eq!((front.as_ptr(), front.capacity()), (data, 100));
    let mut rest = front.split_off(4);
    rest.extend_from_slice(b"rest");
    front.reserve(1);
    assert!(front.capacity() >= 5 && front == "head", "the room was another's");
    front.extend_from_slice(b"!");
    assert!(front == "head!" && rest == "rest");
    rest.reserve(96);
    assert_eq!((rest.capacity(), &*rest), (100, &b"rest"[..]), "what was the other's is free now");
    rest.reserve(97);
    assert!(rest.capacity() >= 200 && rest == "rest");

    let mut front = writer(100, b"head");
    let data = front.as_ptr();
    drop(front.split_off(4));
    front.reserve(90);
    assert_eq!((front.as_ptr(), &*front), (data, &b"head"[..]), "nobody has the room any more");
}

#[test]
fn window_that_slides_moves_no_more_bytes_than_go_through_it() {
    for (window, step) in [(1, 1), (100, 1), (4096, 7), (65536, 100)] {
        let mut writer = writer(window, &vec![1; window]);
        let (mut moved, mut appended) = (0, window);
        while appended < 30 * window {
            drop(writer.split_to(step));
            let place = writer.as_ptr();
            writer.reserve(step);
            moved += if place == writer.as_ptr() { 0 } else { writer.len() };
            writer.extend_from_slice(&vec![1; step]);
            appended += step;
        }
        assert!(moved <= appended, "{moved} of {appended} bytes moved, window {window}");
    }
}

#[test]
fn codec_whose_frames_are_kept_takes_new_memory_once_a_capacity() {
    let mut writer = BufferMut::with_capacity(1024);
    let (mut frames, mut allocations) = (Vec::new(), 0);
    for _ in 0..1000 {
        let end = writer.as_ptr_range().start as usize + writer.capacity();
        writer.reserve(16);
        allocations += usize::from(writer.as_ptr() as usize + writer.capacity() != end);
        writer.extend_from_slice(&[1; 16]);
        frames.push(writer.split().freeze());
    }
    assert_eq!(allocations, 16_000 / 1024);
    assert!(frames.iter().all(|frame| **frame == [1; 16]));
}

#[test]
fn reserve_that_fails_changes_nothing() {
    let mut writer = writer(8, b"bytes");
    let data = writer.as_ptr();
    let error = writer.try_reserve(usize::MAX).unwrap_err();
    assert!(matches!(error, AllocError::InvalidLayout { .. }), "{error:?}");
    assert!(panic_of(|| writer.reserve(isize::MAX as usize)).starts_with("invalid layout"));
    let budget = MemoryBudget::new("writers", 1000);
    let error = writer.try_reserve_in(2000, &budget).unwrap_err();
    assert!(error.to_string().contains("budget 'writers' refused"), "{error}");
    assert_eq!((writer.as_ptr(), writer.capacity(), &*writer), (data, 8, &b"bytes"[..]));
    writer.try_reserve_in(100, &budget).unwrap();
    assert!(budget.used() >= 105 && writer == "bytes");
    drop(writer);
    assert_eq!(budget.used(), 0);
}

#[test]
fn io_write_takes_what_fits() {
    let mut writer = BufferMut::with_capacity(8);
    assert_eq!(writer.write(b"12345").unwrap(), 5);
    assert_eq!(writer.write(b"6789").unwrap(), 3);
    assert_eq!(writer.write(b"x").unwrap(), 0);
    assert_eq!(writer.write_all(b"x").unwrap_err().kind(), ErrorKind::WriteZero);
    writer.clear();
    let parts =
        [IoSlice::new(b"123"), IoSlice::new(b""), IoSlice::new(b"456789"), IoSlice::new(b"x")];
    assert_eq!(writer.write_vectored(&parts).unwrap(), 8);
    writer.flush().unwrap();
    assert_eq!(writer, "12345678");
}

#[test]
fn fmt_write_takes_all_of_a_piece_or_nothing() {
    let mut writer = BufferMut::with_capacity(8);
    fmt::Write::write_fmt(&mut writer, format_args!("{}-{}", 12, 34)).unwrap();
    assert!(fmt::Write::write_str(&mut writer, "5678").is_err());
    assert_eq!(writer, "12-34");
}

#[test]
fn writers_compare_as_their_bytes_and_with_views() {
    let (mut a, b) = (writer(8, b"abc"), writer(4, b"abd"));
    assert!(a < b && a != b && a == "abc" && a == b"abc" && a == b"abc"[..]);
    let (view, vec) = (Buffer::from("abc"), Vec::from(*b"abc"));
    assert_eq!([view == a, a == view, vec == a, a == vec], [true; 4]);
    let bytes: &mut [u8] = std::borrow::BorrowMut::borrow_mut(&mut a);
    bytes[2] = b'd';
    assert_eq!(a, b);
}

#[test]
fn raw_writer_comes_back_and_c_can_append_meanwhile() {
    let mut rust = writer(16, b"rust");
    // SAFETY: a live writer with room.
    let status = unsafe { ffi::aegis_buffer_mut_append(rust.as_raw(), b"+c".as_ptr().cast(), 2) };
    assert_eq!((status, &*rust), (0, &b"rust+c"[..]));
    let mut raw = rust.into_raw();
    // SAFETY: a live writer of which this is the only use.
    unsafe { BufferMut::borrow_raw(&mut raw) }.extend_from_slice(b"+rust");
    // SAFETY: the handle was just given away to us.
    let rust = unsafe { BufferMut::from_raw(raw) };
    assert_eq!(rust, "rust+c+rust");

    let mut raw = ffi::aegis_buffer_mut {
        data: ptr::null_mut(),
        length: 0,
        capacity: 0,
        owner: ptr::null_mut(),
        initialized: 0,
    };
    // SAFETY: room for a writer, no budget, no error wanted.
    let status =
        unsafe { ffi::aegis_buffer_mut_alloc(&mut raw, 10, 0, ptr::null_mut(), ptr::null_mut()) };
    assert_eq!(status, 0);
    // SAFETY: C has just made it.
    let mut writer = unsafe { BufferMut::from_raw(raw) };
    writer.extend_from_slice(b"made in C");
    assert_eq!(writer.freeze(), "made in C");
}

#[test]
fn own_bytes_are_repeated_if_they_fit() {
    let mut writer = writer(8, b"abc");
    writer.extend_from_within(1..);
    writer.extend_from_within(..=1);
    writer.extend_from_within(7..);
    assert_eq!(writer, "abcbcab");
    let error = writer.try_extend_from_within(..2).unwrap_err();
    assert!(matches!(error, AllocError::Exhausted { requested: 2, .. }), "{error:?}");
    writer.extend_from_within(6..7);
    assert_eq!(writer, "abcbcabb");
    let message = panic_of(|| writer.extend_from_within(3..9));
    assert_eq!(message, "range 3..9 is out of bounds of a buffer of 8 bytes");
    assert_eq!(writer, "abcbcabb");
}

#[test]
fn advance_drops_bytes_at_the_front_and_reclaim_brings_their_place_back() {
    let mut writer = writer(16, b"0123456789");
    let data = writer.as_ptr();
    writer.advance(0);
    writer.advance(6);
    assert_eq!((&*writer, writer.capacity()), (&b"6789"[..], 10));
    assert_eq!(writer.as_ptr(), data.wrapping_add(6));
    let message = panic_of(|| writer.advance(5));
    assert_eq!(message, "an advance by 5 is out of bounds of a writer that has written 4 bytes");
    assert!(writer.try_reclaim(12) && writer.as_ptr() == data);
    assert_eq!((&*writer, writer.capacity()), (&b"6789"[..], 16));
    writer.advance(4);
    assert!(writer.is_empty() && writer.try_reclaim(16));
    assert_eq!(writer.read_from(&mut &b"read into room that a reader saw"[..]).unwrap(), 16);
    writer.advance(16);
    assert_eq!((writer.capacity(), writer.remaining_capacity()), (0, 0));
}

#[test]
fn reclaim_never_takes_new_memory() {
    // The example of `BytesMut::try_reclaim`.
    let mut rest = BufferMut::with_capacity(64);
    assert!(rest.try_reclaim(64));
    rest.extend_from_slice(b"abcd");
    let mut split = rest.split();
    assert_eq!((rest.capacity(), split.capacity()), (60, 4));
    assert!(!split.try_reclaim(64) && !rest.try_reclaim(64) && !split.try_reclaim(4));
    assert!(rest.try_reclaim(60));
    drop(rest);
    assert!(!split.try_reclaim(64));
    split.clear();
    assert!(split.capacity() == 4 && split.try_reclaim(64) && split.capacity() == 64);
    assert!(!split.try_reclaim(65) && !split.try_reclaim(usize::MAX));
}

#[test]
fn aligned_reserve_aligns_the_first_byte() {
    let mut block = BufferMut::with_capacity_aligned(8192, 4096);
    block.extend_from_slice(b"head and body");
    let data = block.as_ptr();
    block.advance(5);
    block.reserve_aligned(100, 1);
    assert_eq!(block.as_ptr(), data.wrapping_add(5), "it is aligned to 1");
    let mut moved = block.split();
    block.reserve_aligned(4096, 4096);
    assert!(block.as_ptr() != data && block.capacity() >= 4096, "the memory is shared");
    assert_eq!(block.as_ptr() as usize % 4096, 0);
    moved.reserve_aligned(0, 16);
    assert_eq!((moved.as_ptr() as usize % 16, &*moved), (0, &b"and body"[..]));
    moved.clear();
    moved.reserve_aligned(1000, 1 << 16);
    assert_eq!(moved.as_ptr() as usize % (1 << 16), 0);
    let error = moved.try_reserve_aligned(1, 3).unwrap_err();
    assert!(matches!(error, AllocError::InvalidLayout { align: 3, .. }), "{error:?}");
    let budget = MemoryBudget::new("blocks", 100);
    assert!(moved.try_reserve_aligned_in(1 << 20, 64, &budget).is_err());
    budget.set_limit(MemoryBudget::UNLIMITED);
    moved.try_reserve_aligned_in(1 << 20, 64, &budget).unwrap();
    assert_eq!(moved.retained_bytes(), budget.used());
}

#[test]
fn aligning_a_writer_that_has_the_room_takes_no_more_memory_than_it_has() {
    let mut input = writer(256, &[7; 100]);
    for left in (50..100).rev() {
        input.advance(1);
        input.reserve_aligned(0, 64);
        assert_eq!((input.len(), input.as_ptr() as usize % 64), (left, 0));
        assert!(input.capacity() <= 256, "{} bytes for {left}", input.capacity());
    }
}

#[test]
fn pointer_is_good_for_the_whole_capacity() {
    let mut writer = writer(16, b"head");
    let data = writer.as_mut_ptr();
    assert_eq!(data.cast_const(), writer.as_ptr());
    // SAFETY: there are 12 bytes of room, which are written before they are counted.
    unsafe {
        data.add(4).write_bytes(b'x', 12);
        writer.set_len(16);
    }
    assert_eq!(writer, "headxxxxxxxxxxxx");
    // What was initialised before may hold anything after the call.
    writer.truncate(4);
    writer.as_mut_ptr();
    assert_eq!(writer.read_from(&mut Lies).unwrap(), 12);
    assert_eq!(writer, b"head\0\0\0\0\0\0\0\0\0\0\0\0");
}

/// Claims to have read all, and stores nothing.
struct Lies;

impl std::io::Read for Lies {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        Ok(into.len())
    }
}
