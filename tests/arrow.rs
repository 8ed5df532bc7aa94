// SPDX-License-Identifier: Apache-2.0
//! Tests arrow's buffers in our memory and the reverse: bytes that stay at their place whatever
//! owns them, owners that live exactly as long as the last handle of either kind, builders in
//! pages, and budgets that count what arrow claims.
#![cfg(feature = "arrow")]

use std::mem::size_of;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;

use aegis_memory::arena::Arena;
use aegis_memory::budget::{MemoryBudget, Reservation};
use aegis_memory::buffer::{BitmapBuilder, Buffer, BufferMut, BufferPool, ScalarBuilder};
use aegis_memory::AllocError;
use arrow_buffer::{i256, BooleanBuffer, MemoryPool, MemoryReservation, NullBuffer, ScalarBuffer};
use static_assertions::{assert_impl_all, assert_not_impl_any};

type Arrow = arrow_buffer::Buffer;

assert_impl_all!(ScalarBuilder<i32>: Send, Sync);
assert_not_impl_any!(ScalarBuilder<i32>: Clone);
assert_impl_all!(BitmapBuilder: Send, Sync);

/// A page with these bytes.
fn page(pool: &BufferPool, bytes: &[u8]) -> Buffer {
    let mut page = pool.get(4096).expect("a free page");
    page.extend_from_slice(bytes);
    page.freeze()
}

fn in_use(pool: &BufferPool) -> usize {
    pool.stats().classes[0].in_use
}

#[test]
fn any_owner_becomes_an_arrow_buffer_at_the_same_place() {
    let shared: Arc<[u8]> = Arc::from(&b"0123456789abcdef"[..]);
    let pool = BufferPool::new(4096, 1);
    // SAFETY: nobody changes the crate's files.
    let mapped = unsafe { Buffer::map_file("Cargo.toml") }.expect("a regular file");
    let buffers = [
        Buffer::copy_from_slice(&shared),
        Buffer::from(shared.to_vec()),
        Buffer::from_static(b"0123456789abcdef"),
        Buffer::from_owner(Arc::clone(&shared)),
        Buffer::from_arena(Arena::new(4096), |arena| arena.alloc_slice_copy(&shared)),
        page(&pool, &shared),
        mapped,
    ];
    for buffer in buffers {
        let (place, content) = (buffer.as_ptr(), buffer.to_vec());
        let arrow = Arrow::from(buffer.clone());
        assert_eq!((arrow.as_ptr(), arrow.as_slice()), (place, &content[..]));
        assert_eq!((arrow.capacity(), arrow.ptr_offset()), (content.len(), 0));
        let part = Arrow::from(buffer.slice(3..9));
        assert_eq!(part.as_ptr(), place.wrapping_add(3));
        drop(buffer);
        assert_eq!(part.as_slice(), &content[3..9]);
        let other = arrow.clone();
        drop(arrow);
        let seen = thread::spawn(move || other.slice(1).to_vec()).join().expect("no panic");
        assert_eq!(seen, content[1..]);
    }
    assert_eq!((in_use(&pool), Arc::strong_count(&shared)), (0, 1));
}

#[test]
fn arrow_cannot_write_or_reallocate_our_memory() {
    let mut arrow = Arrow::from(Buffer::from(vec![1_u8; 64]));
    let place = arrow.as_ptr();
    arrow.shrink_to_fit();
    assert_eq!((arrow.as_ptr(), arrow.len()), (place, 64));
    let arrow = arrow.into_mutable().expect_err("it is not arrow's memory");
    let arrow = arrow.into_vec::<u8>().expect_err("it is not a vector of arrow");
    assert_eq!(arrow.as_ptr(), place);
}

#[test]
fn no_bytes_keep_no_memory() {
    let pool = BufferPool::new(4096, 1);
    let empty = Arrow::from(page(&pool, b"x").slice(1..));
    assert!(empty.is_empty() && in_use(&pool) == 0);
    assert_eq!(ScalarBuffer::<i64>::from(empty).len(), 0);
    assert_eq!(ScalarBuilder::<i64>::new(pool.get(4096).unwrap()).finish().len(), 0);
    assert_eq!(in_use(&pool), 0);
    let column = Arrow::from_vec(vec![1_u8]);
    assert!(Buffer::from(column.slice(1)).is_empty() && column.strong_count() == 1);
}

