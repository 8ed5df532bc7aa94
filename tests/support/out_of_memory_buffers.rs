// SPDX-License-Identifier: Apache-2.0
//! The table of `tests/out_of_memory.rs` for buffers, their pools and chains, and files.

use aegis_memory::arena::Arena;
use aegis_memory::budget::MemoryBudget;
use aegis_memory::buffer::{Buffer, BufferChain, BufferMut, BufferPool, WhenEmpty};
use aegis_memory::source::Global;
use std::fmt::Write;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;

use crate::executor::{poll_once, Calls};
use crate::failing_heap::{Row, Text};
use crate::{full, Counted};

/// A pool of one buffer that may grow, under a budget that does not let it grow.
fn used_up(budget: &MemoryBudget, when_empty: WhenEmpty) -> BufferPool {
    let builder = BufferPool::builder().class_growing(64, 1, 8).budget(budget);
    let pool = builder.when_empty(when_empty).build().expect("the first buffer");
    budget.set_limit(budget.used());
    pool
}

/// A writer of a few bytes.
fn written(bytes: &[u8]) -> BufferMut {
    let mut writer = BufferMut::with_capacity(32);
    writer.extend_from_slice(bytes);
    writer
}

pub fn rows() -> Vec<Row> {
    macro_rules! row {
        ($($covers:literal),+; $run:expr) => { Row { covers: &[$($covers),+], run: $run } };
    }
    vec![
        row!("buffer/make.rs try_copy_from_slice", "buffer/make.rs try_copy_from_slice_in"; |probe| {
            drop(probe.quiet(|| Buffer::try_copy_from_slice(b"bytes")));
            let (full, _root, _held) = full();
            assert!(probe.fails(|| Buffer::try_copy_from_slice_in(b"bytes", &full)).is_err());
        }),
        row!("buffer/make.rs try_from_owner"; |probe| {
            let (owner, drops) = Counted::new();
            match probe.fails(|| Buffer::try_from_owner(owner)) {
                Ok(buffer) => assert_eq!(buffer, [7; 24]),
                Err((owner, _)) => assert_eq!(owner.as_ref(), [7; 24], "it is given back"),
            }
            assert_eq!(drops.load(SeqCst), 1);
        }),
        row!("buffer/make.rs try_from_owner_sized"; |probe| {
            let (owner, drops) = Counted::new();
            match probe.fails(|| Buffer::try_from_owner_sized(owner, 4096)) {
                Ok(buffer) => assert_eq!(buffer.retained_bytes(), 4096),
                Err((owner, _)) => assert_eq!(owner.as_ref(), [7; 24], "it is given back"),
            }
            assert_eq!(drops.load(SeqCst), 1);
        }),
        row!("buffer/make.rs try_from_vec"; |probe| {
            let mut vec = Vec::with_capacity(100);
            vec.extend_from_slice(b"bytes");
            match probe.fails(|| Buffer::try_from_vec(vec)) {
                Ok(buffer) => assert_eq!(buffer.try_into_mut().expect("its own").capacity(), 100),
                Err((vec, _)) => assert_eq!((&vec[..], vec.capacity()), (&b"bytes"[..], 100)),
            }
            assert!(probe.quiet(|| Buffer::try_from_vec(Vec::new())).is_ok());
        }),
        row!("buffer/make.rs try_from_arena"; |probe| {
            let (full, root, held) = full();
            let arena = || Arena::builder().budget(&full).build().expect("no block yet");
            let refused = arena();
            assert!(probe.fails(|| Buffer::try_from_arena(refused, |_| b"static")).is_err());
            drop(held);
            root.set_limit(MemoryBudget::UNLIMITED);
            let arena = Arena::builder().source(Global).build().expect("no block yet");
            drop(probe.may_fail(|| Buffer::try_from_arena(arena, |_| b"static")));
        }),
        row!("buffer/make.rs try_into_mut", "buffer/make.rs try_into_mut_or_copy",
             "buffer/make.rs try_compact", "buffer/view.rs try_slice", "buffer/view.rs try_slice_ref",
             "buffer/view.rs try_unsplit"; |probe| {
            let whole = Buffer::from(b"some bytes".to_vec());
            let mut part = probe.quiet(|| whole.try_slice(..2)).expect("it is inside");
            assert!(probe.quiet(|| whole.try_slice(..99)).is_none());
            assert!(probe.quiet(|| whole.try_slice_ref(&part)).is_some());
            assert!(probe.quiet(|| part.clone().try_unsplit(whole.slice(5..))).is_err());
            let whole = probe.quiet(|| whole.try_into_mut()).expect_err("there is a part");
            let copy = probe.quiet(|| whole.try_into_mut_or_copy()).expect("C's heap");
            assert!(copy == "some bytes" && probe.quiet(|| part.try_compact()).is_ok());
        }),
        row!("buffer/convert.rs try_from_vec"; |probe| {
            let mut vec = Vec::with_capacity(100);
            vec.extend_from_slice(b"bytes");
            match probe.fails(|| BufferMut::try_from_vec(vec)) {
                Ok(writer) => assert_eq!((&*writer, writer.capacity()), (&b"bytes"[..], 100)),
                Err((vec, _)) => assert_eq!((&*vec, vec.capacity()), (&b"bytes"[..], 100)),
            }
        }),
        row!("buffer/convert.rs try_into_vec", "buffer/convert.rs try_into_vec_or_copy"; |probe| {
            let buffer = Buffer::from(b"bytes".to_vec());
            let vec = probe.quiet(|| buffer.try_into_vec()).expect("the only handle");
            let buffer = Buffer::copy_from_slice(&vec);
            let buffer = probe.quiet(|| buffer.try_into_vec()).expect_err("C's heap");
            match probe.fails(|| buffer.try_into_vec_or_copy()) {
                Ok(vec) => assert_eq!(vec, b"bytes"),
                Err((buffer, _)) => assert_eq!(buffer, "bytes"),
            }
        }),
        row!("buffer/into_iter.rs next", "buffer/into_iter.rs size_hint", "buffer/into_iter.rs nth", "buffer/into_iter.rs next_back";
             |probe| {
            let mut bytes = Buffer::from(b"bytes".to_vec()).into_iter();
            assert_eq!(probe.quiet(|| (bytes.next(), bytes.nth(1))), (Some(b'b'), Some(b't')));
            assert_eq!(probe.quiet(|| bytes.next_back()), Some(b's'));
        }),
        row!("buffer/chain.rs try_push_front", "buffer/chain_split.rs try_split_to"; |probe| {
            let mut chain = BufferChain::new();
            for n in 0..5 {
                if let Err((buffer, _)) = probe.fails(|| chain.try_push_front(Buffer::from("abc"))) {
                    assert_eq!((buffer.len(), chain.len()), (3, 3 * n));
                    chain.push_front(buffer);
                }
            }
            match probe.fails(|| chain.try_split_to(7)) {
                Ok(front) => assert_eq!((front.len(), chain.len()), (7, 8)),
                Err(_) => assert_eq!((chain.len(), chain.iter().count()), (15, 5)),
            }
        }),
        row!("buffer/chain.rs try_push"; |probe| {
            let mut chain = BufferChain::new();
            for n in 0..5 {
                let (owner, drops) = Counted::new();
                let buffer = Buffer::from_owner(owner);
                let len = chain.len();
                if let Err((buffer, _)) = probe.fails(|| chain.try_push(buffer)) {
                    assert_eq!((buffer.len(), chain.len(), drops.load(SeqCst)), (24, len, 0));
                    chain.push(buffer);
                }
                assert_eq!((chain.len(), drops.load(SeqCst)), (24 * (n + 1), 0));
            }
        }),
        row!("buffer/chain.rs try_into_buffer"; |probe| {
            let chain = BufferChain::from([Buffer::from("head"), Buffer::from("body")]);
            assert_eq!(probe.quiet(|| chain.try_into_buffer()).expect("C's heap"), "headbody");
        }),
        row!("buffer/pool.rs try_new"; |probe| drop(probe.quiet(|| BufferPool::try_new(64, 2)))),
        row!("buffer/pool.rs build"; |probe| {
            let (source, drops) = Counted::new();
            let builder = || BufferPool::builder().class(256, 2).class(64, 2);
            drop(probe.fails(|| builder().source(source).build()));
            assert_eq!(drops.load(SeqCst), 1, "the source is dropped once");
            let (full, _root, _held) = full();
            assert!(probe.fails(|| builder().budget(&full).build()).is_err());
        }),
        row!("buffer/pool.rs get", "buffer/pool.rs get_timeout", "buffer/pool.rs id_of",
             "buffer/pool.rs id_of_mut", "buffer/pool.rs fmt", "buffer/stats.rs fmt"; |probe| {
            for when_empty in [WhenEmpty::Fail, WhenEmpty::Heap, WhenEmpty::Wait(Duration::ZERO)] {
                let budget = MemoryBudget::new("pool", MemoryBudget::UNLIMITED);
                let pool = used_up(&budget, when_empty);
                let mut held = probe.quiet(|| pool.get(64)).expect("the first buffer");
                probe.quiet(|| Text::of(format_args!("{}", pool.stats())));
                held.extend_from_slice(b"held");
                assert_eq!(probe.quiet(|| pool.id_of_mut(&held)), Some(0));
                assert!(probe.fails(|| pool.get(64)).is_err());
                assert!(probe.fails(|| pool.get_timeout(64, Duration::ZERO)).is_err());
                probe.quiet(|| Text::of(format_args!("{pool:?}")));
                let held = held.freeze();
                assert_eq!(probe.quiet(|| pool.id_of(&held)), Some(0));
            }
        }),
        row!("buffer/pool_async.rs poll", "buffer/pool_async.rs fmt"; |probe| {
            let pool = BufferPool::new(64, 1);
            let (_calls, waker) = Calls::new();
            let mut held = probe.quiet(|| poll_once(&mut pool.get_async(1), &waker));
            assert!(matches!(&held, Poll::Ready(Ok(_))));
            let mut future = pool.get_async(1);
            let result = probe.fails(|| match poll_once(&mut future, &waker) {
                Poll::Pending => Ok(()),
                Poll::Ready(result) => result.map(|_| panic!("no buffer is free")),
            });
            probe.quiet(|| Text::of(format_args!("{future:?}")));
            if result.is_ok() {
                assert!(probe.quiet(|| poll_once(&mut future, &waker)).is_pending());
                probe.quiet(|| held = Poll::Pending);
                assert!(matches!(probe.quiet(|| poll_once(&mut future, &waker)), Poll::Ready(Ok(_))));
            }
            assert!(probe.quiet(|| poll_once(&mut pool.get_async(65), &waker)).is_ready());
        }),
        row!("buffer/writer.rs try_with_capacity", "buffer/writer.rs try_with_capacity_aligned",
             "buffer/writer_reserve.rs try_reserve", "buffer/writer.rs try_extend_from_slice",
             "buffer/writer.rs try_resize", "buffer/writer.rs write_str",
             "buffer/writer_reserve.rs try_reserve_aligned",
             "buffer/writer_put.rs try_extend_from_within", "buffer/writer_put.rs try_put_buffer",
             "buffer/writer_split.rs try_unsplit"; |probe| {
            let mut writer = probe.quiet(|| BufferMut::try_with_capacity(8)).expect("C's heap");
            drop(probe.quiet(|| BufferMut::try_with_capacity_aligned(8, 4096)));
            assert!(probe.quiet(|| writer.try_extend_from_slice(b"123456789")).is_err());
            assert!(probe.quiet(|| writer.try_resize(9, 0)).is_err());
            assert!(probe.quiet(|| writer.write_str("123456789")).is_err());
            assert!(probe.quiet(|| writer.try_reserve(9)).is_ok());
            assert!(probe.quiet(|| writer.try_unsplit(written(b"else"))).is_err());
            assert!(probe.quiet(|| writer.try_reserve_aligned(9, 64)).is_ok());
            assert!(probe.quiet(|| writer.try_extend_from_within(..)).is_ok());
            let view = written(b"else").freeze();
            assert!(probe.quiet(|| writer.try_put_buffer(view)).is_ok());
            let long = Buffer::from(vec![7; 1000]);
            assert!(probe.quiet(|| writer.try_put_buffer(long)).is_err());
        }),
        row!("buffer/writer.rs try_with_capacity_in", "buffer/writer_reserve.rs try_reserve_in",
             "buffer/writer_reserve.rs try_reserve_aligned_in"; |probe| {
            let (full, _root, _held) = full();
            assert!(probe.fails(|| BufferMut::try_with_capacity_in(8, 0, &full)).is_err());
            let mut writer = written(b"kept");
            assert!(probe.fails(|| writer.try_reserve_in(99, &full)).is_err());
            assert!(probe.fails(|| writer.try_reserve_aligned_in(99, 64, &full)).is_err());
            assert_eq!(writer, "kept");
        }),
        row!("buffer/traits.rs fmt", "buffer/chain.rs fmt", "buffer/traits.rs partial_cmp"; |probe| {
            let (buffer, chain) = (Buffer::from("bytes"), BufferChain::from([Buffer::from("x")]));
            probe.quiet(|| Text::of(format_args!("{buffer:?}{:?}{chain:?}", written(b"\xff"))));
            assert!(probe.quiet(|| buffer.partial_cmp(&Buffer::new())).is_some());
        }),
        #[cfg(feature = "arrow")]
        row!("buffer/arrow_build.rs try_new", "buffer/arrow_build.rs try_append",
             "buffer/arrow_build.rs try_append_n", "buffer/arrow_build.rs try_append_slice",
             "buffer/arrow_build.rs fmt"; |probe| {
            use aegis_memory::buffer::{BitmapBuilder, ScalarBuilder};
            let writer = BufferMut::with_capacity(8);
            let values = probe.quiet(|| ScalarBuilder::<u16>::try_new(writer));
            let mut values = values.expect("the heap aligns for 16 bytes");
            assert!(probe.quiet(|| values.try_append(1)).is_ok());
            assert!(probe.quiet(|| values.try_append_slice(&[2, 3])).is_ok());
            assert!(probe.quiet(|| values.try_append_n(2, 4)).is_err());
            let mut bits = BitmapBuilder::new(BufferMut::with_capacity(1));
            assert!(probe.quiet(|| bits.try_append_n(7, true)).is_ok());
            assert!(probe.quiet(|| bits.try_append(false)).is_ok());
            assert!(probe.quiet(|| bits.try_append(false)).is_err());
            probe.quiet(|| Text::of(format_args!("{values:?}{bits:?}")));
        }),
        #[cfg(feature = "bytes")]
        row!("buffer/interop.rs try_copy_to_slice"; |probe| {
            let (mut buffer, mut into) = (Buffer::from("bytes"), [0; 4]);
            let mut chain = BufferChain::from([buffer.clone()]);
            use bytes::Buf;
            assert!(probe.quiet(|| buffer.try_copy_to_slice(&mut into)).is_ok());
            assert!(probe.quiet(|| buffer.try_copy_to_slice(&mut into)).is_err());
            assert!(probe.quiet(|| chain.try_copy_to_slice(&mut into)).is_ok());
        }),
        #[cfg(feature = "std")]
        row!("buffer/io.rs read", "buffer/io.rs fill_buf", "buffer/io.rs write",
             "buffer/io.rs write_vectored", "buffer/io.rs flush", "buffer/io.rs read_from",
             "buffer/io.rs read_from_fd", "buffer/io.rs write_vectored_to"; |probe| {
            use std::io::{BufRead, IoSlice, Read, Write};
            let (mut buffer, mut into) = (Buffer::from("bytes"), [0; 4]);
            let mut chain = BufferChain::from([buffer.clone()]);
            let mut writer = BufferMut::with_capacity(4);
            assert_eq!(probe.quiet(|| buffer.read(&mut into)).expect("bytes"), 4);
            assert_eq!(probe.quiet(|| chain.read(&mut into)).expect("bytes"), 4);
            assert!(probe.quiet(|| buffer.fill_buf().is_ok() && chain.fill_buf().is_ok()));
            assert_eq!(probe.quiet(|| writer.write(b"ab")).expect("room"), 2);
            let slices = [IoSlice::new(b"c")];
            assert_eq!(probe.quiet(|| writer.write_vectored(&slices)).expect("room"), 1);
            assert!(probe.quiet(|| writer.flush()).is_ok());
            assert_eq!(probe.quiet(|| writer.read_from(&mut buffer)).expect("room"), 1);
            #[cfg(unix)]
            {
                let file = std::fs::File::open(".").expect("a directory");
                let mut writer = BufferMut::with_capacity(4);
                assert!(probe.quiet(|| writer.read_from_fd(&file)).is_err(), "it is no file");
            }
            assert!(probe.quiet(|| chain.write_vectored_to(&mut writer)).is_err(), "it is full");
        }),
        #[cfg(feature = "std")]
        row!("buffer/io.rs read_vectored"; |probe| {
            let mut writers = [written(b"a"), written(b"b")];
            let mut input = &b"0123456789"[..];
            let count = probe.fails(|| aegis_memory::buffer::read_vectored(&mut input, &mut writers));
            let read = count.unwrap_or(0);
            assert_eq!((input.len(), writers[0].len()), (10 - read, 1 + read));
        }),
        #[cfg(all(feature = "std", unix))]
        row!("buffer/file.rs map_file", "buffer/file.rs map", "buffer/file.rs check_file",
             "buffer/map_error.rs fmt", "buffer/map_error.rs raw_os_error"; |probe| {
            use std::io::ErrorKind::{InvalidInput, UnexpectedEof};
            let here = "./".repeat(200) + "Cargo.toml";
            for path in ["Cargo.toml", here.as_str()] {
                // SAFETY: nobody changes the crate's files.
                if let Ok(buffer) = probe.fails(|| unsafe { Buffer::map_file(path) }) {
                    assert!(probe.quiet(|| buffer.check_file()).is_ok());
                }
                let folder = path.replace("Cargo.toml", "src");
                // SAFETY: nothing is mapped.
                let error = probe.fails(|| unsafe { Buffer::map_file(&folder) }).unwrap_err();
                let text = probe.quiet(|| Text::of(format_args!("{error}{error:?}")));
                let named = text.as_str().contains("cannot be mapped");
                assert_eq!(named, error.kind() == InvalidInput, "{}", text.as_str());
            }
            let file = std::fs::File::open("Cargo.toml").expect("the crate's own");
            // SAFETY: nothing is mapped.
            let error = probe.quiet(|| unsafe { Buffer::map(&file, ..1 << 40) }).unwrap_err();
            assert_eq!((error.kind(), error.raw_os_error()), (InvalidInput, None));
            probe.quiet(|| Text::of(format_args!("{error}{error:?}")));

            let path = std::env::temp_dir().join(format!("aegis-oom-{}", std::process::id()));
            std::fs::write(&path, [7; 100]).expect("a temporary file");
            // SAFETY: it is truncated below, and no byte is looked at.
            let mut cut = unsafe { Buffer::map_file(&path) }.expect("a regular file");
            std::fs::write(&path, "").expect("it can be truncated");
            std::fs::remove_file(&path).expect("it is there");
            let mut chain = BufferChain::from(cut.clone());
            let ends = |result: std::io::Result<usize>| {
                assert_eq!(result.unwrap_err().kind(), UnexpectedEof);
            };
            use std::io::{BufRead, Read};
            ends(probe.quiet(|| cut.check_file().map(|()| 0)));
            ends(probe.quiet(|| cut.read(&mut [0; 4])));
            ends(probe.quiet(|| cut.fill_buf().map(<[u8]>::len)));
            ends(probe.quiet(|| chain.read(&mut [0; 4])));
            ends(probe.quiet(|| chain.fill_buf().map(<[u8]>::len)));
            ends(probe.quiet(|| chain.write_vectored_to(&mut std::io::sink()).map(|()| 0)));
        }),
    ]
}
