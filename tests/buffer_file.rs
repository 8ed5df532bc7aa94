// SPDX-License-Identifier: Apache-2.0
//! Files as buffers: whole and in pieces, what cannot be mapped, and truncation.
#![cfg(feature = "std")]
#![cfg(any(unix, windows))]

mod support;

use aegis_memory::buffer::Buffer;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::PathBuf;
use support::panic_of;

/// A file that is removed in the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("aegis-{name}-{}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A test that fails has its own message.
        let _ = fs::remove_file(&self.0);
    }
}

/// Bytes that tell where they are.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

#[test]
fn mapped_file_is_its_content_on_every_thread() {
    let content = pattern(100_000);
    let file = Temporary::new("whole", &content);
    // SAFETY: nobody changes the file.
    let buffer = unsafe { Buffer::map_file(&file.0) }.unwrap();
    assert_eq!(buffer, content);
    buffer.check_file().unwrap();
    let tail = buffer.slice(99_990..);
    let other = buffer.try_into_mut().expect_err("a mapping cannot be written");
    drop(other);
    let tail = std::thread::spawn(move || tail.clone()).join().unwrap();
    assert_eq!(tail, content[99_990..]);
    let mut copy = tail.into_mut();
    copy[0] = !copy[0];
    assert_eq!(fs::read(&file.0).unwrap(), content, "the copy is not the file");
}

#[test]
fn pieces_of_a_file_begin_and_end_at_any_byte() {
    let content = pattern(20_000);
    let temporary = Temporary::new("pieces", &content);
    let file = File::open(&temporary.0).unwrap();
    for (start, end) in [(0, 20_000), (1, 2), (4096, 8192), (4095, 12_289), (19_999, 20_000)] {
        // SAFETY: nobody changes the file.
        let piece = unsafe { Buffer::map(&file, start as u64..end as u64) }.unwrap();
        assert_eq!(piece, content[start..end], "{start}..{end}");
    }
    // SAFETY: as above.
    let (behind, rest) = unsafe {
        let behind = (Bound::Excluded(9_u64), Bound::Included(11));
        (Buffer::map(&file, behind).unwrap(), Buffer::map(&file, 10_000..).unwrap())
    };
    drop(file);
    assert!(behind == content[10..12] && rest == content[10_000..]);
}

#[test]
fn empty_files_and_pieces_are_empty_buffers() {
    let empty = Temporary::new("empty", b"");
    let full = Temporary::new("full", b"full");
    // SAFETY: nobody changes the files.
    let (whole, piece) =
        unsafe { (Buffer::map_file(&empty.0), Buffer::map(&File::open(&full.0).unwrap(), 4..4)) };
    assert!(whole.unwrap().is_empty() && piece.unwrap().is_empty());
}

#[test]
#[allow(clippy::reversed_empty_ranges)]
fn what_cannot_be_mapped_is_refused_with_its_reason() {
    let kind = |result: std::io::Result<Buffer>| result.unwrap_err().kind();
    let temporary = Temporary::new("refused", b"0123456789");
    let missing = temporary.0.with_extension("missing");
    // SAFETY: nothing is mapped.
    assert_eq!(kind(unsafe { Buffer::map_file(missing) }), ErrorKind::NotFound);
    let file = File::open(&temporary.0).unwrap();
    let map = |start: u64, end: u64| {
        // SAFETY: nothing is mapped.
        kind(unsafe { Buffer::map(&file, start..end) })
    };
    assert_eq!(map(0, 11), ErrorKind::InvalidInput);
    assert_eq!(map(11, 12), ErrorKind::InvalidInput);
    assert_eq!(map(3, 2), ErrorKind::InvalidInput);
    assert_eq!(map(0, u64::MAX), ErrorKind::InvalidInput);
    assert_eq!(map(u64::MAX - 1, u64::MAX), ErrorKind::InvalidInput);
    // SAFETY: nothing is mapped.
    let past_all = unsafe { Buffer::map(&file, ..=u64::MAX) };
    assert_eq!(kind(past_all), ErrorKind::InvalidInput);
    #[cfg(unix)]
    {
        // SAFETY: nothing is mapped.
        let directory = unsafe { Buffer::map_file(std::env::temp_dir()) };
        assert_eq!(kind(directory), ErrorKind::InvalidInput);
        let write_only = File::options().write(true).open(&temporary.0).unwrap();
        // SAFETY: nothing is mapped.
        let denied = unsafe { Buffer::map(&write_only, ..) };
        assert_eq!(kind(denied), ErrorKind::PermissionDenied);
    }
}

#[cfg(unix)]
#[test]
fn truncated_file_is_found_out_before_its_bytes_are_copied() {
    let temporary = Temporary::new("truncated", &pattern(50_000));
    // SAFETY: the file is truncated below, but no byte is looked at until it is whole again.
    let buffer = unsafe { Buffer::map_file(&temporary.0) }.unwrap();
    let mut part = buffer.slice(40_000..40_010);
    let file = File::options().write(true).open(&temporary.0).unwrap();
    file.set_len(100).unwrap();
    assert_eq!(buffer.check_file().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(panic_of(|| part.compact()), "the mapped file was truncated");
    assert_eq!(panic_of(|| buffer.into_mut()), "the mapped file was truncated");
    file.set_len(50_000).unwrap();
    part.check_file().unwrap();
    part.compact();
    assert_eq!(part, [0; 10]);
}