#[test]
fn slice_that_is_not_aligned_is_refused_by_arrow_and_an_aligned_one_is_not() {
    let pool = BufferPool::new(4096, 1);
    let page = page(&pool, &[7; 64]);
    let words = ScalarBuffer::<u64>::from(Arrow::from(page.slice(8..)));
    assert_eq!(&*words, &[0x0707_0707_0707_0707; 7]);
    let part = Arrow::from(page.slice(4..60));
    assert!(catch_unwind(AssertUnwindSafe(|| ScalarBuffer::<u64>::from(part))).is_err());
    drop((page, words));
    assert_eq!(in_use(&pool), 0);
}

#[test]
fn arrow_buffer_that_became_ours_is_given_back_as_itself() {
    let column = Arrow::from_vec((0..100_u32).collect::<Vec<_>>());
    let part = column.slice_with_length(40, 80);
    let ours = Buffer::from(part.clone());
    assert_eq!((ours.as_ptr(), ours.len()), (part.as_ptr(), 80));
    assert_eq!(ours.retained_bytes(), column.capacity());
    let handles = column.strong_count();
    let back = Arrow::from(ours.slice(8..16));
    assert!(back.ptr_eq(&column.slice_with_length(48, 8)));
    assert_eq!((back.data_ptr(), back.ptr_offset()), (column.data_ptr(), 48));
    drop((ours, part));
    assert_eq!(column.strong_count(), handles - 1, "`back` is a handle, `ours` and `part` are not");
    // All views of it ended, so arrow may write it again.
    drop(back);
    assert!(column.into_mutable().is_ok());
}

#[test]
fn buffer_that_became_arrows_knows_its_memory_when_it_comes_back() {
    let pool = BufferPool::new(4096, 1);
    let ours = page(&pool, &[1; 100]);
    let retained = ours.retained_bytes();
    let back = Buffer::from(Arrow::from(ours.clone()).slice(50));
    assert_eq!((back.as_ptr(), back.len()), (ours[50..].as_ptr(), 50));
    assert!(back.retained_bytes() == retained && back.same_memory(&ours));
    // The same memory through both kinds of handles, again and again.
    let mut again = back.clone();
    for _ in 0..100 {
        again = Buffer::from(Arrow::from(again));
    }
    assert_eq!(again.as_ptr(), back.as_ptr());
    let back = back.try_into_mut().expect_err("it is shared, and arrow's");
    drop((ours, back));
    assert_eq!(in_use(&pool), 1);
    drop(again);
    assert_eq!(in_use(&pool), 0);
}

#[cfg(feature = "bytes")]
#[test]
fn handles_of_bytes_and_of_arrow_are_told_apart() {
    use bytes::Bytes;
    let bytes = Bytes::from(vec![3_u8; 32]);
    let arrow = Arrow::from(Buffer::from(bytes.clone()));
    assert_eq!(arrow.as_ptr(), bytes.as_ptr());
    let back = Bytes::from(Buffer::from(arrow.clone()));
    assert_eq!(back.as_ptr(), bytes.as_ptr());
    drop((arrow, bytes));
    assert_eq!(back, [3; 32][..]);
    assert!(back.try_into_mut().is_err(), "it is a buffer's memory");
}

/// Builds `values` in a page, and demands them back, at the page's first byte.
fn build_and_compare<T>(pool: &BufferPool, values: &[T])
where
    T: arrow_buffer::ArrowNativeType,
{
    let writer = pool.get(4096).expect("a free page");
    let place = writer.as_ptr();
    let mut builder = ScalarBuilder::<T>::new(writer);
    assert_eq!(builder.capacity(), 4096 / size_of::<T>());
    builder.append(values[0]);
    builder.append_slice(&values[1..]);
    builder.extend(values.iter().copied());
    builder.append_n(3, values[0]);
    builder[1] = values[0];
    builder.truncate(2 * values.len() + 2);
    let mut expected = [values, values, &values[..1], &values[..1]].concat();
    expected[1] = values[0];
    assert_eq!(&*builder, &expected[..]);
    let built = builder.finish();
    assert_eq!((&*built, built.inner().as_ptr()), (&expected[..], place));
}

#[test]
fn values_of_each_width_are_built_in_a_page() {
    let pool = BufferPool::new(4096, 1);
    build_and_compare::<u8>(&pool, &[1, 2, 3]);
    build_and_compare::<i16>(&pool, &[-1, 2, 3]);
    build_and_compare::<f32>(&pool, &[-0.5, 2.0, f32::MAX]);
    build_and_compare::<i64>(&pool, &[i64::MIN, 2, 3]);
    build_and_compare::<i128>(&pool, &[i128::MIN, 2, 3]);
    build_and_compare::<i256>(&pool, &[i256::MIN, i256::ONE, i256::ZERO]);
    assert_eq!(in_use(&pool), 0);
}

#[test]
fn full_builder_refuses_and_keeps_what_it_has() {
    let mut builder = ScalarBuilder::<u64>::new(BufferMut::with_capacity_aligned(20, 64));
    assert_eq!(builder.capacity(), 2);
    builder.append(1);
    let full = |result| match result {
        Err(AllocError::Exhausted { requested, in_use, .. }) => (requested, in_use),
        other => panic!("{other:?}"),
    };
    assert_eq!(full(builder.try_append_slice(&[2, 3])), (16, 8));
    assert_eq!(full(builder.try_append_n(2, 2)), (16, 8));
    assert!(builder.try_append_n(usize::MAX / 4, 2).is_err());
    builder.append(2);
    assert_eq!(full(builder.try_append(3)), (8, 16));
    assert_eq!(format!("{builder:?}"), "[1, 2]");
    let panic = catch_unwind(AssertUnwindSafe(|| builder.extend(std::iter::once(3))));
    assert!(panic.is_err());
    assert_eq!(builder.into_inner(), [1_u64.to_ne_bytes(), 2_u64.to_ne_bytes()].concat());
}

#[test]
fn writer_that_does_not_suit_the_type_is_given_back() {
    let mut writer = BufferMut::with_capacity_aligned(64, 64);
    writer.extend_from_slice(&[9; 12]);
    let mut writer = ScalarBuilder::<u64>::try_new(writer).expect_err("12 bytes are no u64s");
    assert_eq!(&*ScalarBuilder::<u32>::new(writer.split_to(12)), &[0x0909_0909; 3]);
    let writer = ScalarBuilder::<u64>::try_new(writer).expect_err("it begins at byte 12");
    assert!(ScalarBuilder::<u32>::try_new(writer).is_ok());
    let panic = catch_unwind(|| {
        let mut writer = BufferMut::with_capacity(16);
        writer.extend_from_slice(b"x");
        ScalarBuilder::<u16>::new(writer)
    });
    assert!(panic.is_err());
}

#[test]
fn panic_of_an_iterator_leaves_the_values_before_it() {
    let pool = BufferPool::new(4096, 1);
    let mut builder = ScalarBuilder::<u32>::new(pool.get(4096).unwrap());
    let values = (0..5).map(|i| if i == 3 { panic!("the iterator") } else { i });
    assert!(catch_unwind(AssertUnwindSafe(|| builder.extend(values))).is_err());
    assert_eq!(&*builder, &[0, 1, 2]);
    let mut bits = BitmapBuilder::new(BufferMut::with_capacity(8));
    let values = (0..12).map(|i| if i == 9 { panic!("the iterator") } else { i % 2 == 0 });
    assert!(catch_unwind(AssertUnwindSafe(|| bits.extend(values))).is_err());
    assert_eq!(bits.finish().count_set_bits(), 5);
    drop(builder);
    assert_eq!(in_use(&pool), 0);
}

#[test]
fn bitmap_is_the_same_as_arrows_own() {
    // Runs of each length at each offset, both kinds of bits, single bits between them.
    for first in 0..17 {
        for run in 0..26 {
            for bit in [false, true] {
                let mut bits = BitmapBuilder::new(BufferMut::with_capacity(16));
                let mut expected: Vec<bool> = (0..first).map(|i| i % 3 != 0).collect();
                bits.extend(expected.iter().copied());
                bits.append_n(run, bit);
                bits.append(!bit);
                bits.append_n(2, true);
                expected.resize(first + run, bit);
                expected.extend([!bit, true, true]);
                assert_eq!((bits.len(), bits.capacity()), (expected.len(), 128));
                let shown: Vec<u8> = expected.iter().copied().map(u8::from).collect();
                assert_eq!(format!("{bits:?}"), format!("{shown:?}"));
                let built = bits.finish();
                assert_eq!(built, BooleanBuffer::from(expected.clone()), "{first} {run} {bit}");
                let nulls = expected.iter().filter(|&&valid| !valid).count();
                assert_eq!(NullBuffer::from(built).null_count(), nulls);
            }
        }
    }
}

#[test]
fn full_bitmap_refuses_and_keeps_what_it_has() {
    let mut writer = BufferMut::with_capacity(2);
    writer.extend_from_slice(b"x");
    let mut bits = BitmapBuilder::new(writer);
    assert!(bits.is_empty());
    bits.append_n(15, true);
    assert!(bits.try_append_n(2, true).is_err() && bits.try_append_n(usize::MAX, true).is_err());
    bits.append(false);
    assert!(bits.try_append(true).is_err() && bits.len() == 16);
    assert_eq!(bits.finish().count_set_bits(), 15);
}

#[test]
fn claimed_buffers_are_charged_until_they_are_dropped() {
    let process = MemoryBudget::new("process", MemoryBudget::UNLIMITED);
    let query = process.child("query", 1000);
    let column = Arrow::from_vec(vec![0_u8; 400]);
    let part = column.slice(100);
    column.claim(&query);
    part.claim(&query);
    assert_eq!((query.used(), process.used()), (400, 400), "shared memory counts once");
    assert_eq!((query.available(), MemoryPool::capacity(&query)), (600, 1000));
    assert_eq!((process.available(), MemoryPool::used(&process)), (isize::MAX, 400));
    let other = MemoryBudget::new("other", 1000);
    part.claim(&other);
    assert_eq!((query.used(), other.used()), (0, 400), "it is claimed by one pool at a time");
    drop((part, column));
    assert_eq!(other.used(), 0);
}

#[test]
fn claim_beyond_the_limit_is_charged_and_stops_those_who_ask() {
    let process = MemoryBudget::new("process", 150);
    let query = process.child("query", 100);
    let mut held: Box<dyn MemoryReservation> = MemoryPool::reserve(&query, 170);
    assert_eq!((query.available(), process.available()), (-70, -20));
    assert_eq!(process.stats().refused_count + query.stats().refused_count, 0);
    assert!(query.try_reserve(1).is_err() && process.try_reserve(1).is_err());
    assert!(BufferMut::try_with_capacity_in(1, 0, &query).is_err());
    held.resize(50);
    assert_eq!((held.size(), process.used()), (50, 50));
    held.resize(120);
    assert_eq!((held.size(), query.available()), (120, -20));
    drop(held);
    assert_eq!((process.used(), process.peak()), (0, 170));
    assert!(query.try_reserve(100).is_ok());
}

#[test]
fn reservation_of_ours_is_one_of_arrow() {
    let budget = MemoryBudget::new("b", 10);
    let mut held: Reservation = budget.reserve(4);
    assert!(held.try_resize(11).is_err());
    MemoryReservation::resize(&mut held, 11);
    assert_eq!((held.size(), held.bytes(), budget.used()), (11, 11, 11));
    MemoryReservation::resize(&mut held, 11);
    MemoryReservation::resize(&mut held, 0);
    assert_eq!(budget.used(), 0);
}
